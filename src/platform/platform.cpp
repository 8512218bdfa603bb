#include "knative/platform.hpp"

#include <algorithm>
#include <utility>

#include "platform/control_plane.hpp"
#include "platform/data_plane.hpp"
#include "platform/event_plane.hpp"
#include "platform/front.hpp"
#include "platform/images.hpp"
#include "platform/reconcilers/build.hpp"
#include "platform/reconcilers/eventing.hpp"
#include "platform/reconcilers/serving.hpp"

namespace knative {

namespace {

constexpr std::string_view local_subscription_label = "eventing.knative.dev/local-subscription";
// How long a Ready=False may still turn before it counts as final.
constexpr Duration failure_settle = std::chrono::seconds(1);
constexpr Duration settle_poll = std::chrono::milliseconds(1);
constexpr Duration settle_max = std::chrono::seconds(10);

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

class LocalSink final : public Sink {
 public:
  LocalSink(Filter filter, EventHandler function)
      : filter_(std::move(filter)), function_(std::move(function)) {}
  Task<Result<Reply>> deliver(const CloudEvent& event) override {
    if (!filter_.matches(event)) co_return Reply();
    co_return co_await function_(event);
  }

 private:
  Filter filter_;
  EventHandler function_;
};

// Defaults and rules of every kind, those of Serving with this platform's config-autoscaler.
template <class T>
FieldErrors admit_serving(AnyObject& object, const serving::Config& config) {
  T& typed = *object.get_if_mutable<T>();
  serving::apply_defaults(typed, config);
  FieldErrors errors = validate_metadata(typed.metadata, object.info()).via_field("metadata");
  errors.add(serving::validate(typed, config));
  return errors;
}

Admission admission(const AutoscalerConfig& autoscaler) {
  serving::Config config;
  config.allow_zero_initial_scale = autoscaler.allow_zero_initial_scale;
  return [config](AnyObject& object, const AnyObject* old) -> Result<void> {
    FieldErrors errors;
    if (object.get_if<serving::Service>() != nullptr) {
      errors = admit_serving<serving::Service>(object, config);
    } else if (object.get_if<serving::Configuration>() != nullptr) {
      errors = admit_serving<serving::Configuration>(object, config);
    } else if (object.get_if<serving::Revision>() != nullptr) {
      errors = admit_serving<serving::Revision>(object, config);
    } else {
      object.apply_defaults();
      errors = object.validate();
    }
    if (old != nullptr) errors.add(object.validate_update(*old));
    if (Result<void> valid = errors.to_result(); !valid) {
      return fail(valid.error().code, "validation failed: " + valid.error().detail);
    }
    return {};
  };
}

}  // namespace

Readiness readiness(const AnyObject& object) {
  Readiness result;
  const Conditions* conditions = object.conditions();
  if (conditions == nullptr) {
    result.ready = true;
    return result;
  }
  const Condition* top = find_condition(*conditions, "Ready");
  if (top == nullptr) top = find_condition(*conditions, "Succeeded");
  if (top == nullptr || object.observed_generation() != object.metadata().generation) {
    result.reason = "NotReconciled";
    result.message = "not reconciled yet";
    return result;
  }
  result.ready = top->is_true();
  result.failed = top->is_false();
  result.reason = top->reason;
  result.message = top->message;
  if (!result.failed) return result;
  // The top condition repeats one cause; people want to read them all.
  for (const Condition& condition : *conditions) {
    if (!condition.is_false() || condition.message.empty() ||
        result.message.find(condition.message) != std::string::npos) {
      continue;
    }
    result.message.append("; ").append(condition.type).append(": ").append(condition.message);
  }
  return result;
}

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

// Everything that a started platform is made of, in the order in which it depends on each other.
struct Platform::Impl {
  Impl(Env& world, FunctionTable& table, PlatformOptions wanted)
      : env(world),
        functions(table),
        options(std::move(wanted)),
        random(env.random.split("store")) {
    if (!options.on_output) {
      options.on_output = [&logger = env.logger](std::string_view source, std::string_view line) {
        logger.log(LogLevel::debug, source, line);
      };
    }
  }

