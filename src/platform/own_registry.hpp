// The platform as a registry of this machine.
#pragma once

#include <cstdint>
#include <functional>

#include "knative/extension.hpp"
#include "knative/platform_options.hpp"

namespace knative {

/// Tells the port at which the platform's own registry answers; 0: there is none, or not yet. See
/// `registry::plain_name`.
inline std::function<std::uint16_t()> own_registry_port(Installer& into) {
  if (!into.options().registry) return [] { return std::uint16_t{0}; };
  return [&addresses = into.addresses()] { return addresses.port(); };
}

}  // namespace knative
