/// \file
/// CloudEvents SQL 1.0: expressions over the attributes of one event. Private to the wire floor.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "knative/error.hpp"
#include "knative/event.hpp"

namespace knative::cesql {

/// The classes of errors of the specification (section 2.6).
enum class ErrorKind : unsigned char {
  none,
  parse,
  math,
  cast,
  missing_attribute,
  missing_function,
  function_evaluation,
};

/// Boolean, 32-bit integer or string.
using Scalar = std::variant<bool, std::int32_t, std::string>;

/// A value is always there; beside it the first error that the evaluation met.
struct Outcome {
  Scalar value = false;
  ErrorKind error = ErrorKind::none;
};

/// A parsed expression; immutable and without any state of its own.
class Expression {
 public:
  Expression(Expression&&) noexcept;
  Expression& operator=(Expression&&) noexcept;
  ~Expression();
  /// `invalid_argument` with the position when the text does not parse.
  static Result<Expression> parse(std::string_view text);
  Outcome evaluate(const CloudEvent& event) const;

  struct Node;

 private:
  explicit Expression(std::unique_ptr<Node> root);
  std::unique_ptr<Node> root_;
};

/// The value read as a boolean, as a trigger does it: only strings can fail.
bool to_boolean(const Scalar& value, ErrorKind& error);

}  // namespace knative::cesql
