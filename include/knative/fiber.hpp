/// \file
/// What tasks run on: `Executor` (a ready queue), `Fiber` (a chain of tasks) and `Waiter` (where a
/// fiber parks). Users write `Task` (task.hpp); this is for those who write a leaf awaitable, a
/// loop, or an owner of fibers.
///
/// A fiber remembers its innermost frame, and a small loop (the pump) resumes that frame until it
/// parks; so the stack never grows with the number of awaits. Two rules keep it sound:
///  - a fiber is resumed only by its `Executor`'s ready queue, never inside another fiber;
///  - whatever parks a fiber (a `Waiter` inside a leaf awaitable) deregisters in its destructor,
///    so dropping a `Task` at any suspension point cancels it.
///
/// Everything here belongs to the one loop it was made on; nothing is thread-safe.
///
/// \code
/// struct Leaf {
///   Waiter waiter;  // somebody calls waiter.wake() later
///   bool await_ready() { return false; }
///   template <class P>
///   void await_suspend(std::coroutine_handle<P> h) { waiter.park(*h.promise().fiber); }
///   void await_resume() {}
/// };
/// \endcode
#pragma once

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <utility>
#include <vector>

#include "knative/error.hpp"

namespace knative {

class Fiber;
class Waiter;

/// The ready queue of a loop. `Loop` and `Simulation` own one each.
class KNATIVE_EXPORT Executor {
 public:
  Executor() = default;
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  /// Resume, in order, the fibers that were ready when the call began; those that become ready
  /// meanwhile wait for the next call. Returns how many ran.
  std::size_t run_ready();
  bool has_ready() const noexcept { return first_ != nullptr; }
  /// Fibers that exist, ready or parked.
  std::size_t fibers() const noexcept { return fibers_; }

 protected:
  /// Destroy only after every fiber is gone; otherwise it ends the program, saying so.
  virtual ~Executor();
  /// For a loop that chooses an order of its own between two turns: the ready fibers as they are
  /// queued, and the same ones queued anew. Not while `run_ready()` runs.
  void collect_ready(std::vector<Fiber*>& into) const;
  void requeue(const std::vector<Fiber*>& order) noexcept;
  /// Called when the ready queue stops being empty outside `run_ready()`.
  virtual void on_ready() = 0;

 private:
  friend class Fiber;
  void push(Fiber& fiber) noexcept;
  void unlink(Fiber& fiber) noexcept;

  Fiber* first_ = nullptr;
  Fiber* last_ = nullptr;
  std::uint64_t turn_ = 0;
  std::size_t fibers_ = 0;
  const Fiber* pumped_ = nullptr;  ///< The fiber that runs now.
  bool running_ = false;
};

namespace detail {

struct PromiseBase;

/// Owns the frame of a task that is being awaited; lives in the awaiting frame.
struct AwaiterBase {
  PromiseBase* child = nullptr;
  PromiseBase* parent = nullptr;
};

/// What every task's frame has.
struct PromiseBase {
  Fiber* fiber = nullptr;          ///< Set when the task is started.
  AwaiterBase* awaiter = nullptr;  ///< None for the outermost frame of a fiber.
  std::coroutine_handle<> self;
  std::exception_ptr thrown;

  std::suspend_always initial_suspend() const noexcept { return {}; }
  void unhandled_exception() noexcept { thrown = std::current_exception(); }
};

}  // namespace detail

/// A chain of frames that await each other. Derive from it to own one: begin with `start()`, call
/// `unwind()` first in the destructor, then destroy the outermost frame.
class KNATIVE_EXPORT Fiber {
 public:
  explicit Fiber(Executor& executor) noexcept;
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  Executor& executor() const noexcept { return executor_; }
  /// Queue the fiber to be resumed; does nothing when it is queued already.
  void make_ready() noexcept {
    if (!queued_) executor_.push(*this);
  }
  /// True while one of the fiber's frames is executing.
  bool running() const noexcept { return running_; }
  /// Calls from service to service that led here: counted by who calls a service, taken over by
  /// every fiber that this one makes, so that services calling each other without end are found.
  int hops() const noexcept { return hops_; }
  void set_hops(int hops) noexcept { hops_ = static_cast<std::uint16_t>(hops); }

