// Descriptions of the structs in eventing.hpp.
#pragma once

#include "knative/eventing.hpp"
#include "model/codec.hpp"
#include "model/meta_codec.hpp"

namespace knative::codec::detail {
template <class T>
struct IsOptional<eventing::Boxed<T>> : std::true_type {};
}  // namespace knative::codec::detail

namespace knative::eventing {
const codec::Struct& describe(const KReference*);
const codec::Struct& describe(const Destination*);
const codec::Struct& describe(const Addressable*);
const codec::Struct& describe(const DeliverySpec*);
const codec::Struct& describe(const SubscriptionsAPIFilter*);
const codec::Struct& describe(const TriggerFilter*);
const codec::Struct& describe(const BrokerSpec*);
const codec::Struct& describe(const BrokerStatus*);
const codec::Struct& describe(const Broker*);
const codec::Struct& describe(const TriggerSpec*);
const codec::Struct& describe(const TriggerStatus*);
const codec::Struct& describe(const Trigger*);
const codec::Struct& describe(const EventTypeSpec*);
const codec::Struct& describe(const EventTypeStatus*);
const codec::Struct& describe(const EventType*);
const codec::Struct& describe(const ChannelTemplateSpec*);
const codec::Struct& describe(const ChannelSpec*);
const codec::Struct& describe(const ChannelStatus*);
const codec::Struct& describe(const Channel*);
const codec::Struct& describe(const SubscriptionSpec*);
const codec::Struct& describe(const PhysicalSubscription*);
const codec::Struct& describe(const SubscriptionStatus*);
const codec::Struct& describe(const Subscription*);
}  // namespace knative::eventing
