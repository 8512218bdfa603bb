// Durable appends against raw write + fdatasync of the same size, alternating within the same
// seconds: only the ratio says something, because disks change their mood.
#include <benchmark/benchmark.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "knative/log.hpp"

namespace knative {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t record_bytes = 1024;

Task<void> append_together(Log& log, const std::string& record, std::size_t count) {
  std::vector<Task<Result<Offset>>> appends;
  for (std::size_t i = 0; i < count; ++i) appends.push_back(log.append(record));
  for (const Result<Offset>& offset : co_await when_all(std::move(appends))) offset.value();
}

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

void durable_append(benchmark::State& state) {
  const auto in_flight = static_cast<std::size_t>(state.range(0));
  LoopOptions loop_options;
  loop_options.log_sink = [](const LogRecord&) {};
  Loop loop(loop_options);
  Files& files = loop.env().files;
  const std::string directory = files.make_temporary_directory("./log-bench").value();
  {
    auto log = loop.run(open_segment_log(loop.env(), directory + "/log"));
    OpenOptions options;
    options.write = options.create = true;
    auto raw = files.open(directory + "/raw", options);
    const std::string record(record_bytes, 'x');
    const std::string batch(record_bytes * in_flight, 'x');
    std::uint64_t at = 0;
    double ours = 0;
    double theirs = 0;
    const auto append = [&] {
      const auto begin = Clock::now();
      loop.run(append_together(**log, record, in_flight));
      const double elapsed = seconds_since(begin);
      state.SetIterationTime(elapsed);
      ours += elapsed;
    };
    const auto write_raw = [&] {
      const auto begin = Clock::now();
      (*raw)->write_at(at, batch).value();
      (*raw)->sync().value();
      theirs += seconds_since(begin);
      at += batch.size();
    };
    bool ours_first = true;
    for (auto _ : state) {
      if (ours_first) append();
      write_raw();
      if (!ours_first) append();
      ours_first = !ours_first;
    }
    const double count = static_cast<double>(state.iterations() * in_flight);
    state.counters["events_per_second"] = count / ours;
    state.counters["raw_per_second"] = count / theirs;
    state.counters["of_raw"] = theirs / ours;
    loop.run((*log)->close()).value();
  }
  (void)files.remove_all(directory);
}
BENCHMARK(durable_append)
    ->Arg(1)
    ->Arg(16)
    ->Arg(256)
    ->UseManualTime()
    ->Unit(benchmark::kMicrosecond);

void checksum(benchmark::State& state) {
  const std::string bytes(static_cast<std::size_t>(state.range(0)), 'x');
  for (auto _ : state) benchmark::DoNotOptimize(crc32c(bytes));
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * state.range(0));
}
BENCHMARK(checksum)->Arg(1024)->Arg(1 << 20);

}  // namespace
}  // namespace knative
