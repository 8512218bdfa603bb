#include "extensions/eventing/reconcilers.hpp"
#include "knative/platform.hpp"

namespace knative::control {

using eventing::Broker;
using eventing::Channel;
using eventing::Destination;
using eventing::Subscription;
using eventing::Trigger;

namespace {

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

std::string generation_of(const ObjectMeta& metadata) {
  return std::to_string(metadata.generation);
}

// What nobody but a change of the object can mend is said and not tried again.
Result<void> unless_final(Result<void> bound) {
  const Errc code = bound.error().code;
  if (code == Errc::invalid_argument || code == Errc::unimplemented) return {};
  return bound;
}

}  // namespace

Result<void> TriggerReconciler::bind(Trigger& trigger, Interests& interests) {
  const Timestamp now = this->now();
  const std::string& namespace_ = trigger.metadata.namespace_;
  const std::string& uid = trigger.metadata.uid;
  check_dependency(scope(), trigger, interests);
  Result<Broker> broker = client().get<Broker>(namespace_, trigger.spec.broker);
  interests.insert(Client::ref_to<Broker>(namespace_, trigger.spec.broker));
  if (!broker) {
    mark_broker_failed(trigger.status, "BrokerDoesNotExist",
                       "Broker \"" + trigger.spec.broker + "\" does not exist", now);
    return {};
  }
  propagate_broker(trigger.status, broker->status, now);

  const bool own = trigger.spec.delivery.has_value();
  const auto& delivery = own ? trigger.spec.delivery : broker->spec.delivery;
  const std::string terms = own ? generation_of(trigger.metadata)
                                : generation_of(trigger.metadata) + " " + broker->metadata.uid +
                                      "/" + generation_of(broker->metadata);
  const ResolvedBefore before(trigger.status.annotations, terms);
  add_interest(interests, trigger.spec.subscriber, namespace_);
  const Result<std::string> subscriber = resolve(client(), trigger.spec.subscriber, namespace_);
  if (subscriber) {
    mark_subscriber_resolved(trigger.status, *subscriber, now);
  } else {
    mark_subscriber_unresolved(trigger.status, "Unable to get the Subscriber's URI",
                               subscriber.error().detail, now);
  }
  const std::optional<std::string> dead_letter =
      resolve_dead_letter(scope(), delivery, namespace_, trigger.status, interests);
  const std::optional<std::string> to = subscriber ? *subscriber : before.of("subscriber");
  const std::optional<std::string> letters =
      dead_letter ? dead_letter : before.of("deadLetterSink");
  if (!to || !letters) return plane().hold(uid);
  if (subscriber && dead_letter) {
    ResolvedBefore::store(trigger.status.annotations, terms,
                          {{"subscriber", *to}, {"deadLetterSink", *letters}});
  }

  Result<Filter> filter = eventing::make_filter(trigger.spec);
  Result<DeliveryOptions> options = delivery_options(delivery);
  if (!filter || !options) {
    mark_not_subscribed(trigger.status, "NotSubscribed",
                        !filter ? filter.error().detail : options.error().detail, now);
    return plane().hold(uid);
  }
  EventingPlane::Binding binding;
  binding.subscriber_url = *to;
  binding.dead_letter_url = *letters;
  binding.filter = *filter;
  binding.filter_text = filter_text(trigger);
  binding.delivery = *options;
  binding.mode = delivery_mode(delivery);
  binding.metric_name = trigger.metadata.name;
  if (!plane().serves(broker_id(make_key(namespace_, trigger.spec.broker)))) {
    mark_not_subscribed(trigger.status, "NotSubscribed", "the broker is not served yet", now);
    return {};
  }
  if (Result<void> bound = plane().bind(uid, trigger.metadata.generation, binding); !bound) {
    mark_not_subscribed(trigger.status, "NotSubscribed", bound.error().detail, now);
    return unless_final(bound);
  }
  mark_subscribed(trigger.status, now);
  return {};
}

// The URLs of all that a Subscription refers to, by role; nothing when one is not known.
std::optional<SubscriptionReconciler::Urls> SubscriptionReconciler::resolve_all(
    Subscription& subscription, const std::optional<eventing::DeliverySpec>& delivery,
    const std::string& terms, Interests& interests) {
  const Timestamp now = this->now();
  const std::string& namespace_ = subscription.metadata.namespace_;
  const ResolvedBefore before(subscription.status.annotations, terms);
  eventing::PhysicalSubscription& physical = subscription.status.physical_subscription;
  physical = {};
  Urls urls;
  bool fresh = true;
  bool complete = true;
  const auto take = [&](const std::optional<Destination>& destination, const char* role,
                        std::string& shown, std::string reason) {
    if (!destination) return;
    add_interest(interests, *destination, namespace_);
    const Result<std::string> resolved = resolve(client(), *destination, namespace_);
    if (!resolved && fresh) {
      mark_references_not_resolved(subscription.status, std::move(reason), resolved.error().detail,
                                   now);
    }
    fresh = fresh && resolved;
    const std::optional<std::string> url = resolved ? *resolved : before.of(role);
    complete = complete && url;
    if (resolved) shown = http::shown_url(*resolved);
    if (url) urls[role] = *url;
  };
  take(subscription.spec.subscriber, "subscriber", physical.subscriber_uri,
       "SubscriberResolveFailed");
  take(subscription.spec.reply, "reply", physical.reply_uri, "ReplyResolveFailed");
  if (delivery) {
    take(delivery->dead_letter_sink, "deadLetterSink", physical.dead_letter_sink_uri,
         "DeadLetterSinkResolveFailed");
  }
  if (fresh) {
    mark_references_resolved(subscription.status, now);
    ResolvedBefore::store(subscription.status.annotations, terms, urls);
  }
  if (!complete) return std::nullopt;
  return urls;
}

Result<void> SubscriptionReconciler::bind(Subscription& subscription, Interests& interests) {
  const Timestamp now = this->now();
  const std::string& namespace_ = subscription.metadata.namespace_;
  const std::string& uid = subscription.metadata.uid;
  const eventing::KReference& reference = subscription.spec.channel;
  const ObjectRef named{reference.api_version, reference.kind, namespace_, reference.name};
  interests.insert(named);
  if (reference.kind == Channel::kind) {  // in whatever version it is named
    interests.insert(Client::ref_to<Channel>(namespace_, reference.name));
  }
  const Result<AnyObject> object = client().get(named);
  if (object && object->get_if<Channel>() == nullptr) {
    mark_channel_failed(subscription.status, "ChannelNotServed",
                        named.to_string() + " is no Channel that is served here", now);
    return {};
  }
  if (!object) {
    mark_channel_failed(subscription.status, "ChannelNotFound", object.error().detail, now);
    return {};
  }
  const Channel& channel = *object->get_if<Channel>();
  const Condition* ready = find_condition(channel.status.conditions, "Ready");
  if (!plane().serves(channel_id(make_key(namespace_, reference.name)))) {
    mark_channel_failed(subscription.status, "ChannelNotReady", "the Channel is not served yet",
                        now);
    return {};
  }
  if (ready != nullptr && ready->is_true()) {
    mark_channel_ready(subscription.status, now);
  } else {
    mark_channel_failed(subscription.status, "ChannelNotReady", "the Channel is not ready yet",
                        now);
  }
  const bool own = subscription.spec.delivery.has_value();
  const auto& delivery = own ? subscription.spec.delivery : channel.spec.delivery;
  const std::string terms = own ? generation_of(subscription.metadata)
                                : generation_of(subscription.metadata) + " " +
                                      channel.metadata.uid + "/" + generation_of(channel.metadata);
  std::optional<Urls> urls = resolve_all(subscription, delivery, terms, interests);
  if (!urls) return plane().hold(uid);
  Result<DeliveryOptions> options = delivery_options(delivery);
  if (!options) {
    mark_not_added_to_channel(subscription.status, "InvalidDelivery", options.error().detail, now);
    return plane().hold(uid);
  }
  EventingPlane::Binding binding;
  binding.reply_to_self = false;
  binding.subscriber_url = (*urls)["subscriber"];
  binding.reply_url = (*urls)["reply"];
  binding.dead_letter_url = (*urls)["deadLetterSink"];
  binding.delivery = *options;
  binding.mode = delivery_mode(delivery);
  binding.metric_name = subscription.metadata.name;
  if (Result<void> bound = plane().bind(uid, subscription.metadata.generation, binding); !bound) {
    mark_not_added_to_channel(subscription.status, "PhysicalChannelSyncFailed",
                              bound.error().detail, now);
    return unless_final(bound);
  }
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
