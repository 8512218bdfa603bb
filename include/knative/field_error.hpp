/// \file
/// What is wrong with an object: messages with the paths of the offending fields, all at once.
///
/// The words and the way errors merge and print are Knative's, because people and tools match on
/// them. Validators start at the inner field and add the way to it while returning.
///
/// \code
/// FieldErrors errors;
/// if (trigger.broker.empty()) errors.add(missing_field({"broker"}).via_field("spec"));
/// errors.add(validate(container).via_field_index("containers", 0));
/// errors.to_string();   // "missing field(s): containers[0].image, spec.broker"
/// \endcode
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "knative/error.hpp"

namespace knative {

/// One message, the fields it is about, and optionally more lines of explanation.
struct KNATIVE_EXPORT FieldError {
  /// Warnings do not make an object invalid.
  enum class Level : unsigned char { error, warning };

  std::string message = {};
  std::vector<std::string> paths = {};
  std::string details = {};
  Level level = Level::error;

  /// Put `name` before every path: "image" becomes "containers.image". An empty path becomes
  /// `name`; a path that begins with an index is joined without a dot.
  FieldError via_field(std::string_view name) &&;
  /// Put "[index]" before every path.
  FieldError via_index(std::size_t index) &&;
  /// Put "[key]" before every path.
  FieldError via_key(std::string_view key) &&;
  FieldError with_details(std::string text) && {
    details = std::move(text);
    return std::move(*this);
  }
  FieldError as_warning() && {
    level = Level::warning;
    return std::move(*this);
  }
  /// "message: path1, path2", then a line break and the details when there are any.
  std::string to_string() const;
  friend bool operator==(const FieldError&, const FieldError&) = default;
};

/// A collection of field errors.
class KNATIVE_EXPORT FieldErrors {
 public:
  FieldErrors() = default;
  FieldErrors(FieldError error) { errors_.push_back(std::move(error)); }  // NOLINT: implicit

  FieldErrors& add(FieldError error);
  FieldErrors& add(FieldErrors errors);

  /// See `FieldError`; applied to all.
  FieldErrors via_field(std::string_view name) &&;
  FieldErrors via_index(std::size_t index) &&;
  FieldErrors via_key(std::string_view key) &&;
  /// "field[index].rest"
  FieldErrors via_field_index(std::string_view field, std::size_t index) &&;
  /// "field[key].rest"
  FieldErrors via_field_key(std::string_view field, std::string_view key) &&;

  /// True when nothing at all was found.
  bool empty() const noexcept { return errors_.empty(); }
  std::size_t size() const noexcept { return errors_.size(); }
  /// True when there is more than warnings.
  bool has_errors() const noexcept;
  std::vector<FieldError>::const_iterator begin() const noexcept { return errors_.begin(); }
  std::vector<FieldError>::const_iterator end() const noexcept { return errors_.end(); }

  /// Equal message, details and level become one with sorted distinct paths; ordered by message,
  /// then details.
  FieldErrors merged() const;
  /// Only the entries of one level.
  FieldErrors filter(FieldError::Level level) const;
  /// The merged errors, one per line.
  std::string to_string() const;
  /// Success when there are only warnings, else `invalid_argument` with `to_string()` of the rest.
  Result<void> to_result() const;

 private:
  std::vector<FieldError> errors_;
};

using FieldPaths = std::initializer_list<std::string_view>;

/// "missing field(s)"
KNATIVE_EXPORT FieldError missing_field(FieldPaths fields);
/// "must not set the field(s)"
KNATIVE_EXPORT FieldError disallowed_field(FieldPaths fields);
/// "must not update deprecated field(s)"
KNATIVE_EXPORT FieldError disallowed_update(FieldPaths fields);
/// "invalid value: VALUE"
KNATIVE_EXPORT FieldError invalid_value(std::string_view value, std::string_view field,
                                        std::string details = {});
KNATIVE_EXPORT FieldError invalid_value(std::int64_t value, std::string_view field,
                                        std::string details = {});
/// "expected exactly one, got neither"
KNATIVE_EXPORT FieldError missing_one_of(FieldPaths fields);
/// "expected exactly one, got both"
KNATIVE_EXPORT FieldError multiple_one_of(FieldPaths fields);
/// `invalid key name "KEY"`
KNATIVE_EXPORT FieldError invalid_key_name(std::string_view key, std::string_view field,
                                           std::string details = {});
/// "expected LO <= VALUE <= HI"; the bounds and the value are already text.
KNATIVE_EXPORT FieldError out_of_bounds(std::string_view value, std::string_view low,
                                        std::string_view high, std::string_view field);
KNATIVE_EXPORT FieldError out_of_bounds(std::int64_t value, std::int64_t low, std::int64_t high,
                                        std::string_view field);
/// Any other message.
KNATIVE_EXPORT FieldError field_error(std::string message, FieldPaths fields,
                                      std::string details = {});

/// Empty when `name` is a DNS-1123 label (RFC 1123: at most 63 of a-z, 0-9 and '-', beginning and
/// ending alphanumeric), else what is wrong.
KNATIVE_EXPORT std::string check_dns1123_label(std::string_view name);
/// The same beginning with a letter (RFC 1035).
KNATIVE_EXPORT std::string check_dns1035_label(std::string_view name);
/// Dot-separated DNS-1123 labels, at most 253 characters.
KNATIVE_EXPORT std::string check_dns1123_subdomain(std::string_view name);
/// "name" or "subdomain/name" as in label and annotation keys.
KNATIVE_EXPORT std::string check_qualified_name(std::string_view name);
/// A label value: empty or at most 63 of letters, digits, '-', '_', '.'.
KNATIVE_EXPORT std::string check_label_value(std::string_view value);
/// The key of a ConfigMap or Secret entry.
KNATIVE_EXPORT std::string check_config_key(std::string_view key);
/// The name of an environment variable (letters, digits, '_', '-', '.', not starting with a digit).
KNATIVE_EXPORT std::string check_env_name(std::string_view name);

}  // namespace knative
