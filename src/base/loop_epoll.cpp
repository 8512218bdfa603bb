// The real world's loop. Descriptors live in an edge-triggered epoll set of our own, in which the
// loop sleeps; posts from other threads wake it through an eventfd. A keep-alive request costs one
// recv, one send and a share of epoll_wait.
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <random>
#include <utility>

#include "base/files_posix.hpp"
#include "base/loop_core.hpp"
#include "base/posix_error.hpp"
#include "base/resolver.hpp"

namespace knative {
namespace {

using base::LoopCore;
using base::Watch;

Instant monotonic_now() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return Instant(std::chrono::seconds(time.tv_sec) + Duration(time.tv_nsec));
}

WallTime wall_now() {
  timespec time{};
  ::clock_gettime(CLOCK_REALTIME, &time);
  return WallTime(std::chrono::seconds(time.tv_sec) + Duration(time.tv_nsec));
}

/// Ends the sleep of whoever waits for the loop's descriptor. The loop itself looks before it
/// sleeps, so between its own turns nothing need be said.
class Nudge {
 public:
  virtual void between_turns() noexcept = 0;

 protected:
  ~Nudge() = default;
};

class ReadyQueue final : public Executor {
 public:
  explicit ReadyQueue(Nudge& nudge) : nudge_(nudge) {}

 private:
  void on_ready() override { nudge_.between_turns(); }
  Nudge& nudge_;
};

class LoopTimers final : public Timers {
 public:
  explicit LoopTimers(Nudge& nudge) : nudge_(nudge) {}
  Instant now() const noexcept override { return in_turn_ ? now_ : monotonic_now(); }
  WallTime wall() const noexcept override { return wall_now(); }
  void arm(TimerNode& node, Instant due) override {
    queue_.add(node, due);
    if (!in_turn_) nudge_.between_turns();
  }

  void begin_turn() noexcept {
    now_ = monotonic_now();
    in_turn_ = true;
  }
  void end_turn() noexcept { in_turn_ = false; }
  TimerQueue& queue() noexcept { return queue_; }

 private:
  Nudge& nudge_;
  TimerQueue queue_;
  Instant now_{};
  bool in_turn_ = false;
};

class LoopLogger final : public Logger {
 public:
  LoopLogger(LogSink sink, LogLevel level)
      : sink_(sink ? std::move(sink) : stderr_log_sink()), level_(level) {}
  void write(LogLevel level, std::string_view component, std::string_view message,
             std::span<const LogField> fields) override {
    const LogRecord record{level, wall_now(), component, message, fields};
    const std::lock_guard lock(mutex_);
    sink_(record);
  }
  bool enabled(LogLevel level) const noexcept override { return level >= level_; }

 private:
  std::mutex mutex_;
  const LogSink sink_;
  const LogLevel level_;
};

std::uint64_t system_seed() {
  std::random_device device;
  return (std::uint64_t{device()} << 32) ^ device();
}

constexpr std::size_t events_max = 256;
constexpr Duration sleep_max = std::chrono::hours(1);

/// For epoll_wait: never before `due`, for ever without one.
int milliseconds_until(std::optional<Instant> due) {
  if (!due) return -1;
  const Duration left = std::clamp(*due - monotonic_now(), Duration{0}, sleep_max);
  return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(left).count());
}

}  // namespace

