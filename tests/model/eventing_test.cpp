#include "model/eventing_lifecycle.hpp"

#include <gtest/gtest.h>

#include "knative/event.hpp"
#include "model/condition_rows.hpp"

namespace kn = knative;
using kn::eventing::Broker;
using kn::eventing::Channel;
using kn::eventing::EventType;
using kn::eventing::Subscription;
using kn::eventing::SubscriptionsAPIFilter;
using kn::eventing::Trigger;
using kn::testing::at;
using kn::testing::status_and_reason;

namespace {

template <class T>
T defaulted(T object) {
  object.metadata.namespace_ = "shop";
  kn::eventing::apply_defaults(object);
  return object;
}

Trigger orders() {
  return defaulted(kn::eventing::trigger("orders", "default", "http://127.0.0.1:8080/"));
}

template <class T>
std::string errors_of(const T& object) {
  return kn::eventing::validate(object).to_string();
}

SubscriptionsAPIFilter exact(std::string name, std::string value) {
  SubscriptionsAPIFilter filter;
  filter.exact[std::move(name)] = std::move(value);
  return filter;
}

}  // namespace

TEST(EventingDefaults, BrokerGetsClassAndDelivery) {
  const Broker broker = defaulted(kn::eventing::broker("default"));
  EXPECT_EQ(broker.metadata.annotations.at("eventing.knative.dev/broker.class"),
            "MTChannelBasedBroker");
  ASSERT_TRUE(broker.spec.delivery);
  EXPECT_EQ(broker.spec.delivery->retry, 10);
  EXPECT_EQ(broker.spec.delivery->backoff_policy, "exponential");
  EXPECT_EQ(broker.spec.delivery->backoff_delay, "PT0.2S");
  EXPECT_EQ(defaulted(broker), broker);
  EXPECT_EQ(errors_of(broker), "");
}

TEST(EventingDefaults, TriggerIsLabelledAndReferencesGetANamespace) {
  Trigger trigger = orders();
  EXPECT_EQ(trigger.metadata.labels.at("eventing.knative.dev/broker"), "default");
  EXPECT_TRUE(trigger.spec.filter);
  trigger.spec.subscriber = {};
  trigger.spec.subscriber.ref.emplace();
  trigger.spec.subscriber.ref->api_version = "serving.knative.dev/v1";
  trigger.spec.subscriber.ref->kind = "Service";
  trigger.spec.subscriber.ref->name = "orders";
  kn::eventing::apply_defaults(trigger);
  EXPECT_EQ(trigger.spec.subscriber.ref->namespace_, "shop");
  EXPECT_EQ(defaulted(trigger), trigger);
  EXPECT_EQ(errors_of(trigger), "");
}

TEST(EventingDefaults, ChannelIsInMemory) {
  const Channel channel = defaulted(Channel{.metadata = {.name = "c"}});
  ASSERT_TRUE(channel.spec.channel_template);
  EXPECT_EQ(channel.spec.channel_template->kind, "InMemoryChannel");
  EXPECT_EQ(channel.metadata.annotations.at("messaging.knative.dev/subscribable"), "v1");
  EXPECT_EQ(errors_of(channel), "");
}

TEST(EventingValidation, BrokerNeedsAClass) {
  EXPECT_EQ(errors_of(kn::eventing::broker("default")),
            "missing field(s): eventing.knative.dev/broker.class");
}

TEST(EventingValidation, DeliveryOptionsParse) {
  Broker broker = defaulted(kn::eventing::broker("default"));
  broker.spec.delivery->retry = -1;
  broker.spec.delivery->backoff_policy = "cubic";
  broker.spec.delivery->backoff_delay = "1s";
  broker.spec.delivery->timeout = "PT0S";
  broker.spec.delivery->retry_after_max = "PT10S";
  broker.spec.delivery->format = "xml";
  EXPECT_EQ(errors_of(broker),
            "invalid value: -1: spec.delivery.retry\n"
            "invalid value: 1s: spec.delivery.backoffDelay\n"
            "invalid value: PT0S: spec.delivery.timeout\n"
            "invalid value: cubic: spec.delivery.backoffPolicy\n"
            "invalid value: xml: spec.delivery.format");
}

