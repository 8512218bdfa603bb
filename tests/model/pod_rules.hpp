// What the tests of a Revision's pod share.
#pragma once

#include <string>
#include <utility>

#include "model/pod_validation.hpp"

namespace knative::core {

inline std::string errors_of(const PodSpec& pod, const PodFeatures& features = {}) {
  return validate_revision_pod(pod, features).to_string();
}

/// A pod of one container, of a function unless it has an image.
inline PodSpec with(Container container) {
  if (container.image.empty()) container.image = "fn:hello";
  return PodSpec{.containers = {std::move(container)}};
}

}  // namespace knative::core
