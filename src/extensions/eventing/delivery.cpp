#include <algorithm>
#include <vector>

#include "extensions/eventing/reconcilers.hpp"

namespace knative::control {

namespace {

// "/a/b/../c" is "/a/c" (RFC 3986, 5.2.4). `path` begins with "/".
std::string without_dots(std::string_view path) {
  std::vector<std::string_view> segments;
  while (!path.empty()) {
    path.remove_prefix(1);
    const std::size_t end = std::min(path.find('/'), path.size());
    const std::string_view segment = path.substr(0, end);
    path.remove_prefix(end);
    const bool up = segment == "..";
    if (up && !segments.empty()) segments.pop_back();
    if (!up && segment != ".") {
      segments.push_back(segment);
    } else if (path.empty()) {
      segments.emplace_back();
    }
  }
  std::string clean;
  for (const std::string_view segment : segments) clean.append("/").append(segment);
  return clean;
}

// A relative reference as seen from `base`, a path (RFC 3986, 5.2.2).
std::string join(std::string_view base, std::string_view relative) {
  const std::size_t mark = std::min(relative.find('?'), relative.size());
  std::string path(relative.substr(0, mark));
  if (path.empty()) {
    path = base;
  } else if (!path.starts_with('/')) {
    path.insert(0, base.substr(0, base.rfind('/') + 1));
  }
  return without_dots(path).append(relative.substr(mark));
}

// What is longer, by its text or by doubling, is as good as this, and clocks can still count it.
constexpr Duration forever = std::chrono::hours(24 * 365 * 100);

// The URL in an object's status: its first, or the one whose name the reference wants.
std::string address_of(const Value& object, const std::string& wanted) {
  std::vector<const Value*> addresses;
  if (const Value* all = object.at_path("status.addresses"); all != nullptr && all->is_list()) {
    for (const Value& address : all->as_list()) addresses.push_back(&address);
  }
  if (const Value* address = object.at_path("status.address")) addresses.push_back(address);
  for (const Value* address : addresses) {
    const Value* name = address->find("name");
    const Value* url = address->find("url");
    const bool fits = wanted.empty() || (name != nullptr && *name == Value(wanted));
    if (fits && url != nullptr && url->is_string()) return url->as_string();
  }
  return {};
}

}  // namespace

ContentMode delivery_mode(const std::optional<eventing::DeliverySpec>& spec) {
  return spec && spec->format == "json" ? ContentMode::structured : ContentMode::binary;
}

Result<DeliveryOptions> delivery_options(const std::optional<eventing::DeliverySpec>& spec) {
  DeliveryOptions options;
  if (!spec) return options;
  options.delay_max = forever;  // as long as it says
  options.retry = spec->retry.value_or(0);
  if (spec->backoff_policy == "linear") options.policy = BackoffPolicy::linear;
  const auto read = [](const std::string& text, auto& into,
                       std::string_view field) -> Result<void> {
    if (text.empty()) return {};
    Result<Duration> duration = parse_iso8601_duration(text);
    if (!duration) return duration.error().within(field);
    into = std::min(*duration, forever);
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

Result<std::string> resolve(const Client& client, const eventing::Destination& destination,
                            std::string_view namespace_) {
  if (!destination.ref) {
    if (!destination.uri.empty()) return destination.uri;
    return fail(Errc::invalid_argument, "destination without ref and uri");
  }
  const eventing::KReference& reference = *destination.ref;
  ObjectRef ref{reference.api_version, reference.kind,
                reference.namespace_.empty() ? std::string(namespace_) : reference.namespace_,
                reference.name};
  Result<AnyObject> object = client.get(ref);
  if (!object) return object.error();
  std::string url;
  if (ref.api_version == "v1" && ref.kind == "Service") {
    url = Addresses::internal_url(ref.name, ref.namespace_);
  } else {
    url = address_of(object->to_value(), reference.address);
  }
  if (url.empty()) return fail(Errc::failed_precondition, "address not set for " + ref.to_string());
  if (destination.uri.empty()) return url;
  Result<http::Url> base = http::Url::parse(url);
  if (!base) return base.error();
  base->target = join(base->target.substr(0, base->target.find('?')), destination.uri);
  return base->to_string();
}

void add_interest(Interests& interests, const eventing::Destination& destination,
                  std::string_view namespace_) {
  if (!destination.ref) return;
  const eventing::KReference& ref = *destination.ref;
  interests.insert({ref.api_version, ref.kind,
                    ref.namespace_.empty() ? std::string(namespace_) : ref.namespace_, ref.name});
}

// ---------------------------------------------------------------------------- what was resolved

namespace {

constexpr std::string_view resolved_annotation = "eventing.knative.dev/resolved";
constexpr std::string_view terms_member = "generation";

}  // namespace

ResolvedBefore::ResolvedBefore(const StringMap& annotations, std::string terms) {
  const auto annotation = annotations.find(resolved_annotation);
  if (annotation == annotations.end()) return;
  const Result<Value> stored = Value::parse_json(annotation->second);
  if (!stored || !stored->is_map()) return;
  const Value* of_terms = stored->find(terms_member);
  if (of_terms == nullptr || *of_terms != Value(std::move(terms))) return;
  for (const auto& [role, url] : stored->as_map()) {
    if (url.is_string()) urls_[std::string(role)] = url.as_string();
  }
}

std::optional<std::string> ResolvedBefore::of(const std::string& role) const {
  const auto found = urls_.find(role);
  if (found == urls_.end()) return std::nullopt;
  return found->second;
}

void ResolvedBefore::store(StringMap& annotations, const std::string& terms,
                           const std::map<std::string, std::string>& urls) {
  Value stored;
  stored[terms_member] = terms;
  for (const auto& [role, url] : urls) {
    if (http::shown_url(url) == url) stored[role] = url;  // everybody reads a status
  }
  annotations[std::string(resolved_annotation)] = stored.to_json();
}

// ---------------------------------------------------------------------------- filters

std::string filter_text(const eventing::Trigger& trigger) {
  // The codec writes equal filters equally; only the filters of the spec are kept.
  eventing::Trigger only;
  only.spec.filter = trigger.spec.filter;
  only.spec.filters = trigger.spec.filters;
  return AnyObject(only).to_value().to_json();
}

}  // namespace knative::control
