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

/// A delivery specification as the broker wants it; unset members keep the broker's defaults.
/// Fails with `invalid_argument` for a duration that does not parse.
Result<DeliveryOptions> delivery_options(const std::optional<eventing::DeliverySpec>& spec);
/// Text that is equal exactly for equal filters.
std::string filter_text(const eventing::Trigger& trigger);

/// Opens the event log of a Broker and tells its address.
class BrokerReconciler final : public Frame<eventing::Broker> {
 public:
  BrokerReconciler(Scope scope, EventingPlane& plane) : Frame(scope, "broker"), plane_(plane) {}

 private:
  Task<Result<Requeue>> step(eventing::Broker& broker, Interests& interests) override;
  Task<Result<void>> forget(const std::string& key, const std::string& uid) override;
  EventingPlane& plane_;
};

/// The same for a Channel.
class ChannelReconciler final : public Frame<eventing::Channel> {
 public:
  /// What is sent to a Channel's hosts goes from `door` to `ingress`.
  ChannelReconciler(Scope scope, EventingPlane& plane, Door& door,
                    std::shared_ptr<http::Handler> ingress)
      : Frame(scope, "channel"), plane_(plane), door_(door), ingress_(std::move(ingress)) {}

 private:
  Task<Result<Requeue>> step(eventing::Channel& channel, Interests& interests) override;
  Task<Result<void>> forget(const std::string& key, const std::string& uid) override;
  EventingPlane& plane_;
  Door& door_;
  std::shared_ptr<http::Handler> ingress_;
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
  Task<Result<void>> forget(const std::string& key, const std::string&) final {
    const auto found = bound_.find(key);
    if (found == bound_.end()) co_return Result<void>();
    const Bound old = found->second;
    const Result<void> unbound = co_await plane_.unbind(old.id, old.cursor);
    if (unbound) bound_.erase(key);
    co_return unbound;
  }
  void set_bound(const std::string& key, std::string id, std::string cursor) {
    bound_[key] = Bound{std::move(id), std::move(cursor)};
  }
  EventingPlane& plane() const noexcept { return plane_; }

 private:
  struct Bound {
    std::string id;
    std::string cursor;
  };
  EventingPlane& plane_;
  std::map<std::string, Bound> bound_;  ///< By key: which cursor of which log.
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
  Result<void> bind(eventing::Subscription& subscription, Interests& interests) override;
};

class EventTypeReconciler final : public Frame<eventing::EventType> {
 public:
  explicit EventTypeReconciler(Scope scope) : Frame(scope, "eventtype") {}

 private:
  Task<Result<Requeue>> step(eventing::EventType& type, Interests& interests) override;
};

}  // namespace knative::control
