/// \file
/// Message heads as text. Framing fields are decided here, never by handlers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "knative/http.hpp"

namespace knative::http::wire {

/// The "Date" field, rendered again when a second has passed.
class DateField {
 public:
  explicit DateField(Timers& timers) noexcept : timers_(timers) {}
  /// "Date: Sun, 06 Nov 1994 08:49:37 GMT CR LF"
  std::string_view text();

 private:
  Timers& timers_;
  Instant rendered_{};
  std::string text_;
};

/// Calendar time as in Date fields (RFC 9110 section 5.6.7).
std::string http_date(WallTime time);

/// How a body is sent.
enum class BodyMode : unsigned char {
  none,         ///< Neither body nor length (204, 304).
  length,       ///< Content-Length and that many bytes.
  head_length,  ///< Content-Length of a body that is not sent (HEAD).
  chunked,
  until_close,
};

struct ResponsePlan {
  BodyMode mode = BodyMode::none;
  std::uint64_t length = 0;
  bool keep_alive = true;
  bool old_version = false;  ///< The client speaks HTTP/1.0.
};

/// Append a response's head to `out`. `date` and `server_name` are used when the response has no
/// such field; empty ones are left out.
void render_response(const Response& response, const ResponsePlan& plan, std::string_view date,
                     std::string_view server_name, std::string& out);

/// Append a request's head to `out`. `length`: Content-Length; absent with `chunked`: chunked
/// coding; absent without: no body. `default_host` is used when there is no Host field.
/// Fails with `invalid_argument` when method or target would break the message.
Result<void> render_request(const Request& request, std::optional<std::uint64_t> length,
                            bool chunked, std::string_view default_host, std::string& out);

}  // namespace knative::http::wire