TEST(EventingValidation, DestinationsAreEitherOr) {
  Trigger trigger = orders();
  trigger.spec.subscriber = {};
  EXPECT_EQ(errors_of(trigger),
            "expected at least one, got none: spec.subscriber.ref, spec.subscriber.uri");
  trigger.spec.subscriber.uri = "/relative";
  EXPECT_EQ(errors_of(trigger),
            "invalid value: Relative URI is not allowed when Ref and [apiVersion, kind, name] is "
            "absent: spec.subscriber.uri");
  trigger.spec.subscriber.uri = "http://x/";
  trigger.spec.subscriber.ref.emplace();
  EXPECT_EQ(errors_of(trigger),
            "Absolute URI is not allowed when Ref or [apiVersion, kind, name] is present: "
            "spec.subscriber.ref, spec.subscriber.uri, spec.subscriber[apiVersion, kind, name]\n"
            "missing field(s): spec.subscriber.ref.apiVersion, spec.subscriber.ref.kind, "
            "spec.subscriber.ref.name");
}

TEST(EventingValidation, TriggerNeedsABroker) {
  Trigger trigger = orders();
  trigger.spec.broker.clear();
  EXPECT_EQ(errors_of(trigger), "missing field(s): spec.broker");
}

TEST(EventingValidation, FilterThatDoesNotParseMakesTheTriggerInvalid) {
  Trigger trigger = orders();
  trigger.spec.filters.resize(3);
  trigger.spec.filters[0].cesql = "type = ";
  trigger.spec.filters[1].exact["Type"] = "x";
  trigger.spec.filters[2].exact["type"] = "x";
  trigger.spec.filters[2].prefix["source"] = "/a";
  const std::string errors = errors_of(trigger);
  EXPECT_NE(errors.find("invalid value: type = : spec.filters[0].cesql"), std::string::npos)
      << errors;
  EXPECT_NE(errors.find("invalid key name \"Type\": spec.filters[1].exact"), std::string::npos)
      << errors;
  EXPECT_NE(errors.find("multiple dialects found, filters can have only one dialect set: "
                        "spec.filters[2]"),
            std::string::npos)
      << errors;
  trigger.spec.filters = {SubscriptionsAPIFilter{}};
  EXPECT_EQ(errors_of(trigger).substr(0, 34), "expected exactly one, got neither:");
  EXPECT_FALSE(kn::eventing::make_filter(trigger.spec));
}

TEST(EventingValidation, AttributeFilterNames) {
  Trigger trigger = orders();
  trigger.spec.filter->attributes["type"] = "";
  EXPECT_EQ(errors_of(trigger), "");
  trigger.spec.filter->attributes["my-attribute"] = "x";
  EXPECT_EQ(errors_of(trigger).substr(0, 61),
            "invalid key name \"my-attribute\": spec.filter.attributes\nAttri");
}

TEST(EventingValidation, TriggerAnnotations) {
  Trigger trigger = orders();
  trigger.metadata.annotations["eventing.knative.dev/injection"] = "maybe";
  trigger.metadata.annotations["knative.dev/dependency"] =
      R"({"kind":"PingSource","name":"p","namespace":"other"})";
  EXPECT_EQ(errors_of(trigger),
            "Namespace must be empty or equal to the trigger namespace \"shop\": "
            "metadata.annotations.knative.dev/dependency.namespace\n"
            "The provided injection annotation value can only be \"enabled\" or \"disabled\", not "
            "\"maybe\": metadata.annotations.eventing.knative.dev/injection\n"
            "missing field(s): metadata.annotations.knative.dev/dependency.apiVersion");
}

TEST(EventingValidation, SubscriptionNeedsChannelAndSubscriber) {
  Subscription subscription = defaulted(Subscription{.metadata = {.name = "s"}});
  EXPECT_EQ(errors_of(subscription),
            "missing field(s): spec.channel\nthe Subscription must reference a channel\n"
            "missing field(s): spec.subscriber\nthe Subscription must reference a subscriber");
  subscription.spec.channel = {.api_version = "messaging.knative.dev/v1",
                               .kind = "Channel",
                               .namespace_ = "elsewhere",
                               .name = "c"};
  subscription.spec.subscriber.emplace().uri = "http://x/";
  EXPECT_EQ(errors_of(subscription),
            "mismatched namespaces: spec.channel.namespace\nparent namespace: \"shop\" does not "
            "match ref: \"elsewhere\"");
}

