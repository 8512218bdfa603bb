#include "state/store_index.hpp"

#include <memory>

namespace knative::state {

LabelIndex::Label::~Label() {
  values.each([](LabelMembers& members) { delete &members; });
}

LabelMembers* LabelIndex::Label::find(const std::string& value) const {
  return values.find(hash_of(value),
                     [&value](const LabelMembers& members) { return members.value == value; });
}

void LabelIndex::add(Entry& entry, const StringMap& labels) {
  entry.memberships.reserve(labels.size());
  for (const auto& [key, value] : labels) {
    Label& label = labels_[key];
    LabelMembers* same = label.find(value);
    if (same == nullptr) {
      same = new LabelMembers{value, {}};
      label.values.insert(hash_of(value), *same);
    }
    same->members.push_back({&entry, entry.memberships.size()});
    entry.memberships.push_back({same, same->members.size() - 1});
    ++label.count;
  }
}

void LabelIndex::remove(Entry& entry, const StringMap& labels) {
  auto membership = entry.memberships.begin();
  for (const auto& [key, value] : labels) {
    const auto [same, at] = *membership++;
    const LabelMembers::Member last = same->members.back();
    last.entry->memberships[last.membership].at = at;
    same->members[at] = last;
    same->members.pop_back();
    const auto label = labels_.find(key);
    if (same->members.empty()) {
      label->second.values.erase(hash_of(value), *same);
      delete same;
    }
    if (--label->second.count == 0) labels_.erase(label);
  }
  entry.memberships.clear();
}

std::optional<LabelIndex::Best> LabelIndex::best(const LabelSelector& selector) const {
  using Operator = LabelSelector::Operator;
  std::optional<Best> best;
  for (const LabelSelector::Requirement& requirement : selector.requirements()) {
    const auto label = labels_.find(requirement.key);
    std::size_t count = 0;
    switch (requirement.op) {
      case Operator::equals:
      case Operator::in:
        if (label == labels_.end()) break;
        for (const std::string& value : requirement.values) {
          if (const LabelMembers* same = label->second.find(value)) count += same->members.size();
        }
        break;
      case Operator::exists:
        if (label != labels_.end()) count = label->second.count;
        break;
      case Operator::not_equals:
      case Operator::not_in:
      case Operator::does_not_exist: continue;
    }
    if (!best || count < best->count) best = Best{&requirement, count};
  }
  return best;
}

std::vector<const Entry*> LabelIndex::meeting(const LabelSelector::Requirement& requirement) const {
  std::vector<const Entry*> found;
  const auto label = labels_.find(requirement.key);
  if (label == labels_.end()) return found;
  const auto take = [&found](const LabelMembers& same) {
    if (found.empty()) found.reserve(same.members.size());
    for (const LabelMembers::Member& member : same.members) found.push_back(member.entry);
  };
  if (requirement.op == LabelSelector::Operator::exists) {
    label->second.values.each(take);
    return found;
  }
  for (const std::string& value : requirement.values) {
    if (const LabelMembers* same = label->second.find(value)) take(*same);
  }
  return found;
}

}  // namespace knative::state
