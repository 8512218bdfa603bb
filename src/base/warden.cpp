#include "base/warden.hpp"

#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <string_view>

#include "base/after_fork.hpp"
#include "base/block_signals.hpp"
#include "base/cgroups.hpp"

namespace knative::base {
namespace {

constexpr std::string_view mark_name = "KNATIVE_CHILD_OF";

// A limit is 4, eleven digits by chance, and seven of the child's number.
constexpr std::uint64_t limit_children = 10'000'000;
constexpr std::uint64_t limit_chances = 100'000'000'000;
constexpr std::uint64_t limit_first = 4'000'000'000'000'000'000;

// A shell, because it needs a tenth of the memory that a fork of the host would come to hold. Its
// own environment is empty, so it never finds itself. `sweep` looks again until nobody is left:
// who is being killed may just have started another.
constexpr const char script[] =
    "sweep() {\n"
    "  for turn in 1 2 3 4 5 6 7 8; do\n"
    "    found=\n"
    "    for file in $(grep -lsF -e \"$1\" -e \"$2\" /proc/[0-9]*/environ /proc/[0-9]*/limits "
    "2>/dev/null); do\n"
    "      pid=${file#/proc/}\n"
    "      kill -9 \"${pid%/*}\" 2>/dev/null && found=1\n"
    "    done\n"
    "    [ \"$found\" ] || return 0\n"
    "  done\n"
    "}\n"
    "clear_out() {\n"
    "  turn=0\n"
    "  while [ -d \"$1\" ] && [ $turn -lt 300 ]; do\n"
    "    for pid in $(cat \"$1/cgroup.procs\" 2>/dev/null); do kill -9 \"$pid\" 2>/dev/null; done\n"
    "    rmdir \"$1\" 2>/dev/null && return 0\n"
    "    turn=$((turn + 1))\n"
    "    sleep 0.01\n"
    "  done\n"
    "}\n"
    "thaw() { [ ! -e \"$1/freezer.state\" ] || echo THAWED > \"$1/freezer.state\"; }\n"
    "PATH=/usr/bin:/bin\n"
    "groups=\n"
    "folders=\n"
    "while read -r what group number; do\n"
    "  if [ \"$what\" = + ]; then groups=\"$groups $group\"; continue; fi\n"
    "  if [ \"$what\" = @ ]; then folders=\"$folders $group:$number\"; continue; fi\n"
    "  rest=\n"
    "  for other in $groups; do [ \"$other\" = \"$group\" ] || rest=\"$rest $other\"; done\n"
    "  groups=$rest\n"
    "  if [ \"$what\" = = ]; then\n"
    "    rest=\n"
    "    for folder in $folders; do\n"
    "      [ \"${folder%%:*}\" = \"$number\" ] || rest=\"$rest $folder\"\n"
    "    done\n"
    "    folders=$rest\n"
    "    continue\n"
    "  fi\n"
    "  sweep \"$1.$number.\" \"$(printf %s%07d \"$2\" $((number % 10000000)))\"\n"
    "done\n"
    "for group in $groups; do kill -9 \"-$group\" 2>/dev/null; done\n"
    "for folder in $folders; do thaw \"${folder#*:}\" 2>/dev/null; done\n"
    "for folder in $folders; do clear_out \"${folder#*:}\"; done\n"
    "sweep \"$1.\" \"$2\"\n";

/// A line "+ 123 4\n" without anything that allocates.
class Line {
 public:
  Line() { text_[--begin_] = '\n'; }
  void add(std::uint64_t number) noexcept {
    for (;; number /= 10) {
      text_[--begin_] = static_cast<char>('0' + number % 10);
      if (number < 10) break;
    }
  }
  void add(char c) noexcept { text_[--begin_] = c; }
  void send(int socket, int flags) const noexcept {
    const ssize_t ignored =
        ::send(socket, text_ + begin_, sizeof text_ - begin_, flags | MSG_NOSIGNAL);
    (void)ignored;  // a dead warden is no reason to stop
  }

