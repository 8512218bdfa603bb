// What a container sees of its pod's volumes.
#include "base/inside.hpp"
#include "knative/container.hpp"

namespace knative {

Result<std::vector<ContainerMount>> mount_volumes(
    Files& files, const std::map<std::string, ContainerMount>& volumes,
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
    const std::string field = "subPath of " + what;
    Result<std::string> sub = base::clean_relative(mount.sub_path, field, "the volume");
    if (!sub) return sub.error();
    if (!sub->empty()) {
      seen.within = seen.source;
      // A last part that is a file is mounted as one.
      const std::size_t slash = sub->rfind('/');
      const std::string folder = slash == sub->npos ? "" : sub->substr(0, slash);
      const std::string last = slash == sub->npos ? *sub : sub->substr(slash + 1);
      Result<std::string> real =
          base::resolve_inside(files, seen.source, folder, field, "the volume");
      if (!real) return real.error();
      const std::string below = real->empty() ? last : *real + "/" + last;
      const Result<FileInfo> info = files.info(seen.source + "/" + below);
      if (info && info->type == FileType::regular) {
        seen.source += "/" + below;
      } else {
        real = base::resolve_inside(files, seen.source, below, field, "the volume");
        if (!real) return real.error();
        if (!real->empty()) seen.source += "/" + *real;
        if (Result<void> made = files.make_directories(seen.source); !made) return made.error();
      }
    }
    result.push_back(std::move(seen));
  }
  return result;
}

}  // namespace knative
