// Child processes of the real world: one process group each, ends told by a pidfd, no signal
// handler, and nothing reaped but our own.
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/after_fork.hpp"
#include "base/block_signals.hpp"
#include "base/file_descriptor.hpp"
#include "base/loop_core.hpp"
#include "base/posix_error.hpp"
#include "base/warden.hpp"

namespace knative::base {
namespace {

constexpr Duration poll_interval = std::chrono::milliseconds(10);  // kernels without pidfd
/// How long to wait for output that somebody who left the group still holds open: the warden is
/// about to find him, unless he has lost both marks.
constexpr Duration drain_time_max = std::chrono::seconds(2);

struct Pipe {
  FileDescriptor read;
  FileDescriptor write;
};

Result<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) < 0) return posix_error(errno, "pipe");
  return Pipe{FileDescriptor(ends[0]), FileDescriptor(ends[1])};
}

// ---------------------------------------------------------------------------- in the child

/// Where starting a child failed.
enum class Stage : int { descriptors, root, directory, program };

struct Failure {
  Stage stage;
  int error;
};

/// Everything the child needs, made before the fork: it may not allocate.
struct Plan {
  std::vector<char*> argv;
  std::vector<char*> environment;
  std::vector<std::string> candidates;  ///< Full paths to try in order.
  const char* root = nullptr;
  const char* directory = nullptr;
  int input = -1;
  int output = -1;
  int error_output = -1;
  int report = -1;
  pid_t parent = 0;
  const Warden* warden = nullptr;
  std::uint64_t number = 0;
};

[[noreturn]] void child_failed(const Plan& plan, Stage stage, int error) noexcept {
  const Failure failure{stage, error};
  const ssize_t ignored = ::write(plan.report, &failure, sizeof failure);
  (void)ignored;
  ::_exit(127);
}

/// Runs between fork and exec: system calls only.
[[noreturn]] void run_child(const Plan& plan) noexcept {
  ::setpgid(0, 0);
  // The kernel kills us when the thread that made us ends, however it ends.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != plan.parent) ::_exit(127);
  plan.warden->enter_self();
  plan.warden->mark_self(plan.number);
  if (::dup2(plan.input, 0) < 0 || ::dup2(plan.output, 1) < 0 || ::dup2(plan.error_output, 2) < 0) {
    child_failed(plan, Stage::descriptors, errno);
  }
  // Descriptors of the host that lack the flag must not live on in the child.
  ::syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC);
  if (plan.root != nullptr && (::chroot(plan.root) < 0 || ::chdir("/") < 0)) {
    child_failed(plan, Stage::root, errno);
  }
  if (plan.directory != nullptr && ::chdir(plan.directory) < 0) {
    child_failed(plan, Stage::directory, errno);
  }
  reset_signals();
  int error = ENOENT;
  for (const std::string& path : plan.candidates) {
    ::execve(path.c_str(), plan.argv.data(), plan.environment.data());
    // As a shell does: go on looking, but remember what was there and could not be run.
    if (errno != ENOENT && errno != ENOTDIR) error = errno;
    if (errno != ENOENT && errno != ENOTDIR && errno != EACCES) break;
  }
  child_failed(plan, Stage::program, error);
}

std::vector<std::string> candidate_paths(const ProcessOptions& options) {
  const std::string& program = options.argv.front();
  if (program.find('/') != program.npos) return {program};
  const auto path = options.environment.find("PATH");
  // The default of execvp(3), for an environment without PATH.
  const std::string_view folders =
      path != options.environment.end() ? std::string_view(path->second) : "/bin:/usr/bin";
  std::vector<std::string> candidates;
  for (std::size_t begin = 0; begin <= folders.size();) {
    const std::size_t end = std::min(folders.find(':', begin), folders.size());
    const std::string_view folder = folders.substr(begin, end - begin);
    candidates.push_back(folder.empty() ? program : std::string(folder) + "/" + program);
    begin = end + 1;
  }
  return candidates;
}

// ---------------------------------------------------------------------------- in the host

class PosixChild;

/// One standard stream of a child.
class Output final : public Watch {
 public:
  Output(LoopCore& core, PosixChild& child, std::function<void(std::string_view)> callback)
      : Watch(core), child_(child), callback_(std::move(callback)) {}
  bool open() const noexcept { return fd() >= 0; }

 private:
  void on_events(std::uint32_t events) override;
  PosixChild& child_;
  const std::function<void(std::string_view)> callback_;
};

