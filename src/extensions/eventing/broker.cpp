// Broker and Channel: an event log that is served, and the address it is served at.
#include "extensions/eventing/reconcilers.hpp"

namespace knative::control {

using eventing::Broker;
using eventing::Channel;

namespace {

// A host that another has may be free one day.
constexpr Duration conflict_retry = std::chrono::seconds(5);

// How late a log that works again is noticed when nobody sends events.
constexpr Duration trouble_check = std::chrono::seconds(5);

// Names the object whose log was opened. It stands in the status: should the log be gone at a later
// start, it was lost, and is not begun anew without a word.
constexpr std::string_view log_annotation = "eventing.knative.dev/log";

constexpr std::string_view served_class = "MTChannelBasedBroker";
constexpr std::string_view served_template = "InMemoryChannel";

std::string door_owner(const std::string& channel_key) { return "Channel " + channel_key; }

// What both have in common: `mark` says in its own words what became of the log.
template <class T, class Mark>
Task<Result<Requeue>> serve(Scope scope, EventingPlane& plane, T& object, std::string id, Mark mark,
                            Interests& interests) {
  StringMap& notes = object.status.annotations;
  const auto note = notes.find(log_annotation);
  const bool begun = note != notes.end() && note->second == object.metadata.uid;
  const Result<void> ready = co_await plane.ensure(id, object.metadata.uid, begun);
  mark(object.status, ready);
  if (ready && plane.durable()) notes[std::string(log_annotation)] = object.metadata.uid;
  resolve_dead_letter(scope, object.spec.delivery, object.metadata.namespace_, object.status,
                      interests);
  if (ready) co_return Requeue::never();
  // A log that fails while it is open has said so, and is looked at again whether it works.
  if (plane.serves(id)) co_return Requeue::in(trouble_check);
  co_return Requeue::failed(ready.error());
}

}  // namespace

bool is_served_class(const ObjectMeta& metadata) {
  const auto found = metadata.annotations.find(eventing::keys::broker_class);
  return found == metadata.annotations.end() || found->second == served_class;
}

Task<Result<Requeue>> BrokerReconciler::step(Broker& broker, Interests& interests) {
  if (!is_served_class(broker.metadata)) {
    mark_ingress_failed(broker.status, "BrokerClassNotServed",
                        "class " +
                            broker.metadata.annotations.find(eventing::keys::broker_class)->second +
                            " is not served here, only " + std::string(served_class),
                        now());
    co_return Requeue::never();
  }
  const std::string key = key_of(broker.metadata);
  const std::string url =
      scope().addresses.external_url(broker_ingress_name, eventing_namespace) + "/" + key;
  const auto mark = [url, now = now()](eventing::BrokerStatus& status, const Result<void>& ready) {
    if (!ready) {
      mark_trigger_channel_failed(status, "LogFailed", ready.error().detail, now);
      return;
    }
    mark_ingress_ready(status, now);
    mark_filter_ready(status, now);
    mark_trigger_channel_ready(status, now);
    set_address(status, url, now);
  };
  Task<Result<Requeue>> serving = serve(scope(), plane_, broker, broker_id(key), mark, interests);
  co_return co_await std::move(serving);
}

Task<Result<void>> BrokerReconciler::forget(const std::string&, const std::string& uid) {
  return plane_.remove(uid);
}

Task<Result<Requeue>> ChannelReconciler::step(Channel& channel, Interests& interests) {
  const ObjectMeta& metadata = channel.metadata;
  const auto& wanted = channel.spec.channel_template;
  if (wanted && wanted->kind != served_template) {
    mark_backing_channel_failed(
        channel.status, "ChannelTemplateNotServed",
        "a " + wanted->kind + " is not served here, only an " + std::string(served_template),
        now());
    co_return Requeue::never();
  }
  const std::string label = channel_label(metadata.name);
  const Result<void> named = door_.set_hosts(door_owner(key_of(metadata)),
                                             scope().addresses.hosts(label, metadata.namespace_),
                                             plane_.channel_door(key_of(metadata)));
  if (!named) {
    mark_backing_channel_failed(channel.status, "HostConflict", named.error().detail, now());
    co_return Requeue::in(conflict_retry);
  }
  const std::string url = scope().addresses.external_url(label, metadata.namespace_);
  const auto mark = [url, now = now()](eventing::ChannelStatus& status, const Result<void>& ready) {
    if (!ready) {
      mark_backing_channel_failed(status, "LogFailed", ready.error().detail, now);
      return;
    }
    mark_backing_channel_ready(status, now);
    set_address(status, url, now);
  };
  Task<Result<Requeue>> serving =
      serve(scope(), plane_, channel, channel_id(key_of(metadata)), mark, interests);
  co_return co_await std::move(serving);
}

Task<Result<void>> ChannelReconciler::forget(const std::string& key, const std::string& uid) {
  door_.remove_hosts(door_owner(key));
  return plane_.remove(uid);
}

}  // namespace knative::control
