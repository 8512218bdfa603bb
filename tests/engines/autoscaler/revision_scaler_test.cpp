#include <gtest/gtest.h>

#include <random>

#include "engines/autoscaler/plain_spec.hpp"
#include "knative/autoscaler.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;

using testing_autoscaler::plain;
using testing_autoscaler::start;

Observation load(double value, int ready) {
  return Observation{.stable = value, .panic = value, .ready = ready};
}

/// A scaler whose one instance is ready and that serves `value` at `now`.
RevisionScaler active_at(const ScalerSpec& spec, Instant now, double value = 5) {
  RevisionScaler scaler(spec, now);
  scaler.decide(now, load(value, 1));
  EXPECT_EQ(scaler.plan().active, ActiveState::active);
  return scaler;
}

TEST(RevisionScaler, ANewRevisionRunsItsInitialScaleAndIsActivating) {
  RevisionScaler scaler(plain(), start);
  EXPECT_EQ(scaler.plan().replicas, 1);
  EXPECT_EQ(scaler.plan().desired, -1);
  EXPECT_EQ(scaler.plan().active, ActiveState::activating);
  EXPECT_EQ(scaler.plan().reason, ActiveReason::queued);
  EXPECT_TRUE(scaler.plan().activator_in_path);
  EXPECT_FALSE(scaler.plan().initialized);
}

TEST(RevisionScaler, BecomesActiveWhenTheInitialScaleIsReady) {
  ScalerSpec spec = plain();
  spec.decider.initial_scale = 3;
  RevisionScaler scaler(spec, start);
  EXPECT_EQ(scaler.plan().replicas, 3);
  EXPECT_EQ(scaler.step(start + 1s, 2).active, ActiveState::activating);
  EXPECT_EQ(scaler.decide(start + 2s, load(0, 2)).replicas, 3);
  EXPECT_EQ(scaler.plan().rule, ScaleRule::initial_scale);
  EXPECT_EQ(scaler.step(start + 3s, 3).active, ActiveState::active);
  EXPECT_TRUE(scaler.plan().initialized);
  // From now on the initial scale no longer binds.
  EXPECT_EQ(scaler.decide(start + 4s, load(12, 3)).replicas, 2);
}

TEST(RevisionScaler, InitialScaleZeroIsInactiveAtOnce) {
  ScalerSpec spec = plain();
  spec.decider.initial_scale = 0;
  RevisionScaler scaler(spec, start);
  EXPECT_EQ(scaler.plan().replicas, 0);
  EXPECT_EQ(scaler.plan().active, ActiveState::inactive);
  EXPECT_EQ(scaler.plan().reason, ActiveReason::no_traffic);
  EXPECT_EQ(scaler.step(start + 1s, 0).active, ActiveState::inactive);
  EXPECT_EQ(scaler.decide(start + 2s, load(1, 0)).replicas, 1);
  EXPECT_EQ(scaler.plan().active, ActiveState::activating);
}

TEST(RevisionScaler, BoundsApply) {
  ScalerSpec spec = plain();
  spec.min_scale = 2;
  spec.max_scale = 5;
  RevisionScaler scaler(spec, start);
  EXPECT_EQ(scaler.decide(start, load(1000, 2)).replicas, 5);
  EXPECT_EQ(scaler.plan().rule, ScaleRule::max_scale);
  EXPECT_EQ(scaler.plan().decision.desired, 100);
  RevisionScaler idle(spec, start);
  EXPECT_EQ(idle.decide(start, load(0, 2)).replicas, 2);
  EXPECT_EQ(idle.plan().rule, ScaleRule::min_scale);
}

TEST(RevisionScaler, MinScaleNeedsReachability) {
  ScalerSpec spec = plain();
  spec.min_scale = 2;
  RevisionScaler scaler(spec, start);
  scaler.decide(start, load(0, 2));
  EXPECT_EQ(scaler.plan().active, ActiveState::active);
  spec.decider.reachable = false;
  scaler.update(spec);
  EXPECT_EQ(scaler.decide(start + 30s, load(0, 2)).replicas, 1);
  EXPECT_EQ(scaler.decide(start + 61s, load(0, 1)).desired, 0);
}

TEST(RevisionScaler, KeepsTheLastOneForAStableWindow) {
  RevisionScaler scaler = active_at(plain(), start);
  const ScalePlan& plan = scaler.decide(start + 59s, load(0, 1));
  EXPECT_EQ(plan.replicas, 1);
  EXPECT_EQ(plan.desired, 1);
  EXPECT_EQ(plan.rule, ScaleRule::stable_window);
  ASSERT_TRUE(plan.again_at.has_value());
  EXPECT_EQ(*plan.again_at, start + 60s);
}

