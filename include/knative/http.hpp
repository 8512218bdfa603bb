/// \file
/// HTTP messages and the one interface of every hop: `http::Handler` answers a request.
///
/// Router, activator, function instance, remote service and test double are all Handlers; they
/// compose by reference in constructors. Objects belong to the loop they were made on.
///
/// \code
/// knative::Task<knative::http::Response> hello(knative::http::Request& request) {
///   co_return knative::http::text("hello " + request.query("name", "world"));
/// }
/// \endcode
#pragma once

#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "knative/env.hpp"
#include "knative/error.hpp"
#include "knative/task.hpp"

namespace knative::http {

/// Header fields in arrival order; names compare without case (RFC 9110 section 5.1).
///
/// All fields live in one text, in the form in which they are sent, so that a message is built
/// and forwarded by copying few bytes. Views into it are valid until the next change.
class KNATIVE_EXPORT Headers {
 public:
  struct Field {
    std::string_view name;
    std::string_view value;
    friend bool operator==(const Field&, const Field&) = default;
  };
  class Iterator {
   public:
    using value_type = Field;
    using difference_type = std::ptrdiff_t;
    using reference = Field;
    using pointer = void;
    using iterator_category = std::input_iterator_tag;
    Iterator() = default;
    Iterator(const Headers* headers, std::size_t index) noexcept
        : headers_(headers), index_(index) {}
    Field operator*() const noexcept { return headers_->at(index_); }
    Iterator& operator++() noexcept {
      ++index_;
      return *this;
    }
    Iterator operator++(int) noexcept { return Iterator(headers_, index_++); }
    friend bool operator==(const Iterator&, const Iterator&) = default;

   private:
    const Headers* headers_ = nullptr;
    std::size_t index_ = 0;
  };

  Headers() = default;
  Headers(std::initializer_list<Field> fields) {
    for (const Field& field : fields) add(field.name, field.value);
  }

  /// The value of the first field of that name.
  std::optional<std::string_view> get(std::string_view name) const noexcept;
  bool has(std::string_view name) const noexcept { return get(name).has_value(); }
  /// Replace all fields of that name by one. See `add` for what is refused.
  bool set(std::string_view name, std::string_view value);
  /// Append a field, keeping others of that name. Surrounding blanks of the value are cut;
  /// CR, LF and NUL in it become blanks (RFC 9110 section 5.5). A name that is no token is
  /// refused: nothing is added and false is returned.
  bool add(std::string_view name, std::string_view value);
  /// Remove all fields of that name. Returns how many there were.
  std::size_t remove(std::string_view name);
  void clear() noexcept {
    text_.clear();
    lines_.clear();
  }

  std::size_t size() const noexcept { return lines_.size(); }
  bool empty() const noexcept { return lines_.empty(); }
  /// The field at a position below `size()`.
  Field at(std::size_t index) const noexcept {
    const Line& line = lines_[index];
    return Field{
        std::string_view(text_).substr(line.begin, line.name_length),
        std::string_view(text_).substr(line.begin + line.name_length + 2, line.value_length)};
  }
  Iterator begin() const noexcept { return Iterator(this, 0); }
  Iterator end() const noexcept { return Iterator(this, lines_.size()); }
  /// Same fields with the same spelling in the same order.
  friend bool operator==(const Headers& a, const Headers& b) { return a.text_ == b.text_; }

 private:
  friend struct HeadersAccess;
  struct Line {
    std::uint32_t begin;  ///< Offset of the name in `text_`; "name: value CR LF" follows.
    std::uint32_t name_length;
    std::uint32_t value_length;
  };
  void append(std::string_view name, std::string_view value);
  std::string text_;
  std::vector<Line> lines_;
};

/// Compare header names without case (ASCII).
KNATIVE_EXPORT bool same_name(std::string_view a, std::string_view b) noexcept;

/// Remove the fields that concern one connection only: Connection and every field it names,
/// Keep-Alive, Proxy-Connection, Proxy-Authenticate, Proxy-Authorization, TE, Trailer,
/// Transfer-Encoding, Upgrade (RFC 9110 section 7.6.1). A proxy calls it on both messages.
KNATIVE_EXPORT void remove_hop_by_hop(Headers& headers);

/// A body that is read piece by piece. Pull it to its end, or drop it.
class KNATIVE_EXPORT BodySource {
 public:
  virtual ~BodySource() = default;
  /// The next piece; empty at the end. The view is valid until the next call.
  virtual Task<Result<std::string_view>> next() = 0;
  /// The next piece if it is there already; empty when only `next()` can tell. Like `next()` it
  /// ends the validity of the piece before.
  virtual std::string_view take_ready() { return {}; }
  /// Total length when it is known beforehand.
  virtual std::optional<std::uint64_t> length() const { return std::nullopt; }
};

/// A message body: bytes in memory, or a source to be streamed. Move-only when streamed.
class KNATIVE_EXPORT Body {
 public:
  Body() = default;
  Body(std::string bytes) : bytes_(std::move(bytes)) {}  // NOLINT: implicit on purpose
  Body(const char* text) : bytes_(text) {}               // NOLINT
  explicit Body(std::unique_ptr<BodySource> source) : source_(std::move(source)) {}

