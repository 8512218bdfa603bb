#include <stdexcept>

#include "native.hpp"

namespace native {

namespace {

constexpr const char* errors_module = "knative.errors";

}  // namespace

void raise(const knative::Error& error) {
  const py::object by_code = py::module_::import(errors_module).attr("by_code");
  const py::object value = by_code(std::string(knative::to_string(error.code)), error.detail);
  PyErr_SetObject(py::type::handle_of(value).ptr(), value.ptr());
  throw py::error_already_set();
}

std::exception_ptr native_exception(const py::handle& exception) {
  const std::string detail = py::str(exception);
  if (py::isinstance(exception, py::module_::import(errors_module).attr("Error"))) {
    const std::string code = py::str(exception.attr("code"));
    for (int number = 1; number <= 12; ++number) {
      const auto condition = static_cast<knative::Errc>(number);
      if (knative::to_string(condition) != code) continue;
      return std::make_exception_ptr(knative::Exception(knative::fail(condition, detail)));
    }
  }
  std::string text = py::str(py::type::handle_of(exception).attr("__name__"));
  if (!detail.empty()) text += ": " + detail;
  return std::make_exception_ptr(std::runtime_error(text));
}

namespace {

// Signals are seen by the main thread only: elsewhere a KeyboardInterrupt is one that a handler has
// made up, and nothing but its failure.
bool on_main_thread() {
  const py::module_ threading = py::module_::import("threading");
  return threading.attr("current_thread")().is(threading.attr("main_thread")());
}

}  // namespace

void throw_without_python(py::error_already_set& thrown) {
  // Ctrl-C that hit a handler is meant for the program: the main thread looks for it again.
  if (thrown.matches(PyExc_KeyboardInterrupt) && on_main_thread()) PyErr_SetInterrupt();
  std::rethrow_exception(native_exception(thrown.value()));
}

void bind_error(py::module_& module) {
  static_cast<void>(module);
  py::register_exception_translator([](std::exception_ptr thrown) {
    try {
      if (thrown) std::rethrow_exception(thrown);
    } catch (const knative::Exception& exception) {
      try {
        raise(exception.error());
      } catch (py::error_already_set& set) {
        set.restore();
      }
    }
  });
}

}  // namespace native
