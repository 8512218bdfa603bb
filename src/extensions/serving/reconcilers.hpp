// Reconcilers of Serving: Service -> Configuration + Route; Configuration -> Revisions;
// Revision -> instances in the data plane; Route -> a program of the router.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "knative/router.hpp"
#include "knative/serving.hpp"
#include "model/serving_lifecycle.hpp"
#include "platform/image_holds.hpp"
#include "platform/reconciling.hpp"

namespace knative::control {

/// How one Revision is doing in the data plane.
struct RevisionState {
  bool initialized = false;  ///< Reached its initial scale once: it is healthy.
  bool active = false;
  bool activating = false;
  int ready = 0;
  bool timed_out = false;       ///< Not active because it did not get ready in time.
  int desired = -1;             ///< -1: not decided yet.
  std::string failure_reason;   ///< Not empty: it cannot run (ContainerMissing, ExitCode1, ...).
  std::string failure_message;  ///< Without a reason: what it still waits for.
};

/// The `failure_reason` for what kept a Revision from running.
std::string failure_reason_of(const Error& error);

/// What the serving reconcilers drive; the platform's data plane implements it.
class ServingPlane {
 public:
  virtual ~ServingPlane() = default;
  /// The image of one of its containers by digest ("repository@sha256:..."), so that a Revision
  /// means the same content for ever; an image that has none as it is.
  virtual Task<Result<std::string>> pin(const serving::Revision& revision,
                                        const core::Container& container, bool ask_registries) = 0;
  virtual Task<Result<std::string>> pin(serving::Revision&&, const core::Container&, bool) = delete;
  /// Run this Revision as its spec and annotations say; nothing when it `has` it.
  virtual Result<void> ensure(const serving::Revision& revision) = 0;
  virtual bool has(const std::string& revision_key) const = 0;
  virtual void remove(const std::string& revision_key) = 0;
  virtual RevisionState state(const std::string& revision_key) const = 0;
  /// Route by this rule from the next turn of the loop on. Fails with `already_exists` when
  /// another Route has one of its hosts; then nothing changes.
  virtual Result<void> set_route(RouteRule rule) = 0;
  virtual void remove_route(const std::string& route_key) = 0;
  /// Answers for every host of a rule.
  virtual http::Handler& router() noexcept = 0;
};

class ServiceReconciler final : public Frame<serving::Service> {
 public:
  explicit ServiceReconciler(Scope scope) : Frame(scope, "service") {}

 private:
  Task<Result<Requeue>> step(serving::Service& service, Interests& interests) override;
  Task<Result<bool>> make_configuration(serving::Service& service, Interests& interests);
  Task<Result<void>> make_route(serving::Service& service, Interests& interests);
};

class ConfigurationReconciler final : public Frame<serving::Configuration> {
 public:
  explicit ConfigurationReconciler(Scope scope) : Frame(scope, "configuration") {}

 private:
  Task<Result<Requeue>> step(serving::Configuration& configuration, Interests& interests) override;
  Task<Result<void>> stamp(serving::Configuration& configuration, const std::string& name,
                           std::string& refused);
  Result<void> read_back(serving::Configuration& configuration);
};

class RevisionReconciler final : public Frame<serving::Revision> {
 public:
  /// `holds` may be null: there is no store of images.
  RevisionReconciler(Scope scope, ServingPlane& plane, ImageHolds* holds)
      : Frame(scope, "revision"), plane_(plane), holds_(holds) {}
  /// What the Revisions that are there refer to is kept from now on.
  Result<void> keep_images();

 private:
  Task<Result<Requeue>> step(serving::Revision& revision, Interests& interests) override;
  Task<Result<void>> drop_gone_routes(serving::Revision& revision);
  Task<Result<void>> pin(serving::Revision& revision, bool ask_registries);
  Task<Result<void>> pin_all(const serving::Revision& revision,
                             const std::vector<core::Container>& containers, bool ask_registries,
                             std::vector<serving::ContainerStatus>& into);
  Task<Result<void>> keep_pinned(serving::Revision& revision);
  Task<Result<void>> forget(const std::string& key, const std::string& uid) override;
  ServingPlane& plane_;
  ImageHolds* holds_;
};

class RouteReconciler final : public Frame<serving::Route> {
 public:
  /// Requests for hosts of Routes go from `door` to the plane's router.
  RouteReconciler(Scope scope, ServingPlane& plane, Door& door)
      : Frame(scope, "route"), plane_(plane), door_(door) {}

 private:
  Task<Result<Requeue>> step(serving::Route& route, Interests& interests) override;
  Task<Result<void>> forget(const std::string& key, const std::string& uid) override;
  bool resolve(serving::Route& route, std::vector<serving::TrafficTarget>& resolved,
               Interests& waits_for);
  Result<void> lead_there(const serving::Route& route, const RouteRule& rule);
  Task<Result<void>> label_revisions(const serving::Route& route,
                                     std::vector<serving::TrafficTarget> before);
  Task<Result<void>> release_revisions(const std::string& key);
  Task<Result<void>> label(serving::Revision revision, std::string route, bool used);
  ServingPlane& plane_;
  Door& door_;
  /// Revisions that say that they are used, by the key of the Route that they name.
  std::map<std::string, std::set<std::string>> labelled_;
};

}  // namespace knative::control
