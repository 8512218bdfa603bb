// What the downward API tells a container of its own pod.
#pragma once

#include <string>

#include "knative/error.hpp"
#include "knative/meta.hpp"
#include "knative/volume.hpp"

namespace knative::control {

/// The pod that a Build or a Revision would be.
struct PodFacts {
  ObjectMeta metadata;
  std::string service_account;
};

/// The value of a field: metadata.name, .namespace, .uid, .labels['KEY'], .annotations['KEY'] and
/// spec.serviceAccountName; for files (`whole_maps`) metadata.labels and metadata.annotations as
/// well. `unimplemented` for every other.
Result<std::string> pod_field(const PodFacts& pod, const core::FieldSelector& field,
                              bool whole_maps);

}  // namespace knative::control
