/// \file
/// The verbs on objects, as everyone uses them who is not the store itself: reconcilers, the
/// platform's faces, a host's own tools.
///
/// Reads come from a local cache, at once; writes are awaited. Over a local `Store` a write
/// completes without suspending the caller, so that read, decide and write stay one turn; over a
/// cluster they do not. Code that must run on both never assumes that two writes are one turn: it
/// carries resource versions, and a `conflict` means "read again". Belongs to its loop.
///
/// \code
/// knative::AnyObject object(knative::core::Namespace{.metadata = {.name = "shop"}});
/// knative::AnyObject stored = (co_await client.create(object)).value();
/// \endcode
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "knative/error.hpp"
#include "knative/meta.hpp"
#include "knative/store.hpp"
#include "knative/task.hpp"

namespace knative {

/// Objects of one platform or cluster. Semantics and errors are those of `Store`. Every awaited
/// argument is a named object that stays until the task is done.
class KNATIVE_EXPORT Client {
 public:
  virtual ~Client() = default;

  virtual Result<AnyObject> get(const ObjectRef& ref) const = 0;
  virtual Result<ObjectList> list(std::string_view api_version, std::string_view kind,
                                  const ListOptions& options) const = 0;
  virtual Result<std::unique_ptr<Watch>> watch(std::string_view api_version, std::string_view kind,
                                               const WatchOptions& options) = 0;
  /// Version of the latest change that reads see; "0" when there was none.
  virtual std::string resource_version() const = 0;

  virtual Task<Result<AnyObject>> create(const AnyObject& object) = 0;
  virtual Task<Result<AnyObject>> update(const AnyObject& object) = 0;
  virtual Task<Result<AnyObject>> apply(const AnyObject& object) = 0;
  virtual Task<Result<AnyObject>> update_status(const AnyObject& object) = 0;
  virtual Task<Result<AnyObject>> patch(const ObjectRef& ref, const Value& patch,
                                        const PatchOptions& options) = 0;
  virtual Task<Result<AnyObject>> remove(const ObjectRef& ref, const RemoveOptions& options) = 0;
  /// Wait until the change of this version survives a crash.
  virtual Task<Result<void>> durable(std::string resource_version) = 0;

  Task<Result<AnyObject>> create(AnyObject&& object) = delete;
  Task<Result<AnyObject>> update(AnyObject&& object) = delete;
  Task<Result<AnyObject>> apply(AnyObject&& object) = delete;
  Task<Result<AnyObject>> update_status(AnyObject&& object) = delete;

  /// Typed forms of the reads.
  template <class T>
  Result<T> get(std::string_view namespace_, std::string_view name) const {
    Result<AnyObject> object = get(ref_to<T>(namespace_, name));
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
  /// The reference of an object of kind `T`.
  template <class T>
  static ObjectRef ref_to(std::string_view namespace_, std::string_view name) {
    return ObjectRef{std::string(T::api_version), std::string(T::kind), std::string(namespace_),
                     std::string(name)};
  }
};

/// A client of a store in this process; `store` must outlive it. No call suspends but `durable`.
KNATIVE_EXPORT std::unique_ptr<Client> local_client(Store& store);

}  // namespace knative
