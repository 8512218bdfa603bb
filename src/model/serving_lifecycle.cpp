// Conditions of the Serving kinds: which of them make Ready, and the reasons that Knative gives.
#include "model/serving_lifecycle.hpp"

namespace knative::serving {
namespace {

constexpr std::string_view ready = "Ready";
constexpr std::string_view resources_available = "ResourcesAvailable";
constexpr std::string_view container_healthy = "ContainerHealthy";
constexpr std::string_view active = "Active";
constexpr std::string_view traffic_assigned = "AllTrafficAssigned";
constexpr std::string_view ingress_ready = "IngressReady";
constexpr std::string_view certificate_provisioned = "CertificateProvisioned";
constexpr std::string_view configurations_ready = "ConfigurationsReady";
constexpr std::string_view routes_ready = "RoutesReady";
constexpr std::string_view sks_ready = "SKSReady";
constexpr std::string_view scale_target_initialized = "ScaleTargetInitialized";

const ConditionSet& revision_set() {
  static const ConditionSet set = ConditionSet::living({resources_available, container_healthy});
  return set;
}
const ConditionSet& configuration_set() {
  static const ConditionSet set = ConditionSet::living({});
  return set;
}
const ConditionSet& route_set() {
  static const ConditionSet set =
      ConditionSet::living({traffic_assigned, ingress_ready, certificate_provisioned});
  return set;
}
const ConditionSet& service_set() {
  static const ConditionSet set = ConditionSet::living({configurations_ready, routes_ready});
  return set;
}
const ConditionSet& autoscaler_set() {
  static const ConditionSet set =
      ConditionSet::living({active, scale_target_initialized, sks_ready});
  return set;
}

std::string quoted(std::string_view name) { return '"' + std::string(name) + '"'; }

// The child's Ready becomes the parent's dependent.
void copy_ready(const ConditionSet& set, Conditions& conditions, std::string_view type,
                const Conditions& child, Timestamp now) {
  const Condition* found = find_condition(child, ready);
  if (found == nullptr) {
    set.mark_unknown(conditions, type, "", "", now);
  } else if (found->is_true()) {
    set.mark_true(conditions, type, now);
  } else if (found->is_false()) {
    set.mark_false(conditions, type, found->reason, found->message, now);
  } else {
    set.mark_unknown(conditions, type, found->reason, found->message, now);
  }
}

}  // namespace

bool is_ready(const Conditions& conditions) noexcept {
  const Condition* found = find_condition(conditions, ready);
  return found != nullptr && found->is_true();
}

// ---------------------------------------------------------------------------- Revision

void initialize_conditions(RevisionStatus& status, Timestamp now) {
  revision_set().initialize(status.conditions, now);
}
void mark_resources_available(RevisionStatus& status, Timestamp now) {
  revision_set().mark_true(status.conditions, resources_available, now);
}
void mark_resources_unavailable(RevisionStatus& status, std::string reason, std::string message,
                                Timestamp now) {
  revision_set().mark_false(status.conditions, resources_available, std::move(reason),
                            std::move(message), now);
}
void mark_resources_unknown(RevisionStatus& status, std::string reason, std::string message,
                            Timestamp now) {
  revision_set().mark_unknown(status.conditions, resources_available, std::move(reason),
                              std::move(message), now);
}
void mark_container_healthy(RevisionStatus& status, Timestamp now) {
  revision_set().mark_true(status.conditions, container_healthy, now);
}
void mark_container_unhealthy(RevisionStatus& status, std::string reason, std::string message,
                              Timestamp now) {
  revision_set().mark_false(status.conditions, container_healthy, std::move(reason),
                            std::move(message), now);
}
void mark_container_unknown(RevisionStatus& status, std::string reason, std::string message,
                            Timestamp now) {
  revision_set().mark_unknown(status.conditions, container_healthy, std::move(reason),
                              std::move(message), now);
}
void mark_container_missing(RevisionStatus& status, std::string message, Timestamp now) {
  mark_container_unhealthy(status, "ContainerMissing", std::move(message), now);
}
void mark_container_exiting(RevisionStatus& status, std::int32_t exit_code, std::string message,
                            Timestamp now) {
  if (message.empty()) message = "Container failed with exit code " + std::to_string(exit_code);
  mark_container_unhealthy(status, "ExitCode" + std::to_string(exit_code), std::move(message), now);
}
void mark_active(RevisionStatus& status, Timestamp now) {
  revision_set().mark_true(status.conditions, active, now);
}
void mark_inactive(RevisionStatus& status, std::string reason, std::string message, Timestamp now) {
  revision_set().mark_false(status.conditions, active, std::move(reason), std::move(message), now);
}
void mark_activating(RevisionStatus& status, std::string reason, std::string message,
                     Timestamp now) {
  revision_set().mark_unknown(status.conditions, active, std::move(reason), std::move(message),
                              now);
}

// ---------------------------------------------------------------------------- Configuration

void initialize_conditions(ConfigurationStatus& status, Timestamp now) {
  configuration_set().initialize(status.conditions, now);
}
void set_latest_created(ConfigurationStatus& status, std::string revision, Timestamp now) {
  status.latest_created_revision_name = std::move(revision);
  if (status.latest_ready_revision_name != status.latest_created_revision_name) {
    configuration_set().mark_unknown(status.conditions, ready, "", "", now);
  }
}
void set_latest_ready(ConfigurationStatus& status, std::string revision, Timestamp now) {
  status.latest_ready_revision_name = std::move(revision);
  if (status.latest_ready_revision_name == status.latest_created_revision_name) {
    configuration_set().mark_true(status.conditions, ready, now);
  }
}
void mark_latest_created_failed(ConfigurationStatus& status, std::string revision,
                                std::string message, Timestamp now) {
  configuration_set().mark_false(
      status.conditions, ready, "RevisionFailed",
      "Revision " + quoted(revision) + " failed with message: " + std::move(message) + ".", now);
}
void mark_latest_ready_deleted(ConfigurationStatus& status, Timestamp now) {
  configuration_set().mark_false(
      status.conditions, ready, "RevisionDeleted",
      "Revision " + quoted(status.latest_ready_revision_name) + " was deleted.", now);
}
void mark_revision_creation_failed(ConfigurationStatus& status, std::string message,
                                   Timestamp now) {
  configuration_set().mark_false(status.conditions, ready, "RevisionFailed",
                                 "Revision creation failed with message: " + message + ".", now);
}

// ---------------------------------------------------------------------------- Route

void initialize_conditions(RouteStatus& status, Timestamp now) {
  route_set().initialize(status.conditions, now);
}
void mark_traffic_assigned(RouteStatus& status, Timestamp now) {
  route_set().mark_true(status.conditions, traffic_assigned, now);
}
void mark_missing_traffic_target(RouteStatus& status, std::string_view kind, std::string_view name,
                                 Timestamp now) {
  route_set().mark_false(
      status.conditions, traffic_assigned, std::string(kind) + "Missing",
      std::string(kind) + " " + quoted(name) + " referenced in traffic does not exist.", now);
}
void mark_configuration_not_ready(RouteStatus& status, std::string_view name, Timestamp now) {
  route_set().mark_unknown(status.conditions, traffic_assigned, "RevisionMissing",
                           "Configuration " + quoted(name) + " has no ready Revision yet.", now);
}
void mark_configuration_failed(RouteStatus& status, std::string_view name, Timestamp now) {
  route_set().mark_false(status.conditions, traffic_assigned, "RevisionMissing",
                         "Configuration " + quoted(name) + " has no ready Revision.", now);
}
void mark_revision_not_ready(RouteStatus& status, std::string_view name, Timestamp now) {
  route_set().mark_unknown(status.conditions, traffic_assigned, "RevisionMissing",
                           "Revision " + quoted(name) + " is not ready yet.", now);
}
void mark_revision_failed(RouteStatus& status, std::string_view name, Timestamp now) {
  route_set().mark_false(status.conditions, traffic_assigned, "RevisionMissing",
                         "Revision " + quoted(name) + " did not become ready.", now);
}
void mark_revision_not_owned(RouteStatus& status, std::string_view name, Timestamp now) {
  route_set().mark_false(status.conditions, traffic_assigned, "RevisionNotOwned",
                         "Revision " + quoted(name) + " belongs to another Service.", now);
}
void mark_unknown_traffic_error(RouteStatus& status, std::string message, Timestamp now) {
  route_set().mark_unknown(status.conditions, traffic_assigned, "Unknown", std::move(message), now);
}
void mark_ingress_ready(RouteStatus& status, Timestamp now) {
  route_set().mark_true(status.conditions, ingress_ready, now);
}
void mark_ingress_not_configured(RouteStatus& status, Timestamp now) {
  route_set().mark_unknown(status.conditions, ingress_ready, "IngressNotConfigured",
                           "The routes are not programmed yet.", now);
}
void mark_ingress_rollout_in_progress(RouteStatus& status, Timestamp now) {
  route_set().mark_unknown(status.conditions, ingress_ready, "RolloutInProgress",
                           "Traffic is moving to the latest Revision step by step.", now);
}
void mark_ingress_failed(RouteStatus& status, std::string reason, std::string message,
                         Timestamp now) {
  route_set().mark_false(status.conditions, ingress_ready, std::move(reason), std::move(message),
                         now);
}
void mark_tls_not_enabled(RouteStatus& status, std::string message, Timestamp now) {
  route_set().mark_true(status.conditions, certificate_provisioned, "TLSNotEnabled",
                        std::move(message), now);
}
void mark_certificate_ready(RouteStatus& status, Timestamp now) {
  route_set().mark_true(status.conditions, certificate_provisioned, now);
}

// ---------------------------------------------------------------------------- Service

void initialize_conditions(ServiceStatus& status, Timestamp now) {
  service_set().initialize(status.conditions, now);
}
void mark_configuration_not_owned(ServiceStatus& status, std::string_view name, Timestamp now) {
  service_set().mark_false(status.conditions, configurations_ready, "NotOwned",
                           "Configuration " + quoted(name) + " exists and is not ours.", now);
}
void mark_route_not_owned(ServiceStatus& status, std::string_view name, Timestamp now) {
  service_set().mark_false(status.conditions, routes_ready, "NotOwned",
                           "Route " + quoted(name) + " exists and is not ours.", now);
}
void mark_configuration_not_reconciled(ServiceStatus& status, Timestamp now) {
  service_set().mark_unknown(status.conditions, configurations_ready, "OutOfDate",
                             "The Configuration has not been reconciled yet.", now);
}
void mark_route_not_reconciled(ServiceStatus& status, Timestamp now) {
  service_set().mark_unknown(status.conditions, routes_ready, "OutOfDate",
                             "The Route has not been reconciled yet.", now);
}
void mark_route_not_yet_ready(ServiceStatus& status, Timestamp now) {
  service_set().mark_unknown(status.conditions, routes_ready, "TrafficNotMigrated",
                             "Traffic has not moved to the latest Revision yet.", now);
}
void mark_revision_name_taken(ServiceStatus& status, std::string_view revision, Timestamp now) {
  service_set().mark_false(status.conditions, routes_ready, "RevisionNameTaken",
                           "Revision name " + quoted(revision) + " is taken by another Revision.",
                           now);
}
void propagate(ServiceStatus& status, const ConfigurationStatus& child, Timestamp now) {
  status.latest_created_revision_name = child.latest_created_revision_name;
  status.latest_ready_revision_name = child.latest_ready_revision_name;
  copy_ready(service_set(), status.conditions, configurations_ready, child.conditions, now);
}
void propagate(ServiceStatus& status, const RouteStatus& child, Timestamp now) {
  status.url = child.url;
  status.address = child.address;
  status.traffic = child.traffic;
  copy_ready(service_set(), status.conditions, routes_ready, child.conditions, now);
}

// ---------------------------------------------------------------------------- PodAutoscaler

void initialize_conditions(PodAutoscalerStatus& status, Timestamp now) {
  autoscaler_set().initialize(status.conditions, now);
}
void mark_active(PodAutoscalerStatus& status, Timestamp now) {
  autoscaler_set().mark_true(status.conditions, active, now);
}
void mark_activating(PodAutoscalerStatus& status, std::string reason, std::string message,
                     Timestamp now) {
  autoscaler_set().mark_unknown(status.conditions, active, std::move(reason), std::move(message),
                                now);
}
void mark_inactive(PodAutoscalerStatus& status, std::string reason, std::string message,
                   Timestamp now) {
  autoscaler_set().mark_false(status.conditions, active, std::move(reason), std::move(message),
                              now);
}
void mark_scale_target_initialized(PodAutoscalerStatus& status, Timestamp now) {
  autoscaler_set().mark_true(status.conditions, scale_target_initialized, now);
}
void mark_sks_ready(PodAutoscalerStatus& status, Timestamp now) {
  autoscaler_set().mark_true(status.conditions, sks_ready, now);
}
void mark_sks_not_ready(PodAutoscalerStatus& status, std::string message, Timestamp now) {
  autoscaler_set().mark_unknown(status.conditions, sks_ready, "NotReady", std::move(message), now);
}

}  // namespace knative::serving
