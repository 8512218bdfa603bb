// Volumes of a pod as folders of this machine.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "knative/client.hpp"
#include "knative/container.hpp"
#include "knative/pod.hpp"
#include "platform/pod_facts.hpp"

namespace knative::control {

/// Where volumes may lie.
struct VolumePlaces {
  /// Of this pod alone: a folder below it for each volume. It is not readable by others, and who
  /// made it removes it, secrets and all, when the pod has ended.
  std::string directory;
  /// What outlives the pod: claims as "NAMESPACE/CLAIM" below it. Empty: claims are refused.
  std::string claims;
  bool host_paths = false;  ///< Allow hostPath.
};

/// Make `volumes`, all but gitRepo, whose folder is made and left empty, and say by name where each
/// is, for `mount_volumes`. Fails with `failed_precondition` when an object that must be there is
/// not (it may come), else with what is wrong; errors name the volume. Objects that were looked for
/// are added to `interests`, found or not. Blocks briefly.
Result<std::map<std::string, ContainerMount>> make_volumes(Files& files, const Client& client,
                                                           const PodFacts& pod,
                                                           const std::vector<core::Volume>& volumes,
                                                           const VolumePlaces& places,
                                                           std::set<ObjectRef>& interests);

}  // namespace knative::control