TEST(EventingValidation, EventTypeNeedsAType) {
  EXPECT_EQ(errors_of(EventType{}), "missing field(s): spec.type");
}

TEST(EventingUpdates, WhatMayNotChange) {
  const Broker broker = defaulted(kn::eventing::broker("default"));
  Broker other = broker;
  other.metadata.annotations["eventing.knative.dev/broker.class"] = "Kafka";
  EXPECT_NE(kn::eventing::validate_update(other, broker)
                .to_string()
                .find("Immutable fields changed (-old +new): "
                      "metadata.annotations[eventing.knative.dev/broker.class]"),
            std::string::npos);
  const Trigger trigger = orders();
  Trigger moved = trigger;
  moved.spec.broker = "other";
  EXPECT_EQ(kn::eventing::validate_update(moved, trigger).to_string(),
            "Immutable fields changed (-old +new): spec.broker\n"
            "{spec.broker}:\n\t-: \"default\"\n\t+: \"other\"\n");
  const EventType type{.spec = {.type = "a"}};
  EventType changed = type;
  changed.spec.description = "words";
  EXPECT_FALSE(kn::eventing::validate_update(changed, type).empty());
  const Channel channel = defaulted(Channel{});
  Channel backed = channel;
  backed.spec.channel_template->kind = "KafkaChannel";
  EXPECT_FALSE(kn::eventing::validate_update(backed, channel).empty());
}

TEST(EventingFilters, CompileToWhatTheySay) {
  kn::CloudEvent event("order.created", "/shop/web");
  event.set_id("1");
  kn::eventing::TriggerSpec spec;
  EXPECT_TRUE(kn::eventing::make_filter(spec).value().matches(event));
  spec.filter.emplace().attributes["type"] = "order.deleted";
  EXPECT_FALSE(kn::eventing::make_filter(spec).value().matches(event));

  spec.filters = {exact("type", "order.created")};
  EXPECT_TRUE(kn::eventing::make_filter(spec).value().matches(event)) << "filter is ignored";
  spec.filters.push_back({});
  spec.filters[1].prefix["source"] = "/other";
  EXPECT_FALSE(kn::eventing::make_filter(spec).value().matches(event)) << "all must pass";
  SubscriptionsAPIFilter inner = spec.filters[1];
  spec.filters[1] = {};
  spec.filters[1].not_ = inner;
  EXPECT_TRUE(kn::eventing::make_filter(spec).value().matches(event));
  SubscriptionsAPIFilter any;
  any.any = {inner, exact("type", "order.created")};
  EXPECT_TRUE(kn::eventing::make_filter(any).value().matches(event));
  SubscriptionsAPIFilter all;
  all.all = any.any;
  EXPECT_FALSE(kn::eventing::make_filter(all).value().matches(event));
  SubscriptionsAPIFilter suffix;
  suffix.suffix = {{"type", ".created"}, {"source", "/web"}};
  EXPECT_TRUE(kn::eventing::make_filter(suffix).value().matches(event));
  SubscriptionsAPIFilter sql;
  sql.cesql = "type = 'order.created' AND source LIKE '/shop/%'";
  EXPECT_TRUE(kn::eventing::make_filter(sql).value().matches(event));
}

TEST(EventingLifecycle, BrokerIsReadyWhenEverythingIs) {
  kn::eventing::BrokerStatus status;
  initialize_conditions(status, at(0));
  EXPECT_EQ(status_and_reason(status.conditions, "Ready"), "Unknown/");
  mark_ingress_ready(status, at(1));
  mark_trigger_channel_ready(status, at(1));
  mark_filter_ready(status, at(1));
  mark_dead_letter_sink_not_configured(status, at(1));
  EXPECT_EQ(status_and_reason(status.conditions, "DeadLetterSinkResolved"),
            "True/DeadLetterSinkNotConfigured");
  EXPECT_EQ(status_and_reason(status.conditions, "Ready"), "Unknown/");
  set_address(status, "http://127.0.0.1/shop/default", at(2));
  EXPECT_EQ(status_and_reason(status.conditions, "Ready"), "True/");
  ASSERT_EQ(status.addresses.size(), 1u);
  set_address(status, "", at(3));
  EXPECT_EQ(status_and_reason(status.conditions, "Ready"), "False/EmptyHostname");
  EXPECT_FALSE(status.address);
}

