// What the store asks before it takes an object: defaults, then every rule of its kind.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "knative/container.hpp"
#include "knative/field_error.hpp"
#include "knative/fwd.hpp"
#include "knative/store.hpp"

namespace knative {

/// The ConfigMap that changes the autoscaler's configuration while the platform runs.
inline constexpr std::string_view autoscaler_config_namespace = "knative-serving";
inline constexpr std::string_view autoscaler_config_name = "config-autoscaler";

/// Gives an object its defaults and says what is wrong with it, warnings included. Serving's are
/// those under this config-autoscaler, which is read every time and must outlive the function.
/// `runtimes` gives those that containers are run by, null without any: what they ignore of a
/// Revision's container is warned about.
using RuntimesGiven = std::function<const ContainerRuntimes*()>;
std::function<FieldErrors(AnyObject& object)> admission_rules(const AutoscalerConfig& autoscaler,
                                                              RuntimesGiven runtimes);

/// The same for a store, with what must not change. What has no effect becomes a condition of the
/// object's status.
Admission admission(const AutoscalerConfig& autoscaler, RuntimesGiven runtimes, Timers& timers);

/// One line: "has no effect: spec.config; the log of the Broker is configured by its platform".
std::string to_line(const FieldError& error);

}  // namespace knative
