// Watches. A change is handed to the watches that it concerns, as a version to look up in the
// history; so neither the watches of others nor the changes of others cost anything.
#include "state/store_core.hpp"

namespace knative {

std::string_view to_string(WatchEventType type) noexcept {
  switch (type) {
    case WatchEventType::added: return "ADDED";
    case WatchEventType::modified: return "MODIFIED";
    case WatchEventType::deleted: return "DELETED";
    case WatchEventType::bookmark: return "BOOKMARK";
  }
  return "BOOKMARK";
}

namespace state {

void WatchPort::push(Version version, std::size_t most) {
  if (lost) return;
  if (waiting.size() < most) {
    waiting.push_back(version);
  } else {
    lost = true;
    waiting.clear();
  }
}

Hub::~Hub() { KN_ASSERT(ports_.empty()); }

Hub::Topic Hub::topic_of(std::size_t kind, const WatchOptions& options) {
  Topic topic{kind, {}, {}};
  // Who wants to hear how far the others are is told of every change of its kind.
  if (kind == StoreCore::npos || options.bookmarks || options.namespace_.empty()) return topic;
  topic.namespace_ = options.namespace_;
  if (const std::string* name = options.fields.name()) topic.name = *name;
  return topic;
}

void Hub::join(const Topic& topic, WatchPort& port) {
  port.id = next_id_++;
  ports_[topic].emplace(port.id, &port);
}

void Hub::leave(const Topic& topic, WatchPort& port) {
  const auto found = ports_.find(topic);
  found->second.erase(port.id);
  if (found->second.empty()) ports_.erase(found);
}

void Hub::tell(const Topic& topic, Version version, std::size_t most) {
  const auto found = ports_.find(topic);
  if (found == ports_.end()) return;
  for (const auto& [id, port] : found->second) {
    port->push(version, most);
    port->changed.notify_all();
  }
}

void Hub::publish(const Change& change, std::size_t most) {
  if (ports_.empty()) return;
  const ObjectMeta& metadata = change.object.metadata();
  tell(Topic{StoreCore::npos, {}, {}}, change.version, most);
  tell(Topic{change.kind, {}, {}}, change.version, most);
  if (metadata.namespace_.empty()) return;
  tell(Topic{change.kind, metadata.namespace_, {}}, change.version, most);
  tell(Topic{change.kind, metadata.namespace_, metadata.name}, change.version, most);
}

void Hub::close() {
  core = nullptr;
  for (const auto& [topic, ports] : ports_) {
    for (const auto& [id, port] : ports) port->changed.notify_all();
  }
}

namespace {

// After so many changes of others the watcher is told how far it has come.
constexpr Version bookmark_distance = 500;

class StoreWatch final : public Watch {
 public:
  StoreWatch(std::shared_ptr<Hub> hub, std::size_t kind, WatchOptions options, Version after)
      : hub_(std::move(hub)),
        kind_(kind),
        options_(std::move(options)),
        topic_(Hub::topic_of(kind_, options_)),
        reported_(after) {
    hub_->join(topic_, port_);
  }
  ~StoreWatch() override { hub_->leave(topic_, port_); }

  /// Begin with what exists.
  void begin_with_all() {
    list_all();
    if (!options_.bookmarks) return;
    initial_.push_back(bookmark(hub_->core->version()));
  }
  /// Begin with what the history has.
  void begin_after(Version version) {
    const std::deque<Change>& history = hub_->core->history();
    if (history.empty() || version >= history.back().version) return;
    const Version first = history.front().version;
    for (Version next = std::max(version + 1, first); next <= history.back().version; ++next) {
      const Change& change = history[static_cast<std::size_t>(next - first)];
      if (concerns(change)) port_.waiting.push_back(next);
    }
  }

  Task<Result<WatchEvent>> next() override {
    for (;;) {
      Result<std::optional<WatchEvent>> event = poll();
      if (!event) co_return event.error();
      if (*event) co_return std::move(**event);
      co_await port_.changed.wait();
    }
  }

  Result<std::optional<WatchEvent>> poll() override {
    for (;;) {
      if (!initial_.empty()) {
        std::optional<WatchEvent> event(std::move(initial_.front()));
        initial_.pop_front();
        return event;
      }
      if (hub_->core == nullptr) return fail(Errc::cancelled, "the store is gone");
      const StoreCore& core = *hub_->core;
      if (behind()) {
        if (!options_.resync) return too_old();
        resync();
        continue;
      }
      while (!port_.waiting.empty()) {
        const Version version = port_.waiting.front();
        port_.waiting.pop_front();
        const Version first = core.history().front().version;
        std::optional<WatchEvent> event =
            translate(core.history()[static_cast<std::size_t>(version - first)]);
        if (!event) continue;
        reported_ = version;
        if (options_.resync) note(*event);
        return event;
      }
      if (options_.bookmarks && core.version() - reported_ >= bookmark_distance) {
        return std::optional<WatchEvent>(bookmark(core.version()));
      }
      return std::optional<WatchEvent>();
    }
  }

