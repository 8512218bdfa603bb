/// \file
/// The outside world as capabilities: time, network, files, processes, chance, threads, logs.
///
/// `Loop` (real world) and `Simulation` (virtual world) hand out the same `Env`. Only the
/// composition root holds a whole `Env`; everyone else takes the one capability it uses, by
/// reference, and must not outlive it. Every object here belongs to the loop it came from; what
/// may be used from other threads says so.
///
/// \code
/// knative::Loop loop;
/// auto greet = [](knative::Timers& timers) -> knative::Task<int> {
///   co_await timers.sleep_for(std::chrono::milliseconds(10));
///   co_return 42;
/// };
/// int answer = loop.run(greet(loop.env().timers));
/// \endcode
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "knative/error.hpp"
#include "knative/task.hpp"

namespace knative {

using Duration = std::chrono::nanoseconds;

/// Tag of the monotonic time line of one world; it has no `now()`, worlds have.
struct MonotonicTime {
  using rep = std::int64_t;
  using period = std::nano;
  using duration = Duration;
  using time_point = std::chrono::time_point<MonotonicTime>;
  static constexpr bool is_steady = true;
};
/// A point on the monotonic time line of one world.
using Instant = MonotonicTime::time_point;
/// Calendar time (UTC), for timestamps only, never for deciding.
using WallTime = std::chrono::time_point<std::chrono::system_clock, Duration>;

// ---------------------------------------------------------------------------- time

/// An entry in a `Timers` queue. Intrusive: no allocation, deregisters itself.
class KNATIVE_EXPORT TimerNode {
 public:
  TimerNode() = default;
  TimerNode(const TimerNode&) = delete;
  TimerNode& operator=(const TimerNode&) = delete;
  bool armed() const noexcept { return queue_ != nullptr; }
  Instant due() const noexcept { return due_; }
  void disarm() noexcept;

 protected:
  virtual ~TimerNode();
  /// Called on the loop at or after `due()`; the node is already disarmed and may be re-armed.
  virtual void fire() noexcept = 0;

 private:
  friend class Timers;
  friend class TimerQueue;
  class TimerQueue* queue_ = nullptr;
  Instant due_{};
  std::uint64_t order_ = 0;
  std::size_t slot_ = 0;
};

/// Nodes ordered by due time, then by arming order (a binary heap). Used by both worlds.
class KNATIVE_EXPORT TimerQueue {
 public:
  TimerQueue() = default;
  TimerQueue(const TimerQueue&) = delete;
  TimerQueue& operator=(const TimerQueue&) = delete;
  ~TimerQueue();
  void add(TimerNode& node, Instant due);
  void remove(TimerNode& node) noexcept;
  std::optional<Instant> next() const noexcept;
  /// Fire everything due at or before `now`. Returns how many fired.
  std::size_t fire_due(Instant now);
  std::size_t size() const noexcept { return heap_.size(); }

 private:
  void up(std::size_t slot) noexcept;
  void down(std::size_t slot) noexcept;
  std::vector<TimerNode*> heap_;
  std::uint64_t order_ = 0;
};

/// A clock that can sleep. `now()` is frozen during one turn of the loop.
class KNATIVE_EXPORT Timers {
 public:
  class KNATIVE_EXPORT Sleep final : private TimerNode {
   public:
    Sleep(Timers& timers, Instant due) noexcept : timers_(timers), when_(due) {}
    bool await_ready() const noexcept { return when_ <= timers_.now(); }
    template <class P>
    void await_suspend(std::coroutine_handle<P> handle) {
      waiter_.park(*handle.promise().fiber);
      timers_.arm(*this, when_);
    }
    void await_resume() const noexcept {}

   private:
    void fire() noexcept override { waiter_.wake(); }
    Timers& timers_;
    Instant when_;
    Waiter waiter_;
  };

  virtual Instant now() const noexcept = 0;
  virtual WallTime wall() const noexcept = 0;
  /// Put `node` into the queue (moving it when it is armed already).
  virtual void arm(TimerNode& node, Instant due) = 0;

  [[nodiscard]] Sleep sleep_until(Instant due) noexcept { return Sleep(*this, due); }
  [[nodiscard]] Sleep sleep_for(Duration duration) noexcept {
    return Sleep(*this, now() + duration);
  }

