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

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "knative/error.hpp"
#include "knative/isolation.hpp"
#include "knative/task.hpp"
#include "knative/timers.hpp"

namespace knative {

class Network;

/// What to run, and where.
struct ProcessOptions {
  std::vector<std::string> argv;  ///< argv[0] is searched in PATH of `environment`.
  std::map<std::string, std::string> environment;  ///< The whole environment; nothing inherited.
  std::string working_directory;
  std::string root_directory;  ///< chroot there first (needs privilege); empty: none.
  /// What it sees of this machine at other places than everybody else, it and what it starts:
  /// files and folders over what is there, or where nothing is. Where nothing is, the folder above
  /// shows what it has, but what is new in it then is the process's alone and goes with it. Only
  /// where `IsolationSupport::own_view`, and without root or isolation.
  std::vector<IsolationMount> view;
  /// Kept apart from this machine; then paths are those in the root, `working_directory` is made
  /// when it is not there, and `root_directory` must be empty.
  std::optional<Isolation> isolation;
  /// Called by `spawn` before the program of an isolated one with its own network runs, to listen
  /// there for it; where it fails, so does `spawn`. Sockets keep that network alive.
  std::function<Result<void>(Network& inside)> on_network;
  bool freezable = false;  ///< `Process::freeze` will be called.
  /// Called on the loop with pieces of the standard streams, in order. Empty: /dev/null.
  std::function<void(std::string_view)> on_stdout;
  std::function<void(std::string_view)> on_stderr;
};

/// How a process ended.
struct ExitStatus {
  int code = 0;                ///< Exit code when `signal` is 0.
  int signal = 0;              ///< Signal that ended it, or 0.
  bool out_of_memory = false;  ///< The kernel killed in it because of its limit.
  bool evicted = false;        ///< Killed from here: it wrote too much. Its output says what.
  bool success() const noexcept { return code == 0 && signal == 0; }
  /// "exit code 3", "killed by signal 9" or either with the reason behind it, OOMKilled or Evicted.
  KNATIVE_EXPORT std::string to_string() const;
  friend bool operator==(const ExitStatus&, const ExitStatus&) = default;
};

/// What a process and everything it started use.
struct ProcessUsage {
  Duration cpu_time{0};
  std::uint64_t memory_bytes = 0;
  std::uint64_t processes = 0;  ///< Threads included.
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

  /// What an isolated one uses; `unimplemented` where that is not counted.
  virtual Result<ProcessUsage> usage() const;
  /// Run another program in the isolation of this one; or, where `options` has an isolation, in
  /// that, but with the users and the network of this one, which must be its own. Beside what
  /// `spawn` says it fails with `failed_precondition` when this one has ended and with
  /// `unimplemented` when it is not isolated.
  virtual Result<std::unique_ptr<Process>> enter(const ProcessOptions& options);
  /// Keep its group, and everybody in its isolation, from running until `thaw`: their memory stays,
  /// signals but SIGKILL wait. `unimplemented` unless `ProcessOptions::freezable` and the host can.
  virtual Result<void> freeze();
  virtual Result<void> thaw();
  /// Connects to where an isolated one with its own network listens. Null when it uses this
  /// machine's.
  virtual std::shared_ptr<Network> network() const;
};

/// Starts child processes.
class KNATIVE_EXPORT Processes {
 public:
  /// Fails with `not_found` (no such program or directory), `resource_exhausted`, or
  /// `unimplemented` (isolation that the host cannot do).
  virtual Result<std::unique_ptr<Process>> spawn(const ProcessOptions& options) = 0;
  /// What of `ProcessOptions::isolation` can be done here with roots and upper folders in
  /// `directory`, which must be there. Found out by trying, which takes milliseconds.
  virtual IsolationSupport isolation(const std::string& directory);

 protected:
  ~Processes() = default;
};

}  // namespace knative
