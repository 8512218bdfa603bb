/// \file
/// Lists of fields: one per struct drives reading, writing, comparing, copying, error paths,
/// schemas, and says of every field whether it acts.
///
/// A struct is described once, by a function that is found by argument-dependent lookup. There is
/// no way to list a field without saying what it does:
///
/// \code
/// inline const knative::fields::Struct& describe(const WidgetSpec*) {
///   using namespace knative::fields;
///   static const Field fields[] = {
///       acts("size", &WidgetSpec::size),
///       warned("colour", &WidgetSpec::colour, "widgets are grey until there are printers"),
///       refused("legacyShape", &WidgetSpec::legacy_shape, "shapes went with version 2")};
///   static const Struct description{"WidgetSpec", fields};
///   return description;
/// }
/// \endcode
///
/// Every member of a described struct is listed: objects are copied and compared by these lists
/// (`undescribed` finds what was forgotten). Members may be bool, integers, double, std::string,
/// Value, Timestamp, Duration (Go text), Quantity, IntOrString, Bytes, described structs, and
/// std::optional, std::vector or text-keyed std::map of these. Others specialise `Custom`.
/// Descriptions are constant and may be read from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "knative/field_error.hpp"
#include "knative/scalars.hpp"
#include "knative/value.hpp"

namespace knative {

/// What to do with fields that a struct does not have.
enum class Strictness : unsigned char {
  strict,   ///< An error that names the path and a similar field.
  lenient,  ///< Dropped, as a cluster does.
};

namespace fields {

// ---------------------------------------------------------------------------- reading

/// A way from the root of an object to a field, on the stack of whoever walks.
struct KNATIVE_EXPORT Path {
  enum class Step : unsigned char { root, field, index, key };
  const Path* parent = nullptr;
  Step step = Step::root;
  std::string_view name = {};
  std::size_t index = 0;

  Path field(std::string_view field_name) const { return {this, Step::field, field_name, 0}; }
  Path element(std::size_t at) const { return {this, Step::index, {}, at}; }
  Path entry(std::string_view key) const { return {this, Step::key, key, 0}; }
  /// "spec.containers[0].resources.limits[cpu]"
  std::string to_string() const;
};

/// What reading reports to.
class KNATIVE_EXPORT Decoder {
 public:
  Decoder(Strictness strictness, FieldErrors& errors) : strictness_(strictness), errors_(errors) {}
  bool strict() const noexcept { return strictness_ == Strictness::strict && !tolerating_; }
  /// Whether unknown fields and wrong types are passed over from now on; gives what held before.
  bool tolerate(bool on) noexcept { return std::exchange(tolerating_, on); }
  void error(const Path& path, std::string message, std::string details = {});
  /// "expected a string, found integer 5"
  void wrong_type(const Path& path, std::string_view expected, const Value& found,
                  std::string details = {});
  /// Whether found values are left out of messages from now on; gives what held before.
  bool conceal(bool on) noexcept { return std::exchange(concealing_, on); }

