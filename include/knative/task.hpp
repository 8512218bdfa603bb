/// \file
/// `Task<T>`: a lazily started coroutine that is pumped, never resumed inside another one.
///
/// A *fiber* is a chain of tasks that await each other. It remembers its innermost frame, and a
/// small loop (the pump) resumes that frame until it parks; so the stack never grows with the
/// number of awaits. Two rules keep it sound:
///  - a fiber is resumed only by its `Executor`'s ready queue, never inside another fiber;
///  - whatever parks a fiber (a `Waiter` inside a leaf awaitable) deregisters in its destructor,
///    so dropping a `Task` at any suspension point cancels it.
///
/// Everything here belongs to the one loop it was made on; nothing is thread-safe.
///
/// g++ 12 miscompiles an aggregate in braces, or a lambda with captures, inside a `co_await`
/// expression. Declare synchronously, await by name:
/// \code
/// kn::http::Request request = kn::http::get("/?name=ada");
/// kn::http::Response response = co_await handler.handle(request);
/// \endcode
#pragma once

#include <chrono>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "knative/error.hpp"

namespace knative {

template <class T>
class Task;
class Fiber;
class TaskSet;

/// The ready queue of a loop. `Loop` and `Simulation` own one each.
class KNATIVE_EXPORT Executor {
 public:
  Executor() = default;
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  /// Resume, in order, the fibers that were ready when the call began. Returns how many ran.
  std::size_t run_ready();
  bool has_ready() const noexcept { return first_ != nullptr; }

 protected:
  /// Destroy only after every fiber is gone.
  virtual ~Executor();
  /// Called when the ready queue stops being empty outside `run_ready()`.
  virtual void on_ready() = 0;

 private:
  friend class Fiber;
  void push(Fiber& fiber) noexcept;
  void unlink(Fiber& fiber) noexcept;

  Fiber* first_ = nullptr;
  Fiber* last_ = nullptr;
  bool running_ = false;
};

/// Run by `Executor` when made ready. Users meet it only as the argument of `Waiter::park`.
class KNATIVE_EXPORT Fiber {
 public:
  explicit Fiber(Executor& executor) noexcept : executor_(executor) {}
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  Executor& executor() const noexcept { return executor_; }
  /// Queue the fiber to be resumed; does nothing when it is queued already.
  void make_ready() noexcept;
  /// True while one of the fiber's frames is executing.
  bool running() const noexcept { return running_; }

 protected:
  virtual ~Fiber();
  /// Called from the pump when the outermost frame has finished. May destroy the fiber.
  virtual void on_done() noexcept = 0;
  void start(std::coroutine_handle<> frame) noexcept {
    current_ = frame;
    make_ready();
  }

 private:
  template <class T>
  friend class Task;
  friend class Executor;
  friend struct TaskAccess;
  void pump();

  Executor& executor_;
  std::coroutine_handle<> current_;
  Fiber* previous_ = nullptr;
  Fiber* next_ = nullptr;
  bool queued_ = false;
  bool running_ = false;
  bool parked_ = false;
};

namespace detail {

struct PromiseBase {
  Fiber* fiber = nullptr;
  std::coroutine_handle<> parent;
  std::exception_ptr thrown;

  std::suspend_always initial_suspend() const noexcept { return {}; }
  void unhandled_exception() noexcept { thrown = std::current_exception(); }
};

template <class T>
struct Promise : PromiseBase {
  std::optional<T> value;
  Task<T> get_return_object() noexcept;
  template <class U>
    requires std::is_convertible_v<U&&, T>
  void return_value(U&& result) {
    value.emplace(std::forward<U>(result));
  }
  auto final_suspend() noexcept;
  T take() {
    if (thrown) std::rethrow_exception(thrown);
    return std::move(*value);
  }
};

template <>
struct Promise<void> : PromiseBase {
  Task<void> get_return_object() noexcept;
  void return_void() const noexcept {}
  auto final_suspend() noexcept;
  void take() const {
    if (thrown) std::rethrow_exception(thrown);
  }
};

}  // namespace detail

/// Gives the library's own adapters access to a fiber's innermost frame.
struct TaskAccess {
  static void set_current(Fiber& fiber, std::coroutine_handle<> frame) noexcept {
    fiber.current_ = frame;
  }
  static void set_parked(Fiber& fiber) noexcept { fiber.parked_ = true; }
};

/// A coroutine that yields one `T` (or throws). Nothing runs until it is awaited or given to a
/// `TaskSet`, `Loop::run` or `Simulation::run`. Destroying it destroys its frame and so cancels
/// what it was waiting for; a task must not be destroyed from inside itself.
template <class T = void>
class [[nodiscard]] Task {
 public:
  using promise_type = detail::Promise<T>;
  using value_type = T;
  using Frame = std::coroutine_handle<promise_type>;

