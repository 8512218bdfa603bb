#include "model/pod_validation.hpp"

#include <gtest/gtest.h>

#include "model/pod_rules.hpp"

namespace knative::core {
namespace {

// ---------------------------------------------------------------------------- mounts

TEST(PodMounts, NameAndPathAreNeeded) {
  EXPECT_EQ(errors_of(with({.volume_mounts = {{}}})),
            "missing field(s): containers[0].volumeMounts[0].mountPath, "
            "containers[0].volumeMounts[0].name");
}

TEST(PodMounts, ReservedPathsAreReservedInAnySpelling) {
  const std::pair<std::string, std::string> rows[] = {
      {"/", "/"}, {"/..", "/"}, {"/a/..", "/"}, {"/./dev", "/dev"}, {"//dev//log/", "/dev/log"}};
  for (const auto& [path, clean] : rows) {
    PodSpec pod = with({.volume_mounts = {{.name = "v", .mount_path = path}}});
    pod.volumes = {{.name = "v", .empty_dir = EmptyDirVolumeSource{}}};
    EXPECT_EQ(errors_of(pod), "mountPath \"" + clean +
                                  "\" is a reserved path: containers[0].volumeMounts[0].mountPath");
    pod.containers[0].volume_mounts[0].mount_path = path + "/tmp";
    EXPECT_EQ(errors_of(pod), "") << "below it is free";
  }
}

TEST(PodMounts, PropagationNeedsAFeatureAndSubPathExprIsNeverAllowed) {
  PodSpec pod = with({.volume_mounts = {{.name = "v",
                                         .mount_path = "/v",
                                         .sub_path = "s",
                                         .sub_path_expr = "$(A)",
                                         .mount_propagation = "HostToContainer"}}});
  pod.volumes = {{.name = "v", .empty_dir = EmptyDirVolumeSource{}}};
  EXPECT_EQ(errors_of(pod),
            "must not set the field(s): containers[0].volumeMounts[0].mountPropagation, "
            "containers[0].volumeMounts[0].subPathExpr");
  EXPECT_EQ(errors_of(pod, {.mount_propagation = true}),
            "must not set the field(s): containers[0].volumeMounts[0].subPathExpr");
}

TEST(PodMounts, ClaimsAreWrittenOnlyWithAFeature) {
  PodSpec pod = with({.volume_mounts = {{.name = "v", .mount_path = "/v"}}});
  pod.volumes = {
      {.name = "v", .persistent_volume_claim = PersistentVolumeClaimVolumeSource{"disk"}}};
  PodFeatures features{.persistent_volume_claim = true};
  EXPECT_EQ(errors_of(pod, features),
            "volume mount should be readOnly for this type of volume: "
            "containers[0].volumeMounts[0].readOnly");
  features.persistent_volume_write = true;
  EXPECT_EQ(errors_of(pod, features), "");
}

TEST(PodMounts, InitContainersMountToo) {
  PodSpec pod = with({});
  pod.init_containers = {{.image = "c", .volume_mounts = {{.name = "v", .mount_path = "/v"}}}};
  pod.volumes = {{.name = "v", .empty_dir = EmptyDirVolumeSource{}}};
  EXPECT_EQ(errors_of(pod, {.init_containers = true}), "");
}

// ---------------------------------------------------------------------------- volumes

std::string errors_of(Volume volume, const PodFeatures& features = {}) {
  PodSpec pod = with({});
  if (!volume.name.empty()) {
    pod.containers[0].volume_mounts = {
        {.name = volume.name, .mount_path = "/v", .read_only = true}};
  }
  pod.volumes = {std::move(volume)};
  return errors_of(pod, features);
}

TEST(PodVolumes, HaveALabelForAName) {
  EXPECT_EQ(errors_of(Volume{.empty_dir = EmptyDirVolumeSource{}}),
            "missing field(s): volumes[0].name");
  EXPECT_EQ(errors_of(Volume{.name = "My_Volume", .empty_dir = EmptyDirVolumeSource{}}),
            "invalid value: My_Volume: volumes[0].name\n"
            "not a DNS 1123 label: use lower case letters, digits and '-', beginning and ending "
            "with a letter or digit");
}

TEST(PodVolumes, NamesAreUnique) {
  PodSpec pod = with({.volume_mounts = {{.name = "v", .mount_path = "/v", .read_only = true}}});
  const Volume volume{.name = "v", .secret = SecretVolumeSource{.secret_name = "s"}};
  pod.volumes = {volume, volume};
  EXPECT_EQ(errors_of(pod), "duplicate volume name \"v\": volumes[1].name");
}

TEST(PodVolumes, HaveExactlyOneSource) {
  EXPECT_EQ(errors_of(Volume{.name = "v"}),
            "expected exactly one, got neither: volumes[0].configMap, volumes[0].emptyDir, "
            "volumes[0].projected, volumes[0].secret");
  EXPECT_EQ(errors_of(Volume{.name = "v",
                             .secret = SecretVolumeSource{.secret_name = "s"},
                             .projected = ProjectedVolumeSource{},
                             .empty_dir = EmptyDirVolumeSource{}}),
            "expected exactly one, got both: volumes[0].emptyDir, volumes[0].projected, "
            "volumes[0].secret");
}

TEST(PodVolumes, SomeSourcesNeedAFeature) {
  const Value some = Value::Map{{"a", "b"}};
  const struct {
    Volume volume;
    bool PodFeatures::*feature;
    std::string field;
  } rows[] = {
      {{.name = "v", .empty_dir = EmptyDirVolumeSource{}}, &PodFeatures::empty_dir, "emptyDir"},
      {{.name = "v", .persistent_volume_claim = PersistentVolumeClaimVolumeSource{"c"}},
       &PodFeatures::persistent_volume_claim,
       "persistentVolumeClaim"},
      {{.name = "v", .host_path = HostPathVolumeSource{"/"}}, &PodFeatures::host_path, "hostPath"},
      {{.name = "v", .csi = some}, &PodFeatures::csi, "csi"},
      {{.name = "v", .ephemeral = some}, &PodFeatures::ephemeral, "ephemeral"},
      {{.name = "v", .image = some}, &PodFeatures::image_volume, "image"},
  };
  for (const auto& row : rows) {
    PodFeatures features;
    features.*row.feature = false;
    EXPECT_EQ(errors_of(row.volume, features),
              "must not set the field(s): volumes[0]." + row.field);
    features.*row.feature = true;
    EXPECT_EQ(errors_of(row.volume, features), "") << row.field;
  }
}

TEST(PodVolumes, SecretsAndConfigMapsHaveNamesAndWholeItems) {
  EXPECT_EQ(errors_of(Volume{.name = "v", .secret = SecretVolumeSource{.items = {{}}}}),
            "missing field(s): volumes[0].secret.items[0].key, volumes[0].secret.items[0].path, "
            "volumes[0].secret.secretName");
  EXPECT_EQ(
      errors_of(Volume{
          .name = "v",
          .config_map = ConfigMapVolumeSource{.items = {{.key = "k", .path = "p"}, {.key = "k"}}}}),
      "missing field(s): volumes[0].configMap.items[1].path, volumes[0].configMap.name");
  EXPECT_EQ(errors_of(Volume{.name = "v", .config_map = ConfigMapVolumeSource{.name = "m"}}), "");
}

TEST(PodVolumes, FilesStayInTheirVolumeAndHaveModesOfPermissions) {
  const auto secret = [](KeyToPath item, std::optional<std::int32_t> mode) {
    return Volume{.name = "v",
                  .secret = SecretVolumeSource{
                      .secret_name = "s", .items = {std::move(item)}, .default_mode = mode}};
  };
  const std::string octal = "\nmust be a number between 0 and 0777 (octal), both inclusive";
  EXPECT_EQ(errors_of(secret({"k", "a/..b", 0777}, 0)), "");
  EXPECT_EQ(errors_of(secret({"k", "../k", {}}, 01777)),
            "invalid value: ../k: volumes[0].secret.items[0].path\nmust not contain '..'\n"
            "invalid value: 1023: volumes[0].secret.defaultMode" +
                octal);
  EXPECT_EQ(
      errors_of(secret({"k", "/etc/k", -1}, {})),
      "invalid value: -1: volumes[0].secret.items[0].mode" + octal +
          "\ninvalid value: /etc/k: volumes[0].secret.items[0].path\nmust be a relative path");
  EXPECT_EQ(errors_of(secret({"k", "..k", {}}, {})),
            "invalid value: ..k: volumes[0].secret.items[0].path\nmust not start with '..'");
  const NamedProjection named{.name = "n", .items = {{.key = "k", .path = "a/../../k"}}};
  EXPECT_EQ(errors_of(Volume{.name = "v",
                             .projected = ProjectedVolumeSource{.sources = {{.config_map = named}},
                                                                .default_mode = 512}}),
            "invalid value: 512: volumes[0].projected.defaultMode" + octal +
                "\ninvalid value: a/../../k: "
                "volumes[0].projected.sources[0].configMap.items[0].path\nmust not contain '..'");
}

TEST(PodVolumes, ProjectionsHaveExactlyOneSource) {
  const std::string here = "volumes[0].projected.sources[0].";
  const NamedProjection named{.name = "n", .items = {{.key = "k", .path = "p"}}};
  const struct {
    VolumeProjection projection;
    std::string errors;
  } rows[] = {
      {{.secret = named}, ""},
      {{.config_map = named}, ""},
      {{.service_account_token = ServiceAccountTokenProjection{.path = "token"}}, ""},
      {{.downward_api = DownwardApiProjection{}}, ""},
      {{},
       "expected exactly one, got neither: " + here + "configMap, " + here + "secret, " + here +
           "serviceAccountToken"},
      {{.secret = named, .config_map = named},
       "expected exactly one, got both: " + here + "configMap, " + here + "secret"},
      {{.secret = NamedProjection{.items = {{.path = "p"}}}},
       "missing field(s): " + here + "secret.items[0].key, " + here + "secret.name"},
      {{.config_map = NamedProjection{}}, "missing field(s): " + here + "configMap.name"},
      {{.service_account_token = ServiceAccountTokenProjection{}},
       "missing field(s): " + here + "serviceAccountToken.path"},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(errors_of(Volume{.name = "v",
                               .projected = ProjectedVolumeSource{.sources = {row.projection}}}),
              row.errors);
  }
}

}  // namespace
}  // namespace knative::core
