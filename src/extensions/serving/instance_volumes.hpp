// The volumes of a Revision's instances: each instance has its own, made when it starts.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "knative/client.hpp"
#include "knative/env.hpp"
#include "knative/serving.hpp"
#include "knative/workload.hpp"

namespace knative {

class InstanceVolumes {
 public:
  using Prepare = std::function<Result<std::shared_ptr<void>>(InstanceSpec&)>;

  /// Folders of instances lie below `directory`, which is this object's alone, claims below
  /// `claims`. The rest must outlive it.
  InstanceVolumes(Env& env, Client& client, std::string directory, std::string claims,
                  bool host_paths);
  /// Removes every folder; the instances must be gone.
  ~InstanceVolumes();

  /// For `RevisionPoolOptions::prepare`: mounts what the containers ask for, with Secrets and
  /// ConfigMaps as they are at that time. Its errors name the volume. Empty without mounts.
  Prepare prepare(const serving::Revision& revision);

 private:
  struct Folders;
  std::shared_ptr<Folders> folders_;
};

}  // namespace knative
