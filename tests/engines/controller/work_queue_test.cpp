#include <gtest/gtest.h>

#include "knative/controller.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;

const Instant start{};

TEST(WorkQueue, gives_keys_in_order_of_due_time) {
  WorkQueue queue;
  queue.add_at("late", start + 2s);
  queue.add_at("soon", start + 1s);
  EXPECT_EQ(queue.take(start), std::nullopt);
  EXPECT_EQ(queue.next_due(), start + 1s);
  EXPECT_EQ(queue.take(start + 2s), "soon");
  EXPECT_EQ(queue.take(start + 2s), "late");
}

TEST(WorkQueue, holds_a_key_once_and_the_earlier_time_wins) {
  WorkQueue queue;
  queue.add_at("a", start + 5s);
  queue.add_at("a", start + 1s);
  queue.add_at("a", start + 9s);
  EXPECT_EQ(queue.queued(), 1u);
  EXPECT_EQ(queue.next_due(), start + 1s);
}

TEST(WorkQueue, never_gives_a_key_twice_at_once_but_again_after_done) {
  WorkQueue queue;
  queue.add("a", start);
  ASSERT_EQ(queue.take(start), "a");
  queue.add("a", start);
  EXPECT_EQ(queue.take(start), std::nullopt);
  queue.done("a", start);
  EXPECT_EQ(queue.take(start), "a");
  queue.done("a", start);
  EXPECT_EQ(queue.take(start), std::nullopt);
}

TEST(WorkQueue, backs_off_exponentially_up_to_the_limit_and_forgets_after_success) {
  WorkQueue queue(BackoffOptions{.base = 10ms, .limit = 35ms});
  queue.add("a", start);
  Instant now = start;
  for (const Duration expected : {Duration(10ms), Duration(20ms), Duration(35ms), Duration(35ms)}) {
    ASSERT_EQ(queue.take(now), "a");
    queue.failed("a", now);
    ASSERT_EQ(queue.next_due(), now + expected);
    now += expected;
  }
  EXPECT_EQ(queue.failures("a"), 4);
  ASSERT_EQ(queue.take(now), "a");
  queue.done("a", now);
  EXPECT_EQ(queue.failures("a"), 0);
  EXPECT_EQ(queue.next_due(), std::nullopt);
}

TEST(WorkQueue, an_add_during_failed_work_does_not_wait_for_the_back_off) {
  WorkQueue queue(BackoffOptions{.base = 10s, .limit = 10s});
  queue.add("a", start);
  ASSERT_EQ(queue.take(start), "a");
  queue.add("a", start);
  queue.failed("a", start);
  EXPECT_EQ(queue.next_due(), start);
}

}  // namespace
}  // namespace knative
