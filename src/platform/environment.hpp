// The environment of a container, with the values that stand in Secrets and ConfigMaps.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "knative/client.hpp"
#include "knative/core.hpp"
#include "knative/pod.hpp"
#include "platform/pod_facts.hpp"

namespace knative::control {

using Values = std::map<std::string, std::string, std::less<>>;

/// What stands in a stored Secret, by key.
Values secret_values(const core::Secret& secret);

/// `env` and `envFrom` of `container` as `env` alone: what stood in objects of the namespace comes
/// first for envFrom (later sources win), and takes the place of every valueFrom, written so that
/// no $(NAME) in it is expanded; so do fields of the pod itself. Fails with `failed_precondition`
/// naming object and key, unless they are optional. The objects that were looked for are added to
/// `interests`, found or not.
Result<std::vector<core::EnvVar>> literal_environment(const Client& client, const PodFacts& pod,
                                                      const core::Container& container,
                                                      std::set<ObjectRef>& interests);

}  // namespace knative::control
