#include "model/eventing_codec.hpp"

namespace knative::eventing {

using fields::acts;
using fields::Field;
using fields::reported;
using fields::warned;

const fields::Struct& describe(const KReference*) {
  static const Field list[] = {
      acts("apiVersion", &KReference::api_version), acts("kind", &KReference::kind),
      acts("namespace", &KReference::namespace_), acts("name", &KReference::name),
      acts("address", &KReference::address)};
  static const fields::Struct description{"KReference", list};
  return description;
}

const fields::Struct& describe(const Destination*) {
  static const Field list[] = {
      acts("ref", &Destination::ref), acts("uri", &Destination::uri),
      warned("CACerts", &Destination::ca_certs, "the platform trusts the certificates of its host"),
      warned("audience", &Destination::audience, "requests carry no token of a service account")};
  static const fields::Struct description{"Destination", list};
  return description;
}

const fields::Struct& describe(const Addressable*) {
  static const Field list[] = {acts("name", &Addressable::name), acts("url", &Addressable::url),
                               acts("CACerts", &Addressable::ca_certs),
                               acts("audience", &Addressable::audience)};
  static const fields::Struct description{"Addressable", list};
  return description;
}

const fields::Struct& describe(const DeliverySpec*) {
  static const Field list[] = {acts("deadLetterSink", &DeliverySpec::dead_letter_sink),
                               acts("retry", &DeliverySpec::retry),
                               acts("timeout", &DeliverySpec::timeout),
                               acts("backoffPolicy", &DeliverySpec::backoff_policy),
                               acts("backoffDelay", &DeliverySpec::backoff_delay),
                               acts("retryAfterMax", &DeliverySpec::retry_after_max),
                               acts("format", &DeliverySpec::format)};
  static const fields::Struct description{"DeliverySpec", list};
  return description;
}

const fields::Struct& describe(const SubscriptionsAPIFilter*) {
  static const Field list[] = {acts("exact", &SubscriptionsAPIFilter::exact),
                               acts("prefix", &SubscriptionsAPIFilter::prefix),
                               acts("suffix", &SubscriptionsAPIFilter::suffix),
                               acts("all", &SubscriptionsAPIFilter::all),
                               acts("any", &SubscriptionsAPIFilter::any),
                               acts("not", &SubscriptionsAPIFilter::not_),
                               acts("cesql", &SubscriptionsAPIFilter::cesql)};
  static const fields::Struct description{"SubscriptionsAPIFilter", list};
  return description;
}

const fields::Struct& describe(const TriggerFilter*) {
  static const Field list[] = {acts("attributes", &TriggerFilter::attributes)};
  static const fields::Struct description{"TriggerFilter", list};
  return description;
}

const fields::Struct& describe(const BrokerSpec*) {
  static const Field list[] = {
      warned("config", &BrokerSpec::config, "the log of the Broker is configured by its platform"),
      acts("delivery", &BrokerSpec::delivery)};
  static const fields::Struct description{"BrokerSpec", list};
  return description;
}

const fields::Struct& describe(const BrokerStatus*) {
  static const Field list[] = {acts("observedGeneration", &BrokerStatus::observed_generation),
                               acts("conditions", &BrokerStatus::conditions),
                               acts("annotations", &BrokerStatus::annotations),
                               acts("address", &BrokerStatus::address),
                               acts("addresses", &BrokerStatus::addresses),
                               acts("deadLetterSinkUri", &BrokerStatus::dead_letter_sink_uri)};
  static const fields::Struct description{"BrokerStatus", list};
  return description;
}

const fields::Struct& describe(const Broker*) {
  static const Field list[] = {acts("metadata", &Broker::metadata), acts("spec", &Broker::spec),
                               reported("status", &Broker::status, fields::tolerant)};
  static const fields::Struct description{"Broker", list};
  return description;
}

const fields::Struct& describe(const TriggerSpec*) {
  static const Field list[] = {acts("broker", &TriggerSpec::broker),
                               acts("brokerRef", &TriggerSpec::broker_ref),
                               acts("filter", &TriggerSpec::filter),
                               acts("filters", &TriggerSpec::filters),
                               acts("subscriber", &TriggerSpec::subscriber, fields::always),
                               acts("delivery", &TriggerSpec::delivery)};
  static const fields::Struct description{"TriggerSpec", list};
  return description;
}

const fields::Struct& describe(const TriggerStatus*) {
  static const Field list[] = {acts("observedGeneration", &TriggerStatus::observed_generation),
                               acts("conditions", &TriggerStatus::conditions),
                               acts("annotations", &TriggerStatus::annotations),
                               acts("subscriberUri", &TriggerStatus::subscriber_uri),
                               acts("deadLetterSinkUri", &TriggerStatus::dead_letter_sink_uri)};
  static const fields::Struct description{"TriggerStatus", list};
  return description;
}

const fields::Struct& describe(const Trigger*) {
  static const Field list[] = {acts("metadata", &Trigger::metadata), acts("spec", &Trigger::spec),
                               reported("status", &Trigger::status, fields::tolerant)};
  static const fields::Struct description{"Trigger", list};
  return description;
}

const fields::Struct& describe(const EventTypeSpec*) {
  static const Field list[] = {acts("type", &EventTypeSpec::type, fields::always),
                               acts("source", &EventTypeSpec::source),
                               acts("schema", &EventTypeSpec::schema),
                               acts("schemaData", &EventTypeSpec::schema_data),
                               acts("broker", &EventTypeSpec::broker),
                               acts("reference", &EventTypeSpec::reference),
                               acts("description", &EventTypeSpec::description)};
  static const fields::Struct description{"EventTypeSpec", list};
  return description;
}

const fields::Struct& describe(const EventTypeStatus*) {
  static const Field list[] = {acts("observedGeneration", &EventTypeStatus::observed_generation),
                               acts("conditions", &EventTypeStatus::conditions),
                               acts("annotations", &EventTypeStatus::annotations)};
  static const fields::Struct description{"EventTypeStatus", list};
  return description;
}

const fields::Struct& describe(const EventType*) {
  static const Field list[] = {acts("metadata", &EventType::metadata),
                               acts("spec", &EventType::spec),
                               reported("status", &EventType::status, fields::tolerant)};
  static const fields::Struct description{"EventType", list};
  return description;
}

const fields::Struct& describe(const ChannelTemplateSpec*) {
  static const Field list[] = {acts("apiVersion", &ChannelTemplateSpec::api_version),
                               acts("kind", &ChannelTemplateSpec::kind),
                               warned("spec", &ChannelTemplateSpec::spec,
                                      "the log of a Channel is configured by its platform")};
  static const fields::Struct description{"ChannelTemplateSpec", list};
  return description;
}

const fields::Struct& describe(const ChannelSpec*) {
  static const Field list[] = {acts("channelTemplate", &ChannelSpec::channel_template),
                               acts("delivery", &ChannelSpec::delivery)};
  static const fields::Struct description{"ChannelSpec", list};
  return description;
}

const fields::Struct& describe(const ChannelStatus*) {
  static const Field list[] = {acts("observedGeneration", &ChannelStatus::observed_generation),
                               acts("conditions", &ChannelStatus::conditions),
                               acts("annotations", &ChannelStatus::annotations),
                               acts("address", &ChannelStatus::address),
                               acts("channel", &ChannelStatus::channel),
                               acts("deadLetterSinkUri", &ChannelStatus::dead_letter_sink_uri)};
  static const fields::Struct description{"ChannelStatus", list};
  return description;
}

const fields::Struct& describe(const Channel*) {
  static const Field list[] = {acts("metadata", &Channel::metadata), acts("spec", &Channel::spec),
                               reported("status", &Channel::status, fields::tolerant)};
  static const fields::Struct description{"Channel", list};
  return description;
}

const fields::Struct& describe(const SubscriptionSpec*) {
  static const Field list[] = {acts("channel", &SubscriptionSpec::channel, fields::always),
                               acts("subscriber", &SubscriptionSpec::subscriber),
                               acts("reply", &SubscriptionSpec::reply),
                               acts("delivery", &SubscriptionSpec::delivery)};
  static const fields::Struct description{"SubscriptionSpec", list};
  return description;
}

const fields::Struct& describe(const PhysicalSubscription*) {
  static const Field list[] = {
      acts("subscriberUri", &PhysicalSubscription::subscriber_uri),
      acts("replyUri", &PhysicalSubscription::reply_uri),
      acts("deadLetterSinkUri", &PhysicalSubscription::dead_letter_sink_uri)};
  static const fields::Struct description{"PhysicalSubscription", list};
  return description;
}

const fields::Struct& describe(const SubscriptionStatus*) {
  static const Field list[] = {
      acts("observedGeneration", &SubscriptionStatus::observed_generation),
      acts("conditions", &SubscriptionStatus::conditions),
      acts("annotations", &SubscriptionStatus::annotations),
      acts("physicalSubscription", &SubscriptionStatus::physical_subscription)};
  static const fields::Struct description{"SubscriptionStatus", list};
  return description;
}

const fields::Struct& describe(const Subscription*) {
  static const Field list[] = {acts("metadata", &Subscription::metadata),
                               acts("spec", &Subscription::spec),
                               reported("status", &Subscription::status, fields::tolerant)};
  static const fields::Struct description{"Subscription", list};
  return description;
}

// ---------------------------------------------------------------------------- rules

using fields::Mark;
using fields::Rule;

constexpr std::string_view no_annotation = "there is no such annotation";
constexpr std::string_view no_label = "there is no such label";

#define KN_EVENTING_KEYS                                                               \
  {"metadata.labels[eventing.knative.dev/*]", Mark::warned, no_label},                 \
      {"metadata.annotations[eventing.knative.dev/creator]", Mark::acts},              \
      {"metadata.annotations[eventing.knative.dev/lastModifier]", Mark::acts},         \
      {"metadata.annotations[eventing.knative.dev/*]", Mark::warned, no_annotation}, { \
    "metadata.annotations[messaging.knative.dev/*]", Mark::warned, no_annotation       \
  }

constexpr Rule broker_rules[] = {
    {"metadata.annotations[eventing.knative.dev/broker.class]", Mark::acts}, KN_EVENTING_KEYS};
constexpr Rule trigger_rules[] = {{"metadata.annotations[eventing.knative.dev/injection]",
                                   Mark::warned, "Brokers are not made on demand"},
                                  {"metadata.annotations[knative.dev/dependency]", Mark::acts},
                                  {"metadata.labels[eventing.knative.dev/broker]", Mark::reported},
                                  KN_EVENTING_KEYS};
constexpr Rule event_type_rules[] = {
    {"metadata.annotations[eventing.knative.dev/attributes]", Mark::reported},
    {"metadata.annotations[eventing.knative.dev/schemaData]", Mark::reported},
    KN_EVENTING_KEYS};
constexpr Rule channel_rules[] = {
    {"metadata.annotations[messaging.knative.dev/subscribable]", Mark::reported}, KN_EVENTING_KEYS};
constexpr Rule subscription_rules[] = {KN_EVENTING_KEYS};
#undef KN_EVENTING_KEYS

constexpr PrinterColumn broker_columns[] = {{"URL", "status.address.url"},
                                            {"READY", "status.conditions[Ready].status"},
                                            {"REASON", "status.conditions[Ready].reason"}};
constexpr PrinterColumn trigger_columns[] = {{"BROKER", "spec.broker"},
                                             {"SUBSCRIBER_URI", "status.subscriberUri"},
                                             {"READY", "status.conditions[Ready].status"},
                                             {"REASON", "status.conditions[Ready].reason"}};
constexpr PrinterColumn subscription_columns[] = {{"READY", "status.conditions[Ready].status"},
                                                  {"REASON", "status.conditions[Ready].reason"}};
constexpr PrinterColumn event_type_columns[] = {{"TYPE", "spec.type"},
                                                {"SOURCE", "spec.source"},
                                                {"SCHEMA", "spec.schema"},
                                                {"REFERENCE NAME", "spec.reference.name"},
                                                {"DESCRIPTION", "spec.description"},
                                                {"READY", "status.conditions[Ready].status"},
                                                {"REASON", "status.conditions[Ready].reason"}};

// ---------------------------------------------------------------------------- kinds

const KindInfo& kind_info(const Broker*) {
  static constexpr KindInfo info =
      namespaced_kind<Broker>("brokers").with_rules(broker_rules).with_columns(broker_columns);
  return info;
}
const KindInfo& kind_info(const Trigger*) {
  static constexpr KindInfo info =
      namespaced_kind<Trigger>("triggers").with_rules(trigger_rules).with_columns(trigger_columns);
  return info;
}
const KindInfo& kind_info(const EventType*) {
  static constexpr KindInfo info = namespaced_kind<EventType>("eventtypes")
                                       .with_rules(event_type_rules)
                                       .with_columns(event_type_columns);
  return info;
}
const KindInfo& kind_info(const Channel*) {
  static constexpr KindInfo info = namespaced_kind<Channel>("channels", "ch")
                                       .with_rules(channel_rules)
                                       .with_columns(broker_columns);
  return info;
}
const KindInfo& kind_info(const Subscription*) {
  static constexpr KindInfo info = namespaced_kind<Subscription>("subscriptions", "sub")
                                       .with_rules(subscription_rules)
                                       .with_columns(subscription_columns);
  return info;
}

}  // namespace knative::eventing
