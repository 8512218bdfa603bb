#include "extensions/eventing/reconcilers.hpp"

namespace knative::control {

using eventing::Broker;
using eventing::Channel;

Task<Result<Requeue>> BrokerReconciler::reconcile(std::string key) {
  const auto names = split_key(key);
  const std::string& namespace_ = names.first;
  const std::string id = broker_id(key);
  const Result<std::optional<Broker>> found = get_living<Broker>(context_, {"broker", key});
  if (!found) co_return found.error();
  if (!*found) {
    const Result<void> removed = co_await plane_.remove(id);
    if (!removed) co_return removed.error();
    co_return Requeue::never();
  }
  Broker broker = **found;
  const Timestamp now = context_.now();
  initialize_conditions(broker.status, now);
  broker.status.observed_generation = broker.metadata.generation;
  const Result<void> ready = co_await plane_.ensure(id);
  if (ready) {
    mark_ingress_ready(broker.status, now);
    mark_filter_ready(broker.status, now);
    mark_trigger_channel_ready(broker.status, now);
    set_address(broker.status,
                context_.external_url(broker_ingress_name, "knative-eventing") + "/" + key, now);
  } else {
    mark_trigger_channel_failed(broker.status, "LogFailed", ready.error().detail, now);
  }
  std::set<ObjectRef> interests;
  resolve_dead_letter(context_, broker.spec.delivery, namespace_, broker.status, interests);
  Result<Requeue> done =
      conclude(context_, {"broker", key}, std::move(interests), **found, std::move(broker));
  if (done && !ready) co_return ready.error();
  co_return done;
}

Task<Result<Requeue>> ChannelReconciler::reconcile(std::string key) {
  const auto names = split_key(key);
  const std::string& namespace_ = names.first;
  const std::string& name = names.second;
  const std::string id = channel_id(key);
  const Result<std::optional<Channel>> found = get_living<Channel>(context_, {"channel", key});
  if (!found) co_return found.error();
  if (!*found) {
    const Result<void> removed = co_await plane_.remove(id);
    if (!removed) co_return removed.error();
    co_return Requeue::never();
  }
  Channel channel = **found;
  const Timestamp now = context_.now();
  initialize_conditions(channel.status, now);
  channel.status.observed_generation = channel.metadata.generation;
  const Result<void> ready = co_await plane_.ensure(id);
  if (ready) {
    mark_backing_channel_ready(channel.status, now);
    set_address(channel.status,
                context_.external_url(name + std::string(channel_suffix), namespace_), now);
  } else {
    mark_backing_channel_failed(channel.status, "LogFailed", ready.error().detail, now);
  }
  std::set<ObjectRef> interests;
  resolve_dead_letter(context_, channel.spec.delivery, namespace_, channel.status, interests);
  Result<Requeue> done =
      conclude(context_, {"channel", key}, std::move(interests), **found, std::move(channel));
  if (done && !ready) co_return ready.error();
  co_return done;
}

}  // namespace knative::control
