// TCP and Unix sockets of the real world, on readiness flags: try the system call first, wait
// only when there is nothing to do.
#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/file_descriptor.hpp"
#include "base/loop_core.hpp"
#include "base/posix_error.hpp"

namespace knative::base {
namespace {

constexpr std::uint32_t stream_events = EPOLLIN | EPOLLOUT | EPOLLRDHUP;
/// Operations that may complete at once per stream and turn; beyond, others come first.
constexpr unsigned burst_max = 16;
constexpr std::size_t iovec_max = 32;

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;

  sockaddr* raw() noexcept { return reinterpret_cast<sockaddr*>(&storage); }
  const sockaddr* raw() const noexcept { return reinterpret_cast<const sockaddr*>(&storage); }
  int family() const noexcept { return storage.ss_family; }
};

Result<Address> unix_address(const std::string& path) {
  Address address;
  auto& local = reinterpret_cast<sockaddr_un&>(address.storage);
  if (path.size() >= sizeof local.sun_path) {
    return fail(Errc::invalid_argument, "unix:" + path + ": the path is longer than " +
                                            std::to_string(sizeof local.sun_path - 1) + " bytes");
  }
  local.sun_family = AF_UNIX;
  std::memcpy(local.sun_path, path.c_str(), path.size() + 1);
  const bool abstract = path.starts_with('@');
  if (abstract) local.sun_path[0] = '\0';
  address.size =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + (abstract ? 0 : 1));
  return address;
}

/// The address of a numeric host, or nothing for a name.
std::optional<Address> numeric_address(const std::string& host, std::uint16_t port) {
  Address address;
  auto& v4 = reinterpret_cast<sockaddr_in&>(address.storage);
  if (::inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    address.size = sizeof v4;
    return address;
  }
  address = Address{};
  auto& v6 = reinterpret_cast<sockaddr_in6&>(address.storage);
  if (::inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    address.size = sizeof v6;
    return address;
  }
  return std::nullopt;
}

Endpoint endpoint_of(const Address& address) {
  Endpoint endpoint;
  char text[INET6_ADDRSTRLEN] = "";
  if (address.family() == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address.storage);
    endpoint.host = ::inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
    endpoint.port = ntohs(v4.sin_port);
  } else if (address.family() == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address.storage);
    endpoint.host = ::inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
    endpoint.port = ntohs(v6.sin6_port);
  } else if (address.family() == AF_UNIX) {
    const char* path = reinterpret_cast<const sockaddr_un&>(address.storage).sun_path;
    const std::size_t size = address.size - offsetof(sockaddr_un, sun_path);
    const bool abstract = address.size > offsetof(sockaddr_un, sun_path) && *path == '\0';
    endpoint.path = abstract ? "@" + std::string(path + 1, size - 1) : std::string(path);
  }
  return endpoint;
}

void set_option(int fd, int level, int name, int value) noexcept {
  ::setsockopt(fd, level, name, &value, sizeof value);
}

// ---------------------------------------------------------------------------- stream

class PosixStream final : public Stream, private Watch {
 public:
  /// `connected`: false while connect() is in progress.
  PosixStream(LoopCore& core, const Address& peer, bool connected) noexcept
      : Watch(core), writable_(connected) {
    static_assert(sizeof(sockaddr_in) <= sizeof peer_);
    std::memcpy(&peer_, &peer.storage, sizeof peer_);
  }
  ~PosixStream() override { KN_ASSERT(reading_ == nullptr && writing_ == nullptr); }

  using Watch::adopt;

  /// Waits until connect() has succeeded or failed; yields its errno.
  struct Connected {
    explicit Connected(PosixStream& stream) noexcept : stream(stream) {}
    Connected(const Connected&) = delete;
    Connected& operator=(const Connected&) = delete;
    ~Connected() { stream.connecting_ = nullptr; }
    bool await_ready() const noexcept { return stream.writable_; }
    template <class P>
    void await_suspend(std::coroutine_handle<P> handle) noexcept {
      stream.connecting_ = &waiter;
      waiter.park(*handle.promise().fiber);
    }
    int await_resume() const noexcept {
      int error = 0;
      socklen_t size = sizeof error;
      ::getsockopt(stream.fd(), SOL_SOCKET, SO_ERROR, &error, &size);
      return error;
    }
    PosixStream& stream;
    Waiter waiter;
  };

