/// \file
/// `AnyObject`: an object of any kind.
///
/// It holds a struct of core.hpp, build.hpp, serving.hpp, eventing.hpp or of the host's own, or an
/// object that is kept whole (kinds.hpp). Values may be handed to other threads; one `AnyObject`
/// must not be changed while another thread reads the same variable.
///
/// \code
/// knative::AnyObject object = knative::core::Namespace{.metadata = {.name = "shop"}};
/// object.apply_defaults();
/// if (auto errors = object.validate(); errors.has_errors()) std::puts(errors.to_string().c_str());
/// std::string json = object.to_value().to_json();
/// \endcode
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

#include "knative/error.hpp"
#include "knative/kinds.hpp"
#include "knative/meta.hpp"
#include "knative/value.hpp"

namespace knative {

/// An object of any known kind. Copies share the object until one of them is changed.
class KNATIVE_EXPORT AnyObject {
 public:
  /// Holds nothing; only assignment, destruction, `has_value` and `==` are allowed then.
  AnyObject() noexcept = default;
  template <Resource T>
  AnyObject(T object)  // NOLINT: implicit
      : AnyObject(kind_info(static_cast<const T*>(nullptr)), new T(std::move(object))) {}

  /// Read an object of the built-in kinds; see `KindRegistry::from_value`.
  static Result<AnyObject> from_value(const Value& value, Strictness strictness) {
    return default_kinds().from_value(value, strictness);
  }
  /// apiVersion, kind, metadata, spec, status as in Kubernetes JSON; defaults that Kubernetes omits
  /// are omitted.
  Value to_value() const;

  bool has_value() const noexcept { return info_ != nullptr; }
  const KindInfo& info() const noexcept { return *info_; }
  std::string_view api_version() const noexcept { return info_->api_version; }
  std::string_view kind() const noexcept { return info_->kind; }
  const ObjectMeta& metadata() const;
  ObjectMeta& metadata();
  ObjectRef ref() const;

  /// The typed object, or null when it is of another kind or was registered without a type.
  template <Resource T>
  const T* get_if() const noexcept {
    return is(T::api_version, T::kind) ? static_cast<const T*>(object_.get()) : nullptr;
  }
  /// The same for changing it; unshares it first.
  template <Resource T>
  T* get_if_mutable() {
    return is(T::api_version, T::kind) ? static_cast<T*>(own()) : nullptr;
  }
  /// The typed object; throws `Exception` (`invalid_argument`) when it is of another kind.
  template <Resource T>
  const T& get() const {
    const T* typed = get_if<T>();
    if (!typed) throw_kind(T::kind);
    return *typed;
  }

  /// status.conditions, or null when the kind has none.
  const Conditions* conditions() const noexcept;
  /// status.observedGeneration, or 0 when the kind has none.
  std::int64_t observed_generation() const noexcept;

  /// Fill in what the kind's rules fill in; doing it twice changes nothing more.
  void apply_defaults();
  /// Every error at once, metadata included; among them warnings about what has no effect.
  FieldErrors validate() const;
  /// What the marks of its fields and its kind's rules say: `validate` without the kind's own
  /// rules.
  FieldErrors check_marks() const;
  /// What may not change from `old`, which is of the same kind.
  FieldErrors validate_update(const AnyObject& old) const;
  /// True when everything but metadata and status is equal (and the kinds are).
  bool spec_equals(const AnyObject& other) const;
  /// Set or (without message) remove a condition of severity Warning that says what has no effect.
  /// Kinds without conditions: nothing.
  void set_warning(std::string_view message, Timestamp now);
  /// Replace the status by that of `other`, which is of the same kind. Kinds without: nothing.
  void take_status_from(const AnyObject& other);
  /// Reset the status. Kinds without: nothing.
  void clear_status();
  friend bool operator==(const AnyObject& a, const AnyObject& b) { return a.equals(b); }

 private:
  friend class KindRegistry;
  AnyObject(const KindInfo& info, void* object);
  AnyObject(const KindInfo& info, std::shared_ptr<void> object)
      : info_(&info), object_(std::move(object)) {}
  bool is(std::string_view api_version, std::string_view kind) const noexcept {
    return info_ && info_->ops && info_->kind == kind && info_->api_version == api_version;
  }
  void* own();
  bool equals(const AnyObject& other) const;
  [[noreturn]] void throw_kind(std::string_view wanted) const;

  const KindInfo* info_ = nullptr;
  std::shared_ptr<void> object_;
};

}  // namespace knative
