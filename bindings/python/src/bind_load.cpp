#include "native.hpp"

namespace native {

using knative::Load;

void bind_load(py::module_& module) {
  py::class_<Load>(module, "Load")
      .def_static(
          "poisson",
          [](double rate, double duration) { return Load::poisson(rate, duration_of(duration)); },
          py::arg("rate"), py::arg("duration"))
      .def_static(
          "constant",
          [](double rate, double duration) { return Load::constant(rate, duration_of(duration)); },
          py::arg("rate"), py::arg("duration"))
      .def_static(
          "ramp",
          [](double from, double to, double duration) {
            return Load::ramp(from, to, duration_of(duration));
          },
          py::arg("from_rate"), py::arg("to_rate"), py::arg("duration"))
      .def_static(
          "burst",
          [](std::size_t count, double interval, double duration) {
            return Load::burst(count, duration_of(interval), duration_of(duration));
          },
          py::arg("count"), py::arg("interval"), py::arg("duration"))
      .def_static(
          "silence", [](double duration) { return Load::silence(duration_of(duration)); },
          py::arg("duration"))
      .def("then", &Load::then, py::arg("next"));
}

}  // namespace native
