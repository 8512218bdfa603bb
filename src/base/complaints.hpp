/// \file
/// How often somebody may complain: a burst, then at a steady pace; the others are counted.
/// Private to the library.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "knative/env.hpp"

namespace knative::base {

/// Pure: takes time as an argument.
class Complaints {
 public:
  explicit Complaints(double burst, double per_second) noexcept
      : burst_(burst), per_second_(per_second), left_(burst) {}

  /// Empty: say nothing. Otherwise how many were not said since the last one.
  std::optional<std::uint64_t> next(Instant now) noexcept {
    if (last_) {
      const double seconds = std::chrono::duration<double>(now - *last_).count();
      left_ = std::min(burst_, left_ + seconds * per_second_);
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
  double burst_;
  double per_second_;
  double left_;
  std::uint64_t unsaid_ = 0;
  std::optional<Instant> last_;
};

}  // namespace knative::base
