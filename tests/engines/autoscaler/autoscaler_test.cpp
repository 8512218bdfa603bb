#include <gtest/gtest.h>

#include <vector>

#include "engines/autoscaler/plain_spec.hpp"
#include "knative/autoscaler.hpp"
#include "knative/simulation.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;
using testing_autoscaler::plain;

/// A revision whose load the test sets and whose instances follow the plan after a while.
struct FakeRevision final : StatSource, ScaleTarget {
  explicit FakeRevision(Timers& t) : timers(t) {}
  StatReport collect(Instant) override {
    ++collected;
    StatReport report;
    report.average_concurrency = concurrency;
    report.requests_per_second = rate;
    report.any = concurrency > 0 || rate > 0;
    return report;
  }
  void scale_to(const ScalePlan& plan) override {
    scales.push_back(plan.replicas);
    scaled_at.push_back(timers.now());
    if (immediate) instances = plan.replicas;
  }
  void plan_changed(const ScalePlan& plan) override { last = plan; }
  int ready() const override { return instances; }

  Timers& timers;
  double concurrency = 0;
  double rate = 0;
  bool immediate = true;
  int instances = 0;
  int collected = 0;
  std::vector<int> scales;
  std::vector<Instant> scaled_at;
  ScalePlan last;
};

constexpr RevisionScaler::Start at_zero{
    .replicas = 0, .initialized = true, .active = ActiveState::inactive};

class AutoscalerTest : public testing::Test {
 protected:
  AutoscalerTest() : autoscaler(sim.env().timers, sim.env().logger), revision(sim.env().timers) {}
  Simulation sim{2};
  Autoscaler autoscaler;
  FakeRevision revision;
};

TEST_F(AutoscalerTest, TellsTheFirstPlanAtOnce) {
  autoscaler.add("r", plain(), revision, revision).value();
  EXPECT_EQ(revision.scales, std::vector<int>{1});
  EXPECT_EQ(autoscaler.add("r", plain(), revision, revision).error().code, Errc::already_exists);
  EXPECT_EQ(autoscaler.plan("r")->active, ActiveState::activating);
  EXPECT_EQ(autoscaler.plan("other"), nullptr);
}

TEST_F(AutoscalerTest, ReadinessMakesItActiveAtOnce) {
  revision.immediate = false;
  autoscaler.add("r", plain(), revision, revision).value();
  revision.instances = 1;
  autoscaler.ready_changed("r");
  EXPECT_EQ(revision.last.active, ActiveState::active);
  EXPECT_TRUE(revision.last.initialized);
}

TEST_F(AutoscalerTest, DecidesEveryTwoSeconds) {
  autoscaler.add("r", plain(), revision, revision).value();
  revision.concurrency = 40;
  sim.run_for(1900ms);
  EXPECT_EQ(revision.scales, std::vector<int>{1});
  sim.run_for(200ms);
  EXPECT_EQ(revision.scales, (std::vector<int>{1, 4}));
  EXPECT_TRUE(revision.last.decision.panicking);
}

TEST_F(AutoscalerTest, APokeStartsTheFirstInstanceWithoutWaitingForATick) {
  autoscaler.add("r", plain(), revision, revision, at_zero).value();
  sim.run_for(10s);
  const Instant before = sim.now();
  autoscaler.poke("r");
  ASSERT_EQ(revision.scales.back(), 1);
  EXPECT_EQ(revision.scaled_at.back(), before);
  autoscaler.poke("r");
  EXPECT_EQ(revision.scales, (std::vector<int>{0, 1}));
  autoscaler.poke("unknown");
}

TEST_F(AutoscalerTest, WhatAPokeReportedIsNotCountedTwice) {
  ScalerSpec spec = plain();
  spec.decider.target_value = 1;
  autoscaler.add("r", spec, revision, revision, at_zero).value();
  sim.run_for(10s);
  autoscaler.poke("r");
  revision.concurrency = 1;
  sim.run_for(30s);
  for (const int replicas : revision.scales) EXPECT_LE(replicas, 1);
}

