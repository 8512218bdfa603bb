/// \file
/// The Eventing and Messaging kinds: Broker, Trigger, EventType, Channel, Subscription, with what
/// they share (destinations, delivery options, filters), their defaults, validation and
/// conditions.
///
/// Fields carry the names of eventing.knative.dev/v1 and messaging.knative.dev/v1 in snake_case.
/// Nothing here runs anything: the event broker turns a `SubscriptionsAPIFilter` into a `Filter`.
///
/// \code
/// auto trigger = knative::eventing::trigger("orders", "default", "http://127.0.0.1:8080/");
/// trigger.spec.filter = knative::eventing::TriggerFilter{{{"type", "order.created"}}};
/// knative::eventing::apply_defaults(trigger);
/// auto errors = knative::eventing::validate(trigger);  // empty when valid
/// \endcode
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "knative/delivery.hpp"
#include "knative/event.hpp"
#include "knative/meta.hpp"
#include "knative/object.hpp"
#include "knative/value.hpp"

namespace knative::eventing {

/// Label and annotation keys of Eventing.
namespace keys {
inline constexpr std::string_view broker_class = "eventing.knative.dev/broker.class";
inline constexpr std::string_view broker = "eventing.knative.dev/broker";
inline constexpr std::string_view injection = "eventing.knative.dev/injection";
inline constexpr std::string_view dependency = "knative.dev/dependency";
inline constexpr std::string_view subscribable = "messaging.knative.dev/subscribable";
}  // namespace keys

// ---------------------------------------------------------------------------- Broker

/// How a Broker keeps and delivers events.
struct BrokerSpec {
  std::optional<KReference> config = {};  ///< Immutable.
  std::optional<DeliverySpec> delivery = {};
  friend bool operator==(const BrokerSpec&, const BrokerSpec&) = default;
};

/// IngressReady, TriggerChannelReady, FilterReady, Addressable and DeadLetterSinkResolved make
/// Ready.
struct BrokerStatus {
  std::int64_t observed_generation = 0;
  Conditions conditions = {};
  StringMap annotations = {};
  std::optional<Addressable> address = {};
  std::vector<Addressable> addresses = {};
  std::string dead_letter_sink_uri = {};
  friend bool operator==(const BrokerStatus&, const BrokerStatus&) = default;
};

/// Takes events and hands each to every Trigger that wants it.
struct Broker {
  static constexpr std::string_view api_version = "eventing.knative.dev/v1";
  static constexpr std::string_view kind = "Broker";
  ObjectMeta metadata = {};
  BrokerSpec spec = {};
  BrokerStatus status = {};
  friend bool operator==(const Broker&, const Broker&) = default;
};

// ---------------------------------------------------------------------------- Trigger

/// Which events of a Broker go where.
struct TriggerSpec {
  std::string broker = {};                           ///< Immutable.
  std::optional<KReference> broker_ref = {};         ///< Of another namespace; refused.
  std::optional<TriggerFilter> filter = {};          ///< Ignored when `filters` is not empty.
  std::vector<SubscriptionsAPIFilter> filters = {};  ///< All must pass.
  Destination subscriber = {};
  std::optional<DeliverySpec> delivery = {};  ///< When set, the Broker's delivery does not count.
  friend bool operator==(const TriggerSpec&, const TriggerSpec&) = default;
};

/// BrokerReady, SubscriptionReady, DependencyReady, SubscriberResolved and DeadLetterSinkResolved
/// make Ready.
struct TriggerStatus {
  std::int64_t observed_generation = 0;
  Conditions conditions = {};
  StringMap annotations = {};
  std::string subscriber_uri = {};
  std::string dead_letter_sink_uri = {};
  friend bool operator==(const TriggerStatus&, const TriggerStatus&) = default;
};

/// A subscription to a Broker.
struct Trigger {
  static constexpr std::string_view api_version = "eventing.knative.dev/v1";
  static constexpr std::string_view kind = "Trigger";
  ObjectMeta metadata = {};
  TriggerSpec spec = {};
  TriggerStatus status = {};
  friend bool operator==(const Trigger&, const Trigger&) = default;
};

// ---------------------------------------------------------------------------- EventType

/// What kind of events somebody sends. Everything in it is immutable.
struct EventTypeSpec {
  std::string type = {};
  std::string source = {};
  std::string schema = {};
  std::string schema_data = {};
  std::string broker = {};  ///< Deprecated in favour of `reference`.
  std::optional<KReference> reference = {};
  std::string description = {};
  friend bool operator==(const EventTypeSpec&, const EventTypeSpec&) = default;
};

/// ReferenceExists makes Ready.
struct EventTypeStatus {
  std::int64_t observed_generation = 0;
  Conditions conditions = {};
  StringMap annotations = {};
  friend bool operator==(const EventTypeStatus&, const EventTypeStatus&) = default;
};

/// An entry in the registry of events: advice for consumers, nothing is enforced.
struct EventType {
  static constexpr std::string_view api_version = "eventing.knative.dev/v1";
  static constexpr std::string_view kind = "EventType";
  ObjectMeta metadata = {};
  EventTypeSpec spec = {};
  EventTypeStatus status = {};
  friend bool operator==(const EventType&, const EventType&) = default;
};

// ---------------------------------------------------------------------------- Channel

/// The kind of channel that backs a Channel.
struct ChannelTemplateSpec {
  std::string api_version = {};
  std::string kind = {};
  Value spec = {};
  friend bool operator==(const ChannelTemplateSpec&, const ChannelTemplateSpec&) = default;
};

/// What a Channel is made of.
struct ChannelSpec {
  std::optional<ChannelTemplateSpec> channel_template = {};  ///< Immutable.
  std::optional<DeliverySpec> delivery = {};
  friend bool operator==(const ChannelSpec&, const ChannelSpec&) = default;
};

/// BackingChannelReady, Addressable and DeadLetterSinkResolved make Ready.
struct ChannelStatus {
  std::int64_t observed_generation = 0;
  Conditions conditions = {};
  StringMap annotations = {};
  std::optional<Addressable> address = {};
  std::optional<KReference> channel = {};  ///< The backing channel.
  std::string dead_letter_sink_uri = {};
  friend bool operator==(const ChannelStatus&, const ChannelStatus&) = default;
};

/// Hands every event to every Subscription.
struct Channel {
  static constexpr std::string_view api_version = "messaging.knative.dev/v1";
  static constexpr std::string_view kind = "Channel";
  ObjectMeta metadata = {};
  ChannelSpec spec = {};
  ChannelStatus status = {};
  friend bool operator==(const Channel&, const Channel&) = default;
};

// ---------------------------------------------------------------------------- Subscription

/// From which channel to whom, and where replies go.
struct SubscriptionSpec {
  KReference channel = {};  ///< Immutable; in the same namespace.
  std::optional<Destination> subscriber = {};
  std::optional<Destination> reply = {};
  std::optional<DeliverySpec> delivery = {};
  friend bool operator==(const SubscriptionSpec&, const SubscriptionSpec&) = default;
};

/// The resolved addresses of a Subscription.
struct PhysicalSubscription {
  std::string subscriber_uri = {};
  std::string reply_uri = {};
  std::string dead_letter_sink_uri = {};
  friend bool operator==(const PhysicalSubscription&, const PhysicalSubscription&) = default;
};

/// ReferencesResolved, AddedToChannel and ChannelReady make Ready.
struct SubscriptionStatus {
  std::int64_t observed_generation = 0;
  Conditions conditions = {};
  StringMap annotations = {};
  PhysicalSubscription physical_subscription = {};
  friend bool operator==(const SubscriptionStatus&, const SubscriptionStatus&) = default;
};

/// A consumer of a Channel.
struct Subscription {
  static constexpr std::string_view api_version = "messaging.knative.dev/v1";
  static constexpr std::string_view kind = "Subscription";
  ObjectMeta metadata = {};
  SubscriptionSpec spec = {};
  SubscriptionStatus status = {};
  friend bool operator==(const Subscription&, const Subscription&) = default;
};

// ---------------------------------------------------------------------------- functions

/// Fill in what was left out; a second call changes nothing.
KNATIVE_EXPORT void apply_defaults(Broker& object);
KNATIVE_EXPORT void apply_defaults(Trigger& object);
KNATIVE_EXPORT void apply_defaults(EventType& object);
KNATIVE_EXPORT void apply_defaults(Channel& object);
KNATIVE_EXPORT void apply_defaults(Subscription& object);

/// Everything that is wrong with the object, with Knative's wording; empty when valid. A filter
/// that does not parse is an error.
KNATIVE_EXPORT FieldErrors validate(const Broker& object);
KNATIVE_EXPORT FieldErrors validate(const Trigger& object);
KNATIVE_EXPORT FieldErrors validate(const EventType& object);
KNATIVE_EXPORT FieldErrors validate(const Channel& object);
KNATIVE_EXPORT FieldErrors validate(const Subscription& object);

/// Immutable fields that differ between `old` and `object`.
KNATIVE_EXPORT FieldErrors validate_update(const Broker& object, const Broker& old);
KNATIVE_EXPORT FieldErrors validate_update(const Trigger& object, const Trigger& old);
KNATIVE_EXPORT FieldErrors validate_update(const EventType& object, const EventType& old);
KNATIVE_EXPORT FieldErrors validate_update(const Channel& object, const Channel& old);
KNATIVE_EXPORT FieldErrors validate_update(const Subscription& object, const Subscription& old);

/// Compile a filter expression. Fails with `invalid_argument`.
KNATIVE_EXPORT Result<Filter> make_filter(const SubscriptionsAPIFilter& expression);
/// All of `filters`, or `filter` when there are none, or a filter that everything passes.
KNATIVE_EXPORT Result<Filter> make_filter(const TriggerSpec& trigger);

/// A Broker of the default class.
KNATIVE_EXPORT Broker broker(std::string name);
/// A Trigger that sends everything from `broker` to `uri`.
KNATIVE_EXPORT Trigger trigger(std::string name, std::string broker, std::string uri);
KNATIVE_EXPORT Channel channel(std::string name);
/// A Subscription that sends everything from `channel` to `uri`.
KNATIVE_EXPORT Subscription subscription(std::string name, std::string channel, std::string uri);

/// Their rows in the registry of kinds.
KNATIVE_EXPORT const KindInfo& kind_info(const Broker*);
KNATIVE_EXPORT const KindInfo& kind_info(const Trigger*);
KNATIVE_EXPORT const KindInfo& kind_info(const EventType*);
KNATIVE_EXPORT const KindInfo& kind_info(const Channel*);
KNATIVE_EXPORT const KindInfo& kind_info(const Subscription*);

}  // namespace knative::eventing