  void shutdown_write() noexcept override {
    if (fd() >= 0) ::shutdown(fd(), SHUT_WR);
  }

  void abort() noexcept override {
    if (fd() < 0) return;
    const linger now{1, 0};  // a reset instead of a polite end
    ::setsockopt(fd(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close();
    if (reading_ != nullptr) std::exchange(reading_, nullptr)->complete(aborted());
    if (writing_ != nullptr) std::exchange(writing_, nullptr)->complete(aborted());
  }

  std::string peer() const override {
    Address address;
    std::memcpy(&address.storage, &peer_, sizeof peer_);
    return address.family() == AF_UNIX ? "unix" : endpoint_of(address).to_string();
  }

 private:
  static Error aborted() { return fail(Errc::cancelled, "the connection was aborted"); }

  bool start(StreamOp& op) override {
    if (fd() < 0) {
      op.complete(aborted());
      return true;
    }
    StreamOp*& slot = op.is_read() ? reading_ : writing_;
    KN_ASSERT(slot == nullptr);  // one read and one write at a time
    if (op.is_read()) KN_ASSERT(!op.read_buffer().empty());
    if (!op.is_read()) index_ = offset_ = written_ = 0;
    const bool may = op.is_read() ? readable_ : writable_;
    if (may) {
      if (within_burst()) {
        if (op.is_read() ? try_read(op) : try_write(op)) return true;
      } else {
        retry_next_turn();
      }
    }
    slot = &op;
    return false;
  }

  void cancel(StreamOp& op) noexcept override {
    if (reading_ == &op) reading_ = nullptr;
    if (writing_ == &op) writing_ = nullptr;
  }

  bool within_burst() noexcept {
    if (burst_turn_ != core().turn()) {
      burst_turn_ = core().turn();
      burst_ = 0;
    }
    return ++burst_ <= burst_max;
  }

  void on_events(std::uint32_t events) override {
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) ended_ = true;
    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) readable_ = true;
    if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) {
      writable_ = true;
      if (connecting_ != nullptr) std::exchange(connecting_, nullptr)->wake();
    }
    if (reading_ != nullptr && readable_) {
      StreamOp& op = *std::exchange(reading_, nullptr);
      if (!try_read(op)) reading_ = &op;
    }
    if (writing_ != nullptr && writable_) {
      StreamOp& op = *std::exchange(writing_, nullptr);
      if (!try_write(op)) writing_ = &op;
    }
  }

  /// True when `op` was completed.
  bool try_read(StreamOp& op) {
    const std::span<char> into = op.read_buffer();
    for (;;) {
      const ssize_t got = ::recv(fd(), into.data(), into.size(), 0);
      if (got >= 0) {
        const auto size = static_cast<std::size_t>(got);
        // Less than asked for: the socket is empty and will announce the next bytes, unless the
        // end was announced already; that is still to be read.
        if (size < into.size() && !ended_) readable_ = false;
        op.complete(size);
        return true;
      }
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) {
        readable_ = false;
        return false;
      }
      op.complete(posix_error(errno, "read"));
      return true;
    }
  }

  bool try_write(StreamOp& op) {
    const std::span<const std::string_view> buffers = op.write_buffers();
    for (;;) {
      iovec pieces[iovec_max];
      std::size_t count = 0;
      std::size_t total = 0;
      for (std::size_t i = index_; i < buffers.size() && count < iovec_max; ++i) {
        const std::string_view rest = i == index_ ? buffers[i].substr(offset_) : buffers[i];
        if (rest.empty()) continue;
        pieces[count++] = iovec{const_cast<char*>(rest.data()), rest.size()};
        total += rest.size();
      }
      if (count == 0) {
        op.complete(written_);
        return true;
      }
      const ssize_t put = send(pieces, count);
      if (put < 0) {
        if (errno == EINTR) continue;
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
          writable_ = false;
          return false;
        }
        op.complete(posix_error(errno, "write"));
        return true;
      }
      advance(buffers, static_cast<std::size_t>(put));
      if (static_cast<std::size_t>(put) < total) {
        writable_ = false;  // full; the socket will announce room
        return false;
      }
    }
  }

  /// One piece is what is sent mostly, and cheaper without a list.
  ssize_t send(iovec* pieces, std::size_t count) noexcept {
    if (count == 1) return ::send(fd(), pieces[0].iov_base, pieces[0].iov_len, MSG_NOSIGNAL);
    msghdr message{};
    message.msg_iov = pieces;
    message.msg_iovlen = count;
    return ::sendmsg(fd(), &message, MSG_NOSIGNAL);
  }

  void advance(std::span<const std::string_view> buffers, std::size_t bytes) noexcept {
    written_ += bytes;
    while (index_ < buffers.size()) {
      const std::size_t rest = buffers[index_].size() - offset_;
      if (bytes < rest) {
        offset_ += bytes;
        return;
      }
      bytes -= rest;
      ++index_;
      offset_ = 0;
    }
  }

  sockaddr_in6 peer_;  // or any smaller family; known after the connection is gone, too
  StreamOp* reading_ = nullptr;
  StreamOp* writing_ = nullptr;
  Waiter* connecting_ = nullptr;
  std::size_t index_ = 0;    // of the buffer being written
  std::size_t offset_ = 0;   // in it
  std::size_t written_ = 0;  // by the operation so far
  std::uint64_t burst_turn_ = 0;
  unsigned burst_ = 0;
  bool readable_ = false;
  bool writable_;
  bool ended_ = false;  // the peer has finished, or the connection broke
};