struct Loop::Impl final : LoopCore, Nudge {
  explicit Impl(LoopOptions options)
      : ready(*this),
        clock(*this),
        logger(std::move(options.log_sink), options.log_level),
        random(options.seed ? *options.seed : system_seed()),
        ids(system_seed()),
        resolver(std::in_place, *this, base::look_up),
        files(base::make_posix_files()),
        network(base::make_posix_network(*this)),
        processes(base::make_posix_processes(*this)),
        offload(base::make_thread_offload(*this, options.offload_threads_max)),
        disk(base::make_thread_offload(*this, options.disk_threads_max)),
        env{ready, clock,    *network, *files, *processes, random,
            ids,   *offload, *disk,    *this,  logger} {
    epoll_fd = ::epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0) throw Exception(base::posix_error(errno, "epoll_create"));
    wake_fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    epoll_event event{};  // without a Watch: it only ends a sleep
    event.events = EPOLLIN | EPOLLET;
    if (wake_fd < 0 || ::epoll_ctl(epoll_fd, EPOLL_CTL_ADD, wake_fd, &event) < 0) {
      const int error = errno;
      if (wake_fd >= 0) ::close(wake_fd);
      ::close(epoll_fd);
      throw Exception(base::posix_error(error, "eventfd"));
    }
  }

  ~Impl() {
    resolver.reset();  // its threads post to here
    offload->join();
    disk->join();
    processes.reset();  // kills and reaps
    // Callbacks that nobody will run may own tasks; they go while everything is still there.
    drop_posted();
    if (ready.fibers() == 0 && watches != 0) explain_and_abort();
    ::close(wake_fd);
    ::close(epoll_fd);
  }

  /// Sockets would deregister at what is gone. Tasks that are left, `ready` explains.
  [[noreturn]] void explain_and_abort() const {
    std::fprintf(stderr,
                 "knative: a Loop is being destroyed while %zu of its sockets are open. Destroy "
                 "listeners, streams, servers and clients before the loop itself.\n",
                 watches);
    std::abort();
  }

  // ---- LoopCore

  Executor& executor() noexcept override { return ready; }
  Timers& timers() noexcept override { return clock; }

  void post(std::function<void()> work_item) override {
    bool wake = false;
    {
      const std::lock_guard lock(post_mutex);
      wake = posted.empty();
      posted.push_back(std::move(work_item));
    }
    has_posted.store(true, std::memory_order_release);
    if (wake) end_sleep();
  }

  void end_sleep() noexcept {
    // Edge-triggered, so it need not be read. It cannot fail before 2^64 times.
    const std::uint64_t one = 1;
    KN_ASSERT(::write(wake_fd, &one, sizeof one) == sizeof one);
  }

  void between_turns() noexcept override {
    if (hosted && !running && !std::exchange(nudged, true)) end_sleep();
  }

  Task<Result<std::vector<std::string>>> resolve(std::string host) override {
    return resolver->resolve(std::move(host));
  }

  Result<void> add(Watch& watch, int fd, std::uint32_t events) override {
    epoll_event event{};
    event.events = events | EPOLLET;
    event.data.ptr = &watch;
    ++watches;
    if (::epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
      return base::posix_error(errno, "epoll_ctl");
    }
    return {};
  }

  void remove(Watch& watch, int fd) noexcept override {
    --watches;
    ::epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, nullptr);
    for (std::size_t i = dispatched; i < batch; ++i) {
      if (events[i].data.ptr == &watch) events[i].data.ptr = nullptr;
    }
  }

  void retry(Watch& watch) override { retries.push_back(&watch); }
  void forget_retry(Watch& watch) noexcept override {
    std::replace(retries.begin(), retries.end(), &watch, static_cast<Watch*>(nullptr));
    std::replace(retrying.begin(), retrying.end(), &watch, static_cast<Watch*>(nullptr));
  }

  // ---- the turn

  /// Wait for at most `timeout_ms` (-1: for ever) and hand out what epoll knows then. Returns how
  /// many descriptors had something.
  std::size_t poll_descriptors(int timeout_ms) {
    const int count =
        ::epoll_wait(epoll_fd, events.data(), static_cast<int>(events.size()), timeout_ms);
    if (count <= 0) return 0;
    batch = static_cast<std::size_t>(count);
    for (dispatched = 0; dispatched < batch;) {
      const epoll_event event = events[dispatched++];
      if (event.data.ptr != nullptr) {
        dispatch(*static_cast<Watch*>(event.data.ptr), event.events);
      }
    }
    dispatched = batch = 0;
    return static_cast<std::size_t>(count);
  }

  void run_retries() {
    if (retries.empty()) return;
    retrying.swap(retries);
    for (std::size_t i = 0; i < retrying.size(); ++i) {
      Watch* watch = std::exchange(retrying[i], nullptr);
      if (watch == nullptr) continue;
      clear_retrying(*watch);
      dispatch(*watch, 0);
    }
    retrying.clear();
  }

  void run_posted() {
    if (!has_posted.load(std::memory_order_acquire)) return;
    std::vector<std::function<void()>> batch_of_work;
    {
      const std::lock_guard lock(post_mutex);
      has_posted.store(false, std::memory_order_relaxed);
      batch_of_work.swap(posted);
    }
    for (std::function<void()>& item : batch_of_work) {
      item();
      item = nullptr;
    }
  }

  void drop_posted() {
    std::vector<std::function<void()>> dropped;
    const std::lock_guard lock(post_mutex);
    dropped.swap(posted);
  }

  /// Everything that can be done without waiting.
  void turn() {
    ++turn_;
    clock.begin_turn();
    clock.queue().fire_due(clock.now());
    run_retries();
    run_posted();
    ready.run_ready();
  }

  bool busy(std::optional<Instant> due) const {
    return ready.has_ready() || !retries.empty() || has_posted.load(std::memory_order_acquire) ||
           (due && *due <= clock.now());
  }

  /// Look at the descriptors, and sleep until something happens, but not beyond `limit`.
  void wait(std::optional<Instant> limit) {
    std::optional<Instant> due = clock.queue().next();
    if (limit && (!due || *limit < *due)) due = limit;
    const bool at_once = busy(due);
    clock.end_turn();
    poll_descriptors(at_once ? 0 : milliseconds_until(due));
  }

  /// `work` with the loop as running.
  template <class Work>
  void while_running(Work work) {
    KN_ASSERT(!running);  // a loop does not run inside itself
    running = true;
    nudged = false;
    const auto leave = [this] {
      clock.end_turn();
      running = false;
    };
    try {
      work();
    } catch (...) {
      leave();
      throw;
    }
    leave();
  }

  template <class Done>
  void run(std::optional<Instant> limit, Done done) {
    while_running([this, limit, &done] {
      for (;;) {
        turn();
        if (done()) break;
        if (limit && clock.now() >= *limit) break;
        if (stopping.exchange(false)) break;
        wait(limit);
      }
    });
    // What is left is the host's to poll for.
    if (hosted && busy(clock.queue().next())) between_turns();
  }

  std::optional<Instant> poll() {
    std::optional<Instant> next;
    while_running([this, &next] {
      poll_descriptors(0);
      turn();
      next = clock.queue().next();
      if (busy(next)) next = clock.now();
    });
    return next;
  }

  ReadyQueue ready;
  LoopTimers clock;
  LoopLogger logger;
  Random random;
  Random ids;
  std::optional<base::Resolver> resolver;
  int epoll_fd = -1;
  int wake_fd = -1;
  bool running = false;
  bool hosted = false;  ///< Somebody waits for `epoll_fd`.
  bool nudged = false;  ///< And was told since the last turn.
  std::size_t watches = 0;
  std::array<epoll_event, events_max> events;
  std::size_t batch = 0;
  std::size_t dispatched = 0;
  std::vector<Watch*> retries;
  std::vector<Watch*> retrying;

  std::mutex post_mutex;
  std::vector<std::function<void()>> posted;
  std::atomic<bool> has_posted{false};
  std::atomic<bool> stopping{false};

  std::unique_ptr<base::PosixFilesBase> files;
  std::unique_ptr<base::PosixNetwork> network;
  std::unique_ptr<base::PosixProcesses> processes;
  std::unique_ptr<base::ThreadOffload> offload;
  std::unique_ptr<base::ThreadOffload> disk;
  Env env;
};

