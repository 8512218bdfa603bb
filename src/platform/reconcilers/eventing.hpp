// Reconcilers of Eventing: Broker and Channel open an event log, Trigger and Subscription bind a
// subscriber to one, EventType checks what it refers to.
#pragma once

#include <map>
#include <set>
#include <string>

#include "knative/eventing.hpp"
#include "platform/event_plane.hpp"
#include "platform/reconcilers/context.hpp"

namespace knative::control {

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
  Task<Result<void>> drop_all_but(EventPlane& plane, std::string key, std::string cursor);
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
  BrokerReconciler(Context& context, EventPlane& plane) : context_(context), plane_(plane) {}
  Task<Result<Requeue>> reconcile(std::string key) override;

 private:
  Context& context_;
  EventPlane& plane_;
};

class ChannelReconciler final : public Reconciler {
 public:
  ChannelReconciler(Context& context, EventPlane& plane) : context_(context), plane_(plane) {}
  Task<Result<Requeue>> reconcile(std::string key) override;

 private:
  Context& context_;
  EventPlane& plane_;
};

class TriggerReconciler final : public Reconciler {
 public:
  TriggerReconciler(Context& context, EventPlane& plane) : context_(context), plane_(plane) {}
  Task<Result<Requeue>> reconcile(std::string key) override;

 private:
  Result<void> bind(eventing::Trigger& trigger, std::set<ObjectRef>& interests);
  Context& context_;
  EventPlane& plane_;
  Bindings bound_;
};

class SubscriptionReconciler final : public Reconciler {
 public:
  SubscriptionReconciler(Context& context, EventPlane& plane) : context_(context), plane_(plane) {}
  Task<Result<Requeue>> reconcile(std::string key) override;

 private:
  Result<void> bind(eventing::Subscription& subscription, std::set<ObjectRef>& interests);
  Context& context_;
  EventPlane& plane_;
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