// ---------------------------------------------------------------------------- listener

class PosixListener final : public Listener, private Watch {
 public:
  PosixListener(LoopCore& core, Endpoint endpoint) noexcept
      : Watch(core), endpoint_(std::move(endpoint)) {}
  ~PosixListener() override {
    if (spare_ >= 0) ::close(spare_);
    if (endpoint_.path.empty()) return;
    // Only our own socket file: another server may have taken the path meanwhile.
    struct stat status;
    if (::lstat(endpoint_.path.c_str(), &status) == 0 && status.st_ino == inode_) {
      ::unlink(endpoint_.path.c_str());
    }
  }

  using Watch::adopt;
  void set_inode(ino_t inode) noexcept { inode_ = inode; }

  Endpoint endpoint() const override { return endpoint_; }
  DescriptorRoom descriptors() const noexcept override { return descriptors_; }

  Task<Result<std::unique_ptr<Stream>>> accept() override {
    if (spare_ < 0) spare_ = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    for (;;) {
      while (!acceptable_) co_await arrival_.wait();
      Address peer;
      peer.size = sizeof peer.storage;
      const int fd = ::accept4(this->fd(), peer.raw(), &peer.size, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd >= 0) {
        count_descriptors(fd);
        auto stream = std::make_unique<PosixStream>(core(), peer, true);
        Result<void> adopted = stream->adopt(fd, stream_events);
        if (!adopted) co_return adopted.error();
        co_return std::unique_ptr<Stream>(std::move(stream));
      }
      const int error = errno;
      if (error == EAGAIN || error == EWOULDBLOCK) {
        acceptable_ = false;
        continue;
      }
      // The connection was gone before we took it: the next one, please.
      if (error == EINTR || error == ECONNABORTED || error == EPROTO || error == ENETDOWN ||
          error == EHOSTUNREACH || error == ENETUNREACH || error == EOPNOTSUPP) {
        continue;
      }
      // One descriptor is kept for this moment: whoever accepts can make room, or say why not.
      if ((error == EMFILE || error == ENFILE) && spare_ >= 0) {
        ::close(std::exchange(spare_, -1));
        continue;
      }
      co_return posix_error(error, "accept");
    }
  }

