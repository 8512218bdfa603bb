// The ConfigMaps by which Knative is configured, and which of their keys act here.
#pragma once

#include <span>
#include <string_view>

#include "knative/core.hpp"

namespace knative::core {

struct ConfigKey {
  std::string_view namespace_;  // "knative-serving", "knative-eventing" or "knative-build"
  std::string_view name;        // "config-autoscaler"
  std::string_view key;         // Empty: all keys of this ConfigMap.
  fields::Mark mark = fields::Mark::acts;
  std::string_view text = {};
};

// Every key that Knative's own ConfigMaps have.
std::span<const ConfigKey> config_keys() noexcept;

// Warnings about keys of Knative's ConfigMaps that have no effect; paths begin at "data".
FieldErrors check_config_map(const ConfigMap& config_map);

}  // namespace knative::core
