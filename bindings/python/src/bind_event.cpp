#include "native.hpp"

namespace native {

using knative::CloudEvent;
using knative::Filter;

namespace {

py::dict attributes_of(const CloudEvent& event) {
  py::dict attributes;
  for (const char* name : {"id", "source", "type", "specversion", "subject", "time",
                           "datacontenttype", "dataschema"}) {
    const std::optional<std::string> value = event.attribute(name);
    if (value && !value->empty()) attributes[name] = *value;
  }
  for (const auto& [name, value] : event.extensions()) {
    attributes[py::str(name)] = event.attribute(name).value_or("");
  }
  return attributes;
}

}  // namespace

void bind_event(py::module_& module) {
  using Fields = std::vector<std::pair<std::string, std::string>>;
  py::class_<CloudEvent>(module, "CloudEvent")
      .def(py::init([](const std::map<std::string, std::string>& attributes,
                       const std::optional<std::string>& data) {
             CloudEvent event;
             if (data) event.set_data(knative::EventData::of(*data, ""));
             for (const auto& [name, value] : attributes) event.set_attribute(name, value);
             return event;
           }),
           py::arg("attributes"), py::arg("data"))
      .def_property_readonly("attributes", &attributes_of)
      .def_property_readonly("data",
                             [](const CloudEvent& self) -> py::object {
                               if (!self.data().present()) return py::none();
                               return py::bytes(self.data().bytes());
                             })
      .def("validate", [](const CloudEvent& self) { take(self.validate()); })
      .def(
          "to_http",
          [](const CloudEvent& self, bool structured) {
            return knative::to_http(
                self, structured ? knative::ContentMode::structured : knative::ContentMode::binary);
          },
          py::arg("structured"))
      .def_static(
          "from_http",
          [](const Fields& fields, const std::string& body) {
            knative::http::Headers headers;
            for (const auto& [name, value] : fields) headers.add(name, value);
            return take(knative::from_http(headers, body));
          },
          py::arg("headers"), py::arg("body"))
      .def(
          "__eq__",
          [](const CloudEvent& self, const py::object& other) {
            return py::isinstance<CloudEvent>(other) && self == other.cast<const CloudEvent&>();
          },
          py::arg("other"))
      .def("__repr__",
           [](const CloudEvent& self) {
             return "CloudEvent" + py::repr(attributes_of(self)).cast<std::string>();
           })
      .def(py::pickle(
          [](const CloudEvent& self) { return py::make_tuple(py::bytes(knative::to_bytes(self))); },
          [](const py::tuple& state) {
            return take(knative::event_from_bytes(state[0].cast<std::string>()));
          }))
      .attr("__hash__") = py::none();
  py::class_<Filter>(module, "Filter")
      .def(py::init<>())
      .def_static(
          "exact",
          [](const std::string& attribute, const std::string& value) {
            return take(Filter::exact(attribute, value));
          },
          py::arg("attribute"), py::arg("value"))
      .def_static(
          "prefix",
          [](const std::string& attribute, const std::string& value) {
            return take(Filter::prefix(attribute, value));
          },
          py::arg("attribute"), py::arg("value"))
      .def_static(
          "suffix",
          [](const std::string& attribute, const std::string& value) {
            return take(Filter::suffix(attribute, value));
          },
          py::arg("attribute"), py::arg("value"))
      .def_static(
          "all", [](std::vector<Filter> filters) { return take(Filter::all(std::move(filters))); },
          py::arg("filters"))
      .def_static(
          "any", [](std::vector<Filter> filters) { return take(Filter::any(std::move(filters))); },
          py::arg("filters"))
      .def_static("not_", &Filter::not_, py::arg("filter"))
      .def_static(
          "cesql", [](const std::string& text) { return take(Filter::cesql(text)); },
          py::arg("expression"))
      .def("matches", &Filter::matches, py::arg("event"));
}

}  // namespace native
