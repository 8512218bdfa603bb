// Admission rules of the Eventing and Messaging kinds, with the texts that Knative's webhook
// prints. A filter that cannot be understood is refused here and never falls open.
#include <algorithm>
#include <cctype>

#include "knative/eventing.hpp"
#include "knative/http_url.hpp"
#include "model/eventing_codec.hpp"
#include "model/value_diff.hpp"

namespace knative::eventing {
namespace {

constexpr std::string_view served_broker_class = "MTChannelBasedBroker";

// ---------------------------------------------------------------------------- references

bool is_absolute(std::string_view uri) {
  const std::size_t colon = uri.find(':');
  if (colon == std::string_view::npos || colon == 0 ||
      std::isalpha(static_cast<unsigned char>(uri.front())) == 0) {
    return false;
  }
  return std::all_of(uri.begin(), uri.begin() + static_cast<std::ptrdiff_t>(colon), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '+' || c == '-' || c == '.';
  });
}

bool has_bad_character(std::string_view uri) {
  return std::any_of(uri.begin(), uri.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte <= 0x20 || byte == 0x7f || c == '"' || c == '<' || c == '>' || c == '\\' ||
           c == '^' || c == '`' || c == '{' || c == '|' || c == '}';
  });
}

FieldErrors validate_reference(const KReference& reference) {
  FieldErrors errors;
  if (reference.name.empty()) errors.add(missing_field({"name"}));
  if (reference.api_version.empty()) errors.add(missing_field({"apiVersion"}));
  if (reference.kind.empty()) errors.add(missing_field({"kind"}));
  return errors;
}

// An empty namespace is the referrer's own; crossing namespaces is behind a feature that is off.
FieldErrors validate_own_namespace(const KReference& reference, const ObjectMeta& parent) {
  FieldErrors errors;
  if (!reference.namespace_.empty() && !parent.namespace_.empty() &&
      reference.namespace_ != parent.namespace_) {
    errors.add(field_error("mismatched namespaces", {"namespace"},
                           "parent namespace: \"" + parent.namespace_ +
                               "\" does not match ref: \"" + reference.namespace_ + '"'));
  }
  return errors;
}

FieldErrors validate_destination(const Destination& destination) {
  FieldErrors errors;
  const bool absolute = is_absolute(destination.uri);
  if (!destination.ref && destination.uri.empty()) {
    errors.add(field_error("expected at least one, got none", {"ref", "uri"}));
  } else if (destination.ref && absolute) {
    errors.add(
        field_error("Absolute URI is not allowed when Ref or [apiVersion, kind, name] is present",
                    {"[apiVersion, kind, name]", "ref", "uri"}));
  } else if (!destination.ref && !absolute) {
    errors.add(
        invalid_value("Relative URI is not allowed when Ref and [apiVersion, kind, name] "
                      "is absent",
                      "uri"));
  }
  if (absolute && http::shown_url(destination.uri).find("://[redacted]@") != std::string::npos) {
    errors.add(field_error("must not contain a user name or a password", {"uri"}));
  } else if (has_bad_character(destination.uri)) {
    errors.add(invalid_value(destination.uri, "uri"));
  }
  if (destination.ref) errors.add(validate_reference(*destination.ref).via_field("ref"));
  return errors;
}

FieldErrors validate_delivery(const std::optional<DeliverySpec>& delivery) {
  FieldErrors errors;
  if (!delivery) return errors;
  if (delivery->dead_letter_sink) {
    errors.add(validate_destination(*delivery->dead_letter_sink).via_field("deadLetterSink"));
  }
  if (delivery->retry.value_or(0) < 0) errors.add(invalid_value(*delivery->retry, "retry"));
  const std::string& policy = delivery->backoff_policy;
  if (!policy.empty() && policy != "linear" && policy != "exponential") {
    errors.add(invalid_value(policy, "backoffPolicy"));
  }
  const auto check = [&](const std::string& text, std::string_view field, Duration low) {
    if (text.empty()) return;
    const Result<Duration> duration = parse_iso8601_duration(text);
    if (!duration || *duration < low) errors.add(invalid_value(text, field));
  };
  check(delivery->timeout, "timeout", Duration(1));
  check(delivery->backoff_delay, "backoffDelay", Duration::zero());
  check(delivery->retry_after_max, "retryAfterMax", Duration::zero());
  const std::string& format = delivery->format;
  if (!format.empty() && format != "json" && format != "binary") {
    errors.add(invalid_value(format, "format"));
  }
  return std::move(errors).via_field("delivery");
}

// ---------------------------------------------------------------------------- filters

