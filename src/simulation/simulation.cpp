// Puts the parts of the simulated world together and turns its loop.
#include "knative/simulation.hpp"

#include "simulation/front_door.hpp"
#include "simulation/load_run.hpp"
#include "simulation/world.hpp"

namespace knative {

namespace simulation {
namespace {

/// Log lines go to the sink, and to the hash in any case.
class TracedLogger final : public Logger {
 public:
  explicit TracedLogger(World& world) : world_(world) {}
  bool enabled(LogLevel level) const noexcept override { return level >= world_.options.log_level; }
  void write(LogLevel level, std::string_view component, std::string_view message,
             std::span<const LogField> fields) override {
    std::string text(component);
    text += ": ";
    text += message;
    for (const LogField& field : fields) {
      text += ' ';
      text += field.key;
      text += '=';
      text += field.value;
    }
    world_.record(TraceKind::log, text, static_cast<std::uint64_t>(level));
    if (!world_.options.log_sink) return;
    const LogRecord record{level, world_.clock.wall(), component, message, fields};
    world_.options.log_sink(record);
  }

 private:
  World& world_;
};

/// Posts run when the clock next looks, at the same instant. One thread turns the world and posts.
class VirtualMailbox final : public Mailbox, private TimerNode {
 public:
  explicit VirtualMailbox(World& world) : world_(world) {}
  void post(std::function<void()> work) override {
    posted_.push_back(std::move(work));
    if (!armed()) world_.clock.arm(*this, world_.clock.now());
  }
  void forget() {
    disarm();
    // Moved out first: what a call owns may be anything.
    const std::vector<std::function<void()>> gone = std::exchange(posted_, {});
  }

 private:
  void fire() noexcept override {
    std::vector<std::function<void()>> batch = std::exchange(posted_, {});
    for (std::function<void()>& work : batch) {
      work();
      work = nullptr;
    }
  }
  World& world_;
  std::vector<std::function<void()>> posted_;
};

class Host final : public SimHost {
 public:
  Host(World& world, NetworkWorld& network, Logger& logger, std::uint64_t seed, std::string name,
       std::string address)
      : world_(world),
        name_(std::move(name)),
        address_(std::move(address)),
        random_(Random(seed).split("host " + name_)),
        env_random_(random_.split("env")),
        disk_(make_disk(world, name_, random_.split("disk"), power_)),
        processes_(make_processes(world, random_.split("processes"))),
        ids_(random_.split("ids")),
        offload_(make_offload(world, random_.split("offload"), power_)),
        disk_threads_(make_offload(world, random_.split("disk threads"), power_)),
        mailbox_(world),
        env_{world.ready,
             world.clock,
             network.add_host(name_, address_),
             disk_->files(),
             processes_->processes(),
             env_random_,
             ids_,
             offload_->offload(),
             disk_threads_->offload(),
             mailbox_,
             logger} {
    complete_processes(*processes_, env_);
  }
  const std::string& name() const noexcept override { return name_; }
  const std::string& address() const noexcept override { return address_; }
  Env& env() noexcept override { return env_; }
  SimDisk& disk() noexcept override { return disk_->control(); }
  void add_program(std::string name, SimProgram program) override {
    processes_->add_program(std::move(name), std::move(program));
  }
  std::size_t processes() const noexcept override { return processes_->running(); }
  void power_off() override {
    power_.on = false;
    offload_->forget();
    disk_threads_->forget();
    mailbox_.forget();
    world_.record(TraceKind::fault, "power off " + name_);
  }

 private:
  World& world_;
  std::string name_;
  std::string address_;
  Random random_;
  Random env_random_;
  Power power_;
  std::unique_ptr<DiskWorld> disk_;
  std::unique_ptr<ProcessWorld> processes_;
  Random ids_;
  std::unique_ptr<OffloadWorld> offload_;
  std::unique_ptr<OffloadWorld> disk_threads_;
  VirtualMailbox mailbox_;
  Env env_;
};

}  // namespace
}  // namespace simulation

struct Simulation::Impl {
  Impl(std::uint64_t chosen_seed, SimulationOptions options)
      : seed(chosen_seed),
        world(chosen_seed, std::move(options)),
        logger(world),
        network(simulation::make_network(world, Random(chosen_seed).split("network"))),
        first(host(world.options.host_name)) {}

  simulation::Host& host(std::string_view name) {
    const auto found = hosts.find(name);
    if (found != hosts.end()) return *found->second;
    const std::size_t number = hosts.size() + 1;
    std::string address =
        "10.0." + std::to_string(number / 250) + "." + std::to_string(number % 250 + 1);
    auto made = std::make_unique<simulation::Host>(world, *network, logger, seed, std::string(name),
                                                   std::move(address));
    return *hosts.emplace(std::string(name), std::move(made)).first->second;
  }

