// Names of event logs and of the hosts at which they take events.
#pragma once

#include <string>
#include <string_view>

#include "knative/meta.hpp"

namespace knative::control {

/// "broker/default/orders" or "channel/default/orders": who takes events under this name now.
inline std::string broker_id(std::string_view key) { return "broker/" + std::string(key); }
inline std::string channel_id(std::string_view key) { return "channel/" + std::string(key); }

/// Hosts of the events' doors, as Knative names them: "broker-ingress.knative-eventing.DOMAIN" with
/// the Broker in the path, "NAME-kn-channel.NAMESPACE.DOMAIN".
inline constexpr std::string_view broker_ingress_name = "broker-ingress";
inline constexpr std::string_view eventing_namespace = "knative-eventing";
inline constexpr std::string_view channel_suffix = "-kn-channel";

/// The label of a Channel's hosts; shortened as Knative's child names where DNS takes no longer
/// one.
inline std::string channel_label(std::string_view name) { return child_name(name, channel_suffix); }

/// What a Trigger or Subscription is called in a log: another object of that name is another.
inline std::string cursor_of(std::string_view name, std::string_view uid) {
  return std::string(name).append(".").append(uid);
}

}  // namespace knative::control
