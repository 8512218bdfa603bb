#include "extensions/eventing/reconcilers.hpp"
#include "knative/platform.hpp"

namespace knative::control {

using eventing::Broker;
using eventing::Channel;
using eventing::Destination;
using eventing::Subscription;
using eventing::Trigger;

namespace {

template <class T>
ObjectRef named(const std::string& namespace_, const std::string& name) {
  return {std::string(T::api_version), std::string(T::kind), namespace_, name};
}

// Deliveries of a Trigger and a Subscription of the same name must not share a cursor with a
// later object of that name: the uid is part of it.
std::string cursor_name(const ObjectMeta& metadata) { return metadata.name + "." + metadata.uid; }

std::string text_at(const Value& map, std::string_view key) {
  const Value* found = map.find(key);
  return found != nullptr && found->is_string() ? found->as_string() : std::string();
}

// A Trigger may name an object that has to be ready before it is, usually the source of the events.
void check_dependency(const Context& context, Trigger& trigger, std::set<ObjectRef>& interests) {
  const Timestamp now = context.now();
  const auto annotation = trigger.metadata.annotations.find(eventing::keys::dependency);
  if (annotation == trigger.metadata.annotations.end()) {
    trigger.status.mark_dependency_succeeded(now);
    return;
  }
  const Result<Value> named = Value::parse_json(annotation->second);
  if (!named || !named->is_map()) {
    trigger.status.mark_dependency_failed(
        "DependencyGetFailed", "the annotation names no object: " + annotation->second, now);
    return;
  }
  const ObjectRef ref{text_at(*named, "apiVersion"), text_at(*named, "kind"),
                      trigger.metadata.namespace_, text_at(*named, "name")};
  interests.insert(ref);
  const Result<AnyObject> object = context.store.get(ref);
  if (!object) {
    trigger.status.mark_dependency_failed("DependencyDoesNotExist", object.error().detail, now);
    return;
  }
  const Readiness readiness = knative::readiness(*object);
  if (readiness.ready) {
    trigger.status.mark_dependency_succeeded(now);
  } else if (readiness.failed) {
    trigger.status.mark_dependency_failed(readiness.reason, readiness.message, now);
  } else {
    // Ready is worked out again, over all conditions, by whatever is marked next.
    ConditionSet::living({"DependencyReady"})
        .mark_unknown(trigger.status.conditions, "DependencyReady", readiness.reason,
                      readiness.message, now);
  }
}

// What Trigger and Subscription have in common: an object that was deleted lets go of its cursor,
// any other is bound anew, tells what it waits for, and writes its conditions.
template <class T, class Bind>
Task<Result<Requeue>> reconcile_bound(Context& context, EventingPlane& plane, Bindings& bound,
                                      std::string controller, std::string key, Bind bind) {
  const Result<std::optional<T>> found = get_living<T>(context, {controller, key});
  if (!found) co_return found.error();
  const std::string cursor = *found ? cursor_name((*found)->metadata) : std::string();
  const Result<void> dropped = co_await bound.drop_all_but(plane, key, cursor);
  if (!dropped) co_return dropped.error();
  if (!*found) co_return Requeue::never();
  T object = **found;
  object.status.initialize_conditions(context.now());
  object.status.observed_generation = object.metadata.generation;
  std::set<ObjectRef> interests;
  const Result<void> made = bind(object, interests);
  Result<Requeue> done =
      conclude(context, {controller, key}, std::move(interests), **found, std::move(object));
  if (done && !made) co_return made.error();
  co_return done;
}

}  // namespace

Task<Result<Requeue>> TriggerReconciler::reconcile(std::string key) {
  return reconcile_bound<Trigger>(context_, plane_, bound_, "trigger", std::move(key),
                                  [this](Trigger& trigger, std::set<ObjectRef>& interests) {
                                    return bind(trigger, interests);
                                  });
}

// Set every condition; deliver when all is there. What is missing is a condition, not an error:
// its arrival brings the Trigger back.
Result<void> TriggerReconciler::bind(Trigger& trigger, std::set<ObjectRef>& interests) {
  const Timestamp now = context_.now();
  const std::string& namespace_ = trigger.metadata.namespace_;
  check_dependency(context_, trigger, interests);
  Result<Broker> broker = context_.store.get<Broker>(namespace_, trigger.spec.broker);
  const std::string id = broker_id(make_key(namespace_, trigger.spec.broker));
  interests.insert(named<Broker>(namespace_, trigger.spec.broker));
  if (!broker) {
    trigger.status.mark_broker_failed("BrokerDoesNotExist",
                                      "Broker \"" + trigger.spec.broker + "\" does not exist", now);
    return {};
  }
  trigger.status.propagate_broker(broker->status, now);

  EventingPlane::Binding binding;
  add_interest(interests, trigger.spec.subscriber, namespace_);
  Result<std::string> subscriber = resolve(context_, trigger.spec.subscriber, namespace_);
  if (!subscriber) {
    trigger.status.mark_subscriber_unresolved("Unable to get the Subscriber's URI",
                                              subscriber.error().detail, now);
    return {};
  }
  trigger.status.mark_subscriber_resolved(*subscriber, now);
  binding.subscriber_url = *subscriber;

  const auto& delivery = trigger.spec.delivery ? trigger.spec.delivery : broker->spec.delivery;
  const std::optional<std::string> dead_letter =
      resolve_dead_letter(context_, delivery, namespace_, trigger.status, interests);
  if (!dead_letter) return {};
  binding.dead_letter_url = *dead_letter;

  Result<Filter> filter = eventing::make_filter(trigger.spec);
  Result<DeliveryOptions> options = delivery_options(delivery);
  if (!filter || !options) {
    trigger.status.mark_not_subscribed(
        "NotSubscribed", !filter ? filter.error().detail : options.error().detail, now);
    return {};
  }
  binding.filter = *filter;
  binding.filter_text = filter_text(trigger);
  binding.delivery = *options;
  binding.metric_name = trigger.metadata.name;
  if (!plane_.serves(id)) {
    trigger.status.mark_not_subscribed("NotSubscribed", "the broker is not served yet", now);
    return {};
  }
  const std::string cursor = cursor_name(trigger.metadata);
  if (Result<void> bound = plane_.bind(id, cursor, binding); !bound) {
    trigger.status.mark_not_subscribed("NotSubscribed", bound.error().detail, now);
    return bound;
  }
  bound_.set(key_of(trigger.metadata), id, cursor);
  trigger.status.mark_subscribed(now);
  return {};
}

Task<Result<Requeue>> SubscriptionReconciler::reconcile(std::string key) {
  return reconcile_bound<Subscription>(
      context_, plane_, bound_, "subscription", std::move(key),
      [this](Subscription& subscription, std::set<ObjectRef>& interests) {
        return bind(subscription, interests);
      });
}

Result<void> SubscriptionReconciler::bind(Subscription& subscription,
                                          std::set<ObjectRef>& interests) {
  const Timestamp now = context_.now();
  const std::string& namespace_ = subscription.metadata.namespace_;
  Result<Channel> channel = context_.store.get<Channel>(namespace_, subscription.spec.channel.name);
  const std::string id = channel_id(make_key(namespace_, subscription.spec.channel.name));
  interests.insert(named<Channel>(namespace_, subscription.spec.channel.name));
  if (!channel) {
    subscription.status.mark_channel_failed("ChannelNotFound", channel.error().detail, now);
    return {};
  }
  const Condition* ready = find_condition(channel->status.conditions, "Ready");
  if (ready == nullptr || !ready->is_true() || !plane_.serves(id)) {
    subscription.status.mark_channel_failed("ChannelNotReady", "the Channel is not ready yet", now);
    return {};
  }
  subscription.status.mark_channel_ready(now);

  EventingPlane::Binding binding;
  binding.reply_to_self = false;
  eventing::PhysicalSubscription& physical = subscription.status.physical_subscription;
  physical = {};
  const auto take = [&](const std::optional<Destination>& destination, std::string& url,
                        std::string& shown, std::string reason) {
    if (!destination) return true;
    add_interest(interests, *destination, namespace_);
    Result<std::string> resolved = resolve(context_, *destination, namespace_);
    if (!resolved) {
      subscription.status.mark_references_not_resolved(std::move(reason), resolved.error().detail,
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
  subscription.status.mark_references_resolved(now);
  Result<DeliveryOptions> options = delivery_options(delivery);
  if (!options) {
    subscription.status.mark_not_added_to_channel("InvalidDelivery", options.error().detail, now);
    return {};
  }
  binding.delivery = *options;
  binding.metric_name = subscription.metadata.name;
  const std::string cursor = cursor_name(subscription.metadata);
  if (Result<void> bound = plane_.bind(id, cursor, binding); !bound) {
    subscription.status.mark_not_added_to_channel("PhysicalChannelSyncFailed", bound.error().detail,
                                                  now);
    return bound;
  }
  bound_.set(key_of(subscription.metadata), id, cursor);
  subscription.status.mark_added_to_channel(now);
  return {};
}

Task<Result<Requeue>> EventTypeReconciler::reconcile(std::string key) {
  const Result<std::optional<eventing::EventType>> found =
      get_living<eventing::EventType>(context_, {"eventtype", key});
  if (!found) co_return found.error();
  if (!*found) co_return Requeue::never();
  eventing::EventType type = **found;
  std::set<ObjectRef> interests;
  const Timestamp now = context_.now();
  type.status.initialize_conditions(now);
  type.status.observed_generation = type.metadata.generation;
  if (!type.spec.reference) {
    type.status.mark_reference_not_set(now);
  } else {
    const eventing::KReference& reference = *type.spec.reference;
    const ObjectRef ref{
        reference.api_version, reference.kind,
        reference.namespace_.empty() ? type.metadata.namespace_ : reference.namespace_,
        reference.name};
    interests.insert(ref);
    if (context_.store.get(ref)) {
      type.status.mark_reference_exists(now);
    } else {
      type.status.mark_reference_does_not_exist(now);
    }
  }
  co_return conclude(context_, {"eventtype", key}, std::move(interests), **found, std::move(type));
}

}  // namespace knative::control
