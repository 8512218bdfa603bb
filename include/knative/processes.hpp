/// \file
/// Child processes as a capability: started, watched, signalled, and never left behind.
///
/// \code
/// kn::ProcessOptions options;
/// options.argv = {"/bin/echo", "hello"};
/// auto child = env.processes.spawn(options).value();
/// kn::ExitStatus ended = co_await child->wait();
/// \endcode
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "knative/error.hpp"
#include "knative/task.hpp"

namespace knative {

/// What to run, and where.
struct ProcessOptions {
  std::vector<std::string> argv;  ///< argv[0] is searched in PATH of `environment`.
  std::map<std::string, std::string> environment;  ///< The whole environment; nothing inherited.
  std::string working_directory;
  std::string root_directory;  ///< chroot there first (needs privilege); empty: none.
  /// Called on the loop with pieces of the standard streams, in order. Empty: /dev/null.
  std::function<void(std::string_view)> on_stdout;
  std::function<void(std::string_view)> on_stderr;
};

/// How a process ended.
struct ExitStatus {
  int code = 0;    ///< Exit code when `signal` is 0.
  int signal = 0;  ///< Signal that ended it, or 0.
  bool success() const noexcept { return code == 0 && signal == 0; }
  /// "exit code 3" or "killed by signal 9"
  KNATIVE_EXPORT std::string to_string() const;
  friend bool operator==(const ExitStatus&, const ExitStatus&) = default;
};

/// A child in its own process group. When it ends, what is left of its group is killed;
/// destroying this object kills the child too. Nothing of it outlives the host process, not even
/// when that is killed: the child, by the kernel, and its group, by a helper process.
///
/// Neither `on_stdout` nor `on_stderr` may destroy the process they belong to.
class KNATIVE_EXPORT Process {
 public:
  virtual ~Process() = default;
  virtual int pid() const noexcept = 0;
  /// Wait until it has ended and both standard streams are drained. May be called by one task.
  virtual Task<ExitStatus> wait() = 0;
  /// Send a signal to the process group.
  virtual void signal(int number) noexcept = 0;
};

/// Starts child processes.
class KNATIVE_EXPORT Processes {
 public:
  /// Fails with `not_found` (no such program or directory) or `resource_exhausted`.
  virtual Result<std::unique_ptr<Process>> spawn(const ProcessOptions& options) = 0;

 protected:
  ~Processes() = default;
};

}  // namespace knative
