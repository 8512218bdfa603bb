#include "model/serving_codec.hpp"

namespace knative::fields {

void Custom<serving::Refused>::decode(serving::Refused& target, const Value& from, Decoder&,
                                      const Path&) {
  const bool* flag = from.if_bool();
  const std::int64_t* number = from.if_int();
  const std::string* text = from.if_string();
  const bool nothing = from.is_null() || (flag != nullptr && !*flag) ||
                       (number != nullptr && *number == 0) || (text != nullptr && text->empty()) ||
                       ((from.is_list() || from.is_map()) && from.empty());
  target.set = !nothing;
}
Value Custom<serving::Refused>::encode(const serving::Refused& value) { return Value(value.set); }
bool Custom<serving::Refused>::empty(const serving::Refused& value) { return !value.set; }

}  // namespace knative::fields

namespace knative::serving {

using fields::acts;
using fields::Field;
using fields::refused;
using fields::reported;
using fields::warned;

const fields::Struct& describe(const TrafficTarget*) {
  static const Field list[] = {acts("revisionName", &TrafficTarget::revision_name),
                               acts("configurationName", &TrafficTarget::configuration_name),
                               acts("latestRevision", &TrafficTarget::latest_revision),
                               acts("percent", &TrafficTarget::percent),
                               acts("tag", &TrafficTarget::tag),
                               acts("url", &TrafficTarget::url)};
  static const fields::Struct description{"TrafficTarget", list};
  return description;
}

const fields::Struct& describe(const RefusedPodFields*) {
  static const Field list[] = {
      refused("activeDeadlineSeconds", &RefusedPodFields::active_deadline_seconds,
              "Knative keeps it from users"),
      refused("affinity", &RefusedPodFields::affinity, "Knative keeps it from users"),
      refused("dnsConfig", &RefusedPodFields::dns_config, "Knative keeps it from users"),
      refused("dnsPolicy", &RefusedPodFields::dns_policy, "Knative keeps it from users"),
      refused("ephemeralContainers", &RefusedPodFields::ephemeral_containers,
              "Knative keeps it from users"),
      refused("hostAliases", &RefusedPodFields::host_aliases, "Knative keeps it from users"),
      refused("hostIPC", &RefusedPodFields::host_ipc, "Knative keeps it from users"),
      refused("hostNetwork", &RefusedPodFields::host_network, "Knative keeps it from users"),
      refused("hostPID", &RefusedPodFields::host_pid, "Knative keeps it from users"),
      refused("hostname", &RefusedPodFields::hostname, "Knative keeps it from users"),
      refused("nodeName", &RefusedPodFields::node_name, "Knative keeps it from users"),
      refused("nodeSelector", &RefusedPodFields::node_selector, "Knative keeps it from users"),
      refused("priority", &RefusedPodFields::priority, "Knative keeps it from users"),
      refused("priorityClassName", &RefusedPodFields::priority_class_name,
              "Knative keeps it from users"),
      refused("readinessGates", &RefusedPodFields::readiness_gates, "Knative keeps it from users"),
      refused("restartPolicy", &RefusedPodFields::restart_policy, "Knative keeps it from users"),
      refused("schedulerName", &RefusedPodFields::scheduler_name, "Knative keeps it from users"),
      refused("securityContext", &RefusedPodFields::security_context,
              "Knative keeps it from users"),
      refused("shareProcessNamespace", &RefusedPodFields::share_process_namespace,
              "Knative keeps it from users"),
      refused("subdomain", &RefusedPodFields::subdomain, "Knative keeps it from users"),
      refused("terminationGracePeriodSeconds", &RefusedPodFields::termination_grace_period_seconds,
              "Knative keeps it from users"),
      refused("tolerations", &RefusedPodFields::tolerations, "Knative keeps it from users"),
      refused("topologySpreadConstraints", &RefusedPodFields::topology_spread_constraints,
              "Knative keeps it from users")};
  static const fields::Struct description{"RefusedPodFields", list};
  return description;
}

const fields::Struct& describe(const RevisionSpec*) {
  static const Field list[] = {
      acts("containers", &RevisionSpec::containers),
      acts("initContainers", &RevisionSpec::init_containers),
      acts("volumes", &RevisionSpec::volumes),
      acts("serviceAccountName", &RevisionSpec::service_account_name),
      acts("imagePullSecrets", &RevisionSpec::image_pull_secrets),
      acts("runtimeClassName", &RevisionSpec::runtime_class_name),
      acts("enableServiceLinks", &RevisionSpec::enable_service_links),
      acts("automountServiceAccountToken", &RevisionSpec::automount_service_account_token),
      acts("containerConcurrency", &RevisionSpec::container_concurrency),
      acts("timeoutSeconds", &RevisionSpec::timeout_seconds),
      acts("responseStartTimeoutSeconds", &RevisionSpec::response_start_timeout_seconds),
      acts("idleTimeoutSeconds", &RevisionSpec::idle_timeout_seconds),
      acts("", &RevisionSpec::refused, fields::inlined)};
  static const fields::Struct description{"RevisionSpec", list};
  return description;
}

const fields::Struct& describe(const RevisionTemplateSpec*) {
  static const Field list[] = {acts("metadata", &RevisionTemplateSpec::metadata),
                               acts("spec", &RevisionTemplateSpec::spec)};
  static const fields::Struct description{"RevisionTemplateSpec", list};
  return description;
}

const fields::Struct& describe(const ConfigurationSpec*) {
  static const Field list[] = {acts("template", &ConfigurationSpec::template_)};
  static const fields::Struct description{"ConfigurationSpec", list};
  return description;
}

const fields::Struct& describe(const RouteSpec*) {
  static const Field list[] = {acts("traffic", &RouteSpec::traffic)};
  static const fields::Struct description{"RouteSpec", list};
  return description;
}

const fields::Struct& describe(const ServiceSpec*) {
  static const Field list[] = {acts("template", &ServiceSpec::template_),
                               acts("traffic", &ServiceSpec::traffic)};
  static const fields::Struct description{"ServiceSpec", list};
  return description;
}

const fields::Struct& describe(const Addressable*) {
  static const Field list[] = {acts("url", &Addressable::url)};
  static const fields::Struct description{"Addressable", list};
  return description;
}

const fields::Struct& describe(const ContainerStatus*) {
  static const Field list[] = {acts("name", &ContainerStatus::name),
                               acts("imageDigest", &ContainerStatus::image_digest)};
  static const fields::Struct description{"ContainerStatus", list};
  return description;
}

const fields::Struct& describe(const RevisionStatus*) {
  static const Field list[] = {
      acts("observedGeneration", &RevisionStatus::observed_generation),
      acts("conditions", &RevisionStatus::conditions),
      acts("annotations", &RevisionStatus::annotations),
      acts("logUrl", &RevisionStatus::log_url),
      acts("containerStatuses", &RevisionStatus::container_statuses),
      acts("initContainerStatuses", &RevisionStatus::init_container_statuses),
      acts("actualReplicas", &RevisionStatus::actual_replicas),
      acts("desiredReplicas", &RevisionStatus::desired_replicas)};
  static const fields::Struct description{"RevisionStatus", list};
  return description;
}

const fields::Struct& describe(const ConfigurationStatus*) {
  static const Field list[] = {
      acts("observedGeneration", &ConfigurationStatus::observed_generation),
      acts("conditions", &ConfigurationStatus::conditions),
      acts("annotations", &ConfigurationStatus::annotations),
      acts("latestCreatedRevisionName", &ConfigurationStatus::latest_created_revision_name),
      acts("latestReadyRevisionName", &ConfigurationStatus::latest_ready_revision_name)};
  static const fields::Struct description{"ConfigurationStatus", list};
  return description;
}

const fields::Struct& describe(const RouteStatus*) {
  static const Field list[] = {acts("observedGeneration", &RouteStatus::observed_generation),
                               acts("conditions", &RouteStatus::conditions),
                               acts("annotations", &RouteStatus::annotations),
                               acts("url", &RouteStatus::url),
                               acts("address", &RouteStatus::address),
                               acts("traffic", &RouteStatus::traffic)};
  static const fields::Struct description{"RouteStatus", list};
  return description;
}

const fields::Struct& describe(const ServiceStatus*) {
  static const Field list[] = {
      acts("observedGeneration", &ServiceStatus::observed_generation),
      acts("conditions", &ServiceStatus::conditions),
      acts("annotations", &ServiceStatus::annotations),
      acts("url", &ServiceStatus::url),
      acts("address", &ServiceStatus::address),
      acts("traffic", &ServiceStatus::traffic),
      acts("latestCreatedRevisionName", &ServiceStatus::latest_created_revision_name),
      acts("latestReadyRevisionName", &ServiceStatus::latest_ready_revision_name)};
  static const fields::Struct description{"ServiceStatus", list};
  return description;
}

const fields::Struct& describe(const Service*) {
  static const Field list[] = {acts("metadata", &Service::metadata), acts("spec", &Service::spec),
                               reported("status", &Service::status, fields::tolerant)};
  static const fields::Struct description{"Service", list};
  return description;
}

const fields::Struct& describe(const Configuration*) {
  static const Field list[] = {acts("metadata", &Configuration::metadata),
                               acts("spec", &Configuration::spec),
                               reported("status", &Configuration::status, fields::tolerant)};
  static const fields::Struct description{"Configuration", list};
  return description;
}

const fields::Struct& describe(const Revision*) {
  static const Field list[] = {acts("metadata", &Revision::metadata), acts("spec", &Revision::spec),
                               reported("status", &Revision::status, fields::tolerant)};
  static const fields::Struct description{"Revision", list};
  return description;
}

const fields::Struct& describe(const Route*) {
  static const Field list[] = {acts("metadata", &Route::metadata), acts("spec", &Route::spec),
                               reported("status", &Route::status, fields::tolerant)};
  static const fields::Struct description{"Route", list};
  return description;
}

const fields::Struct& describe(const PodAutoscalerSpec*) {
  static const Field list[] = {
      warned("scaleTargetRef", &PodAutoscalerSpec::scale_target_ref,
             "the platform scales Revisions itself"),
      warned("reachability", &PodAutoscalerSpec::reachability,
             "the platform scales Revisions itself"),
      warned("containerConcurrency", &PodAutoscalerSpec::container_concurrency,
             "the platform scales Revisions itself"),
      warned("protocolType", &PodAutoscalerSpec::protocol_type,
             "the platform scales Revisions itself", fields::always)};
  static const fields::Struct description{"PodAutoscalerSpec", list};
  return description;
}

const fields::Struct& describe(const PodAutoscalerStatus*) {
  static const Field list[] = {
      acts("observedGeneration", &PodAutoscalerStatus::observed_generation),
      acts("conditions", &PodAutoscalerStatus::conditions),
      acts("annotations", &PodAutoscalerStatus::annotations),
      acts("serviceName", &PodAutoscalerStatus::service_name),
      acts("metricsServiceName", &PodAutoscalerStatus::metrics_service_name),
      acts("desiredScale", &PodAutoscalerStatus::desired_scale),
      acts("actualScale", &PodAutoscalerStatus::actual_scale)};
  static const fields::Struct description{"PodAutoscalerStatus", list};
  return description;
}

const fields::Struct& describe(const PodAutoscaler*) {
  static const Field list[] = {acts("metadata", &PodAutoscaler::metadata),
                               acts("spec", &PodAutoscaler::spec),
                               reported("status", &PodAutoscaler::status, fields::tolerant)};
  static const fields::Struct description{"PodAutoscaler", list};
  return description;
}

// ---------------------------------------------------------------------------- rules

using fields::Mark;
using fields::Rule;

constexpr std::string_view scaled_by_kpa = "Revisions are scaled as by kpa.autoscaling.knative.dev";
constexpr std::string_view no_annotation = "there is no such annotation";
constexpr std::string_view no_label = "there is no such label";
constexpr std::string_view no_queue_proxy = "there is no queue proxy beside a program";
constexpr std::string_view always_duplex = "requests and responses always stream side by side";
constexpr std::string_view no_dry_run = "there is no cluster to ask";
constexpr std::string_view at_once = "traffic moves to a new Revision at once";
constexpr std::string_view one_ingress = "there is one ingress, the platform's own";
constexpr std::string_view renamed_visibility =
    "it was renamed: use networking.knative.dev/visibility";
constexpr std::string_view visibility_of_service =
    "visibility is said by the label networking.knative.dev/visibility of the Service or Route";
constexpr std::string_view of_its_own = "every Revision gets its own";
constexpr std::string_view no_links = "there are no variables that name other services";

// Annotations and labels of a Revision, under the metadata at `root`.
#define KN_REVISION_KEYS(root)                                                                     \
  {root ".annotations[autoscaling.knative.dev/min-scale]", Mark::acts},                            \
      {root ".annotations[autoscaling.knative.dev/minScale]", Mark::acts},                         \
      {root ".annotations[autoscaling.knative.dev/max-scale]", Mark::acts},                        \
      {root ".annotations[autoscaling.knative.dev/maxScale]", Mark::acts},                         \
      {root ".annotations[autoscaling.knative.dev/initial-scale]", Mark::acts},                    \
      {root ".annotations[autoscaling.knative.dev/initialScale]", Mark::acts},                     \
      {root ".annotations[autoscaling.knative.dev/activation-scale]", Mark::acts},                 \
      {root ".annotations[autoscaling.knative.dev/activationScale]", Mark::acts},                  \
      {root ".annotations[autoscaling.knative.dev/scale-down-delay]", Mark::acts},                 \
      {root ".annotations[autoscaling.knative.dev/scaleDownDelay]", Mark::acts},                   \
      {root ".annotations[autoscaling.knative.dev/scale-to-zero-pod-retention-period]",            \
       Mark::acts},                                                                                \
      {root ".annotations[autoscaling.knative.dev/scaleToZeroPodRetentionPeriod]", Mark::acts},    \
      {root ".annotations[autoscaling.knative.dev/metric]", Mark::acts},                           \
      {root ".annotations[autoscaling.knative.dev/target]", Mark::acts},                           \
      {root ".annotations[autoscaling.knative.dev/target-utilization-percentage]", Mark::acts},    \
      {root ".annotations[autoscaling.knative.dev/targetUtilizationPercentage]", Mark::acts},      \
      {root ".annotations[autoscaling.knative.dev/target-burst-capacity]", Mark::acts},            \
      {root ".annotations[autoscaling.knative.dev/targetBurstCapacity]", Mark::acts},              \
      {root ".annotations[autoscaling.knative.dev/window]", Mark::acts},                           \
      {root ".annotations[autoscaling.knative.dev/panic-window-percentage]", Mark::acts},          \
      {root ".annotations[autoscaling.knative.dev/panicWindowPercentage]", Mark::acts},            \
      {root ".annotations[autoscaling.knative.dev/panic-threshold-percentage]", Mark::acts},       \
      {root ".annotations[autoscaling.knative.dev/panicThresholdPercentage]", Mark::acts},         \
      {root ".annotations[autoscaling.knative.dev/metric-aggregation-algorithm]", Mark::acts},     \
      {root ".annotations[autoscaling.knative.dev/metricAggregationAlgorithm]", Mark::acts},       \
      {root ".annotations[autoscaling.knative.dev/class]", Mark::warned, scaled_by_kpa,            \
       "hpa.autoscaling.knative.dev"},                                                             \
      {root ".annotations[autoscaling.knative.dev/class]", Mark::acts},                            \
      {root ".annotations[autoscaling.knative.dev/*]", Mark::warned, no_annotation},               \
      {root ".annotations[serving.knative.dev/progress-deadline]", Mark::acts},                    \
      {root ".annotations[serving.knative.dev/idle]", Mark::acts},                                 \
      {root ".annotations[queue.sidecar.serving.knative.dev/*]", Mark::warned, no_queue_proxy},    \
      {root ".annotations[features.knative.dev/http-full-duplex]", Mark::warned, always_duplex}, { \
    root ".annotations[features.knative.dev/*]", Mark::warned, no_annotation                       \
  }

// What people may set on objects that others are made from.
#define KN_OWN_KEYS                                                                            \
  {"metadata.annotations[serving.knative.dev/creator]", Mark::acts},                           \
      {"metadata.annotations[serving.knative.dev/lastModifier]", Mark::acts},                  \
      {"metadata.annotations[serving.knative.dev/rollout-duration]", Mark::warned, at_once},   \
      {"metadata.annotations[serving.knative.dev/rolloutDuration]", Mark::warned, at_once},    \
      {"metadata.annotations[features.knative.dev/podspec-dryrun]", Mark::warned, no_dry_run}, \
      {"metadata.annotations[networking.knative.dev/*]", Mark::warned, one_ingress},           \
      {"metadata.annotations[networking.internal.knative.dev/*]", Mark::warned, one_ingress},  \
      {"metadata.labels[networking.knative.dev/visibility]", Mark::acts},                      \
      {"metadata.labels[networking.knative.dev/*]", Mark::warned, one_ingress},                \
      {"metadata.labels[serving.knative.dev/visibility]", Mark::warned, renamed_visibility},   \
      KN_CONTROLLERS_KEYS

// What the controllers write.
#define KN_CONTROLLERS_KEYS                                                               \
  {"metadata.labels[serving.knative.dev/service]", Mark::reported},                       \
      {"metadata.labels[serving.knative.dev/serviceUID]", Mark::reported},                \
      {"metadata.labels[serving.knative.dev/configuration]", Mark::reported},             \
      {"metadata.labels[serving.knative.dev/configurationUID]", Mark::reported},          \
      {"metadata.labels[serving.knative.dev/configurationGeneration]", Mark::reported},   \
      {"metadata.labels[serving.knative.dev/route]", Mark::reported},                     \
      {"metadata.labels[serving.knative.dev/revision]", Mark::reported},                  \
      {"metadata.labels[serving.knative.dev/routingState]", Mark::reported},              \
      {"metadata.annotations[serving.knative.dev/routes]", Mark::reported},               \
      {"metadata.annotations[serving.knative.dev/routingStateModified]", Mark::reported}, \
      {"metadata.labels[serving.knative.dev/*]", Mark::warned, no_label}, {               \
    "metadata.annotations[serving.knative.dev/*]", Mark::warned, no_annotation            \
  }

// The template's metadata: a Revision takes labels, annotations and the name from it.
#define KN_TEMPLATE_METADATA                                                                 \
  {"spec.template.metadata.generateName", Mark::warned, of_its_own},                         \
      {"spec.template.metadata.namespace", Mark::warned, of_its_own},                        \
      {"spec.template.metadata.uid", Mark::warned, of_its_own},                              \
      {"spec.template.metadata.resourceVersion", Mark::warned, of_its_own},                  \
      {"spec.template.metadata.generation", Mark::warned, of_its_own},                       \
      {"spec.template.metadata.creationTimestamp", Mark::warned, of_its_own},                \
      {"spec.template.metadata.deletionTimestamp", Mark::warned, of_its_own},                \
      {"spec.template.metadata.deletionGracePeriodSeconds", Mark::warned, of_its_own},       \
      {"spec.template.metadata.ownerReferences", Mark::warned, of_its_own},                  \
      {"spec.template.metadata.finalizers", Mark::warned, of_its_own},                       \
      {"spec.template.metadata.selfLink", Mark::warned, of_its_own},                         \
      {"spec.template.metadata.managedFields", Mark::warned, of_its_own},                    \
      {"spec.template.metadata.labels[serving.knative.dev/visibility]", Mark::warned,        \
       visibility_of_service},                                                               \
      {"spec.template.metadata.labels[networking.knative.dev/*]", Mark::warned,              \
       visibility_of_service},                                                               \
      {"spec.template.metadata.labels[serving.knative.dev/*]", Mark::warned, no_label}, {    \
    "spec.template.metadata.annotations[serving.knative.dev/*]", Mark::warned, no_annotation \
  }

constexpr Rule service_rules[] = {
    KN_OWN_KEYS,
    KN_REVISION_KEYS("spec.template.metadata"),
    KN_TEMPLATE_METADATA,
    {"spec.template.spec.volumes", Mark::acts},
    {"spec.template.spec.enableServiceLinks", Mark::warned, no_links, "true"},
    {"spec.template.spec.containers.volumeMounts", Mark::acts},
    {"spec.traffic.url", Mark::refused, "it is written into the status"},
    {"spec.traffic.configurationName", Mark::refused, "a Service has one Configuration"}};
constexpr Rule configuration_rules[] = {
    KN_OWN_KEYS,
    KN_REVISION_KEYS("spec.template.metadata"),
    KN_TEMPLATE_METADATA,
    {"spec.template.spec.volumes", Mark::acts},
    {"spec.template.spec.enableServiceLinks", Mark::warned, no_links, "true"},
    {"spec.template.spec.containers.volumeMounts", Mark::acts}};
constexpr Rule revision_rules[] = {KN_REVISION_KEYS("metadata"),
                                   KN_CONTROLLERS_KEYS,
                                   {"spec.volumes", Mark::acts},
                                   {"spec.enableServiceLinks", Mark::warned, no_links, "true"},
                                   {"spec.containers.volumeMounts", Mark::acts}};
constexpr Rule route_rules[] = {
    KN_OWN_KEYS, {"spec.traffic.url", Mark::refused, "it is written into the status"}};
constexpr Rule autoscaler_rules[] = {{"spec.protocolType", Mark::acts, {}, "http1"}};
#undef KN_REVISION_KEYS
#undef KN_OWN_KEYS
#undef KN_CONTROLLERS_KEYS
#undef KN_TEMPLATE_METADATA

constexpr PrinterColumn service_columns[] = {{"URL", "status.url"},
                                             {"LATESTCREATED", "status.latestCreatedRevisionName"},
                                             {"LATESTREADY", "status.latestReadyRevisionName"},
                                             {"READY", "status.conditions[Ready].status"},
                                             {"REASON", "status.conditions[Ready].reason"}};
constexpr PrinterColumn configuration_columns[] = {
    {"LATESTCREATED", "status.latestCreatedRevisionName"},
    {"LATESTREADY", "status.latestReadyRevisionName"},
    {"READY", "status.conditions[Ready].status"},
    {"REASON", "status.conditions[Ready].reason"}};
constexpr PrinterColumn revision_columns[] = {
    {"CONFIG NAME", "metadata.labels[serving.knative.dev/configuration]"},
    {"GENERATION", "metadata.labels[serving.knative.dev/configurationGeneration]"},
    {"READY", "status.conditions[Ready].status"},
    {"REASON", "status.conditions[Ready].reason"},
    {"ACTUAL REPLICAS", "status.actualReplicas"},
    {"DESIRED REPLICAS", "status.desiredReplicas"}};
constexpr PrinterColumn route_columns[] = {{"URL", "status.url"},
                                           {"READY", "status.conditions[Ready].status"},
                                           {"REASON", "status.conditions[Ready].reason"}};

// ---------------------------------------------------------------------------- kinds

const KindInfo& kind_info(const Service*) {
  static constexpr KindInfo info =
      namespaced_kind<Service>("services", "ksvc,kservice", NameRule::dns1035_label)
          .with_rules(service_rules)
          .with_columns(service_columns);
  return info;
}
const KindInfo& kind_info(const Configuration*) {
  static constexpr KindInfo info =
      namespaced_kind<Configuration>("configurations", "config,cfg", NameRule::dns1035_label)
          .with_rules(configuration_rules)
          .with_columns(configuration_columns);
  return info;
}
const KindInfo& kind_info(const Revision*) {
  static constexpr KindInfo info = namespaced_kind<Revision>("revisions", "rev")
                                       .with_rules(revision_rules)
                                       .with_columns(revision_columns);
  return info;
}
const KindInfo& kind_info(const Route*) {
  static constexpr KindInfo info = namespaced_kind<Route>("routes", "rt", NameRule::dns1035_label)
                                       .with_rules(route_rules)
                                       .with_columns(route_columns);
  return info;
}
const KindInfo& kind_info(const PodAutoscaler*) {
  static constexpr KindInfo info =
      namespaced_kind<PodAutoscaler>("podautoscalers", "kpa,pa").with_rules(autoscaler_rules);
  return info;
}

}  // namespace knative::serving
