/// \file
/// What every connection of a server has, whatever version of HTTP it speaks: its place among the
/// others, bounds, and what becomes of what a handler answers. Belongs to its loop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <string_view>

#include "base/complaints.hpp"
#include "knative/http_server.hpp"
#include "wire/http_render.hpp"

namespace knative::http::wire {

class ServerConnection;

/// What the connections of one server share.
struct ServerCore {
  ServerCore(Executor& executor_, Timers& timers_, Logger& logger_,
             std::unique_ptr<Listener> listener_, Handler& handler_, ServerOptions options_)
      : executor(executor_),
        timers(timers_),
        logger(logger_),
        listener(std::move(listener_)),
        handler(handler_),
        options(std::move(options_)),
        endpoint(listener->endpoint()),
        date(timers),
        accepting(executor) {}
  ServerCore(const ServerCore&) = delete;
  ServerCore& operator=(const ServerCore&) = delete;
  ~ServerCore();

  Task<void> accept_all();
  void remove(ServerConnection& connection) noexcept;
  void close_idle() noexcept;
  /// Close the connection that is idle for the longest time. False when none is idle.
  bool make_room() noexcept;
  /// Make the answer one that can be sent: 500 when the handler threw or its status is invalid.
  /// Counts the request.
  void settle(const Request& request, Response& response, const std::exception_ptr& thrown);

  Executor& executor;
  Timers& timers;
  Logger& logger;
  std::unique_ptr<Listener> listener;
  Handler& handler;
  ServerOptions options;
  Endpoint endpoint;
  DateField date;
  ServerConnection* first = nullptr;
  ServerConnection* idle_first = nullptr;  ///< Idle for the longest time.
  ServerConnection* idle_last = nullptr;
  std::size_t count = 0;
  std::size_t refusing = 0;  ///< Connections that only get a refusal.
  std::uint64_t requests = 0;
  std::uint64_t refused = 0;
  bool draining = false;
  Wakeup changed;
  TaskSet accepting;

 private:
  std::size_t reserved(const DescriptorRoom& room) const noexcept;
  std::size_t refusals_max() const noexcept;
  bool admit() noexcept;
  Task<void> until_changed();

  base::Complaints accept_complaints_{10, 0.1};
};

/// One connection. Made with `new`; `ServerCore::remove` destroys it.
class ServerConnection {
 public:
  explicit ServerConnection(ServerCore& core) noexcept;
  ServerConnection(const ServerConnection&) = delete;
  ServerConnection& operator=(const ServerConnection&) = delete;
  virtual ~ServerConnection();
  /// Of an idle connection: nothing has arrived that was not looked at yet.
  virtual bool quiet() const noexcept = 0;
  /// The connection is closed to make room: say so when that can be done without waiting.
  virtual void farewell() noexcept = 0;

 protected:
  ServerCore& core() const noexcept { return core_; }
  /// No request is under way and nothing of one has arrived.
  void set_idle(bool idle) noexcept;
  bool is_idle() const noexcept { return idle_; }

 private:
  friend struct ServerCore;
  ServerCore& core_;
  ServerConnection* previous_ = nullptr;
  ServerConnection* next_ = nullptr;
  ServerConnection* idle_previous_ = nullptr;
  ServerConnection* idle_next_ = nullptr;
  bool idle_ = false;
};

/// Serve HTTP/1 on a new connection, or only refuse it.
void serve_http1(ServerCore& core, std::unique_ptr<Stream> stream, bool refuse);

}  // namespace knative::http::wire
