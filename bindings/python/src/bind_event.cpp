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

Filter filter_from(const std::string& kind, const std::map<std::string, std::string>& wanted) {
  std::vector<Filter> parts;
  for (const auto& [attribute, value] : wanted) {
    parts.push_back(take(kind == "prefix"   ? Filter::prefix(attribute, value)
                         : kind == "suffix" ? Filter::suffix(attribute, value)
                                            : Filter::exact(attribute, value)));
  }
  return parts.size() == 1 ? parts.front() : take(Filter::all(std::move(parts)));
}

}  // namespace

void bind_event(py::module_& module) {
  py::class_<CloudEvent>(module, "NativeEvent")
      .def(py::init(
               [](const std::map<std::string, std::string>& attributes, py::object data, bool raw) {
                 CloudEvent event;
                 for (const auto& [name, value] : attributes) event.set_attribute(name, value);
                 if (raw) {
                   const auto type = attributes.find("datacontenttype");
                   event.set_data(knative::EventData::of(
                       data.cast<std::string>(),
                       type == attributes.end() ? "application/octet-stream" : type->second));
                 } else if (!data.is_none()) {
                   event.set_data(from_python(data));
                 }
                 return event;
               }),
           py::arg("attributes"), py::arg("data"), py::arg("raw"))
      .def_property_readonly("attributes", &attributes_of)
      .def_property_readonly("data_bytes",
                             [](const CloudEvent& self) { return py::bytes(self.data().bytes()); })
      .def("json", [](const CloudEvent& self) { return to_python(take(self.json())); })
      .def("validate", [](const CloudEvent& self) { take(self.validate()); });
  py::class_<Filter>(module, "Filter")
      .def(py::init<>())
      .def_static("_from", &filter_from)
      .def_static("all",
                  [](std::vector<Filter> parts) { return take(Filter::all(std::move(parts))); })
      .def_static("any",
                  [](std::vector<Filter> parts) { return take(Filter::any(std::move(parts))); })
      .def_static("not_", &Filter::not_)
      .def_static(
          "cesql", [](const std::string& text) { return take(Filter::cesql(text)); },
          "A CloudEvents SQL 1.0 expression.")
      .def("_matches", &Filter::matches);
}

}  // namespace native
