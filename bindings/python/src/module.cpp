#include "native.hpp"

PYBIND11_MODULE(_native, module) {
  module.doc() = "The compiled part of knative; use the package `knative` instead.";
  native::bind_error(module);
  native::bind_hops(module);
  native::bind_model(module);
  native::bind_http(module);
  native::bind_event(module);
  native::bind_workload(module);
  native::bind_operation(module);
  native::bind_load(module);
  native::bind_platform(module);
  native::bind_simulation(module);
}
