#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <vector>

#include "knative/router.hpp"
#include "knative/simulation.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;

/// Someone who acquires, and holds until told to let go.
struct Visitor {
  explicit Visitor(Executor& executor) : tasks(executor) {}
  Result<Breaker::Slot> result = fail(Errc::internal, "still waiting");
  bool done = false;
  TaskSet tasks;
};

Task<void> visit(Breaker& breaker, Visitor& visitor) {
  visitor.result = co_await breaker.acquire();
  visitor.done = true;
}

Task<void> visit_until(Breaker& breaker, Timers& timers, Instant deadline, Visitor& visitor) {
  visitor.result = co_await breaker.acquire(timers, deadline);
  visitor.done = true;
}

class BreakerTest : public testing::Test {
 protected:
  std::unique_ptr<Visitor> enter(Breaker& breaker) {
    auto visitor = std::make_unique<Visitor>(sim.env().executor);
    visitor->tasks.add(visit(breaker, *visitor));
    sim.run_for(1ms);
    return visitor;
  }
  Simulation sim{1};
};

TEST_F(BreakerTest, ReserveTakesOnlyWhatIsFree) {
  Breaker breaker({.queue_depth_max = 1, .concurrency_max = 2, .initial_capacity = 2});
  Breaker::Slot a = breaker.try_acquire();
  Breaker::Slot b = breaker.try_acquire();
  EXPECT_TRUE(a);
  EXPECT_TRUE(b);
  EXPECT_FALSE(breaker.try_acquire());
  a.reset();
  EXPECT_EQ(breaker.in_flight(), 1);
  EXPECT_TRUE(breaker.try_acquire());
  EXPECT_EQ(breaker.in_flight(), 1);
}

TEST_F(BreakerTest, RefusesWhenQueueAndConcurrencyAreFull) {
  Breaker breaker({.queue_depth_max = 1, .concurrency_max = 1, .initial_capacity = 1});
  auto running = enter(breaker);
  auto waiting = enter(breaker);
  auto refused = enter(breaker);
  EXPECT_TRUE(running->done);
  EXPECT_FALSE(waiting->done);
  ASSERT_TRUE(refused->done);
  EXPECT_EQ(refused->result.error().code, Errc::resource_exhausted);
  EXPECT_EQ(refused->result.error().detail, "pending request queue full");
  running->result->reset();
  sim.run_for(1ms);
  EXPECT_TRUE(waiting->done);
  EXPECT_EQ(breaker.pending(), 1);
}

TEST_F(BreakerTest, TheQueueIsLongerWhileCapacityIsBelowItsMaximum) {
  Breaker breaker({.queue_depth_max = 1, .concurrency_max = 3, .initial_capacity = 0});
  std::vector<std::unique_ptr<Visitor>> all;
  for (int i = 0; i < 5; ++i) all.push_back(enter(breaker));
  EXPECT_EQ(breaker.waiting(), 4);
  EXPECT_TRUE(all[4]->done);
  EXPECT_FALSE(all[4]->result.has_value());
}

TEST_F(BreakerTest, ServesInOrder) {
  Breaker breaker({.queue_depth_max = 10, .concurrency_max = 1, .initial_capacity = 0});
  auto a = enter(breaker);
  auto b = enter(breaker);
  auto c = enter(breaker);
  breaker.set_capacity(1);
  sim.run_for(1ms);
  EXPECT_TRUE(a->done);
  EXPECT_FALSE(b->done);
  a->result->reset();
  sim.run_for(1ms);
  EXPECT_TRUE(b->done);
  EXPECT_FALSE(c->done);
}

TEST_F(BreakerTest, WhoGivesUpLeavesAtOnce) {
  Breaker breaker({.queue_depth_max = 1, .concurrency_max = 1, .initial_capacity = 1});
  auto running = enter(breaker);
  auto waiting = enter(breaker);
  EXPECT_EQ(breaker.waiting(), 1);
  waiting->tasks.clear();
  EXPECT_EQ(breaker.waiting(), 0);
  auto next = enter(breaker);
  EXPECT_FALSE(next->done);  // there is room in the queue again
}

TEST_F(BreakerTest, ASlotGrantedToSomeoneWhoJustLeftIsNotLost) {
  Breaker breaker({.queue_depth_max = 2, .concurrency_max = 1, .initial_capacity = 1});
  auto running = enter(breaker);
  auto first = enter(breaker);
  auto second = enter(breaker);
  running->result->reset();  // grants to `first`, which has not run yet
  EXPECT_EQ(breaker.in_flight(), 1);
  first->tasks.clear();
  sim.run_for(1ms);
  EXPECT_TRUE(second->done);
  EXPECT_EQ(breaker.in_flight(), 1);
}

