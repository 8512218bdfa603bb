#include "native.hpp"

namespace native {

using knative::Platform;
using knative::Simulation;

namespace {

knative::Duration seconds(double value) {
  return std::chrono::duration_cast<knative::Duration>(std::chrono::duration<double>(value));
}

// A platform in virtual time, driven by the caller's thread.
class SimulatedPlatform {
 public:
  SimulatedPlatform(Simulation& simulation, knative::FunctionTable& functions)
      : simulation_(simulation), platform_(simulation.env(), functions) {}

  py::tuple apply(const py::dict& fields) {
    const knative::AnyObject object =
        take(knative::AnyObject::from_value(from_python(fields), knative::Strictness::strict));
    const knative::ObjectRef ref = take(platform_.apply(object));
    return py::make_tuple(ref.api_version, ref.kind, ref.namespace_, ref.name);
  }
  py::object get(const std::string& api_version, const std::string& kind,
                 const std::string& namespace_, const std::string& name) {
    return to_python(take(platform_.get({api_version, kind, namespace_, name})).to_value());
  }
  void ready(const std::string& api_version, const std::string& kind, const std::string& namespace_,
             const std::string& name, double timeout) {
    take(blocking([&] {
      return simulation_.run(
          platform_.ready({api_version, kind, namespace_, name}, seconds(timeout)));
    }));
  }
  knative::http::Response invoke(const std::string& service, const knative::http::Request& from) {
    knative::http::Request request;
    request.method = from.method;
    request.target = from.target;
    request.headers = from.headers;
    request.body = from.body.bytes();
    return take(blocking([&] { return simulation_.run(platform_.invoke(service, request)); }));
  }
  int scale(const std::string& service) { return platform_.scale(service); }
  Platform& inner() { return platform_; }

 private:
  Simulation& simulation_;
  Platform platform_;
};

}  // namespace

void bind_simulation(py::module_& module) {
  py::class_<Simulation>(module, "NativeSimulation")
      .def(py::init([](std::uint64_t seed) { return std::make_unique<Simulation>(seed); }),
           py::arg("seed"))
      .def_property_readonly("seed", &Simulation::seed)
      .def("run_for", [](Simulation& self,
                         double duration) { blocking([&] { self.run_for(seconds(duration)); }); })
      .def("now",
           [](const Simulation& self) {
             return std::chrono::duration<double>(self.now().time_since_epoch()).count();
           })
      .def("trace_hash", [](Simulation& self) { return self.trace().hash(); });
  py::class_<SimulatedPlatform>(module, "SimulatedPlatform")
      .def(py::init<Simulation&, knative::FunctionTable&>(), py::keep_alive<1, 2>(),
           py::keep_alive<1, 3>())
      .def("apply", &SimulatedPlatform::apply)
      .def("get", &SimulatedPlatform::get)
      .def("ready", &SimulatedPlatform::ready)
      .def("invoke", &SimulatedPlatform::invoke)
      .def("scale", &SimulatedPlatform::scale);
}

}  // namespace native
