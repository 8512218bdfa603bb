/// \file
/// The statuses of Service, Configuration, Revision and Route, and the traffic targets in them;
/// part of serving.hpp.
///
/// Plain values for reading; the platform writes them. Fields carry the names of
/// serving.knative.dev/v1 in snake_case.
///
/// \code
/// for (const auto& target : route.status.traffic) std::puts(target.revision_name.c_str());
/// \endcode
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "knative/meta.hpp"

namespace knative::serving {

/// One entry of a traffic split.
struct TrafficTarget {
  std::string revision_name = {};
  std::string configuration_name = {};       ///< Only in a Route.
  std::optional<bool> latest_revision = {};  ///< Defaults to `revision_name.empty()`.
  std::optional<std::int64_t> percent = {};  ///< 0..100; all together 100.
  std::string tag = {};                      ///< Gives the target a host of its own.
  std::string url = {};                      ///< Status only.
  friend bool operator==(const TrafficTarget&, const TrafficTarget&) = default;
};

/// Where something can be reached.
struct Addressable {
  std::string url = {};
  friend bool operator==(const Addressable&, const Addressable&) = default;
};

/// The digest that a container's image was resolved to.
struct ContainerStatus {
  std::string name = {};
  std::string image_digest = {};  ///< "repository@sha256:..."
  friend bool operator==(const ContainerStatus&, const ContainerStatus&) = default;
};

/// Conditions ResourcesAvailable and ContainerHealthy make Ready; Active only informs.
struct RevisionStatus {
  std::int64_t observed_generation = 0;
  Conditions conditions = {};
  StringMap annotations = {};
  std::string log_url = {};
  std::vector<ContainerStatus> container_statuses = {};
  std::vector<ContainerStatus> init_container_statuses = {};
  std::optional<std::int32_t> actual_replicas = {};
  std::optional<std::int32_t> desired_replicas = {};
  friend bool operator==(const RevisionStatus&, const RevisionStatus&) = default;
};

/// Ready alone.
struct ConfigurationStatus {
  std::int64_t observed_generation = 0;
  Conditions conditions = {};
  StringMap annotations = {};
  std::string latest_created_revision_name = {};
  std::string latest_ready_revision_name = {};
  friend bool operator==(const ConfigurationStatus&, const ConfigurationStatus&) = default;
};

/// AllTrafficAssigned, IngressReady and CertificateProvisioned make Ready.
struct RouteStatus {
  std::int64_t observed_generation = 0;
  Conditions conditions = {};
  StringMap annotations = {};
  std::string url = {};
  std::optional<Addressable> address = {};
  std::vector<TrafficTarget> traffic = {};  ///< Resolved: every target names a Revision.
  friend bool operator==(const RouteStatus&, const RouteStatus&) = default;
};

/// ConfigurationsReady and RoutesReady make Ready.
struct ServiceStatus {
  std::int64_t observed_generation = 0;
  Conditions conditions = {};
  StringMap annotations = {};
  std::string url = {};
  std::optional<Addressable> address = {};
  std::vector<TrafficTarget> traffic = {};
  std::string latest_created_revision_name = {};
  std::string latest_ready_revision_name = {};
  friend bool operator==(const ServiceStatus&, const ServiceStatus&) = default;
};

}  // namespace knative::serving
