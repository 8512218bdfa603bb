/// \file
/// What tasks (coroutine.hpp) wait for, and how several of them run side by side: `Wakeup`, `race`,
/// `when_all`, `TaskSet`.
///
/// Everything here belongs to the one loop it was made on; nothing is thread-safe.
///
/// \code
/// kn::TaskSet tasks(env.executor);
/// tasks.add(serve(std::move(stream)));
/// co_await tasks.drained();
/// \endcode
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "knative/coroutine.hpp"

namespace knative {

/// A flag that tasks wait for. `set()` wakes all of them; waiting on a set flag returns at once.
/// A woken task runs at the next turn and looks again at whatever it waited for: it may have
/// changed meanwhile.
class KNATIVE_EXPORT Wakeup {
 public:
  class KNATIVE_EXPORT Wait {
   public:
    explicit Wait(Wakeup& event) noexcept : event_(&event) {}
    Wait(const Wait&) = delete;
    Wait& operator=(const Wait&) = delete;
    ~Wait();
    bool await_ready() const noexcept { return event_->set_; }
    template <class P>
    void await_suspend(std::coroutine_handle<P> handle) noexcept {
      link();
      waiter_.park(*handle.promise().fiber);
    }
    void await_resume() noexcept {
      if (place_ != Place::none) leave();
    }

   private:
    friend class Wakeup;
    enum class Place : unsigned char { none, waiting, notified };
    void link() noexcept;
    void leave() noexcept;
    Wakeup* event_;
    Wait* previous_ = nullptr;
    Wait* next_ = nullptr;
    Place place_ = Place::none;
    Waiter waiter_;
  };

  Wakeup() = default;
  Wakeup(const Wakeup&) = delete;
  Wakeup& operator=(const Wakeup&) = delete;
  /// Tasks that still wait stay suspended until they are dropped: to resume them would let them
  /// look at what is gone.
  ~Wakeup();

  void set() noexcept;
  void reset() noexcept { set_ = false; }
  bool is_set() const noexcept { return set_; }
  /// Wake the longest-waiting task without setting the flag. Returns whether there was one. When
  /// that task is dropped before it runs, the next one is woken instead: no notice gets lost.
  bool notify_one() noexcept;
  /// Wake everyone who waits now without setting the flag.
  void notify_all() noexcept;
  bool has_waiters() const noexcept { return waiting_.first != nullptr; }
  /// How often anybody was woken, or would have been. A task that is raced or given a deadline
  /// begins a turn later: by this it knows whether there was a notice meanwhile.
  std::uint32_t notices() const noexcept { return notices_; }

  [[nodiscard]] Wait wait() noexcept { return Wait(*this); }

 private:
  struct List {
    Wait* first = nullptr;
    Wait* last = nullptr;
    void append(Wait& wait) noexcept;
    void remove(Wait& wait) noexcept;
  };
  void forget(List& list) noexcept;
  List waiting_;
  List notified_;  // woken by notify_one, not yet resumed
  bool set_ = false;
  std::uint32_t notices_ = 0;
};

namespace detail {

/// A child fiber that lives in the frame of `race` or `when_all`; tells its owner when done.
template <class T>
class Branch final : public Fiber {
 public:
  Branch(Executor& executor, Task<T> task, Wakeup& finished) noexcept
      : Fiber(executor), task_(std::move(task)), finished_(finished) {}
  ~Branch() override { unwind(); }
  void run() noexcept {
    KN_ASSERT(task_.valid());
    start(task_.frame());
  }
  bool done() const noexcept { return done_; }
  bool threw() const noexcept { return task_.frame().promise().thrown != nullptr; }
  T take() {
    KN_ASSERT(done_);
    return task_.frame().promise().take();
  }

 private:
  void on_done() noexcept override {
    done_ = true;
    finished_.notify_all();
  }
  Task<T> task_;
  Wakeup& finished_;
  bool done_ = false;
};

/// Yields the executor of whoever awaits it.
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

/// What `race` yields: one of the two has a value; both when both finished in the same turn.
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

/// Run two tasks side by side; as soon as one finishes the other is dropped. Rethrows the winner's
/// exception; when both finish in the same turn a value counts more than an exception.
template <class A, class B>
Task<RaceResult<detail::NonVoid<A>, detail::NonVoid<B>>> race(Task<A> first, Task<B> second) {
  Executor& executor = co_await this_executor();
  Wakeup finished;
  detail::Branch<A> left(executor, std::move(first), finished);
  detail::Branch<B> right(executor, std::move(second), finished);
  left.run();
  right.run();
  while (!left.done() && !right.done()) co_await finished.wait();
  RaceResult<detail::NonVoid<A>, detail::NonVoid<B>> result;
  if (left.done() && !left.threw()) result.first.emplace(detail::take_branch(left));
  if (right.done() && !right.threw()) result.second.emplace(detail::take_branch(right));
  if (!result.first && !result.second) {
    if (left.done()) static_cast<void>(left.take());
    if (right.done()) static_cast<void>(right.take());
  }
  co_return result;
}

/// Run all tasks; yields their values in order. The first exception (by position) is rethrown
/// after all have finished.
template <class T>
Task<std::vector<detail::NonVoid<T>>> when_all(std::vector<Task<T>> tasks) {
  Executor& executor = co_await this_executor();
  Wakeup finished;
  std::vector<std::unique_ptr<detail::Branch<T>>> branches;
  for (Task<T>& task : tasks) {
    branches.push_back(std::make_unique<detail::Branch<T>>(executor, std::move(task), finished));
    branches.back()->run();
  }
  for (auto& branch : branches) {
    while (!branch->done()) co_await finished.wait();
  }
  std::vector<detail::NonVoid<T>> values;
  values.reserve(branches.size());
  for (auto& branch : branches) values.push_back(detail::take_branch(*branch));
  co_return values;
}

/// Background tasks owned by their user. Destroying the set drops all of them.
///
/// An exception that escapes a task is handed to `on_error` (default: asserts, because our own
/// tasks report failure as `Result`). A finished task is destroyed at once, and with its arguments
/// may go whatever owns the set. `clear()` and the destructor must not be called while one of the
/// set's own tasks executes (asserted).
class KNATIVE_EXPORT TaskSet {
 public:
  explicit TaskSet(Executor& executor);
  TaskSet(const TaskSet&) = delete;
  TaskSet& operator=(const TaskSet&) = delete;
  ~TaskSet();

  /// Start `task` at the next turn of the loop.
  void add(Task<void> task);
  /// Drop every task, the latest first.
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
  void remove(Node& node) noexcept;
  void drop_all() noexcept;
  Executor& executor_;
  Node* first_ = nullptr;
  std::size_t size_ = 0;
  Wakeup empty_;
  void (*handler_)(void*, std::exception_ptr) = nullptr;
  void* context_ = nullptr;
};

}  // namespace knative
