/// \file
/// The outside world as capabilities: time, network, files, processes, chance, threads, logs.
///
/// `Loop` (real world) and `Simulation` (virtual world) hand out the same `Env`. Only the
/// composition root holds a whole `Env`; everyone else takes the one capability it uses, by
/// reference, and must not outlive it. Every object here belongs to the loop it came from; what
/// may be used from other threads says so.
///
/// \code
/// knative::Loop loop;
/// auto greet = [](knative::Timers& timers) -> knative::Task<int> {
///   co_await timers.sleep_for(std::chrono::milliseconds(10));
///   co_return 42;
/// };
/// int answer = loop.run(greet(loop.env().timers));
/// \endcode
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "knative/error.hpp"
#include "knative/io.hpp"
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

// ---------------------------------------------------------------------------- time

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

// ---------------------------------------------------------------------------- chance, threads

/// A seeded generator (xoshiro256**). Copyable value; derive one per consumer with `split`.
class KNATIVE_EXPORT Random {
 public:
  using result_type = std::uint64_t;
  explicit Random(std::uint64_t seed) noexcept;
  static constexpr result_type min() noexcept { return 0; }
  static constexpr result_type max() noexcept { return ~std::uint64_t{0}; }
  result_type operator()() noexcept;
  /// Uniform in [0, bound); bound > 0.
  std::uint64_t below(std::uint64_t bound) noexcept;
  /// Uniform in [0, 1).
  double uniform() noexcept;
  /// Exponentially distributed with the given mean.
  double exponential(double mean) noexcept;
  /// An independent generator for a consumer with this name: adding consumers does not disturb
  /// the others.
  Random split(std::string_view name) const noexcept;

 private:
  std::uint64_t state_[4];
};

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
    if (job->thrown) std::rethrow_exception(job->thrown);
    if constexpr (!std::is_void_v<typename J::Value>) co_return std::move(*job->value);
  }
};

// ---------------------------------------------------------------------------- logs

/// How serious a log line is.
enum class LogLevel : unsigned char { debug = 0, info = 1, warning = 2, error = 3 };

/// Return the level's name as spelled above.
KNATIVE_EXPORT std::string_view to_string(LogLevel level) noexcept;

/// True for keys whose values are never shown: any that contains, in any case, "authorization",
/// "cookie", "token", "password", "secret", "credential", "api_key" or "private_key".
KNATIVE_EXPORT bool is_secret_key(std::string_view key);

/// One key and value of a log line. Do not put secrets here; the formatters write "[redacted]"
/// for the value of an `is_secret_key`.
struct LogField {
  std::string_view key;
  std::string value;
};

/// Structured log lines. Thread-safe.
class KNATIVE_EXPORT Logger {
 public:
  virtual void write(LogLevel level, std::string_view component, std::string_view message,
                     std::span<const LogField> fields) = 0;
  virtual bool enabled(LogLevel level) const noexcept = 0;

  void log(LogLevel level, std::string_view component, std::string_view message,
           std::initializer_list<LogField> fields = {}) {
    if (enabled(level)) {
      write(level, component, message, std::span<const LogField>(fields.begin(), fields.size()));
    }
  }

 protected:
  ~Logger() = default;
};

/// What a log callback receives; valid during the call.
struct LogRecord {
  LogLevel level;
  WallTime time;
  std::string_view component;
  std::string_view message;
  std::span<const LogField> fields;
};
using LogSink = std::function<void(const LogRecord&)>;

/// One line of text for people: "12:00:00.123 info  router  message key=value".
KNATIVE_EXPORT std::string format_log_text(const LogRecord& record);
/// One JSON object per line.
KNATIVE_EXPORT std::string format_log_json(const LogRecord& record);
/// Writes to standard error: text when it is a terminal, JSON otherwise.
KNATIVE_EXPORT LogSink stderr_log_sink();

// ---------------------------------------------------------------------------- worlds

/// Every capability of one world. The world owns them; an `Env` is a bundle of references.
struct Env {
  Executor& executor;
  Timers& timers;
  Network& network;
  Files& files;
  Processes& processes;
  Random& random;
  Offload& offload;
  Logger& logger;
};

/// Seed, threads and logs of a `Loop`.
struct LoopOptions {
  /// Seed of `Env::random`; without one it is taken from the operating system.
  std::optional<std::uint64_t> seed;
  int offload_threads_max = 2;
  LogSink log_sink;  ///< Empty: `stderr_log_sink()`.
  LogLevel log_level = LogLevel::info;
};

/// The real world: one thread's event loop with sockets, files, processes and clocks.
///
/// Installs no signal handler and touches no global. The destructor kills and reaps child
/// processes and joins its threads. Not thread-safe except `post` and `stop`.
class KNATIVE_EXPORT Loop {
 public:
  explicit Loop(LoopOptions options = {});
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  Env& env() noexcept;

  /// Run the loop until `task` has finished and return its value (or rethrow its exception).
  template <class T>
  T run(Task<T> task) {
    Wakeup finished;
    detail::Branch<T> branch(env().executor, std::move(task), finished);
    branch.run();
    run_until([&branch] { return branch.done(); });
    return branch.take();
  }
  /// Run the loop until `stop()` is called.
  void run();
  /// Run for at most `duration`; returns earlier when stopped.
  void run_for(Duration duration);
  /// Make `run()` return soon. Thread-safe.
  void stop() noexcept;
  /// Call `work` on the loop's thread at a later turn. Thread-safe.
  void post(std::function<void()> work);

 private:
  void run_until(const std::function<bool()>& done);
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace knative