 private:
  /// The kernel gives the lowest free number: all below `fd` are in use.
  void count_descriptors(int fd) noexcept {
    rlimit limit{};
    descriptors_ = DescriptorRoom{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return;
    const auto used = static_cast<std::size_t>(fd) + 1;
    descriptors_.max = static_cast<std::size_t>(limit.rlim_cur);
    descriptors_.left = descriptors_.max > used ? descriptors_.max - used : 0;
  }

  void on_events(std::uint32_t) override {
    acceptable_ = true;
    arrival_.notify_all();
  }

  const Endpoint endpoint_;
  Wakeup arrival_;
  DescriptorRoom descriptors_;
  int spare_ = -1;
  bool acceptable_ = false;
  ino_t inode_ = 0;
};

// ---------------------------------------------------------------------------- datagrams

class PosixDatagrams final : public Datagrams, private Watch {
 public:
  PosixDatagrams(LoopCore& core, Endpoint endpoint) noexcept
      : Watch(core), endpoint_(std::move(endpoint)) {}

  using Watch::adopt;

  Endpoint endpoint() const override { return endpoint_; }

  Task<Result<std::size_t>> receive(std::span<char> into, Endpoint& from) override {
    for (;;) {
      while (!readable_) co_await arrival_.wait();
      Address peer;
      peer.size = sizeof peer.storage;
      const ssize_t got = ::recvfrom(fd(), into.data(), into.size(), 0, peer.raw(), &peer.size);
      if (got >= 0) {
        from = endpoint_of(peer);
        co_return static_cast<std::size_t>(got);
      }
      if (errno == EAGAIN || errno == EWOULDBLOCK) {
        readable_ = false;
      } else if (errno != EINTR && errno != ECONNREFUSED) {  // one of ours did not arrive
        co_return posix_error(errno, "datagrams");
      }
    }
  }

  void send(std::string_view bytes, const Endpoint& to) noexcept override {
    const std::optional<Address> address = numeric_address(to.host, to.port);
    if (!address) return;
    const ssize_t ignored =
        ::sendto(fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL, address->raw(), address->size);
    (void)ignored;
  }

 private:
  void on_events(std::uint32_t) override {
    readable_ = true;
    arrival_.notify_all();
  }

  const Endpoint endpoint_;
  Wakeup arrival_;
  bool readable_ = false;
};

/// The loopback device of the socket's network, up and with another address.
Result<void> raise_loopback(int socket, const std::string& address) {
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (::ioctl(socket, SIOCSIFFLAGS, &request) < 0) return posix_error(errno, "loopback");
  if (address.empty()) return {};
  const std::optional<Address> wanted = numeric_address(address, 0);
  const std::optional<Address> alone = numeric_address("255.255.255.255", 0);
  if (!wanted || wanted->family() != AF_INET) {
    return fail(Errc::invalid_argument, "isolation: \"" + address + "\" is no IPv4 address");
  }
  std::strcpy(request.ifr_name, "lo:1");
  request.ifr_addr = *wanted->raw();
  if (::ioctl(socket, SIOCSIFADDR, &request) < 0) return posix_error(errno, address);
  request.ifr_netmask = *alone->raw();
  if (::ioctl(socket, SIOCSIFNETMASK, &request) < 0) return posix_error(errno, address);
  return {};
}

// ---------------------------------------------------------------------------- network

class SocketNetwork final : public PosixNetwork {
 public:
  explicit SocketNetwork(LoopCore& core) noexcept : core_(core) {}
  /// Sockets are made in `there`.
  SocketNetwork(LoopCore& core, FileDescriptor there, FileDescriptor home) noexcept
      : core_(core), there_(std::move(there)), home_(std::move(home)) {}

