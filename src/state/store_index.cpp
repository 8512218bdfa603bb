#include "state/store_index.hpp"

namespace knative::state {

void LabelIndex::add(const Entry& entry, const StringMap& labels) {
  for (const auto& [key, value] : labels) {
    Label& label = labels_[key];
    label.all.insert(&entry);
    label.values[value].insert(&entry);
  }
}

void LabelIndex::remove(const Entry& entry, const StringMap& labels) {
  for (const auto& [key, value] : labels) {
    const auto label = labels_.find(key);
    if (label == labels_.end()) continue;
    label->second.all.erase(&entry);
    const auto same = label->second.values.find(value);
    if (same != label->second.values.end()) {
      same->second.erase(&entry);
      if (same->second.empty()) label->second.values.erase(same);
    }
    if (label->second.all.empty()) labels_.erase(label);
  }
}

std::optional<std::vector<const LabelIndex::Entries*>> LabelIndex::candidates(
    const LabelSelector& selector) const {
  using Operator = LabelSelector::Operator;
  std::optional<std::vector<const Entries*>> best;
  std::size_t least = 0;
  for (const LabelSelector::Requirement& requirement : selector.requirements()) {
    std::vector<const Entries*> sets;
    const auto label = labels_.find(requirement.key);
    switch (requirement.op) {
      case Operator::equals:
      case Operator::in:
        if (label == labels_.end()) break;
        for (const std::string& value : requirement.values) {
          const auto same = label->second.values.find(value);
          if (same != label->second.values.end()) sets.push_back(&same->second);
        }
        break;
      case Operator::exists:
        if (label != labels_.end()) sets.push_back(&label->second.all);
        break;
      case Operator::not_equals:
      case Operator::not_in:
      case Operator::does_not_exist: continue;
    }
    std::size_t size = 0;
    for (const Entries* set : sets) size += set->size();
    if (best && size >= least) continue;
    least = size;
    best = std::move(sets);
  }
  return best;
}

}  // namespace knative::state
