#include "model/config_maps.hpp"

#include <algorithm>

namespace knative::core {
namespace {

using fields::Mark;

constexpr std::string_view serving = "knative-serving";
constexpr std::string_view eventing = "knative-eventing";
constexpr std::string_view build = "knative-build";
constexpr std::string_view autoscaler = "config-autoscaler";
constexpr std::string_view defaults = "config-defaults";

// Why the others do nothing.
constexpr std::string_view by_options = "the host program sets this with its platform's options";
constexpr std::string_view no_cluster = "it configures parts of a cluster that are not here";
constexpr std::string_view no_features = "what there is does not depend on feature flags";
constexpr std::string_view own_log = "the log of a Broker or Channel is the platform's own";

constexpr ConfigKey keys[] = {
    {serving, autoscaler, "container-concurrency-target-percentage", Mark::acts},
    {serving, autoscaler, "container-concurrency-target-default", Mark::acts},
    {serving, autoscaler, "requests-per-second-target-default", Mark::acts},
    {serving, autoscaler, "target-burst-capacity", Mark::acts},
    {serving, autoscaler, "stable-window", Mark::acts},
    {serving, autoscaler, "panic-window-percentage", Mark::acts},
    {serving, autoscaler, "panic-threshold-percentage", Mark::acts},
    {serving, autoscaler, "max-scale-up-rate", Mark::acts},
    {serving, autoscaler, "max-scale-down-rate", Mark::acts},
    {serving, autoscaler, "enable-scale-to-zero", Mark::acts},
    {serving, autoscaler, "scale-to-zero-grace-period", Mark::acts},
    {serving, autoscaler, "scale-to-zero-pod-retention-period", Mark::acts},
    {serving, autoscaler, "activator-capacity", Mark::acts},
    {serving, autoscaler, "allow-zero-initial-scale", Mark::acts},
    {serving, autoscaler, "initial-scale", Mark::acts},
    {serving, autoscaler, "min-scale", Mark::acts},
    {serving, autoscaler, "max-scale", Mark::acts},
    {serving, autoscaler, "max-scale-limit", Mark::acts},
    {serving, autoscaler, "scale-down-delay", Mark::acts},
    {serving, autoscaler, "progress-deadline", Mark::acts},
    {serving, autoscaler, "pod-autoscaler-class", Mark::warned,
     "Revisions are scaled as by kpa.autoscaling.knative.dev"},
    {serving, autoscaler, "tick-interval", Mark::warned, "the platform decides every two seconds"},
    {serving, defaults, "", Mark::warned, by_options},
    {serving, "config-deployment", "", Mark::warned, by_options},
    {serving, "config-domain", "", Mark::warned, by_options},
    {serving, "config-features", "", Mark::warned, no_features},
    {serving, "config-gc", "", Mark::warned, "Revisions are kept until they are removed"},
    {serving, "config-network", "", Mark::warned, by_options},
    {serving, "config-leader-election", "", Mark::warned, no_cluster},
    {serving, "config-logging", "", Mark::warned, by_options},
    {serving, "config-observability", "", Mark::warned, by_options},
    {serving, "config-tracing", "", Mark::warned, "requests are not traced"},
    {serving, "config-certmanager", "", Mark::warned, no_cluster},
    {serving, "config-istio", "", Mark::warned, no_cluster},
    {serving, "config-contour", "", Mark::warned, no_cluster},
    {serving, "config-kourier", "", Mark::warned, no_cluster},
    {eventing, "config-br-defaults", "", Mark::warned, own_log},
    {eventing, "config-br-default-channel", "", Mark::warned, own_log},
    {eventing, "default-ch-webhook", "", Mark::warned, own_log},
    {eventing, "config-imc-event-dispatcher", "", Mark::warned, own_log},
    {eventing, "config-features", "", Mark::warned, no_features},
    {eventing, "config-ping-defaults", "", Mark::warned, "there is no PingSource"},
    {eventing, "config-sugar", "", Mark::warned, "Brokers are not made on demand"},
    {eventing, "config-leader-election", "", Mark::warned, no_cluster},
    {eventing, "config-logging", "", Mark::warned, by_options},
    {eventing, "config-observability", "", Mark::warned, by_options},
    {eventing, "config-tracing", "", Mark::warned, "requests are not traced"},
    {eventing, "config-kreference-mapping", "", Mark::warned, no_cluster},
    {build, "config-logging", "", Mark::warned, by_options},
};

// People's own words beside the keys.
bool is_commentary(std::string_view key) { return key == "_example"; }

FieldError no_effect(std::string_view key, std::string_view text) {
  return field_error("has no effect", {"data[" + std::string(key) + ']'}, std::string(text))
      .as_warning();
}

}  // namespace

std::span<const ConfigKey> config_keys() noexcept { return keys; }

FieldErrors check_config_map(const ConfigMap& config_map) {
  FieldErrors errors;
  const ObjectMeta& metadata = config_map.metadata;
  const auto named = [&](const ConfigKey& row) {
    return row.namespace_ == metadata.namespace_ && row.name == metadata.name;
  };
  if (std::none_of(std::begin(keys), std::end(keys), named)) return errors;
  for (const auto& entry : config_map.data) {
    const std::string& key = entry.first;
    if (is_commentary(key)) continue;
    const auto row = std::find_if(std::begin(keys), std::end(keys), [&](const ConfigKey& one) {
      return named(one) && (one.key.empty() || one.key == key);
    });
    if (row == std::end(keys)) {
      errors.add(no_effect(key, "there is no such key"));
    } else if (row->mark == Mark::warned) {
      errors.add(no_effect(key, row->text));
    }
  }
  return errors;
}

}  // namespace knative::core
