// Where images lie: the host of a name, and the path in it.
#pragma once

#include <string>
#include <string_view>

#include "knative/oci_image.hpp"

namespace knative::oci {

// The registry of names that have none, as credentials and options call it.
inline constexpr std::string_view default_registry_name =
    "docker"
    ".io";
// Where it is reached.
inline constexpr std::string_view default_registry_host =
    "registry-1.docker"
    ".io";
// What credential helpers know it by.
inline constexpr std::string_view default_registry_url =
    "https://index.docker"
    ".io/v1/";

// One name for all names of the default registry; letters are made small.
std::string canonical_registry(std::string_view host);

// The registry of a name ("host[:port]"), canonical, and the repository in it ("library/busybox").
struct RegistryPlace {
  std::string host;
  std::string repository;
};
RegistryPlace place_of(const Reference& name);

}  // namespace knative::oci
