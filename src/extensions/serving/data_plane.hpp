// The data plane of one loop: for every Revision a pool of instances, a queue and a scaler; one
// router in front. This is where workload, router and autoscaler, strangers to each other, meet.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "extensions/serving/reconcilers.hpp"
#include "knative/autoscaler.hpp"
#include "knative/metrics.hpp"
#include "knative/router.hpp"
#include "knative/workload.hpp"

namespace knative {

class DataPlane final : public control::ServingPlane, private Demand {
 public:
  /// `changed` is called with a Revision's key when its state may be another; all references
  /// must outlive the plane.
  DataPlane(Env& env, WorkloadRuntime& runtime, Metrics& metrics, AutoscalerConfig config,
            std::function<void(const std::string& revision_key)> changed);
  ~DataPlane() override;

  Result<void> ensure(const serving::Revision& revision) override;
  bool has(const std::string& revision_key) const override { return units_.contains(revision_key); }
  void remove(const std::string& revision_key) override;
  control::RevisionState state(const std::string& revision_key) const override;
  Result<void> set_route(RouteRule rule) override;
  void remove_route(const std::string& route_key) override;

  /// Answers for every routed host.
  http::Handler& router() noexcept { return router_; }
  /// Ready instances over all revisions that the route names; 0 for an unknown one.
  int ready(const std::string& route_key) const;
  /// True when `host` (without port) is routed.
  bool routes(std::string_view host) const;
  /// Stop every instance within `grace`.
  Task<void> stop(Duration grace);

 private:
  struct Unit;
  void wanted(std::string_view revision) override;
  void rebuild_soon();
  Task<void> rebuild();
  void refresh_reachability();

  Env& env_;
  WorkloadRuntime& runtime_;
  AutoscalerConfig config_;
  std::function<void(const std::string&)> changed_;
  Autoscaler autoscaler_;
  Activator activator_;
  Router router_;
  std::map<std::string, std::unique_ptr<Unit>, std::less<>> units_;
  std::map<std::string, RouteRule, std::less<>> rules_;
  std::map<std::string, std::string, std::less<>> host_owners_;  ///< host -> route key
  bool rebuild_pending_ = false;
  bool stopping_ = false;
  TaskSet tasks_;
};

}  // namespace knative