  Result<std::unique_ptr<Listener>> listen(const Endpoint& endpoint,
                                           const ListenOptions& options) override {
    Result<Address> address = listen_address(endpoint);
    if (!address) return address.error();
    FileDescriptor socket = make_socket(address->family());
    if (socket.fd < 0) return posix_error(errno, endpoint.to_string());
    if (address->family() != AF_UNIX) {
      set_option(socket.fd, SOL_SOCKET, SO_REUSEADDR, 1);
      if (options.reuse_port) set_option(socket.fd, SOL_SOCKET, SO_REUSEPORT, 1);
      set_option(socket.fd, IPPROTO_TCP, TCP_NODELAY, 1);  // accepted sockets inherit it
    }
    if (::bind(socket.fd, address->raw(), address->size) < 0) {
      const bool stale = errno == EADDRINUSE && address->family() == AF_UNIX &&
                         remove_stale(*address, endpoint.path);
      if (!stale) return posix_error(errno, endpoint.to_string());
      if (::bind(socket.fd, address->raw(), address->size) < 0) {
        return posix_error(errno, endpoint.to_string());
      }
    }
    if (::listen(socket.fd, options.backlog_max) < 0) {
      return posix_error(errno, endpoint.to_string());
    }
    Address bound;
    bound.size = sizeof bound.storage;
    if (::getsockname(socket.fd, bound.raw(), &bound.size) < 0) {
      return posix_error(errno, endpoint.to_string());
    }
    auto listener = std::make_unique<PosixListener>(core_, endpoint_of(bound));
    struct stat status;
    if (!endpoint.path.empty() && ::lstat(endpoint.path.c_str(), &status) == 0) {
      listener->set_inode(status.st_ino);
    }
    if (Result<void> adopted = listener->adopt(socket.release(), EPOLLIN); !adopted) {
      return adopted.error();
    }
    return std::unique_ptr<Listener>(std::move(listener));
  }

  Result<std::unique_ptr<Datagrams>> listen_datagrams(const Endpoint& endpoint) override {
    Result<Address> address = listen_address(endpoint);
    if (!address) return address.error();
    if (address->family() == AF_UNIX) {
      return fail(Errc::invalid_argument, endpoint.to_string() + ": datagrams need a port");
    }
    FileDescriptor socket = make_socket(address->family(), SOCK_DGRAM);
    Address bound;
    bound.size = sizeof bound.storage;
    if (socket.fd < 0 || ::bind(socket.fd, address->raw(), address->size) < 0 ||
        ::getsockname(socket.fd, bound.raw(), &bound.size) < 0) {
      return posix_error(errno, endpoint.to_string());
    }
    auto datagrams = std::make_unique<PosixDatagrams>(core_, endpoint_of(bound));
    if (Result<void> adopted = datagrams->adopt(socket.release(), EPOLLIN); !adopted) {
      return adopted.error();
    }
    return std::unique_ptr<Datagrams>(std::move(datagrams));
  }

  /// For the network of a child that is about to start.
  Result<void> raise(const std::string& address) {
    const FileDescriptor socket = make_socket(AF_INET, SOCK_DGRAM);
    if (socket.fd < 0) return posix_error(errno, "loopback");
    return raise_loopback(socket.fd, address);
  }

  Task<Result<std::unique_ptr<Stream>>> connect(Endpoint endpoint) override {
    auto addresses = co_await resolve(endpoint);
    if (!addresses) co_return addresses.error();
    Error last = fail(Errc::unavailable, "connect " + endpoint.to_string() + ": no address");
    for (const Address& address : *addresses) {
      auto connected = co_await connect_to(address, endpoint.to_string());
      if (connected) co_return std::move(connected);
      last = std::move(connected).error();
    }
    co_return last;
  }

 private:
  static Result<Address> listen_address(const Endpoint& endpoint) {
    if (!endpoint.path.empty()) return unix_address(endpoint.path);
    const std::string host = endpoint.host == "localhost" ? "127.0.0.1" : endpoint.host;
    if (auto address = numeric_address(host, endpoint.port)) return *address;
    return fail(Errc::invalid_argument,
                endpoint.to_string() + ": listening needs a numeric address");
  }

