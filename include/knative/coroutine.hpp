/// \file
/// `Task<T>`: a lazily started coroutine that is pumped, never resumed inside another one.
///
/// Tasks that await each other form a fiber (fiber.hpp), which its loop resumes at the innermost
/// one. So a million awaits in a row need no stack, a task runs only from its loop's ready queue,
/// and dropping a task at any suspension point cancels what it waits for. Users include task.hpp,
/// which has what tasks wait for and how several of them run side by side.
///
/// Everything here belongs to the one loop it was made on; nothing is thread-safe.
///
/// g++ 12 miscompiles an aggregate in braces, a lambda with captures, or a conditional expression
/// with a temporary inside a `co_await` expression. Declare synchronously, await by name:
/// \code
/// kn::http::Request request = kn::http::get("/?name=ada");
/// kn::http::Response response = co_await handler.handle(request);
/// \endcode
#pragma once

#include <coroutine>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

#include "knative/error.hpp"
#include "knative/fiber.hpp"

namespace knative {

template <class T>
class Task;

namespace detail {

template <class T>
struct Promise : PromiseBase {
  std::optional<T> value;
  Task<T> get_return_object() noexcept;
  template <class U = T>
  requires std::is_convertible_v<U&&, T>
  void return_value(U&& result) { value.emplace(std::forward<U>(result)); }
  auto final_suspend() noexcept;
  T& get() {
    if (thrown) std::rethrow_exception(thrown);
    return *value;
  }
  T take() { return std::move(get()); }
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

/// Runs a task inside the awaiting fiber and owns its frame meanwhile.
template <class T>
class Awaiter : AwaiterBase {
 public:
  explicit Awaiter(Promise<T>* task) noexcept {
    KN_ASSERT(task != nullptr);  // a task is awaited once
    child = task;
  }
  Awaiter(const Awaiter&) = delete;
  Awaiter& operator=(const Awaiter&) = delete;
  ~Awaiter() {
    if (child != nullptr) child->self.destroy();
  }
  bool await_ready() const noexcept { return false; }
  template <class P>
  void await_suspend(std::coroutine_handle<P> handle) noexcept {
    parent = &handle.promise();
    child->fiber = parent->fiber;
    child->awaiter = this;
    TaskAccess::set_current(*parent->fiber, child);
  }
  T await_resume() { return static_cast<Promise<T>*>(child)->take(); }
  /// Instead of it: the value where it is, in the task's frame, good as long as this object.
  auto& value() { return static_cast<Promise<T>*>(child)->get(); }
};

}  // namespace detail

/// A coroutine that yields one `T` (or throws). Nothing runs until it is awaited or given to a
/// `TaskSet`, `Loop::run` or `Simulation::run`. Destroying it destroys its frame and so cancels
/// what it was waiting for; a task must not be destroyed from inside itself (asserted).
///
/// Awaiting takes the frame over: from then on it belongs to the awaiting task, and this object
/// is empty. So nobody else can destroy a task that runs.
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

  /// False when default-constructed, moved from, or awaited.
  bool valid() const noexcept { return static_cast<bool>(frame_); }
  /// Drop the frame; what it was waiting for is cancelled.
  void reset() noexcept {
    if (frame_) std::exchange(frame_, {}).destroy();
  }

  /// Run the task inside the awaiting fiber. A task is awaited once.
  detail::Awaiter<T> operator co_await() & noexcept { return awaiter(); }
  detail::Awaiter<T> operator co_await() && noexcept { return awaiter(); }

  /// For owners of fibers: the frame, which the task goes on to own.
  Frame frame() const noexcept { return frame_; }

 private:
  detail::Awaiter<T> awaiter() noexcept {
    const Frame frame = std::exchange(frame_, {});
    return detail::Awaiter<T>(frame ? &frame.promise() : nullptr);
  }
  Frame frame_;
};

namespace detail {

/// Goes back to the awaiting frame, or ends the fiber.
struct FinalAwaiter {
  bool await_ready() const noexcept { return false; }
  template <class P>
  void await_suspend(std::coroutine_handle<P> handle) const noexcept {
    const PromiseBase& done = handle.promise();
    TaskAccess::set_current(*done.fiber, done.awaiter == nullptr ? nullptr : done.awaiter->parent);
  }
  void await_resume() const noexcept {}
};

template <class T>
Task<T> Promise<T>::get_return_object() noexcept {
  const auto frame = std::coroutine_handle<Promise>::from_promise(*this);
  self = frame;
  return Task<T>(frame);
}
template <class T>
auto Promise<T>::final_suspend() noexcept {
  return FinalAwaiter{};
}
inline Task<void> Promise<void>::get_return_object() noexcept {
  const auto frame = std::coroutine_handle<Promise>::from_promise(*this);
  self = frame;
  return Task<void>(frame);
}
inline auto Promise<void>::final_suspend() noexcept { return FinalAwaiter{}; }

}  // namespace detail

}  // namespace knative
