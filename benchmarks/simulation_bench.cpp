// How much virtual world fits into a second of real time.
#include <benchmark/benchmark.h>

#include "knative/simulation.hpp"

namespace {

using namespace std::chrono_literals;
namespace kn = knative;

std::uint64_t hour_of_timers() {
  kn::Simulation sim(1);
  kn::TaskSet tasks(sim.env().executor);
  auto tick = [](kn::Timers& timers, kn::Duration interval) -> kn::Task<void> {
    for (;;) co_await timers.sleep_for(interval);
  };
  // 500 tickers of slightly different intervals: 1.8 million timers, hardly two at one instant.
  for (int i = 0; i < 500; ++i) tasks.add(tick(sim.env().timers, 1s + kn::Duration(i * 977)));
  sim.run_for(1h);
  return sim.timers_fired();
}

std::uint64_t hour_of_load() {
  kn::Simulation sim(1);
  class Work final : public kn::http::Handler {
   public:
    explicit Work(kn::Timers& timers) : timers_(timers) {}
    kn::Task<kn::http::Response> handle(kn::http::Request&) override {
      co_await timers_.sleep_for(20ms);
      co_return kn::http::Response{};
    }

   private:
    kn::Timers& timers_;
  };
  Work handler(sim.env().timers);
  kn::LoadRun run = sim.load(handler, kn::Load::poisson(200, 1h));
  sim.run_for(1h + 1s);
  return run.report().finished;
}

kn::Task<std::uint64_t> ping_pong(kn::Env& env) {
  auto listener = env.network.listen(kn::Endpoint{}).value();
  auto client = (co_await env.network.connect(listener->endpoint())).value();
  auto server = (co_await listener->accept()).value();
  char buffer[64];
  const std::span<char> into(buffer);
  std::uint64_t rounds = 0;
  for (; rounds < 100'000; ++rounds) {
    const auto ping = co_await client->write_all("ping");
    const auto got = co_await server->read_some(into);
    const auto pong = co_await server->write_all("pong");
    const auto back = co_await client->read_some(into);
    if (!ping || !got || !pong || !back) co_return 0;
  }
  co_return rounds;
}

std::uint64_t round_trips() {
  kn::Simulation sim(1);
  return sim.run(ping_pong(sim.env()));
}

std::uint64_t synced_appends() {
  kn::Simulation sim(1);
  kn::OpenOptions options;
  options.write = options.create = true;
  auto file = sim.env().files.open("/log", options).value();
  const std::string record(200, 'x');
  std::uint64_t offset = 0;
  for (int i = 0; i < 100'000; ++i) {
    file->write_at(offset, record).value();
    offset += record.size();
    if (i % 16 == 15) file->sync().value();
  }
  return 100'000;
}

/// Counts what `work` says that it did.
void count(benchmark::State& state, std::uint64_t (*work)()) {
  std::uint64_t done = 0;
  for (auto _ : state) done += work();
  state.SetItemsProcessed(static_cast<std::int64_t>(done));
}

BENCHMARK_CAPTURE(count, hour_of_500_tickers, hour_of_timers)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(count, hour_of_200_requests_per_second, hour_of_load)
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(count, loopback_round_trips, round_trips)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(count, appends_16_per_sync, synced_appends)->Unit(benchmark::kMillisecond);

}  // namespace
