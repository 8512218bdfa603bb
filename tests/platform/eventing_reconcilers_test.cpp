// What Triggers, Subscriptions and EventTypes say about what they miss, and that they hear when it
// comes at last.
#include "knative/core.hpp"
#include "platform/platform_fixture.hpp"

namespace knative {
namespace {

using namespace testing_platform;
using eventing::Broker;
using eventing::Channel;
using eventing::Destination;
using eventing::EventType;
using eventing::Trigger;
using Subscribed = eventing::Subscription;

constexpr std::string_view anywhere = "http://somewhere.example.com/";

class EventingReconcilers : public PlatformFixture {
 protected:
  EventingReconcilers() {
    functions_.http("sink", [this](http::Request&) {
      ++calls_;
      return http::Response{.status = 202};
    });
  }
  static Trigger trigger(const Destination& subscriber = to<serving::Service>("sink")) {
    Trigger made = eventing::trigger("to-sink", "default", "");
    made.spec.subscriber = subscriber;
    return made;
  }
  static Channel channel() {
    Channel made;
    made.metadata.name = "orders";
    return made;
  }
  static Subscribed subscription() {
    Subscribed made;
    made.metadata.name = "to-sink";
    made.spec.channel = {
        .api_version = "messaging.knative.dev/v1", .kind = "Channel", .name = "orders"};
    made.spec.subscriber = Destination{};
    made.spec.subscriber->uri = anywhere;
    return made;
  }
  // Two objects that came from a store with other rules.
  void begin_without_rules() {
    PlatformOptions options;
    options.open_store = store_without_rules;
    begin(std::move(options));
  }
  // Where a Trigger with this subscriber delivers; what it misses when nowhere.
  std::string resolved(const Destination& subscriber) {
    apply(trigger(subscriber));
    const std::string uri = get<Trigger>("to-sink").status.subscriber_uri;
    return uri.empty() ? message<Trigger>("to-sink", "SubscriberResolved") : uri;
  }

