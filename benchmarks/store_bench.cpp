// What a large store costs: making, finding and changing one object among 100,000 others. The
// same work in the first thousand and in the last one shows whether the cost is flat.
#include <benchmark/benchmark.h>
#include <malloc.h>

#include <ctime>
#include <memory>
#include <string>
#include <vector>

#include "knative/core.hpp"
#include "knative/store.hpp"

namespace knative {
namespace {

/// Of this process, which has one thread: what others do on the machine does not count.
double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }
constexpr int objects = 100'000;
constexpr int part = 1'000;

core::ConfigMap config_map(int number) {
  core::ConfigMap object;
  object.metadata.name = "map-" + std::to_string(number);
  object.metadata.namespace_ = "n" + std::to_string(number % 100);
  object.metadata.labels["app"] = "a" + std::to_string(number % 10'000);
  object.metadata.labels["tier"] = number % 2 == 0 ? "front" : "back";
  object.data["value"] = std::to_string(number);
  return object;
}

class World {
 public:
  World() : loop_(options()), store_(memory_store(loop_.env().timers, loop_.env().ids)) {}
  Store& store() { return *store_; }
  /// Microseconds for each of `count` objects.
  double create(int from, int count) {
    const double begin = cpu_seconds();
    for (int i = from; i < from + count; ++i) (void)store_->create(config_map(i)).value();
    return (cpu_seconds() - begin) * 1e6 / count;
  }

 private:
  static LoopOptions options() {
    LoopOptions options;
    options.log_sink = [](const LogRecord&) {};
    return options;
  }
  Loop loop_;
  std::unique_ptr<Store> store_;
};

void create_100000(benchmark::State& state) {
  double first = 0;
  double last = 0;
  double bytes = 0;
  for (auto _ : state) {
    World world;
    (void)world.create(objects, part);  // so that the first part does not pay for a cold machine
    const auto before = ::mallinfo2().uordblks;
    first = world.create(0, part);
    (void)world.create(part, objects - 2 * part);
    last = world.create(objects - part, part);
    bytes = static_cast<double>(::mallinfo2().uordblks - before) / objects;
  }
  state.counters["first_us"] = first;
  state.counters["last_us"] = last;
  state.counters["last_to_first"] = last / first;
  state.counters["bytes_each"] = bytes;
}
BENCHMARK(create_100000)->Unit(benchmark::kMillisecond)->Iterations(1);

void list_10_by_label(benchmark::State& state) {
  World world;
  (void)world.create(0, objects);
  ListOptions options;
  options.labels = LabelSelector::equals("app", "a77");
  for (auto _ : state) {
    const ObjectList found = world.store().list("v1", "ConfigMap", options).value();
    if (found.items.size() != 10) state.SkipWithError("wrong count");
  }
}
BENCHMARK(list_10_by_label);

/// With a watch on every namespace, and on every one of a thousand objects.
void change_one_of_100000(benchmark::State& state) {
  World world;
  (void)world.create(0, objects);
  std::vector<std::unique_ptr<Watch>> watches;
  const auto watch = [&](WatchOptions options) {
    options.resource_version = world.store().resource_version();
    watches.push_back(world.store().watch("v1", "ConfigMap", options).value());
  };
  for (int i = 0; i < 100; ++i) watch({.namespace_ = "n" + std::to_string(i)});
  for (int i = 0; i < part; ++i) {
    watch({.namespace_ = "n" + std::to_string(i % 100),
           .fields = FieldSelector::parse("metadata.name=map-" + std::to_string(i)).value()});
  }
  core::ConfigMap object = config_map(5'005);
  int value = 0;
  for (auto _ : state) {
    object.data["value"] = std::to_string(++value);
    (void)world.store().apply(object).value();
    if (!watches[5]->poll().value()) state.SkipWithError("the watch saw nothing");
  }
}
BENCHMARK(change_one_of_100000)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace knative
