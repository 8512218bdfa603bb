/// \file
/// Casts, patterns and the built-in functions of CloudEvents SQL. Private to the wire floor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "wire/event_cesql.hpp"

namespace knative::cesql {

/// Types of arguments; `any` is passed on as it is.
enum class Type : unsigned char { boolean, integer, string, any };

/// Casts of the specification, section 3.6. A failed one gives the zero value and sets `error`.
std::int32_t to_integer(const Scalar& value, ErrorKind& error);
std::string to_text(const Scalar& value);

/// LIKE: "%" any run, "_" one character, a backslash makes the next one literal.
bool matches_pattern(std::string_view text, std::string_view pattern);

/// One overload of a built-in function.
struct Function {
  std::string_view name;  ///< Lower case.
  std::size_t arity;
  bool variadic;  ///< `arity` or more arguments.
  Type result;
  std::vector<Type> arguments;  ///< The last one stands for all further ones.
  Scalar (*run)(const std::vector<Scalar>& arguments, ErrorKind& error);

  Type argument(std::size_t index) const {
    return arguments[index < arguments.size() ? index : arguments.size() - 1];
  }
  Scalar zero() const;
};

/// The overload for so many arguments, or null.
const Function* find_function(std::string_view name, std::size_t arity);

}  // namespace knative::cesql
