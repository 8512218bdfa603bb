#include "platform/control_plane.hpp"

#include "base/next_turn.hpp"

namespace knative {

namespace {

// So many changes are handed on in one turn.
constexpr int changes_max = 64;

constexpr Duration settle_poll = std::chrono::milliseconds(1);
// Who depends on the first conclusions gets this long; a busy platform never settles wholly.
constexpr Duration settle_max = std::chrono::seconds(1);

}  // namespace

Turnstile::Turnstile(Executor& executor) : tasks_(executor) { tasks_.add(refill(*this)); }

Task<void> Turnstile::enter() {
  if (left_ == 0 || waiting_ > 0) {
    struct Waiting {
      std::size_t& count;
      explicit Waiting(std::size_t& of) : count(of) { ++count; }
      ~Waiting() { --count; }
    };
    const Waiting here(waiting_);
    co_await free_.wait();
  }
  --left_;
  used_.notify_all();
}

Task<void> Turnstile::refill(Turnstile& self) {
  for (;;) {
    while (self.left_ == turn_max) co_await self.used_.wait();
    co_await base::NextTurn();
    self.left_ = turn_max;
    for (int i = 0; i < turn_max; ++i) self.free_.notify_one();
  }
}

// One controller, and the keys that it is responsible for.
class ControlPlane::Entry final : private Reconciler {
 public:
  Entry(ControlPlane& plane, std::string name, std::unique_ptr<Reconciler> reconciler,
        ControllerOptions options)
      : plane_(plane),
        reconciler_(std::move(reconciler)),
        controller_(plane.env_.executor, plane.env_.timers, plane.env_.logger, std::move(name),
                    *this, options) {}

  Controller& controller() noexcept { return controller_; }
  // The object is there, and told of in this round.
  void is_there(const std::string& key, std::uint64_t round, bool first) {
    Known& known = keys_[key];
    known.round = round;
    if (first && !known.awaited) {
      known.awaited = true;
      ++plane_.unseen_;
    }
    controller_.enqueue(key);
  }
  void is_gone(const std::string& key) {
    const auto found = keys_.find(key);
    if (found != keys_.end()) {
      seen(found->second);
      keys_.erase(found);
    }
    controller_.enqueue(key);
  }
  // What was known and is not told of any more has gone without a word.
  void retain(std::uint64_t round) {
    for (auto entry = keys_.begin(); entry != keys_.end();) {
      const auto here = entry++;
      if (here->second.round == round) continue;
      const std::string key = here->first;
      is_gone(key);
    }
  }

 private:
  struct Known {
    std::uint64_t round = 0;
    bool awaited = false;  // Counted in `unseen_`.
  };
  Task<Result<Requeue>> reconcile(std::string key) override {
    co_await plane_.turnstile_.enter();
    Result<Requeue> outcome = co_await reconciler_->reconcile(key);
    if (const auto found = keys_.find(key); found != keys_.end()) seen(found->second);
    co_return outcome;
  }
  void seen(Known& known) {
    if (!std::exchange(known.awaited, false)) return;
    --plane_.unseen_;
    plane_.progress_.notify_all();
  }

