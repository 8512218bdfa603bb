#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "engines/autoscaler/plain_spec.hpp"
#include "knative/autoscaler.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;

using testing_autoscaler::start;

DeciderSpec target(double value) {
  DeciderSpec spec;
  spec.target_value = value;
  spec.total_value = value;
  return spec;
}

TEST(Decider, DividesTheAverageByTheTargetAndRoundsUp) {
  Decider decider(target(10), start, 1);
  EXPECT_EQ(decider.decide(start, {.stable = 10, .panic = 10, .ready = 5}).desired, 2);
  Decider small(target(10), start, 1);
  const ScaleDecision decision = small.decide(start, {.stable = 10.1, .panic = 1, .ready = 1});
  EXPECT_EQ(decision.desired, 2);
  EXPECT_EQ(decision.rule, ScaleRule::stable_demand);
}

TEST(Decider, WithoutDataNothingIsValid) {
  Decider decider(target(10), start, 1);
  const ScaleDecision decision = decider.decide(start, {.ready = 3, .measured = false});
  EXPECT_FALSE(decision.valid);
  EXPECT_EQ(decision.desired, 0);
  EXPECT_EQ(decision.excess_burst_capacity, 0);
  EXPECT_EQ(decision.rule, ScaleRule::no_data);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_FALSE(decider.decide(start, {.stable = nan, .panic = 1, .ready = 1}).valid);
}

TEST(Decider, RateLimitsBound) {
  DeciderSpec spec = target(1);
  spec.max_scale_up_rate = 3;
  spec.panic_threshold = 1e9;
  Decider up(spec, start, 1);
  const ScaleDecision more = up.decide(start, {.stable = 100, .panic = 100, .ready = 2});
  EXPECT_EQ(more.desired, 6);
  EXPECT_EQ(more.rule, ScaleRule::max_scale_up_rate);
  EXPECT_EQ(more.stable_wanted, 100);

  Decider down(spec, start, 1);
  const ScaleDecision less = down.decide(start, {.stable = 1, .panic = 1, .ready = 11});
  EXPECT_EQ(less.desired, 5);
  EXPECT_EQ(less.rule, ScaleRule::max_scale_down_rate);
}

TEST(Decider, AnUnreachableRevisionMayFallAtAnyRate) {
  DeciderSpec spec = target(1);
  spec.reachable = false;
  spec.scale_down_delay = 60s;
  Decider decider(spec, start, 1);
  EXPECT_EQ(decider.decide(start, {.stable = 0, .panic = 0, .ready = 100}).desired, 0);
}

TEST(Decider, ScaleDownRateOfTwoFromOneAllowsZero) {
  Decider decider(target(1), start, 1);
  EXPECT_EQ(decider.decide(start, {.stable = 0, .panic = 0, .ready = 1}).desired, 0);
}

TEST(Decider, PanicsAtTheThresholdAndHoldsTheMaximum) {
  Decider decider(target(10), start, 1);
  // 20 wanted / 2 ready = 10 >= 2
  ScaleDecision decision = decider.decide(start, {.stable = 30, .panic = 200, .ready = 2});
  EXPECT_TRUE(decision.panicking);
  EXPECT_EQ(decision.desired, 20);
  EXPECT_EQ(decision.rule, ScaleRule::panic_demand);
  decision = decider.decide(start + 10s, {.stable = 30, .panic = 50, .ready = 20});
  EXPECT_EQ(decision.desired, 20);
  EXPECT_EQ(decision.rule, ScaleRule::panic_hold);
}

TEST(Decider, PanicEndsOnlyAfterMoreThanAStableWindowBelowTheThreshold) {
  Decider decider(target(10), start, 1);
  decider.decide(start, {.stable = 30, .panic = 200, .ready = 2});
  const Observation calm{.stable = 150, .panic = 150, .ready = 20};
  EXPECT_TRUE(decider.decide(start + 60s, calm).panicking);
  const ScaleDecision decision = decider.decide(start + 60s + 1ns, calm);
  EXPECT_FALSE(decision.panicking);
  EXPECT_EQ(decision.desired, 15);
}

TEST(Decider, StayingOverTheThresholdExtendsPanic) {
  Decider decider(target(10), start, 1);
  decider.decide(start, {.stable = 30, .panic = 200, .ready = 2});
  decider.decide(start + 50s, {.stable = 30, .panic = 200, .ready = 2});
  EXPECT_TRUE(decider.decide(start + 100s, {.stable = 10, .panic = 10, .ready = 20}).panicking);
  EXPECT_FALSE(decider.decide(start + 111s, {.stable = 10, .panic = 10, .ready = 20}).panicking);
}

TEST(Decider, StartsInPanicWhenSeveralAreReady) {
  Decider decider(target(10), start, 8);
  EXPECT_TRUE(decider.panicking());
  EXPECT_EQ(decider.decide(start, {.stable = 1, .panic = 1, .ready = 8}).desired, 8);
  EXPECT_FALSE(Decider(target(10), start, 1).panicking());
}

