#include "knative/field_error.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace knative {
namespace {

std::string join_path(std::string_view front, std::string_view rest) {
  if (rest.empty()) return std::string(front);
  std::string out(front);
  if (rest.front() != '[' && !front.empty()) out += '.';
  return out += rest;
}

FieldError make(std::string message, FieldPaths fields, std::string details = {}) {
  FieldError error{std::move(message), {}, std::move(details)};
  for (const std::string_view field : fields) error.paths.emplace_back(field);
  return error;
}

}  // namespace

FieldError FieldError::via_field(std::string_view name) && {
  if (paths.empty()) paths.emplace_back();
  for (std::string& path : paths) path = join_path(name, path);
  return std::move(*this);
}
FieldError FieldError::via_index(std::size_t index) && {
  return std::move(*this).via_field('[' + std::to_string(index) + ']');
}
FieldError FieldError::via_key(std::string_view key) && {
  return std::move(*this).via_field('[' + std::string(key) + ']');
}

std::string FieldError::to_string() const {
  std::string out = message;
  for (std::size_t i = 0; i < paths.size(); ++i) {
    out += i == 0 ? ": " : ", ";
    out += paths[i];
  }
  if (!details.empty()) {
    out += '\n';
    out += details;
  }
  return out;
}

FieldErrors& FieldErrors::add(FieldError error) {
  errors_.push_back(std::move(error));
  return *this;
}
FieldErrors& FieldErrors::add(FieldErrors errors) {
  for (FieldError& error : errors.errors_) errors_.push_back(std::move(error));
  return *this;
}

FieldErrors FieldErrors::via_field(std::string_view name) && {
  for (FieldError& error : errors_) error = std::move(error).via_field(name);
  return std::move(*this);
}
FieldErrors FieldErrors::via_index(std::size_t index) && {
  for (FieldError& error : errors_) error = std::move(error).via_index(index);
  return std::move(*this);
}
FieldErrors FieldErrors::via_key(std::string_view key) && {
  for (FieldError& error : errors_) error = std::move(error).via_key(key);
  return std::move(*this);
}
FieldErrors FieldErrors::via_field_index(std::string_view field, std::size_t index) && {
  return std::move(*this).via_index(index).via_field(field);
}
FieldErrors FieldErrors::via_field_key(std::string_view field, std::string_view key) && {
  return std::move(*this).via_key(key).via_field(field);
}

bool FieldErrors::has_errors() const noexcept {
  return std::any_of(errors_.begin(), errors_.end(), [](const FieldError& error) {
    return error.level == FieldError::Level::error;
  });
}

FieldErrors FieldErrors::merged() const {
  FieldErrors out;
  for (const FieldError& error : errors_) {
    const auto same = std::find_if(out.errors_.begin(), out.errors_.end(), [&](const auto& other) {
      return other.message == error.message && other.details == error.details &&
             other.level == error.level;
    });
    if (same == out.errors_.end()) {
      out.errors_.push_back(error);
    } else {
      same->paths.insert(same->paths.end(), error.paths.begin(), error.paths.end());
    }
  }
  for (FieldError& error : out.errors_) {
    std::sort(error.paths.begin(), error.paths.end());
    error.paths.erase(std::unique(error.paths.begin(), error.paths.end()), error.paths.end());
  }
  std::stable_sort(out.errors_.begin(), out.errors_.end(), [](const auto& a, const auto& b) {
    return a.message != b.message ? a.message < b.message : a.details < b.details;
  });
  return out;
}

FieldErrors FieldErrors::filter(FieldError::Level level) const {
  FieldErrors out;
  for (const FieldError& error : errors_) {
    if (error.level == level) out.errors_.push_back(error);
  }
  return out;
}

std::string FieldErrors::to_string() const {
  std::string out;
  for (const FieldError& error : merged()) {
    if (!out.empty()) out += '\n';
    out += error.to_string();
  }
  return out;
}

Result<void> FieldErrors::to_result() const {
  if (!has_errors()) return {};
  return fail(Errc::invalid_argument, filter(FieldError::Level::error).to_string());
}

