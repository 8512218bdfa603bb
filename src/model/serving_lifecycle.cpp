// Conditions of the Serving kinds: which of them make Ready, and the reasons that Knative gives.
#include "knative/serving.hpp"

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

ConditionSet revision_set() {
  return ConditionSet::living({resources_available, container_healthy});
}
ConditionSet configuration_set() { return ConditionSet::living({}); }
ConditionSet route_set() {
  return ConditionSet::living({traffic_assigned, ingress_ready, certificate_provisioned});
}
ConditionSet service_set() { return ConditionSet::living({configurations_ready, routes_ready}); }
ConditionSet autoscaler_set() {
  return ConditionSet::living({active, scale_target_initialized, sks_ready});
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

void RevisionStatus::initialize_conditions(Timestamp now) {
  revision_set().initialize(conditions, now);
}
void RevisionStatus::mark_resources_available(Timestamp now) {
  revision_set().mark_true(conditions, resources_available, now);
}
void RevisionStatus::mark_resources_unavailable(std::string reason, std::string message,
                                                Timestamp now) {
  revision_set().mark_false(conditions, resources_available, std::move(reason), std::move(message),
                            now);
}
void RevisionStatus::mark_resources_unknown(std::string reason, std::string message,
                                            Timestamp now) {
  revision_set().mark_unknown(conditions, resources_available, std::move(reason),
                              std::move(message), now);
}
void RevisionStatus::mark_container_healthy(Timestamp now) {
  revision_set().mark_true(conditions, container_healthy, now);
}
void RevisionStatus::mark_container_unhealthy(std::string reason, std::string message,
                                              Timestamp now) {
  revision_set().mark_false(conditions, container_healthy, std::move(reason), std::move(message),
                            now);
}
void RevisionStatus::mark_container_unknown(std::string reason, std::string message,
                                            Timestamp now) {
  revision_set().mark_unknown(conditions, container_healthy, std::move(reason), std::move(message),
                              now);
}
void RevisionStatus::mark_container_missing(std::string message, Timestamp now) {
  mark_container_unhealthy("ContainerMissing", std::move(message), now);
}
void RevisionStatus::mark_container_exiting(std::int32_t exit_code, std::string message,
                                            Timestamp now) {
  if (message.empty()) message = "Container failed with exit code " + std::to_string(exit_code);
  mark_container_unhealthy("ExitCode" + std::to_string(exit_code), std::move(message), now);
}
void RevisionStatus::mark_active(Timestamp now) {
  revision_set().mark_true(conditions, active, now);
}
void RevisionStatus::mark_inactive(std::string reason, std::string message, Timestamp now) {
  revision_set().mark_false(conditions, active, std::move(reason), std::move(message), now);
}
void RevisionStatus::mark_activating(std::string reason, std::string message, Timestamp now) {
  revision_set().mark_unknown(conditions, active, std::move(reason), std::move(message), now);
}

// ---------------------------------------------------------------------------- Configuration

void ConfigurationStatus::initialize_conditions(Timestamp now) {
  configuration_set().initialize(conditions, now);
}
void ConfigurationStatus::set_latest_created(std::string revision, Timestamp now) {
  latest_created_revision_name = std::move(revision);
  if (latest_ready_revision_name != latest_created_revision_name) {
    configuration_set().mark_unknown(conditions, ready, "", "", now);
  }
}
void ConfigurationStatus::set_latest_ready(std::string revision, Timestamp now) {
  latest_ready_revision_name = std::move(revision);
  if (latest_ready_revision_name == latest_created_revision_name) {
    configuration_set().mark_true(conditions, ready, now);
  }
}
void ConfigurationStatus::mark_latest_created_failed(std::string revision, std::string message,
                                                     Timestamp now) {
  configuration_set().mark_false(
      conditions, ready, "RevisionFailed",
      "Revision " + quoted(revision) + " failed with message: " + std::move(message) + ".", now);
}
void ConfigurationStatus::mark_latest_ready_deleted(Timestamp now) {
  configuration_set().mark_false(conditions, ready, "RevisionDeleted",
                                 "Revision " + quoted(latest_ready_revision_name) + " was deleted.",
                                 now);
}
void ConfigurationStatus::mark_revision_creation_failed(std::string message, Timestamp now) {
  configuration_set().mark_false(conditions, ready, "RevisionFailed",
                                 "Revision creation failed with message: " + message + ".", now);
}

// ---------------------------------------------------------------------------- Route

void RouteStatus::initialize_conditions(Timestamp now) { route_set().initialize(conditions, now); }
void RouteStatus::mark_traffic_assigned(Timestamp now) {
  route_set().mark_true(conditions, traffic_assigned, now);
}
void RouteStatus::mark_missing_traffic_target(std::string_view kind, std::string_view name,
                                              Timestamp now) {
  route_set().mark_false(
      conditions, traffic_assigned, std::string(kind) + "Missing",
      std::string(kind) + " " + quoted(name) + " referenced in traffic does not exist.", now);
}
void RouteStatus::mark_configuration_not_ready(std::string_view name, Timestamp now) {
  route_set().mark_unknown(conditions, traffic_assigned, "RevisionMissing",
                           "Configuration " + quoted(name) + " has no ready Revision yet.", now);
}
void RouteStatus::mark_configuration_failed(std::string_view name, Timestamp now) {
  route_set().mark_false(conditions, traffic_assigned, "RevisionMissing",
                         "Configuration " + quoted(name) + " has no ready Revision.", now);
}
void RouteStatus::mark_revision_not_ready(std::string_view name, Timestamp now) {
  route_set().mark_unknown(conditions, traffic_assigned, "RevisionMissing",
                           "Revision " + quoted(name) + " is not ready yet.", now);
}
void RouteStatus::mark_revision_failed(std::string_view name, Timestamp now) {
  route_set().mark_false(conditions, traffic_assigned, "RevisionMissing",
                         "Revision " + quoted(name) + " did not become ready.", now);
}
void RouteStatus::mark_revision_not_owned(std::string_view name, Timestamp now) {
  route_set().mark_false(conditions, traffic_assigned, "RevisionNotOwned",
                         "Revision " + quoted(name) + " belongs to another Service.", now);
}
void RouteStatus::mark_unknown_traffic_error(std::string message, Timestamp now) {
  route_set().mark_unknown(conditions, traffic_assigned, "Unknown", std::move(message), now);
}
void RouteStatus::mark_ingress_ready(Timestamp now) {
  route_set().mark_true(conditions, ingress_ready, now);
}
void RouteStatus::mark_ingress_not_configured(Timestamp now) {
  route_set().mark_unknown(conditions, ingress_ready, "IngressNotConfigured",
                           "The routes are not programmed yet.", now);
}
void RouteStatus::mark_ingress_rollout_in_progress(Timestamp now) {
  route_set().mark_unknown(conditions, ingress_ready, "RolloutInProgress",
                           "Traffic is moving to the latest Revision step by step.", now);
}
void RouteStatus::mark_ingress_failed(std::string reason, std::string message, Timestamp now) {
  route_set().mark_false(conditions, ingress_ready, std::move(reason), std::move(message), now);
}
void RouteStatus::mark_tls_not_enabled(std::string message, Timestamp now) {
  route_set().mark_true(conditions, certificate_provisioned, "TLSNotEnabled", std::move(message),
                        now);
}

// ---------------------------------------------------------------------------- Service

void ServiceStatus::initialize_conditions(Timestamp now) {
  service_set().initialize(conditions, now);
}
void ServiceStatus::mark_configuration_not_owned(std::string_view name, Timestamp now) {
  service_set().mark_false(conditions, configurations_ready, "NotOwned",
                           "Configuration " + quoted(name) + " exists and is not ours.", now);
}
void ServiceStatus::mark_route_not_owned(std::string_view name, Timestamp now) {
  service_set().mark_false(conditions, routes_ready, "NotOwned",
                           "Route " + quoted(name) + " exists and is not ours.", now);
}
void ServiceStatus::mark_configuration_not_reconciled(Timestamp now) {
  service_set().mark_unknown(conditions, configurations_ready, "OutOfDate",
                             "The Configuration has not been reconciled yet.", now);
}
void ServiceStatus::mark_route_not_reconciled(Timestamp now) {
  service_set().mark_unknown(conditions, routes_ready, "OutOfDate",
                             "The Route has not been reconciled yet.", now);
}
void ServiceStatus::mark_route_not_yet_ready(Timestamp now) {
  service_set().mark_unknown(conditions, routes_ready, "TrafficNotMigrated",
                             "Traffic has not moved to the latest Revision yet.", now);
}
void ServiceStatus::mark_revision_name_taken(std::string_view revision, Timestamp now) {
  service_set().mark_false(conditions, routes_ready, "RevisionNameTaken",
                           "Revision name " + quoted(revision) + " is taken by another Revision.",
                           now);
}
void ServiceStatus::propagate(const ConfigurationStatus& child, Timestamp now) {
  latest_created_revision_name = child.latest_created_revision_name;
  latest_ready_revision_name = child.latest_ready_revision_name;
  copy_ready(service_set(), conditions, configurations_ready, child.conditions, now);
}
void ServiceStatus::propagate(const RouteStatus& child, Timestamp now) {
  url = child.url;
  address = child.address;
  traffic = child.traffic;
  copy_ready(service_set(), conditions, routes_ready, child.conditions, now);
}

// ---------------------------------------------------------------------------- PodAutoscaler

void PodAutoscalerStatus::initialize_conditions(Timestamp now) {
  autoscaler_set().initialize(conditions, now);
}
void PodAutoscalerStatus::mark_active(Timestamp now) {
  autoscaler_set().mark_true(conditions, active, now);
}
void PodAutoscalerStatus::mark_activating(std::string reason, std::string message, Timestamp now) {
  autoscaler_set().mark_unknown(conditions, active, std::move(reason), std::move(message), now);
}
void PodAutoscalerStatus::mark_inactive(std::string reason, std::string message, Timestamp now) {
  autoscaler_set().mark_false(conditions, active, std::move(reason), std::move(message), now);
}
void PodAutoscalerStatus::mark_scale_target_initialized(Timestamp now) {
  autoscaler_set().mark_true(conditions, scale_target_initialized, now);
}
void PodAutoscalerStatus::mark_sks_ready(Timestamp now) {
  autoscaler_set().mark_true(conditions, sks_ready, now);
}
void PodAutoscalerStatus::mark_sks_not_ready(std::string message, Timestamp now) {
  autoscaler_set().mark_unknown(conditions, sks_ready, "NotReady", std::move(message), now);
}

}  // namespace knative::serving
