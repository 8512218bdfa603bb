// Reconcilers of Eventing: Broker and Channel open an event log, Trigger and Subscription bind a
// subscriber to one, EventType checks what it refers to.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "extensions/eventing/ids.hpp"
#include "knative/event_broker.hpp"
#include "knative/eventing.hpp"
#include "model/eventing_lifecycle.hpp"
#include "platform/reconciling.hpp"

namespace knative::control {

/// What the data plane of events does for its reconcilers. Objects are named by their uids.
class EventingPlane {
 public:
  virtual ~EventingPlane() = default;
  /// Open the log of a Broker or Channel and serve it under `id`. Idempotent: of one that is served
  /// it says whether its log works. Where `begun`, its log was there before: when it is not there
  /// any more it is `data_loss`.
  virtual Task<Result<void>> ensure(std::string id, std::string uid, bool begun) = 0;
  /// Whether logs outlive the process.
  virtual bool durable() const noexcept = 0;
  /// Stop serving and delete what was accepted.
  virtual Task<Result<void>> remove(std::string uid) = 0;
  /// Whether the object that has this name now is served.
  virtual bool serves(std::string_view id) = 0;
  /// Answers for the hosts of the Channel with this key.
  virtual std::shared_ptr<http::Handler> channel_door(std::string_view key) = 0;

  /// Deliver what a log accepts and `filter` passes to `subscriber_url` (may be empty for a
  /// Subscription that only has a reply), replies to `reply_url` or back to the log.
  struct Binding {
    std::string subscriber_url;
    std::string reply_url;
    bool reply_to_self = true;
    std::string dead_letter_url;
    std::string filter_text;  ///< Identifies the filter.
    Filter filter;
    DeliveryOptions delivery;
    ContentMode mode = ContentMode::binary;
    std::string metric_name;  ///< Of the Trigger or Subscription.
    friend bool operator==(const Binding& a, const Binding& b) {
      return a.subscriber_url == b.subscriber_url && a.reply_url == b.reply_url &&
             a.reply_to_self == b.reply_to_self && a.dead_letter_url == b.dead_letter_url &&
             a.filter_text == b.filter_text && a.delivery == b.delivery && a.mode == b.mode &&
             a.metric_name == b.metric_name;
    }
  };
  /// Let a Trigger or Subscription, as its generation says, deliver by `binding`. Idempotent: an
  /// equal binding goes on undisturbed. Does nothing when it has another generation by now.
  virtual Result<void> bind(const std::string& uid, std::int64_t generation,
                            const Binding& binding) = 0;
  /// Let its events wait.
  virtual Result<void> hold(const std::string& uid) = 0;
  /// Stop delivering and forget the cursor.
  virtual Task<Result<void>> unbind(std::string uid) = 0;
  /// Let go of what objects left that have gone before a reconciler saw them.
  virtual Task<Result<void>> forget_gone() = 0;
};

/// The URL of a destination: its object's address, its URI, or both joined (RFC 3986).
/// `not_found` when the object is absent, `failed_precondition` when it has no address.
Result<std::string> resolve(const Client& client, const eventing::Destination& destination,
                            std::string_view namespace_);

/// Remember that a change of the object that `destination` names concerns who asks.
void add_interest(Interests& interests, const eventing::Destination& destination,
                  std::string_view namespace_);

/// Resolve the dead letter sink of `delivery` and mark the condition of `status`. The URL is empty
/// when there is none; nothing comes when it cannot be resolved.
template <class Status>
std::optional<std::string> resolve_dead_letter(
    const Scope& scope, const std::optional<eventing::DeliverySpec>& delivery,
    std::string_view namespace_, Status& status, Interests& interests) {
  const Timestamp now = scope.now();
  if (!delivery || !delivery->dead_letter_sink) {
    mark_dead_letter_sink_not_configured(status, now);
    return std::string();
  }
  add_interest(interests, *delivery->dead_letter_sink, namespace_);
  Result<std::string> url = resolve(scope.client(), *delivery->dead_letter_sink, namespace_);
  if (!url) {
    mark_dead_letter_sink_failed(status, "Unable to get the DeadLetterSink's URI",
                                 url.error().detail, now);
    return std::nullopt;
  }
  mark_dead_letter_sink_resolved(status, *url, now);
  return *url;
}

/// Where an object delivers to by the terms that it has now, as far as they were resolved once:
/// what it referred to may be gone, but its events still end there, or as dead letters. It stands
/// in the status, so that a restart knows it, too.
class ResolvedBefore {
 public:
  /// `terms` names the generations that the terms come from.
  ResolvedBefore(const StringMap& annotations, std::string terms);
  /// The URL of "subscriber", "reply" or "deadLetterSink"; empty when these terms had none yet.
  std::optional<std::string> of(const std::string& role) const;
  /// Remember the URLs of these terms, by their roles.
  static void store(StringMap& annotations, const std::string& terms,
                    const std::map<std::string, std::string>& urls);

