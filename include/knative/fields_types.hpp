/// \file
/// How `fields::ops_of` comes about for each type; part of fields.hpp, include that.
///
/// Nearly everything is done by functions that know a type only through `Ops`; what is left per
/// type is a handful of one-line functions, so that descriptions compile quickly.
///
/// \code
/// const knative::fields::Ops& ops = knative::fields::ops_of<std::vector<std::string>>();
/// \endcode
#pragma once

#include "knative/fields.hpp"

namespace knative::fields {

#define KN_CUSTOM_FIELD(Type, name)                                                      \
  template <>                                                                            \
  struct KNATIVE_EXPORT Custom<Type> {                                                   \
    static constexpr std::string_view type = name;                                       \
    static void decode(Type& to, const Value& from, Decoder& decoder, const Path& path); \
    static Value encode(const Type& value);                                              \
    static bool empty(const Type& value);                                                \
  }
KN_CUSTOM_FIELD(bool, "boolean");
KN_CUSTOM_FIELD(std::int32_t, "int32");
KN_CUSTOM_FIELD(std::int64_t, "int64");
KN_CUSTOM_FIELD(double, "number");
KN_CUSTOM_FIELD(std::string, "string");
KN_CUSTOM_FIELD(Value, "any");
KN_CUSTOM_FIELD(Timestamp, "timestamp");
KN_CUSTOM_FIELD(Duration, "duration");
KN_CUSTOM_FIELD(Quantity, "quantity");
KN_CUSTOM_FIELD(IntOrString, "int-or-string");
KN_CUSTOM_FIELD(Bytes, "bytes");
#undef KN_CUSTOM_FIELD

namespace detail {

template <class T>
concept HasCustom = requires(const T& value) {
  Custom<T>::empty(value);
};
template <class T>
concept Described = requires {
  describe(static_cast<const T*>(nullptr));
};

/// Holds at most one value: std::optional and what looks like it.
template <class T>
concept OptionalLike = requires(T& value) {
  typename T::value_type;
  value.emplace();
  { value.has_value() } -> std::same_as<bool>;
  value.reset();
};
template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};
template <class T>
struct IsMap : std::false_type {};
template <class T, class C>
struct IsMap<std::map<std::string, T, C>> : std::true_type {};

// What is the same for all types of one shape.
struct KNATIVE_EXPORT Shapes {
  static void decode_structure(const Ops&, void*, const Value&, Decoder&, const Path&);
  static Value encode_structure(const Ops&, const void*);
  static bool structure_empty(const Ops&, const void*);
  static bool structure_equal(const Ops&, const void*, const void*);
  static void copy_structure(const Ops&, void*, const void*);
  static void decode_optional(const Ops&, void*, const Value&, Decoder&, const Path&);
  static Value encode_optional(const Ops&, const void*);
  static void decode_list(const Ops&, void*, const Value&, Decoder&, const Path&);
  static Value encode_list(const Ops&, const void*);
  // Lists and optionals.
  static bool sequence_empty(const Ops&, const void*);
  static bool sequence_equal(const Ops&, const void*, const void*);
  static void copy_sequence(const Ops&, void*, const void*);
  static void decode_map(const Ops&, void*, const Value&, Decoder&, const Path&);
  static Value encode_map(const Ops&, const void*);
};

template <class T>
struct Plain {
  static const T& of(const void* object) { return *static_cast<const T*>(object); }
  static bool equal(const Ops&, const void* a, const void* b) { return of(a) == of(b); }
  static void copy(const Ops&, void* to, const void* from) { *static_cast<T*>(to) = of(from); }
};

template <class T>
struct Scalar {
  static void decode(const Ops&, void* to, const Value& from, Decoder& decoder, const Path& path) {
    Custom<T>::decode(*static_cast<T*>(to), from, decoder, path);
  }
  static Value encode(const Ops&, const void* object) {
    return Custom<T>::encode(Plain<T>::of(object));
  }
  static bool empty(const Ops&, const void* object) {
    return Custom<T>::empty(Plain<T>::of(object));
  }
  static constexpr std::string_view type() {
    if constexpr (requires { Custom<T>::type; }) return Custom<T>::type;
    return "string";
  }
};

template <class T>
struct Structure {
  static const Struct& fields() { return describe(static_cast<const T*>(nullptr)); }
};

template <class T>
struct Optional {
  static void* reset(void* held, std::size_t count) {
    T& optional = *static_cast<T*>(held);
    if (count != 0) return &optional.emplace();
    optional.reset();
    return nullptr;
  }
  static const void* data(const void* held, std::size_t& count) {
    const T& optional = Plain<T>::of(held);
    count = optional.has_value() ? 1 : 0;
    return count != 0 ? &*optional : nullptr;
  }
};

template <class T>
struct List {
  static void* reset(void* held, std::size_t count) {
    T fresh(count);
    static_cast<T*>(held)->swap(fresh);
    return static_cast<T*>(held)->data();
  }
  static const void* data(const void* held, std::size_t& count) {
    count = Plain<T>::of(held).size();
    return Plain<T>::of(held).data();
  }
};

template <class T>
struct Map {
  static bool empty(const Ops&, const void* map) { return Plain<T>::of(map).empty(); }
  static void* reset(void* map, std::size_t) {
    static_cast<T*>(map)->clear();
    return nullptr;
  }
  static void* insert(void* map, const std::string& key) { return &(*static_cast<T*>(map))[key]; }
  static void each(const void* map, void* context,
                   void (*visit)(void* context, const std::string& key, const void* value)) {
    for (const auto& entry : Plain<T>::of(map)) visit(context, entry.first, &entry.second);
  }
};

template <class T>
constexpr Ops make_ops();
template <class T>
inline constexpr Ops ops = make_ops<T>();

template <class T>
constexpr Ops make_ops() {
  Ops made;
  made.size = sizeof(T);
  made.align = alignof(T);
  if constexpr (HasCustom<T>) {
    made.type = Scalar<T>::type();
    made.decode = &Scalar<T>::decode;
    made.encode = &Scalar<T>::encode;
    made.empty = &Scalar<T>::empty;
    made.equal = &Plain<T>::equal;
    made.copy = &Plain<T>::copy;
  } else if constexpr (IsVector<T>::value) {
    made.shape = Shape::list;
    made.element = &ops<typename T::value_type>;
    made.decode = &Shapes::decode_list;
    made.encode = &Shapes::encode_list;
    made.empty = &Shapes::sequence_empty;
    made.equal = &Shapes::sequence_equal;
    made.copy = &Shapes::copy_sequence;
    made.reset = &List<T>::reset;
    made.data = &List<T>::data;
  } else if constexpr (IsMap<T>::value) {
    made.shape = Shape::map;
    made.element = &ops<typename T::mapped_type>;
    made.decode = &Shapes::decode_map;
    made.encode = &Shapes::encode_map;
    made.empty = &Map<T>::empty;
    made.equal = &Plain<T>::equal;
    made.copy = &Plain<T>::copy;
    made.reset = &Map<T>::reset;
    made.insert = &Map<T>::insert;
    made.each = &Map<T>::each;
  } else if constexpr (OptionalLike<T>) {
    made.shape = Shape::optional;
    made.element = &ops<typename T::value_type>;
    made.decode = &Shapes::decode_optional;
    made.encode = &Shapes::encode_optional;
    made.empty = &Shapes::sequence_empty;
    made.equal = &Shapes::sequence_equal;
    made.copy = &Shapes::copy_sequence;
    made.reset = &Optional<T>::reset;
    made.data = &Optional<T>::data;
  } else {
    static_assert(Described<T>, "declare `const fields::Struct& describe(const T*)` first");
    made.shape = Shape::structure;
    made.fields = &Structure<T>::fields;
    made.decode = &Shapes::decode_structure;
    made.encode = &Shapes::encode_structure;
    made.empty = &Shapes::structure_empty;
    made.equal = &Shapes::structure_equal;
    made.copy = &Shapes::copy_structure;
  }
  return made;
}

}  // namespace detail

template <class T>
const Ops& ops_of() {
  return detail::ops<T>;
}

}  // namespace knative::fields
