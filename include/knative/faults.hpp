/// \file
/// What goes wrong in a `Simulation`, and what happened: `FaultPlan`, `Faults`, `Trace`.
///
/// Faults strike by rates, by count or on command; which ones is drawn from the seed. The trace
/// hashes everything that happened, so that two runs of one seed can be compared. Both belong to
/// the thread of their simulation.
///
/// \code
/// knative::FaultPlan plan;
/// plan.connection_lost = 0.01;
/// sim.faults().set_plan(plan);
/// \endcode
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "knative/env.hpp"

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

}  // namespace knative
