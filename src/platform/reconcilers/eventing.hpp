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
/// All of a Trigger's filters as one. Fails with `invalid_argument` when one does not parse:
/// a Trigger never falls open.
Result<Filter> filter_of(const eventing::TriggerSpec& spec);
/// Text that is equal exactly for equal filters.
std::string filter_text(const eventing::Trigger& trigger);

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
  std::map<std::string, std::string> bound_;  ///< Trigger key -> broker id.
};

class SubscriptionReconciler final : public Reconciler {
 public:
  SubscriptionReconciler(Context& context, EventPlane& plane) : context_(context), plane_(plane) {}
  Task<Result<Requeue>> reconcile(std::string key) override;

 private:
  Result<void> bind(eventing::Subscription& subscription, std::set<ObjectRef>& interests);
  Context& context_;
  EventPlane& plane_;
  std::map<std::string, std::string> bound_;  ///< Subscription key -> channel id.
};

class EventTypeReconciler final : public Reconciler {
 public:
  explicit EventTypeReconciler(Context& context) : context_(context) {}
  Task<Result<Requeue>> reconcile(std::string key) override;

 private:
  Context& context_;
};

}  // namespace knative::control
