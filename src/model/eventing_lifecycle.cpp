// Conditions of the Eventing and Messaging kinds: which of them make Ready, and their reasons.
#include "model/eventing_lifecycle.hpp"

#include "knative/http_url.hpp"

namespace knative::eventing {
namespace {

constexpr std::string_view ready = "Ready";
constexpr std::string_view addressable = "Addressable";
constexpr std::string_view dead_letter_sink_resolved = "DeadLetterSinkResolved";

const ConditionSet& broker_set() {
  static const ConditionSet set =
      ConditionSet::living({"IngressReady", "TriggerChannelReady", "FilterReady", addressable,
                            dead_letter_sink_resolved});
  return set;
}
const ConditionSet& trigger_set() {
  static const ConditionSet set =
      ConditionSet::living({"BrokerReady", "SubscriptionReady", "DependencyReady",
                            "SubscriberResolved", dead_letter_sink_resolved});
  return set;
}
const ConditionSet& event_type_set() {
  static const ConditionSet set = ConditionSet::living({"ReferenceExists"});
  return set;
}
const ConditionSet& channel_set() {
  static const ConditionSet set =
      ConditionSet::living({"BackingChannelReady", addressable, dead_letter_sink_resolved});
  return set;
}
const ConditionSet& subscription_set() {
  static const ConditionSet set =
      ConditionSet::living({"ReferencesResolved", "AddedToChannel", "ChannelReady"});
  return set;
}

// What Broker, Trigger and Channel have in common about their dead letter sink.
template <class Status>
void dead_letter_resolved(const ConditionSet& set, Status& status, const std::string& uri,
                          Timestamp now) {
  status.dead_letter_sink_uri = http::shown_url(uri);
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

void initialize_conditions(BrokerStatus& status, Timestamp now) {
  broker_set().initialize(status.conditions, now);
}
void mark_ingress_ready(BrokerStatus& status, Timestamp now) {
  broker_set().mark_true(status.conditions, "IngressReady", now);
}
void mark_ingress_failed(BrokerStatus& status, std::string reason, std::string message,
                         Timestamp now) {
  broker_set().mark_false(status.conditions, "IngressReady", std::move(reason), std::move(message),
                          now);
}
void mark_trigger_channel_ready(BrokerStatus& status, Timestamp now) {
  broker_set().mark_true(status.conditions, "TriggerChannelReady", now);
}
void mark_trigger_channel_failed(BrokerStatus& status, std::string reason, std::string message,
                                 Timestamp now) {
  broker_set().mark_false(status.conditions, "TriggerChannelReady", std::move(reason),
                          std::move(message), now);
}
void mark_filter_ready(BrokerStatus& status, Timestamp now) {
  broker_set().mark_true(status.conditions, "FilterReady", now);
}
void mark_filter_failed(BrokerStatus& status, std::string reason, std::string message,
                        Timestamp now) {
  broker_set().mark_false(status.conditions, "FilterReady", std::move(reason), std::move(message),
                          now);
}
void set_address(BrokerStatus& status, std::string url, Timestamp now) {
  assign_address(broker_set(), status, std::move(url), now);
  status.addresses.clear();
  if (status.address) status.addresses.push_back(*status.address);
}
void mark_dead_letter_sink_resolved(BrokerStatus& status, const std::string& uri, Timestamp now) {
  dead_letter_resolved(broker_set(), status, uri, now);
}
void mark_dead_letter_sink_not_configured(BrokerStatus& status, Timestamp now) {
  dead_letter_not_configured(broker_set(), status, now);
}
void mark_dead_letter_sink_failed(BrokerStatus& status, std::string reason, std::string message,
                                  Timestamp now) {
  dead_letter_failed(broker_set(), status, std::move(reason), std::move(message), now);
}

// ---------------------------------------------------------------------------- Trigger

void initialize_conditions(TriggerStatus& status, Timestamp now) {
  trigger_set().initialize(status.conditions, now);
}
void propagate_broker(TriggerStatus& status, const BrokerStatus& broker, Timestamp now) {
  const Condition* found = find_condition(broker.conditions, ready);
  const ConditionSet& set = trigger_set();
  if (found == nullptr) {
    set.mark_unknown(status.conditions, "BrokerReady", "BrokerNotConfigured",
                     "The Broker has not been reconciled yet.", now);
  } else if (found->is_true()) {
    set.mark_true(status.conditions, "BrokerReady", now);
  } else if (found->is_false()) {
    set.mark_false(status.conditions, "BrokerReady", found->reason, found->message, now);
  } else {
    set.mark_unknown(status.conditions, "BrokerReady", found->reason, found->message, now);
  }
}
void mark_broker_failed(TriggerStatus& status, std::string reason, std::string message,
                        Timestamp now) {
  trigger_set().mark_false(status.conditions, "BrokerReady", std::move(reason), std::move(message),
                           now);
}
void mark_subscribed(TriggerStatus& status, Timestamp now) {
  trigger_set().mark_true(status.conditions, "SubscriptionReady", now);
}
void mark_not_subscribed(TriggerStatus& status, std::string reason, std::string message,
                         Timestamp now) {
  trigger_set().mark_false(status.conditions, "SubscriptionReady", std::move(reason),
                           std::move(message), now);
}
void mark_dependency_succeeded(TriggerStatus& status, Timestamp now) {
  trigger_set().mark_true(status.conditions, "DependencyReady", now);
}
void mark_dependency_failed(TriggerStatus& status, std::string reason, std::string message,
                            Timestamp now) {
  trigger_set().mark_false(status.conditions, "DependencyReady", std::move(reason),
                           std::move(message), now);
}
void mark_subscriber_resolved(TriggerStatus& status, const std::string& uri, Timestamp now) {
  status.subscriber_uri = http::shown_url(uri);
  trigger_set().mark_true(status.conditions, "SubscriberResolved", now);
}
void mark_subscriber_unresolved(TriggerStatus& status, std::string reason, std::string message,
                                Timestamp now) {
  status.subscriber_uri.clear();
  trigger_set().mark_false(status.conditions, "SubscriberResolved", std::move(reason),
                           std::move(message), now);
}
void mark_dead_letter_sink_resolved(TriggerStatus& status, const std::string& uri, Timestamp now) {
  dead_letter_resolved(trigger_set(), status, uri, now);
}
void mark_dead_letter_sink_not_configured(TriggerStatus& status, Timestamp now) {
  dead_letter_not_configured(trigger_set(), status, now);
}
void mark_dead_letter_sink_failed(TriggerStatus& status, std::string reason, std::string message,
                                  Timestamp now) {
  dead_letter_failed(trigger_set(), status, std::move(reason), std::move(message), now);
}

// ---------------------------------------------------------------------------- EventType

void initialize_conditions(EventTypeStatus& status, Timestamp now) {
  event_type_set().initialize(status.conditions, now);
}
void mark_reference_exists(EventTypeStatus& status, Timestamp now) {
  event_type_set().mark_true(status.conditions, "ReferenceExists", now);
}
void mark_reference_does_not_exist(EventTypeStatus& status, Timestamp now) {
  event_type_set().mark_false(status.conditions, "ReferenceExists", "ResourceDoesNotExist",
                              "The referenced resource does not exist.", now);
}
void mark_reference_not_set(EventTypeStatus& status, Timestamp now) {
  event_type_set().mark_true(status.conditions, "ReferenceExists", "ReferenceNotSet",
                             "No reference is set.", now);
}

// ---------------------------------------------------------------------------- Channel

void initialize_conditions(ChannelStatus& status, Timestamp now) {
  channel_set().initialize(status.conditions, now);
}
void mark_backing_channel_ready(ChannelStatus& status, Timestamp now) {
  channel_set().mark_true(status.conditions, "BackingChannelReady", now);
}
void mark_backing_channel_failed(ChannelStatus& status, std::string reason, std::string message,
                                 Timestamp now) {
  channel_set().mark_false(status.conditions, "BackingChannelReady", std::move(reason),
                           std::move(message), now);
}
void set_address(ChannelStatus& status, std::string url, Timestamp now) {
  assign_address(channel_set(), status, std::move(url), now);
}
void mark_dead_letter_sink_resolved(ChannelStatus& status, const std::string& uri, Timestamp now) {
  dead_letter_resolved(channel_set(), status, uri, now);
}
void mark_dead_letter_sink_not_configured(ChannelStatus& status, Timestamp now) {
  dead_letter_not_configured(channel_set(), status, now);
}
void mark_dead_letter_sink_failed(ChannelStatus& status, std::string reason, std::string message,
                                  Timestamp now) {
  dead_letter_failed(channel_set(), status, std::move(reason), std::move(message), now);
}

// ---------------------------------------------------------------------------- Subscription

void initialize_conditions(SubscriptionStatus& status, Timestamp now) {
  subscription_set().initialize(status.conditions, now);
}
void mark_references_resolved(SubscriptionStatus& status, Timestamp now) {
  subscription_set().mark_true(status.conditions, "ReferencesResolved", now);
}
void mark_references_not_resolved(SubscriptionStatus& status, std::string reason,
                                  std::string message, Timestamp now) {
  subscription_set().mark_false(status.conditions, "ReferencesResolved", std::move(reason),
                                std::move(message), now);
}
void mark_added_to_channel(SubscriptionStatus& status, Timestamp now) {
  subscription_set().mark_true(status.conditions, "AddedToChannel", now);
}
void mark_not_added_to_channel(SubscriptionStatus& status, std::string reason, std::string message,
                               Timestamp now) {
  subscription_set().mark_false(status.conditions, "AddedToChannel", std::move(reason),
                                std::move(message), now);
}
void mark_channel_ready(SubscriptionStatus& status, Timestamp now) {
  subscription_set().mark_true(status.conditions, "ChannelReady", now);
}
void mark_channel_failed(SubscriptionStatus& status, std::string reason, std::string message,
                         Timestamp now) {
  subscription_set().mark_false(status.conditions, "ChannelReady", std::move(reason),
                                std::move(message), now);
}

}  // namespace knative::eventing
