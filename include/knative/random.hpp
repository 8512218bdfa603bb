/// \file
/// Chance as a value: a seeded generator. Not for keys or passwords.
///
/// \code
/// knative::Random chance = env.random.split("jitter");
/// const std::uint64_t dice = chance.below(6);
/// \endcode
#pragma once

#include <cstdint>
#include <string_view>

#include "knative/error.hpp"

namespace knative {

/// A seeded generator (xoshiro256**). Copyable value; derive one per consumer with `split`.
class KNATIVE_EXPORT Random {
 public:
  using result_type = std::uint64_t;
  explicit Random(std::uint64_t seed) noexcept;
  static constexpr result_type min() noexcept { return 0; }
  static constexpr result_type max() noexcept { return ~std::uint64_t{0}; }
  result_type operator()() noexcept;
  /// Uniform in [0, bound); bound > 0.
  std::uint64_t below(std::uint64_t bound) noexcept;
  /// Uniform in [0, 1).
  double uniform() noexcept;
  /// Exponentially distributed with the given mean.
  double exponential(double mean) noexcept;
  /// An independent generator for a consumer with this name: adding consumers does not disturb
  /// the others.
  Random split(std::string_view name) const noexcept;

 private:
  std::uint64_t state_[4];
};

}  // namespace knative
