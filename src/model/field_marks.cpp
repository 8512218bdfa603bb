// What can be read off lists of fields: which of them have no effect, which members were forgotten,
// and the schema.
#include <algorithm>

#include "knative/fields.hpp"

namespace knative::fields {
namespace {

// Whether `rule` is the way to `path`, without its indices.
bool leads_to(std::string_view rule, const Path& path) {
  switch (path.step) {
    case Path::Step::root: return rule.empty();
    case Path::Step::index: return leads_to(rule, *path.parent);
    case Path::Step::field:
      if (!rule.ends_with(path.name)) return false;
      rule.remove_suffix(path.name.size());
      if (rule.ends_with('.')) rule.remove_suffix(1);
      return leads_to(rule, *path.parent);
    case Path::Step::key: {
      const std::size_t bracket = rule.find('[');
      if (bracket == std::string_view::npos || !rule.ends_with(']')) return false;
      std::string_view key = rule.substr(bracket + 1, rule.size() - bracket - 2);
      const bool matches = key.ends_with('*') ? path.name.starts_with(key.substr(0, key.size() - 1))
                                              : path.name == key;
      return matches && leads_to(rule.substr(0, bracket), *path.parent);
    }
  }
  return false;
}

bool is_open(const Rule& rule) { return rule.path.ends_with("*]"); }

// The text of a scalar as rules write it.
std::string text_of(const Ops& ops, const void* object) {
  const Value value = ops.encode(ops, object);
  const std::string* text = value.if_string();
  return text ? *text : value.to_json();
}

class Walk {
 public:
  explicit Walk(std::span<const Rule> rules) : rules_(rules) {}
  FieldErrors take() { return std::move(errors_); }

  void structure(const Struct& type, const void* object, const Path& path) {
    for (const Field& field : type.fields) {
      const void* member = field.member(object);
      if (field.flags & inlined) {
        structure(field.ops->fields(), member, path);
      } else if (!field.ops->empty(*field.ops, member)) {
        visit(*field.ops, member, path.field(field.name), field.mark, field.text);
      }
    }
  }

 private:
  void visit(const Ops& ops, const void* object, const Path& path, Mark mark,
             std::string_view text) {
    if (const Rule* rule = find(ops, object, path)) {
      mark = rule->mark;
      text = rule->text;
    }
    switch (mark) {
      case Mark::acts: inside(ops, object, path); break;
      case Mark::reported: break;
      case Mark::warned:
        errors_.add(
            FieldError{"has no effect", {path.to_string()}, std::string(text)}.as_warning());
        break;
      case Mark::refused:
        errors_.add(FieldError{"must not set the field(s)", {path.to_string()}, std::string(text)});
        break;
    }
  }

  void inside(const Ops& ops, const void* object, const Path& path) {
    if (ops.fields) structure(ops.fields(), object, path);
    if (ops.data) {
      std::size_t count = 0;
      const char* slot = static_cast<const char*>(ops.data(object, count));
      for (std::size_t i = 0; i < count; ++i, slot += ops.element->size) {
        inside(*ops.element, slot, ops.shape == Shape::list ? path.element(i) : path);
      }
    }
    if (ops.each) entries(ops, object, path);
  }

  void entries(const Ops& ops, const void* object, const Path& path) {
    struct Context {
      Walk& walk;
      const Ops& element;
      const Path& path;
    } context{*this, *ops.element, path};
    ops.each(object, &context, [](void* raw, const std::string& key, const void* value) {
      auto& here = *static_cast<Context*>(raw);
      here.walk.visit(here.element, value, here.path.entry(key), Mark::acts, {});
    });
  }

  const Rule* find(const Ops& ops, const void* object, const Path& path) const {
    const Rule* open = nullptr;
    for (const Rule& rule : rules_) {
      if (!leads_to(rule.path, path)) continue;
      if (!rule.value.empty() && text_of(ops, object) != rule.value) continue;
      if (!is_open(rule)) return &rule;
      if (!open) open = &rule;
    }
    return open;
  }

