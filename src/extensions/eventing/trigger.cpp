#include "extensions/eventing/reconcilers.hpp"
#include "knative/platform.hpp"

namespace knative::control {

using eventing::Broker;
using eventing::Channel;
using eventing::Destination;
using eventing::Subscription;
using eventing::Trigger;

namespace {

// Deliveries of a Trigger and a Subscription of the same name must not share a cursor with a
// later object of that name: the uid is part of it.
std::string cursor_name(const ObjectMeta& metadata) { return metadata.name + "." + metadata.uid; }

std::string text_at(const Value& map, std::string_view key) {
  const Value* found = map.find(key);
  return found != nullptr && found->is_string() ? found->as_string() : std::string();
}

// A Trigger may name an object that has to be ready before it is, usually the source of the events.
void check_dependency(const Scope& scope, Trigger& trigger, Interests& interests) {
  const Timestamp now = scope.now();
  const auto annotation = trigger.metadata.annotations.find(eventing::keys::dependency);
  if (annotation == trigger.metadata.annotations.end()) {
    mark_dependency_succeeded(trigger.status, now);
    return;
  }
  const Result<Value> named = Value::parse_json(annotation->second);
  if (!named || !named->is_map()) {
    mark_dependency_failed(trigger.status, "DependencyGetFailed",
                           "the annotation names no object: " + annotation->second, now);
    return;
  }
  const ObjectRef ref{text_at(*named, "apiVersion"), text_at(*named, "kind"),
                      trigger.metadata.namespace_, text_at(*named, "name")};
  interests.insert(ref);
  const Result<AnyObject> object = scope.client().get(ref);
  if (!object) {
    mark_dependency_failed(trigger.status, "DependencyDoesNotExist", object.error().detail, now);
    return;
  }
  const Readiness readiness = knative::readiness(*object);
  if (readiness.ready) {
    mark_dependency_succeeded(trigger.status, now);
  } else if (readiness.failed) {
    mark_dependency_failed(trigger.status, readiness.reason, readiness.message, now);
  } else {
    // Ready is worked out again, over all conditions, by whatever is marked next.
    ConditionSet::living({"DependencyReady"})
        .mark_unknown(trigger.status.conditions, "DependencyReady", readiness.reason,
                      readiness.message, now);
  }
}

}  // namespace

Result<void> TriggerReconciler::bind(Trigger& trigger, Interests& interests) {
  const Timestamp now = this->now();
  const std::string& namespace_ = trigger.metadata.namespace_;
  check_dependency(scope(), trigger, interests);
  Result<Broker> broker = client().get<Broker>(namespace_, trigger.spec.broker);
  const std::string id = broker_id(make_key(namespace_, trigger.spec.broker));
  interests.insert(Client::ref_to<Broker>(namespace_, trigger.spec.broker));
  if (!broker) {
    mark_broker_failed(trigger.status, "BrokerDoesNotExist",
                       "Broker \"" + trigger.spec.broker + "\" does not exist", now);
    return {};
  }
  propagate_broker(trigger.status, broker->status, now);

  EventingPlane::Binding binding;
  add_interest(interests, trigger.spec.subscriber, namespace_);
  Result<std::string> subscriber = resolve(client(), trigger.spec.subscriber, namespace_);
  if (!subscriber) {
    mark_subscriber_unresolved(trigger.status, "Unable to get the Subscriber's URI",
                               subscriber.error().detail, now);
    return {};
  }
  mark_subscriber_resolved(trigger.status, *subscriber, now);
  binding.subscriber_url = *subscriber;

  const auto& delivery = trigger.spec.delivery ? trigger.spec.delivery : broker->spec.delivery;
  const std::optional<std::string> dead_letter =
      resolve_dead_letter(scope(), delivery, namespace_, trigger.status, interests);
  if (!dead_letter) return {};
  binding.dead_letter_url = *dead_letter;

  Result<Filter> filter = eventing::make_filter(trigger.spec);
  Result<DeliveryOptions> options = delivery_options(delivery);
  if (!filter || !options) {
    mark_not_subscribed(trigger.status, "NotSubscribed",
                        !filter ? filter.error().detail : options.error().detail, now);
    return {};
  }
  binding.filter = *filter;
  binding.filter_text = filter_text(trigger);
  binding.delivery = *options;
  binding.metric_name = trigger.metadata.name;
  if (!plane().serves(id)) {
    mark_not_subscribed(trigger.status, "NotSubscribed", "the broker is not served yet", now);
    return {};
  }
  const std::string cursor = cursor_name(trigger.metadata);
  if (Result<void> bound = plane().bind(id, cursor, binding); !bound) {
    mark_not_subscribed(trigger.status, "NotSubscribed", bound.error().detail, now);
    return bound;
  }
  set_bound(key_of(trigger.metadata), id, cursor);
  mark_subscribed(trigger.status, now);
  return {};
}

Result<void> SubscriptionReconciler::bind(Subscription& subscription, Interests& interests) {
  const Timestamp now = this->now();
  const std::string& namespace_ = subscription.metadata.namespace_;
  Result<Channel> channel = client().get<Channel>(namespace_, subscription.spec.channel.name);
  const std::string id = channel_id(make_key(namespace_, subscription.spec.channel.name));
  interests.insert(Client::ref_to<Channel>(namespace_, subscription.spec.channel.name));
  if (!channel) {
    mark_channel_failed(subscription.status, "ChannelNotFound", channel.error().detail, now);
    return {};
  }
  const Condition* ready = find_condition(channel->status.conditions, "Ready");
  if (ready == nullptr || !ready->is_true() || !plane().serves(id)) {
    mark_channel_failed(subscription.status, "ChannelNotReady", "the Channel is not ready yet",
                        now);
    return {};
  }
  mark_channel_ready(subscription.status, now);

  EventingPlane::Binding binding;
  binding.reply_to_self = false;
  eventing::PhysicalSubscription& physical = subscription.status.physical_subscription;
  physical = {};
  const auto take = [&](const std::optional<Destination>& destination, std::string& url,
                        std::string& shown, std::string reason) {
    if (!destination) return true;
    add_interest(interests, *destination, namespace_);
    Result<std::string> resolved = resolve(client(), *destination, namespace_);
    if (!resolved) {
      mark_references_not_resolved(subscription.status, std::move(reason), resolved.error().detail,
                                   now);
      return false;
    }
    url = shown = *resolved;
    return true;
  };
  const std::optional<eventing::DeliverySpec>& delivery =
      subscription.spec.delivery ? subscription.spec.delivery : channel->spec.delivery;
  if (!take(subscription.spec.subscriber, binding.subscriber_url, physical.subscriber_uri,
            "SubscriberResolveFailed") ||
      !take(subscription.spec.reply, binding.reply_url, physical.reply_uri, "ReplyResolveFailed") ||
      (delivery && !take(delivery->dead_letter_sink, binding.dead_letter_url,
                         physical.dead_letter_sink_uri, "DeadLetterSinkResolveFailed"))) {
    return {};
  }
  mark_references_resolved(subscription.status, now);
  Result<DeliveryOptions> options = delivery_options(delivery);
  if (!options) {
    mark_not_added_to_channel(subscription.status, "InvalidDelivery", options.error().detail, now);
    return {};
  }
  binding.delivery = *options;
  binding.metric_name = subscription.metadata.name;
  const std::string cursor = cursor_name(subscription.metadata);
  if (Result<void> bound = plane().bind(id, cursor, binding); !bound) {
    mark_not_added_to_channel(subscription.status, "PhysicalChannelSyncFailed",
                              bound.error().detail, now);
    return bound;
  }
  set_bound(key_of(subscription.metadata), id, cursor);
  mark_added_to_channel(subscription.status, now);
  return {};
}

Task<Result<Requeue>> EventTypeReconciler::step(eventing::EventType& type, Interests& interests) {
  if (!type.spec.reference) {
    mark_reference_not_set(type.status, now());
    co_return Requeue::never();
  }
  const eventing::KReference& reference = *type.spec.reference;
  const ObjectRef ref{
      reference.api_version, reference.kind,
      reference.namespace_.empty() ? type.metadata.namespace_ : reference.namespace_,
      reference.name};
  interests.insert(ref);
  if (client().get(ref)) {
    mark_reference_exists(type.status, now());
  } else {
    mark_reference_does_not_exist(type.status, now());
  }
  co_return Requeue::never();
}

}  // namespace knative::control
