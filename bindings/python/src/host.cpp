#include "host.hpp"

#include <unistd.h>

namespace native {

bool Door::post(std::function<void()> work) {
  const std::lock_guard lock(mutex_);
  if (!post_) return false;
  post_(std::move(work));
  return true;
}

void Door::close() {
  const std::lock_guard lock(mutex_);
  post_ = nullptr;
}

Host::Host(std::unique_ptr<Core> core) : core_(std::move(core)), process_(::getpid()) {}

bool Host::forked() const { return process_ != ::getpid(); }

Core& Host::core() const {
  if (forked()) {
    PyErr_SetString(PyExc_RuntimeError,
                    "the platform belongs to the parent of this process; make one after the fork");
    throw py::error_already_set();
  }
  if (!core_) raise(knative::fail(knative::Errc::failed_precondition, "the platform is closed"));
  return *core_;
}

void Host::stop(double grace_seconds) const {
  Core& running = core();
  blocking([&] { running.stop(duration_of(grace_seconds)); });
}

void Host::close() {
  std::unique_ptr<Core> last = std::move(core_);
  if (forked()) static_cast<void>(last.release());  // its threads cannot be joined here
  // Threads that are joined here may be waiting for the interpreter lock.
  if (last) blocking([&last] { last.reset(); });
}

}  // namespace native
