// From a plan to a running child: what happens between clone and exec.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/file_descriptor.hpp"
#include "base/isolation_posix.hpp"
#include "base/own_view.hpp"
#include "base/warden.hpp"
#include "knative/processes.hpp"

namespace knative::base {

struct Pipe {
  FileDescriptor read;
  FileDescriptor write;
};
Result<Pipe> make_pipe();

/// Everything the child needs, made before: it may not allocate, and shares the host's memory
/// unless a sanitizer watches that.
struct ChildPlan {
  std::vector<char*> argv;
  std::vector<char*> environment;
  std::vector<std::string> candidates;  ///< Full paths to try in order.
  const char* root = nullptr;
  const OwnView* view = nullptr;
  const char* directory = nullptr;
  int input = -1;
  int output = -1;
  int error_output = -1;
  const Warden* warden = nullptr;
  std::uint64_t number = 0;

  const IsolationPlan* isolation = nullptr;  ///< Null: none.
  const Cgroup* group = nullptr;             ///< For an isolated one; may be null.
  std::vector<FileDescriptor> entrances;     ///< Of `group`.
  /// Called in the host while an isolated one waits in its namespaces; may be empty.
  std::function<Result<void>(pid_t child)> prepare;
  const PreparedNamespaces* prepared = nullptr;  ///< For an `isolation` that uses them.
  int joined = -1;  ///< A pidfd: of whom the namespaces are that `isolation` joins.
};

/// Starts children, one at a time: the host's thread and the child never run together before the
/// child has become another program, so that they may share memory.
class ChildStarter {
 public:
  ChildStarter();
  /// The child, in a group of its own number. Fails with what the child could not do; then there
  /// is none.
  Result<pid_t> start(const ChildPlan& plan, const ProcessOptions& options);
  /// For `ChildPlan::prepared`. Takes about a millisecond, and privilege.
  Result<PreparedNamespaces> prepare_namespaces();

 private:
  struct Stack;
  std::shared_ptr<Stack> stack_;  ///< For the child, until it has become another program.
};

}  // namespace knative::base