  /// A socket file that nobody listens on any more, as a killed server leaves it. Keeps errno.
  static bool remove_stale(const Address& address, const std::string& path) {
    const int before = errno;
    FileDescriptor probe{::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    const bool refused = probe.fd >= 0 && ::connect(probe.fd, address.raw(), address.size) < 0 &&
                         errno == ECONNREFUSED;
    const bool removed = refused && ::unlink(path.c_str()) == 0;
    errno = before;
    return removed;
  }

  Task<Result<std::vector<Address>>> resolve(const Endpoint& endpoint) {
    std::vector<Address> addresses;
    if (!endpoint.path.empty()) {
      Result<Address> address = unix_address(endpoint.path);
      if (!address) co_return address.error();
      addresses.push_back(*address);
      co_return addresses;
    }
    std::vector<std::string> hosts;
    if (numeric_address(endpoint.host, endpoint.port)) {
      hosts.push_back(endpoint.host);
    } else if (endpoint.host == "localhost") {
      hosts = {"127.0.0.1", "::1"};  // never leaves the machine (RFC 6761 section 6.3)
    } else if (there_.fd >= 0) {
      co_return fail(Errc::unavailable, "connect " + endpoint.to_string() + ": no names there");
    } else {
      auto resolved = co_await core_.resolve(endpoint.host);
      if (!resolved) co_return resolved.error();
      hosts = std::move(*resolved);
    }
    for (const std::string& host : hosts) {
      if (auto address = numeric_address(host, endpoint.port)) addresses.push_back(*address);
    }
    co_return addresses;
  }

  Task<Result<std::unique_ptr<Stream>>> connect_to(const Address& address, std::string name) {
    const std::string what = "connect " + name;
    FileDescriptor socket = make_socket(address.family());
    if (socket.fd < 0) co_return posix_error(errno, what);
    if (address.family() != AF_UNIX) set_option(socket.fd, IPPROTO_TCP, TCP_NODELAY, 1);
    const bool done = ::connect(socket.fd, address.raw(), address.size) == 0;
    if (!done && errno != EINPROGRESS) co_return unavailable(errno, what);
    auto stream = std::make_unique<PosixStream>(core_, address, done);
    Result<void> adopted = stream->adopt(socket.release(), stream_events);
    if (!adopted) co_return adopted.error();
    if (!done) {
      const int error = co_await PosixStream::Connected(*stream);
      if (error != 0) co_return unavailable(error, what);
    }
    co_return std::unique_ptr<Stream>(std::move(stream));
  }

  /// Whatever keeps us from a peer is `unavailable`, but for our own lack of descriptors.
  static Error unavailable(int number, const std::string& what) {
    Error error = posix_error(number, what);
    if (error.code != Errc::resource_exhausted) error.code = Errc::unavailable;
    return error;
  }

  /// A socket belongs for ever to the namespace that it was made in.
  FileDescriptor make_socket(int family, int type = SOCK_STREAM) const {
    if (there_.fd >= 0 && ::setns(there_.fd, CLONE_NEWNET) < 0) return {};
    FileDescriptor socket{::socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    const int error = errno;
    if (there_.fd >= 0) KN_ASSERT(::setns(home_.fd, CLONE_NEWNET) == 0);
    errno = error;
    return socket;
  }

  LoopCore& core_;
  FileDescriptor there_;  ///< Another network namespace, or none.
  FileDescriptor home_;   ///< With it: this machine's.
};

}  // namespace

std::unique_ptr<PosixNetwork> make_posix_network(LoopCore& core) {
  return std::make_unique<SocketNetwork>(core);
}

Result<std::shared_ptr<Network>> make_network_inside(LoopCore& core, pid_t child,
                                                     const std::string& address) {
  const std::string path = "/proc/" + std::to_string(child) + "/ns/net";
  FileDescriptor there(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  FileDescriptor home(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (there.fd < 0 || home.fd < 0) return posix_error(errno, "network namespace");
  auto network = std::make_shared<SocketNetwork>(core, std::move(there), std::move(home));
  if (Result<void> raised = network->raise(address); !raised) return raised.error();
  return std::shared_ptr<Network>(std::move(network));
}

}  // namespace knative::base
