/// \file
/// `Simulation`: a whole world in virtual time, with faults, replayed bit by bit from a seed.
///
/// It hands out the same `Env` as `Loop`: a clock that jumps to the next timer, an in-memory
/// network, disks that remember what is durable, programs that are coroutines, and worker threads
/// that are only delays. Nothing real is touched, so an hour passes in a fraction of a second and
/// the same seed gives the same `Trace::hash()`. It is not a model of performance: code takes no
/// virtual time, only timers, networks and offloaded work do.
///
/// Everything here belongs to one thread. What was built on an `Env` of a simulation must be
/// destroyed before the simulation (and before `crash()`).
///
/// \code
/// knative::Simulation sim(42);
/// auto nap = [](knative::Timers& timers) -> knative::Task<int> {
///   co_await timers.sleep_for(std::chrono::hours(1));
///   co_return 7;
/// };
/// int seven = sim.run(nap(sim.env().timers));  // takes microseconds
/// \endcode
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "knative/env.hpp"
#include "knative/faults.hpp"
#include "knative/http.hpp"
#include "knative/load.hpp"
#include "knative/value.hpp"

namespace knative {

// ---------------------------------------------------------------------------- disk, processes

/// What a crash leaves of unsynced data.
enum class CrashMode : unsigned char {
  seeded,     ///< One of the others, chosen for each file and directory by the seed.
  lose_all,   ///< Nothing.
  torn,       ///< A prefix: the last surviving write may be cut in the middle.
  reordered,  ///< Any subset of the writes, as page caches do; holes read as zeros.
  keep_all,   ///< Everything, as when only the process was killed.
};

/// Control over one host's disk, beside its `Files`.
class KNATIVE_EXPORT SimDisk {
 public:
  /// Power failure: forget what was not synced; the power is on again. Files open now fail from
  /// here on with `failed_precondition`; locks are released.
  virtual void crash(CrashMode mode = CrashMode::seeded) = 0;
  /// Bytes of file content that fit; `Faults::forever` (the start): no bound.
  virtual void set_capacity(std::uint64_t bytes_max) = 0;
  virtual std::uint64_t used_bytes() const = 0;
  /// Flip one bit of a file's stored content; `not_found`, `invalid_argument` (beyond the end).
  virtual Result<void> flip_bit(const std::string& path, std::uint64_t bit) = 0;
  /// Every path with its content ("/" at the end: directory), for comparing whole disks.
  virtual std::map<std::string, std::string> snapshot() const = 0;

 protected:
  ~SimDisk() = default;
};

/// What a simulated program sees. It lives until the program has ended.
class KNATIVE_EXPORT SimProcessContext {
 public:
  virtual const std::vector<std::string>& argv() const = 0;
  virtual const std::map<std::string, std::string>& environment() const = 0;
  virtual const std::string& working_directory() const = 0;
  virtual const std::string& root_directory() const = 0;
  virtual int pid() const noexcept = 0;
  /// The world of the host that it runs on.
  virtual Env& env() = 0;
  virtual void write_stdout(std::string_view text) = 0;
  virtual void write_stderr(std::string_view text) = 0;
  /// From now on signal `number` (not 9) does not end the process but wakes `next_signal`.
  virtual void handle_signal(int number) = 0;
  /// The next handled signal.
  virtual Task<int> next_signal() = 0;

 protected:
  ~SimProcessContext() = default;
};

/// A program: runs as one task and returns its exit code. An exception ends it by signal 6.
using SimProgram = std::function<Task<int>(SimProcessContext&)>;

/// One machine of the simulated world: an `Env` with its own disk, network and programs, on the
/// clock and loop that all hosts share.
class KNATIVE_EXPORT SimHost {
 public:
  virtual const std::string& name() const noexcept = 0;
  /// Its address, "10.0.0.1" and so on; its name resolves to it.
  virtual const std::string& address() const noexcept = 0;
  virtual Env& env() noexcept = 0;
  virtual SimDisk& disk() noexcept = 0;
  /// Register a program. `argv[0]` finds it by its whole text, by its last path component, or by
  /// a file at that path whose first line is "#!NAME".
  virtual void add_program(std::string name, SimProgram program) = 0;
  /// Processes that have not ended.
  virtual std::size_t processes() const noexcept = 0;
  /// The power goes: from here on file operations fail with `unavailable`, and offloaded work that
  /// waits is never done. Destroy what runs on the host, which can save nothing any more; then
  /// `disk().crash()` brings the machine back.
  virtual void power_off() = 0;

