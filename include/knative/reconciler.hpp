/// \file
/// The frame of reconcilers of objects: an `ObjectReconciler` is its step and nothing else.
///
/// The frame reads the object, lets go of what an earlier object of that name left (the uid is the
/// identity, so a name that was given again is another object), initialises the status, calls the
/// step, remembers what wakes it, and writes the status when it changed. Everything belongs to the
/// platform's loop.
///
/// \code
/// class WidgetReconciler final : public knative::ObjectReconciler<Widget> {
///   using ObjectReconciler::ObjectReconciler;
///   knative::Task<knative::Result<knative::Requeue>> step(Widget& widget,
///                                                         Interests& interests) override;
/// };
/// \endcode
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "knative/client.hpp"
#include "knative/controller.hpp"
#include "knative/env.hpp"
#include "knative/meta.hpp"

namespace knative {

/// Objects whose changes bring a reconciler back, be they there or not.
using Interests = std::set<ObjectRef>;

/// Who wants to be reconciled when an object changes. Interest is replaced as a whole at every
/// reconcile of the watcher, so it cannot go stale.
class KNATIVE_EXPORT Tracker {
 public:
  using Watcher = std::pair<std::string, std::string>;  ///< Controller name and key.

  void track(const Watcher& watcher, Interests refs);
  void forget(const Watcher& watcher);
  /// Null when nobody watches.
  const std::set<Watcher>* watchers_of(const ObjectRef& ref) const;
  bool empty() const noexcept { return interests_.empty(); }

 private:
  std::map<ObjectRef, std::set<Watcher>> watchers_;
  std::map<Watcher, Interests> interests_;
};

/// What the reconcilers of one platform share; the platform owns it.
struct ReconcileContext {
  Client& client;
  Timers& timers;
  Logger& logger;
  Tracker tracker = {};

  /// The time to stamp conditions with.
  Timestamp now() const { return Timestamp(timers.wall()); }
};

/// The key of a namespaced object: "namespace/name"; "/name" of a cluster-scoped one.
KNATIVE_EXPORT std::string make_key(std::string_view namespace_, std::string_view name);
inline std::string key_of(const ObjectMeta& metadata) {
  return make_key(metadata.namespace_, metadata.name);
}
/// Namespace and name.
KNATIVE_EXPORT std::pair<std::string, std::string> split_key(std::string_view key);

/// A reference to `owner` as the controller of what it makes.
template <class T>
OwnerReference owner_reference(const T& owner) {
  return OwnerReference{.api_version = std::string(T::api_version),
                        .kind = std::string(T::kind),
                        .name = owner.metadata.name,
                        .uid = owner.metadata.uid,
                        .controller = true,
                        .block_owner_deletion = true};
}

/// Whether the object with this metadata is controlled by the one with that uid.
KNATIVE_EXPORT bool owned_by(const ObjectMeta& child, std::string_view owner_uid);

/// Conditions that end where they began did not change, whatever they went through meanwhile:
/// without this every reconcile of a failing object would write, and so bring itself back.
KNATIVE_EXPORT void keep_transition_times(const Conditions& before, Conditions& after);

/// Make the child as `wanted` says (spec, labels, annotations), creating it when absent. Labels and
/// annotations that are no longer wanted go. Fails with `failed_precondition` when an object of
/// that name has another owner.
template <class T>
Task<Result<T>> ensure_child(Client& client, const T& wanted, const std::string& owner_uid) {
  Result<T> existing = client.get<T>(wanted.metadata.namespace_, wanted.metadata.name);
  if (!existing && existing.error().code != Errc::not_found) co_return existing.error();
  AnyObject object;
  if (existing) {
    if (!owned_by(existing->metadata, owner_uid)) {
      co_return fail(Errc::failed_precondition, "not owned");
    }
    T updated = *existing;
    updated.spec = wanted.spec;
    updated.metadata.labels = wanted.metadata.labels;
    updated.metadata.annotations = wanted.metadata.annotations;
    object = AnyObject(std::move(updated));
    object.apply_defaults();
    if (*object.get_if<T>() == *existing) co_return existing;
  } else {
    object = AnyObject(wanted);
  }
  Task<Result<AnyObject>> write = existing ? client.update(object) : client.create(object);
  Result<AnyObject> stored = co_await std::move(write);
  if (!stored) co_return stored.error();
  co_return stored->template get<T>();
}
template <class T>
Task<Result<T>> ensure_child(Client& client, T&& wanted, const std::string& owner_uid) = delete;

/// Write the status when it differs from what is stored. An object that is gone has none.
template <class T>
Task<Result<void>> write_status(Client& client, const T& before, T after) {
  keep_transition_times(before.status.conditions, after.status.conditions);
  if (before.status == after.status) co_return Result<void>();
  const AnyObject object(std::move(after));
  const Result<AnyObject> stored = co_await client.update_status(object);
  if (!stored && stored.error().code != Errc::not_found) co_return stored.error();
  co_return Result<void>();
}

/// Reconciles objects of kind `T`, whose `status` has `conditions` and `observed_generation`.
template <class T>
class ObjectReconciler : public Reconciler {
 public:
  /// `controller` is the name under which it is installed ("widget"). `context` must outlive it.
  ObjectReconciler(ReconcileContext& context, std::string controller)
      : context_(context), controller_(std::move(controller)) {}

