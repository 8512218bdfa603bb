// Control groups of either version: how much of the machine a group of processes gets.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/file_descriptor.hpp"
#include "knative/error.hpp"
#include "knative/processes.hpp"

namespace knative::base {

/// Where groups can be made on this machine: one folder per hierarchy that counts something.
struct CgroupHierarchies {
  std::string memory;
  std::string cpu;
  std::string cpu_usage;
  std::string processes;
  std::string freezer;           ///< Where what is in a group can be kept from running.
  bool unified = false;          ///< All of them are the same folder, of version 2.
  bool unified_freezer = false;  ///< `freezer` is of version 2, perhaps beside others that are not.

  /// Find them. `cgroups` and `mounts` are what /proc/self says as `cgroup` and `mountinfo`.
  /// A hierarchy that this process may not make groups in is left out.
  static CgroupHierarchies find(std::string_view cgroups, std::string_view mounts);
  static CgroupHierarchies find();

  /// Remove what processes that are gone have left in them: empty groups that are named as
  /// `group_prefix` and the process's number, and have been there for `age` at least. Who is in
  /// one, has been killed, and has not ended because he is frozen, ends.
  void sweep(std::chrono::seconds age) const;
};

inline constexpr std::string_view group_prefix = "knative-";

/// A group of its own in every hierarchy. Destroying it ends who is left in it and removes it.
class Cgroup {
 public:
  /// Fails as the system does, naming the file.
  static Result<std::unique_ptr<Cgroup>> make(const CgroupHierarchies& where,
                                              const std::string& name,
                                              const IsolationLimits& limits,
                                              bool freezable = false);
  ~Cgroup();
  Cgroup(const Cgroup&) = delete;
  Cgroup& operator=(const Cgroup&) = delete;

  /// Where a thread that writes "0" becomes a member, one per folder; none for those of version 2.
  /// Moving oneself waits for nobody, moving another one waits until every CPU has seen it.
  Result<std::vector<FileDescriptor>> entrances() const;
  /// To the folders that have no entrance.
  Result<void> add(pid_t pid) const;
  /// Keep who is in it from running, or let them go on. A group of version 1 must be thawed for
  /// anybody in it to end. Only for one that is `freezable`.
  Result<void> freeze(bool frozen) const noexcept;
  /// Who is being killed gets all the CPU that it needs for ending.
  void lift_cpu_limit() const noexcept;
  Result<ProcessUsage> usage() const;
  /// Whether the kernel has killed in it for want of memory.
  bool out_of_memory() const;
  /// Its folders, without repetition, and the names of their controllers ("memory", "cpu,cpuacct";
  /// empty for version 2).
  const std::vector<std::string>& folders() const noexcept { return folders_; }
  const std::vector<std::string>& controllers() const noexcept { return controllers_; }
  bool unified() const noexcept { return where_.unified; }

 private:
  Cgroup() = default;
  Result<void> limit(const IsolationLimits& limits) const;
  bool of_version_2(const std::string& folder) const;

  CgroupHierarchies where_;  ///< Its own folders.
  std::vector<std::string> folders_;
  std::vector<std::string> controllers_;
  bool cpu_limited_ = false;
};

}  // namespace knative::base