  /// One turn: the ready fibers, or else the next timers. False when there is nothing to do up
  /// to `limit`.
  bool turn(Instant limit) {
    if (world.ready.has_ready()) {
      check_livelock();
      world.trace.mix(world.ready.run_ready());
      return true;
    }
    const std::optional<Instant> next = world.clock.next();
    if (!next || *next > limit) return false;
    const Instant to = std::max(*next, world.clock.now());
    if (to > world.clock.now()) {
      turns = 0;
    } else {
      check_livelock();
    }
    const std::size_t fired = world.clock.advance(to);
    world.record(TraceKind::timer, {}, fired);
    return true;
  }

  void check_livelock() {
    if (++turns <= world.options.turns_per_instant_max) return;
    turns = 0;
    fail_run(Errc::internal,
             "time does not go on: " + std::to_string(world.options.turns_per_instant_max) +
                 " turns at one instant");
  }

  [[noreturn]] void fail_run(Errc code, const std::string& why) {
    const std::string text = why + " (seed " + std::to_string(seed) + ", " +
                             world.faults.plan().to_string() + ")\nlast events:\n" +
                             world.trace.to_string();
    throw Exception(fail(code, text));
  }

  std::uint64_t seed;
  simulation::World world;
  simulation::TracedLogger logger;
  std::unique_ptr<simulation::NetworkWorld> network;
  std::map<std::string, std::unique_ptr<simulation::Host>, std::less<>> hosts;
  simulation::Host& first;
  std::uint64_t turns = 0;
};

Simulation::Simulation(std::uint64_t seed, SimulationOptions options)
    : impl_(std::make_unique<Impl>(seed, std::move(options))) {}
Simulation::~Simulation() = default;

std::uint64_t Simulation::seed() const noexcept { return impl_->seed; }
Env& Simulation::env() noexcept { return impl_->first.env(); }
SimDisk& Simulation::disk() noexcept { return impl_->first.disk(); }
void Simulation::power_off() { impl_->first.power_off(); }
void Simulation::add_program(std::string name, SimProgram program) {
  impl_->first.add_program(std::move(name), std::move(program));
}
SimHost& Simulation::host(std::string_view name) { return impl_->host(name); }
Faults& Simulation::faults() noexcept { return impl_->world.faults; }
Trace& Simulation::trace() noexcept { return impl_->world.trace; }
Instant Simulation::now() const noexcept { return impl_->world.clock.now(); }
void Simulation::step_wall(Duration by) noexcept { impl_->world.clock.step_wall(by); }
std::uint64_t Simulation::timers_fired() const noexcept { return impl_->world.clock.fired(); }

void Simulation::run_for(Duration duration) {
  KN_ASSERT(duration >= Duration(0));
  const Instant end = impl_->world.clock.now() + duration;
  while (impl_->turn(end)) {
  }
  impl_->world.clock.advance(end);
}

bool Simulation::run_until_quiet(Duration duration_max) {
  const Instant end = impl_->world.clock.now() + duration_max;
  while (impl_->turn(end)) {
  }
  const bool quiet = !impl_->world.clock.next().has_value();
  if (!quiet) impl_->world.clock.advance(end);
  return quiet;
}

void Simulation::run_until(const std::function<bool()>& done) {
  while (!done()) {
    if (!impl_->turn(Instant::max())) {
      impl_->fail_run(Errc::failed_precondition,
                      "nothing can happen any more, but the task is not done");
    }
  }
}

LoadRun Simulation::load(http::Handler& handler, const Load& load, LoadOptions options) {
  const Random random = Random(impl_->seed).split("load " + options.name);
  return LoadRun(std::make_unique<LoadRun::Impl>(impl_->world.ready, impl_->world.clock, random,
                                                 load, std::move(options), &handler, nullptr));
}

LoadRun Simulation::load(std::string_view service, const Load& load, LoadOptions options) {
  auto door = std::make_unique<simulation::FrontDoor>(impl_->first.env(), *impl_->network,
                                                      impl_->first.name(), service);
  LoadRun run = this->load(*door, load, std::move(options));
  run.impl_->owned = std::move(door);
  return run;
}

LoadRun Simulation::load(std::function<Task<int>(std::uint64_t)> call, const Load& load,
                         LoadOptions options) {
  const Random random = Random(impl_->seed).split("load " + options.name);
  return LoadRun(std::make_unique<LoadRun::Impl>(impl_->world.ready, impl_->world.clock, random,
                                                 load, std::move(options), nullptr,
                                                 std::move(call)));
}

}  // namespace knative
