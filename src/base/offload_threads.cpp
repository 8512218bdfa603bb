// A few threads for blocking work, started when first needed.
#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "base/block_signals.hpp"
#include "base/loop_core.hpp"

namespace knative::base {
namespace {

class Workers final : public ThreadOffload {
 public:
  Workers(LoopCore& core, int threads_max)
      : core_(core), threads_max_(static_cast<std::size_t>(std::max(threads_max, 1))) {}
  ~Workers() override { join(); }

  bool busy() const override {
    const std::lock_guard lock(mutex_);
    return !jobs_.empty() || idle_ < threads_.size();
  }

  void join() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

 private:
  struct Job {
    std::function<void()> work;
    std::function<void()> finished;
  };

  void submit(std::function<void()> work, std::function<void()> finished) override {
    bool start = false;
    {
      const std::lock_guard lock(mutex_);
      KN_ASSERT(!stopping_);
      jobs_.push_back(Job{std::move(work), std::move(finished)});
      start = jobs_.size() > idle_ && threads_.size() < threads_max_;
    }
    if (start) start_thread();
    wake_.notify_one();
  }

  void start_thread() {
    const BlockSignals blocked;
    threads_.emplace_back([this] { run(); });
  }

  void run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      ++idle_;
      wake_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
      --idle_;
      if (jobs_.empty()) return;
      Job job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      job.work();
      // The work goes back too, so that what it captured is destroyed on the loop.
      core_.post([done = std::move(job)] { done.finished(); });
      lock.lock();
    }
  }

  LoopCore& core_;
  const std::size_t threads_max_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job> jobs_;
  std::size_t idle_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace

std::unique_ptr<ThreadOffload> make_thread_offload(LoopCore& core, int threads_max) {
  return std::make_unique<Workers>(core, threads_max);
}

}  // namespace knative::base
