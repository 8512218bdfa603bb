#include <pthread.h>
#include <unistd.h>

#include "native.hpp"

namespace native {

void stay_for_ever() noexcept {
  // What still calls this thread to an end would unwind it from here.
  ::pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
  for (;;) ::pause();
}

namespace {

py::object hops_variable() { return py::module_::import("knative._native").attr(hops_name); }

}  // namespace

int current_hops() {
  PyObject* value = nullptr;
  if (PyContextVar_Get(hops_variable().ptr(), nullptr, &value) != 0) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(value).cast<int>();
}

HopsScope::HopsScope(int hops) : variable_(hops_variable()) {
  token_ =
      py::reinterpret_steal<py::object>(PyContextVar_Set(variable_.ptr(), py::int_(hops).ptr()));
  if (!token_) throw py::error_already_set();
}

HopsScope::~HopsScope() {
  if (PyContextVar_Reset(variable_.ptr(), token_.ptr()) != 0) PyErr_Clear();
}

void bind_hops(py::module_& module) {
  const py::int_ none(0);
  module.attr(hops_name) =
      py::reinterpret_steal<py::object>(PyContextVar_New("knative.hops", none.ptr()));
}

}  // namespace native
