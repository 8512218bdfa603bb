/// \file
/// What a platform is made of: extensions, installed through one public door.
///
/// Build, Serving and Eventing are extensions, and so is what a host program brings of its own: a
/// kind with its reconciler, handlers for hosts and paths, a runtime of containers, a fetcher of
/// sources. `install` declares and starts nothing; afterwards the platform opens its listener,
/// calls `started`, and lets the controllers run. Extensions find each other by interfaces, so that
/// leaving one out gives a clear message. Everything belongs to the platform's loop.
///
/// \code
/// class Widgets final : public knative::Extension {
///   std::string_view name() const override { return "widgets"; }
///   knative::Result<void> add_kinds(knative::KindRegistry& kinds) override {
///     return kinds.add<Widget>();
///   }
///   knative::Result<void> install(knative::Installer& into) override {
///     return into.add_controller<Widget>(
///         "widget", std::make_unique<WidgetReconciler>(into.context(), "widget"));
///   }
/// };
/// platform.install(std::make_unique<Widgets>()).value();
/// \endcode
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <typeindex>
#include <utility>

#include "knative/client.hpp"
#include "knative/controller.hpp"
#include "knative/door.hpp"
#include "knative/env.hpp"
#include "knative/error.hpp"
#include "knative/fwd.hpp"
#include "knative/kinds.hpp"
#include "knative/metrics.hpp"
#include "knative/reconciler.hpp"

namespace knative {

/// Brings reconcilers back to their keys.
class KNATIVE_EXPORT Controllers {
 public:
  virtual ~Controllers() = default;
  /// Want a key of a controller ("widget") reconciled soon; an unknown controller is nobody's.
  virtual void enqueue(std::string_view controller, const std::string& key) = 0;
  /// The same for everybody who refers to this object.
  virtual void enqueue_watchers(const ObjectRef& ref) = 0;
};

/// What an extension is given when it is installed. Valid as long as the platform.
class KNATIVE_EXPORT Installer {
 public:
  virtual ~Installer() = default;

  virtual Env& env() noexcept = 0;
  virtual const PlatformOptions& options() const noexcept = 0;
  virtual Client& client() noexcept = 0;
  /// The store in this process, for what must be done at once; null where objects are elsewhere.
  virtual Store* store() noexcept = 0;
  virtual Door& door() noexcept = 0;
  /// The one client for everything that goes out, as `PlatformOptions::outbound` says.
  virtual http::Outbound& outbound() noexcept = 0;
  virtual Addresses& addresses() noexcept = 0;
  virtual const KindRegistry& kinds() const noexcept = 0;
  virtual Metrics& metrics() noexcept = 0;
  virtual ReconcileContext& context() noexcept = 0;
  virtual Controllers& controllers() noexcept = 0;
  /// A directory for what this extension keeps, made when it is asked for: below the data
  /// directory, where it survives, or below a temporary one (`durable()` tells).
  virtual Result<std::string> directory(std::string_view name) = 0;
  virtual bool durable() const noexcept = 0;

  /// Let `reconciler` act on objects of a kind, their children (by owner reference) and what it
  /// asked to hear of. Fails with `already_exists` when the kind or the name has a controller.
  virtual Result<void> add_controller(std::string_view api_version, std::string_view kind,
                                      std::string name, std::unique_ptr<Reconciler> reconciler,
                                      ControllerOptions options = {}) = 0;
  template <class T>
  Result<void> add_controller(std::string name, std::unique_ptr<Reconciler> reconciler,
                              ControllerOptions options = {}) {
    return add_controller(T::api_version, T::kind, std::move(name), std::move(reconciler), options);
  }

  /// The keys of a ConfigMap by this name in namespace "knative-serving", "knative-eventing" or
  /// "knative-build". `changed` is called with its data when it is there and whenever it changes,
  /// with nothing when it goes; what it refuses is logged and becomes a warning.
  using ConfigChanged =
      std::function<Result<void>(const std::map<std::string, std::string, std::less<>>& data)>;
  virtual void on_config_map(std::string namespace_, std::string name, ConfigChanged changed) = 0;

  /// Offer an interface to others under its type; one extension per type.
  template <class T>
  Result<void> provide(T& service) {
    return provide(std::type_index(typeid(T)), typeid(T).name(), &service);
  }
  /// What another extension that was installed before offers; null without it.
  template <class T>
  T* find() const {
    return static_cast<T*>(find(std::type_index(typeid(T))));
  }

 protected:
  virtual Result<void> provide(std::type_index type, const char* name, void* service) = 0;
  virtual void* find(std::type_index type) const = 0;
};

/// A part of a platform. Destroyed after the controllers and before the store, those that were
/// installed last first.
class KNATIVE_EXPORT Extension {
 public:
  virtual ~Extension() = default;
  /// For messages: "serving".
  virtual std::string_view name() const = 0;
  /// Add the kinds of objects that this knows, to those of the library. Comes before every
  /// `install`: the store is opened in between.
  virtual Result<void> add_kinds(KindRegistry& kinds) {
    static_cast<void>(kinds);
    return {};
  }
  /// Declare what this adds. An error is the platform's start error.
  virtual Result<void> install(Installer& into) = 0;
  /// All extensions are installed and the listener's port is known; no controller has run yet.
  virtual Result<void> started() { return {}; }
  /// Let what is under way finish within `grace`; no controller runs any more.
  virtual Task<void> stop(Duration grace) {
    static_cast<void>(grace);
    co_return;
  }
};

}  // namespace knative
