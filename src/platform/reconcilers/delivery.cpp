#include "platform/reconcilers/eventing.hpp"

namespace knative::control {

Result<DeliveryOptions> delivery_options(const std::optional<eventing::DeliverySpec>& spec) {
  DeliveryOptions options;
  if (!spec) return options;
  if (spec->retry) options.retry = *spec->retry;
  if (spec->backoff_policy == "linear") options.policy = BackoffPolicy::linear;
  const auto read = [](const std::string& text, auto& into,
                       std::string_view field) -> Result<void> {
    if (text.empty()) return {};
    Result<Duration> duration = parse_iso8601_duration(text);
    if (!duration) return duration.error().within(field);
    into = *duration;
    return {};
  };
  if (Result<void> r = read(spec->backoff_delay, options.delay, "backoffDelay"); !r) {
    return r.error();
  }
  if (Result<void> r = read(spec->timeout, options.timeout, "timeout"); !r) return r.error();
  if (Result<void> r = read(spec->retry_after_max, options.retry_after_max, "retryAfterMax"); !r) {
    return r.error();
  }
  return options;
}

std::string filter_text(const eventing::Trigger& trigger) {
  // The codec writes equal filters equally; only the filters of the spec are kept.
  eventing::Trigger only;
  only.spec.filter = trigger.spec.filter;
  only.spec.filters = trigger.spec.filters;
  return AnyObject(only).to_value().to_json();
}

Task<Result<void>> Bindings::drop_all_but(EventPlane& plane, std::string key, std::string cursor) {
  const auto found = bound_.find(key);
  if (found == bound_.end() || found->second.cursor == cursor) co_return Result<void>();
  const Bound old = found->second;
  const Result<void> unbound = co_await plane.unbind(old.id, old.cursor);
  if (unbound) bound_.erase(key);
  co_return unbound;
}

}  // namespace knative::control
