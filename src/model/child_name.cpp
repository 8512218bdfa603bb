// Names of generated objects. MD5 (RFC 1321) is here for its spelling of names, not for safety.
#include <array>
#include <bit>
#include <cctype>
#include <cmath>

#include "knative/meta.hpp"

namespace knative {
namespace {

constexpr std::size_t name_max = 63;
constexpr std::size_t digest_length = 32;

void md5_block(std::array<std::uint32_t, 4>& state, const unsigned char* block) {
  static constexpr unsigned shifts[4][4] = {
      {7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};
  std::uint32_t words[16];
  for (std::size_t i = 0; i < 16; ++i) {
    words[i] = static_cast<std::uint32_t>(block[i * 4]) |
               static_cast<std::uint32_t>(block[i * 4 + 1]) << 8 |
               static_cast<std::uint32_t>(block[i * 4 + 2]) << 16 |
               static_cast<std::uint32_t>(block[i * 4 + 3]) << 24;
  }
  auto [a, b, c, d] = state;
  for (unsigned i = 0; i < 64; ++i) {
    const unsigned round = i / 16;
    std::uint32_t mixed = 0;
    unsigned word = 0;
    switch (round) {
      case 0: mixed = (b & c) | (~b & d), word = i; break;
      case 1: mixed = (d & b) | (~d & c), word = (5 * i + 1) % 16; break;
      case 2: mixed = b ^ c ^ d, word = (3 * i + 5) % 16; break;
      default: mixed = c ^ (b | ~d), word = (7 * i) % 16; break;
    }
    // floor(2^32 * |sin(i + 1)|), exact in a double on every IEEE machine.
    const auto constant =
        static_cast<std::uint32_t>(std::floor(4294967296.0 * std::fabs(std::sin(i + 1.0))));
    const std::uint32_t sum = a + mixed + constant + words[word];
    a = d;
    d = c;
    c = b;
    b += std::rotl(sum, static_cast<int>(shifts[round][i % 4]));
  }
  state[0] += a;
  state[1] += b;
  state[2] += c;
  state[3] += d;
}

std::string md5_hex(std::string_view text) {
  std::string padded(text);
  padded += static_cast<char>(0x80);
  while (padded.size() % 64 != 56) padded += '\0';
  const std::uint64_t bits = std::uint64_t{text.size()} * 8;
  for (unsigned i = 0; i < 8; ++i) padded += static_cast<char>(bits >> (8 * i) & 0xff);
  std::array<std::uint32_t, 4> state = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
  for (std::size_t at = 0; at < padded.size(); at += 64) {
    md5_block(state, reinterpret_cast<const unsigned char*>(padded.data()) + at);
  }
  std::string hex;
  for (const std::uint32_t word : state) {
    for (unsigned i = 0; i < 4; ++i) {
      const unsigned byte = word >> (8 * i) & 0xff;
      hex += "0123456789abcdef"[byte >> 4];
      hex += "0123456789abcdef"[byte & 15];
    }
  }
  return hex;
}

}  // namespace

std::string child_name(std::string_view parent, std::string_view suffix) {
  if (parent.size() + suffix.size() <= name_max) return std::string(parent) + std::string(suffix);
  constexpr std::size_t head_max = name_max - digest_length;
  if (suffix.size() < head_max) {
    return std::string(parent.substr(0, head_max - suffix.size())) + md5_hex(parent) +
           std::string(suffix);
  }
  std::string name(parent.substr(0, head_max));
  name += md5_hex(std::string(parent) + std::string(suffix));
  if (name.size() < name_max) name += suffix.substr(0, name_max - name.size());
  while (!name.empty() && std::isalnum(static_cast<unsigned char>(name.back())) == 0) {
    name.pop_back();
  }
  return name;
}

}  // namespace knative
