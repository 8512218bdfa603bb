#include <gtest/gtest.h>

#include <set>

#include "knative/event_broker.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;

DeliveryAttempt answer(int status) {
  DeliveryAttempt attempt;
  attempt.status = status;
  return attempt;
}

DeliveryOptions plain(BackoffPolicy policy) {
  DeliveryOptions options;
  options.policy = policy;
  options.delay = 1s;
  options.jitter = 0;
  options.retry = 4;
  return options;
}

TEST(RetrySchedule, grows_as_the_documented_formulas_say) {
  const RetrySchedule linear(plain(BackoffPolicy::linear));
  const RetrySchedule exponential(plain(BackoffPolicy::exponential));
  Random random(1);
  const Duration linear_wanted[] = {1s, 2s, 3s, 4s};
  const Duration exponential_wanted[] = {2s, 4s, 8s, 16s};
  for (int n = 1; n <= 4; ++n) {
    EXPECT_EQ(linear.next(n, answer(500), random), linear_wanted[n - 1]);
    EXPECT_EQ(exponential.next(n, answer(500), random), exponential_wanted[n - 1]);
  }
  EXPECT_EQ(linear.next(5, answer(500), random), std::nullopt);
}

TEST(RetrySchedule, can_count_as_the_go_data_plane_does) {
  DeliveryOptions options = plain(BackoffPolicy::linear);
  options.count_from_zero = true;
  EXPECT_EQ(RetrySchedule(options).backoff(1), 0s);
  EXPECT_EQ(RetrySchedule(options).backoff(3), 2s);
  options.policy = BackoffPolicy::exponential;
  EXPECT_EQ(RetrySchedule(options).backoff(1), 1s);
  EXPECT_EQ(RetrySchedule(options).backoff(3), 4s);
}

TEST(RetrySchedule, is_capped_whatever_the_number) {
  DeliveryOptions options = plain(BackoffPolicy::exponential);
  options.retry = 1000;
  options.delay_max = 1min;
  for (int n = 1; n <= 1000; ++n) {
    EXPECT_GT(RetrySchedule(options).backoff(n), 0s);
    EXPECT_LE(RetrySchedule(options).backoff(n), 1min);
  }
}

TEST(RetrySchedule, knows_which_answers_are_worth_another_attempt) {
  std::set<int> retried;
  for (int status = 0; status < 600; ++status) {
    if (RetrySchedule::retryable(status)) retried.insert(status);
  }
  for (const int status : {0, 404, 408, 409, 429}) EXPECT_EQ(retried.erase(status), 1u);
  EXPECT_EQ(retried.size(), 100u);
  EXPECT_EQ(*retried.begin(), 500);
}

TEST(RetrySchedule, jitter_stays_within_its_share) {
  DeliveryOptions options = plain(BackoffPolicy::linear);
  options.jitter = 0.2;
  const RetrySchedule schedule(options);
  Random random(5);
  Duration least = 10s;
  Duration most = 0s;
  for (int i = 0; i < 1000; ++i) {
    const Duration delay = schedule.next(1, answer(500), random).value();
    least = std::min(least, delay);
    most = std::max(most, delay);
  }
  EXPECT_GE(least, 800ms);
  EXPECT_LE(most, 1200ms);
  EXPECT_LT(least, 850ms);
  EXPECT_GT(most, 1150ms);
}

TEST(RetrySchedule, honours_retry_after_only_where_it_is_meant) {
  DeliveryOptions options = plain(BackoffPolicy::linear);
  Random random(1);
  DeliveryAttempt failed = answer(503);
  failed.retry_after = 10s;
  EXPECT_EQ(RetrySchedule(options).next(1, failed, random), Duration(1s));
  options.retry_after_max = 1min;
  EXPECT_EQ(RetrySchedule(options).next(1, failed, random), Duration(10s));
  options.retry_after_max = 5s;
  EXPECT_EQ(RetrySchedule(options).next(1, failed, random), Duration(5s));
  failed.status = 500;
  EXPECT_EQ(RetrySchedule(options).next(1, failed, random), Duration(1s));
  failed.status = 429;
  failed.retry_after = 10ms;
  EXPECT_EQ(RetrySchedule(options).next(1, failed, random), Duration(1s));
}

