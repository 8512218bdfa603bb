#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "knative/simulation.hpp"
#include "knative/workload.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;

/// An instance that does what the test says.
struct FakeInstance final : Instance {
  struct World;
  explicit FakeInstance(World& w);
  ~FakeInstance() override;
  Task<http::Response> handle(http::Request&) override { co_return http::text("fake"); }
  Task<Result<void>> ready() override;
  Task<void> stop(Duration) override;
  Task<ExitStatus> exited() override {
    co_await ended.wait();
    co_return ExitStatus{.code = 3};
  }
  World& world;
  Wakeup ended;
  bool stopped = false;
};

struct FakeInstance::World {
  explicit World(Timers& t) : timers(t) {}
  Timers& timers;
  Duration ready_after = 100ms;
  Duration stop_takes = 50ms;
  int fail_starts = 0;
  int fail_ready = 0;
  int started = 0;
  std::vector<FakeInstance*> alive;
};

FakeInstance::FakeInstance(World& w) : world(w) { world.alive.push_back(this); }
FakeInstance::~FakeInstance() { std::erase(world.alive, this); }
Task<Result<void>> FakeInstance::ready() {
  co_await world.timers.sleep_for(world.ready_after);
  if (world.fail_ready-- > 0) co_return fail(Errc::unavailable, "it fell over");
  co_return Result<void>();
}
Task<void> FakeInstance::stop(Duration) {
  co_await world.timers.sleep_for(world.stop_takes);
  stopped = true;
  ended.set();
}

struct FakeRuntime final : WorkloadRuntime {
  explicit FakeRuntime(FakeInstance::World& w) : world(w) {}
  Task<Result<std::unique_ptr<Instance>>> start(const WorkloadSpec&) override {
    ++world.started;
    if (world.fail_starts-- > 0) co_return fail(Errc::not_found, "no such image");
    co_return std::unique_ptr<Instance>(std::make_unique<FakeInstance>(world));
  }
  FakeInstance::World& world;
};

struct RecordedListener final : EndpointListener {
  explicit RecordedListener(Timers& t) : timers(t) {}
  void endpoint_ready(http::Handler& endpoint) override { endpoints.push_back(&endpoint); }
  Task<void> endpoint_draining(http::Handler& endpoint) override {
    std::erase(endpoints, &endpoint);
    ++draining;
    return drain();
  }
  Task<void> drain() {
    co_await timers.sleep_for(drain_takes);
    ++drained;
  }
  void endpoint_gone(http::Handler& endpoint) override {
    std::erase(endpoints, &endpoint);
    ++gone;
  }
  void instance_failed(const Error& error, int failures) override {
    errors.push_back(error.to_string() + " #" + std::to_string(failures));
    failed_at.push_back(timers.now());
  }
  void pool_changed() override { ++changes; }
  Timers& timers;
  Duration drain_takes{0};
  std::vector<http::Handler*> endpoints;
  std::vector<std::string> errors;
  std::vector<Instant> failed_at;
  int draining = 0;
  int drained = 0;
  int gone = 0;
  int changes = 0;
};

class RevisionPoolTest : public testing::Test {
 protected:
  RevisionPoolTest() : world(sim.env().timers), runtime(world), listener(sim.env().timers) {
    spec.name = "default/r-1";
    make();
  }
  void make(RevisionPoolOptions options = {}) {
    pool.emplace(sim.env().executor, sim.env().timers, sim.env().logger, runtime, listener, spec,
                 options);
  }
  Simulation sim{3};
  WorkloadSpec spec;
  FakeInstance::World world;
  FakeRuntime runtime;
  RecordedListener listener;
  std::optional<RevisionPool> pool;
};

TEST_F(RevisionPoolTest, StartsWhatIsWantedAndAnnouncesItWhenReady) {
  pool->scale_to(3);
  EXPECT_EQ(pool->starting(), 3);
  sim.run_for(50ms);
  EXPECT_EQ(listener.endpoints.size(), 0U);
  sim.run_for(60ms);
  EXPECT_EQ(listener.endpoints.size(), 3U);
  EXPECT_EQ(pool->ready(), 3);
  EXPECT_EQ(pool->starting(), 0);
}

TEST_F(RevisionPoolTest, DrainsBeforeItStops) {
  listener.drain_takes = 5s;
  pool->scale_to(1);
  sim.run_for(1s);
  pool->scale_to(0);
  EXPECT_EQ(pool->stopping(), 1);
  sim.run_for(1s);
  EXPECT_EQ(listener.endpoints.size(), 0U);
  ASSERT_EQ(world.alive.size(), 1U);
  EXPECT_FALSE(world.alive[0]->stopped);
  sim.run_for(5s);
  EXPECT_EQ(listener.drained, 1);
  EXPECT_EQ(listener.gone, 1);
  EXPECT_EQ(world.alive.size(), 0U);
  EXPECT_EQ(pool->stopping(), 0);
  EXPECT_EQ(pool->restarts(), 0U);
}

TEST_F(RevisionPoolTest, DrainingHasALimit) {
  listener.drain_takes = 1h;
  pool->scale_to(1);
  sim.run_for(1s);
  pool->scale_to(0);
  sim.run_for(31s);
  EXPECT_EQ(listener.drained, 0);
  EXPECT_EQ(listener.gone, 1);
  EXPECT_EQ(world.alive.size(), 0U);
}