TEST(RevisionScaler, GoesToZeroThroughInactiveAndGrace) {
  ScalerSpec spec = plain();
  spec.decider.target_burst_capacity = 0;  // the activator joins only at the end
  RevisionScaler scaler = active_at(spec, start);
  EXPECT_FALSE(scaler.plan().activator_in_path);
  scaler.decide(start + 60s, load(0, 1));
  EXPECT_EQ(scaler.plan().desired, 0);
  EXPECT_EQ(scaler.plan().replicas, 1);
  EXPECT_EQ(scaler.plan().active, ActiveState::inactive);
  EXPECT_TRUE(scaler.plan().activator_in_path);
  scaler.decide(start + 62s, load(0, 1));
  EXPECT_EQ(scaler.plan().replicas, 1);
  EXPECT_EQ(scaler.plan().rule, ScaleRule::grace_period);
  EXPECT_EQ(*scaler.plan().again_at, start + 90s);
  EXPECT_EQ(scaler.step(start + 89s, 1).replicas, 1);
  EXPECT_EQ(scaler.step(start + 90s, 1).replicas, 0);
  EXPECT_EQ(scaler.plan().rule, ScaleRule::scale_to_zero);
  EXPECT_TRUE(scaler.plan().changed);
  EXPECT_FALSE(scaler.step(start + 91s, 0).changed);
}

TEST(RevisionScaler, GoesToZeroAtOnceWhenTheActivatorWasInThePathAlready) {
  RevisionScaler scaler = active_at(plain(), start);  // burst capacity 211 > 10: in the path
  EXPECT_TRUE(scaler.plan().activator_in_path);
  EXPECT_EQ(scaler.decide(start + 60s, load(0, 1)).replicas, 1);
  EXPECT_EQ(scaler.plan().active, ActiveState::inactive);
  EXPECT_EQ(scaler.decide(start + 62s, load(0, 1)).replicas, 0);
}

TEST(RevisionScaler, RetainsTheLastInstance) {
  ScalerSpec spec = plain();
  spec.pod_retention = 120s;
  RevisionScaler scaler = active_at(spec, start);
  scaler.decide(start + 60s, load(0, 1));
  EXPECT_EQ(scaler.step(start + 100s, 1).replicas, 1);
  EXPECT_EQ(scaler.plan().rule, ScaleRule::pod_retention);
  EXPECT_EQ(*scaler.plan().again_at, start + 180s);
  EXPECT_EQ(scaler.step(start + 180s, 1).replicas, 0);
}

TEST(RevisionScaler, RetentionIsIgnoredWhenUnreachable) {
  ScalerSpec spec = plain();
  spec.pod_retention = 120s;
  spec.decider.reachable = false;
  RevisionScaler scaler = active_at(spec, start);
  scaler.decide(start + 60s, load(0, 1));
  EXPECT_EQ(scaler.step(start + 62s, 1).replicas, 0);
}

TEST(RevisionScaler, TrafficDuringGraceTurnsBack) {
  ScalerSpec spec = plain();
  spec.decider.target_burst_capacity = 0;
  RevisionScaler scaler = active_at(spec, start);
  scaler.decide(start + 60s, load(0, 1));
  const ScalePlan& plan = scaler.decide(start + 70s, load(1, 1));
  EXPECT_EQ(plan.replicas, 1);
  EXPECT_EQ(plan.active, ActiveState::active);
  // A new stable window begins.
  EXPECT_EQ(scaler.decide(start + 120s, load(0, 1)).rule, ScaleRule::stable_window);
}

TEST(RevisionScaler, DisabledScaleToZeroKeepsOne) {
  ScalerSpec spec = plain();
  spec.enable_scale_to_zero = false;
  RevisionScaler scaler = active_at(spec, start);
  EXPECT_EQ(scaler.decide(start + 1h, load(0, 1)).replicas, 1);
  EXPECT_EQ(scaler.plan().rule, ScaleRule::scale_to_zero_disabled);
}

TEST(RevisionScaler, GivesUpAnActivationThatNeverSucceeds) {
  ScalerSpec spec = plain();
  spec.activation_timeout = 100s;
  RevisionScaler scaler(spec, start);
  EXPECT_EQ(scaler.decide(start + 99s, load(0, 0)).replicas, 1);
  EXPECT_EQ(scaler.plan().active, ActiveState::activating);
  const ScalePlan& plan = scaler.step(start + 100s, 0);
  EXPECT_EQ(plan.replicas, 0);
  EXPECT_EQ(plan.active, ActiveState::inactive);
  EXPECT_EQ(plan.reason, ActiveReason::timed_out);
  EXPECT_EQ(plan.rule, ScaleRule::activation_timeout);
}

TEST(RevisionScaler, WithoutDataNothingChanges) {
  RevisionScaler scaler = active_at(plain(), start, 45);
  EXPECT_EQ(scaler.plan().replicas, 5);
  const ScalePlan& plan = scaler.decide(start + 2s, {.ready = 1, .measured = false});
  EXPECT_EQ(plan.replicas, 5);
  EXPECT_EQ(plan.desired, 5);
}

