/// \file
/// How a process is kept apart from this machine: what it sees, what it may, how much it gets.
///
/// Part of `ProcessOptions`. The process is the first one of its own namespaces (users, mounts,
/// processes, IPC, host name, network unless shared); when it ends, everything in them ends.
///
/// \code
/// kn::Isolation isolation;
/// isolation.root = "/images/busybox";        // shared, stays as it is
/// isolation.upper = "/containers/1";         // what the program writes
/// isolation.limits.memory_bytes = 64 << 20;
/// options.isolation = isolation;
/// \endcode
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "knative/error.hpp"

namespace knative {

/// A place in the root that something else is seen at. Made when it is not there.
struct IsolationMount {
  std::string source;  ///< A file or folder of this machine; empty: a folder in memory.
  std::string target;  ///< Absolute, in the root; links in it are followed inside the root.
  bool read_only = false;
  std::uint64_t bytes_max = 0;  ///< Of a folder in memory; 0: as the kernel says.
  /// A folder above `source` that others write to: no link below it is followed. May be empty.
  std::string within = {};
  friend bool operator==(const IsolationMount&, const IsolationMount&) = default;
};

/// A file that is written into the root before the program starts.
struct IsolationFile {
  std::string path;  ///< Absolute, in the root; what was there is replaced.
  std::string content;
  friend bool operator==(const IsolationFile&, const IsolationFile&) = default;
};

/// How much of the machine it gets together with everything it starts. 0: no bound.
struct IsolationLimits {
  std::uint64_t memory_bytes = 0;
  std::uint64_t cpu_milli = 0;         ///< Thousandths of one CPU.
  std::uint64_t cpu_shares_milli = 0;  ///< Its weight beside others, as if it wanted as much.
  std::uint64_t processes = 0;         ///< Threads included.
  friend bool operator==(const IsolationLimits&, const IsolationLimits&) = default;
};

/// One of setrlimit(2).
struct ResourceLimit {
  int resource = 0;  ///< RLIMIT_...
  std::uint64_t soft = 0;
  std::uint64_t hard = 0;
  friend bool operator==(const ResourceLimit&, const ResourceLimit&) = default;
};

/// How a process is isolated.
struct Isolation {
  /// Capabilities by their numbers in the kernel, one bit each.
  using Capabilities = std::uint64_t;

  std::string root;  ///< Folder of its files.
  /// A folder that is the process's alone and of the file system that its writes belong to: `root`
  /// is left as it is, changes lie here. Empty: the process writes to `root` itself.
  std::string upper;
  /// Not empty: the program is a container runtime, which makes the container itself. It has this
  /// machine's files, this folder, the limits, and every right in namespaces of users, mounts,
  /// processes and network around it; it finds `root`, with `upper` over it, in "root", and the
  /// sources of `mounts` by their numbers in "mounts". All the rest is for what `Process::enter`
  /// starts in its container, which is its first child.
  std::string stage;
  bool read_only_root = false;  ///< /dev and mounts may be written all the same.
  std::vector<IsolationMount> mounts;
  std::vector<IsolationFile> files;
  std::string hostname;       ///< Empty: this machine's.
  bool host_network = false;  ///< Else one of its own, with nothing but loopback.
  /// An IPv4 address beside 127.0.0.1 that the loopback of its own network has.
  std::string address;

  std::uint32_t user = 0;
  std::uint32_t group = 0;
  std::vector<std::uint32_t> groups;  ///< Supplementary ones.
  /// What it has as user 0, and what it can get at all as another one. None mean anything outside.
  Capabilities capabilities = 0;
  bool no_new_privileges = true;    ///< Nothing it starts has more rights than itself.
  bool filter_system_calls = true;  ///< Leave out those that programs in containers do without.
  std::vector<ResourceLimit> resource_limits;
  IsolationLimits limits;  ///< What the host cannot enforce is ignored: see `IsolationSupport`.
  friend bool operator==(const Isolation&, const Isolation&) = default;
};

/// What of it this host can do.
struct IsolationSupport {
  bool possible = false;
  std::string reason;        ///< Why it is not possible.
  bool own_view = false;     ///< `ProcessOptions::view`, which takes no isolation.
  bool overlay = false;      ///< `Isolation::upper`
  bool any_user = false;     ///< Any user and groups at a time; else one user, one group.
  bool own_network = false;  ///< Reached from here, that is.
  bool memory_limit = false;
  bool cpu_limit = false;
  bool process_limit = false;
  bool freezing = false;  ///< `Process::freeze`
};

/// The number of a capability from its name, with or without "CAP_"; any case.
KNATIVE_EXPORT std::optional<int> capability_number(std::string_view name);
/// The name of a number, without "CAP_"; empty where it has none.
KNATIVE_EXPORT std::string_view capability_name(int number) noexcept;
/// What Docker gives to every container.
KNATIVE_EXPORT Isolation::Capabilities default_capabilities() noexcept;
/// Every capability that has a name.
KNATIVE_EXPORT Isolation::Capabilities all_capabilities() noexcept;

}  // namespace knative
