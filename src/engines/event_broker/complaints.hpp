/// \file
/// How often somebody may complain: a burst, then at a steady pace; the others are counted.
/// Private to the event broker.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "knative/env.hpp"

namespace knative::broker {

/// Pure: takes time as an argument.
class Complaints {
 public:
  static constexpr double burst = 20;
  static constexpr double per_second = 1;

  /// Empty: say nothing. Otherwise how many were not said since the last one.
  std::optional<std::uint64_t> next(Instant now) noexcept {
    if (last_) {
      const double seconds = std::chrono::duration<double>(now - *last_).count();
      left_ = std::min(burst, left_ + seconds * per_second);
    }
    last_ = now;
    if (left_ < 1) {
      ++unsaid_;
      return std::nullopt;
    }
    left_ -= 1;
    const std::uint64_t unsaid = unsaid_;
    unsaid_ = 0;
    return unsaid;
  }

 private:
  double left_ = burst;
  std::uint64_t unsaid_ = 0;
  std::optional<Instant> last_;
};

}  // namespace knative::broker
