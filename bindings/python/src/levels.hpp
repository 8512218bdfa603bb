// Threads for `def`s that are called by other functions. A caller keeps its thread while it waits,
// so whom it calls never waits for that thread: each depth of calls has threads of its own.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>

namespace native {

/// Thread-safe. Threads end when they have been idle for some seconds, and nobody joins them: they
/// share what they use.
class Levels : public std::enable_shared_from_this<Levels> {
 public:
  /// At most so many threads at each depth.
  explicit Levels(int threads_max);
  /// Run `work` on a thread of this depth, at once or when one is free. False when there is none,
  /// or after `close`.
  bool run(int depth, std::function<void()> work);
  /// Idle threads end now; what is waiting is dropped.
  void close();

 private:
  struct Level {
    std::condition_variable wake;
    std::deque<std::function<void()>> waiting;
    std::size_t threads = 0;
    std::size_t idle = 0;
  };
  /// False when the system gives no more.
  bool start_thread(Level& level);
  void serve(Level& level);

  const std::size_t threads_max_;
  std::mutex mutex_;
  std::map<int, Level> levels_;
  bool closed_ = false;
};

}  // namespace native
