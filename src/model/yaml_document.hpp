// YAML text as Values that know where every field came from.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "knative/manifest.hpp"

namespace knative::manifest {

struct Position {
  std::size_t line = 1;
  std::size_t column = 1;  // In characters, from 1.
  friend auto operator<=>(const Position&, const Position&) = default;
};

// Positions of the keys of a map, the elements of a list and all inside them.
struct SourceMap {
  Position at;
  std::map<std::string, SourceMap, std::less<>> fields;
  std::vector<SourceMap> items;

  // The position of a field path such as "spec.steps[0].image", or of the nearest enclosing field
  // that the text has.
  Position find(std::string_view path) const;
};

// Something wrong that does not end the reading.
struct Problem {
  Position at;
  std::string message;
};

struct Document {
  Value value;
  SourceMap source;
};

// All documents. Duplicate keys, unknown tags and the like are added to `problems`; syntax errors
// and exceeded limits are returned, the message beginning with "line:column: ".
Result<std::vector<Document>> read_yaml(std::string_view text, const Limits& limits,
                                        std::vector<Problem>& problems);

}  // namespace knative::manifest
