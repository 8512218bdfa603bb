// Reconcilers of Serving: Service -> Configuration + Route; Configuration -> Revisions;
// Revision -> instances in the data plane; Route -> a program of the router.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "knative/router.hpp"
#include "knative/serving.hpp"
#include "model/serving_lifecycle.hpp"
#include "platform/reconciling.hpp"

namespace knative::control {

/// How one Revision is doing in the data plane.
struct RevisionState {
  bool initialized = false;  ///< Reached its initial scale once: it is healthy.
  bool active = false;
  bool activating = false;
  int ready = 0;
  bool timed_out = false;      ///< Not active because it did not get ready in time.
  int desired = -1;            ///< -1: not decided yet.
  std::string image_digest;    ///< "repository@sha256:..." for images, empty for functions.
  std::string failure_reason;  ///< Not empty: it cannot run (ContainerMissing, ExitCode1, ...).
  std::string failure_message;
};

/// The `failure_reason` for what kept a Revision from running.
std::string failure_reason_of(const Error& error);

/// What the serving reconcilers drive; the platform's data plane implements it.
class ServingPlane {
 public:
  virtual ~ServingPlane() = default;
  /// Run this Revision as its spec and annotations say; nothing when it `has` it.
  virtual Result<void> ensure(const serving::Revision& revision) = 0;
  virtual bool has(const std::string& revision_key) const = 0;
  virtual void remove(const std::string& revision_key) = 0;
  virtual RevisionState state(const std::string& revision_key) const = 0;
  /// Route by this rule from the next turn of the loop on. Fails with `already_exists` when
  /// another Route has one of its hosts; then nothing changes.
  virtual Result<void> set_route(RouteRule rule) = 0;
  virtual void remove_route(const std::string& route_key) = 0;
};

class ServiceReconciler final : public Reconciler {
 public:
  explicit ServiceReconciler(Context& context) : context_(context) {}
  Task<Result<Requeue>> reconcile(std::string key) override;

 private:
  Result<Requeue> step(const std::string& key);
  Result<bool> make_configuration(serving::Service& service, std::set<ObjectRef>& interests);
  Result<void> make_route(serving::Service& service, std::set<ObjectRef>& interests);
  Context& context_;
};

class ConfigurationReconciler final : public Reconciler {
 public:
  explicit ConfigurationReconciler(Context& context) : context_(context) {}
  Task<Result<Requeue>> reconcile(std::string key) override;

 private:
  Result<Requeue> step(const std::string& key);
  Result<void> stamp(serving::Configuration& configuration, const std::string& name,
                     std::string& refused);
  Result<void> read_back(serving::Configuration& configuration);
  Context& context_;
};

class RevisionReconciler final : public Reconciler {
 public:
  RevisionReconciler(Context& context, ServingPlane& plane) : context_(context), plane_(plane) {}
  Task<Result<Requeue>> reconcile(std::string key) override;

 private:
  Result<Requeue> step(const std::string& key);
  Context& context_;
  ServingPlane& plane_;
};

class RouteReconciler final : public Reconciler {
 public:
  RouteReconciler(Context& context, ServingPlane& plane) : context_(context), plane_(plane) {}
  Task<Result<Requeue>> reconcile(std::string key) override;

 private:
  Result<Requeue> step(const std::string& key);
  bool resolve(serving::Route& route, std::vector<serving::TrafficTarget>& resolved);
  Result<void> label_revisions(const serving::Route& before, const serving::Route& after);
  Result<void> release_revisions(const std::string& namespace_, const std::string& route);
  Result<void> label(serving::Revision revision, const std::string& route, bool used);
  Context& context_;
  ServingPlane& plane_;
};

}  // namespace knative::control
