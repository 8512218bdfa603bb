#include "platform/volumes.hpp"

#include <optional>
#include <string_view>
#include <utility>

#include "base/inside.hpp"
#include "knative/core.hpp"
#include "platform/environment.hpp"

namespace knative::control {

namespace {

constexpr unsigned file_mode = 0644;     // as Kubernetes: the folder is private
constexpr unsigned scratch_mode = 0777;  // for whatever user the container has

Values contents_of(const core::Secret& secret) { return secret_values(secret); }

Values contents_of(const core::ConfigMap& map) {
  Values contents(map.data.begin(), map.data.end());
  for (const auto& [key, value] : map.binary_data) contents[key] = value.bytes;
  return contents;
}

unsigned mode_of(const std::optional<std::int32_t>& mode, unsigned otherwise) {
  return mode ? static_cast<unsigned>(*mode) & 0777U : otherwise;
}

class Maker {
 public:
  Maker(Files& files, const Client& client, const PodFacts& pod, const VolumePlaces& places,
        std::set<ObjectRef>& interests)
      : files_(files), client_(client), pod_(pod), places_(places), interests_(interests) {}

  Result<ContainerMount> make(const core::Volume& volume, std::size_t index) {
    if (volume.persistent_volume_claim) return claim(*volume.persistent_volume_claim);
    if (volume.host_path) return host_path(*volume.host_path);
    if (!volume.csi.is_null()) return unknown("csi");
    if (!volume.ephemeral.is_null()) return unknown("ephemeral");
    if (!volume.image.is_null()) return unknown("image");
    ContainerMount mount;
    mount.source = places_.directory + "/" + std::to_string(index);
    if (volume.empty_dir) mount.bytes_max = volume.empty_dir->bytes_max();
    if (Result<void> made = files_.make_directories(mount.source); !made) return made.error();
    mount.read_only = volume.secret || volume.config_map || volume.projected || volume.downward_api;
    Result<void> filled =
        mount.read_only ? fill(volume, mount.source) : files_.set_mode(mount.source, scratch_mode);
    if (!filled) return filled.error();
    return mount;
  }

 private:
  static Error unknown(std::string_view kind) {
    return fail(Errc::unimplemented, "volumes of kind " + std::string(kind) + " are not known");
  }

  Result<void> fill(const core::Volume& volume, const std::string& into) {
    if (volume.secret) {
      const core::SecretVolumeSource& from = *volume.secret;
      return named<core::Secret>(into, from.secret_name, from.items, from.optional.value_or(false),
                                 mode_of(from.default_mode, file_mode));
    }
    if (volume.config_map) {
      const core::ConfigMapVolumeSource& from = *volume.config_map;
      return named<core::ConfigMap>(into, from.name, from.items, from.optional.value_or(false),
                                    mode_of(from.default_mode, file_mode));
    }
    if (volume.downward_api) {
      return fields(into, volume.downward_api->items,
                    mode_of(volume.downward_api->default_mode, file_mode));
    }
    const unsigned mode = mode_of(volume.projected->default_mode, file_mode);
    for (const core::VolumeProjection& part : volume.projected->sources) {
      Result<void> done = project(into, part, mode);
      if (!done) return done;
    }
    return {};
  }

  Result<void> project(const std::string& into, const core::VolumeProjection& part, unsigned mode) {
    if (part.secret) {
      return named<core::Secret>(into, part.secret->name, part.secret->items,
                                 part.secret->optional.value_or(false), mode);
    }
    if (part.config_map) {
      return named<core::ConfigMap>(into, part.config_map->name, part.config_map->items,
                                    part.config_map->optional.value_or(false), mode);
    }
    if (part.downward_api) return fields(into, part.downward_api->items, mode);
    if (part.service_account_token) {
      return fail(Errc::unimplemented, "there are no tokens of service accounts");
    }
    return {};
  }

  // All keys of an object, or those that are listed.
  template <class T>
  Result<void> named(const std::string& into, const std::string& name,
                     const std::vector<core::KeyToPath>& items, bool optional, unsigned mode) {
    const std::string& space = pod_.metadata.namespace_;
    interests_.insert({std::string(T::api_version), std::string(T::kind), space, name});
    const Result<T> found = client_.get<T>(space, name);
    const std::string shown = std::string(T::kind) + " \"" + name + "\"";
    if (!found && found.error().code != Errc::not_found) return found.error();
    if (!found && optional) return {};
    if (!found) return fail(Errc::failed_precondition, shown + " not found");
    const Values contents = contents_of(*found);
    if (items.empty()) {
      for (const auto& [key, value] : contents) {
        if (Result<void> done = write(into, key, value, mode); !done) return done;
      }
      return {};
    }
    for (const core::KeyToPath& item : items) {
      const auto value = contents.find(item.key);
      if (value == contents.end()) {
        if (optional) continue;
        return fail(Errc::failed_precondition, shown + " has no key \"" + item.key + "\"");
      }
      Result<void> done = write(into, item.path, value->second, mode_of(item.mode, mode));
      if (!done) return done;
    }
    return {};
  }