 private:
  Strictness strictness_;
  FieldErrors& errors_;
  bool concealing_ = false;
  bool tolerating_ = false;
};

// ---------------------------------------------------------------------------- types

struct Struct;

/// The shape of a type, for programs that generate documents or schemas.
enum class Shape : unsigned char { scalar, structure, optional, list, map };

/// How values of one C++ type are handled, whatever the type. Lists, optionals and maps have an
/// `element`; structures have `fields`.
struct Ops {
  Shape shape = Shape::scalar;
  std::string_view type = {};  ///< Scalars: "string", "boolean", "int32", "quantity", ….
  std::uint32_t size = 0;
  std::uint32_t align = 1;
  void (*decode)(const Ops&, void* to, const Value& from, Decoder&, const Path&) = nullptr;
  Value (*encode)(const Ops&, const void* object) = nullptr;
  bool (*empty)(const Ops&, const void* object) = nullptr;
  bool (*equal)(const Ops&, const void* a, const void* b) = nullptr;
  void (*copy)(const Ops&, void* to, const void* from) = nullptr;
  const Struct& (*fields)() = nullptr;
  const Ops* element = nullptr;
  /// Lists: this many fresh elements. Optionals: a fresh value (1) or none (0). Gives the first.
  void* (*reset)(void* container, std::size_t count) = nullptr;
  /// Lists: the first element and how many. Optionals: the value and 1, or 0.
  const void* (*data)(const void* container, std::size_t& count) = nullptr;
  void* (*insert)(void* map, const std::string& key) = nullptr;
  void (*each)(const void* map, void* context,
               void (*visit)(void* context, const std::string& key, const void* value)) = nullptr;
};

/// Specialise for a type with its own form; it is also copied by `=` and compared by `==`.
///   static void decode(T&, const Value&, Decoder&, const Path&);
///   static Value encode(const T&);
///   static bool empty(const T&);
///   static constexpr std::string_view type;   // Optional, "string" when left out.
template <class T>
struct Custom;

/// The operations of a type. `T` is one of the above, or `describe(const T*)` is declared.
template <class T>
const Ops& ops_of();

// ---------------------------------------------------------------------------- fields

/// What becomes of a field that somebody sets.
enum class Mark : unsigned char {
  acts,      ///< It has its effect.
  reported,  ///< The platform writes it; what others write is replaced.
  warned,    ///< Accepted without effect: whoever applies it is told, and the status says so.
  refused,   ///< The object is invalid.
};
KNATIVE_EXPORT std::string_view to_string(Mark mark) noexcept;

enum Flags : unsigned {
  omit_empty = 0,  ///< Left out when empty, as Kubernetes' omitempty.
  always = 1,      ///< Written even when empty.
  inlined = 2,     ///< The member's fields appear among the parent's.
  any_case = 4,    ///< The key is read whatever its case.
  secret = 8,      ///< Messages do not repeat what it holds.
  tolerant = 16,  ///< What is unknown or of a wrong type inside is dropped, also in strict reading.
};

/// A member: where it lies and how its type is handled.
struct Member {
  template <class C, class M>
  Member(M C::*member)  // NOLINT: implicit
      : ops(&ops_of<M>()) {
    static_assert(sizeof(member) == sizeof(offset), "a member pointer is an offset in this ABI");
    std::memcpy(&offset, &member, sizeof offset);
  }
  const Ops* ops;
  std::ptrdiff_t offset = 0;
};

/// One member under its JSON name, and what it does.
struct Field {
  std::string_view name;
  const Ops* ops = nullptr;
  std::ptrdiff_t offset = 0;
  unsigned flags = omit_empty;
  Mark mark = Mark::acts;
  std::string_view text = {};  ///< Why it is warned about or refused.

  const void* member(const void* object) const noexcept {
    return static_cast<const char*>(object) + offset;
  }
  void* member(void* object) const noexcept { return static_cast<char*>(object) + offset; }
};

KNATIVE_EXPORT Field acts(std::string_view name, Member member, unsigned flags = omit_empty);
KNATIVE_EXPORT Field reported(std::string_view name, Member member, unsigned flags = omit_empty);
/// `text` goes on after "has no effect: ".
KNATIVE_EXPORT Field warned(std::string_view name, Member member, std::string_view text,
                            unsigned flags = omit_empty);
KNATIVE_EXPORT Field refused(std::string_view name, Member member, std::string_view text,
                             unsigned flags = omit_empty);

/// The fields of one struct.
struct Struct {
  std::string_view name;
  std::span<const Field> fields;

  /// The field of this name (inlined structs are not searched), or null.
  KNATIVE_EXPORT const Field* find(std::string_view field) const noexcept;
};

/// What one kind says about a field, label, annotation or key in the place of its field's mark.
struct Rule {
  /// From the object's root, without indices: "spec.steps.readinessProbe", or for an entry of a
  /// map "metadata.annotations[example.dev/size]"; "[example.dev/*]" means all that no rule names.
  std::string_view path;
  Mark mark = Mark::acts;
  std::string_view text = {};
  std::string_view value = {};  ///< Only for this text, when not empty.
};

/// What is wrong or without effect by the marks of `type` and the rules of a kind: warnings that
/// say why, and errors for what is refused. Only what is set counts.
KNATIVE_EXPORT FieldErrors check_marks(const Ops& type, const void* object,
                                       std::span<const Rule> rules);
/// The members that no field describes, as "WidgetSpec: 8 bytes at 40", depth first.
KNATIVE_EXPORT std::vector<std::string> undescribed(const Ops& type);
/// The type as JSON schema (OpenAPI 3: type, properties, items, additionalProperties).
KNATIVE_EXPORT Value json_schema(const Ops& type);

// ---------------------------------------------------------------------------- whole values

/// A described value as a Value, and back.
template <class T>
Value to_value(const T& object) {
  const Ops& ops = ops_of<T>();
  return ops.encode(ops, &object);
}
template <class T>
void from_value(T& target, const Value& from, Decoder& decoder, const Path& path) {
  const Ops& ops = ops_of<T>();
  ops.decode(ops, &target, from, decoder, path);
}

/// The candidate most similar to `wrong`, or empty when none is similar enough.
KNATIVE_EXPORT std::string_view did_you_mean(std::string_view wrong,
                                             std::span<const std::string_view> candidates);

}  // namespace fields
}  // namespace knative

#include "knative/fields_types.hpp"
