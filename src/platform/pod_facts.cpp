#include "platform/pod_facts.hpp"

#include <string_view>

namespace knative::control {

namespace {

// As Go prints a quoted string.
std::string go_quoted(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    switch (c) {
      case '"': result += "\\\""; break;
      case '\\': result += "\\\\"; break;
      case '\n': result += "\\n"; break;
      case '\r': result += "\\r"; break;
      case '\t': result += "\\t"; break;
      default: result.push_back(c);
    }
  }
  return result + "\"";
}

std::string lines_of(const StringMap& map) {
  std::string text;
  for (const auto& [key, value] : map) {
    text.append(text.empty() ? "" : "\n").append(key).append("=").append(go_quoted(value));
  }
  return text;
}

// "KEY" of "metadata.labels['KEY']"; empty when the path is no such.
std::string_view map_key(std::string_view path, std::string_view map) {
  if (!path.starts_with(map)) return {};
  path.remove_prefix(map.size());
  if (path.size() < 5 || !path.starts_with("['") || !path.ends_with("']")) return {};
  return path.substr(2, path.size() - 4);
}

std::string value_at(const StringMap& map, std::string_view key) {
  const auto found = map.find(key);
  return found == map.end() ? std::string() : found->second;
}

}  // namespace

Result<std::string> pod_field(const PodFacts& pod, const core::FieldSelector& field,
                              bool whole_maps) {
  const ObjectMeta& metadata = pod.metadata;
  const std::string_view path = field.field_path;
  if (path == "metadata.name") return metadata.name;
  if (path == "metadata.namespace") return metadata.namespace_;
  if (path == "metadata.uid") return metadata.uid;
  if (path == "spec.serviceAccountName") return pod.service_account;
  if (whole_maps && path == "metadata.labels") return lines_of(metadata.labels);
  if (whole_maps && path == "metadata.annotations") return lines_of(metadata.annotations);
  if (const std::string_view key = map_key(path, "metadata.labels"); !key.empty()) {
    return value_at(metadata.labels, key);
  }
  if (const std::string_view key = map_key(path, "metadata.annotations"); !key.empty()) {
    return value_at(metadata.annotations, key);
  }
  return fail(Errc::unimplemented,
              "fieldRef: \"" + field.field_path + "\" has no value here: there is no such pod");
}

}  // namespace knative::control
