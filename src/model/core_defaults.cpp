#include "knative/core.hpp"

namespace knative::core {

void apply_defaults(Secret& secret) {
  for (auto& [key, value] : secret.string_data) secret.data[key] = Bytes(value);
  secret.string_data.clear();
  if (secret.type.empty()) secret.type = "Opaque";
}

void apply_defaults(Service& service) {
  ServiceSpec& spec = service.spec;
  if (spec.type.empty()) spec.type = "ClusterIP";
  if (spec.session_affinity.empty()) spec.session_affinity = "None";
  for (ServicePort& port : spec.ports) {
    if (port.protocol.empty()) port.protocol = "TCP";
    const bool named_nothing = port.target_port.is_string() && port.target_port.name().empty();
    if (port.target_port.is_zero() || named_nothing) port.target_port = IntOrString(port.port);
  }
}

}  // namespace knative::core
