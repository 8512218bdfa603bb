#include "messenger.hpp"

#include <unistd.h>

#include "native.hpp"

namespace native {

Birth::Birth() noexcept : process_(::getpid()) {}

bool Birth::forked() const noexcept { return process_ != ::getpid(); }

Messenger::Messenger() : thread_([this] { run_until_closed(); }) {}

void Messenger::close() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Messenger::post(std::function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    if (!closing_) {
      waiting_.push_back(std::move(work));
      wake_.notify_one();
      return;
    }
  }
  run({std::move(work)});
}

void Messenger::run(Batch batch) {
  call_python([&batch] {
    for (std::function<void()>& work : batch) {
      try {
        work();
      } catch (py::error_already_set& thrown) {
        thrown.discard_as_unraisable("knative");
      }
      work = nullptr;
    }
  });
}

void Messenger::run_until_closed() {
  while (true) {
    Batch batch;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return closing_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
      batch.swap(waiting_);
    }
    run(std::move(batch));
  }
}

}  // namespace native
