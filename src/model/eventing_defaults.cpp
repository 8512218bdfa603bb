// What admission fills in for the Eventing kinds, and makers of usual objects.
#include "knative/eventing.hpp"

namespace knative::eventing {
namespace {

void default_reference(std::optional<KReference>& reference, const std::string& namespace_) {
  if (reference && reference->namespace_.empty()) reference->namespace_ = namespace_;
}

void default_destination(Destination& destination, const std::string& namespace_) {
  default_reference(destination.ref, namespace_);
}

void default_destination(std::optional<Destination>& destination, const std::string& namespace_) {
  if (destination) default_destination(*destination, namespace_);
}

void default_delivery(std::optional<DeliverySpec>& delivery, const std::string& namespace_) {
  if (delivery) default_destination(delivery->dead_letter_sink, namespace_);
}

}  // namespace

void apply_defaults(Broker& object) {
  object.metadata.annotations.try_emplace(std::string(keys::broker_class), "MTChannelBasedBroker");
  const std::string& namespace_ = object.metadata.namespace_;
  default_reference(object.spec.config, namespace_);
  if (!object.spec.delivery) {
    // What a cluster ships as config-br-defaults.
    DeliverySpec delivery;
    delivery.retry = 10;
    delivery.backoff_policy = "exponential";
    delivery.backoff_delay = "PT0.2S";
    object.spec.delivery = std::move(delivery);
  }
  default_delivery(object.spec.delivery, namespace_);
}

void apply_defaults(Trigger& object) {
  const std::string& namespace_ = object.metadata.namespace_;
  // A Broker of the own namespace has one way of being named.
  std::optional<KReference>& reference = object.spec.broker_ref;
  if (reference && object.spec.broker.empty() && reference->kind == Broker::kind &&
      (reference->namespace_.empty() || reference->namespace_ == namespace_)) {
    object.spec.broker = reference->name;
    reference.reset();
  }
  if (!object.spec.broker.empty()) {
    object.metadata.labels[std::string(keys::broker)] = object.spec.broker;
  }
  if (!object.spec.filter) object.spec.filter.emplace();
  default_destination(object.spec.subscriber, namespace_);
  default_delivery(object.spec.delivery, namespace_);
}

void apply_defaults(EventType& object) {
  default_reference(object.spec.reference, object.metadata.namespace_);
}

void apply_defaults(Channel& object) {
  object.metadata.annotations.try_emplace(std::string(keys::subscribable), "v1");
  if (!object.spec.channel_template) {
    ChannelTemplateSpec channel;
    channel.api_version = "messaging.knative.dev/v1";
    channel.kind = "InMemoryChannel";
    object.spec.channel_template = std::move(channel);
  }
  default_delivery(object.spec.delivery, object.metadata.namespace_);
}

void apply_defaults(Subscription& object) {
  const std::string& namespace_ = object.metadata.namespace_;
  default_destination(object.spec.subscriber, namespace_);
  default_destination(object.spec.reply, namespace_);
  default_delivery(object.spec.delivery, namespace_);
}

Broker broker(std::string name) {
  Broker made;
  made.metadata.name = std::move(name);
  return made;
}

Channel channel(std::string name) {
  Channel made;
  made.metadata.name = std::move(name);
  return made;
}

Subscription subscription(std::string name, std::string channel, std::string uri) {
  Subscription made;
  made.metadata.name = std::move(name);
  made.spec.channel = {.api_version = std::string(Channel::api_version),
                       .kind = std::string(Channel::kind),
                       .name = std::move(channel)};
  made.spec.subscriber.emplace().uri = std::move(uri);
  return made;
}

Trigger trigger(std::string name, std::string broker, std::string uri) {
  Trigger made;
  made.metadata.name = std::move(name);
  made.spec.broker = std::move(broker);
  made.spec.subscriber.uri = std::move(uri);
  return made;
}

}  // namespace knative::eventing
