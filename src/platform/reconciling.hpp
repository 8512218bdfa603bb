// What all reconcilers of one platform share: the store, the clock, ownership, status writing, and
// the tracker that tells whom to wake when an object changes.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "knative/controller.hpp"
#include "knative/env.hpp"
#include "knative/meta.hpp"
#include "knative/store.hpp"

namespace knative::control {

/// "namespace/name"
inline std::string make_key(std::string_view namespace_, std::string_view name) {
  return std::string(namespace_).append("/").append(name);
}
inline std::string key_of(const ObjectMeta& metadata) {
  return make_key(metadata.namespace_, metadata.name);
}
inline std::pair<std::string, std::string> split_key(const std::string& key) {
  const std::size_t slash = key.find('/');
  KN_ASSERT(slash != std::string::npos);
  return {key.substr(0, slash), key.substr(slash + 1)};
}

/// Who wants to be reconciled when an object changes. Interest is replaced as a whole at every
/// reconcile of the watcher, so it cannot go stale.
class Tracker {
 public:
  using Watcher = std::pair<std::string, std::string>;  ///< Controller name and key.

  void track(const Watcher& watcher, std::set<ObjectRef> refs) {
    forget(watcher);
    for (const ObjectRef& ref : refs) watchers_[ref].insert(watcher);
    if (!refs.empty()) interests_[watcher] = std::move(refs);
  }
  void forget(const Watcher& watcher) {
    const auto found = interests_.find(watcher);
    if (found == interests_.end()) return;
    for (const ObjectRef& ref : found->second) {
      const auto entry = watchers_.find(ref);
      entry->second.erase(watcher);
      if (entry->second.empty()) watchers_.erase(entry);
    }
    interests_.erase(found);
  }
  std::set<Watcher> watchers_of(const ObjectRef& ref) const {
    const auto entry = watchers_.find(ref);
    return entry == watchers_.end() ? std::set<Watcher>{} : entry->second;
  }

 private:
  std::map<ObjectRef, std::set<Watcher>> watchers_;
  std::map<Watcher, std::set<ObjectRef>> interests_;
};

/// Shared by reference; the platform owns it.
struct Context {
  Store& store;
  Timers& timers;
  Logger& logger;
  Tracker tracker;
  std::string domain;
  /// ":8080", or "" when there is no listener or the port is 80.
  std::string port_suffix;

  Timestamp now() const { return Timestamp(timers.wall()); }
  /// "http://hello.default.localhost:8080"
  std::string external_url(std::string_view name, std::string_view namespace_) const {
    return std::string("http://")
        .append(name)
        .append(".")
        .append(namespace_)
        .append(".")
        .append(domain)
        .append(port_suffix);
  }
  /// "http://hello.default.svc.cluster.local"
  static std::string internal_url(std::string_view name, std::string_view namespace_) {
    return std::string("http://")
        .append(name)
        .append(".")
        .append(namespace_)
        .append(".svc.cluster.local");
  }
};

template <class T>
OwnerReference owner_reference(const T& owner) {
  return OwnerReference{.api_version = std::string(T::api_version),
                        .kind = std::string(T::kind),
                        .name = owner.metadata.name,
                        .uid = owner.metadata.uid,
                        .controller = true,
                        .block_owner_deletion = true};
}

inline bool owned_by(const ObjectMeta& child, const std::string& owner_uid) {
  const OwnerReference* controller = child.controller();
  return controller != nullptr && controller->uid == owner_uid;
}

/// Make the child as `wanted` says (spec, labels, annotations), creating it when absent. Labels and
/// annotations that are no longer wanted go.
/// `failed_precondition` when an object of that name has another owner.
template <class T>
Result<T> ensure_child(Context& context, const T& wanted, const std::string& owner_uid) {
  Result<T> existing = context.store.get<T>(wanted.metadata.namespace_, wanted.metadata.name);
  if (!existing) {
    if (existing.error().code != Errc::not_found) return existing.error();
    Result<AnyObject> created = context.store.create(wanted);
    if (!created) return created.error();
    return created->template get<T>();
  }
  if (!owned_by(existing->metadata, owner_uid)) {
    return fail(Errc::failed_precondition, "not owned");
  }
  T updated = *existing;
  updated.spec = wanted.spec;
  updated.metadata.labels = wanted.metadata.labels;
  updated.metadata.annotations = wanted.metadata.annotations;
  AnyObject defaulted(updated);
  defaulted.apply_defaults();
  if (defaulted.get<T>() == *existing) return existing;
  Result<AnyObject> stored = context.store.update(defaulted);
  if (!stored) return stored.error();
  return stored->template get<T>();
}

/// Conditions that end where they began did not change, whatever they went through meanwhile:
/// without this every reconcile of a failing object would write, and so bring itself back.
inline void keep_transition_times(const Conditions& before, Conditions& after) {
  for (Condition& condition : after) {
    const Condition* old = find_condition(before, condition.type);
    if (old != nullptr && old->status == condition.status) {
      condition.last_transition_time = old->last_transition_time;
    }
  }
}

/// The object of the watcher's key if it is there to stay. Who is gone or going waits for nothing
/// any more.
template <class T>
Result<std::optional<T>> get_living(Context& context, const Tracker::Watcher& watcher) {
  const auto [namespace_, name] = split_key(watcher.second);
  Result<T> found = context.store.get<T>(namespace_, name);
  if (found && !found->metadata.deletion_timestamp) return std::optional<T>(std::move(*found));
  if (!found && found.error().code != Errc::not_found) return found.error();
  context.tracker.forget(watcher);
  return std::optional<T>();
}

/// Write the status when it differs from what is stored.
template <class T>
Result<void> write_status(Context& context, const T& before, T after) {
  keep_transition_times(before.status.conditions, after.status.conditions);
  if (before.status == after.status) return {};
  Result<AnyObject> stored = context.store.update_status(after);
  if (!stored) return stored.error();
  return {};
}

/// The end of a reconcile: `watcher` is woken by changes of `interests` from now on, and what
/// became of its object is written.
template <class T>
Result<Requeue> conclude(Context& context, const Tracker::Watcher& watcher,
                         std::set<ObjectRef> interests, const T& before, T after) {
  context.tracker.track(watcher, std::move(interests));
  if (Result<void> written = write_status(context, before, std::move(after)); !written) {
    return written.error();
  }
  return Requeue::never();
}

}  // namespace knative::control
