// Isolation as the kernel does it. What runs between clone and exec makes system calls only.
#pragma once

#include <linux/filter.h>
#include <sys/types.h>

#include <string>
#include <vector>

#include "base/cgroups.hpp"
#include "knative/isolation.hpp"

namespace knative::base {

/// What the child could not do. `what` is a text of the plan or of the program.
struct SetupFailure {
  const char* what = nullptr;
  int error = 0;
};

/// Everything that isolating a child takes, made before the clone: the child may share the host's
/// memory, so it neither allocates nor changes anything here but `sources`.
class IsolationPlan {
 public:
  /// `isolation` and `group` (may be null) must outlive it. Fails with `invalid_argument` or
  /// `not_found`, naming what is wrong.
  static Result<IsolationPlan> make(const Isolation& isolation, const Cgroup* group);

  /// For one that joins another of this isolation.
  static Result<IsolationPlan> joining(const Isolation& isolation);

  /// Whether its network is for the host to set up, which may; else it does that itself.
  bool raises_network() const noexcept { return !joins_ && any_user_ && !isolation_->host_network; }
  /// Of clone(2), for the namespaces.
  int clone_flags() const noexcept;
  /// In the host, before the child goes on: who is who inside.
  Result<void> map_users(pid_t child) const;

  // In the child, in this order; false: see `failure`.

  /// Root, mounts, network, host name.
  bool enter(const char* working_directory, SetupFailure& failure) const noexcept;
  /// Instead: the namespaces of a process that has entered.
  bool join(int pidfd, SetupFailure& failure) const noexcept;
  /// User, capabilities, limits, system calls: nothing of the above can be done afterwards.
  bool restrict(SetupFailure& failure) const noexcept;

 private:
  struct Mount {
    std::string source;
    std::string target;
    std::string options;
    bool directory = true;
    bool read_only = false;
    bool device = false;      ///< Devices behind it may be used.
    std::string within = {};  ///< As `IsolationMount::within`.
  };
  class Setup;
  Result<void> prepare_users();

  const Isolation* isolation_ = nullptr;
  std::string merged_;  ///< Where the root is put together.
  std::vector<Mount> binds_;
  std::vector<Mount> memories_;
  std::vector<Mount> groups_;         ///< Folders of the control group.
  mutable std::vector<int> sources_;  ///< Of `binds_`, then of `groups_`.
  std::vector<sock_filter> filter_;
  std::string user_map_;
  std::string group_map_;
  bool any_user_ = false;
  bool joins_ = false;
  bool unified_ = false;
};

}  // namespace knative::base
