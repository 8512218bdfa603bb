// What the binding files share: conversion of values and errors, and the two places that touch
// the interpreter lock.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <exception>
#include <knative/knative.hpp>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace py = pybind11;

namespace native {

/// dict, list, str, int, float, bool, None <-> Value. TypeError for anything else.
py::object to_python(const knative::Value& value);
knative::Value from_python(const py::handle& object);

/// Raise the Python class of the error's condition.
[[noreturn]] void raise(const knative::Error& error);
/// What stands for a Python exception where no interpreter lock is held: `Exception` for those of
/// knative.errors, `std::runtime_error` with the text for all others.
std::exception_ptr native_exception(const py::handle& exception);
[[noreturn]] void throw_without_python(py::error_already_set& thrown);

/// The value, or the Python exception of its error.
template <class T>
T take(knative::Result<T> result) {
  if (!result) raise(result.error());
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

inline knative::Duration duration_of(double seconds) {
  return std::chrono::duration_cast<knative::Duration>(std::chrono::duration<double>(seconds));
}

/// Run `work` without the interpreter lock: everything that may block goes through here.
template <class F>
auto blocking(F&& work) {
  if (PyGILState_Check() == 0) return work();
  py::gil_scoped_release release;
  return work();
}

/// Run `work` with the interpreter lock, on any thread: everything that enters the interpreter
/// goes through here. A Python exception becomes a C++ one.
template <class F>
auto call_python(F&& work) {
  py::gil_scoped_acquire acquire;
  try {
    return work();
  } catch (py::error_already_set& thrown) {
    throw_without_python(thrown);
  }
}

/// A Python callable that C++ may hold, copy and drop on any thread.
class Callable {
 public:
  explicit Callable(py::function function)
      : function_(new py::function(std::move(function)), [](py::function* held) {
          // After the interpreter's end there is nobody to give the reference back to.
          if (Py_IsInitialized() != 0) call_python([held] { delete held; });
        }) {}

  /// The function itself; only with the lock.
  const py::function& get() const { return *function_; }

 private:
  std::shared_ptr<py::function> function_;
};

/// Copies with the body in memory: messages are not copyable as such.
knative::http::Request copy_of(const knative::http::Request& request);
knative::http::Response copy_of(const knative::http::Response& response);

void bind_error(py::module_& module);
void bind_event(py::module_& module);
void bind_http(py::module_& module);
void bind_load(py::module_& module);
void bind_model(py::module_& module);
void bind_operation(py::module_& module);
void bind_platform(py::module_& module);
void bind_simulation(py::module_& module);
void bind_workload(py::module_& module);

}  // namespace native
