#include <cstdlib>
#include <exception>

#include "controller.hpp"
#include "host.hpp"
#include "knative/oci_archive.hpp"
#include "knative/registry_client.hpp"

namespace native {

using knative::AnyObject;
using knative::ObjectRef;
using knative::Platform;
using knative::PlatformThread;
using knative::Task;

namespace {

// Read on the loop, where the kinds of the platform are known.
knative::Result<AnyObject> object_from(Platform& platform, const knative::Value& fields) {
  return platform.kinds().from_value(fields, knative::Strictness::strict);
}

py::object object_fields(const AnyObject& object) { return to_python(object.to_value()); }

py::object tuple_of(const ObjectRef& ref) {
  return py::make_tuple(ref.api_version, ref.kind, ref.namespace_, ref.name);
}

ObjectRef ref_of(const py::tuple& fields) {
  return ObjectRef{fields[0].cast<std::string>(), fields[1].cast<std::string>(),
                   fields[2].cast<std::string>(), fields[3].cast<std::string>()};
}

py::object tuples_of(const std::vector<ObjectRef>& refs) {
  py::list list;
  for (const ObjectRef& ref : refs) list.append(tuple_of(ref));
  return list;
}

// A call that is done as soon as the loop has made it.
template <class F>
Make now(F work) {
  return [work](Platform& platform) { return at_once(work(platform)); };
}

template <class T>
Take plain(T value) {
  return taking(knative::Result<T>(std::move(value)),
                [](const T& it) -> py::object { return py::cast(it); });
}

// ---------------------------------------------------------------------------- the thread

class ThreadCore final : public Core {
 public:
  ThreadCore(const std::vector<NamedFunction>& functions, std::vector<NamedKind> kinds,
             knative::PlatformOptions options, knative::LoopOptions loop)
      : levels_(std::make_shared<Levels>(loop.offload_threads_max)) {
    options.on_warning = collector(warnings_);
    messenger_ = std::make_shared<Messenger>();
    door_ = std::make_shared<Door>([this](std::function<void()> work) {
      thread_->post([work = std::move(work)](Platform&) { work(); });
    });
    add_functions(functions_, functions, poster(), messenger_, levels_);
    thread_ = std::make_unique<PlatformThread>(functions_, std::move(options), std::move(loop));
    if (!kinds.empty()) installed_ = thread_->install(kinds_extension(std::move(kinds)));
  }
  ~ThreadCore() override {
    thread_->call([this](Platform&) {
      ending_.reset();
      end_calls();
    });
    thread_->stop(std::chrono::seconds(5));
    door_->close();
    thread_.reset();
    levels_->close();
    messenger_->close();
  }

  /// What went wrong when it was made.
  const knative::Result<void>& installed() const { return installed_; }

  std::shared_ptr<Operation> begin(Make make) override {
    auto operation = std::make_shared<Operation>(poster(), messenger_);
    const int hops = current_hops();
    thread_->post([this, operation, hops, make = std::move(make)](Platform& platform) {
      if (stopped_) {
        const knative::Error error =
            knative::fail(knative::Errc::failed_precondition, "the platform was stopped");
        operation->finish(taking(knative::Result<void>(error), &to_none));
        return;
      }
      if (!tasks_) tasks_ = std::make_unique<knative::TaskSet>(platform.env().executor);
      tasks_->add(drive(Finally(operation), make, platform, hops));
    });
    return operation;
  }

  std::shared_ptr<Operation> begin_stop(knative::Duration grace) override {
    auto operation = std::make_shared<Operation>(poster(), messenger_);
    thread_->post([this, operation, grace](Platform& platform) {
      if (!ending_) ending_ = std::make_unique<knative::TaskSet>(platform.env().executor);
      Make make = [this, grace](Platform& running) { return end(running, grace); };
      ending_->add(drive(Finally(operation), std::move(make), platform, 0));
    });
    return operation;
  }

  bool stopped() const override { return stopped_; }