TEST(EventingLifecycle, TriggerFollowsItsBroker) {
  kn::eventing::TriggerStatus status;
  initialize_conditions(status, at(0));
  kn::eventing::BrokerStatus broker;
  propagate_broker(status, broker, at(1));
  EXPECT_EQ(status_and_reason(status.conditions, "BrokerReady"), "Unknown/BrokerNotConfigured");
  mark_broker_failed(status, "BrokerDoesNotExist", "no such broker", at(2));
  EXPECT_EQ(status_and_reason(status.conditions, "Ready"), "False/BrokerDoesNotExist");
  initialize_conditions(broker, at(3));
  mark_ingress_ready(broker, at(3));
  mark_trigger_channel_ready(broker, at(3));
  mark_filter_ready(broker, at(3));
  mark_dead_letter_sink_not_configured(broker, at(3));
  set_address(broker, "http://b", at(3));
  propagate_broker(status, broker, at(4));
  mark_subscribed(status, at(4));
  mark_dependency_succeeded(status, at(4));
  mark_dead_letter_sink_not_configured(status, at(4));
  EXPECT_EQ(status_and_reason(status.conditions, "Ready"), "Unknown/");
  mark_subscriber_resolved(status, "http://x/", at(5));
  EXPECT_EQ(status_and_reason(status.conditions, "Ready"), "True/");
  EXPECT_EQ(status.subscriber_uri, "http://x/");
}

TEST(EventingCodec, KeepsEveryKnownField) {
  const std::string_view json = R"({"apiVersion":"eventing.knative.dev/v1","kind":"Trigger",
    "metadata":{"name":"t","namespace":"shop"},
    "spec":{"broker":"default","filter":{"attributes":{"type":"a"}},
      "filters":[{"all":[{"exact":{"type":"a"}},{"not":{"cesql":"TRUE"}}]},
                 {"any":[{"prefix":{"type":"b"}},{"suffix":{"source":"c"}}]}],
      "subscriber":{"ref":{"apiVersion":"v1","kind":"Service","name":"s","namespace":"shop"},
        "uri":"/path","CACerts":"pem","audience":"me"},
      "delivery":{"deadLetterSink":{"uri":"http://dls"},"retry":3,"timeout":"PT1S",
        "backoffPolicy":"linear","backoffDelay":"PT2S","retryAfterMax":"PT9S","format":"json"}},
    "status":{"observedGeneration":1,"subscriberUri":"http://s/path",
      "deadLetterSinkUri":"http://dls","conditions":[{"type":"Ready","status":"True"}]}})";
  const kn::AnyObject object =
      kn::AnyObject::from_value(kn::Value::parse_json(json).value(), kn::Strictness::strict)
          .value();
  const Trigger& trigger = object.get<Trigger>();
  ASSERT_EQ(trigger.spec.filters.size(), 2u);
  EXPECT_EQ(trigger.spec.filters[0].all[1].not_->cesql, "TRUE");
  EXPECT_EQ(object.to_value().to_json(), kn::Value::parse_json(json).value().to_json());
  const Trigger copy = trigger;
  EXPECT_EQ(copy, trigger);
}

TEST(EventingCodec, AllKindsAreInTheTable) {
  for (const std::string_view plural : {"brokers", "triggers", "eventtypes"}) {
    EXPECT_NE(kn::default_kinds().find_by_plural("eventing.knative.dev", "v1", plural), nullptr)
        << plural;
  }
  for (const std::string_view plural : {"channels", "subscriptions"}) {
    EXPECT_NE(kn::default_kinds().find_by_plural("messaging.knative.dev", "v1", plural), nullptr)
        << plural;
  }
}

TEST(EventingBoxed, IsAValue) {
  kn::eventing::Boxed<int> empty;
  kn::eventing::Boxed<int> one(1);
  kn::eventing::Boxed<int> copy = one;
  EXPECT_EQ(copy, one);
  *copy = 2;
  EXPECT_NE(copy, one);
  EXPECT_NE(copy, empty);
  empty = std::move(copy);
  EXPECT_EQ(*empty, 2);
}
