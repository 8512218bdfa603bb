#include "native.hpp"

namespace native {

namespace http = knative::http;

namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

Fields fields_of(const http::Headers& headers) {
  Fields fields;
  for (const auto& field : headers) {
    fields.emplace_back(std::string(field.name), std::string(field.value));
  }
  return fields;
}

http::Headers headers_of(const Fields& fields) {
  http::Headers headers;
  for (const auto& [name, value] : fields) headers.add(name, value);
  return headers;
}

// What makes the message again.
py::tuple state_of(const http::Request& self) {
  return py::make_tuple(self.method, self.target, fields_of(self.headers),
                        py::bytes(self.body.bytes()));
}

py::tuple state_of(const http::Response& self) {
  return py::make_tuple(self.status, fields_of(self.headers), py::bytes(self.body.bytes()));
}

// Equality, text and pickling from the state.
template <class T, class Make>
void add_value_methods(py::class_<T>& type, const char* name, Make make) {
  type.def(
      "__eq__",
      [](const T& self, const py::object& other) {
        return py::isinstance<T>(other) && state_of(self).equal(state_of(other.cast<const T&>()));
      },
      py::arg("other"));
  type.def("__repr__", [name](const T& self) {
    const std::string state = py::repr(state_of(self));
    return name + state;
  });
  type.def(py::pickle([](const T& self) { return state_of(self); }, make));
  type.attr("__hash__") = py::none();
}

}  // namespace

http::Request copy_of(const http::Request& request) {
  http::Request copy;
  copy.method = request.method;
  copy.target = request.target;
  copy.headers = request.headers;
  copy.body = request.body.bytes();
  return copy;
}

http::Response copy_of(const http::Response& response) {
  http::Response copy;
  copy.status = response.status;
  copy.headers = response.headers;
  copy.body = response.body.bytes();
  return copy;
}

void bind_http(py::module_& module) {
  const auto request = [](std::string method, std::string target, const Fields& headers,
                          std::string body) {
    http::Request made;
    made.method = std::move(method);
    made.target = std::move(target);
    made.headers = headers_of(headers);
    made.body = std::move(body);
    return made;
  };
  py::class_<http::Request> requests(module, "Request");
  requests
      .def(py::init(request), py::arg("method") = "GET", py::arg("target") = "/",
           py::arg("headers") = Fields(), py::arg("body") = py::bytes())
      .def_property_readonly("method", [](const http::Request& self) { return self.method; })
      .def_property_readonly("target", [](const http::Request& self) { return self.target; })
      .def_property_readonly("path",
                             [](const http::Request& self) { return std::string(self.path()); })
      .def_property_readonly("headers",
                             [](const http::Request& self) { return fields_of(self.headers); })
      .def_property_readonly(
          "body", [](const http::Request& self) { return py::bytes(self.body.bytes()); });
  add_value_methods(requests, "Request", [request](const py::tuple& state) {
    return request(state[0].cast<std::string>(), state[1].cast<std::string>(),
                   state[2].cast<Fields>(), state[3].cast<std::string>());
  });

  const auto response = [](int status, const Fields& headers, std::string body) {
    http::Response made;
    made.status = status;
    made.headers = headers_of(headers);
    made.body = std::move(body);
    return made;
  };
  py::class_<http::Response> responses(module, "Response");
  responses
      .def(py::init(response), py::arg("status") = 200, py::arg("headers") = Fields(),
           py::arg("body") = py::bytes())
      .def_property_readonly("status", [](const http::Response& self) { return self.status; })
      .def_property_readonly("headers",
                             [](const http::Response& self) { return fields_of(self.headers); })
      .def_property_readonly(
          "body", [](const http::Response& self) { return py::bytes(self.body.bytes()); });
  add_value_methods(responses, "Response", [response](const py::tuple& state) {
    return response(state[0].cast<int>(), state[1].cast<Fields>(), state[2].cast<std::string>());
  });
}

}  // namespace native
