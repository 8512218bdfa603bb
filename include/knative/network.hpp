/// \file
/// Connections as a capability: listening, connecting, streams of bytes.
///
/// Both worlds implement it, and TLS decorates it. Objects belong to the loop they came from.
///
/// \code
/// auto dialled = co_await network.connect(endpoint);
/// if (!dialled) co_return dialled.error();
/// std::unique_ptr<kn::Stream> stream = std::move(*dialled);
/// co_await stream->write_all("ping\n");
/// char buffer[512];
/// kn::Result<std::size_t> got = co_await stream->read_some(buffer);
/// \endcode
#pragma once

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "knative/error.hpp"
#include "knative/task.hpp"

namespace knative {

namespace tls {
struct Facts;
}

/// Where to listen or connect: TCP host and port, or a Unix socket path.
struct Endpoint {
  std::string host = "127.0.0.1";  ///< Name or address; ignored when `path` is set.
  std::uint16_t port = 0;          ///< 0 when listening: any free port.
  /// Unix socket path; "@name" is a name in Linux's abstract namespace, which leaves no file.
  std::string path = {};

  /// Parse "host:port", "[::1]:port", ":port" or "unix:/path".
  KNATIVE_EXPORT static Result<Endpoint> parse(std::string_view text);
  KNATIVE_EXPORT std::string to_string() const;
  /// True for 127.0.0.0/8, ::1, "localhost" and Unix sockets.
  KNATIVE_EXPORT bool is_loopback() const;
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

class Stream;

/// One read or write in progress; lives in the awaiting frame. Awaiting yields
/// `Result<std::size_t>`: bytes moved, 0 at the end of the stream (read only). At most one read
/// and one write per stream at a time. Dropping it cancels; bytes may have been moved already.
class KNATIVE_EXPORT StreamOp {
 public:
  StreamOp(Stream& stream, std::span<char> into) noexcept
      : stream_(stream), read_(into), is_read_(true) {}
  StreamOp(Stream& stream, std::span<const std::string_view> from) noexcept
      : stream_(stream), write_(from) {}
  StreamOp(const StreamOp&) = delete;
  StreamOp& operator=(const StreamOp&) = delete;
  ~StreamOp();

  bool await_ready();
  template <class P>
  void await_suspend(std::coroutine_handle<P> handle) noexcept {
    waiter_.park(*handle.promise().fiber);
  }
  Result<std::size_t> await_resume() {
    if (error_) return std::move(*error_);
    return bytes_;
  }

  bool is_read() const noexcept { return is_read_; }
  std::span<char> read_buffer() const noexcept { return read_; }
  std::span<const std::string_view> write_buffers() const noexcept { return write_; }
  /// Start the operation before anybody awaits it; true when it is complete already. Then not
  /// to be awaited with `co_await`: `park` a fiber, or look at `pending`.
  bool begin() { return await_ready(); }
  bool pending() const noexcept { return pending_; }
  /// Have `fiber` made ready on completion. One fiber at a time.
  void park(Fiber& fiber) noexcept { waiter_.park(fiber); }
  /// Forget the parked fiber; the operation goes on.
  void unpark() noexcept { waiter_.forget(); }
  /// For stream implementations: finish the operation and wake the fiber.
  void complete(std::size_t bytes) noexcept {
    pending_ = false;
    bytes_ = bytes;
    waiter_.wake();
  }
  void complete(Result<std::size_t> result) noexcept;

 private:
  Stream& stream_;
  std::span<char> read_;
  std::span<const std::string_view> write_;
  bool is_read_ = false;
  bool pending_ = false;
  std::size_t bytes_ = 0;
  std::optional<Error> error_;
  Waiter waiter_;
};

/// A connected byte stream in both directions. Destroying it closes it; operations in progress
/// must be gone by then.
class KNATIVE_EXPORT Stream {
 public:
  virtual ~Stream() = default;