  ControlPlane& plane_;
  std::unique_ptr<Reconciler> reconciler_;
  std::unordered_map<std::string, Known> keys_;
  Controller controller_;
};

ControlPlane::ControlPlane(Env& env, ReconcileContext& context)
    : env_(env), context_(context), turnstile_(env.executor), tasks_(env.executor) {}

ControlPlane::~ControlPlane() { stop(); }

Result<void> ControlPlane::add(std::string_view api_version, std::string_view kind,
                               std::string name, std::unique_ptr<Reconciler> reconciler,
                               ControllerOptions options) {
  Place place{std::string(api_version), std::string(kind)};
  if (by_kind_.contains(place)) {
    return fail(Errc::already_exists,
                place.second + " in " + place.first + " has a controller already");
  }
  if (entries_.contains(name)) {
    return fail(Errc::already_exists, "there is a controller named " + name);
  }
  auto entry = std::make_unique<Entry>(*this, name, std::move(reconciler), options);
  by_kind_[std::move(place)] = entry.get();
  entries_.emplace(std::move(name), std::move(entry));
  return {};
}

ControlPlane::Entry* ControlPlane::entry_of(std::string_view api_version,
                                            std::string_view kind) const {
  const auto found = by_kind_.find(std::pair(std::string(api_version), std::string(kind)));
  return found == by_kind_.end() ? nullptr : found->second;
}

Result<void> ControlPlane::start() {
  if (Result<void> begun = begin_watch(); !begun) return begun;
  tasks_.add(pump(*this));
  tasks_.add(catch_up(*this));
  return {};
}

// A watch from no version begins with everything that is there.
Result<void> ControlPlane::begin_watch() {
  ++round_;
  listing_ = true;
  WatchOptions options;
  options.bookmarks = true;
  Result<std::unique_ptr<Watch>> watch = context_.client.watch("", "", options);
  if (!watch) return watch.error();
  watch_ = std::move(*watch);
  return {};
}

Task<void> ControlPlane::pump(ControlPlane& self) {
  for (int handed = 1;; ++handed) {
    if (handed == changes_max) {
      co_await base::NextTurn();
      handed = 0;
    }
    Result<WatchEvent> event = co_await self.watch_->next();
    if (!event) {
      // The history went past us: begin again with everything there is.
      self.env_.logger.log(LogLevel::warning, "control", "watch restarted",
                           {{"error", event.error().to_string()}});
      if (!self.begin_watch()) co_return;
      continue;
    }
    self.seen_version_ = event->resource_version;
    if (event->object.has_value()) {
      self.take(*event);
    } else if (self.listing_) {
      self.listed();
    }
  }
}

void ControlPlane::take(const WatchEvent& event) {
  const AnyObject& object = event.object;
  const ObjectRef ref = object.ref();
  if (Entry* own = entry_of(ref.api_version, ref.kind)) {
    const std::string key = make_key(ref.namespace_, ref.name);
    if (event.type == WatchEventType::deleted) {
      own->is_gone(key);
    } else {
      own->is_there(key, round_, !first_list_done_);
    }
  }
  for (const OwnerReference& owner : object.metadata().owner_references) {
    if (Entry* above = entry_of(owner.api_version, owner.kind)) {
      above->controller().enqueue(make_key(ref.namespace_, owner.name));
    }
  }
  enqueue_watchers(ref);
}

// The first bookmark: everything that is there was told.
void ControlPlane::listed() {
  listing_ = false;
  for (const auto& [name, entry] : entries_) entry->retain(round_);
  first_list_done_ = true;
  progress_.notify_all();
}

Task<void> ControlPlane::catch_up(ControlPlane& self) {
  while (!self.first_list_done_ || self.unseen_ > 0) co_await self.progress_.wait();
  const Instant deadline = self.env_.timers.now() + settle_max;
  while (!self.settled() && self.env_.timers.now() < deadline) {
    co_await self.env_.timers.sleep_for(settle_poll);
  }
  self.caught_up_ = true;
  self.progress_.notify_all();
}

Task<void> ControlPlane::caught_up() {
  while (!caught_up_) co_await progress_.wait();
}

void ControlPlane::enqueue_watchers(const ObjectRef& ref) {
  const std::set<Tracker::Watcher>* watchers = context_.tracker.watchers_of(ref);
  if (watchers == nullptr) return;
  for (const auto& [controller, key] : *watchers) enqueue(controller, key);
}

void ControlPlane::enqueue(std::string_view controller, const std::string& key) {
  const auto found = entries_.find(controller);
  if (found != entries_.end()) found->second->controller().enqueue(key);
}

bool ControlPlane::settled() const {
  const std::string now = context_.client.resource_version();
  if (now != "0" && now != seen_version_) return false;
  for (const auto& [name, entry] : entries_) {
    if (!entry->controller().idle()) return false;
  }
  return true;
}

void ControlPlane::stop() {
  tasks_.clear();
  watch_.reset();
  by_kind_.clear();
  entries_.clear();
}

}  // namespace knative
