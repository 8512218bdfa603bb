#include "messenger.hpp"

#include "native.hpp"

namespace native {

Messenger::Messenger() : thread_([this] { run(); }) {}

Messenger::~Messenger() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void Messenger::post(std::function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(work));
  }
  wake_.notify_one();
}

void Messenger::run() {
  while (true) {
    std::vector<std::function<void()>> batch;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return closing_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
      batch.swap(waiting_);
    }
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
}

}  // namespace native
