#include "platform/composition.hpp"

#include <utility>

#include "extensions/build/reconcilers.hpp"
#include "extensions/eventing/reconcilers.hpp"
#include "extensions/serving/reconcilers.hpp"
#include "platform/admission.hpp"

namespace knative {

namespace {

// Lines out of pieces, for whoever wants output by line.
class LineSplitter {
 public:
  explicit LineSplitter(std::function<void(std::string_view, std::string_view)> sink)
      : sink_(std::move(sink)) {}
  void operator()(std::string_view source, std::string_view text) const {
    while (!text.empty()) {
      const std::size_t end = text.find('\n');
      const std::string_view line = text.substr(0, end);
      if (!line.empty()) sink_(source, line);
      if (end == std::string_view::npos) break;
      text.remove_prefix(end + 1);
    }
  }

 private:
  std::function<void(std::string_view, std::string_view)> sink_;
};

// Make the way to a new directory durable: what is in it is worth nothing without its name. A
// directory above that may not be read was not made here.
Result<void> sync_parents(Files& files, std::string directory) {
  while (directory != "/" && directory != ".") {
    const std::size_t slash = directory.rfind('/');
    directory = slash == std::string::npos ? "." : slash == 0 ? "/" : directory.substr(0, slash);
    Result<void> synced = files.sync_directory(directory);
    if (!synced && synced.error().code != Errc::failed_precondition) return synced;
  }
  return {};
}

// Objects hold secrets: what is made here is its user's alone; what was there stays as it is.
Result<void> make_private_directory(Files& files, const std::string& path) {
  if (files.info(path)) return {};
  if (Result<void> made = files.make_directories(path); !made) return made;
  return files.set_mode(path, 0700);
}

}  // namespace

Platform::Impl::Impl(Env& world, FunctionTable& table, PlatformOptions wanted)
    : env(world), functions(table), options(std::move(wanted)) {
  if (!options.on_output) {
    options.on_output = [&logger = env.logger](std::string_view source, std::string_view line) {
      logger.log(LogLevel::debug, source, line);
    };
  }
}

Result<void> Platform::Impl::open_directory() {
  if (options.data_directory.empty()) {
    Result<std::string> scratch = env.files.make_temporary_directory("knative-");
    if (!scratch) return scratch.error();
    work_directory = *scratch;
    remove_work_directory = true;
    images = oci::memory_image_store();
  } else {
    work_directory = options.data_directory;
    if (Result<void> made = make_private_directory(env.files, work_directory); !made) return made;
    if (Result<void> synced = sync_parents(env.files, work_directory); !synced) return synced;
    Result<std::unique_ptr<File>> locked = env.files.lock(work_directory + "/lock");
    if (!locked) return locked.error().within("data directory " + work_directory);
    lock = std::move(*locked);
    Result<std::shared_ptr<oci::ImageStore>> layout =
        oci::open_image_layout(env.files, work_directory + "/images");
    if (!layout) return layout.error();
    images = *layout;
    // Unpacked roots are not synced: after a power failure they may be there by name only.
    Result<void> removed = env.files.remove_all(work_directory + "/unpacked");
    if (!removed) return removed;
  }
  return {};
}

Result<void> Platform::Impl::open_store() {
  StoreOptions store_options;
  store_options.default_namespace = options.default_namespace;
  store_options.admission = admission(options.autoscaler);
  Result<std::unique_ptr<Store>> opened = fail(Errc::internal, "no store");
  if (options.open_store) {
    opened = options.open_store(env, std::move(store_options));
  } else if (options.data_directory.empty()) {
    opened = memory_store(env.timers, env.ids, std::move(store_options));
  } else {
    SqliteStoreOptions sqlite;
    sqlite.store = std::move(store_options);
    if (!env.files.native()) sqlite.files = &env.files;
    opened = sqlite_store(work_directory + "/objects.sqlite", env.executor, env.timers, env.ids,
                          env.disk, std::move(sqlite));
  }
  if (!opened) return opened.error();
  store = std::move(*opened);
  return {};
}

void Platform::Impl::make_workloads() {
  unpacked =
      std::make_unique<oci::UnpackCache>(images, env.files, env.disk, work_directory + "/unpacked");
  image_provider = std::make_unique<StoreImages>(*unpacked);
  function_runtime = std::make_unique<FunctionRuntime>(functions, env.offload, env.logger);
  ProcessRuntimeOptions process_options;
  process_options.base_environment["PATH"] = options.path;
  process_options.on_log = [output = LineSplitter(options.on_output)](
                               const WorkloadSpec& spec, std::string_view, std::string_view line) {
    output(spec.name, line);
  };
  process_runtime =
      std::make_unique<ProcessRuntime>(env, *image_provider, std::move(process_options));
  runtime = std::make_unique<AnyRuntime>(*function_runtime, *process_runtime);
}

void Platform::Impl::make_builder() {
  fetcher = source_fetcher(env.executor, env.timers, env.network, env.files, env.offload);
  LocalStepOptions step_options;
  step_options.environment["PATH"] = options.path;
  step_runner = local_step_runner(
      env.processes, options.step_functions ? *options.step_functions : no_step_functions,
      std::move(step_options));
  BuilderOptions builder_options;
  builder_options.directory = work_directory + "/builds";
  builder_options.find_template = [this](
                                      std::string_view kind, std::string_view namespace_,
                                      std::string_view name) -> Result<build::BuildTemplateSpec> {
    if (kind == build::ClusterBuildTemplate::kind) {
      auto found = store->get<build::ClusterBuildTemplate>("", std::string(name));
      if (!found) return found.error();
      return found->spec;
    }
    auto found = store->get<build::BuildTemplate>(std::string(namespace_), std::string(name));
    if (!found) return found.error();
    return found->spec;
  };
  builder = std::make_unique<Builder>(env.timers, env.files, env.disk, *fetcher, *step_runner,
                                      images, std::move(builder_options));
}

void Platform::Impl::make_planes() {
  context = std::make_unique<control::Context>(
      control::Context{*store, env.timers, env.logger, {}, options.domain, {}});
  data_plane = std::make_unique<DataPlane>(env, *runtime, metrics, options.autoscaler,
                                           [this](const std::string& key) {
                                             if (control_plane)
                                               control_plane->enqueue("revision", key);
                                           });
  EventPlane::Options event_options;
  event_options.data_directory = options.data_directory;
  event_options.pending_bytes_max = options.event_pending_bytes_max;
  event_options.metrics = &metrics;
  event_options.on_served = [this](const ObjectRef& ref) {
    if (control_plane) control_plane->enqueue_watchers(ref);
  };
  event_options.applied = [this](const ObjectRef& ref) { return store->get(ref).has_value(); };
  event_plane = std::make_unique<EventPlane>(
      env, data_plane->router(), [this](std::string_view host) { return data_plane->routes(host); },
      std::move(event_options));
  front = std::make_unique<Front>(data_plane->router(), *event_plane,
                                  [this] { return metrics.prometheus_text(); });
}

Result<void> Platform::Impl::open_listener() {
  if (!options.listen) return {};
  if (!options.listen_beyond_loopback && !options.listen->is_loopback()) {
    return fail(Errc::failed_precondition,
                "listen address " + options.listen->to_string() +
                    " can be reached by others; set listen_beyond_loopback to allow it");
  }
  Result<std::unique_ptr<Listener>> listener = env.network.listen(*options.listen);
  if (!listener) return listener.error();
  server = std::make_unique<http::Server>(env.executor, env.timers, env.logger,
                                          std::move(*listener), *front, options.server);
  const std::uint16_t port = server->endpoint().port;
  if (port != 0 && port != 80) context->port_suffix = ":" + std::to_string(port);
  return {};
}

Result<void> Platform::Impl::start_control_plane() {
  using namespace control;
  control_plane = std::make_unique<ControlPlane>(env, *context);
  ControlPlane& plane = *control_plane;
  plane.add<serving::Service>("service", std::make_unique<ServiceReconciler>(*context));
  plane.add<serving::Configuration>("configuration",
                                    std::make_unique<ConfigurationReconciler>(*context));
  plane.add<serving::Revision>("revision",
                               std::make_unique<RevisionReconciler>(*context, *data_plane));
  plane.add<serving::Route>("route", std::make_unique<RouteReconciler>(*context, *data_plane));
  plane.add<eventing::Broker>("broker", std::make_unique<BrokerReconciler>(*context, *event_plane));
  plane.add<eventing::Channel>("channel",
                               std::make_unique<ChannelReconciler>(*context, *event_plane));
  plane.add<eventing::Trigger>("trigger",
                               std::make_unique<TriggerReconciler>(*context, *event_plane));
  plane.add<eventing::Subscription>(
      "subscription", std::make_unique<SubscriptionReconciler>(*context, *event_plane));
  plane.add<eventing::EventType>("eventtype", std::make_unique<EventTypeReconciler>(*context));
  plane.add<build::Build>("build",
                          std::make_unique<BuildReconciler>(*context, env.executor, *builder,
                                                            LineSplitter(options.on_output)));
  return plane.start();
}

Result<void> Platform::Impl::start() {
  if (stopped) return fail(Errc::failed_precondition, "the platform was stopped");
  if (started) return {};
  if (start_error) return *start_error;
  Result<void> done = open_directory();
  if (done) done = open_store();
  if (done) {
    make_workloads();
    make_builder();
    make_planes();
    done = open_listener();
  }
  if (done) {
    drop_orphan_subscriptions();
    done = start_control_plane();
  }
  if (!done) start_error = done.error();
  started = done.has_value();
  return done;
}

}  // namespace knative
