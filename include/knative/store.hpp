/// \file
/// A versioned object store with Kubernetes' semantics: optimistic concurrency, finalizers,
/// owner references, selectors, watches from a resource version.
///
/// Changes are synchronous: when a call returns, the change is validated and ordered, and every
/// later read and watch sees it. Persistence comes behind in groups; `durable()` waits for it.
/// `memory_store` keeps nothing across a restart, `sqlite_store` keeps objects, versions and the
/// bounded history. A change costs the same with 100,000 objects as with ten, a list by namespace,
/// label, owner or name what it returns, and what is returned shares the stored objects. Not a
/// database: there are no transactions over objects.
///
/// \code
/// auto store = knative::memory_store(env.timers, env.ids);
/// knative::AnyObject stored = store->apply(hello).value();
/// auto watch = store->watch("serving.knative.dev/v1", "Revision", {}).value();
/// (co_await store->durable(stored.metadata().resource_version)).value();
/// \endcode
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "knative/env.hpp"
#include "knative/error.hpp"
#include "knative/meta.hpp"
#include "knative/object.hpp"
#include "knative/selectors.hpp"
#include "knative/task.hpp"
#include "knative/value.hpp"

namespace knative {

// ---------------------------------------------------------------------------- lists, watches

/// What to list.
struct ListOptions {
  std::string namespace_;  ///< Empty: all namespaces.
  LabelSelector labels;
  FieldSelector fields;
  std::string owner_uid;       ///< Only what has an owner reference to this uid.
  std::size_t limit = 0;       ///< 0: no limit.
  std::string continue_token;  ///< From the page before.
};

/// Objects by namespace, then name. Later pages show the objects as they are then.
struct ObjectList {
  std::vector<AnyObject> items;
  std::string resource_version;  ///< Watch from here to miss nothing.
  std::string continue_token;    ///< Empty on the last page.
};

/// The values cross language bindings and are persisted.
enum class WatchEventType : unsigned char { added = 1, modified = 2, deleted = 3, bookmark = 4 };
/// "ADDED", "MODIFIED", "DELETED" or "BOOKMARK".
KNATIVE_EXPORT std::string_view to_string(WatchEventType type) noexcept;

/// One change. A deleted object carries its last state with the resource version of the deletion.
struct WatchEvent {
  WatchEventType type = WatchEventType::bookmark;
  std::string resource_version;
  AnyObject object;  ///< Holds nothing in a bookmark.
};

/// What to watch.
struct WatchOptions {
  std::string namespace_;  ///< Empty: all namespaces.
  LabelSelector labels;    ///< An object that stops matching is reported as deleted.
  FieldSelector fields;
  /// Deliver changes after this version. Empty or "0": first the existing objects as ADDED.
  std::string resource_version;
  /// A bookmark after the initial objects, and whenever many unrelated changes went by.
  bool bookmarks = false;
  /// When the watch falls behind the history, do not fail: report how what there is differs from
  /// what was reported. What went is DELETED (with its last known state), also when another object
  /// has its name by now; then come MODIFIED and ADDED. What happened in between is not told. Only
  /// without `resource_version`. The watch keeps what it reported in memory.
  bool resync = false;
};

/// A pull stream of changes; destroying it ends the watch. It may outlive the store.
class KNATIVE_EXPORT Watch {
 public:
  virtual ~Watch() = default;
  /// The next change, waiting for one. However slow the caller, every change is seen while it is
  /// in the history; then `failed_precondition` ("too old resource version"): list again, or see
  /// `WatchOptions::resync`.
  /// `cancelled` when the store is gone. One caller at a time.
  virtual Task<Result<WatchEvent>> next() = 0;
  /// The next change if there is one already, without waiting; errors as in `next`.
  virtual Result<std::optional<WatchEvent>> poll() = 0;
};

// ---------------------------------------------------------------------------- store

/// What becomes of the objects that an object owns when it is removed.
enum class Propagation : unsigned char {
  background,  ///< The object goes at once, what it owned goes after it.
  foreground,  ///< What blocks its deletion goes first.
  orphan,      ///< What it owned stays.
};

/// How to remove, and on which condition.
struct RemoveOptions {
  Propagation propagation = Propagation::background;
  std::string uid;               ///< Precondition when not empty.
  std::string resource_version;  ///< Precondition when not empty.
};

/// How to read a patch.
struct PatchOptions {
  enum class Type : unsigned char {
    merge,  ///< JSON merge patch (RFC 7386); strategic merge patches are not known.
    json,   ///< JSON patch (RFC 6902).
  };
  Type type = Type::merge;
  bool status = false;  ///< Patch the status only, otherwise everything but the status.
};

/// Defaults and validation at the door: may change `object`; `old` is null on creation. An error
/// (usually `invalid_argument`) refuses the change.
using Admission = std::function<Result<void>(AnyObject& object, const AnyObject* old)>;

/// Bounds and rules of a store.
struct StoreOptions {
  /// Changes kept for watchers. A watch that falls further behind has to list again.
  std::size_t history_max = 8192;
  /// The kinds there are; must outlive the store. Null: those of this library.
  const KindRegistry* kinds = nullptr;
  /// Empty: `AnyObject`'s defaults, validation and update validation.
  Admission admission;
  /// Namespace of namespaced objects that name none.
  std::string default_namespace = "default";
};

/// Objects by kind (whatever the API version within one group), namespace and name. Belongs to
/// its loop. Every object that is returned is as stored: with uid, versions and timestamps.
/// An object whose owners are all gone is removed, also when it is created too late.
///
/// Errors of all calls, with Kubernetes' texts: `not_found`, `already_exists`, `conflict` (stale
/// resourceVersion or failed precondition), `invalid_argument` (admission, or a malformed object),
/// `unimplemented` (unknown kind).
class KNATIVE_EXPORT Store {
 public:
  virtual ~Store() = default;

