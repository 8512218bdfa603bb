// Gives up the rest of a turn of the loop.
#pragma once

#include <coroutine>

#include "knative/fiber.hpp"

namespace knative::base {

/// Awaited by whoever has long work to do in pieces: every other fiber that is ready runs before
/// it goes on.
struct NextTurn {
  Waiter waiter;
  bool await_ready() const noexcept { return false; }
  template <class P>
  void await_suspend(std::coroutine_handle<P> handle) noexcept {
    waiter.park(*handle.promise().fiber);
    waiter.wake();
  }
  void await_resume() const noexcept {}
};

}  // namespace knative::base
