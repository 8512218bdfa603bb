#include "native.hpp"

namespace native {

namespace {

// Defaults, then every field error at once; the object as the store would take it.
py::object checked(const py::dict& fields, bool strict) {
  knative::AnyObject object = take(knative::AnyObject::from_value(
      from_python(fields), strict ? knative::Strictness::strict : knative::Strictness::lenient));
  object.apply_defaults();
  const knative::FieldErrors errors = object.validate();
  if (!errors.empty()) raise(knative::fail(knative::Errc::invalid_argument, errors.to_string()));
  return to_python(object.to_value());
}

}  // namespace

void bind_model(py::module_& module) {
  module.def("checked", &checked, py::arg("fields"), py::arg("strict") = true);
  module.def(
      "parse_manifest",
      [](const std::string& text, const std::string& file_name) {
        knative::manifest::ParseOptions options;
        options.file_name = file_name;
        options.validate = true;
        py::list list;
        for (const knative::AnyObject& object : take(knative::manifest::parse(text, options))) {
          list.append(to_python(object.to_value()));
        }
        return list;
      },
      py::arg("text"), py::arg("file_name"));
  module.def(
      "print_manifest",
      [](const py::dict& fields) {
        return knative::manifest::print(
            take(knative::AnyObject::from_value(from_python(fields), knative::Strictness::strict)));
      },
      py::arg("fields"));
  module.attr("version") = KNATIVE_VERSION_STRING;
}

}  // namespace native
