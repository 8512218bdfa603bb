#include "model/eventing_lifecycle.hpp"
#include "model/condition_rows.hpp"

namespace knative::eventing {
namespace {

using testing::at;
using testing::condition;
using testing::expect_marks;
using testing::expect_ready_needs_all;
using testing::Mark;

const std::string dead_letters = "DeadLetterSinkResolved";

// Broker, Trigger and Channel have the same marks of a dead letter sink.
template <class S>
void expect_dead_letter_marks() {
  expect_marks<S>({
      {[](S& s) { mark_dead_letter_sink_resolved(s, "http://d", at(1)); }, dead_letters, "True"},
      {[](S& s) { mark_dead_letter_sink_not_configured(s, at(1)); }, dead_letters,
       "True/DeadLetterSinkNotConfigured/No dead letter sink is configured."},
      {[](S& s) { mark_dead_letter_sink_failed(s, "NotFound", "m", at(1)); }, dead_letters,
       "False/NotFound/m"},
  });
  S status;
  mark_dead_letter_sink_resolved(status, "http://d", at(1));
  EXPECT_EQ(status.dead_letter_sink_uri, "http://d");
  S failed = status;
  mark_dead_letter_sink_failed(failed, "NotFound", "m", at(2));
  EXPECT_EQ(failed.dead_letter_sink_uri, "");
  mark_dead_letter_sink_not_configured(status, at(2));
  EXPECT_EQ(status.dead_letter_sink_uri, "");
}

// Broker and Channel have the same address.
template <class S>
void expect_address_marks() {
  expect_marks<S>({
      {[](S& s) { set_address(s, "http://a", at(1)); }, "Addressable", "True"},
      {[](S& s) { set_address(s, "", at(1)); }, "Addressable",
       "False/EmptyHostname/There is no address."},
  });
  S status;
  set_address(status, "http://a", at(1));
  ASSERT_TRUE(status.address);
  EXPECT_EQ(status.address->name, "http");
  EXPECT_EQ(status.address->url, "http://a");
  set_address(status, "", at(2));
  EXPECT_FALSE(status.address);
}

// ---------------------------------------------------------------------------- Broker

TEST(BrokerLifecycle, MarksSetTheirConditionAndReady) {
  using S = BrokerStatus;
  expect_marks<S>({
      {[](S& s) { mark_ingress_ready(s, at(1)); }, "IngressReady", "True"},
      {[](S& s) { mark_ingress_failed(s, "EndpointSlicesUnavailable", "m", at(1)); },
       "IngressReady", "False/EndpointSlicesUnavailable/m"},
      {[](S& s) { mark_trigger_channel_ready(s, at(1)); }, "TriggerChannelReady", "True"},
      {[](S& s) { mark_trigger_channel_failed(s, "NoAddress", "m", at(1)); }, "TriggerChannelReady",
       "False/NoAddress/m"},
      {[](S& s) { mark_filter_ready(s, at(1)); }, "FilterReady", "True"},
      {[](S& s) { mark_filter_failed(s, "R", "m", at(1)); }, "FilterReady", "False/R/m"},
  });
  expect_dead_letter_marks<S>();
  expect_address_marks<S>();
}

TEST(BrokerLifecycle, ReadyNeedsAllParts) {
  using S = BrokerStatus;
  expect_ready_needs_all<S>({[](S& s) { mark_ingress_ready(s, at(1)); },
                             [](S& s) { mark_trigger_channel_ready(s, at(1)); },
                             [](S& s) { mark_filter_ready(s, at(1)); },
                             [](S& s) { set_address(s, "http://a", at(1)); },
                             [](S& s) { mark_dead_letter_sink_resolved(s, "http://d", at(1)); }});
}

TEST(BrokerLifecycle, TheListOfAddressesHoldsTheAddress) {
  BrokerStatus status;
  set_address(status, "http://a", at(1));
  set_address(status, "http://b", at(2));
  ASSERT_EQ(status.addresses.size(), 1U);
  EXPECT_EQ(status.addresses[0], status.address);
  set_address(status, "", at(3));
  EXPECT_TRUE(status.addresses.empty());
}

// ---------------------------------------------------------------------------- Trigger

TEST(TriggerLifecycle, MarksSetTheirConditionAndReady) {
  using S = TriggerStatus;
  expect_marks<S>({
      {[](S& s) { mark_broker_failed(s, "BrokerDoesNotExist", "m", at(1)); }, "BrokerReady",
       "False/BrokerDoesNotExist/m"},
      {[](S& s) { mark_subscribed(s, at(1)); }, "SubscriptionReady", "True"},
      {[](S& s) { mark_not_subscribed(s, "NotSubscribed", "m", at(1)); }, "SubscriptionReady",
       "False/NotSubscribed/m"},
      {[](S& s) { mark_dependency_succeeded(s, at(1)); }, "DependencyReady", "True"},
      {[](S& s) { mark_dependency_failed(s, "DependencyDoesNotExist", "m", at(1)); },
       "DependencyReady", "False/DependencyDoesNotExist/m"},
      {[](S& s) { mark_subscriber_resolved(s, "http://s", at(1)); }, "SubscriberResolved", "True"},
      {[](S& s) { mark_subscriber_unresolved(s, "NotFound", "m", at(1)); }, "SubscriberResolved",
       "False/NotFound/m"},
  });
  expect_dead_letter_marks<S>();
}

BrokerStatus broker_that_is(const std::string& status) {
  BrokerStatus broker;
  if (!status.empty()) {
    broker.conditions = {{.type = "Ready", .status = status, .reason = "R", .message = "m"}};
  }
  return broker;
}

TEST(TriggerLifecycle, CopiesReadyOfItsBroker) {
  const std::pair<std::string, std::string> rows[] = {
      {"", "Unknown/BrokerNotConfigured/The Broker has not been reconciled yet."},
      {"True", "True"},
      {"False", "False/R/m"},
      {"Unknown", "Unknown/R/m"}};
  std::vector<Mark<TriggerStatus>> marks;
  for (const auto& row : rows) {
    marks.push_back({[given = row.first](TriggerStatus& s) {
                       propagate_broker(s, broker_that_is(given), at(1));
                     },
                     "BrokerReady", row.second});
  }
  expect_marks(marks);
}

TEST(TriggerLifecycle, ReadyNeedsBrokerSubscriptionDependencySubscriberAndSink) {
  using S = TriggerStatus;
  expect_ready_needs_all<S>({[](S& s) { propagate_broker(s, broker_that_is("True"), at(1)); },
                             [](S& s) { mark_subscribed(s, at(1)); },
                             [](S& s) { mark_dependency_succeeded(s, at(1)); },
                             [](S& s) { mark_subscriber_resolved(s, "http://s", at(1)); },
                             [](S& s) { mark_dead_letter_sink_not_configured(s, at(1)); }});
}

TEST(TriggerLifecycle, AnUnresolvedSubscriberHasNoAddress) {
  TriggerStatus status;
  mark_subscriber_resolved(status, "http://s", at(1));
  EXPECT_EQ(status.subscriber_uri, "http://s");
  mark_subscriber_unresolved(status, "NotFound", "m", at(2));
  EXPECT_EQ(status.subscriber_uri, "");
}

TEST(TriggerLifecycle, AFailureOutweighsABrokerThatIsNotReadyYet) {
  TriggerStatus status;
  initialize_conditions(status, at(0));
  mark_subscriber_unresolved(status, "NotFound", "m", at(1));
  propagate_broker(status, broker_that_is("Unknown"), at(2));
  EXPECT_EQ(condition(status.conditions, "Ready"), "False/NotFound/m");
  mark_subscriber_resolved(status, "http://s", at(3));
  EXPECT_EQ(condition(status.conditions, "Ready"), "Unknown/R/m");
}

// ---------------------------------------------------------------------------- EventType

TEST(EventTypeLifecycle, TheReferenceAloneMakesReady) {
  const std::string type = "ReferenceExists";
  const std::pair<void (*)(EventTypeStatus&, Timestamp), std::string> rows[] = {
      {&mark_reference_exists, "True"},
      {&mark_reference_not_set, "True/ReferenceNotSet/No reference is set."},
      {&mark_reference_does_not_exist,
       "False/ResourceDoesNotExist/The referenced resource does not exist."}};
  for (const auto& [mark, expected] : rows) {
    EventTypeStatus status;
    initialize_conditions(status, at(0));
    EXPECT_EQ(condition(status.conditions, "Ready"), "Unknown");
    mark(status, at(1));
    EXPECT_EQ(condition(status.conditions, type), expected);
    EXPECT_EQ(condition(status.conditions, "Ready"),
              expected.starts_with("True") ? "True" : expected);
  }
}

// ---------------------------------------------------------------------------- Channel

TEST(ChannelLifecycle, MarksSetTheirConditionAndReady) {
  using S = ChannelStatus;
  expect_marks<S>({
      {[](S& s) { mark_backing_channel_ready(s, at(1)); }, "BackingChannelReady", "True"},
      {[](S& s) { mark_backing_channel_failed(s, "R", "m", at(1)); }, "BackingChannelReady",
       "False/R/m"},
  });
  expect_dead_letter_marks<S>();
  expect_address_marks<S>();
}

TEST(ChannelLifecycle, ReadyNeedsABackingChannelAnAddressAndASink) {
  using S = ChannelStatus;
  expect_ready_needs_all<S>({[](S& s) { mark_backing_channel_ready(s, at(1)); },
                             [](S& s) { set_address(s, "http://a", at(1)); },
                             [](S& s) { mark_dead_letter_sink_not_configured(s, at(1)); }});
}

// ---------------------------------------------------------------------------- Subscription

TEST(SubscriptionLifecycle, MarksSetTheirConditionAndReady) {
  using S = SubscriptionStatus;
  expect_marks<S>({
      {[](S& s) { mark_references_resolved(s, at(1)); }, "ReferencesResolved", "True"},
      {[](S& s) { mark_references_not_resolved(s, "R", "m", at(1)); }, "ReferencesResolved",
       "False/R/m"},
      {[](S& s) { mark_added_to_channel(s, at(1)); }, "AddedToChannel", "True"},
      {[](S& s) { mark_not_added_to_channel(s, "R", "m", at(1)); }, "AddedToChannel", "False/R/m"},
      {[](S& s) { mark_channel_ready(s, at(1)); }, "ChannelReady", "True"},
      {[](S& s) { mark_channel_failed(s, "R", "m", at(1)); }, "ChannelReady", "False/R/m"},
  });
}

TEST(SubscriptionLifecycle, ReadyNeedsReferencesAndAChannelThatKnowsIt) {
  using S = SubscriptionStatus;
  expect_ready_needs_all<S>({[](S& s) { mark_references_resolved(s, at(1)); },
                             [](S& s) { mark_added_to_channel(s, at(1)); },
                             [](S& s) { mark_channel_ready(s, at(1)); }});
}

}  // namespace
}  // namespace knative::eventing
