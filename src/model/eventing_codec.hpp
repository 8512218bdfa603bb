// Descriptions of the structs in eventing.hpp.
#pragma once

#include "knative/eventing.hpp"
#include "knative/fields.hpp"
#include "knative/meta.hpp"

namespace knative::eventing {
const fields::Struct& describe(const KReference*);
const fields::Struct& describe(const Destination*);
const fields::Struct& describe(const Addressable*);
const fields::Struct& describe(const DeliverySpec*);
const fields::Struct& describe(const SubscriptionsAPIFilter*);
const fields::Struct& describe(const TriggerFilter*);
const fields::Struct& describe(const BrokerSpec*);
const fields::Struct& describe(const BrokerStatus*);
const fields::Struct& describe(const Broker*);
const fields::Struct& describe(const TriggerSpec*);
const fields::Struct& describe(const TriggerStatus*);
const fields::Struct& describe(const Trigger*);
const fields::Struct& describe(const EventTypeSpec*);
const fields::Struct& describe(const EventTypeStatus*);
const fields::Struct& describe(const EventType*);
const fields::Struct& describe(const ChannelTemplateSpec*);
const fields::Struct& describe(const ChannelSpec*);
const fields::Struct& describe(const ChannelStatus*);
const fields::Struct& describe(const Channel*);
const fields::Struct& describe(const SubscriptionSpec*);
const fields::Struct& describe(const PhysicalSubscription*);
const fields::Struct& describe(const SubscriptionStatus*);
const fields::Struct& describe(const Subscription*);
}  // namespace knative::eventing
