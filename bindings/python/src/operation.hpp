// Calls of a platform that take time: begun on its loop, awaited by Python.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "messenger.hpp"
#include "native.hpp"

namespace native {

/// Makes the Python value of a finished call, or throws its error; runs with the lock.
using Take = std::function<py::object()>;
/// Begins a call on the platform's loop.
using Make = std::function<knative::Task<Take>(knative::Platform&)>;

/// A call in progress. Thread-safe, except `stop`, which belongs to the loop.
class Operation : public std::enable_shared_from_this<Operation> {
 public:
  using Post = std::function<void(std::function<void()>)>;

  /// `post` runs work on the platform's loop, `messenger` (if any) calls Python back.
  Operation(Post post, std::shared_ptr<Messenger> messenger)
      : post_(std::move(post)), messenger_(std::move(messenger)) {}

  /// The value, or its exception; waits, and looks for signals meanwhile. With the lock.
  /// RuntimeError in a forked child, to which nobody answers.
  py::object result();
  /// Drop the call; a call that has finished stays as it is. With the lock.
  void cancel();
  bool done() const;
  /// Call `function` once the call has finished, on a thread that nobody waits for. With the lock.
  void on_done(py::function function);

  /// The first one counts. On any thread.
  void finish(Take take);

  /// Set on the loop to drop the call.
  knative::Wakeup stop;

 private:
  bool wait_for(std::chrono::milliseconds limit);
  void tell();
  Post post_;
  std::shared_ptr<Messenger> messenger_;
  mutable std::mutex mutex_;
  std::condition_variable finished_;
  Take take_;
  std::optional<Callable> listener_;
  const Birth birth_;
};

/// Finishes an operation whose task is dropped, also before it began to run.
class Finally {
 public:
  explicit Finally(std::shared_ptr<Operation> operation) : operation_(std::move(operation)) {}
  Finally(Finally&&) noexcept = default;
  Finally& operator=(Finally&&) = delete;
  ~Finally();
  Operation& operator*() const { return *operation_; }
  Operation* operator->() const { return operation_.get(); }

 private:
  std::shared_ptr<Operation> operation_;
};

/// Run a call to its end or until `operation->stop`, and finish the operation in any case. It goes
/// on from `hops`.
knative::Task<void> drive(Finally operation, Make make, knative::Platform& platform, int hops);

inline py::object to_none() { return py::none(); }

/// The `Take` of a result: its error raised, or its value converted.
template <class T, class Convert>
Take taking(knative::Result<T> result, Convert convert) {
  auto kept = std::make_shared<const knative::Result<T>>(std::move(result));
  return [kept, convert]() -> py::object {
    if (!*kept) raise(kept->error());
    if constexpr (std::is_void_v<T>) {
      return convert();
    } else {
      return convert(**kept);
    }
  };
}

template <class T, class Convert>
knative::Task<Take> awaiting(knative::Task<knative::Result<T>> task, Convert convert) {
  knative::Result<T> result = co_await std::move(task);
  Take take = taking(std::move(result), convert);
  co_return take;
}

inline knative::Task<Take> at_once(Take take) { co_return take; }

}  // namespace native
