/// \file
/// Finds values that live elsewhere by the hash of their key. The hashes lie beside each other, so
/// a look that finds nothing touches one place in memory however many there are, and one that
/// finds something touches the value too. Owns nothing. Private to the state floor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>
#include <utility>
#include <vector>

namespace knative::state {

inline std::uint64_t hash_of(std::string_view text) { return std::hash<std::string_view>()(text); }

template <class T>
class HashIndex {
 public:
  std::size_t size() const noexcept { return size_; }
  /// Places for values; at least twice as many as there are.
  std::size_t capacity() const noexcept { return slots_.size(); }

  /// The value with this hash that `is_meant` says yes to, or null.
  template <class Predicate>
  T* find(std::uint64_t hash, const Predicate& is_meant) const {
    if (slots_.empty()) return nullptr;
    for (std::size_t at = home(hash); slots_[at].value != nullptr; at = after(at)) {
      if (slots_[at].hash == hash && is_meant(*slots_[at].value)) return slots_[at].value;
    }
    return nullptr;
  }

  /// `value` stays where it is until it is erased. Its key is not there yet.
  void insert(std::uint64_t hash, T& value) {
    if (2 * (size_ + 1) > slots_.size()) resize(slots_.empty() ? slots_min : 2 * slots_.size());
    place(hash, value);
    ++size_;
  }

  void erase(std::uint64_t hash, const T& value) {
    std::size_t hole = home(hash);
    while (slots_[hole].value != &value) hole = after(hole);
    // What was pushed on by the one that leaves comes back.
    for (std::size_t at = after(hole); slots_[at].value != nullptr; at = after(at)) {
      const std::size_t wanted = (at - home(slots_[at].hash)) & (slots_.size() - 1);
      const std::size_t distance = (at - hole) & (slots_.size() - 1);
      if (wanted < distance) continue;
      slots_[hole] = slots_[at];
      hole = at;
    }
    slots_[hole].value = nullptr;
    --size_;
    if (slots_.size() > slots_min && 16 * size_ < slots_.size()) resize(slots_.size() / 4);
  }

  /// In no order that means anything.
  template <class Visit>
  void each(const Visit& visit) const {
    for (const Slot& slot : slots_) {
      if (slot.value != nullptr) visit(*slot.value);
    }
  }

 private:
  struct Slot {
    std::uint64_t hash = 0;
    T* value = nullptr;
  };
  static constexpr std::size_t slots_min = 8;  // A power of two, as every size.

  std::size_t home(std::uint64_t hash) const noexcept { return hash & (slots_.size() - 1); }
  std::size_t after(std::size_t at) const noexcept { return (at + 1) & (slots_.size() - 1); }
  void place(std::uint64_t hash, T& value) {
    std::size_t at = home(hash);
    while (slots_[at].value != nullptr) at = after(at);
    slots_[at] = {hash, &value};
  }
  void resize(std::size_t size) {
    const std::vector<Slot> old = std::exchange(slots_, std::vector<Slot>(size));
    for (const Slot& slot : old) {
      if (slot.value != nullptr) place(slot.hash, *slot.value);
    }
  }

  std::vector<Slot> slots_;
  std::size_t size_ = 0;
};

}  // namespace knative::state
