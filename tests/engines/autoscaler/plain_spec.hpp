// What tests of scaling share.
#pragma once

#include "knative/autoscaler.hpp"

namespace knative::testing_autoscaler {

inline constexpr Instant start{};

/// Ten at a time for each instance.
inline ScalerSpec plain() {
  ScalerSpec spec;
  spec.decider.target_value = 10;
  spec.decider.total_value = 10;
  return spec;
}

}  // namespace knative::testing_autoscaler
