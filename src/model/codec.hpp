// One list of fields per struct drives decoding, encoding and error paths.
//
// A `_codec.cpp` file describes its structs; nothing else about them is written twice:
//
//   const codec::Struct& describe(const ArgumentSpec*) {
//     static constexpr codec::Field fields[] = {
//         codec::field<&ArgumentSpec::name>("name"),
//         codec::field<&ArgumentSpec::value>("value")};
//     static constexpr codec::Struct description{"ArgumentSpec", fields};
//     return description;
//   }
//
// `describe` is found by argument-dependent lookup, so it is declared (in the room's private
// `*_codec.hpp`) before a struct that has such a member is described. Members may be bool,
// integers, double, std::string, Value, Timestamp, Duration (Go text), Quantity, IntOrString,
// Bytes, described structs, and std::optional, std::vector or text-keyed std::map of these. Other
// types specialise `Custom`.
//
// Everything is type-erased behind three function pointers per type, which keeps the templates
// shallow and the compile time low.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "knative/field_error.hpp"
#include "knative/meta.hpp"
#include "knative/scalars.hpp"
#include "knative/value.hpp"

namespace knative::codec {

// A way from the root of an object to a field, on the stack of the decoder.
struct Path {
  enum class Step : unsigned char { root, field, index, key };
  const Path* parent = nullptr;
  Step step = Step::root;
  std::string_view name;
  std::size_t index = 0;

  Path field(std::string_view field_name) const { return {this, Step::field, field_name, 0}; }
  Path element(std::size_t at) const { return {this, Step::index, {}, at}; }
  Path entry(std::string_view key) const { return {this, Step::key, key, 0}; }
  // "spec.containers[0].resources.limits[cpu]"
  std::string to_string() const;
};

// What decoding reports to.
class Decoder {
 public:
  Decoder(Strictness strictness, FieldErrors& errors) : strictness_(strictness), errors_(errors) {}
  bool strict() const noexcept { return strictness_ == Strictness::strict; }
  void error(const Path& path, std::string message, std::string details = {});
  // "expected a string, found integer 5"
  void wrong_type(const Path& path, std::string_view expected, const Value& found,
                  std::string details = {});
  // Whether found values are left out of messages from now on; gives what held before.
  bool conceal(bool on) noexcept { return std::exchange(concealing_, on); }
  // An object's root has apiVersion and kind beside the described fields.
  bool is_type_meta(const Path& path, std::string_view key) const noexcept {
    return path.step == Path::Step::root && (key == "apiVersion" || key == "kind");
  }

