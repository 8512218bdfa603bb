/// \file
/// `Platform`: Build, Serving and Eventing composed over one `Env`; `PlatformThread`: the same
/// with blocking calls from any thread.
///
/// A platform owns an object store, an image store, the engines and one HTTP listener (loopback
/// unless the host program says otherwise). Intent is declared synchronously with `apply`;
/// outcomes are awaited with `ready`. A `Platform` belongs to the loop of its `Env`; many of them
/// live in one process. Its destructor stops everything it started and leaves no process behind.
///
/// \code
/// knative::FunctionTable functions;
/// functions.http("hello", hello);
/// knative::Loop loop;
/// knative::Platform platform(loop.env(), functions);
/// auto ref = platform.apply(knative::serving::service("hello", "fn:hello")).value();
/// loop.run(platform.ready(ref)).value();
/// \endcode
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "knative/autoscaler.hpp"
#include "knative/builder.hpp"
#include "knative/env.hpp"
#include "knative/event.hpp"
#include "knative/eventing.hpp"
#include "knative/functions.hpp"
#include "knative/http.hpp"
#include "knative/http_server.hpp"
#include "knative/log.hpp"
#include "knative/manifest.hpp"
#include "knative/metrics.hpp"
#include "knative/oci.hpp"
#include "knative/serving.hpp"
#include "knative/store.hpp"
#include "knative/workload.hpp"

namespace knative {

/// How a platform is set up. Every bound has a default.
struct PlatformOptions {
  /// Objects, images and event logs live here and survive a restart. Empty: memory only, and
  /// what must be a file (checked-out sources, unpacked images) goes to a temporary directory.
  /// Secrets stand there as they are: a directory that is made here is for its user only (0700),
  /// one that was there keeps its mode.
  std::string data_directory;
  /// Where HTTP is served; port 0 takes any free one. Empty: in-process calls only.
  std::optional<Endpoint> listen = Endpoint{};
  /// Allow `listen` to be an address that strangers can reach; otherwise `start()` refuses it.
  bool listen_beyond_loopback = false;
  /// Hosts are NAME.NAMESPACE.DOMAIN and TAG-NAME.NAMESPACE.DOMAIN, as Knative's templates.
  std::string domain = "localhost";
  std::string default_namespace = "default";
  /// config-autoscaler, with Knative's defaults.
  AutoscalerConfig autoscaler;
  http::ServerOptions server;
  /// Functions that build steps name as "fn:NAME"; must outlive the platform. Null: none.
  const StepFunctions* step_functions = nullptr;
  /// Opens the object store with the platform's rules (admission, default namespace) in it; empty:
  /// SQLite in the data directory (of the world's `Files`), or memory without one.
  std::function<Result<std::unique_ptr<Store>>(Env&, StoreOptions)> open_store;
  /// Bound of events accepted and not yet on disk, per Broker or Channel.
  std::size_t event_pending_bytes_max = std::size_t{16} << 20;
  /// Environment of build steps and processes: PATH and what the host program allows.
  std::string path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  /// Called with each line of a build step or a workload; empty: the log at level debug.
  std::function<void(std::string_view source, std::string_view line)> on_output;
};

/// A function that receives events and may reply with one.
using EventHandler = std::function<Task<Reply>(const CloudEvent& event)>;

/// A subscription made by `Platform::subscribe`; destroying it unsubscribes and deletes its
/// Trigger. Must not outlive its platform.
class KNATIVE_EXPORT EventSubscription {
 public:
  EventSubscription() = default;
  EventSubscription(std::string trigger, std::function<void()> cancel)
      : trigger_(std::move(trigger)), cancel_(std::move(cancel)) {}
  EventSubscription(EventSubscription&& other) noexcept
      : trigger_(std::move(other.trigger_)), cancel_(std::exchange(other.cancel_, nullptr)) {}
  EventSubscription& operator=(EventSubscription&& other) noexcept {
    if (this != &other) {
      cancel();
      trigger_ = std::move(other.trigger_);
      cancel_ = std::exchange(other.cancel_, nullptr);
    }
    return *this;
  }
  ~EventSubscription() { cancel(); }

  /// Name of the Trigger behind it.
  const std::string& trigger() const noexcept { return trigger_; }
  /// Unsubscribe now.
  void cancel() {
    if (cancel_) std::exchange(cancel_, nullptr)();
  }
  /// Keep the subscription as long as the platform lives.
  void detach() noexcept { cancel_ = nullptr; }