  bool streamed() const noexcept { return source_ != nullptr; }
  /// The bytes of a body in memory; empty while streamed and not yet read.
  const std::string& bytes() const noexcept { return bytes_; }
  BodySource* source() noexcept { return source_.get(); }
  /// Take the bytes of a body in memory.
  std::string take_bytes() noexcept { return std::move(bytes_); }
  /// Length when known: bytes in memory, or what the source says.
  std::optional<std::uint64_t> length() const;
  /// Read a streamed body into memory; afterwards `bytes()` has it. Fails with
  /// `resource_exhausted` beyond `bytes_max`. Does nothing for a body in memory.
  Task<Result<void>> read_all(std::size_t bytes_max = std::size_t{16} << 20);

 private:
  std::string bytes_;
  std::unique_ptr<BodySource> source_;
};

/// A request as a Handler sees it.
struct KNATIVE_EXPORT Request {
  std::string method = "GET";
  /// Origin form: path and query, e.g. "/a?b=c".
  std::string target = "/";
  Headers headers;
  Body body;
  /// Peer address of the connection, empty for in-process calls.
  std::string peer;

  /// The target up to '?'.
  std::string_view path() const noexcept;
  /// The decoded value of a query parameter, or `fallback`.
  std::string query(std::string_view name, std::string_view fallback = "") const;
  /// Host header without port, lower case; empty when absent.
  std::string host() const;
};

/// What a Handler answers.
struct KNATIVE_EXPORT Response {
  int status = 200;
  Headers headers;
  Body body;
  /// Made by a proxy in place of an answer: the request did not reach who should give one and is
  /// as it was, so it may be sent elsewhere.
  bool unreached = false;

