#include "extensions/serving/route_labels.hpp"

#include <algorithm>
#include <utility>

namespace knative::control {

using serving::Revision;

std::set<std::string> routes_of(const Revision& revision) {
  std::set<std::string> names;
  const auto annotation = revision.metadata.annotations.find(serving::keys::routes);
  if (annotation == revision.metadata.annotations.end()) return names;
  std::string_view text = annotation->second;  // "a,b"
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    if (comma != 0) names.emplace(text.substr(0, comma));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return names;
}

bool label_route(Revision& revision, const std::string& route, bool used, Timestamp now) {
  std::set<std::string> routes = routes_of(revision);
  const bool changed = used ? routes.insert(route).second : routes.erase(route) != 0;
  if (!changed) return false;
  std::string text;
  for (const std::string& name : routes) text.append(text.empty() ? "" : ",").append(name);
  StringMap& annotations = revision.metadata.annotations;
  const std::string state = routes.empty() ? "reserve" : "active";
  std::string& label = revision.metadata.labels[std::string(serving::keys::routing_state)];
  if (std::exchange(label, state) != state) {
    annotations[std::string(serving::keys::routing_state_modified)] = now.to_string();
  }
  if (routes.empty()) {
    annotations.erase(std::string(serving::keys::routes));
  } else {
    annotations[std::string(serving::keys::routes)] = std::move(text);
  }
  return true;
}

}  // namespace knative::control
