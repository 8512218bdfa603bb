/// \file
/// The Serving kinds: Service, Configuration, Revision, Route and the internal PodAutoscaler, as
/// plain values with their defaults, validation, conditions and generated names.
///
/// Fields carry the names of serving.knative.dev/v1 in snake_case (`template` is `template_`).
/// Nothing here runs anything; values may be copied between threads. Errors are `FieldError`s with
/// Knative's wording, all of them at once.
///
/// \code
/// auto hello = knative::serving::service("hello", "fn:hello");
/// hello.spec.template_.spec.container_concurrency = 10;
/// hello.spec.traffic = {{.revision_name = "hello-00001", .percent = 90},
///                       {.latest_revision = true, .percent = 10, .tag = "canary"}};
/// knative::serving::apply_defaults(hello);
/// auto errors = knative::serving::validate(hello);  // empty when valid
/// \endcode
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "knative/meta.hpp"
#include "knative/object.hpp"
#include "knative/pod.hpp"
#include "knative/serving_status.hpp"

namespace knative::serving {

/// Label and annotation keys of Serving.
namespace keys {
inline constexpr std::string_view service = "serving.knative.dev/service";
inline constexpr std::string_view service_uid = "serving.knative.dev/serviceUID";
inline constexpr std::string_view configuration = "serving.knative.dev/configuration";
inline constexpr std::string_view configuration_uid = "serving.knative.dev/configurationUID";
inline constexpr std::string_view configuration_generation =
    "serving.knative.dev/configurationGeneration";
inline constexpr std::string_view route = "serving.knative.dev/route";
inline constexpr std::string_view revision = "serving.knative.dev/revision";
/// "pending", "active" or "reserve".
inline constexpr std::string_view routing_state = "serving.knative.dev/routingState";
inline constexpr std::string_view routing_state_modified =
    "serving.knative.dev/routingStateModified";
/// Comma separated names of the Routes that use a Revision or Configuration.
inline constexpr std::string_view routes = "serving.knative.dev/routes";
inline constexpr std::string_view creator = "serving.knative.dev/creator";
inline constexpr std::string_view last_modifier = "serving.knative.dev/lastModifier";
inline constexpr std::string_view rollout_duration = "serving.knative.dev/rollout-duration";
/// Ours, on a Revision: "frozen" keeps an idle instance in memory, "stopped" (as without) does not.
inline constexpr std::string_view idle = "serving.knative.dev/idle";
inline constexpr std::string_view progress_deadline = "serving.knative.dev/progress-deadline";
/// "cluster-local" hides a Service or Route from outside.
inline constexpr std::string_view visibility = "networking.knative.dev/visibility";
inline constexpr std::string_view autoscaling_prefix = "autoscaling.knative.dev/";
}  // namespace keys

// ---------------------------------------------------------------------------- specs

/// Whether a field that a Revision may not set was there when the object was read.
struct Refused {
  bool set = false;
  friend bool operator==(const Refused&, const Refused&) = default;
};

/// The parts of a pod specification that Knative keeps from users, or behind feature flags that
/// are off; remembered so that validation can name them ("must not set the field(s)").
struct RefusedPodFields {
  Refused active_deadline_seconds, affinity, dns_config, dns_policy, ephemeral_containers,
      host_aliases, host_ipc, host_network, host_pid, hostname, node_name, node_selector, priority,
      priority_class_name, readiness_gates, restart_policy, scheduler_name, security_context,
      share_process_namespace, subdomain, termination_grace_period_seconds, tolerations,
      topology_spread_constraints;
  friend bool operator==(const RefusedPodFields&, const RefusedPodFields&) = default;
};

/// What a Revision runs: the allowed part of a pod specification, and limits.
struct RevisionSpec {
  std::vector<core::Container> containers = {};
  std::vector<core::Container> init_containers = {};
  std::vector<core::Volume> volumes = {};
  std::string service_account_name = {};
  std::vector<core::LocalObjectReference> image_pull_secrets = {};
  std::optional<std::string> runtime_class_name = {};  ///< A runtime of the platform, by name.
  std::optional<bool> enable_service_links = {};
  std::optional<bool> automount_service_account_token = {};  ///< May only be false.
  /// Requests at a time per instance; 0 means no limit.
  std::optional<std::int64_t> container_concurrency = {};
  std::optional<std::int64_t> timeout_seconds = {};  ///< Whole request; seconds.
  std::optional<std::int64_t> response_start_timeout_seconds = {};
  std::optional<std::int64_t> idle_timeout_seconds = {};
  RefusedPodFields refused = {};
  friend bool operator==(const RevisionSpec&, const RevisionSpec&) = default;

