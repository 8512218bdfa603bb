#include "engines/workload/disk_bounds.hpp"

#include <algorithm>
#include <utility>

namespace knative {
namespace {

constexpr Duration disk_look_pause = std::chrono::seconds(5);
constexpr const char* storage_resource = "ephemeral-storage";

std::string amount_in_quotes(std::uint64_t bytes) {
  const Quantity amount(static_cast<std::int64_t>(bytes), Quantity::Format::binary_si);
  return "\"" + amount.to_string() + "\"";
}

// The first one that is exceeded. What cannot be counted is told by its error.
std::string exceeded_of(Files& files, const std::vector<DiskBound>& bounds) {
  for (const DiskBound& bound : bounds) {
    const Result<std::uint64_t> used = files.disk_usage(bound.folder, bound.bytes_max);
    if (used && *used > bound.bytes_max) return bound.exceeded;
    if (!used && used.error().code == Errc::resource_exhausted) {
      return bound.exceeded + " (its folders are too deep to be counted)";
    }
  }
  return {};
}

}  // namespace

std::vector<DiskBound> disk_bounds(const ContainerSpec& spec, const std::string& upper,
                                   std::uint64_t root_bytes_max) {
  std::vector<DiskBound> bounds;
  const auto limit = spec.resources.limits.find(storage_resource);
  const bool limited = limit != spec.resources.limits.end();
  const std::uint64_t root =
      limited ? static_cast<std::uint64_t>(std::max<std::int64_t>(limit->second.value(), 0))
              : root_bytes_max;
  if (!upper.empty() && (limited || root != 0)) {
    bounds.push_back({upper, root,
                      "Container " + spec.name + " exceeded its local ephemeral storage limit " +
                          amount_in_quotes(root)});
  }
  for (const ContainerMount& mount : spec.mounts) {
    if (mount.bytes_max == 0 || mount.source.empty()) continue;
    DiskBound bound{mount.within.empty() ? mount.source : mount.within, mount.bytes_max,
                    "Usage of EmptyDir volume \"" + mount.volume + "\" exceeds the limit " +
                        amount_in_quotes(mount.bytes_max)};
    if (std::find(bounds.begin(), bounds.end(), bound) == bounds.end()) {
      bounds.push_back(std::move(bound));
    }
  }
  return bounds;
}

Task<std::string> until_disk_is_exceeded(Env& env, std::vector<DiskBound> bounds,
                                         std::function<std::optional<Duration>()> worked) {
  std::optional<Duration> before;
  while (true) {
    co_await env.timers.sleep_for(disk_look_pause);
    // Who has not run has not written.
    const std::optional<Duration> now = worked();
    if (now && now == before) continue;
    before = now;
    auto work = [&files = env.files, bounds] { return exceeded_of(files, bounds); };
    Task<std::string> looking = env.disk.run(work);
    std::string exceeded = co_await std::move(looking);
    if (!exceeded.empty()) co_return exceeded;
  }
}

}  // namespace knative