 private:
  Strictness strictness_;
  FieldErrors& errors_;
  bool concealing_ = false;
};

struct Struct;

enum class Shape : unsigned char { scalar, structure, optional, list, map };

// How values of one C++ type are read, written and recognised as absent; and what they look like,
// for programs that generate documents or schemas.
struct Ops {
  void (*decode)(void* target, const Value& from, Decoder& decoder, const Path& path);
  Value (*encode)(const void* object);
  bool (*empty)(const void* object);
  const Struct& (*fields)();  // Structs only, else null.
  Shape shape;
  const Ops& (*element)();  // Optionals, lists and maps only, else null.
  std::string_view type;    // Scalars only: "string", "boolean", "int32", "quantity", ….
};

enum Flags : unsigned {
  omit_empty = 0,  // Left out when empty, as Kubernetes' omitempty.
  always = 1,      // Written even when empty.
  inlined = 2,     // The member's fields appear among the parent's.
  any_case = 4,    // The key is read whatever its case.
  secret = 8,      // Messages do not repeat what it holds.
};

struct Field {
  std::string_view name;
  const Ops* ops;
  const void* (*member)(const void* object);
  unsigned flags;
};

struct Struct {
  std::string_view name;
  std::span<const Field> fields;
};

void decode_struct(const Struct& type, void* target, const Value& from, Decoder& decoder,
                   const Path& path);
Value encode_struct(const Struct& type, const void* object);
bool struct_is_empty(const Struct& type, const void* object);

// Specialise for a type with its own form:
//   static void decode(T&, const Value&, Decoder&, const Path&);
//   static Value encode(const T&);
//   static bool empty(const T&);
//   static constexpr std::string_view type;   // Optional, "string" when left out.
template <class T>
struct Custom;

#define KN_CUSTOM_CODEC(Type, name)                                                          \
  template <>                                                                                \
  struct Custom<Type> {                                                                      \
    static constexpr std::string_view type = name;                                           \
    static void decode(Type& target, const Value& from, Decoder& decoder, const Path& path); \
    static Value encode(const Type& value);                                                  \
    static bool empty(const Type& value);                                                    \
  }
KN_CUSTOM_CODEC(bool, "boolean");
KN_CUSTOM_CODEC(std::int32_t, "int32");
KN_CUSTOM_CODEC(std::int64_t, "int64");
KN_CUSTOM_CODEC(double, "number");
KN_CUSTOM_CODEC(std::string, "string");
KN_CUSTOM_CODEC(Value, "any");
KN_CUSTOM_CODEC(Timestamp, "timestamp");
KN_CUSTOM_CODEC(Duration, "duration");
KN_CUSTOM_CODEC(Quantity, "quantity");
KN_CUSTOM_CODEC(IntOrString, "int-or-string");
KN_CUSTOM_CODEC(Bytes, "bytes");

namespace detail {

template <class T>
concept HasCustom = requires(const T& value) {
  Custom<T>::empty(value);
};
template <class T>
concept Described = requires {
  describe(static_cast<const T*>(nullptr));
};

template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};
template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};
template <class T>
struct IsMap : std::false_type {};
template <class T, class C>
struct IsMap<std::map<std::string, T, C>> : std::true_type {};

// Type-erased containers.
struct ListAccess {
  void (*clear)(void* list);
  void* (*append)(void* list);
  std::size_t (*size)(const void* list);
  const void* (*at)(const void* list, std::size_t index);
  const Ops& (*element)();
};
struct MapAccess {
  void (*clear)(void* map);
  void* (*insert)(void* map, const std::string& key);
  void (*each)(const void* map, void* context,
               void (*visit)(void* context, const std::string& key, const void* value));
  const Ops& (*element)();
};
void decode_list(const ListAccess& access, void* target, const Value& from, Decoder& decoder,
                 const Path& path);
Value encode_list(const ListAccess& access, const void* list);
void decode_map(const MapAccess& access, void* target, const Value& from, Decoder& decoder,
                const Path& path);
Value encode_map(const MapAccess& access, const void* map);

}  // namespace detail

template <class T>
const Ops& ops_of();

