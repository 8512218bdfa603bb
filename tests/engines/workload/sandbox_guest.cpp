// A program for sandboxes: says what it sees, and tries what it must not be able to do. One word
// says what; the answer is lines on standard output. Linked statically: its image holds it alone.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <string_view>

extern char** environ;

namespace {

std::string read_text(const char* path) {
  std::string text;
  const int file = ::open(path, O_RDONLY);
  char buffer[4096];
  ssize_t got = 0;
  while (file >= 0 && (got = ::read(file, buffer, sizeof buffer)) > 0) {
    text.append(buffer, static_cast<std::size_t>(got));
  }
  if (file >= 0) ::close(file);
  return text;
}

void say(const char* what, long result) {
  std::printf("%s: %s\n", what, result < 0 ? std::strerror(errno) : "done");
}

long write_text(const char* path, const char* text) {
  const int file = ::open(path, O_WRONLY | O_CREAT, 0644);
  if (file < 0) return -1;
  const ssize_t done = ::write(file, text, std::strlen(text));
  const int error = errno;
  ::close(file);
  errno = error;
  return done;
}

int see(int argc, char** argv) {
  std::printf("uid %d gid %d pid %d\n", ::getuid(), ::getgid(), ::getpid());
  gid_t groups[32];
  const int count = ::getgroups(32, groups);
  for (int i = 0; i < count; ++i) std::printf("group %u\n", groups[i]);
  char text[4096];
  std::printf("cwd %s\n", ::getcwd(text, sizeof text));
  ::gethostname(text, sizeof text);
  std::printf("hostname %s\n", text);
  for (int i = 0; i < argc; ++i) std::printf("arg %d %s\n", i, argv[i]);
  for (char** one = environ; *one != nullptr; ++one) std::printf("env %s\n", *one);
  for (int fd = 0; fd < 256; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0) std::printf("fd %d\n", fd);
  }
  std::printf("stdin %zd\n", ::read(0, text, 1));
  std::fputs(read_text("/proc/self/status").c_str(), stdout);
  return 0;
}

int files(int argc, char** argv) {
  for (int i = 2; i < argc; ++i) {
    struct stat info;
    if (::lstat(argv[i], &info) < 0) {
      std::printf("%s absent\n", argv[i]);
      continue;
    }
    const char type = S_ISDIR(info.st_mode)   ? 'd'
                      : S_ISLNK(info.st_mode) ? 'l'
                      : S_ISCHR(info.st_mode) ? 'c'
                      : S_ISREG(info.st_mode) ? '-'
                                              : '?';
    std::printf("%s %c%04o %u:%u\n", argv[i], type, info.st_mode & 07777, info.st_uid, info.st_gid);
  }
  return 0;
}

int cat(int argc, char** argv) {
  for (int i = 2; i < argc; ++i) std::fputs(read_text(argv[i]).c_str(), stdout);
  return 0;
}

/// Every attempt that a container must not succeed with.
int escape() {
  say("mount", ::mount("tmpfs", "/tmp", "tmpfs", 0, nullptr));
  say("umount /proc/sys", ::umount2("/proc/sys", MNT_DETACH));
  say("unshare user", ::unshare(CLONE_NEWUSER));
  say("unshare mount", ::unshare(CLONE_NEWNS));
  say("write /proc/sys", write_text("/proc/sys/kernel/hostname", "owned"));
  say("write core_pattern", write_text("/proc/sys/kernel/core_pattern", "|/evil"));
  say("write sysrq", write_text("/proc/sysrq-trigger", "b"));
  say("write /sys", write_text("/sys/kernel/uevent_helper", "/evil"));
  say("write cgroup", write_text("/sys/fs/cgroup/memory/memory.limit_in_bytes", "-1"));
  say("read kcore", read_text("/proc/kcore").empty() ? (errno = EACCES, -1) : 0);
  say("mknod", ::mknod("/tmp/disk", S_IFBLK | 0600, 0x0801));
  say("reboot", ::syscall(SYS_reboot, 0, 0, 0, nullptr));
  say("settime", ::syscall(SYS_clock_settime, 0, nullptr));
  say("bpf", ::syscall(SYS_bpf, 0, nullptr, 0));
  say("keyctl", ::syscall(SYS_keyctl, 0, 0, 0, 0, 0));
  say("io_uring", ::syscall(425, 1, nullptr));
  say("pivot_root", ::syscall(SYS_pivot_root, "/tmp", "/tmp"));
  say("open_by_handle_at", ::syscall(SYS_open_by_handle_at, -1, nullptr, 0));
  say("clone3", ::syscall(435, nullptr, 0));
  say("ptrace parent", ::ptrace(PTRACE_ATTACH, ::getppid(), nullptr, nullptr));
  say("setns", ::syscall(SYS_setns, 0, 0));
  say("raise nofile", [] {
    const rlimit limit{1u << 30, 1u << 30};
    return ::setrlimit(RLIMIT_NOFILE, &limit);
  }());
  say("chroot out", [] {
    if (::mkdir("/tmp/deep", 0755) < 0 || ::chroot("/tmp/deep") < 0) return -1;
    for (int i = 0; i < 64; ++i) {
      if (::chdir("..") < 0) return -1;
    }
    if (::chroot(".") < 0) return -1;
    return ::access("/guest", F_OK) == 0 ? (errno = EPERM, -1) : 0;
  }());
  return 0;
}

