#include "knative/platform.hpp"

#include <algorithm>
#include <utility>

#include "platform/admission.hpp"
#include "platform/composition.hpp"

namespace knative {

namespace {

constexpr std::string_view local_subscription_label = "eventing.knative.dev/local-subscription";
// How long a Ready=False may still turn before it counts as final.
constexpr Duration failure_settle = std::chrono::seconds(1);
constexpr Duration settle_poll = std::chrono::milliseconds(1);
constexpr Duration settle_max = std::chrono::seconds(10);

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
  options.rules = admission_rules(impl_->options.autoscaler);
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
      if (entry.type == FileType::directory) continue;
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
  const KindInfo* kind = default_kinds().find(ref.api_version, ref.kind);
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

Task<Result<Offset>> Platform::publish(std::string broker, const CloudEvent& event) {
  if (Result<void> started = start(); !started) co_return started.error();
  if (!impl_->control_plane->settled()) co_await impl_->settle();
  const std::string key = broker.find('/') == std::string::npos
                              ? control::make_key(impl_->options.default_namespace, broker)
                              : broker;
  EventBroker* found = impl_->event_plane->find(control::broker_id(key));
  if (found == nullptr) found = impl_->event_plane->find(control::channel_id(key));
  if (found == nullptr) {
    const EventPlane& plane = *impl_->event_plane;
    if (plane.waits(control::broker_id(key)) || plane.waits(control::channel_id(key))) {
      co_return fail(Errc::unavailable, key + " takes no events now; its status says why");
    }
    co_return fail(Errc::not_found, "Broker " + key + " is not there");
  }
  co_return co_await found->publish(event);
}

Result<EventSubscription> Platform::subscribe(std::string broker, Filter filter,
                                              EventHandler function) {
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
  return EventSubscription(name, [this, ref, name] {
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
