/// \file
/// The objects of one kind, in the order of namespace and name: as `std::map` has them, but the
/// cost of a look and of a change hardly grows with their number, because few of them are touched.
///
/// Up to 64 neighbours lie in a block. A block knows its lower bound, and so does its successor;
/// what both have in common at the beginning every key in between has too, and the eight bytes
/// behind that decide most comparisons without a look at an object. Private to the state floor.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "knative/object.hpp"

namespace knative::state {

struct LabelMembers;

/// Namespace and name. No name has a NUL in it, so that the order of the joined text is the order
/// of namespace, then name.
class Key {
 public:
  Key() : Key(std::string_view(), std::string_view()) {}
  Key(std::string_view namespace_, std::string_view name) : split_(namespace_.size()) {
    path_.reserve(namespace_.size() + 1 + name.size());
    path_.append(namespace_).append(1, '\0').append(name);
  }
  std::string_view namespace_() const noexcept { return path().substr(0, split_); }
  std::string_view name() const noexcept { return path().substr(split_ + 1); }
  std::string_view path() const noexcept { return path_; }
  friend bool operator==(const Key& a, const Key& b) { return a.path_ == b.path_; }
  friend auto operator<=>(const Key& a, const Key& b) { return a.path_ <=> b.path_; }

 private:
  std::string path_;
  std::size_t split_;
};

/// A stored object. It stays where it is as long as it is stored.
struct Entry {
  /// One of the sets of the label index that it is in, and where in it.
  struct Membership {
    LabelMembers* members = nullptr;
    std::size_t at = 0;
  };
  std::size_t kind = 0;
  Key key;
  AnyObject object;
  std::vector<Membership> memberships = {};
};

class OrderedObjects {
 public:
  class Iterator;

  OrderedObjects() = default;
  OrderedObjects(OrderedObjects&& other) noexcept = default;
  OrderedObjects& operator=(OrderedObjects&& other) = delete;
  ~OrderedObjects();

  std::size_t size() const noexcept { return size_; }
  /// Null when there is none.
  Entry* find(const Key& key) const;
  /// Its key is not there yet.
  Entry& insert(std::unique_ptr<Entry> entry);
  /// The key is there.
  std::unique_ptr<Entry> erase(const Key& key);

  /// Iterators hold until the next change.
  Iterator begin() const;
  Iterator end() const;
  Iterator lower_bound(const Key& key) const;
  /// At least as many as there are from `key` on in its namespace, or in all when it names none;
  /// cheap: every block in between counts as full.
  std::size_t most_from(const Key& key) const;

 private:
  static constexpr std::size_t block_max = 64;
  using Chunk = std::uint64_t;
  struct Block {
    std::string low;       // No key is below it, and none of the block before reaches it.
    std::size_t skip = 0;  // So many bytes all keys have in common.
    std::size_t count = 0;
    std::array<Chunk, block_max> chunks;  // The bytes behind that, for comparison.
    std::array<Entry*, block_max> entries;
  };
  struct Top {
    Chunk chunk = 0;         // Of `low`, behind `top_skip_` bytes; of no meaning in the first.
    Block* block = nullptr;  // Owned; plain, so that many tops are moved at once.
  };
  struct Position {
    std::size_t block = 0;
    std::size_t at = 0;
  };

  std::size_t block_of(std::string_view path) const;
  static std::size_t lower_bound_in(const Block& block, std::string_view path);
  Position position_of(std::string_view path) const;
  bool is_at(const Position& position, std::string_view path) const;
  Position make_room(Position position, std::string_view path);
  void add_block(std::size_t at, std::unique_ptr<Block> block);
  void remove_block(std::size_t at);
  void merge_small(std::size_t at);
  void refresh(std::size_t at);
  void refresh_tops();

  std::vector<Top> tops_;
  std::size_t top_skip_ = 0;
  std::size_t size_ = 0;
};

class OrderedObjects::Iterator {
 public:
  const Entry& operator*() const { return *objects_->tops_[block_].block->entries[at_]; }
  const Entry* operator->() const { return &**this; }
  Iterator& operator++() {
    if (++at_ == objects_->tops_[block_].block->count) {
      ++block_;
      at_ = 0;
    }
    return *this;
  }
  friend bool operator==(const Iterator&, const Iterator&) = default;

 private:
  friend OrderedObjects;
  Iterator(const OrderedObjects& objects, Position position)
      : objects_(&objects), block_(position.block), at_(position.at) {}
  const OrderedObjects* objects_;
  std::size_t block_;
  std::size_t at_;
};

inline OrderedObjects::Iterator OrderedObjects::begin() const { return {*this, {0, 0}}; }
inline OrderedObjects::Iterator OrderedObjects::end() const { return {*this, {tops_.size(), 0}}; }

}  // namespace knative::state
