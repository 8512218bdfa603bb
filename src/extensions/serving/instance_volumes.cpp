#include "extensions/serving/instance_volumes.hpp"

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
struct Wanted {
  control::PodFacts pod;
  std::vector<core::Volume> volumes;
  std::vector<core::VolumeMount> mounts;
};

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
  const core::Container* const container = revision.spec.serving_container();
  if (container == nullptr || container->volume_mounts.empty()) return nullptr;
  Wanted wanted{{revision.metadata, revision.spec.service_account_name},
                revision.spec.volumes,
                container->volume_mounts};
  return [folders = folders_,
          wanted = std::move(wanted)](ContainerSpec& spec) -> Result<std::shared_ptr<void>> {
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
    const auto volumes = control::make_volumes(files, folders->client, wanted.pod, wanted.volumes,
                                               places, looked_for);
    if (!volumes) return volumes.error();
    Result<std::vector<ContainerMount>> mounts = mount_volumes(files, *volumes, wanted.mounts);
    if (!mounts) return mounts.error();
    spec.mounts = std::move(*mounts);
    return keep;
  };
}

}  // namespace knative
