#include "wire/http_render.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "wire/http_access.hpp"
#include "wire/http_authority.hpp"
#include "wire/http_parser.hpp"
#include "wire/http_text.hpp"

namespace knative::http::wire {

namespace {

/// Writes behind a text that grows once, at the beginning.
class Pen {
 public:
  /// Not more than `most` bytes will be put.
  Pen(std::string& out, std::size_t most) : out_(out) {
    const std::size_t begin = out.size();
    out.resize(begin + most);
    at_ = out.data() + begin;
  }
  Pen(const Pen&) = delete;
  Pen& operator=(const Pen&) = delete;
  ~Pen() { out_.resize(static_cast<std::size_t>(at_ - out_.data())); }

  Pen& put(std::string_view text) noexcept {
    if (!text.empty()) std::memcpy(at_, text.data(), text.size());
    at_ += text.size();
    return *this;
  }
  template <std::size_t N>
  Pen& put(const char (&text)[N]) noexcept {
    std::memcpy(at_, text, N - 1);
    at_ += N - 1;
    return *this;
  }
  Pen& put_number(std::uint64_t number) noexcept {
    at_ = std::to_chars(at_, at_ + number_bytes_max, number).ptr;
    return *this;
  }
  static constexpr std::size_t number_bytes_max = 20;

 private:
  std::string& out_;
  char* at_;
};

/// The longest lines and words that a head has beside what it is given.
constexpr std::size_t own_bytes_max = 256;

void two_digits(unsigned number, std::string& out) {
  out.push_back(static_cast<char>('0' + number / 10 % 10));
  out.push_back(static_cast<char>('0' + number % 10));
}

/// The fields without those of the names in `left_out`.
void put_fields(const Headers& headers, std::uint32_t left_out, Pen& pen) {
  const std::string_view text = HeadersAccess::text(headers);
  if ((HeadersAccess::names(headers) & left_out) == 0) {
    pen.put(text);
    return;
  }
  std::size_t begin = 0;  // of what was not copied yet
  std::size_t at = 0;
  for (const Headers::Field field : headers) {
    const std::size_t end = at + field.name.size() + field.value.size() + 4;
    if ((name_bit(field.name) & left_out) != 0) {
      pen.put(text.substr(begin, at - begin));
      begin = end;
    }
    at = end;
  }
  pen.put(text.substr(begin));
}

void put_status_line(int status, Pen& pen) {
  if (status == 200) {
    pen.put("HTTP/1.1 200 OK\r\n");
    return;
  }
  pen.put("HTTP/1.1 ").put_number(static_cast<std::uint64_t>(status)).put(" ");
  pen.put(reason_phrase(status)).put("\r\n");
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
  Pen pen(out,
          HeadersAccess::text(headers).size() + date.size() + server_name.size() + own_bytes_max);
  put_status_line(response.status, pen);
  put_fields(headers, framing_names, pen);
  if ((HeadersAccess::names(headers) & name_date) == 0) pen.put(date);
  if (!server_name.empty() && !headers.has("server")) {
    pen.put("Server: ").put(server_name).put("\r\n");
  }
  if (plan.mode == BodyMode::length || plan.mode == BodyMode::head_length) {
    pen.put("Content-Length: ").put_number(plan.length).put("\r\n");
  } else if (plan.mode == BodyMode::chunked) {
    pen.put("Transfer-Encoding: chunked\r\n");
  }
  if (plan.tunnel) {
    if (response.status == 101) pen.put("Connection: Upgrade\r\n");
  } else if (!plan.keep_alive) {
    pen.put("Connection: close\r\n");
  } else if (plan.old_version) {
    pen.put("Connection: keep-alive\r\n");
  }
  pen.put("\r\n");
}

void render_interim(int status, const Headers& headers, std::string& out) {
  Pen pen(out, HeadersAccess::text(headers).size() + own_bytes_max);
  put_status_line(status, pen);
  put_fields(headers, framing_names, pen);
  pen.put("\r\n");
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
  const Headers& headers = request.headers;
  Pen pen(out, request.method.size() + target.size() + default_host.size() +
                   HeadersAccess::text(headers).size() + own_bytes_max);
  pen.put(request.method).put(" ").put(target).put(" HTTP/1.1\r\n");
  if ((HeadersAccess::names(headers) & name_host) == 0) {
    pen.put("Host: ").put(default_host).put("\r\n");
  }
  // Expectations are met hop by hop: our server asks for the body itself.
  put_fields(headers, framing_names | name_expect, pen);
  if (length) {
    pen.put("Content-Length: ").put_number(*length).put("\r\n");
  } else if (chunked) {
    pen.put("Transfer-Encoding: chunked\r\n");
  }
  if (!request.upgrade().empty()) pen.put("Connection: Upgrade\r\n");
  pen.put("\r\n");
  return Result<void>();
}

}  // namespace knative::http::wire
