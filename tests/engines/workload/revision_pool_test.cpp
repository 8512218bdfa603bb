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

/// A container that does what the test says.
struct FakeContainer final : Container {
  struct World;
  struct Answer;
  explicit FakeContainer(World& w);
  ~FakeContainer() override;
  Task<ExitStatus> wait() override {
    co_await ended.wait();
    co_return ExitStatus{.code = 3};
  }
  void signal(int) override {}
  Task<void> stop(Duration) override;
  std::shared_ptr<http::Handler> endpoint() const override;
  std::optional<Endpoint> address(std::uint16_t) const override { return std::nullopt; }
  std::vector<std::string> last_lines() const override { return {}; }
  Result<void> freeze() override;
  Result<void> thaw() override {
    frozen = false;
    return {};
  }
  World& world;
  std::shared_ptr<Answer> answer;
  Wakeup ended;
  bool stopped = false;
  bool frozen = false;
};

struct FakeContainer::World {
  explicit World(Timers& t) : timers(t) {}
  Timers& timers;
  Duration ready_after = 100ms;
  Duration stop_takes = 50ms;
  int fail_starts = 0;
  int fail_ready = 0;
  int started = 0;
  bool well = true;   ///< What /livez says.
  bool ready = true;  ///< What /readyz says.
  bool freezes = true;
  std::vector<bool> stopped_frozen;  ///< Whether it was when it was told to stop.
  std::vector<http::Request> seen;
  std::vector<std::string> mounted;  ///< Sources, in order of the starts.
  std::vector<FakeContainer*> alive;
};

struct FakeContainer::Answer final : http::Handler {
  explicit Answer(World& w) : world(w), born(w.timers.now()) {}
  Task<http::Response> handle(http::Request& request) override;
  World& world;
  Instant born;
};

std::shared_ptr<http::Handler> FakeContainer::endpoint() const { return answer; }
FakeContainer::FakeContainer(World& w) : world(w), answer(std::make_shared<Answer>(w)) {
  world.alive.push_back(this);
}
FakeContainer::~FakeContainer() { std::erase(world.alive, this); }
Task<http::Response> FakeContainer::Answer::handle(http::Request& request) {
  world.seen.push_back(http::get(request.target));
  world.seen.back().headers = request.headers;
  const bool begun = world.timers.now() - born >= world.ready_after;
  const bool good = request.target == "/livez"    ? world.well
                    : request.target == "/readyz" ? world.ready && begun
                                                  : begun;
  co_return http::text("", good ? 200 : 503);
}
Result<void> FakeContainer::freeze() {
  if (!world.freezes) return fail(Errc::unavailable, "it is too warm");
  frozen = true;
  return {};
}
Task<void> FakeContainer::stop(Duration) {
  world.stopped_frozen.push_back(frozen);
  co_await world.timers.sleep_for(world.stop_takes);
  stopped = true;
  ended.set();
}

struct FakeRuntime final : ContainerRuntime {
  explicit FakeRuntime(FakeContainer::World& w) : world(w) {}
  FieldErrors unsupported(const ContainerSpec&) const override { return {}; }
  Task<Result<std::unique_ptr<Container>>> start(const ContainerSpec& spec,
                                                 ContainerOutput) override {
    ++world.started;
    for (const ContainerMount& mount : spec.mounts) world.mounted.push_back(mount.source);
    if (world.fail_starts-- > 0) co_return fail(Errc::not_found, "no such image");
    auto container = std::make_unique<FakeContainer>(world);
    if (world.fail_ready-- > 0) container->ended.set();
    co_return std::unique_ptr<Container>(std::move(container));
  }
  FakeContainer::World& world;
};

struct RecordedListener final : EndpointListener {
  explicit RecordedListener(Timers& t) : timers(t) {}
  void endpoint_ready(const std::shared_ptr<http::Handler>& endpoint) override {
    endpoints.push_back(endpoint.get());
  }
  Task<void> endpoint_draining(const std::shared_ptr<http::Handler>& endpoint) override {
    std::erase(endpoints, endpoint.get());
    ++draining;
    return drain();
  }
  Task<void> drain() {
    co_await timers.sleep_for(drain_takes);
    ++drained;
  }
  void endpoint_gone(const std::shared_ptr<http::Handler>& endpoint) override {
    std::erase(endpoints, endpoint.get());
    ++gone;
  }
  void instance_failed(const InstanceFailure& failure) override {
    errors.push_back(failure.error.to_string() + " #" + std::to_string(failure.failures));
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
    spec.container.name = "default/r-1";
    spec.readiness.kind = InstanceProbe::Kind::http;
    spec.readiness.path = "/readyz";
    make();
  }
  void make(RevisionPoolOptions options = {}) {
    pool.emplace(sim.env(), runtime, listener, spec, options);
  }
  Simulation sim{3};
  InstanceSpec spec;
  FakeContainer::World world;
  FakeRuntime runtime;
  RecordedListener listener;
  std::optional<RevisionPool> pool;
};

