// Puts the parts of the simulated world together and turns its loop.
#include "knative/simulation.hpp"

#include <algorithm>
#include <cstdlib>

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
  void count(Census& census) const {
    census.files_open += disk_->open_files().size();
    census.processes += processes_->running();
    census.offloaded += offload_->waiting();
  }
  bool busy() const noexcept { return offload_->waiting() != 0 || processes_->busy(); }
  Value snapshot() const {
    Value files = Value::Map{};
    for (const auto& [path, content] : disk_->control().snapshot()) {
      files[path] = path.ends_with('/') ? Value("directory") : Value(describe(content));
    }
    Value open = Value::List{};
    for (std::string& path : disk_->open_files()) open.push_back(std::move(path));
    Value programs = Value::List{};
    for (std::string& line : processes_->command_lines()) programs.push_back(std::move(line));
    Value all = Value::Map{};
    all["files"] = std::move(files);
    all["open"] = std::move(open);
    all["programs"] = std::move(programs);
    return all;
  }
  void power_off() override {
    power_.on = false;
    offload_->forget();
    disk_threads_->forget();
    mailbox_.forget();
    world_.record(TraceKind::fault, "power off " + name_);
  }

 private:
  static std::string describe(const std::string& content) {
    Trace hash(1);
    hash.record(Instant{}, TraceKind::file, content, content.size());
    return std::to_string(content.size()) + " bytes, hash " + std::to_string(hash.hash());
  }

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

namespace {

// See `ReadyOrder`: whole test programs are played in other orders without a change of theirs.
Random order_of(std::uint64_t seed) {
  const char* other = std::getenv("KNATIVE_SIMULATION_ORDER");
  return Random(seed).split(other == nullptr ? "order" : "order " + std::string(other));
}

}  // namespace

struct Simulation::Impl {
  Impl(std::uint64_t chosen_seed, SimulationOptions options)
      : seed(chosen_seed),
        world(chosen_seed, std::move(options)),
        logger(world),
        order(order_of(chosen_seed)),
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
      ++turns_made;
      if (world.options.ready_order == ReadyOrder::seeded) world.ready.shuffle(order);
      world.trace.mix(world.ready.run_ready());
      return true;
    }
    const std::optional<Instant> next = world.clock.next();
    if (!next || *next > limit) return false;
    ++turns_made;
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

  bool settled() const {
    if (world.ready.has_ready()) return false;
    const std::optional<Instant> next = world.clock.next();
    if (next && *next <= world.clock.now()) return false;
    Census census;
    network->count(census);
    if (census.connecting != 0 || census.in_flight != 0) return false;
    return std::none_of(hosts.begin(), hosts.end(),
                        [](const auto& entry) { return entry.second->busy(); });
  }

  Census census() const {
    Census census;
    census.fibers = world.ready.fibers();
    census.ready = world.ready.ready();
    census.timers = world.clock.armed();
    network->count(census);
    for (const auto& [name, host] : hosts) host->count(census);
    return census;
  }

  Value snapshot() const {
    Value all = Value::Map{};
    for (const auto& [name, host] : hosts) {
      Value of_host = host->snapshot();
      of_host["listeners"] = network->listeners_of(name);
      of_host["connections"] = network->connections_of(name);
      all[name] = std::move(of_host);
    }
    return all;
  }

  std::uint64_t seed;
  simulation::World world;
  simulation::TracedLogger logger;
  Random order;
  std::unique_ptr<simulation::NetworkWorld> network;
  std::map<std::string, std::unique_ptr<simulation::Host>, std::less<>> hosts;
  simulation::Host& first;
  std::uint64_t turns = 0;  // at this instant
  std::uint64_t turns_made = 0;
};

std::string Census::to_string() const {
  struct Row {
    std::size_t count;
    const char* one;
    const char* many;
  };
  const Row rows[] = {{fibers, "fiber", "fibers"},
                      {ready, "ready", "ready"},
                      {timers, "timer", "timers"},
                      {connecting, "connecting", "connecting"},
                      {connections, "connection", "connections"},
                      {in_flight, "segment in flight", "segments in flight"},
                      {listeners, "listener", "listeners"},
                      {files_open, "file open", "files open"},
                      {processes, "process", "processes"},
                      {offloaded, "offloaded job", "offloaded jobs"}};
  std::string text;
  for (const Row& row : rows) {
    if (row.count == 0) continue;
    text.append(text.empty() ? "" : ", ").append(std::to_string(row.count)).append(" ");
    text.append(row.count == 1 ? row.one : row.many);
  }
  return text.empty() ? "nothing" : text;
}

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

bool Simulation::step() { return impl_->turn(Instant::max()); }
std::uint64_t Simulation::turns() const noexcept { return impl_->turns_made; }
bool Simulation::settled() const { return impl_->settled(); }
Census Simulation::census() const { return impl_->census(); }
Value Simulation::snapshot() const { return impl_->snapshot(); }

bool Simulation::run_until_settled(Duration duration_max) {
  const Instant end = impl_->world.clock.now() + duration_max;
  while (!impl_->settled()) {
    if (!impl_->turn(end)) return false;
  }
  return true;
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
