/// \file
/// `Platform`: extensions composed over one `Env`, by default Build, Serving and Eventing.
///
/// A platform owns an object store, its controllers, a door for HTTP (a listener on loopback unless
/// the host program says otherwise) and its extensions (extension.hpp). Intent is declared
/// synchronously with `apply`; outcomes are awaited with `ready`. A `Platform` belongs to the loop
/// of its `Env`; many of them live in one process. Its destructor stops everything it started and
/// leaves no process behind.
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
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "knative/access.hpp"
#include "knative/builder.hpp"
#include "knative/client.hpp"
#include "knative/env.hpp"
#include "knative/eventing.hpp"
#include "knative/extension.hpp"
#include "knative/functions.hpp"
#include "knative/http.hpp"
#include "knative/manifest.hpp"
#include "knative/oci.hpp"
#include "knative/platform_options.hpp"
#include "knative/readiness.hpp"
#include "knative/serving.hpp"
#include "knative/store.hpp"

namespace knative {

/// Extensions over one store, one door and one set of controllers.
class KNATIVE_EXPORT Platform {
 public:
  /// Build, Serving and Eventing (`default_extensions`). `env` and `functions` must outlive the
  /// platform. Nothing runs before `start()`, which the first other call makes by itself.
  Platform(Env& env, FunctionTable& functions, PlatformOptions options = {});
  /// These extensions alone, installed in this order.
  Platform(Env& env, std::vector<std::unique_ptr<Extension>> extensions,
           PlatformOptions options = {});
  ~Platform();
  Platform(const Platform&) = delete;
  Platform& operator=(const Platform&) = delete;

  /// Add an extension, after those that are there. Fails with `failed_precondition` once the
  /// platform was started, `already_exists` for a name that is taken.
  Result<void> install(std::unique_ptr<Extension> extension);
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
  /// The same for several texts: nothing is applied unless all are valid, and the error has the
  /// problems of all.
  Result<std::vector<ObjectRef>> apply_texts(const std::vector<manifest::Source>& sources,
                                             const ApplyOptions& options);
  /// Whether they are all valid by themselves, with the problems of all. Does not start the
  /// platform.
  Result<void> check_texts(const std::vector<manifest::Source>& sources,
                           const ApplyOptions& options);
  /// Read a file, or every *.yaml, *.yml and *.json file of a directory, sorted by name; with
  /// `recursive` of those in it too.
  Result<std::vector<manifest::Source>> read_manifests(const std::string& path, bool recursive);
  /// Apply a file or a directory, read like that.
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
    return client().template list<T>(options);
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
  /// Fails with `not_found` when no such Broker was applied.
  Result<EventSubscription> subscribe(std::string broker, Filter filter, EventHandler function);

  /// What a Broker or Channel has parked (parked.hpp), ordered by consumer and offset; `count_max`
  /// at most. Triggers and Subscriptions are called by their names. Where a Broker and a Channel
  /// have one name, "Channel/NAMESPACE/NAME" says which. Fails with `not_found` when it, or the
  /// trigger of the selection, is not there, and with `failed_precondition` when it may be both.
  Result<std::vector<ParkedEvent>> parked(std::string broker, ParkedSelection selection = {},
                                          std::size_t count_max = 1000);
  /// Deliver parked events anew, by what their Trigger says now and with all its attempts. Yields
  /// how many, durably. Errors as `parked`, and `unavailable`.
  Task<Result<std::size_t>> redrive(std::string broker, ParkedSelection selection);
  /// Throw parked events away. The same.
  Task<Result<std::size_t>> discard(std::string broker, ParkedSelection selection);

  // ------------------------------------------------------------------ looking inside

  const PlatformOptions& options() const noexcept;
  Env& env() noexcept;
  /// Where HTTP is served; port 0 without a listener.
  Endpoint endpoint() const;
  /// The certificate of the platform's own authority as PEM text, for clients to trust; empty when
  /// the listener has none.
  std::string authority() const;
  /// The file that it stands in; empty likewise.
  std::string authority_file() const;
  /// The URL in the object's status, with the listener's port; empty when it has none (yet), or is
  /// not there.
  std::string url(ObjectRef ref);
  /// Ready instances of a Service or Route, over all its revisions; of one that is not there none.
  int scale(std::string_view service);
  /// Everything that the listener answers, as a Handler: hosts of Routes, broker ingress,
  /// health and metrics.
  http::Handler& ingress();
  Store& store();
  Client& client();
  /// Those of the library and of the extensions; complete once the platform was started.
  const KindRegistry& kinds();
  /// What an extension provides under an interface; null without it.
  template <class T>
  T* find() {
    start().value();
    return installer().find<T>();
  }
  /// Of Build and of its images. Throws `Exception` when the platform has no such extension.
  Builder& builder();
  oci::ImageStore& images();
  Metrics& metrics();
  /// Prometheus text of all metrics.
  std::string metrics_text();

 private:
  Installer& installer() noexcept;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace knative
