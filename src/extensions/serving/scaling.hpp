// The loop that decides: for every Revision a pool of instances and a scaler. It gives endpoints to
// the queues of the ingress and takes load and demand from there.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "extensions/serving/ingress.hpp"
#include "extensions/serving/instance_volumes.hpp"
#include "extensions/serving/reconcilers.hpp"
#include "knative/autoscaler.hpp"
#include "knative/metrics.hpp"
#include "knative/workload.hpp"

namespace knative {

class Scaling {
 public:
  using Output = std::function<void(std::string_view revision_key, std::string_view line)>;
  /// `open` makes the queue of a Revision; `changed` is called with a Revision's key when its state
  /// may be another, `output` with each line of its instances. All references must outlive it.
  Scaling(Env& env, ContainerRuntime& runtime, Metrics& metrics, const AutoscalerConfig& config,
          std::function<std::unique_ptr<RevisionQueue>(const RevisionOptions&)> open,
          std::function<void(const std::string& revision_key)> changed, Output output,
          InstanceVolumes& volumes);
  ~Scaling();

  /// The image of one of its containers, by digest; of the store alone unless `ask_registries`.
  Task<Result<std::string>> pin(const serving::Revision& revision, const core::Container& container,
                                bool ask_registries);
  Task<Result<std::string>> pin(serving::Revision&&, const core::Container&, bool) = delete;
  /// Run this Revision; nothing when it is run already. One of its name with another uid goes.
  Result<void> ensure(const serving::Revision& revision);
  bool has(const std::string& key) const { return units_.contains(key); }
  /// It takes no more requests from now on; its instances end with those in progress.
  void remove(const std::string& key);
  control::RevisionState state(const std::string& key) const;
  /// Ready instances.
  int ready(const std::string& key) const;
  /// One more rule, or one less, names the Revision. One that was named once and is not any more
  /// need not be kept warm.
  void named(const std::string& key);
  void unnamed(const std::string& key);
  /// The configuration has changed: what Revisions do not say themselves counts from now on.
  void reconfigure();
  /// How many idle instances may stay frozen, of all Revisions; none unless this is called.
  void set_frozen_max(int instances) noexcept { frozen_max_ = instances; }
  /// A request waits.
  void wanted(std::string_view key) { autoscaler_.poke(key); }
  /// Stop every instance, also of Revisions that were removed, within `grace`.
  Task<void> stop(Duration grace);

 private:
  struct Unit;
  static Task<void> retire(std::unique_ptr<Unit> unit);
  Result<InstanceSpec> instance_of(const serving::Revision& revision) const;
  void set_reachable(Unit& unit, bool reachable);
  bool may_freeze(const Unit& unit) const;
  void rescale(Unit& unit, const ScalerSpec& scaler);

  Env& env_;
  ContainerRuntime& runtime_;
  Metrics& metrics_;
  const AutoscalerConfig& config_;  ///< Of the platform; it may change at any turn.
  std::function<std::unique_ptr<RevisionQueue>(const RevisionOptions&)> open_;
  std::function<void(const std::string&)> changed_;
  Output output_;
  InstanceVolumes& volumes_;
  Autoscaler autoscaler_;
  std::map<std::string, std::unique_ptr<Unit>, std::less<>> units_;
  std::map<std::string, int, std::less<>> names_;  ///< How many rules name a Revision.
  int frozen_max_ = 0;
  bool stopping_ = false;
  TaskSet retired_;
};

}  // namespace knative
