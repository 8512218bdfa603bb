#include "knative/reconciler.hpp"

namespace knative {

void Tracker::track(const Watcher& watcher, Interests refs) {
  const auto known = interests_.find(watcher);
  if (known != interests_.end() && known->second == refs) return;
  forget(watcher);
  for (const ObjectRef& ref : refs) watchers_[ref].insert(watcher);
  if (!refs.empty()) interests_[watcher] = std::move(refs);
}

void Tracker::forget(const Watcher& watcher) {
  const auto found = interests_.find(watcher);
  if (found == interests_.end()) return;
  for (const ObjectRef& ref : found->second) {
    const auto entry = watchers_.find(ref);
    entry->second.erase(watcher);
    if (entry->second.empty()) watchers_.erase(entry);
  }
  interests_.erase(found);
}

const std::set<Tracker::Watcher>* Tracker::watchers_of(const ObjectRef& ref) const {
  const auto entry = watchers_.find(ref);
  return entry == watchers_.end() ? nullptr : &entry->second;
}

std::string make_key(std::string_view namespace_, std::string_view name) {
  return std::string(namespace_).append("/").append(name);
}

std::pair<std::string, std::string> split_key(std::string_view key) {
  const std::size_t slash = key.find('/');
  KN_ASSERT(slash != std::string_view::npos);
  return {std::string(key.substr(0, slash)), std::string(key.substr(slash + 1))};
}

bool owned_by(const ObjectMeta& child, std::string_view owner_uid) {
  const OwnerReference* controller = child.controller();
  return controller != nullptr && controller->uid == owner_uid;
}

void keep_transition_times(const Conditions& before, Conditions& after) {
  for (Condition& condition : after) {
    const Condition* old = find_condition(before, condition.type);
    if (old != nullptr && old->status == condition.status) {
      condition.last_transition_time = old->last_transition_time;
    }
  }
}

}  // namespace knative
