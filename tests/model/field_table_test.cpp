// The table of what acts: every field, annotation, label and ConfigMap key that the model reads is
// marked, and what is marked refused or warned about is refused or warned about.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <map>

#include "knative/object.hpp"
#include "model/config_maps.hpp"

namespace knative {
namespace {

using fields::Mark;
using fields::Rule;

// A row of the table: a field of a kind, and how to make an object that sets it.
struct Row {
  std::string path;      // As rules write it.
  std::string reported;  // As messages write it: with indices.
  Mark mark = Mark::acts;
  std::string text;
  Value document;  // Sets this field alone.
};

struct Step {
  std::string name;  // Empty: an element of a list.
};

Value sample(const fields::Ops& ops) {
  if (ops.shape == fields::Shape::optional) return sample(*ops.element);
  if (ops.shape == fields::Shape::list) return Value(Value::List{sample(*ops.element)});
  if (ops.shape == fields::Shape::map) return {{"key", sample(*ops.element)}};
  if (ops.shape == fields::Shape::structure) {
    // One field that is not empty.
    for (const fields::Field& field : ops.fields().fields) {
      if (field.ops->shape == fields::Shape::scalar) {
        Value out = Value(Value::Map{});
        out[field.name] = sample(*field.ops);
        return out;
      }
    }
    const fields::Field& first = ops.fields().fields.front();
    Value out = Value(Value::Map{});
    out[first.name] = sample(*first.ops);
    return out;
  }
  const std::pair<std::string_view, Value> samples[] = {
      {"boolean", true},     {"int32", 7},        {"int64", 7},
      {"number", 1.5},       {"any", {{"a", 1}}}, {"timestamp", "2019-06-01T12:00:00Z"},
      {"duration", "1m30s"}, {"quantity", "1"},   {"int-or-string", "http"},
      {"bytes", "AAEC"}};
  for (const auto& [type, value] : samples) {
    if (type == ops.type) return value;
  }
  return "text";
}

class Table {
 public:
  explicit Table(const KindInfo& kind) : kind_(kind) {
    walk(kind.ops->type->fields(), "", "");
    for (const Rule& rule : kind.rules) {
      if (rule.path.ends_with(']')) keys_.push_back(&rule);
    }
  }
  const std::vector<Row>& rows() const { return rows_; }
  const std::vector<const Rule*>& keys() const { return keys_; }
  // Rules whose path leads to no field.
  std::vector<std::string> astray() const {
    std::vector<std::string> out;
    for (const Rule& rule : kind_.rules) {
      const std::string path(rule.path.substr(0, rule.path.find('[')));
      if (!seen_.contains(path)) out.push_back(path);
    }
    return out;
  }

 private:
  void walk(const fields::Struct& type, const std::string& path, const std::string& shown) {
    if (std::count(within_.begin(), within_.end(), &type) != 0) return;  // It contains itself.
    within_.push_back(&type);
    for (const fields::Field& field : type.fields) {
      if (field.flags & fields::inlined) {
        walk(field.ops->fields(), path, shown);
        continue;
      }
      const auto below = [&](const std::string& base) {
        return base.empty() ? std::string(field.name) : base + '.' + std::string(field.name);
      };
      visit(field, below(path), below(shown));
    }
    within_.pop_back();
  }

  void visit(const fields::Field& field, const std::string& path, std::string shown) {
    seen_.insert({path, true});
    Row row{path, shown, field.mark, std::string(field.text), {}};
    for (const Rule& rule : kind_.rules) {
      if (rule.path != path || !rule.value.empty()) continue;
      row.mark = rule.mark;
      row.text = std::string(rule.text);
      break;
    }
    const bool inside = row.mark == Mark::acts;
    row.document = document(shown, sample(*field.ops));
    rows_.push_back(row);
    const fields::Ops* ops = field.ops;
    while (ops->element && ops->shape != fields::Shape::map) {
      if (ops->shape == fields::Shape::list) shown += "[0]";
      ops = ops->element;
    }
    if (inside && ops->fields) walk(ops->fields(), path, shown);
  }

  // {"spec": {"steps": [{"image": value}]}} for "spec.steps[0].image"
  static Value document(std::string shown, Value value) {
    while (!shown.empty()) {
      if (shown.ends_with("[0]")) {
        shown.resize(shown.size() - 3);
        value = Value(Value::List{std::move(value)});
        continue;
      }
      const std::size_t dot = shown.rfind('.');
      const std::string name = dot == std::string::npos ? shown : shown.substr(dot + 1);
      shown.resize(dot == std::string::npos ? 0 : dot);
      Value around = Value(Value::Map{});
      around[name] = std::move(value);
      value = std::move(around);
    }
    return value;
  }