 private:
  Task<Take> end(Platform& platform, knative::Duration grace) {
    co_await platform.stop(grace);
    end_calls();
    co_return Take(&to_none);
  }
  void end_calls() {
    stopped_ = true;
    if (tasks_) tasks_->clear();
  }

  knative::Result<void> installed_;
  std::shared_ptr<Levels> levels_;
  knative::FunctionTable functions_;
  std::unique_ptr<PlatformThread> thread_;
  // These belong to the loop's thread.
  std::unique_ptr<knative::TaskSet> tasks_;
  std::unique_ptr<knative::TaskSet> ending_;
  bool stopped_ = false;
};

/// What Python says of images.
struct Images {
  std::string runtime;
  bool registry = false;
  std::string registry_config;
  std::vector<std::string> insecure_registries;
  bool pull = true;
  bool push = true;
  std::uint64_t bytes_max = 0;
};

void set_images(const Images& images, knative::PlatformOptions& options) {
  options.image_runtime = images.runtime;
  if (images.registry) options.registry.emplace();
  auto others = std::make_shared<knative::oci::RegistryClientOptions>();
  if (!images.registry_config.empty()) {
    others->credentials =
        take(knative::oci::RegistryKeyring::parse_docker_config(images.registry_config));
  }
  for (const std::string& host : images.insecure_registries) others->hosts[host].plain_http = true;
  for (const char* name : {"PATH", "HOME"}) {
    if (const char* value = std::getenv(name)) others->helper_environment[name] = value;
  }
  options.registries = std::move(others);
  options.pull_images = images.pull;
  options.push_images = images.push;
  options.image_bytes_max = images.bytes_max;
}

std::unique_ptr<Host> make_platform(const py::list& functions, const std::string& data_directory,
                                    const std::string& listen, bool beyond_loopback,
                                    const std::string& domain, const std::string& log_level,
                                    double scale_to_zero_grace, bool allow_zero_initial_scale,
                                    int function_threads, int disk_threads, const py::list& kinds,
                                    const std::optional<std::vector<std::string>>& tls_files,
                                    const std::string& trust,
                                    const std::map<std::string, std::string>& proxies,
                                    const Images& images) {
  knative::PlatformOptions options;
  set_images(images, options);
  options.data_directory = data_directory;
  options.listen.reset();
  if (!listen.empty()) options.listen = take(knative::Endpoint::parse(listen));
  options.listen_beyond_loopback = beyond_loopback;
  options.domain = domain;
  if (tls_files) {
    options.listen_tls = knative::ListenTls{};
    options.listen_tls->files = {tls_files->at(0), tls_files->at(1), tls_files->at(2)};
  }
  options.outbound.tls.trust.certificates = trust;
  options.outbound.proxies = take(knative::http::Proxies::from(proxies));
  options.autoscaler.scale_to_zero_grace_period = duration_of(scale_to_zero_grace);
  options.autoscaler.allow_zero_initial_scale = allow_zero_initial_scale;
  knative::LoopOptions loop;
  loop.offload_threads_max = function_threads;
  loop.disk_threads_max = disk_threads;
  loop.log_level = log_level == "debug"     ? knative::LogLevel::debug
                   : log_level == "info"    ? knative::LogLevel::info
                   : log_level == "warning" ? knative::LogLevel::warning
                                            : knative::LogLevel::error;
  const std::vector<NamedFunction> named = named_functions(functions);
  std::vector<NamedKind> brought = named_kinds(kinds);
  // Its thread may want the interpreter lock before it is made.
  std::unique_ptr<ThreadCore> core = blocking([&] {
    return std::make_unique<ThreadCore>(named, std::move(brought), std::move(options),
                                        std::move(loop));
  });
  const knative::Result<void> installed = core->installed();
  auto host = std::make_unique<Host>(std::move(core));
  if (!installed) {
    host->close();
    raise(installed.error());
  }
  return host;
}

// ---------------------------------------------------------------------------- the calls

using Pending = std::shared_ptr<Operation>;

Pending start(const Host& self) {
  return self.begin(now([](Platform& platform) { return taking(platform.start(), &to_none); }));
}

// What was applied, and what of it has no effect.
template <class T, class Convert>
Take applied(knative::Result<T> result, Convert convert, Warnings& warnings) {
  return taking(std::move(result), [convert, said = std::exchange(warnings, {})](const T& value) {
    return py::object(py::make_tuple(convert(value), said));
  });
}

Pending apply(const Host& self, const py::dict& fields) {
  return self.begin(now([wanted = from_python(fields, "object"),
                         warnings = self.core().warnings()](Platform& platform) {
    const knative::Result<AnyObject> object = object_from(platform, wanted);
    knative::Result<ObjectRef> ref = ObjectRef{};
    if (object) {
      ref = platform.apply(*object);
    } else {
      ref = object.error();
    }
    return applied(std::move(ref), &tuple_of, *warnings);
  }));
}

Pending apply_text(const Host& self, const std::string& text, const std::string& file_name) {
  return self.begin(now([text, file_name, warnings = self.core().warnings()](Platform& platform) {
    return applied(platform.apply_text(text, file_name), &tuples_of, *warnings);
  }));
}

Pending apply_path(const Host& self, const std::string& path) {
  return self.begin(now([path, warnings = self.core().warnings()](Platform& platform) {
    return applied(platform.apply_path(path), &tuples_of, *warnings);
  }));
}

Pending get(const Host& self, const py::tuple& ref) {
  return self.begin(now([ref = ref_of(ref)](Platform& platform) {
    return taking(platform.get(ref), &object_fields);
  }));
}

Take list_objects(Platform& platform, const std::string& api_version, const std::string& kind,
                  const std::string& namespace_) {
  const auto objects = [](const knative::ObjectList& found) -> py::object {
    py::list list;
    for (const AnyObject& object : found.items) list.append(object_fields(object));
    return list;
  };
  if (knative::Result<void> started = platform.start(); !started) {
    return taking(knative::Result<knative::ObjectList>(started.error()), objects);
  }
  knative::ListOptions options;
  options.namespace_ = namespace_;
  return taking(platform.store().list(api_version, kind, options), objects);
}

Pending list(const Host& self, const std::string& api_version, const std::string& kind,
             const std::string& namespace_) {
  return self.begin(now([api_version, kind, namespace_](Platform& platform) {
    return list_objects(platform, api_version, kind, namespace_);
  }));
}

Pending remove(const Host& self, const py::tuple& ref) {
  return self.begin(now(
      [ref = ref_of(ref)](Platform& platform) { return taking(platform.remove(ref), &to_none); }));
}

Pending ready(const Host& self, const py::tuple& ref, double timeout) {
  return self.begin([ref = ref_of(ref), limit = duration_of(timeout)](Platform& platform) {
    return awaiting(platform.ready(ref, limit), &to_none);
  });
}

Pending durable(const Host& self, const py::tuple& ref) {
  return self.begin([ref = ref_of(ref)](Platform& platform) {
    return awaiting(platform.durable(ref), &to_none);
  });
}

Task<knative::Result<knative::http::Response>> invoke_and_read(
    Platform& platform, std::string service, std::shared_ptr<knative::http::Request> request) {
  knative::Result<knative::http::Response> reply =
      co_await platform.invoke(std::move(service), *request);
  if (!reply) co_return reply;
  const knative::Result<void> read = co_await reply->body.read_all();
  if (!read) co_return read.error();
  co_return reply;
}

Pending invoke(const Host& self, const std::string& service, const knative::http::Request& with) {
  auto request = std::make_shared<knative::http::Request>(copy_of(with));
  return self.begin([service, request](Platform& platform) {
    return awaiting(invoke_and_read(platform, service, request),
                    [](const knative::http::Response& reply) -> py::object {
                      return py::cast(copy_of(reply));
                    });
  });
}

Task<knative::Result<knative::Offset>> publish_copy(
    Platform& platform, std::string broker, std::shared_ptr<const knative::CloudEvent> event) {
  co_return co_await platform.publish(std::move(broker), *event);
}

Pending publish(const Host& self, const std::string& broker, const knative::CloudEvent& what) {
  auto event = std::make_shared<const knative::CloudEvent>(what);
  return self.begin([broker, event](Platform& platform) {
    return awaiting(publish_copy(platform, broker, event),
                    [](const knative::Offset& offset) -> py::object { return py::cast(offset); });
  });
}

knative::ParkedSelection selection_of(const std::string& trigger, const std::string& id,
                                      const std::string& source,
                                      const std::optional<std::uint64_t>& offset) {
  return {trigger, id, source, offset};
}

py::object parked_fields(const knative::ParkedEvent& parked) {
  py::dict out;
  out["trigger"] = parked.trigger;
  out["offset"] = parked.offset;
  out["parked_at"] = std::chrono::duration<double>(parked.parked_at.time_since_epoch()).count();
  out["attempts"] = parked.attempts;
  out["letters"] = parked.letters;
  out["status"] = parked.status;
  out["cause"] = parked.cause;
  out["destination"] = parked.destination;
  out["event"] = py::cast(parked.event);
  return out;
}

Pending parked(const Host& self, const std::string& broker, const std::string& trigger,
               const std::string& id, const std::string& source,
               const std::optional<std::uint64_t>& offset, std::size_t count_max) {
  const auto all = [](const std::vector<knative::ParkedEvent>& found) -> py::object {
    py::list list;
    for (const knative::ParkedEvent& one : found) list.append(parked_fields(one));
    return list;
  };
  return self.begin(now([broker, selection = selection_of(trigger, id, source, offset), count_max,
                         all](Platform& platform) {
    return taking(platform.parked(broker, selection, count_max), all);
  }));
}

py::object to_count(const std::size_t& count) { return py::cast(count); }

template <auto Move>
Pending move_parked(const Host& self, const std::string& broker, const std::string& trigger,
                    const std::string& id, const std::string& source,
                    const std::optional<std::uint64_t>& offset) {
  return self.begin(
      [broker, selection = selection_of(trigger, id, source, offset)](Platform& platform) {
        return awaiting((platform.*Move)(broker, selection), &to_count);
      });
}

Task<knative::Result<knative::BuildResult>> build_copy(
    Platform& platform, std::shared_ptr<const knative::build::Build> build) {
  if (knative::Result<void> started = platform.start(); !started) co_return started.error();
  co_return co_await platform.builder().run(*build);
}

Pending build(const Host& self, const py::dict& fields) {
  auto wanted = std::make_shared<const knative::build::Build>(
      take(AnyObject::from_value(from_python(fields, "build"), knative::Strictness::strict))
          .get<knative::build::Build>());
  return self.begin([wanted](Platform& platform) {
    return awaiting(build_copy(platform, wanted),
                    [wanted](const knative::BuildResult& result) -> py::object {
                      knative::build::Build finished = *wanted;
                      finished.status = result.status;
                      py::dict out;
                      out["image"] = result.image;
                      out["digest"] = result.digest.to_string();
                      out["status"] = object_fields(finished)["status"];
                      return out;
                    });
  });
}

// ---------------------------------------------------------------------------- images

using knative::oci::ImageStore;
using knative::oci::ImportedImage;

// Its own share: the work may be left at it when the platform ends.
std::shared_ptr<ImageStore> images_of(Platform& platform) {
  return *platform.find<std::shared_ptr<ImageStore>>();
}

// Files are read and written beside the loop.
Pending import_images(const Host& self, const std::string& path, const std::string& name) {
  auto options = std::make_shared<knative::oci::ImportOptions>();
  if (!name.empty()) options->name = take(knative::oci::Reference::parse(name)).with_default_tag();
  return self.begin([path, options](Platform& platform) {
    auto work = [images = images_of(platform), &files = platform.env().files, path, options] {
      return knative::oci::import_images(*images, files, path, *options);
    };
    return awaiting(
        platform.env().disk.run(work), [](const std::vector<ImportedImage>& images) -> py::object {
          py::list out;
          for (const ImportedImage& image : images) {
            out.append(image.name.to_string() + "@" + image.manifest.digest.to_string());
          }
          return out;
        });
  });
}

Pending export_images(const Host& self, const std::string& path,
                      const std::vector<std::string>& names, const std::string& format) {
  std::vector<knative::oci::Reference> wanted;
  for (const std::string& name : names)
    wanted.push_back(take(knative::oci::Reference::parse(name)));
  const auto as =
      format == "oci" ? knative::oci::ArchiveFormat::oci : knative::oci::ArchiveFormat::docker;
  return self.begin([path, wanted, as](Platform& platform) {
    auto work = [images = images_of(platform), &files = platform.env().files, path, wanted, as] {
      return knative::oci::export_images(*images, wanted, files, path, as);
    };
    return awaiting(platform.env().disk.run(work), to_none);
  });
}

Pending url(const Host& self, const py::tuple& ref) {
  return self.begin(
      now([ref = ref_of(ref)](Platform& platform) { return plain(platform.url(ref)); }));
}

// Of a Service or a Route, "NAME" or "NAME.NAMESPACE".
knative::Result<int> scale_of(Platform& platform, const std::string& service) {
  const std::size_t dot = std::min(service.find('.'), service.size());
  const std::string name = service.substr(0, dot);
  const std::string namespace_ = service.substr(std::min(dot + 1, service.size()));
  const knative::Result<AnyObject> found =
      platform.get(platform.ref<knative::serving::Service>(name, namespace_));
  if (!found && !platform.get(platform.ref<knative::serving::Route>(name, namespace_))) {
    return found.error();
  }
  return platform.scale(service);
}

Pending scale(const Host& self, const std::string& service) {
  return self.begin(now([service](Platform& platform) {
    return taking(scale_of(platform, service),
                  [](int ready) -> py::object { return py::int_(ready); });
  }));
}

Pending authority(const Host& self) {
  return self.begin(now([](Platform& platform) { return plain(platform.authority()); }));
}

Pending endpoint(const Host& self) {
  return self.begin(now([](Platform& platform) { return plain(platform.endpoint().to_string()); }));
}

Pending metrics_text(const Host& self) {
  return self.begin(now([](Platform& platform) { return plain(platform.metrics_text()); }));
}

// ---------------------------------------------------------------------------- subscriptions

// Ends on the loop, whoever lets go of it; together with a platform that stopped.
class BoundSubscription {
 public:
  BoundSubscription(knative::EventSubscription subscription, Core& core)
      : trigger_(subscription.trigger()),
        door_(core.door()),
        held_(std::make_shared<Held>(Held{std::move(subscription), core})) {}
  ~BoundSubscription() { cancel(); }
  BoundSubscription(const BoundSubscription&) = delete;
  BoundSubscription& operator=(const BoundSubscription&) = delete;

