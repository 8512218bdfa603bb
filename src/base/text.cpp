#include "base/text.hpp"

#include <algorithm>

namespace knative::base {

std::string to_base64(std::string_view octets) {
  static constexpr char alphabet[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((octets.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < octets.size(); i += 3) {
    const std::size_t count = std::min<std::size_t>(3, octets.size() - i);
    unsigned bits = 0;
    for (std::size_t j = 0; j < 3; ++j) {
      bits = bits << 8 | (j < count ? static_cast<unsigned char>(octets[i + j]) : 0U);
    }
    for (std::size_t j = 0; j < 4; ++j) {
      out += j <= count ? alphabet[bits >> (18 - 6 * j) & 63] : '=';
    }
  }
  return out;
}

Result<std::string> from_base64(std::string_view text) {
  const auto digit = [](char c) -> int {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (is_digit(c)) return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
  };
  std::string out;
  out.reserve(text.size() / 4 * 3);
  unsigned bits = 0;
  int filled = 0;  // digits in the current group of four
  int padding = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\n' || c == '\r') continue;
    const int value = c == '=' ? 0 : digit(c);
    const bool pad_ok = c == '=' && filled >= 2;
    if (value < 0 || (c == '=' && !pad_ok) || (padding > 0 && c != '=')) {
      return fail(Errc::invalid_argument, "illegal base64 data at byte " + std::to_string(i));
    }
    padding += c == '=' ? 1 : 0;
    bits = bits << 6 | static_cast<unsigned>(value);
    if (++filled < 4) continue;
    for (int j = 0; j < 3 - padding; ++j) out += static_cast<char>(bits >> (16 - 8 * j) & 255);
    // Nothing but the end may follow padding; `filled` stays at 0 and '=' is refused then.
    filled = 0;
    bits = 0;
  }
  if (filled != 0) {
    return fail(Errc::invalid_argument,
                "incomplete base64 data at byte " + std::to_string(text.size()));
  }
  return out;
}

std::size_t utf8_length(std::string_view text) noexcept {
  const auto at = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = at(0);
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((at(i) & 0xc0) != 0x80) return 0;
  }
  const unsigned char second = at(1);
  const bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  const bool surrogate = first == 0xed && second >= 0xa0;
  const bool too_big = first == 0xf4 && second >= 0x90;
  return overlong || surrogate || too_big ? 0 : length;
}

std::string valid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    out += length == 0 ? std::string_view("\xef\xbf\xbd") : text.substr(0, length);
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return out;
}

std::size_t utf8_prefix(std::string_view text, std::size_t bytes_max) noexcept {
  if (text.size() <= bytes_max) return text.size();
  std::size_t cut = bytes_max;
  while (cut > 0 && bytes_max - cut < 4 && (static_cast<unsigned char>(text[cut]) & 0xc0) == 0x80) {
    --cut;
  }
  const bool splits = cut < bytes_max && utf8_length(text.substr(cut)) > bytes_max - cut;
  return splits && cut > 0 ? cut : bytes_max;
}

std::string shown_name(std::string_view name) {
  constexpr std::size_t bytes_max = 300;
  constexpr unsigned char control_end = 0x20;
  constexpr unsigned char erase = 0x7f;
  std::string shown;
  for (const char c : valid_utf8(name.substr(0, utf8_prefix(name, bytes_max)))) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= control_end && byte != erase) {
      shown.push_back(c);
      continue;
    }
    constexpr const char* digits = "0123456789abcdef";
    shown.append("\\x").append(1, digits[byte >> 4]).append(1, digits[byte & 15]);
  }
  return shown;
}

}  // namespace knative::base