FieldError missing_field(FieldPaths fields) { return make("missing field(s)", fields); }
FieldError disallowed_field(FieldPaths fields) { return make("must not set the field(s)", fields); }
FieldError disallowed_update(FieldPaths fields) {
  return make("must not update deprecated field(s)", fields);
}
FieldError invalid_value(std::string_view value, std::string_view field, std::string details) {
  return make("invalid value: " + std::string(value), {field}, std::move(details));
}
FieldError invalid_value(std::int64_t value, std::string_view field, std::string details) {
  return invalid_value(std::to_string(value), field, std::move(details));
}
FieldError missing_one_of(FieldPaths fields) {
  return make("expected exactly one, got neither", fields);
}
FieldError multiple_one_of(FieldPaths fields) {
  return make("expected exactly one, got both", fields);
}
FieldError invalid_key_name(std::string_view key, std::string_view field, std::string details) {
  return make("invalid key name \"" + std::string(key) + "\"", {field}, std::move(details));
}
FieldError out_of_bounds(std::string_view value, std::string_view low, std::string_view high,
                         std::string_view field) {
  return make(
      "expected " + std::string(low) + " <= " + std::string(value) + " <= " + std::string(high),
      {field});
}
FieldError out_of_bounds(std::int64_t value, std::int64_t low, std::int64_t high,
                         std::string_view field) {
  return out_of_bounds(std::to_string(value), std::to_string(low), std::to_string(high), field);
}
FieldError field_error(std::string message, FieldPaths fields, std::string details) {
  return make(std::move(message), fields, std::move(details));
}

// ---------------------------------------------------------------------------- names

namespace {

using base::is_digit;
using base::is_letter;
using base::is_lower;
bool is_lower_or_digit(char c) { return is_lower(c) || is_digit(c); }

bool all_of(std::string_view text, bool (*accepts)(char)) {
  return std::all_of(text.begin(), text.end(), accepts);
}

std::string too_long(std::size_t limit) {
  return "must be no more than " + std::to_string(limit) + " characters";
}

bool label_characters(std::string_view name) {
  return !name.empty() && is_lower_or_digit(name.front()) && is_lower_or_digit(name.back()) &&
         all_of(name, [](char c) { return is_lower_or_digit(c) || c == '-'; });
}

bool name_part(std::string_view text) {
  const auto alphanumeric = [](char c) { return is_letter(c) || is_digit(c); };
  return !text.empty() && alphanumeric(text.front()) && alphanumeric(text.back()) &&
         all_of(text, [](char c) {
           return is_letter(c) || is_digit(c) || c == '-' || c == '_' || c == '.';
         });
}

}  // namespace

std::string check_dns1123_label(std::string_view name) {
  if (name.size() > 63) return too_long(63);
  if (!label_characters(name)) {
    return "not a DNS 1123 label: use lower case letters, digits and '-', beginning and ending "
           "with a letter or digit";
  }
  return {};
}

std::string check_dns1035_label(std::string_view name) {
  if (name.size() > 63) return too_long(63);
  if (!label_characters(name) || !is_lower(name.front())) {
    return "not a DNS 1035 label: use lower case letters, digits and '-', beginning with a letter "
           "and ending with a letter or digit";
  }
  return {};
}

std::string check_dns1123_subdomain(std::string_view name) {
  if (name.size() > 253) return too_long(253);
  std::string_view rest = name;
  while (true) {
    const std::size_t dot = std::min(rest.find('.'), rest.size());
    if (!label_characters(rest.substr(0, dot))) {
      return "not a DNS 1123 subdomain: use labels of lower case letters, digits and '-', each "
             "beginning and ending with a letter or digit, separated by '.'";
    }
    if (dot == rest.size()) return {};
    rest.remove_prefix(dot + 1);
  }
}

std::string check_qualified_name(std::string_view name) {
  const std::size_t slash = name.find('/');
  if (slash != std::string_view::npos) {
    if (std::string wrong = check_dns1123_subdomain(name.substr(0, slash)); !wrong.empty()) {
      return "prefix part " + wrong;
    }
    name.remove_prefix(slash + 1);
  }
  if (name.size() > 63) return "name part " + too_long(63);
  if (!name_part(name)) {
    return "name part must be letters, digits, '-', '_' and '.', beginning and ending with a "
           "letter or digit";
  }
  return {};
}

std::string check_label_value(std::string_view value) {
  if (value.size() > 63) return too_long(63);
  if (!value.empty() && !name_part(value)) {
    return "must be empty or letters, digits, '-', '_' and '.', beginning and ending with a letter "
           "or digit";
  }
  return {};
}

std::string check_config_key(std::string_view key) {
  if (key.size() > 253) return too_long(253);
  const bool characters = !key.empty() && all_of(key, [](char c) {
    return is_letter(c) || is_digit(c) || c == '-' || c == '_' || c == '.';
  });
  if (!characters) return "must be letters, digits, '-', '_' and '.'";
  if (key == "." || key.starts_with("..")) return "must not be '.' or begin with '..'";
  return {};
}

std::string check_env_name(std::string_view name) {
  const bool characters = !name.empty() && !is_digit(name.front()) && all_of(name, [](char c) {
    return is_letter(c) || is_digit(c) || c == '-' || c == '_' || c == '.';
  });
  if (!characters) return "must be letters, digits, '-', '_' and '.', not beginning with a digit";
  if (name == "." || name.starts_with("..")) return "must not be '.' or begin with '..'";
  return {};
}

}  // namespace knative