int memory_bomb() {
  for (std::size_t bytes = 0;; bytes += 1 << 20) {
    // Volatile: a compiler may leave out memory that nobody reads.
    auto* const piece = static_cast<volatile char*>(std::malloc(1 << 20));
    if (piece == nullptr) return 9;
    for (std::size_t i = 0; i < 1 << 20; i += 512) piece[i] = 1;
  }
}

int fork_bomb() {
  int made = 0;
  while (made < 100'000) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      for (;;) ::pause();
    }
    if (pid < 0) break;
    ++made;
  }
  std::printf("made %d: %s\n", made, std::strerror(errno));
  std::fflush(stdout);
  return made < 100'000 ? 0 : 1;
}

int fill(const char* path, long most) {
  const int file = ::open(path, O_WRONLY | O_CREAT, 0644);
  static char block[1 << 16];
  long written = 0;
  errno = 0;
  while (file >= 0 && written < most) {
    const ssize_t done = ::write(file, block, sizeof block);
    if (done <= 0) break;
    written += done;
  }
  std::printf("filled %ld: %s\n", written, std::strerror(errno));
  return 0;
}

int hoard(const char* path) {
  fill(path, 3 << 20);
  std::fflush(stdout);
  for (;;) ::pause();
}

std::string hello(const std::string&) { return "hello"; }

/// Answers one request after the other with what `answer` makes of its path; ends on SIGTERM.
int serve(std::string (*answer)(const std::string& path)) {
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  const int one = 1;
  ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(std::atoi(std::getenv("PORT"))));
  if (::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) < 0 ||
      ::listen(listener, 16) < 0) {
    std::perror("listen");
    return 2;
  }
  ::signal(SIGTERM, [](int) { ::_exit(0); });
  std::puts("listening");
  std::fflush(stdout);
  for (;;) {
    const int peer = ::accept(listener, nullptr, nullptr);
    char request[4096];
    const ssize_t got = ::read(peer, request, sizeof request);
    if (got > 0) {
      const std::string line(request, static_cast<std::size_t>(got));
      const std::size_t begin = std::min(line.find(' '), line.size() - 1) + 1;
      const std::string body = answer(line.substr(begin, line.find(' ', begin) - begin));
      const std::string whole =
          "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) +
          "\r\nConnection: close\r\n\r\n" + body;
      static_cast<void>(!::write(peer, whole.data(), whole.size()));
    }
    ::close(peer);
  }
}

/// Ends by nothing but SIGKILL, with a child in a session of its own and no death signal.
int stubborn() {
  ::signal(SIGTERM, SIG_IGN);
  ::prctl(PR_SET_PDEATHSIG, 0);
  if (::fork() == 0) {
    ::setsid();
    for (;;) ::pause();
  }
  std::puts("stubborn");
  std::fflush(stdout);
  for (;;) ::pause();
}

/// Ends, but for a child that does not.
int leave() {
  if (::fork() == 0) {
    ::setsid();
    for (;;) ::pause();
  }
  return 0;
}

int say_all(int argc, char** argv) {
  for (int i = 2; i < argc; ++i) {
    std::printf("out %s\n", argv[i]);
    std::fprintf(stderr, "err %s\n", argv[i]);
  }
  return 0;
}

sockaddr_in address_of(const char* host, int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  ::inet_pton(AF_INET, host, &address.sin_addr);
  return address;
}