  bool ok() const noexcept { return status >= 200 && status < 300; }
};

/// The standard reason phrase, "" when unknown.
KNATIVE_EXPORT std::string_view reason_phrase(int status) noexcept;

// Makers, safe to use inside `co_await` expressions.
KNATIVE_EXPORT Request get(std::string_view target);
KNATIVE_EXPORT Request post(std::string_view target, std::string body,
                            std::string_view content_type = "application/octet-stream");
/// text/plain; charset=utf-8
KNATIVE_EXPORT Response text(std::string body, int status = 200);
/// application/json; `body` is JSON text already.
KNATIVE_EXPORT Response json_text(std::string body, int status = 200);
/// text/plain with the reason and a line break.
KNATIVE_EXPORT Response error_response(int status, std::string_view detail = "");
/// 503 with Retry-After in whole seconds (RFC 9110 section 10.2.3).
KNATIVE_EXPORT Response unavailable(std::string_view detail, std::chrono::seconds retry_after);

/// Answers requests. One request at a time per call, many calls at once; the request must stay
/// until the task is done. A Handler reports failure as a status, never as an exception (user
/// functions may throw; whoever calls them turns that into 500).
class KNATIVE_EXPORT Handler {
 public:
  virtual ~Handler() = default;
  virtual Task<Response> handle(Request& request) = 0;
};

/// A Handler from a plain function. `f` is called with `Request&` and returns `Response` or
/// `Task<Response>`.
template <class F>
std::unique_ptr<Handler> make_handler(F f) {
  class FunctionHandler final : public Handler {
   public:
    explicit FunctionHandler(F f) : f_(std::move(f)) {}
    Task<Response> handle(Request& request) override {
      if constexpr (std::is_same_v<std::invoke_result_t<F&, Request&>, Response>) {
        co_return f_(request);
      } else {
        co_return co_await f_(request);
      }
    }

   private:
    F f_;
  };
  return std::make_unique<FunctionHandler>(std::move(f));
}

/// Bounds and times of a server. Every bound answers with the status in parentheses.
struct ServerOptions {
  std::size_t connections_max = 10'000;                    ///< Beyond: 503 and close.
  std::size_t request_line_bytes_max = 8 * 1024;           ///< (414)
  std::size_t header_bytes_max = 32 * 1024;                ///< With the request line. (431)
  std::size_t header_count_max = 128;                      ///< (431)
  std::uint64_t body_bytes_max = std::uint64_t{64} << 20;  ///< (413)
  Duration header_timeout = std::chrono::seconds(10);  ///< From first byte to last header. (408)
  Duration body_timeout = std::chrono::seconds(30);    ///< Longest pause inside a body. (408)
  Duration idle_timeout = std::chrono::seconds(60);    ///< Keep-alive without a request.
  Duration write_timeout = std::chrono::seconds(30);   ///< A peer that does not read. (close)
  /// Of a request body that the handler left unread, this much is read to keep the connection.
  std::uint64_t unread_body_bytes_max = 256 * 1024;
  /// Bodies up to this size that arrived with their header are given to the handler in memory.
  std::size_t memory_body_bytes_max = 64 * 1024;
  std::string server_name;  ///< "Server" field; empty: none.
};

/// A running HTTP/1.1 server (strict by RFC 9112: every framing ambiguity is 400 and close).
///
/// Requests of one connection are answered in order. A handler that waits is dropped when its
/// client closes the connection, be it only its sending half; one that throws is answered with 500.
/// Framing fields (Content-Length, Transfer-Encoding, Connection) are the server's: a handler's are
/// ignored.
class KNATIVE_EXPORT Server {
 public:
  /// Serves `handler`, which must outlive the server, on `listener` until destroyed. Must not
  /// be destroyed from inside one of its handlers.
  Server(Executor& executor, Timers& timers, Logger& logger, std::unique_ptr<Listener> listener,
         Handler& handler, ServerOptions options = {});
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  Endpoint endpoint() const;
  /// Requests answered since the start.
  std::uint64_t requests() const noexcept;
  /// Stop accepting, let requests in progress finish, close idle connections.
  Task<void> drain();
  std::size_t connections() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Bounds and times of a client.
struct ClientOptions {
  std::size_t connections_max = 1024;  ///< Then requests wait.
  std::size_t idle_connections_max = 64;
  Duration connect_timeout = std::chrono::seconds(5);
  Duration response_timeout = std::chrono::seconds(300);  ///< To the response's header.
  std::size_t header_bytes_max = 64 * 1024;
  Duration body_timeout = std::chrono::seconds(60);  ///< Longest pause inside a body.
  Duration idle_timeout = std::chrono::seconds(30);  ///< An idle connection is closed then.
};

/// A remote HTTP/1.1 service as a Handler, with a pool of connections. Connection failures
/// become 502, time-outs 504; `send()` tells them apart as errors. A request is repeated on a
/// fresh connection only when the kept one turned out to be closed before any byte of an answer,
/// and the method is idempotent (RFC 9110 section 9.2.2) and its body is in memory.
class KNATIVE_EXPORT Client final : public Handler {
 public:
  Client(Executor& executor, Timers& timers, Network& network, Endpoint endpoint,
         ClientOptions options = {});
  ~Client() override;
  Task<Response> handle(Request& request) override;
  /// Like `handle`, with transport errors as `unavailable` or `deadline_exceeded`.
  /// The response's body is streamed; read it before the next use of its connection.
  /// The body of `request` is consumed when it is streamed. Fails with `resource_exhausted` when
  /// no connection becomes free within `connect_timeout`.
  Task<Result<Response>> send(Request& request);
  /// Connections now, in use or idle.
  std::size_t connections() const noexcept;
  std::size_t idle_connections() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Decode %XX; with `plus_is_space` also '+'. Wrong escapes stay as they are.
KNATIVE_EXPORT std::string percent_decode(std::string_view text, bool plus_is_space = false);

/// A parsed absolute http or https URL. Fragments and user names are refused.
struct KNATIVE_EXPORT Url {
  std::string scheme = "http";
  std::string host;
  std::uint16_t port = 80;
  std::string target = "/";  ///< Path and query.
  /// Fails with `invalid_argument`, naming the byte offset.
  static Result<Url> parse(std::string_view text);
  std::string to_string() const;
  Endpoint endpoint() const { return Endpoint{host, port, {}}; }
  friend bool operator==(const Url&, const Url&) = default;
};

}  // namespace knative::http
