/// \file
/// A map from text whose versions share what did not change: a copy costs nothing, a change of a
/// copy costs the same however large the map is. Private to the router.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace knative {

/// Two levels of 64 branches over leaves sorted by hash. Nodes remember the version they were made
/// for; a change copies only nodes of older versions, so readers of those see nothing of it.
template <class Value>
class SharedMap {
 public:
  /// Begin a new version: what was copied from this map before is not touched by later changes.
  void begin_version() noexcept { ++version_; }

  const Value* find(std::string_view key) const noexcept {
    const std::uint64_t hash = hash_of(key);
    const Leaf* leaf = leaf_of(hash);
    if (leaf == nullptr) return nullptr;
    for (auto at = lower(leaf->items, hash); at != leaf->items.end() && at->hash == hash; ++at) {
      if (at->entry->key == key) return &at->entry->value;
    }
    return nullptr;
  }
  void set(std::string key, Value value) {
    const std::uint64_t hash = hash_of(key);
    Leaf& leaf = own_leaf(hash);
    auto entry = std::make_shared<const Entry>(Entry{std::move(key), std::move(value)});
    auto at = lower(leaf.items, hash);
    while (at != leaf.items.end() && at->hash == hash && at->entry->key != entry->key) ++at;
    if (at != leaf.items.end() && at->hash == hash) {
      at->entry = std::move(entry);
      return;
    }
    leaf.items.insert(at, Item{hash, std::move(entry)});
    ++size_;
  }
  void erase(std::string_view key) {
    if (find(key) == nullptr) return;
    const std::uint64_t hash = hash_of(key);
    Leaf& leaf = own_leaf(hash);
    auto at = lower(leaf.items, hash);
    while (at->entry->key != key) ++at;
    leaf.items.erase(at);
    --size_;
  }
  std::size_t size() const noexcept { return size_; }

 private:
  static constexpr int bits = 6;
  static constexpr std::size_t fan = std::size_t{1} << bits;
  struct Entry {
    std::string key;
    Value value;
  };
  struct Item {
    std::uint64_t hash;
    std::shared_ptr<const Entry> entry;
  };
  struct Leaf {
    std::uint64_t version = 0;
    std::vector<Item> items;
  };
  struct Branch {
    std::uint64_t version = 0;
    std::array<std::shared_ptr<Leaf>, fan> leaves;
  };
  struct Root {
    std::uint64_t version = 0;
    std::array<std::shared_ptr<Branch>, fan> branches;
  };

  static std::uint64_t hash_of(std::string_view key) noexcept {
    return std::hash<std::string_view>()(key);
  }
  static std::size_t branch_at(std::uint64_t hash) noexcept { return hash & (fan - 1); }
  static std::size_t leaf_at(std::uint64_t hash) noexcept { return hash >> bits & (fan - 1); }
  template <class Items>
  static auto lower(Items& items, std::uint64_t hash) noexcept {
    return std::lower_bound(items.begin(), items.end(), hash,
                            [](const Item& item, std::uint64_t h) { return item.hash < h; });
  }
  const Leaf* leaf_of(std::uint64_t hash) const noexcept {
    if (root_ == nullptr) return nullptr;
    const Branch* branch = root_->branches[branch_at(hash)].get();
    return branch == nullptr ? nullptr : branch->leaves[leaf_at(hash)].get();
  }
  /// A node of this version in `place`: the one that is there, its copy, or a new one.
  template <class Node>
  Node& own(std::shared_ptr<Node>& place) {
    if (place == nullptr) {
      place = std::make_shared<Node>();
    } else if (place->version != version_) {
      place = std::make_shared<Node>(*place);
    }
    place->version = version_;
    return *place;
  }
  Leaf& own_leaf(std::uint64_t hash) {
    return own(own(own(root_).branches[branch_at(hash)]).leaves[leaf_at(hash)]);
  }

  std::shared_ptr<Root> root_;
  std::uint64_t version_ = 0;
  std::size_t size_ = 0;
};

}  // namespace knative
