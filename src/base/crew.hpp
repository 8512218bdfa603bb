// Threads that compute for one caller, who works with them while it waits. For computations that
// touch nothing but their own memory: in virtual time they give the same as in real time.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace knative::base {

class Crew {
  struct Job;

 public:
  using Work = std::function<void()>;
  using Ticket = std::shared_ptr<Job>;

  /// With no helpers the caller does it all.
  explicit Crew(unsigned helpers);
  /// Waits for what has begun; what has not, never does.
  ~Crew();
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  /// How many processors there are beside the caller's.
  static unsigned idle_processors();

  /// Work that may run at any time from now on. It must not throw, and what it uses must stay until
  /// it is done or the crew is gone.
  Ticket add(Work work);
  /// The same, but after all others of this kind.
  Ticket add_in_order(Work work);
  /// Work until this one is done. What it wrote is visible then.
  void wait(const Ticket& ticket);

 private:
  struct Job {
    Work work;
    bool ordered = false;
    bool done = false;
  };

  Ticket put(Work work, bool ordered);
  Ticket next();
  void run(std::unique_lock<std::mutex>& lock, const Ticket& job);
  void help();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Ticket> ordered_;
  std::deque<Ticket> others_;
  bool ordered_runs_ = false;
  bool ending_ = false;
  std::vector<std::thread> helpers_;
};

}  // namespace knative::base
