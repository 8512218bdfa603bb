// What the parts of one real world share: its descriptors, its turn, and the way into it from
// other threads.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "knative/env.hpp"

namespace knative::base {

class LoopCore;

/// One descriptor, registered once and edge-triggered: no system call per wait. Owners keep
/// "may be readable" and "may be writable" flags, try first, and wait only after EAGAIN.
class Watch {
 public:
  explicit Watch(LoopCore& core) noexcept : core_(core) {}
  virtual ~Watch() { close(); }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  int fd() const noexcept { return fd_; }
  LoopCore& core() const noexcept { return core_; }
  /// Take `fd` over and register it for `events` (EPOLLET is added).
  Result<void> adopt(int fd, std::uint32_t events);
  /// Deregister and close; does nothing when closed.
  void close() noexcept;

 protected:
  friend class LoopCore;
  /// What epoll says, or 0 when called because of `retry_next_turn`.
  virtual void on_events(std::uint32_t events) = 0;
  /// Ask for `on_events(0)` at the next turn of the loop.
  void retry_next_turn();

 private:
  LoopCore& core_;
  int fd_ = -1;
  bool retrying_ = false;
};

/// The loop as its parts see it.
class LoopCore : public Mailbox {
 public:
  virtual Executor& executor() noexcept = 0;
  virtual Timers& timers() noexcept = 0;
  /// Numeric addresses of a host name, best first. `unavailable` when there are none.
  virtual Task<Result<std::vector<std::string>>> resolve(std::string host) = 0;
  /// Counts the turns; for bounds per turn.
  std::uint64_t turn() const noexcept { return turn_; }

 protected:
  friend class Watch;
  ~LoopCore() = default;
  virtual Result<void> add(Watch& watch, int fd, std::uint32_t events) = 0;
  virtual void remove(Watch& watch, int fd) noexcept = 0;
  virtual void retry(Watch& watch) = 0;
  virtual void forget_retry(Watch& watch) noexcept = 0;
  static void dispatch(Watch& watch, std::uint32_t events) { watch.on_events(events); }
  static void clear_retrying(Watch& watch) noexcept { watch.retrying_ = false; }

  std::uint64_t turn_ = 0;
};

inline Result<void> Watch::adopt(int fd, std::uint32_t events) {
  KN_ASSERT(fd_ < 0 && fd >= 0);
  fd_ = fd;
  return core_.add(*this, fd, events);
}

inline void Watch::retry_next_turn() {
  if (retrying_) return;
  retrying_ = true;
  core_.retry(*this);
}

/// The parts, each owned by the loop.
class PosixNetwork : public Network {
 public:
  virtual ~PosixNetwork() = default;
};
class PosixProcesses : public Processes {
 public:
  virtual ~PosixProcesses() = default;
};
class ThreadOffload : public Offload {
 public:
  virtual ~ThreadOffload() = default;
  /// Finish what was submitted and join the threads; afterwards nothing may be submitted.
  virtual void join() = 0;
  /// Whether work is running or waiting. Thread-safe.
  virtual bool busy() const = 0;
};

std::unique_ptr<PosixNetwork> make_posix_network(LoopCore& core);
/// The network of a child with one of its own, whose loopback is raised and gets `address` (may be
/// empty), before its program starts; names lead nowhere there. The calling thread must be
/// privileged, and goes there for moments.
Result<std::shared_ptr<Network>> make_network_inside(LoopCore& core, pid_t child,
                                                     const std::string& address);
std::unique_ptr<PosixProcesses> make_posix_processes(LoopCore& core);
std::unique_ptr<ThreadOffload> make_thread_offload(LoopCore& core, int threads_max);

}  // namespace knative::base
