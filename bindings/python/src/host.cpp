#include "host.hpp"

namespace native {

bool Door::post(std::function<void()> work) {
  if (birth_.forked()) return false;  // whoever held the mutex is not here to let go of it
  const std::lock_guard lock(mutex_);
  if (!post_) return false;
  post_(std::move(work));
  return true;
}

void Door::close() {
  const std::lock_guard lock(mutex_);
  post_ = nullptr;
}

void refuse_forked() {
  PyErr_SetString(PyExc_RuntimeError,
                  "the platform belongs to the parent of this process; make one after the fork");
  throw py::error_already_set();
}

std::function<void(std::string_view, std::string_view)> Core::collector(
    const std::shared_ptr<Warnings>& warnings) {
  return [warnings](std::string_view where, std::string_view warning) {
    std::string sentence(where);
    if (!where.empty()) sentence += ": ";
    warnings->push_back(sentence.append(warning));
  };
}

Host::Host(std::unique_ptr<Core> core) : core_(std::move(core)) {}

Core& Host::core() const {
  if (birth_.forked()) refuse_forked();
  if (!core_) raise(knative::fail(knative::Errc::failed_precondition, "the platform is closed"));
  return *core_;
}

std::shared_ptr<Operation> Host::stop(double grace_seconds) const {
  return core().begin_stop(duration_of(grace_seconds));
}

void Host::close() {
  std::unique_ptr<Core> last = std::move(core_);
  if (birth_.forked()) static_cast<void>(last.release());  // its threads cannot be joined here
  // Threads that are joined here may be waiting for the interpreter lock.
  if (last) blocking([&last] { last.reset(); });
}

}  // namespace native
