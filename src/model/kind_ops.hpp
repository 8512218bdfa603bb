// What the table of kinds knows how to do with an object of a kind, behind function pointers.
//
// A kind's own rules are found by argument-dependent lookup, all optional:
//   void apply_defaults(T&);
//   FieldErrors validate(const T&);
//   FieldErrors validate_update(const T& newer, const T& old);
#pragma once

#include <cstdint>
#include <memory>

#include "model/codec.hpp"

namespace knative {

struct KindOps {
  std::shared_ptr<void> (*make)();
  std::shared_ptr<void> (*clone)(const void* object);
  const codec::Struct& (*fields)();
  ObjectMeta& (*metadata)(void* object);
  void (*apply_defaults)(void* object);
  FieldErrors (*validate)(const void* object);
  FieldErrors (*validate_update)(const void* newer, const void* old);
  bool (*equal)(const void* a, const void* b);
  bool (*spec_equal)(const void* a, const void* b);
  void (*take_status)(void* to, const void* from);
  void (*clear_status)(void* object);
  const Conditions* (*conditions)(const void* object);
  std::int64_t (*observed_generation)(const void* object);
};

namespace detail {

template <class T>
concept HasStatus = requires(const T& object) {
  object.status;
};
template <class T>
concept HasSpec = requires(const T& object) {
  object.spec;
};
template <class T>
concept HasConditions = requires(const T& object) {
  object.status.conditions;
};
template <class T>
concept HasObservedGeneration = requires(const T& object) {
  object.status.observed_generation;
};

template <Resource T>
bool spec_equal(const T& a, const T& b) {
  if constexpr (HasSpec<T>) {
    return a.spec == b.spec;
  } else {
    // Kinds such as Secret: everything but metadata and status.
    T left = a;
    T right = b;
    left.metadata = right.metadata = ObjectMeta{};
    if constexpr (HasStatus<T>) left.status = right.status;
    return left == right;
  }
}

template <Resource T>
inline constexpr KindOps kind_ops = {
    []() -> std::shared_ptr<void> { return std::make_shared<T>(); },
    [](const void* object) -> std::shared_ptr<void> {
      return std::make_shared<T>(*static_cast<const T*>(object));
    },
    []() -> const codec::Struct& { return describe(static_cast<const T*>(nullptr)); },
    [](void* object) -> ObjectMeta& { return static_cast<T*>(object)->metadata; },
    [](void* object) {
      if constexpr (requires(T & typed) { apply_defaults(typed); }) {
        apply_defaults(*static_cast<T*>(object));
      }
    },
    [](const void* object) {
      if constexpr (requires(const T& typed) { validate(typed); }) {
        return FieldErrors(validate(*static_cast<const T*>(object)));
      } else {
        return FieldErrors();
      }
    },
    [](const void* newer, const void* old) {
      if constexpr (requires(const T& typed) { validate_update(typed, typed); }) {
        return FieldErrors(
            validate_update(*static_cast<const T*>(newer), *static_cast<const T*>(old)));
      } else {
        return FieldErrors();
      }
    },
    [](const void* a, const void* b) {
      return *static_cast<const T*>(a) == *static_cast<const T*>(b);
    },
    [](const void* a, const void* b) {
      return spec_equal(*static_cast<const T*>(a), *static_cast<const T*>(b));
    },
    [](void* to, const void* from) {
      if constexpr (HasStatus<T>) {
        static_cast<T*>(to)->status = static_cast<const T*>(from)->status;
      }
    },
    [](void* object) {
      if constexpr (HasStatus<T>) static_cast<T*>(object)->status = {};
    },
    [](const void* object) -> const Conditions* {
      if constexpr (HasConditions<T>) {
        return &static_cast<const T*>(object)->status.conditions;
      } else {
        return nullptr;
      }
    },
    [](const void* object) -> std::int64_t {
      if constexpr (HasObservedGeneration<T>) {
        return static_cast<const T*>(object)->status.observed_generation;
      } else {
        return 0;
      }
    }};

}  // namespace detail

// Rows of the table in kinds.cpp.
template <Resource T>
constexpr KindInfo namespaced_kind(std::string_view plural, std::string_view short_names = {},
                                   NameRule name_rule = NameRule::dns1123_subdomain) {
  return {T::api_version,      T::kind, plural, short_names, true, detail::HasStatus<T>, name_rule,
          &detail::kind_ops<T>};
}
template <Resource T>
constexpr KindInfo cluster_kind(std::string_view plural, std::string_view short_names = {},
                                NameRule name_rule = NameRule::dns1123_subdomain) {
  KindInfo row = namespaced_kind<T>(plural, short_names, name_rule);
  row.namespaced = false;
  return row;
}

}  // namespace knative