  /// Read at least one byte into `into`; 0 means the peer has finished sending.
  /// Fails with `unavailable` when the connection breaks.
  [[nodiscard]] StreamOp read_some(std::span<char> into) noexcept { return StreamOp(*this, into); }
  /// Write all bytes of all buffers. The buffers and the array must stay until it is done.
  [[nodiscard]] StreamOp write(std::span<const std::string_view> buffers) noexcept {
    return StreamOp(*this, buffers);
  }
  /// Write all of `bytes`, which must stay until it is done.
  Task<Result<std::size_t>> write_all(std::string_view bytes);

  /// Tell the peer that nothing more will be sent.
  virtual void shutdown_write() noexcept = 0;
  /// Break the connection now; operations in progress fail with `cancelled`.
  virtual void abort() noexcept = 0;
  /// The peer's address, for logs and Forwarded headers.
  virtual std::string peer() const = 0;
  /// What TLS has established with the peer (tls.hpp); null for a connection in clear text.
  virtual const tls::Facts* tls_facts() const noexcept { return nullptr; }

 protected:
  friend class StreamOp;
  /// For decorators: let `inner` do an operation of theirs, or forget it.
  static bool start_on(Stream& inner, StreamOp& op) { return inner.start(op); }
  static void cancel_on(Stream& inner, StreamOp& op) noexcept { inner.cancel(op); }
  /// Begin `op`. Return true when it was completed at once through `op.complete()`.
  virtual bool start(StreamOp& op) = 0;
  /// Forget `op`, which is in progress.
  virtual void cancel(StreamOp& op) noexcept = 0;
};

/// How many descriptors a process may have, and how many of them are still free.
struct DescriptorRoom {
  std::size_t max = ~std::size_t{0};
  std::size_t left = ~std::size_t{0};
};

/// Accepts connections; destroying it stops listening.
class KNATIVE_EXPORT Listener {
 public:
  virtual ~Listener() = default;
  /// Fails with `resource_exhausted` when descriptors are used up and nothing else can be done.
  virtual Task<Result<std::unique_ptr<Stream>>> accept() = 0;
  /// As seen when a connection was accepted last.
  virtual DescriptorRoom descriptors() const noexcept { return {}; }
  /// The bound address, with the real port.
  virtual Endpoint endpoint() const = 0;
};

/// Datagrams (UDP) at one address. Destroying it gives the address up.
class KNATIVE_EXPORT Datagrams {
 public:
  virtual ~Datagrams() = default;
  /// Wait for the next one: its first bytes, as many as fit into `into`, and who sent it.
  virtual Task<Result<std::size_t>> receive(std::span<char> into, Endpoint& from) = 0;
  /// Sent at once or, where that cannot be, not at all.
  virtual void send(std::string_view bytes, const Endpoint& to) noexcept = 0;
  virtual Endpoint endpoint() const = 0;
};

/// How to listen.
struct ListenOptions {
  int backlog_max = 1024;
  /// Let several loops listen on the same port (SO_REUSEPORT).
  bool reuse_port = false;
};

/// Makes connections and takes them.
class KNATIVE_EXPORT Network {
 public:
  /// Fails with `already_exists` when the address is in use, `invalid_argument` when malformed.
  virtual Result<std::unique_ptr<Listener>> listen(const Endpoint& endpoint,
                                                   const ListenOptions& options) = 0;
  Result<std::unique_ptr<Listener>> listen(const Endpoint& endpoint) {
    return listen(endpoint, ListenOptions{});
  }
  /// Take datagrams; fails as `listen` does, and with `unimplemented` where there are none (in a
  /// `Simulation`).
  virtual Result<std::unique_ptr<Datagrams>> listen_datagrams(const Endpoint& endpoint);
  /// Fails with `unavailable` (refused, unreachable, unknown name).
  virtual Task<Result<std::unique_ptr<Stream>>> connect(Endpoint endpoint) = 0;

 protected:
  ~Network() = default;
};

}  // namespace knative
