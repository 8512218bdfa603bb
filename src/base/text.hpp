// Letters, digits and base64, ASCII only, whatever the locale; and UTF-8.
#pragma once

#include <string>
#include <string_view>

#include "knative/error.hpp"

namespace knative::base {

constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
constexpr bool is_lower(char c) noexcept { return c >= 'a' && c <= 'z'; }
constexpr bool is_upper(char c) noexcept { return c >= 'A' && c <= 'Z'; }
constexpr bool is_letter(char c) noexcept { return is_lower(c) || is_upper(c); }
constexpr char to_lower(char c) noexcept { return is_upper(c) ? static_cast<char>(c + 32) : c; }

/// Standard alphabet with padding (RFC 4648 section 4).
std::string to_base64(std::string_view octets);
/// Line breaks are skipped. Fails with `invalid_argument`, which names the byte, on other foreign
/// characters and on missing or wrong padding.
Result<std::string> from_base64(std::string_view text);

/// Length of the well-formed UTF-8 sequence at the front of `text`, or 0. `text` is not empty.
std::size_t utf8_length(std::string_view text) noexcept;
/// Text for people: every byte that belongs to no character becomes U+FFFD.
std::string valid_utf8(std::string_view text);
/// What strangers call something, for people and their terminals: at most 300 bytes of it, valid
/// UTF-8, control characters as "\x1b".
std::string shown_name(std::string_view name);
/// How many of the first `bytes_max` bytes end between two characters; all of them when what
/// stands there is no UTF-8 anyway.
std::size_t utf8_prefix(std::string_view text, std::size_t bytes_max) noexcept;

}  // namespace knative::base
