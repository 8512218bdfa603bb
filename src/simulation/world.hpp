/// \file
/// The shared ground of the simulated world: ready queue, virtual clock, fault decisions, and the
/// interfaces between its parts. One file per part; `simulation.cpp` puts them together.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "knative/simulation.hpp"

namespace knative::simulation {

class NetworkWorld;

/// The ready queue; the simulation looks into it by itself.
class ReadyQueue final : public Executor {
 public:
  /// Put the fibers of the next turn into an order drawn from `random`.
  void shuffle(Random& random);
  std::size_t ready() const;

 protected:
  void on_ready() override {}

 private:
  std::vector<Fiber*> order_;  // kept for its memory
};

/// Time that stands still during a turn and then jumps to the next timer.
class VirtualClock final : public Timers {
 public:
  explicit VirtualClock(WallTime wall_start) noexcept : wall_start_(wall_start) {}
  Instant now() const noexcept override { return now_; }
  WallTime wall() const noexcept override;
  void arm(TimerNode& node, Instant due) override;

  std::optional<Instant> next() const noexcept { return queue_.next(); }
  std::size_t armed() const noexcept { return queue_.size(); }
  /// Go to `to`, which is not in the past, and fire what is due. Returns how many fired.
  std::size_t advance(Instant to);
  void step_wall(Duration by) noexcept { wall_start_ += by; }
  std::uint64_t fired() const noexcept { return fired_; }

 private:
  TimerQueue queue_;
  Instant now_{};
  WallTime wall_start_;
  std::uint64_t fired_ = 0;
};

/// Fault decisions: rates, counters and partitions. Draws no chance for a rate of zero, so that
/// switching one fault on does not disturb the others more than it must.
class FaultDecider final : public Faults {
 public:
  FaultDecider(Random random, FaultPlan plan, Trace& trace, const Timers& clock)
      : random_(random), plan_(std::move(plan)), trace_(trace), clock_(clock) {}

  void set_plan(const FaultPlan& plan) override { plan_ = plan; }
  const FaultPlan& plan() const noexcept override { return plan_; }
  void fail_nth(SimOperation operation, std::uint64_t n, std::uint64_t count) override;
  void fail_nth_file_operation(std::uint64_t n, std::uint64_t count) override;
  void cut_connections_after(std::optional<std::uint64_t> bytes) override { cut_ = bytes; }
  void partition(std::string_view a, std::string_view b) override;
  void heal(std::string_view a, std::string_view b) override;
  void clear() override;
  std::uint64_t operations(SimOperation operation) const noexcept override {
    return counts_[static_cast<std::size_t>(operation)];
  }
  std::uint64_t file_operations() const noexcept override { return file_count_; }
  std::uint64_t injected() const noexcept override { return injected_; }

  /// Count the operation and decide whether it fails.
  bool strikes(SimOperation operation, std::string_view subject);
  /// Decide a fault that is not an operation of its own.
  bool chance(double rate, std::string_view what, std::string_view subject);
  /// Uniform in [0, bound].
  std::uint64_t up_to(std::uint64_t bound) {
    return bound == Faults::forever ? random_() : random_.below(bound + 1);
  }
  bool partitioned(const std::string& a, const std::string& b) const;
  std::optional<std::uint64_t> cut() const noexcept { return cut_; }
  /// Called when a partition ends.
  void on_heal(NetworkWorld* network) noexcept { network_ = network; }

 private:
  struct Window {
    std::uint64_t first = 0;
    std::uint64_t count = 0;
    bool holds(std::uint64_t n) const noexcept { return n >= first && n - first < count; }
  };
  double rate(SimOperation operation) const noexcept;
  void injected(std::string_view what, std::string_view subject);

  Random random_;
  FaultPlan plan_;
  Trace& trace_;
  const Timers& clock_;
  NetworkWorld* network_ = nullptr;
  std::array<std::uint64_t, sim_operations> counts_{};
  std::array<Window, sim_operations> windows_{};
  std::uint64_t file_count_ = 0;
  Window file_window_;
  std::uint64_t injected_ = 0;
  std::optional<std::uint64_t> cut_;
  std::set<std::pair<std::string, std::string>> partitions_;
};

/// What every part needs.
struct World {
  SimulationOptions options;
  ReadyQueue ready;
  Trace trace;
  VirtualClock clock;
  FaultDecider faults;

  World(std::uint64_t seed, SimulationOptions chosen)
      : options(std::move(chosen)),
        trace(options.trace_events_max),
        clock(options.wall_start),
        faults(Random(seed).split("faults"), options.faults, trace, clock) {}
  void record(TraceKind kind, std::string_view subject, std::uint64_t value = 0) {
    trace.record(clock.now(), kind, subject, value);
  }
};

/// All connections of the world.
class NetworkWorld {
 public:
  virtual ~NetworkWorld() = default;
  /// Add a host; returns the network as it sees it, which lives as long as this object.
  virtual Network& add_host(const std::string& name, const std::string& address) = 0;
  /// Where the oldest TCP listener of a host listens, as programs there see it.
  virtual std::optional<Endpoint> front_door(std::string_view host) const = 0;
  /// Partitions changed: send again what waits.
  virtual void resend() = 0;
  /// Add what there is.
  virtual void count(Census& census) const = 0;
  /// The listeners of a host, and the connections that were made from it.
  virtual Value listeners_of(std::string_view host) const = 0;
  virtual Value connections_of(std::string_view host) const = 0;
};
std::unique_ptr<NetworkWorld> make_network(World& world, Random random);

/// Whether one host has power. Without it its disk fails and its workers do nothing.
struct Power {
  bool on = true;
};

/// A disk with its `Files` face. A crash of the disk switches the power on again.
class DiskWorld {
 public:
  virtual ~DiskWorld() = default;
  virtual Files& files() noexcept = 0;
  virtual SimDisk& control() noexcept = 0;
  /// Paths of the files that are open, once for each opening.
  virtual std::vector<std::string> open_files() const = 0;
};
std::unique_ptr<DiskWorld> make_disk(World& world, std::string host, Random random, Power& power);

/// The programs of one host.
class ProcessWorld {
 public:
  virtual ~ProcessWorld() = default;
  virtual Processes& processes() noexcept = 0;
  virtual void add_program(std::string name, SimProgram program) = 0;
  virtual std::size_t running() const noexcept = 0;
  /// Whether a signal, some output or an end has not been seen yet.
  virtual bool busy() const noexcept = 0;
  /// The command lines of those that have not ended.
  virtual std::vector<std::string> command_lines() const = 0;
};
std::unique_ptr<ProcessWorld> make_processes(World& world, Random random);
/// `env` is known only once the host is complete.
void complete_processes(ProcessWorld& processes, Env& env);

/// The worker threads of one host.
class OffloadWorld {
 public:
  /// Runs the work that is left.
  virtual ~OffloadWorld() = default;
  virtual Offload& offload() noexcept = 0;
  /// Forget the work that waits: the power went.
  virtual void forget() = 0;
  virtual std::size_t waiting() const noexcept = 0;
};
std::unique_ptr<OffloadWorld> make_offload(World& world, Random random, const Power& power);

}  // namespace knative::simulation