  Task() = default;
  explicit Task(Frame frame) noexcept : frame_(frame) {}
  Task(Task&& other) noexcept : frame_(std::exchange(other.frame_, {})) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      reset();
      frame_ = std::exchange(other.frame_, {});
    }
    return *this;
  }
  ~Task() { reset(); }

  /// False after a move or for a default-constructed task.
  bool valid() const noexcept { return static_cast<bool>(frame_); }
  bool done() const noexcept { return frame_ && frame_.done(); }
  /// Drop the frame; what it was waiting for is cancelled.
  void reset() noexcept {
    if (frame_) std::exchange(frame_, {}).destroy();
  }

  struct Awaiter {
    Frame frame;
    bool await_ready() const noexcept { return false; }
    template <class P>
    void await_suspend(std::coroutine_handle<P> parent) noexcept {
      Fiber& fiber = *parent.promise().fiber;
      frame.promise().fiber = &fiber;
      frame.promise().parent = parent;
      TaskAccess::set_current(fiber, frame);
    }
    T await_resume() { return frame.promise().take(); }
  };
  /// Start the task inside the awaiting fiber. A task may be awaited once.
  Awaiter operator co_await() & noexcept { return Awaiter{frame_}; }
  Awaiter operator co_await() && noexcept { return Awaiter{frame_}; }

  Frame frame() const noexcept { return frame_; }

 private:
  Frame frame_;
};

namespace detail {

template <class P>
struct FinalAwaiter {
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<P> done) const noexcept {
    TaskAccess::set_current(*done.promise().fiber, done.promise().parent);
  }
  void await_resume() const noexcept {}
};

template <class T>
Task<T> Promise<T>::get_return_object() noexcept {
  return Task<T>(std::coroutine_handle<Promise>::from_promise(*this));
}
template <class T>
auto Promise<T>::final_suspend() noexcept {
  return FinalAwaiter<Promise>{};
}
inline Task<void> Promise<void>::get_return_object() noexcept {
  return Task<void>(std::coroutine_handle<Promise>::from_promise(*this));
}
inline auto Promise<void>::final_suspend() noexcept { return FinalAwaiter<Promise>{}; }

}  // namespace detail

/// The parking place of a fiber inside a leaf awaitable. `park` suspends the calling fiber,
/// `wake` queues it again; destruction forgets it, so a dropped task is never resumed.
/// \code
/// struct Leaf { Waiter waiter;
///   bool await_ready(); void await_resume();
///   template <class P> void await_suspend(std::coroutine_handle<P> h) {
///     waiter.park(*h.promise().fiber); } };
/// \endcode
class Waiter {
 public:
  Waiter() = default;
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