 protected:
  virtual ~Fiber();
  /// Called from the pump when the outermost frame has finished (or when there is none). May
  /// destroy the fiber.
  virtual void on_done() noexcept = 0;
  /// Begin with a frame that has not been awaited. It must outlive the fiber's run.
  template <class P>
  void start(std::coroutine_handle<P> frame) noexcept {
    frame.promise().fiber = this;
    current_ = &frame.promise();
    make_ready();
  }
  /// Drop all frames but the outermost, innermost first: what they wait for is cancelled, and
  /// the stack stays flat however deep the chain is. Asserts that the fiber is not running: a
  /// task is never dropped from inside itself.
  void unwind() noexcept;

 private:
  friend class Executor;
  friend class Waiter;
  friend struct TaskAccess;
  void pump();
  void unwind_to(const detail::PromiseBase* frame) noexcept;

  Executor& executor_;
  detail::PromiseBase* current_ = nullptr;
  Fiber* previous_ = nullptr;
  Fiber* next_ = nullptr;
  std::uint64_t turn_ = 0;
  std::uint16_t hops_ = 0;
  bool queued_ = false;
  bool running_ = false;
  bool parked_ = false;
};

/// The parking place of a fiber inside a leaf awaitable. `park` suspends the calling fiber,
/// `wake` queues it again; destruction forgets it, so a dropped task is never resumed.
class Waiter {
 public:
  Waiter() = default;
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

  /// Call it from `await_suspend`; at most one fiber at a time.
  void park(Fiber& fiber) noexcept {
    KN_ASSERT(fiber_ == nullptr);
    fiber_ = &fiber;
    fiber.parked_ = true;
  }
  /// Resume the parked fiber at the next turn of its loop; does nothing when none is parked.
  void wake() noexcept {
    if (fiber_ != nullptr) std::exchange(fiber_, nullptr)->make_ready();
  }
  bool parked() const noexcept { return fiber_ != nullptr; }
  /// Forget the parked fiber, which somebody else will wake.
  void forget() noexcept { fiber_ = nullptr; }

 private:
  Fiber* fiber_ = nullptr;
};

/// `co_await CurrentHops()`: the hops of the awaiting fiber; does not suspend.
class CurrentHops {
 public:
  bool await_ready() const noexcept { return false; }
  template <class P>
  bool await_suspend(std::coroutine_handle<P> handle) noexcept {
    hops_ = handle.promise().fiber->hops();
    return false;
  }
  int await_resume() const noexcept { return hops_; }

 private:
  int hops_ = 0;
};

/// `co_await SetHops(hops)`: the awaiting fiber goes on from so many hops, and so does what it
/// starts; does not suspend.
class SetHops {
 public:
  explicit SetHops(int hops) noexcept : hops_(hops) {}
  bool await_ready() const noexcept { return false; }
  template <class P>
  bool await_suspend(std::coroutine_handle<P> handle) const noexcept {
    handle.promise().fiber->set_hops(hops_);
    return false;
  }
  void await_resume() const noexcept {}

 private:
  int hops_;
};

/// Lets the library's own awaiters move a fiber from frame to frame.
struct TaskAccess {
  static void set_current(Fiber& fiber, detail::PromiseBase* frame) noexcept {
    fiber.current_ = frame;
  }
  /// Drop every frame that `frame` awaits, innermost first, and queue the fiber to go on in
  /// `frame`. The fiber must not be running.
  static void unwind_to(Fiber& fiber, const detail::PromiseBase& frame) noexcept {
    fiber.unwind_to(&frame);
    fiber.make_ready();
  }
};

}  // namespace knative
