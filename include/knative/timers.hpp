/// \file
/// Time as a capability: durations, instants of one world, timers and sleeping.
///
/// A world (`Loop`, `Simulation`; env.hpp) owns one `Timers`. What fires is called on the loop and
/// must not block. Everything here belongs to its loop.
///
/// \code
/// auto greet = [](knative::Timers& timers) -> knative::Task<int> {
///   co_await timers.sleep_for(std::chrono::milliseconds(10));
///   co_return 42;
/// };
/// \endcode
#pragma once

#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "knative/error.hpp"
#include "knative/task.hpp"

namespace knative {

using Duration = std::chrono::nanoseconds;

/// Tag of the monotonic time line of one world; it has no `now()`, worlds have.
struct MonotonicTime {
  using rep = std::int64_t;
  using period = std::nano;
  using duration = Duration;
  using time_point = std::chrono::time_point<MonotonicTime>;
  static constexpr bool is_steady = true;
};
/// A point on the monotonic time line of one world.
using Instant = MonotonicTime::time_point;
/// Calendar time (UTC), for timestamps only, never for deciding.
using WallTime = std::chrono::time_point<std::chrono::system_clock, Duration>;

/// An entry in a `Timers` queue. Intrusive: no allocation, deregisters itself.
class KNATIVE_EXPORT TimerNode {
 public:
  TimerNode() = default;
  TimerNode(const TimerNode&) = delete;
  TimerNode& operator=(const TimerNode&) = delete;
  bool armed() const noexcept { return queue_ != nullptr; }
  Instant due() const noexcept { return due_; }
  void disarm() noexcept;

 protected:
  virtual ~TimerNode();
  /// Called on the loop at or after `due()`; the node is already disarmed and may be re-armed.
  virtual void fire() noexcept = 0;

 private:
  friend class Timers;
  friend class TimerQueue;
  class TimerQueue* queue_ = nullptr;
  Instant due_{};
  std::uint64_t order_ = 0;
  std::size_t slot_ = 0;
};

/// Nodes ordered by due time, then by arming order (a binary heap). Used by both worlds.
class KNATIVE_EXPORT TimerQueue {
 public:
  TimerQueue() = default;
  TimerQueue(const TimerQueue&) = delete;
  TimerQueue& operator=(const TimerQueue&) = delete;
  ~TimerQueue();
  void add(TimerNode& node, Instant due);
  void remove(TimerNode& node) noexcept;
  std::optional<Instant> next() const noexcept;
  /// Fire what is due at or before `now`, in order of due time and then of arming. What is armed
  /// meanwhile waits for the next call. Returns how many fired.
  std::size_t fire_due(Instant now);
  std::size_t size() const noexcept { return heap_.size(); }

 private:
  static bool before(const TimerNode& a, const TimerNode& b) noexcept;
  void up(std::size_t slot) noexcept;
  void down(std::size_t slot) noexcept;
  std::vector<TimerNode*> heap_;
  std::optional<Instant> firing_;
  std::uint64_t order_ = 0;
};

/// A clock that can sleep. `now()` is frozen during one turn of the loop.
class KNATIVE_EXPORT Timers {
 public:
  class KNATIVE_EXPORT Sleep final : private TimerNode {
   public:
    Sleep(Timers& timers, Instant due) noexcept : timers_(timers), when_(due) {}
    bool await_ready() const noexcept { return when_ <= timers_.now(); }
    template <class P>
    void await_suspend(std::coroutine_handle<P> handle) {
      waiter_.park(*handle.promise().fiber);
      timers_.arm(*this, when_);
    }
    void await_resume() const noexcept {}

   private:
    void fire() noexcept override { waiter_.wake(); }
    Timers& timers_;
    Instant when_;
    Waiter waiter_;
  };

  virtual Instant now() const noexcept = 0;
  virtual WallTime wall() const noexcept = 0;
  /// Put `node` into the queue (moving it when it is armed already).
  virtual void arm(TimerNode& node, Instant due) = 0;

  [[nodiscard]] Sleep sleep_until(Instant due) noexcept { return Sleep(*this, due); }
  [[nodiscard]] Sleep sleep_for(Duration duration) noexcept {
    return Sleep(*this, now() + duration);
  }

 protected:
  ~Timers() = default;
};

/// Await `task`, but no longer than until `deadline`; then it is dropped and the result is empty.
template <class T>
Task<std::optional<detail::NonVoid<T>>> with_deadline(Timers& timers, Task<T> task,
                                                      Instant deadline) {
  auto sleep = [](Timers& clock, Instant due) -> Task<void> { co_await clock.sleep_until(due); };
  Task<void> limit = sleep(timers, deadline);
  auto raced = co_await race(std::move(task), std::move(limit));
  co_return std::move(raced.first);
}

}  // namespace knative
