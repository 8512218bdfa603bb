// Headers, bodies, requests and responses as values: what needs no connection.
#include <array>
#include <cstring>

#include "knative/http.hpp"
#include "wire/http_access.hpp"
#include "wire/http_authority.hpp"
#include "wire/http_text.hpp"

namespace knative::http {

bool same_name(std::string_view a, std::string_view b) noexcept {
  return wire::equal_ignoring_case(a, b);
}

// ---------------------------------------------------------------------------- headers

void Headers::append(std::string_view name, std::string_view value) {
  const std::size_t begin = text_.size();
  const std::size_t length = name.size() + value.size() + 4;
  text_.resize(begin + length);
  char* to = text_.data() + begin;
  std::memcpy(to, name.data(), name.size());
  to += name.size();
  *to++ = ':';
  *to++ = ' ';
  if (!value.empty()) std::memcpy(to, value.data(), value.size());
  to += value.size();
  *to++ = '\r';
  *to = '\n';
  lines_.push_back(Line{static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(name.size()),
                        static_cast<std::uint32_t>(value.size())});
  names_ |= wire::name_bit(name);
}

void HeadersAccess::assign(Headers& headers, const wire::HeadParser& head,
                           const std::vector<wire::FieldSpan>& fields, std::string_view input) {
  if (fields.empty() || !head.plain()) {
    headers.clear();
    headers.text_.reserve(head.head_bytes());
    for (const wire::FieldSpan& field : fields) {
      headers.append(field.name(input), field.value(input));
    }
    return;
  }
  // They stand in the head as they do in `text_`.
  const std::uint32_t begin = fields.front().name_begin;
  headers.text_.assign(input.data() + begin, head.head_bytes() - 2 - begin);
  headers.lines_.resize(fields.size());
  Headers::Line* line = headers.lines_.data();
  for (const wire::FieldSpan& field : fields) {
    *line++ = Headers::Line{field.name_begin - begin, field.name_length, field.value_length};
  }
  headers.names_ = head.names();
}

void HeadersAccess::append_text(Headers& headers, std::string_view text,
                                std::span<const Lengths> fields, std::uint32_t bits) {
  auto begin = static_cast<std::uint32_t>(headers.text_.size());
  headers.text_.append(text);
  for (const Lengths& field : fields) {
    headers.lines_.push_back(Headers::Line{begin, field.name, field.value});
    begin += field.name + field.value + 4;
  }
  headers.names_ |= bits;
}

std::optional<std::string_view> Headers::get(std::string_view name) const noexcept {
  for (const Line& line : lines_) {
    if (line.name_length != name.size()) continue;
    const char* begin = text_.data() + line.begin;
    if (wire::equal_ignoring_case(std::string_view(begin, name.size()), name)) {
      return std::string_view(begin + line.name_length + 2, line.value_length);
    }
  }
  return std::nullopt;
}

bool Headers::add(std::string_view name, std::string_view value) {
  if (!wire::is_token(name)) return false;
  value = wire::trim(value);
  // Views into this very object would dangle while it grows; a changed value needs a copy too.
  const bool own = value.data() >= text_.data() && value.data() < text_.data() + text_.size();
  if (!own && wire::first_invalid_in_value(value) == value.size()) {
    append(name, value);
    return true;
  }
  std::string clean(value);
  for (char& c : clean) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\t') || byte == 0x7f) c = ' ';
  }
  append(std::string(name), wire::trim(clean));
  return true;
}

bool Headers::set(std::string_view name, std::string_view value) {
  if (!has(name)) return add(name, value);
  // The arguments may be views of the fields that are about to go.
  const std::string kept_name(name);
  const std::string kept_value(value);
  remove(kept_name);
  return add(kept_name, kept_value);
}

std::size_t Headers::remove(std::string_view name) {
  if (!has(name)) return 0;
  const std::string wanted(name);
  std::size_t removed = 0;
  std::size_t to = 0;
  std::uint32_t shift = 0;
  for (std::size_t i = 0; i < lines_.size(); ++i) {
    Line line = lines_[i];
    line.begin -= shift;
    const auto length = line.name_length + line.value_length + 4;
    if (wire::equal_ignoring_case(std::string_view(text_).substr(line.begin, line.name_length),
                                  wanted)) {
      text_.erase(line.begin, length);
      shift += length;
      ++removed;
    } else {
      lines_[to++] = line;
    }
  }
  lines_.resize(to);
  names_ &= ~wire::name_bit(wanted) | wire::shared_bits;
  return removed;
}

