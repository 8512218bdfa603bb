/// \file
/// Characters of HTTP: tables and small scans shared by parser, headers and URL.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

namespace knative::http::wire {

/// What a byte may be part of.
enum : std::uint8_t {
  token_char = 1,   ///< RFC 9110 section 5.6.2
  target_char = 2,  ///< RFC 3986: path and query, '%' included
  host_char = 4,    ///< RFC 3986: reg-name, '%' included
};

constexpr std::array<std::uint8_t, 256> make_char_table() {
  std::array<std::uint8_t, 256> table{};
  auto mark = [&table](std::string_view text, std::uint8_t bit) {
    for (const char c : text) table[static_cast<unsigned char>(c)] |= bit;
  };
  constexpr std::string_view alphanumeric =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  mark(alphanumeric, token_char | target_char | host_char);
  mark("!#$%&'*+-.^_`|~", token_char);
  mark("-._~%!$&'()*+,;=", host_char);
  mark("-._~%!$&'()*+,;=:@/?", target_char);
  return table;
}
inline constexpr std::array<std::uint8_t, 256> char_table = make_char_table();

constexpr bool has_class(char c, std::uint8_t bit) noexcept {
  return (char_table[static_cast<unsigned char>(c)] & bit) != 0;
}

constexpr char to_lower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

constexpr int hex_value(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

inline bool equal_ignoring_case(std::string_view a, std::string_view b) noexcept {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] != b[i] && to_lower(a[i]) != to_lower(b[i])) return false;
  }
  return true;
}

/// The position of the first byte that is not of the class; `text.size()` when all are.
inline std::size_t first_not(std::string_view text, std::uint8_t bit) noexcept {
  const char* const data = text.data();
  const auto of = [data](std::size_t i) { return char_table[static_cast<unsigned char>(data[i])]; };
  std::size_t i = 0;
  for (; i + 4 <= text.size(); i += 4) {
    if ((of(i) & of(i + 1) & of(i + 2) & of(i + 3) & bit) == 0) break;
  }
  while (i < text.size() && (of(i) & bit) != 0) ++i;
  return i;
}

inline bool is_token(std::string_view text) noexcept {
  return !text.empty() && first_not(text, token_char) == text.size();
}

/// May a field come after the body? What concerns framing, routing, access, caching or the reading
/// of the body may not (RFC 9110 section 6.5.1).
bool may_be_trailer(std::string_view name) noexcept;

/// Sent twice, it means what it means sent once (RFC 9110 section 9.2.2).
constexpr bool idempotent(std::string_view method) noexcept {
  return method == "GET" || method == "HEAD" || method == "PUT" || method == "DELETE" ||
         method == "OPTIONS" || method == "TRACE";
}

constexpr bool is_blank(char c) noexcept { return c == ' ' || c == '\t'; }

inline std::string_view trim(std::string_view text) noexcept {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

/// Whether one of eight bytes is a control but for those from 0x80 on: one below 0x20 borrows, one
/// equal to 0x7f becomes zero.
constexpr bool has_control(std::uint64_t word) noexcept {
  constexpr std::uint64_t ones = 0x0101010101010101U;
  constexpr std::uint64_t highs = 0x8080808080808080U;
  const std::uint64_t low = (word - ones * 0x20) & ~word & highs;
  const std::uint64_t del_zero = word ^ (ones * 0x7f);
  const std::uint64_t del = (del_zero - ones) & ~del_zero & highs;
  return (low | del) != 0;
}

/// The position of the first byte that no field value may hold (controls but HTAB, and DEL;
/// RFC 9110 section 5.5). Bytes from 0x80 on are opaque and allowed.
inline std::size_t first_invalid_in_value(std::string_view text) noexcept {
  const char* const data = text.data();
  const std::size_t size = text.size();
  const auto controls_at = [data](std::size_t at) {
    std::uint64_t word = 0;
    std::memcpy(&word, data + at, 8);
    return has_control(word);
  };
  std::size_t i = 0;
  if (size >= 8) {
    while (i + 8 < size && !controls_at(i)) i += 8;
    // The last eight may have been looked at in part.
    if (i + 8 >= size && !controls_at(size - 8)) return size;
  } else if (size >= 4) {
    std::uint32_t first = 0;
    std::uint32_t last = 0;
    std::memcpy(&first, data, 4);
    std::memcpy(&last, data + size - 4, 4);
    if (!has_control(std::uint64_t{first} << 32 | last)) return size;
  }
  for (; i < size; ++i) {
    const auto byte = static_cast<unsigned char>(data[i]);
    if ((byte < 0x20 && byte != '\t') || byte == 0x7f) return i;
  }
  return i;
}

/// A Content-Length: digits only, at most 18 (every length that exists, without overflow).
inline std::optional<std::uint64_t> parse_length(std::string_view text) noexcept {
  if (text.empty() || text.size() > 18) return std::nullopt;
  std::uint64_t number = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    number = number * 10 + static_cast<std::uint64_t>(c - '0');
  }
  return number;
}

/// Call `f` with each element of a comma-separated list; blanks are cut, empty ones skipped.
template <class F>
void for_each_element(std::string_view list, F f) {
  while (!list.empty()) {
    const std::size_t end = list.find(',');
    const std::string_view element = trim(list.substr(0, end));
    list = end == std::string_view::npos ? "" : list.substr(end + 1);
    if (!element.empty()) f(element);
  }
}

}  // namespace knative::http::wire
