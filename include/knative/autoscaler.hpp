/// \file
/// How many instances a revision needs: Knative's pod autoscaler as pure cores, and the engine
/// that drives them.
///
/// `Window` averages what was measured, `Decider` turns averages into a number, `RevisionScaler`
/// adds bounds and the way to zero. All three take `now` as an argument and touch no clock, so
/// an hour is a loop. `Autoscaler` ticks them; it knows neither router nor workload, only
/// `StatSource` and `ScaleTarget`. Every object belongs to its loop.
///
/// \code
/// knative::Decider decider({.target_value = 10, .total_value = 10}, now, 1);
/// knative::ScaleDecision d = decider.decide(now, {.stable = 240, .panic = 900, .ready = 3});
/// \endcode
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "knative/env.hpp"
#include "knative/error.hpp"
#include "knative/metrics.hpp"

namespace knative {

/// What a revision is scaled on.
enum class ScalingMetric : unsigned char { concurrency = 0, rps = 1 };
/// How the seconds of a window are weighted.
enum class WindowAggregation : unsigned char { linear = 0, weighted_exponential = 1 };

// ---------------------------------------------------------------------------- window

/// A ring of buckets over the last `window` of time. Values recorded in one bucket add up.
///
/// Seconds without a value inside the window count as zero; silence at the end shortens the
/// divisor instead (Knative's TimedFloat64Buckets). Allocates only in the constructor and in
/// `resize`.
class KNATIVE_EXPORT Window {
 public:
  explicit Window(Duration window = std::chrono::seconds(60),
                  WindowAggregation aggregation = WindowAggregation::linear,
                  Duration granularity = std::chrono::seconds(1));

  /// Add `value` to the bucket of `now`. Values older than the window are ignored.
  void record(Instant now, double value) noexcept;
  /// The average as seen at `now`, rounded to six digits; 0 after a whole window of silence.
  double average(Instant now) const noexcept;
  /// True when nothing was recorded for more than a window.
  bool empty(Instant now) const noexcept;
  /// Change the length, keeping the newest buckets.
  void resize(Duration window);
  Duration length() const noexcept { return granularity_ * static_cast<int>(buckets_.size()); }

 private:
  std::int64_t slot_of(Instant now) const noexcept;
  double& bucket(std::int64_t slot) noexcept;
  double bucket(std::int64_t slot) const noexcept;
  double linear(std::int64_t slot) const noexcept;
  double weighted(std::int64_t slot) const noexcept;

  std::vector<double> buckets_;
  Duration granularity_;
  WindowAggregation aggregation_;
  double decay_ = 0;  ///< Weight of the newest bucket when weighted.
  double total_ = 0;
  std::int64_t first_ = 0;  ///< Slot of the first write since the last reset.
  std::int64_t last_ = 0;
  bool written_ = false;
};

/// The largest value recorded within the last `window`, at a granularity of two seconds.
class KNATIVE_EXPORT MaxWindow {
 public:
  explicit MaxWindow(Duration window, Duration granularity = std::chrono::seconds(2));
  void record(Instant now, int value) noexcept;
  /// 0 before the first record.
  int max() const noexcept { return size_ == 0 ? 0 : ring_[head_].value; }