 protected:
  ~SimHost() = default;
};

// ---------------------------------------------------------------------------- the world

/// In which order the fibers run that are ready in one turn. A real loop's order depends on what
/// the kernel reports first; whatever is right must be right in every order. The environment
/// variable KNATIVE_SIMULATION_ORDER (any text) draws other orders from the same seeds: with it a
/// whole test program is played again and again, each time in another order.
enum class ReadyOrder : unsigned char {
  seeded,  ///< Drawn from the seed anew in each turn.
  fifo,    ///< First in, first out: for tests that are about that.
};

/// Latencies, bounds and the first fault plan of a simulated world.
struct SimulationOptions {
  FaultPlan faults;
  ReadyOrder ready_order = ReadyOrder::fifo;
  std::string host_name = "local";
  WallTime wall_start = WallTime(std::chrono::seconds(1'767'225'600));  ///< 2026-01-01 UTC.
  /// One way, on one host and between hosts.
  Duration loopback_latency_min = std::chrono::microseconds(10);
  Duration loopback_latency_max = std::chrono::microseconds(50);
  Duration network_latency_min = std::chrono::microseconds(100);
  Duration network_latency_max = std::chrono::milliseconds(1);
  std::size_t stream_buffer_bytes_max = 256 * 1024;
  std::uint64_t bytes_per_second = 0;  ///< Per direction of a connection; 0: no bound.
  Duration connect_give_up = std::chrono::seconds(30);  ///< While partitioned.
  Duration stream_give_up = std::chrono::minutes(2);    ///< Unacknowledged bytes.
  Duration offload_min = std::chrono::microseconds(20);
  Duration offload_max = std::chrono::milliseconds(2);
  int offload_threads_max = 2;  ///< The same for `Env::disk`.
  std::size_t trace_events_max = 256;
  /// Turns of the loop without time going by, before it counts as a livelock.
  std::uint64_t turns_per_instant_max = 1'000'000;
  LogSink log_sink;  ///< Log lines go to the trace's hash in any case.
  LogLevel log_level = LogLevel::info;
};

/// How much there is in a simulated world at one moment.
struct Census {
  std::size_t fibers = 0;       ///< Chains of tasks that have not ended.
  std::size_t ready = 0;        ///< Of these: those that run in the next turn.
  std::size_t timers = 0;       ///< Armed, the world's own included.
  std::size_t connecting = 0;   ///< Calls of `connect` in progress.
  std::size_t connections = 0;  ///< With at least one end that somebody holds.
  std::size_t in_flight = 0;    ///< Segments that have not arrived.
  std::size_t listeners = 0;
  std::size_t files_open = 0;
  std::size_t processes = 0;
  std::size_t offloaded = 0;  ///< Jobs that have not been done.

  /// "3 fibers, 1 timer, 1 listener": what is not zero; "nothing".
  KNATIVE_EXPORT std::string to_string() const;
  friend bool operator==(const Census&, const Census&) = default;
};

/// The virtual world.
class KNATIVE_EXPORT Simulation {
 public:
  explicit Simulation(std::uint64_t seed, SimulationOptions options = {});
  ~Simulation();
  Simulation(const Simulation&) = delete;
  Simulation& operator=(const Simulation&) = delete;

  std::uint64_t seed() const noexcept;
  /// The first host and its capabilities.
  Env& env() noexcept;
  SimDisk& disk() noexcept;
  void add_program(std::string name, SimProgram program);
  /// The host of that name, made on first use.
  SimHost& host(std::string_view name);

  Faults& faults() noexcept;
  Trace& trace() noexcept;
  Instant now() const noexcept;
  /// Move the wall clock (as an operator or NTP would); timers do not notice.
  void step_wall(Duration by) noexcept;
  /// Timers fired so far.
  std::uint64_t timers_fired() const noexcept;

  /// Run until `task` has finished and return its value (or rethrow its exception).
  /// Throws `Exception` with `failed_precondition` when nothing can happen any more, and with
  /// `internal` on a livelock; its text has the seed and the last events.
  template <class T>
  T run(Task<T> task) {
    Wakeup finished;
    detail::Branch<T> branch(env().executor, std::move(task), finished);
    branch.run();
    std::function<bool()> done = [&branch] { return branch.done(); };
    run_until(done);
    return branch.take();
  }
  /// Let exactly `duration` go by.
  void run_for(Duration duration);
  /// Run until nothing is ready and no timer is armed, but no longer than `duration_max`.
  /// Returns whether all is quiet.
  bool run_until_quiet(Duration duration_max);
  /// Run until `done()`, asked after every turn; throws as `run`.
  void run_until(const std::function<bool()>& done);
  /// One turn: the fibers that are ready, or else time goes to the next timers, which fire. False
  /// when nothing is ready and no timer is armed.
  bool step();
  /// Turns so far. The same seed has the same turns, so that a power failure at turn `n` is
  /// `while (sim.turns() < n && sim.step()) {}` and then `power_off()`.
  std::uint64_t turns() const noexcept;
  /// Nothing is under way: no fiber is ready, no timer is due, no bytes, connections, offloaded
  /// work or signals and output of processes are on their way. What is left waits for later
  /// timers or for somebody to act.
  bool settled() const;
  /// Run until `settled()`, but no longer than `duration_max`. Returns whether it is.
  bool run_until_settled(Duration duration_max);

  /// What there is now, over all hosts.
  Census census() const;
  /// The same by name, comparable between two worlds and readable in a failed test: for each host
  /// its files (size and hash), open files, listeners, connections and programs; no times, ids or
  /// client ports.
  Value snapshot() const;

  /// Power failure of the first host: `SimHost::power_off`, destroy what runs there, `crash`.
  void power_off();
  /// The first host's disk as it is found when the power is back. Without `power_off`: as when
  /// whatever ran there was destroyed in peace before.
  void crash(CrashMode mode = CrashMode::seeded) { disk().crash(mode); }

  /// Begin to send requests to a service of the platform on the first host as `load` says: "NAME"
  /// (in the namespace "default"), "TAG-NAME", "NAME.NAMESPACE" or a whole host. They go over the
  /// simulated loopback to whatever listens first on that host; 503 while nobody does.
  [[nodiscard]] LoadRun load(std::string_view service, const Load& load, LoadOptions options = {});
  /// Begin to send requests to `handler` as `load` says.
  [[nodiscard]] LoadRun load(http::Handler& handler, const Load& load, LoadOptions options = {});
  /// Begin to call `call(n)`, which yields a status to count.
  [[nodiscard]] LoadRun load(std::function<Task<int>(std::uint64_t)> call, const Load& load,
                             LoadOptions options = {});

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace knative
