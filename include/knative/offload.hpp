/// \file
/// The two ways between a loop and other threads: work that goes to them, and calls that come back.
///
/// \code
/// auto work = [path] { return read_slowly(path); };
/// const std::string text = co_await offload.run(work);  // elsewhere; resumes here
/// mailbox.post([] { ... });                             // from any thread, onto the loop
/// \endcode
#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "knative/error.hpp"
#include "knative/task.hpp"

namespace knative {

/// Runs blocking work beside the loop. In a simulation it runs inline after a virtual delay.
class KNATIVE_EXPORT Offload {
 public:
  /// Run `work` on a worker thread and resume here when done. An exception from it is rethrown.
  /// Dropping the task abandons the result; the work itself runs to its end first in the
  /// destructor of the world. `work` is moved from and must own what it touches. A temporary does
  /// not compile: g++ 12 destroys a closure that was made inside an awaited expression twice.
  template <class F>
  Task<std::invoke_result_t<F&>> run(F& work) {
    return run_job(std::make_shared<Job<F>>(std::move(work)));
  }
  template <class F>
  void run(const F&& work) = delete;

 protected:
  ~Offload() = default;
  /// Run `job` on a worker, then `finished` on the loop.
  virtual void submit(std::function<void()> job, std::function<void()> finished) = 0;

 private:
  template <class F>
  struct Job {
    using Value = std::invoke_result_t<F&>;
    explicit Job(F&& f) : work(std::move(f)) {}
    explicit Job(const F& f) : work(f) {}
    F work;
    std::exception_ptr thrown;
    std::optional<detail::NonVoid<Value>> value;
    Wakeup done;
  };

  template <class J>
  Task<typename J::Value> run_job(std::shared_ptr<J> job) {
    std::function<void()> work = [job] {
      try {
        if constexpr (std::is_void_v<typename J::Value>) {
          job->work();
          job->value.emplace();
        } else {
          job->value.emplace(job->work());
        }
      } catch (...) {
        job->thrown = std::current_exception();
      }
    };
    std::function<void()> finished = [job] { job->done.set(); };
    submit(std::move(work), std::move(finished));
    co_await job->done.wait();
    if (job->thrown) std::rethrow_exception(std::exchange(job->thrown, nullptr));
    if constexpr (!std::is_void_v<typename J::Value>) co_return std::move(*job->value);
  }
};

/// The way onto a loop. Thread-safe, while the world that it belongs to exists.
class KNATIVE_EXPORT Mailbox {
 public:
  /// Call `work` on the loop at a later turn; calls from one thread keep their order. What is
  /// still there when the world ends is destroyed without being called. The queue has no bound of
  /// its own: post what answers something that was asked for.
  virtual void post(std::function<void()> work) = 0;

 protected:
  ~Mailbox() = default;
};

}  // namespace knative
