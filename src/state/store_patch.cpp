// JSON merge patch (RFC 7386) and JSON patch (RFC 6902) on values.
#include <charconv>

#include "knative/store.hpp"

namespace knative {
namespace {

// A JSON pointer (RFC 6901) split into its parts.
Result<std::vector<std::string>> parse_pointer(std::string_view text) {
  std::vector<std::string> parts;
  if (text.empty()) return parts;
  if (text.front() != '/') {
    return fail(Errc::invalid_argument,
                "JSON pointer \"" + std::string(text) + "\" does not begin with '/'");
  }
  std::string part;
  for (std::size_t i = 1; i <= text.size(); ++i) {
    if (i == text.size() || text[i] == '/') {
      parts.push_back(std::move(part));
      part.clear();
    } else if (text[i] == '~' && i + 1 < text.size() &&
               (text[i + 1] == '0' || text[i + 1] == '1')) {
      part += text[++i] == '0' ? '~' : '/';
    } else if (text[i] == '~') {
      return fail(Errc::invalid_argument,
                  "bad escape in JSON pointer \"" + std::string(text) + "\"");
    } else {
      part += text[i];
    }
  }
  return parts;
}

Error missing(std::string_view path) {
  return fail(Errc::failed_precondition,
              "JSON patch: path \"" + std::string(path) + "\" is missing");
}

// The index a pointer part names in a list, at most `bound`.
std::optional<std::size_t> list_index(const std::string& part, std::size_t bound) {
  if (part.empty() || (part.size() > 1 && part.front() == '0')) return std::nullopt;
  std::size_t index = 0;
  const char* end = part.data() + part.size();
  const auto parsed = std::from_chars(part.data(), end, index);
  if (parsed.ec != std::errc() || parsed.ptr != end || index > bound) return std::nullopt;
  return index;
}

Value* child(Value& parent, const std::string& part) {
  if (Value::Map* map = parent.if_map()) {
    const auto found = map->find(part);
    return found == map->end() ? nullptr : &found->second;
  }
  if (Value::List* list = parent.if_list()) {
    const std::optional<std::size_t> index = list_index(part, list->size());
    if (index && *index < list->size()) return &(*list)[*index];
  }
  return nullptr;
}

Value* locate(Value& root, const std::vector<std::string>& parts, std::size_t count) {
  Value* at = &root;
  for (std::size_t i = 0; i < count && at != nullptr; ++i) at = child(*at, parts[i]);
  return at;
}

Result<void> add(Value& root, const std::vector<std::string>& parts, std::string_view path,
                 Value value) {
  if (parts.empty()) {
    root = std::move(value);
    return {};
  }
  Value* parent = locate(root, parts, parts.size() - 1);
  if (parent == nullptr) return missing(path);
  if (Value::Map* map = parent->if_map()) {
    map->insert_or_assign(parts.back(), std::move(value));
    return {};
  }
  Value::List* list = parent->if_list();
  if (list == nullptr) return missing(path);
  const std::optional<std::size_t> index =
      parts.back() == "-" ? list->size() : list_index(parts.back(), list->size());
  if (!index) return missing(path);
  list->insert(list->begin() + static_cast<std::ptrdiff_t>(*index), std::move(value));
  return {};
}

Result<Value> take(Value& root, const std::vector<std::string>& parts, std::string_view path) {
  if (parts.empty()) return std::exchange(root, Value());
  Value* parent = locate(root, parts, parts.size() - 1);
  Value* found = parent == nullptr ? nullptr : child(*parent, parts.back());
  if (found == nullptr) return missing(path);
  Value value = std::move(*found);
  if (Value::Map* map = parent->if_map()) {
    map->erase(parts.back());
  } else {
    Value::List& list = parent->as_list();
    list.erase(list.begin() + static_cast<std::ptrdiff_t>(*list_index(parts.back(), list.size())));
  }
  return value;
}

// "add" of what was taken or copied from another place.
Result<void> relocate(Value& root, const std::string& op, const Value* from_value,
                      const std::vector<std::string>& parts, const std::string& path) {
  if (from_value == nullptr || !from_value->is_string()) {
    return fail(Errc::invalid_argument, "JSON patch: \"" + op + "\" needs a \"from\"");
  }
  const std::string& from = from_value->as_string();
  Result<std::vector<std::string>> from_parts = parse_pointer(from);
  if (!from_parts) return from_parts.error();
  if (op == "copy") {
    const Value* found = locate(root, *from_parts, from_parts->size());
    if (found == nullptr) return missing(from);
    Value copied(*found);
    return add(root, parts, path, std::move(copied));
  }
  if (path != from && path.starts_with(from) && path[from.size()] == '/') {
    return fail(Errc::invalid_argument, "JSON patch: cannot move \"" + from + "\" into itself");
  }
  Result<Value> taken = take(root, *from_parts, from);
  if (!taken) return taken.error();
  return add(root, parts, path, std::move(*taken));
}

Result<void> apply_operation(Value& root, const Value& operation) {
  const Value* op_value = operation.find("op");
  const Value* path_value = operation.find("path");
  if (op_value == nullptr || !op_value->is_string() || path_value == nullptr ||
      !path_value->is_string()) {
    return fail(Errc::invalid_argument, "JSON patch: an operation needs \"op\" and \"path\"");
  }
  const std::string& op = op_value->as_string();
  const std::string& path = path_value->as_string();
  Result<std::vector<std::string>> parts = parse_pointer(path);
  if (!parts) return parts.error();
  if (op == "move" || op == "copy") {
    return relocate(root, op, operation.find("from"), *parts, path);
  }
  if (op == "remove") {
    Result<Value> taken = take(root, *parts, path);
    return taken ? Result<void>() : Result<void>(taken.error());
  }
  const Value* value = operation.find("value");
  if (op != "add" && op != "replace" && op != "test") {
    return fail(Errc::invalid_argument, "JSON patch: unknown operation \"" + op + "\"");
  }
  if (value == nullptr) {
    return fail(Errc::invalid_argument, "JSON patch: \"" + op + "\" needs a \"value\"");
  }
  if (op == "add") return add(root, *parts, path, *value);
  Value* found = locate(root, *parts, parts->size());
  if (found == nullptr) return missing(path);
  if (op == "replace") {
    *found = Value(*value);
  } else if (*found != *value) {
    return fail(Errc::failed_precondition, "JSON patch: testing value " + path + " failed");
  }
  return {};
}

}  // namespace

void merge_patch(Value& target, const Value& patch) {
  const Value::Map* changes = patch.if_map();
  if (changes == nullptr) {
    target = Value(patch);
    return;
  }
  if (!target.is_map()) target = Value(Value::Map{});
  Value::Map& map = target.as_map();
  for (const auto& [key, change] : *changes) {
    if (change.is_null()) {
      map.erase(key);
    } else {
      merge_patch(map[key], change);
    }
  }
}

Result<void> json_patch(Value& target, const Value& patch) {
  const Value::List* operations = patch.if_list();
  if (operations == nullptr) return fail(Errc::invalid_argument, "JSON patch: expected a list");
  Value changed(target);
  for (const Value& operation : *operations) {
    if (Result<void> applied = apply_operation(changed, operation); !applied) return applied;
  }
  target = std::move(changed);
  return {};
}

}  // namespace knative
