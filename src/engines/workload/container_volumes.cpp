// What a container sees of its pod's volumes.
#include "base/inside.hpp"
#include "knative/container.hpp"

namespace knative {

Result<std::vector<ContainerMount>> mount_volumes(
    const std::map<std::string, ContainerMount>& volumes,
    const std::vector<core::VolumeMount>& mounts) {
  std::vector<ContainerMount> result;
  for (const core::VolumeMount& mount : mounts) {
    const std::string what = "volume \"" + mount.name + "\"";
    const auto volume = volumes.find(mount.name);
    if (volume == volumes.end()) {
      return fail(Errc::invalid_argument, what + " is mounted but not declared");
    }
    if (!mount.mount_path.starts_with('/')) {
      return fail(Errc::invalid_argument,
                  what + ": mountPath \"" + mount.mount_path + "\" is not absolute");
    }
    ContainerMount seen = volume->second;
    seen.target = mount.mount_path;
    seen.volume = mount.name;
    seen.read_only = seen.read_only || mount.read_only;
    Result<std::string> sub =
        base::clean_relative(mount.sub_path, "subPath of " + what, "the volume");
    if (!sub) return sub.error();
    if (!sub->empty()) {
      seen.within = seen.source;
      seen.source += "/" + *sub;
    }
    result.push_back(std::move(seen));
  }
  return result;
}

Result<void> make_sub_paths(Files& files, const std::vector<ContainerMount>& mounts) {
  for (const ContainerMount& mount : mounts) {
    const std::string above = mount.within + "/";
    if (mount.within.empty() || !mount.source.starts_with(above)) continue;
    const Result<void> made = files.make_inside(mount.within, mount.source.substr(above.size()));
    if (made) continue;
    return made.error().within("subPath of volume \"" + mount.volume + "\", mounted at " +
                               mount.target);
  }
  return {};
}

}  // namespace knative
