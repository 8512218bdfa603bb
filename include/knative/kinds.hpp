/// \file
/// Which kinds of objects there are: `KindInfo`, and the `KindRegistry` that each platform has.
///
/// A kind is a struct with a list of fields (fields.hpp), or just a name: objects of a kind that
/// was registered without a type are kept whole. A kind may have several API versions; one is
/// stored, the others are converted at the door. Registries are filled before they are used, then
/// constant: they may be read from any thread.
///
/// \code
/// inline const knative::KindInfo& kind_info(const Widget*) {        // beside the struct
///   static constexpr knative::KindInfo info =
///       knative::namespaced_kind<Widget>("widgets", "wd");
///   return info;
/// }
/// knative::KindRegistry kinds = knative::built_in_kinds();
/// kinds.add<Widget>().value();
/// kinds.add(knative::UntypedKind{"example.dev/v1", "Gadget", "gadgets"}).value();
/// \endcode
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "knative/error.hpp"
#include "knative/fields.hpp"
#include "knative/meta.hpp"
#include "knative/value.hpp"

namespace knative {

class AnyObject;

/// Which names a kind may have.
enum class NameRule : unsigned char { dns1123_subdomain, dns1123_label, dns1035_label };

/// A column of a table of objects, as kubectl prints it.
struct PrinterColumn {
  std::string_view name;  ///< "READY"
  std::string_view path;  ///< As `Value::at_path` reads it; `status.conditions[Ready].status`
                          ///< means the element of that type.
  bool wide = false;      ///< Only in wide tables.
};

/// How objects of a typed kind are handled, whatever the type; made by `namespaced_kind`.
struct KindOps {
  const fields::Ops* type = nullptr;
  void* (*make)() = nullptr;
  void (*destroy)(void* object) = nullptr;
  ObjectMeta& (*metadata)(void* object) = nullptr;
  void (*apply_defaults)(void* object) = nullptr;                                ///< May be null.
  FieldErrors (*validate)(const void* object) = nullptr;                         ///< May be null.
  FieldErrors (*validate_update)(const void* newer, const void* old) = nullptr;  ///< May be null.
};

/// What is known of a kind, under the API version in which it is stored.
struct KindInfo {
  std::string_view api_version;  ///< "serving.knative.dev/v1", or "v1" for core kinds.
  std::string_view kind;
  std::string_view plural;            ///< Resource name in URLs.
  std::string_view short_names = {};  ///< Comma-separated.
  bool namespaced = true;
  bool has_status = false;
  NameRule name_rule = NameRule::dns1123_subdomain;
  const KindOps* ops = nullptr;  ///< Null: objects are kept whole.
  /// Where this kind departs from the marks of its fields; and its labels and annotations.
  std::span<const fields::Rule> rules = {};
  std::span<const PrinterColumn> columns = {};

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
  constexpr KindInfo with_rules(std::span<const fields::Rule> its) const {
    KindInfo out = *this;
    out.rules = its;
    return out;
  }
  constexpr KindInfo with_columns(std::span<const PrinterColumn> its) const {
    KindInfo out = *this;
    out.columns = its;
    return out;
  }
};

namespace detail {

template <class T>
concept HasStatus = requires(const T& object) {
  object.status;
};

template <class T>
struct KindFunctions {
  static void* make() { return new T(); }
  static void destroy(void* object) { delete static_cast<T*>(object); }
  static ObjectMeta& metadata(void* object) { return static_cast<T*>(object)->metadata; }
  static void defaults(void* object) { apply_defaults(*static_cast<T*>(object)); }
  static FieldErrors check(const void* object) { return validate(*static_cast<const T*>(object)); }
  static FieldErrors check_update(const void* newer, const void* old) {
    return validate_update(*static_cast<const T*>(newer), *static_cast<const T*>(old));
  }
};

template <class T>
constexpr KindOps make_kind_ops() {
  KindOps made;
  made.type = &fields::detail::ops<T>;
  made.make = &KindFunctions<T>::make;
  made.destroy = &KindFunctions<T>::destroy;
  made.metadata = &KindFunctions<T>::metadata;
  if constexpr (requires(T & typed) { apply_defaults(typed); }) {
    made.apply_defaults = &KindFunctions<T>::defaults;
  }
  if constexpr (requires(const T& typed) { validate(typed); }) {
    made.validate = &KindFunctions<T>::check;
  }
  if constexpr (requires(const T& typed) { validate_update(typed, typed); }) {
    made.validate_update = &KindFunctions<T>::check_update;
  }
  return made;
}

template <class T>
inline constexpr KindOps kind_ops = make_kind_ops<T>();

}  // namespace detail

/// The row of a typed kind. Its rules are functions beside the struct, all optional:
///   void apply_defaults(T&);
///   FieldErrors validate(const T&);                        // warnings are allowed among them
///   FieldErrors validate_update(const T& newer, const T& old);
template <Resource T>
constexpr KindInfo namespaced_kind(std::string_view plural, std::string_view short_names = {},
                                   NameRule name_rule = NameRule::dns1123_subdomain) {
  return {T::api_version,      T::kind, plural, short_names, true, detail::HasStatus<T>, name_rule,
          &detail::kind_ops<T>};
}
/// The same for a kind without namespaces.
template <Resource T>
constexpr KindInfo cluster_kind(std::string_view plural, std::string_view short_names = {},
                                NameRule name_rule = NameRule::dns1123_subdomain) {
  KindInfo row = namespaced_kind<T>(plural, short_names, name_rule);
  row.namespaced = false;
  return row;
}

/// A kind by name only: its objects are kept whole, whatever is in them.
struct UntypedKind {
  std::string api_version;
  std::string kind;
  std::string plural;
  std::string short_names = {};
  bool namespaced = true;
  bool has_status = true;
  NameRule name_rule = NameRule::dns1123_subdomain;
};

/// A whole object in one API version as the same object in another. Pure; fails with
/// `invalid_argument` when the object makes no sense in the other version.
using Conversion = std::function<Result<Value>(Value object)>;

/// An API version of a kind that is served and not stored. Both ways together lose nothing that
/// matters; `apiVersion` is set by the caller.
struct KindVersion {
  std::string api_version;
  Conversion to_storage;
  Conversion from_storage;
  /// What is wrong with an object of this version, for strict reading: unknown fields and wrong
  /// types. Empty: what the stored version says after the conversion. See `check_fields`.
  std::function<void(const Value& object, FieldErrors& errors)> check = {};
};

/// A check of a version that has a struct of its own: reads it strictly and throws it away.
template <class T>
void check_fields(const Value& object, FieldErrors& errors) {
  T read;
  fields::Decoder decoder(Strictness::strict, errors);
  fields::from_value(read, object, decoder, fields::Path{});
}

/// The kinds of one platform.
class KNATIVE_EXPORT KindRegistry {
 public:
  /// Knows nothing yet.
  KindRegistry() = default;

