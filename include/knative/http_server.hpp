/// \file
/// The HTTP server: a listener, its connections and their bounds. What is served is a `Handler`.
///
/// Objects belong to the loop they were made on.
///
/// \code
/// auto hello = kn::http::make_handler([](kn::http::Request&) { return kn::http::text("hello"); });
/// kn::http::Server server(env.executor, env.timers, env.logger,
///                         env.network.listen(kn::Endpoint{}).value(), *hello);
/// \endcode
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "knative/env.hpp"
#include "knative/http.hpp"

namespace knative::http {

/// Bounds and times of a server. Every bound answers with the status in parentheses.
struct ServerOptions {
  /// Beyond, the connection that is idle for the longest time gives way; when none is idle, the
  /// new one gets 503 with Retry-After and is closed.
  std::size_t connections_max = 10'000;
  /// So many of the process's descriptors (at most a quarter of all) stay free for files, programs
  /// and other servers: when connections eat into them it is as if `connections_max` were reached.
  std::size_t descriptors_reserved_max = 256;
  std::size_t request_line_bytes_max = 8 * 1024;           ///< (414)
  std::size_t header_bytes_max = 32 * 1024;                ///< With the request line. (431)
  std::size_t header_count_max = 128;                      ///< (431)
  std::uint64_t body_bytes_max = std::uint64_t{64} << 20;  ///< (413)
  /// More than `body_bytes_max` for single requests, whose handlers stream them to disk. Asked
  /// about bodies that are longer, or of unknown length. Empty: nobody takes more.
  std::function<std::uint64_t(const Request&)> body_bytes_max_of;
  Duration header_timeout = std::chrono::seconds(10);  ///< From first byte to last header. (408)
  Duration body_timeout = std::chrono::seconds(30);    ///< Longest pause inside a body. (408)
  /// A body that its handler waits for may lag behind this rate by `body_timeout` at most, however
  /// far it was ahead before; so what drips ends too. 0: only a pause ends it. (408)
  std::uint64_t body_bytes_per_second_min = 500;
  Duration idle_timeout = std::chrono::seconds(60);   ///< Keep-alive without a request.
  Duration write_timeout = std::chrono::seconds(30);  ///< A peer that does not read. (close)
  /// Of a request body that the handler left unread, this much is read to keep the connection. A
  /// refusal does not wait for what was not received yet.
  std::uint64_t unread_body_bytes_max = 256 * 1024;
  /// Bodies up to this size that arrived with their header are given to the handler in memory.
  std::size_t memory_body_bytes_max = 64 * 1024;
  std::string server_name;  ///< "Server" field; empty: none.
  bool connect = false;     ///< Give CONNECT to the handler. (501)
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
  /// Connections that got a 503 because there were too many.
  std::uint64_t refused() const noexcept;
  /// Stop accepting, let requests in progress finish, close idle connections.
  Task<void> drain();
  std::size_t connections() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace knative::http
