// What one object costs among many of its kind: from create to Ready, at rest, and changed. Marks:
// the ten-thousandth costs at most 1.5 times the hundredth; at most 1 GiB and 1 % of a core at rest
// with 10,000; a change of one at most 100 us.
//
// Virtual time: what is measured is the processor time of the whole platform, store, controllers
// and planes included.
#include <benchmark/benchmark.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>

#include "knative/eventing.hpp"
#include "knative/platform.hpp"
#include "knative/serving.hpp"
#include "knative/simulation.hpp"

namespace {

using namespace std::chrono_literals;
using knative::ObjectRef;
namespace eventing = knative::eventing;
namespace serving = knative::serving;

constexpr int measured_objects = 50;
/// Idle revisions are asleep by then.
constexpr knative::Duration rest = 5min;

double cpu_seconds() {
  timespec spent{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
  return static_cast<double>(spent.tv_sec) + 1e-9 * static_cast<double>(spent.tv_nsec);
}

double resident_mb() {
  long pages = 0;
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  if (file == nullptr || std::fscanf(file, "%*d %ld", &pages) != 1) pages = 0;
  if (file != nullptr) std::fclose(file);
  return static_cast<double>(pages) * static_cast<double>(sysconf(_SC_PAGESIZE)) / 1e6;
}

/// A platform that many objects of one kind are made in.
class World {
 public:
  World() {
    functions_.http("hello", [](knative::http::Request&) { return knative::http::text("hello"); });
    knative::PlatformOptions options;
    options.listen.reset();
    platform_ = std::make_unique<knative::Platform>(simulation_.env(), functions_, options);
    platform_->start().value();
  }

  knative::Platform& platform() { return *platform_; }
  void run_for(knative::Duration time) { simulation_.run_for(time); }
  void wait_ready(const ObjectRef& ref) { simulation_.run(platform_->ready(ref, 10min)).value(); }

 private:
  static knative::SimulationOptions quiet() {
    knative::SimulationOptions options;
    options.log_level = knative::LogLevel::error;
    return options;
  }
  knative::Simulation simulation_{1, quiet()};
  knative::FunctionTable functions_;
  std::unique_ptr<knative::Platform> platform_;
};

struct Services {
  static ObjectRef add(World& world, int number) {
    const std::string name = "service-" + std::to_string(number);
    return world.platform().apply(serving::service(name, "fn:hello")).value();
  }
  /// A tag on a Route comes and goes.
  static ObjectRef change(World& world, int round) {
    serving::Service service = serving::service("service-0", "fn:hello");
    serving::TrafficTarget latest{.latest_revision = true, .percent = 100};
    if (round % 2 == 0) latest.tag = "blue";
    service.spec.traffic = {latest};
    return world.platform().apply(service).value();
  }
};

/// A Broker with a Trigger each.
struct Brokers {
  static ObjectRef add(World& world, int number) {
    const std::string name = "broker-" + std::to_string(number);
    world.platform().apply(eventing::broker(name)).value();
    return world.platform().apply(trigger(name, "one")).value();
  }
  /// The filter of a Trigger changes.
  static ObjectRef change(World& world, int round) {
    return world.platform().apply(trigger("broker-0", round % 2 == 0 ? "two" : "one")).value();
  }
  static eventing::Trigger trigger(const std::string& broker, const std::string& type) {
    eventing::Trigger trigger =
        eventing::trigger("to-" + broker, broker, "http://127.0.0.1:9/none");
    trigger.spec.filter.emplace();
    trigger.spec.filter->attributes["type"] = type;
    return trigger;
  }
};

template <class Kind>
void fill(World& world, int count) {
  for (int i = 0; i < count; ++i) {
    const ObjectRef ref = Kind::add(world, i);
    if (i % 100 == 99 || i + 1 == count) world.wait_ready(ref);
  }
  world.run_for(rest);
}

/// One after the other from create to Ready, with `range(0)` there.
template <class Kind>
void to_ready(benchmark::State& state) {
  World world;
  int made = static_cast<int>(state.range(0));
  fill<Kind>(world, made);
  double spent = 0;
  for (auto _ : state) {
    const double before = cpu_seconds();
    for (int i = 0; i < measured_objects; ++i) world.wait_ready(Kind::add(world, made++));
    spent += cpu_seconds() - before;
  }
  state.counters["cpu_us_each"] =
      1e6 * spent / static_cast<double>(state.iterations() * measured_objects);
}
BENCHMARK(to_ready<Services>)->Arg(100)->Arg(1000)->Arg(10'000)->Iterations(2);
BENCHMARK(to_ready<Brokers>)->Arg(100)->Arg(1000)->Arg(10'000)->Iterations(2);

/// Memory and processor of `range(0)` objects that nothing is done with.
template <class Kind>
void at_rest(benchmark::State& state) {
  const double empty_mb = resident_mb();
  World world;
  fill<Kind>(world, static_cast<int>(state.range(0)));
  constexpr knative::Duration watched = 10min;
  double spent = 0;
  for (auto _ : state) {
    const double before = cpu_seconds();
    world.run_for(watched);
    spent += cpu_seconds() - before;
  }
  const double seconds = std::chrono::duration<double>(watched).count();
  state.counters["idle_cpu_percent"] =
      100 * spent / (seconds * static_cast<double>(state.iterations()));
  state.counters["resident_mb"] = resident_mb() - empty_mb;
}
BENCHMARK(at_rest<Services>)->Arg(10'000)->Iterations(1);
BENCHMARK(at_rest<Brokers>)->Arg(10'000)->Iterations(1);

/// A change of one object, from its apply until it acts.
template <class Kind>
void change_one(benchmark::State& state) {
  World world;
  fill<Kind>(world, static_cast<int>(state.range(0)));
  int round = 0;
  double spent = 0;
  for (auto _ : state) {
    const double before = cpu_seconds();
    for (int i = 0; i < measured_objects; ++i) {
      Kind::change(world, round++);
      world.run_for(20ms);
    }
    spent += cpu_seconds() - before;
  }
  state.counters["cpu_us_each"] =
      1e6 * spent / static_cast<double>(state.iterations() * measured_objects);
}
BENCHMARK(change_one<Services>)->Arg(10'000)->Iterations(4);
BENCHMARK(change_one<Brokers>)->Arg(10'000)->Iterations(4);

}  // namespace
