#include "base/crew.hpp"

#include <algorithm>

#include "base/block_signals.hpp"

namespace knative::base {

Crew::Crew(unsigned helpers) {
  const BlockSignals blocked;  // they are for the host's own threads
  for (unsigned i = 0; i < helpers; ++i) helpers_.emplace_back([this] { help(); });
}

Crew::~Crew() {
  {
    const std::lock_guard guard(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  for (std::thread& helper : helpers_) helper.join();
}

unsigned Crew::idle_processors() { return std::max(std::thread::hardware_concurrency(), 1u) - 1; }

Crew::Ticket Crew::add(Work work) { return put(std::move(work), false); }
Crew::Ticket Crew::add_in_order(Work work) { return put(std::move(work), true); }

Crew::Ticket Crew::put(Work work, bool ordered) {
  auto job = std::make_shared<Job>(Job{std::move(work), ordered, false});
  {
    const std::lock_guard guard(mutex_);
    (ordered ? ordered_ : others_).push_back(job);
  }
  changed_.notify_one();
  return job;
}

// The ordered first: they are the longest chain.
Crew::Ticket Crew::next() {
  std::deque<Ticket>* from = nullptr;
  if (!ordered_.empty() && !ordered_runs_) {
    from = &ordered_;
  } else if (!others_.empty()) {
    from = &others_;
  }
  if (from == nullptr) return nullptr;
  Ticket job = std::move(from->front());
  from->pop_front();
  ordered_runs_ = ordered_runs_ || job->ordered;
  return job;
}

void Crew::run(std::unique_lock<std::mutex>& lock, const Ticket& job) {
  lock.unlock();
  job->work();
  lock.lock();
  job->done = true;
  if (job->ordered) ordered_runs_ = false;
  changed_.notify_all();
}

void Crew::wait(const Ticket& ticket) {
  std::unique_lock lock(mutex_);
  while (!ticket->done) {
    if (const Ticket job = next()) {
      run(lock, job);
    } else {
      changed_.wait(lock);
    }
  }
}

void Crew::help() {
  std::unique_lock lock(mutex_);
  while (!ending_) {
    if (const Ticket job = next()) {
      run(lock, job);
    } else {
      changed_.wait(lock);
    }
  }
}

}  // namespace knative::base
