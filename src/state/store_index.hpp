/// \file
/// Which objects of a kind carry a label: by key, and by key and value. What a selector asks for
/// is found without looking at the others. Private to the state floor.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "knative/store.hpp"
#include "state/hash_index.hpp"
#include "state/ordered_objects.hpp"

namespace knative::state {

/// The objects with one value of one label, in no order: to join and to leave costs the same
/// however many they are, and who asks sorts what it finds.
struct LabelMembers {
  struct Member {
    Entry* entry = nullptr;
    std::size_t membership = 0;  // Which of the entry's memberships this is.
  };
  std::string value;
  std::vector<Member> members;
};

class LabelIndex {
 public:
  /// By `labels` from now on, and by no others. The entry leaves before it goes.
  void add(Entry& entry, const StringMap& labels);
  void remove(Entry& entry, const StringMap& labels);

  /// The requirement that leaves the fewest, and how many; empty when none says what an object
  /// must have.
  struct Best {
    const LabelSelector::Requirement* requirement = nullptr;
    std::size_t count = 0;
  };
  std::optional<Best> best(const LabelSelector& selector) const;
  /// Those that meet a requirement that `best` gave, in no order.
  std::vector<const Entry*> meeting(const LabelSelector::Requirement& requirement) const;

 private:
  struct Label {
    Label() = default;
    Label(const Label&) = delete;
    Label& operator=(const Label&) = delete;
    ~Label();
    LabelMembers* find(const std::string& value) const;
    HashIndex<LabelMembers> values;  // Owned.
    std::size_t count = 0;           // Of objects.
  };
  std::unordered_map<std::string, Label> labels_;
};

}  // namespace knative::state
