// What the binding files share: conversion of values and errors, and the two places that touch
// the interpreter lock.
#pragma once

#include <cxxabi.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <exception>
#include <knative/knative.hpp>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace py = pybind11;

namespace native {

/// dict, list, str, int, float, bool, None <-> Value. TypeError or ValueError for anything else,
/// with the way to it, which begins with `name`; bounded in depth and number, so that what contains
/// itself is an error, too.
py::object to_python(const knative::Value& value);
knative::Value from_python(const py::handle& object, std::string_view name);

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

/// The nearest duration; what is no number is none.
inline knative::Duration duration_of(double seconds) {
  constexpr double seconds_max = 4e9;
  if (!(seconds > -seconds_max)) return knative::Duration::zero();
  return std::chrono::duration_cast<knative::Duration>(
      std::chrono::duration<double>(std::min(seconds, seconds_max)));
}

/// The end of a thread that came back to an interpreter which has ended meanwhile.
[[noreturn]] void stay_for_ever() noexcept;

/// Run what may come back into the interpreter, on any thread but the one that ends it. Such a
/// thread would be unwound, through destructors that want the interpreter, and the program would
/// abort; it stays where it is until the process is gone.
template <class F>
auto unless_ended(F&& work) {
  try {
    return work();
  } catch (abi::__forced_unwind&) {
    stay_for_ever();
  }
}

/// While it lives the thread does not have the interpreter lock.
class Unlocked {
 public:
  Unlocked() : state_(PyEval_SaveThread()) {}
  ~Unlocked() {
    unless_ended([this] { PyEval_RestoreThread(state_); });
  }
  Unlocked(const Unlocked&) = delete;
  Unlocked& operator=(const Unlocked&) = delete;

 private:
  PyThreadState* state_;
};

/// While it lives the thread has the interpreter lock.
class Locked {
 public:
  Locked() : state_(unless_ended([] { return PyGILState_Ensure(); })) {}
  ~Locked() {
    unless_ended([this] { PyGILState_Release(state_); });
  }
  Locked(const Locked&) = delete;
  Locked& operator=(const Locked&) = delete;

 private:
  PyGILState_STATE state_;
};

/// Run `work` without the interpreter lock: everything that may block goes through here.
template <class F>
auto blocking(F&& work) {
  if (PyGILState_Check() == 0) return work();
  const Unlocked unlocked;
  return work();
}

/// Run `work` with the interpreter lock, on any thread: everything that enters the interpreter
/// goes through here. A Python exception becomes a C++ one.
template <class F>
auto call_python(F&& work) {
  const Locked locked;
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

  /// Call it; with the lock.
  template <class... Arguments>
  py::object operator()(Arguments&&... arguments) const {
    const py::tuple packed = py::make_tuple(std::forward<Arguments>(arguments)...);
    PyObject* result =
        unless_ended([&] { return PyObject_CallObject(function_->ptr(), packed.ptr()); });
    if (result == nullptr) throw py::error_already_set();
    return py::reinterpret_steal<py::object>(result);
  }

 private:
  std::shared_ptr<py::function> function_;
};

/// Raise RuntimeError: a forked child uses what its parent's threads serve.
[[noreturn]] void refuse_forked();

/// The name, in this module, of the context variable that holds how many calls from service to
/// service led to the Python code that runs.
inline constexpr const char* hops_name = "hops";

/// The hops of the running Python code: what it begins goes on from there. With the lock.
int current_hops();

/// While it lives, the Python code that this thread calls has so many hops. With the lock.
class HopsScope {
 public:
  explicit HopsScope(int hops);
  ~HopsScope();
  HopsScope(const HopsScope&) = delete;
  HopsScope& operator=(const HopsScope&) = delete;

 private:
  py::object variable_;
  py::object token_;
};

/// Copies with the body in memory: messages are not copyable as such.
knative::http::Request copy_of(const knative::http::Request& request);
knative::http::Response copy_of(const knative::http::Response& response);

void bind_error(py::module_& module);
void bind_event(py::module_& module);
void bind_hops(py::module_& module);
void bind_http(py::module_& module);
void bind_load(py::module_& module);
void bind_model(py::module_& module);
void bind_operation(py::module_& module);
void bind_platform(py::module_& module);
void bind_simulation(py::module_& module);
void bind_workload(py::module_& module);

}  // namespace native
