/// \file
/// Containers, volumes and pods as Kubernetes core/v1 defines them, as far as Build and Serving use
/// them.
///
/// Structs are plain aggregates whose members follow the JSON names. Rarely used parts are `Value`.
/// An absent optional is an absent key; empty strings, zeros and empty lists are omitted.
///
/// \code
/// knative::core::Container step{.name = "compile", .image = "gcc:12", .command = {"make"},
///                               .env = {{.name = "CFLAGS", .value = "-O2"}}};
/// \endcode
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "knative/meta.hpp"
#include "knative/probe.hpp"
#include "knative/volume.hpp"

namespace knative::core {

// ---------------------------------------------------------------------------- containers

/// A key of a ConfigMap or Secret in the same namespace.
struct KeySelector {
  std::string name = {};
  std::string key = {};
  std::optional<bool> optional = {};
  friend bool operator==(const KeySelector&, const KeySelector&) = default;
};

/// Where a variable's value comes from; exactly one is set.
struct EnvVarSource {
  std::optional<KeySelector> config_map_key_ref = {};
  std::optional<KeySelector> secret_key_ref = {};
  std::optional<FieldSelector> field_ref = {};
  Value resource_field_ref = {};
  friend bool operator==(const EnvVarSource&, const EnvVarSource&) = default;
};

/// A variable with a literal value or a source.
struct EnvVar {
  std::string name = {};
  std::string value = {};
  std::optional<EnvVarSource> value_from = {};
  friend bool operator==(const EnvVar&, const EnvVar&) = default;
};

/// A ConfigMap or Secret by name.
struct EnvFromRef {
  std::string name = {};
  std::optional<bool> optional = {};
  friend bool operator==(const EnvFromRef&, const EnvFromRef&) = default;
};

/// All keys of a ConfigMap or Secret as variables; exactly one is set.
struct EnvFromSource {
  std::string prefix = {};
  std::optional<EnvFromRef> config_map_ref = {};
  std::optional<EnvFromRef> secret_ref = {};
  friend bool operator==(const EnvFromSource&, const EnvFromSource&) = default;
};

/// A port that a container listens on.
struct ContainerPort {
  std::string name = {};
  std::int32_t container_port = 0;
  std::string protocol = {};
  std::int32_t host_port = 0;
  std::string host_ip = {};
  friend bool operator==(const ContainerPort&, const ContainerPort&) = default;
};

/// Amounts by resource name ("cpu", "memory", "ephemeral-storage", …).
using ResourceList = std::map<std::string, Quantity, std::less<>>;

/// Upper bounds and reservations.
struct ResourceRequirements {
  ResourceList limits = {};
  ResourceList requests = {};
  friend bool operator==(const ResourceRequirements&, const ResourceRequirements&) = default;
};

/// Where a container sees a volume.
struct VolumeMount {
  std::string name = {};
  std::string mount_path = {};
  bool read_only = false;
  std::string sub_path = {};
  std::string sub_path_expr = {};
  std::string mount_propagation = {};
  friend bool operator==(const VolumeMount&, const VolumeMount&) = default;
};

/// Linux capabilities to add and drop.
struct Capabilities {
  std::vector<std::string> add = {};
  std::vector<std::string> drop = {};
  friend bool operator==(const Capabilities&, const Capabilities&) = default;
};

/// Which system calls are allowed.
struct SeccompProfile {
  std::string type = {};
  std::string localhost_profile = {};
  friend bool operator==(const SeccompProfile&, const SeccompProfile&) = default;
};

/// User, privileges and file system of a container.
struct SecurityContext {
  std::optional<std::int64_t> run_as_user = {};
  std::optional<std::int64_t> run_as_group = {};
  std::optional<bool> run_as_non_root = {};
  std::optional<bool> allow_privilege_escalation = {};
  std::optional<bool> read_only_root_filesystem = {};
  std::optional<bool> privileged = {};
  std::optional<Capabilities> capabilities = {};
  std::optional<SeccompProfile> seccomp_profile = {};
  Value se_linux_options = {};
  friend bool operator==(const SecurityContext&, const SecurityContext&) = default;
};

/// A program from an image.
struct Container {
  std::string name = {};
  std::string image = {};
  std::vector<std::string> command = {};
  std::vector<std::string> args = {};
  std::string working_dir = {};
  std::vector<EnvVar> env = {};
  std::vector<EnvFromSource> env_from = {};
  std::vector<ContainerPort> ports = {};
  ResourceRequirements resources = {};
  std::vector<VolumeMount> volume_mounts = {};
  std::optional<Probe> liveness_probe = {};
  std::optional<Probe> readiness_probe = {};
  std::optional<Probe> startup_probe = {};
  std::string image_pull_policy = {};
  std::optional<SecurityContext> security_context = {};
  std::string termination_message_path = {};
  std::string termination_message_policy = {};
  std::optional<Lifecycle> lifecycle = {};
  bool stdin_open = false;  ///< JSON "stdin".
  bool stdin_once = false;
  bool tty = false;
  Value volume_devices = {};
  Value resize_policy = {};
  std::string restart_policy = {};
  friend bool operator==(const Container&, const Container&) = default;
};

// ---------------------------------------------------------------------------- pods

/// An object in the same namespace.
struct LocalObjectReference {
  std::string name = {};
  friend bool operator==(const LocalObjectReference&, const LocalObjectReference&) = default;
};

/// What a revision or a build runs.
struct PodSpec {
  std::vector<Container> containers = {};
  std::vector<Container> init_containers = {};
  std::vector<Volume> volumes = {};
  std::string service_account_name = {};
  std::vector<LocalObjectReference> image_pull_secrets = {};
  std::optional<bool> enable_service_links = {};
  std::optional<bool> automount_service_account_token = {};
  StringMap node_selector = {};
  Value affinity = {};
  Value tolerations = {};
  Value topology_spread_constraints = {};
  Value host_aliases = {};
  std::optional<std::string> runtime_class_name = {};
  Value security_context = {};
  std::string priority_class_name = {};
  std::string scheduler_name = {};
  std::string dns_policy = {};
  Value dns_config = {};
  std::optional<bool> share_process_namespace = {};
  bool host_network = false;
  bool host_pid = false;
  bool host_ipc = false;
  std::string restart_policy = {};
  std::optional<std::int64_t> termination_grace_period_seconds = {};
  std::optional<std::int64_t> active_deadline_seconds = {};
  std::string node_name = {};
  std::string hostname = {};
  std::string subdomain = {};
  friend bool operator==(const PodSpec&, const PodSpec&) = default;
};

/// Not started yet, and why.
struct ContainerStateWaiting {
  std::string reason = {};
  std::string message = {};
  friend bool operator==(const ContainerStateWaiting&, const ContainerStateWaiting&) = default;
};

/// Running since.
struct ContainerStateRunning {
  std::optional<Timestamp> started_at = {};
  friend bool operator==(const ContainerStateRunning&, const ContainerStateRunning&) = default;
};

/// Ended, and how.
struct ContainerStateTerminated {
  std::int32_t exit_code = 0;
  std::int32_t signal = 0;
  std::string reason = {};
  std::string message = {};
  std::optional<Timestamp> started_at = {};
  std::optional<Timestamp> finished_at = {};
  std::string container_id = {};
  friend bool operator==(const ContainerStateTerminated&,
                         const ContainerStateTerminated&) = default;
};

/// At most one is set; none means waiting.
struct ContainerState {
  std::optional<ContainerStateWaiting> waiting = {};
  std::optional<ContainerStateRunning> running = {};
  std::optional<ContainerStateTerminated> terminated = {};
  friend bool operator==(const ContainerState&, const ContainerState&) = default;
};

/// Their lists of fields, for structs that hold these.
KNATIVE_EXPORT const fields::Struct& describe(const EnvVar*);
KNATIVE_EXPORT const fields::Struct& describe(const Container*);
KNATIVE_EXPORT const fields::Struct& describe(const Volume*);
KNATIVE_EXPORT const fields::Struct& describe(const LocalObjectReference*);
KNATIVE_EXPORT const fields::Struct& describe(const PodSpec*);

}  // namespace knative::core
