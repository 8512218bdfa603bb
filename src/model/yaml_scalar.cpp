#include "model/yaml_scalar.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>

#include "base/text.hpp"

namespace knative::manifest {
namespace {

template <std::size_t n>
bool one_of(std::string_view text, const std::array<std::string_view, n>& words) {
  return std::find(words.begin(), words.end(), text) != words.end();
}

constexpr std::array<std::string_view, 11> true_words = {
    "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"};
constexpr std::array<std::string_view, 11> false_words = {
    "n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"};
constexpr std::array<std::string_view, 5> null_words = {"", "~", "null", "Null", "NULL"};
constexpr std::array<std::string_view, 12> not_finite_words = {".nan",  ".NaN",  ".NAN",  ".inf",
                                                               ".Inf",  ".INF",  "+.inf", "+.Inf",
                                                               "+.INF", "-.inf", "-.Inf", "-.INF"};

using base::is_digit;

// Digits with an optional sign and base prefix; a leading 0 is octal.
std::optional<Value> parse_integer(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  int base = 10;
  if (text.size() > 1 && text[0] == '0') {
    const char mark = static_cast<char>(text[1] | 0x20);
    base = mark == 'x' ? 16 : mark == 'b' ? 2 : 8;
    text.remove_prefix(mark == 'x' || mark == 'b' || mark == 'o' ? 2 : 1);
  }
  std::uint64_t magnitude = 0;
  const char* last = text.data() + text.size();
  const auto [end, code] = std::from_chars(text.data(), last, magnitude, base);
  if (text.empty() || code != std::errc{} || end != last) return std::nullopt;
  constexpr auto limit = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (!negative) return Value(magnitude);
  if (magnitude > limit + 1) return std::nullopt;
  return Value(magnitude == limit + 1 ? std::numeric_limits<std::int64_t>::min()
                                      : -static_cast<std::int64_t>(magnitude));
}

// [-+]? ( .digits | digits [.digits*] ) [ e [-+]? digits ]
bool looks_like_float(std::string_view text) {
  std::size_t at = 0;
  const auto digits = [&] {
    const std::size_t begin = at;
    while (at < text.size() && is_digit(text[at])) ++at;
    return at - begin;
  };
  if (at < text.size() && (text[at] == '-' || text[at] == '+')) ++at;
  const std::size_t whole = digits();
  if (at < text.size() && text[at] == '.') {
    ++at;
    if (digits() == 0 && whole == 0) return false;
  } else if (whole == 0) {
    return false;
  }
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    ++at;
    if (at < text.size() && (text[at] == '-' || text[at] == '+')) ++at;
    if (digits() == 0) return false;
  }
  return at == text.size();
}

std::optional<double> parse_float(std::string_view text) {
  if (!looks_like_float(text)) return std::nullopt;
  if (text.front() == '+') text.remove_prefix(1);
  double value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code == std::errc::result_out_of_range) {
    const std::size_t exponent = text.find_first_of("eE");
    const bool tiny = exponent != std::string_view::npos && text[exponent + 1] == '-';
    return tiny ? std::optional<double>(0) : std::nullopt;
  }
  return value;
}

Scalar number(double value) {
  constexpr double limit = 9223372036854775808.0;
  if (value == std::trunc(value) && value >= -limit && value < limit) {
    return {ScalarKind::integer, Value(static_cast<std::int64_t>(value))};
  }
  return {ScalarKind::real, Value(value)};
}

}  // namespace

Scalar resolve_plain(std::string_view text) {
  if (one_of(text, null_words)) return {ScalarKind::null, {}};
  if (one_of(text, true_words)) return {ScalarKind::boolean, Value(true)};
  if (one_of(text, false_words)) return {ScalarKind::boolean, Value(false)};
  if (one_of(text, not_finite_words)) return {ScalarKind::not_finite, {}};
  if (text == "<<") return {ScalarKind::merge, Value(text)};
  const char first = text.front();
  if (first == '.') {
    if (const std::optional<double> value = parse_float(text)) return number(*value);
  } else if (is_digit(first) || first == '-' || first == '+') {
    std::string plain(text);
    std::erase(plain, '_');
    if (std::optional<Value> value = parse_integer(plain)) {
      const ScalarKind kind = value->if_int() ? ScalarKind::integer : ScalarKind::real;
      return {kind, *std::move(value)};
    }
    if (const std::optional<double> value = parse_float(plain)) return number(*value);
  }
  return {ScalarKind::text, Value(text)};
}

}  // namespace knative::manifest
