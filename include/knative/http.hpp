/// \file
/// HTTP messages and the one interface of every hop: `http::Handler` answers a request.
///
/// Router, activator, function instance, remote service and test double are all Handlers; they
/// compose by reference in constructors. Objects belong to the loop they were made on. Nothing here
/// knows a version of HTTP; see http_server.hpp and http_client.hpp for what speaks on the wire.
///
/// \code
/// knative::Task<knative::http::Response> hello(knative::http::Request& request) {
///   co_return knative::http::text("hello " + request.query("name", "world"));
/// }
/// \endcode
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "knative/env.hpp"
#include "knative/error.hpp"
#include "knative/http_headers.hpp"
#include "knative/http_url.hpp"
#include "knative/task.hpp"

namespace knative::tls {
struct Facts;
}

namespace knative::http {

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
  /// The fields after the body, once it was read to its end; null: none.
  virtual const Headers* trailers() const { return nullptr; }
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

  /// The fields after the body (RFC 9110 section 6.5); null: none. Those of a streamed body are
  /// there when it was read to its end. What concerns framing, routing or access is never taken
  /// from them nor sent in them.
  const Headers* trailers() const noexcept {
    return trailers_ ? trailers_.get() : source_ ? source_->trailers() : nullptr;
  }
  void set_trailers(Headers trailers) {
    trailers_ = std::make_unique<Headers>(std::move(trailers));
  }

 private:
  std::string bytes_;
  std::unique_ptr<BodySource> source_;
  std::unique_ptr<Headers> trailers_;
};

/// How the other end of a connection spoke.
enum class Version : unsigned char { http_1_0, http_1_1, http_2 };

/// Takes interim responses (RFC 9110 section 15.2): 103 and the like, ahead of the final one.
class KNATIVE_EXPORT InterimSink {
 public:
  virtual ~InterimSink() = default;
  /// Fails with `failed_precondition` when `status` is no interim one that can be sent now (100
  /// and 101 are the server's), with the stream's failure when the peer is gone.
  virtual Task<Result<void>> send(int status, const Headers& headers) = 0;
};

/// A request as a Handler sees it.
struct KNATIVE_EXPORT Request {
  std::string method = "GET";
  /// Origin form: path and query, e.g. "/a?b=c"; "*" of OPTIONS; "host:port" of CONNECT.
  std::string target = "/";
  Headers headers;
  Body body;
  /// Peer address of the connection, empty for in-process calls.
  std::string peer;
  /// "https" when the connection is encrypted, whatever the peer claims.
  std::string scheme = "http";
  Version version = Version::http_1_1;
  /// What TLS found out about the peer (tls.hpp); null: no TLS. Valid while the request is being
  /// handled, as is `interim`.
  const tls::Facts* tls = nullptr;
  /// Where interim responses go; null: nowhere.
  InterimSink* interim = nullptr;
  /// A client may send it once more, whatever its method, when the kept connection that it was put
  /// on turns out to be closed before any byte of an answer: for who delivers at least once.
  bool repeatable = false;

  /// The target up to '?'.
  std::string_view path() const noexcept;
  /// The decoded value of a query parameter, or `fallback`.
  std::string query(std::string_view name, std::string_view fallback = "") const;
  /// "host[:port]": the Host field, which stands for HTTP/2's ":authority" too.
  std::string_view authority() const noexcept { return headers.get("Host").value_or(""); }
  /// The authority without port and without the dot that a full name may end in, lower case; empty
  /// when absent.
  std::string host() const;
  /// The protocol that the peer asks to go on with (Upgrade and Connection fields); empty: none.
  std::string_view upgrade() const noexcept;
};

/// What goes on over a connection once it is no longer HTTP's.
class KNATIVE_EXPORT Tunnel {
 public:
  virtual ~Tunnel() = default;
  /// Serve the peer until done; then the stream is closed. `stream` begins with what had been
  /// received already. Called once, after the response was sent; dropping the task ends it.
  virtual Task<void> run(std::unique_ptr<Stream> stream) = 0;
  /// Of a client's answer: the connection itself, for a caller that speaks the protocol; null
  /// otherwise, and when it was taken.
  virtual std::unique_ptr<Stream> take_stream() { return nullptr; }
};

/// What a Handler answers.
struct KNATIVE_EXPORT Response {
  int status = 200;
  Headers headers;
  Body body;
  /// Made by a proxy in place of an answer: the request did not reach who should give one and is
  /// as it was, so it may be sent elsewhere.
  bool unreached = false;
  /// Takes the connection over: with 101 after a request that asks for an upgrade, or with 2xx
  /// after CONNECT. With anything else the answer is 500.
  std::unique_ptr<Tunnel> tunnel;

  bool ok() const noexcept { return status >= 200 && status < 300; }
};

/// The standard reason phrase, "" when unknown.
KNATIVE_EXPORT std::string_view reason_phrase(int status) noexcept;

/// The status that tells a client of a failed condition. The one table of the library:
/// invalid_argument 400, not_found 404, already_exists and conflict 409, unimplemented 501,
/// failed_precondition, unavailable, cancelled and resource_exhausted 503, deadline_exceeded 504,
/// data_loss and internal 500.
KNATIVE_EXPORT int status_of(Errc condition) noexcept;
/// The same for whoever asked another server: what is `unavailable` there is 502 here.
KNATIVE_EXPORT int gateway_status_of(Errc condition) noexcept;
/// The condition that a status of 400 and above stands for; `internal` for others. 401, 403, 407,
/// 412 and 428 are failed_precondition; 408 and 504 deadline_exceeded; 413, 429 and 507
/// resource_exhausted; 404 and 410 not_found; 409 conflict; 501 and 505 unimplemented; 421, 425,
/// 502 and 503 unavailable; other 4xx invalid_argument.
KNATIVE_EXPORT Errc condition_of(int status) noexcept;

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
/// 101 for a request with `Request::upgrade()`; `tunnel` goes on with the connection.
KNATIVE_EXPORT Response switch_protocols(std::string_view protocol, std::unique_ptr<Tunnel> tunnel);
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

}  // namespace knative::http
