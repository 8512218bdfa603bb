#include <algorithm>

#include "knative/retry_schedule.hpp"

namespace knative {

bool RetrySchedule::retryable(int status) noexcept {
  return status <= 0 || status == 404 || status == 408 || status == 409 || status == 429 ||
         status >= 500;
}

Duration RetrySchedule::backoff(int number) const noexcept {
  const int n = std::max(0, options_.count_from_zero ? number - 1 : number);
  const double factor =
      options_.policy == BackoffPolicy::linear ? n : static_cast<double>(1ULL << std::min(n, 62));
  const double wanted = static_cast<double>(options_.delay.count()) * factor;
  if (wanted >= static_cast<double>(options_.delay_max.count())) return options_.delay_max;
  return Duration(static_cast<std::int64_t>(wanted));
}

std::optional<Duration> RetrySchedule::next(int number, const DeliveryAttempt& failed,
                                            Random& random) const {
  if (number > options_.retry || !retryable(failed.status)) return std::nullopt;
  Duration delay = backoff(number);
  if (options_.jitter > 0) {
    const double factor = 1 + options_.jitter * (2 * random.uniform() - 1);
    delay = Duration(static_cast<std::int64_t>(static_cast<double>(delay.count()) * factor));
  }
  const bool told = failed.status == 429 || failed.status == 503;
  if (told && failed.retry_after && options_.retry_after_max) {
    delay = std::max(delay, std::min(*failed.retry_after, *options_.retry_after_max));
  }
  return delay;
}

}  // namespace knative
