#include "model/serving_codec.hpp"

namespace knative::codec {

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

}  // namespace knative::codec

namespace knative::serving {

using codec::field;

const codec::Struct& describe(const TrafficTarget*) {
  static constexpr codec::Field fields[] = {
      field<&TrafficTarget::revision_name>("revisionName"),
      field<&TrafficTarget::configuration_name>("configurationName"),
      field<&TrafficTarget::latest_revision>("latestRevision"),
      field<&TrafficTarget::percent>("percent"),
      field<&TrafficTarget::tag>("tag"),
      field<&TrafficTarget::url>("url")};
  static constexpr codec::Struct description{"TrafficTarget", fields};
  return description;
}

const codec::Struct& describe(const RefusedPodFields*) {
  static constexpr codec::Field fields[] = {
      field<&RefusedPodFields::active_deadline_seconds>("activeDeadlineSeconds"),
      field<&RefusedPodFields::affinity>("affinity"),
      field<&RefusedPodFields::dns_config>("dnsConfig"),
      field<&RefusedPodFields::dns_policy>("dnsPolicy"),
      field<&RefusedPodFields::ephemeral_containers>("ephemeralContainers"),
      field<&RefusedPodFields::host_aliases>("hostAliases"),
      field<&RefusedPodFields::host_ipc>("hostIPC"),
      field<&RefusedPodFields::host_network>("hostNetwork"),
      field<&RefusedPodFields::host_pid>("hostPID"),
      field<&RefusedPodFields::hostname>("hostname"),
      field<&RefusedPodFields::node_name>("nodeName"),
      field<&RefusedPodFields::node_selector>("nodeSelector"),
      field<&RefusedPodFields::priority>("priority"),
      field<&RefusedPodFields::priority_class_name>("priorityClassName"),
      field<&RefusedPodFields::readiness_gates>("readinessGates"),
      field<&RefusedPodFields::restart_policy>("restartPolicy"),
      field<&RefusedPodFields::runtime_class_name>("runtimeClassName"),
      field<&RefusedPodFields::scheduler_name>("schedulerName"),
      field<&RefusedPodFields::security_context>("securityContext"),
      field<&RefusedPodFields::share_process_namespace>("shareProcessNamespace"),
      field<&RefusedPodFields::subdomain>("subdomain"),
      field<&RefusedPodFields::termination_grace_period_seconds>("terminationGracePeriodSeconds"),
      field<&RefusedPodFields::tolerations>("tolerations"),
      field<&RefusedPodFields::topology_spread_constraints>("topologySpreadConstraints")};
  static constexpr codec::Struct description{"RefusedPodFields", fields};
  return description;
}

const codec::Struct& describe(const RevisionSpec*) {
  static constexpr codec::Field fields[] = {
      field<&RevisionSpec::containers>("containers"),
      field<&RevisionSpec::init_containers>("initContainers"),
      field<&RevisionSpec::volumes>("volumes"),
      field<&RevisionSpec::service_account_name>("serviceAccountName"),
      field<&RevisionSpec::image_pull_secrets>("imagePullSecrets"),
      field<&RevisionSpec::enable_service_links>("enableServiceLinks"),
      field<&RevisionSpec::automount_service_account_token>("automountServiceAccountToken"),
      field<&RevisionSpec::container_concurrency>("containerConcurrency"),
      field<&RevisionSpec::timeout_seconds>("timeoutSeconds"),
      field<&RevisionSpec::response_start_timeout_seconds>("responseStartTimeoutSeconds"),
      field<&RevisionSpec::idle_timeout_seconds>("idleTimeoutSeconds"),
      field<&RevisionSpec::refused>("", codec::inlined)};
  static constexpr codec::Struct description{"RevisionSpec", fields};
  return description;
}

const codec::Struct& describe(const RevisionTemplateSpec*) {
  static constexpr codec::Field fields[] = {field<&RevisionTemplateSpec::metadata>("metadata"),
                                            field<&RevisionTemplateSpec::spec>("spec")};
  static constexpr codec::Struct description{"RevisionTemplateSpec", fields};
  return description;
}

const codec::Struct& describe(const ConfigurationSpec*) {
  static constexpr codec::Field fields[] = {field<&ConfigurationSpec::template_>("template")};
  static constexpr codec::Struct description{"ConfigurationSpec", fields};
  return description;
}

const codec::Struct& describe(const RouteSpec*) {
  static constexpr codec::Field fields[] = {field<&RouteSpec::traffic>("traffic")};
  static constexpr codec::Struct description{"RouteSpec", fields};
  return description;
}

const codec::Struct& describe(const ServiceSpec*) {
  static constexpr codec::Field fields[] = {field<&ServiceSpec::template_>("template"),
                                            field<&ServiceSpec::traffic>("traffic")};
  static constexpr codec::Struct description{"ServiceSpec", fields};
  return description;
}

const codec::Struct& describe(const Addressable*) {
  static constexpr codec::Field fields[] = {field<&Addressable::url>("url")};
  static constexpr codec::Struct description{"Addressable", fields};
  return description;
}

const codec::Struct& describe(const ContainerStatus*) {
  static constexpr codec::Field fields[] = {field<&ContainerStatus::name>("name"),
                                            field<&ContainerStatus::image_digest>("imageDigest")};
  static constexpr codec::Struct description{"ContainerStatus", fields};
  return description;
}

const codec::Struct& describe(const RevisionStatus*) {
  static constexpr codec::Field fields[] = {
      field<&RevisionStatus::observed_generation>("observedGeneration"),
      field<&RevisionStatus::conditions>("conditions"),
      field<&RevisionStatus::annotations>("annotations"),
      field<&RevisionStatus::log_url>("logUrl"),
      field<&RevisionStatus::container_statuses>("containerStatuses"),
      field<&RevisionStatus::init_container_statuses>("initContainerStatuses"),
      field<&RevisionStatus::actual_replicas>("actualReplicas"),
      field<&RevisionStatus::desired_replicas>("desiredReplicas")};
  static constexpr codec::Struct description{"RevisionStatus", fields};
  return description;
}

const codec::Struct& describe(const ConfigurationStatus*) {
  static constexpr codec::Field fields[] = {
      field<&ConfigurationStatus::observed_generation>("observedGeneration"),
      field<&ConfigurationStatus::conditions>("conditions"),
      field<&ConfigurationStatus::annotations>("annotations"),
      field<&ConfigurationStatus::latest_created_revision_name>("latestCreatedRevisionName"),
      field<&ConfigurationStatus::latest_ready_revision_name>("latestReadyRevisionName")};
  static constexpr codec::Struct description{"ConfigurationStatus", fields};
  return description;
}

const codec::Struct& describe(const RouteStatus*) {
  static constexpr codec::Field fields[] = {
      field<&RouteStatus::observed_generation>("observedGeneration"),
      field<&RouteStatus::conditions>("conditions"),
      field<&RouteStatus::annotations>("annotations"),
      field<&RouteStatus::url>("url"),
      field<&RouteStatus::address>("address"),
      field<&RouteStatus::traffic>("traffic")};
  static constexpr codec::Struct description{"RouteStatus", fields};
  return description;
}

const codec::Struct& describe(const ServiceStatus*) {
  static constexpr codec::Field fields[] = {
      field<&ServiceStatus::observed_generation>("observedGeneration"),
      field<&ServiceStatus::conditions>("conditions"),
      field<&ServiceStatus::annotations>("annotations"),
      field<&ServiceStatus::url>("url"),
      field<&ServiceStatus::address>("address"),
      field<&ServiceStatus::traffic>("traffic"),
      field<&ServiceStatus::latest_created_revision_name>("latestCreatedRevisionName"),
      field<&ServiceStatus::latest_ready_revision_name>("latestReadyRevisionName")};
  static constexpr codec::Struct description{"ServiceStatus", fields};
  return description;
}

const codec::Struct& describe(const Service*) {
  static constexpr codec::Field fields[] = {field<&Service::metadata>("metadata"),
                                            field<&Service::spec>("spec"),
                                            field<&Service::status>("status")};
  static constexpr codec::Struct description{"Service", fields};
  return description;
}

const codec::Struct& describe(const Configuration*) {
  static constexpr codec::Field fields[] = {field<&Configuration::metadata>("metadata"),
                                            field<&Configuration::spec>("spec"),
                                            field<&Configuration::status>("status")};
  static constexpr codec::Struct description{"Configuration", fields};
  return description;
}

const codec::Struct& describe(const Revision*) {
  static constexpr codec::Field fields[] = {field<&Revision::metadata>("metadata"),
                                            field<&Revision::spec>("spec"),
                                            field<&Revision::status>("status")};
  static constexpr codec::Struct description{"Revision", fields};
  return description;
}

const codec::Struct& describe(const Route*) {
  static constexpr codec::Field fields[] = {field<&Route::metadata>("metadata"),
                                            field<&Route::spec>("spec"),
                                            field<&Route::status>("status")};
  static constexpr codec::Struct description{"Route", fields};
  return description;
}

const codec::Struct& describe(const PodAutoscalerSpec*) {
  static constexpr codec::Field fields[] = {
      field<&PodAutoscalerSpec::scale_target_ref>("scaleTargetRef"),
      field<&PodAutoscalerSpec::reachability>("reachability"),
      field<&PodAutoscalerSpec::container_concurrency>("containerConcurrency"),
      field<&PodAutoscalerSpec::protocol_type>("protocolType", codec::always)};
  static constexpr codec::Struct description{"PodAutoscalerSpec", fields};
  return description;
}

const codec::Struct& describe(const PodAutoscalerStatus*) {
  static constexpr codec::Field fields[] = {
      field<&PodAutoscalerStatus::observed_generation>("observedGeneration"),
      field<&PodAutoscalerStatus::conditions>("conditions"),
      field<&PodAutoscalerStatus::annotations>("annotations"),
      field<&PodAutoscalerStatus::service_name>("serviceName"),
      field<&PodAutoscalerStatus::metrics_service_name>("metricsServiceName"),
      field<&PodAutoscalerStatus::desired_scale>("desiredScale"),
      field<&PodAutoscalerStatus::actual_scale>("actualScale")};
  static constexpr codec::Struct description{"PodAutoscalerStatus", fields};
  return description;
}

const codec::Struct& describe(const PodAutoscaler*) {
  static constexpr codec::Field fields[] = {field<&PodAutoscaler::metadata>("metadata"),
                                            field<&PodAutoscaler::spec>("spec"),
                                            field<&PodAutoscaler::status>("status")};
  static constexpr codec::Struct description{"PodAutoscaler", fields};
  return description;
}

}  // namespace knative::serving
