// A call through router, queue, limits and accounting to a function in this process. Mark: at
// most 1 us.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <vector>

#include "allocations.hpp"
#include "knative/container_runtimes.hpp"
#include "knative/metrics.hpp"
#include "knative/router.hpp"

namespace {

using namespace std::chrono_literals;
using knative::Task;
namespace http = knative::http;

constexpr int calls_per_round = 1000;

Task<http::Response> hello(http::Request&) { co_return http::text("hello"); }

struct NoDemand final : knative::Demand {
  void wanted(std::string_view) override {}
};

knative::LoopOptions quiet() {
  knative::LoopOptions options;
  options.log_level = knative::LogLevel::error;
  options.seed = 1;
  return options;
}

/// One revision with one function instance behind a router with many hosts.
struct World {
  explicit World(int concurrency, std::vector<knative::RouteTarget> targets = {{"r-1", 100}},
                 bool counted = true)
      : loop(quiet()),
        runtime(functions, loop.env().executor, loop.env().timers, loop.env().offload,
                loop.env().logger),
        activator(loop.env().timers, loop.env().random, demand, counted ? &metrics : nullptr),
        router(activator, loop.env().random) {
    functions.http("hello", hello);
    std::vector<knative::RouteRule> rules;
    for (int i = 0; i < 1000; ++i) {
      const std::string name = "other-" + std::to_string(i);
      rules.push_back({name, {name + ".default.example.com"}, {{"r-1", 100}}, {}});
    }
    rules.push_back({"hello", {"hello.default.example.com"}, targets, {}});
    for (const knative::RouteTarget& target : targets) {
      knative::ContainerSpec spec;
      spec.image = "fn:hello";
      spec.ports.push_back({.container_port = 8080});
      instances.emplace_back(loop.run(runtime.start(spec, nullptr)).value());
      knative::RevisionOptions options{.revision = target.revision,
                                       .container_concurrency = concurrency};
      activator.add(options)->add_endpoint(instances.back()->endpoint());
    }
    router.set_table(knative::RouteTable::make(std::move(rules)).value());
  }
  knative::Loop loop;
  knative::FunctionTable functions;
  knative::FunctionRuntime runtime;
  std::vector<std::unique_ptr<knative::Container>> instances;
  NoDemand demand;
  knative::Metrics metrics;
  knative::Activator activator;
  knative::Router router;
};

Task<void> call_many(http::Handler& handler, http::Request& request) {
  for (int i = 0; i < calls_per_round; ++i) {
    http::Response response = co_await handler.handle(request);
    benchmark::DoNotOptimize(response.status);
  }
}

void measure(benchmark::State& state, World& world, http::Handler& handler) {
  http::Request request = http::get("/");
  request.headers.set("Host", "hello.default.example.com");
  request.headers.set("User-Agent", "bench");
  request.headers.set("Accept", "*/*");
  const std::uint64_t before = knative_bench::allocations;
  for (auto _ : state) world.loop.run(call_many(handler, request));
  const auto calls = static_cast<double>(state.iterations() * calls_per_round);
  state.SetItemsProcessed(static_cast<std::int64_t>(calls));
  state.counters["ns_per_call"] =
      benchmark::Counter(calls * 1e-9, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
  state.counters["allocations_per_call"] =
      static_cast<double>(knative_bench::allocations - before) / calls;
}

/// The function alone: what the rest is measured against.
void call_function(benchmark::State& state) {
  World world(0);
  measure(state, world, *world.instances.front()->endpoint());
}
BENCHMARK(call_function)->Unit(benchmark::kMicrosecond);

void call_through_router_and_queue(benchmark::State& state) {
  World world(static_cast<int>(state.range(0)));
  measure(state, world, world.router);
}
BENCHMARK(call_through_router_and_queue)->Arg(0)->Arg(1)->Arg(100)->Unit(benchmark::kMicrosecond);

/// What counting and timing costs: the same without.
void call_without_metrics(benchmark::State& state) {
  World world(0, {{"r-1", 100}}, false);
  measure(state, world, world.router);
}
BENCHMARK(call_without_metrics)->Unit(benchmark::kMicrosecond);

void call_through_a_split(benchmark::State& state) {
  World world(0, {{"r-1", 90}, {"r-2", 10}});
  measure(state, world, world.router);
}
BENCHMARK(call_through_a_split)->Unit(benchmark::kMicrosecond);

void breaker_acquire_and_release(benchmark::State& state) {
  knative::Breaker breaker({.queue_depth_max = 10, .concurrency_max = 10, .initial_capacity = 10});
  for (auto _ : state) {
    knative::Breaker::Slot slot = breaker.try_acquire();
    benchmark::DoNotOptimize(slot);
  }
}
BENCHMARK(breaker_acquire_and_release);

void request_stats(benchmark::State& state) {
  knative::Instant now{};
  knative::RequestStats stats(now);
  for (auto _ : state) {
    now += 1us;
    stats.arrived(now);
    stats.finished(now);
  }
}
BENCHMARK(request_stats);

void find_route(benchmark::State& state) {
  World world(0);
  const auto table = world.router.table();
  for (auto _ : state) benchmark::DoNotOptimize(table->find("hello.default.example.com"));
}
BENCHMARK(find_route);

/// One rule with the hosts of a Route among `range(0)`, told to a router.
void change_one_route(benchmark::State& state) {
  World world(0);
  const auto rule = [](std::int64_t number, std::string_view revision) {
    const std::string name = "route-" + std::to_string(number);
    return knative::RouteRule{name,
                              {name + ".default.svc.cluster.local", name + ".default.svc",
                               name + ".default", name + ".default.localhost"},
                              {{std::string(revision), 100}},
                              {}};
  };
  std::vector<knative::RouteRule> rules;
  for (std::int64_t i = 0; i < state.range(0); ++i) rules.push_back(rule(i, "r-1"));
  auto table = knative::RouteTable::make(std::move(rules)).value();
  std::int64_t round = 0;
  for (auto _ : state) {
    table = table->with(rule(round % state.range(0), round % 2 == 0 ? "r-2" : "r-1")).value();
    world.router.set_table(table);
    ++round;
  }
}
BENCHMARK(change_one_route)->Arg(100)->Arg(10'000)->Unit(benchmark::kMicrosecond);

}  // namespace
