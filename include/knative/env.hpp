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

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "knative/error.hpp"
#include "knative/io.hpp"
#include "knative/logger.hpp"
#include "knative/offload.hpp"
#include "knative/random.hpp"
#include "knative/task.hpp"
#include "knative/timers.hpp"

namespace knative {

/// Every capability of one world. The world owns them; an `Env` is a bundle of references.
struct Env {
  Executor& executor;
  Timers& timers;
  Network& network;
  Files& files;
  Processes& processes;
  Random& random;
  /// For what identifies (uids, ids of logs and events). It never begins again, so nothing drawn
  /// from it comes twice; in the real world it does not depend on a given seed. Draw from it, or
  /// seed a generator with what it gives; a `split` of it would repeat.
  Random& ids;
  /// Threads for what may block for long: the user's functions, foreign libraries.
  Offload& offload;
  /// Threads for the library's own files, which never wait behind the user's work.
  Offload& disk;
  Mailbox& mailbox;
  Logger& logger;
};

/// Seed, threads and logs of a `Loop`.
struct LoopOptions {
  /// Seed of `Env::random`; without one it is taken from the operating system.
  std::optional<std::uint64_t> seed;
  /// Of `Env::offload`, where blocking functions of the host run, too; started when first needed.
  int offload_threads_max = 16;
  int disk_threads_max = 4;  ///< Of `Env::disk`; the same.
  LogSink log_sink;          ///< Empty: `stderr_log_sink()`.
  LogLevel log_level = LogLevel::info;
};

/// The real world: one thread's event loop with sockets, files, processes and clocks.
///
/// Installs no signal handler and touches no global. The destructor kills and reaps child
/// processes and joins its threads, except those that still look up a name. What runs on the loop
/// (platforms, servers, task sets) goes before it: a loop that is destroyed under them ends the
/// program, saying what is left. Not thread-safe except `post` and `stop`.
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
  /// Whether work that was given to `Env::offload` is still running or waiting: the destructor
  /// would wait for it. Thread-safe.
  bool offloading() const noexcept;
  /// Make `run()` return soon. Thread-safe.
  void stop() noexcept;
  /// `Env::mailbox`: call `work` on the loop's thread at a later turn. Thread-safe.
  void post(std::function<void()> work);

  /// For a host with a loop of its own (asio.hpp does this for an io_context): a descriptor that
  /// becomes readable when `poll()` has something to do. It stays the loop's: wait for it, do not
  /// read it. From the first call on, what is made ready between two polls is told by it, too.
  int descriptor() noexcept;
  /// Do what can be done without waiting. Returns when to call again even if the descriptor says
  /// nothing, in the time of `Env::timers` (now or earlier: there is more to do at once); nothing
  /// when only the descriptor can bring more. `stop()` does not concern it.
  std::optional<Instant> poll();

 private:
  void run_until(const std::function<bool()>& done);
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace knative
