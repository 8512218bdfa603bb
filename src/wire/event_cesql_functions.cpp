#include "wire/event_cesql_functions.hpp"

#include <limits>

#include "wire/event_text.hpp"

namespace knative::cesql {
namespace text = event_text;
namespace {

/// Byte positions of the code points of valid UTF-8, and the end.
std::vector<std::size_t> positions(std::string_view text) {
  std::vector<std::size_t> found;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if ((static_cast<unsigned char>(text[at]) & 0xc0) != 0x80) found.push_back(at);
  }
  found.push_back(text.size());
  return found;
}

const std::string& str(const Scalar& value) { return std::get<std::string>(value); }
std::int32_t num(const Scalar& value) { return std::get<std::int32_t>(value); }

/// The length in bytes of the white space (Unicode) at the beginning of `text`.
std::size_t blank_at(std::string_view text) {
  for (const std::string_view blank : {" ",
                                       "\t",
                                       "\n",
                                       "\v",
                                       "\f",
                                       "\r",
                                       "\xc2\x85",
                                       "\xc2\xa0",
                                       "\xe1\x9a\x80",
                                       "\xe2\x80\x80",
                                       "\xe2\x80\x81",
                                       "\xe2\x80\x82",
                                       "\xe2\x80\x83",
                                       "\xe2\x80\x84",
                                       "\xe2\x80\x85",
                                       "\xe2\x80\x86",
                                       "\xe2\x80\x87",
                                       "\xe2\x80\x88",
                                       "\xe2\x80\x89",
                                       "\xe2\x80\x8a",
                                       "\xe2\x80\xa8",
                                       "\xe2\x80\xa9",
                                       "\xe2\x80\xaf",
                                       "\xe2\x81\x9f",
                                       "\xe3\x80\x80"}) {
    if (text.starts_with(blank)) return blank.size();
  }
  return 0;
}

Scalar length(const std::vector<Scalar>& a, ErrorKind&) {
  return static_cast<std::int32_t>(positions(str(a[0])).size() - 1);
}

Scalar concat(const std::vector<Scalar>& a, ErrorKind&) {
  std::string out;
  for (const Scalar& part : a) out += str(part);
  return out;
}

Scalar concat_ws(const std::vector<Scalar>& a, ErrorKind&) {
  std::string out;
  for (std::size_t i = 1; i < a.size(); ++i) {
    if (i > 1) out += str(a[0]);
    out += str(a[i]);
  }
  return out;
}

Scalar lower(const std::vector<Scalar>& a, ErrorKind&) { return text::lower(str(a[0])); }

Scalar upper(const std::vector<Scalar>& a, ErrorKind&) {
  std::string out = str(a[0]);
  for (char& c : out) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 32);
  }
  return out;
}

Scalar trim(const std::vector<Scalar>& a, ErrorKind&) {
  std::string_view text = str(a[0]);
  while (const std::size_t blank = blank_at(text)) text.remove_prefix(blank);
  while (!text.empty()) {
    std::size_t last = text.size() - 1;
    while (last > 0 && (static_cast<unsigned char>(text[last]) & 0xc0) == 0x80) --last;
    if (blank_at(text.substr(last)) != text.size() - last) break;
    text.remove_suffix(text.size() - last);
  }
  return std::string(text);
}

Scalar side(const std::vector<Scalar>& a, ErrorKind& error, bool left) {
  const std::string& text = str(a[0]);
  if (num(a[1]) < 0) {
    error = ErrorKind::function_evaluation;
    return text;
  }
  const std::vector<std::size_t> at = positions(text);
  const auto count = static_cast<std::size_t>(num(a[1]));
  if (count >= at.size()) return text;
  return left ? text.substr(0, at[count]) : text.substr(at[at.size() - 1 - count]);
}
Scalar left(const std::vector<Scalar>& a, ErrorKind& error) { return side(a, error, true); }
Scalar right(const std::vector<Scalar>& a, ErrorKind& error) { return side(a, error, false); }

Scalar substring(const std::vector<Scalar>& a, ErrorKind& error) {
  const std::string& text = str(a[0]);
  const std::vector<std::size_t> at = positions(text);
  const auto size = static_cast<std::int64_t>(at.size()) - 1;
  const std::int64_t position = num(a[1]);
  if (position == 0) return std::string();
  const std::int64_t count = a.size() > 2 ? num(a[2]) : size;
  if (position > size + 1 || position < -size || count < 0) {
    error = ErrorKind::function_evaluation;
    return std::string();
  }
  const std::int64_t begin = position > 0 ? position - 1 : size + position;
  const std::int64_t end = std::min(size, begin + count);
  const std::size_t from = at[static_cast<std::size_t>(begin)];
  return text.substr(from, at[static_cast<std::size_t>(end)] - from);
}

Scalar absolute(const std::vector<Scalar>& a, ErrorKind& error) {
  const std::int32_t number = num(a[0]);
  if (number == std::numeric_limits<std::int32_t>::min()) {
    error = ErrorKind::math;
    return std::numeric_limits<std::int32_t>::max();
  }
  return number < 0 ? -number : number;
}

Scalar same(const std::vector<Scalar>& a, ErrorKind&) { return a[0]; }

