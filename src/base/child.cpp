#include "base/child.hpp"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <optional>
#include <string>

#include "base/after_fork.hpp"
#include "base/block_signals.hpp"
#include "base/mount_calls.hpp"
#include "base/posix_error.hpp"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define KNATIVE_CHILD_COPIES_MEMORY 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define KNATIVE_CHILD_COPIES_MEMORY 1
#endif
#endif

namespace knative::base {
namespace {

/// Where starting a child failed, or how far it is.
enum class Stage : int { descriptors, root, view, directory, program, isolation, joined };

struct Report {
  Stage stage = Stage::program;
  int error = 0;
  const char* what = nullptr;  ///< A text that the host has at the same address.
  pid_t pid = 0;               ///< Of who has joined.
};

/// A plan and the ways between host and child.
struct Start {
  const ChildPlan* plan = nullptr;
  int report = -1;
  int go = -1;       ///< The child's end: something to read means that the host is ready.
  int go_host = -1;  ///< The host's end, as the child has it, too.
  pid_t parent = 0;
  char* second_stack = nullptr;
};

[[noreturn]] void child_failed(const Start& start, Stage stage, int error,
                               const char* what = nullptr) noexcept {
  const Report report{stage, error, what, 0};
  const ssize_t ignored = ::write(start.report, &report, sizeof report);
  (void)ignored;
  ::_exit(127);
}

/// Until the host has done its part (it may be gone instead); then into the control group.
void await_host(const Start& start) noexcept {
  char byte = 0;
  ::close(start.go_host);
  if (::read(start.go, &byte, 1) != 1) ::_exit(127);
  for (const FileDescriptor& entrance : start.plan->entrances) {
    if (::write(entrance.fd, "0", 1) == 1) continue;
    child_failed(start, Stage::isolation, errno, "control group");
  }
}

void die_with_host() noexcept { ::prctl(PR_SET_PDEATHSIG, SIGKILL); }

void set_descriptors(const Start& start) noexcept {
  const ChildPlan& plan = *start.plan;
  if (::dup2(plan.input, 0) < 0 || ::dup2(plan.output, 1) < 0 || ::dup2(plan.error_output, 2) < 0) {
    child_failed(start, Stage::descriptors, errno);
  }
  // Descriptors of the host that lack the flag must not live on in the child.
  ::syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC);
}

/// Whether `path`, or what it is interpreted by, is behind one of the links of /proc that lead out
/// of every root: until the exec the child's own is the host's program, and who runs that holds a
/// way to write to it.
bool leads_out(const char* path) noexcept {
  char interpreter[256];
  for (int depth = 0; depth < 6; ++depth) {  // the kernel follows five
    const std::uint64_t how[3] = {O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0, resolve_no_magic_links};
    const int file = static_cast<int>(::syscall(call_openat2, AT_FDCWD, path, how, sizeof how));
    if (file < 0) return errno == ELOOP;
    char line[sizeof interpreter];
    ssize_t size = ::read(file, line, sizeof line - 1);
    ::close(file);
    if (size < 2 || line[0] != '#' || line[1] != '!') return false;
    ssize_t begin = 2;
    while (begin < size && (line[begin] == ' ' || line[begin] == '\t')) ++begin;
    ssize_t length = 0;
    for (; begin + length < size; ++length) {
      const char c = line[begin + length];
      if (c == ' ' || c == '\t' || c == '\n' || c == '\0') break;
      interpreter[length] = c;
    }
    interpreter[length] = '\0';
    path = interpreter;
  }
  return false;
}

[[noreturn]] void execute(const Start& start) noexcept {
  const ChildPlan& plan = *start.plan;
  if (plan.directory != nullptr && ::chdir(plan.directory) < 0) {
    child_failed(start, Stage::directory, errno);
  }
  reset_signals();
  int error = ENOENT;
  for (const std::string& path : plan.candidates) {
    if (plan.isolation != nullptr && leads_out(path.c_str())) {
      child_failed(start, Stage::program, EACCES);
    }
    ::execve(path.c_str(), plan.argv.data(), plan.environment.data());
    // As a shell does: go on looking, but remember what was there and could not be run.
    if (errno != ENOENT && errno != ENOTDIR) error = errno;
    if (errno != ENOENT && errno != ENOTDIR && errno != EACCES) break;
  }
  child_failed(start, Stage::program, error);
}

int run_plain(void* argument) noexcept {
  const Start& start = *static_cast<const Start*>(argument);
  const ChildPlan& plan = *start.plan;
  ::setpgid(0, 0);
  // The kernel kills us when the thread that made us ends, however it ends.
  die_with_host();
  if (::getppid() != start.parent) ::_exit(127);
  plan.warden->enter_self();
  plan.warden->mark_self(plan.number);
  set_descriptors(start);
  if (plan.root != nullptr && (::chroot(plan.root) < 0 || ::chdir("/") < 0)) {
    child_failed(start, Stage::root, errno);
  }
  SetupFailure failure;
  if (plan.view != nullptr && !plan.view->enter(failure)) {
    child_failed(start, Stage::view, failure.error, failure.what);
  }
  execute(start);
}

[[noreturn]] void restrict_and_execute(const Start& start) noexcept {
  SetupFailure failure;
  set_descriptors(start);
  if (!start.plan->isolation->restrict(failure)) {
    child_failed(start, Stage::isolation, failure.error, failure.what);
  }
  die_with_host();  // another user forgets it
  execute(start);
}

int run_isolated(void* argument) noexcept {
  const Start& start = *static_cast<const Start*>(argument);
  await_host(start);
  ::setsid();  // a leader of a session cannot leave its group
  die_with_host();
  SetupFailure failure;
  if (!start.plan->isolation->enter(start.plan->directory, failure)) {
    child_failed(start, Stage::isolation, failure.error, failure.what);
  }
  restrict_and_execute(start);
}

int run_joined(void* argument) noexcept {
  const Start& start = *static_cast<const Start*>(argument);
  await_host(start);
  ::setsid();
  die_with_host();
  restrict_and_execute(start);
}

constexpr std::size_t stack_bytes = std::size_t{64} << 10;

/// Like clone(2), with memory shared where that is allowed.
pid_t clone_child(int (*function)(void*), char* stack, int flags, Start& start) {
#ifdef KNATIVE_CHILD_COPIES_MEMORY
  static_cast<void>(stack);
  const long pid = ::syscall(SYS_clone, static_cast<unsigned long>(flags | SIGCHLD), 0, 0, 0, 0);
  if (pid == 0) ::_exit(function(&start));
  return static_cast<pid_t>(pid);
#else
  return ::clone(function, stack + stack_bytes, flags | CLONE_VM | SIGCHLD, &start);
#endif
}

/// Enters namespaces and starts a sibling there: a process itself cannot change to another
/// namespace of processes, only what it starts, and the host's cannot change who they are.
int run_joiner(void* argument) noexcept {
  Start& start = *static_cast<Start*>(argument);
  SetupFailure failure;
  const IsolationPlan& isolation = *start.plan->isolation;
  const PreparedNamespaces* const prepared = start.plan->prepared;
  const bool joined = prepared != nullptr ? IsolationPlan::join(*prepared, failure)
                                          : isolation.join(start.plan->joined, failure);
  if (!joined) child_failed(start, Stage::isolation, failure.error, failure.what);
  const pid_t pid = clone_child(isolation.has_own_root() ? run_isolated : run_joined,
                                start.second_stack, isolation.clone_flags() | CLONE_PARENT, start);
  if (pid < 0) child_failed(start, Stage::isolation, errno, "clone");
  const Report report{Stage::joined, 0, nullptr, pid};
  const ssize_t ignored = ::write(start.report, &report, sizeof report);
  (void)ignored;
  ::_exit(0);
}

/// Is in its namespaces until somebody holds them.
int run_holder(void* argument) noexcept {
  const Start& start = *static_cast<const Start*>(argument);
  die_with_host();
  ::close(start.go_host);
  char byte = 0;
  ::_exit(::read(start.go, &byte, 1) == 1 ? 0 : 127);
}

std::optional<Report> read_report(int from) {
  Report report;
  ssize_t got = 0;
  do {
    got = ::read(from, &report, sizeof report);
  } while (got < 0 && errno == EINTR);
  if (got != sizeof report) return std::nullopt;
  return report;
}

void reap(pid_t pid) {
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

Error explain(const Report& report, const ProcessOptions& options) {
  switch (report.stage) {
    case Stage::joined:
    case Stage::descriptors: return posix_error(report.error, "spawn");
    case Stage::root: return posix_error(report.error, "chroot " + options.root_directory);
    case Stage::view: return posix_error(report.error, std::string("view: ") + report.what);
    case Stage::directory: return posix_error(report.error, options.working_directory);
    case Stage::isolation:
      return posix_error(report.error, std::string("isolation: ") + report.what);
    case Stage::program: break;
  }
  return posix_error(report.error, options.argv.front());
}

/// Nobody looks into the host's memory through a child that shares it and has other rights; and
/// what changing those does to the host's own is undone.
class Undumpable {
 public:
  Undumpable() noexcept : before_(::prctl(PR_GET_DUMPABLE)) { ::prctl(PR_SET_DUMPABLE, 0); }
  ~Undumpable() {
    if (before_ == 1) ::prctl(PR_SET_DUMPABLE, 1);
  }
  Undumpable(const Undumpable&) = delete;
  Undumpable& operator=(const Undumpable&) = delete;

 private:
  const int before_;
};

/// Takes the host's part in the start of an isolated child, which waits for it.
Result<void> prepare(const ChildPlan& plan, pid_t pid) {
  if (plan.joined < 0 && plan.prepared == nullptr) {
    if (Result<void> mapped = plan.isolation->map_users(pid); !mapped) return mapped;
  }
  if (plan.group != nullptr) {
    if (Result<void> added = plan.group->add(pid); !added) return added;
  }
  plan.warden->enter(pid, plan.number, plan.isolation->has_own_root() ? plan.group : nullptr);
  return plan.prepare ? plan.prepare(pid) : Result<void>();
}

}  // namespace

Result<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) < 0) return posix_error(errno, "pipe");
  return Pipe{FileDescriptor(ends[0]), FileDescriptor(ends[1])};
}

