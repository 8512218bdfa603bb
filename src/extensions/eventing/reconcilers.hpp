// Reconcilers of Eventing: Broker and Channel open an event log, Trigger and Subscription bind a
// subscriber to one, EventType checks what it refers to.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "knative/event_broker.hpp"
#include "knative/eventing.hpp"
#include "model/eventing_lifecycle.hpp"
#include "platform/reconciling.hpp"

namespace knative::control {

/// "broker/default/orders" or "channel/default/orders": names an event log and who serves it.
inline std::string broker_id(std::string_view key) { return "broker/" + std::string(key); }
inline std::string channel_id(std::string_view key) { return "channel/" + std::string(key); }

/// Hosts of the events' doors, as Knative names them: "broker-ingress.knative-eventing.DOMAIN" with
/// the Broker in the path, "NAME-kn-channel.NAMESPACE.DOMAIN".
inline constexpr std::string_view broker_ingress_name = "broker-ingress";
inline constexpr std::string_view channel_suffix = "-kn-channel";

/// What the data plane of events does for its reconcilers.
class EventingPlane {
 public:
  virtual ~EventingPlane() = default;
  /// Open the log and serve it. Idempotent.
  virtual Task<Result<void>> ensure(std::string id) = 0;
  /// Stop serving and delete what was accepted.
  virtual Task<Result<void>> remove(std::string id) = 0;
  virtual bool serves(std::string_view id) const = 0;

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
    std::string metric_name;  ///< Of the Trigger or Subscription.
  };
  /// `name` is that of the cursor. Idempotent: an equal binding goes on undisturbed.
  virtual Result<void> bind(const std::string& id, const std::string& name,
                            const Binding& binding) = 0;
  /// Stop delivering and forget the cursor.
  virtual Task<Result<void>> unbind(std::string id, std::string name) = 0;
};

/// The URL of a destination: its object's address, its URI, or both joined (RFC 3986).
/// `not_found` when the object is absent, `failed_precondition` when it has no address.
Result<std::string> resolve(const Context& context, const eventing::Destination& destination,
                            std::string_view namespace_);

/// Remember that a change of the object that `destination` names concerns who asks.
void add_interest(std::set<ObjectRef>& interests, const eventing::Destination& destination,
                  std::string_view namespace_);

/// Resolve the dead letter sink of `delivery` and mark the condition of `status`. The URL is empty
/// when there is none; nothing comes when it cannot be resolved.
template <class Status>
std::optional<std::string> resolve_dead_letter(
    const Context& context, const std::optional<eventing::DeliverySpec>& delivery,
    std::string_view namespace_, Status& status, std::set<ObjectRef>& interests) {
  const Timestamp now = context.now();
  if (!delivery || !delivery->dead_letter_sink) {
    mark_dead_letter_sink_not_configured(status, now);
    return std::string();
  }
  add_interest(interests, *delivery->dead_letter_sink, namespace_);
  Result<std::string> url = resolve(context, *delivery->dead_letter_sink, namespace_);
  if (!url) {
    mark_dead_letter_sink_failed(status, "Unable to get the DeadLetterSink's URI",
                                 url.error().detail, now);
    return std::nullopt;
  }
  mark_dead_letter_sink_resolved(status, *url, now);
  return *url;
}

/// A delivery specification as the broker wants it; unset members keep the broker's defaults.
/// Fails with `invalid_argument` for a duration that does not parse.
Result<DeliveryOptions> delivery_options(const std::optional<eventing::DeliverySpec>& spec);
/// Text that is equal exactly for equal filters.
std::string filter_text(const eventing::Trigger& trigger);

/// Which cursor of which log the objects of a reconciler deliver from. An object that was deleted
/// and made again under its name has another cursor; the old one must go.
class Bindings {
 public:
  /// Stop what `key` is bound to, unless it is `cursor`; an empty cursor stops anything.
  Task<Result<void>> drop_all_but(EventingPlane& plane, std::string key, std::string cursor);
  void set(const std::string& key, std::string id, std::string cursor) {
    bound_[key] = Bound{std::move(id), std::move(cursor)};
  }

 private:
  struct Bound {
    std::string id;
    std::string cursor;
  };
  std::map<std::string, Bound> bound_;
};

class BrokerReconciler final : public Reconciler {
 public:
  BrokerReconciler(Context& context, EventingPlane& plane) : context_(context), plane_(plane) {}
  Task<Result<Requeue>> reconcile(std::string key) override;

 private:
  Context& context_;
  EventingPlane& plane_;
};

class ChannelReconciler final : public Reconciler {
 public:
  ChannelReconciler(Context& context, EventingPlane& plane) : context_(context), plane_(plane) {}
  Task<Result<Requeue>> reconcile(std::string key) override;

 private:
  Context& context_;
  EventingPlane& plane_;
};

class TriggerReconciler final : public Reconciler {
 public:
  TriggerReconciler(Context& context, EventingPlane& plane) : context_(context), plane_(plane) {}
  Task<Result<Requeue>> reconcile(std::string key) override;

 private:
  Result<void> bind(eventing::Trigger& trigger, std::set<ObjectRef>& interests);
  Context& context_;
  EventingPlane& plane_;
  Bindings bound_;
};

class SubscriptionReconciler final : public Reconciler {
 public:
  SubscriptionReconciler(Context& context, EventingPlane& plane)
      : context_(context), plane_(plane) {}
  Task<Result<Requeue>> reconcile(std::string key) override;

 private:
  Result<void> bind(eventing::Subscription& subscription, std::set<ObjectRef>& interests);
  Context& context_;
  EventingPlane& plane_;
  Bindings bound_;
};

class EventTypeReconciler final : public Reconciler {
 public:
  explicit EventTypeReconciler(Context& context) : context_(context) {}
  Task<Result<Requeue>> reconcile(std::string key) override;

 private:
  Context& context_;
};

}  // namespace knative::control
