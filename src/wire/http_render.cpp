#include "wire/http_render.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "wire/http_access.hpp"
#include "wire/http_authority.hpp"
#include "wire/http_parser.hpp"
#include "wire/http_text.hpp"

namespace knative::http::wire {

namespace {

void append_number(std::uint64_t number, std::string& out) {
  std::array<char, 20> room{};
  const auto end = std::to_chars(room.data(), room.data() + room.size(), number).ptr;
  out.append(room.data(), static_cast<std::size_t>(end - room.data()));
}

void two_digits(unsigned number, std::string& out) {
  out.push_back(static_cast<char>('0' + number / 10 % 10));
  out.push_back(static_cast<char>('0' + number % 10));
}

/// Fields that say how this connection frames messages; ours are written instead.
bool is_framing(std::string_view name) noexcept {
  switch (name.size()) {
    case 10:
      return equal_ignoring_case(name, "connection") || equal_ignoring_case(name, "keep-alive");
    case 14: return equal_ignoring_case(name, "content-length");
    case 17: return equal_ignoring_case(name, "transfer-encoding");
    default: return false;
  }
}

void append_status_line(int status, std::string& out) {
  if (status == 200) {
    out.append("HTTP/1.1 200 OK\r\n");
    return;
  }
  out.append("HTTP/1.1 ");
  append_number(static_cast<std::uint64_t>(status), out);
  out.push_back(' ');
  out.append(reason_phrase(status)).append("\r\n");
}

}  // namespace

std::string http_date(WallTime time) {
  static constexpr std::string_view days = "ThuFriSatSunMonTueWed";
  static constexpr std::string_view months = "JanFebMarAprMayJunJulAugSepOctNovDec";
  using std::chrono::floor;
  const auto day = floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const auto second = static_cast<unsigned>(floor<std::chrono::seconds>(time - day).count());
  const auto weekday = static_cast<std::size_t>((day.time_since_epoch().count() % 7 + 7) % 7);
  const auto year = static_cast<unsigned>(static_cast<int>(date.year()));
  std::string out;
  out.append(days.substr(weekday * 3, 3)).append(", ");
  two_digits(static_cast<unsigned>(date.day()), out);
  out.push_back(' ');
  out.append(months.substr((static_cast<unsigned>(date.month()) - 1) * 3, 3));
  out.push_back(' ');
  two_digits(year / 100, out);
  two_digits(year % 100, out);
  out.push_back(' ');
  two_digits(second / 3600, out);
  out.push_back(':');
  two_digits(second / 60 % 60, out);
  out.push_back(':');
  two_digits(second % 60, out);
  return out.append(" GMT");
}

std::string_view DateField::text() {
  const Instant now = timers_.now();
  if (text_.empty() || now - rendered_ >= std::chrono::seconds(1)) {
    rendered_ = now;
    text_ = "Date: " + http_date(timers_.wall()) + "\r\n";
  }
  return text_;
}

void render_response(const Response& response, const ResponsePlan& plan, std::string_view date,
                     std::string_view server_name, std::string& out) {
  const Headers& headers = response.headers;
  append_status_line(response.status, out);
  bool framing = false;
  bool has_date = date.empty();
  bool has_server = server_name.empty();
  for (const Headers::Field field : headers) {
    framing = framing || is_framing(field.name);
    has_date = has_date || (field.name.size() == 4 && equal_ignoring_case(field.name, "date"));
    has_server =
        has_server || (field.name.size() == 6 && equal_ignoring_case(field.name, "server"));
  }
  if (!framing) {
    out.append(HeadersAccess::text(headers));
  } else {
    for (std::size_t i = 0; i < headers.size(); ++i) {
      if (!is_framing(headers.at(i).name)) out.append(HeadersAccess::line(headers, i));
    }
  }
  if (!has_date) out.append(date);
  if (!has_server) out.append("Server: ").append(server_name).append("\r\n");
  if (plan.mode == BodyMode::length || plan.mode == BodyMode::head_length) {
    out.append("Content-Length: ");
    append_number(plan.length, out);
    out.append("\r\n");
  } else if (plan.mode == BodyMode::chunked) {
    out.append("Transfer-Encoding: chunked\r\n");
  }
  if (plan.tunnel) {
    if (response.status == 101) out.append("Connection: Upgrade\r\n");
  } else if (!plan.keep_alive) {
    out.append("Connection: close\r\n");
  } else if (plan.old_version) {
    out.append("Connection: keep-alive\r\n");
  }
  out.append("\r\n");
}

void render_interim(int status, const Headers& headers, std::string& out) {
  append_status_line(status, out);
  for (std::size_t i = 0; i < headers.size(); ++i) {
    if (!is_framing(headers.at(i).name)) out.append(HeadersAccess::line(headers, i));
  }
  out.append("\r\n");
}

void append_last_chunk(const Headers* trailers, std::string& out) {
  out.append("0\r\n");
  for (std::size_t i = 0; trailers != nullptr && i < trailers->size(); ++i) {
    if (may_be_trailer(trailers->at(i).name)) out.append(HeadersAccess::line(*trailers, i));
  }
  out.append("\r\n");
}

std::string_view append_memory(const Body& body, bool chunked, std::string& out) {
  const std::string& bytes = body.bytes();
  if (!chunked) {
    if (bytes.size() > joined_bytes_max) return bytes;
    out.append(bytes);
    return {};
  }
  char room[18];
  if (!bytes.empty()) out.append(chunk_head(bytes.size(), room)).append(bytes).append("\r\n");
  append_last_chunk(body.trailers(), out);
  return {};
}

bool may_be_trailer(std::string_view name) noexcept {
  static constexpr std::array<std::string_view, 42> never = {"age",
                                                             "authorization",
                                                             "cache-control",
                                                             "connection",
                                                             "content-encoding",
                                                             "content-length",
                                                             "content-range",
                                                             "content-type",
                                                             "cookie",
                                                             "date",
                                                             "expect",
                                                             "expires",
                                                             "forwarded",
                                                             "host",
                                                             "if-match",
                                                             "if-modified-since",
                                                             "if-none-match",
                                                             "if-range",
                                                             "if-unmodified-since",
                                                             "keep-alive",
                                                             "location",
                                                             "max-forwards",
                                                             "pragma",
                                                             "proxy-authenticate",
                                                             "proxy-authorization",
                                                             "proxy-connection",
                                                             "range",
                                                             "retry-after",
                                                             "set-cookie",
                                                             "te",
                                                             "trailer",
                                                             "transfer-encoding",
                                                             "upgrade",
                                                             "vary",
                                                             "via",
                                                             "warning",
                                                             "www-authenticate",
                                                             "x-forwarded-for",
                                                             "x-forwarded-host",
                                                             "x-forwarded-proto",
                                                             "origin",
                                                             "referer"};
  return !name.empty() && std::none_of(never.begin(), never.end(), [name](std::string_view word) {
    return equal_ignoring_case(word, name);
  });
}

Result<void> render_request(const Request& request, std::optional<std::uint64_t> length,
                            bool chunked, std::string_view default_host, std::string& out) {
  if (!is_token(request.method)) {
    return fail(Errc::invalid_argument, "method \"" + request.method + "\" is no token");
  }
  const std::string& target = request.target;
  // Whole URLs are what a proxy gets.
  const std::size_t scheme = target.starts_with("http://") ? 7 : 0;
  const bool formed = scheme != 0 || (!target.empty() && target.front() == '/');
  std::size_t invalid =
      formed ? first_not(std::string_view(target).substr(scheme), target_char) : 0;
  if (formed) invalid += scheme;
  if (request.method == "CONNECT") {
    const Authority authority = parse_authority(target);
    if (!authority.valid || !authority.port) {
      return fail(Errc::invalid_argument, "target: CONNECT needs \"host:port\"");
    }
  } else if (invalid < target.size() ? target != "*" : target.empty()) {
    return fail(Errc::invalid_argument, "target: invalid at byte " + std::to_string(invalid));
  }
  out.append(request.method).append(" ").append(request.target).append(" HTTP/1.1\r\n");
  const Headers& headers = request.headers;
  bool host = false;
  bool skipping = false;
  for (const Headers::Field field : headers) {
    host = host || (field.name.size() == 4 && equal_ignoring_case(field.name, "host"));
    skipping = skipping || is_framing(field.name) ||
               (field.name.size() == 6 && equal_ignoring_case(field.name, "expect"));
  }
  if (!host) out.append("Host: ").append(default_host).append("\r\n");
  if (!skipping) {
    out.append(HeadersAccess::text(headers));
  } else {
    for (std::size_t i = 0; i < headers.size(); ++i) {
      const std::string_view name = headers.at(i).name;
      // Expectations are met hop by hop: our server asks for the body itself.
      if (is_framing(name) || (name.size() == 6 && equal_ignoring_case(name, "expect"))) continue;
      out.append(HeadersAccess::line(headers, i));
    }
  }
  if (length) {
    out.append("Content-Length: ");
    append_number(*length, out);
    out.append("\r\n");
  } else if (chunked) {
    out.append("Transfer-Encoding: chunked\r\n");
  }
  if (skipping && !request.upgrade().empty()) out.append("Connection: Upgrade\r\n");
  out.append("\r\n");
  return Result<void>();
}

}  // namespace knative::http::wire