bool is_attribute_name(std::string_view name) {
  const auto lower = [](char c) { return c >= 'a' && c <= 'z'; };
  return !name.empty() && lower(name.front()) && std::all_of(name.begin(), name.end(), [&](char c) {
    return lower(c) || (c >= '0' && c <= '9');
  });
}

FieldErrors validate_attributes(const StringMap& attributes, bool values_required) {
  FieldErrors errors;
  for (const auto& [name, value] : attributes) {
    if (!is_attribute_name(name)) {
      errors.add(invalid_key_name(name, "",
                                  "Attribute name must start with a letter and can only contain "
                                  "lowercase alphanumeric"));
    }
    if (values_required && value.empty()) errors.add(invalid_value(value, "").via_key(name));
  }
  return errors;
}

// Deeper trees are nobody's filter, and would recurse far.
constexpr int filter_depth_max = 32;

FieldErrors validate_filter(const SubscriptionsAPIFilter& filter, int depth);

FieldErrors validate_filters(const std::vector<SubscriptionsAPIFilter>& filters, int depth) {
  FieldErrors errors;
  for (std::size_t i = 0; i < filters.size(); ++i) {
    errors.add(validate_filter(filters[i], depth).via_index(i));
  }
  return errors;
}

FieldErrors validate_filter(const SubscriptionsAPIFilter& filter, int depth) {
  if (depth > filter_depth_max) return field_error("filters are nested too deeply", {""});
  const int dialects = (filter.exact.empty() ? 0 : 1) + (filter.prefix.empty() ? 0 : 1) +
                       (filter.suffix.empty() ? 0 : 1) + (filter.all.empty() ? 0 : 1) +
                       (filter.any.empty() ? 0 : 1) + (filter.not_ ? 1 : 0) +
                       (filter.cesql.empty() ? 0 : 1);
  if (dialects == 0) {
    return missing_one_of({"all", "any", "cesql", "exact", "not", "prefix", "suffix"});
  }
  FieldErrors errors;
  if (dialects > 1) {
    errors.add(field_error("multiple dialects found, filters can have only one dialect set", {""}));
  }
  errors.add(validate_attributes(filter.exact, true).via_field("exact"));
  errors.add(validate_attributes(filter.prefix, true).via_field("prefix"));
  errors.add(validate_attributes(filter.suffix, true).via_field("suffix"));
  errors.add(validate_filters(filter.all, depth + 1).via_field("all"));
  errors.add(validate_filters(filter.any, depth + 1).via_field("any"));
  if (filter.not_) errors.add(validate_filter(*filter.not_, depth + 1).via_field("not"));
  if (!filter.cesql.empty()) {
    if (const Result<Filter> parsed = Filter::cesql(filter.cesql); !parsed) {
      errors.add(invalid_value(filter.cesql, "cesql", parsed.error().detail));
    }
  }
  return errors;
}

// ---------------------------------------------------------------------------- annotations

FieldErrors validate_dependency(const std::string& text, const ObjectMeta& metadata) {
  constexpr std::string_view key = keys::dependency;
  const Result<Value> parsed = Value::parse_json(text);
  if (!parsed || !parsed->is_map()) {
    return field_error("The provided annotation was not a corev1.ObjectReference: \"" + text + '"',
                       {key}, parsed ? "expected a map" : parsed.error().detail);
  }
  FieldErrors errors;
  const auto member = [&](std::string_view field) -> std::string_view {
    const Value* value = parsed->find(field);
    return value && value->is_string() ? std::string_view(value->as_string()) : std::string_view();
  };
  const std::string_view namespace_ = member("namespace");
  if (!namespace_.empty() && namespace_ != metadata.namespace_) {
    errors.add(field_error(
        "Namespace must be empty or equal to the trigger namespace \"" + metadata.namespace_ + '"',
        {std::string(key) + ".namespace"}));
  }
  for (const std::string_view field : {"kind", "name", "apiVersion"}) {
    if (member(field).empty())
      errors.add(missing_field({std::string(key) + '.' + std::string(field)}));
  }
  return errors;
}

FieldErrors validate_trigger_annotations(const Trigger& object) {
  FieldErrors errors;
  const StringMap& annotations = object.metadata.annotations;
  if (const auto found = annotations.find(keys::injection); found != annotations.end()) {
    if (found->second != "enabled" && found->second != "disabled") {
      errors.add(
          field_error("The provided injection annotation value can only be \"enabled\" or "
                      "\"disabled\", not \"" +
                          found->second + '"',
                      {keys::injection}));
    }
    if (object.spec.broker != "default") {
      errors.add(
          field_error("The provided injection annotation is only used for default broker, "
                      "but non-default broker specified here: \"" +
                          object.spec.broker + '"',
                      {keys::injection}));
    }
  }
  if (const auto found = annotations.find(keys::dependency); found != annotations.end()) {
    errors.add(validate_dependency(found->second, object.metadata));
  }
  return std::move(errors).via_field("metadata.annotations");
}