 private:
  std::string trigger_;
  std::function<void()> cancel_;
};

/// Why an object is not ready, or that it is.
struct Readiness {
  bool ready = false;
  /// The controllers have given up for this generation (Ready is False).
  bool failed = false;
  std::string reason;
  std::string message;
};

/// Read the Ready (or Succeeded) condition of an object; an object without conditions is ready.
/// Conditions of an older generation do not count.
KNATIVE_EXPORT Readiness readiness(const AnyObject& object);

/// Build, Serving and Eventing in one process.
class KNATIVE_EXPORT Platform {
 public:
  /// `env` and `functions` must outlive the platform. Nothing runs before `start()`, which the
  /// first other call makes by itself.
  Platform(Env& env, FunctionTable& functions, PlatformOptions options = {});
  ~Platform();
  Platform(const Platform&) = delete;
  Platform& operator=(const Platform&) = delete;

  /// Open the data directory and the listener, load what is stored, begin reconciling.
  /// Fails with `failed_precondition` (data directory in use by another process, or an address
  /// beyond loopback that was not allowed), `already_exists` (port in use), `data_loss`.
  Result<void> start();
  /// Stop accepting, let requests and deliveries in progress finish within `grace`, stop every
  /// workload, make everything durable. The platform cannot be used afterwards.
  Task<void> stop(Duration grace = std::chrono::seconds(5));

  // ------------------------------------------------------------------ objects

  /// Create or change an object: defaults, validation, ordering in the store; controllers act
  /// on it from now on. Fails with `invalid_argument` (every field error at once), `conflict`
  /// (a stale resourceVersion). Valid and ordered when it returns; see `durable`.
  Result<ObjectRef> apply(const AnyObject& object);
  /// Apply every document of a YAML or JSON text, in order; nothing is applied when one does not
  /// parse or validate. Unknown fields are errors that begin with file:line:column.
  Result<std::vector<ObjectRef>> apply_text(std::string_view text,
                                            std::string_view file_name = "manifest");
  /// Apply a file, or every *.yaml, *.yml and *.json file of a directory, sorted by name.
  Result<std::vector<ObjectRef>> apply_path(const std::string& path);
  /// `not_found` when absent. An empty namespace means the default one.
  Result<AnyObject> get(ObjectRef ref);
  template <class T>
  Result<T> get(std::string_view name, std::string_view namespace_ = {}) {
    Result<AnyObject> object = get(ref<T>(name, namespace_));
    if (!object) return object.error();
    return object->template get<T>();
  }
  /// Every object of a kind, in all namespaces when `namespace_` is empty.
  template <class T>
  Result<std::vector<T>> list(std::string_view namespace_ = {}) {
    if (Result<void> started = start(); !started) return started.error();
    ListOptions options;
    options.namespace_ = std::string(namespace_);
    return store().template list<T>(options);
  }
  /// Delete; what the object owns goes with it. `not_found` when absent.
  Result<void> remove(ObjectRef ref);

  /// The reference of an object of kind `T` in a namespace (empty: the default one).
  template <class T>
  ObjectRef ref(std::string_view name, std::string_view namespace_ = {}) const {
    return ObjectRef{std::string(T::api_version), std::string(T::kind),
                     std::string(namespace_.empty() ? options().default_namespace : namespace_),
                     std::string(name)};
  }

  // ------------------------------------------------------------------ outcomes

  /// Wait until the object is ready for its current generation. Fails with
  /// `failed_precondition` and the condition's reason and message when the controllers gave up,
  /// `deadline_exceeded` after `timeout` (with the last message), `not_found`.
  Task<Result<void>> ready(ObjectRef ref, Duration timeout = std::chrono::seconds(60));
  /// Wait until the object as it is now would survive a crash. At once without data directory.
  Task<Result<void>> durable(ObjectRef ref);
  /// Wait until `done(object)` is true for some state of the object; errors as `ready`.
  Task<Result<AnyObject>> wait_for(ObjectRef ref, std::function<bool(const AnyObject&)> done,
                                   Duration timeout);

  // ------------------------------------------------------------------ traffic

  /// Send a request through router, queue and function or process. `service` is a Service or
  /// Route name ("hello"), "TAG-NAME", "NAME.NAMESPACE" or a whole host. The answer is what a
  /// client would see, 404 included; `request` must stay until it is done.
  Task<Result<http::Response>> invoke(std::string service, http::Request& request);
  Task<Result<http::Response>> invoke(std::string service, http::Request&& request) = delete;

