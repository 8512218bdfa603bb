#include "native.hpp"

namespace native {

namespace {

py::list sentences_of(const knative::FieldErrors& errors) {
  py::list sentences;
  for (const knative::FieldError& error : errors.merged()) {
    std::string sentence = error.to_string();
    std::replace(sentence.begin(), sentence.end(), '\n', ' ');
    sentences.append(sentence);
  }
  return sentences;
}

// Defaults, then every field error at once; the object as the store would take it, and what has no
// effect.
py::tuple checked(const py::dict& fields, bool strict) {
  knative::AnyObject object = take(knative::AnyObject::from_value(
      from_python(fields, "object"),
      strict ? knative::Strictness::strict : knative::Strictness::lenient));
  object.apply_defaults();
  const knative::FieldErrors errors = object.validate();
  take(errors.to_result());
  return py::make_tuple(to_python(object.to_value()),
                        sentences_of(errors.filter(knative::FieldError::Level::warning)));
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
        std::vector<std::string> warnings;
        options.warnings = &warnings;
        py::list list;
        for (const knative::AnyObject& object : take(knative::manifest::parse(text, options))) {
          list.append(to_python(object.to_value()));
        }
        return py::make_tuple(list, warnings);
      },
      py::arg("text"), py::arg("file_name"));
  module.def(
      "print_manifest",
      [](const py::dict& fields) {
        return knative::manifest::print(take(knative::AnyObject::from_value(
            from_python(fields, "object"), knative::Strictness::strict)));
      },
      py::arg("fields"));
  module.attr("version") = KNATIVE_VERSION_STRING;
}

}  // namespace native