template <class T>
FieldErrors immutable(const T& object, const T& old, std::string_view path, std::string_view root) {
  if (object == old) return {};
  return field_error("Immutable fields changed (-old +new)", {path},
                     value_diff(fields::to_value(old), fields::to_value(object), root));
}

Result<std::vector<Filter>> make_filters(const std::vector<SubscriptionsAPIFilter>& expressions) {
  std::vector<Filter> filters;
  for (std::size_t i = 0; i < expressions.size(); ++i) {
    Result<Filter> filter = make_filter(expressions[i]);
    if (!filter) return filter.error().within('[' + std::to_string(i) + ']');
    filters.push_back(std::move(*filter));
  }
  return filters;
}

Result<Filter> all_of(std::vector<Filter> filters) {
  if (filters.empty()) return Filter();
  if (filters.size() == 1) return std::move(filters.front());
  return Filter::all(std::move(filters));
}

// Every attribute through `make`, all of which must match.
Result<Filter> attribute_filters(const StringMap& attributes,
                                 Result<Filter> (*make)(std::string_view, std::string_view)) {
  std::vector<Filter> filters;
  for (const auto& [name, value] : attributes) {
    Result<Filter> filter = make(name, value);
    if (!filter) return filter.error();
    filters.push_back(std::move(*filter));
  }
  return all_of(std::move(filters));
}

}  // namespace

// ---------------------------------------------------------------------------- kinds

FieldErrors validate(const Broker& object) {
  FieldErrors errors;
  const auto found = object.metadata.annotations.find(keys::broker_class);
  if (found == object.metadata.annotations.end() || found->second.empty()) {
    errors.add(missing_field({keys::broker_class}));
  } else if (found->second != served_broker_class) {
    errors.add(
        field_error("has no effect",
                    {std::string("metadata.annotations[") + std::string(keys::broker_class) + ']'},
                    "only Brokers of class " + std::string(served_broker_class) +
                        " are served here; this one is left alone")
            .as_warning());
  }
  FieldErrors spec;
  if (object.spec.config) spec.add(validate_reference(*object.spec.config).via_field("config"));
  spec.add(validate_delivery(object.spec.delivery));
  errors.add(std::move(spec).via_field("spec"));
  return errors.merged();
}

FieldErrors validate(const Trigger& object) {
  FieldErrors errors = validate_trigger_annotations(object);
  FieldErrors spec;
  if (object.spec.broker_ref) {
    if (!object.spec.broker.empty()) spec.add(multiple_one_of({"broker", "brokerRef"}));
    FieldErrors wrong = validate_reference(*object.spec.broker_ref);
    wrong.add(validate_own_namespace(*object.spec.broker_ref, object.metadata));
    spec.add(std::move(wrong).via_field("brokerRef"));
  } else if (object.spec.broker.empty()) {
    spec.add(missing_field({"broker"}));
  }
  if (object.spec.filter && object.spec.filters.empty()) {
    spec.add(
        validate_attributes(object.spec.filter->attributes, false).via_field("filter.attributes"));
  }
  spec.add(validate_filters(object.spec.filters, 1).via_field("filters"));
  spec.add(validate_destination(object.spec.subscriber).via_field("subscriber"));
  spec.add(validate_delivery(object.spec.delivery));
  errors.add(std::move(spec).via_field("spec"));
  return errors.merged();
}

FieldErrors validate(const EventType& object) {
  FieldErrors errors;
  if (object.spec.type.empty()) errors.add(missing_field({"type"}));
  if (!object.spec.schema.empty() && has_bad_character(object.spec.schema)) {
    errors.add(invalid_value(object.spec.schema, "schema"));
  }
  if (object.spec.reference) {
    errors.add(validate_reference(*object.spec.reference).via_field("reference"));
  }
  return std::move(errors).via_field("spec").merged();
}

FieldErrors validate(const Channel& object) {
  FieldErrors errors;
  if (!object.spec.channel_template) {
    errors.add(missing_field({"channelTemplate"}));
  } else {
    FieldErrors wrong;
    if (object.spec.channel_template->api_version.empty()) wrong.add(missing_field({"apiVersion"}));
    const std::string& kind = object.spec.channel_template->kind;
    if (kind.empty()) {
      wrong.add(missing_field({"kind"}));
    } else if (kind != "InMemoryChannel") {
      wrong.add(field_error("has no effect", {"kind"},
                            "every Channel is backed by the platform's own log")
                    .as_warning());
    }
    errors.add(std::move(wrong).via_field("channelTemplate"));
  }
  errors.add(validate_delivery(object.spec.delivery));
  errors = std::move(errors).via_field("spec");
  if (object.metadata.name.find('.') != std::string::npos) {
    errors.add(invalid_value(object.metadata.name, "metadata.name")
                   .with_details("a Channel has a host of its name, which must be one label"));
  }
  return errors.merged();
}

