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
#include <functional>
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
class KNATIVE_EXPORT Headers {
 public:
  struct Field {
    std::string name;
    std::string value;
    friend bool operator==(const Field&, const Field&) = default;
  };

  Headers() = default;
  Headers(std::initializer_list<Field> fields) : fields_(fields) {}

  /// The first field of that name.
  std::optional<std::string_view> get(std::string_view name) const noexcept;
  bool has(std::string_view name) const noexcept { return get(name).has_value(); }
  /// Replace all fields of that name by one.
  void set(std::string_view name, std::string_view value);
  /// Append a field, keeping others of that name.
  void add(std::string_view name, std::string_view value);
  /// Remove all fields of that name. Returns how many there were.
  std::size_t remove(std::string_view name);
  void clear() noexcept { fields_.clear(); }

  std::size_t size() const noexcept { return fields_.size(); }
  bool empty() const noexcept { return fields_.empty(); }
  auto begin() const noexcept { return fields_.begin(); }
  auto end() const noexcept { return fields_.end(); }
  friend bool operator==(const Headers&, const Headers&) = default;

 private:
  std::vector<Field> fields_;
};

/// Compare header names without case (ASCII).
KNATIVE_EXPORT bool same_name(std::string_view a, std::string_view b) noexcept;

/// A body that is read piece by piece. Pull it to its end, or drop it.
class KNATIVE_EXPORT BodySource {
 public:
  virtual ~BodySource() = default;
  /// The next piece; empty at the end. The view is valid until the next call.
  virtual Task<Result<std::string_view>> next() = 0;
  /// Total length when it is known beforehand.
  virtual std::optional<std::uint64_t> length() const { return std::nullopt; }
};

/// A message body: bytes in memory, or a source to be streamed. Move-only when streamed.
class KNATIVE_EXPORT Body {
 public:
  Body() = default;
  Body(std::string bytes) : bytes_(std::move(bytes)) {}      // NOLINT: implicit on purpose
  Body(const char* text) : bytes_(text) {}                   // NOLINT
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

struct KNATIVE_EXPORT Response {
  int status = 200;
  Headers headers;
  Body body;

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
  std::size_t connections_max = 10'000;              ///< Beyond: 503 and close.
  std::size_t header_bytes_max = 32 * 1024;          ///< (431)
  std::size_t header_count_max = 128;                ///< (431)
  std::uint64_t body_bytes_max = std::uint64_t{64} << 20;  ///< (413)
  Duration header_timeout = std::chrono::seconds(10);///< From first byte to last header. (408)
  Duration body_timeout = std::chrono::seconds(30);  ///< Longest pause inside a body. (408)
  Duration idle_timeout = std::chrono::seconds(60);  ///< Keep-alive without a request.
  Duration write_timeout = std::chrono::seconds(30); ///< A peer that does not read. (close)
  std::string server_name;                           ///< "Server" field; empty: none.
};

/// A running HTTP/1.1 server (strict by RFC 9112: every framing ambiguity is 400 and close).
class KNATIVE_EXPORT Server {
 public:
  /// Serves `handler`, which must outlive the server, on `listener` until destroyed.
  Server(Executor& executor, Timers& timers, Logger& logger, std::unique_ptr<Listener> listener,
         Handler& handler, ServerOptions options = {});
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  Endpoint endpoint() const;
  /// Stop accepting, let requests in progress finish, close idle connections.
  Task<void> drain();
  std::size_t connections() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

struct ClientOptions {
  std::size_t connections_max = 1024;            ///< Then requests wait.
  std::size_t idle_connections_max = 64;
  Duration connect_timeout = std::chrono::seconds(5);
  Duration response_timeout = std::chrono::seconds(300);  ///< To the response's header.
  std::size_t header_bytes_max = 64 * 1024;
};

/// A remote HTTP/1.1 service as a Handler, with a pool of connections. Connection failures
/// become 502, time-outs 504; `send()` tells them apart as errors.
class KNATIVE_EXPORT Client final : public Handler {
 public:
  Client(Executor& executor, Timers& timers, Network& network, Endpoint endpoint,
         ClientOptions options = {});
  ~Client() override;
  Task<Response> handle(Request& request) override;
  /// Like `handle`, with transport errors as `unavailable` or `deadline_exceeded`.
  /// The response's body is streamed; read it before the next use of its connection.
  Task<Result<Response>> send(Request& request);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// A parsed absolute http URL.
struct KNATIVE_EXPORT Url {
  std::string scheme = "http";
  std::string host;
  std::uint16_t port = 80;
  std::string target = "/";  ///< Path and query.
  static Result<Url> parse(std::string_view text);
  std::string to_string() const;
  Endpoint endpoint() const { return Endpoint{host, port, {}}; }
  friend bool operator==(const Url&, const Url&) = default;
};

}  // namespace knative::http