 private:
  struct Entry {
    std::int64_t slot = 0;
    int value = 0;
  };
  std::vector<Entry> ring_;  ///< Values fall from front to back.
  Duration granularity_;
  std::size_t head_ = 0;
  std::size_t size_ = 0;
};

// ---------------------------------------------------------------------------- decider

/// Which rule determined a number of instances.
enum class ScaleRule : unsigned char {
  no_data = 0,        ///< Nothing measured: nothing changes.
  stable_demand = 1,  ///< Stable average divided by the target.
  panic_demand = 2,   ///< Panic average divided by the target.
  panic_hold = 3,     ///< In panic never below the largest number so far.
  max_scale_up_rate = 4,
  max_scale_down_rate = 5,
  activation_scale = 6,
  scale_down_delay = 7,
  min_scale = 8,
  max_scale = 9,
  initial_scale = 10,
  scale_to_zero_disabled = 11,
  activating = 12,     ///< The first instances are not ready yet.
  stable_window = 13,  ///< Active for less than a stable window: the last one stays.
  grace_period = 14,   ///< The activator is not in the path for long enough.
  pod_retention = 15,  ///< The last instance is retained.
  scale_to_zero = 16,
  activation_timeout = 17,  ///< It never became ready: given up.
};
KNATIVE_EXPORT std::string_view to_string(ScaleRule rule) noexcept;

/// What `Decider` needs to know about a revision. Defaults are those of config-autoscaler.
struct DeciderSpec {
  ScalingMetric metric = ScalingMetric::concurrency;
  double target_value = 70;            ///< Aimed at per instance, > 0.
  double total_value = 100;            ///< What one instance can take.
  double target_burst_capacity = 211;  ///< -1: the activator stays in the path always.
  double activator_capacity = 100;
  double max_scale_up_rate = 1000;
  double max_scale_down_rate = 2;
  double panic_threshold = 2;  ///< Panic when wanted / ready reaches it.
  Duration stable_window = std::chrono::seconds(60);
  Duration panic_window = std::chrono::seconds(6);
  Duration scale_down_delay{0};
  int initial_scale = 1;
  int activation_scale = 1;
  /// No route leads to the revision when false: it may fall at any rate.
  bool reachable = true;
  WindowAggregation aggregation = WindowAggregation::linear;
  friend bool operator==(const DeciderSpec&, const DeciderSpec&) = default;
};

/// What was seen: averages over the two windows, and instances that are ready.
struct Observation {
  double stable = 0;
  double panic = 0;
  int ready = 0;
  bool measured = true;  ///< False: the windows are empty, so there is nothing to decide on.
};

/// A number with its reasons.
struct ScaleDecision {
  bool valid = false;  ///< False: no data, keep what is.
  int desired = 0;
  double excess_burst_capacity = 0;  ///< Below 0: the activator belongs into the path.
  bool panicking = false;
  int stable_wanted = 0;  ///< Before rates and delays.
  int panic_wanted = 0;
  Observation observation;
  ScaleRule rule = ScaleRule::no_data;
  /// "7 by panic_demand (stable 3.5, panic 480, ready 2, panic mode)"
  KNATIVE_EXPORT std::string to_string() const;
};

/// The arithmetic of Knative's Scale(). Starts in panic when more than one instance is ready,
/// so that a restart does not scale down blindly. No allocation after construction.
class KNATIVE_EXPORT Decider {
 public:
  Decider(const DeciderSpec& spec, Instant now, int ready);
  ScaleDecision decide(Instant now, const Observation& observation) noexcept;
  /// Change the spec. A delay window is made only by the constructor, as in Knative.
  void update(const DeciderSpec& spec) noexcept { spec_ = spec; }
  const DeciderSpec& spec() const noexcept { return spec_; }
  bool panicking() const noexcept { return panic_since_.has_value(); }
  /// Excess burst capacity before the first decision.
  static double initial_excess_burst_capacity(const DeciderSpec& spec) noexcept;
  /// How many activators should stand before `ready` instances.
  static int activators(const DeciderSpec& spec, int ready) noexcept;

 private:
  DeciderSpec spec_;
  std::optional<Instant> panic_since_;
  int panic_max_ = 0;
  std::optional<MaxWindow> delay_;
};

// ---------------------------------------------------------------------------- configuration

/// ConfigMap config-autoscaler with its defaults, and `progress-deadline` of config-deployment.
struct AutoscalerConfig {
  double container_concurrency_target_percentage = 70;
  double container_concurrency_target_default = 100;
  double requests_per_second_target_default = 200;
  double target_burst_capacity = 211;
  Duration stable_window = std::chrono::seconds(60);
  double panic_window_percentage = 10;
  double panic_threshold_percentage = 200;
  double max_scale_up_rate = 1000;
  double max_scale_down_rate = 2;
  bool enable_scale_to_zero = true;
  Duration scale_to_zero_grace_period = std::chrono::seconds(30);
  Duration scale_to_zero_pod_retention_period{0};
  std::string pod_autoscaler_class = "kpa.autoscaling.knative.dev";
  double activator_capacity = 100;
  int initial_scale = 1;
  bool allow_zero_initial_scale = false;
  int min_scale = 0;
  int max_scale = 0;        ///< 0: unlimited.
  int max_scale_limit = 0;  ///< 0: no limit.
  Duration scale_down_delay{0};
  Duration progress_deadline = std::chrono::seconds(600);

  /// Read the data of the ConfigMap over what `base` says; unknown keys are ignored. Fails with
  /// `invalid_argument` naming the first key that is malformed or out of its range.
  KNATIVE_EXPORT static Result<AutoscalerConfig> parse(
      const std::map<std::string, std::string>& data, const AutoscalerConfig& base);
  static Result<AutoscalerConfig> parse(const std::map<std::string, std::string>& data) {
    return parse(data, AutoscalerConfig());
  }
  friend bool operator==(const AutoscalerConfig&, const AutoscalerConfig&) = default;
};

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
