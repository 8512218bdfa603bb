// Router, autoscaler and workload wired together as a platform does it, in virtual time.
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "knative/autoscaler.hpp"
#include "knative/container_runtimes.hpp"
#include "knative/metrics.hpp"
#include "knative/router.hpp"
#include "knative/simulation.hpp"
#include "knative/workload.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;

/// One revision: the glue between the three engines.
class Slice final : public Demand, StatSource, ScaleTarget, EndpointListener {
 public:
  Slice(Env& env, ContainerRuntime& runtime, const RevisionOptions& options,
        const ScalerSpec& scaler, const ContainerSpec& workload,
        const RevisionScaler::Start& start = {})
      : timers_(env.timers),
        activator_(env.timers, env.random, *this, &metrics_),
        throttler_(*activator_.add(options)),
        router_(activator_, env.random),
        pool_(env, runtime, *this, {.container = workload}),
        autoscaler_(env.timers, env.logger, {.metrics = &metrics_}) {
    router_.set_table(
        RouteTable::make(
            {{.name = "s", .hosts = {"s.local"}, .targets = {{options.revision, 100}}}})
            .value());
    autoscaler_.add("r", scaler, *this, *this, start).value();
  }
  ~Slice() override { autoscaler_.remove("r"); }

  Router& router() { return router_; }
  Throttler& throttler() { return throttler_; }
  RevisionPool& pool() { return pool_; }
  std::string metrics() const { return metrics_.prometheus_text(); }
  const ScalePlan& plan() const { return *autoscaler_.plan("r"); }
  const std::vector<std::pair<Instant, int>>& scales() const { return scales_; }
  int most() const { return most_; }

 private:
  void wanted(std::string_view) override { autoscaler_.poke("r"); }
  StatReport collect(Instant now) override {
    const RequestStats::Report report = throttler_.stats().report(now);
    StatReport stats;
    stats.average_concurrency = report.average_concurrency;
    const double seconds = std::chrono::duration<double>(report.elapsed).count();
    const auto count = static_cast<double>(report.request_count);
    stats.requests_per_second = seconds > 0 ? count / seconds : count;
    stats.any = report.average_concurrency > 0 || report.request_count > 0;
    return stats;
  }
  void scale_to(const ScalePlan& plan) override {
    scales_.emplace_back(timers_.now(), plan.replicas);
    most_ = std::max(most_, plan.replicas);
    pool_.scale_to(plan.replicas);
  }
  void plan_changed(const ScalePlan&) override {}
  int ready() const override { return pool_.ready(); }
  using Handler = std::shared_ptr<http::Handler>;
  void endpoint_ready(const Handler& endpoint) override { throttler_.add_endpoint(endpoint); }
  Task<void> endpoint_draining(const Handler& endpoint) override {
    return throttler_.remove_endpoint(*endpoint);
  }
  void endpoint_gone(const Handler& endpoint) override { throttler_.abort_endpoint(*endpoint); }
  void instance_failed(const InstanceFailure& failure) override {
    if (failure.failures >= 3) throttler_.fail_waiting("no instance starts");
  }
  void pool_changed() override { autoscaler_.ready_changed("r"); }

  Timers& timers_;
  Metrics metrics_;
  Activator activator_;
  Throttler& throttler_;
  Router router_;
  RevisionPool pool_;
  Autoscaler autoscaler_;
  std::vector<std::pair<Instant, int>> scales_;
  int most_ = 0;
};

http::Request to_slice(std::uint64_t) {
  http::Request request = http::get("/");
  request.headers.set("Host", "s.local");
  return request;
}

constexpr RevisionScaler::Start at_zero{
    .replicas = 0, .initialized = true, .active = ActiveState::inactive};

class ServingSliceTest : public testing::Test {
 protected:
  ServingSliceTest()
      : runtime(functions, sim.env().executor, sim.env().timers, sim.env().offload,
                sim.env().logger) {
    Timers& timers = sim.env().timers;
    functions.http("nap", [&timers](http::Request&) -> Task<http::Response> {
      co_await timers.sleep_for(100ms);
      co_return http::text("rested");
    });
    workload.name = "default/s-1";
    workload.image = "fn:nap";
    workload.ports.push_back({.container_port = 8080});
  }
  Slice& make(int concurrency, const RevisionScaler::Start& start = {},
              Duration timeout = std::chrono::seconds(300)) {
    const RevisionOptions options{
        .revision = "default/s-1", .container_concurrency = concurrency, .timeout = timeout};
    const ScalerSpec spec = resolve_scaler_spec({}, {}, concurrency).value();
    slice = std::make_unique<Slice>(sim.env(), runtime, options, spec, workload, start);
    return *slice;
  }
  http::Response fetch() {
    http::Request request = to_slice(0);
    return sim.run(slice->router().handle(request));
  }

