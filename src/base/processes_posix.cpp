// Child processes of the real world: one process group each, ends told by a pidfd, no signal
// handler, and nothing reaped but our own.
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <utility>

#include "base/cgroups.hpp"
#include "base/child.hpp"
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
class ChildProcesses;

class PosixChild final : public Process, private TimerNode {
 public:
  PosixChild(LoopCore& core, const ProcessOptions& options, ChildProcesses& owner,
             ChildList& siblings, const Warden& warden)
      : core_(core),
        owner_(owner),
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
    if (host_ != nullptr) std::erase(host_->guests_, this);
    for (PosixChild* guest : guests_) guest->host_ = nullptr;
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

  /// While it waits in its namespaces.
  Result<void> set_up_network(pid_t pid, const ProcessOptions& options) {
    Result<std::shared_ptr<Network>> made = make_network_inside(core_, pid, isolation_->address);
    if (!made) return made.error().within("isolation");
    network_ = std::move(*made);
    return options.on_network ? options.on_network(*network_) : Result<void>();
  }

  /// Before `started`: in namespaces of its own, or those of `host`.
  void isolate(const Isolation& isolation, std::unique_ptr<Cgroup> group) {
    isolation_ = isolation;
    group_ = std::move(group);
  }
  void isolate_in(PosixChild& host) {
    isolation_ = host.isolation_;
    host_ = &host;
    host.guests_.push_back(this);
  }
  const std::optional<Isolation>& isolation() const noexcept { return isolation_; }
  const Cgroup* group() const noexcept { return group_.get(); }
  int pidfd() const noexcept { return end_.fd(); }
  bool ended() const noexcept { return reaped_; }

  int pid() const noexcept override { return pid_; }

  Result<ProcessUsage> usage() const override {
    return group_ ? group_->usage() : Process::usage();
  }
  Result<std::unique_ptr<Process>> enter(const ProcessOptions& options) override;
  std::shared_ptr<Network> network() const override { return network_; }

  Task<ExitStatus> wait() override {
    while (!finished()) co_await changed_.wait();
    co_return status_;
  }

  void signal(int number) noexcept override {
    if (pid_ <= 0 || reaped_) return;
    if (number == SIGKILL) lift_cpu_limit();
    ::kill(-pid_, number);
  }