/// Readable once the child has ended.
class EndWatch final : public Watch {
 public:
  EndWatch(LoopCore& core, PosixChild& child) : Watch(core), child_(child) {}

 private:
  void on_events(std::uint32_t events) override;
  PosixChild& child_;
};

using ChildList = std::vector<PosixChild*>;

class PosixChild final : public Process, private TimerNode {
 public:
  PosixChild(LoopCore& core, const ProcessOptions& options, ChildList& siblings,
             const Warden& warden)
      : core_(core),
        siblings_(&siblings),
        warden_(warden),
        stdout_(core, *this, options.on_stdout),
        stderr_(core, *this, options.on_stderr),
        end_(core, *this) {
    siblings.push_back(this);
  }
  ~PosixChild() override {
    KN_ASSERT(!delivering_);  // not from inside its own output callback
    kill_and_reap();
    if (siblings_ != nullptr) std::erase(*siblings_, this);
  }

  Output& standard_output() noexcept { return stdout_; }
  Output& standard_error() noexcept { return stderr_; }

  /// `number` is its mark's.
  void started(pid_t pid, std::uint64_t number) {
    pid_ = pid;
    number_ = number;
    const int fd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
    if (fd >= 0 && end_.adopt(fd, EPOLLIN)) return;
    end_.close();
    core_.timers().arm(*this, core_.timers().now() + poll_interval);
  }

  int pid() const noexcept override { return pid_; }

  Task<ExitStatus> wait() override {
    while (!finished()) co_await changed_.wait();
    co_return status_;
  }

  void signal(int number) noexcept override {
    if (pid_ > 0 && !reaped_) ::kill(-pid_, number);
  }

  /// The child may have ended: reap it if so.
  void check_end() {
    if (reaped_ || !has_ended()) return;
    end_.close();
    disarm();
    reap();
    // Whatever it left behind is dead now, so the pipes end, unless somebody left the group.
    if (!finished()) core_.timers().arm(*this, core_.timers().now() + drain_time_max);
    changed_.notify_all();
  }

  void output_ended() { changed_.notify_all(); }
  void deliver(const std::function<void(std::string_view)>& callback, std::string_view piece) {
    delivering_ = true;
    callback(piece);
    delivering_ = false;
  }

  /// Called by the loop's end, when this object outlives it.
  void orphan() noexcept {
    kill_and_reap();
    disarm();
    stdout_.close();
    stderr_.close();
    siblings_ = nullptr;
  }

 private:
  bool finished() const noexcept { return reaped_ && !stdout_.open() && !stderr_.open(); }

  bool has_ended() const noexcept {
    siginfo_t info{};
    // Leaves the zombie in place: its number cannot be given to a stranger before the kill below.
    const int result = ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT);
    return result < 0 || info.si_pid == pid_;
  }

  /// The leader is a zombie or about to be one: end the rest of its group, then let it go.
  void reap() noexcept {
    ::kill(-pid_, SIGKILL);
    int status = 0;
    pid_t got = 0;
    do {
      got = ::waitpid(pid_, &status, 0);
    } while (got < 0 && errno == EINTR);
    reaped_ = true;
    warden_.strike(pid_, number_);
    if (got < 0) {
      status_.code = 255;  // the host ignores SIGCHLD: the kernel kept nothing to tell
    } else if (WIFSIGNALED(status)) {
      status_.signal = WTERMSIG(status);
    } else {
      status_.code = WEXITSTATUS(status);
    }
  }

  void kill_and_reap() noexcept {
    end_.close();
    if (pid_ > 0 && !reaped_) reap();
  }

  void fire() noexcept override {
    if (!reaped_) {
      check_end();
      if (!reaped_) core_.timers().arm(*this, core_.timers().now() + poll_interval);
      return;
    }
    stdout_.close();
    stderr_.close();
    changed_.notify_all();
  }

  LoopCore& core_;
  ChildList* siblings_;
  const Warden& warden_;
  Output stdout_;
  Output stderr_;
  EndWatch end_;
  Wakeup changed_;
  ExitStatus status_;
  pid_t pid_ = 0;
  std::uint64_t number_ = 0;
  bool reaped_ = false;
  bool delivering_ = false;
};

void Output::on_events(std::uint32_t) {
  std::array<char, 16 * 1024> buffer;
  // A bound per turn, so that a chatterbox does not starve the others.
  for (int pieces = 0; pieces < 8;) {
    const ssize_t got = ::read(fd(), buffer.data(), buffer.size());
    if (got > 0) {
      ++pieces;
      child_.deliver(callback_, std::string_view(buffer.data(), static_cast<std::size_t>(got)));
      continue;
    }
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    close();
    child_.output_ended();
    return;
  }
  retry_next_turn();
}

