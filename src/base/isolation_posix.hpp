// Isolation as the kernel does it. What runs between clone and exec makes system calls only.
#pragma once

#include <linux/filter.h>
#include <sys/types.h>

#include <string>
#include <vector>

#include "base/cgroups.hpp"
#include "base/file_descriptor.hpp"
#include "knative/isolation.hpp"

namespace knative::base {

/// What the child could not do. `what` is a text of the plan or of the program.
struct SetupFailure {
  const char* what = nullptr;
  int error = 0;
};

/// Users and a network, made beforehand, with nobody in them.
struct PreparedNamespaces {
  FileDescriptor users;
  FileDescriptor network;
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
  /// As `make`, for one that has the users and the network of another one.
  static Result<IsolationPlan> beside(const Isolation& isolation, const Cgroup* group);

  /// Has prepared users and a prepared network; where both may be had (`may_be_prepared`).
  void use_prepared() noexcept { joined_ = Joined::prepared; }
  bool may_be_prepared() const noexcept {
    return own_network() && any_user_ && isolation_->stage.empty();
  }
  /// Whether its network is for the host to set up, which may; else it does that itself.
  bool raises_network() const noexcept { return own_network() && any_user_; }
  /// Whether there is anything left to `enter` for one that joins.
  bool has_own_root() const noexcept { return joined_ != Joined::everything; }
  /// Of clone(2), for the namespaces that it does not join.
  int clone_flags() const noexcept;
  /// In the host, before the child goes on: who is who inside.
  Result<void> map_users(pid_t child) const;
  /// The same without a plan: everybody is who he is. For a privileged host.
  static Result<void> map_everybody(pid_t child);

  // In the child, in this order; false: see `failure`.

  /// Root, mounts, network, host name.
  bool enter(const char* working_directory, SetupFailure& failure) const noexcept;
  /// Before, or instead: namespaces of a process that has entered.
  bool join(int pidfd, SetupFailure& failure) const noexcept;
  static bool join(const PreparedNamespaces& prepared, SetupFailure& failure) noexcept;
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
  enum class Joined : unsigned char { nothing, prepared, users_and_network, everything };
  Result<void> prepare_users();
  Result<void> prepare_stage();
  bool own_network() const noexcept {
    return joined_ <= Joined::prepared && !isolation_->host_network;
  }

  const Isolation* isolation_ = nullptr;
  std::string merged_;                    ///< Where the root is put together.
  std::string temporary_;                 ///< Of a stage.
  std::vector<std::string> hierarchies_;  ///< Of control groups, of a stage.
  std::vector<Mount> binds_;
  std::vector<Mount> memories_;
  std::vector<Mount> groups_;         ///< Folders of the control group.
  mutable std::vector<int> sources_;  ///< Of `binds_`, then of `groups_`.
  std::vector<sock_filter> filter_;
  std::string user_map_;
  std::string group_map_;
  bool any_user_ = false;
  Joined joined_ = Joined::nothing;
  bool unified_ = false;
};

}  // namespace knative::base
