/// \file
/// What all objects have in common: metadata, references and conditions.
///
/// Kinds themselves are plain structs in core.hpp, build.hpp, serving.hpp and eventing.hpp;
/// kinds.hpp says which there are, object.hpp holds an object of any. Nothing here reads a clock:
/// functions that stamp a time take it. Values may be handed to other threads.
///
/// \code
/// knative::ObjectMeta metadata{.name = "shop", .labels = {{"tier", "front"}}};
/// const knative::Condition* ready = knative::find_condition(object.status.conditions, "Ready");
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
  std::string api_version = {};
  std::string kind = {};
  std::string name = {};
  std::string uid = {};
  bool controller = false;
  bool block_owner_deletion = false;
  friend bool operator==(const OwnerReference&, const OwnerReference&) = default;
};

/// An object's address: unique at one time.
struct ObjectRef {
  std::string api_version = {};
  std::string kind = {};
  std::string namespace_ = {};  ///< Empty for cluster-scoped kinds.
  std::string name = {};

  /// "Service.serving.knative.dev default/hello"; the group is left out for core kinds.
  KNATIVE_EXPORT std::string to_string() const;
  friend auto operator<=>(const ObjectRef&, const ObjectRef&) = default;
};

/// metadata of every object (Kubernetes ObjectMeta, the fields that have a meaning here).
struct ObjectMeta {
  std::string name = {};
  std::string generate_name =
      {};                       ///< Prefix of a name that the store makes up when `name` is empty.
  std::string namespace_ = {};  ///< Defaulted to "default" for namespaced kinds.
  StringMap labels = {};
  StringMap annotations = {};
  std::string uid = {};
  std::string resource_version = {};  ///< Opaque; changes at every write.
  std::int64_t generation = 0;        ///< Counts changes of the spec, from 1.
  std::optional<Timestamp> creation_timestamp = {};
  std::optional<Timestamp> deletion_timestamp = {};
  std::optional<std::int64_t> deletion_grace_period_seconds = {};
  std::vector<OwnerReference> owner_references = {};
  std::vector<std::string> finalizers = {};
  std::string self_link = {};  ///< Kept for documents that came from a cluster.
  Value managed_fields = {};   ///< The same.

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
  std::string type = {};
  std::string status = "Unknown";  ///< "True", "False" or "Unknown".
  std::string severity = {};       ///< Empty means error; else "Warning" or "Info".
  std::string reason = {};         ///< One CamelCase token for programs.
  std::string message = {};        ///< For people.
  std::optional<Timestamp> last_transition_time = {};

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

// ---------------------------------------------------------------------------- resources

/// A struct of the model that is an object by itself.
template <class T>
concept Resource = requires(const T& object) {
  { T::api_version } -> std::convertible_to<std::string_view>;
  { T::kind } -> std::convertible_to<std::string_view>;
  requires std::same_as<std::remove_cvref_t<decltype(object.metadata)>, ObjectMeta>;
}
&&std::copyable<T>;

/// Lists of fields, for structs that hold these.
namespace fields {
struct Struct;
}
KNATIVE_EXPORT const fields::Struct& describe(const OwnerReference*);
KNATIVE_EXPORT const fields::Struct& describe(const ObjectMeta*);
KNATIVE_EXPORT const fields::Struct& describe(const ObjectRef*);
KNATIVE_EXPORT const fields::Struct& describe(const Condition*);

/// The address of a typed object.
template <Resource T>
ObjectRef ref_of(const T& object) {
  return ObjectRef{std::string(T::api_version), std::string(T::kind), object.metadata.namespace_,
                   object.metadata.name};
}

/// The name of an object made for another one: `parent` followed by `suffix`, cut to 63 characters
/// with an MD5 digest in the middle when longer. Source: knative/pkg kmeta.ChildName.
KNATIVE_EXPORT std::string child_name(std::string_view parent, std::string_view suffix);

}  // namespace knative
