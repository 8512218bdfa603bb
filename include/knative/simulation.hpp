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
#include "knative/http.hpp"
#include "knative/load.hpp"

namespace knative {

// ---------------------------------------------------------------------------- trace

/// What a trace event tells. Values are part of the hash and never change.
enum class TraceKind : unsigned char {
  timer = 1,    ///< Timers fired; value: how many.
  connect = 2,  ///< A connection was made or refused (value 0).
  bytes = 3,    ///< Bytes arrived; value: how many.
  close = 4,    ///< One direction of a connection ended.
  file = 5,     ///< A file operation; value: bytes or 0.
  process = 6,  ///< A process began, wrote (value: bytes) or ended.
  offload = 7,  ///< Offloaded work ran; value: nanoseconds waited.
  fault = 8,    ///< A fault was injected.
  log = 9,      ///< A log line; value: level.
  note = 10,    ///< `Trace::note`.
};

/// Return the kind's name as spelled above.
KNATIVE_EXPORT std::string_view to_string(TraceKind kind) noexcept;

/// One thing that happened.
struct TraceEvent {
  Instant at{};
  TraceKind kind = TraceKind::note;
  std::uint64_t value = 0;
  std::string subject;
  friend bool operator==(const TraceEvent&, const TraceEvent&) = default;
};

/// What happened: a 64-bit hash over every event, and the last events in words.
///
/// The hash also covers how many fibers ran in each turn, so that it changes when scheduling does.
class KNATIVE_EXPORT Trace {
 public:
  explicit Trace(std::size_t events_max);
  Trace(const Trace&) = delete;
  Trace& operator=(const Trace&) = delete;

  void record(Instant at, TraceKind kind, std::string_view subject, std::uint64_t value = 0);
  /// Add a number to the hash only.
  void mix(std::uint64_t value) noexcept;

  std::uint64_t hash() const noexcept { return hash_; }
  /// Events recorded so far.
  std::uint64_t size() const noexcept { return size_; }
  /// The last events, oldest first; at most `events_max`. Timers are not kept, only hashed.
  std::vector<TraceEvent> last() const;
  /// `last()` as lines "12.000345678 bytes 10.0.0.1:40001>10.0.0.1:80 512".
  std::string to_string() const;

 private:
  std::vector<TraceEvent> ring_;
  std::size_t events_max_;
  std::uint64_t kept_ = 0;
  std::uint64_t size_ = 0;
  std::uint64_t hash_ = 0x6b6e617469766531;
};

// ---------------------------------------------------------------------------- faults

/// Operations that can be counted and made to fail.
enum class SimOperation : unsigned char {
  connect,       ///< Fails with `unavailable` (refused).
  accept,        ///< Fails with `resource_exhausted`.
  stream_read,   ///< The connection breaks.
  stream_write,  ///< The connection breaks after a prefix.
  file_open,     ///< Also `lock` and `make_temporary_directory`.
  file_read,
  file_write,  ///< `resource_exhausted` after a prefix (short write, no space).
  file_sync,   ///< The unsynced bytes may be lost for good, whatever later syncs say.
  file_truncate,
  file_change,  ///< make_directories, make_symlink, set_mode, remove, remove_all.
  file_rename,
  file_query,  ///< info, list, read_symlink, size.
  directory_sync,
  spawn,  ///< Fails with `resource_exhausted`.
};
inline constexpr std::size_t sim_operations = 14;

/// Return the operation's name as spelled above.
KNATIVE_EXPORT std::string_view to_string(SimOperation operation) noexcept;

/// Rates of faults, each a probability in [0, 1] per operation unless said otherwise.
struct FaultPlan {
  double connect_refused = 0;
  double accept_failure = 0;
  /// Per read or write: the connection breaks now.
  double connection_lost = 0;
  /// Per connection and direction: it breaks after at most `cut_after_bytes_max` bytes.
  double connection_cut = 0;
  std::uint64_t cut_after_bytes_max = 64 * 1024;
  /// Per connection and direction: the reader takes only `slow_bytes_per_second`.
  double slow_reader = 0;
  std::uint64_t slow_bytes_per_second = 4096;
  /// Per segment: it is late by at most `latency_spike_max`.
  double latency_spike = 0;
  Duration latency_spike_max = std::chrono::milliseconds(250);

  double no_space = 0;      ///< Per write: nothing or a prefix is written.
  double sync_failure = 0;  ///< Per file or directory sync.
  double file_failure = 0;  ///< Per other file operation: `unavailable` (an I/O error).
  double bit_rot = 0;       ///< Per read: one stored bit of the file is flipped first.

  double spawn_failure = 0;
  double process_hang = 0;    ///< Per process: it never does anything until killed.
  double process_killed = 0;  ///< Per process: signal 9 within `process_killed_after_max`.
  Duration process_killed_after_max = std::chrono::seconds(10);

  /// Per offloaded job: it takes up to `offload_stall_max` longer.
  double offload_stall = 0;
  Duration offload_stall_max = std::chrono::seconds(1);

  /// A moderate mix of faults: each kind is present or absent by the seed.
  KNATIVE_EXPORT static FaultPlan random(std::uint64_t seed);
  /// One line naming the rates that are not zero.
  KNATIVE_EXPORT std::string to_string() const;
  friend bool operator==(const FaultPlan&, const FaultPlan&) = default;
};

/// Decides which operations fail: by the rates of a plan, by count, or on command.
class KNATIVE_EXPORT Faults {
 public:
  /// Replace the plan; connections and processes keep what was decided for them.
  virtual void set_plan(const FaultPlan& plan) = 0;
  virtual const FaultPlan& plan() const noexcept = 0;
  /// Make the `n`-th `operation` from now (1: the next) fail, and the `count - 1` after it.
  virtual void fail_nth(SimOperation operation, std::uint64_t n, std::uint64_t count = 1) = 0;
  /// The same over file operations of every kind together. With `count = forever` it is the
  /// moment before a crash.
  virtual void fail_nth_file_operation(std::uint64_t n, std::uint64_t count = 1) = 0;
  /// New connections break after `bytes` bytes in either direction; empty: no longer.
  virtual void cut_connections_after(std::optional<std::uint64_t> bytes) = 0;
  /// Let nothing pass between two hosts: segments wait, connecting waits and then fails.
  virtual void partition(std::string_view a, std::string_view b) = 0;
  virtual void heal(std::string_view a, std::string_view b) = 0;
  /// No plan, no counts, no partitions.
  virtual void clear() = 0;

  /// Operations so far, failed ones included.
  virtual std::uint64_t operations(SimOperation operation) const noexcept = 0;
  virtual std::uint64_t file_operations() const noexcept = 0;
  /// Faults injected so far.
  virtual std::uint64_t injected() const noexcept = 0;

  static constexpr std::uint64_t forever = ~std::uint64_t{0};

 protected:
  ~Faults() = default;
};

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

/// Latencies, bounds and the first fault plan of a simulated world.
struct SimulationOptions {
  FaultPlan faults;
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