TEST_F(RevisionPoolTest, StartsWhatIsWantedAndAnnouncesItWhenReady) {
  pool->scale_to(3);
  EXPECT_EQ(pool->starting(), 3);
  sim.run_for(50ms);
  EXPECT_EQ(listener.endpoints.size(), 0U);
  sim.run_for(75ms);
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
  FakeContainer* const oldest = world.alive[0];
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
  EXPECT_EQ(listener.endpoints[0], oldest->answer.get());
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

TEST_F(RevisionPoolTest, EveryInstanceIsPreparedByItselfAndLetGoOfWhenItHasEnded) {
  int prepared = 0;
  std::vector<int> gone;
  bool full = true;
  RevisionPoolOptions options;
  options.prepare = [&](InstanceSpec& instance) -> Result<std::shared_ptr<void>> {
    if (std::exchange(full, false)) return fail(Errc::resource_exhausted, "the disk is full");
    const int number = ++prepared;
    instance.container.mounts.push_back(
        {.source = "folder-" + std::to_string(number), .target = "/data"});
    return std::shared_ptr<void>(&gone, [&gone, number](void*) { gone.push_back(number); });
  };
  make(options);
  world.ready_after = 0ms;
  pool->scale_to(2);
  sim.run_for(1s);
  EXPECT_EQ(listener.errors[0], "resource_exhausted: the disk is full #1");
  EXPECT_EQ(world.mounted, (std::vector<std::string>{"folder-1", "folder-2"}));
  EXPECT_TRUE(gone.empty());
  world.alive[0]->ended.set();
  sim.run_for(1s);
  EXPECT_EQ(gone, std::vector<int>{1});
  EXPECT_EQ(world.mounted.back(), "folder-3");
  sim.run(pool->stop());
  EXPECT_EQ(gone.size(), 3U);
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

TEST_F(RevisionPoolTest, AnInstanceThatFailsItsLivenessProbeIsReplaced) {
  spec.liveness = InstanceProbe{.kind = InstanceProbe::Kind::http,
                                .path = "/livez",
                                .initial_delay = 5s,
                                .period = 2s,
                                .failure_threshold = 3};
  make();
  pool->scale_to(1);
  sim.run_for(1s);
  EXPECT_EQ(pool->ready(), 1);
  world.well = false;
  sim.run_for(8s);  // asked at 5, 7 and 9 s
  EXPECT_EQ(world.started, 1);
  sim.run_for(1s);
  EXPECT_EQ(world.started, 2);
  EXPECT_EQ(listener.errors[0],
            "unavailable: default/r-1 failed its liveness probe: GET /livez is answered with 503 "
            "#1");
  world.well = true;
  sim.run_for(60s);
  EXPECT_EQ(world.started, 2);
}

TEST_F(RevisionPoolTest, AStartupProbeGoesFirstAndGivesUp) {
  world.ready_after = 7s;
  spec.startup = InstanceProbe{
      .kind = InstanceProbe::Kind::http, .path = "/startup", .period = 1s, .failure_threshold = 10};
  make();
  pool->scale_to(1);
  sim.run_for(6s);
  for (const http::Request& request : world.seen) EXPECT_EQ(request.target, "/startup");
  sim.run_for(2s);
  EXPECT_EQ(pool->ready(), 1);
  spec.startup->failure_threshold = 3;
  make();
  pool->scale_to(1);
  sim.run_for(4s);
  EXPECT_NE(listener.errors[0].find("failed its startup probe"), std::string::npos);
}

TEST_F(RevisionPoolTest, ReadinessWaitsItsInitialDelayAndSendsItsHeaders) {
  spec.readiness.initial_delay = 3s;
  spec.readiness.headers = {{"X-Probe", "yes"}, {"Host", "shop.example"}};
  make();
  pool->scale_to(1);
  sim.run_for(2900ms);
  EXPECT_TRUE(world.seen.empty());
  sim.run_for(200ms);
  EXPECT_EQ(pool->ready(), 1);
  EXPECT_EQ(world.seen.at(0).headers.get("x-probe"), "yes");
  EXPECT_EQ(world.seen.at(0).headers.get("host"), "shop.example");
}

TEST_F(RevisionPoolTest, AnInstanceThatIsNotReadyAnyMoreGetsNoRequestsUntilItIs) {
  spec.readiness.period = 1s;
  spec.readiness.failure_threshold = 2;
  make();
  pool->scale_to(1);
  sim.run_for(2s);
  EXPECT_EQ(pool->ready(), 1);
  world.ready = false;
  sim.run_for(1s);
  EXPECT_EQ(pool->ready(), 1);
  sim.run_for(2s);
  EXPECT_EQ(pool->ready(), 0);
  EXPECT_EQ(listener.endpoints.size(), 0U);
  EXPECT_EQ(listener.gone, 0);
  world.ready = true;
  sim.run_for(2s);
  EXPECT_EQ(pool->ready(), 1);
  EXPECT_EQ(listener.endpoints.size(), 1U);
  EXPECT_EQ(world.started, 1);
  EXPECT_EQ(pool->restarts(), 0U);
}

TEST_F(RevisionPoolTest, AnInstanceThatIsNotReadyAnyMoreCanBeStopped) {
  spec.readiness.period = 1s;
  make();
  pool->scale_to(1);
  sim.run_for(2s);
  world.ready = false;
  sim.run_for(5s);
  pool->scale_to(0);
  sim.run_for(1s);
  EXPECT_EQ(world.alive.size(), 0U);
  EXPECT_EQ(listener.gone, 1);
}

TEST(InstanceProbes, AreReadFromTheObject) {
  core::Probe probe;
  probe.http_get.emplace();
  probe.http_get->path = "healthz";
  probe.http_get->port = IntOrString("admin");
  probe.initial_delay_seconds = 4;
  probe.failure_threshold = 7;
  const std::vector<core::ContainerPort> ports{{.name = "http1", .container_port = 8080},
                                               {.name = "admin", .container_port = 9000}};
  const InstanceProbe read = instance_probe(probe, ports).value();
  EXPECT_EQ(read.path, "/healthz");
  EXPECT_EQ(read.port, 9000);
  EXPECT_EQ(read.initial_delay, Duration(4s));
  EXPECT_EQ(read.failure_threshold, 7);
  probe.http_get->port = IntOrString("other");
  EXPECT_NE(instance_probe(probe, ports).error().detail.find("\"other\""), std::string::npos);
  probe.http_get->scheme = "HTTPS";
  EXPECT_EQ(instance_probe(probe, ports).error().code, Errc::unimplemented);
  probe = {};
  probe.grpc.emplace() = {.port = 9000, .service = "shop"};
  const InstanceProbe grpc = instance_probe(probe, ports).value();
  EXPECT_EQ(grpc.kind, InstanceProbe::Kind::grpc);
  EXPECT_EQ(grpc.port, 9000);
  EXPECT_EQ(grpc.service, "shop");
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

// ---------------------------------------------------------------------------- frozen

class FrozenPool : public RevisionPoolTest {
 protected:
  FrozenPool() {
    InstanceProbe live;
    live.kind = InstanceProbe::Kind::http;
    live.path = "/livez";
    live.period = 1s;
    spec.liveness = live;
    spec.readiness.period = 1s;
    spec.container.freezable = true;
    RevisionPoolOptions options;
    options.may_freeze = [this] { return may; };
    make(options);
    pool->scale_to(1);
    sim.run_for(5s);
  }
  bool may = true;
};

TEST_F(FrozenPool, TheLastOneIsFrozenAndGoesOnWhenOneIsWanted) {
  listener.drain_takes = 2s;
  pool->scale_to(0);
  EXPECT_EQ(pool->ready(), 0);
  sim.run_for(1s);
  ASSERT_EQ(world.alive.size(), 1U);
  EXPECT_FALSE(world.alive[0]->frozen) << "requests in progress";
  sim.run_for(2s);
  EXPECT_TRUE(world.alive[0]->frozen);
  EXPECT_EQ(pool->frozen(), 1);
  EXPECT_EQ(pool->stopping(), 0);
  EXPECT_EQ(listener.gone, 1);
  const std::size_t asked = world.seen.size();
  sim.run_for(1h);
  EXPECT_EQ(world.seen.size(), asked) << "nobody asks it how it is";
  pool->scale_to(1);
  EXPECT_EQ(pool->starting(), 1);
  sim.run_for(1us);
  EXPECT_EQ(pool->ready(), 1);
  EXPECT_FALSE(world.alive[0]->frozen);
  EXPECT_EQ(listener.endpoints.size(), 1U);
  EXPECT_EQ(world.started, 1);
  sim.run_for(10s);
  EXPECT_GT(world.seen.size(), asked + 10) << "both probes go on";
  // Again, and then beside others.
  pool->scale_to(0);
  sim.run_for(5s);
  pool->scale_to(3);
  sim.run_for(1us);
  EXPECT_EQ(pool->ready(), 1);
  sim.run_for(5s);
  EXPECT_EQ(pool->ready(), 3);
  EXPECT_EQ(world.started, 3);
  pool->scale_to(0);
  sim.run_for(5s);
  EXPECT_EQ(world.alive.size(), 1U);
  EXPECT_EQ(pool->frozen(), 1);
  EXPECT_EQ(pool->restarts(), 0U);
}

TEST_F(FrozenPool, OneThatIsWantedAgainWhileItDrainsNeverStopsServing) {
  listener.drain_takes = 10s;
  pool->scale_to(0);
  sim.run_for(1s);
  pool->scale_to(1);
  sim.run_for(1us);
  EXPECT_EQ(pool->ready(), 1);
  EXPECT_EQ(listener.gone, 0) << "its requests go on";
  EXPECT_EQ(listener.endpoints.size(), 1U);
  pool->scale_to(0);
  pool->scale_to(1);  // in one turn
  sim.run_for(1s);
  EXPECT_EQ(pool->ready(), 1);
  EXPECT_EQ(listener.endpoints.size(), 1U);
  EXPECT_EQ(world.started, 1);
}

TEST_F(FrozenPool, ItIsThawedBeforeItIsToldToStop) {
  pool->scale_to(0);
  sim.run_for(1s);
  pool->drop_frozen();
  sim.run_for(1s);
  EXPECT_EQ(world.stopped_frozen, (std::vector<bool>{false}));
  EXPECT_EQ(world.alive.size(), 0U);
  EXPECT_EQ(pool->frozen(), 0);
  pool->scale_to(1);
  sim.run_for(1s);
  EXPECT_EQ(world.started, 2);
  pool->scale_to(0);
  sim.run_for(1s);
  EXPECT_EQ(pool->frozen(), 1);
  sim.run(pool->stop());
  EXPECT_EQ(world.alive.size(), 0U);
}

TEST_F(FrozenPool, DroppingItWhileItDrainsCutsNoRequestsOff) {
  listener.drain_takes = 10s;
  pool->scale_to(0);
  sim.run_for(1s);
  pool->drop_frozen();
  sim.run_for(5s);
  EXPECT_EQ(listener.gone, 0);
  sim.run_for(6s);
  EXPECT_EQ(listener.drained, 1);
  EXPECT_EQ(world.alive.size(), 0U);
}

TEST_F(FrozenPool, OneThatDiesWhileItIsFrozenIsLetGoOf) {
  pool->scale_to(0);
  sim.run_for(1s);
  world.alive[0]->ended.set();
  sim.run_for(1s);
  EXPECT_EQ(world.alive.size(), 0U);
  EXPECT_EQ(pool->frozen(), 0);
  ASSERT_EQ(listener.errors.size(), 1U);
  EXPECT_NE(listener.errors[0].find("while it was frozen"), std::string::npos);
  sim.run_for(1min);
  EXPECT_EQ(world.started, 1) << "none is wanted";
  pool->scale_to(1);
  sim.run_for(1s);
  EXPECT_EQ(pool->ready(), 1);
}

TEST_F(FrozenPool, WhatCannotBeFrozenOrMustNotBeIsStopped) {
  world.freezes = false;
  pool->scale_to(0);
  sim.run_for(1s);
  EXPECT_EQ(world.alive.size(), 0U);
  world.freezes = true;
  may = false;
  pool->scale_to(1);
  sim.run_for(1s);
  pool->scale_to(0);
  sim.run_for(1s);
  EXPECT_EQ(world.alive.size(), 0U);
  // Nor is one that is not ready worth keeping.
  may = true;
  world.ready_after = 1h;
  pool->scale_to(1);
  sim.run_for(1s);
  pool->scale_to(0);
  sim.run_for(1s);
  EXPECT_EQ(world.alive.size(), 0U);
}

TEST_F(FrozenPool, ASidecarIsFrozenWithIt) {
  pool.reset();
  InstanceSpec sidecar;
  sidecar.container.name = "default/r-1";
  sidecar.container.identity.container = "helper";
  sidecar.container.freezable = true;
  sidecar.liveness = spec.liveness;
  spec.sidecars.push_back(sidecar);
  RevisionPoolOptions options;
  options.may_freeze = [] { return true; };
  make(options);
  pool->scale_to(1);
  sim.run_for(5s);
  ASSERT_EQ(pool->ready(), 1);
  pool->scale_to(0);
  sim.run_for(1s);
  ASSERT_EQ(world.alive.size(), 2U);
  EXPECT_TRUE(world.alive[0]->frozen && world.alive[1]->frozen);
  const std::size_t asked = world.seen.size();
  sim.run_for(1min);
  EXPECT_EQ(world.seen.size(), asked);
  pool->scale_to(1);
  sim.run_for(1us);
  EXPECT_EQ(pool->ready(), 1);
  EXPECT_FALSE(world.alive[0]->frozen || world.alive[1]->frozen);
  pool->scale_to(0);
  sim.run_for(1s);
  world.alive[1]->ended.set();
  sim.run_for(1s);
  EXPECT_EQ(world.alive.size(), 0U) << "what is left of it is of no use";
}

}  // namespace
}  // namespace knative
