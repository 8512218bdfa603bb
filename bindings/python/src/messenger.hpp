// Carries calls into the interpreter, in order, on a thread of its own, so that a platform's loop
// never waits for the interpreter lock.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace native {

/// Thread-safe. The destructor runs what is left and joins; call it without the lock.
class Messenger {
 public:
  Messenger();
  ~Messenger();
  Messenger(const Messenger&) = delete;
  Messenger& operator=(const Messenger&) = delete;

  /// Run `work` with the interpreter lock, later. A Python exception of it is reported as
  /// unraisable, like those of finalizers.
  void post(std::function<void()> work);

 private:
  void run();
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::function<void()>> waiting_;
  bool closing_ = false;
  std::thread thread_;
};

}  // namespace native
