/// \file
/// Pure cores of the autoscaler: `Window` averages what was measured, `Decider` turns averages
/// into a number of instances. Both take `now` as an argument and touch no clock, so an hour is a
/// loop.
///
/// \code
/// knative::Decider decider({.target_value = 10, .total_value = 10}, now, 1);
/// knative::ScaleDecision d = decider.decide(now, {.stable = 240, .panic = 900, .ready = 3});
/// \endcode
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "knative/env.hpp"

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

}  // namespace knative
