// Filters and forms of events.
#include <benchmark/benchmark.h>

#include "knative/event.hpp"

namespace knative {
namespace {

CloudEvent sample() {
  CloudEvent event("com.example.order.created", "/shop/europe",
                   {{"id", 7}, {"text", std::string(700, 'x')}});
  event.set_id("0a1b2c3d-0000-4000-8000-000000000001").set_time("2026-01-01T00:00:00Z");
  event.set_subject("order-7").set_extension("partitionkey", "customer-12");
  return event;
}

void run_filter(benchmark::State& state, const Filter& filter) {
  const CloudEvent event = sample();
  for (auto _ : state) benchmark::DoNotOptimize(filter.matches(event));
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}

void filter_exact_type(benchmark::State& state) {
  run_filter(state, Filter::exact("type", "com.example.order.created").value());
}
void filter_exact_extension(benchmark::State& state) {
  run_filter(state, Filter::exact("partitionkey", "customer-12").value());
}
void filter_all_of_three(benchmark::State& state) {
  run_filter(state, Filter::all({Filter::exact("type", "com.example.order.created").value(),
                                 Filter::prefix("source", "/shop").value(),
                                 Filter::suffix("subject", "-7").value()})
                        .value());
}
void filter_cesql(benchmark::State& state) {
  run_filter(state, Filter::cesql("type LIKE 'com.example.%' AND EXISTS subject").value());
}
BENCHMARK(filter_exact_type);
BENCHMARK(filter_exact_extension);
BENCHMARK(filter_all_of_three);
BENCHMARK(filter_cesql);

void encode_bytes(benchmark::State& state) {
  const CloudEvent event = sample();
  for (auto _ : state) benchmark::DoNotOptimize(to_bytes(event));
}
void decode_bytes(benchmark::State& state) {
  const std::string bytes = to_bytes(sample());
  for (auto _ : state) benchmark::DoNotOptimize(event_from_bytes(bytes));
}
void decode_json(benchmark::State& state) {
  const std::string text = to_json(sample());
  for (auto _ : state) benchmark::DoNotOptimize(event_from_json(text));
}
void decode_binary(benchmark::State& state) {
  const http::Request request = to_http(sample());
  for (auto _ : state) benchmark::DoNotOptimize(from_http(request));
}
BENCHMARK(encode_bytes);
BENCHMARK(decode_bytes);
BENCHMARK(decode_json);
BENCHMARK(decode_binary);

}  // namespace
}  // namespace knative