  Result<void> start();
  Result<void> open_state();
  void make_engines();
  Result<void> open_listener();
  void drop_orphan_subscriptions();
  std::string qualify(std::string_view service) const;
  std::string url_of(const ObjectRef& ref) const;
  Task<void> settle();

  Env& env;
  FunctionTable& functions;
  PlatformOptions options;
  Random random;
  Metrics metrics;
  bool started = false;
  bool stopped = false;
  std::optional<Error> start_error;
  std::string work_directory;  ///< For what must be a file.
  bool remove_work_directory = false;
  std::unique_ptr<File> lock;
  std::unique_ptr<Store> store;
  std::shared_ptr<oci::ImageStore> images;
  std::unique_ptr<oci::UnpackCache> unpacked;
  std::unique_ptr<StoreImages> image_provider;
  std::unique_ptr<FunctionRuntime> function_runtime;
  std::unique_ptr<ProcessRuntime> process_runtime;
  std::unique_ptr<AnyRuntime> runtime;
  StepFunctions no_step_functions;
  std::unique_ptr<Fetcher> fetcher;
  std::unique_ptr<StepRunner> step_runner;
  std::unique_ptr<Builder> builder;
  std::unique_ptr<control::Context> context;
  std::unique_ptr<DataPlane> data_plane;
  std::unique_ptr<EventPlane> event_plane;
  std::unique_ptr<control::ServiceReconciler> services;
  std::unique_ptr<control::ConfigurationReconciler> configurations;
  std::unique_ptr<control::RevisionReconciler> revisions;
  std::unique_ptr<control::RouteReconciler> routes;
  std::unique_ptr<control::BrokerReconciler> brokers;
  std::unique_ptr<control::ChannelReconciler> channels;
  std::unique_ptr<control::TriggerReconciler> triggers;
  std::unique_ptr<control::SubscriptionReconciler> subscriptions;
  std::unique_ptr<control::EventTypeReconciler> event_types;
  std::unique_ptr<control::BuildReconciler> builds;
  std::unique_ptr<ControlPlane> control_plane;
  std::unique_ptr<Front> front;
  std::unique_ptr<http::Server> server;
  std::uint64_t subscription_count = 0;
};

Result<void> Platform::Impl::open_state() {
  if (options.data_directory.empty()) {
    Result<std::string> scratch = env.files.make_temporary_directory("knative-");
    if (!scratch) return scratch.error();
    work_directory = *scratch;
    remove_work_directory = true;
    images = oci::memory_image_store();
  } else {
    work_directory = options.data_directory;
    if (Result<void> made = env.files.make_directories(work_directory); !made) return made;
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
  StoreOptions store_options;
  store_options.default_namespace = options.default_namespace;
  store_options.admission = admission(options.autoscaler);
  Result<std::unique_ptr<Store>> opened = fail(Errc::internal, "no store");
  if (options.open_store) {
    opened = options.open_store(env, std::move(store_options));
  } else if (options.data_directory.empty()) {
    opened = memory_store(env.timers, random, std::move(store_options));
  } else {
    SqliteStoreOptions sqlite;
    sqlite.store = std::move(store_options);
    opened = sqlite_store(work_directory + "/objects.sqlite", env.executor, env.timers, random,
                          env.offload, std::move(sqlite));
  }
  if (!opened) return opened.error();
  store = std::move(*opened);
  return {};
}

void Platform::Impl::make_engines() {
  unpacked = std::make_unique<oci::UnpackCache>(images, env.files, env.offload,
                                                work_directory + "/unpacked");
  image_provider = std::make_unique<StoreImages>(*unpacked);
  function_runtime = std::make_unique<FunctionRuntime>(functions, env.offload, env.logger);
  const LineSplitter output(options.on_output);
  ProcessRuntimeOptions process_options;
  process_options.base_environment["PATH"] = options.path;
  process_options.on_log = [output](const WorkloadSpec& spec, std::string_view,
                                    std::string_view line) { output(spec.name, line); };
  process_runtime =
      std::make_unique<ProcessRuntime>(env, *image_provider, std::move(process_options));
  runtime = std::make_unique<AnyRuntime>(*function_runtime, *process_runtime);

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
  builder = std::make_unique<Builder>(env.timers, env.files, env.offload, *fetcher, *step_runner,
                                      images, std::move(builder_options));

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
  event_plane = std::make_unique<EventPlane>(
      env, data_plane->router(), [this](std::string_view host) { return data_plane->routes(host); },
      std::move(event_options));
  front = std::make_unique<Front>(data_plane->router(), *event_plane,
                                  [this] { return metrics.prometheus_text(); });

  services = std::make_unique<control::ServiceReconciler>(*context);
  configurations = std::make_unique<control::ConfigurationReconciler>(*context);
  revisions = std::make_unique<control::RevisionReconciler>(*context, *data_plane);
  routes = std::make_unique<control::RouteReconciler>(*context, *data_plane);
  brokers = std::make_unique<control::BrokerReconciler>(*context, *event_plane);
  channels = std::make_unique<control::ChannelReconciler>(*context, *event_plane);
  triggers = std::make_unique<control::TriggerReconciler>(*context, *event_plane);
  subscriptions = std::make_unique<control::SubscriptionReconciler>(*context, *event_plane);
  event_types = std::make_unique<control::EventTypeReconciler>(*context);
  builds = std::make_unique<control::BuildReconciler>(*context, env.executor, *builder, output);
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

Result<void> Platform::Impl::start() {
  if (stopped) return fail(Errc::failed_precondition, "the platform was stopped");
  if (started) return {};
  if (start_error) return *start_error;
  Result<void> opened = open_state();
  if (opened) {
    make_engines();
    opened = open_listener();
  }
  if (!opened) {
    start_error = opened.error();
    return opened;
  }
  drop_orphan_subscriptions();
  control_plane = std::make_unique<ControlPlane>(env, *context);
  const auto add = [this]<class T>(const T*, std::string name, Reconciler& reconciler) {
    control_plane->add(T::api_version, T::kind, std::move(name), reconciler);
  };
  add(static_cast<serving::Service*>(nullptr), "service", *services);
  add(static_cast<serving::Configuration*>(nullptr), "configuration", *configurations);
  add(static_cast<serving::Revision*>(nullptr), "revision", *revisions);
  add(static_cast<serving::Route*>(nullptr), "route", *routes);
  add(static_cast<eventing::Broker*>(nullptr), "broker", *brokers);
  add(static_cast<eventing::Channel*>(nullptr), "channel", *channels);
  add(static_cast<eventing::Trigger*>(nullptr), "trigger", *triggers);
  add(static_cast<eventing::Subscription*>(nullptr), "subscription", *subscriptions);
  add(static_cast<eventing::EventType*>(nullptr), "eventtype", *event_types);
  add(static_cast<build::Build*>(nullptr), "build", *builds);
  if (Result<void> watching = control_plane->start(); !watching) {
    start_error = watching.error();
    return watching;
  }
  started = true;
  return {};
}

// Their functions died with the process that made them.
void Platform::Impl::drop_orphan_subscriptions() {
  ListOptions list;
  list.labels = LabelSelector::equals(std::string(local_subscription_label), "true");
  Result<std::vector<eventing::Trigger>> found = store->list<eventing::Trigger>(list);
  if (!found) return;
  for (const eventing::Trigger& trigger : *found) {
    Result<AnyObject> removed = store->remove(ref_of(trigger));
    if (!removed) {
      env.logger.log(LogLevel::warning, "platform", "orphan subscription stays",
                     {{"error", removed.error().to_string()}});
    }
  }
}

// A service name as a host that the router knows.
std::string Platform::Impl::qualify(std::string_view service) const {
  const auto dots = std::count(service.begin(), service.end(), '.');
  std::string host(service);
  if (dots == 0) host.append(".").append(options.default_namespace);
  if (dots <= 1) host.append(".svc.cluster.local");
  return host;
}

std::string Platform::Impl::url_of(const ObjectRef& ref) const {
  Result<AnyObject> object = store->get(ref);
  if (!object) return {};
  const Value value = object->to_value();
  for (const std::string_view path : {"status.url", "status.address.url"}) {
    const Value* url = value.at_path(path);
    if (url != nullptr && url->is_string()) return url->as_string();
  }
  return {};
}

// Wait until what was applied before has reached the engines (bounded).
Task<void> Platform::Impl::settle() {
  const Instant deadline = env.timers.now() + settle_max;
  while (!control_plane->settled() && env.timers.now() < deadline) {
    co_await env.timers.sleep_for(settle_poll);
  }
}

Platform::Platform(Env& env, FunctionTable& functions, PlatformOptions options)
    : impl_(std::make_unique<Impl>(env, functions, std::move(options))) {}

Platform::~Platform() {
  Impl& impl = *impl_;
  // Whoever calls into others goes first.
  impl.server.reset();
  if (impl.control_plane) impl.control_plane->stop();
  if (impl.builds) impl.builds->stop();
  if (impl.remove_work_directory) {
    impl.data_plane.reset();
    impl.unpacked.reset();
    const Result<void> removed = impl.env.files.remove_all(impl.work_directory);
    if (!removed) {
      impl.env.logger.log(LogLevel::warning, "platform", "temporary directory stays",
                          {{"error", removed.error().to_string()}});
    }
  }
}

Result<void> Platform::start() { return impl_->start(); }

Task<void> Platform::stop(Duration grace) {
  Impl& impl = *impl_;
  if (!impl.started || impl.stopped) {
    impl.stopped = true;
    co_return;
  }
  impl.stopped = true;
  const Instant deadline = impl.env.timers.now() + grace;
  if (impl.server) {
    Task<void> drained = impl.server->drain();
    co_await with_deadline(impl.env.timers, std::move(drained), deadline);
    impl.server.reset();
  }
  impl.control_plane->stop();
  impl.builds->stop();
  const auto left = [&impl, deadline] {
    return std::max(Duration::zero(), Duration(deadline - impl.env.timers.now()));
  };
  co_await impl.event_plane->stop(left());
  co_await impl.data_plane->stop(left());
  const Result<void> durable = co_await impl.store->durable();
  if (!durable) {
    impl.env.logger.log(LogLevel::error, "platform", "objects are not durable",
                        {{"error", durable.error().to_string()}});
  }
}

Result<ObjectRef> Platform::apply(const AnyObject& object) {
  if (Result<void> started = start(); !started) return started.error();
  Result<AnyObject> stored = impl_->store->apply(object);
  if (!stored) return stored.error();
  return stored->ref();
}

Result<std::vector<ObjectRef>> Platform::apply_text(std::string_view text,
                                                    std::string_view file_name) {
  if (Result<void> started = start(); !started) return started.error();
  manifest::ParseOptions options;
  options.file_name = std::string(file_name);
  options.validate = true;
  Result<std::vector<AnyObject>> objects = manifest::parse(text, options);
  if (!objects) return objects.error();
  std::vector<ObjectRef> refs;
  for (const AnyObject& object : *objects) {
    Result<ObjectRef> ref = apply(object);
    if (!ref) return ref.error().within(file_name);
    refs.push_back(std::move(*ref));
  }
  return refs;
}

Result<std::vector<ObjectRef>> Platform::apply_path(const std::string& path) {
  Files& files = impl_->env.files;
  Result<FileInfo> info = files.info(path);
  if (!info) return info.error();
  std::vector<std::string> paths;
  if (info->type == FileType::directory) {
    Result<std::vector<FileInfo>> entries = files.list(path);
    if (!entries) return entries.error();
    for (const FileInfo& entry : *entries) {
      const std::string_view name = entry.name;
      if (name.ends_with(".yaml") || name.ends_with(".yml") || name.ends_with(".json")) {
        paths.push_back(path + "/" + entry.name);
      }
    }
    if (paths.empty()) return fail(Errc::not_found, path + ": no *.yaml, *.yml or *.json file");
  } else {
    paths.push_back(path);
  }
  std::vector<ObjectRef> refs;
  for (const std::string& file : paths) {
    Result<std::string> text = files.read_file(file);
    if (!text) return text.error();
    Result<std::vector<ObjectRef>> applied = apply_text(*text, file);
    if (!applied) return applied.error();
    refs.insert(refs.end(), applied->begin(), applied->end());
  }
  return refs;
}

Result<AnyObject> Platform::get(ObjectRef ref) {
  if (Result<void> started = start(); !started) return started.error();
  const KindInfo* kind = find_kind(ref.api_version, ref.kind);
  if (ref.namespace_.empty() && kind != nullptr && kind->namespaced) {
    ref.namespace_ = impl_->options.default_namespace;
  }
  return impl_->store->get(ref);
}

Result<void> Platform::remove(ObjectRef ref) {
  Result<AnyObject> object = get(std::move(ref));
  if (!object) return object.error();
  Result<AnyObject> removed = impl_->store->remove(object->ref());
  if (!removed) return removed.error();
  return {};
}

Task<Result<AnyObject>> Platform::wait_for(ObjectRef ref,
                                           std::function<bool(const AnyObject&)> done,
                                           Duration timeout) {
  Result<AnyObject> object = get(ref);
  if (!object) co_return object.error();
  ref = object->ref();
  Result<FieldSelector> name = FieldSelector::parse("metadata.name=" + ref.name);
  if (!name) co_return name.error();
  WatchOptions options;
  options.namespace_ = ref.namespace_;
  options.fields = *name;
  Result<std::unique_ptr<Watch>> watch = impl_->store->watch(ref.api_version, ref.kind, options);
  if (!watch) co_return watch.error();
  const Instant deadline = impl_->env.timers.now() + timeout;
  for (;;) {
    Task<Result<WatchEvent>> next = (*watch)->next();
    std::optional<Result<WatchEvent>> event =
        co_await with_deadline(impl_->env.timers, std::move(next), deadline);
    if (!event) co_return fail(Errc::deadline_exceeded, ref.to_string());
    if (!*event) {
      // The history went past this watch: begin again with the object as it is.
      watch = impl_->store->watch(ref.api_version, ref.kind, options);
      if (!watch) co_return watch.error();
      continue;
    }
    if ((*event)->type == WatchEventType::deleted) {
      co_return fail(Errc::not_found, ref.to_string() + " was deleted");
    }
    if ((*event)->object.has_value() && done((*event)->object)) co_return (*event)->object;
  }
}

Task<Result<void>> Platform::ready(ObjectRef ref, Duration timeout) {
  const Instant deadline = impl_->env.timers.now() + timeout;
  Readiness last;
  for (;;) {
    const Duration left = deadline - impl_->env.timers.now();
    // A failure counts when nothing better comes for a moment: others may still be on their way.
    const bool failing = last.failed;
    std::function<bool(const AnyObject&)> done = [&last, failing](const AnyObject& object) {
      last = readiness(object);
      return last.ready || (last.failed && !failing);
    };
    const Duration patience = failing ? std::min(left, failure_settle) : left;
    Result<AnyObject> object = co_await wait_for(ref, done, patience);
    if (object && last.ready) co_return Result<void>();
    if (object) continue;
    if (object.error().code != Errc::deadline_exceeded) co_return object.error();
    std::string detail = ref.to_string() + " is not ready";
    if (!last.reason.empty()) detail += ": " + last.reason;
    if (!last.message.empty()) detail += ": " + last.message;
    if (failing && last.failed) co_return fail(Errc::failed_precondition, std::move(detail));
    if (impl_->env.timers.now() >= deadline) {
      co_return fail(Errc::deadline_exceeded, std::move(detail));
    }
  }
}

Task<Result<void>> Platform::durable(ObjectRef ref) {
  Result<AnyObject> object = get(std::move(ref));
  if (!object) co_return object.error();
  co_return co_await impl_->store->durable(object->metadata().resource_version);
}

Task<Result<http::Response>> Platform::invoke(std::string service, http::Request& request) {
  if (Result<void> started = start(); !started) co_return started.error();
  request.headers.set("host", impl_->qualify(service));
  co_return co_await impl_->data_plane->router().handle(request);
}

Task<Result<http::Response>> Platform::invoke(std::string service, http::Request&& request) {
  http::Request owned = std::move(request);
  co_return co_await invoke(std::move(service), owned);
}

Task<Result<Offset>> Platform::publish(std::string broker, const CloudEvent& event) {
  if (Result<void> started = start(); !started) co_return started.error();
  if (!impl_->control_plane->settled()) co_await impl_->settle();
  const std::string key = broker.find('/') == std::string::npos
                              ? control::make_key(impl_->options.default_namespace, broker)
                              : broker;
  EventBroker* found = impl_->event_plane->find(control::broker_id(key));
  if (found == nullptr) found = impl_->event_plane->find(control::channel_id(key));
  if (found == nullptr) co_return fail(Errc::not_found, "Broker " + key + " is not there");
  co_return co_await found->publish(event);
}

Result<Subscription> Platform::subscribe(std::string broker, Filter filter, EventHandler function) {
  if (Result<void> started = start(); !started) return started.error();
  const std::size_t slash = broker.find('/');
  eventing::Trigger trigger;
  trigger.metadata.namespace_ =
      slash == std::string::npos ? impl_->options.default_namespace : broker.substr(0, slash);
  trigger.spec.broker = slash == std::string::npos ? broker : broker.substr(slash + 1);
  const std::string name = "subscription-" + std::to_string(++impl_->subscription_count);
  trigger.metadata.name = name;
  trigger.metadata.labels[std::string(local_subscription_label)] = "true";
  trigger.spec.subscriber.uri = impl_->event_plane->add_local_sink(
      name, std::make_shared<LocalSink>(std::move(filter), std::move(function)));
  Result<AnyObject> created = impl_->store->create(trigger);
  if (!created) {
    impl_->event_plane->remove_local_sink(name);
    return created.error();
  }
  const ObjectRef ref = created->ref();
  return Subscription(name, [this, ref, name] {
    impl_->event_plane->remove_local_sink(name);
    Result<AnyObject> removed = impl_->store->remove(ref);
    if (!removed && removed.error().code != Errc::not_found) {
      impl_->env.logger.log(LogLevel::warning, "platform", "subscription stays",
                            {{"error", removed.error().to_string()}});
    }
  });
}

Env& Platform::env() noexcept { return impl_->env; }
const PlatformOptions& Platform::options() const noexcept { return impl_->options; }

Endpoint Platform::endpoint() const {
  return impl_->server ? impl_->server->endpoint() : Endpoint{};
}

std::string Platform::url(ObjectRef ref) {
  Result<AnyObject> object = get(std::move(ref));
  return object ? impl_->url_of(object->ref()) : std::string();
}

int Platform::scale(std::string_view service) {
  if (!start()) return 0;
  const std::size_t dot = service.find('.');
  const std::string key = dot == std::string_view::npos
                              ? control::make_key(impl_->options.default_namespace, service)
                              : control::make_key(service.substr(dot + 1), service.substr(0, dot));
  return impl_->data_plane->ready(key);
}

http::Handler& Platform::ingress() {
  start().value();
  return *impl_->front;
}
Store& Platform::store() {
  start().value();
  return *impl_->store;
}
Builder& Platform::builder() {
  start().value();
  return *impl_->builder;
}
oci::ImageStore& Platform::images() {
  start().value();
  return *impl_->images;
}
Metrics& Platform::metrics() { return impl_->metrics; }
std::string Platform::metrics_text() { return impl_->metrics.prometheus_text(); }

}  // namespace knative