/// As a C library does: asks the first name server of resolv.conf. Empty: says why on `why`.
std::string resolve(const std::string& name, std::string& why) {
  const std::string text = read_text("/etc/resolv.conf");
  char server[64] = "";
  const std::size_t at = text.find("nameserver ");
  if (at != text.npos) std::sscanf(text.c_str() + at, "nameserver %63s", server);
  std::string query("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00", 12);
  for (std::size_t begin = 0; begin <= name.size();) {
    const std::size_t end = std::min(name.find('.', begin), name.size());
    query.push_back(static_cast<char>(end - begin));
    query.append(name, begin, end - begin);
    begin = end + 1;
  }
  query.append(std::string("\0\0\x01\0\x01", 5));
  const int socket = ::socket(AF_INET, SOCK_DGRAM, 0);
  const timeval patience{5, 0};
  ::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  const sockaddr_in to = address_of(server, 53);
  char answer[512];
  ssize_t got = -1;
  if (::connect(socket, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0 &&
      ::write(socket, query.data(), query.size()) > 0) {
    got = ::read(socket, answer, sizeof answer);
  }
  why = std::strerror(errno);
  ::close(socket);
  if (got < 12) return {};
  why = "rcode " + std::to_string(answer[3] & 15);
  if (got < 16 || answer[7] == 0) return {};
  char shown[INET_ADDRSTRLEN];
  return ::inet_ntop(AF_INET, answer + got - 4, shown, sizeof shown);
}

int resolve_all(int argc, char** argv) {
  for (int i = 2; i < argc; ++i) {
    std::string why;
    const std::string address = resolve(argv[i], why);
    std::printf("%s: %s\n", argv[i], address.empty() ? why.c_str() : address.c_str());
  }
  return 0;
}

/// Sends what it is given to the host's port 80: what comes back, or what went wrong.
std::string call(const std::string& host, const std::string& rest) {
  std::string why;
  const std::string address = resolve(host, why);
  if (address.empty()) return host + ": " + why;
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  const sockaddr_in to = address_of(address.c_str(), 80);
  std::string answer;
  if (::connect(socket, reinterpret_cast<const sockaddr*>(&to), sizeof to) < 0 ||
      ::write(socket, rest.data(), rest.size()) < 0) {
    answer = host + ": " + std::strerror(errno);
  }
  char piece[4096];
  ssize_t got = 0;
  while (answer.size() < (1 << 16) && (got = ::read(socket, piece, sizeof piece)) > 0) {
    answer.append(piece, static_cast<std::size_t>(got));
  }
  ::close(socket);
  return answer;
}

std::string get(const std::string& host, const std::string& said, const std::string& path) {
  return call(host, "GET " + path + " HTTP/1.1\r\nHost: " + said + "\r\nConnection: close\r\n\r\n");
}

/// An event of our own to where K_SINK says.
std::string emit(const std::string& type) {
  std::string sink = std::getenv("K_SINK") == nullptr ? "" : std::getenv("K_SINK");
  if (sink.rfind("http://", 0) != 0) return "no K_SINK";
  sink.erase(0, 7);
  const std::size_t slash = std::min(sink.find('/'), sink.size());
  const std::string host = sink.substr(0, slash);
  return call(host, "POST " + sink.substr(slash) + " HTTP/1.1\r\nHost: " + host +
                        "\r\nConnection: close\r\nce-specversion: 1.0\r\nce-id: 1\r\n"
                        "ce-source: /guest\r\nce-type: " +
                        type + "\r\nContent-Length: 0\r\n\r\n");
}

/// "/emit/TYPE" or "/get/HOST/HOST IN THE HEADER/PATH": done on behalf of who asks.
std::string relay(const std::string& path) {
  if (path.rfind("/emit/", 0) == 0) return emit(path.substr(6));
  if (path.rfind("/get/", 0) != 0) return "?";
  const std::size_t said = path.find('/', 5);
  const std::size_t rest = path.find('/', said + 1);
  if (rest == path.npos) return "?";
  return get(path.substr(5, said - 5), path.substr(said + 1, rest - said - 1), path.substr(rest));
}

/// Connects to each, HOST PORT, and says how that went.
int reach(int argc, char** argv) {
  for (int i = 2; i + 1 < argc; i += 2) {
    const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
    const sockaddr_in to = address_of(argv[i], std::atoi(argv[i + 1]));
    const bool done = ::connect(socket, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0;
    std::printf("%s %s: %s\n", argv[i], argv[i + 1], done ? "done" : std::strerror(errno));
    ::close(socket);
  }
  return 0;
}

/// The same again and again, until all of them are there; then it stays.
int keep_reaching(int argc, char** argv) {
  for (int i = 2; i + 1 < argc; i += 2) {
    const sockaddr_in to = address_of(argv[i], std::atoi(argv[i + 1]));
    for (;;) {
      const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
      const bool done = ::connect(socket, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0;
      ::close(socket);
      if (done) break;
      ::poll(nullptr, 0, 1);
    }
    std::printf("%s %s: done\n", argv[i], argv[i + 1]);
    std::fflush(stdout);
  }
  for (;;) ::pause();
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view what = argc > 1 ? argv[1] : "see";
  if (what == "files") return files(argc, argv);
  if (what == "cat") return cat(argc, argv);
  if (what == "escape") return escape();
  if (what == "memory-bomb") return memory_bomb();
  if (what == "fork-bomb") return fork_bomb();
  if (what == "fill") return fill(argv[2], 1l << 33);
  if (what == "hoard") return hoard(argv[2]);
  if (what == "serve") return serve(hello);
  if (what == "stubborn") return stubborn();
  if (what == "leave") return leave();
  if (what == "say") return say_all(argc, argv);
  if (what == "exit") return std::atoi(argv[2]);
  if (what == "crash") std::abort();
  if (what == "write") {
    say(argv[2], write_text(argv[2], argv[3]));
    return 0;
  }
  if (what == "link") {  // where a folder was, if there was one
    return (::rmdir(argv[3]) == 0 || errno == ENOENT) && ::symlink(argv[2], argv[3]) == 0 ? 0 : 1;
  }
  if (what == "resolve") return resolve_all(argc, argv);
  if (what == "get") return std::puts(get(argv[2], argv[3], argv[4]).c_str()) < 0;
  if (what == "relay") return serve(relay);
  if (what == "reach") return reach(argc, argv);
  if (what == "keep-reaching") return keep_reaching(argc, argv);
  if (what == "true") return 0;
  return see(argc, argv);
}