 private:
  char text_[64];  ///< Filled from its end: the last word is added first.
  std::size_t begin_ = sizeof text_;
};

[[noreturn]] void run_warden(int socket, const char* id, const char* limit) noexcept {
  ::setsid();  // out of reach of a Ctrl-C that is meant for the host
  reset_signals();
  ::dup2(socket, 0);
  const int null = ::open("/dev/null", O_WRONLY);
  ::dup2(null, 1);
  ::dup2(null, 2);
  ::syscall(SYS_close_range, 3u, ~0u, 0u);
  if (::chdir("/") < 0) ::_exit(126);
  const char* const arguments[] = {"knative-warden", "-c", script, "knative-warden", id, limit,
                                   nullptr};
  const char* const environment[] = {nullptr};
  ::execve("/bin/sh", const_cast<char* const*>(arguments), const_cast<char* const*>(environment));
  ::_exit(127);
}

}  // namespace

void Warden::start() {
  if (pid_ > 0) return;
  std::uint64_t chance = 0;
  if (::getrandom(&chance, sizeof chance, 0) != static_cast<ssize_t>(sizeof chance)) return;
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) return;
  // Made before the fork: the child may not allocate.
  id_ = mark_name;
  id_.append("=").append(std::to_string(::getpid())).append("-").append(std::to_string(chance));
  limit_ = limit_first + chance % limit_chances * limit_children;
  const std::string digits = std::to_string(limit_ / limit_children);
  pid_t pid = -1;
  {
    const BlockSignals blocked;
    pid = ::fork();
    if (pid == 0) run_warden(ends[1], id_.c_str(), digits.c_str());
  }
  ::close(ends[1]);
  if (pid < 0) {
    ::close(ends[0]);
    return;
  }
  pid_ = pid;
  socket_ = ends[0];
}

Warden::~Warden() {
  if (pid_ <= 0) return;
  // It kills whoever is left and ends by itself.
  ::close(socket_);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

void Warden::enter_self() const noexcept {
  if (socket_ < 0) return;
  Line line;
  line.add(static_cast<std::uint64_t>(::getpid()));
  line.add(' ');
  line.add('+');
  line.send(socket_, 0);
}

std::string Warden::next_mark(std::uint64_t& number) {
  number = ++children_;
  if (socket_ < 0) return {};
  return id_ + "." + std::to_string(number) + ".";
}

void Warden::mark_self(std::uint64_t number) const noexcept {
  rlimit limit{};
  if (socket_ < 0 || ::getrlimit(RLIMIT_RTTIME, &limit) < 0) return;
  const rlim_t mark = limit_ + number % limit_children;
  if (limit.rlim_cur < limit_first || limit.rlim_max < mark) return;  // one is set that counts
  limit.rlim_cur = mark;
  static_cast<void>(::setrlimit(RLIMIT_RTTIME, &limit));
}

void Warden::enter(pid_t child, std::uint64_t number, const Cgroup* group) const {
  if (socket_ < 0) return;
  for (std::size_t i = 0; group != nullptr && i < group->folders().size(); ++i) {
    const std::string& folder = group->folders()[i];
    if (folder.find_first_of(" \t\n:") != folder.npos) continue;  // the helper splits at them
    const std::string line = "@ " + std::to_string(number) + " " + folder + "\n";
    static_cast<void>(::send(socket_, line.data(), line.size(), MSG_NOSIGNAL));
  }
  Line line;
  line.add(static_cast<std::uint64_t>(child));
  line.add(' ');
  line.add('+');
  line.send(socket_, 0);
}

void Warden::leave(pid_t child, std::uint64_t number) const noexcept { tell(child, number, '='); }

void Warden::strike(pid_t group, std::uint64_t number) const noexcept { tell(group, number, '-'); }

void Warden::tell(pid_t group, std::uint64_t number, char what) const noexcept {
  if (socket_ < 0) return;
  Line line;
  line.add(number);
  line.add(' ');
  line.add(static_cast<std::uint64_t>(group));
  line.add(' ');
  line.add(what);
  line.send(socket_, MSG_DONTWAIT);
}

}  // namespace knative::base