TEST(RevisionScaler, ServesDirectlyWhenBurstCapacityAllows) {
  ScalerSpec spec = plain();
  spec.decider.total_value = 100;
  spec.decider.target_burst_capacity = 150;
  RevisionScaler scaler = active_at(spec, start, 5);
  EXPECT_TRUE(scaler.plan().activator_in_path);  // 100 - 150 - 5 < 0
  EXPECT_FALSE(scaler.decide(start + 2s, load(15, 2)).activator_in_path);
  EXPECT_TRUE(scaler.step(start + 3s, 0).activator_in_path);  // nobody is ready
}

TEST(RevisionScaler, RestartKeepsAZeroAtZero) {
  RevisionScaler scaler(plain(), start,
                        {.replicas = 0, .initialized = true, .active = ActiveState::inactive});
  EXPECT_EQ(scaler.plan().replicas, 0);
  EXPECT_EQ(scaler.plan().active, ActiveState::inactive);
  EXPECT_TRUE(scaler.plan().activator_in_path);
  EXPECT_EQ(scaler.decide(start + 2s, load(1, 0)).replicas, 1);
}

/// Walks an hour of random load with instances that follow the plan after a few seconds.
TEST(RevisionScaler, NeverLeavesItsBoundsInAnHourOfRandomLoad) {
  std::mt19937 random(5);
  for (int round = 0; round < 100; ++round) {
    ScalerSpec spec = plain();
    spec.min_scale = static_cast<int>(random() % 3);
    spec.max_scale = spec.min_scale + 1 + static_cast<int>(random() % 20);
    spec.decider.initial_scale = 1 + static_cast<int>(random() % 2);
    spec.decider.scale_down_delay = std::chrono::seconds(random() % 2 * 20);
    spec.pod_retention = std::chrono::seconds(random() % 2 * 45);
    Window stable(spec.decider.stable_window);
    Window panic(spec.decider.panic_window);
    RevisionScaler scaler(spec, start);
    int ready = 0;
    double concurrency = 0;
    int zeroes = 0;
    for (int second = 1; second <= 3600; ++second) {
      const Instant now = start + std::chrono::seconds(second);
      if (second % 300 == 0)
        concurrency = random() % 3 == 0 ? 0.0 : static_cast<double>(random() % 400);
      if (ready > 0 || concurrency > 0) {
        stable.record(now, concurrency);
        panic.record(now, concurrency);
      }
      const bool decide = second % 2 == 0;
      const Observation seen{stable.average(now), panic.average(now), ready, !stable.empty(now)};
      const ScalePlan& plan = decide ? scaler.decide(now, seen) : scaler.step(now, ready);
      ASSERT_LE(plan.replicas, std::max(spec.max_scale, spec.decider.initial_scale));
      ASSERT_GE(plan.replicas, spec.min_scale);
      if (plan.replicas == 0) {
        ++zeroes;
        ASSERT_EQ(plan.active, ActiveState::inactive);
        ASSERT_TRUE(plan.activator_in_path);
      }
      ASSERT_TRUE(plan.active != ActiveState::active || ready >= 1);
      if (ready < plan.replicas) {
        ++ready;
      } else {
        ready = plan.replicas;
      }
    }
    EXPECT_TRUE(spec.min_scale == 0 || zeroes == 0);
  }
}

TEST(RevisionScaler, WalksFromZeroToLoadAndBackAsKnativeDoes) {
  // 50 concurrent requests at 10 each for five minutes, then silence.
  ScalerSpec spec = plain();
  Window stable(spec.decider.stable_window);
  Window panic(spec.decider.panic_window);
  RevisionScaler scaler(spec, start,
                        {.replicas = 0, .initialized = true, .active = ActiveState::inactive});
  int ready = 0;
  int at_zero = 0;
  int peak = 0;
  for (int second = 1; second <= 600; ++second) {
    const Instant now = start + std::chrono::seconds(second);
    const double load = second <= 300 ? 50 : 0;
    if (ready > 0 || load > 0) {
      stable.record(now, load);
      panic.record(now, load);
    }
    const Observation seen{stable.average(now), panic.average(now), ready, !stable.empty(now)};
    const ScalePlan& plan = second % 2 == 0 ? scaler.decide(now, seen) : scaler.step(now, ready);
    ready = plan.replicas;
    peak = std::max(peak, ready);
    if (at_zero == 0 && second > 300 && ready == 0) at_zero = second;
  }
  EXPECT_EQ(peak, 5);
  // The stable window must run empty (60 s of zeros); active for long, so inactive then, and
  // zero with the next decision because the activator has been in the path since the start.
  EXPECT_GE(at_zero, 360);
  EXPECT_LE(at_zero, 364);
}

}  // namespace
}  // namespace knative
