// What every store is inside: objects, indexes, history and the rules; persistence is a hook.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "knative/store.hpp"
#include "state/hash_index.hpp"
#include "state/ordered_objects.hpp"
#include "state/store_index.hpp"

namespace knative::state {

using Version = std::uint64_t;

// One entry of the history. Versions are contiguous: every change has exactly one.
struct Change {
  Version version = 0;
  WatchEventType type = WatchEventType::added;
  std::size_t kind = 0;
  AnyObject object;    // After the change; the last state of a deleted object.
  AnyObject previous;  // Before it, only when the labels were others.
};

// Objects of one group and kind.
struct KindTable {
  const KindInfo* info = nullptr;
  std::string name;      // "Service.serving.knative.dev"
  std::string resource;  // "services.serving.knative.dev", for messages
  OrderedObjects objects;
  LabelIndex labels;
  Version trimmed = 0;  // Version of the latest change of this kind that left the history.
};

class StoreCore;

// Where a watch learns of changes.
struct WatchPort {
  // Past `most` of them the watch has fallen behind.
  void push(Version version, std::size_t most);
  std::uint64_t id = 0;
  std::deque<Version> waiting;
  bool lost = false;
  Wakeup changed;
};

// The watches of a store, by what concerns them. Outlives the store as long as watches do.
class Hub {
 public:
  // A kind or all of them (npos); in it one namespace or all; in it one name or all.
  struct Topic {
    std::size_t kind = 0;
    std::string namespace_;
    std::string name;
    friend auto operator<=>(const Topic&, const Topic&) = default;
  };
  Hub() = default;
  Hub(const Hub&) = delete;
  Hub& operator=(const Hub&) = delete;
  ~Hub();

  static Topic topic_of(std::size_t kind, const WatchOptions& options);
  void join(const Topic& topic, WatchPort& port);
  void leave(const Topic& topic, WatchPort& port);
  void publish(const Change& change, std::size_t most);
  // The store is gone.
  void close();

  StoreCore* core = nullptr;

 private:
  void tell(const Topic& topic, Version version, std::size_t most);
  std::map<Topic, std::map<std::uint64_t, WatchPort*>> ports_;
  std::uint64_t next_id_ = 1;
};

std::optional<Version> parse_version(std::string_view text);

class StoreCore : public Store {
 public:
  StoreCore(Timers& timers, Random& random, StoreOptions options);
  ~StoreCore() override;

  Result<AnyObject> create(AnyObject object) override;
  Result<AnyObject> get(const ObjectRef& ref) const override;
  Result<AnyObject> update(AnyObject object) override;
  Result<AnyObject> apply(AnyObject object) override;
  Result<AnyObject> update_status(AnyObject object) override;
  Result<AnyObject> patch(const ObjectRef& ref, const Value& patch,
                          const PatchOptions& options) override;
  Result<AnyObject> remove(const ObjectRef& ref, const RemoveOptions& options) override;
  Result<ObjectList> list(std::string_view api_version, std::string_view kind,
                          const ListOptions& options) const override;
  Result<std::unique_ptr<Watch>> watch(std::string_view api_version, std::string_view kind,
                                       const WatchOptions& options) override;
  std::string resource_version() const override { return std::to_string(version_); }

  // For watches.
  const std::deque<Change>& history() const noexcept { return history_; }
  Version version() const noexcept { return version_; }
  // Every object that `options` selects, of one kind or of all (npos), in order.
  void each(std::size_t kind, const WatchOptions& options,
            const std::function<void(const AnyObject&)>& visit) const;
  // The latest change of the kind (of any kind: npos) that left the history.
  Version trimmed(std::size_t kind) const noexcept;

  static constexpr std::size_t npos = ~std::size_t{0};

 protected:
  // Called for every change, in order, after it is in place.
  virtual void persist(const Change& change) = 0;

  // Loading, before anything else is called.
  Result<void> restore_object(AnyObject object);
  Result<void> restore_change(Change change);
  void restore_version(Version version);
  std::optional<std::size_t> find_table(std::string_view kind_name) const;
  std::optional<std::size_t> find_table(std::string_view group, std::string_view kind) const;

  const KindTable& table(std::size_t kind) const { return tables_[kind]; }
  const StoreOptions& options() const noexcept { return options_; }
  const KindRegistry& kinds() const { return options_.kinds ? *options_.kinds : default_kinds(); }

 private:
  struct Place {
    std::size_t kind = 0;
    Key key;
  };
  // What garbage collection still has to look at.
  struct Work {
    enum class Kind : unsigned char { owner_gone, check_foreground, remove } kind;
    std::string uid;
    Propagation propagation = Propagation::background;
  };

  Result<std::size_t> table_of(std::string_view api_version, std::string_view kind) const;
  Result<Place> place_of(const ObjectRef& ref) const;
  static Place place_of(const Entry& entry) { return {entry.kind, entry.key}; }
  const AnyObject* find(const Place& place) const;
  Entry* find_uid(std::string_view uid) const;
  bool exists(std::string_view uid) const { return find_uid(uid) != nullptr; }
  Entry& add_entry(const Place& place, const AnyObject& object);
  Error not_found(const Place& place) const;
  Error conflict(const Place& place, std::string why) const;
  Result<void> check_preconditions(const Place& place, const AnyObject& current,
                                   std::string_view uid, std::string_view version) const;
  Result<void> admit(AnyObject& object, const AnyObject* old) const;
  std::string make_uid();
  std::string make_name(const std::string& prefix);
  Result<AnyObject> create_at(const Place& place, AnyObject object);
  Result<AnyObject> replace(const Place& place, const AnyObject& current, AnyObject object);

  // Make a change: store the object (erase it when deleted) under the next version.
  const AnyObject& commit(WatchEventType type, const Place& place, AnyObject object);
  void trim_history();
  void index_owners(const ObjectMeta& metadata);
  void unindex_owners(const ObjectMeta& metadata);

  struct Selection {
    const std::string& namespace_;
    const LabelSelector& labels;
    const FieldSelector& fields;
    std::optional<Key> after = std::nullopt;
    std::string_view owner_uid = {};
    std::size_t limit = 0;  // More will hardly be visited; 0: all.
  };
  // Calls `visit` with what is selected, in order, until it says false.
  void select(std::size_t kind, const Selection& selection,
              const std::function<bool(const AnyObject&)>& visit) const;
  std::vector<const Entry*> owned(std::size_t kind, std::string_view uid) const;

  void finish(const Place& place);
  void begin_removal(const Place& place, Propagation propagation);
  void orphan_dependents(const std::string& uid);
  void drop_owner(const std::string& dependent, const std::string& owner);
  void check_foreground(const std::string& uid);
  bool has_blocking_dependents(const std::string& uid) const;
  Result<void> complete_owners(ObjectMeta& metadata) const;
  bool is_abandoned(const ObjectMeta& metadata) const;
  void collect_garbage();

  Timers& timers_;
  Random random_;
  StoreOptions options_;
  std::vector<KindTable> tables_;
  HashIndex<const KindTable> by_kind_;
  HashIndex<Entry> by_uid_;
  std::unordered_map<std::string, std::set<std::string>> dependents_;  // By owner's uid.
  std::deque<Change> history_;
  Version version_ = 0;
  Version trimmed_any_ = 0;
  std::deque<Work> work_;
  std::shared_ptr<Hub> hub_;
};

// In watch.cpp.
std::unique_ptr<Watch> make_watch(std::shared_ptr<Hub> hub, std::size_t kind, WatchOptions options,
                                  std::optional<Version> after);

}  // namespace knative::state
