/// \file
/// When a delivery that failed is tried again; part of event_broker.hpp.
///
/// Pure: chance is an argument.
///
/// \code
/// const knative::RetrySchedule schedule(knative::DeliveryOptions{.retry = 3});
/// const auto wait = schedule.next(1, failed, random);  // before the first retry; empty: give up
/// \endcode
#pragma once

#include <chrono>
#include <optional>

#include "knative/env.hpp"
#include "knative/event.hpp"

namespace knative {

/// How the delay grows with the number of the retry.
enum class BackoffPolicy : unsigned char { linear = 0, exponential = 1 };

/// Delivery as in Knative's DeliverySpec, with bounds that it lacks.
struct DeliveryOptions {
  int retry = 10;  ///< Attempts after the first.
  BackoffPolicy policy = BackoffPolicy::exponential;
  Duration delay = std::chrono::milliseconds(200);  ///< Base of the back-off.
  Duration delay_max = std::chrono::minutes(5);     ///< No back-off is longer.
  double jitter = 0.2;                              ///< Each delay varies by this share, 0 to 1.
  Duration timeout = std::chrono::seconds(30);      ///< Of one attempt.
  /// Honour Retry-After of 429 and 503 answers up to this; empty: ignore the field.
  std::optional<Duration> retry_after_max;
  /// Count retries from 0 in the formula, as the Go data plane does: linear begins with no delay.
  bool count_from_zero = false;
  friend bool operator==(const DeliveryOptions&, const DeliveryOptions&) = default;
};

/// The pure arithmetic of retries. With n counted from 1: `delay * n`, or `delay * 2^n`.
class KNATIVE_EXPORT RetrySchedule {
 public:
  explicit RetrySchedule(const DeliveryOptions& options) : options_(options) {}
  /// Whether an answer is worth another attempt: no answer, 404, 408, 409, 429, and 5xx.
  static bool retryable(int status) noexcept;
  /// The wait before retry `number` (from 1) after this failed attempt; empty: give up.
  std::optional<Duration> next(int number, const DeliveryAttempt& failed, Random& random) const;
  /// The back-off without jitter and Retry-After.
  Duration backoff(int number) const noexcept;

 private:
  DeliveryOptions options_;
};

}  // namespace knative
