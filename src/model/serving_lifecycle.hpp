// How the conditions of the Serving kinds come about: for whoever reconciles them. Each function
// sets one condition (and what goes with it) and recomputes Ready; `now` becomes the transition
// time of what changed.
#pragma once

#include <string>
#include <string_view>

#include "knative/serving.hpp"

namespace knative::serving {

// ---------------------------------------------------------------------------- Revision

void initialize_conditions(RevisionStatus& status, Timestamp now);
void mark_resources_available(RevisionStatus& status, Timestamp now);
/// Reasons: NotOwned, ProgressDeadlineExceeded, or what the runtime reports.
void mark_resources_unavailable(RevisionStatus& status, std::string reason, std::string message,
                                Timestamp now);
/// Reasons: Deploying, ResolvingDigests.
void mark_resources_unknown(RevisionStatus& status, std::string reason, std::string message,
                            Timestamp now);
void mark_container_healthy(RevisionStatus& status, Timestamp now);
/// Reasons: ExitCode<n>, ContainerMissing, HealthCheckContainerFailed ...
void mark_container_unhealthy(RevisionStatus& status, std::string reason, std::string message,
                              Timestamp now);
void mark_container_unknown(RevisionStatus& status, std::string reason, std::string message,
                            Timestamp now);
void mark_container_missing(RevisionStatus& status, std::string message, Timestamp now);
void mark_container_exiting(RevisionStatus& status, std::int32_t exit_code, std::string message,
                            Timestamp now);
void mark_active(RevisionStatus& status, Timestamp now);
/// Reasons: NoTraffic, TimedOut.
void mark_inactive(RevisionStatus& status, std::string reason, std::string message, Timestamp now);
/// Reason: Queued.
void mark_activating(RevisionStatus& status, std::string reason, std::string message,
                     Timestamp now);

// ---------------------------------------------------------------------------- Configuration

void initialize_conditions(ConfigurationStatus& status, Timestamp now);
/// A Revision was stamped: latestCreated moves, Ready becomes Unknown when it is a new one.
void set_latest_created(ConfigurationStatus& status, std::string revision, Timestamp now);
/// A Revision became ready: latestReady moves, and Ready is True when it is the latest created.
void set_latest_ready(ConfigurationStatus& status, std::string revision, Timestamp now);
/// Reason RevisionFailed.
void mark_latest_created_failed(ConfigurationStatus& status, std::string revision,
                                std::string message, Timestamp now);
/// Reason RevisionDeleted.
void mark_latest_ready_deleted(ConfigurationStatus& status, Timestamp now);
/// Reason RevisionFailed: the Revision could not be created.
void mark_revision_creation_failed(ConfigurationStatus& status, std::string message, Timestamp now);

// ---------------------------------------------------------------------------- Route

void initialize_conditions(RouteStatus& status, Timestamp now);
void mark_traffic_assigned(RouteStatus& status, Timestamp now);
/// Reason RevisionMissing or ConfigurationMissing: `kind` "Revision" or "Configuration".
void mark_missing_traffic_target(RouteStatus& status, std::string_view kind, std::string_view name,
                                 Timestamp now);
/// Reason RevisionMissing (Unknown): the target is not ready yet.
void mark_configuration_not_ready(RouteStatus& status, std::string_view name, Timestamp now);
void mark_configuration_failed(RouteStatus& status, std::string_view name, Timestamp now);
void mark_revision_not_ready(RouteStatus& status, std::string_view name, Timestamp now);
void mark_revision_failed(RouteStatus& status, std::string_view name, Timestamp now);
void mark_revision_not_owned(RouteStatus& status, std::string_view name, Timestamp now);
void mark_unknown_traffic_error(RouteStatus& status, std::string message, Timestamp now);
void mark_ingress_ready(RouteStatus& status, Timestamp now);
void mark_ingress_not_configured(RouteStatus& status, Timestamp now);
void mark_ingress_rollout_in_progress(RouteStatus& status, Timestamp now);
void mark_ingress_failed(RouteStatus& status, std::string reason, std::string message,
                         Timestamp now);
void mark_tls_not_enabled(RouteStatus& status, std::string message, Timestamp now);
void mark_certificate_ready(RouteStatus& status, Timestamp now);

// ---------------------------------------------------------------------------- Service

void initialize_conditions(ServiceStatus& status, Timestamp now);
void mark_configuration_not_owned(ServiceStatus& status, std::string_view name, Timestamp now);
void mark_route_not_owned(ServiceStatus& status, std::string_view name, Timestamp now);
/// Reason OutOfDate: the Configuration has not observed its generation.
void mark_configuration_not_reconciled(ServiceStatus& status, Timestamp now);
void mark_route_not_reconciled(ServiceStatus& status, Timestamp now);
/// Reason TrafficNotMigrated: the Route is ready but does not name the latest Revision yet.
void mark_route_not_yet_ready(ServiceStatus& status, Timestamp now);
void mark_revision_name_taken(ServiceStatus& status, std::string_view revision, Timestamp now);
/// Copy the child's Ready into ConfigurationsReady, and its latest names.
void propagate(ServiceStatus& status, const ConfigurationStatus& child, Timestamp now);
/// Copy the child's Ready into RoutesReady, and its url, address and traffic.
void propagate(ServiceStatus& status, const RouteStatus& child, Timestamp now);

// ---------------------------------------------------------------------------- PodAutoscaler

void initialize_conditions(PodAutoscalerStatus& status, Timestamp now);
void mark_active(PodAutoscalerStatus& status, Timestamp now);
/// Reason Queued.
void mark_activating(PodAutoscalerStatus& status, std::string reason, std::string message,
                     Timestamp now);
/// Reasons NoTraffic, TimedOut.
void mark_inactive(PodAutoscalerStatus& status, std::string reason, std::string message,
                   Timestamp now);
void mark_scale_target_initialized(PodAutoscalerStatus& status, Timestamp now);
void mark_sks_ready(PodAutoscalerStatus& status, Timestamp now);
void mark_sks_not_ready(PodAutoscalerStatus& status, std::string message, Timestamp now);

}  // namespace knative::serving
