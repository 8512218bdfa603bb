#include <algorithm>

#include "knative/autoscaler.hpp"

namespace knative {
namespace {

/// How soon to look again when the activator is in the path already.
constexpr Duration proxy_requeue = std::chrono::seconds(3);

}  // namespace

std::string_view to_string(ActiveState state) noexcept {
  switch (state) {
    case ActiveState::activating: return "Unknown";
    case ActiveState::active: return "True";
    case ActiveState::inactive: return "False";
  }
  return "Unknown";
}

std::string_view to_string(ActiveReason reason) noexcept {
  switch (reason) {
    case ActiveReason::none: return "";
    case ActiveReason::queued: return "Queued";
    case ActiveReason::no_traffic: return "NoTraffic";
    case ActiveReason::timed_out: return "TimedOut";
  }
  return "";
}

RevisionScaler::RevisionScaler(const ScalerSpec& spec, Instant now)
    : RevisionScaler(spec, now, Start{}) {}

RevisionScaler::RevisionScaler(const ScalerSpec& spec, Instant now, const Start& start)
    : spec_(spec),
      decider_(spec.decider, now, start.ready),
      excess_burst_capacity_(Decider::initial_excess_burst_capacity(spec.decider)),
      active_since_(now) {
  plan_.replicas = start.replicas >= 0 ? start.replicas : spec.decider.initial_scale;
  plan_.initialized = start.initialized;
  plan_.active = start.active;
  plan_.rule = ScaleRule::initial_scale;
  plan_.activators = Decider::activators(spec.decider, start.ready);
  step(now, start.ready);
}

void RevisionScaler::update(const ScalerSpec& spec) noexcept {
  spec_ = spec;
  decider_.update(spec.decider);
}

const ScalePlan& RevisionScaler::decide(Instant now, const Observation& observation) noexcept {
  const ScaleDecision decision = decider_.decide(now, observation);
  if (decision.valid) {
    plan_.decision = decision;
    desired_ = decision.desired;
    desired_rule_ = decision.rule;
    excess_burst_capacity_ = decision.excess_burst_capacity;
  }
  return step(now, observation.ready);
}

const ScalePlan& RevisionScaler::step(Instant now, int ready) noexcept {
  plan_.again_at.reset();
  plan_.changed = false;
  int want = desired_;
  if (want >= 0 || plan_.active == ActiveState::activating) {
    ScaleRule rule = desired_rule_;
    want = bounded(want, rule);
    Outcome outcome{want, true, rule};
    if (want == 0) outcome = toward_zero(now, rule);
    want = outcome.want;
    if (outcome.apply) {
      plan_.changed = want != plan_.replicas;
      plan_.replicas = want;
    }
    if (outcome.apply || outcome.rule != ScaleRule::activating) plan_.rule = outcome.rule;
  }
  if (want >= 0) plan_.desired = want;
  set_mode(now, want, ready);
  set_active(now, want, ready);
  return plan_;
}

int RevisionScaler::bounded(int desired, ScaleRule& rule) const noexcept {
  const bool reachable = spec_.decider.reachable;
  int lowest = reachable ? spec_.min_scale : 0;
  ScaleRule lowest_rule = ScaleRule::min_scale;
  const int initial = spec_.decider.initial_scale;
  if (!plan_.initialized && reachable && initial > 1 && initial > lowest) {
    lowest = initial;
    lowest_rule = ScaleRule::initial_scale;
  }
  if (desired < lowest) {
    if (lowest > 0) rule = lowest_rule;
    return lowest;
  }
  if (spec_.max_scale > 0 && desired > spec_.max_scale) {
    rule = ScaleRule::max_scale;
    return spec_.max_scale;
  }
  return desired;
}

RevisionScaler::Outcome RevisionScaler::toward_zero(Instant now, ScaleRule rule) noexcept {
  if (!spec_.enable_scale_to_zero) return {1, true, ScaleRule::scale_to_zero_disabled};
  switch (plan_.active) {
    case ActiveState::activating: {
      const Instant deadline = active_since_ + spec_.activation_timeout;
      if (now >= deadline) return {0, true, ScaleRule::activation_timeout};
      plan_.again_at = deadline;
      return {-1, false, ScaleRule::activating};
    }
    case ActiveState::active: {
      const Instant idle_at = active_since_ + spec_.decider.stable_window;
      if (now >= idle_at) {
        if (proxy_since_) plan_.again_at = now + proxy_requeue;
        return {0, false, ScaleRule::grace_period};
      }
      plan_.again_at = idle_at;
      return {1, true, ScaleRule::stable_window};
    }
    case ActiveState::inactive: return toward_zero_inactive(now);
  }
  return {0, true, rule};
}

RevisionScaler::Outcome RevisionScaler::toward_zero_inactive(Instant now) noexcept {
  // The activator shares the process with the router, so it needs no probe to be in the path.
  const Duration retention = spec_.decider.reachable ? spec_.pod_retention : Duration{0};
  const Duration inactive_for = now - active_since_;
  if (inactive_for >= std::max(spec_.grace_period, retention)) {
    return {0, true, ScaleRule::scale_to_zero};
  }
  if (retention.count() > 0 && inactive_for < retention) {
    plan_.again_at = active_since_ + retention;
    return {0, false, ScaleRule::pod_retention};
  }
  if (proxy_since_ && now - *proxy_since_ >= spec_.grace_period) {
    return {0, true, ScaleRule::scale_to_zero};
  }
  plan_.again_at = proxy_since_.value_or(now) + spec_.grace_period;
  return {0, false, ScaleRule::grace_period};
}

void RevisionScaler::set_mode(Instant now, int want, int ready) noexcept {
  const bool unknown_but_idle = want < 0 && plan_.active == ActiveState::inactive;
  plan_.activator_in_path =
      want == 0 || excess_burst_capacity_ < 0 || unknown_but_idle || ready == 0;
  plan_.activators = Decider::activators(spec_.decider, ready);
  if (!plan_.activator_in_path) {
    proxy_since_.reset();
  } else if (!proxy_since_) {
    proxy_since_ = now;
  }
}

void RevisionScaler::set_active(Instant now, int want, int ready) noexcept {
  const int lowest = spec_.decider.reachable ? spec_.min_scale : 0;
  const int threshold = std::max(lowest, plan_.initialized ? 1 : spec_.decider.initial_scale);
  if (ready >= threshold) plan_.initialized = true;
  if (want == 0 || threshold == 0) {
    const bool given_up = plan_.active == ActiveState::activating && threshold > 0;
    mark(now, ActiveState::inactive, given_up ? ActiveReason::timed_out : ActiveReason::no_traffic);
  } else if (want <= 0 && plan_.active == ActiveState::inactive) {
    mark(now, ActiveState::inactive, ActiveReason::no_traffic);
  } else if (ready < threshold) {
    mark(now, ActiveState::activating, ActiveReason::queued);
  } else {
    mark(now, ActiveState::active, ActiveReason::none);
  }
}

void RevisionScaler::mark(Instant now, ActiveState state, ActiveReason reason) noexcept {
  if (plan_.active != state) active_since_ = now;
  // A revision that was given up stays so until it is wanted again.
  const bool keep = state == ActiveState::inactive && plan_.active == state &&
                    plan_.reason == ActiveReason::timed_out;
  plan_.active = state;
  if (!keep) plan_.reason = reason;
}

}  // namespace knative