  Task<Result<Requeue>> reconcile(std::string key) final {
    const auto names = split_key(key);
    const Result<T> found = context_.client.get<T>(names.first, names.second);
    if (!found && found.error().code != Errc::not_found) co_return found.error();
    const bool living = found && !found->metadata.deletion_timestamp;
    const std::string uid = living ? found->metadata.uid : std::string();
    const auto known = uids_.find(key);
    if (known == uids_.end()) {
      const Result<void> gone = co_await forget_unseen(key);
      if (!gone) co_return gone.error();
    } else if (known->second != uid) {
      const std::string old = known->second;
      const Result<void> gone = co_await forget(key, old);
      if (!gone) co_return gone.error();
      uids_.erase(key);
    }
    if (!living) {
      // Who is gone or going waits for nothing any more.
      context_.tracker.forget({controller_, key});
      co_return Requeue::never();
    }
    uids_[key] = uid;
    T object = *found;
    initialize(object);
    Interests interests;
    Result<Requeue> done = co_await step(object, interests);
    context_.tracker.track({controller_, key}, std::move(interests));
    if (!done) co_return done;
    const Result<void> written = co_await write_status(context_.client, *found, std::move(object));
    if (!written) co_return written.error();
    co_return done;
  }

 protected:
  /// Move the world towards `object` and mark its status. `interests` are what else brings it
  /// back. After an error the status is not written; `Requeue::failed` writes it and comes again.
  virtual Task<Result<Requeue>> step(T& object, Interests& interests) = 0;
  /// The object that had this uid is gone or going: let go of what was done for it. Called again
  /// after an error.
  virtual Task<Result<void>> forget(const std::string& key, const std::string& uid) {
    static_cast<void>(key);
    static_cast<void>(uid);
    co_return Result<void>();
  }
  /// No step was made for an object of this name yet, and there may be none: let go of what stood
  /// for earlier ones all the same (what a process before this one kept on disk, what others took
  /// note of). Called again after an error.
  virtual Task<Result<void>> forget_unseen(const std::string& key) {
    static_cast<void>(key);
    co_return Result<void>();
  }
  /// Bring the status up to this generation before the step.
  virtual void initialize(T& object) {
    object.status.observed_generation = object.metadata.generation;
  }

  ReconcileContext& context() const noexcept { return context_; }
  Client& client() const noexcept { return context_.client; }
  Timestamp now() const { return context_.now(); }

 private:
  ReconcileContext& context_;
  std::string controller_;
  std::map<std::string, std::string> uids_;  ///< Of the objects that steps were made for, by key.
};

}  // namespace knative