TEST_F(BreakerTest, ShrinkingLetsWhatIsInFlightFinish) {
  Breaker breaker({.queue_depth_max = 5, .concurrency_max = 2, .initial_capacity = 2});
  auto a = enter(breaker);
  auto b = enter(breaker);
  breaker.set_capacity(1);
  EXPECT_EQ(breaker.in_flight(), 2);
  auto c = enter(breaker);
  a->result->reset();
  sim.run_for(1ms);
  EXPECT_FALSE(c->done);
  b->result->reset();
  sim.run_for(1ms);
  EXPECT_TRUE(c->done);
  breaker.set_capacity(100);
  EXPECT_EQ(breaker.capacity(), 2);
}

TEST_F(BreakerTest, WaitingEndsAtTheDeadline) {
  Breaker breaker({.queue_depth_max = 5, .concurrency_max = 1, .initial_capacity = 0});
  Visitor visitor(sim.env().executor);
  visitor.tasks.add(visit_until(breaker, sim.env().timers, sim.now() + 100ms, visitor));
  sim.run_for(99ms);
  EXPECT_FALSE(visitor.done);
  sim.run_for(2ms);
  ASSERT_TRUE(visitor.done);
  EXPECT_EQ(visitor.result.error().code, Errc::deadline_exceeded);
  EXPECT_EQ(breaker.pending(), 0);
}

TEST_F(BreakerTest, FailWaitingEndsAll) {
  Breaker breaker({.queue_depth_max = 5, .concurrency_max = 1, .initial_capacity = 0});
  auto a = enter(breaker);
  auto b = enter(breaker);
  breaker.fail_waiting();
  sim.run_for(1ms);
  EXPECT_EQ(a->result.error().code, Errc::unavailable);
  EXPECT_EQ(b->result.error().code, Errc::unavailable);
  EXPECT_EQ(breaker.pending(), 0);
}

TEST_F(BreakerTest, KeepsItsInvariantsOverRandomVisits) {
  Random random(9);
  for (int round = 0; round < 20; ++round) {
    const int depth = 1 + static_cast<int>(random.below(5));
    const int most = static_cast<int>(random.below(6));
    Breaker breaker({.queue_depth_max = depth, .concurrency_max = most, .initial_capacity = 0});
    std::vector<std::unique_ptr<Visitor>> inside;
    for (int move = 0; move < 300; ++move) {
      const std::uint64_t kind = random.below(4);
      if (kind == 0) {
        breaker.set_capacity(static_cast<int>(random.below(8)));
      } else if (kind == 1 && !inside.empty()) {
        inside.erase(inside.begin() + static_cast<std::ptrdiff_t>(random.below(inside.size())));
      } else {
        inside.push_back(enter(breaker));
        if (inside.back()->done && !inside.back()->result) {
          ASSERT_EQ(breaker.pending(), depth + most);
          inside.pop_back();
        }
      }
      sim.run_for(1us);
      int held = 0;
      int waiting = 0;
      for (const auto& visitor : inside) {
        held += visitor->done && visitor->result;
        waiting += !visitor->done;
      }
      ASSERT_EQ(breaker.in_flight(), held);
      ASSERT_EQ(breaker.waiting(), waiting);
      ASSERT_LE(breaker.pending(), depth + most);
      ASSERT_TRUE(waiting == 0 || held >= breaker.capacity());
    }
    inside.clear();
  }
}

TEST(RequestStats, IntegratesConcurrencyExactly) {
  const Instant start{};
  RequestStats stats(start);
  stats.arrived(start);
  stats.arrived(start + 250ms);
  stats.finished(start + 500ms);
  const RequestStats::Report report = stats.report(start + 1s);
  EXPECT_DOUBLE_EQ(report.average_concurrency, 0.25 + 0.5 + 0.5);
  EXPECT_EQ(report.request_count, 2);
  EXPECT_EQ(report.elapsed, Duration(1s));
  EXPECT_EQ(stats.concurrency(), 1);
}

TEST(RequestStats, APeriodBeginsWithWhatIsInside) {
  const Instant start{};
  RequestStats stats(start);
  stats.arrived(start);
  stats.report(start + 1s);
  const RequestStats::Report report = stats.report(start + 2s);
  EXPECT_DOUBLE_EQ(report.average_concurrency, 1);
  EXPECT_EQ(report.request_count, 0);
}

TEST(RequestStats, ProxiedRequestsAreCountedTwiceOver) {
  const Instant start{};
  RequestStats stats(start);
  stats.arrived(start, true);
  stats.arrived(start);
  stats.finished(start + 500ms, true);
  const RequestStats::Report report = stats.report(start + 1s);
  EXPECT_DOUBLE_EQ(report.average_concurrency, 1.5);
  EXPECT_DOUBLE_EQ(report.average_proxied_concurrency, 0.5);
  EXPECT_EQ(report.request_count, 2);
  EXPECT_EQ(report.proxied_request_count, 1);
}

TEST(RequestStats, WithoutElapsedTimeTheAverageIsThePresent) {
  const Instant start{};
  RequestStats stats(start);
  stats.arrived(start);
  EXPECT_DOUBLE_EQ(stats.report(start).average_concurrency, 1);
}

}  // namespace
}  // namespace knative
