/// \file
/// Network, files and child processes as capabilities.
///
/// `Env` bundles them; both worlds (`Loop`, `Simulation`) implement them. This header says nothing
/// of time, threads or logs; see env.hpp. Objects belong to the loop they came from unless they
/// say that they are thread-safe.
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

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "knative/error.hpp"
#include "knative/task.hpp"

namespace knative {

namespace tls {
struct Facts;
}

// ---------------------------------------------------------------------------- network

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
  Result<std::size_t> await_resume() { return std::move(result_); }

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
  void complete(Result<std::size_t> result) noexcept;

 private:
  Stream& stream_;
  std::span<char> read_;
  std::span<const std::string_view> write_;
  bool is_read_ = false;
  bool pending_ = false;
  Result<std::size_t> result_ = std::size_t{0};
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
  /// Begin `op`. Return true when it was completed at once through `op.complete()`.
  virtual bool start(StreamOp& op) = 0;
  /// Forget `op`, which is in progress.
  virtual void cancel(StreamOp& op) noexcept = 0;
};

/// Accepts connections; destroying it stops listening.
class KNATIVE_EXPORT Listener {
 public:
  virtual ~Listener() = default;
  virtual Task<Result<std::unique_ptr<Stream>>> accept() = 0;
  /// The bound address, with the real port.
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
  /// Fails with `unavailable` (refused, unreachable, unknown name).
  virtual Task<Result<std::unique_ptr<Stream>>> connect(Endpoint endpoint) = 0;

 protected:
  ~Network() = default;
};

// ---------------------------------------------------------------------------- files

/// An open file. Calls block; use `Offload` for slow ones. Distinct offsets may be used from
/// several threads at once.
class KNATIVE_EXPORT File {
 public:
  virtual ~File() = default;
  /// Read up to `into.size()` bytes at `offset`; fewer only at the end of the file.
  virtual Result<std::size_t> read_at(std::uint64_t offset, std::span<char> into) = 0;
  /// Write all of `bytes` at `offset`. `resource_exhausted` when the disk is full; then a prefix
  /// may have been written.
  virtual Result<void> write_at(std::uint64_t offset, std::string_view bytes) = 0;
  /// Make written bytes durable (fdatasync). After a failure the file's state is unknown.
  virtual Result<void> sync() = 0;
  virtual Result<void> truncate(std::uint64_t size) = 0;
  virtual Result<std::uint64_t> size() = 0;
};

/// How to open a file; by default for reading only.
struct OpenOptions {
  bool write = false;
  bool create = false;     ///< Create when absent.
  bool truncate = false;   ///< Empty it when present.
  bool exclusive = false;  ///< With `create`: fail with `already_exists` when present.
  unsigned mode = 0644;
};

/// What a path names.
enum class FileType : unsigned char { regular, directory, symlink, other };

/// Metadata of one path.
struct FileInfo {
  std::string name;  ///< Last path component.
  FileType type = FileType::regular;
  std::uint64_t size_bytes = 0;
  unsigned mode = 0;
};

/// The file system. Paths are UTF-8 with '/'; errors name the path. Calls block.
/// Thread-safe.
class KNATIVE_EXPORT Files {
 public:
  virtual Result<std::unique_ptr<File>> open(const std::string& path,
                                             const OpenOptions& options) = 0;
  /// Metadata without following a final symbolic link.
  virtual Result<FileInfo> info(const std::string& path) = 0;
  /// Entries sorted by name, without "." and "..".
  virtual Result<std::vector<FileInfo>> list(const std::string& directory) = 0;
  /// Create a directory and its parents; succeeds when it exists.
  virtual Result<void> make_directories(const std::string& path) = 0;
  virtual Result<void> make_symlink(const std::string& target, const std::string& path) = 0;
  virtual Result<std::string> read_symlink(const std::string& path) = 0;
  virtual Result<void> set_mode(const std::string& path, unsigned mode) = 0;
  /// Atomically replace `to` by `from`.
  virtual Result<void> rename(const std::string& from, const std::string& to) = 0;
  virtual Result<void> remove(const std::string& path) = 0;
  /// Remove a tree without following symbolic links; succeeds when absent.
  virtual Result<void> remove_all(const std::string& path) = 0;
  /// Make entries of a directory durable (fsync of the directory).
  virtual Result<void> sync_directory(const std::string& path) = 0;
  /// Create a fresh private directory whose name begins with `prefix`.
  virtual Result<std::string> make_temporary_directory(const std::string& prefix) = 0;
  /// Hold `path` as a lock file until the returned file is destroyed; `failed_precondition` when
  /// another holder exists.
  virtual Result<std::unique_ptr<File>> lock(const std::string& path) = 0;
  /// These are the operating system's files: a library that opens a path by itself sees the same.
  virtual bool native() const noexcept { return false; }

  Result<std::string> read_file(const std::string& path,
                                std::uint64_t bytes_max = std::uint64_t{64} << 20);
  /// Write through a temporary file, sync, rename, sync the directory.
  Result<void> write_file(const std::string& path, std::string_view bytes, unsigned mode = 0644);

 protected:
  ~Files() = default;
};

// ---------------------------------------------------------------------------- processes

/// What to run, and where.
struct ProcessOptions {
  std::vector<std::string> argv;  ///< argv[0] is searched in PATH of `environment`.
  std::map<std::string, std::string> environment;  ///< The whole environment; nothing inherited.
  std::string working_directory;
  std::string root_directory;  ///< chroot there first (needs privilege); empty: none.
  /// Called on the loop with pieces of the standard streams, in order. Empty: /dev/null.
  std::function<void(std::string_view)> on_stdout;
  std::function<void(std::string_view)> on_stderr;
};

/// How a process ended.
struct ExitStatus {
  int code = 0;    ///< Exit code when `signal` is 0.
  int signal = 0;  ///< Signal that ended it, or 0.
  bool success() const noexcept { return code == 0 && signal == 0; }
  /// "exit code 3" or "killed by signal 9"
  KNATIVE_EXPORT std::string to_string() const;
  friend bool operator==(const ExitStatus&, const ExitStatus&) = default;
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
};

/// Starts child processes.
class KNATIVE_EXPORT Processes {
 public:
  /// Fails with `not_found` (no such program or directory) or `resource_exhausted`.
  virtual Result<std::unique_ptr<Process>> spawn(const ProcessOptions& options) = 0;

 protected:
  ~Processes() = default;
};

}  // namespace knative
