#include "levels.hpp"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <system_error>
#include <thread>

namespace native {

namespace {

constexpr std::chrono::seconds idle_max{5};

}  // namespace

Levels::Levels(int threads_max)
    : threads_max_(static_cast<std::size_t>(std::max(threads_max, 1))) {}

bool Levels::run(int depth, std::function<void()> work) {
  const std::lock_guard lock(mutex_);
  if (closed_) return false;
  Level& level = levels_[depth];
  if (level.waiting.size() >= level.idle && level.threads < threads_max_) {
    if (!start_thread(level) && level.threads == 0) return false;
  }
  level.waiting.push_back(std::move(work));
  level.wake.notify_one();
  return true;
}

void Levels::close() {
  std::deque<std::function<void()>> dropped;
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    for (auto& [depth, level] : levels_) {
      std::move(level.waiting.begin(), level.waiting.end(), std::back_inserter(dropped));
      level.waiting.clear();
      level.wake.notify_all();
    }
  }
}

bool Levels::start_thread(Level& level) {
  // Signals belong to the program's own threads: new threads inherit a full mask.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  bool started = true;
  try {
    std::thread([self = shared_from_this(), &level] { self->serve(level); }).detach();
    ++level.threads;
  } catch (const std::system_error&) {
    started = false;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return started;
}

void Levels::serve(Level& level) {
  std::unique_lock lock(mutex_);
  for (;;) {
    ++level.idle;
    const bool called =
        level.wake.wait_for(lock, idle_max, [&] { return closed_ || !level.waiting.empty(); });
    --level.idle;
    if (!called || level.waiting.empty()) break;
    std::function<void()> work = std::move(level.waiting.front());
    level.waiting.pop_front();
    lock.unlock();
    work();
    work = nullptr;  // what it holds may want the interpreter lock
    lock.lock();
  }
  --level.threads;
}

}  // namespace native
