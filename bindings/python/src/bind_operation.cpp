#include "operation.hpp"

namespace native {

namespace {

constexpr std::chrono::milliseconds signal_poll{50};

Take throwing(std::exception_ptr thrown) {
  return [thrown = std::move(thrown)]() -> py::object { std::rethrow_exception(thrown); };
}

Take failing(knative::Errc code, std::string detail) {
  return taking(knative::Result<void>(knative::fail(code, std::move(detail))), &to_none);
}

knative::Task<void> stopped(Operation& operation) { co_await operation.stop.wait(); }

}  // namespace

bool Operation::done() const {
  const std::lock_guard lock(mutex_);
  return static_cast<bool>(take_);
}

bool Operation::wait_for(std::chrono::milliseconds limit) {
  std::unique_lock lock(mutex_);
  return finished_.wait_for(lock, limit, [this] { return static_cast<bool>(take_); });
}

py::object Operation::result() {
  if (birth_.forked() && !done()) refuse_forked();
  while (!blocking([this] { return wait_for(signal_poll); })) {
    if (PyErr_CheckSignals() != 0) {
      py::error_already_set signalled;
      cancel();
      throw signalled;
    }
  }
  return take_();
}

void Operation::cancel() {
  if (birth_.forked()) return;
  blocking([this] {
    if (!done()) post_([self = shared_from_this()] { self->stop.set(); });
  });
}

void Operation::on_done(py::function function) {
  const Callable listener(std::move(function));
  blocking([&] {
    bool late = false;
    {
      const std::lock_guard lock(mutex_);
      listener_ = listener;
      late = static_cast<bool>(take_);
    }
    if (late) tell();
  });
}

void Operation::finish(Take take) {
  {
    const std::lock_guard lock(mutex_);
    if (take_) return;
    take_ = std::move(take);
  }
  finished_.notify_all();
  tell();
}

void Operation::tell() {
  std::optional<Callable> listener;
  {
    const std::lock_guard lock(mutex_);
    listener.swap(listener_);
  }
  if (!listener) return;
  if (messenger_) {
    messenger_->post([callable = *std::move(listener)] { callable(); });
  } else {
    call_python([&] { (*listener)(); });
  }
}

Finally::~Finally() {
  if (!operation_) return;
  operation_->finish(
      failing(knative::Errc::cancelled, "the platform was closed or the call cancelled"));
}

knative::Task<void> drive(Finally operation, Make make, knative::Platform& platform, int hops) {
  const knative::SetHops from(hops);
  co_await from;
  std::exception_ptr thrown;
  try {
    knative::Task<Take> work = make(platform);
    knative::Task<void> stop = stopped(*operation);
    auto first = co_await knative::race(std::move(work), std::move(stop));
    if (first.first) operation->finish(*std::move(first.first));
  } catch (...) {
    thrown = std::current_exception();
  }
  if (thrown) operation->finish(throwing(std::move(thrown)));
}

void bind_operation(py::module_& module) {
  py::class_<Operation, std::shared_ptr<Operation>>(module, "Operation",
                                                    "A call in progress on a platform's loop.")
      .def("result", &Operation::result, "The value or the exception; waits for it.")
      .def("cancel", &Operation::cancel, "Drop the call; it ends with Cancelled.")
      .def("done", &Operation::done, "Whether it has finished.")
      .def("on_done", &Operation::on_done, py::arg("function"),
           "Call `function()` when it has finished, on a thread of the library.");
}

}  // namespace native
