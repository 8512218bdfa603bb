#include <algorithm>
#include <cmath>
#include <limits>

#include "knative/autoscaler.hpp"

namespace knative {
namespace {

int to_count(double value) noexcept {
  constexpr double largest = std::numeric_limits<int>::max();
  if (!(value > 0)) return 0;
  return static_cast<int>(std::min(value, largest));
}

struct Bounded {
  int count;
  ScaleRule rule;
};

Bounded clamp_rate(double wanted, double lowest, double highest, ScaleRule rule) noexcept {
  if (wanted < lowest) {
    return {to_count(std::min(lowest, highest)), ScaleRule::max_scale_down_rate};
  }
  if (wanted > highest) return {to_count(highest), ScaleRule::max_scale_up_rate};
  return {to_count(wanted), rule};
}

std::string shortened(double value) {
  std::string text = std::to_string(value);
  while (!text.empty() && text.back() == '0') text.pop_back();
  if (!text.empty() && text.back() == '.') text.pop_back();
  return text;
}

}  // namespace

std::string_view to_string(ScaleRule rule) noexcept {
  switch (rule) {
    case ScaleRule::no_data: return "no_data";
    case ScaleRule::stable_demand: return "stable_demand";
    case ScaleRule::panic_demand: return "panic_demand";
    case ScaleRule::panic_hold: return "panic_hold";
    case ScaleRule::max_scale_up_rate: return "max_scale_up_rate";
    case ScaleRule::max_scale_down_rate: return "max_scale_down_rate";
    case ScaleRule::activation_scale: return "activation_scale";
    case ScaleRule::scale_down_delay: return "scale_down_delay";
    case ScaleRule::min_scale: return "min_scale";
    case ScaleRule::max_scale: return "max_scale";
    case ScaleRule::initial_scale: return "initial_scale";
    case ScaleRule::scale_to_zero_disabled: return "scale_to_zero_disabled";
    case ScaleRule::activating: return "activating";
    case ScaleRule::stable_window: return "stable_window";
    case ScaleRule::grace_period: return "grace_period";
    case ScaleRule::pod_retention: return "pod_retention";
    case ScaleRule::scale_to_zero: return "scale_to_zero";
    case ScaleRule::activation_timeout: return "activation_timeout";
  }
  return "unknown";
}

std::string ScaleDecision::to_string() const {
  std::string text = valid ? std::to_string(desired) : std::string("unchanged");
  text.append(" by ").append(knative::to_string(rule));
  text.append(" (stable ").append(shortened(observation.stable));
  text.append(", panic ").append(shortened(observation.panic));
  text.append(", ready ").append(std::to_string(observation.ready));
  if (panicking) text.append(", panic mode");
  return text.append(")");
}

Decider::Decider(const DeciderSpec& spec, Instant now, int ready) : spec_(spec) {
  if (ready > 1) {
    panic_since_ = now;
    panic_max_ = ready;
  }
  if (spec.scale_down_delay.count() > 0) delay_.emplace(spec.scale_down_delay);
}

ScaleDecision Decider::decide(Instant now, const Observation& seen) noexcept {
  ScaleDecision decision;
  decision.observation = seen;
  decision.panicking = panicking();
  if (!seen.measured || !std::isfinite(seen.stable) || !std::isfinite(seen.panic)) {
    return decision;
  }
  const double ready = std::max(1, seen.ready);
  const double highest = std::ceil(spec_.max_scale_up_rate * ready);
  const double lowest = spec_.reachable ? std::floor(ready / spec_.max_scale_down_rate) : 0;
  const double stable_wanted = std::ceil(seen.stable / spec_.target_value);
  const double panic_wanted = std::ceil(seen.panic / spec_.target_value);
  Bounded stable = clamp_rate(stable_wanted, lowest, highest, ScaleRule::stable_demand);
  Bounded panic = clamp_rate(panic_wanted, lowest, highest, ScaleRule::panic_demand);
  if (spec_.activation_scale > 1) {
    const Bounded activation{spec_.activation_scale, ScaleRule::activation_scale};
    if (stable_wanted > 0 && stable.count < activation.count) stable = activation;
    if (panic_wanted > 0 && panic.count < activation.count) panic = activation;
  }

  if (panic_wanted / ready >= spec_.panic_threshold) {
    panic_since_ = now;
  } else if (panic_since_ && *panic_since_ + spec_.stable_window < now) {
    panic_since_.reset();
    panic_max_ = 0;
  }

  Bounded result = stable;
  if (panic_since_) {
    if (panic.count > result.count) result = panic;
    if (panic_max_ > result.count) result = {panic_max_, ScaleRule::panic_hold};
    panic_max_ = result.count;
  }
  if (spec_.reachable && delay_) {
    delay_->record(now, result.count);
    if (delay_->max() > result.count) result = {delay_->max(), ScaleRule::scale_down_delay};
  }

  decision.valid = true;
  decision.desired = result.count;
  decision.rule = result.rule;
  decision.panicking = panicking();
  decision.stable_wanted = to_count(stable_wanted);
  decision.panic_wanted = to_count(panic_wanted);
  if (spec_.target_burst_capacity < 0) {
    decision.excess_burst_capacity = -1;
  } else if (spec_.target_burst_capacity > 0) {
    decision.excess_burst_capacity =
        std::floor(seen.ready * spec_.total_value - spec_.target_burst_capacity - seen.panic);
  }
  return decision;
}

double Decider::initial_excess_burst_capacity(const DeciderSpec& spec) noexcept {
  if (spec.target_burst_capacity < 0) return -1;
  if (spec.target_burst_capacity == 0) return 0;
  return std::trunc(spec.initial_scale * spec.total_value - spec.target_burst_capacity);
}

int Decider::activators(const DeciderSpec& spec, int ready) noexcept {
  if (spec.target_burst_capacity == 0) return 2;
  const double demand = ready * spec.total_value + std::max(spec.target_burst_capacity, 0.0);
  return std::max(2, to_count(std::ceil(demand / spec.activator_capacity)));
}

}  // namespace knative
