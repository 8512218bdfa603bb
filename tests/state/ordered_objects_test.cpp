// The order of objects against `std::map`, however they come and go.
#include "state/ordered_objects.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "knative/random.hpp"

namespace knative::state {
namespace {

using Names = std::pair<std::string, std::string>;

/// Both, and every question put to both.
class OrderedObjectsTest : public testing::Test {
 protected:
  void insert(const Names& names) {
    const Key key(names.first, names.second);
    Entry& entry = objects_.insert(std::make_unique<Entry>(Entry{0, key, AnyObject()}));
    ASSERT_TRUE(oracle_.emplace(names, &entry).second);
  }
  void erase(const Names& names) {
    const std::unique_ptr<Entry> gone = objects_.erase(Key(names.first, names.second));
    ASSERT_EQ(gone.get(), oracle_.at(names));
    oracle_.erase(names);
  }
  void toggle(const Names& names) {
    if (oracle_.contains(names)) {
      erase(names);
    } else {
      insert(names);
    }
  }

  void expect_all() {
    ASSERT_EQ(objects_.size(), oracle_.size());
    auto at = objects_.begin();
    for (const auto& [names, entry] : oracle_) {
      ASSERT_FALSE(at == objects_.end());
      ASSERT_EQ(&*at, entry) << names.first << '/' << names.second;
      ++at;
    }
    ASSERT_TRUE(at == objects_.end());
  }
  void expect_around(const Names& names) {
    const Key key(names.first, names.second);
    const auto found = oracle_.find(names);
    ASSERT_EQ(objects_.find(key), found == oracle_.end() ? nullptr : found->second);
    const auto next = oracle_.lower_bound(names);
    const auto at = objects_.lower_bound(key);
    if (next == oracle_.end()) {
      ASSERT_TRUE(at == objects_.end());
    } else {
      ASSERT_FALSE(at == objects_.end());
      ASSERT_EQ(&*at, next->second);
    }
    auto end = oracle_.end();
    if (!names.first.empty()) end = oracle_.lower_bound({names.first + '\1', ""});
    const auto count = static_cast<std::size_t>(std::distance(next, end));
    ASSERT_GE(objects_.most_from(key), count);
    ASSERT_LE(objects_.most_from(key), std::max<std::size_t>(8 * count, 2 * 64));
  }
  void empty() {
    while (!oracle_.empty()) erase(Names(oracle_.begin()->first));
    expect_all();
  }

  OrderedObjects objects_;
  std::map<Names, Entry*> oracle_;
};

TEST_F(OrderedObjectsTest, NothingIsFoundInNone) {
  expect_all();
  expect_around({"default", "a"});
  expect_around({"", ""});
}

TEST_F(OrderedObjectsTest, NamesInOrderAndAgainstIt) {
  for (int i = 0; i < 1000; ++i) insert({"default", "up-" + std::to_string(10'000 + i)});
  for (int i = 0; i < 1000; ++i) insert({"default", "down-" + std::to_string(20'000 - i)});
  for (int i = 0; i < 1000; ++i) insert({"", std::to_string(i)});
  expect_all();
  for (int i = 0; i < 1000; ++i) expect_around({"default", "up-" + std::to_string(10'000 + i)});
  empty();
}

TEST_F(OrderedObjectsTest, NamesThatBeginWithEachOther) {
  std::string name;
  for (int i = 0; i < 250; ++i) {
    name += 'a';
    insert({"n", name});
    insert({name, "n"});
  }
  expect_all();
  for (std::size_t size = 0; size <= 251; ++size) {
    expect_around({"n", std::string(size, 'a')});
    expect_around({std::string(size, 'a'), ""});
    expect_around({std::string(size, 'a'), "zz"});
  }
  empty();
}

TEST_F(OrderedObjectsTest, BytesAboveSevenBits) {
  Random random(7);
  for (int i = 0; i < 2000; ++i) {
    std::string name;
    for (std::uint64_t n = random.below(12); n != 0; --n) {
      name += static_cast<char>(1 + random.below(255));
    }
    if (!oracle_.contains({"x", name})) insert({"x", name});
  }
  expect_all();
  empty();
}

TEST_F(OrderedObjectsTest, RandomChangesGiveWhatAMapGives) {
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    const std::uint64_t namespaces = 1 + random.below(40);
    const std::uint64_t names = 20 + random.below(4000);
    const std::string prefix(random.below(20), 'p');
    const auto pick = [&] {
      std::string namespace_ = "n" + std::to_string(random.below(namespaces));
      if (random.below(10) == 0) namespace_.clear();
      return Names(namespace_, prefix + std::to_string(random.below(names)));
    };
    for (int i = 0; i < 4000; ++i) {
      toggle(pick());
      expect_around(pick());
      if (i % 1000 == 0) expect_all();
    }
    // Most go, so that blocks join; then they come back.
    for (int i = 0; i < 3000 && !oracle_.empty(); ++i) {
      const auto next = oracle_.lower_bound(pick());
      if (next != oracle_.end()) erase(Names(next->first));
      expect_around(pick());
    }
    expect_all();
    for (int i = 0; i < 2000; ++i) toggle(pick());
    expect_all();
    empty();
  }
}

TEST_F(OrderedObjectsTest, AMovedOneHasThemAll) {
  for (int i = 0; i < 500; ++i) insert({"default", std::to_string(i)});
  const OrderedObjects moved(std::move(objects_));
  EXPECT_EQ(moved.size(), 500u);
  EXPECT_EQ(moved.find(Key("default", "77")), (oracle_.at({"default", "77"})));
}

}  // namespace
}  // namespace knative::state
