// Removing objects: finalizers, owners, and what becomes of what an object owned.
//
// Work is queued and done in a loop, so that long chains of owners need no stack.
#include <algorithm>

#include "knative/core.hpp"
#include "state/store_core.hpp"

namespace knative::state {
namespace {

constexpr std::string_view foreground_finalizer = "foregroundDeletion";

bool has_finalizer(const ObjectMeta& metadata, std::string_view finalizer) {
  return std::find(metadata.finalizers.begin(), metadata.finalizers.end(), finalizer) !=
         metadata.finalizers.end();
}

}  // namespace

Result<AnyObject> StoreCore::remove(const ObjectRef& ref, const RemoveOptions& options) {
  const Result<Place> place = place_of(ref);
  if (!place) return place.error();
  const AnyObject* found = find(*place);
  if (found == nullptr) return not_found(*place);
  Result<void> met = check_preconditions(*place, *found, options.uid, options.resource_version);
  if (!met) return met.error();
  const AnyObject last = *found;
  const std::string& uid = last.metadata().uid;
  begin_removal(*place, options.propagation);
  collect_garbage();
  if (const Entry* remaining = find_uid(uid)) return remaining->object;
  // The deletion may be followed by those of dependents.
  for (auto change = history_.rbegin(); change != history_.rend(); ++change) {
    if (change->object.metadata().uid == uid) return change->object;
  }
  return last;  // so many went with it that its deletion left the history
}

void StoreCore::begin_removal(const Place& place, Propagation propagation) {
  const AnyObject* found = find(place);
  if (found == nullptr) return;
  AnyObject object = *found;
  const std::string uid = std::as_const(object).metadata().uid;
  if (propagation == Propagation::orphan) orphan_dependents(uid);
  const bool foreground = propagation == Propagation::foreground && has_blocking_dependents(uid);
  ObjectMeta& metadata = object.metadata();
  if (foreground && !has_finalizer(metadata, foreground_finalizer)) {
    metadata.finalizers.emplace_back(foreground_finalizer);
  }
  if (metadata.finalizers.empty()) {
    finish(place);
    return;
  }
  if (!metadata.deletion_timestamp) {
    metadata.deletion_timestamp =
        Timestamp(std::chrono::floor<std::chrono::seconds>(timers_.wall()));
  }
  if (object != *found) commit(WatchEventType::modified, place, std::move(object));
  if (!foreground) return;
  const auto dependents = dependents_.find(uid);
  if (dependents == dependents_.end()) return;
  for (const std::string& dependent : dependents->second) {
    work_.push_back({Work::Kind::remove, dependent, Propagation::foreground});
  }
}

// The object goes for good.
void StoreCore::finish(const Place& place) {
  const AnyObject* found = find(place);
  if (found == nullptr) return;
  const AnyObject object = *found;
  const ObjectMeta& metadata = object.metadata();
  commit(WatchEventType::deleted, place, object);
  work_.push_back({Work::Kind::owner_gone, metadata.uid, Propagation::background});
  for (const OwnerReference& owner : metadata.owner_references) {
    work_.push_back({Work::Kind::check_foreground, owner.uid, Propagation::background});
  }
  if (object.get_if<core::Namespace>() == nullptr) return;
  for (const KindTable& table : tables_) {
    for (auto entry = table.objects.lower_bound(Key(metadata.name, std::string()));
         entry != table.objects.end() && entry->key.namespace_() == metadata.name; ++entry) {
      work_.push_back({Work::Kind::remove, entry->object.metadata().uid, Propagation::background});
    }
  }
}

void StoreCore::orphan_dependents(const std::string& uid) {
  const auto found = dependents_.find(uid);
  if (found == dependents_.end()) return;
  const std::set<std::string> dependents = found->second;
  for (const std::string& dependent : dependents) {
    const Entry& found_dependent = *find_uid(dependent);
    const Place place = place_of(found_dependent);
    AnyObject object = found_dependent.object;
    std::erase_if(object.metadata().owner_references,
                  [&](const OwnerReference& owner) { return owner.uid == uid; });
    commit(WatchEventType::modified, place, std::move(object));
  }
}

// One of the owners is gone: forget it, or follow it when it was the last.
void StoreCore::drop_owner(const std::string& dependent, const std::string& owner) {
  const Entry* found = find_uid(dependent);
  if (found == nullptr) return;
  const Place place = place_of(*found);
  AnyObject object = found->object;
  const auto& owners = std::as_const(object).metadata().owner_references;
  const bool other_owner = std::any_of(
      owners.begin(), owners.end(),
      [&](const OwnerReference& other) { return other.uid != owner && exists(other.uid); });
  if (!other_owner) {
    begin_removal(place, Propagation::background);
    return;
  }
  std::erase_if(object.metadata().owner_references,
                [&](const OwnerReference& other) { return other.uid == owner; });
  commit(WatchEventType::modified, place, std::move(object));
}

bool StoreCore::has_blocking_dependents(const std::string& uid) const {
  const auto found = dependents_.find(uid);
  if (found == dependents_.end()) return false;
  for (const std::string& dependent : found->second) {
    const Entry* found_dependent = find_uid(dependent);
    if (found_dependent == nullptr) continue;
    for (const OwnerReference& owner : found_dependent->object.metadata().owner_references) {
      if (owner.uid == uid && owner.block_owner_deletion) return true;
    }
  }
  return false;
}

// An object in foreground deletion goes when nothing blocks it any longer.
void StoreCore::check_foreground(const std::string& uid) {
  const Entry* found = find_uid(uid);
  if (found == nullptr) return;
  const Place place = place_of(*found);
  AnyObject object = found->object;
  const ObjectMeta& metadata = std::as_const(object).metadata();
  if (!metadata.deletion_timestamp || !has_finalizer(metadata, foreground_finalizer) ||
      has_blocking_dependents(uid)) {
    return;
  }
  std::erase(object.metadata().finalizers, foreground_finalizer);
  const bool finished = std::as_const(object).metadata().finalizers.empty();
  commit(WatchEventType::modified, place, std::move(object));
  if (finished) finish(place);
}

// Owners that are not named by uid are looked up by name.
Result<void> StoreCore::complete_owners(ObjectMeta& metadata) const {
  for (OwnerReference& owner : metadata.owner_references) {
    if (!owner.uid.empty()) continue;
    ObjectRef ref{owner.api_version, owner.kind, metadata.namespace_, owner.name};
    const Result<Place> place = place_of(ref);
    if (place && !tables_[place->kind].info->namespaced) ref.namespace_.clear();
    const Result<AnyObject> found = get(ref);
    if (!found) {
      return fail(Errc::invalid_argument,
                  "metadata.ownerReferences: no uid is given and " + found.error().detail);
    }
    owner.uid = found->metadata().uid;
  }
  return {};
}

// It has owners, and none of them exists.
bool StoreCore::is_abandoned(const ObjectMeta& metadata) const {
  const auto& owners = metadata.owner_references;
  return !owners.empty() &&
         std::none_of(owners.begin(), owners.end(),
                      [&](const OwnerReference& owner) { return exists(owner.uid); });
}

void StoreCore::collect_garbage() {
  while (!work_.empty()) {
    const Work work = std::move(work_.front());
    work_.pop_front();
    switch (work.kind) {
      case Work::Kind::owner_gone: {
        const auto found = dependents_.find(work.uid);
        if (found == dependents_.end()) break;
        const std::set<std::string> dependents = found->second;
        for (const std::string& dependent : dependents) drop_owner(dependent, work.uid);
        break;
      }
      case Work::Kind::check_foreground: check_foreground(work.uid); break;
      case Work::Kind::remove: {
        const Entry* found = find_uid(work.uid);
        if (found == nullptr) break;
        begin_removal(place_of(*found), work.propagation);
        break;
      }
    }
  }
}

}  // namespace knative::state
