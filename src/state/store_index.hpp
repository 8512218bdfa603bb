/// \file
/// Which objects of a kind carry a label: by key, and by key and value. What a selector asks for
/// is found without looking at the others. Private to the state floor.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "knative/store.hpp"

namespace knative::state {

// Namespace and name.
using Key = std::pair<std::string, std::string>;
using Objects = std::map<Key, AnyObject>;

/// Points into a map of objects, whose nodes stay where they are.
class LabelIndex {
 public:
  using Entry = Objects::value_type;
  struct ByKey {
    using is_transparent = void;
    bool operator()(const Entry* a, const Entry* b) const { return a->first < b->first; }
    bool operator()(const Entry* a, const Key& b) const { return a->first < b; }
    bool operator()(const Key& a, const Entry* b) const { return a < b->first; }
  };
  using Entries = std::set<const Entry*, ByKey>;

  void add(const Entry& entry, const StringMap& labels);
  void remove(const Entry& entry, const StringMap& labels);
  /// The fewest sets whose union holds every match; empty when no requirement says what an object
  /// must have.
  std::optional<std::vector<const Entries*>> candidates(const LabelSelector& selector) const;

 private:
  struct Label {
    Entries all;
    std::unordered_map<std::string, Entries> values;
  };
  std::unordered_map<std::string, Label> labels_;
};

}  // namespace knative::state