 private:
  std::map<std::string, std::string> urls_;
};

/// A delivery specification as the broker wants it. Without one the broker's defaults count; one
/// that says nothing of `retry` allows none, as Knative's.
/// Fails with `invalid_argument` for a duration that does not parse.
Result<DeliveryOptions> delivery_options(const std::optional<eventing::DeliverySpec>& spec);
/// How a delivery specification wants events to be written.
ContentMode delivery_mode(const std::optional<eventing::DeliverySpec>& spec);
/// Text that is equal exactly for equal filters.
std::string filter_text(const eventing::Trigger& trigger);

/// Whether the class of a Broker is the one that is served here.
bool is_served_class(const ObjectMeta& metadata);

/// Opens the event log of a Broker and tells its address.
class BrokerReconciler final : public Frame<eventing::Broker> {
 public:
  BrokerReconciler(Scope scope, EventingPlane& plane) : Frame(scope, "broker"), plane_(plane) {}

 private:
  Task<Result<Requeue>> step(eventing::Broker& broker, Interests& interests) override;
  Task<Result<void>> forget(const std::string& key, const std::string& uid) override;
  Task<Result<void>> forget_unseen(const std::string&) override { return plane_.forget_gone(); }
  EventingPlane& plane_;
};

/// The same for a Channel.
class ChannelReconciler final : public Frame<eventing::Channel> {
 public:
  /// What is sent to a Channel's hosts comes through `door`.
  ChannelReconciler(Scope scope, EventingPlane& plane, Door& door)
      : Frame(scope, "channel"), plane_(plane), door_(door) {}

 private:
  Task<Result<Requeue>> step(eventing::Channel& channel, Interests& interests) override;
  Task<Result<void>> forget(const std::string& key, const std::string& uid) override;
  Task<Result<void>> forget_unseen(const std::string&) override { return plane_.forget_gone(); }
  EventingPlane& plane_;
  Door& door_;
};

/// Who binds a subscriber to a log, and lets go of the cursor when the object has gone.
template <class T>
class BindingReconciler : public Frame<T> {
 public:
  BindingReconciler(Scope scope, EventingPlane& plane, std::string controller)
      : Frame<T>(scope, std::move(controller)), plane_(plane) {}

 protected:
  /// Set every condition; deliver when all is there. What is missing is a condition, not an error:
  /// its arrival brings the object back.
  virtual Result<void> bind(T& object, Interests& interests) = 0;
  Task<Result<Requeue>> step(T& object, Interests& interests) final {
    const Result<void> bound = bind(object, interests);
    if (!bound) co_return Requeue::failed(bound.error());
    co_return Requeue::never();
  }
  Task<Result<void>> forget(const std::string&, const std::string& uid) final {
    return plane_.unbind(uid);
  }
  Task<Result<void>> forget_unseen(const std::string&) final { return plane_.forget_gone(); }
  EventingPlane& plane() const noexcept { return plane_; }

 private:
  EventingPlane& plane_;
};

class TriggerReconciler final : public BindingReconciler<eventing::Trigger> {
 public:
  TriggerReconciler(Scope scope, EventingPlane& plane)
      : BindingReconciler(scope, plane, "trigger") {}

 private:
  Result<void> bind(eventing::Trigger& trigger, Interests& interests) override;
};

class SubscriptionReconciler final : public BindingReconciler<eventing::Subscription> {
 public:
  SubscriptionReconciler(Scope scope, EventingPlane& plane)
      : BindingReconciler(scope, plane, "subscription") {}

 private:
  using Urls = std::map<std::string, std::string>;
  Result<void> bind(eventing::Subscription& subscription, Interests& interests) override;
  std::optional<Urls> resolve_all(eventing::Subscription& subscription,
                                  const std::optional<eventing::DeliverySpec>& delivery,
                                  const std::string& terms, Interests& interests);
};

class EventTypeReconciler final : public Frame<eventing::EventType> {
 public:
  explicit EventTypeReconciler(Scope scope) : Frame(scope, "eventtype") {}

 private:
  Task<Result<Requeue>> step(eventing::EventType& type, Interests& interests) override;
};

}  // namespace knative::control
