// The hash index against `std::map`; few different hashes, so that many collide.
#include "state/hash_index.hpp"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "knative/random.hpp"

namespace knative::state {
namespace {

TEST(HashIndex, RandomChangesGiveWhatAMapGives) {
  for (const std::uint64_t hashes : {1u, 3u, 50u, 1'000'000u}) {
    SCOPED_TRACE(hashes);
    Random random(hashes);
    HashIndex<const std::string> index;
    std::map<std::string, std::uint64_t> oracle;
    const auto find = [&](std::uint64_t hash, const std::string& text) {
      return index.find(hash, [&text](const std::string& value) { return value == text; });
    };
    for (int i = 0; i < 4000; ++i) {
      const std::string text = std::to_string(random.below(i < 2000 ? 300 : 20));
      const std::uint64_t hash = hash_of(text) % hashes;
      const auto known = oracle.find(text);
      if (known == oracle.end()) {
        ASSERT_EQ(find(hash, text), nullptr);
        index.insert(hash, oracle.emplace(text, hash).first->first);
      } else {
        ASSERT_EQ(find(hash, text), &known->first);
        index.erase(hash, known->first);
        oracle.erase(known);
      }
      ASSERT_EQ(index.size(), oracle.size());
      if (i % 100 == 0) {
        for (const auto& [there, its_hash] : oracle) ASSERT_EQ(find(its_hash, there), &there);
        std::map<std::string, int> visited;
        index.each([&visited](const std::string& value) { ++visited[value]; });
        ASSERT_EQ(visited.size(), oracle.size());
      }
    }
  }
}

TEST(HashIndex, OneThatWasEmptiedIsSmallAgain) {
  HashIndex<const int> index;
  const std::vector<int> numbers(10'000);
  for (std::size_t i = 0; i < numbers.size(); ++i) index.insert(i * 7919, numbers[i]);
  for (std::size_t i = 0; i < numbers.size(); ++i) index.erase(i * 7919, numbers[i]);
  EXPECT_EQ(index.size(), 0u);
  EXPECT_LE(index.capacity(), 64u);
}

}  // namespace
}  // namespace knative::state
