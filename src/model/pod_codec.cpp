#include "model/pod_codec.hpp"

namespace knative::core {

using fields::acts;
using fields::Field;
using fields::refused;
using fields::warned;

const fields::Struct& describe(const KeySelector*) {
  static const Field list[] = {acts("name", &KeySelector::name),
                               acts("key", &KeySelector::key, fields::always),
                               acts("optional", &KeySelector::optional)};
  static const fields::Struct description{"KeySelector", list};
  return description;
}

const fields::Struct& describe(const FieldSelector*) {
  static const Field list[] = {acts("apiVersion", &FieldSelector::api_version),
                               acts("fieldPath", &FieldSelector::field_path)};
  static const fields::Struct description{"FieldSelector", list};
  return description;
}

const fields::Struct& describe(const EnvVarSource*) {
  static const Field list[] = {acts("configMapKeyRef", &EnvVarSource::config_map_key_ref),
                               acts("secretKeyRef", &EnvVarSource::secret_key_ref),
                               refused("fieldRef", &EnvVarSource::field_ref,
                                       "there are no pods here to take the value from"),
                               refused("resourceFieldRef", &EnvVarSource::resource_field_ref,
                                       "there are no pods here to take the value from")};
  static const fields::Struct description{"EnvVarSource", list};
  return description;
}

const fields::Struct& describe(const EnvVar*) {
  static const Field list[] = {acts("name", &EnvVar::name, fields::always),
                               acts("value", &EnvVar::value),
                               acts("valueFrom", &EnvVar::value_from)};
  static const fields::Struct description{"EnvVar", list};
  return description;
}

const fields::Struct& describe(const EnvFromRef*) {
  static const Field list[] = {acts("name", &EnvFromRef::name),
                               acts("optional", &EnvFromRef::optional)};
  static const fields::Struct description{"EnvFromRef", list};
  return description;
}

const fields::Struct& describe(const EnvFromSource*) {
  static const Field list[] = {acts("prefix", &EnvFromSource::prefix),
                               acts("configMapRef", &EnvFromSource::config_map_ref),
                               acts("secretRef", &EnvFromSource::secret_ref)};
  static const fields::Struct description{"EnvFromSource", list};
  return description;
}

const fields::Struct& describe(const ContainerPort*) {
  static const Field list[] = {
      acts("name", &ContainerPort::name),
      acts("containerPort", &ContainerPort::container_port, fields::always),
      acts("protocol", &ContainerPort::protocol),
      refused("hostPort", &ContainerPort::host_port,
              "a program has no port of the host of its own"),
      refused("hostIP", &ContainerPort::host_ip, "a program has no port of the host of its own")};
  static const fields::Struct description{"ContainerPort", list};
  return description;
}

const fields::Struct& describe(const ResourceRequirements*) {
  static const Field list[] = {acts("limits", &ResourceRequirements::limits),
                               acts("requests", &ResourceRequirements::requests)};
  static const fields::Struct description{"ResourceRequirements", list};
  return description;
}

const fields::Struct& describe(const VolumeMount*) {
  static const Field list[] = {
      acts("name", &VolumeMount::name, fields::always),
      acts("mountPath", &VolumeMount::mount_path, fields::always),
      acts("readOnly", &VolumeMount::read_only),
      acts("subPath", &VolumeMount::sub_path),
      refused("subPathExpr", &VolumeMount::sub_path_expr, "only subPath is known"),
      refused("mountPropagation", &VolumeMount::mount_propagation, "mounts are not shared")};
  static const fields::Struct description{"VolumeMount", list};
  return description;
}

const fields::Struct& describe(const HttpHeader*) {
  static const Field list[] = {acts("name", &HttpHeader::name, fields::always),
                               acts("value", &HttpHeader::value, fields::always)};
  static const fields::Struct description{"HttpHeader", list};
  return description;
}

const fields::Struct& describe(const HttpGetAction*) {
  static const Field list[] = {
      acts("path", &HttpGetAction::path), acts("port", &HttpGetAction::port, fields::always),
      acts("host", &HttpGetAction::host), acts("scheme", &HttpGetAction::scheme),
      acts("httpHeaders", &HttpGetAction::http_headers)};
  static const fields::Struct description{"HttpGetAction", list};
  return description;
}

const fields::Struct& describe(const TcpSocketAction*) {
  static const Field list[] = {acts("port", &TcpSocketAction::port, fields::always),
                               acts("host", &TcpSocketAction::host)};
  static const fields::Struct description{"TcpSocketAction", list};
  return description;
}

const fields::Struct& describe(const ExecAction*) {
  static const Field list[] = {acts("command", &ExecAction::command)};
  static const fields::Struct description{"ExecAction", list};
  return description;
}

const fields::Struct& describe(const GrpcAction*) {
  static const Field list[] = {acts("port", &GrpcAction::port),
                               acts("service", &GrpcAction::service)};
  static const fields::Struct description{"GrpcAction", list};
  return description;
}

const fields::Struct& describe(const Probe*) {
  static const Field list[] = {
      acts("httpGet", &Probe::http_get),
      acts("tcpSocket", &Probe::tcp_socket),
      acts("exec", &Probe::exec),
      acts("grpc", &Probe::grpc),
      acts("initialDelaySeconds", &Probe::initial_delay_seconds),
      acts("timeoutSeconds", &Probe::timeout_seconds),
      acts("periodSeconds", &Probe::period_seconds),
      acts("successThreshold", &Probe::success_threshold),
      acts("failureThreshold", &Probe::failure_threshold),
      acts("terminationGracePeriodSeconds", &Probe::termination_grace_period_seconds)};
  static const fields::Struct description{"Probe", list};
  return description;
}

const fields::Struct& describe(const SleepAction*) {
  static const Field list[] = {acts("seconds", &SleepAction::seconds, fields::always)};
  static const fields::Struct description{"SleepAction", list};
  return description;
}

const fields::Struct& describe(const LifecycleHandler*) {
  static const Field list[] = {acts("exec", &LifecycleHandler::exec),
                               acts("httpGet", &LifecycleHandler::http_get),
                               refused("tcpSocket", &LifecycleHandler::tcp_socket,
                                       "a hook is a command, a request or a pause"),
                               acts("sleep", &LifecycleHandler::sleep)};
  static const fields::Struct description{"LifecycleHandler", list};
  return description;
}

const fields::Struct& describe(const Lifecycle*) {
  static const Field list[] = {
      acts("postStart", &Lifecycle::post_start), acts("preStop", &Lifecycle::pre_stop),
      refused("stopSignal", &Lifecycle::stop_signal, "programs are told to stop by SIGTERM")};
  static const fields::Struct description{"Lifecycle", list};
  return description;
}

const fields::Struct& describe(const Capabilities*) {
  static const Field list[] = {acts("add", &Capabilities::add), acts("drop", &Capabilities::drop)};
  static const fields::Struct description{"Capabilities", list};
  return description;
}

const fields::Struct& describe(const SeccompProfile*) {
  static const Field list[] = {acts("type", &SeccompProfile::type),
                               acts("localhostProfile", &SeccompProfile::localhost_profile)};
  static const fields::Struct description{"SeccompProfile", list};
  return description;
}

const fields::Struct& describe(const SecurityContext*) {
  static const Field list[] = {
      acts("runAsUser", &SecurityContext::run_as_user),
      acts("runAsGroup", &SecurityContext::run_as_group),
      acts("runAsNonRoot", &SecurityContext::run_as_non_root),
      acts("allowPrivilegeEscalation", &SecurityContext::allow_privilege_escalation),
      acts("readOnlyRootFilesystem", &SecurityContext::read_only_root_filesystem),
      refused("privileged", &SecurityContext::privileged, "a program of this host is not isolated"),
      acts("capabilities", &SecurityContext::capabilities),
      acts("seccompProfile", &SecurityContext::seccomp_profile),
      warned("seLinuxOptions", &SecurityContext::se_linux_options,
             "a program of this host is not isolated")};
  static const fields::Struct description{"SecurityContext", list};
  return description;
}

const fields::Struct& describe(const Container*) {
  static const Field list[] = {
      acts("name", &Container::name),
      acts("image", &Container::image),
      acts("command", &Container::command),
      acts("args", &Container::args),
      acts("workingDir", &Container::working_dir),
      acts("env", &Container::env),
      acts("envFrom", &Container::env_from),
      acts("ports", &Container::ports),
      acts("resources", &Container::resources),
      acts("volumeMounts", &Container::volume_mounts),
      acts("livenessProbe", &Container::liveness_probe),
      acts("readinessProbe", &Container::readiness_probe),
      acts("startupProbe", &Container::startup_probe),
      acts("imagePullPolicy", &Container::image_pull_policy),
      acts("securityContext", &Container::security_context),
      warned("terminationMessagePath", &Container::termination_message_path,
             "a program says why it ended on its standard error"),
      warned("terminationMessagePolicy", &Container::termination_message_policy,
             "a program says why it ended on its standard error"),
      acts("lifecycle", &Container::lifecycle),
      refused("stdin", &Container::stdin_open, "programs have no terminal"),
      refused("stdinOnce", &Container::stdin_once, "programs have no terminal"),
      refused("tty", &Container::tty, "programs have no terminal"),
      refused("volumeDevices", &Container::volume_devices, "programs have no devices of their own"),
      refused("resizePolicy", &Container::resize_policy, "there are no limits to resize"),
      refused("restartPolicy", &Container::restart_policy,
              "the platform decides when a program starts again")};
  static const fields::Struct description{"Container", list};
  return description;
}

const fields::Struct& describe(const KeyToPath*) {
  static const Field list[] = {acts("key", &KeyToPath::key), acts("path", &KeyToPath::path),
                               acts("mode", &KeyToPath::mode)};
  static const fields::Struct description{"KeyToPath", list};
  return description;
}

const fields::Struct& describe(const SecretVolumeSource*) {
  static const Field list[] = {acts("secretName", &SecretVolumeSource::secret_name),
                               acts("items", &SecretVolumeSource::items),
                               acts("defaultMode", &SecretVolumeSource::default_mode),
                               acts("optional", &SecretVolumeSource::optional)};
  static const fields::Struct description{"SecretVolumeSource", list};
  return description;
}

const fields::Struct& describe(const ConfigMapVolumeSource*) {
  static const Field list[] = {acts("name", &ConfigMapVolumeSource::name),
                               acts("items", &ConfigMapVolumeSource::items),
                               acts("defaultMode", &ConfigMapVolumeSource::default_mode),
                               acts("optional", &ConfigMapVolumeSource::optional)};
  static const fields::Struct description{"ConfigMapVolumeSource", list};
  return description;
}

const fields::Struct& describe(const DownwardApiFile*) {
  static const Field list[] = {acts("path", &DownwardApiFile::path),
                               acts("fieldRef", &DownwardApiFile::field_ref),
                               refused("resourceFieldRef", &DownwardApiFile::resource_field_ref,
                                       "there are no pods here to describe"),
                               acts("mode", &DownwardApiFile::mode)};
  static const fields::Struct description{"DownwardApiFile", list};
  return description;
}

const fields::Struct& describe(const DownwardApiVolumeSource*) {
  static const Field list[] = {acts("items", &DownwardApiVolumeSource::items),
                               acts("defaultMode", &DownwardApiVolumeSource::default_mode)};
  static const fields::Struct description{"DownwardApiVolumeSource", list};
  return description;
}

const fields::Struct& describe(const DownwardApiProjection*) {
  static const Field list[] = {acts("items", &DownwardApiProjection::items)};
  static const fields::Struct description{"DownwardApiProjection", list};
  return description;
}

const fields::Struct& describe(const GitRepoVolumeSource*) {
  static const Field list[] = {acts("repository", &GitRepoVolumeSource::repository),
                               acts("revision", &GitRepoVolumeSource::revision),
                               acts("directory", &GitRepoVolumeSource::directory)};
  static const fields::Struct description{"GitRepoVolumeSource", list};
  return description;
}

const fields::Struct& describe(const NamedProjection*) {
  static const Field list[] = {acts("name", &NamedProjection::name),
                               acts("items", &NamedProjection::items),
                               acts("optional", &NamedProjection::optional)};
  static const fields::Struct description{"NamedProjection", list};
  return description;
}

const fields::Struct& describe(const ServiceAccountTokenProjection*) {
  static const Field list[] = {
      acts("audience", &ServiceAccountTokenProjection::audience),
      acts("expirationSeconds", &ServiceAccountTokenProjection::expiration_seconds),
      acts("path", &ServiceAccountTokenProjection::path)};
  static const fields::Struct description{"ServiceAccountTokenProjection", list};
  return description;
}

const fields::Struct& describe(const VolumeProjection*) {
  static const Field list[] = {
      acts("secret", &VolumeProjection::secret), acts("configMap", &VolumeProjection::config_map),
      refused("serviceAccountToken", &VolumeProjection::service_account_token,
              "there are no tokens of service accounts"),
      acts("downwardAPI", &VolumeProjection::downward_api)};
  static const fields::Struct description{"VolumeProjection", list};
  return description;
}

const fields::Struct& describe(const ProjectedVolumeSource*) {
  static const Field list[] = {acts("sources", &ProjectedVolumeSource::sources),
                               acts("defaultMode", &ProjectedVolumeSource::default_mode)};
  static const fields::Struct description{"ProjectedVolumeSource", list};
  return description;
}

const fields::Struct& describe(const EmptyDirVolumeSource*) {
  static const Field list[] = {acts("medium", &EmptyDirVolumeSource::medium),
                               acts("sizeLimit", &EmptyDirVolumeSource::size_limit)};
  static const fields::Struct description{"EmptyDirVolumeSource", list};
  return description;
}

const fields::Struct& describe(const PersistentVolumeClaimVolumeSource*) {
  static const Field list[] = {acts("claimName", &PersistentVolumeClaimVolumeSource::claim_name),
                               acts("readOnly", &PersistentVolumeClaimVolumeSource::read_only)};
  static const fields::Struct description{"PersistentVolumeClaimVolumeSource", list};
  return description;
}

const fields::Struct& describe(const HostPathVolumeSource*) {
  static const Field list[] = {acts("path", &HostPathVolumeSource::path),
                               acts("type", &HostPathVolumeSource::type)};
  static const fields::Struct description{"HostPathVolumeSource", list};
  return description;
}

const fields::Struct& describe(const Volume*) {
  static const Field list[] = {
      acts("name", &Volume::name, fields::always),
      acts("secret", &Volume::secret),
      acts("configMap", &Volume::config_map),
      acts("projected", &Volume::projected),
      acts("emptyDir", &Volume::empty_dir),
      acts("persistentVolumeClaim", &Volume::persistent_volume_claim),
      refused("hostPath", &Volume::host_path, "there is no such storage here"),
      refused("csi", &Volume::csi, "there is no such storage here"),
      refused("ephemeral", &Volume::ephemeral, "there is no such storage here"),
      refused("image", &Volume::image, "there is no such storage here"),
      refused("downwardAPI", &Volume::downward_api, "there are no pods here to describe"),
      refused("gitRepo", &Volume::git_repo, "there is no such storage here")};
  static const fields::Struct description{"Volume", list};
  return description;
}

const fields::Struct& describe(const LocalObjectReference*) {
  static const Field list[] = {acts("name", &LocalObjectReference::name)};
  static const fields::Struct description{"LocalObjectReference", list};
  return description;
}

const fields::Struct& describe(const PodSpec*) {
  static const Field list[] = {
      acts("containers", &PodSpec::containers),
      acts("initContainers", &PodSpec::init_containers),
      acts("volumes", &PodSpec::volumes),
      acts("serviceAccountName", &PodSpec::service_account_name),
      acts("imagePullSecrets", &PodSpec::image_pull_secrets),
      acts("enableServiceLinks", &PodSpec::enable_service_links),
      acts("automountServiceAccountToken", &PodSpec::automount_service_account_token),
      acts("nodeSelector", &PodSpec::node_selector),
      acts("affinity", &PodSpec::affinity),
      acts("tolerations", &PodSpec::tolerations),
      acts("topologySpreadConstraints", &PodSpec::topology_spread_constraints),
      acts("hostAliases", &PodSpec::host_aliases),
      acts("runtimeClassName", &PodSpec::runtime_class_name),
      acts("securityContext", &PodSpec::security_context),
      acts("priorityClassName", &PodSpec::priority_class_name),
      acts("schedulerName", &PodSpec::scheduler_name),
      acts("dnsPolicy", &PodSpec::dns_policy),
      acts("dnsConfig", &PodSpec::dns_config),
      acts("shareProcessNamespace", &PodSpec::share_process_namespace),
      acts("hostNetwork", &PodSpec::host_network),
      acts("hostPID", &PodSpec::host_pid),
      acts("hostIPC", &PodSpec::host_ipc),
      acts("restartPolicy", &PodSpec::restart_policy),
      acts("terminationGracePeriodSeconds", &PodSpec::termination_grace_period_seconds),
      acts("activeDeadlineSeconds", &PodSpec::active_deadline_seconds),
      acts("nodeName", &PodSpec::node_name),
      acts("hostname", &PodSpec::hostname),
      acts("subdomain", &PodSpec::subdomain)};
  static const fields::Struct description{"PodSpec", list};
  return description;
}

const fields::Struct& describe(const ContainerStateWaiting*) {
  static const Field list[] = {acts("reason", &ContainerStateWaiting::reason),
                               acts("message", &ContainerStateWaiting::message)};
  static const fields::Struct description{"ContainerStateWaiting", list};
  return description;
}

const fields::Struct& describe(const ContainerStateRunning*) {
  static const Field list[] = {acts("startedAt", &ContainerStateRunning::started_at)};
  static const fields::Struct description{"ContainerStateRunning", list};
  return description;
}

const fields::Struct& describe(const ContainerStateTerminated*) {
  static const Field list[] = {
      acts("exitCode", &ContainerStateTerminated::exit_code, fields::always),
      acts("signal", &ContainerStateTerminated::signal),
      acts("reason", &ContainerStateTerminated::reason),
      acts("message", &ContainerStateTerminated::message),
      acts("startedAt", &ContainerStateTerminated::started_at),
      acts("finishedAt", &ContainerStateTerminated::finished_at),
      acts("containerID", &ContainerStateTerminated::container_id)};
  static const fields::Struct description{"ContainerStateTerminated", list};
  return description;
}

const fields::Struct& describe(const ContainerState*) {
  static const Field list[] = {acts("waiting", &ContainerState::waiting),
                               acts("running", &ContainerState::running),
                               acts("terminated", &ContainerState::terminated)};
  static const fields::Struct description{"ContainerState", list};
  return description;
}

}  // namespace knative::core
