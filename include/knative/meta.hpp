/// \file
/// What all objects have in common: metadata, references, conditions, the table of kinds, and
/// `AnyObject`, which holds an object of any kind.
///
/// Kinds themselves are plain structs in core.hpp, build.hpp, serving.hpp and eventing.hpp. Nothing
/// here reads a clock: functions that stamp a time take it. Values may be handed to other threads;
/// one `AnyObject` must not be changed while another thread reads the same variable.
///
/// \code
/// knative::AnyObject object = knative::core::Namespace{.metadata = {.name = "shop"}};
/// object.apply_defaults();
/// if (auto errors = object.validate(); errors.has_errors()) std::puts(errors.to_string().c_str());
/// std::string json = object.to_value().to_json();
/// \endcode
#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "knative/error.hpp"
#include "knative/field_error.hpp"
#include "knative/scalars.hpp"
#include "knative/value.hpp"

namespace knative {

// ---------------------------------------------------------------------------- metadata

/// Who this object belongs to; it is removed when its owner is.
struct OwnerReference {
  std::string api_version;
  std::string kind;
  std::string name;
  std::string uid;
  bool controller = false;
  bool block_owner_deletion = false;
  friend bool operator==(const OwnerReference&, const OwnerReference&) = default;
};

/// An object's address: unique at one time.
struct ObjectRef {
  std::string api_version;
  std::string kind;
  std::string namespace_;  ///< Empty for cluster-scoped kinds.
  std::string name;

  /// "Service.serving.knative.dev default/hello"; the group is left out for core kinds.
  KNATIVE_EXPORT std::string to_string() const;
  friend auto operator<=>(const ObjectRef&, const ObjectRef&) = default;
};

/// metadata of every object (Kubernetes ObjectMeta, the fields that have a meaning here).
struct ObjectMeta {
  std::string name;
  std::string generate_name;  ///< Prefix of a name that the store makes up when `name` is empty.
  std::string namespace_;     ///< Defaulted to "default" for namespaced kinds.
  StringMap labels;
  StringMap annotations;
  std::string uid;
  std::string resource_version;  ///< Opaque; changes at every write.
  std::int64_t generation = 0;   ///< Counts changes of the spec, from 1.
  std::optional<Timestamp> creation_timestamp;
  std::optional<Timestamp> deletion_timestamp;
  std::optional<std::int64_t> deletion_grace_period_seconds;
  std::vector<OwnerReference> owner_references;
  std::vector<std::string> finalizers;
  std::string self_link;  ///< Kept for documents that came from a cluster.
  Value managed_fields;   ///< The same.

  /// The reference with `controller` set, or null.
  const OwnerReference* controller() const noexcept {
    for (const OwnerReference& owner : owner_references) {
      if (owner.controller) return &owner;
    }
    return nullptr;
  }
  friend bool operator==(const ObjectMeta&, const ObjectMeta&) = default;
};

// ---------------------------------------------------------------------------- conditions

/// One aspect of an object's state.
struct Condition {
  std::string type;
  std::string status = "Unknown";  ///< "True", "False" or "Unknown".
  std::string severity;            ///< Empty means error; else "Warning" or "Info".
  std::string reason;              ///< One CamelCase token for programs.
  std::string message;             ///< For people.
  std::optional<Timestamp> last_transition_time;

  bool is_true() const noexcept { return status == "True"; }
  bool is_false() const noexcept { return status == "False"; }
  bool is_unknown() const noexcept { return !is_true() && !is_false(); }
  friend bool operator==(const Condition&, const Condition&) = default;
};

/// Sorted by type, one per type.
using Conditions = std::vector<Condition>;

/// The condition of this type, or null.
KNATIVE_EXPORT const Condition* find_condition(const Conditions& conditions,
                                               std::string_view type) noexcept;

/// The rules by which a top condition ("Ready" or "Succeeded") follows from those it depends on.
/// Immutable; `now` stamps a condition only when something else about it changed.
/// Source: knative/pkg condition sets.
class KNATIVE_EXPORT ConditionSet {
 public:
  /// Top condition "Ready", for things that live.
  static ConditionSet living(std::initializer_list<std::string_view> dependents);
  /// Top condition "Succeeded", for things that end.
  static ConditionSet batch(std::initializer_list<std::string_view> dependents);

  const std::string& top() const noexcept { return top_; }
  bool is_dependent(std::string_view type) const noexcept;
  /// Add what is missing as Unknown (dependents follow a top that is already decided).
  void initialize(Conditions& conditions, Timestamp now) const;
  /// Set to True and work out the top again.
  void mark_true(Conditions& conditions, std::string_view type, Timestamp now) const;
  /// The same with a reason and a message.
  void mark_true(Conditions& conditions, std::string_view type, std::string reason,
                 std::string message, Timestamp now) const;
  void mark_false(Conditions& conditions, std::string_view type, std::string reason,
                  std::string message, Timestamp now) const;
  /// Set to Unknown; a False dependent keeps the top False.
  void mark_unknown(Conditions& conditions, std::string_view type, std::string reason,
                    std::string message, Timestamp now) const;
  /// Remove a condition; the top and dependents stay (returns false).
  bool clear(Conditions& conditions, std::string_view type) const;
  bool is_happy(const Conditions& conditions) const noexcept;