 protected:
  ~Timers() = default;
};

/// Await `task`, but no longer than until `deadline`; then it is dropped and the result is empty.
template <class T>
Task<std::optional<detail::NonVoid<T>>> with_deadline(Timers& timers, Task<T> task,
                                                      Instant deadline) {
  auto sleep = [](Timers& clock, Instant due) -> Task<void> { co_await clock.sleep_until(due); };
  Task<void> limit = sleep(timers, deadline);
  auto raced = co_await race(std::move(task), std::move(limit));
  co_return std::move(raced.first);
}

// ---------------------------------------------------------------------------- network

/// Where to listen or connect: TCP host and port, or a Unix socket path.
struct Endpoint {
  std::string host = "127.0.0.1";  ///< Name or address; ignored when `path` is set.
  std::uint16_t port = 0;          ///< 0 when listening: any free port.
  std::string path;                ///< Unix socket path.

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
  [[nodiscard]] StreamOp read_some(std::span<char> into) noexcept {
    return StreamOp(*this, into);
  }
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

struct ListenOptions {
  int backlog_max = 1024;
  /// Let several loops listen on the same port (SO_REUSEPORT).
  bool reuse_port = false;
};

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

struct OpenOptions {
  bool write = false;
  bool create = false;    ///< Create when absent.
  bool truncate = false;  ///< Empty it when present.
  bool exclusive = false; ///< With `create`: fail with `already_exists` when present.
  unsigned mode = 0644;
};

enum class FileType : unsigned char { regular, directory, symlink, other };

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

  Result<std::string> read_file(const std::string& path,
                                std::uint64_t bytes_max = std::uint64_t{64} << 20);
  /// Write through a temporary file, sync, rename, sync the directory.
  Result<void> write_file(const std::string& path, std::string_view bytes, unsigned mode = 0644);

 protected:
  ~Files() = default;
};

// ---------------------------------------------------------------------------- processes

struct ProcessOptions {
  std::vector<std::string> argv;           ///< argv[0] is searched in PATH of `environment`.
  std::map<std::string, std::string> environment;  ///< The whole environment; nothing inherited.
  std::string working_directory;
  std::string root_directory;              ///< chroot there first (needs privilege); empty: none.
  /// Called on the loop with pieces of the standard streams, in order. Empty: /dev/null.
  std::function<void(std::string_view)> on_stdout;
  std::function<void(std::string_view)> on_stderr;
};

struct ExitStatus {
  int code = 0;    ///< Exit code when `signal` is 0.
  int signal = 0;  ///< Signal that ended it, or 0.
  bool success() const noexcept { return code == 0 && signal == 0; }
  /// "exit code 3" or "killed by signal 9"
  KNATIVE_EXPORT std::string to_string() const;
  friend bool operator==(const ExitStatus&, const ExitStatus&) = default;
};

/// A child in its own process group. Destroying it kills and reaps the whole group.
class KNATIVE_EXPORT Process {
 public:
  virtual ~Process() = default;
  virtual int pid() const noexcept = 0;
  /// Wait until it has ended and both standard streams are drained. May be called by one task.
  virtual Task<ExitStatus> wait() = 0;
  /// Send a signal to the process group.
  virtual void signal(int number) noexcept = 0;
};

class KNATIVE_EXPORT Processes {
 public:
  /// Fails with `not_found` (no such program or directory) or `resource_exhausted`.
  virtual Result<std::unique_ptr<Process>> spawn(const ProcessOptions& options) = 0;

 protected:
  ~Processes() = default;
};

// ---------------------------------------------------------------------------- chance, threads

/// A seeded generator (xoshiro256**). Copyable value; derive one per consumer with `split`.
class KNATIVE_EXPORT Random {
 public:
  using result_type = std::uint64_t;
  explicit Random(std::uint64_t seed) noexcept;
  static constexpr result_type min() noexcept { return 0; }
  static constexpr result_type max() noexcept { return ~std::uint64_t{0}; }
  result_type operator()() noexcept;
  /// Uniform in [0, bound); bound > 0.
  std::uint64_t below(std::uint64_t bound) noexcept;
  /// Uniform in [0, 1).
  double uniform() noexcept;
  /// Exponentially distributed with the given mean.
  double exponential(double mean) noexcept;
  /// An independent generator for a consumer with this name: adding consumers does not disturb
  /// the others.
  Random split(std::string_view name) const noexcept;