  void park(Fiber& fiber) noexcept {
    KN_ASSERT(fiber_ == nullptr);
    fiber_ = &fiber;
    TaskAccess::set_parked(fiber);
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

/// A flag that tasks wait for. `set()` wakes all of them; waiting on a set flag returns at once.
class KNATIVE_EXPORT Event {
 public:
  class KNATIVE_EXPORT Wait {
   public:
    explicit Wait(Event& event) noexcept : event_(&event) {}
    Wait(const Wait&) = delete;
    Wait& operator=(const Wait&) = delete;
    ~Wait();
    bool await_ready() const noexcept { return event_->set_; }
    template <class P>
    void await_suspend(std::coroutine_handle<P> handle) noexcept {
      link();
      waiter_.park(*handle.promise().fiber);
    }
    void await_resume() const noexcept {}

   private:
    friend class Event;
    void link() noexcept;
    Event* event_;
    Wait* previous_ = nullptr;
    Wait* next_ = nullptr;
    bool linked_ = false;
    Waiter waiter_;
  };

  Event() = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  /// Wakes the remaining waiters: nobody waits for what is gone.
  ~Event();

  void set() noexcept;
  void reset() noexcept { set_ = false; }
  bool is_set() const noexcept { return set_; }
  /// Wake the longest-waiting task without setting the flag. Returns whether there was one.
  bool notify_one() noexcept;
  /// Wake everyone who waits now without setting the flag.
  void notify_all() noexcept;
  bool has_waiters() const noexcept { return first_ != nullptr; }

  [[nodiscard]] Wait wait() noexcept { return Wait(*this); }

 private:
  friend class Wait;
  Wait* pop() noexcept;
  Wait* first_ = nullptr;
  Wait* last_ = nullptr;
  bool set_ = false;
};

/// A value that arrives once and is awaited by one task.
template <class T>
class OneShot {
 public:
  void set(T value) {
    value_.emplace(std::move(value));
    ready_.set();
  }
  bool is_set() const noexcept { return ready_.is_set(); }
  /// Wait for the value and move it out.
  Task<T> take() {
    co_await ready_.wait();
    co_return std::move(*value_);
  }

 private:
  Event ready_;
  std::optional<T> value_;
};

namespace detail {

/// A child fiber that lives in the frame of `race` or `when_all`; tells its owner when done.
template <class T>
class Branch final : public Fiber {
 public:
  Branch(Executor& executor, Task<T> task, Event& finished) noexcept
      : Fiber(executor), task_(std::move(task)), finished_(finished) {}
  void run() noexcept {
    task_.frame().promise().fiber = this;
    start(task_.frame());
  }
  bool done() const noexcept { return done_; }
  T take() { return task_.frame().promise().take(); }

 private:
  void on_done() noexcept override {
    done_ = true;
    finished_.notify_all();
  }
  Task<T> task_;
  Event& finished_;
  bool done_ = false;
};

struct CurrentExecutor {
  Executor* executor = nullptr;
  bool await_ready() const noexcept { return false; }
  template <class P>
  bool await_suspend(std::coroutine_handle<P> handle) noexcept {
    executor = &handle.promise().fiber->executor();
    return false;
  }
  Executor& await_resume() const noexcept { return *executor; }
};

}  // namespace detail

/// The executor of the awaiting fiber: `Executor& executor = co_await this_executor();`
inline detail::CurrentExecutor this_executor() noexcept { return {}; }

/// What `race` yields: exactly one of the two has a value (both when both finished in one turn).
template <class A, class B>
struct RaceResult {
  std::optional<A> first;
  std::optional<B> second;
};

/// Stands for `void` in results of `race` and `when_all`.
struct Done {
  friend bool operator==(const Done&, const Done&) = default;
};

namespace detail {
template <class T>
using NonVoid = std::conditional_t<std::is_void_v<T>, Done, T>;

template <class T>
NonVoid<T> take_branch(Branch<T>& branch) {
  if constexpr (std::is_void_v<T>) {
    branch.take();
    return Done{};
  } else {
    return branch.take();
  }
}
}  // namespace detail

/// Run two tasks; as soon as one finishes the other is dropped. Rethrows the winner's exception.
template <class A, class B>
Task<RaceResult<detail::NonVoid<A>, detail::NonVoid<B>>> race(Task<A> first, Task<B> second) {
  Executor& executor = co_await this_executor();
  Event finished;
  detail::Branch<A> left(executor, std::move(first), finished);
  detail::Branch<B> right(executor, std::move(second), finished);
  left.run();
  right.run();
  while (!left.done() && !right.done()) co_await finished.wait();
  RaceResult<detail::NonVoid<A>, detail::NonVoid<B>> result;
  if (left.done()) result.first.emplace(detail::take_branch(left));
  if (right.done()) result.second.emplace(detail::take_branch(right));
  co_return result;
}

/// Run all tasks; yields their values in order. The first exception (by position) is rethrown
/// after all have finished.
template <class T>
Task<std::vector<detail::NonVoid<T>>> when_all(std::vector<Task<T>> tasks) {
  Executor& executor = co_await this_executor();
  Event finished;
  std::vector<std::unique_ptr<detail::Branch<T>>> branches;
  for (Task<T>& task : tasks) {
    branches.push_back(
        std::make_unique<detail::Branch<T>>(executor, std::move(task), finished));
    branches.back()->run();
  }
  for (auto& branch : branches) {
    while (!branch->done()) co_await finished.wait();
  }
  std::vector<detail::NonVoid<T>> values;
  for (auto& branch : branches) values.push_back(detail::take_branch(*branch));
  co_return values;
}

/// Background tasks owned by their user. Destroying the set drops all of them.
///
/// An exception that escapes a task is handed to `on_error` (default: asserts, because our own
/// tasks report failure as `Result`). A task may remove itself by finishing; `clear()` and the
/// destructor must not be called from inside one of the set's own tasks.
class KNATIVE_EXPORT TaskSet {
 public:
  explicit TaskSet(Executor& executor);
  TaskSet(const TaskSet&) = delete;
  TaskSet& operator=(const TaskSet&) = delete;
  ~TaskSet();

  /// Start `task` at the next turn of the loop.
  void add(Task<void> task);
  /// Drop every task.
  void clear();
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  /// Wait until no task is left.
  Task<void> drained();
  void on_error(void (*handler)(void* context, std::exception_ptr), void* context) noexcept {
    handler_ = handler;
    context_ = context;
  }

 private:
  class Node;
  Executor& executor_;
  Node* first_ = nullptr;
  std::size_t size_ = 0;
  Event empty_;
  void (*handler_)(void*, std::exception_ptr) = nullptr;
  void* context_ = nullptr;
};

}  // namespace knative