namespace wire {

void remove_listed_fields(Headers& headers) {
  std::vector<std::string> listed;
  for (std::size_t i = 0; i < headers.size(); ++i) {
    const Headers::Field field = headers.at(i);
    if (!equal_ignoring_case(field.name, "connection")) continue;
    for_each_element(field.value, [&listed](std::string_view name) { listed.emplace_back(name); });
  }
  headers.remove("connection");
  for (const std::string& name : listed) {
    const bool stays = equal_ignoring_case(name, "host") || equal_ignoring_case(name, "upgrade");
    if (!stays) headers.remove(name);
  }
}

}  // namespace wire

void remove_hop_by_hop(Headers& headers) {
  static constexpr std::array<std::string_view, 8> names = {
      "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization",
      "te",         "trailer",          "transfer-encoding",  "upgrade"};
  const std::uint32_t there = HeadersAccess::names(headers);
  if ((there & wire::hop_by_hop_names) == 0) return;  // as of most messages
  if ((there & wire::name_connection) != 0) wire::remove_listed_fields(headers);
  for (const std::string_view name : names) headers.remove(name);
}

// ---------------------------------------------------------------------------- body

std::optional<std::uint64_t> Body::length() const {
  if (source_) return source_->length();
  return bytes_.size();
}

Task<Result<void>> Body::read_all(std::size_t bytes_max) {
  if (!source_) co_return Result<void>();
  std::string bytes;
  if (const auto length = source_->length()) {
    if (*length > bytes_max) {
      co_return fail(Errc::resource_exhausted, "body of " + std::to_string(*length) +
                                                   " bytes is over the bound of " +
                                                   std::to_string(bytes_max));
    }
    bytes.reserve(static_cast<std::size_t>(*length));
  }
  for (;;) {
    Result<std::string_view> piece = co_await source_->next();
    if (!piece) co_return std::move(piece).error();
    if (piece->empty()) break;
    if (piece->size() > bytes_max - bytes.size()) {
      co_return fail(Errc::resource_exhausted,
                     "body is over the bound of " + std::to_string(bytes_max) + " bytes");
    }
    bytes.append(*piece);
  }
  if (!trailers_) {
    if (const Headers* trailers = source_->trailers()) set_trailers(*trailers);
  }
  source_.reset();
  bytes_ = std::move(bytes);
  co_return Result<void>();
}

// ---------------------------------------------------------------------------- request

std::string percent_decode(std::string_view text, bool plus_is_space) {
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      const int high = wire::hex_value(text[i + 1]);
      const int low = wire::hex_value(text[i + 2]);
      if (high >= 0 && low >= 0) {
        decoded.push_back(static_cast<char>(high * 16 + low));
        i += 2;
        continue;
      }
    }
    decoded.push_back(plus_is_space && text[i] == '+' ? ' ' : text[i]);
  }
  return decoded;
}

std::string_view Request::path() const noexcept {
  const std::string_view view = target;
  return view.substr(0, view.find('?'));
}

std::string Request::query(std::string_view name, std::string_view fallback) const {
  const std::string_view view = target;
  const std::size_t mark = view.find('?');
  std::string_view rest = mark == std::string_view::npos ? "" : view.substr(mark + 1);
  while (!rest.empty()) {
    const std::size_t end = rest.find('&');
    const std::string_view pair = rest.substr(0, end);
    rest = end == std::string_view::npos ? "" : rest.substr(end + 1);
    const std::size_t equals = pair.find('=');
    const std::string_view key = pair.substr(0, equals);
    if (key == name || percent_decode(key, true) == name) {
      if (equals == std::string_view::npos) return {};
      return percent_decode(pair.substr(equals + 1), true);
    }
  }
  return std::string(fallback);
}

std::string_view Request::upgrade() const noexcept {
  if ((HeadersAccess::names(headers) & wire::name_upgrade) == 0) return {};
  const std::optional<std::string_view> protocol = headers.get("Upgrade");
  if (!protocol || version != Version::http_1_1) return {};
  bool listed = false;
  for (const Headers::Field field : headers) {
    if (!wire::equal_ignoring_case(field.name, "connection")) continue;
    wire::for_each_element(field.value, [&listed](std::string_view element) {
      listed = listed || wire::equal_ignoring_case(element, "upgrade");
    });
  }
  return listed ? *protocol : std::string_view();
}

