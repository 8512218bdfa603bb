#include "model/pod_codec.hpp"

namespace knative::core {

using codec::field;

const codec::Struct& describe(const KeySelector*) {
  static constexpr codec::Field fields[] = {field<&KeySelector::name>("name"),
                                            field<&KeySelector::key>("key", codec::always),
                                            field<&KeySelector::optional>("optional")};
  static constexpr codec::Struct description{"KeySelector", fields};
  return description;
}

const codec::Struct& describe(const FieldSelector*) {
  static constexpr codec::Field fields[] = {field<&FieldSelector::api_version>("apiVersion"),
                                            field<&FieldSelector::field_path>("fieldPath")};
  static constexpr codec::Struct description{"FieldSelector", fields};
  return description;
}

const codec::Struct& describe(const EnvVarSource*) {
  static constexpr codec::Field fields[] = {
      field<&EnvVarSource::config_map_key_ref>("configMapKeyRef"),
      field<&EnvVarSource::secret_key_ref>("secretKeyRef"),
      field<&EnvVarSource::field_ref>("fieldRef"),
      field<&EnvVarSource::resource_field_ref>("resourceFieldRef")};
  static constexpr codec::Struct description{"EnvVarSource", fields};
  return description;
}

const codec::Struct& describe(const EnvVar*) {
  static constexpr codec::Field fields[] = {field<&EnvVar::name>("name", codec::always),
                                            field<&EnvVar::value>("value"),
                                            field<&EnvVar::value_from>("valueFrom")};
  static constexpr codec::Struct description{"EnvVar", fields};
  return description;
}

const codec::Struct& describe(const EnvFromRef*) {
  static constexpr codec::Field fields[] = {field<&EnvFromRef::name>("name"),
                                            field<&EnvFromRef::optional>("optional")};
  static constexpr codec::Struct description{"EnvFromRef", fields};
  return description;
}

const codec::Struct& describe(const EnvFromSource*) {
  static constexpr codec::Field fields[] = {field<&EnvFromSource::prefix>("prefix"),
                                            field<&EnvFromSource::config_map_ref>("configMapRef"),
                                            field<&EnvFromSource::secret_ref>("secretRef")};
  static constexpr codec::Struct description{"EnvFromSource", fields};
  return description;
}

const codec::Struct& describe(const ContainerPort*) {
  static constexpr codec::Field fields[] = {
      field<&ContainerPort::name>("name"),
      field<&ContainerPort::container_port>("containerPort", codec::always),
      field<&ContainerPort::protocol>("protocol"), field<&ContainerPort::host_port>("hostPort"),
      field<&ContainerPort::host_ip>("hostIP")};
  static constexpr codec::Struct description{"ContainerPort", fields};
  return description;
}

const codec::Struct& describe(const ResourceRequirements*) {
  static constexpr codec::Field fields[] = {field<&ResourceRequirements::limits>("limits"),
                                            field<&ResourceRequirements::requests>("requests")};
  static constexpr codec::Struct description{"ResourceRequirements", fields};
  return description;
}

const codec::Struct& describe(const VolumeMount*) {
  static constexpr codec::Field fields[] = {
      field<&VolumeMount::name>("name", codec::always),
      field<&VolumeMount::mount_path>("mountPath", codec::always),
      field<&VolumeMount::read_only>("readOnly"),
      field<&VolumeMount::sub_path>("subPath"),
      field<&VolumeMount::sub_path_expr>("subPathExpr"),
      field<&VolumeMount::mount_propagation>("mountPropagation")};
  static constexpr codec::Struct description{"VolumeMount", fields};
  return description;
}

const codec::Struct& describe(const HttpHeader*) {
  static constexpr codec::Field fields[] = {field<&HttpHeader::name>("name", codec::always),
                                            field<&HttpHeader::value>("value", codec::always)};
  static constexpr codec::Struct description{"HttpHeader", fields};
  return description;
}

const codec::Struct& describe(const HttpGetAction*) {
  static constexpr codec::Field fields[] = {
      field<&HttpGetAction::path>("path"), field<&HttpGetAction::port>("port", codec::always),
      field<&HttpGetAction::host>("host"), field<&HttpGetAction::scheme>("scheme"),
      field<&HttpGetAction::http_headers>("httpHeaders")};
  static constexpr codec::Struct description{"HttpGetAction", fields};
  return description;
}

const codec::Struct& describe(const TcpSocketAction*) {
  static constexpr codec::Field fields[] = {field<&TcpSocketAction::port>("port", codec::always),
                                            field<&TcpSocketAction::host>("host")};
  static constexpr codec::Struct description{"TcpSocketAction", fields};
  return description;
}

const codec::Struct& describe(const ExecAction*) {
  static constexpr codec::Field fields[] = {field<&ExecAction::command>("command")};
  static constexpr codec::Struct description{"ExecAction", fields};
  return description;
}

const codec::Struct& describe(const GrpcAction*) {
  static constexpr codec::Field fields[] = {field<&GrpcAction::port>("port"),
                                            field<&GrpcAction::service>("service")};
  static constexpr codec::Struct description{"GrpcAction", fields};
  return description;
}

const codec::Struct& describe(const Probe*) {
  static constexpr codec::Field fields[] = {
      field<&Probe::http_get>("httpGet"),
      field<&Probe::tcp_socket>("tcpSocket"),
      field<&Probe::exec>("exec"),
      field<&Probe::grpc>("grpc"),
      field<&Probe::initial_delay_seconds>("initialDelaySeconds"),
      field<&Probe::timeout_seconds>("timeoutSeconds"),
      field<&Probe::period_seconds>("periodSeconds"),
      field<&Probe::success_threshold>("successThreshold"),
      field<&Probe::failure_threshold>("failureThreshold"),
      field<&Probe::termination_grace_period_seconds>("terminationGracePeriodSeconds")};
  static constexpr codec::Struct description{"Probe", fields};
  return description;
}

const codec::Struct& describe(const Capabilities*) {
  static constexpr codec::Field fields[] = {field<&Capabilities::add>("add"),
                                            field<&Capabilities::drop>("drop")};
  static constexpr codec::Struct description{"Capabilities", fields};
  return description;
}

const codec::Struct& describe(const SeccompProfile*) {
  static constexpr codec::Field fields[] = {
      field<&SeccompProfile::type>("type"),
      field<&SeccompProfile::localhost_profile>("localhostProfile")};
  static constexpr codec::Struct description{"SeccompProfile", fields};
  return description;
}

const codec::Struct& describe(const SecurityContext*) {
  static constexpr codec::Field fields[] = {
      field<&SecurityContext::run_as_user>("runAsUser"),
      field<&SecurityContext::run_as_group>("runAsGroup"),
      field<&SecurityContext::run_as_non_root>("runAsNonRoot"),
      field<&SecurityContext::allow_privilege_escalation>("allowPrivilegeEscalation"),
      field<&SecurityContext::read_only_root_filesystem>("readOnlyRootFilesystem"),
      field<&SecurityContext::privileged>("privileged"),
      field<&SecurityContext::capabilities>("capabilities"),
      field<&SecurityContext::seccomp_profile>("seccompProfile")};
  static constexpr codec::Struct description{"SecurityContext", fields};
  return description;
}

const codec::Struct& describe(const Container*) {
  static constexpr codec::Field fields[] = {
      field<&Container::name>("name"),
      field<&Container::image>("image"),
      field<&Container::command>("command"),
      field<&Container::args>("args"),
      field<&Container::working_dir>("workingDir"),
      field<&Container::env>("env"),
      field<&Container::env_from>("envFrom"),
      field<&Container::ports>("ports"),
      field<&Container::resources>("resources"),
      field<&Container::volume_mounts>("volumeMounts"),
      field<&Container::liveness_probe>("livenessProbe"),
      field<&Container::readiness_probe>("readinessProbe"),
      field<&Container::startup_probe>("startupProbe"),
      field<&Container::image_pull_policy>("imagePullPolicy"),
      field<&Container::security_context>("securityContext"),
      field<&Container::termination_message_path>("terminationMessagePath"),
      field<&Container::termination_message_policy>("terminationMessagePolicy"),
      field<&Container::lifecycle>("lifecycle"),
      field<&Container::stdin_open>("stdin"),
      field<&Container::stdin_once>("stdinOnce"),
      field<&Container::tty>("tty"),
      field<&Container::volume_devices>("volumeDevices"),
      field<&Container::resize_policy>("resizePolicy"),
      field<&Container::restart_policy>("restartPolicy")};
  static constexpr codec::Struct description{"Container", fields};
  return description;
}

const codec::Struct& describe(const KeyToPath*) {
  static constexpr codec::Field fields[] = {field<&KeyToPath::key>("key"),
                                            field<&KeyToPath::path>("path"),
                                            field<&KeyToPath::mode>("mode")};
  static constexpr codec::Struct description{"KeyToPath", fields};
  return description;
}

const codec::Struct& describe(const SecretVolumeSource*) {
  static constexpr codec::Field fields[] = {field<&SecretVolumeSource::secret_name>("secretName"),
                                            field<&SecretVolumeSource::items>("items"),
                                            field<&SecretVolumeSource::default_mode>("defaultMode"),
                                            field<&SecretVolumeSource::optional>("optional")};
  static constexpr codec::Struct description{"SecretVolumeSource", fields};
  return description;
}

const codec::Struct& describe(const ConfigMapVolumeSource*) {
  static constexpr codec::Field fields[] = {
      field<&ConfigMapVolumeSource::name>("name"), field<&ConfigMapVolumeSource::items>("items"),
      field<&ConfigMapVolumeSource::default_mode>("defaultMode"),
      field<&ConfigMapVolumeSource::optional>("optional")};
  static constexpr codec::Struct description{"ConfigMapVolumeSource", fields};
  return description;
}

const codec::Struct& describe(const NamedProjection*) {
  static constexpr codec::Field fields[] = {field<&NamedProjection::name>("name"),
                                            field<&NamedProjection::items>("items"),
                                            field<&NamedProjection::optional>("optional")};
  static constexpr codec::Struct description{"NamedProjection", fields};
  return description;
}

const codec::Struct& describe(const ServiceAccountTokenProjection*) {
  static constexpr codec::Field fields[] = {
      field<&ServiceAccountTokenProjection::audience>("audience"),
      field<&ServiceAccountTokenProjection::expiration_seconds>("expirationSeconds"),
      field<&ServiceAccountTokenProjection::path>("path")};
  static constexpr codec::Struct description{"ServiceAccountTokenProjection", fields};
  return description;
}

const codec::Struct& describe(const VolumeProjection*) {
  static constexpr codec::Field fields[] = {
      field<&VolumeProjection::secret>("secret"), field<&VolumeProjection::config_map>("configMap"),
      field<&VolumeProjection::service_account_token>("serviceAccountToken"),
      field<&VolumeProjection::downward_api>("downwardApi")};
  static constexpr codec::Struct description{"VolumeProjection", fields};
  return description;
}

const codec::Struct& describe(const ProjectedVolumeSource*) {
  static constexpr codec::Field fields[] = {
      field<&ProjectedVolumeSource::sources>("sources"),
      field<&ProjectedVolumeSource::default_mode>("defaultMode")};
  static constexpr codec::Struct description{"ProjectedVolumeSource", fields};
  return description;
}

const codec::Struct& describe(const EmptyDirVolumeSource*) {
  static constexpr codec::Field fields[] = {field<&EmptyDirVolumeSource::medium>("medium"),
                                            field<&EmptyDirVolumeSource::size_limit>("sizeLimit")};
  static constexpr codec::Struct description{"EmptyDirVolumeSource", fields};
  return description;
}

const codec::Struct& describe(const PersistentVolumeClaimVolumeSource*) {
  static constexpr codec::Field fields[] = {
      field<&PersistentVolumeClaimVolumeSource::claim_name>("claimName"),
      field<&PersistentVolumeClaimVolumeSource::read_only>("readOnly")};
  static constexpr codec::Struct description{"PersistentVolumeClaimVolumeSource", fields};
  return description;
}

const codec::Struct& describe(const HostPathVolumeSource*) {
  static constexpr codec::Field fields[] = {field<&HostPathVolumeSource::path>("path"),
                                            field<&HostPathVolumeSource::type>("type")};
  static constexpr codec::Struct description{"HostPathVolumeSource", fields};
  return description;
}

const codec::Struct& describe(const Volume*) {
  static constexpr codec::Field fields[] = {
      field<&Volume::name>("name", codec::always),
      field<&Volume::secret>("secret"),
      field<&Volume::config_map>("configMap"),
      field<&Volume::projected>("projected"),
      field<&Volume::empty_dir>("emptyDir"),
      field<&Volume::persistent_volume_claim>("persistentVolumeClaim"),
      field<&Volume::host_path>("hostPath"),
      field<&Volume::csi>("csi"),
      field<&Volume::ephemeral>("ephemeral"),
      field<&Volume::image>("image")};
  static constexpr codec::Struct description{"Volume", fields};
  return description;
}

const codec::Struct& describe(const LocalObjectReference*) {
  static constexpr codec::Field fields[] = {field<&LocalObjectReference::name>("name")};
  static constexpr codec::Struct description{"LocalObjectReference", fields};
  return description;
}

const codec::Struct& describe(const PodSpec*) {
  static constexpr codec::Field fields[] = {
      field<&PodSpec::containers>("containers"),
      field<&PodSpec::init_containers>("initContainers"),
      field<&PodSpec::volumes>("volumes"),
      field<&PodSpec::service_account_name>("serviceAccountName"),
      field<&PodSpec::image_pull_secrets>("imagePullSecrets"),
      field<&PodSpec::enable_service_links>("enableServiceLinks"),
      field<&PodSpec::automount_service_account_token>("automountServiceAccountToken"),
      field<&PodSpec::node_selector>("nodeSelector"),
      field<&PodSpec::affinity>("affinity"),
      field<&PodSpec::tolerations>("tolerations"),
      field<&PodSpec::topology_spread_constraints>("topologySpreadConstraints"),
      field<&PodSpec::host_aliases>("hostAliases"),
      field<&PodSpec::runtime_class_name>("runtimeClassName"),
      field<&PodSpec::security_context>("securityContext"),
      field<&PodSpec::priority_class_name>("priorityClassName"),
      field<&PodSpec::scheduler_name>("schedulerName"),
      field<&PodSpec::dns_policy>("dnsPolicy"),
      field<&PodSpec::dns_config>("dnsConfig"),
      field<&PodSpec::share_process_namespace>("shareProcessNamespace"),
      field<&PodSpec::host_network>("hostNetwork"),
      field<&PodSpec::host_pid>("hostPID"),
      field<&PodSpec::host_ipc>("hostIPC"),
      field<&PodSpec::restart_policy>("restartPolicy"),
      field<&PodSpec::termination_grace_period_seconds>("terminationGracePeriodSeconds"),
      field<&PodSpec::active_deadline_seconds>("activeDeadlineSeconds"),
      field<&PodSpec::node_name>("nodeName"),
      field<&PodSpec::hostname>("hostname"),
      field<&PodSpec::subdomain>("subdomain")};
  static constexpr codec::Struct description{"PodSpec", fields};
  return description;
}

const codec::Struct& describe(const ContainerStateWaiting*) {
  static constexpr codec::Field fields[] = {field<&ContainerStateWaiting::reason>("reason"),
                                            field<&ContainerStateWaiting::message>("message")};
  static constexpr codec::Struct description{"ContainerStateWaiting", fields};
  return description;
}

const codec::Struct& describe(const ContainerStateRunning*) {
  static constexpr codec::Field fields[] = {field<&ContainerStateRunning::started_at>("startedAt")};
  static constexpr codec::Struct description{"ContainerStateRunning", fields};
  return description;
}

const codec::Struct& describe(const ContainerStateTerminated*) {
  static constexpr codec::Field fields[] = {
      field<&ContainerStateTerminated::exit_code>("exitCode", codec::always),
      field<&ContainerStateTerminated::signal>("signal"),
      field<&ContainerStateTerminated::reason>("reason"),
      field<&ContainerStateTerminated::message>("message"),
      field<&ContainerStateTerminated::started_at>("startedAt"),
      field<&ContainerStateTerminated::finished_at>("finishedAt"),
      field<&ContainerStateTerminated::container_id>("containerID")};
  static constexpr codec::Struct description{"ContainerStateTerminated", fields};
  return description;
}

const codec::Struct& describe(const ContainerState*) {
  static constexpr codec::Field fields[] = {field<&ContainerState::waiting>("waiting"),
                                            field<&ContainerState::running>("running"),
                                            field<&ContainerState::terminated>("terminated")};
  static constexpr codec::Struct description{"ContainerState", fields};
  return description;
}

}  // namespace knative::core
