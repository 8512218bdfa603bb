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
#include <fstream>
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
/// After the end of an isolated one, before what is left of it is cleared away.
constexpr Duration clearing_delay = std::chrono::milliseconds(1);
/// After the start of an isolated one, before namespaces for the next are prepared: not between
/// those of a burst.
constexpr Duration preparing_delay = std::chrono::milliseconds(5);

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

/// What outlives the first process of an isolation for a moment, so that nobody waits for it.
struct Remains {
  FileDescriptor mounts;  ///< Its namespace: unmounted when this is closed.
  std::unique_ptr<Cgroup> group;
  std::uint64_t number = 0;  ///< Of the child.
};

class PosixChild final : public Process, private TimerNode {
 public:
  PosixChild(LoopCore& core, const ProcessOptions& options, ChildProcesses& owner,
             ChildList& siblings, const Warden& warden)
      : core_(core),
        owner_(owner),
        siblings_(&siblings),
        freezable_(options.freezable),
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

  /// While it waits in its namespaces: they stay until its remains are cleared away.
  void hold_mounts(pid_t pid) {
    const std::string path = "/proc/" + std::to_string(pid) + "/ns/mnt";
    mounts_ = FileDescriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
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
  /// In its users and its network; the rest is its own.
  void isolate_beside(const PosixChild& host) { network_ = host.network_; }
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

  Result<void> freeze() override {
    if (!freezable_ || host_ != nullptr) return Process::freeze();
    if (reaped_) return fail(Errc::failed_precondition, "it has ended");
    Result<void> done = keep_from_running(true);
    frozen_ = done.has_value();
    return done;
  }
  Result<void> thaw() override {
    if (!frozen_ || reaped_) return {};
    Result<void> done = keep_from_running(false);
    frozen_ = !done;
    return done;
  }

  Task<ExitStatus> wait() override {
    while (!finished()) co_await changed_.wait();
    co_return status_;
  }

  void signal(int number) noexcept override {
    if (pid_ <= 0 || reaped_) return;
    if (number == SIGKILL) lift_cpu_limit();
    ::kill(-pid_, number);
    if (number == SIGKILL) static_cast<void>(thaw());  // else it would not end
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
    if (frozen_) static_cast<void>(keep_from_running(false));  // else it would not end
    frozen_ = false;
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
    if (group_) {
      warden_.leave(pid_, 0);  // its groups are still there
    } else if (isolation_) {
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
    if (group_) clear_later();
  }
  void clear_later() noexcept;

  Result<void> keep_from_running(bool frozen) const noexcept {
    if (isolation_) return group_->freeze(frozen);
    if (::kill(-pid_, frozen ? SIGSTOP : SIGCONT) == 0) return {};
    return posix_error(errno, frozen ? "freezing" : "thawing");
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
  const bool freezable_;
  bool frozen_ = false;
  std::optional<Isolation> isolation_;
  std::unique_ptr<Cgroup> group_;
  FileDescriptor mounts_;
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

class ChildProcesses final : public PosixProcesses, private TimerNode {
 public:
  explicit ChildProcesses(LoopCore& core) noexcept : core_(core) {}
  ~ChildProcesses() override {
    for (PosixChild* child : children_) child->orphan();
    disarm();
  }

  /// What is left of an isolated one that has ended. Soon, and not now.
  void clear_later(Remains remains) {
    remains_.push_back(std::move(remains));
    work_at(core_.timers().now() + clearing_delay);
  }

  Result<std::unique_ptr<Process>> spawn(const ProcessOptions& options) override {
    return start(options, nullptr);
  }

  /// `host`: in whose isolation, or beside whom when `options` has one; or null.
  Result<std::unique_ptr<Process>> start(const ProcessOptions& options, PosixChild* host) {
    if (Result<void> good = check(options, host); !good) return good.error();
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
    Result<OwnView> view = OwnView::make(options.view);
    if (!view) return view.error();
    if (!options.view.empty()) plan.view = &*view;
    plan.input = null.fd;
    plan.output = output.fd >= 0 ? output.fd : null.fd;
    plan.error_output = error_output.fd >= 0 ? error_output.fd : null.fd;
    plan.warden = &warden_;
    plan.number = number;
    if (isolation) plan.isolation = &*isolation;
    plan.group = child->group() != nullptr || host == nullptr ? child->group() : host->group();
    FileDescriptor container;
    if (host != nullptr) {
      if (Result<void> done = find_container(*host, container); !done) return done.error();
      plan.joined = container.fd >= 0 ? container.fd : host->pidfd();
    }
    if (plan.group != nullptr) {
      Result<std::vector<FileDescriptor>> entrances = plan.group->entrances();
      if (!entrances) return entrances.error().within("isolation");
      plan.entrances = std::move(*entrances);
    }
    if (isolation && isolation->has_own_root()) {
      if (prepared_ && isolation->may_be_prepared()) {
        isolation->use_prepared();
        plan.prepared = &*prepared_;
      }
      plan.prepare = [&](pid_t pid) -> Result<void> {
        child->hold_mounts(pid);
        return isolation->raises_network() ? child->set_up_network(pid, options) : Result<void>();
      };
    }
    Result<pid_t> pid = starter_.start(plan, options);
    if (plan.prepared != nullptr) prepared_.reset();
    if (options.isolation) make_removable(*options.isolation);
    if (!pid) return pid.error();
    if (isolation && isolation->may_be_prepared()) prepare_later();
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
    support.own_view = can_view(folder);
    std::error_code ignored;
    std::filesystem::remove_all(folder, ignored);
    support.any_user = support.own_network = ::geteuid() == 0;
    const CgroupHierarchies& groups = hierarchies();
    groups.sweep(std::chrono::minutes(1));
    support.memory_limit = !groups.memory.empty();
    support.cpu_limit = !groups.cpu.empty();
    support.process_limit = !groups.processes.empty();
    support.freezing = !groups.freezer.empty();
    return support;
  }

 private:
  Result<void> try_out(const Isolation& trial) {
    ProcessOptions options;
    options.isolation = trial;
    return try_out(std::move(options), "isolation: ");
  }

  /// Without privilege it would take a namespace of users, in which programs have fewer rights.
  bool can_view(const std::string& folder) {
    if (::geteuid() != 0) return false;
    ProcessOptions options;
    options.view = {{folder, "/knative-view", true, 0, {}}};
    return try_out(std::move(options), "view: ").has_value();
  }

  /// Everything but a program, of which there is none.
  Result<void> try_out(ProcessOptions options, std::string_view stage) {
    options.argv = {"/none"};
    const Result<std::unique_ptr<Process>> started = spawn(options);
    if (!started && started.error().code == Errc::not_found &&
        started.error().detail.find(stage) == std::string::npos) {
      return {};
    }
    if (started) return fail(Errc::internal, "a program that is not there has started");
    return started.error();
  }

  static Result<void> check(const ProcessOptions& options, const PosixChild* host) {
    if (options.argv.empty() || options.argv.front().empty()) {
      return fail(Errc::invalid_argument, "spawn: no program is named");
    }
    if (options.isolation && !options.root_directory.empty()) {
      return fail(Errc::invalid_argument, "spawn: two roots are named");
    }
    const bool rooted = options.isolation || !options.root_directory.empty() || host != nullptr;
    if (!options.view.empty() && rooted) {
      return fail(Errc::invalid_argument, "spawn: a view is of this machine, without a root");
    }
    return {};
  }

  /// The kernel's folders in the overlay's own, which only root could remove as they are made.
  static void make_removable(const Isolation& isolation) {
    if (isolation.upper.empty()) return;
    for (const char* made :
         {"/overlay/work", "/overlay/work/incompat", "/overlay/work/incompat/volatile"}) {
      static_cast<void>(::chmod((isolation.upper + made).c_str(), 0700));
    }
  }

  // One is kept, once there was one to keep it for.
  void prepare_later() {
    prepare_at_ = core_.timers().now() + preparing_delay;
    work_at(*prepare_at_);
  }

  void work_at(Instant when) {
    if (armed() && work_at_ <= when) return;
    work_at_ = when;
    core_.timers().arm(*this, when);
  }

  void fire() noexcept override {
    for (Remains& remains : std::exchange(remains_, {})) {
      const std::uint64_t number = remains.number;
      { const Remains cleared = std::move(remains); }
      warden_.leave(0, number);
    }
    if (!prepare_at_) return;
    if (core_.timers().now() < *prepare_at_) return work_at(*prepare_at_);
    prepare_at_.reset();
    if (prepared_) return;
    // Who finds none makes his own, and says what is wrong.
    if (Result<PreparedNamespaces> made = starter_.prepare_namespaces()) {
      prepared_ = std::move(*made);
    }
  }

  const CgroupHierarchies& hierarchies() {
    if (!hierarchies_) hierarchies_ = CgroupHierarchies::find();
    return *hierarchies_;
  }

  Result<void> isolate(PosixChild& child, const ProcessOptions& options, PosixChild* host,
                       std::uint64_t number, std::optional<IsolationPlan>& plan) {
    if (host != nullptr && !options.isolation) {
      child.isolate_in(*host);
    } else if (options.isolation) {
      const std::string name = group_name(number);
      Result<std::unique_ptr<Cgroup>> group =
          Cgroup::make(hierarchies(), name, options.isolation->limits, options.freezable);
      if (!group) return group.error().within("isolation");
      child.isolate(*options.isolation, std::move(*group));
      if (host != nullptr) child.isolate_beside(*host);
    } else {
      return {};
    }
    const Isolation& isolation = *child.isolation();
    Result<IsolationPlan> made = host == nullptr ? IsolationPlan::make(isolation, child.group())
                                 : options.isolation
                                     ? IsolationPlan::beside(isolation, child.group())
                                     : IsolationPlan::joining(isolation);
    if (!made) return made.error();
    plan = std::move(*made);
    return {};
  }

  /// Of a runtime on a stage: what it has made there.
  static Result<void> find_container(const PosixChild& host, FileDescriptor& container) {
    if (host.isolation()->stage.empty()) return {};
    const std::string tasks = "/proc/" + std::to_string(host.pid()) + "/task";
    std::error_code none;
    for (std::filesystem::directory_iterator at(tasks, none), end; !none && at != end;
         at.increment(none)) {
      std::ifstream children(at->path() / "children");
      pid_t pid = 0;
      if (!(children >> pid)) continue;
      container.fd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
      if (container.fd >= 0) return {};
    }
    return fail(Errc::failed_precondition, "its runtime has no container");
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
  std::vector<Remains> remains_;
  std::optional<PreparedNamespaces> prepared_;  ///< For the next one.
  std::optional<Instant> prepare_at_;
  Instant work_at_{};
};

void PosixChild::clear_later() noexcept {
  owner_.clear_later({std::move(mounts_), std::move(group_), number_});
}

Result<std::unique_ptr<Process>> PosixChild::enter(const ProcessOptions& options) {
  if (!isolation_ || host_ != nullptr) return Process::enter(options);
  if (options.isolation && isolation_->host_network) {
    return fail(Errc::invalid_argument, "enter: it has no network of its own");
  }
  if (reaped_) return fail(Errc::failed_precondition, "it has ended");
  return owner_.start(options, this);
}

}  // namespace

std::unique_ptr<PosixProcesses> make_posix_processes(LoopCore& core) {
  return std::make_unique<ChildProcesses>(core);
}

}  // namespace knative::base