  Simulation sim{11};
  FunctionTable functions;
  FunctionRuntime runtime;
  ContainerSpec workload;
  std::unique_ptr<Slice> slice;
};

TEST_F(ServingSliceTest, ARequestWakesARevisionFromZeroAndItFallsBack) {
  Slice& serving = make(10, at_zero);
  sim.run_for(1min);
  EXPECT_EQ(serving.plan().replicas, 0);
  const Instant before = sim.now();
  EXPECT_EQ(fetch().body.bytes(), "rested");
  EXPECT_EQ(sim.now() - before, Duration(100ms));  // the start itself takes no virtual time
  EXPECT_EQ(serving.plan().replicas, 1);
  EXPECT_EQ(serving.plan().active, ActiveState::active);
  sim.run_for(2min);
  EXPECT_EQ(serving.plan().replicas, 0);
  EXPECT_EQ(serving.pool().ready(), 0);
  std::vector<int> numbers;
  for (const auto& [at, replicas] : serving.scales()) numbers.push_back(replicas);
  EXPECT_EQ(numbers, (std::vector<int>{0, 1, 0}));
  const std::string text = serving.metrics();
  const auto has = [&text](const std::string& line) {
    return text.find(line + "\n") != std::string::npos;
  };
  EXPECT_TRUE(has("autoscaler_requested_pods{revision_name=\"r\"} 0")) << text;
  EXPECT_TRUE(has("autoscaler_panic_mode{revision_name=\"r\"} 0")) << text;
  EXPECT_TRUE(has("revision_queue_depth{revision_name=\"default/s-1\"} 0")) << text;
  const std::string labels =
      "{response_code=\"200\",response_code_class=\"2xx\",revision_name=\"default/s-1\"";
  EXPECT_TRUE(has("revision_request_count" + labels + "} 1")) << text;
  EXPECT_TRUE(has("revision_request_latencies_bucket" + labels + ",le=\"50\"} 0")) << text;
  EXPECT_TRUE(has("revision_request_latencies_bucket" + labels + ",le=\"100\"} 1")) << text;
  EXPECT_EQ(fetch().status, 200);
}

TEST_F(ServingSliceTest, LoadScalesOutAndNoRequestIsLost) {
  Slice& serving = make(10, at_zero);
  LoadOptions options;
  options.request = to_slice;
  LoadRun run = sim.load(serving.router(), Load::poisson(300, 5min), options);
  sim.run_for(5min);
  // 300/s for 100 ms are 30 at once; 7 of 10 are aimed at: 5 instances.
  EXPECT_GE(serving.plan().replicas, 4);
  EXPECT_LE(serving.plan().replicas, 7);
  EXPECT_LE(serving.most(), 40);  // panic answers the queue of the first seconds
  sim.run_for(10min);
  const LoadReport report = run.report();
  EXPECT_GT(report.started, 80'000U);
  EXPECT_EQ(report.status(200), report.started);
  EXPECT_EQ(serving.plan().replicas, 0);
  EXPECT_EQ(serving.throttler().in_flight(), 0);
}

TEST_F(ServingSliceTest, ConcurrencyOneScalesWithTheNumberOfCallers) {
  Slice& serving = make(1, at_zero);
  LoadOptions options;
  options.request = to_slice;
  LoadRun run = sim.load(serving.router(), Load::poisson(50, 3min), options);
  sim.run_for(10min);
  const LoadReport report = run.report();
  EXPECT_EQ(report.status(200), report.started);
  EXPECT_GE(serving.most(), 5);
}

TEST_F(ServingSliceTest, ARevisionThatCannotStartAnswers503WithoutItsOutput) {
  workload.image = "fn:absent";
  make(0, at_zero);
  const http::Response response = fetch();
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(response.body.bytes(), "Service Unavailable: no instance starts\n");
}

TEST_F(ServingSliceTest, TheSameSeedGivesTheSameHour) {
  std::vector<std::uint64_t> hashes;
  for (int round = 0; round < 3; ++round) {
    Simulation world(99);
    FunctionRuntime local(functions, world.env().executor, world.env().timers, world.env().offload,
                          world.env().logger);
    functions.http("quick", [](http::Request&) { return http::text("ok"); });
    ContainerSpec spec = workload;
    spec.image = "fn:quick";
    Slice serving(world.env(), local, {.revision = "r"}, ScalerSpec{}, spec, at_zero);
    LoadOptions options;
    options.request = to_slice;
    LoadRun run = world.load(serving.router(), Load::poisson(5, 50min), options);
    world.run_for(1h);
    EXPECT_EQ(serving.plan().replicas, 0);
    hashes.push_back(world.trace().hash());
  }
  EXPECT_EQ(hashes[0], hashes[1]);
  EXPECT_EQ(hashes[0], hashes[2]);
}

}  // namespace
}  // namespace knative
