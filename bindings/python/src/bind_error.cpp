#include <array>

#include "native.hpp"

namespace native {

namespace {

constexpr std::array<std::pair<knative::Errc, const char*>, 12> classes = {{
    {knative::Errc::invalid_argument, "InvalidArgument"},
    {knative::Errc::not_found, "NotFound"},
    {knative::Errc::already_exists, "AlreadyExists"},
    {knative::Errc::conflict, "Conflict"},
    {knative::Errc::failed_precondition, "FailedPrecondition"},
    {knative::Errc::unavailable, "Unavailable"},
    {knative::Errc::deadline_exceeded, "DeadlineExceeded"},
    {knative::Errc::cancelled, "Cancelled"},
    {knative::Errc::resource_exhausted, "ResourceExhausted"},
    {knative::Errc::unimplemented, "Unimplemented"},
    {knative::Errc::data_loss, "DataLoss"},
    {knative::Errc::internal, "Internal"},
}};

}  // namespace

void raise(const knative::Error& error) {
  const py::module_ module = py::module_::import("knative._native");
  const char* name = "Error";
  for (const auto& [code, class_name] : classes) {
    if (code == error.code) name = class_name;
  }
  const py::object type = module.attr(name);
  const py::object value = type(error.detail);
  value.attr("code") = std::string(knative::to_string(error.code));
  value.attr("detail") = error.detail;
  PyErr_SetObject(type.ptr(), value.ptr());
  throw py::error_already_set();
}

void bind_error(py::module_& module) {
  const py::handle base = PyErr_NewExceptionWithDoc(
      "knative.Error", "What went wrong; `code` is one of twelve conditions.", PyExc_Exception,
      nullptr);
  module.add_object("Error", base);
  for (const auto& [code, name] : classes) {
    const std::string full = std::string("knative.") + name;
    module.add_object(name, PyErr_NewException(full.c_str(), base.ptr(), nullptr));
  }
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
