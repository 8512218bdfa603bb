/// \file
/// Message heads as text. Framing fields are decided here, never by handlers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "knative/http.hpp"

namespace knative::http::wire {

/// A body up to this long is copied behind its head: one piece is sent faster than a list of two.
inline constexpr std::size_t joined_bytes_max = 2048;

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
  bool tunnel = false;       ///< The connection goes on with something else.
  bool sends_body() const noexcept {
    return mode != BodyMode::none && mode != BodyMode::head_length;
  }
};

/// Append a response's head to `out`. `date` and `server_name` are used when the response has no
/// such field; empty ones are left out.
void render_response(const Response& response, const ResponsePlan& plan, std::string_view date,
                     std::string_view server_name, std::string& out);

/// Append a whole interim response.
void render_interim(int status, const Headers& headers, std::string& out);

/// Append of a body in memory what is best sent together with its head: all of it with its
/// trailers when chunked, otherwise a short one. Returns what is left to be sent.
std::string_view append_memory(const Body& body, bool chunked, std::string& out);
inline std::string_view append_memory(const Body& body, const ResponsePlan& plan,
                                      std::string& out) {
  if (!plan.sends_body()) return {};
  return append_memory(body, plan.mode == BodyMode::chunked, out);
}
/// Append the last chunk and those of the trailers that may be some; null: none.
void append_last_chunk(const Headers* trailers, std::string& out);

/// Append a request's head to `out`. `length`: Content-Length; absent with `chunked`: chunked
/// coding; absent without: no body. `default_host` is used when there is no Host field.
/// Fails with `invalid_argument` when method or target would break the message.
Result<void> render_request(const Request& request, std::optional<std::uint64_t> length,
                            bool chunked, std::string_view default_host, std::string& out);

}  // namespace knative::http::wire
