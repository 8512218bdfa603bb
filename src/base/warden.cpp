#include "base/warden.hpp"

#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

#include "base/after_fork.hpp"

namespace knative::base {
namespace {

// A shell, because it needs a tenth of the memory that a fork of the host would come to hold.
constexpr const char script[] =
    "groups=\n"
    "while read -r what group; do\n"
    "  if [ \"$what\" = + ]; then groups=\"$groups $group\"; continue; fi\n"
    "  rest=\n"
    "  for other in $groups; do [ \"$other\" = \"$group\" ] || rest=\"$rest $other\"; done\n"
    "  groups=$rest\n"
    "done\n"
    "for group in $groups; do kill -9 \"-$group\" 2>/dev/null; done\n";

/// "+123\n" without anything that allocates.
void send_line(int socket, char what, pid_t group, int flags) noexcept {
  char line[24];
  std::size_t begin = sizeof line;
  line[--begin] = '\n';
  for (unsigned rest = static_cast<unsigned>(group);; rest /= 10) {
    line[--begin] = static_cast<char>('0' + rest % 10);
    if (rest < 10) break;
  }
  line[--begin] = ' ';
  line[--begin] = what;
  const ssize_t ignored = ::send(socket, line + begin, sizeof line - begin, flags | MSG_NOSIGNAL);
  (void)ignored;  // a dead warden is no reason to stop
}

[[noreturn]] void run_warden(int socket) noexcept {
  ::setsid();  // out of reach of a Ctrl-C that is meant for the host
  reset_signals();
  ::dup2(socket, 0);
  const int null = ::open("/dev/null", O_WRONLY);
  ::dup2(null, 1);
  ::dup2(null, 2);
  ::syscall(SYS_close_range, 3u, ~0u, 0u);
  if (::chdir("/") < 0) ::_exit(126);
  const char* const arguments[] = {"knative-warden", "-c", script, nullptr};
  const char* const environment[] = {nullptr};
  ::execve("/bin/sh", const_cast<char* const*>(arguments), const_cast<char* const*>(environment));
  ::_exit(127);
}

}  // namespace

void Warden::start() {
  if (pid_ > 0) return;
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) return;
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t pid = ::fork();
  if (pid == 0) run_warden(ends[1]);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
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
  ::close(socket_);
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

void Warden::enter_self() const noexcept {
  if (socket_ >= 0) send_line(socket_, '+', ::getpid(), 0);
}

void Warden::strike(pid_t group) const noexcept {
  if (socket_ >= 0) send_line(socket_, '-', group, MSG_DONTWAIT);
}

}  // namespace knative::base
