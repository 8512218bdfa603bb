#include "native.hpp"

namespace native {

using knative::AnyObject;
using knative::ObjectRef;
using knative::PlatformThread;

namespace {

knative::Duration seconds(double value) {
  return std::chrono::duration_cast<knative::Duration>(std::chrono::duration<double>(value));
}

AnyObject object_from(const py::dict& fields) {
  return take(AnyObject::from_value(from_python(fields), knative::Strictness::strict));
}

py::tuple tuple_of(const ObjectRef& ref) {
  return py::make_tuple(ref.api_version, ref.kind, ref.namespace_, ref.name);
}

ObjectRef ref_of(const py::tuple& fields) {
  return ObjectRef{fields[0].cast<std::string>(), fields[1].cast<std::string>(),
                   fields[2].cast<std::string>(), fields[3].cast<std::string>()};
}

py::list list_of(const std::vector<ObjectRef>& refs) {
  py::list list;
  for (const ObjectRef& ref : refs) list.append(tuple_of(ref));
  return list;
}

// Run a Python subscriber beside the loop: it may block.
knative::Task<knative::Reply> deliver(const Callable& callable, knative::Offload& offload,
                                      const knative::CloudEvent& event) {
  auto copy = std::make_shared<knative::CloudEvent>(event);
  std::function<knative::Reply()> work = [&callable, copy] {
    return callable.call(
        [](const py::object& result) {
          return result.is_none() ? knative::Reply()
                                  : knative::Reply(result.cast<knative::CloudEvent>());
        },
        *copy);
  };
  co_return co_await offload.run(work);
}

// Destroying a platform joins threads that may wait for the interpreter lock.
struct WithoutLock {
  void operator()(PlatformThread* platform) const {
    py::gil_scoped_release release;
    delete platform;
  }
};
using Holder = std::unique_ptr<PlatformThread, WithoutLock>;

Holder make_platform(knative::FunctionTable& functions, const std::string& data_directory,
                     const std::string& listen, bool beyond_loopback, const std::string& domain,
                     const std::string& log_level, double scale_to_zero_grace) {
  knative::PlatformOptions options;
  options.data_directory = data_directory;
  options.listen.reset();
  if (!listen.empty()) options.listen = take(knative::Endpoint::parse(listen));
  options.listen_beyond_loopback = beyond_loopback;
  options.domain = domain;
  options.autoscaler.scale_to_zero_grace_period = seconds(scale_to_zero_grace);
  knative::LoopOptions loop;
  loop.offload_threads_max = 16;
  loop.log_level = log_level == "debug"     ? knative::LogLevel::debug
                   : log_level == "info"    ? knative::LogLevel::info
                   : log_level == "warning" ? knative::LogLevel::warning
                                            : knative::LogLevel::error;
  return Holder(new PlatformThread(functions, std::move(options), std::move(loop)));
}

py::dict build(PlatformThread& self, const py::dict& fields) {
  const AnyObject object = object_from(fields);
  const knative::build::Build build = object.get<knative::build::Build>();
  knative::BuildResult result = take(blocking([&] { return self.build(build); }));
  py::dict out;
  out["image"] = result.image;
  out["digest"] = result.digest.to_string();
  knative::build::Build finished = build;
  finished.status = result.status;
  out["status"] = to_python(AnyObject(finished).to_value())["status"];
  return out;
}

}  // namespace

void bind_platform(py::module_& module) {
  py::class_<knative::Subscription>(module, "NativeSubscription")
      .def_property_readonly("trigger", &knative::Subscription::trigger)
      .def("cancel", &knative::Subscription::cancel, py::call_guard<py::gil_scoped_release>())
      .def("detach", &knative::Subscription::detach);

  py::class_<PlatformThread, Holder>(module, "PlatformThread")
      .def(py::init(&make_platform), py::arg("functions"), py::arg("data_directory"),
           py::arg("listen"), py::arg("listen_beyond_loopback"), py::arg("domain"),
           py::arg("log_level"), py::arg("scale_to_zero_grace"), py::keep_alive<1, 2>())
      .def("start", [](PlatformThread& self) { take(blocking([&] { return self.start(); })); })
      .def("stop",
           [](PlatformThread& self, double grace) { blocking([&] { self.stop(seconds(grace)); }); })
      .def("apply",
           [](PlatformThread& self, const py::dict& fields) {
             const AnyObject object = object_from(fields);
             return tuple_of(take(blocking([&] { return self.apply(object); })));
           })
      .def("apply_text",
           [](PlatformThread& self, const std::string& text, const std::string& file_name) {
             return list_of(take(blocking([&] { return self.apply_text(text, file_name); })));
           })
      .def("apply_path",
           [](PlatformThread& self, const std::string& path) {
             return list_of(take(blocking([&] { return self.apply_path(path); })));
           })
      .def("get",
           [](PlatformThread& self, const py::tuple& fields) {
             const ObjectRef ref = ref_of(fields);
             return to_python(take(blocking([&] { return self.get(ref); })).to_value());
           })
      .def("list",
           [](PlatformThread& self, const std::string& api_version, const std::string& kind,
              const std::string& namespace_) {
             py::list list;
             for (const AnyObject& object :
                  take(blocking([&] { return self.list(api_version, kind, namespace_); }))) {
               list.append(to_python(object.to_value()));
             }
             return list;
           })
      .def("remove",
           [](PlatformThread& self, const py::tuple& fields) {
             const ObjectRef ref = ref_of(fields);
             take(blocking([&] { return self.remove(ref); }));
           })
      .def("ready",
           [](PlatformThread& self, const py::tuple& fields, double timeout) {
             const ObjectRef ref = ref_of(fields);
             take(blocking([&] { return self.ready(ref, seconds(timeout)); }));
           })
      .def("durable",
           [](PlatformThread& self, const py::tuple& fields) {
             const ObjectRef ref = ref_of(fields);
             take(blocking([&] { return self.durable(ref); }));
           })
      .def("invoke",
           [](PlatformThread& self, const std::string& service,
              const knative::http::Request& request) {
             knative::http::Request copy;
             copy.method = request.method;
             copy.target = request.target;
             copy.headers = request.headers;
             copy.body = request.body.bytes();
             return take(blocking([&] { return self.invoke(service, std::move(copy)); }));
           })
      .def("publish",
           [](PlatformThread& self, const std::string& broker, const knative::CloudEvent& event) {
             return take(blocking([&] { return self.publish(broker, event); }));
           })
      .def(
          "subscribe",
          [](PlatformThread& self, const std::string& broker, const knative::Filter& filter,
             py::function function) {
            knative::EventHandler wrapped;
            {
              // The callable must be made under the lock, the loop asked without it.
              auto callable = std::make_shared<const Callable>(std::move(function));
              knative::Offload* offload = nullptr;
              blocking([&] {
                self.call([&offload](knative::Platform& inner) { offload = &inner.env().offload; });
              });
              wrapped = [callable, offload](const knative::CloudEvent& event) {
                return deliver(*callable, *offload, event);
              };
            }
            return take(blocking([&] { return self.subscribe(broker, filter, wrapped); }));
          },
          py::keep_alive<0, 1>())
      .def("build", &build)
      .def("url",
           [](PlatformThread& self, const py::tuple& fields) {
             const ObjectRef ref = ref_of(fields);
             return blocking([&] { return self.url(ref); });
           })
      .def("scale",
           [](PlatformThread& self, const std::string& service) {
             return blocking([&] { return self.scale(service); });
           })
      .def("endpoint",
           [](PlatformThread& self) {
             return blocking([&] { return self.endpoint(); }).to_string();
           })
      .def("metrics_text",
           [](PlatformThread& self) { return blocking([&] { return self.metrics_text(); }); });
}

}  // namespace native
