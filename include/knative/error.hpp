/// \file
/// Errors as values: twelve conditions that callers branch on, a human detail, and `Result<T>`.
///
/// `Result<T>` is the subset of C++23's `std::expected` that this library uses, except that a
/// temporary gives its value away instead of a reference into itself. Exceptions cross library
/// code only from user handlers and from `Result::value()`. Values here belong to whoever holds
/// them; nothing is shared.
///
/// \code
/// Result<int> port = parse_port("80a");
/// if (!port) std::puts(port.error().to_string().c_str());
/// int sure = parse_port("80").value();  // throws knative::Exception on error
/// \endcode
#pragma once

#include <exception>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include "knative/version.hpp"

namespace knative {

/// The conditions a caller can branch on. Values are stable: they are persisted and cross
/// language bindings.
enum class Errc : unsigned char {
  invalid_argument = 1,     ///< The input is wrong whatever the state of the system.
  not_found = 2,            ///< The named thing does not exist.
  already_exists = 3,       ///< The thing to create exists already.
  conflict = 4,             ///< Another writer came first (stale resourceVersion).
  failed_precondition = 5,  ///< Right input at the wrong time (stopped, not ready, wrong state).
  unavailable = 6,          ///< A peer or device cannot be reached now; a retry may help.
  deadline_exceeded = 7,    ///< The allowed time ran out.
  cancelled = 8,            ///< The caller or the owner gave up.
  resource_exhausted = 9,   ///< A named bound was reached (queue full, disk full, too large).
  unimplemented = 10,       ///< Valid but not supported here.
  data_loss = 11,           ///< Stored bytes are damaged.
  internal = 12,            ///< A user handler threw, or a foreign library misbehaved.
};

/// Return the condition's name as spelled above, e.g. "not_found".
KNATIVE_EXPORT std::string_view to_string(Errc code) noexcept;

/// A condition with a sentence for people that names the field, byte offset or peer.
struct Error {
  Errc code = Errc::internal;
  std::string detail;

  /// "not_found: revision default/hello-00001"
  KNATIVE_EXPORT std::string to_string() const;
  /// The same condition with `where` and ": " put before the detail.
  KNATIVE_EXPORT Error within(std::string_view where) const;
  friend bool operator==(const Error&, const Error&) = default;
};

/// What `Result::value()` throws.
class KNATIVE_EXPORT Exception : public std::exception {
 public:
  explicit Exception(Error error);
  const Error& error() const noexcept { return error_; }
  Errc code() const noexcept { return error_.code; }
  const char* what() const noexcept override { return what_.c_str(); }

 private:
  Error error_;
  std::string what_;
};

namespace detail {
[[noreturn]] KNATIVE_EXPORT void throw_error(const Error& error);
[[noreturn]] KNATIVE_EXPORT void assertion_failed(const char* expression, const char* file,
                                                  int line) noexcept;
}  // namespace detail

/// Check an invariant, also in release builds; aborts with file and line when it does not hold.
/// Never use it on input.
#define KN_ASSERT(expression) \
  ((expression) ? void(0) : ::knative::detail::assertion_failed(#expression, __FILE__, __LINE__))

/// Either a value or an `Error`.
template <class T>
class [[nodiscard]] Result {
 public:
  using value_type = T;

  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT: implicit
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit
  template <class U>
  requires(std::is_convertible_v<U&&, T> && !std::is_same_v<std::remove_cvref_t<U>, T> &&
           !std::is_same_v<std::remove_cvref_t<U>, Error> &&
           !std::is_same_v<std::remove_cvref_t<U>, Result>) Result(U&& value)
      : state_(std::in_place_index<0>, std::forward<U>(value)) {}  // NOLINT

  bool has_value() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }

  /// The value; throws `Exception` when there is none.
  T& value() & {
    require();
    return *std::get_if<0>(&state_);
  }
  const T& value() const& {
    require();
    return *std::get_if<0>(&state_);
  }
  /// By value, so that `for (x : f().value())` iterates over something that lives.
  T value() && {
    require();
    return std::move(*std::get_if<0>(&state_));
  }

  /// The value; asserts that there is one.
  T& operator*() & {
    KN_ASSERT(has_value());
    return *std::get_if<0>(&state_);
  }
  const T& operator*() const& {
    KN_ASSERT(has_value());
    return *std::get_if<0>(&state_);
  }
  T operator*() && {
    KN_ASSERT(has_value());
    return std::move(*std::get_if<0>(&state_));
  }
  T* operator->() { return &**this; }
  const T* operator->() const { return &**this; }

  template <class U>
  T value_or(U&& other) const& {
    return has_value() ? **this : static_cast<T>(std::forward<U>(other));
  }
  template <class U>
  T value_or(U&& other) && {
    return has_value() ? std::move(**this) : static_cast<T>(std::forward<U>(other));
  }

  /// The error; asserts that there is one.
  const Error& error() const& {
    KN_ASSERT(!has_value());
    return *std::get_if<1>(&state_);
  }
  Error error() && {
    KN_ASSERT(!has_value());
    return std::move(*std::get_if<1>(&state_));
  }

 private:
  void require() const {
    if (!has_value()) detail::throw_error(*std::get_if<1>(&state_));
  }
  std::variant<T, Error> state_;
};

/// Success without a value, or an `Error`.
template <>
class [[nodiscard]] Result<void> {
 public:
  using value_type = void;

  Result() = default;
  Result(Error error) : failed_(true), error_(std::move(error)) {}  // NOLINT: implicit

  bool has_value() const noexcept { return !failed_; }
  explicit operator bool() const noexcept { return has_value(); }
  void value() const {
    if (failed_) detail::throw_error(error_);
  }
  void operator*() const { KN_ASSERT(has_value()); }
  const Error& error() const& {
    KN_ASSERT(failed_);
    return error_;
  }
  Error error() && {
    KN_ASSERT(failed_);
    return std::move(error_);
  }

 private:
  bool failed_ = false;
  Error error_;
};

/// Make an `Error`, to be returned where a `Result` is expected.
inline Error fail(Errc code, std::string detail) { return Error{code, std::move(detail)}; }

}  // namespace knative