  /// Add an object; `generate_name` is completed by five random characters.
  virtual Result<AnyObject> create(AnyObject object) = 0;
  virtual Result<AnyObject> get(const ObjectRef& ref) const = 0;
  /// Replace everything but the status. A resourceVersion in `object` must be the current one.
  /// The generation grows by one when the spec changes; an update that changes nothing makes no
  /// new version.
  virtual Result<AnyObject> update(AnyObject object) = 0;
  /// Create, or replace spec, labels and annotations. Keeps the status; finalizers and owner
  /// references too when `object` has none. A resourceVersion in `object` must be the current one
  /// (`conflict`, also when there is no such object).
  virtual Result<AnyObject> apply(AnyObject object) = 0;
  /// Replace the status and nothing else.
  virtual Result<AnyObject> update_status(AnyObject object) = 0;
  virtual Result<AnyObject> patch(const ObjectRef& ref, const Value& patch,
                                  const PatchOptions& options) = 0;
  /// Remove an object, or mark it as being deleted while it has finalizers. Returns its last
  /// state. What it owns is treated as `propagation` says; a Namespace takes its objects with it.
  virtual Result<AnyObject> remove(const ObjectRef& ref, const RemoveOptions& options) = 0;
  virtual Result<ObjectList> list(std::string_view api_version, std::string_view kind,
                                  const ListOptions& options) const = 0;
  /// Changes of one kind, or of all kinds when `kind` is empty. Fails with `failed_precondition`
  /// ("too old resource version") when the history does not reach back, `invalid_argument` when
  /// the version is malformed or from the future.
  virtual Result<std::unique_ptr<Watch>> watch(std::string_view api_version, std::string_view kind,
                                               const WatchOptions& options) = 0;
  /// Version of the latest change; "0" in a new store.
  virtual std::string resource_version() const = 0;
  /// Wait until that change and all before it survive a crash. Fails with `unavailable` or
  /// `resource_exhausted` when the disk does; the store goes on trying. A memory store answers
  /// at once.
  virtual Task<Result<void>> durable(std::string resource_version) = 0;

  /// Typed forms of the above.
  template <class T>
  Result<T> get(std::string namespace_, std::string name) const {
    ObjectRef ref;
    ref.api_version = std::string(T::api_version);
    ref.kind = std::string(T::kind);
    ref.namespace_ = std::move(namespace_);
    ref.name = std::move(name);
    Result<AnyObject> object = get(ref);
    if (!object) return object.error();
    const T* typed = object->template get_if<T>();
    if (typed == nullptr) return fail(Errc::internal, "stored object has another type");
    return *typed;
  }
  template <class T>
  Result<std::vector<T>> list(const ListOptions& options = {}) const {
    Result<ObjectList> found = list(T::api_version, T::kind, options);
    if (!found) return found.error();
    std::vector<T> typed;
    typed.reserve(found->items.size());
    for (const AnyObject& item : found->items) {
      if (const T* object = item.template get_if<T>()) typed.push_back(*object);
    }
    return typed;
  }
  Result<AnyObject> remove(const ObjectRef& ref) { return remove(ref, RemoveOptions{}); }
  Result<AnyObject> patch(const ObjectRef& ref, const Value& merge) {
    return patch(ref, merge, PatchOptions{});
  }
  /// Everything so far.
  Task<Result<void>> durable() { return durable(resource_version()); }
};

/// A store that lives in memory. `random` makes uids, usually `Env::ids`.
KNATIVE_EXPORT std::unique_ptr<Store> memory_store(Timers& timers, Random& random,
                                                   StoreOptions options = {});

/// How a store keeps its file.
struct SqliteStoreOptions {
  StoreOptions store;
  /// Wait for the disk in every group commit (synchronous=FULL). False loses changes on power
  /// failure; only for tests that must see loss.
  bool sync = true;
  Duration retry_delay = std::chrono::seconds(1);  ///< After the disk failed.
  /// Where the file lies, for instance on a simulated disk; must outlive the store. Null: the
  /// operating system's files, with SQLite's own locks, so that other programs see them.
  Files* files = nullptr;
};

/// A store that is written behind to the SQLite file at `path` (created when absent), and loaded
/// back from it. Changes that were made before the store is destroyed are written by then. Blocks
/// while it loads. Fails with `data_loss` when the file is damaged or belongs to something else,
/// `failed_precondition` when another process has it open, `unavailable` when it cannot be opened.
/// `disk` is for blocking work, usually `Env::disk`; `random` names objects, usually `Env::ids`.
/// Format: docs/store-format.md.
KNATIVE_EXPORT Result<std::unique_ptr<Store>> sqlite_store(std::string path, Executor& executor,
                                                           Timers& timers, Random& random,
                                                           Offload& disk,
                                                           SqliteStoreOptions options = {});

/// Apply a JSON merge patch (RFC 7386) to `target`.
KNATIVE_EXPORT void merge_patch(Value& target, const Value& patch);
/// Apply a JSON patch (RFC 6902). Fails with `invalid_argument` (malformed) or
/// `failed_precondition` (a test failed, a path is missing); `target` is then unchanged.
KNATIVE_EXPORT Result<void> json_patch(Value& target, const Value& patch);

}  // namespace knative
