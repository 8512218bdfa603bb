// Carries calls into the interpreter, in order, on a thread of its own, so that a platform's loop
// never waits for the interpreter lock.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace native {

/// The process that made something. A child that was forked has none of its threads.
class Birth {
 public:
  Birth() noexcept;
  bool forked() const noexcept;

 private:
  long process_;
};

/// Thread-safe. Calls that a platform began may outlive it and let go of its messenger on any
/// thread, so whoever makes one closes it.
class Messenger {
 public:
  Messenger();
  ~Messenger() { close(); }
  Messenger(const Messenger&) = delete;
  Messenger& operator=(const Messenger&) = delete;

  /// Run `work` with the interpreter lock: later, or now when it is closed. A Python exception of
  /// it is reported as unraisable, like those of finalizers.
  void post(std::function<void()> work);
  /// Run what is left and join. Not with the lock, which the work needs. From its own thread: what
  /// is left runs afterwards.
  void close();

 private:
  using Batch = std::vector<std::function<void()>>;
  /// What the thread uses, too; it may end after the messenger.
  struct State {
    std::mutex mutex;
    std::condition_variable wake;
    Batch waiting;
    bool closing = false;
  };
  static void run(Batch batch);
  static void run_until_closed(State& state);
  std::shared_ptr<State> state_;
  std::thread thread_;
};

}  // namespace native
