// Text forms of durations, timestamps, quantities and base64.
#include "knative/scalars.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

#include "base/text.hpp"

namespace knative {
namespace {

__extension__ using Wide = __int128;

constexpr std::int64_t int64_max = std::numeric_limits<std::int64_t>::max();

using base::is_digit;

Error not_a(std::string_view what, std::string_view text) {
  return fail(Errc::invalid_argument,
              "not a " + std::string(what) + ": \"" + std::string(text) + "\"");
}

// Digits with an optional fraction, times `unit` nanoseconds; removed from the front of `text`.
// Empty when there is no digit or the result does not fit.
struct Amount {
  bool ok = false;
  Wide nanoseconds = 0;
};
Amount take_amount(std::string_view& text, std::string_view& number) {
  std::size_t at = 0;
  bool digits = false;
  while (at < text.size() && (is_digit(text[at]) || text[at] == '.')) {
    digits = digits || is_digit(text[at]);
    ++at;
  }
  number = text.substr(0, at);
  text.remove_prefix(at);
  return {digits && std::count(number.begin(), number.end(), '.') <= 1, 0};
}

// number * unit, the fraction truncated to nanoseconds.
Amount scale(std::string_view number, std::int64_t unit) {
  constexpr Wide limit = Wide{1} << 64;
  const std::size_t point = std::min(number.find('.'), number.size());
  Wide whole = 0;
  for (const char c : number.substr(0, point)) {
    whole = whole * 10 + (c - '0');
    if (whole > limit) return {};
  }
  Wide total = whole * unit;
  Wide weight = unit;
  Wide fraction = 0;
  Wide divisor = 1;
  for (const char c : number.substr(std::min(point + 1, number.size()))) {
    if (divisor > Wide{1000000000000000}) break;  // Below a nanosecond of an hour.
    fraction = fraction * 10 + (c - '0');
    divisor *= 10;
  }
  total += fraction * weight / divisor;
  return {true, total};
}

struct Unit {
  std::string_view name;
  std::int64_t nanoseconds;
};

// The longest unit at the front of `text`, removed from it; null when there is none.
template <std::size_t n>
const Unit* take_unit(std::string_view& text, const std::array<Unit, n>& units) {
  const Unit* best = nullptr;
  for (const Unit& unit : units) {
    if (text.starts_with(unit.name) && (!best || unit.name.size() > best->name.size())) {
      best = &unit;
    }
  }
  if (best) text.remove_prefix(best->name.size());
  return best;
}

constexpr std::array<Unit, 8> go_units = {{{"ns", 1},
                                           {"us", 1000},
                                           {"\xC2\xB5s", 1000},
                                           {"\xCE\xBCs", 1000},
                                           {"ms", 1000000},
                                           {"s", 1000000000},
                                           {"m", 60000000000},
                                           {"h", 3600000000000}}};

}  // namespace

// ---------------------------------------------------------------------------- durations

Result<Duration> parse_duration(std::string_view text) {
  const std::string_view original = text;
  bool negative = false;
  if (!text.empty() && (text.front() == '-' || text.front() == '+')) {
    negative = text.front() == '-';
    text.remove_prefix(1);
  }
  if (text == "0") return Duration::zero();
  if (text.empty()) return not_a("duration", original);
  Wide total = 0;
  while (!text.empty()) {
    std::string_view number;
    if (!take_amount(text, number).ok) return not_a("duration", original);
    const Unit* unit = take_unit(text, go_units);
    if (!unit) {
      return fail(Errc::invalid_argument,
                  "missing or unknown unit in duration \"" + std::string(original) + "\"");
    }
    const Amount amount = scale(number, unit->nanoseconds);
    total += amount.nanoseconds;
    if (!amount.ok || total > int64_max) {
      return fail(Errc::invalid_argument, "duration too long: \"" + std::string(original) + "\"");
    }
  }
  const auto count = static_cast<std::int64_t>(total);
  return Duration(negative ? -count : count);
}

std::string format_duration(Duration duration) {
  const std::int64_t count = duration.count();
  if (count == 0) return "0s";
  // Work on the magnitude; the most negative number has no positive twin.
  std::uint64_t rest =
      count < 0 ? ~static_cast<std::uint64_t>(count) + 1 : static_cast<std::uint64_t>(count);
  const std::string sign = count < 0 ? "-" : "";
  const auto decimal = [](std::uint64_t amount, std::uint64_t unit) {
    std::string out = std::to_string(amount / unit);
    if (std::uint64_t fraction = amount % unit; fraction != 0) {
      std::string digits = std::to_string(unit + fraction).substr(1);
      digits.erase(digits.find_last_not_of('0') + 1);
      out += '.' + digits;
    }
    return out;
  };
  if (rest < 1000) return sign + std::to_string(rest) + "ns";
  if (rest < 1000000) return sign + decimal(rest, 1000) + "\xC2\xB5s";
  if (rest < 1000000000) return sign + decimal(rest, 1000000) + "ms";
  std::string out = sign;
  const std::uint64_t hours = rest / 3600000000000U;
  const std::uint64_t minutes = rest / 60000000000U % 60;
  if (hours > 0) out += std::to_string(hours) + "h";
  if (hours > 0 || minutes > 0) out += std::to_string(minutes) + "m";
  return out + decimal(rest % 60000000000U, 1000000000) + "s";
}

Result<Duration> parse_iso8601_duration(std::string_view original) {
  const auto bad = [&] { return not_a("ISO 8601 duration", original); };
  if (original == "P0" || original == "+P0") return Duration(0);
  std::string with_points(original);  // a comma is as good as a point
  std::replace(with_points.begin(), with_points.end(), ',', '.');
  std::string_view text = with_points;
  if (text.starts_with('+')) text.remove_prefix(1);
  if (!text.starts_with('P')) return bad();
  text.remove_prefix(1);
  // A year of the Gregorian calendar has 365.2425 days on average, a month a twelfth of it.
  static constexpr std::array<Unit, 4> date_units = {{{"Y", 31556952000000000},
                                                      {"M", 2629746000000000},
                                                      {"W", 604800000000000},
                                                      {"D", 86400000000000}}};
  static constexpr std::array<Unit, 3> time_units = {
      {{"H", 3600000000000}, {"M", 60000000000}, {"S", 1000000000}}};
  Wide total = 0;
  bool any = false;
  bool in_time = false;
  std::int64_t previous = int64_max;
  while (!text.empty()) {
    if (text.front() == 'T') {
      if (in_time || text.size() == 1) return bad();
      in_time = true;
      text.remove_prefix(1);
    }
    std::string_view number;
    if (!take_amount(text, number).ok) return bad();
    const Unit* unit = in_time ? take_unit(text, time_units) : take_unit(text, date_units);
    // Units come in falling order, each at most once; only the last may have a fraction.
    if (!unit || unit->nanoseconds >= previous) return bad();
    if (number.find('.') != std::string_view::npos && !text.empty()) return bad();
    previous = unit->nanoseconds;
    const Amount amount = scale(number, unit->nanoseconds);
    total += amount.nanoseconds;
    if (!amount.ok || total > int64_max) {
      return fail(Errc::invalid_argument, "duration too long: \"" + std::string(original) + "\"");
    }
    any = true;
  }
  if (!any) return bad();
  return Duration(static_cast<std::int64_t>(total));
}

// ---------------------------------------------------------------------------- timestamps

namespace {

// Exactly `digits` digits at the front, removed; -1 when they are not there.
int take_digits(std::string_view& text, std::size_t digits) {
  if (text.size() < digits) return -1;
  int value = 0;
  for (std::size_t i = 0; i < digits; ++i) {
    if (!is_digit(text[i])) return -1;
    value = value * 10 + (text[i] - '0');
  }
  text.remove_prefix(digits);
  return value;
}

bool take_char(std::string_view& text, char wanted) {
  if (text.empty() || text.front() != wanted) return false;
  text.remove_prefix(1);
  return true;
}

// Minutes east of UTC; -10000 when malformed.
int take_zone(std::string_view& text) {
  if (take_char(text, 'Z') || take_char(text, 'z')) return 0;
  const int sign = take_char(text, '+') ? 1 : take_char(text, '-') ? -1 : 0;
  const int hours = take_digits(text, 2);
  if (sign == 0 || !take_char(text, ':')) return -10000;
  const int minutes = take_digits(text, 2);
  if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return -10000;
  return sign * (hours * 60 + minutes);
}

}  // namespace

Result<Timestamp> Timestamp::parse(std::string_view text) {
  const std::string_view original = text;
  const auto bad = [&] { return not_a("RFC 3339 time", original); };
  const int year = take_digits(text, 4);
  if (!take_char(text, '-')) return bad();
  const int month = take_digits(text, 2);
  if (!take_char(text, '-')) return bad();
  const int day = take_digits(text, 2);
  if (!take_char(text, 'T') && !take_char(text, 't')) return bad();
  const int hour = take_digits(text, 2);
  if (!take_char(text, ':')) return bad();
  const int minute = take_digits(text, 2);
  if (!take_char(text, ':')) return bad();
  const int second = take_digits(text, 2);
  std::int64_t nanoseconds = 0;
  if (take_char(text, '.')) {
    std::int64_t weight = 100000000;
    if (text.empty() || !is_digit(text.front())) return bad();
    while (!text.empty() && is_digit(text.front())) {
      nanoseconds += weight * (text.front() - '0');
      weight /= 10;
      text.remove_prefix(1);
    }
  }
  const int zone = take_zone(text);
  const std::chrono::year_month_day date{std::chrono::year(year),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  const bool in_range = year >= 1678 && year <= 2261;
  if (!text.empty() || !in_range || !date.ok() || hour < 0 || hour > 23 || minute < 0 ||
      minute > 59 || second < 0 || second > 60 || zone == -10000) {
    return bad();
  }
  return Timestamp(WallTime(std::chrono::sys_days(date).time_since_epoch()) +
                   std::chrono::hours(hour) + std::chrono::minutes(minute - zone) +
                   std::chrono::seconds(second) + Duration(nanoseconds));
}

std::string Timestamp::to_string() const {
  const auto days = std::chrono::floor<std::chrono::days>(at);
  const std::chrono::year_month_day date{days};
  const std::int64_t rest = (at - days).count();
  const auto padded = [](std::int64_t value, std::size_t width) {
    std::string digits = std::to_string(value);
    return std::string(width > digits.size() ? width - digits.size() : 0, '0') + digits;
  };
  const std::int64_t seconds = rest / 1000000000;
  std::string out = padded(static_cast<int>(date.year()), 4) + '-' +
                    padded(static_cast<unsigned>(date.month()), 2) + '-' +
                    padded(static_cast<unsigned>(date.day()), 2) + 'T' + padded(seconds / 3600, 2) +
                    ':' + padded(seconds / 60 % 60, 2) + ':' + padded(seconds % 60, 2);
  if (const std::int64_t fraction = rest % 1000000000; fraction != 0) {
    std::string digits = padded(fraction, 9);
    digits.erase(digits.find_last_not_of('0') + 1);
    out += '.' + digits;
  }
  return out + 'Z';
}

// ---------------------------------------------------------------------------- quantities

namespace {

constexpr Wide nano = 1000000000;

struct Suffix {
  std::string_view text;
  int base;      // 10 or 2
  int exponent;  // of the base
};
constexpr std::array<Suffix, 16> suffixes = {{{"n", 10, -9},
                                              {"u", 10, -6},
                                              {"m", 10, -3},
                                              {"", 10, 0},
                                              {"k", 10, 3},
                                              {"M", 10, 6},
                                              {"G", 10, 9},
                                              {"T", 10, 12},
                                              {"P", 10, 15},
                                              {"E", 10, 18},
                                              {"Ki", 2, 10},
                                              {"Mi", 2, 20},
                                              {"Gi", 2, 30},
                                              {"Ti", 2, 40},
                                              {"Pi", 2, 50},
                                              {"Ei", 2, 60}}};

struct Scale {
  bool ok = false;
  int base = 10;
  int exponent = 0;
  Quantity::Format format = Quantity::Format::decimal_si;
};

Scale parse_suffix(std::string_view text) {
  for (const Suffix& suffix : suffixes) {
    if (suffix.text == text) {
      return {true, suffix.base, suffix.exponent,
              suffix.base == 2 ? Quantity::Format::binary_si : Quantity::Format::decimal_si};
    }
  }
  if (text.size() < 2 || (text.front() != 'e' && text.front() != 'E')) return {};
  text.remove_prefix(1);
  const bool negative = text.front() == '-';
  if (negative || text.front() == '+') text.remove_prefix(1);
  int exponent = 0;
  const char* last = text.data() + text.size();
  const auto [end, code] = std::from_chars(text.data(), last, exponent);
  if (code != std::errc{} || end != last || exponent > 1000 || !is_digit(text.front())) return {};
  return {true, 10, negative ? -exponent : exponent, Quantity::Format::decimal_exponent};
}

// The magnitude of digits * base^exponent in billionths, rounded up, capped at 2^63-1 units.
Wide to_nano(std::string_view integer, std::string_view fraction, const Scale& scale) {
  constexpr Wide cap = Wide{int64_max} * nano;
  if (scale.base == 2) {
    // Fraction digits beyond 18 cannot be seen after rounding; keep the product below 2^127.
    Wide whole = 0;
    for (const char c : integer) {
      whole = whole * 10 + (c - '0');
      if (whole > Wide{int64_max}) return cap;
    }
    Wide part = 0;
    Wide divisor = 1;
    bool sticky = false;
    for (const char c : fraction) {
      if (divisor < Wide{1000000000}) {
        part = part * 10 + (c - '0');
        divisor *= 10;
      } else {
        sticky = sticky || c != '0';
      }
    }
    const Wide factor = Wide{1} << scale.exponent;
    if (whole > Wide{int64_max} / factor) return cap;
    // part < 10^9 and factor <= 2^60, so part * factor * 1 fits; nano / divisor is whole.
    Wide total = whole * factor * nano + part * factor * (nano / divisor);
    if (sticky) total += 1;
    return std::min(total, cap);
  }
  // Walk over all digits, keeping those at or above 10^-9.
  Wide total = 0;
  bool lost = false;
  const int first = static_cast<int>(integer.size()) - 1 + scale.exponent;
  int power = first;
  const auto add = [&](char c) {
    if (power >= -9) {
      total = std::min(total * 10 + (c - '0'), cap);
    } else {
      lost = lost || c != '0';
    }
    --power;
  };
  for (const char c : integer) add(c);
  for (const char c : fraction) add(c);
  for (; power >= -9; --power) {
    if (total == 0) break;
    total = std::min(total * 10, cap);
  }
  return std::min(total + (lost ? 1 : 0), cap);
}

std::string wide_text(Wide value) {
  if (value == 0) return "0";
  std::string digits;
  for (; value > 0; value /= 10) digits += static_cast<char>('0' + static_cast<int>(value % 10));
  std::reverse(digits.begin(), digits.end());
  return digits;
}

}  // namespace

Quantity Quantity::from_milli(std::int64_t milli) {
  Quantity out(milli / 1000);
  out.nano_ = static_cast<std::int32_t>(milli % 1000 * 1000000);
  return out;
}

Result<Quantity> Quantity::parse(std::string_view text) {
  const std::string_view original = text;
  bool negative = false;
  if (!text.empty() && (text.front() == '-' || text.front() == '+')) {
    negative = text.front() == '-';
    text.remove_prefix(1);
  }
  std::size_t at = 0;
  while (at < text.size() && is_digit(text[at])) ++at;
  std::string_view integer = text.substr(0, at);
  text.remove_prefix(at);
  std::string_view fraction;
  if (!text.empty() && text.front() == '.') {
    at = 1;
    while (at < text.size() && is_digit(text[at])) ++at;
    fraction = text.substr(1, at - 1);
    text.remove_prefix(at);
  }
  const Scale scale = parse_suffix(text);
  if ((integer.empty() && fraction.empty()) || !scale.ok) return not_a("quantity", original);
  const Wide total = to_nano(integer, fraction, scale);
  Quantity out(static_cast<std::int64_t>(total / nano), scale.format);
  out.nano_ = static_cast<std::int32_t>(total % nano);
  if (negative) {
    out.whole_ = -out.whole_;
    out.nano_ = -out.nano_;
  }
  return out;
}

std::string Quantity::to_string() const {
  Wide total = Wide{whole_} * nano + nano_;
  const bool negative = total < 0;
  if (negative) total = -total;
  const std::string sign = negative ? "-" : "";
  Format format = format_;
  // Kubernetes writes small binary amounts in decimal.
  if (format == Format::binary_si && total < Wide{1024} * nano) format = Format::decimal_si;
  if (format == Format::binary_si) {
    Wide whole = (total + nano - 1) / nano;
    int power = 0;
    while (power < 60 && whole % 1024 == 0 && whole > 0) {
      whole /= 1024;
      power += 10;
    }
    for (const Suffix& suffix : suffixes) {
      if (power > 0 && suffix.base == 2 && suffix.exponent == power) {
        return sign + wide_text(whole) + std::string(suffix.text);
      }
    }
    return sign + wide_text(whole);
  }
  if (total == 0) return "0";
  int exponent = -9;
  while (exponent < 18 && total % 1000 == 0) {
    total /= 1000;
    exponent += 3;
  }
  if (format == Format::decimal_exponent) {
    return sign + wide_text(total) + (exponent == 0 ? "" : "e" + std::to_string(exponent));
  }
  for (const Suffix& suffix : suffixes) {
    if (suffix.base == 10 && suffix.exponent == exponent) {
      return sign + wide_text(total) + std::string(suffix.text);
    }
  }
  return sign + wide_text(total);
}

std::int64_t Quantity::value() const noexcept {
  if (nano_ > 0) return whole_ == int64_max ? whole_ : whole_ + 1;
  if (nano_ < 0) return whole_ - 1;
  return whole_;
}

std::int64_t Quantity::milli_value() const noexcept {
  const Wide total = Wide{whole_} * nano + nano_;
  constexpr Wide step = 1000000;
  const Wide milli = total >= 0 ? (total + step - 1) / step : -((-total + step - 1) / step);
  return static_cast<std::int64_t>(std::clamp(milli, Wide{-int64_max}, Wide{int64_max}));
}

// ---------------------------------------------------------------------------- base64

std::string base64_encode(std::string_view octets) { return base::to_base64(octets); }

Result<std::string> base64_decode(std::string_view text) { return base::from_base64(text); }

}  // namespace knative
