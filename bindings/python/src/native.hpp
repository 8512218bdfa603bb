// What the binding files share: conversion of values and errors, and the two places that touch
// the interpreter lock.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <knative/knative.hpp>
#include <utility>

namespace py = pybind11;

namespace native {

/// dict, list, str, int, float, bool, None <-> Value. TypeError for anything else.
py::object to_python(const knative::Value& value);
knative::Value from_python(const py::handle& object);

/// Raise the Python class of the error's condition.
[[noreturn]] void raise(const knative::Error& error);

/// The value, or the Python exception of its error.
template <class T>
T take(knative::Result<T> result) {
  if (!result) raise(result.error());
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

/// Run `work` without the interpreter lock: everything that may block goes through here.
template <class F>
auto blocking(F work) {
  py::gil_scoped_release release;
  return work();
}

/// A Python callable that C++ may hold and drop on any thread.
class Callable {
 public:
  explicit Callable(py::function function)
      : function_(new py::function(std::move(function)), [](py::function* held) {
          // After the interpreter's end there is nobody to give the reference back to.
          if (!Py_IsInitialized()) return;
          py::gil_scoped_acquire acquire;
          delete held;
        }) {}

  /// Call with the lock held. A Python exception becomes `std::runtime_error` with its text.
  template <class Convert, class... Arguments>
  auto call(Convert convert, Arguments&&... arguments) const {
    py::gil_scoped_acquire acquire;
    try {
      return convert((*function_)(std::forward<Arguments>(arguments)...));
    } catch (py::error_already_set& thrown) {
      throw std::runtime_error(thrown.what());
    }
  }

 private:
  std::shared_ptr<py::function> function_;
};

void bind_error(py::module_& module);
void bind_http(py::module_& module);
void bind_event(py::module_& module);
void bind_model(py::module_& module);
void bind_platform(py::module_& module);
void bind_simulation(py::module_& module);

}  // namespace native