TEST(Dispatcher, moves_its_cursor_to_the_lowest_unfinished_offset) {
  Dispatcher dispatcher(10, 100, 100);
  for (Offset offset = 10; offset < 15; ++offset) dispatcher.enter(offset);
  dispatcher.finish(12);
  dispatcher.finish(11);
  EXPECT_EQ(dispatcher.cursor(), 10u);
  dispatcher.finish(10);
  EXPECT_EQ(dispatcher.cursor(), 13u);
  dispatcher.finish(14);
  dispatcher.finish(13);
  EXPECT_EQ(dispatcher.cursor(), 15u);
  EXPECT_EQ(dispatcher.next(), 15u);
}

TEST(Dispatcher, bounds_what_is_in_progress_and_how_far_it_runs_ahead) {
  Dispatcher dispatcher(0, 3, 5);
  EXPECT_EQ(dispatcher.room(), 3u);
  for (Offset offset = 0; offset < 3; ++offset) dispatcher.enter(offset);
  EXPECT_EQ(dispatcher.room(), 0u);
  dispatcher.finish(1);
  dispatcher.finish(2);
  EXPECT_EQ(dispatcher.room(), 2u);
  dispatcher.enter(3);
  dispatcher.finish(3);
  dispatcher.enter(4);
  dispatcher.finish(4);
  EXPECT_EQ(dispatcher.room(), 0u);  // five ahead of the cursor
  dispatcher.finish(0);
  EXPECT_EQ(dispatcher.room(), 3u);
}

TEST(Dispatcher, gives_a_window_of_its_own_to_what_enters_after_a_renewal) {
  Dispatcher dispatcher(0, 2, 10);
  dispatcher.enter(0);
  dispatcher.enter(1);
  EXPECT_EQ(dispatcher.room(), 0u);
  dispatcher.renew(3, 5);
  EXPECT_EQ(dispatcher.room(), 3u);
  dispatcher.enter(2);
  dispatcher.finish(1);
  EXPECT_EQ(dispatcher.room(), 2u);
  EXPECT_EQ(dispatcher.cursor(), 0u);
  dispatcher.enter(3);
  dispatcher.finish(3);
  dispatcher.enter(4);
  dispatcher.finish(4);
  EXPECT_EQ(dispatcher.room(), 0u);  // five ahead of the cursor, renewed or not
  dispatcher.finish(0);
  EXPECT_EQ(dispatcher.room(), 2u);
  EXPECT_EQ(dispatcher.cursor(), 2u);
}

TEST(Dispatcher, counts_records_that_are_gone_as_done) {
  Dispatcher dispatcher(0, 10, 100);
  dispatcher.enter(50);
  EXPECT_EQ(dispatcher.cursor(), 50u);
  dispatcher.finish(50);
  dispatcher.skip_to(80);
  EXPECT_EQ(dispatcher.cursor(), 80u);
}

/// Any order of finishing and renewing ends at the same place.
TEST(Dispatcher, never_loses_an_offset_under_random_use) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    Random random(seed);
    Dispatcher dispatcher(0, 1 + random.below(8), 8 + random.below(20));
    std::set<Offset> open;
    std::set<Offset> done;
    Offset checked = 0;
    while (done.size() < 200) {
      if (random.below(40) == 0) {
        dispatcher.renew(1 + random.below(8), 8 + random.below(20));
      } else if (dispatcher.room() > 0 && dispatcher.next() < 200 && random.below(2) == 0) {
        open.insert(dispatcher.next());
        dispatcher.enter(dispatcher.next());
      } else if (!open.empty()) {
        auto which = open.begin();
        std::advance(which, static_cast<std::ptrdiff_t>(random.below(open.size())));
        dispatcher.finish(*which);
        EXPECT_TRUE(done.insert(*which).second);
        open.erase(which);
      }
      EXPECT_EQ(dispatcher.in_progress(), open.size());
      for (; checked < dispatcher.cursor(); ++checked) {
        ASSERT_TRUE(done.contains(checked));
      }
    }
    EXPECT_EQ(dispatcher.cursor(), 200u);
  }
}

}  // namespace
}  // namespace knative
