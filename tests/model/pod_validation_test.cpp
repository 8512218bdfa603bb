#include "model/pod_validation.hpp"

#include <gtest/gtest.h>

#include "model/pod_rules.hpp"

namespace knative::core {
namespace {

// ---------------------------------------------------------------------------- environment

std::string errors_of(EnvVarSource source, const PodFeatures& features = {}) {
  return errors_of(with({.env = {{.name = "A", .value_from = std::move(source)}}}), features);
}

TEST(PodEnv, AVariableHasAValueOrASource) {
  EXPECT_EQ(
      errors_of(with({.env = {{.name = "A",
                               .value = "x",
                               .value_from = EnvVarSource{.secret_key_ref = {{"s", "k", {}}}}}}})),
      "expected exactly one, got both: containers[0].env[0].value, containers[0].env[0].valueFrom");
}

TEST(PodEnv, ASourceNamesOneKey) {
  const std::string here = "containers[0].env[0].valueFrom.";
  const KeySelector key{.name = "n", .key = "k"};
  EXPECT_EQ(errors_of(EnvVarSource{.config_map_key_ref = key}), "");
  EXPECT_EQ(errors_of(EnvVarSource{.secret_key_ref = key}), "");
  EXPECT_EQ(errors_of(EnvVarSource{}), "expected exactly one, got neither: " + here +
                                           "configMapKeyRef, " + here + "secretKeyRef");
  EXPECT_EQ(
      errors_of(EnvVarSource{.config_map_key_ref = key, .secret_key_ref = key}),
      "expected exactly one, got both: " + here + "configMapKeyRef, " + here + "secretKeyRef");
  EXPECT_EQ(errors_of(EnvVarSource{.config_map_key_ref = KeySelector{}}),
            "missing field(s): " + here + "configMapKeyRef.key, " + here + "configMapKeyRef.name");
  EXPECT_EQ(errors_of(EnvVarSource{.secret_key_ref = KeySelector{.name = "n"}}),
            "missing field(s): " + here + "secretKeyRef.key");
}

TEST(PodEnv, FieldsOfThePodNeedAFeature) {
  const std::string here = "containers[0].env[0].valueFrom.";
  const PodFeatures on{.field_ref = true};
  EnvVarSource source{.field_ref = FieldSelector{.field_path = "metadata.name"}};
  EXPECT_EQ(errors_of(source), "must not set the field(s): " + here + "fieldRef");
  EXPECT_EQ(errors_of(source, on), "");
  source.config_map_key_ref = KeySelector{.name = "n", .key = "k"};
  EXPECT_EQ(errors_of(source, on),
            "expected exactly one, got both: " + here + "configMapKeyRef, " + here + "fieldRef");
  const EnvVarSource resource{.resource_field_ref = Value::Map{{"resource", "limits.cpu"}}};
  EXPECT_EQ(errors_of(resource), "must not set the field(s): " + here + "resourceFieldRef");
  EXPECT_EQ(errors_of(resource, on), "");
}

TEST(PodEnv, ReservedNamesAreReservedInEveryContainer) {
  PodSpec pod = with({.env = {{.name = "K_REVISION"}}, .ports = {{.container_port = 8080}}});
  pod.containers.push_back({.image = "b", .env = {{.name = "K_CONFIGURATION"}}});
  pod.init_containers = {{.image = "c", .env = {{.name = "K_SERVICE"}, {.name = "PORT"}}}};
  EXPECT_EQ(errors_of(pod, {.init_containers = true}),
            "\"K_CONFIGURATION\" is a reserved environment variable: containers[1].env[0].name\n"
            "\"K_REVISION\" is a reserved environment variable: containers[0].env[0].name\n"
            "\"K_SERVICE\" is a reserved environment variable: initContainers[0].env[0].name");
}

TEST(PodEnv, EnvFromNamesOneObject) {
  const std::string here = "containers[0].envFrom[0].";
  const struct {
    EnvFromSource source;
    std::string errors;
  } rows[] = {
      {{.config_map_ref = EnvFromRef{.name = "m"}}, ""},
      {{.secret_ref = EnvFromRef{.name = "s"}}, ""},
      {{.config_map_ref = EnvFromRef{.name = "m"}, .secret_ref = EnvFromRef{.name = "s"}},
       "expected exactly one, got both: " + here + "configMapRef, " + here + "secretRef"},
      {{.config_map_ref = EnvFromRef{}}, "missing field(s): " + here + "configMapRef.name"},
      {{.secret_ref = EnvFromRef{}}, "missing field(s): " + here + "secretRef.name"},
  };
  for (const auto& row : rows) EXPECT_EQ(errors_of(with({.env_from = {row.source}})), row.errors);
}

// ---------------------------------------------------------------------------- ports

TEST(PodPorts, NameProtocolAndRange) {
  const std::string here = "containers[0].ports[0].";
  const struct {
    ContainerPort port;
    std::string errors;
  } rows[] = {
      {{.container_port = 0}, ""},
      {{.name = "http1", .container_port = 65535, .protocol = "TCP"}, ""},
      {{.name = "h2c", .container_port = 8080}, ""},
      {{.container_port = -1}, "expected 0 <= -1 <= 65535: " + here + "containerPort"},
      {{.container_port = 65536}, "expected 0 <= 65536 <= 65535: " + here + "containerPort"},
      {{.container_port = 80, .protocol = "UDP"}, "invalid value: UDP: " + here + "protocol"},
      {{.container_port = 80, .host_port = 80, .host_ip = "::1"},
       "must not set the field(s): " + here + "hostIP, " + here + "hostPort"},
  };
  for (const auto& row : rows) EXPECT_EQ(errors_of(with({.ports = {row.port}})), row.errors);
}

TEST(PodPorts, ThePlatformsOwnAreReserved) {
  for (const std::int32_t port : {8008, 8012, 8013, 8022, 9090, 9091}) {
    EXPECT_EQ(errors_of(with({.ports = {{.container_port = port}}})),
              std::to_string(port) + " is a reserved port: containers[0].ports[0].containerPort");
  }
}

TEST(PodPorts, OneOfAllContainersIsEnough) {
  PodSpec pod = with({.ports = {{.container_port = 8080}, {.container_port = 8081}}});
  EXPECT_EQ(errors_of(pod),
            "more than one container port is set: containers[0].ports\n"
            "only a single port is allowed");
  pod.containers[0].ports.pop_back();
  pod.containers.push_back({.image = "b", .ports = {{.container_port = 8081}}});
  EXPECT_EQ(errors_of(pod),
            "more than one container port is set: containers.ports\n"
            "only a single port is allowed across all containers");
}

// ---------------------------------------------------------------------------- probes

TEST(PodProbes, HandlersAreComplete) {
  const std::string here = "containers[0].livenessProbe.";
  const struct {
    Probe probe;
    std::string errors;
  } rows[] = {
      {{.http_get = HttpGetAction{.port = 65535, .scheme = "HTTPS"}}, ""},
      {{.http_get = HttpGetAction{.port = 65536}},
       "expected 0 <= 65536 <= 65535: " + here + "httpGet.port"},
      {{.http_get = HttpGetAction{.scheme = "ftp"}},
       "invalid value: ftp: " + here + "httpGet.scheme"},
      {{.tcp_socket = TcpSocketAction{.port = -1}},
       "expected 0 <= -1 <= 65535: " + here + "tcpSocket.port"},
      {{.tcp_socket = TcpSocketAction{.port = "h2c"}}, ""},
      {{.tcp_socket = TcpSocketAction{.port = "http1"}},
       "probe port must match container port: " + here + "tcpSocket.port"},
      {{.exec = ExecAction{}}, "missing field(s): " + here + "exec.command"},
      {{.exec = ExecAction{{"true"}}}, ""},
      {{.grpc = GrpcAction{.port = 70000}}, "expected 0 <= 70000 <= 65535: " + here + "grpc.port"},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(errors_of(with({.ports = {{.name = "h2c"}}, .liveness_probe = row.probe})),
              row.errors);
  }
}

TEST(PodProbes, NumbersAreNotNegative) {
  const std::pair<std::int32_t Probe::*, std::string> numbers[] = {
      {&Probe::period_seconds, "periodSeconds"},
      {&Probe::initial_delay_seconds, "initialDelaySeconds"},
      {&Probe::success_threshold, "successThreshold"},
      {&Probe::failure_threshold, "failureThreshold"},
      {&Probe::timeout_seconds, "timeoutSeconds"}};
  for (const auto& [number, field] : numbers) {
    Probe probe{.tcp_socket = TcpSocketAction{}};
    probe.*number = -1;
    EXPECT_EQ(errors_of(with({.startup_probe = probe})),
              "expected 0 <= -1 <= 2147483647: containers[0].startupProbe." + field);
  }
}

TEST(PodProbes, OnlyReadinessIsAggressiveWithoutAPeriod) {
  const Probe probe{.tcp_socket = TcpSocketAction{}, .timeout_seconds = 1, .failure_threshold = 3};
  EXPECT_EQ(errors_of(with({.liveness_probe = probe})), "");
  EXPECT_EQ(errors_of(with({.readiness_probe = probe})),
            "must not set the field(s): containers[0].readinessProbe.failureThreshold, "
            "containers[0].readinessProbe.timeoutSeconds");
  Probe periodic = probe;
  periodic.period_seconds = 1;
  EXPECT_EQ(errors_of(with({.readiness_probe = periodic})), "");
}

TEST(PodProbes, SidecarsNeedAFeatureAndInitContainersHaveNone) {
  PodSpec pod = with({.ports = {{.container_port = 8080}}});
  pod.containers.push_back({.image = "b", .startup_probe = Probe{.exec = ExecAction{}}});
  const PodFeatures on{.multi_container_probing = true, .init_containers = true};
  EXPECT_EQ(errors_of(pod), "must not set the field(s): containers[1].startupProbe");
  EXPECT_EQ(errors_of(pod, on), "missing field(s): containers[1].startupProbe.exec.command");
  pod.containers.pop_back();
  pod.init_containers = {{.image = "c", .liveness_probe = Probe{}}};
  EXPECT_EQ(errors_of(pod, on), "must not set the field(s): initContainers[0].livenessProbe");
}

// ---------------------------------------------------------------------------- containers

TEST(PodContainers, NamesAreLabelsAndUniqueWithInitContainers) {
  EXPECT_EQ(errors_of(with({.name = "a.b"})),
            "invalid value: a.b: containers[0].name\n"
            "not a DNS 1123 label: use lower case letters, digits and '-', beginning and ending "
            "with a letter or digit");
  PodSpec pod = with({.name = "a"});
  pod.init_containers = {{.name = "a", .image = "c"}};
  EXPECT_EQ(errors_of(pod, {.init_containers = true}),
            "duplicate container name \"a\": initContainers[0].name");
}

TEST(PodContainers, SeveralNeedAFeature) {
  PodSpec pod = with({.ports = {{.container_port = 8080}}});
  pod.containers.push_back({.image = "b"});
  EXPECT_EQ(errors_of(pod, {.multi_container = false}),
            "multi-container is off, but found 2 containers: containers");
}

TEST(PodContainers, InitContainersNeedAFeatureAndHaveNoPort) {
  PodSpec pod = with({});
  pod.init_containers = {{.image = "c", .ports = {{.container_port = 8012}}}};
  EXPECT_EQ(errors_of(pod, {.init_containers = true}),
            "must not set the field(s): initContainers[0].ports");
  pod.init_containers[0].ports.clear();
  EXPECT_EQ(errors_of(pod), "must not set the field(s): initContainers");
}

TEST(PodContainers, NeverAllowedFieldsAreNamed) {
  const Value some = Value::Map{{"a", "b"}};
  EXPECT_EQ(errors_of(with({.lifecycle = Lifecycle{},
                            .stdin_open = true,
                            .stdin_once = true,
                            .volume_devices = some,
                            .resize_policy = some,
                            .restart_policy = "Always"})),
            "must not set the field(s): containers[0].lifecycle, containers[0].resizePolicy, "
            "containers[0].restartPolicy, containers[0].stdin, containers[0].stdinOnce, "
            "containers[0].volumeDevices");
}

TEST(PodContainers, PoliciesAreOfTheirList) {
  for (const char* pull : {"", "Always", "IfNotPresent", "Never"}) {
    EXPECT_EQ(errors_of(with({.image_pull_policy = pull})), "");
  }
  for (const char* message : {"", "File", "FallbackToLogsOnError"}) {
    EXPECT_EQ(errors_of(with({.termination_message_policy = message})), "");
  }
  EXPECT_EQ(
      errors_of(with({.image_pull_policy = "always", .termination_message_policy = "Syslog"})),
      "invalid value: Syslog: containers[0].terminationMessagePolicy\n"
      "invalid value: always: containers[0].imagePullPolicy");
}

TEST(PodContainers, AddedCapabilitiesNeedAFeature) {
  const auto add = [](std::vector<std::string> names) {
    return with({.security_context =
                     SecurityContext{.capabilities = Capabilities{std::move(names), {"ALL"}}}});
  };
  EXPECT_EQ(errors_of(add({"NET_BIND_SERVICE"})), "") << "a low port needs it";
  const std::string refused =
      "must not set the field(s): containers[0].securityContext.capabilities.add";
  EXPECT_EQ(errors_of(add({"SYS_TIME"})), refused);
  EXPECT_EQ(errors_of(add({"NET_BIND_SERVICE", "SYS_TIME", "SYS_ADMIN"})), refused);
  EXPECT_EQ(errors_of(add({"SYS_TIME"}), {.added_capabilities = true}), "");
}

TEST(PodContainers, UserAndGroupFitIn31Bits) {
  const std::int64_t id_max = 2147483647;
  EXPECT_EQ(errors_of(with(
                {.security_context = SecurityContext{.run_as_user = 0, .run_as_group = id_max}})),
            "");
  EXPECT_EQ(errors_of(with({.security_context =
                                SecurityContext{.run_as_user = -1, .run_as_group = id_max + 1}})),
            "expected 0 <= -1 <= 2147483647: containers[0].securityContext.runAsUser\n"
            "expected 0 <= 2147483648 <= 2147483647: containers[0].securityContext.runAsGroup");
}

TEST(PodContainers, QuantitiesAreNotNegative) {
  EXPECT_EQ(errors_of(with({.resources = {.limits = {{"memory", Quantity(-1)}},
                                          .requests = {{"cpu", Quantity::from_milli(-500)}}}})),
            "invalid value: -1: containers[0].resources.limits[memory]\n"
            "invalid value: -500m: containers[0].resources.requests[cpu]");
}

// ---------------------------------------------------------------------------- pods

TEST(PodFields, AccountAndToken) {
  PodSpec pod = with({});
  pod.service_account_name = "robot.example";
  pod.automount_service_account_token = false;
  EXPECT_EQ(errors_of(pod), "");
  pod.service_account_name = "Robot";
  pod.automount_service_account_token = true;
  EXPECT_EQ(errors_of(pod),
            "invalid value: Robot: serviceAccountName\n"
            "not a DNS 1123 subdomain: use labels of lower case letters, digits and '-', each "
            "beginning and ending with a letter or digit, separated by '.'\n"
            "invalid value: true: automountServiceAccountToken");
}

TEST(PodFields, SecretsForImagesHaveNames) {
  PodSpec pod = with({});
  pod.image_pull_secrets = {{"right.one"}, {""}, {"Wrong"}};
  const std::string errors = errors_of(pod);
  EXPECT_NE(errors.find("missing field(s): imagePullSecrets[1].name"), errors.npos) << errors;
  EXPECT_NE(errors.find("invalid value: Wrong: imagePullSecrets[2].name"), errors.npos) << errors;
  EXPECT_EQ(errors.find("imagePullSecrets[0]"), errors.npos) << errors;
}

TEST(PodFields, SomeNeedAFeatureAndSomeAreNeverAllowed) {
  const Value some = Value::List{Value("x")};
  PodSpec pod = with({});
  pod.node_selector = {{"a", "b"}};
  pod.affinity = pod.tolerations = pod.topology_spread_constraints = some;
  pod.host_aliases = pod.dns_config = pod.security_context = some;
  pod.runtime_class_name = pod.priority_class_name = pod.scheduler_name = pod.dns_policy = "x";
  pod.share_process_namespace = pod.host_network = pod.host_pid = pod.host_ipc = true;
  EXPECT_EQ(errors_of(pod),
            "must not set the field(s): affinity, dnsConfig, dnsPolicy, hostAliases, hostIPC, "
            "hostNetwork, hostPID, nodeSelector, priorityClassName, runtimeClassName, "
            "schedulerName, securityContext, shareProcessNamespace, tolerations, "
            "topologySpreadConstraints");
  const PodFeatures on{
      .scheduling = true, .security_context = true, .dns = true, .host_namespaces = true};
  EXPECT_EQ(errors_of(pod, on), "");
  pod.restart_policy = pod.node_name = pod.hostname = pod.subdomain = "x";
  pod.termination_grace_period_seconds = pod.active_deadline_seconds = 1;
  EXPECT_EQ(errors_of(pod, on),
            "must not set the field(s): activeDeadlineSeconds, hostname, nodeName, restartPolicy, "
            "subdomain, terminationGracePeriodSeconds");
}

}  // namespace
}  // namespace knative::core