FieldErrors validate(const Subscription& object) {
  FieldErrors errors;
  const SubscriptionSpec& spec = object.spec;
  if (spec.channel == KReference{}) {
    errors.add(
        missing_field({"channel"}).with_details("the Subscription must reference a channel"));
  } else {
    FieldErrors wrong = validate_reference(spec.channel);
    wrong.add(validate_own_namespace(spec.channel, object.metadata));
    errors.add(std::move(wrong).via_field("channel"));
  }
  if (!spec.subscriber || *spec.subscriber == Destination{}) {
    errors.add(
        missing_field({"subscriber"}).with_details("the Subscription must reference a subscriber"));
  } else {
    errors.add(validate_destination(*spec.subscriber).via_field("subscriber"));
  }
  if (spec.reply && !(*spec.reply == Destination{})) {
    errors.add(validate_destination(*spec.reply).via_field("reply"));
  }
  errors.add(validate_delivery(spec.delivery));
  return std::move(errors).via_field("spec").merged();
}

// ---------------------------------------------------------------------------- updates

FieldErrors validate_update(const Broker& object, const Broker& old) {
  FieldErrors errors;
  const auto class_of = [](const Broker& broker) -> std::string {
    const auto found = broker.metadata.annotations.find(keys::broker_class);
    return found == broker.metadata.annotations.end() ? std::string() : found->second;
  };
  if (class_of(object) != class_of(old)) {
    errors.add(
        field_error("Immutable fields changed (-old +new)",
                    {"metadata.annotations[" + std::string(keys::broker_class) + ']'},
                    value_diff(Value(class_of(old)), Value(class_of(object)), keys::broker_class)));
  }
  const KReference none;
  errors.add(immutable(object.spec.config.value_or(none), old.spec.config.value_or(none),
                       "spec.config", "spec.config"));
  return errors;
}

FieldErrors validate_update(const Trigger& object, const Trigger& old) {
  if (object.spec.broker == old.spec.broker) return {};
  return field_error("Immutable fields changed (-old +new)", {"spec.broker"},
                     value_diff(Value(old.spec.broker), Value(object.spec.broker), "spec.broker"));
}

FieldErrors validate_update(const EventType& object, const EventType& old) {
  return immutable(object.spec, old.spec, "spec", "spec");
}

FieldErrors validate_update(const Channel& object, const Channel& old) {
  const ChannelTemplateSpec none;
  return immutable(object.spec.channel_template.value_or(none),
                   old.spec.channel_template.value_or(none), "spec.channelTemplate",
                   "spec.channelTemplate");
}

FieldErrors validate_update(const Subscription& object, const Subscription& old) {
  return immutable(object.spec.channel, old.spec.channel, "spec.channel", "spec.channel");
}

// ---------------------------------------------------------------------------- compiled filters

Result<Filter> make_filter(const SubscriptionsAPIFilter& expression) {
  const FieldErrors errors = validate_filter(expression, 1);
  if (Result<void> valid = errors.to_result(); !valid) return valid.error();
  if (!expression.exact.empty()) return attribute_filters(expression.exact, &Filter::exact);
  if (!expression.prefix.empty()) return attribute_filters(expression.prefix, &Filter::prefix);
  if (!expression.suffix.empty()) return attribute_filters(expression.suffix, &Filter::suffix);
  if (!expression.cesql.empty()) return Filter::cesql(expression.cesql);
  if (expression.not_) {
    Result<Filter> inner = make_filter(*expression.not_);
    if (!inner) return inner;
    return Filter::not_(std::move(*inner));
  }
  Result<std::vector<Filter>> parts =
      make_filters(expression.all.empty() ? expression.any : expression.all);
  if (!parts) return parts.error();
  return expression.all.empty() ? Filter::any(std::move(*parts)) : all_of(std::move(*parts));
}

Result<Filter> make_filter(const TriggerSpec& trigger) {
  if (trigger.filters.empty()) {
    if (!trigger.filter) return Filter();
    const std::map<std::string, std::string> attributes(trigger.filter->attributes.begin(),
                                                        trigger.filter->attributes.end());
    return Filter::attributes(attributes);
  }
  Result<std::vector<Filter>> filters = make_filters(trigger.filters);
  if (!filters) return filters.error();
  return all_of(std::move(*filters));
}

}  // namespace knative::eventing
