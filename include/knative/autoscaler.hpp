/// \file
/// How many instances a revision needs: Knative's pod autoscaler.
///
/// `RevisionScaler` adds bounds and the way to zero to what scale_decision.hpp decides; it takes
/// `now` as an argument, too. `Autoscaler` is the engine that ticks them; it knows neither router
/// nor workload, only `StatSource` and `ScaleTarget`. Every object belongs to its loop.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "knative/autoscaler_config.hpp"
#include "knative/env.hpp"
#include "knative/error.hpp"
#include "knative/metrics.hpp"
#include "knative/scale_decision.hpp"

namespace knative {

/// Bounds and times of one revision around its `DeciderSpec`.
struct ScalerSpec {
  DeciderSpec decider;
  int min_scale = 0;
  int max_scale = 0;  ///< 0: unlimited.
  bool enable_scale_to_zero = true;
  Duration grace_period = std::chrono::seconds(30);
  Duration pod_retention{0};
  Duration activation_timeout = std::chrono::seconds(630);
  friend bool operator==(const ScalerSpec&, const ScalerSpec&) = default;
};

/// Combine configuration, a revision's `autoscaling.knative.dev/` annotations (both spellings)
/// and its containerConcurrency. Fails with `invalid_argument` naming the annotation.
KNATIVE_EXPORT Result<ScalerSpec> resolve_scaler_spec(
    const AutoscalerConfig& config, const std::map<std::string, std::string>& annotations,
    std::int64_t container_concurrency);

// ---------------------------------------------------------------------------- revision scaler

/// Condition Active of a PodAutoscaler: unknown, true, false.
enum class ActiveState : unsigned char { activating = 0, active = 1, inactive = 2 };
/// Reason of that condition: none, Queued, NoTraffic, TimedOut.
enum class ActiveReason : unsigned char { none = 0, queued = 1, no_traffic = 2, timed_out = 3 };
KNATIVE_EXPORT std::string_view to_string(ActiveState state) noexcept;
KNATIVE_EXPORT std::string_view to_string(ActiveReason reason) noexcept;

/// What should hold after a step.
struct ScalePlan {
  int desired = -1;      ///< As a PodAutoscaler's status reports it; -1: not known yet.
  int replicas = 0;      ///< How many instances to run now.
  bool changed = false;  ///< `replicas` is another number than after the step before.
  ActiveState active = ActiveState::activating;
  ActiveReason reason = ActiveReason::none;
  bool initialized = false;       ///< The initial scale was reached once.
  bool activator_in_path = true;  ///< Mode Proxy instead of Serve.
  int activators = 2;
  ScaleRule rule = ScaleRule::no_data;  ///< Which rule bound `replicas`.
  ScaleDecision decision;               ///< The last valid one.
  std::optional<Instant> again_at;      ///< Step again then, at the latest.
};

/// A revision's life between initial scale and zero: the decider, bounds, and the machine
/// activating - active - inactive with stable window, grace period and retention. Pure.
class KNATIVE_EXPORT RevisionScaler {
 public:
  /// Where a revision stands when the scaler is made, e.g. after a restart.
  struct Start {
    int replicas = -1;  ///< -1: new; starts with its initial scale.
    int ready = 0;
    bool initialized = false;
    ActiveState active = ActiveState::activating;
  };
  RevisionScaler(const ScalerSpec& spec, Instant now);
  RevisionScaler(const ScalerSpec& spec, Instant now, const Start& start);

  /// Decide anew, then `step`.
  const ScalePlan& decide(Instant now, const Observation& observation) noexcept;
  /// Apply bounds and the machine again with another count of ready instances or a later time.
  const ScalePlan& step(Instant now, int ready) noexcept;
  const ScalePlan& plan() const noexcept { return plan_; }
  const ScalerSpec& spec() const noexcept { return spec_; }
  void update(const ScalerSpec& spec) noexcept;

 private:
  int bounded(int desired, ScaleRule& rule) const noexcept;
  struct Outcome {
    int want;
    bool apply;
    ScaleRule rule;
  };
  Outcome toward_zero(Instant now, ScaleRule rule) noexcept;
  Outcome toward_zero_inactive(Instant now) noexcept;
  void set_active(Instant now, int want, int ready) noexcept;
  void set_mode(Instant now, int want, int ready) noexcept;
  void mark(Instant now, ActiveState state, ActiveReason reason) noexcept;

  ScalerSpec spec_;
  Decider decider_;
  ScalePlan plan_;
  int desired_ = -1;  ///< Last valid decision.
  double excess_burst_capacity_;
  ScaleRule desired_rule_ = ScaleRule::no_data;
  Instant active_since_;
  std::optional<Instant> proxy_since_;
};

// ---------------------------------------------------------------------------- engine

/// What happened on a revision since the last report.
struct StatReport {
  double average_concurrency = 0;  ///< Integral of requests in progress / time.
  double requests_per_second = 0;
  bool any = false;  ///< A request was in progress or arrived.
};

/// Where the numbers of one revision come from.
class KNATIVE_EXPORT StatSource {
 public:
  virtual ~StatSource() = default;
  /// Report the time since the last call and begin a new period.
  virtual StatReport collect(Instant now) = 0;
};

/// What is scaled.
class KNATIVE_EXPORT ScaleTarget {
 public:
  virtual ~ScaleTarget() = default;
  /// Run `plan.replicas` instances. Called when the number changes.
  virtual void scale_to(const ScalePlan& plan) = 0;
  /// Called when state, reason or mode of the plan changed.
  virtual void plan_changed(const ScalePlan& plan) = 0;
  /// Instances that can take requests now.
  virtual int ready() const = 0;
};

struct AutoscalerOptions {
  Duration tick_interval = std::chrono::seconds(2);  ///< Between decisions.
  Duration stat_interval = std::chrono::seconds(1);  ///< Between reports.
  Metrics* metrics = nullptr;  ///< Gauges per revision when given; must outlive the engine.
};

/// Ticks one `RevisionScaler` per revision. Revisions at rest at zero cost nothing until poked.
class KNATIVE_EXPORT Autoscaler {
 public:
  Autoscaler(Timers& timers, Logger& logger, AutoscalerOptions options = {});
  ~Autoscaler();
  Autoscaler(const Autoscaler&) = delete;
  Autoscaler& operator=(const Autoscaler&) = delete;

  /// Take care of revision `key`; tells the target its first plan at once. Source and target
  /// must stay until `remove(key)`. `labels` stand on its gauges (empty: revision_name, the key).
  /// Fails with `already_exists`.
  Result<void> add(const std::string& key, const ScalerSpec& spec, StatSource& source,
                   ScaleTarget& target, const RevisionScaler::Start& start = {},
                   const MetricLabels& labels = {});
  /// Change bounds, e.g. reachability. `not_found` for an unknown key.
  Result<void> update(const std::string& key, const ScalerSpec& spec);
  void remove(std::string_view key);

  /// Someone waits for an instance: decide now when the revision stands at zero.
  void poke(std::string_view key);
  /// The count of ready instances changed: move the state machine now.
  void ready_changed(std::string_view key);
  /// The current plan; null for an unknown key. Valid until the next call.
  const ScalePlan* plan(std::string_view key) const noexcept;
  std::size_t size() const noexcept;
  /// Revisions that are ticked now.
  std::size_t awake() const noexcept;
  /// Run one pass over all awake revisions as the timer would (for benchmarks).
  void pass(Instant now, bool decide);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace knative