TEST(Decider, ActivationScaleRaisesWhatIsNotZero) {
  DeciderSpec spec = target(10);
  spec.activation_scale = 4;
  Decider decider(spec, start, 1);
  const ScaleDecision decision = decider.decide(start, {.stable = 1, .panic = 1, .ready = 1});
  EXPECT_EQ(decision.desired, 4);
  EXPECT_EQ(decision.rule, ScaleRule::activation_scale);
  Decider idle(spec, start, 1);
  EXPECT_EQ(idle.decide(start, {.stable = 0, .panic = 0, .ready = 1}).desired, 0);
}

TEST(Decider, ScaleDownDelayHoldsTheRecentMaximum) {
  DeciderSpec spec = target(1);
  spec.scale_down_delay = 10s;
  spec.panic_threshold = 1e9;
  Decider decider(spec, start, 1);
  EXPECT_EQ(decider.decide(start, {.stable = 8, .panic = 8, .ready = 8}).desired, 8);
  const ScaleDecision held = decider.decide(start + 8s, {.stable = 5, .panic = 5, .ready = 8});
  EXPECT_EQ(held.desired, 8);
  EXPECT_EQ(held.rule, ScaleRule::scale_down_delay);
  EXPECT_EQ(decider.decide(start + 10s, {.stable = 5, .panic = 5, .ready = 8}).desired, 5);
}

TEST(Decider, BurstCapacityCountsActualInstances) {
  DeciderSpec spec;  // 100 each, 211 burst
  Decider decider(spec, start, 1);
  EXPECT_EQ(decider.decide(start, {.stable = 0, .panic = 0, .ready = 0}).excess_burst_capacity,
            -211);
  EXPECT_EQ(decider.decide(start, {.stable = 10, .panic = 10.5, .ready = 3}).excess_burst_capacity,
            78);
  spec.target_burst_capacity = 0;
  Decider never(spec, start, 1);
  EXPECT_EQ(never.decide(start, {.stable = 10, .panic = 10, .ready = 1}).excess_burst_capacity, 0);
  spec.target_burst_capacity = -1;
  Decider always(spec, start, 1);
  EXPECT_EQ(always.decide(start, {.stable = 1, .panic = 1, .ready = 99}).excess_burst_capacity, -1);
}

TEST(Decider, ActivatorsFollowCapacityAndBurst) {
  DeciderSpec spec;
  EXPECT_EQ(Decider::activators(spec, 0), 3);  // 211 / 100
  EXPECT_EQ(Decider::activators(spec, 5), 8);  // 711 / 100
  spec.target_burst_capacity = 0;
  EXPECT_EQ(Decider::activators(spec, 50), 2);
  spec.target_burst_capacity = -1;
  EXPECT_EQ(Decider::activators(spec, 5), 5);
  EXPECT_EQ(Decider::activators(spec, 1), 2);
}

TEST(Decider, InitialBurstCapacity) {
  DeciderSpec spec;
  EXPECT_EQ(Decider::initial_excess_burst_capacity(spec), -111);
  spec.target_burst_capacity = 0;
  EXPECT_EQ(Decider::initial_excess_burst_capacity(spec), 0);
  spec.target_burst_capacity = -1;
  EXPECT_EQ(Decider::initial_excess_burst_capacity(spec), -1);
}

TEST(Decider, HugeObservationsStayWithinIntegers) {
  DeciderSpec spec = target(0.01);
  spec.max_scale_up_rate = 1e300;
  Decider decider(spec, start, 1);
  EXPECT_EQ(decider.decide(start, {.stable = 1e300, .panic = 1e300, .ready = 1}).desired,
            std::numeric_limits<int>::max());
}

TEST(Decider, DecisionsExplainThemselves) {
  Decider decider(target(10), start, 1);
  EXPECT_EQ(decider.decide(start, {.stable = 3.5, .panic = 480, .ready = 2}).to_string(),
            "48 by panic_demand (stable 3.5, panic 480, ready 2, panic mode)");
}

TEST(Decider, StaysWithinRatesAndGrowsWithLoad) {
  std::mt19937 random(3);
  for (int round = 0; round < 20'000; ++round) {
    DeciderSpec spec = target(0.01 + static_cast<double>(random() % 10'000) / 100);
    spec.max_scale_up_rate = 1.01 + static_cast<double>(random() % 1000) / 100;
    spec.max_scale_down_rate = 1.01 + static_cast<double>(random() % 500) / 100;
    const int ready = static_cast<int>(random() % 50);
    const double stable = static_cast<double>(random() % 100'000) / 10;
    const double panic = static_cast<double>(random() % 100'000) / 10;
    Decider one(spec, start, 1);
    Decider two(spec, start, 1);
    const ScaleDecision low = one.decide(start, {.stable = stable, .panic = panic, .ready = ready});
    const ScaleDecision high =
        two.decide(start, {.stable = stable * 1.5 + 1, .panic = panic * 1.5 + 1, .ready = ready});
    const double base = std::max(1, ready);
    ASSERT_LE(low.desired, std::ceil(spec.max_scale_up_rate * base));
    ASSERT_GE(low.desired, std::floor(base / spec.max_scale_down_rate));
    ASSERT_LE(low.desired, high.desired);
  }
}

}  // namespace
}  // namespace knative
