// What the store asks before it takes an object: defaults, then every rule of its kind.
#pragma once

#include <functional>

#include "knative/field_error.hpp"
#include "knative/fwd.hpp"
#include "knative/store.hpp"

namespace knative {

/// Gives an object its defaults and says what is wrong with it. Serving's are those under this
/// config-autoscaler.
std::function<FieldErrors(AnyObject& object)> admission_rules(const AutoscalerConfig& autoscaler);

/// The same for a store, with what must not change.
Admission admission(const AutoscalerConfig& autoscaler);

}  // namespace knative
