// xoshiro256** (Blackman and Vigna), seeded by splitmix64 as its authors advise.
#include <cmath>

#include "knative/env.hpp"

namespace knative {
namespace {

std::uint64_t split_mix(std::uint64_t& state) noexcept {
  state += 0x9e3779b97f4a7c15;
  std::uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

std::uint64_t rotate(std::uint64_t value, int bits) noexcept {
  return (value << bits) | (value >> (64 - bits));
}

}  // namespace

Random::Random(std::uint64_t seed) noexcept {
  for (std::uint64_t& word : state_) word = split_mix(seed);
}

Random::result_type Random::operator()() noexcept {
  const std::uint64_t result = rotate(state_[1] * 5, 7) * 9;
  const std::uint64_t shifted = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= shifted;
  state_[3] = rotate(state_[3], 45);
  return result;
}

std::uint64_t Random::below(std::uint64_t bound) noexcept {
  KN_ASSERT(bound > 0);
  // Multiply and shift; the rejected low part would make small values likelier.
  const std::uint64_t threshold = (0 - bound) % bound;
  for (;;) {
    const unsigned __int128 product = static_cast<unsigned __int128>((*this)()) * bound;
    if (static_cast<std::uint64_t>(product) >= threshold) {
      return static_cast<std::uint64_t>(product >> 64);
    }
  }
}

double Random::uniform() noexcept { return static_cast<double>((*this)() >> 11) * 0x1.0p-53; }

double Random::exponential(double mean) noexcept { return -mean * std::log1p(-uniform()); }

Random Random::split(std::string_view name) const noexcept {
  std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (const char c : name) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }
  for (const std::uint64_t word : state_) {
    hash ^= word;
    hash = split_mix(hash);
  }
  return Random(hash);
}

}  // namespace knative
