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

namespace {

using Make = Result<Filter> (*)(std::string_view, std::string_view);

Result<Filter> each(const StringMap& wanted, Make make) {
  std::vector<Filter> parts;
  for (const auto& [attribute, value] : wanted) {
    Result<Filter> part = make(attribute, value);
    if (!part) return part;
    parts.push_back(std::move(*part));
  }
  return parts.size() == 1 ? Result<Filter>(std::move(parts.front())) : Filter::all(parts);
}

Result<Filter> convert(const eventing::SubscriptionsAPIFilter& filter);

Result<std::vector<Filter>> convert_all(
    const std::vector<eventing::SubscriptionsAPIFilter>& filters) {
  std::vector<Filter> parts;
  for (const eventing::SubscriptionsAPIFilter& filter : filters) {
    Result<Filter> part = convert(filter);
    if (!part) return part.error();
    parts.push_back(std::move(*part));
  }
  return parts;
}

Result<Filter> convert(const eventing::SubscriptionsAPIFilter& filter) {
  if (!filter.exact.empty()) return each(filter.exact, &Filter::exact);
  if (!filter.prefix.empty()) return each(filter.prefix, &Filter::prefix);
  if (!filter.suffix.empty()) return each(filter.suffix, &Filter::suffix);
  if (!filter.cesql.empty()) return Filter::cesql(filter.cesql);
  if (filter.not_) {
    Result<Filter> inner = convert(*filter.not_);
    if (!inner) return inner;
    return Filter::not_(std::move(*inner));
  }
  const bool any = !filter.any.empty();
  Result<std::vector<Filter>> parts = convert_all(any ? filter.any : filter.all);
  if (!parts) return parts.error();
  if (parts->empty()) return fail(Errc::invalid_argument, "a filter that says nothing");
  return any ? Filter::any(std::move(*parts)) : Filter::all(std::move(*parts));
}

}  // namespace

Result<Filter> filter_of(const eventing::TriggerSpec& spec) {
  if (!spec.filters.empty()) {
    Result<std::vector<Filter>> parts = convert_all(spec.filters);
    if (!parts) return parts.error();
    if (parts->size() == 1) return std::move(parts->front());
    return Filter::all(std::move(*parts));
  }
  if (!spec.filter) return Filter();
  return Filter::attributes({spec.filter->attributes.begin(), spec.filter->attributes.end()});
}

std::string filter_text(const eventing::Trigger& trigger) {
  // The codec writes equal filters equally; only the filters of the spec are kept.
  eventing::Trigger only;
  only.spec.filter = trigger.spec.filter;
  only.spec.filters = trigger.spec.filters;
  return AnyObject(only).to_value().to_json();
}

}  // namespace knative::control
