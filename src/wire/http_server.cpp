// The HTTP server but for what its connections speak: who is let in, who has to go, and how it
// ends.
#include <algorithm>
#include <string>
#include <utility>

#include "base/wait_for.hpp"
#include "wire/http_serving.hpp"

namespace knative::http {

namespace wire {

namespace {
/// Connections at once that only get a refusal; further ones wait in the network.
constexpr std::size_t refusing_max = 64;
constexpr Duration accept_retry_delay = std::chrono::milliseconds(100);
}  // namespace

// ---------------------------------------------------------------------------- connections

ServerConnection::ServerConnection(ServerCore& core) noexcept : core_(core), next_(core.first) {
  if (next_ != nullptr) next_->previous_ = this;
  core.first = this;
  ++core.count;
}

ServerConnection::~ServerConnection() {
  set_idle(false);
  (previous_ != nullptr ? previous_->next_ : core_.first) = next_;
  if (next_ != nullptr) next_->previous_ = previous_;
  --core_.count;
}

void ServerConnection::set_idle(bool idle) noexcept {
  if (idle == idle_) return;
  idle_ = idle;
  if (idle) {
    idle_previous_ = core_.idle_last;
    idle_next_ = nullptr;
    (core_.idle_last != nullptr ? core_.idle_last->idle_next_ : core_.idle_first) = this;
    core_.idle_last = this;
  } else {
    (idle_previous_ != nullptr ? idle_previous_->idle_next_ : core_.idle_first) = idle_next_;
    (idle_next_ != nullptr ? idle_next_->idle_previous_ : core_.idle_last) = idle_previous_;
  }
}

// ---------------------------------------------------------------------------- what is shared

ServerCore::~ServerCore() {
  accepting.clear();
  while (first != nullptr) delete first;  // NOLINT(clang-analyzer-cplusplus.NewDelete): unlinks
}

void ServerCore::remove(ServerConnection& connection) noexcept {
  delete &connection;
  changed.notify_all();
}

void ServerCore::close_idle() noexcept {
  for (ServerConnection* connection = idle_first; connection != nullptr;) {
    ServerConnection* following = connection->idle_next_;
    if (connection->quiet()) remove(*connection);
    connection = following;
  }
}

bool ServerCore::make_room() noexcept {
  ServerConnection* connection = idle_first;
  while (connection != nullptr && !connection->quiet()) connection = connection->idle_next_;
  if (connection == nullptr) return false;
  connection->farewell();
  remove(*connection);
  return true;
}

void ServerCore::settle(const Request& request, Response& response,
                        const std::exception_ptr& thrown) {
  ++requests;
  const bool usual = !thrown && !response.tunnel && response.status >= 200 &&
                     response.status <= 599 && request.method.size() != 7;  // as CONNECT
  if (usual) return;
  const bool connects = request.method == "CONNECT";
  const bool tunnels = connects ? response.ok() : response.status == 101;
  std::string what;
  if (thrown) {
    try {
      std::rethrow_exception(thrown);
    } catch (const std::exception& exception) {
      what = exception.what();
    } catch (...) {
      what = "unknown exception";
    }
  } else if (response.tunnel != nullptr || response.status == 101) {
    if (response.tunnel == nullptr || !tunnels) {
      what = "a tunnel needs 101, or 2xx after CONNECT, and these need one";
    } else if (!connects && request.upgrade().empty()) {
      what = "101 without a request to upgrade";
    } else {
      return;
    }
  } else if (connects && response.ok()) {
    what = "2xx after CONNECT needs a tunnel";
  } else if (response.status >= 200 && response.status <= 599) {
    return;
  } else {
    what = "invalid status " + std::to_string(response.status);
  }
  logger.log(LogLevel::error, "http", "handler failed",
             {{"path", std::string(request.path())}, {"what", std::move(what)}});
  response = error_response(500);
}

// ---------------------------------------------------------------------------- accepting

std::size_t ServerCore::reserved(const DescriptorRoom& room) const noexcept {
  return std::min(options.descriptors_reserved_max, room.max / 4);
}

/// So many may be refused at a time. When descriptors are short they are out of the reserve, and
/// half of that is not for strangers.
std::size_t ServerCore::refusals_max() const noexcept {
  const std::size_t reserve = reserved(listener->descriptors());
  return reserve == 0 ? refusing_max : std::clamp<std::size_t>(reserve / 2, 1, refusing_max);
}

/// May one more be served? Idle connections give way: first when our own bound is reached, then
/// when the process's descriptors run short.
bool ServerCore::admit() noexcept {
  const DescriptorRoom room = listener->descriptors();
  const std::size_t reserve = reserved(room);
  const bool full = count - refusing >= options.connections_max;
  return (!full && room.left >= reserve) || make_room();
}

Task<void> ServerCore::until_changed() {
  Task<void> change = base::wait_for(changed);
  co_await with_deadline(timers, std::move(change), timers.now() + accept_retry_delay);
}

Task<void> ServerCore::accept_all() {
  for (;;) {
    // A refusal takes a moment; who comes meanwhile waits in the network rather than being reset.
    while (refusing >= refusals_max()) co_await until_changed();
    Result<std::unique_ptr<Stream>> stream = co_await listener->accept();
    if (!stream) {
      if (const auto unsaid = accept_complaints_.next(timers.now())) {
        logger.log(LogLevel::warning, "http", "accept failed",
                   {{"error", stream.error().to_string()}, {"unsaid", std::to_string(*unsaid)}});
      }
      // Mostly too many open files: what is idle goes, else something has to end by itself.
      if (!make_room()) co_await until_changed();
      continue;
    }
    const bool admitted = admit();
    if (!admitted) ++refused;
    serve_http1(*this, std::move(*stream), !admitted);
  }
}

}  // namespace wire

struct Server::Impl {
  wire::ServerCore core;
};

Server::Server(Executor& executor, Timers& timers, Logger& logger,
               std::unique_ptr<Listener> listener, Handler& handler, ServerOptions options)
    : impl_(new Impl{wire::ServerCore(executor, timers, logger, std::move(listener), handler,
                                      std::move(options))}) {
  impl_->core.accepting.add(impl_->core.accept_all());
}

Server::~Server() = default;

Endpoint Server::endpoint() const { return impl_->core.endpoint; }

std::uint64_t Server::requests() const noexcept { return impl_->core.requests; }

std::uint64_t Server::refused() const noexcept { return impl_->core.refused; }

std::size_t Server::connections() const noexcept { return impl_->core.count; }

Task<void> Server::drain() {
  wire::ServerCore& core = impl_->core;
  core.draining = true;
  core.accepting.clear();
  core.listener.reset();
  core.close_idle();
  while (core.count != 0) co_await core.changed.wait();
}

}  // namespace knative::http
