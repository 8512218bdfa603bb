// The data plane: an ingress in front, the scaling behind it, and the one table of rules. This is
// where workload, router and autoscaler, strangers to each other, meet.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "extensions/serving/ingress.hpp"
#include "extensions/serving/reconcilers.hpp"
#include "extensions/serving/scaling.hpp"

namespace knative {

class DataPlane final : public control::ServingPlane {
 public:
  using Output = Scaling::Output;
  /// `changed` is called with a Revision's key when its state may be another, `output` with each
  /// line of its instances; all references must outlive the plane.
  DataPlane(Env& env, ContainerRuntime& runtime, Metrics& metrics, const AutoscalerConfig& config,
            std::function<void(const std::string& revision_key)> changed, Output output,
            InstanceVolumes& volumes);

  Task<Result<std::string>> pin(const serving::Revision& revision, const core::Container& container,
                                bool ask_registries) override {
    return scaling_.pin(revision, container, ask_registries);
  }
  Result<void> ensure(const serving::Revision& revision) override {
    return scaling_.ensure(revision);
  }
  bool has(const std::string& revision_key) const override { return scaling_.has(revision_key); }
  void remove(const std::string& revision_key) override { scaling_.remove(revision_key); }
  control::RevisionState state(const std::string& revision_key) const override {
    return scaling_.state(revision_key);
  }
  Result<void> set_route(RouteRule rule) override;
  void remove_route(const std::string& route_key) override;

  /// Answers for every routed host.
  http::Handler& router() noexcept override { return ingress_.router(); }
  /// Ready instances over all revisions that the route names; 0 for an unknown one.
  int ready(const std::string& route_key) const;
  /// True when `host` (without port) is routed.
  bool routes(std::string_view host) const { return table_->find(host).has_value(); }
  /// Stop every instance within `grace`.
  Task<void> stop(Duration grace) { return scaling_.stop(grace); }
  void reconfigure() { scaling_.reconfigure(); }
  void set_frozen_max(int instances) { scaling_.set_frozen_max(instances); }

 private:
  void use(std::shared_ptr<const RouteTable> table, const RouteRule* before,
           const RouteRule* after);

  Ingress ingress_;
  Scaling scaling_;
  std::shared_ptr<const RouteTable> table_;
};

}  // namespace knative
