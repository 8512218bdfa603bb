#include "extensions/serving/instance_volumes.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "platform/pod_facts.hpp"
#include "platform/volumes.hpp"

namespace knative {

// Shared with the instances: one may outlive the Revision's place by the time that it takes to end.
struct InstanceVolumes::Folders {
  Folders(Env& e, Client& c, std::string d, std::string k, bool h)
      : env(e),
        client(c),
        directory(std::move(d)),
        claims(std::move(k)),
        host_paths(h),
        removals(e.executor) {}

  Task<void> remove(std::string folder) {
    auto work = [&files = env.files, folder] { (void)files.remove_all(folder); };
    Task<void> removing = env.disk.run(work);
    co_await std::move(removing);
  }

  Env& env;
  Client& client;
  const std::string directory;
  const std::string claims;
  const bool host_paths;
  bool closed = false;
  TaskSet removals;
};

namespace {

// What is to be mounted, kept beyond the turn in which the Revision was looked at.
struct WantedVolumes {
  control::PodFacts pod;
  std::vector<core::Volume> volumes;
  std::map<std::string, std::vector<core::VolumeMount>> mounts;  ///< By container.
  std::string serving;                                           ///< Which container serves.

  bool any() const {
    return std::any_of(mounts.begin(), mounts.end(),
                       [](const auto& one) { return !one.second.empty(); });
  }
};

WantedVolumes wanted_volumes_of(const serving::Revision& revision) {
  WantedVolumes wanted{
      {revision.metadata, revision.spec.service_account_name}, revision.spec.volumes, {}, {}};
  for (const auto* list : {&revision.spec.init_containers, &revision.spec.containers}) {
    for (const core::Container& container : *list) {
      wanted.mounts[container.name] = container.volume_mounts;
    }
  }
  const core::Container* const serving = revision.spec.serving_container();
  if (serving != nullptr) wanted.serving = serving->name;
  return wanted;
}

// One container alone can have it in memory of its own.
bool has_own_memory(const core::Volume& volume, const WantedVolumes& wanted) {
  if (!volume.empty_dir || !volume.empty_dir->in_memory()) return false;
  std::size_t mounts = 0;
  for (const auto& [container, list] : wanted.mounts) {
    for (const core::VolumeMount& mount : list) {
      if (mount.name != volume.name) continue;
      mounts += mount.sub_path.empty() ? 1 : 2;  // a part of it needs a whole
    }
  }
  return mounts == 1;
}

using VolumesByName = std::map<std::string, ContainerMount>;

Result<void> mount_into(ContainerSpec& spec, const VolumesByName& volumes,
                        const WantedVolumes& wanted) {
  const std::string& name = spec.identity.container;
  const auto mounts = wanted.mounts.find(name.empty() ? wanted.serving : name);
  if (mounts == wanted.mounts.end()) return {};
  Result<std::vector<ContainerMount>> made = mount_volumes(volumes, mounts->second);
  if (!made) return made.error();
  spec.mounts = std::move(*made);
  return {};
}

Result<void> mount_into(InstanceSpec& spec, const VolumesByName& volumes,
                        const WantedVolumes& wanted) {
  std::vector<ContainerSpec*> all{&spec.container};
  for (ContainerSpec& init : spec.init) all.push_back(&init);
  for (InstanceSpec& sidecar : spec.sidecars) all.push_back(&sidecar.container);
  for (ContainerSpec* const one : all) {
    if (Result<void> mounted = mount_into(*one, volumes, wanted); !mounted) return mounted;
  }
  return {};
}

}  // namespace

InstanceVolumes::InstanceVolumes(Env& env, Client& client, std::string directory,
                                 std::string claims, bool host_paths)
    : folders_(std::make_shared<Folders>(env, client, std::move(directory), std::move(claims),
                                         host_paths)) {}

InstanceVolumes::~InstanceVolumes() {
  folders_->closed = true;
  folders_->removals.clear();
  (void)folders_->env.files.remove_all(folders_->directory);
}

InstanceVolumes::Prepare InstanceVolumes::prepare(const serving::Revision& revision) {
  WantedVolumes asked = wanted_volumes_of(revision);
  if (!asked.any()) return nullptr;
  return [folders = folders_,
          wanted = std::move(asked)](InstanceSpec& spec) -> Result<std::shared_ptr<void>> {
    Files& files = folders->env.files;
    if (Result<void> made = files.make_directories(folders->directory); !made) return made.error();
    Result<std::string> folder = files.make_temporary_directory(folders->directory + "/instance-");
    if (!folder) return folder.error();
    auto remove = [folders, path = *folder](void*) {
      if (!folders->closed) folders->removals.add(folders->remove(path));
    };
    std::shared_ptr<void> keep(folders.get(), std::move(remove));
    std::set<ObjectRef> looked_for;
    const control::VolumePlaces places{*folder, folders->claims, folders->host_paths};
    auto volumes = control::make_volumes(files, folders->client, wanted.pod, wanted.volumes, places,
                                         looked_for);
    if (!volumes) return volumes.error();
    for (const core::Volume& volume : wanted.volumes) {
      if (has_own_memory(volume, wanted)) (*volumes)[volume.name].source.clear();
    }
    const Result<void> mounted = mount_into(spec, *volumes, wanted);
    if (!mounted) return mounted.error();
    return keep;
  };
}

}  // namespace knative