 private:
  bool behind() const {
    if (port_.lost) return true;
    return !port_.waiting.empty() && port_.waiting.front() < hub_->core->history().front().version;
  }

  Error too_old() const {
    return fail(Errc::failed_precondition,
                "too old resource version: " + std::to_string(reported_) + " (" +
                    std::to_string(hub_->core->version()) + ")");
  }

  WatchEvent bookmark(Version version) {
    reported_ = version;
    WatchEvent event;
    event.resource_version = std::to_string(version);
    return event;
  }

  bool passes(const AnyObject& object) const {
    return options_.labels.matches(object.metadata().labels) && options_.fields.matches(object);
  }

  bool concerns(const Change& change) const {
    if (kind_ != StoreCore::npos && change.kind != kind_) return false;
    return options_.namespace_.empty() ||
           change.object.metadata().namespace_ == options_.namespace_;
  }

  // The change as somebody sees it who only knows of matching objects.
  std::optional<WatchEvent> translate(const Change& change) const {
    if (!concerns(change)) return std::nullopt;
    const bool now = passes(change.object);
    const bool before = change.previous.has_value() ? passes(change.previous) : now;
    WatchEvent event;
    event.type = change.type;
    event.resource_version = std::to_string(change.version);
    event.object = change.object;
    switch (change.type) {
      case WatchEventType::added:
        if (!now) return std::nullopt;
        break;
      case WatchEventType::modified:
        if (!now && !before) return std::nullopt;
        if (!before) event.type = WatchEventType::added;
        if (!now) {
          event.type = WatchEventType::deleted;
          event.object = change.previous;
          event.object.metadata().resource_version = event.resource_version;
        }
        break;
      case WatchEventType::deleted:
        if (!before) return std::nullopt;
        break;
      case WatchEventType::bookmark: return std::nullopt;
    }
    return event;
  }

  // ---- beginning, and beginning again

  void announce(WatchEventType type, const AnyObject& object, std::string version) {
    WatchEvent event;
    event.type = type;
    event.resource_version = std::move(version);
    event.object = object;
    initial_.push_back(std::move(event));
  }

  void list_all() {
    hub_->core->each(kind_, options_, [this](const AnyObject& object) {
      announce(WatchEventType::added, object, object.metadata().resource_version);
      if (options_.resync) known_.emplace(object.metadata().uid, object);
    });
  }

  void note(const WatchEvent& event) {
    const std::string& uid = event.object.metadata().uid;
    if (event.type == WatchEventType::deleted) {
      known_.erase(uid);
    } else {
      known_.insert_or_assign(uid, event.object);
    }
  }

  /// Compare what the caller knows with what there is. Deletions come first, so that a name is
  /// free before another object has it.
  void resync() {
    port_.lost = false;
    port_.waiting.clear();
    const Known before = std::exchange(known_, {});
    list_all();
    std::deque<WatchEvent> all = std::exchange(initial_, {});
    for (const auto& [uid, object] : before) {
      if (known_.contains(uid)) continue;
      announce(WatchEventType::deleted, object, hub_->core->resource_version());
      initial_.back().object.metadata().resource_version = hub_->core->resource_version();
    }
    for (WatchEvent& event : all) {
      const auto old = before.find(event.object.metadata().uid);
      if (old != before.end()) {
        if (old->second.metadata().resource_version == event.resource_version) continue;
        event.type = WatchEventType::modified;
      }
      initial_.push_back(std::move(event));
    }
    reported_ = hub_->core->version();
  }

  using Known = std::map<std::string, AnyObject>;  // by uid

  std::shared_ptr<Hub> hub_;
  std::size_t kind_;
  WatchOptions options_;
  Hub::Topic topic_;
  WatchPort port_;
  Version reported_;  // The last version that the caller was told of.
  std::deque<WatchEvent> initial_;
  Known known_;  // What the caller was told of; only for `resync`.
};

}  // namespace

std::unique_ptr<Watch> make_watch(std::shared_ptr<Hub> hub, std::size_t kind, WatchOptions options,
                                  std::optional<Version> after) {
  const Version from = after.value_or(hub->core->version());
  auto watch = std::make_unique<StoreWatch>(std::move(hub), kind, std::move(options), from);
  if (after) {
    watch->begin_after(*after);
  } else {
    watch->begin_with_all();
  }
  return watch;
}

}  // namespace state
}  // namespace knative