std::string Request::host() const {
  std::string lower(wire::host_of(authority()));
  for (char& c : lower) c = wire::to_lower(c);
  return lower;
}

Request get(std::string_view target) {
  Request request;
  request.target = target;
  return request;
}

Request post(std::string_view target, std::string body, std::string_view content_type) {
  Request request;
  request.method = "POST";
  request.target = target;
  request.headers.add("Content-Type", content_type);
  request.body = Body(std::move(body));
  return request;
}

// ---------------------------------------------------------------------------- response

Response text(std::string body, int status) {
  Response response;
  response.status = status;
  response.headers.add("Content-Type", "text/plain; charset=utf-8");
  response.body = Body(std::move(body));
  return response;
}

Response json_text(std::string body, int status) {
  Response response;
  response.status = status;
  response.headers.add("Content-Type", "application/json");
  response.body = Body(std::move(body));
  return response;
}

Response error_response(int status, std::string_view detail) {
  std::string body(reason_phrase(status));
  if (body.empty()) body = std::to_string(status);
  if (!detail.empty()) body.append(": ").append(detail);
  body.push_back('\n');
  return text(std::move(body), status);
}

Response switch_protocols(std::string_view protocol, std::unique_ptr<Tunnel> tunnel) {
  Response response;
  response.status = 101;
  response.headers.add("Upgrade", protocol);
  response.tunnel = std::move(tunnel);
  return response;
}

Response unavailable(std::string_view detail, std::chrono::seconds retry_after) {
  Response response = error_response(503, detail);
  response.headers.add("Retry-After", std::to_string(retry_after.count()));
  return response;
}

// ---------------------------------------------------------------------------- conditions

int status_of(Errc condition) noexcept {
  switch (condition) {
    case Errc::invalid_argument: return 400;
    case Errc::not_found: return 404;
    case Errc::already_exists:
    case Errc::conflict: return 409;
    case Errc::unimplemented: return 501;
    case Errc::failed_precondition:
    case Errc::unavailable:
    case Errc::cancelled:
    case Errc::resource_exhausted: return 503;
    case Errc::deadline_exceeded: return 504;
    case Errc::data_loss:
    case Errc::internal: break;
  }
  return 500;
}

int gateway_status_of(Errc condition) noexcept {
  return condition == Errc::unavailable ? 502 : status_of(condition);
}

Errc condition_of(int status) noexcept {
  switch (status) {
    case 404:
    case 410: return Errc::not_found;
    case 409: return Errc::conflict;
    case 401:
    case 403:
    case 407:
    case 412:
    case 428: return Errc::failed_precondition;
    case 408:
    case 504: return Errc::deadline_exceeded;
    case 413:
    case 429:
    case 507: return Errc::resource_exhausted;
    case 421:
    case 425:
    case 502:
    case 503: return Errc::unavailable;
    case 501:
    case 505: return Errc::unimplemented;
    default: return status >= 400 && status < 500 ? Errc::invalid_argument : Errc::internal;
  }
}

std::string_view reason_phrase(int status) noexcept {
  switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 102: return "Processing";
    case 103: return "Early Hints";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 203: return "Non-Authoritative Information";
    case 204: return "No Content";
    case 205: return "Reset Content";
    case 206: return "Partial Content";
    case 207: return "Multi-Status";
    case 208: return "Already Reported";
    case 300: return "Multiple Choices";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 305: return "Use Proxy";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 402: return "Payment Required";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 407: return "Proxy Authentication Required";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 411: return "Length Required";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 416: return "Range Not Satisfiable";
    case 417: return "Expectation Failed";
    case 421: return "Misdirected Request";
    case 422: return "Unprocessable Content";
    case 423: return "Locked";
    case 424: return "Failed Dependency";
    case 425: return "Too Early";
    case 426: return "Upgrade Required";
    case 428: return "Precondition Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 451: return "Unavailable For Legal Reasons";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    case 507: return "Insufficient Storage";
    case 508: return "Loop Detected";
    case 511: return "Network Authentication Required";
    default: return "";
  }
}

}  // namespace knative::http
