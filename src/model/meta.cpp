// Conditions, references and the rules of metadata.
#include "knative/kinds.hpp"

#include <algorithm>

namespace knative {

std::string ObjectRef::to_string() const {
  std::string out = kind;
  if (const std::size_t slash = api_version.find('/'); slash != std::string::npos) {
    out += '.' + api_version.substr(0, slash);
  }
  out += ' ';
  if (!namespace_.empty()) out += namespace_ + '/';
  return out + name;
}

// ---------------------------------------------------------------------------- conditions

namespace {

Condition* find_mutable(Conditions& conditions, std::string_view type) noexcept {
  for (Condition& condition : conditions) {
    if (condition.type == type) return &condition;
  }
  return nullptr;
}

}  // namespace

const Condition* find_condition(const Conditions& conditions, std::string_view type) noexcept {
  for (const Condition& condition : conditions) {
    if (condition.type == type) return &condition;
  }
  return nullptr;
}

ConditionSet::ConditionSet(std::string_view top, std::initializer_list<std::string_view> dependents)
    : top_(top) {
  for (const std::string_view type : dependents) dependents_.emplace_back(type);
}
ConditionSet ConditionSet::living(std::initializer_list<std::string_view> dependents) {
  return ConditionSet("Ready", dependents);
}
ConditionSet ConditionSet::batch(std::initializer_list<std::string_view> dependents) {
  return ConditionSet("Succeeded", dependents);
}

bool ConditionSet::is_dependent(std::string_view type) const noexcept {
  return std::find(dependents_.begin(), dependents_.end(), type) != dependents_.end();
}

void ConditionSet::set(Conditions& conditions, Condition condition, Timestamp now) const {
  // Everything beside the top and its dependents is informational.
  if (condition.type != top_ && !is_dependent(condition.type)) condition.severity = "Info";
  if (Condition* old = find_mutable(conditions, condition.type)) {
    condition.last_transition_time = old->last_transition_time;
    if (condition == *old) return;
    condition.last_transition_time = now;
    *old = std::move(condition);
    return;
  }
  condition.last_transition_time = now;
  const auto place =
      std::lower_bound(conditions.begin(), conditions.end(), condition,
                       [](const Condition& a, const Condition& b) { return a.type < b.type; });
  conditions.insert(place, std::move(condition));
}

void ConditionSet::initialize(Conditions& conditions, Timestamp now) const {
  if (!find_condition(conditions, top_)) set(conditions, Condition{.type = top_}, now);
  const bool decided = is_happy(conditions);
  for (const std::string& type : dependents_) {
    if (find_condition(conditions, type)) continue;
    set(conditions, Condition{.type = type, .status = decided ? "True" : "Unknown"}, now);
  }
}

void ConditionSet::recompute(Conditions& conditions, Timestamp now) const {
  // Newest first, so that the top tells what happened last.
  std::vector<const Condition*> relevant;
  for (const Condition& condition : conditions) {
    if (condition.type != top_ && condition.severity.empty()) relevant.push_back(&condition);
  }
  std::stable_sort(relevant.begin(), relevant.end(), [](const Condition* a, const Condition* b) {
    return a->last_transition_time > b->last_transition_time;
  });
  const auto with_status = [&](bool (Condition::*test)() const noexcept) -> const Condition* {
    for (const Condition* condition : relevant) {
      if ((condition->*test)()) return condition;
    }
    return nullptr;
  };
  const Condition* cause = with_status(&Condition::is_false);
  if (!cause) cause = with_status(&Condition::is_unknown);
  Condition top{.type = top_, .status = "True"};
  if (cause) {
    top.status = cause->status;
    top.reason = cause->reason;
    top.message = cause->message;
  } else if (relevant.size() < dependents_.size()) {
    top.status = "Unknown";
  }
  set(conditions, std::move(top), now);
}

void ConditionSet::mark_true(Conditions& conditions, std::string_view type, Timestamp now) const {
  mark_true(conditions, type, {}, {}, now);
}

void ConditionSet::mark_true(Conditions& conditions, std::string_view type, std::string reason,
                             std::string message, Timestamp now) const {
  set(conditions,
      Condition{.type = std::string(type),
                .status = "True",
                .reason = std::move(reason),
                .message = std::move(message)},
      now);
  if (type != top_) recompute(conditions, now);
}

void ConditionSet::mark_false(Conditions& conditions, std::string_view type, std::string reason,
                              std::string message, Timestamp now) const {
  Condition condition{.type = std::string(type),
                      .status = "False",
                      .reason = std::move(reason),
                      .message = std::move(message)};
  if (is_dependent(type)) {
    Condition top = condition;
    top.type = top_;
    set(conditions, std::move(top), now);
  }
  set(conditions, std::move(condition), now);
}

void ConditionSet::mark_unknown(Conditions& conditions, std::string_view type, std::string reason,
                                std::string message, Timestamp now) const {
  Condition condition{.type = std::string(type),
                      .status = "Unknown",
                      .reason = std::move(reason),
                      .message = std::move(message)};
  set(conditions, condition, now);
  for (const std::string& dependent : dependents_) {
    const Condition* other = find_condition(conditions, dependent);
    if (!other || !other->is_false()) continue;
    const Condition* top = find_condition(conditions, top_);
    if (top && top->is_false()) return;
    mark_false(conditions, top_, other->reason, other->message, now);
    return;
  }
  if (is_dependent(type)) {
    condition.type = top_;
    set(conditions, std::move(condition), now);
  }
}

bool ConditionSet::clear(Conditions& conditions, std::string_view type) const {
  if (type == top_ || is_dependent(type)) return false;
  std::erase_if(conditions, [&](const Condition& condition) { return condition.type == type; });
  return true;
}

bool ConditionSet::is_happy(const Conditions& conditions) const noexcept {
  const Condition* top = find_condition(conditions, top_);
  return top && top->is_true();
}

// ---------------------------------------------------------------------------- metadata

namespace {

std::string check_name(std::string_view name, NameRule rule) {
  switch (rule) {
    case NameRule::dns1123_label: return check_dns1123_label(name);
    case NameRule::dns1035_label: return check_dns1035_label(name);
    case NameRule::dns1123_subdomain: break;
  }
  return check_dns1123_subdomain(name);
}

FieldErrors validate_map(const StringMap& map, std::string_view field, bool labels) {
  FieldErrors errors;
  for (const auto& [key, value] : map) {
    if (std::string wrong = check_qualified_name(key); !wrong.empty()) {
      errors.add(invalid_key_name(key, field, std::move(wrong)));
    }
    if (!labels) continue;
    if (std::string wrong = check_label_value(value); !wrong.empty()) {
      errors.add(FieldErrors(invalid_value(value, "", std::move(wrong))).via_field_key(field, key));
    }
  }
  return errors;
}

}  // namespace

FieldErrors validate_metadata(const ObjectMeta& metadata, const KindInfo& kind) {
  FieldErrors errors;
  if (!metadata.name.empty()) {
    if (std::string wrong = check_name(metadata.name, kind.name_rule); !wrong.empty()) {
      errors.add(invalid_value(metadata.name, "name", std::move(wrong)));
    }
  } else if (metadata.generate_name.empty()) {
    errors.add(field_error("name or generateName is required", {"name"}));
  }
  if (!metadata.generate_name.empty()) {
    // A prefix may end in '-', since a suffix follows.
    std::string whole = metadata.generate_name + "0";
    if (std::string wrong = check_name(whole, kind.name_rule); !wrong.empty()) {
      errors.add(invalid_value(metadata.generate_name, "generateName", std::move(wrong)));
    }
  }
  if (!metadata.namespace_.empty()) {
    if (!kind.namespaced) {
      errors.add(disallowed_field({"namespace"}));
    } else if (std::string wrong = check_dns1123_label(metadata.namespace_); !wrong.empty()) {
      errors.add(invalid_value(metadata.namespace_, "namespace", std::move(wrong)));
    }
  }
  errors.add(validate_map(metadata.labels, "labels", true));
  errors.add(validate_map(metadata.annotations, "annotations", false));
  std::size_t annotation_bytes = 0;
  for (const auto& [key, value] : metadata.annotations)
    annotation_bytes += key.size() + value.size();
  static constexpr std::size_t annotation_bytes_max = 256 * 1024;
  if (annotation_bytes > annotation_bytes_max) {
    errors.add(field_error("annotations are too long: more than 262144 bytes", {"annotations"}));
  }
  std::size_t controllers = 0;
  for (std::size_t i = 0; i < metadata.owner_references.size(); ++i) {
    const OwnerReference& owner = metadata.owner_references[i];
    FieldErrors wrong;
    if (owner.api_version.empty()) wrong.add(missing_field({"apiVersion"}));
    if (owner.kind.empty()) wrong.add(missing_field({"kind"}));
    if (owner.name.empty()) wrong.add(missing_field({"name"}));
    errors.add(std::move(wrong).via_field_index("ownerReferences", i));
    controllers += owner.controller ? 1U : 0U;
  }
  if (controllers > 1) {
    errors.add(field_error("only one owner can be the controller", {"ownerReferences"}));
  }
  return errors;
}

}  // namespace knative
