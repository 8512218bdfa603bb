#include <gtest/gtest.h>

#include <set>

#include "knative/retry_schedule.hpp"

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

}  // namespace
}  // namespace knative
