/// \file
/// The field names that the library itself looks at, each as a bit: a set of them tells what is
/// not in a message without looking at its fields.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace knative::http::wire {

inline constexpr std::uint32_t name_host = 1U << 0;
inline constexpr std::uint32_t name_connection = 1U << 1;
inline constexpr std::uint32_t name_keep_alive = 1U << 2;
inline constexpr std::uint32_t name_content_length = 1U << 3;
inline constexpr std::uint32_t name_transfer_encoding = 1U << 4;
inline constexpr std::uint32_t name_upgrade = 1U << 5;
inline constexpr std::uint32_t name_expect = 1U << 6;
inline constexpr std::uint32_t name_date = 1U << 7;
/// TE, Trailer, Proxy-Connection, Proxy-Authenticate, Proxy-Authorization.
inline constexpr std::uint32_t name_of_hop = 1U << 8;
/// Forwarded and X-Forwarded-...
inline constexpr std::uint32_t name_forwarded = 1U << 9;
/// Knative's: whatever else begins with K.
inline constexpr std::uint32_t name_own = 1U << 10;

/// Bits that stand for several names: one of these may be removed and others stay.
inline constexpr std::uint32_t shared_bits = name_of_hop | name_forwarded | name_own;
/// How a connection frames messages.
inline constexpr std::uint32_t framing_names =
    name_connection | name_keep_alive | name_content_length | name_transfer_encoding;
/// What concerns one connection only (RFC 9110 section 7.6.1).
inline constexpr std::uint32_t hop_by_hop_names =
    name_connection | name_keep_alive | name_transfer_encoding | name_upgrade | name_of_hop;

template <class Word>
Word small_letters(const char* text) noexcept {
  Word word = 0;
  std::memcpy(&word, text, sizeof word);
  constexpr auto blanks = static_cast<Word>(0x2020202020202020U);
  return static_cast<Word>(word | blanks);
}

/// Whether a token begins with `small` (letters and hyphens), without regard to case. Exact for
/// tokens: among their characters only capitals become small letters by that bit.
template <std::size_t N>
bool begins_as(std::string_view token, const char (&small)[N]) noexcept {
  constexpr std::size_t size = N - 1;
  if (token.size() < size) return false;
  const char* text = token.data();
  if constexpr (size >= 8) {
    for (std::size_t i = 0; i + 8 < size; i += 8) {
      if (small_letters<std::uint64_t>(text + i) != small_letters<std::uint64_t>(small + i)) {
        return false;
      }
    }
    return small_letters<std::uint64_t>(text + size - 8) ==
           small_letters<std::uint64_t>(small + size - 8);
  } else if constexpr (size >= 4) {
    return small_letters<std::uint32_t>(text) == small_letters<std::uint32_t>(small) &&
           small_letters<std::uint32_t>(text + size - 4) ==
               small_letters<std::uint32_t>(small + size - 4);
  } else {
    static_assert(size == 2);
    return small_letters<std::uint16_t>(text) == small_letters<std::uint16_t>(small);
  }
}

template <std::size_t N>
bool is_name(std::string_view token, const char (&small)[N]) noexcept {
  return token.size() == N - 1 && begins_as(token, small);
}

/// The bit of a field's name, which is a token; 0: a name like others.
inline std::uint32_t name_bit(std::string_view name) noexcept {
  if (name.empty()) return 0;
  switch (name.front() | 0x20) {
    case 'c':
      if (is_name(name, "content-length")) return name_content_length;
      return is_name(name, "connection") ? name_connection : 0;
    case 'd': return is_name(name, "date") ? name_date : 0;
    case 'e': return is_name(name, "expect") ? name_expect : 0;
    case 'f': return is_name(name, "forwarded") ? name_forwarded : 0;
    case 'h': return is_name(name, "host") ? name_host : 0;
    case 'k': return is_name(name, "keep-alive") ? name_keep_alive : name_own;
    case 'p':
      return is_name(name, "proxy-connection") || is_name(name, "proxy-authenticate") ||
                     is_name(name, "proxy-authorization")
                 ? name_of_hop
                 : 0;
    case 't':
      if (is_name(name, "transfer-encoding")) return name_transfer_encoding;
      return is_name(name, "te") || is_name(name, "trailer") ? name_of_hop : 0;
    case 'u': return is_name(name, "upgrade") ? name_upgrade : 0;
    case 'x': return begins_as(name, "x-forwarded-") ? name_forwarded : 0;
    default: return 0;
  }
}

}  // namespace knative::http::wire
