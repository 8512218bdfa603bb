#include "knative/pod.hpp"

#include <gtest/gtest.h>

#include "model/pod_rules.hpp"

namespace knative::core {
namespace {

TEST(RevisionPod, AcceptsFunctionsTagsAndDigests) {
  for (const char* image : {"fn:hello", "gcc:12", "registry.example.org:5000/a/b",
                            "a/b@sha256:"
                            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}) {
    EXPECT_EQ(errors_of(with({.image = image})), "") << image;
  }
}

TEST(RevisionPod, NeedsAContainerWithAnImage) {
  EXPECT_EQ(errors_of(PodSpec{}), "missing field(s): containers");
  EXPECT_EQ(errors_of(PodSpec{.containers = {{.name = "a"}}}),
            "missing field(s): containers[0].image");
  EXPECT_EQ(validate_revision_pod(with({.image = "Bad Image"})).begin()->message,
            "invalid value: Bad Image");
}

TEST(RevisionPod, TellsAllAtOnce) {
  PodSpec pod = with({.name = "queue-proxy",
                      .env = {{.name = "PORT"}, {.name = "1x"}, {}},
                      .env_from = {{}},
                      .ports = {{.name = "web", .container_port = 8012, .host_port = 1}},
                      .tty = true});
  pod.hostname = "h";
  EXPECT_EQ(errors_of(pod),
            "\"PORT\" is a reserved environment variable: containers[0].env[0].name\n"
            "\"queue-proxy\" is a reserved container name: containers[0].name\n"
            "8012 is a reserved port: containers[0].ports[0].containerPort\n"
            "expected exactly one, got neither: containers[0].envFrom[0].configMapRef, "
            "containers[0].envFrom[0].secretRef\n"
            "invalid value: 1x: containers[0].env[1].name\n"
            "must be letters, digits, '-', '_' and '.', not beginning with a digit\n"
            "missing field(s): containers[0].env[2].name\n"
            "must not set the field(s): containers[0].ports[0].hostPort, containers[0].tty, "
            "hostname\n"
            "port name web is not allowed: containers[0].ports[0].name\n"
            "the name must be empty, http1 or h2c");
}

TEST(RevisionPod, ExactlyOneContainerOfSeveralHasAPort) {
  PodSpec pod{.containers = {{.name = "a", .image = "a"}, {.name = "a", .image = "b"}}};
  EXPECT_EQ(errors_of(pod),
            "duplicate container name \"a\": containers[1].name\n"
            "missing field(s): containers.ports");
  pod.containers[1].name = "b";
  pod.containers[1].ports = {{.container_port = 8080}};
  EXPECT_EQ(errors_of(pod), "");
  EXPECT_EQ(serving_container(pod), 1U);
  pod.containers[0].env = {{.name = "PORT", .value = "1"}};
  EXPECT_EQ(errors_of(pod), "") << "a sidecar may set PORT";
  pod.containers[0].readiness_probe = Probe{.tcp_socket = TcpSocketAction{}};
  EXPECT_EQ(errors_of(pod), "must not set the field(s): containers[0].readinessProbe");
}

TEST(RevisionPod, ProbesHaveOneHandlerAndAggressiveOnesNoThreshold) {
  EXPECT_EQ(errors_of(with({.readiness_probe = Probe{.failure_threshold = 3}})),
            "expected exactly one, got neither: containers[0].readinessProbe.exec, "
            "containers[0].readinessProbe.grpc, containers[0].readinessProbe.httpGet, "
            "containers[0].readinessProbe.tcpSocket\n"
            "must not set the field(s): containers[0].readinessProbe.failureThreshold");
  EXPECT_EQ(errors_of(with({.liveness_probe = Probe{.http_get = HttpGetAction{.port = "web"},
                                                    .exec = ExecAction{{"x"}}}})),
            "expected exactly one, got both: containers[0].livenessProbe.exec, "
            "containers[0].livenessProbe.httpGet\n"
            "probe port must match container port: containers[0].livenessProbe.httpGet.port");
}

TEST(RevisionPod, MountsAndVolumesMatch) {
  PodSpec pod = with({.volume_mounts = {{.name = "s", .mount_path = "/dev//", .read_only = true},
                                        {.name = "s", .mount_path = "/x/../y"},
                                        {.name = "s", .mount_path = "/y/", .read_only = true},
                                        {.name = "gone", .mount_path = "rel"}}});
  pod.volumes = {{.name = "s", .secret = SecretVolumeSource{.secret_name = "s"}},
                 {.name = "h", .host_path = HostPathVolumeSource{.path = "/"}}};
  EXPECT_EQ(errors_of(pod),
            "invalid value: rel: containers[0].volumeMounts[3].mountPath\n"
            "mountPath \"/dev\" is a reserved path: containers[0].volumeMounts[0].mountPath\n"
            "mountPath \"/y\" must be unique: containers[0].volumeMounts[2].mountPath\n"
            "must not set the field(s): volumes[1].hostPath\n"
            "volume mount should be readOnly for this type of volume: "
            "containers[0].volumeMounts[1].readOnly\n"
            "volume with name \"h\" not mounted: volumes[1].name\n"
            "volumeMount has no matching volume: containers[0].volumeMounts[3].name");
}

TEST(RevisionPod, WrongVolumesAndPathsInThemAreRefusedByField) {
  PodSpec pod =
      with({.volume_mounts = {
                {.name = "a", .mount_path = "/a", .sub_path = "../x"},
                {.name = "b", .mount_path = "/b", .read_only = true, .sub_path = "/x"},
                {.name = "c", .mount_path = "/c", .read_only = true, .sub_path = "x/..y"}}});
  pod.volumes = {
      {.name = "a",
       .empty_dir = EmptyDirVolumeSource{.medium = "Disk", .size_limit = Quantity(-1)}},
      {.name = "b", .persistent_volume_claim = PersistentVolumeClaimVolumeSource{}},
      {.name = "c",
       .persistent_volume_claim = PersistentVolumeClaimVolumeSource{.claim_name = "../../etc"}}};
  const std::string errors = errors_of(pod);
  for (const char* field :
       {"invalid value: ../x: containers[0].volumeMounts[0].subPath\nmust not contain '..'",
        "invalid value: /x: containers[0].volumeMounts[1].subPath\nmust be a relative path",
        "invalid value: Disk: volumes[0].emptyDir.medium",
        "invalid value: -1: volumes[0].emptyDir.sizeLimit",
        "missing field(s): volumes[1].persistentVolumeClaim.claimName",
        "invalid value: ../../etc: volumes[2].persistentVolumeClaim.claimName"}) {
    EXPECT_NE(errors.find(field), std::string::npos) << field << " is not in:\n" << errors;
  }
  EXPECT_EQ(errors.find("volumeMounts[2].subPath"), std::string::npos) << errors;
}

TEST(RevisionPod, SecurityContextAndResourcesAreBounded) {
  EXPECT_EQ(
      errors_of(
          with({.resources = {.limits = {{"cpu", Quantity(1)}}, .requests = {{"cpu", Quantity(2)}}},
                .security_context = SecurityContext{.run_as_user = -1, .privileged = true}})),
      "expected 0 <= -1 <= 2147483647: containers[0].securityContext.runAsUser\n"
      "invalid value: 2: containers[0].resources.requests[cpu]\n"
      "must be no more than the limit of 1\n"
      "must not set the field(s): containers[0].securityContext.privileged");
}

}  // namespace
}  // namespace knative::core
