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

Result<std::string> resolve(const Context& context, const eventing::Destination& destination,
                            std::string_view namespace_) {
  if (!destination.ref) {
    if (!destination.uri.empty()) return destination.uri;
    return fail(Errc::invalid_argument, "destination without ref and uri");
  }
  const eventing::KReference& reference = *destination.ref;
  ObjectRef ref{reference.api_version, reference.kind,
                reference.namespace_.empty() ? std::string(namespace_) : reference.namespace_,
                reference.name};
  Result<AnyObject> object = context.store.get(ref);
  if (!object) return object.error();
  std::string url;
  if (ref.api_version == "v1" && ref.kind == "Service") {
    url = Context::internal_url(ref.name, ref.namespace_);
  } else {
    const Value value = object->to_value();
    const Value* address = value.at_path("status.address.url");
    if (address != nullptr && address->is_string()) url = address->as_string();
  }
  if (url.empty()) return fail(Errc::failed_precondition, "address not set for " + ref.to_string());
  if (destination.uri.empty()) return url;
  // A relative URI next to a reference: absolute paths replace, others are appended (RFC 3986).
  Result<http::Url> base = http::Url::parse(url);
  if (!base) return base.error();
  if (destination.uri.starts_with("/")) {
    base->target = destination.uri;
  } else {
    base->target = base->target.substr(0, base->target.rfind('/') + 1) + destination.uri;
  }
  return base->to_string();
}

void add_interest(std::set<ObjectRef>& interests, const eventing::Destination& destination,
                  std::string_view namespace_) {
  if (!destination.ref) return;
  const eventing::KReference& ref = *destination.ref;
  interests.insert({ref.api_version, ref.kind,
                    ref.namespace_.empty() ? std::string(namespace_) : ref.namespace_, ref.name});
}

std::string filter_text(const eventing::Trigger& trigger) {
  // The codec writes equal filters equally; only the filters of the spec are kept.
  eventing::Trigger only;
  only.spec.filter = trigger.spec.filter;
  only.spec.filters = trigger.spec.filters;
  return AnyObject(only).to_value().to_json();
}

Task<Result<void>> Bindings::drop_all_but(EventingPlane& plane, std::string key,
                                          std::string cursor) {
  const auto found = bound_.find(key);
  if (found == bound_.end() || found->second.cursor == cursor) co_return Result<void>();
  const Bound old = found->second;
  const Result<void> unbound = co_await plane.unbind(old.id, old.cursor);
  if (unbound) bound_.erase(key);
  co_return unbound;
}

}  // namespace knative::control
