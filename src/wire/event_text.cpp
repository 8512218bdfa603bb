#include "wire/event_text.hpp"

#include <array>
#include <initializer_list>

#include "base/text.hpp"

namespace knative::event_text {
namespace {

using base::is_digit;

/// Decode one code point at `at` and move on; empty when the bytes are no UTF-8.
std::optional<char32_t> code_point(std::string_view text, std::size_t& at) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(at);
  int more = 0;
  char32_t point = 0;
  char32_t least = 0;
  if (lead < 0x80) {
    ++at;
    return lead;
  }
  if (lead >= 0xc2 && lead <= 0xdf) {
    more = 1, point = lead & 0x1f, least = 0x80;
  } else if (lead >= 0xe0 && lead <= 0xef) {
    more = 2, point = lead & 0x0f, least = 0x800;
  } else if (lead >= 0xf0 && lead <= 0xf4) {
    more = 3, point = lead & 0x07, least = 0x10000;
  } else {
    return std::nullopt;
  }
  if (text.size() - at <= static_cast<std::size_t>(more)) return std::nullopt;
  for (int i = 1; i <= more; ++i) {
    const unsigned next = byte(at + static_cast<std::size_t>(i));
    if ((next & 0xc0) != 0x80) return std::nullopt;
    point = point << 6 | (next & 0x3f);
  }
  if (point < least || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) {
    return std::nullopt;
  }
  at += static_cast<std::size_t>(more) + 1;
  return point;
}

int hex(char c) noexcept {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

Slot slot_of(std::string_view name) noexcept {
  if (name == "type") return Slot::type;
  if (name == "source") return Slot::source;
  if (name == "id") return Slot::id;
  if (name == "subject") return Slot::subject;
  if (name == "time") return Slot::time;
  if (name == "specversion") return Slot::specversion;
  if (name == "dataschema") return Slot::dataschema;
  if (name == "datacontenttype") return Slot::datacontenttype;
  return Slot::extension;
}

Slot filter_slot_of(std::string_view name) noexcept {
  if (name == "schemaurl") return Slot::dataschema;
  if (name == "datamediatype") return Slot::datamediatype;
  return slot_of(name);
}

std::string_view media_type(std::string_view content_type) noexcept {
  content_type = content_type.substr(0, content_type.find(';'));
  while (!content_type.empty() && (content_type.back() == ' ' || content_type.back() == '\t')) {
    content_type.remove_suffix(1);
  }
  while (!content_type.empty() && (content_type.front() == ' ' || content_type.front() == '\t')) {
    content_type.remove_prefix(1);
  }
  return content_type;
}

bool is_attribute_name(std::string_view name) noexcept {
  if (name.empty()) return false;
  for (const char c : name) {
    if (!is_digit(c) && !(c >= 'a' && c <= 'z')) return false;
  }
  return true;
}

std::optional<std::size_t> bad_character(std::string_view text) noexcept {
  for (std::size_t at = 0; at < text.size();) {
    const char c = text[at];
    if (c >= 0x20 && c < 0x7f) {
      ++at;
      continue;
    }
    const std::size_t begin = at;
    const auto point = code_point(text, at);
    if (!point || *point < 0x20 || (*point >= 0x7f && *point <= 0x9f) ||
        (*point >= 0xfdd0 && *point <= 0xfdef) || (*point & 0xfffe) == 0xfffe) {
      return begin;
    }
  }
  return std::nullopt;
}

bool is_utf8(std::string_view text) noexcept {
  for (std::size_t at = 0; at < text.size();) {
    if (!code_point(text, at)) return false;
  }
  return true;
}

bool is_rfc3339(std::string_view text) noexcept {
  // 0123456789012345678
  // 2026-01-31T23:59:60
  if (text.size() < 20) return false;
  for (const std::size_t at :
       std::initializer_list<std::size_t>{0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18}) {
    if (!is_digit(text[at])) return false;
  }
  if (text[4] != '-' || text[7] != '-' || text[13] != ':' || text[16] != ':' ||
      (text[10] != 'T' && text[10] != 't')) {
    return false;
  }
  const auto two = [](std::string_view s, std::size_t at) {
    return (s[at] - '0') * 10 + (s[at + 1] - '0');
  };
  const int year = two(text, 0) * 100 + two(text, 2);
  const int month = two(text, 5);
  const int day = two(text, 8);
  const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  constexpr std::array<int, 13> days{0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  if (month < 1 || month > 12 || day < 1 ||
      day > days[static_cast<std::size_t>(month)] + (month == 2 && leap ? 1 : 0)) {
    return false;
  }
  if (two(text, 11) > 23 || two(text, 14) > 59 || two(text, 17) > 60) return false;
  std::string_view rest = text.substr(19);
  if (rest.front() == '.') {
    std::size_t digits = 1;
    while (digits < rest.size() && is_digit(rest[digits])) ++digits;
    if (digits == 1) return false;
    rest.remove_prefix(digits);
  }
  if (rest == "Z" || rest == "z") return true;
  return rest.size() == 6 && (rest[0] == '+' || rest[0] == '-') && is_digit(rest[1]) &&
         is_digit(rest[2]) && rest[3] == ':' && is_digit(rest[4]) && is_digit(rest[5]) &&
         two(rest, 1) <= 23 && two(rest, 4) <= 59;
}

std::string rfc3339(WallTime time) {
  using namespace std::chrono;
  const auto days_part = floor<days>(time);
  const year_month_day date{days_part};
  const hh_mm_ss clock{floor<nanoseconds>(time - days_part)};
  std::string text(30, '0');
  const auto put = [&text](std::size_t at, int width, std::int64_t number) {
    for (int i = width - 1; i >= 0; --i, number /= 10) {
      text[at + static_cast<std::size_t>(i)] = static_cast<char>('0' + number % 10);
    }
  };
  put(0, 4, static_cast<int>(date.year()));
  put(5, 2, static_cast<unsigned>(date.month()));
  put(8, 2, static_cast<unsigned>(date.day()));
  put(11, 2, clock.hours().count());
  put(14, 2, clock.minutes().count());
  put(17, 2, clock.seconds().count());
  put(20, 9, clock.subseconds().count());
  text[4] = text[7] = '-';
  text[10] = 'T';
  text[13] = text[16] = ':';
  text[19] = '.';
  text[29] = 'Z';
  return text;
}

std::string percent_encode(std::string_view value) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string out;
  out.reserve(value.size());
  for (const char c : value) {
    if (c > 0x20 && c < 0x7f && c != '"' && c != '%') {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += '%';
      out += digits[byte >> 4];
      out += digits[byte & 15];
    }
  }
  return out;
}

std::optional<std::string> percent_decode(std::string_view value) {
  std::string unquoted;
  if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
    value = value.substr(1, value.size() - 2);
    for (std::size_t at = 0; at < value.size(); ++at) {
      if (value[at] == '\\' && at + 1 < value.size()) ++at;
      unquoted += value[at];
    }
    value = unquoted;
  }
  std::string out;
  out.reserve(value.size());
  for (std::size_t at = 0; at < value.size(); ++at) {
    if (value[at] != '%') {
      out += value[at];
      continue;
    }
    const bool escape = value.size() - at > 2 && hex(value[at + 1]) >= 0 && hex(value[at + 2]) >= 0;
    if (!escape) return std::nullopt;
    out += static_cast<char>(hex(value[at + 1]) * 16 + hex(value[at + 2]));
    at += 2;
  }
  if (!is_utf8(out)) return std::nullopt;
  return out;
}

bool same_letters(std::string_view a, std::string_view b) noexcept { return http::same_name(a, b); }

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = base::to_lower(c);
  return out;
}

}  // namespace knative::event_text