  int calls_ = 0;
};

// ---------------------------------------------------------------------------- Trigger

TEST_F(EventingReconcilers, the_query_of_a_subscribers_url_is_used_and_never_shown) {
  std::string target;
  std::string letter;
  functions_.http("hook", [&](http::Request& request) {
    target = request.target;
    return http::error_response(400);
  });
  functions_.http("letters", [&](http::Request& request) {
    target += " " + request.target;
    letter = std::string(request.headers.get("ce-knativeerrordest").value_or("none"));
    return http::Response{.status = 202};
  });
  apply(serving::service("hook", "fn:hook"));
  apply(serving::service("letters", "fn:letters"));
  apply(eventing::broker("default"));
  Trigger made = trigger(to<serving::Service>("hook", "", "/in?token=hunter2"));
  made.spec.delivery.emplace().dead_letter_sink.emplace().uri =
      "http://letters.default.svc.cluster.local/?token=hunter3";
  apply(made);
  publish("default");
  EXPECT_EQ(target, "/in?token=hunter2 /?token=hunter3");
  EXPECT_EQ(letter, "http://hook.default.svc.cluster.local/in?redacted");
  Value shown = AnyObject(get<Trigger>("to-sink")).to_value();
  EXPECT_EQ(shown.at_path("status")->to_json().find("hunter"), std::string::npos)
      << shown.at_path("status")->to_json();
  EXPECT_EQ(get<Trigger>("to-sink").status.subscriber_uri,
            "http://hook.default.svc.cluster.local/in?redacted");
  Subscribed subscribed = subscription();
  subscribed.spec.subscriber->uri += "/?token=hunter2";
  apply(channel());
  apply(subscribed);
  shown = AnyObject(get<Subscribed>("to-sink")).to_value();
  EXPECT_EQ(shown.at_path("status")->to_json().find("hunter"), std::string::npos)
      << shown.at_path("status")->to_json();
}

TEST_F(EventingReconcilers, a_trigger_hears_when_its_broker_comes_at_last) {
  apply(serving::service("sink", "fn:sink"));
  apply(trigger());
  EXPECT_EQ(state<Trigger>("to-sink", "BrokerReady"), "False BrokerDoesNotExist");
  EXPECT_EQ(state<Trigger>("to-sink"), "False BrokerDoesNotExist");
  EXPECT_NE(message<Trigger>("to-sink").find("\"default\""), std::string::npos);
  apply(eventing::broker("default"));
  EXPECT_EQ(state<Trigger>("to-sink"), "True");
  publish("default");
  EXPECT_EQ(calls_, 1);
}

TEST_F(EventingReconcilers, a_trigger_says_so_when_its_broker_goes_and_delivers_when_it_is_back) {
  apply(serving::service("sink", "fn:sink"));
  apply(eventing::broker("default"));
  apply(trigger());
  remove<Broker>("default");
  EXPECT_EQ(state<Trigger>("to-sink"), "False BrokerDoesNotExist");
  apply(eventing::broker("default"));
  EXPECT_EQ(state<Trigger>("to-sink"), "True");
  publish("default");
  EXPECT_EQ(calls_, 1);
}

TEST_F(EventingReconcilers, a_trigger_hears_when_its_subscriber_comes_at_last) {
  apply(eventing::broker("default"));
  apply(trigger());
  EXPECT_EQ(state<Trigger>("to-sink", "SubscriberResolved"),
            "False Unable to get the Subscriber's URI");
  apply(serving::service("sink", "fn:sink"));
  EXPECT_EQ(state<Trigger>("to-sink"), "True");
}

TEST_F(EventingReconcilers, a_trigger_waits_for_what_its_annotation_says_it_depends_on) {
  apply(serving::service("sink", "fn:sink"));
  apply(eventing::broker("default"));
  Trigger wanted = trigger();
  wanted.metadata.annotations["knative.dev/dependency"] =
      R"({"apiVersion":"serving.knative.dev/v1","kind":"Service","name":"source"})";
  apply(wanted);
  EXPECT_EQ(state<Trigger>("to-sink", "DependencyReady"), "False DependencyDoesNotExist");
  apply(serving::service("source", "fn:absent"));
  EXPECT_EQ(state<Trigger>("to-sink", "DependencyReady"), state<serving::Service>("source"));
  EXPECT_EQ(state<Trigger>("to-sink").substr(0, 5), "False");
  apply(serving::service("source", "fn:sink"));
  EXPECT_EQ(state<Trigger>("to-sink"), "True");
  EXPECT_LT(writes_of_a_minute(), 10);
}

TEST_F(EventingReconcilers, a_subscriber_that_does_not_speak_http_is_not_subscribed) {
  apply(eventing::broker("default"));
  Destination mail;
  mail.uri = "mailto:ada@example.com";
  apply(trigger(mail));
  EXPECT_EQ(state<Trigger>("to-sink", "SubscriptionReady"), "False NotSubscribed");
  EXPECT_NE(message<Trigger>("to-sink").find("mailto:ada@example.com"), std::string::npos);
  mail.uri = anywhere;
  apply(trigger(mail));
  EXPECT_EQ(state<Trigger>("to-sink"), "True");
}

TEST_F(EventingReconcilers, a_filter_that_cannot_be_understood_lets_nothing_pass) {
  begin_without_rules();
  apply(serving::service("sink", "fn:sink"));
  apply(eventing::broker("default"));
  Trigger bad = trigger();
  bad.spec.filters = {{.cesql = "type = "}};
  apply(bad);
  EXPECT_EQ(state<Trigger>("to-sink", "SubscriptionReady"), "False NotSubscribed");
  EXPECT_NE(message<Trigger>("to-sink").find("cesql"), std::string::npos)
      << message<Trigger>("to-sink");
  publish("default");
  EXPECT_EQ(calls_, 0);
}

struct BadDelivery {
  const char* field;
  std::string eventing::DeliverySpec::*member;
};

class DeliveryOptionsOf : public EventingReconcilers,
                          public ::testing::WithParamInterface<BadDelivery> {};

TEST_P(DeliveryOptionsOf, a_trigger_or_subscription_that_do_not_parse_are_named) {
  begin_without_rules();
  apply(eventing::broker("default"));
  apply(channel());
  eventing::DeliverySpec delivery;
  delivery.*GetParam().member = "ten seconds";
  Destination somewhere;
  somewhere.uri = anywhere;
  Trigger bad_trigger = trigger(somewhere);
  bad_trigger.spec.delivery = delivery;
  apply(bad_trigger);
  Subscribed bad_subscription = subscription();
  bad_subscription.spec.delivery = delivery;
  apply(bad_subscription);
  EXPECT_EQ(state<Trigger>("to-sink", "SubscriptionReady"), "False NotSubscribed");
  EXPECT_NE(message<Trigger>("to-sink").find(GetParam().field), std::string::npos);
  EXPECT_EQ(state<Subscribed>("to-sink", "AddedToChannel"), "False InvalidDelivery");
  EXPECT_NE(message<Subscribed>("to-sink").find(GetParam().field), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(
    Bad, DeliveryOptionsOf,
    ::testing::Values(BadDelivery{"backoffDelay", &eventing::DeliverySpec::backoff_delay},
                      BadDelivery{"timeout", &eventing::DeliverySpec::timeout},
                      BadDelivery{"retryAfterMax", &eventing::DeliverySpec::retry_after_max}),
    [](const auto& param) { return std::string(param.param.field); });

// ---------------------------------------------------------------------------- Subscription

TEST_F(EventingReconcilers, a_subscription_hears_when_its_channel_comes_at_last) {
  apply(subscription());
  EXPECT_EQ(state<Subscribed>("to-sink", "ChannelReady"), "False ChannelNotFound");
  apply(channel());
  EXPECT_EQ(state<Subscribed>("to-sink"), "True");
  remove<Channel>("orders");
  EXPECT_EQ(state<Subscribed>("to-sink"), "False ChannelNotFound");
}

struct Unresolved {
  const char* reason;
  void (*point)(eventing::SubscriptionSpec&, const Destination&);
  std::string eventing::PhysicalSubscription::*shown;
};

class ReferencesOfASubscription : public EventingReconcilers,
                                  public ::testing::WithParamInterface<Unresolved> {};

TEST_P(ReferencesOfASubscription, are_waited_for_by_name) {
  apply(channel());
  Subscribed waiting = subscription();
  GetParam().point(waiting.spec, to<serving::Service>("sink"));
  apply(waiting);
  EXPECT_EQ(state<Subscribed>("to-sink", "ReferencesResolved"),
            std::string("False ") + GetParam().reason);
  EXPECT_NE(message<Subscribed>("to-sink").find("\"sink\""), std::string::npos)
      << message<Subscribed>("to-sink");
  apply(serving::service("sink", "fn:sink"));
  EXPECT_EQ(state<Subscribed>("to-sink"), "True");
  EXPECT_EQ(get<Subscribed>("to-sink").status.physical_subscription.*GetParam().shown,
            "http://sink.default.svc.cluster.local");
}

INSTANTIATE_TEST_SUITE_P(
    All, ReferencesOfASubscription,
    ::testing::Values(Unresolved{"SubscriberResolveFailed",
                                 [](eventing::SubscriptionSpec& spec, const Destination& sink) {
                                   spec.subscriber = sink;
                                 },
                                 &eventing::PhysicalSubscription::subscriber_uri},
                      Unresolved{"ReplyResolveFailed",
                                 [](eventing::SubscriptionSpec& spec, const Destination& sink) {
                                   spec.reply = sink;
                                 },
                                 &eventing::PhysicalSubscription::reply_uri},
                      Unresolved{"DeadLetterSinkResolveFailed",
                                 [](eventing::SubscriptionSpec& spec, const Destination& sink) {
                                   spec.delivery.emplace().dead_letter_sink = sink;
                                 },
                                 &eventing::PhysicalSubscription::dead_letter_sink_uri}),
    [](const auto& param) { return std::string(param.param.reason); });

TEST_F(EventingReconcilers, a_reply_address_that_does_not_speak_http_is_not_added_to_the_channel) {
  apply(channel());
  Subscribed bad = subscription();
  bad.spec.reply = Destination{};
  bad.spec.reply->uri = "mailto:ada@example.com";
  apply(bad);
  EXPECT_EQ(state<Subscribed>("to-sink", "AddedToChannel"), "False PhysicalChannelSyncFailed");
}

// ---------------------------------------------------------------------------- EventType

TEST_F(EventingReconcilers, an_event_type_follows_whether_its_broker_is_there) {
  EventType type;
  type.metadata.name = "ordered";
  type.spec.type = "order.created";
  type.spec.reference = to<Broker>("default").ref;
  apply(type);
  EXPECT_EQ(state<EventType>("ordered", "ReferenceExists"), "False ResourceDoesNotExist");
  EXPECT_EQ(state<EventType>("ordered"), "False ResourceDoesNotExist");
  apply(eventing::broker("default"));
  EXPECT_EQ(state<EventType>("ordered"), "True");
  remove<Broker>("default");
  EXPECT_EQ(state<EventType>("ordered"), "False ResourceDoesNotExist");
  remove<EventType>("ordered");
  const long long before = std::stoll(platform_->store().resource_version());
  apply(eventing::broker("default"));
  EXPECT_LE(std::stoll(platform_->store().resource_version()) - before, 2)
      << "who is gone is quiet";
}

TEST_F(EventingReconcilers, an_event_type_that_refers_to_nothing_is_ready) {
  EventType type;
  type.metadata.name = "ordered";
  type.spec.type = "order.created";
  apply(type);
  EXPECT_EQ(state<EventType>("ordered", "ReferenceExists"), "True ReferenceNotSet");
  EXPECT_EQ(state<EventType>("ordered"), "True");
}

// ---------------------------------------------------------------------------- destinations

TEST_F(EventingReconcilers, a_destination_is_the_address_of_what_it_refers_to) {
  apply(eventing::broker("default"));
  apply(channel());
  apply(serving::service("sink", "fn:sink"));
  serving::Service elsewhere = serving::service("sink", "fn:sink");
  elsewhere.metadata.namespace_ = "shop";
  apply(elsewhere);
  core::Service plain;
  plain.metadata.name = "plain";
  plain.spec.ports = {{.port = 80}};
  apply(plain);
  EXPECT_EQ(resolved(to<serving::Service>("sink")), "http://sink.default.svc.cluster.local");
  EXPECT_EQ(resolved(to<serving::Service>("sink", "shop")), "http://sink.shop.svc.cluster.local");
  EXPECT_EQ(resolved(to<serving::Route>("sink")), "http://sink.default.svc.cluster.local");
  EXPECT_EQ(resolved(to<core::Service>("plain")), "http://plain.default.svc.cluster.local");
  EXPECT_EQ(resolved(to<Broker>("default")),
            "http://broker-ingress.knative-eventing.localhost/default/default");
  EXPECT_EQ(resolved(to<Channel>("orders")), "http://orders-kn-channel.default.localhost");
  Destination by_name = to<Broker>("default");
  by_name.ref->address = "http";
  EXPECT_EQ(resolved(by_name), resolved(to<Broker>("default")));
  by_name.ref->address = "https";
  EXPECT_NE(resolved(by_name).find("address not set"), std::string::npos);
}

TEST_F(EventingReconcilers, a_relative_uri_beside_a_reference_is_joined_as_rfc_3986_says) {
  apply(eventing::broker("default"));
  apply(serving::service("sink", "fn:sink"));
  const std::string sink = "http://sink.default.svc.cluster.local";
  const std::string ingress = "http://broker-ingress.knative-eventing.localhost";
  const auto from_service = [](const char* uri) { return to<serving::Service>("sink", "", uri); };
  const auto from_broker = [](const char* uri) { return to<Broker>("default", "", uri); };
  EXPECT_EQ(resolved(from_service("/events?x=/y")), sink + "/events?redacted");
  EXPECT_EQ(resolved(from_service("events")), sink + "/events");
  EXPECT_EQ(resolved(from_broker("other")), ingress + "/default/other");
  EXPECT_EQ(resolved(from_broker("/shop/default")), ingress + "/shop/default");
  EXPECT_EQ(resolved(from_broker("../shop/./default")), ingress + "/shop/default");
  EXPECT_EQ(resolved(from_broker("?x=1")), ingress + "/default/default?redacted");
}

TEST_F(EventingReconcilers, a_destination_that_leads_nowhere_says_why) {
  begin_without_rules();
  apply(eventing::broker("default"));
  core::ConfigMap settings;
  settings.metadata.name = "settings";
  apply(settings);
  const auto says = [this](const Destination& subscriber, std::string_view what) {
    const std::string text = resolved(subscriber);
    return text.find(what) == std::string::npos ? text : std::string(what);
  };
  EXPECT_EQ(says(Destination{}, "without ref and uri"), "without ref and uri");
  EXPECT_EQ(says(to<serving::Service>("absent"), "\"absent\" not found"), "\"absent\" not found");
  EXPECT_EQ(says(to<core::ConfigMap>("settings"), "address not set"), "address not set");
  Destination unknown = to<core::ConfigMap>("settings");
  unknown.ref->kind = "Teapot";
  EXPECT_EQ(says(unknown, "Teapot"), "Teapot");
}

}  // namespace
}  // namespace knative
