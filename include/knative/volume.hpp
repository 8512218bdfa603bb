/// \file
/// Volumes as Kubernetes core/v1 defines them, as far as Build and Serving read them; part of
/// pod.hpp.
///
/// Plain aggregates whose members follow the JSON names. Which kinds of volumes a container can
/// have is its runtime's to say.
///
/// \code
/// knative::core::Volume scratch{.name = "scratch",
///                               .empty_dir = knative::core::EmptyDirVolumeSource{}};
/// \endcode
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "knative/scalars.hpp"
#include "knative/value.hpp"

namespace knative::core {

/// A key and the file it becomes.
struct KeyToPath {
  std::string key = {};
  std::string path = {};
  std::optional<std::int32_t> mode = {};
  friend bool operator==(const KeyToPath&, const KeyToPath&) = default;
};

/// A Secret as files.
struct SecretVolumeSource {
  std::string secret_name = {};
  std::vector<KeyToPath> items = {};
  std::optional<std::int32_t> default_mode = {};
  std::optional<bool> optional = {};
  friend bool operator==(const SecretVolumeSource&, const SecretVolumeSource&) = default;
};

/// A ConfigMap as files.
struct ConfigMapVolumeSource {
  std::string name = {};
  std::vector<KeyToPath> items = {};
  std::optional<std::int32_t> default_mode = {};
  std::optional<bool> optional = {};
  friend bool operator==(const ConfigMapVolumeSource&, const ConfigMapVolumeSource&) = default;
};

/// A field of the object itself (downward API).
struct FieldSelector {
  std::string api_version = {};
  std::string field_path = {};
  friend bool operator==(const FieldSelector&, const FieldSelector&) = default;
};

/// A field of the object itself as a file.
struct DownwardApiFile {
  std::string path = {};
  std::optional<FieldSelector> field_ref = {};
  Value resource_field_ref = {};
  std::optional<std::int32_t> mode = {};
  friend bool operator==(const DownwardApiFile&, const DownwardApiFile&) = default;
};

/// Fields of the object itself as files.
struct DownwardApiVolumeSource {
  std::vector<DownwardApiFile> items = {};
  std::optional<std::int32_t> default_mode = {};
  friend bool operator==(const DownwardApiVolumeSource&, const DownwardApiVolumeSource&) = default;
};

/// The same inside a projected volume.
struct DownwardApiProjection {
  std::vector<DownwardApiFile> items = {};
  friend bool operator==(const DownwardApiProjection&, const DownwardApiProjection&) = default;
};

/// A Secret or ConfigMap inside a projected volume.
struct NamedProjection {
  std::string name = {};
  std::vector<KeyToPath> items = {};
  std::optional<bool> optional = {};
  friend bool operator==(const NamedProjection&, const NamedProjection&) = default;
};

/// A token of the service account as a file.
struct ServiceAccountTokenProjection {
  std::string audience = {};
  std::optional<std::int64_t> expiration_seconds = {};
  std::string path = {};
  friend bool operator==(const ServiceAccountTokenProjection&,
                         const ServiceAccountTokenProjection&) = default;
};

/// One source of a projected volume; exactly one is set.
struct VolumeProjection {
  std::optional<NamedProjection> secret = {};
  std::optional<NamedProjection> config_map = {};
  std::optional<ServiceAccountTokenProjection> service_account_token = {};
  std::optional<DownwardApiProjection> downward_api = {};
  friend bool operator==(const VolumeProjection&, const VolumeProjection&) = default;
};

/// Several sources in one directory.
struct ProjectedVolumeSource {
  std::vector<VolumeProjection> sources = {};
  std::optional<std::int32_t> default_mode = {};
  friend bool operator==(const ProjectedVolumeSource&, const ProjectedVolumeSource&) = default;
};

/// A directory that lives as long as the pod.
struct EmptyDirVolumeSource {
  std::string medium = {};
  std::optional<Quantity> size_limit = {};
  bool in_memory() const noexcept { return medium == "Memory"; }
  /// `size_limit` in bytes; 0: no limit.
  std::uint64_t bytes_max() const noexcept {
    const std::int64_t most = size_limit ? size_limit->value() : 0;
    return most > 0 ? static_cast<std::uint64_t>(most) : 0;
  }
  friend bool operator==(const EmptyDirVolumeSource&, const EmptyDirVolumeSource&) = default;
};

/// Storage that outlives the pod.
struct PersistentVolumeClaimVolumeSource {
  std::string claim_name = {};
  bool read_only = false;
  friend bool operator==(const PersistentVolumeClaimVolumeSource&,
                         const PersistentVolumeClaimVolumeSource&) = default;
};

/// A directory of the host.
struct HostPathVolumeSource {
  std::string path = {};
  std::string type = {};
  friend bool operator==(const HostPathVolumeSource&, const HostPathVolumeSource&) = default;
};

/// A git repository, checked out when the pod starts.
struct GitRepoVolumeSource {
  std::string repository = {};
  std::string revision = {};
  std::string directory =
      {};  ///< In the volume; empty: named after the repository. "." is the volume.
  friend bool operator==(const GitRepoVolumeSource&, const GitRepoVolumeSource&) = default;
};

/// A named volume; at most one source is set (none: an emptyDir).
struct Volume {
  std::string name = {};
  std::optional<SecretVolumeSource> secret = {};
  std::optional<ConfigMapVolumeSource> config_map = {};
  std::optional<ProjectedVolumeSource> projected = {};
  std::optional<EmptyDirVolumeSource> empty_dir = {};
  std::optional<PersistentVolumeClaimVolumeSource> persistent_volume_claim = {};
  std::optional<HostPathVolumeSource> host_path = {};
  Value csi = {};
  Value ephemeral = {};
  Value image = {};
  std::optional<DownwardApiVolumeSource> downward_api = {};
  std::optional<GitRepoVolumeSource> git_repo = {};
  friend bool operator==(const Volume&, const Volume&) = default;
};

}  // namespace knative::core