  Result<void> fields(const std::string& into, const std::vector<core::DownwardApiFile>& items,
                      unsigned mode) {
    for (const core::DownwardApiFile& item : items) {
      if (!item.field_ref) {
        return fail(Errc::unimplemented, "downwardAPI: only fieldRef has values here");
      }
      const Result<std::string> value = pod_field(pod_, *item.field_ref, true);
      if (!value) return value.error();
      Result<void> done = write(into, item.path, *value, mode_of(item.mode, mode));
      if (!done) return done;
    }
    return {};
  }

  Result<void> write(const std::string& into, const std::string& path, std::string_view bytes,
                     unsigned mode) {
    const Result<std::string> clean = base::clean_relative(path, "path", "the volume");
    if (!clean) return clean.error();
    if (clean->empty() || path.starts_with('/')) {
      return fail(Errc::invalid_argument, "path \"" + path + "\" names no file of the volume");
    }
    const std::string place = into + "/" + *clean;
    if (const std::size_t slash = clean->rfind('/'); slash != clean->npos) {
      Result<void> made = files_.make_directories(into + "/" + clean->substr(0, slash));
      if (!made) return made;
    }
    const OpenOptions how{
        .write = true, .create = true, .truncate = true, .exclusive = false, .mode = 0600};
    Result<std::unique_ptr<File>> file = files_.open(place, how);
    if (!file) return file.error();
    if (Result<void> written = (*file)->write_at(0, bytes); !written) return written;
    return files_.set_mode(place, mode);
  }

  Result<ContainerMount> claim(const core::PersistentVolumeClaimVolumeSource& from) {
    if (places_.claims.empty()) return unknown("persistentVolumeClaim");
    if (std::string wrong = check_dns1123_subdomain(from.claim_name); !wrong.empty()) {
      return fail(Errc::invalid_argument, "claimName \"" + from.claim_name + "\": " + wrong);
    }
    ContainerMount mount;
    mount.source = places_.claims + "/" + pod_.metadata.namespace_ + "/" + from.claim_name;
    mount.read_only = from.read_only;
    const Result<FileInfo> there = files_.info(mount.source);
    if (there) return mount;
    if (Result<void> made = files_.make_directories(mount.source); !made) return made.error();
    if (Result<void> open = files_.set_mode(mount.source, scratch_mode); !open) return open.error();
    return mount;
  }

  Result<ContainerMount> host_path(const core::HostPathVolumeSource& from) {
    if (!places_.host_paths) {
      return fail(Errc::unimplemented,
                  "hostPath is not allowed: the host program has not set host_path_volumes");
    }
    if (!from.path.starts_with('/')) {
      return fail(Errc::invalid_argument, "hostPath \"" + from.path + "\" is not absolute");
    }
    const Result<FileInfo> there = files_.info(from.path);
    if (!there && there.error().code != Errc::not_found) return there.error();
    const std::string& type = from.type;
    if (!there && type == "DirectoryOrCreate") {
      if (Result<void> made = files_.make_directories(from.path); !made) return made.error();
    } else if (!there && type == "FileOrCreate") {
      const OpenOptions how{
          .write = true, .create = true, .truncate = false, .exclusive = false, .mode = file_mode};
      if (auto file = files_.open(from.path, how); !file) return file.error();
    } else if (!there) {
      return fail(Errc::not_found, "hostPath \"" + from.path + "\" is not there");
    } else if ((type.starts_with("Directory") && there->type == FileType::regular) ||
               (type.starts_with("File") && there->type == FileType::directory)) {
      return fail(Errc::invalid_argument, "hostPath \"" + from.path + "\" is no " + type);
    }
    return ContainerMount{from.path, {}, false};
  }

  Files& files_;
  const Client& client_;
  const PodFacts& pod_;
  const VolumePlaces& places_;
  std::set<ObjectRef>& interests_;
};

}  // namespace

Result<std::map<std::string, ContainerMount>> make_volumes(Files& files, const Client& client,
                                                           const PodFacts& pod,
                                                           const std::vector<core::Volume>& volumes,
                                                           const VolumePlaces& places,
                                                           std::set<ObjectRef>& interests) {
  Maker maker(files, client, pod, places, interests);
  std::map<std::string, ContainerMount> result;
  for (std::size_t i = 0; i < volumes.size(); ++i) {
    const std::string& name = volumes[i].name;
    Result<ContainerMount> made = maker.make(volumes[i], i);
    if (!made) return made.error().within("volume \"" + name + "\"");
    result.emplace(name, std::move(*made));
  }
  return result;
}

}  // namespace knative::control
