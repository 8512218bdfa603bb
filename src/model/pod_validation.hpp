// Knative Serving's rules for what a revision may run; see serving's validation.
#pragma once

#include "knative/pod.hpp"

namespace knative::core {

// What an operator may allow beside the fields that are always allowed.
struct PodFeatures {
  bool multi_container = true;
  bool multi_container_probing = false;
  bool init_containers = false;
  bool lifecycle = false;  // Knative never allows hooks
  bool empty_dir = true;
  bool persistent_volume_claim = false;
  bool persistent_volume_write = false;
  bool host_path = false;
  bool csi = false;
  bool ephemeral = false;
  bool image_volume = false;
  bool field_ref = false;
  bool mount_propagation = false;
  bool added_capabilities = false;
  bool scheduling = false;  // affinity, nodeSelector, tolerations, topology spread, priority, …
  bool security_context = false;  // of the pod
  bool dns = false;               // dnsPolicy, dnsConfig, hostAliases
  bool host_namespaces = false;   // hostNetwork, hostPID, hostIPC, shareProcessNamespace
};

// Every error at once; paths begin at "containers", "volumes", …. Call it after defaulting.
FieldErrors validate_revision_pod(const PodSpec& pod, const PodFeatures& features);
inline FieldErrors validate_revision_pod(const PodSpec& pod) {
  return validate_revision_pod(pod, PodFeatures{});
}

// What a volume is made of, as Kubernetes says: medium and limit, where files may be, their modes.
FieldErrors validate_volume_content(const Volume& volume);

// The warning that what is to lie in memory does not.
FieldError not_in_memory(std::string_view field);

// The index of the container that gets requests: the only one, or the one with a port. Empty when
// there is none.
std::optional<std::size_t> serving_container(const PodSpec& pod) noexcept;

}  // namespace knative::core