Scalar is_int(const std::vector<Scalar>& a, ErrorKind&) {
  ErrorKind failed = ErrorKind::none;
  to_integer(a[0], failed);
  return failed == ErrorKind::none && !std::holds_alternative<bool>(a[0]);
}

Scalar is_bool(const std::vector<Scalar>& a, ErrorKind&) {
  ErrorKind failed = ErrorKind::none;
  to_boolean(a[0], failed);
  return failed == ErrorKind::none && !std::holds_alternative<std::int32_t>(a[0]);
}

const std::vector<Function>& functions() {
  constexpr Type boolean = Type::boolean;
  constexpr Type integer = Type::integer;
  constexpr Type string = Type::string;
  static const std::vector<Function> table{
      {"length", 1, false, integer, {string}, length},
      {"concat", 0, true, string, {string}, concat},
      {"concat_ws", 1, true, string, {string}, concat_ws},
      {"lower", 1, false, string, {string}, lower},
      {"upper", 1, false, string, {string}, upper},
      {"trim", 1, false, string, {string}, trim},
      {"left", 2, false, string, {string, integer}, left},
      {"right", 2, false, string, {string, integer}, right},
      {"substring", 2, false, string, {string, integer}, substring},
      {"substring", 3, false, string, {string, integer, integer}, substring},
      {"abs", 1, false, integer, {integer}, absolute},
      {"int", 1, false, integer, {integer}, same},
      {"bool", 1, false, boolean, {boolean}, same},
      {"string", 1, false, string, {string}, same},
      {"is_int", 1, false, boolean, {Type::any}, is_int},
      {"is_bool", 1, false, boolean, {Type::any}, is_bool},
  };
  return table;
}

}  // namespace

bool to_boolean(const Scalar& value, ErrorKind& error) {
  if (const bool* boolean = std::get_if<bool>(&value)) return *boolean;
  if (const std::int32_t* number = std::get_if<std::int32_t>(&value)) return *number != 0;
  const std::string& string = std::get<std::string>(value);
  if (text::same_letters(string, "true")) return true;
  if (!text::same_letters(string, "false") && error == ErrorKind::none) error = ErrorKind::cast;
  return false;
}

std::int32_t to_integer(const Scalar& value, ErrorKind& error) {
  if (const std::int32_t* number = std::get_if<std::int32_t>(&value)) return *number;
  if (const bool* boolean = std::get_if<bool>(&value)) return *boolean ? 1 : 0;
  const std::string_view string = std::get<std::string>(value);
  const std::size_t sign = !string.empty() && (string[0] == '-' || string[0] == '+') ? 1 : 0;
  std::int64_t number = 0;
  bool good = string.size() > sign;
  for (const char c : string.substr(sign)) {
    good = good && c >= '0' && c <= '9' && number <= std::numeric_limits<std::int32_t>::max();
    if (good) number = number * 10 + (c - '0');
  }
  if (sign == 1 && string[0] == '-') number = -number;
  if (!good || number > std::numeric_limits<std::int32_t>::max() ||
      number < std::numeric_limits<std::int32_t>::min()) {
    if (error == ErrorKind::none) error = ErrorKind::cast;
    return 0;
  }
  return static_cast<std::int32_t>(number);
}

std::string to_text(const Scalar& value) {
  if (const std::string* string = std::get_if<std::string>(&value)) return *string;
  if (const bool* boolean = std::get_if<bool>(&value)) return *boolean ? "true" : "false";
  return std::to_string(std::get<std::int32_t>(value));
}

bool matches_pattern(std::string_view text, std::string_view pattern) {
  // Greedy with one point to come back to: the last "%" and where it was tried.
  const auto character = [](std::string_view s, std::size_t at) {
    std::size_t length = 1;
    while (at + length < s.size() && (static_cast<unsigned char>(s[at + length]) & 0xc0) == 0x80) {
      ++length;
    }
    return length;
  };
  std::size_t t = 0;
  std::size_t p = 0;
  std::size_t star = std::string_view::npos;
  std::size_t star_text = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '%') {
      star = ++p;
      star_text = t;
      continue;
    }
    if (p < pattern.size() && pattern[p] == '_') {
      t += character(text, t);
      ++p;
      continue;
    }
    const bool escaped = p + 1 < pattern.size() && pattern[p] == '\\' &&
                         (pattern[p + 1] == '%' || pattern[p + 1] == '_');
    const std::size_t literal = p + (escaped ? 1 : 0);
    if (literal < pattern.size() && pattern[literal] == text[t]) {
      ++t;
      p = literal + 1;
      continue;
    }
    if (star == std::string_view::npos) return false;
    star_text += character(text, star_text);
    t = star_text;
    p = star;
  }
  while (p < pattern.size() && pattern[p] == '%') ++p;
  return p == pattern.size();
}

Scalar Function::zero() const {
  if (result == Type::integer) return std::int32_t{0};
  if (result == Type::string) return std::string();
  return false;
}

const Function* find_function(std::string_view name, std::size_t arity) {
  for (const Function& function : functions()) {
    if (function.name == name &&
        (function.arity == arity || (function.variadic && arity > function.arity))) {
      return &function;
    }
  }
  return nullptr;
}

}  // namespace knative::cesql
