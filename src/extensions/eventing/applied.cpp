#include "extensions/eventing/applied.hpp"

#include <utility>

#include "extensions/eventing/reconcilers.hpp"
#include "knative/eventing.hpp"
#include "knative/reconciler.hpp"

namespace knative {

namespace {

template <class T>
std::pair<std::string, std::string> place() {
  return {std::string(T::api_version), std::string(T::kind)};
}

}  // namespace

AppliedObjects::AppliedObjects(Client& client) : client_(client) {
  const auto follow = [this](Kind kind, std::pair<std::string, std::string> place) {
    followed_.push_back(Followed{kind, std::move(place.first), std::move(place.second), {}, {}});
  };
  follow(Kind::broker, place<eventing::Broker>());
  follow(Kind::channel, place<eventing::Channel>());
  follow(Kind::trigger, place<eventing::Trigger>());
  follow(Kind::subscription, place<eventing::Subscription>());
}

void AppliedObjects::catch_up() {
  std::string version = client_.resource_version();
  if (version == version_) return;
  for (Followed& followed : followed_) read(followed);
  version_ = std::move(version);
}

// Two rounds at most: a watch that fell behind begins again with everything there is.
void AppliedObjects::read(Followed& followed) {
  for (int round = 0; round < 2; ++round) {
    std::set<std::string> before;
    const bool anew = followed.watch == nullptr;
    if (anew) {
      before = std::exchange(followed.told, {});
      begin(followed);
      if (followed.watch == nullptr) return;
    }
    Result<std::optional<WatchEvent>> event = followed.watch->poll();
    for (; event && *event; event = followed.watch->poll()) take(followed, **event);
    // What was known and is not told of any more has gone without a word.
    for (const std::string& key : before) {
      if (!followed.told.contains(key)) drop(followed.kind, key);
    }
    if (event) return;
    followed.watch.reset();
  }
}

void AppliedObjects::begin(Followed& followed) {
  Result<std::unique_ptr<Watch>> watch =
      client_.watch(followed.api_version, followed.name, WatchOptions{});
  if (watch) followed.watch = std::move(*watch);
}

void AppliedObjects::take(Followed& followed, const WatchEvent& event) {
  if (!event.object.has_value()) return;
  const ObjectMeta& metadata = event.object.metadata();
  const std::string key = make_key(metadata.namespace_, metadata.name);
  if (event.type == WatchEventType::deleted) {
    followed.told.erase(key);
    drop(followed.kind, key);
  } else {
    followed.told.insert(key);
    put(followed.kind, key, event.object);
  }
}

void AppliedObjects::put(Kind kind, const std::string& key, const AnyObject& object) {
  const ObjectMeta& metadata = object.metadata();
  const bool foreign = kind == Kind::broker && !control::is_served_class(metadata);
  const bool going = metadata.deletion_timestamp.has_value() || foreign;
  if (kind == Kind::broker || kind == Kind::channel) {
    const std::string id =
        kind == Kind::broker ? control::broker_id(key) : control::channel_id(key);
    std::string& uid = uids_[id];
    if (!uid.empty() && uid != metadata.uid) gone_.insert(uid);
    uid = metadata.uid;
    const Source* known = source(id);
    if (going || known == nullptr || known->uid != metadata.uid) changed_.insert(id);
    if (going) {
      sources_.erase(id);
    } else {
      sources_[id] = Source{metadata.uid};
    }
    return;
  }
  Consumer consumer{metadata.uid, metadata.name, metadata.generation, {}};
  if (const auto* trigger = object.get_if<eventing::Trigger>()) {
    consumer.source = control::broker_id(make_key(metadata.namespace_, trigger->spec.broker));
  } else if (const auto* subscription = object.get_if<eventing::Subscription>();
             subscription != nullptr &&
             subscription->spec.channel.kind == eventing::Channel::kind) {
    consumer.source =
        control::channel_id(make_key(metadata.namespace_, subscription->spec.channel.name));
  }
  const Consumer* known = this->consumer(metadata.uid);
  if (known != nullptr && known->generation == consumer.generation && !going) return;
  drop_consumer(kind, key);
  if (going) return;
  gone_.erase(consumer.uid);
  changed_.insert(consumer.source);
  consumer_of_[consumer.uid] = consumer.source;
  consumer_keys_[std::to_string(static_cast<int>(kind)) + key] = consumer.uid;
  consumers_[consumer.source][consumer.uid] = std::move(consumer);
}

void AppliedObjects::drop(Kind kind, const std::string& key) {
  if (kind == Kind::trigger || kind == Kind::subscription) return drop_consumer(kind, key);
  const std::string id = kind == Kind::broker ? control::broker_id(key) : control::channel_id(key);
  if (const auto known = uids_.find(id); known != uids_.end()) {
    gone_.insert(std::move(known->second));
    uids_.erase(known);
  }
  if (sources_.erase(id) > 0) changed_.insert(id);
}

void AppliedObjects::drop_consumer(Kind kind, const std::string& key) {
  const auto named = consumer_keys_.find(std::to_string(static_cast<int>(kind)) + key);
  if (named == consumer_keys_.end()) return;
  const std::string uid = named->second;
  consumer_keys_.erase(named);
  gone_.insert(uid);
  const auto place = consumer_of_.find(uid);
  if (place == consumer_of_.end()) return;
  const auto found = consumers_.find(place->second);
  changed_.insert(place->second);
  found->second.erase(uid);
  if (found->second.empty()) consumers_.erase(found);
  consumer_of_.erase(place);
}

const AppliedObjects::Source* AppliedObjects::source(std::string_view id) const {
  const auto found = sources_.find(id);
  return found == sources_.end() ? nullptr : &found->second;
}

const AppliedObjects::Consumers& AppliedObjects::consumers(std::string_view id) const {
  const auto found = consumers_.find(id);
  return found == consumers_.end() ? none_ : found->second;
}

const AppliedObjects::Consumer* AppliedObjects::consumer(std::string_view uid) const {
  const auto place = consumer_of_.find(uid);
  if (place == consumer_of_.end()) return nullptr;
  return &consumers_.at(place->second).at(std::string(uid));
}

std::set<std::string> AppliedObjects::source_uids() const {
  std::set<std::string> all;
  for (const auto& [id, uid] : uids_) all.insert(uid);
  return all;
}

}  // namespace knative