TEST_F(AutoscalerTest, RevisionsAtRestCostNothing) {
  std::vector<std::unique_ptr<FakeRevision>> many;
  for (int i = 0; i < 50; ++i) {
    many.push_back(std::make_unique<FakeRevision>(sim.env().timers));
    autoscaler.add("r" + std::to_string(i), plain(), *many.back(), *many.back(), at_zero).value();
  }
  sim.run_for(5s);
  EXPECT_EQ(autoscaler.awake(), 0U);
  const std::uint64_t fired = sim.timers_fired();
  const int collected = many[0]->collected;
  sim.run_for(1h);
  EXPECT_EQ(sim.timers_fired(), fired);
  EXPECT_EQ(many[0]->collected, collected);
  autoscaler.poke("r7");
  EXPECT_EQ(many[7]->scales.back(), 1);
  EXPECT_EQ(autoscaler.awake(), 1U);
}

TEST_F(AutoscalerTest, FallsToZeroAfterSilenceAndComesBack) {
  autoscaler.add("r", plain(), revision, revision).value();
  revision.concurrency = 35;
  sim.run_for(5min);
  EXPECT_EQ(autoscaler.plan("r")->replicas, 4);
  revision.concurrency = 0;
  sim.run_for(59s);
  EXPECT_GE(autoscaler.plan("r")->replicas, 1);
  sim.run_for(10s);
  EXPECT_EQ(autoscaler.plan("r")->replicas, 0);
  EXPECT_EQ(revision.last.active, ActiveState::inactive);
  EXPECT_EQ(revision.last.reason, ActiveReason::no_traffic);
  sim.run_for(10s);
  EXPECT_EQ(autoscaler.awake(), 0U);
  autoscaler.poke("r");
  EXPECT_EQ(autoscaler.plan("r")->replicas, 1);
}

TEST_F(AutoscalerTest, ScalesOnRequestsPerSecond) {
  ScalerSpec spec = plain();
  spec.decider.metric = ScalingMetric::rps;
  spec.decider.target_value = 140;
  autoscaler.add("r", spec, revision, revision).value();
  revision.rate = 1000;
  revision.concurrency = 0.5;
  sim.run_for(2min);
  EXPECT_EQ(autoscaler.plan("r")->replicas, 8);
}

TEST_F(AutoscalerTest, AChangedSpecAppliesAtOnce) {
  autoscaler.add("r", plain(), revision, revision).value();
  sim.run_for(4s);
  ScalerSpec spec = plain();
  spec.min_scale = 3;
  autoscaler.update("r", spec).value();
  EXPECT_EQ(revision.scales.back(), 3);
  EXPECT_EQ(autoscaler.update("unknown", spec).error().code, Errc::not_found);
}

TEST_F(AutoscalerTest, ARevisionMayRemoveItselfWhileItIsTold) {
  struct Leaver final : StatSource, ScaleTarget {
    StatReport collect(Instant) override { return {.average_concurrency = 100, .any = true}; }
    void scale_to(const ScalePlan& plan) override {
      if (plan.replicas > 1) autoscaler->remove("leaver");
    }
    void plan_changed(const ScalePlan&) override {}
    int ready() const override { return 1; }
    Autoscaler* autoscaler = nullptr;
  } leaver;
  leaver.autoscaler = &autoscaler;
  autoscaler.add("leaver", plain(), leaver, leaver).value();
  autoscaler.add("r", plain(), revision, revision).value();
  sim.run_for(10s);
  EXPECT_EQ(autoscaler.plan("leaver"), nullptr);
  EXPECT_EQ(autoscaler.size(), 1U);
  autoscaler.remove("r");
  EXPECT_EQ(autoscaler.awake(), 0U);
  EXPECT_TRUE(sim.run_until_quiet(1min));
}

TEST_F(AutoscalerTest, AnHourOfBurstsNeverLeavesTheBounds) {
  ScalerSpec spec = plain();
  spec.max_scale = 7;
  autoscaler.add("r", spec, revision, revision).value();
  Random random(8);
  for (int burst = 0; burst < 60; ++burst) {
    revision.concurrency = random.below(2) == 0 ? 0 : static_cast<double>(random.below(150));
    if (revision.concurrency > 0) autoscaler.poke("r");
    sim.run_for(1min);
  }
  for (const int replicas : revision.scales) {
    ASSERT_GE(replicas, 0);
    ASSERT_LE(replicas, 7);
  }
  EXPECT_GT(revision.scales.size(), 20U);
}

}  // namespace
}  // namespace knative