struct ChildStarter::Stack {
  alignas(64) std::array<char, 2 * stack_bytes> bytes;
};

ChildStarter::ChildStarter() : stack_(std::make_shared<Stack>()) {}

Result<pid_t> ChildStarter::start(const ChildPlan& plan, const ProcessOptions& options) {
  Result<Pipe> report = make_pipe();
  if (!report) return report.error();
  Start start{&plan, report->write.fd, -1, -1, ::getpid(), stack_->bytes.data() + stack_bytes};
  char* const stack = stack_->bytes.data();
  const BlockSignals blocked;  // the host's handlers must not run in the child
  if (plan.isolation == nullptr) {
    const pid_t pid = clone_child(run_plain, stack, CLONE_VFORK, start);
    if (pid < 0) return posix_error(errno, "fork");
    report->write = FileDescriptor();
    const std::optional<Report> failure = read_report(report->read.fd);
    if (!failure) return pid;
    reap(pid);
    plan.warden->strike(pid, plan.number);
    return explain(*failure, options);
  }

  Result<Pipe> go = make_pipe();
  if (!go) return go.error();
  start.go = go->read.fd;
  start.go_host = go->write.fd;
  const bool joins = plan.joined >= 0 || plan.prepared != nullptr;
  std::optional<Undumpable> undumpable;
  if (joins) undumpable.emplace();
  pid_t pid = clone_child(joins ? run_joiner : run_isolated, stack,
                          joins ? 0 : plan.isolation->clone_flags(), start);
  if (pid < 0) return posix_error(errno, "isolation: namespaces");
  report->write = FileDescriptor();
  if (joins) {
    const std::optional<Report> joined = read_report(report->read.fd);
    reap(pid);
    if (!joined) return fail(Errc::internal, "isolation: the way in has ended");
    if (joined->stage != Stage::joined) return explain(*joined, options);
    pid = joined->pid;
  }
  const auto undo = [&](Error error) {
    ::kill(pid, SIGKILL);
    reap(pid);
    plan.warden->leave(pid, plan.number);
    return error;
  };
  if (Result<void> prepared = prepare(plan, pid); !prepared) return undo(prepared.error());
  if (!joins) undumpable.emplace();  // not before: the maps are files of whom can be looked into
  if (::write(go->write.fd, "g", 1) != 1) return undo(posix_error(errno, "isolation"));
  if (const std::optional<Report> failure = read_report(report->read.fd)) {
    return undo(explain(*failure, options));
  }
  return pid;
}

Result<PreparedNamespaces> ChildStarter::prepare_namespaces() {
  Result<Pipe> go = make_pipe();
  if (!go) return go.error();
  Start start;
  start.go = go->read.fd;
  start.go_host = go->write.fd;
  const BlockSignals blocked;
  const pid_t pid =
      clone_child(run_holder, stack_->bytes.data(), CLONE_NEWUSER | CLONE_NEWNET, start);
  if (pid < 0) return posix_error(errno, "isolation: namespaces");
  const std::string folder = "/proc/" + std::to_string(pid) + "/ns/";
  PreparedNamespaces made{FileDescriptor(::open((folder + "user").c_str(), O_RDONLY | O_CLOEXEC)),
                          FileDescriptor(::open((folder + "net").c_str(), O_RDONLY | O_CLOEXEC))};
  Result<void> done;
  if (made.users.fd < 0 || made.network.fd < 0) done = posix_error(errno, folder);
  if (done) done = IsolationPlan::map_everybody(pid);
  go->write = FileDescriptor();  // whatever it says, it ends
  reap(pid);
  if (!done) return done.error();
  return made;
}

}  // namespace knative::base