 private:
  std::uint64_t state_[4];
};

/// Runs blocking work beside the loop. In a simulation it runs inline after a virtual delay.
class KNATIVE_EXPORT Offload {
 public:
  /// Run `work` on a worker thread and resume here when done. An exception from it is rethrown.
  /// Dropping the task abandons the result; the work itself runs to its end first in the
  /// destructor of the world. `work` must own what it touches.
  template <class F>
  Task<std::invoke_result_t<F>> run(F work) {
    using R = std::invoke_result_t<F>;
    struct State {
      explicit State(F job) : work(std::move(job)) {}
      F work;
      std::exception_ptr thrown;
      std::optional<detail::NonVoid<R>> value;
      Event done;
    };
    auto state = std::make_shared<State>(std::move(work));
    std::function<void()> job = [state] {
      try {
        if constexpr (std::is_void_v<R>) {
          state->work();
          state->value.emplace();
        } else {
          state->value.emplace(state->work());
        }
      } catch (...) {
        state->thrown = std::current_exception();
      }
    };
    std::function<void()> finished = [state] { state->done.set(); };
    submit(std::move(job), std::move(finished));
    co_await state->done.wait();
    if (state->thrown) std::rethrow_exception(state->thrown);
    if constexpr (!std::is_void_v<R>) co_return std::move(*state->value);
  }

 protected:
  ~Offload() = default;
  /// Run `job` on a worker, then `finished` on the loop.
  virtual void submit(std::function<void()> job, std::function<void()> finished) = 0;
};

// ---------------------------------------------------------------------------- logs

enum class LogLevel : unsigned char { debug = 0, info = 1, warning = 2, error = 3 };

/// One key and value of a log line. Never put secrets here.
struct LogField {
  std::string_view key;
  std::string value;
};

/// Structured log lines. Thread-safe.
class KNATIVE_EXPORT Logger {
 public:
  virtual void write(LogLevel level, std::string_view component, std::string_view message,
                     std::span<const LogField> fields) = 0;
  virtual bool enabled(LogLevel level) const noexcept = 0;

  void log(LogLevel level, std::string_view component, std::string_view message,
           std::initializer_list<LogField> fields = {}) {
    if (enabled(level)) {
      write(level, component, message, std::span<const LogField>(fields.begin(), fields.size()));
    }
  }

 protected:
  ~Logger() = default;
};

/// What a log callback receives; valid during the call.
struct LogRecord {
  LogLevel level;
  WallTime time;
  std::string_view component;
  std::string_view message;
  std::span<const LogField> fields;
};
using LogSink = std::function<void(const LogRecord&)>;

/// One line of text for people: "12:00:00.123 info  router  message key=value".
KNATIVE_EXPORT std::string format_log_text(const LogRecord& record);
/// One JSON object per line.
KNATIVE_EXPORT std::string format_log_json(const LogRecord& record);
/// Writes to standard error: text when it is a terminal, JSON otherwise.
KNATIVE_EXPORT LogSink stderr_log_sink();

// ---------------------------------------------------------------------------- worlds

/// Every capability of one world. The world owns them; an `Env` is a bundle of references.
struct Env {
  Executor& executor;
  Timers& timers;
  Network& network;
  Files& files;
  Processes& processes;
  Random& random;
  Offload& offload;
  Logger& logger;
};

struct LoopOptions {
  /// Seed of `Env::random`; without one it is taken from the operating system.
  std::optional<std::uint64_t> seed;
  int offload_threads_max = 2;
  LogSink log_sink;  ///< Empty: `stderr_log_sink()`.
  LogLevel log_level = LogLevel::info;
};

/// The real world: one thread's event loop with sockets, files, processes and clocks.
///
/// Installs no signal handler and touches no global. The destructor kills and reaps child
/// processes and joins its threads. Not thread-safe except `post` and `stop`.
class KNATIVE_EXPORT Loop {
 public:
  explicit Loop(LoopOptions options = {});
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  Env& env() noexcept;

  /// Run the loop until `task` has finished and return its value (or rethrow its exception).
  template <class T>
  T run(Task<T> task) {
    Event finished;
    detail::Branch<T> branch(env().executor, std::move(task), finished);
    branch.run();
    run_until([&branch] { return branch.done(); });
    return branch.take();
  }
  /// Run the loop until `stop()` is called.
  void run();
  /// Run for at most `duration`; returns earlier when stopped.
  void run_for(Duration duration);
  /// Make `run()` return soon. Thread-safe.
  void stop() noexcept;
  /// Call `work` on the loop's thread at a later turn. Thread-safe.
  void post(std::function<void()> work);

 private:
  void run_until(const std::function<bool()>& done);
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace knative