namespace base {

void Watch::close() noexcept {
  if (retrying_) {
    core_.forget_retry(*this);
    retrying_ = false;
  }
  if (fd_ < 0) return;
  core_.remove(*this, fd_);
  ::close(std::exchange(fd_, -1));
}

}  // namespace base

Loop::Loop(LoopOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
Loop::~Loop() = default;

bool Loop::offloading() const noexcept { return impl_->offload->busy(); }

Env& Loop::env() noexcept { return impl_->env; }

void Loop::run() {
  impl_->run(std::nullopt, [] { return false; });
}

void Loop::run_for(Duration duration) {
  impl_->run(monotonic_now() + duration, [] { return false; });
}

void Loop::run_until(const std::function<bool()>& done) {
  impl_->run(std::nullopt, [&done] { return done(); });
  if (!done()) throw Exception(fail(Errc::cancelled, "the loop was stopped"));
}

void Loop::stop() noexcept {
  impl_->stopping.store(true);
  impl_->post([] {});
}

int Loop::descriptor() noexcept {
  impl_->hosted = true;
  impl_->between_turns();  // what was made ready before
  return impl_->epoll_fd;
}

std::optional<Instant> Loop::poll() { return impl_->poll(); }

void Loop::post(std::function<void()> work) { impl_->post(std::move(work)); }

}  // namespace knative