TEST_F(RevisionPoolTest, StopsTheUnreadyFirstThenTheYoungest) {
  pool->scale_to(2);
  sim.run_for(1s);
  FakeInstance* const oldest = world.alive[0];
  world.ready_after = 10s;
  pool->scale_to(3);
  sim.run_for(1s);
  pool->scale_to(2);
  sim.run_for(1s);
  EXPECT_EQ(pool->ready(), 2);
  EXPECT_EQ(listener.draining, 0);
  pool->scale_to(1);
  sim.run_for(1s);
  ASSERT_EQ(listener.endpoints.size(), 1U);
  EXPECT_EQ(listener.endpoints[0], static_cast<http::Handler*>(oldest));
}

TEST_F(RevisionPoolTest, ACrashedInstanceIsRestartedAtOnceThenWithBackOff) {
  world.ready_after = 0ms;
  pool->scale_to(1);
  sim.run_for(1ms);
  for (int crash = 0; crash < 4; ++crash) {
    ASSERT_EQ(world.alive.size(), 1U) << crash;
    world.alive[0]->ended.set();
    sim.run_for(500ms);
  }
  EXPECT_EQ(pool->restarts(), 4U);
  EXPECT_EQ(pool->ready(), 1);
  EXPECT_EQ(listener.gone, 4);
  EXPECT_EQ(listener.errors[0], "unavailable: default/r-1 ended by itself (exit code 3) #1");
  EXPECT_EQ(listener.errors[3], "unavailable: default/r-1 ended by itself (exit code 3) #4");
  EXPECT_FALSE(pool->last_error().has_value());
}

TEST_F(RevisionPoolTest, FailuresToStartAreReportedAndRetriedLater) {
  world.fail_starts = 4;
  pool->scale_to(1);
  sim.run_for(1ms);
  ASSERT_TRUE(pool->last_error().has_value());
  EXPECT_EQ(pool->last_error()->code, Errc::not_found);
  sim.run_for(2s);
  ASSERT_EQ(listener.failed_at.size(), 4U);
  EXPECT_EQ(listener.failed_at[1] - listener.failed_at[0], Duration(0));
  EXPECT_EQ(listener.failed_at[2] - listener.failed_at[1], Duration(100ms));
  EXPECT_EQ(listener.failed_at[3] - listener.failed_at[2], Duration(200ms));
  EXPECT_EQ(pool->ready(), 1);
}

TEST_F(RevisionPoolTest, AnInstanceThatDoesNotBecomeReadyIsReplaced) {
  world.fail_ready = 1;
  pool->scale_to(1);
  sim.run_for(1s);
  EXPECT_EQ(world.started, 2);
  EXPECT_EQ(pool->ready(), 1);
  EXPECT_EQ(listener.endpoints.size(), 1U);
}

TEST_F(RevisionPoolTest, ScalingDownInterruptsABackOff) {
  world.fail_starts = 1000;
  pool->scale_to(1);
  sim.run_for(30s);
  pool->scale_to(0);
  sim.run_for(1ms);
  EXPECT_EQ(pool->starting() + pool->stopping() + pool->ready(), 0);
}

TEST_F(RevisionPoolTest, StopWaitsUntilEverythingIsGone) {
  pool->scale_to(3);
  sim.run_for(1s);
  sim.run(pool->stop());
  EXPECT_EQ(world.alive.size(), 0U);
  EXPECT_EQ(pool->stopping(), 0);
}

TEST_F(RevisionPoolTest, DestroyingThePoolEndsInstancesAndTakesThemFromTheListener) {
  pool->scale_to(3);
  sim.run_for(1s);
  pool.reset();
  EXPECT_EQ(world.alive.size(), 0U);
  EXPECT_EQ(listener.endpoints.size(), 0U);
  EXPECT_EQ(listener.gone, 3);
}

TEST_F(RevisionPoolTest, FollowsRandomWishesAndCrashes) {
  Random random(5);
  for (int move = 0; move < 500; ++move) {
    if (random.below(2) == 0) pool->scale_to(static_cast<int>(random.below(6)));
    if (random.below(3) == 0 && !world.alive.empty()) {
      world.alive[random.below(world.alive.size())]->ended.set();
    }
    world.fail_starts = random.below(8) == 0 ? 1 : 0;
    sim.run_for(std::chrono::milliseconds(random.below(300)));
    ASSERT_EQ(pool->starting() + pool->ready(), pool->wanted());
    ASSERT_EQ(static_cast<int>(listener.endpoints.size()), pool->ready());
  }
  pool->scale_to(4);
  sim.run_for(5min);
  EXPECT_EQ(pool->ready(), 4);
  EXPECT_EQ(world.alive.size(), 4U);
}

TEST(RestartSchedule, DoublesUpToItsMaximumAndForgets) {
  RestartSchedule schedule({.initial = 100ms, .max = 1s, .reset_after = 10s});
  Instant now{};
  const Duration expected[] = {0ms, 100ms, 200ms, 400ms, 800ms, 1s, 1s};
  for (const Duration delay : expected) EXPECT_EQ(schedule.failed(now), delay);
  schedule.ready(now);
  EXPECT_EQ(schedule.failed(now + 9s), Duration(1s));
  schedule.ready(now + 20s);
  EXPECT_EQ(schedule.failed(now + 30s), Duration(0));
}

}  // namespace
}  // namespace knative