  /// Add a typed kind; found by `kind_info(const T*)`, which is constant for the whole program.
  /// Fails with `already_exists` (the group has that kind) and `invalid_argument` (a member that no
  /// field describes).
  template <Resource T>
  Result<void> add() {
    return add(kind_info(static_cast<const T*>(nullptr)));
  }
  /// The same; `info` outlives everything.
  Result<void> add(const KindInfo& info);
  Result<void> add(UntypedKind kind);
  /// Serve a kind in one more version. Fails with `not_found` (no such kind in the group) and
  /// `already_exists`.
  Result<void> add_version(std::string_view kind, KindVersion version);

  /// The kind, also by one of its other versions; null when unknown.
  const KindInfo* find(std::string_view api_version, std::string_view kind) const noexcept;
  /// By "serving.knative.dev", "v1", "services".
  const KindInfo* find_by_plural(std::string_view group, std::string_view version,
                                 std::string_view plural) const noexcept;
  /// In the order in which they were added.
  const std::vector<const KindInfo*>& all() const noexcept { return all_; }
  /// The API versions in which a kind is served, the stored one first.
  std::vector<std::string> versions(const KindInfo& kind) const;

  /// Read an object; its apiVersion and kind say what it is. One entry per wrong field in `errors`;
  /// empty when there are any. The result is in the stored version.
  std::optional<AnyObject> decode(const Value& value, Strictness strictness,
                                  FieldErrors& errors) const;
  /// The same; fails with `invalid_argument`, reporting all wrong fields at once.
  Result<AnyObject> from_value(const Value& value, Strictness strictness) const;
  /// An object in one of its versions. Fails with `unimplemented` when it is not served in that.
  Result<Value> to_value(const AnyObject& object, std::string_view api_version) const;

 private:
  struct Entry {
    const KindInfo* info = nullptr;
    std::shared_ptr<const KindInfo> owned;  // Untyped kinds; their objects share it.
    std::vector<KindVersion> versions;
  };
  const Entry* find_entry(std::string_view api_version, std::string_view kind) const noexcept;
  const KindInfo* read_kind(const Value& value, FieldErrors& errors) const;
  Result<Value> to_storage(const KindInfo& info, const Value& value, Strictness strictness,
                           FieldErrors& errors) const;
  std::string explain_unknown(std::string_view api_version, std::string_view kind) const;

  std::vector<Entry> entries_;
  std::vector<const KindInfo*> all_;
};

/// The kind as JSON schema (OpenAPI 3 with Kubernetes' extensions), from its list of fields; what
/// has no effect or is refused says so in its description.
KNATIVE_EXPORT Value json_schema(const KindInfo& kind);

/// All kinds of this library: core, Build, Serving, Eventing and Messaging.
KNATIVE_EXPORT KindRegistry built_in_kinds();
/// The same, constant, for who has no registry of his own.
KNATIVE_EXPORT const KindRegistry& default_kinds();

/// Name, generateName, labels, annotations and owners. Paths begin at "name", "labels", ….
KNATIVE_EXPORT FieldErrors validate_metadata(const ObjectMeta& metadata, const KindInfo& kind);

}  // namespace knative