  /// The container that serves: the only one, or the one with a port; null when there is none.
  KNATIVE_EXPORT const core::Container* serving_container() const noexcept;
};

/// From this a Configuration stamps Revisions. `metadata.name` (optional) names the next Revision
/// and must begin with "<parent>-".
struct RevisionTemplateSpec {
  ObjectMeta metadata = {};
  RevisionSpec spec = {};
  friend bool operator==(const RevisionTemplateSpec&, const RevisionTemplateSpec&) = default;
};

/// What a Configuration stamps Revisions from.
struct ConfigurationSpec {
  RevisionTemplateSpec template_ = {};
  friend bool operator==(const ConfigurationSpec&, const ConfigurationSpec&) = default;
};

/// Where a Route sends requests.
struct RouteSpec {
  std::vector<TrafficTarget> traffic = {};
  friend bool operator==(const RouteSpec&, const RouteSpec&) = default;
};

/// A ConfigurationSpec and a RouteSpec in one.
struct ServiceSpec {
  RevisionTemplateSpec template_ = {};
  std::vector<TrafficTarget> traffic = {};  ///< Empty: everything to the latest ready Revision.
  friend bool operator==(const ServiceSpec&, const ServiceSpec&) = default;
};

// ---------------------------------------------------------------------------- kinds

/// Makes a Configuration and a Route of its own name and keeps them so.
struct Service {
  static constexpr std::string_view api_version = "serving.knative.dev/v1";
  static constexpr std::string_view kind = "Service";
  ObjectMeta metadata = {};
  ServiceSpec spec = {};
  ServiceStatus status = {};
  friend bool operator==(const Service&, const Service&) = default;
};

/// Stamps a Revision whenever its template changes.
struct Configuration {
  static constexpr std::string_view api_version = "serving.knative.dev/v1";
  static constexpr std::string_view kind = "Configuration";
  ObjectMeta metadata = {};
  ConfigurationSpec spec = {};
  ConfigurationStatus status = {};
  friend bool operator==(const Configuration&, const Configuration&) = default;
};

/// An immutable snapshot of a Configuration's template.
struct Revision {
  static constexpr std::string_view api_version = "serving.knative.dev/v1";
  static constexpr std::string_view kind = "Revision";
  ObjectMeta metadata = {};
  RevisionSpec spec = {};
  RevisionStatus status = {};
  friend bool operator==(const Revision&, const Revision&) = default;
};

/// Splits the requests of a host over Revisions.
struct Route {
  static constexpr std::string_view api_version = "serving.knative.dev/v1";
  static constexpr std::string_view kind = "Route";
  ObjectMeta metadata = {};
  RouteSpec spec = {};
  RouteStatus status = {};
  friend bool operator==(const Route&, const Route&) = default;
};

/// What the autoscaler is told of a Revision.
struct PodAutoscalerSpec {
  ObjectRef scale_target_ref = {};
  std::string reachability = {};  ///< "", "Reachable" or "Unreachable".
  std::int64_t container_concurrency = 0;
  std::string protocol_type = {};  ///< "http1" or "h2c".
  friend bool operator==(const PodAutoscalerSpec&, const PodAutoscalerSpec&) = default;
};

/// Active, ScaleTargetInitialized and SKSReady make Ready.
struct PodAutoscalerStatus {
  std::int64_t observed_generation = 0;
  Conditions conditions = {};
  StringMap annotations = {};
  std::string service_name = {};
  std::string metrics_service_name = {};
  std::optional<std::int32_t> desired_scale = {};  ///< Unset until the first decision.
  std::optional<std::int32_t> actual_scale = {};
  friend bool operator==(const PodAutoscalerStatus&, const PodAutoscalerStatus&) = default;
};

/// How many instances a Revision has, for reading; written by the platform.
struct PodAutoscaler {
  static constexpr std::string_view api_version = "autoscaling.internal.knative.dev/v1alpha1";
  static constexpr std::string_view kind = "PodAutoscaler";
  ObjectMeta metadata = {};
  PodAutoscalerSpec spec = {};
  PodAutoscalerStatus status = {};
  friend bool operator==(const PodAutoscaler&, const PodAutoscaler&) = default;
};

// ---------------------------------------------------------------------------- defaults, validation

/// The keys of config-defaults and config-autoscaler that defaulting and validation look at.
struct Config {
  std::int64_t timeout_seconds = 300;
  std::int64_t timeout_seconds_max = 600;
  std::int64_t response_start_timeout_seconds = 300;
  std::int64_t idle_timeout_seconds = 0;
  std::int64_t container_concurrency = 0;
  std::int64_t container_concurrency_max = 1000;
  bool allow_container_concurrency_zero = true;
  bool allow_zero_initial_scale = false;
  std::int32_t instances_max = 0;  ///< More of a Revision are not started; 0: no bound.
  bool enable_service_links = false;
};

/// Fill in what was left out; a second call changes nothing.
KNATIVE_EXPORT void apply_defaults(Service& object, const Config& config = {});
KNATIVE_EXPORT void apply_defaults(Configuration& object, const Config& config = {});
KNATIVE_EXPORT void apply_defaults(Revision& object, const Config& config = {});
KNATIVE_EXPORT void apply_defaults(Route& object, const Config& config = {});
KNATIVE_EXPORT void apply_defaults(PodAutoscaler& object, const Config& config = {});

/// Everything that is wrong with the object, sorted as Knative prints it; empty when valid.
KNATIVE_EXPORT FieldErrors validate(const Service& object, const Config& config = {});
KNATIVE_EXPORT FieldErrors validate(const Configuration& object, const Config& config = {});
KNATIVE_EXPORT FieldErrors validate(const Revision& object, const Config& config = {});
KNATIVE_EXPORT FieldErrors validate(const Route& object, const Config& config = {});
KNATIVE_EXPORT FieldErrors validate(const PodAutoscaler& object, const Config& config = {});

/// What may not change from `old` to `object`: a Revision's spec, the creator, a template whose
/// name stays. Does not repeat `validate`.
KNATIVE_EXPORT FieldErrors validate_update(const Service& object, const Service& old);
KNATIVE_EXPORT FieldErrors validate_update(const Configuration& object, const Configuration& old);
KNATIVE_EXPORT FieldErrors validate_update(const Revision& object, const Revision& old);
KNATIVE_EXPORT FieldErrors validate_update(const Route& object, const Route& old);

/// Errors of the annotations autoscaling.knative.dev/* in both spellings (min-scale, minScale);
/// paths begin at the annotation's key. The autoscaler reads their values.
KNATIVE_EXPORT FieldErrors validate_autoscaling(const StringMap& annotations,
                                                const Config& config = {});

// ---------------------------------------------------------------------------- names, makers

/// The name of the Revision stamped from `object` at its present generation: the template's own
/// name, or "hello-00001".
KNATIVE_EXPORT std::string revision_name(const Configuration& object);
/// True when the Ready condition is True.
KNATIVE_EXPORT bool is_ready(const Conditions& conditions) noexcept;
/// True when `status` has observed `generation` and its Ready condition is True.
template <Resource T>
bool is_ready(const T& object) {
  return object.status.observed_generation == object.metadata.generation &&
         is_ready(object.status.conditions);
}
/// A Service that runs one container of `image`; "fn:name" is a registered function.
KNATIVE_EXPORT Service service(std::string name, std::string image);
/// A Route that sends everything to the latest ready Revision of `configuration`.
KNATIVE_EXPORT Route route(std::string name, std::string configuration);

/// Their rows in the registry of kinds.
KNATIVE_EXPORT const KindInfo& kind_info(const Service*);
KNATIVE_EXPORT const KindInfo& kind_info(const Configuration*);
KNATIVE_EXPORT const KindInfo& kind_info(const Revision*);
KNATIVE_EXPORT const KindInfo& kind_info(const Route*);
KNATIVE_EXPORT const KindInfo& kind_info(const PodAutoscaler*);

}  // namespace knative::serving