void EndWatch::on_events(std::uint32_t) { child_.check_end(); }

class ChildProcesses final : public PosixProcesses {
 public:
  explicit ChildProcesses(LoopCore& core) noexcept : core_(core) {}
  ~ChildProcesses() override {
    for (PosixChild* child : children_) child->orphan();
  }

  Result<std::unique_ptr<Process>> spawn(const ProcessOptions& options) override {
    if (options.argv.empty() || options.argv.front().empty()) {
      return fail(Errc::invalid_argument, "spawn: no program is named");
    }
    FileDescriptor null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    if (null.fd < 0) return posix_error(errno, "/dev/null");
    auto child = std::make_unique<PosixChild>(core_, options, children_, warden_);
    FileDescriptor output;
    FileDescriptor error_output;
    if (auto done = capture(options.on_stdout, child->standard_output(), output); !done) {
      return done.error();
    }
    if (auto done = capture(options.on_stderr, child->standard_error(), error_output); !done) {
      return done.error();
    }
    Result<Pipe> report = make_pipe();
    if (!report) return report.error();

    warden_.start();
    std::uint64_t number = 0;
    std::vector<std::string> assignments{warden_.next_mark(number)};
    Plan plan = make_plan(options, assignments);
    plan.input = null.fd;
    plan.output = output.fd >= 0 ? output.fd : null.fd;
    plan.error_output = error_output.fd >= 0 ? error_output.fd : null.fd;
    plan.report = report->write.fd;
    plan.warden = &warden_;
    plan.number = number;
    const pid_t pid = fork_child(plan);
    if (pid < 0) return posix_error(errno, "fork");
    ::setpgid(pid, pid);  // also here, so that a signal sent right away finds the group
    child->started(pid, number);

    report->write = FileDescriptor();
    Failure failure{};
    ssize_t got = 0;
    do {
      got = ::read(report->read.fd, &failure, sizeof failure);
    } while (got < 0 && errno == EINTR);
    if (got == sizeof failure) return explain(failure, options);  // the child is reaped here
    return std::unique_ptr<Process>(std::move(child));
  }

 private:
  static Result<void> capture(const std::function<void(std::string_view)>& callback, Output& output,
                              FileDescriptor& write_end) {
    if (!callback) return {};
    Result<Pipe> pipe = make_pipe();
    if (!pipe) return pipe.error();
    ::fcntl(pipe->read.fd, F_SETFL, O_NONBLOCK);
    write_end = std::move(pipe->write);
    return output.adopt(pipe->read.release(), EPOLLIN);
  }

  static Plan make_plan(const ProcessOptions& options, std::vector<std::string>& assignments) {
    Plan plan;
    for (const std::string& argument : options.argv) {
      plan.argv.push_back(const_cast<char*>(argument.c_str()));
    }
    plan.argv.push_back(nullptr);
    for (const auto& [name, value] : options.environment) {
      assignments.push_back(name + "=" + value);
    }
    for (const std::string& assignment : assignments) {
      if (assignment.empty()) continue;
      plan.environment.push_back(const_cast<char*>(assignment.c_str()));
    }
    plan.environment.push_back(nullptr);
    plan.candidates = candidate_paths(options);
    if (!options.root_directory.empty()) plan.root = options.root_directory.c_str();
    if (!options.working_directory.empty()) plan.directory = options.working_directory.c_str();
    plan.parent = ::getpid();
    return plan;
  }

  static pid_t fork_child(const Plan& plan) {
    const BlockSignals blocked;  // the host's handlers must not run in the child
    const pid_t pid = ::fork();
    if (pid == 0) run_child(plan);
    return pid;
  }

  static Error explain(const Failure& failure, const ProcessOptions& options) {
    switch (failure.stage) {
      case Stage::descriptors: return posix_error(failure.error, "spawn");
      case Stage::root: return posix_error(failure.error, "chroot " + options.root_directory);
      case Stage::directory: return posix_error(failure.error, options.working_directory);
      case Stage::program: break;
    }
    return posix_error(failure.error, options.argv.front());
  }

  LoopCore& core_;
  Warden warden_;
  ChildList children_;
};

}  // namespace

std::unique_ptr<PosixProcesses> make_posix_processes(LoopCore& core) {
  return std::make_unique<ChildProcesses>(core);
}

}  // namespace knative::base