  /// The child may have ended: reap it if so.
  void check_end() {
    if (!reaped_ && has_ended()) end();
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

  void end() noexcept {
    end_.close();
    disarm();
    reap();
    // Whatever it left behind is dead now, so the pipes end, unless somebody left the group.
    if (!finished()) core_.timers().arm(*this, core_.timers().now() + drain_time_max);
    changed_.notify_all();
  }

  /// The leader is a zombie or about to be one: end the rest of its group, then let it go.
  void reap() noexcept {
    ::kill(-pid_, SIGKILL);
    // The first one of a namespace does not end before everybody in it has been reaped.
    for (PosixChild* guest : guests_) {
      if (guest->pid_ > 0 && !guest->reaped_) guest->end();
    }
    int status = 0;
    pid_t got = 0;
    do {
      got = ::waitpid(pid_, &status, 0);
    } while (got < 0 && errno == EINTR);
    reaped_ = true;
    if (isolation_) {
      warden_.leave(pid_, number_);
    } else {
      warden_.strike(pid_, number_);
    }
    if (got < 0) {
      status_.code = 255;  // the host ignores SIGCHLD: the kernel kept nothing to tell
    } else if (WIFSIGNALED(status)) {
      status_.signal = WTERMSIG(status);
    } else {
      status_.code = WEXITSTATUS(status);
    }
    const Cgroup* const counted = host_ != nullptr ? host_->group_.get() : group_.get();
    const bool killed = status_.signal == SIGKILL || status_.code == 128 + SIGKILL;
    status_.out_of_memory = killed && counted != nullptr && counted->out_of_memory();
    group_.reset();
  }

  void kill_and_reap() noexcept {
    end_.close();
    if (pid_ <= 0 || reaped_) return;
    lift_cpu_limit();
    reap();
  }

  /// Thousands who share little end slowly, and somebody may wait for it.
  void lift_cpu_limit() const noexcept {
    if (group_) group_->lift_cpu_limit();
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
  ChildProcesses& owner_;
  ChildList* siblings_;
  std::optional<Isolation> isolation_;
  std::unique_ptr<Cgroup> group_;
  std::shared_ptr<Network> network_;
  PosixChild* host_ = nullptr;  ///< In whose namespaces it is.
  ChildList guests_;            ///< Who is in its own.
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
    return start(options, nullptr);
  }

  /// `host`: in whose isolation, or null.
  Result<std::unique_ptr<Process>> start(const ProcessOptions& options, PosixChild* host) {
    if (options.argv.empty() || options.argv.front().empty()) {
      return fail(Errc::invalid_argument, "spawn: no program is named");
    }
    if (options.isolation && !options.root_directory.empty()) {
      return fail(Errc::invalid_argument, "spawn: two roots are named");
    }
    FileDescriptor null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    if (null.fd < 0) return posix_error(errno, "/dev/null");
    auto child = std::make_unique<PosixChild>(core_, options, *this, children_, warden_);
    FileDescriptor output;
    FileDescriptor error_output;
    if (auto done = capture(options.on_stdout, child->standard_output(), output); !done) {
      return done.error();
    }
    if (auto done = capture(options.on_stderr, child->standard_error(), error_output); !done) {
      return done.error();
    }

    warden_.start();
    std::uint64_t number = 0;
    std::vector<std::string> assignments{warden_.next_mark(number)};
    std::optional<IsolationPlan> isolation;
    if (Result<void> done = isolate(*child, options, host, number, isolation); !done) {
      return done.error();
    }
    if (isolation) assignments.clear();  // it needs no mark, and could read it
    ChildPlan plan = make_plan(options, assignments);
    plan.input = null.fd;
    plan.output = output.fd >= 0 ? output.fd : null.fd;
    plan.error_output = error_output.fd >= 0 ? error_output.fd : null.fd;
    plan.warden = &warden_;
    plan.number = number;
    if (isolation) plan.isolation = &*isolation;
    plan.group = host != nullptr ? host->group() : child->group();
    if (host != nullptr) plan.joined = host->pidfd();
    if (plan.group != nullptr) {
      Result<std::vector<FileDescriptor>> entrances = plan.group->entrances();
      if (!entrances) return entrances.error().within("isolation");
      plan.entrances = std::move(*entrances);
    }
    if (isolation && isolation->raises_network()) {
      plan.prepare = [&](pid_t pid) { return child->set_up_network(pid, options); };
    }
    Result<pid_t> pid = starter_.start(plan, options);
    if (options.isolation && !options.isolation->upper.empty()) {
      // The kernel's folder in the overlay's own, which only root could remove as it is made.
      static_cast<void>(::chmod((options.isolation->upper + "/overlay/work").c_str(), 0700));
    }
    if (!pid) return pid.error();
    child->started(*pid, number);
    return std::unique_ptr<Process>(std::move(child));
  }

  IsolationSupport isolation(const std::string& directory) override {
    IsolationSupport support;
    std::string folder = directory + "/probe-" + std::string(6, 'X');  // mkdtemp(3) fills them in
    if (::mkdtemp(folder.data()) == nullptr) {
      support.reason = posix_error(errno, folder).detail;
      return support;
    }
    Isolation trial;
    trial.root = folder + "/image";
    trial.upper = folder + "/upper";
    for (const std::string& made : {trial.root, trial.upper}) ::mkdir(made.c_str(), 0755);
    Result<void> tried = try_out(trial);
    support.overlay = tried.has_value();
    if (!tried) {
      trial.upper.clear();
      tried = try_out(trial);
    }
    support.possible = tried.has_value();
    if (!tried) support.reason = tried.error().detail;
    std::error_code ignored;
    std::filesystem::remove_all(folder, ignored);
    support.any_user = support.own_network = ::geteuid() == 0;
    const CgroupHierarchies& groups = hierarchies();
    groups.sweep(std::chrono::minutes(1));
    support.memory_limit = !groups.memory.empty();
    support.cpu_limit = !groups.cpu.empty();
    support.process_limit = !groups.processes.empty();
    return support;
  }

 private:
  /// Everything but a program, of which there is none.
  Result<void> try_out(const Isolation& trial) {
    ProcessOptions options;
    options.argv = {"/none"};
    options.isolation = trial;
    const Result<std::unique_ptr<Process>> started = spawn(options);
    if (!started && started.error().code == Errc::not_found &&
        started.error().detail.find("isolation") == std::string::npos) {
      return {};
    }
    if (started) return fail(Errc::internal, "a program that is not there has started");
    return started.error();
  }

  const CgroupHierarchies& hierarchies() {
    if (!hierarchies_) hierarchies_ = CgroupHierarchies::find();
    return *hierarchies_;
  }

  Result<void> isolate(PosixChild& child, const ProcessOptions& options, PosixChild* host,
                       std::uint64_t number, std::optional<IsolationPlan>& plan) {
    if (host != nullptr) {
      child.isolate_in(*host);
    } else if (options.isolation) {
      const std::string name = group_name(number);
      Result<std::unique_ptr<Cgroup>> group =
          Cgroup::make(hierarchies(), name, options.isolation->limits);
      if (!group) return group.error().within("isolation");
      child.isolate(*options.isolation, std::move(*group));
    } else {
      return {};
    }
    Result<IsolationPlan> made = host != nullptr
                                     ? IsolationPlan::joining(*child.isolation())
                                     : IsolationPlan::make(*child.isolation(), child.group());
    if (!made) return made.error();
    plan = std::move(*made);
    return {};
  }

  /// Not that of anybody else, nor of an earlier process of this number.
  std::string group_name(std::uint64_t number) {
    if (chance_ == 0) static_cast<void>(::getrandom(&chance_, sizeof chance_, 0));
    return std::string(group_prefix) + std::to_string(::getpid()) + "-" +
           std::to_string(chance_ % 1'000'000'000) + "-" + std::to_string(number);
  }

  static Result<void> capture(const std::function<void(std::string_view)>& callback, Output& output,
                              FileDescriptor& write_end) {
    if (!callback) return {};
    Result<Pipe> pipe = make_pipe();
    if (!pipe) return pipe.error();
    ::fcntl(pipe->read.fd, F_SETFL, O_NONBLOCK);
    write_end = std::move(pipe->write);
    return output.adopt(pipe->read.release(), EPOLLIN);
  }

  static ChildPlan make_plan(const ProcessOptions& options, std::vector<std::string>& assignments) {
    ChildPlan plan;
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
    return plan;
  }

  LoopCore& core_;
  Warden warden_;
  ChildStarter starter_;
  std::optional<CgroupHierarchies> hierarchies_;
  std::uint64_t chance_ = 0;
  ChildList children_;
};

Result<std::unique_ptr<Process>> PosixChild::enter(const ProcessOptions& options) {
  if (!isolation_ || host_ != nullptr) return Process::enter(options);
  if (options.isolation) return fail(Errc::invalid_argument, "enter: another isolation is named");
  if (reaped_) return fail(Errc::failed_precondition, "it has ended");
  return owner_.start(options, this);
}

}  // namespace

std::unique_ptr<PosixProcesses> make_posix_processes(LoopCore& core) {
  return std::make_unique<ChildProcesses>(core);
}

}  // namespace knative::base
