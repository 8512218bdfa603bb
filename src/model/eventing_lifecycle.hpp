// How the conditions of the Eventing kinds come about: for whoever reconciles them. Each function
// sets one condition (and what goes with it) and recomputes Ready; `now` becomes the transition
// time of what changed.
#pragma once

#include <string>
#include <string_view>

#include "knative/eventing.hpp"

namespace knative::eventing {

// ---------------------------------------------------------------------------- Broker

void initialize_conditions(BrokerStatus& status, Timestamp now);
void mark_ingress_ready(BrokerStatus& status, Timestamp now);
void mark_ingress_failed(BrokerStatus& status, std::string reason, std::string message,
                         Timestamp now);
void mark_trigger_channel_ready(BrokerStatus& status, Timestamp now);
void mark_trigger_channel_failed(BrokerStatus& status, std::string reason, std::string message,
                                 Timestamp now);
void mark_filter_ready(BrokerStatus& status, Timestamp now);
void mark_filter_failed(BrokerStatus& status, std::string reason, std::string message,
                        Timestamp now);
/// Set the address and Addressable; an empty url makes it False.
void set_address(BrokerStatus& status, std::string url, Timestamp now);
void mark_dead_letter_sink_resolved(BrokerStatus& status, const std::string& uri, Timestamp now);
void mark_dead_letter_sink_not_configured(BrokerStatus& status, Timestamp now);
void mark_dead_letter_sink_failed(BrokerStatus& status, std::string reason, std::string message,
                                  Timestamp now);

// ---------------------------------------------------------------------------- Trigger

void initialize_conditions(TriggerStatus& status, Timestamp now);
/// Copy the Broker's Ready into BrokerReady.
void propagate_broker(TriggerStatus& status, const BrokerStatus& broker, Timestamp now);
/// Reasons: BrokerDoesNotExist, FailedToGetBroker.
void mark_broker_failed(TriggerStatus& status, std::string reason, std::string message,
                        Timestamp now);
void mark_subscribed(TriggerStatus& status, Timestamp now);
/// Reason: NotSubscribed.
void mark_not_subscribed(TriggerStatus& status, std::string reason, std::string message,
                         Timestamp now);
void mark_dependency_succeeded(TriggerStatus& status, Timestamp now);
void mark_dependency_failed(TriggerStatus& status, std::string reason, std::string message,
                            Timestamp now);
void mark_subscriber_resolved(TriggerStatus& status, const std::string& uri, Timestamp now);
void mark_subscriber_unresolved(TriggerStatus& status, std::string reason, std::string message,
                                Timestamp now);
void mark_dead_letter_sink_resolved(TriggerStatus& status, const std::string& uri, Timestamp now);
void mark_dead_letter_sink_not_configured(TriggerStatus& status, Timestamp now);
void mark_dead_letter_sink_failed(TriggerStatus& status, std::string reason, std::string message,
                                  Timestamp now);

// ---------------------------------------------------------------------------- EventType

void initialize_conditions(EventTypeStatus& status, Timestamp now);
void mark_reference_exists(EventTypeStatus& status, Timestamp now);
void mark_reference_does_not_exist(EventTypeStatus& status, Timestamp now);
void mark_reference_not_set(EventTypeStatus& status, Timestamp now);

// ---------------------------------------------------------------------------- Channel

void initialize_conditions(ChannelStatus& status, Timestamp now);
void mark_backing_channel_ready(ChannelStatus& status, Timestamp now);
void mark_backing_channel_failed(ChannelStatus& status, std::string reason, std::string message,
                                 Timestamp now);
void set_address(ChannelStatus& status, std::string url, Timestamp now);
void mark_dead_letter_sink_resolved(ChannelStatus& status, const std::string& uri, Timestamp now);
void mark_dead_letter_sink_not_configured(ChannelStatus& status, Timestamp now);
void mark_dead_letter_sink_failed(ChannelStatus& status, std::string reason, std::string message,
                                  Timestamp now);

// ---------------------------------------------------------------------------- Subscription

void initialize_conditions(SubscriptionStatus& status, Timestamp now);
void mark_references_resolved(SubscriptionStatus& status, Timestamp now);
void mark_references_not_resolved(SubscriptionStatus& status, std::string reason,
                                  std::string message, Timestamp now);
void mark_added_to_channel(SubscriptionStatus& status, Timestamp now);
void mark_not_added_to_channel(SubscriptionStatus& status, std::string reason, std::string message,
                               Timestamp now);
void mark_channel_ready(SubscriptionStatus& status, Timestamp now);
void mark_channel_failed(SubscriptionStatus& status, std::string reason, std::string message,
                         Timestamp now);

}  // namespace knative::eventing
