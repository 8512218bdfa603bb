// Arrival times, reports, and the driver.
#include <gtest/gtest.h>

#include "knative/simulation.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;

TEST(Load, PoissonHasTheRateAndVariesWithTheSeed) {
  const Load load = Load::poisson(100, 100s);
  const std::vector<Duration> times = load.arrivals(1);
  EXPECT_NEAR(static_cast<double>(times.size()), 10'000, 400);
  EXPECT_TRUE(std::is_sorted(times.begin(), times.end()));
  EXPECT_LT(times.back(), 100s);
  EXPECT_EQ(times, load.arrivals(1));
  EXPECT_NE(times, load.arrivals(2));
}

TEST(Load, ConstantIsEvenlySpaced) {
  EXPECT_EQ(Load::constant(4, 1s).arrivals(1), (std::vector<Duration>{0ms, 250ms, 500ms, 750ms}));
  EXPECT_TRUE(Load::constant(0, 1s).arrivals(1).empty());
}

TEST(Load, RampGrows) {
  const std::vector<Duration> times = Load::ramp(0, 100, 100s).arrivals(1);
  EXPECT_NEAR(static_cast<double>(times.size()), 5000, 300);
  std::size_t first_half = 0;
  for (const Duration at : times) first_half += at < 50s ? 1 : 0;
  EXPECT_NEAR(static_cast<double>(first_half), 1250, 150);
}

TEST(Load, BurstsAndListsAndSequences) {
  const Load load = Load::burst(2, 1s, 3s)
                        .then(Load::silence(2s))
                        .then(Load::at({500ms, 100ms}))
                        .then(Load::constant(1, 1s));
  EXPECT_EQ(load.duration(), 6500ms);
  EXPECT_EQ(load.arrivals(1),
            (std::vector<Duration>{0s, 0s, 1s, 1s, 2s, 2s, 5100ms, 5500ms, 5500ms}));
}

TEST(LoadReport, PercentilesAreCloseAndBounded) {
  LoadReport report;
  for (int i = 1; i <= 1000; ++i) {
    ++report.started;
    report.add_latency(Duration(std::chrono::microseconds(i)));
  }
  EXPECT_EQ(report.latency(0), report.latency_min);
  EXPECT_EQ(report.latency(1), 1000us);
  EXPECT_NEAR(static_cast<double>(report.latency(0.5).count()), 500e3, 500e3 / 32);
  EXPECT_NEAR(static_cast<double>(report.latency(0.99).count()), 990e3, 990e3 / 32);
  EXPECT_EQ(report.latency_mean(), 500500ns);
  EXPECT_EQ(LoadReport{}.latency(0.5), 0s);
}

/// Two at a time, 100 ms each; the others get 503.
class Busy final : public http::Handler {
 public:
  explicit Busy(Timers& timers) : timers_(timers) {}
  Task<http::Response> handle(http::Request& request) override {
    http::Response response;
    if (request.target == "/throw") throw std::runtime_error("no");
    if (running_ == 2) {
      response.status = 503;
      co_return response;
    }
    ++running_;
    co_await timers_.sleep_for(100ms);
    --running_;
    co_return response;
  }

 private:
  Timers& timers_;
  int running_ = 0;
};

TEST(SimulationLoad, DrivesAHandlerAndCountsWhatCameBack) {
  Simulation sim(1);
  Busy busy(sim.env().timers);
  LoadRun run = sim.load(busy, Load::burst(3, 1s, 10s));
  sim.run_for(5500ms);
  EXPECT_FALSE(run.done());
  sim.run_for(5s);
  EXPECT_TRUE(run.done());
  const LoadReport& report = run.report();
  EXPECT_EQ(report.started, 30U);
  EXPECT_EQ(report.finished, 30U);
  EXPECT_EQ(report.status(200), 20U);
  EXPECT_EQ(report.status(503), 10U);
  EXPECT_EQ(report.in_flight_max, 3U);
  EXPECT_EQ(report.latency_max, 100ms);
  EXPECT_EQ(report.latency_min, 0ms);
}

TEST(SimulationLoad, MakesRequestsAndCountsThrowingHandlers) {
  Simulation sim(1);
  Busy busy(sim.env().timers);
  LoadOptions options;
  options.request = [](std::uint64_t n) {
    http::Request request;
    request.target = n % 2 == 0 ? "/throw" : "/";
    return request;
  };
  LoadRun run = sim.load(busy, Load::constant(1, 10s), options);
  sim.run(run.finished());
  EXPECT_EQ(run.report().status(-1), 5U);
  EXPECT_EQ(run.report().status(200), 5U);
}

TEST(SimulationLoad, CallsAFunctionAndSkipsBeyondItsBound) {
  Simulation sim(1);
  LoadOptions options;
  options.in_flight_max = 4;
  Timers& timers = sim.env().timers;
  auto call = [&timers](std::uint64_t n) -> Task<int> {
    auto wait = [](Timers& clock, std::uint64_t number) -> Task<int> {
      co_await clock.sleep_for(1h);
      co_return static_cast<int>(number);
    };
    return wait(timers, n);
  };
  {
    LoadRun run = sim.load(call, Load::constant(10, 1s), options);
    sim.run_for(2s);
    EXPECT_EQ(run.report().started, 4U);
    EXPECT_EQ(run.report().skipped, 6U);
  }
  EXPECT_TRUE(sim.run_until_quiet(0s));  // dropping the run cancelled what was in flight
}

}  // namespace
}  // namespace knative
