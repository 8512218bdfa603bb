#include "model/value_diff.hpp"

#include <set>

#include "knative/value.hpp"

namespace knative {
namespace {

// Longer differences help nobody.
constexpr std::size_t diff_bytes_max = 4096;

void leaf(std::string& out, const std::string& path, const Value* old, const Value* changed) {
  if (out.size() > diff_bytes_max) return;
  out += '{' + path + "}:\n\t-: " + (old ? old->to_json() : std::string("<absent>")) +
         "\n\t+: " + (changed ? changed->to_json() : std::string("<absent>")) + '\n';
}

void walk(std::string& out, const std::string& path, const Value& old, const Value& changed) {
  if (old == changed) return;
  if (const Value::Map* left = old.if_map(), *right = changed.if_map(); left && right) {
    std::set<std::string_view> keys;
    for (const auto& entry : *left) keys.insert(entry.first);
    for (const auto& entry : *right) keys.insert(entry.first);
    for (const std::string_view key : keys) {
      const Value* before = old.find(key);
      const Value* after = changed.find(key);
      const std::string at = path.empty() ? std::string(key) : path + '.' + std::string(key);
      if (before && after) {
        walk(out, at, *before, *after);
      } else {
        leaf(out, at, before, after);
      }
    }
    return;
  }
  if (const Value::List* left = old.if_list(), *right = changed.if_list();
      left && right && left->size() == right->size()) {
    for (std::size_t i = 0; i < left->size(); ++i) {
      walk(out, path + '[' + std::to_string(i) + ']', (*left)[i], (*right)[i]);
    }
    return;
  }
  leaf(out, path, &old, &changed);
}

}  // namespace

std::string value_diff(const Value& old, const Value& changed, std::string_view root) {
  std::string out;
  walk(out, std::string(root), old, changed);
  return out;
}

}  // namespace knative