  /// Accept an event into a Broker or Channel ("name" or "namespace/name"). Durable when it
  /// returns, with a data directory. An event without id gets one here (not over HTTP, where it
  /// is an error). What was applied before counts: a Broker or Trigger on its way is waited for.
  /// Fails with `invalid_argument` (names the attribute),
  /// `not_found`, `resource_exhausted`, `unavailable` (its log cannot be opened or written).
  Task<Result<Offset>> publish(std::string broker, const CloudEvent& event);
  Task<Result<Offset>> publish(std::string broker, CloudEvent&& event) = delete;
  /// Receive what a Broker accepts from now on and the filter lets through. The reply, if any,
  /// goes back into the Broker. At least once; an exception is a failed delivery and is retried.
  Result<EventSubscription> subscribe(std::string broker, Filter filter, EventHandler function);

  // ------------------------------------------------------------------ looking inside

  const PlatformOptions& options() const noexcept;
  Env& env() noexcept;
  /// Where HTTP is served; port 0 without a listener.
  Endpoint endpoint() const;
  /// The URL in the object's status, with the listener's port; empty when it has none (yet).
  std::string url(ObjectRef ref);
  /// Ready instances of a Service or Route, over all its revisions.
  int scale(std::string_view service);
  /// Everything that the listener answers, as a Handler: hosts of Routes, broker ingress,
  /// health and metrics.
  http::Handler& ingress();
  Store& store();
  Builder& builder();
  oci::ImageStore& images();
  Metrics& metrics();
  /// Prometheus text of all metrics.
  std::string metrics_text();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// A platform that owns its loop on a thread of its own. Every member may be called from any
/// thread and blocks until done; handlers run on the loop's thread. The destructor stops the
/// platform and joins the thread.
class KNATIVE_EXPORT PlatformThread {
 public:
  explicit PlatformThread(FunctionTable& functions, PlatformOptions options = {},
                          LoopOptions loop = {});
  ~PlatformThread();
  PlatformThread(const PlatformThread&) = delete;
  PlatformThread& operator=(const PlatformThread&) = delete;

  Result<void> start();
  /// See `Platform::stop`. A second call does nothing.
  void stop(Duration grace = std::chrono::seconds(5));

  Result<ObjectRef> apply(const AnyObject& object);
  Result<std::vector<ObjectRef>> apply_text(std::string_view text,
                                            std::string_view file_name = "manifest");
  Result<std::vector<ObjectRef>> apply_path(const std::string& path);
  Result<AnyObject> get(const ObjectRef& ref);
  template <class T>
  Result<T> get(std::string_view name, std::string_view namespace_ = {}) {
    Result<AnyObject> object = get(ref<T>(name, namespace_));
    if (!object) return object.error();
    return object->template get<T>();
  }
  template <class T>
  ObjectRef ref(std::string_view name, std::string_view namespace_ = {}) const {
    return ObjectRef{std::string(T::api_version), std::string(T::kind),
                     std::string(namespace_.empty() ? default_namespace() : namespace_),
                     std::string(name)};
  }
  Result<void> remove(const ObjectRef& ref);
  Result<std::vector<AnyObject>> list(std::string_view api_version, std::string_view kind,
                                      std::string_view namespace_ = {});

  Result<void> ready(const ObjectRef& ref, Duration timeout = std::chrono::seconds(60));
  /// `ready` for a Service by name.
  Result<void> wait_ready(std::string_view service, Duration timeout = std::chrono::seconds(60));
  Result<void> durable(const ObjectRef& ref);
  /// The body of the answer is read into memory.
  Result<http::Response> invoke(const std::string& service, http::Request request);
  Result<Offset> publish(const std::string& broker, const CloudEvent& event);
  /// `function` runs on the loop's thread and must not block it.
  Result<EventSubscription> subscribe(const std::string& broker, const Filter& filter,
                                      EventHandler function);
  Result<BuildResult> build(const build::Build& build);

  Endpoint endpoint();
  std::string url(const ObjectRef& ref);
  int scale(const std::string& service);
  std::string metrics_text();
  std::string default_namespace() const;

  /// Run `work` on the loop's thread later, in the order of calls, and do not wait for it. Works
  /// until the destructor begins; what has not run by then is dropped.
  void post(std::function<void(Platform&)> work);
  /// Run `work` on the loop's thread and wait for it.
  void call(const std::function<void(Platform&)>& work);
  /// Run a task on the loop's thread and wait for its value.
  template <class T>
  T run(std::function<Task<T>(Platform&)> make) {
    std::optional<T> value;
    run_task([&make, &value](Platform& platform) -> Task<void> {
      return store_value(make(platform), value);
    });
    return std::move(*value);
  }

 private:
  template <class T>
  static Task<void> store_value(Task<T> task, std::optional<T>& value) {
    value.emplace(co_await std::move(task));
  }
  void run_task(const std::function<Task<void>(Platform&)>& make);
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace knative
