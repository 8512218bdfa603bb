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
using fields::Struct;
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
      acts("activeDeadlineSeconds", &RefusedPodFields::active_deadline_seconds),
      acts("affinity", &RefusedPodFields::affinity),
      acts("dnsConfig", &RefusedPodFields::dns_config),
      acts("dnsPolicy", &RefusedPodFields::dns_policy),
      acts("ephemeralContainers", &RefusedPodFields::ephemeral_containers),
      acts("hostAliases", &RefusedPodFields::host_aliases),
      acts("hostIPC", &RefusedPodFields::host_ipc),
      acts("hostNetwork", &RefusedPodFields::host_network),
      acts("hostPID", &RefusedPodFields::host_pid),
      acts("hostname", &RefusedPodFields::hostname),
      acts("nodeName", &RefusedPodFields::node_name),
      acts("nodeSelector", &RefusedPodFields::node_selector),
      acts("priority", &RefusedPodFields::priority),
      acts("priorityClassName", &RefusedPodFields::priority_class_name),
      acts("readinessGates", &RefusedPodFields::readiness_gates),
      acts("restartPolicy", &RefusedPodFields::restart_policy),
      acts("runtimeClassName", &RefusedPodFields::runtime_class_name),
      acts("schedulerName", &RefusedPodFields::scheduler_name),
      acts("securityContext", &RefusedPodFields::security_context),
      acts("shareProcessNamespace", &RefusedPodFields::share_process_namespace),
      acts("subdomain", &RefusedPodFields::subdomain),
      acts("terminationGracePeriodSeconds", &RefusedPodFields::termination_grace_period_seconds),
      acts("tolerations", &RefusedPodFields::tolerations),
      acts("topologySpreadConstraints", &RefusedPodFields::topology_spread_constraints)};
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
      acts("scaleTargetRef", &PodAutoscalerSpec::scale_target_ref),
      acts("reachability", &PodAutoscalerSpec::reachability),
      acts("containerConcurrency", &PodAutoscalerSpec::container_concurrency),
      acts("protocolType", &PodAutoscalerSpec::protocol_type, fields::always)};
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

// ---------------------------------------------------------------------------- kinds

const KindInfo& kind_info(const Service*) {
  static constexpr KindInfo info =
      namespaced_kind<Service>("services", "ksvc,kservice", NameRule::dns1035_label);
  return info;
}
const KindInfo& kind_info(const Configuration*) {
  static constexpr KindInfo info =
      namespaced_kind<Configuration>("configurations", "config,cfg", NameRule::dns1035_label);
  return info;
}
const KindInfo& kind_info(const Revision*) {
  static constexpr KindInfo info = namespaced_kind<Revision>("revisions", "rev");
  return info;
}
const KindInfo& kind_info(const Route*) {
  static constexpr KindInfo info = namespaced_kind<Route>("routes", "rt", NameRule::dns1035_label);
  return info;
}
const KindInfo& kind_info(const PodAutoscaler*) {
  static constexpr KindInfo info = namespaced_kind<PodAutoscaler>("podautoscalers", "kpa,pa");
  return info;
}

}  // namespace knative::serving