 private:
  ConditionSet(std::string_view top, std::initializer_list<std::string_view> dependents);
  void set(Conditions& conditions, Condition condition, Timestamp now) const;
  void recompute(Conditions& conditions, Timestamp now) const;
  std::string top_;
  std::vector<std::string> dependents_;
};

// ---------------------------------------------------------------------------- kinds

/// A struct of the model that is an object by itself.
template <class T>
concept Resource = requires(const T& object) {
  { T::api_version } -> std::convertible_to<std::string_view>;
  { T::kind } -> std::convertible_to<std::string_view>;
  requires std::same_as<std::remove_cvref_t<decltype(object.metadata)>, ObjectMeta>;
}
&&std::copyable<T>;

/// What to do with fields that a kind does not have.
enum class Strictness : unsigned char {
  strict,   ///< An error that names the path and a similar field.
  lenient,  ///< Dropped, as a cluster does.
};

/// Which names a kind may have.
enum class NameRule : unsigned char { dns1123_subdomain, dns1123_label, dns1035_label };

/// A row of the table of kinds.
struct KindInfo {
  std::string_view api_version;  ///< "serving.knative.dev/v1", or "v1" for core kinds.
  std::string_view kind;
  std::string_view plural;       ///< Resource name in URLs.
  std::string_view short_names;  ///< Comma-separated.
  bool namespaced = true;
  bool has_status = false;
  NameRule name_rule = NameRule::dns1123_subdomain;
  const struct KindOps* ops = nullptr;  ///< Private.

  /// "serving.knative.dev", empty for core kinds.
  std::string_view group() const noexcept {
    const std::size_t slash = api_version.find('/');
    return slash == std::string_view::npos ? std::string_view{} : api_version.substr(0, slash);
  }
  /// "v1"
  std::string_view version() const noexcept {
    const std::size_t slash = api_version.find('/');
    return slash == std::string_view::npos ? api_version : api_version.substr(slash + 1);
  }
};

/// All kinds this library knows; constant.
KNATIVE_EXPORT std::span<const KindInfo> all_kinds() noexcept;
/// Null when unknown.
KNATIVE_EXPORT const KindInfo* find_kind(std::string_view api_version,
                                         std::string_view kind) noexcept;
/// By "serving.knative.dev", "v1", "services"; null when unknown.
KNATIVE_EXPORT const KindInfo* find_kind_by_plural(std::string_view group, std::string_view version,
                                                   std::string_view plural) noexcept;

/// An object of any known kind. Copies share the object until one of them is changed.
class KNATIVE_EXPORT AnyObject {
 public:
  /// Holds nothing; only assignment, destruction, `has_value` and `==` are allowed then.
  AnyObject() noexcept = default;
  template <Resource T>
  AnyObject(T object)  // NOLINT: implicit
      : AnyObject(T::api_version, T::kind, std::make_shared<T>(std::move(object))) {}

  /// Decode an object whose apiVersion and kind say what it is. Fails with `invalid_argument`,
  /// reporting all wrong fields at once.
  static Result<AnyObject> from_value(const Value& value, Strictness strictness);
  /// The same with one entry per wrong field in `errors`; empty when there are any.
  static std::optional<AnyObject> decode(const Value& value, Strictness strictness,
                                         FieldErrors& errors);
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

  /// The typed object, or null when it is of another kind.
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
  /// Every error at once, metadata included.
  FieldErrors validate() const;
  /// What may not change from `old`, which is of the same kind.
  FieldErrors validate_update(const AnyObject& old) const;
  /// True when everything but metadata and status is equal (and the kinds are).
  bool spec_equals(const AnyObject& other) const;
  /// Replace the status by that of `other`, which is of the same kind. Kinds without: nothing.
  void take_status_from(const AnyObject& other);
  /// Reset the status. Kinds without: nothing.
  void clear_status();
  friend bool operator==(const AnyObject& a, const AnyObject& b) { return a.equals(b); }

 private:
  AnyObject(std::string_view api_version, std::string_view kind, std::shared_ptr<void> object);
  bool is(std::string_view api_version, std::string_view kind) const noexcept {
    return info_ && info_->kind == kind && info_->api_version == api_version;
  }
  void* own();
  bool equals(const AnyObject& other) const;
  [[noreturn]] void throw_kind(std::string_view wanted) const;

  const KindInfo* info_ = nullptr;
  std::shared_ptr<void> object_;
};

/// The address of a typed object.
template <Resource T>
ObjectRef ref_of(const T& object) {
  return ObjectRef{std::string(T::api_version), std::string(T::kind), object.metadata.namespace_,
                   object.metadata.name};
}

/// The name of an object made for another one: `parent` followed by `suffix`, cut to 63 characters
/// with an MD5 digest in the middle when longer. Source: knative/pkg kmeta.ChildName.
KNATIVE_EXPORT std::string child_name(std::string_view parent, std::string_view suffix);

/// Name, generateName, labels, annotations and owners. Paths begin at "name", "labels", ….
KNATIVE_EXPORT FieldErrors validate_metadata(const ObjectMeta& metadata, const KindInfo& kind);

}  // namespace knative
