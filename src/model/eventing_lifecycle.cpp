// Conditions of the Eventing and Messaging kinds: which of them make Ready, and their reasons.
#include "knative/eventing.hpp"

namespace knative::eventing {
namespace {

constexpr std::string_view ready = "Ready";
constexpr std::string_view addressable = "Addressable";
constexpr std::string_view dead_letter_sink_resolved = "DeadLetterSinkResolved";

ConditionSet broker_set() {
  return ConditionSet::living({"IngressReady", "TriggerChannelReady", "FilterReady", addressable,
                               dead_letter_sink_resolved});
}
ConditionSet trigger_set() {
  return ConditionSet::living({"BrokerReady", "SubscriptionReady", "DependencyReady",
                               "SubscriberResolved", dead_letter_sink_resolved});
}
ConditionSet event_type_set() { return ConditionSet::living({"ReferenceExists"}); }
ConditionSet channel_set() {
  return ConditionSet::living({"BackingChannelReady", addressable, dead_letter_sink_resolved});
}
ConditionSet subscription_set() {
  return ConditionSet::living({"ReferencesResolved", "AddedToChannel", "ChannelReady"});
}

// What Broker, Trigger and Channel have in common about their dead letter sink.
template <class Status>
void dead_letter_resolved(const ConditionSet& set, Status& status, std::string uri, Timestamp now) {
  status.dead_letter_sink_uri = std::move(uri);
  set.mark_true(status.conditions, dead_letter_sink_resolved, now);
}
template <class Status>
void dead_letter_not_configured(const ConditionSet& set, Status& status, Timestamp now) {
  status.dead_letter_sink_uri.clear();
  set.mark_true(status.conditions, dead_letter_sink_resolved, "DeadLetterSinkNotConfigured",
                "No dead letter sink is configured.", now);
}
template <class Status>
void dead_letter_failed(const ConditionSet& set, Status& status, std::string reason,
                        std::string message, Timestamp now) {
  status.dead_letter_sink_uri.clear();
  set.mark_false(status.conditions, dead_letter_sink_resolved, std::move(reason),
                 std::move(message), now);
}

template <class Status>
void assign_address(const ConditionSet& set, Status& status, std::string url, Timestamp now) {
  if (url.empty()) {
    status.address.reset();
    set.mark_false(status.conditions, addressable, "EmptyHostname", "There is no address.", now);
    return;
  }
  Addressable address;
  address.name = "http";
  address.url = std::move(url);
  status.address = std::move(address);
  set.mark_true(status.conditions, addressable, now);
}

}  // namespace

// ---------------------------------------------------------------------------- Broker

void BrokerStatus::initialize_conditions(Timestamp now) {
  broker_set().initialize(conditions, now);
}
void BrokerStatus::mark_ingress_ready(Timestamp now) {
  broker_set().mark_true(conditions, "IngressReady", now);
}
void BrokerStatus::mark_ingress_failed(std::string reason, std::string message, Timestamp now) {
  broker_set().mark_false(conditions, "IngressReady", std::move(reason), std::move(message), now);
}
void BrokerStatus::mark_trigger_channel_ready(Timestamp now) {
  broker_set().mark_true(conditions, "TriggerChannelReady", now);
}
void BrokerStatus::mark_trigger_channel_failed(std::string reason, std::string message,
                                               Timestamp now) {
  broker_set().mark_false(conditions, "TriggerChannelReady", std::move(reason), std::move(message),
                          now);
}
void BrokerStatus::mark_filter_ready(Timestamp now) {
  broker_set().mark_true(conditions, "FilterReady", now);
}
void BrokerStatus::mark_filter_failed(std::string reason, std::string message, Timestamp now) {
  broker_set().mark_false(conditions, "FilterReady", std::move(reason), std::move(message), now);
}
void BrokerStatus::set_address(std::string url, Timestamp now) {
  assign_address(broker_set(), *this, std::move(url), now);
  addresses.clear();
  if (address) addresses.push_back(*address);
}
void BrokerStatus::mark_dead_letter_sink_resolved(std::string uri, Timestamp now) {
  dead_letter_resolved(broker_set(), *this, std::move(uri), now);
}
void BrokerStatus::mark_dead_letter_sink_not_configured(Timestamp now) {
  dead_letter_not_configured(broker_set(), *this, now);
}
void BrokerStatus::mark_dead_letter_sink_failed(std::string reason, std::string message,
                                                Timestamp now) {
  dead_letter_failed(broker_set(), *this, std::move(reason), std::move(message), now);
}

// ---------------------------------------------------------------------------- Trigger

void TriggerStatus::initialize_conditions(Timestamp now) {
  trigger_set().initialize(conditions, now);
}
void TriggerStatus::propagate_broker(const BrokerStatus& broker, Timestamp now) {
  const Condition* found = find_condition(broker.conditions, ready);
  const ConditionSet set = trigger_set();
  if (found == nullptr) {
    set.mark_unknown(conditions, "BrokerReady", "BrokerNotConfigured",
                     "The Broker has not been reconciled yet.", now);
  } else if (found->is_true()) {
    set.mark_true(conditions, "BrokerReady", now);
  } else if (found->is_false()) {
    set.mark_false(conditions, "BrokerReady", found->reason, found->message, now);
  } else {
    set.mark_unknown(conditions, "BrokerReady", found->reason, found->message, now);
  }
}
void TriggerStatus::mark_broker_failed(std::string reason, std::string message, Timestamp now) {
  trigger_set().mark_false(conditions, "BrokerReady", std::move(reason), std::move(message), now);
}
void TriggerStatus::mark_subscribed(Timestamp now) {
  trigger_set().mark_true(conditions, "SubscriptionReady", now);
}
void TriggerStatus::mark_not_subscribed(std::string reason, std::string message, Timestamp now) {
  trigger_set().mark_false(conditions, "SubscriptionReady", std::move(reason), std::move(message),
                           now);
}
void TriggerStatus::mark_dependency_succeeded(Timestamp now) {
  trigger_set().mark_true(conditions, "DependencyReady", now);
}
void TriggerStatus::mark_dependency_failed(std::string reason, std::string message, Timestamp now) {
  trigger_set().mark_false(conditions, "DependencyReady", std::move(reason), std::move(message),
                           now);
}
void TriggerStatus::mark_subscriber_resolved(std::string uri, Timestamp now) {
  subscriber_uri = std::move(uri);
  trigger_set().mark_true(conditions, "SubscriberResolved", now);
}
void TriggerStatus::mark_subscriber_unresolved(std::string reason, std::string message,
                                               Timestamp now) {
  subscriber_uri.clear();
  trigger_set().mark_false(conditions, "SubscriberResolved", std::move(reason), std::move(message),
                           now);
}
void TriggerStatus::mark_dead_letter_sink_resolved(std::string uri, Timestamp now) {
  dead_letter_resolved(trigger_set(), *this, std::move(uri), now);
}
void TriggerStatus::mark_dead_letter_sink_not_configured(Timestamp now) {
  dead_letter_not_configured(trigger_set(), *this, now);
}
void TriggerStatus::mark_dead_letter_sink_failed(std::string reason, std::string message,
                                                 Timestamp now) {
  dead_letter_failed(trigger_set(), *this, std::move(reason), std::move(message), now);
}

// ---------------------------------------------------------------------------- EventType

void EventTypeStatus::initialize_conditions(Timestamp now) {
  event_type_set().initialize(conditions, now);
}
void EventTypeStatus::mark_reference_exists(Timestamp now) {
  event_type_set().mark_true(conditions, "ReferenceExists", now);
}
void EventTypeStatus::mark_reference_does_not_exist(Timestamp now) {
  event_type_set().mark_false(conditions, "ReferenceExists", "ResourceDoesNotExist",
                              "The referenced resource does not exist.", now);
}
void EventTypeStatus::mark_reference_not_set(Timestamp now) {
  event_type_set().mark_true(conditions, "ReferenceExists", "ReferenceNotSet",
                             "No reference is set.", now);
}

// ---------------------------------------------------------------------------- Channel

void ChannelStatus::initialize_conditions(Timestamp now) {
  channel_set().initialize(conditions, now);
}
void ChannelStatus::mark_backing_channel_ready(Timestamp now) {
  channel_set().mark_true(conditions, "BackingChannelReady", now);
}
void ChannelStatus::mark_backing_channel_failed(std::string reason, std::string message,
                                                Timestamp now) {
  channel_set().mark_false(conditions, "BackingChannelReady", std::move(reason), std::move(message),
                           now);
}
void ChannelStatus::set_address(std::string url, Timestamp now) {
  assign_address(channel_set(), *this, std::move(url), now);
}
void ChannelStatus::mark_dead_letter_sink_resolved(std::string uri, Timestamp now) {
  dead_letter_resolved(channel_set(), *this, std::move(uri), now);
}
void ChannelStatus::mark_dead_letter_sink_not_configured(Timestamp now) {
  dead_letter_not_configured(channel_set(), *this, now);
}
void ChannelStatus::mark_dead_letter_sink_failed(std::string reason, std::string message,
                                                 Timestamp now) {
  dead_letter_failed(channel_set(), *this, std::move(reason), std::move(message), now);
}

// ---------------------------------------------------------------------------- Subscription

void SubscriptionStatus::initialize_conditions(Timestamp now) {
  subscription_set().initialize(conditions, now);
}
void SubscriptionStatus::mark_references_resolved(Timestamp now) {
  subscription_set().mark_true(conditions, "ReferencesResolved", now);
}
void SubscriptionStatus::mark_references_not_resolved(std::string reason, std::string message,
                                                      Timestamp now) {
  subscription_set().mark_false(conditions, "ReferencesResolved", std::move(reason),
                                std::move(message), now);
}
void SubscriptionStatus::mark_added_to_channel(Timestamp now) {
  subscription_set().mark_true(conditions, "AddedToChannel", now);
}
void SubscriptionStatus::mark_not_added_to_channel(std::string reason, std::string message,
                                                   Timestamp now) {
  subscription_set().mark_false(conditions, "AddedToChannel", std::move(reason), std::move(message),
                                now);
}
void SubscriptionStatus::mark_channel_ready(Timestamp now) {
  subscription_set().mark_true(conditions, "ChannelReady", now);
}
void SubscriptionStatus::mark_channel_failed(std::string reason, std::string message,
                                             Timestamp now) {
  subscription_set().mark_false(conditions, "ChannelReady", std::move(reason), std::move(message),
                                now);
}

}  // namespace knative::eventing
