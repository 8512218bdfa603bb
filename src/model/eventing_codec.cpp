#include "model/eventing_codec.hpp"

namespace knative::eventing {

using codec::field;

const codec::Struct& describe(const KReference*) {
  static constexpr codec::Field fields[] = {
      field<&KReference::api_version>("apiVersion"), field<&KReference::kind>("kind"),
      field<&KReference::namespace_>("namespace"), field<&KReference::name>("name"),
      field<&KReference::address>("address")};
  static constexpr codec::Struct description{"KReference", fields};
  return description;
}

const codec::Struct& describe(const Destination*) {
  static constexpr codec::Field fields[] = {
      field<&Destination::ref>("ref"), field<&Destination::uri>("uri"),
      field<&Destination::ca_certs>("CACerts"), field<&Destination::audience>("audience")};
  static constexpr codec::Struct description{"Destination", fields};
  return description;
}

const codec::Struct& describe(const Addressable*) {
  static constexpr codec::Field fields[] = {
      field<&Addressable::name>("name"), field<&Addressable::url>("url"),
      field<&Addressable::ca_certs>("CACerts"), field<&Addressable::audience>("audience")};
  static constexpr codec::Struct description{"Addressable", fields};
  return description;
}

const codec::Struct& describe(const DeliverySpec*) {
  static constexpr codec::Field fields[] = {
      field<&DeliverySpec::dead_letter_sink>("deadLetterSink"),
      field<&DeliverySpec::retry>("retry"),
      field<&DeliverySpec::timeout>("timeout"),
      field<&DeliverySpec::backoff_policy>("backoffPolicy"),
      field<&DeliverySpec::backoff_delay>("backoffDelay"),
      field<&DeliverySpec::retry_after_max>("retryAfterMax"),
      field<&DeliverySpec::format>("format")};
  static constexpr codec::Struct description{"DeliverySpec", fields};
  return description;
}

const codec::Struct& describe(const SubscriptionsAPIFilter*) {
  static constexpr codec::Field fields[] = {field<&SubscriptionsAPIFilter::exact>("exact"),
                                            field<&SubscriptionsAPIFilter::prefix>("prefix"),
                                            field<&SubscriptionsAPIFilter::suffix>("suffix"),
                                            field<&SubscriptionsAPIFilter::all>("all"),
                                            field<&SubscriptionsAPIFilter::any>("any"),
                                            field<&SubscriptionsAPIFilter::not_>("not"),
                                            field<&SubscriptionsAPIFilter::cesql>("cesql")};
  static constexpr codec::Struct description{"SubscriptionsAPIFilter", fields};
  return description;
}

const codec::Struct& describe(const TriggerFilter*) {
  static constexpr codec::Field fields[] = {field<&TriggerFilter::attributes>("attributes")};
  static constexpr codec::Struct description{"TriggerFilter", fields};
  return description;
}

const codec::Struct& describe(const BrokerSpec*) {
  static constexpr codec::Field fields[] = {field<&BrokerSpec::config>("config"),
                                            field<&BrokerSpec::delivery>("delivery")};
  static constexpr codec::Struct description{"BrokerSpec", fields};
  return description;
}

const codec::Struct& describe(const BrokerStatus*) {
  static constexpr codec::Field fields[] = {
      field<&BrokerStatus::observed_generation>("observedGeneration"),
      field<&BrokerStatus::conditions>("conditions"),
      field<&BrokerStatus::annotations>("annotations"),
      field<&BrokerStatus::address>("address"),
      field<&BrokerStatus::addresses>("addresses"),
      field<&BrokerStatus::dead_letter_sink_uri>("deadLetterSinkUri")};
  static constexpr codec::Struct description{"BrokerStatus", fields};
  return description;
}

const codec::Struct& describe(const Broker*) {
  static constexpr codec::Field fields[] = {field<&Broker::metadata>("metadata"),
                                            field<&Broker::spec>("spec"),
                                            field<&Broker::status>("status")};
  static constexpr codec::Struct description{"Broker", fields};
  return description;
}

const codec::Struct& describe(const TriggerSpec*) {
  static constexpr codec::Field fields[] = {
      field<&TriggerSpec::broker>("broker"), field<&TriggerSpec::filter>("filter"),
      field<&TriggerSpec::filters>("filters"),
      field<&TriggerSpec::subscriber>("subscriber", codec::always),
      field<&TriggerSpec::delivery>("delivery")};
  static constexpr codec::Struct description{"TriggerSpec", fields};
  return description;
}

const codec::Struct& describe(const TriggerStatus*) {
  static constexpr codec::Field fields[] = {
      field<&TriggerStatus::observed_generation>("observedGeneration"),
      field<&TriggerStatus::conditions>("conditions"),
      field<&TriggerStatus::annotations>("annotations"),
      field<&TriggerStatus::subscriber_uri>("subscriberUri"),
      field<&TriggerStatus::dead_letter_sink_uri>("deadLetterSinkUri")};
  static constexpr codec::Struct description{"TriggerStatus", fields};
  return description;
}

const codec::Struct& describe(const Trigger*) {
  static constexpr codec::Field fields[] = {field<&Trigger::metadata>("metadata"),
                                            field<&Trigger::spec>("spec"),
                                            field<&Trigger::status>("status")};
  static constexpr codec::Struct description{"Trigger", fields};
  return description;
}

const codec::Struct& describe(const EventTypeSpec*) {
  static constexpr codec::Field fields[] = {field<&EventTypeSpec::type>("type", codec::always),
                                            field<&EventTypeSpec::source>("source"),
                                            field<&EventTypeSpec::schema>("schema"),
                                            field<&EventTypeSpec::schema_data>("schemaData"),
                                            field<&EventTypeSpec::broker>("broker"),
                                            field<&EventTypeSpec::reference>("reference"),
                                            field<&EventTypeSpec::description>("description")};
  static constexpr codec::Struct description{"EventTypeSpec", fields};
  return description;
}

const codec::Struct& describe(const EventTypeStatus*) {
  static constexpr codec::Field fields[] = {
      field<&EventTypeStatus::observed_generation>("observedGeneration"),
      field<&EventTypeStatus::conditions>("conditions"),
      field<&EventTypeStatus::annotations>("annotations")};
  static constexpr codec::Struct description{"EventTypeStatus", fields};
  return description;
}

const codec::Struct& describe(const EventType*) {
  static constexpr codec::Field fields[] = {field<&EventType::metadata>("metadata"),
                                            field<&EventType::spec>("spec"),
                                            field<&EventType::status>("status")};
  static constexpr codec::Struct description{"EventType", fields};
  return description;
}

const codec::Struct& describe(const ChannelTemplateSpec*) {
  static constexpr codec::Field fields[] = {field<&ChannelTemplateSpec::api_version>("apiVersion"),
                                            field<&ChannelTemplateSpec::kind>("kind"),
                                            field<&ChannelTemplateSpec::spec>("spec")};
  static constexpr codec::Struct description{"ChannelTemplateSpec", fields};
  return description;
}

const codec::Struct& describe(const ChannelSpec*) {
  static constexpr codec::Field fields[] = {
      field<&ChannelSpec::channel_template>("channelTemplate"),
      field<&ChannelSpec::delivery>("delivery")};
  static constexpr codec::Struct description{"ChannelSpec", fields};
  return description;
}

const codec::Struct& describe(const ChannelStatus*) {
  static constexpr codec::Field fields[] = {
      field<&ChannelStatus::observed_generation>("observedGeneration"),
      field<&ChannelStatus::conditions>("conditions"),
      field<&ChannelStatus::annotations>("annotations"),
      field<&ChannelStatus::address>("address"),
      field<&ChannelStatus::channel>("channel"),
      field<&ChannelStatus::dead_letter_sink_uri>("deadLetterSinkUri")};
  static constexpr codec::Struct description{"ChannelStatus", fields};
  return description;
}

const codec::Struct& describe(const Channel*) {
  static constexpr codec::Field fields[] = {field<&Channel::metadata>("metadata"),
                                            field<&Channel::spec>("spec"),
                                            field<&Channel::status>("status")};
  static constexpr codec::Struct description{"Channel", fields};
  return description;
}

const codec::Struct& describe(const SubscriptionSpec*) {
  static constexpr codec::Field fields[] = {
      field<&SubscriptionSpec::channel>("channel", codec::always),
      field<&SubscriptionSpec::subscriber>("subscriber"), field<&SubscriptionSpec::reply>("reply"),
      field<&SubscriptionSpec::delivery>("delivery")};
  static constexpr codec::Struct description{"SubscriptionSpec", fields};
  return description;
}

const codec::Struct& describe(const PhysicalSubscription*) {
  static constexpr codec::Field fields[] = {
      field<&PhysicalSubscription::subscriber_uri>("subscriberUri"),
      field<&PhysicalSubscription::reply_uri>("replyUri"),
      field<&PhysicalSubscription::dead_letter_sink_uri>("deadLetterSinkUri")};
  static constexpr codec::Struct description{"PhysicalSubscription", fields};
  return description;
}

const codec::Struct& describe(const SubscriptionStatus*) {
  static constexpr codec::Field fields[] = {
      field<&SubscriptionStatus::observed_generation>("observedGeneration"),
      field<&SubscriptionStatus::conditions>("conditions"),
      field<&SubscriptionStatus::annotations>("annotations"),
      field<&SubscriptionStatus::physical_subscription>("physicalSubscription")};
  static constexpr codec::Struct description{"SubscriptionStatus", fields};
  return description;
}

const codec::Struct& describe(const Subscription*) {
  static constexpr codec::Field fields[] = {field<&Subscription::metadata>("metadata"),
                                            field<&Subscription::spec>("spec"),
                                            field<&Subscription::status>("status")};
  static constexpr codec::Struct description{"Subscription", fields};
  return description;
}

}  // namespace knative::eventing
