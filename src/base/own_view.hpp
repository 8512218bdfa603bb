// What a child sees of this machine at other places than everybody else (`ProcessOptions::view`),
// as the kernel does it: a namespace of mounts and nothing else.
#pragma once

#include <string>
#include <vector>

#include "base/isolation_posix.hpp"
#include "knative/isolation.hpp"

namespace knative::base {

/// Made before the clone: the child may share the host's memory, so it neither allocates nor
/// changes anything here but `tree`.
class OwnView {
 public:
  /// Fails with `invalid_argument` or `not_found`, naming what is wrong.
  static Result<OwnView> make(const std::vector<IsolationMount>& mounts);

  /// In the child. False: see `failure`.
  bool enter(SetupFailure& failure) const noexcept;

 private:
  struct Mount {
    std::string source;
    std::string target;
    bool directory = true;
    bool read_only = false;
    std::string within = {};  ///< As `IsolationMount::within`.
    mutable int tree = -1;
  };
  struct Entry {
    std::string name;
    std::string link;  ///< Where it leads, when it is one.
    bool directory = false;
  };
  /// A folder of this machine that must get something new: one in memory with everything that the
  /// folder has takes its place.
  struct Mirror {
    std::string folder;
    std::string options;  ///< Of the folder in memory.
    std::vector<Entry> entries;
  };
  class Setup;
  static Result<Mirror> mirror(const std::string& folder);
  Result<void> add_mirror(const std::string& target);

  std::vector<Mount> mounts_;
  std::vector<Mirror> mirrors_;  ///< That of "/" first.
};

}  // namespace knative::base
