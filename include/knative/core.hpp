/// \file
/// The Kubernetes core/v1 kinds that Build, Serving and Eventing use: Namespace, Secret, ConfigMap,
/// ServiceAccount and Service.
///
/// Plain aggregates whose members follow the JSON names; see pod.hpp for containers.
///
/// \code
/// knative::core::Secret secret{.metadata = {.name = "git"}, .type = "kubernetes.io/basic-auth",
///                              .string_data = {{"username", "ada"}, {"password", "x"}}};
/// \endcode
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "knative/meta.hpp"
#include "knative/object.hpp"
#include "knative/pod.hpp"

namespace knative::core {

/// Whether it is "Active" or "Terminating".
struct NamespaceStatus {
  std::string phase = {};
  friend bool operator==(const NamespaceStatus&, const NamespaceStatus&) = default;
};

/// What keeps it from being removed.
struct NamespaceSpec {
  std::vector<std::string> finalizers = {};
  friend bool operator==(const NamespaceSpec&, const NamespaceSpec&) = default;
};

/// A scope of names.
struct Namespace {
  static constexpr std::string_view api_version = "v1";
  static constexpr std::string_view kind = "Namespace";
  ObjectMeta metadata = {};
  NamespaceSpec spec = {};
  NamespaceStatus status = {};
  friend bool operator==(const Namespace&, const Namespace&) = default;
};

/// Confidential data. `string_data` is write-only convenience: defaulting moves it into `data`.
struct Secret {
  static constexpr std::string_view api_version = "v1";
  static constexpr std::string_view kind = "Secret";
  ObjectMeta metadata = {};
  std::string type = {};  ///< Defaulted to "Opaque".
  std::map<std::string, Bytes, std::less<>> data = {};
  StringMap string_data = {};
  std::optional<bool> immutable = {};
  friend bool operator==(const Secret&, const Secret&) = default;
};

/// Settings that are no secret.
struct ConfigMap {
  static constexpr std::string_view api_version = "v1";
  static constexpr std::string_view kind = "ConfigMap";
  ObjectMeta metadata = {};
  StringMap data = {};
  std::map<std::string, Bytes, std::less<>> binary_data = {};
  std::optional<bool> immutable = {};
  friend bool operator==(const ConfigMap&, const ConfigMap&) = default;
};

/// A Secret that an identity may use.
struct SecretReference {
  std::string name = {};
  std::string namespace_ = {};
  friend bool operator==(const SecretReference&, const SecretReference&) = default;
};

/// An identity with the secrets it may use.
struct ServiceAccount {
  static constexpr std::string_view api_version = "v1";
  static constexpr std::string_view kind = "ServiceAccount";
  ObjectMeta metadata = {};
  std::vector<SecretReference> secrets = {};
  std::vector<LocalObjectReference> image_pull_secrets = {};
  std::optional<bool> automount_service_account_token = {};
  friend bool operator==(const ServiceAccount&, const ServiceAccount&) = default;
};

/// A port of a Service and where it leads.
struct ServicePort {
  std::string name = {};
  std::string protocol = {};  ///< Defaulted to "TCP".
  std::optional<std::string> app_protocol = {};
  std::int32_t port = 0;
  IntOrString target_port = {};  ///< Defaulted to `port`.
  std::int32_t node_port = 0;
  friend bool operator==(const ServicePort&, const ServicePort&) = default;
};

/// Which pods a Service leads to.
struct ServiceSpec {
  std::string type = {};  ///< Defaulted to "ClusterIP".
  std::string cluster_ip = {};
  std::vector<ServicePort> ports = {};
  StringMap selector = {};
  std::string external_name = {};
  std::string session_affinity = {};
  std::vector<std::string> cluster_ips = {};
  std::string external_traffic_policy = {};
  std::string internal_traffic_policy = {};
  std::string ip_family_policy = {};
  std::vector<std::string> ip_families = {};
  friend bool operator==(const ServiceSpec&, const ServiceSpec&) = default;
};

/// A network name in a namespace (not a Knative Service, see serving.hpp).
struct Service {
  static constexpr std::string_view api_version = "v1";
  static constexpr std::string_view kind = "Service";
  ObjectMeta metadata = {};
  ServiceSpec spec = {};
  Value status = {};
  friend bool operator==(const Service&, const Service&) = default;
};

/// Fill in what Kubernetes fills in: string_data into data, types, protocols, target ports.
KNATIVE_EXPORT void apply_defaults(Secret& secret);
KNATIVE_EXPORT void apply_defaults(Service& service);
/// Everything that is wrong, metadata apart.
KNATIVE_EXPORT FieldErrors validate(const Secret& secret);
KNATIVE_EXPORT FieldErrors validate(const ConfigMap& config_map);
KNATIVE_EXPORT FieldErrors validate(const ServiceAccount& account);
KNATIVE_EXPORT FieldErrors validate(const Service& service);
/// What may not change: the type of a Secret, and anything once `immutable` is set.
KNATIVE_EXPORT FieldErrors validate_update(const Secret& newer, const Secret& old);
KNATIVE_EXPORT FieldErrors validate_update(const ConfigMap& newer, const ConfigMap& old);

/// Their rows in the registry of kinds.
KNATIVE_EXPORT const KindInfo& kind_info(const Namespace*);
KNATIVE_EXPORT const KindInfo& kind_info(const Secret*);
KNATIVE_EXPORT const KindInfo& kind_info(const ConfigMap*);
KNATIVE_EXPORT const KindInfo& kind_info(const ServiceAccount*);
KNATIVE_EXPORT const KindInfo& kind_info(const Service*);

}  // namespace knative::core
