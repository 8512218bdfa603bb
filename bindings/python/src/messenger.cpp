#include "messenger.hpp"

#include <unistd.h>

#include "native.hpp"

namespace native {

Birth::Birth() noexcept : process_(::getpid()) {}

bool Birth::forked() const noexcept { return process_ != ::getpid(); }

Messenger::Messenger()
    : state_(std::make_shared<State>()), thread_([state = state_] { run_until_closed(*state); }) {}

void Messenger::close() {
  std::thread last;
  {
    const std::lock_guard lock(state_->mutex);
    state_->closing = true;
    last.swap(thread_);
  }
  state_->wake.notify_one();
  if (!last.joinable()) return;
  if (last.get_id() == std::this_thread::get_id()) {
    last.detach();
  } else {
    last.join();
  }
}

void Messenger::post(std::function<void()> work) {
  {
    const std::lock_guard lock(state_->mutex);
    if (!state_->closing) {
      state_->waiting.push_back(std::move(work));
      state_->wake.notify_one();
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

void Messenger::run_until_closed(State& state) {
  while (true) {
    Batch batch;
    {
      std::unique_lock lock(state.mutex);
      state.wake.wait(lock, [&state] { return state.closing || !state.waiting.empty(); });
      if (state.waiting.empty()) return;
      batch.swap(state.waiting);
    }
    run(std::move(batch));
  }
}

}  // namespace native