  const std::string& trigger() const { return trigger_; }
  void cancel() {
    if (!held_) return;
    std::shared_ptr<Held> held = std::move(held_);
    blocking([&] {
      const bool passed = door_->post([held] {
        if (held->core.stopped()) held->subscription.detach();
        held->subscription.cancel();
      });
      if (!passed) held->subscription.detach();
    });
  }

 private:
  struct Held {
    knative::EventSubscription subscription;
    Core& core;
  };
  std::string trigger_;
  std::shared_ptr<Door> door_;
  std::shared_ptr<Held> held_;
};

Pending subscribe(const Host& self, const std::string& broker, const knative::Filter& filter,
                  py::function function, bool asynchronous) {
  const Callable callable(std::move(function));
  Core& core = self.core();
  const Operation::Post post = [door = core.door()](std::function<void()> work) {
    door->post(std::move(work));
  };
  return core.begin(now([broker, filter, callable, asynchronous, post, &core](Platform& platform) {
    knative::Result<knative::EventSubscription> made = platform.subscribe(
        broker, filter,
        event_handler(callable, asynchronous, platform.env().offload, post, core.messenger()));
    using Bound = std::shared_ptr<BoundSubscription>;
    knative::Result<Bound> bound = Bound();
    if (made) {
      bound = std::make_shared<BoundSubscription>(std::move(*made), core);
    } else {
      bound = made.error();
    }
    return taking(std::move(bound), [](const Bound& it) -> py::object { return py::cast(it); });
  }));
}

}  // namespace

void bind_platform(py::module_& module) {
  py::class_<BoundSubscription, std::shared_ptr<BoundSubscription>>(module, "Subscription")
      .def_property_readonly("trigger", &BoundSubscription::trigger)
      .def("cancel", &BoundSubscription::cancel);

  py::class_<Images>(module, "Images", "Where images come from, and what runs them.")
      .def(py::init([](std::string runtime, bool registry, std::string registry_config,
                       std::vector<std::string> insecure_registries, bool pull, bool push,
                       std::uint64_t bytes_max) {
             return Images{std::move(runtime),
                           registry,
                           std::move(registry_config),
                           std::move(insecure_registries),
                           pull,
                           push,
                           bytes_max};
           }),
           py::arg("runtime"), py::arg("registry"), py::arg("registry_config"),
           py::arg("insecure_registries"), py::arg("pull"), py::arg("push"), py::arg("bytes_max"));

  py::class_<Host>(module, "Platform",
                   "A platform on a thread of its own; every call begins an Operation.")
      .def(py::init(&make_platform), py::arg("functions"), py::arg("data_directory"),
           py::arg("listen"), py::arg("listen_beyond_loopback"), py::arg("domain"),
           py::arg("log_level"), py::arg("scale_to_zero_grace"),
           py::arg("allow_zero_initial_scale"), py::arg("function_threads"),
           py::arg("disk_threads"), py::arg("kinds"), py::arg("tls_files"), py::arg("trust"),
           py::arg("proxies"), py::arg("images"))
      .def("start", &start)
      .def("stop", &Host::stop, py::arg("grace"))
      .def("close", &Host::close)
      .def("apply", &apply, py::arg("fields"))
      .def("apply_text", &apply_text, py::arg("text"), py::arg("file_name"))
      .def("apply_path", &apply_path, py::arg("path"))
      .def("get", &get, py::arg("ref"))
      .def("list", &list, py::arg("api_version"), py::arg("kind"), py::arg("namespace"))
      .def("remove", &remove, py::arg("ref"))
      .def("ready", &ready, py::arg("ref"), py::arg("timeout"))
      .def("durable", &durable, py::arg("ref"))
      .def("invoke", &invoke, py::arg("service"), py::arg("request"))
      .def("publish", &publish, py::arg("broker"), py::arg("event"))
      .def("subscribe", &subscribe, py::arg("broker"), py::arg("filter"), py::arg("function"),
           py::arg("asynchronous"))
      .def("parked", &parked, py::arg("broker"), py::arg("trigger"), py::arg("id"),
           py::arg("source"), py::arg("offset"), py::arg("count_max"))
      .def("redrive", &move_parked<&Platform::redrive>, py::arg("broker"), py::arg("trigger"),
           py::arg("id"), py::arg("source"), py::arg("offset"))
      .def("discard", &move_parked<&Platform::discard>, py::arg("broker"), py::arg("trigger"),
           py::arg("id"), py::arg("source"), py::arg("offset"))
      .def("build", &build, py::arg("build"))
      .def("import_images", &import_images, py::arg("path"), py::arg("name"))
      .def("export_images", &export_images, py::arg("path"), py::arg("names"), py::arg("format"))
      .def("url", &url, py::arg("ref"))
      .def("scale", &scale, py::arg("service"))
      .def("endpoint", &endpoint)
      .def("authority", &authority)
      .def("metrics_text", &metrics_text);
}

}  // namespace native
