// Events through a broker in this process: published durably against raw write + fdatasync of
// the same bytes in the same seconds, and fanned out from memory to triggers.
#include <benchmark/benchmark.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "knative/event_broker.hpp"

namespace knative {
namespace {

using Clock = std::chrono::steady_clock;

LoopOptions quiet() {
  LoopOptions options;
  options.log_level = LogLevel::error;
  options.seed = 1;
  return options;
}

CloudEvent sample(std::size_t bytes) {
  CloudEvent event("com.example.order.created", "/shop/europe", std::string(bytes, 'x'));
  event.set_id("0a1b2c3d-0000-4000-8000-000000000001").set_time("2026-01-01T00:00:00Z");
  return event;
}

class CountingSink final : public Sink {
 public:
  Task<Result<Reply>> deliver(const CloudEvent&) override {
    ++events;
    co_return Reply();
  }
  std::uint64_t events = 0;
};

Task<void> publish_together(EventBroker& broker, const CloudEvent& event, std::size_t count) {
  std::vector<Task<Result<Offset>>> published;
  published.reserve(count);
  for (std::size_t i = 0; i < count; ++i) published.push_back(broker.publish(event));
  for (const Result<Offset>& offset : co_await when_all(std::move(published))) offset.value();
}

/// `range(0)` events of 1 KB in flight; nobody subscribes.
void durable_publish(benchmark::State& state) {
  const auto in_flight = static_cast<std::size_t>(state.range(0));
  Loop loop(quiet());
  Env& env = loop.env();
  const std::string directory = env.files.make_temporary_directory("./broker-bench").value();
  {
    std::shared_ptr<Log> log = loop.run(open_segment_log(env, directory + "/log")).value();
    EventBroker broker(env.executor, env.timers, log, env.logger, env.random.split("bench"));
    const CloudEvent event = sample(1024);
    auto raw = env.files.open(directory + "/raw", {.write = true, .create = true}).value();
    loop.run(publish_together(broker, event, in_flight));
    const std::string batch(log->stats().bytes, 'x');  // what one round writes
    std::uint64_t at = 0;
    double ours = 0;
    double theirs = 0;
    const auto publish = [&] {
      const auto begin = Clock::now();
      loop.run(publish_together(broker, event, in_flight));
      const double elapsed = std::chrono::duration<double>(Clock::now() - begin).count();
      state.SetIterationTime(elapsed);
      ours += elapsed;
    };
    const auto write_raw = [&] {
      const auto begin = Clock::now();
      raw->write_at(at, batch).value();
      raw->sync().value();
      theirs += std::chrono::duration<double>(Clock::now() - begin).count();
      at += batch.size();
    };
    bool ours_first = true;
    for (auto _ : state) {
      if (ours_first) publish();
      write_raw();
      if (!ours_first) publish();
      ours_first = !ours_first;
    }
    const auto count = static_cast<double>(state.iterations()) * static_cast<double>(in_flight);
    state.counters["events_per_second"] = count / ours;
    state.counters["raw_per_second"] = count / theirs;
    state.counters["of_raw"] = theirs / ours;
    loop.run(broker.stop());
    loop.run(log->close()).value();
  }
  (void)env.files.remove_all(directory);
}
BENCHMARK(durable_publish)
    ->Arg(1)
    ->Arg(64)
    ->Arg(256)
    ->UseManualTime()
    ->Unit(benchmark::kMicrosecond);

Task<void> drained(EventBroker& broker, Timers& timers) {
  while (!broker.idle()) co_await timers.sleep_for(std::chrono::microseconds(10));
}

/// Publish in memory, filter, deliver to `range(0)` triggers that match and as many that do not.
void fan_out(benchmark::State& state) {
  constexpr std::size_t batch = 256;
  const auto triggers = static_cast<std::size_t>(state.range(0));
  Loop loop(quiet());
  Env& env = loop.env();
  const std::shared_ptr<Log> log = memory_log(env.timers);
  EventBroker broker(env.executor, env.timers, log, env.logger, env.random.split("bench"));
  const auto sink = std::make_shared<CountingSink>();
  const CloudEvent event = sample(1024);
  for (std::size_t i = 0; i < triggers; ++i) {
    TriggerOptions matching;
    matching.filter = Filter::exact("type", event.type()).value();
    broker.set_trigger("matching-" + std::to_string(i), std::move(matching), sink).value();
    TriggerOptions other;
    other.filter = Filter::exact("type", "com.example.other").value();
    broker.set_trigger("other-" + std::to_string(i), std::move(other), sink).value();
  }
  for (auto _ : state) {
    loop.run(publish_together(broker, event, batch));
    loop.run(drained(broker, env.timers));
  }
  const std::uint64_t wanted = state.iterations() * batch * triggers;
  if (sink->events != wanted) state.SkipWithError("events were lost");
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * batch));
  loop.run(broker.stop());
}
BENCHMARK(fan_out)->Arg(1)->Arg(5)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace knative