namespace detail {

template <class L>
inline constexpr ListAccess list_access = {
    [](void* list) { static_cast<L*>(list)->clear(); },
    [](void* list) -> void* { return &static_cast<L*>(list)->emplace_back(); },
    [](const void* list) { return static_cast<const L*>(list)->size(); },
    [](const void* list, std::size_t index) -> const void* {
      return &(*static_cast<const L*>(list))[index];
    },
    &ops_of<typename L::value_type>};

template <class M>
inline constexpr MapAccess map_access = {
    [](void* map) { static_cast<M*>(map)->clear(); },
    [](void* map, const std::string& key) -> void* { return &(*static_cast<M*>(map))[key]; },
    [](const void* map, void* context,
       void (*visit)(void* context, const std::string& key, const void* value)) {
      for (const auto& entry : *static_cast<const M*>(map)) {
        visit(context, entry.first, &entry.second);
      }
    },
    &ops_of<typename M::mapped_type>};

template <class T>
constexpr std::string_view scalar_type() {
  if constexpr (requires { Custom<T>::type; }) {
    return Custom<T>::type;
  } else {
    return "string";
  }
}

template <class T>
constexpr Ops make_ops() {
  if constexpr (HasCustom<T>) {
    return {[](void* target, const Value& from, Decoder& decoder, const Path& path) {
              Custom<T>::decode(*static_cast<T*>(target), from, decoder, path);
            },
            [](const void* object) { return Custom<T>::encode(*static_cast<const T*>(object)); },
            [](const void* object) { return Custom<T>::empty(*static_cast<const T*>(object)); },
            nullptr,
            Shape::scalar,
            nullptr,
            scalar_type<T>()};
  } else if constexpr (IsOptional<T>::value) {
    return {[](void* target, const Value& from, Decoder& decoder, const Path& path) {
              ops_of<typename T::value_type>().decode(&static_cast<T*>(target)->emplace(), from,
                                                      decoder, path);
            },
            [](const void* object) {
              const T& held = *static_cast<const T*>(object);
              return held ? ops_of<typename T::value_type>().encode(&*held) : Value();
            },
            [](const void* object) { return !static_cast<const T*>(object)->has_value(); },
            nullptr,
            Shape::optional,
            &ops_of<typename T::value_type>,
            {}};
  } else if constexpr (IsVector<T>::value) {
    return {[](void* target, const Value& from, Decoder& decoder, const Path& path) {
              decode_list(list_access<T>, target, from, decoder, path);
            },
            [](const void* object) { return encode_list(list_access<T>, object); },
            [](const void* object) { return static_cast<const T*>(object)->empty(); },
            nullptr,
            Shape::list,
            &ops_of<typename T::value_type>,
            {}};
  } else if constexpr (IsMap<T>::value) {
    return {[](void* target, const Value& from, Decoder& decoder, const Path& path) {
              decode_map(map_access<T>, target, from, decoder, path);
            },
            [](const void* object) { return encode_map(map_access<T>, object); },
            [](const void* object) { return static_cast<const T*>(object)->empty(); },
            nullptr,
            Shape::map,
            &ops_of<typename T::mapped_type>,
            {}};
  } else {
    static_assert(Described<T>, "declare `const codec::Struct& describe(const T*)` first");
    return {[](void* target, const Value& from, Decoder& decoder, const Path& path) {
              decode_struct(describe(static_cast<const T*>(nullptr)), target, from, decoder, path);
            },
            [](const void* object) {
              return encode_struct(describe(static_cast<const T*>(nullptr)), object);
            },
            [](const void* object) {
              return struct_is_empty(describe(static_cast<const T*>(nullptr)), object);
            },
            []() -> const Struct& { return describe(static_cast<const T*>(nullptr)); },
            Shape::structure,
            nullptr,
            {}};
  }
}

template <class T>
inline constexpr Ops ops = make_ops<T>();

template <class M>
struct MemberOf;
template <class C, class T>
struct MemberOf<T C::*> {
  using Class = C;
  using Type = T;
};

}  // namespace detail

template <class T>
const Ops& ops_of() {
  return detail::ops<T>;
}

// One member under its JSON name.
template <auto member>
constexpr Field field(std::string_view name, unsigned flags = omit_empty) {
  using Member = detail::MemberOf<decltype(member)>;
  return {name, &detail::ops<typename Member::Type>,
          [](const void* object) -> const void* {
            return &(static_cast<const typename Member::Class*>(object)->*member);
          },
          flags};
}

// A described struct as a Value, and back. `T` must be described.
template <class T>
Value to_value(const T& object) {
  return ops_of<T>().encode(&object);
}
template <class T>
void from_value(T& target, const Value& from, Decoder& decoder, const Path& path) {
  ops_of<T>().decode(&target, from, decoder, path);
}

// The candidate most similar to `wrong`, or empty when none is similar enough.
std::string_view did_you_mean(std::string_view wrong, std::span<const std::string_view> candidates);

}  // namespace knative::codec
