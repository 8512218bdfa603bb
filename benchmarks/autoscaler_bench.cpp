// Decisions of the autoscaler. Mark: one pass over 10,000 revisions in at most 10 ms, without
// an allocation.
#include <benchmark/benchmark.h>

#include <deque>
#include <string>

#include "allocations.hpp"
#include "knative/autoscaler.hpp"

namespace {

using namespace std::chrono_literals;

void window_record_and_average(benchmark::State& state) {
  knative::Window window{std::chrono::seconds(state.range(0))};
  knative::Instant now{};
  for (auto _ : state) {
    now += 1s;
    window.record(now, 3.5);
    benchmark::DoNotOptimize(window.average(now));
  }
}
BENCHMARK(window_record_and_average)->Arg(6)->Arg(60)->Arg(600);

void decide(benchmark::State& state) {
  knative::Decider decider(knative::DeciderSpec{}, knative::Instant{}, 1);
  knative::Instant now{};
  double load = 0;
  for (auto _ : state) {
    now += 2s;
    load = load > 5000 ? 0 : load + 1;
    benchmark::DoNotOptimize(decider.decide(now, {.stable = load, .panic = load, .ready = 10}));
  }
}
BENCHMARK(decide);

struct SteadyRevision final : knative::StatSource, knative::ScaleTarget {
  knative::StatReport collect(knative::Instant) override {
    return {.average_concurrency = load, .requests_per_second = load, .any = true};
  }
  void scale_to(const knative::ScalePlan& plan) override { instances = plan.replicas; }
  void plan_changed(const knative::ScalePlan&) override {}
  int ready() const override { return instances; }
  double load = 0;
  int instances = 0;
};

/// One tick: reports of all revisions recorded, all windows averaged, all decisions taken.
void pass(benchmark::State& state) {
  knative::LoopOptions options;
  options.log_level = knative::LogLevel::error;
  knative::Loop loop(options);
  std::deque<SteadyRevision> revisions;
  knative::Autoscaler autoscaler(loop.env().timers, loop.env().logger);
  for (int i = 0; i < state.range(0); ++i) {
    revisions.emplace_back().load = i % 300;
    const std::string key = "default/r-" + std::to_string(i);
    autoscaler.add(key, knative::ScalerSpec{}, revisions.back(), revisions.back()).value();
  }
  knative::Instant now = loop.env().timers.now();
  for (int i = 0; i < 200; ++i) autoscaler.pass(now += 2s, true);
  const std::uint64_t before = knative_bench::allocations;
  for (auto _ : state) autoscaler.pass(now += 2s, true);
  const auto decisions = static_cast<double>(state.iterations() * state.range(0));
  state.SetItemsProcessed(static_cast<std::int64_t>(decisions));
  state.counters["allocations_per_decision"] =
      static_cast<double>(knative_bench::allocations - before) / decisions;
}
BENCHMARK(pass)->Arg(10'000)->Unit(benchmark::kMillisecond);

}  // namespace
