#include "platform/composition.hpp"

#include <algorithm>
#include <utility>

#include "base/file_tree.hpp"
#include "knative/core.hpp"
#include "platform/admission.hpp"

namespace knative {

namespace {

// Of directories that end with their platform.
constexpr const char* scratch_prefix = "knative-scratch-";

// Objects hold secrets: what is made here is its user's alone; what was there stays as it is.
Result<void> make_private_directory(Files& files, const std::string& path) {
  const bool there = bool(files.info(path));
  if (Result<void> made = base::make_durable_directory(files, path); !made) return made;
  return there ? Result<void>() : files.set_mode(path, 0700);
}

std::shared_ptr<http::Handler> page(std::function<http::Response()> make) {
  return http::make_handler([make = std::move(make)](http::Request&) { return make(); });
}

}  // namespace

Platform::Impl::Impl(Env& env, std::vector<std::unique_ptr<Extension>> parts,
                     PlatformOptions wanted)
    : world(env),
      settings(std::move(wanted)),
      urls(settings.domain),
      entrance(urls),
      outgoing(env.executor, env.timers, env.network, settings.outbound),
      registry(built_in_kinds()),
      extensions(std::move(parts)) {
  if (!settings.on_warning) {
    settings.on_warning = [&logger = env.logger](std::string_view where, std::string_view warning) {
      logger.log(LogLevel::warning, "apply", warning, {{"where", std::string(where)}});
    };
  }
  if (!settings.on_output) {
    settings.on_output = [&logger = env.logger](std::string_view source, std::string_view line) {
      logger.log(LogLevel::debug, source, line);
    };
  }
}

Platform::Impl::~Impl() {
  // Whoever calls into others goes first.
  listener_tls.reset();
  server.reset();
  if (control_plane) control_plane->stop();
  while (!extensions.empty()) extensions.pop_back();
  if (!remove_work_directory) return;
  const Result<void> removed = world.files.remove_all(work_directory);
  if (!removed) {
    world.logger.log(LogLevel::warning, "platform", "temporary directory stays",
                     {{"error", removed.error().to_string()}});
  }
}

Result<void> Platform::Impl::add(std::unique_ptr<Extension> extension) {
  if (started || stopped || start_error) {
    return fail(Errc::failed_precondition, "extensions are installed before the platform starts");
  }
  for (const auto& other : extensions) {
    if (other->name() == extension->name()) {
      return fail(Errc::already_exists,
                  "there is an extension named " + std::string(other->name()));
    }
  }
  extensions.push_back(std::move(extension));
  return {};
}

RuntimesGiven Platform::Impl::runtimes() {
  return [this] { return find<ContainerRuntimes>(); };
}

Result<void> Platform::Impl::add_kinds() {
  for (; kinds_added < extensions.size(); ++kinds_added) {
    Extension& extension = *extensions[kinds_added];
    if (Result<void> added = extension.add_kinds(registry); !added) {
      return added.error().within("extension " + std::string(extension.name()));
    }
  }
  return {};
}

Result<void> Platform::Impl::open_directory() {
  if (settings.data_directory.empty()) {
    Result<std::string> scratch = world.files.make_temporary_directory(scratch_prefix);
    if (!scratch) return scratch.error();
    work_directory = *scratch;
    remove_work_directory = true;
    const std::string owner = work_directory + "/" + std::string(base::owner_lock);
    Result<std::unique_ptr<File>> held = world.files.lock(owner);
    if (!held) return held.error();
    lock = std::move(*held);
    // What a platform that was killed has left beside it.
    const std::string parent = base::parent_of(work_directory);
    base::sweep_directories(world.files, parent, scratch_prefix, false);
    return {};
  }
  work_directory = base::absolute_path(world.files, settings.data_directory);
  settings.data_directory = work_directory;
  if (Result<void> made = make_private_directory(world.files, work_directory); !made) return made;
  Result<std::unique_ptr<File>> locked = base::lock_soon(world.files, work_directory + "/lock");
  if (!locked) return locked.error().within("data directory " + work_directory);
  lock = std::move(*locked);
  return {};
}

// They are in every host.
Result<void> Platform::Impl::check_names() const {
  if (const std::string wrong = check_dns1123_subdomain(settings.domain); !wrong.empty()) {
    return fail(Errc::invalid_argument, "domain \"" + settings.domain + "\": " + wrong);
  }
  const std::string& space = settings.default_namespace;
  if (const std::string wrong = check_dns1123_label(space); !wrong.empty()) {
    return fail(Errc::invalid_argument, "default_namespace \"" + space + "\": " + wrong);
  }
  return {};
}

// What would otherwise be found when something goes out first.
Result<void> Platform::Impl::check_outbound() const {
  const std::string& trusted = settings.outbound.tls.trust.certificates;
  if (trusted.empty()) return {};
  const Result<std::vector<tls::CertificateInfo>> read = tls::inspect(trusted);
  return read ? Result<void>() : read.error().within("outbound.tls.trust.certificates");
}

Result<void> Platform::Impl::open_tls() {
  if (!settings.listen_tls) return {};
  if (!settings.listen) return fail(Errc::invalid_argument, "listen_tls: there is no listener");
  Result<std::unique_ptr<ListenerTls>> opened = ListenerTls::prepare(
      world, *settings.listen_tls, work_directory + "/tls", *settings.listen, settings.domain);
  if (!opened) return opened.error().within("listen_tls");
  listener_tls = std::move(*opened);
  urls.set_secure(true);
  entrance.on_host([this](std::string_view host) {
    if (listener_tls) listener_tls->add_host(host);
  });
  return {};
}

Result<void> Platform::Impl::open_store() {
  StoreOptions store_options;
  store_options.default_namespace = settings.default_namespace;
  store_options.admission = admission(settings.autoscaler, runtimes(), world.timers);
  store_options.kinds = &registry;
  Result<std::unique_ptr<Store>> opened = fail(Errc::internal, "no store");
  if (settings.open_store) {
    opened = settings.open_store(world, std::move(store_options));
  } else if (settings.data_directory.empty()) {
    opened = memory_store(world.timers, world.ids, std::move(store_options));
  } else {
    SqliteStoreOptions sqlite;
    sqlite.store = std::move(store_options);
    if (!world.files.native()) sqlite.files = &world.files;
    opened = sqlite_store(work_directory + "/objects.sqlite", world.executor, world.timers,
                          world.ids, world.disk, std::move(sqlite));
  }
  if (!opened) return opened.error();
  local_store = std::move(*opened);
  objects = local_client(*local_store);
  reconciling = std::make_unique<ReconcileContext>(
      ReconcileContext{*objects, world.timers, world.logger, Tracker()});
  control_plane = std::make_unique<ControlPlane>(world, *reconciling);
  return {};
}

Result<void> Platform::Impl::install_all() {
  const std::shared_ptr<http::Handler> health = page([] { return http::text("ok\n"); });
  const std::shared_ptr<http::Handler> numbers = page([this] {
    http::Response response = http::text(series.prometheus_text());
    response.headers.set("content-type", prometheus_content_type);
    return response;
  });
  Result<void> done = entrance.set_path("/healthz", health);
  if (done) done = entrance.set_path("/readyz", health);
  if (done) done = entrance.set_path("/metrics", numbers);
  if (!done) return done;
  // What the host said holds wherever the ConfigMap says nothing, and when it is gone.
  const AutoscalerConfig given = settings.autoscaler;
  // Before the extensions hear of it.
  config_maps.add(std::string(autoscaler_config_namespace), std::string(autoscaler_config_name),
                  [this, given](const auto& data) -> Result<void> {
                    Result<AutoscalerConfig> parsed =
                        AutoscalerConfig::parse({data.begin(), data.end()}, given);
                    if (!parsed) return parsed.error();
                    settings.autoscaler = *parsed;
                    return {};
                  });
  for (const auto& extension : extensions) {
    if (Result<void> installed = extension->install(*this); !installed) {
      return installed.error().within("extension " + std::string(extension->name()));
    }
  }
  return add_controller(core::ConfigMap::api_version, core::ConfigMap::kind, "configmap",
                        config_maps.reconciler(*reconciling), {});
}

Result<void> Platform::Impl::open_listener() {
  if (!settings.listen) return {};
  if (!settings.listen_beyond_loopback && !settings.listen->is_loopback()) {
    return fail(Errc::failed_precondition,
                "listen address " + settings.listen->to_string() +
                    " can be reached by others; set listen_beyond_loopback to allow it");
  }
  Result<std::unique_ptr<Listener>> listener = world.network.listen(*settings.listen);
  if (!listener) return listener.error();
  if (listener_tls) listener = listener_tls->wrap(std::move(*listener));
  if (!listener) return listener.error().within("listen_tls");
  http::ServerOptions limits = settings.server;
  if (!limits.body_bytes_max_of) {
    limits.body_bytes_max_of = [this](const http::Request& request) {
      return entrance.body_bytes_max(request);
    };
  }
  server = std::make_unique<http::Server>(world.executor, world.timers, world.logger,
                                          std::move(*listener), entrance.front(), limits);
  urls.set_port(server->endpoint().port);
  return {};
}

Result<void> Platform::Impl::start() {
  if (stopped) return fail(Errc::failed_precondition, "the platform was stopped");
  if (started) return {};
  if (start_error) return *start_error;
  Result<void> done = check_names();
  if (done) done = check_outbound();
  if (done) done = add_kinds();
  if (done) done = open_directory();
  if (done) done = open_tls();
  if (done) done = open_store();
  if (done) done = install_all();
  if (done) done = open_listener();
  for (const auto& extension : extensions) {
    if (!done) break;
    done = extension->started();
    if (!done) done = done.error().within("extension " + std::string(extension->name()));
  }
  if (done) done = control_plane->start();
  if (!done) start_error = done.error();
  started = done.has_value();
  return done;
}

Task<void> Platform::Impl::stop(Duration grace) {
  if (!started || stopped) {
    stopped = true;
    co_return;
  }
  stopped = true;
  const Instant deadline = world.timers.now() + grace;
  listener_tls.reset();
  if (server) {
    Task<void> drained = server->drain();
    co_await with_deadline(world.timers, std::move(drained), deadline);
    server.reset();
  }
  control_plane->stop();
  for (auto extension = extensions.rbegin(); extension != extensions.rend(); ++extension) {
    const Duration left = std::max(Duration::zero(), Duration(deadline - world.timers.now()));
    co_await (*extension)->stop(left);
  }
  const Result<void> on_disk = co_await local_store->durable();
  if (!on_disk) {
    world.logger.log(LogLevel::error, "platform", "objects are not durable",
                     {{"error", on_disk.error().to_string()}});
  }
}

// ---------------------------------------------------------------------------- Installer

Result<std::string> Platform::Impl::directory(std::string_view name) {
  std::string path = work_directory + "/" + std::string(name);
  const bool there = bool(world.files.info(path));
  if (Result<void> made = world.files.make_directories(path); !made) return made.error();
  if (there) return path;
  // What containers and builds write there is for nobody else, set-user-id programs least of all.
  if (Result<void> closed = world.files.set_mode(path, 0700); !closed) return closed.error();
  return path;
}

Result<void> Platform::Impl::add_controller(std::string_view api_version, std::string_view kind,
                                            std::string name,
                                            std::unique_ptr<Reconciler> reconciler,
                                            ControllerOptions limits) {
  return control_plane->add(api_version, kind, std::move(name), std::move(reconciler), limits);
}

void Platform::Impl::on_config_map(std::string namespace_, std::string name,
                                   ConfigChanged changed) {
  config_maps.add(std::move(namespace_), std::move(name), std::move(changed));
}

Result<void> Platform::Impl::provide(std::type_index type, const char* name, void* service) {
  if (!services.emplace(type, service).second) {
    return fail(Errc::already_exists, "somebody provides this already: " + std::string(name));
  }
  return {};
}

void* Platform::Impl::find(std::type_index type) const {
  const auto found = services.find(type);
  return found == services.end() ? nullptr : found->second;
}

}  // namespace knative
