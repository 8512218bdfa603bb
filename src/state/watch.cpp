// Watches: cursors into the store's history.
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
namespace {

// After so many changes of others the watcher is told how far it has come.
constexpr Version bookmark_distance = 500;

class StoreWatch final : public Watch {
 public:
  StoreWatch(std::shared_ptr<Hub> hub, std::size_t kind, WatchOptions options, Version after,
             std::deque<WatchEvent> initial)
      : hub_(std::move(hub)),
        kind_(kind),
        options_(std::move(options)),
        cursor_(after),
        reported_(after),
        initial_(std::move(initial)) {}

  Task<Result<WatchEvent>> next() override {
    for (;;) {
      Result<std::optional<WatchEvent>> event = poll();
      if (!event) co_return event.error();
      if (*event) co_return std::move(**event);
      co_await changed().wait();
    }
  }

  Result<std::optional<WatchEvent>> poll() override {
    if (!initial_.empty()) {
      std::optional<WatchEvent> event(std::move(initial_.front()));
      initial_.pop_front();
      return event;
    }
    if (hub_->core == nullptr) return fail(Errc::cancelled, "the store is gone");
    const StoreCore& core = *hub_->core;
    if (core.trimmed(kind_) > cursor_) {
      return fail(Errc::failed_precondition,
                  "too old resource version: " + std::to_string(cursor_) + " (" +
                      std::to_string(core.version()) + ")");
    }
    while (cursor_ < core.version()) {
      const Version first = core.history().front().version;
      // What lies before the history was of other kinds.
      if (cursor_ + 1 < first) cursor_ = first - 1;
      const Change& change = core.history()[static_cast<std::size_t>(cursor_ + 1 - first)];
      ++cursor_;
      std::optional<WatchEvent> event = translate(change);
      if (!event) continue;
      reported_ = cursor_;
      return event;
    }
    if (options_.bookmarks && cursor_ - reported_ >= bookmark_distance) {
      reported_ = cursor_;
      WatchEvent bookmark;
      bookmark.resource_version = std::to_string(cursor_);
      return std::optional<WatchEvent>(std::move(bookmark));
    }
    return std::optional<WatchEvent>();
  }

 private:
  Wakeup& changed() { return kind_ == StoreCore::npos ? hub_->any : hub_->kinds[kind_]; }

  bool passes(const AnyObject& object) const {
    return options_.labels.matches(object.metadata().labels) && options_.fields.matches(object);
  }

  // The change as somebody sees it who only knows of matching objects.
  std::optional<WatchEvent> translate(const Change& change) const {
    if (kind_ != StoreCore::npos && change.kind != kind_) return std::nullopt;
    const ObjectMeta& metadata = change.object.metadata();
    if (!options_.namespace_.empty() && metadata.namespace_ != options_.namespace_) {
      return std::nullopt;
    }
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

  std::shared_ptr<Hub> hub_;
  std::size_t kind_;
  WatchOptions options_;
  Version cursor_;    // Everything up to here was looked at.
  Version reported_;  // The last version that the caller was told of.
  std::deque<WatchEvent> initial_;
};

}  // namespace

std::unique_ptr<Watch> make_watch(std::shared_ptr<Hub> hub, std::size_t kind, WatchOptions options,
                                  Version after, std::deque<WatchEvent> initial) {
  return std::make_unique<StoreWatch>(std::move(hub), kind, std::move(options), after,
                                      std::move(initial));
}

}  // namespace state
}  // namespace knative
