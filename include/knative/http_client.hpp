/// \file
/// The HTTP client of one origin: a remote service as a `Handler`, with a pool of connections.
///
/// Not here: names of several origins, redirects, proxies and credentials. Objects belong to the
/// loop they were made on.
///
/// \code
/// kn::http::Client client(env.executor, env.timers, env.network, endpoint);
/// kn::http::Request request = kn::http::get("/hello");
/// kn::Result<kn::http::Response> response = co_await client.send(request);
/// \endcode
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

#include "knative/env.hpp"
#include "knative/http.hpp"

namespace knative::http {

/// Bounds and times of a client.
struct ClientOptions {
  std::size_t connections_max = 1024;  ///< Then requests wait.
  std::size_t idle_connections_max = 64;
  Duration connect_timeout = std::chrono::seconds(5);
  Duration response_timeout = std::chrono::seconds(300);  ///< To the response's header.
  std::size_t header_bytes_max = 64 * 1024;
  Duration body_timeout = std::chrono::seconds(60);  ///< Longest pause inside a body.
  Duration idle_timeout = std::chrono::seconds(30);  ///< An idle connection is closed then.
  /// Told of every failure that `Client::handle` answers for; empty: nobody. Clients of clients
  /// only get the kind of it, without addresses.
  std::function<void(const Error&)> on_failure = {};
  /// Told of every answer whose header is not HTTP/1.1: what is wrong with it. Empty: nobody.
  std::function<void(const Error&)> on_bad_answer = {};
  /// `Client::handle` is a gateway's: `remove_hop_by_hop` is applied to both messages.
  bool gateway = false;
};

/// A remote HTTP/1.1 service as a Handler, with a pool of connections. Connection failures
/// become 502, time-outs 504, no free connection 503; `send()` tells them apart as errors. Interim
/// responses go to the request's `interim`. A request to upgrade and CONNECT are sent as such;
/// when they succeed the response has a tunnel, whose connection counts as in use until it is
/// closed and may outlive the client. A request is repeated on a fresh connection only when the
/// kept one turned out to be closed before any byte of an answer, its body is in memory, and the
/// method is idempotent (RFC 9110 section 9.2.2) or the request says `repeatable`.
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

}  // namespace knative::http
