/// \file
/// A `Loop` inside a host's `boost::asio::io_context`: platform and host share one thread.
///
/// Opt-in: knative.hpp does not include it, and who does needs Boost's headers (1.81 or newer).
///
/// \code
/// boost::asio::io_context context;
/// knative::Loop loop;
/// knative::Platform platform(loop.env(), functions);
/// platform.start().value();
/// knative::AsioDriver driver(context, loop);
/// context.run();  // serves the host's sockets and the platform's
/// \endcode
#pragma once

#include <fcntl.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <optional>
#include <utility>

#include "knative/env.hpp"
#include "knative/error.hpp"

namespace knative {

/// Turns a `Loop` whenever it has something to do, as handlers of an `io_context`.
///
/// The loop's objects are then used from the context's handlers as from the loop itself, so one
/// thread must run the context (or a strand wrap all of it). The context never runs out of work
/// meanwhile: end it with `stop()`, or by destroying the driver, which may happen in a handler and
/// lets go of what waits. Loop and context must outlive the driver.
class AsioDriver {
 public:
  /// Throws `Exception` when the process has no descriptor left.
  AsioDriver(boost::asio::io_context& context, Loop& loop)
      : state_(std::make_shared<State>(context, loop)) {
    watch(state_);
    again(state_);
  }
  ~AsioDriver() {
    state_->loop = nullptr;
    state_->readable.close();
    state_->timer.cancel();
  }
  AsioDriver(const AsioDriver&) = delete;
  AsioDriver& operator=(const AsioDriver&) = delete;

 private:
  /// Handlers share it; they may still be called when the driver has gone.
  struct State {
    State(boost::asio::io_context& context_, Loop& loop_)
        : context(context_), loop(&loop_), readable(context_), timer(context_) {
      // The reactor closes what it is given.
      const int own = ::fcntl(loop_.descriptor(), F_DUPFD_CLOEXEC, 0);
      if (own < 0) throw Exception(fail(Errc::resource_exhausted, "no descriptor for a loop"));
      readable.assign(own);
    }
    boost::asio::io_context& context;
    Loop* loop;  ///< Null when the driver has gone.
    boost::asio::posix::stream_descriptor readable;
    boost::asio::steady_timer timer;
    std::optional<Instant> armed;  ///< What the timer waits for.
    bool queued = false;           ///< A turn is among the context's handlers.
  };
  using Shared = std::shared_ptr<State>;

  static void watch(const Shared& state) {
    state->readable.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                               [state](const boost::system::error_code& error) {
                                 if (error || state->loop == nullptr) return;
                                 turn(state);
                                 if (state->loop != nullptr) watch(state);
                               });
  }

  /// Behind the handlers that wait already: the host's work comes between two turns.
  static void again(const Shared& state) {
    if (std::exchange(state->queued, true)) return;
    boost::asio::post(state->context, [state] {
      state->queued = false;
      if (state->loop != nullptr) turn(state);
    });
  }

  static void turn(const Shared& state) {
    const std::optional<Instant> next = state->loop->poll();
    if (state->loop == nullptr || state->armed == next) return;
    state->armed.reset();
    if (!next) {
      state->timer.cancel();
      return;
    }
    const Duration left = *next - state->loop->env().timers.now();
    if (left <= Duration{0}) return again(state);
    state->armed = next;
    state->timer.expires_after(left);
    state->timer.async_wait([state](const boost::system::error_code& error) {
      if (error || state->loop == nullptr) return;
      state->armed.reset();
      turn(state);
    });
  }

  Shared state_;
};

}  // namespace knative
