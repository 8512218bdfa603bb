// What the store asks before it takes an object: defaults, then every rule of its kind.
#pragma once

#include "knative/fwd.hpp"
#include "knative/store.hpp"

namespace knative {

/// Serving's defaults and rules are those under this config-autoscaler.
Admission admission(const AutoscalerConfig& autoscaler);

}  // namespace knative
