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

}  // namespace

void bind_http(py::module_& module) {
  py::class_<http::Request>(module, "Request")
      .def(py::init(
               [](std::string method, std::string target, const Fields& headers, std::string body) {
                 http::Request request;
                 request.method = std::move(method);
                 request.target = std::move(target);
                 request.headers = headers_of(headers);
                 request.body = std::move(body);
                 return request;
               }),
           py::arg("method") = "GET", py::arg("target") = "/", py::arg("headers") = Fields(),
           py::arg("body") = py::bytes())
      .def_property_readonly("method", [](const http::Request& self) { return self.method; })
      .def_property_readonly("target", [](const http::Request& self) { return self.target; })
      .def_property_readonly("path",
                             [](const http::Request& self) { return std::string(self.path()); })
      .def_property_readonly("headers",
                             [](const http::Request& self) { return fields_of(self.headers); })
      .def_property_readonly(
          "body", [](const http::Request& self) { return py::bytes(self.body.bytes()); });
  py::class_<http::Response>(module, "Response")
      .def(py::init([](int status, const Fields& headers, std::string body) {
             http::Response response;
             response.status = status;
             response.headers = headers_of(headers);
             response.body = std::move(body);
             return response;
           }),
           py::arg("status") = 200, py::arg("headers") = Fields(), py::arg("body") = py::bytes())
      .def_readonly("status", &http::Response::status)
      .def_property_readonly("headers",
                             [](const http::Response& self) { return fields_of(self.headers); })
      .def_property_readonly(
          "body", [](const http::Response& self) { return py::bytes(self.body.bytes()); });

  py::class_<knative::FunctionTable>(module, "FunctionTable")
      .def(py::init<>())
      .def(
          "http",
          [](knative::FunctionTable& self, std::string name, py::function function) {
            // Python functions may block: they run beside the loop, one interpreter lock for all.
            const Callable callable(std::move(function));
            self.http_blocking(std::move(name), [callable](http::Request& request) {
              http::Request copy;
              copy.method = request.method;
              copy.target = request.target;
              copy.headers = request.headers;
              copy.body = request.body.take_bytes();
              return callable.call(
                  [](const py::object& result) {
                    http::Response& native = result.cast<http::Response&>();
                    http::Response response;
                    response.status = native.status;
                    response.headers = native.headers;
                    response.body = native.body.bytes();
                    return response;
                  },
                  std::move(copy));
            });
          },
          py::arg("name"), py::arg("function"))
      .def("names", &knative::FunctionTable::names);
}

}  // namespace native