  std::span<const Rule> rules_;
  FieldErrors errors_;
};

void find_undescribed(const Ops& ops, std::vector<const Ops*>& seen,
                      std::vector<std::string>& out) {
  if (!ops.element && !ops.fields) return;
  if (std::find(seen.begin(), seen.end(), &ops) != seen.end()) return;
  seen.push_back(&ops);
  if (ops.element) find_undescribed(*ops.element, seen, out);
  if (!ops.fields) return;
  const Struct& type = ops.fields();
  std::vector<const Field*> fields;
  fields.reserve(type.fields.size());
  for (const Field& field : type.fields) fields.push_back(&field);
  std::sort(fields.begin(), fields.end(),
            [](const Field* a, const Field* b) { return a->offset < b->offset; });
  std::size_t end = 0;
  const auto check = [&](std::size_t next, std::size_t align) {
    const std::size_t begin = (end + align - 1) / align * align;
    if (begin >= next) return;
    out.push_back(std::string(type.name) + ": " + std::to_string(next - begin) + " bytes at " +
                  std::to_string(begin));
  };
  for (const Field* field : fields) {
    const auto offset = static_cast<std::size_t>(field->offset);
    check(offset, field->ops->align);
    end = std::max(end, offset + field->ops->size);
    find_undescribed(*field->ops, seen, out);
  }
  if (!fields.empty()) check(ops.size, ops.align);
}

Value scalar_schema(std::string_view type) {
  if (type == "int32" || type == "int64") return {{"type", "integer"}, {"format", type}};
  if (type == "boolean" || type == "number") return {{"type", type}};
  if (type == "timestamp") return {{"type", "string"}, {"format", "date-time"}};
  if (type == "bytes") return {{"type", "string"}, {"format", "byte"}};
  if (type == "quantity" || type == "int-or-string") {
    return {{"x-kubernetes-int-or-string", true}};
  }
  if (type == "any") return {{"x-kubernetes-preserve-unknown-fields", true}};
  return {{"type", "string"}};
}

void add_properties(const Struct& type, std::vector<const Struct*>& within, Value& properties);

Value schema_of(const Ops& ops, std::vector<const Struct*>& within) {
  Value out;
  switch (ops.shape) {
    case Shape::scalar: return scalar_schema(ops.type);
    case Shape::optional: return schema_of(*ops.element, within);
    case Shape::list:
      out["type"] = Value("array");
      out["items"] = schema_of(*ops.element, within);
      return out;
    case Shape::map:
      out["type"] = Value("object");
      out["additionalProperties"] = schema_of(*ops.element, within);
      return out;
    case Shape::structure: break;
  }
  out["type"] = Value("object");
  const Struct& type = ops.fields();
  if (std::find(within.begin(), within.end(), &type) != within.end()) {
    // It contains itself; OpenAPI v3 schemas of clusters cannot say so.
    out["x-kubernetes-preserve-unknown-fields"] = Value(true);
    return out;
  }
  within.push_back(&type);
  Value properties = Value(Value::Map{});
  add_properties(type, within, properties);
  out["properties"] = std::move(properties);
  within.pop_back();
  return out;
}

void add_properties(const Struct& type, std::vector<const Struct*>& within, Value& properties) {
  for (const Field& field : type.fields) {
    if (field.flags & inlined) {
      add_properties(field.ops->fields(), within, properties);
      continue;
    }
    Value property = schema_of(*field.ops, within);
    if (!field.text.empty()) {
      property["description"] = Value((field.mark == Mark::refused ? "Refused: " : "No effect: ") +
                                      std::string(field.text) + '.');
    }
    properties[field.name] = std::move(property);
  }
}

}  // namespace

FieldErrors check_marks(const Ops& type, const void* object, std::span<const Rule> rules) {
  Walk walk(rules);
  walk.structure(type.fields(), object, Path{});
  return walk.take();
}

std::vector<std::string> undescribed(const Ops& type) {
  std::vector<const Ops*> seen;
  std::vector<std::string> out;
  find_undescribed(type, seen, out);
  return out;
}

Value json_schema(const Ops& type) {
  std::vector<const Struct*> within;
  return schema_of(type, within);
}

}  // namespace knative::fields
