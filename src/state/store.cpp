// Reading and writing objects with Kubernetes' rules, on maps in memory; and the memory store.
#include <algorithm>
#include <charconv>
#include <cstdio>

#include "state/store_core.hpp"

namespace knative::state {
namespace {

std::string_view group_of(std::string_view api_version) {
  const std::size_t slash = api_version.find('/');
  return slash == std::string_view::npos ? std::string_view() : api_version.substr(0, slash);
}

std::string kind_name(std::string_view api_version, std::string_view kind) {
  std::string name(kind);
  const std::string_view group = group_of(api_version);
  return group.empty() ? name : name.append(1, '.').append(group);
}

Timestamp whole_seconds(WallTime time) {
  return Timestamp(std::chrono::floor<std::chrono::seconds>(time));
}

// Who made an object stays with it when a manifest is applied that does not say.
void keep_user_annotations(ObjectMeta& metadata, const ObjectMeta& old) {
  for (const std::string_view key :
       {"serving.knative.dev/creator", "serving.knative.dev/lastModifier"}) {
    const auto found = old.annotations.find(key);
    if (found != old.annotations.end()) metadata.annotations.insert(*found);
  }
}

/// So many are found without asking whether another way is shorter.
constexpr std::size_t few_objects = 64;

bool is_in(const Key& key, std::string_view namespace_) {
  return namespace_.empty() || key.namespace_() == namespace_;
}

/// Calls `offer` with what there is, in order, until it says no. Only as many are sorted as that
/// takes: `limit` and one more, as it seems (0: all).
template <class Offer>
void offer_in_order(std::vector<const Entry*>& found, std::size_t limit, const Offer& offer) {
  std::size_t step = limit == 0 || limit >= found.size() ? found.size() : limit + 1;
  for (auto at = found.begin(); at != found.end();) {
    step = std::min(step, static_cast<std::size_t>(found.end() - at));
    const auto sorted = at + static_cast<std::ptrdiff_t>(step);
    std::partial_sort(at, sorted, found.end(),
                      [](const Entry* a, const Entry* b) { return a->key < b->key; });
    for (; at != sorted; ++at) {
      if (!offer(**at)) return;
    }
    step *= 2;
  }
}

}  // namespace

std::optional<Version> parse_version(std::string_view text) {
  Version version = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, version);
  if (text.empty() || parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
  return version;
}

StoreCore::StoreCore(Timers& timers, Random& random, StoreOptions options)
    : timers_(timers),
      random_(random()),
      options_(std::move(options)),
      hub_(std::make_shared<Hub>()) {
  options_.history_max = std::max<std::size_t>(options_.history_max, 1);
  std::set<std::string> names;
  for (const KindInfo* info : kinds().all()) {
    std::string name = kind_name(info->api_version, info->kind);
    if (!names.insert(name).second) continue;  // another version
    KindTable table;
    table.info = info;
    table.resource = kind_name(info->api_version, info->plural);
    table.name = std::move(name);
    tables_.push_back(std::move(table));
  }
  for (const KindTable& table : tables_) by_kind_.insert(hash_of(table.info->kind), table);
  hub_->core = this;
}

StoreCore::~StoreCore() { hub_->close(); }

// ---------------------------------------------------------------------------- finding

Result<std::size_t> StoreCore::table_of(std::string_view api_version, std::string_view kind) const {
  if (const auto found = find_table(group_of(api_version), kind)) return *found;
  return fail(Errc::unimplemented, "no matches for kind \"" + std::string(kind) +
                                       "\" in version \"" + std::string(api_version) + '"');
}

std::optional<std::size_t> StoreCore::find_table(std::string_view name) const {
  const std::size_t dot = std::min(name.find('.'), name.size());
  return find_table(name.substr(std::min(dot + 1, name.size())), name.substr(0, dot));
}

std::optional<std::size_t> StoreCore::find_table(std::string_view group,
                                                 std::string_view kind) const {
  const KindTable* found = by_kind_.find(hash_of(kind), [&](const KindTable& table) {
    return table.info->kind == kind && group_of(table.info->api_version) == group;
  });
  if (found == nullptr) return std::nullopt;
  return static_cast<std::size_t>(found - tables_.data());
}

Result<StoreCore::Place> StoreCore::place_of(const ObjectRef& ref) const {
  const Result<std::size_t> kind = table_of(ref.api_version, ref.kind);
  if (!kind) return kind.error();
  Place place;
  place.kind = *kind;
  const bool defaulted = tables_[*kind].info->namespaced && ref.namespace_.empty();
  place.key = Key(defaulted ? options_.default_namespace : ref.namespace_, ref.name);
  return place;
}

const AnyObject* StoreCore::find(const Place& place) const {
  const Entry* found = tables_[place.kind].objects.find(place.key);
  return found == nullptr ? nullptr : &found->object;
}

Entry* StoreCore::find_uid(std::string_view uid) const {
  return by_uid_.find(hash_of(uid),
                      [uid](const Entry& entry) { return entry.object.metadata().uid == uid; });
}

Error StoreCore::not_found(const Place& place) const {
  return fail(Errc::not_found, tables_[place.kind].resource + " \"" +
                                   std::string(place.key.name()) + "\" not found");
}

Error StoreCore::conflict(const Place& place, std::string why) const {
  return fail(Errc::conflict, "Operation cannot be fulfilled on " + tables_[place.kind].resource +
                                  " \"" + std::string(place.key.name()) + "\": " + std::move(why));
}

Result<void> StoreCore::check_preconditions(const Place& place, const AnyObject& current,
                                            std::string_view uid, std::string_view version) const {
  const ObjectMeta& metadata = current.metadata();
  if (!uid.empty() && uid != metadata.uid) {
    return conflict(place, "Precondition failed: UID in precondition: " + std::string(uid) +
                               ", UID in object meta: " + metadata.uid);
  }
  if (!version.empty() && version != metadata.resource_version) {
    return conflict(place,
                    "the object has been modified; please apply your changes to the latest "
                    "version and try again");
  }
  return {};
}

Version StoreCore::trimmed(std::size_t kind) const noexcept {
  return kind == npos ? trimmed_any_ : tables_[kind].trimmed;
}

// ---------------------------------------------------------------------------- writing

Result<void> StoreCore::admit(AnyObject& object, const AnyObject* old) const {
  if (options_.admission) return options_.admission(object, old);
  object.apply_defaults();
  FieldErrors errors = object.validate();
  if (old != nullptr) errors.add(object.validate_update(*old));
  if (Result<void> valid = errors.to_result(); !valid) {
    return fail(valid.error().code, "validation failed: " + valid.error().detail);
  }
  return {};
}

std::string StoreCore::make_uid() {
  std::string text;
  do {
    const std::uint64_t high = (random_() & ~std::uint64_t{0xf000}) | 0x4000;  // version 4
    const std::uint64_t low = (random_() >> 2) | std::uint64_t{1} << 63;       // variant 1
    char buffer[40];
    std::snprintf(buffer, sizeof buffer, "%08x-%04x-%04x-%04x-%012llx",
                  static_cast<unsigned>(high >> 32), static_cast<unsigned>(high >> 16 & 0xffff),
                  static_cast<unsigned>(high & 0xffff), static_cast<unsigned>(low >> 48),
                  static_cast<unsigned long long>(low & 0xffffffffffff));
    text = buffer;
  } while (exists(text));
  return text;
}

std::string StoreCore::make_name(const std::string& prefix) {
  // Without vowels and look-alikes, so that no words appear.
  constexpr std::string_view alphabet = "bcdfghjklmnpqrstvwxz2456789";
  constexpr std::size_t suffix_length = 5;
  std::string name = prefix.substr(0, 63 - suffix_length);
  for (std::size_t i = 0; i < suffix_length; ++i) name += alphabet[random_.below(alphabet.size())];
  return name;
}

Result<AnyObject> StoreCore::create(AnyObject object) {
  if (!object.has_value()) return fail(Errc::invalid_argument, "there is no object");
  const Result<Place> found = place_of(object.ref());
  if (!found) return found.error();
  Place place = *found;
  if (!std::as_const(object).metadata().resource_version.empty()) {
    return fail(Errc::invalid_argument,
                "resourceVersion should not be set on objects to be created");
  }
  ObjectMeta& metadata = object.metadata();
  metadata.namespace_ = place.key.namespace_();
  if (metadata.name.empty() && !metadata.generate_name.empty()) {
    constexpr int attempts_max = 8;
    for (int i = 0; i < attempts_max; ++i) {
      metadata.name = make_name(metadata.generate_name);
      place.key = Key(metadata.namespace_, metadata.name);
      if (find(place) == nullptr) break;
    }
  }
  return create_at(place, std::move(object));
}

Result<AnyObject> StoreCore::create_at(const Place& place, AnyObject object) {
  object.clear_status();
  {
    ObjectMeta& metadata = object.metadata();
    metadata.uid.clear();
    metadata.resource_version.clear();
    metadata.deletion_timestamp.reset();
    metadata.deletion_grace_period_seconds.reset();
    metadata.generation = 1;
    metadata.creation_timestamp.reset();
  }
  if (Result<void> admitted = admit(object, nullptr); !admitted) return admitted.error();
  if (const AnyObject* existing = find(place)) {
    const std::string subject =
        tables_[place.kind].resource + " \"" + std::string(place.key.name()) + "\" already exists";
    return fail(Errc::already_exists, existing->metadata().deletion_timestamp
                                          ? "object is being deleted: " + subject
                                          : subject);
  }
  ObjectMeta& metadata = object.metadata();
  if (Result<void> owned = complete_owners(metadata); !owned) return owned.error();
  metadata.uid = make_uid();
  metadata.creation_timestamp = whole_seconds(timers_.wall());
  const bool abandoned = is_abandoned(metadata);
  const AnyObject created = commit(WatchEventType::added, place, std::move(object));
  if (abandoned) {
    work_.push_back({Work::Kind::remove, created.metadata().uid, Propagation::background});
    collect_garbage();
  }
  return created;
}

Result<AnyObject> StoreCore::get(const ObjectRef& ref) const {
  const Result<Place> place = place_of(ref);
  if (!place) return place.error();
  const AnyObject* found = find(*place);
  if (found == nullptr) return not_found(*place);
  return *found;
}

Result<AnyObject> StoreCore::update(AnyObject object) {
  if (!object.has_value()) return fail(Errc::invalid_argument, "there is no object");
  const Result<Place> place = place_of(object.ref());
  if (!place) return place.error();
  const AnyObject* found = find(*place);
  if (found == nullptr) return not_found(*place);
  const AnyObject current = *found;
  return replace(*place, current, std::move(object));
}

Result<AnyObject> StoreCore::apply(AnyObject object) {
  if (!object.has_value()) return fail(Errc::invalid_argument, "there is no object");
  const Result<Place> place = place_of(object.ref());
  if (!place) return place.error();
  const AnyObject* found = find(*place);
  if (found == nullptr) {
    const std::string& version = std::as_const(object).metadata().resource_version;
    if (!version.empty()) {
      return conflict(*place, "Precondition failed: metadata.resourceVersion is \"" + version +
                                  "\", but there is no such object; leave it out to create one");
    }
    return create(std::move(object));
  }
  const AnyObject current = *found;
  ObjectMeta& metadata = object.metadata();
  const ObjectMeta& old = current.metadata();
  if (metadata.finalizers.empty()) metadata.finalizers = old.finalizers;
  if (metadata.owner_references.empty()) metadata.owner_references = old.owner_references;
  keep_user_annotations(metadata, old);
  return replace(*place, current, std::move(object));
}

Result<AnyObject> StoreCore::replace(const Place& place, const AnyObject& current,
                                     AnyObject object) {
  if (&object.info() != &current.info()) {
    return fail(Errc::invalid_argument, "the object is stored as " +
                                            std::string(current.api_version()) + ", not as " +
                                            std::string(object.api_version()));
  }
  const ObjectMeta& old = current.metadata();
  {
    const ObjectMeta& given = std::as_const(object).metadata();
    Result<void> met = check_preconditions(place, current, given.uid, given.resource_version);
    if (!met) return met.error();
  }
  ObjectMeta& metadata = object.metadata();
  if (old.deletion_timestamp) {
    for (const std::string& finalizer : metadata.finalizers) {
      if (std::find(old.finalizers.begin(), old.finalizers.end(), finalizer) ==
          old.finalizers.end()) {
        return fail(Errc::invalid_argument,
                    "metadata.finalizers: Forbidden: no new finalizers can be added if the object "
                    "is being deleted, found new finalizer \"" +
                        finalizer + '"');
      }
    }
  }
  metadata.namespace_ = old.namespace_;
  metadata.generate_name = old.generate_name;
  metadata.uid = old.uid;
  metadata.resource_version = old.resource_version;
  metadata.generation = old.generation;
  metadata.creation_timestamp = old.creation_timestamp;
  metadata.deletion_timestamp = old.deletion_timestamp;
  metadata.deletion_grace_period_seconds = old.deletion_grace_period_seconds;
  object.take_status_from(current);
  if (Result<void> admitted = admit(object, &current); !admitted) return admitted.error();
  if (Result<void> owned = complete_owners(object.metadata()); !owned) return owned.error();
  if (object == current) return current;

  if (!object.spec_equals(current)) ++object.metadata().generation;
  const bool finished =
      old.deletion_timestamp && std::as_const(object).metadata().finalizers.empty();
  const AnyObject stored = commit(WatchEventType::modified, place, std::move(object));
  if (finished) {
    finish(place);
  } else if (is_abandoned(stored.metadata()) && !is_abandoned(old)) {
    work_.push_back({Work::Kind::remove, old.uid, Propagation::background});
  }
  // A reference that was given up may have been what an owner waited for.
  for (const OwnerReference& owner : old.owner_references) {
    work_.push_back({Work::Kind::check_foreground, owner.uid, Propagation::background});
  }
  collect_garbage();
  return stored;
}

Result<AnyObject> StoreCore::update_status(AnyObject object) {
  if (!object.has_value()) return fail(Errc::invalid_argument, "there is no object");
  const Result<Place> place = place_of(object.ref());
  if (!place) return place.error();
  const AnyObject* found = find(*place);
  if (found == nullptr) return not_found(*place);
  if (&object.info() != &found->info() || !object.info().has_status) {
    return fail(Errc::invalid_argument, tables_[place->kind].resource + " of " +
                                            std::string(object.api_version()) + " have no status");
  }
  const ObjectMeta& given = std::as_const(object).metadata();
  Result<void> met = check_preconditions(*place, *found, given.uid, given.resource_version);
  if (!met) return met.error();
  AnyObject changed = *found;
  changed.take_status_from(object);
  if (changed == *found) return changed;
  return commit(WatchEventType::modified, *place, std::move(changed));
}

Result<AnyObject> StoreCore::patch(const ObjectRef& ref, const Value& patch,
                                   const PatchOptions& options) {
  const Result<AnyObject> current = get(ref);
  if (!current) return current.error();
  Value value = current->to_value();
  if (options.type == PatchOptions::Type::json) {
    if (Result<void> patched = json_patch(value, patch); !patched) return patched.error();
  } else {
    merge_patch(value, patch);
  }
  Result<AnyObject> changed = kinds().from_value(value, Strictness::lenient);
  if (!changed) return changed.error();
  if (changed->ref() != current->ref()) {
    return fail(Errc::invalid_argument,
                "a patch cannot change apiVersion, kind, namespace or name of an object");
  }
  return options.status ? update_status(std::move(*changed)) : update(std::move(*changed));
}

// ---------------------------------------------------------------------------- changes

const AnyObject& StoreCore::commit(WatchEventType type, const Place& place, AnyObject object) {
  KindTable& table = tables_[place.kind];
  object.metadata().resource_version = std::to_string(++version_);
  const ObjectMeta& metadata = std::as_const(object).metadata();
  Change change;
  change.version = version_;
  change.type = type;
  change.kind = place.kind;
  change.object = object;
  if (type == WatchEventType::added) {
    add_entry(place, object);
  } else {
    Entry* entry = table.objects.find(place.key);
    const AnyObject before = std::exchange(entry->object, object);
    const ObjectMeta& old = before.metadata();
    const bool deleted = type == WatchEventType::deleted;
    const bool relabelled = old.labels != metadata.labels;
    if (relabelled) change.previous = before;
    if (relabelled || deleted) table.labels.remove(*entry, old.labels);
    if (relabelled && !deleted) table.labels.add(*entry, metadata.labels);
    if (deleted || old.owner_references != metadata.owner_references) {
      unindex_owners(old);
      if (!deleted) index_owners(metadata);
    }
    if (deleted) {
      by_uid_.erase(hash_of(old.uid), *entry);
      table.objects.erase(place.key);
    }
  }
  history_.push_back(std::move(change));
  trim_history();
  persist(history_.back());
  hub_->publish(history_.back(), options_.history_max);
  return history_.back().object;
}

Entry& StoreCore::add_entry(const Place& place, const AnyObject& object) {
  const ObjectMeta& metadata = object.metadata();
  KindTable& table = tables_[place.kind];
  Entry& entry =
      table.objects.insert(std::make_unique<Entry>(Entry{place.kind, place.key, object}));
  table.labels.add(entry, metadata.labels);
  by_uid_.insert(hash_of(metadata.uid), entry);
  index_owners(metadata);
  return entry;
}

void StoreCore::trim_history() {
  while (history_.size() > options_.history_max) {
    const Change& oldest = history_.front();
    tables_[oldest.kind].trimmed = oldest.version;
    trimmed_any_ = oldest.version;
    history_.pop_front();
  }
}

void StoreCore::index_owners(const ObjectMeta& metadata) {
  for (const OwnerReference& owner : metadata.owner_references) {
    dependents_[owner.uid].insert(metadata.uid);
  }
}

void StoreCore::unindex_owners(const ObjectMeta& metadata) {
  for (const OwnerReference& owner : metadata.owner_references) {
    const auto found = dependents_.find(owner.uid);
    if (found == dependents_.end()) continue;
    found->second.erase(metadata.uid);
    if (found->second.empty()) dependents_.erase(found);
  }
}

// ---------------------------------------------------------------------------- lists, watches

void StoreCore::select(std::size_t kind, const Selection& selection,
                       const std::function<bool(const AnyObject&)>& visit) const {
  const KindTable& table = tables_[kind];
  const Key first(selection.namespace_, std::string());
  const bool after = selection.after && *selection.after >= first;
  const Key& from = after ? *selection.after : first;
  // False when nothing behind it can be meant.
  const auto offer = [&](const Entry& entry) {
    if (!is_in(entry.key, selection.namespace_)) return false;
    if (after && entry.key == from) return true;
    const bool meant = selection.labels.matches(entry.object.metadata().labels) &&
                       selection.fields.matches(entry.object);
    return !meant || visit(entry.object);
  };
  const std::string* name = selection.fields.name();
  if (name != nullptr && (!selection.namespace_.empty() || !table.info->namespaced)) {
    const Entry* found = table.objects.find(Key(selection.namespace_, *name));
    if (found != nullptr && found->key >= from) offer(*found);
    return;
  }
  std::vector<const Entry*> found;
  if (!selection.owner_uid.empty()) {
    found = owned(kind, selection.owner_uid);
  } else {
    const std::optional<LabelIndex::Best> best = table.labels.best(selection.labels);
    // Those that carry the label, or those of the namespace, whichever are fewer.
    const bool few = best && best->count <= few_objects;
    if (!best || (!few && best->count > table.objects.most_from(from))) {
      auto at = table.objects.lower_bound(from);
      while (at != table.objects.end() && offer(*at)) ++at;
      return;
    }
    found = table.labels.meeting(*best->requirement);
  }
  std::erase_if(found, [&](const Entry* entry) {
    return !is_in(entry->key, selection.namespace_) || entry->key < from;
  });
  offer_in_order(found, selection.limit, offer);
}

std::vector<const Entry*> StoreCore::owned(std::size_t kind, std::string_view uid) const {
  std::vector<const Entry*> found;
  const auto dependents = dependents_.find(std::string(uid));
  if (dependents == dependents_.end()) return found;
  for (const std::string& dependent : dependents->second) {
    const Entry* entry = find_uid(dependent);
    if (entry->kind == kind) found.push_back(entry);
  }
  return found;
}

void StoreCore::each(std::size_t kind, const WatchOptions& options,
                     const std::function<void(const AnyObject&)>& visit) const {
  const Selection selection{options.namespace_, options.labels, options.fields};
  const auto all = [&visit](const AnyObject& object) {
    visit(object);
    return true;
  };
  for (std::size_t i = 0; i < tables_.size(); ++i) {
    if (kind == npos || kind == i) select(i, selection, all);
  }
}

Result<ObjectList> StoreCore::list(std::string_view api_version, std::string_view kind,
                                   const ListOptions& options) const {
  const Result<std::size_t> found = table_of(api_version, kind);
  if (!found) return found.error();
  Selection selection{options.namespace_, options.labels,    options.fields,
                      std::nullopt,       options.owner_uid, options.limit};
  if (!options.continue_token.empty()) {
    const std::size_t slash = options.continue_token.find('/');
    if (slash == std::string::npos) {
      return fail(Errc::invalid_argument, "continue key is not valid: " + options.continue_token);
    }
    const std::string_view token = options.continue_token;
    selection.after = Key(token.substr(0, slash), token.substr(slash + 1));
  }
  ObjectList out;
  out.resource_version = resource_version();
  select(*found, selection, [&](const AnyObject& object) {
    if (options.limit != 0 && out.items.size() == options.limit) {
      const ObjectMeta& last = std::as_const(out.items.back()).metadata();
      out.continue_token = last.namespace_ + '/' + last.name;
      return false;
    }
    out.items.push_back(object);
    return true;
  });
  return out;
}

Result<std::unique_ptr<Watch>> StoreCore::watch(std::string_view api_version, std::string_view kind,
                                                const WatchOptions& options) {
  std::size_t table = npos;
  if (!kind.empty()) {
    const Result<std::size_t> found = table_of(api_version, kind);
    if (!found) return found.error();
    table = *found;
  }
  if (options.resource_version.empty() || options.resource_version == "0") {
    return make_watch(hub_, table, options, std::nullopt);
  }
  if (options.resync) {
    return fail(Errc::invalid_argument, "a watch that lists again begins with a list");
  }
  const std::optional<Version> wanted = parse_version(options.resource_version);
  if (!wanted || *wanted > version_) {
    return fail(Errc::invalid_argument, "invalid resource version: " + options.resource_version);
  }
  if (trimmed(table) > *wanted) {
    return fail(Errc::failed_precondition, "too old resource version: " + options.resource_version +
                                               " (" + resource_version() + ')');
  }
  return make_watch(hub_, table, options, *wanted);
}

// ---------------------------------------------------------------------------- loading

Result<void> StoreCore::restore_object(AnyObject object) {
  const Result<Place> place = place_of(object.ref());
  if (!place) return place.error();
  const ObjectMeta& metadata = std::as_const(object).metadata();
  if (metadata.uid.empty() || exists(metadata.uid)) {
    return fail(Errc::data_loss, object.ref().to_string() + ": missing or repeated uid");
  }
  if (find(*place) != nullptr) {
    return fail(Errc::data_loss, object.ref().to_string() + ": stored twice");
  }
  add_entry(*place, object);
  return {};
}

Result<void> StoreCore::restore_change(Change change) {
  if (!history_.empty() && change.version != history_.back().version + 1) {
    return fail(Errc::data_loss,
                "the history has a gap before version " + std::to_string(change.version));
  }
  history_.push_back(std::move(change));
  return {};
}

void StoreCore::restore_version(Version version) {
  version_ = version;
  trimmed_any_ = history_.empty() ? version : history_.front().version - 1;
  for (KindTable& table : tables_) table.trimmed = trimmed_any_;
  trim_history();
}

// ---------------------------------------------------------------------------- memory store

namespace {

class MemoryStore final : public StoreCore {
 public:
  using StoreCore::StoreCore;
  Task<Result<void>> durable(std::string resource_version) override {
    const std::optional<Version> wanted = parse_version(resource_version);
    if (!wanted || *wanted > version()) {
      co_return fail(Errc::invalid_argument, "invalid resource version: " + resource_version);
    }
    co_return Result<void>();
  }

 private:
  void persist(const Change&) override {}
};

}  // namespace
}  // namespace knative::state

namespace knative {

std::unique_ptr<Store> memory_store(Timers& timers, Random& random, StoreOptions options) {
  return std::make_unique<state::MemoryStore>(timers, random, std::move(options));
}

}  // namespace knative
