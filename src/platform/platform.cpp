#include "knative/platform.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "platform/admission.hpp"
#include "platform/composition.hpp"

namespace knative {

namespace {

// How long a Ready=False may still turn before it counts as final.
constexpr Duration failure_settle = std::chrono::seconds(1);

// The manifests of a directory as kubectl finds them, sorted by name.
Result<void> find_manifests(Files& files, const std::string& directory, bool recursive,
                            std::vector<std::string>& paths) {
  Result<std::vector<FileInfo>> entries = files.list(directory);
  if (!entries) return entries.error();
  for (const FileInfo& entry : *entries) {
    const std::string path = directory + "/" + entry.name;
    const std::string_view name = entry.name;
    if (entry.type == FileType::directory) {
      if (!recursive) continue;
      if (Result<void> found = find_manifests(files, path, true, paths); !found) return found;
    } else if (name.ends_with(".yaml") || name.ends_with(".yml") || name.ends_with(".json")) {
      paths.push_back(path);
    }
  }
  return {};
}

}  // namespace

// A service name as a host that the router knows.
std::string Platform::Impl::qualify(std::string_view service) const {
  const auto dots = std::count(service.begin(), service.end(), '.');
  std::string host(service);
  if (dots == 0) host.append(".").append(settings.default_namespace);
  if (dots <= 1) host.append(".svc.cluster.local");
  return host;
}

// "name" or "namespace/name" as a key.
std::string Platform::Impl::key_of(std::string_view name) const {
  return name.find('/') == std::string_view::npos ? make_key(settings.default_namespace, name)
                                                  : std::string(name);
}

std::string Platform::Impl::url_of(const ObjectRef& ref) const {
  Result<AnyObject> object = objects->get(ref);
  if (!object) return {};
  const Value value = object->to_value();
  for (const std::string_view path : {"status.url", "status.address.url"}) {
    const Value* url = value.at_path(path);
    if (url != nullptr && url->is_string()) return url->as_string();
  }
  return {};
}

Platform::Platform(Env& env, std::vector<std::unique_ptr<Extension>> extensions,
                   PlatformOptions options)
    : impl_(std::make_unique<Impl>(env, std::move(extensions), std::move(options))) {}

Platform::~Platform() = default;

Result<void> Platform::install(std::unique_ptr<Extension> extension) {
  return impl_->add(std::move(extension));
}

Result<void> Platform::start() { return impl_->start(); }

Task<void> Platform::stop(Duration grace) { return impl_->stop(grace); }

Result<ObjectRef> Platform::apply(const AnyObject& object) {
  if (Result<void> started = start(); !started) return started.error();
  Result<AnyObject> stored = impl_->local_store->apply(object);
  if (!stored) return stored.error();
  const ObjectRef ref = stored->ref();
  AnyObject copy = object;
  const FieldErrors found = admission_rules(impl_->settings.autoscaler, impl_->runtimes())(copy);
  for (const FieldError& warning : found.filter(FieldError::Level::warning).merged()) {
    impl_->settings.on_warning(ref.to_string(), to_line(warning));
  }
  return ref;
}

// All objects of all texts, or all that is wrong with them.
Result<std::vector<AnyObject>> Platform::Impl::parse(const std::vector<manifest::Source>& sources,
                                                     const ApplyOptions& options,
                                                     std::vector<std::string>& warnings) {
  std::vector<AnyObject> objects;
  std::map<std::string, std::string> sources_of;
  std::string problems;
  for (const manifest::Source& source : sources) {
    manifest::ParseOptions parsing;
    parsing.file_name = source.name;
    parsing.validate = true;
    parsing.rules = admission_rules(settings.autoscaler, runtimes());
    parsing.kinds = &registry;
    parsing.skip_unknown_kinds = options.skip_unknown_kinds;
    parsing.warnings = &warnings;
    Result<std::vector<AnyObject>> parsed = manifest::parse(source.text, parsing);
    if (!parsed) {
      if (!problems.empty()) problems += '\n';
      problems += parsed.error().detail;
      continue;
    }
    for (AnyObject& object : *parsed) {
      ObjectRef ref = object.ref();
      if (ref.namespace_.empty() && object.info().namespaced) {
        ref.namespace_ = settings.default_namespace;
      }
      const std::string name = ref.to_string();
      const auto [first, fresh] = sources_of.emplace(name, source.name);
      if (!fresh && first->second != source.name) {  // within one the parser says it
        warnings.push_back(source.name + ": " + name + " is also in " + first->second +
                           ": what that says is replaced");
        first->second = source.name;
      }
      objects.push_back(std::move(object));
    }
  }
  if (!problems.empty()) return fail(Errc::invalid_argument, std::move(problems));
  return objects;
}

Result<void> Platform::check_texts(const std::vector<manifest::Source>& sources,
                                   const ApplyOptions& options) {
  if (Result<void> known = impl_->add_kinds(); !known) return known;
  std::vector<std::string> warnings;
  const Result<std::vector<AnyObject>> objects = impl_->parse(sources, options, warnings);
  if (!objects) return objects.error();
  return {};
}

Result<std::vector<ObjectRef>> Platform::apply_texts(const std::vector<manifest::Source>& sources,
                                                     const ApplyOptions& options) {
  if (Result<void> started = start(); !started) return started.error();
  std::vector<std::string> warnings;
  const Result<std::vector<AnyObject>> objects = impl_->parse(sources, options, warnings);
  if (!objects) return objects.error();
  // Said first: when an object fails, those before it are there all the same.
  for (const std::string& warning : warnings) impl_->settings.on_warning("", warning);
  std::vector<ObjectRef> refs;
  for (const AnyObject& object : *objects) {
    Result<AnyObject> stored = impl_->local_store->apply(object);
    if (!stored) return stored.error().within(object.ref().to_string());
    refs.push_back(stored->ref());
  }
  return refs;
}

Result<std::vector<manifest::Source>> Platform::read_manifests(const std::string& path,
                                                               bool recursive) {
  Files& files = impl_->world.files;
  Result<FileInfo> info = files.info(path);
  if (!info) return info.error();
  std::vector<std::string> paths;
  if (info->type == FileType::directory) {
    if (Result<void> found = find_manifests(files, path, recursive, paths); !found) {
      return found.error();
    }
    if (paths.empty()) return fail(Errc::not_found, path + ": no *.yaml, *.yml or *.json file");
  } else {
    paths.push_back(path);
  }
  std::vector<manifest::Source> sources;
  for (const std::string& file : paths) {
    Result<std::string> text = files.read_file(file);
    if (!text) return text.error();
    sources.push_back({file, *std::move(text)});
  }
  return sources;
}

Result<std::vector<ObjectRef>> Platform::apply_text(std::string_view text,
                                                    std::string_view file_name) {
  return apply_texts({{std::string(file_name), std::string(text)}}, {});
}

Result<std::vector<ObjectRef>> Platform::apply_path(const std::string& path) {
  Result<std::vector<manifest::Source>> sources = read_manifests(path, false);
  if (!sources) return sources.error();
  return apply_texts(*sources, {});
}

Result<AnyObject> Platform::get(ObjectRef ref) {
  if (Result<void> started = start(); !started) return started.error();
  const KindInfo* kind = impl_->registry.find(ref.api_version, ref.kind);
  if (ref.namespace_.empty() && kind != nullptr && kind->namespaced) {
    ref.namespace_ = impl_->settings.default_namespace;
  }
  return impl_->local_store->get(ref);
}

Result<void> Platform::remove(ObjectRef ref) {
  Result<AnyObject> object = get(std::move(ref));
  if (!object) return object.error();
  Result<AnyObject> removed = impl_->local_store->remove(object->ref());
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
  options.resync = true;  // however far behind: that the object went is told, also when it is back
  Result<std::unique_ptr<Watch>> watch = impl_->objects->watch(ref.api_version, ref.kind, options);
  if (!watch) co_return watch.error();
  const Instant deadline = impl_->world.timers.now() + timeout;
  for (;;) {
    Task<Result<WatchEvent>> next = (*watch)->next();
    std::optional<Result<WatchEvent>> event =
        co_await with_deadline(impl_->world.timers, std::move(next), deadline);
    if (!event) co_return fail(Errc::deadline_exceeded, ref.to_string());
    if (!*event) co_return event->error();
    if ((*event)->type == WatchEventType::deleted) {
      co_return fail(Errc::not_found, ref.to_string() + " was deleted");
    }
    if ((*event)->object.has_value() && done((*event)->object)) co_return (*event)->object;
  }
}

Task<Result<void>> Platform::ready(ObjectRef ref, Duration timeout) {
  const Instant deadline = impl_->world.timers.now() + timeout;
  if (Result<void> started = start(); !started) co_return started.error();
  // Until then conditions may speak of an earlier process.
  Task<void> caught_up = impl_->control_plane->caught_up();
  co_await with_deadline(impl_->world.timers, std::move(caught_up), deadline);
  Readiness last;
  for (;;) {
    const Duration left = deadline - impl_->world.timers.now();
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
    if (impl_->world.timers.now() >= deadline) {
      co_return fail(Errc::deadline_exceeded, std::move(detail));
    }
  }
}

Task<Result<void>> Platform::durable(ObjectRef ref) {
  Result<AnyObject> object = get(std::move(ref));
  if (!object) co_return object.error();
  co_return co_await impl_->local_store->durable(object->metadata().resource_version);
}

Task<Result<http::Response>> Platform::invoke(std::string service, http::Request& request) {
  if (Result<void> started = start(); !started) co_return started.error();
  request.headers.set("host", impl_->qualify(service));
  co_return co_await impl_->entrance.handle(request);
}

Task<Result<Offset>> Platform::publish(std::string broker, const CloudEvent& event) {
  if (Result<void> started = start(); !started) co_return started.error();
  EventAccess* events = impl_->find<EventAccess>();
  if (events == nullptr) co_return fail(Errc::failed_precondition, "Eventing is not installed");
  std::string key = impl_->key_of(broker);
  co_return co_await events->publish(std::move(key), event);
}

Result<EventSubscription> Platform::subscribe(std::string broker, Filter filter,
                                              EventHandler function) {
  if (Result<void> started = start(); !started) return started.error();
  EventAccess* events = impl_->find<EventAccess>();
  if (events == nullptr) return fail(Errc::failed_precondition, "Eventing is not installed");
  return events->subscribe(impl_->key_of(broker), std::move(filter), std::move(function));
}

Result<std::vector<ParkedEvent>> Platform::parked(std::string broker, ParkedSelection selection,
                                                  std::size_t count_max) {
  if (Result<void> started = start(); !started) return started.error();
  EventAccess* events = impl_->find<EventAccess>();
  if (events == nullptr) return fail(Errc::failed_precondition, "Eventing is not installed");
  return events->parked(impl_->key_of(broker), std::move(selection), count_max);
}

Task<Result<std::size_t>> Platform::Impl::move_parked(std::string broker, ParkedSelection selection,
                                                      ParkedMove move) {
  if (Result<void> started = start(); !started) co_return started.error();
  EventAccess* events = find<EventAccess>();
  if (events == nullptr) co_return fail(Errc::failed_precondition, "Eventing is not installed");
  Task<Result<std::size_t>> moving =
      events->move_parked(key_of(broker), std::move(selection), move);
  co_return co_await std::move(moving);
}

Task<Result<std::size_t>> Platform::redrive(std::string broker, ParkedSelection selection) {
  return impl_->move_parked(std::move(broker), std::move(selection), ParkedMove::redrive);
}

Task<Result<std::size_t>> Platform::discard(std::string broker, ParkedSelection selection) {
  return impl_->move_parked(std::move(broker), std::move(selection), ParkedMove::discard);
}

Env& Platform::env() noexcept { return impl_->world; }
const PlatformOptions& Platform::options() const noexcept { return impl_->settings; }
Installer& Platform::installer() noexcept { return *impl_; }

Endpoint Platform::endpoint() const {
  return impl_->server ? impl_->server->endpoint() : Endpoint{};
}

std::string Platform::authority() const {
  return impl_->listener_tls ? impl_->listener_tls->authority() : std::string();
}

std::string Platform::authority_file() const {
  return authority().empty() ? std::string() : impl_->work_directory + "/tls/authority.pem";
}

std::string Platform::url(ObjectRef ref) {
  Result<AnyObject> object = get(std::move(ref));
  return object ? impl_->url_of(object->ref()) : std::string();
}

int Platform::scale(std::string_view service) {
  if (!start()) return 0;
  const ScaleAccess* running = impl_->find<ScaleAccess>();
  if (running == nullptr) return 0;
  const std::size_t dot = service.find('.');
  const std::string key = dot == std::string_view::npos
                              ? make_key(impl_->settings.default_namespace, service)
                              : make_key(service.substr(dot + 1), service.substr(0, dot));
  return running->ready_instances(key);
}

http::Handler& Platform::ingress() {
  start().value();
  return impl_->entrance;
}
Store& Platform::store() {
  start().value();
  return *impl_->local_store;
}
const KindRegistry& Platform::kinds() {
  static_cast<void>(start());
  return impl_->registry;
}
Client& Platform::client() {
  start().value();
  return *impl_->objects;
}
Builder& Platform::builder() {
  Builder* found = find<Builder>();
  if (found == nullptr) detail::throw_error(fail(Errc::failed_precondition, "no Build installed"));
  return *found;
}
oci::ImageStore& Platform::images() {
  const auto* found = find<std::shared_ptr<oci::ImageStore>>();
  if (found == nullptr) {
    detail::throw_error(fail(Errc::failed_precondition, "no image store installed"));
  }
  return **found;
}
Metrics& Platform::metrics() { return impl_->series; }
std::string Platform::metrics_text() { return impl_->series.prometheus_text(); }

}  // namespace knative