  const KindInfo& kind_;
  std::vector<const fields::Struct*> within_;
  std::map<std::string, bool> seen_;
  std::vector<Row> rows_;
  std::vector<const Rule*> keys_;
};

AnyObject object_of(const KindInfo& kind, Value document) {
  document["apiVersion"] = Value(kind.api_version);
  document["kind"] = Value(kind.kind);
  Result<AnyObject> object = default_kinds().from_value(document, Strictness::strict);
  EXPECT_TRUE(object) << document.to_json() << ": " << (object ? "" : object.error().detail);
  return *std::move(object);
}

bool names(const FieldErrors& errors, const std::string& path, FieldError::Level level) {
  return std::any_of(errors.begin(), errors.end(), [&](const FieldError& error) {
    return error.level == level &&
           std::find(error.paths.begin(), error.paths.end(), path) != error.paths.end();
  });
}

TEST(FieldTable, WhatIsMarkedRefusedOrWarnedAboutIsRefusedOrWarnedAbout) {
  for (const KindInfo* kind : default_kinds().all()) {
    const Table table(*kind);
    for (const Row& row : table.rows()) {
      if (row.mark == Mark::acts || row.mark == Mark::reported) continue;
      SCOPED_TRACE(std::string(kind->kind) + " " + row.path);
      EXPECT_FALSE(row.text.empty()) << "the text says why";
      AnyObject object = object_of(*kind, row.document);
      EXPECT_TRUE(row.mark == Mark::refused
                      ? names(object.validate(), row.reported, FieldError::Level::error)
                      : names(object.check_marks(), row.reported, FieldError::Level::warning))
          << object.validate().to_string();
    }
  }
}

TEST(FieldTable, KeysOfAnnotationsAndLabelsAreMarked) {
  for (const KindInfo* kind : default_kinds().all()) {
    const Table table(*kind);
    for (const Rule* rule : table.keys()) {
      SCOPED_TRACE(std::string(kind->kind) + " " + std::string(rule->path));
      if (rule->mark == Mark::acts || rule->mark == Mark::reported) continue;
      EXPECT_FALSE(rule->text.empty()) << "the text says why";
      const std::size_t bracket = rule->path.find('[');
      std::string key(rule->path.substr(bracket + 1, rule->path.size() - bracket - 2));
      if (key.ends_with('*')) key.replace(key.size() - 1, 1, "nobody-knows-this");
      Value document = Value(Value::Map{});
      Value* at = &document;
      std::string_view way = rule->path.substr(0, bracket);
      while (!way.empty()) {
        const std::size_t dot = std::min(way.find('.'), way.size());
        at = &(*at)[way.substr(0, dot)];
        way.remove_prefix(std::min(dot + 1, way.size()));
      }
      (*at)[key] = Value(rule->value.empty() ? std::string_view("x") : rule->value);
      const AnyObject object = object_of(*kind, document);
      const std::string path = std::string(rule->path.substr(0, bracket)) + '[' + key + ']';
      EXPECT_TRUE(names(object.check_marks(), path, FieldError::Level::warning))
          << object.check_marks().to_string();
    }
  }
}

TEST(FieldTable, EveryRuleLeadsToAField) {
  for (const KindInfo* kind : default_kinds().all()) {
    EXPECT_EQ(Table(*kind).astray(), std::vector<std::string>()) << kind->kind;
  }
}

TEST(FieldTable, KeysOfKnativesConfigMapsAreMarked) {
  for (const core::ConfigKey& row : core::config_keys()) {
    core::ConfigMap map;
    map.metadata.name = std::string(row.name);
    map.metadata.namespace_ = std::string(row.namespace_);
    const std::string key = row.key.empty() ? "any" : std::string(row.key);
    map.data[key] = "x";
    map.data["_example"] = "# people's own words";
    const FieldErrors errors = core::check_config_map(map);
    EXPECT_EQ(names(errors, "data[" + key + "]", FieldError::Level::warning),
              row.mark == Mark::warned)
        << row.name << ' ' << row.key << ": " << errors.to_string();
    EXPECT_EQ(errors.size(), row.mark == Mark::warned ? 1U : 0U);
    EXPECT_EQ(row.text.empty(), row.mark != Mark::warned) << row.name << ' ' << row.key;
  }
  core::ConfigMap unknown;
  unknown.metadata = {.name = "config-autoscaler", .namespace_ = "knative-serving"};
  unknown.data["stable-widow"] = "60s";
  EXPECT_EQ(core::check_config_map(unknown).to_string(),
            "has no effect: data[stable-widow]\nthere is no such key");
  unknown.metadata.namespace_ = "shop";
  EXPECT_TRUE(core::check_config_map(unknown).empty()) << "a map of somebody's own";
}

// What was set by a platform's defaults is no reason to warn.
TEST(FieldTable, DefaultsAreNoReasonForAWarning) {
  for (const KindInfo* kind : default_kinds().all()) {
    AnyObject object = object_of(*kind, {{"metadata", {{"name", "x"}}}});
    const std::string before = object.check_marks().to_string();
    object.apply_defaults();
    EXPECT_EQ(object.check_marks().to_string(), before) << kind->kind;
    EXPECT_EQ(before, "") << kind->kind;
  }
}

// The figures, for the reader of a test's output.
TEST(FieldTable, Counts) {
  std::map<Mark, int> fields;
  std::map<Mark, int> keys;
  for (const KindInfo* kind : default_kinds().all()) {
    const Table table(*kind);
    for (const Row& row : table.rows()) ++fields[row.mark];
    for (const Rule* rule : table.keys()) ++keys[rule->mark];
  }
  for (const core::ConfigKey& row : core::config_keys()) ++keys[row.mark];
  for (const auto& [what, counts] :
       {std::pair{"fields", fields}, std::pair{"labels, annotations, ConfigMap keys", keys}}) {
    std::printf("%s:", what);
    for (const Mark mark : {Mark::acts, Mark::reported, Mark::warned, Mark::refused}) {
      const auto found = counts.find(mark);
      std::printf(" %d %s", found == counts.end() ? 0 : found->second,
                  std::string(to_string(mark)).c_str());
    }
    std::printf("\n");
  }
  EXPECT_GT(fields[Mark::acts], 400);
  EXPECT_GT(keys[Mark::acts], 40);
}

}  // namespace
}  // namespace knative
