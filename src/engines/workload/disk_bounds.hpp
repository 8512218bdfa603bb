// What a container may write to this machine's disk. Private to the workload.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "knative/container.hpp"
#include "knative/env.hpp"

namespace knative {

/// A folder that a container writes to, and how much may be in it.
struct DiskBound {
  std::string folder;
  std::uint64_t bytes_max = 0;
  std::string exceeded;  ///< What is said when there is more, in Kubernetes' words.
  friend bool operator==(const DiskBound&, const DiskBound&) = default;
};

/// Of the volumes that `spec` mounts, and of `upper`, where what it writes to its root lies (""
/// when that is not known): `limits.ephemeral-storage`, else `root_bytes_max`. No bound is 0.
std::vector<DiskBound> disk_bounds(const ContainerSpec& spec, const std::string& upper,
                                   std::uint64_t root_bytes_max);

/// Wait until there is too much in one of them, and say so. Looks every few seconds, as long as
/// `worked` (its processor time so far, where that is known) goes on.
Task<std::string> until_disk_is_exceeded(Env& env, std::vector<DiskBound> bounds,
                                         std::function<std::optional<Duration>()> worked);

}  // namespace knative
