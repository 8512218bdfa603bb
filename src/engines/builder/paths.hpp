// How the paths that a container would see map to real folders.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "knative/error.hpp"

namespace knative::builder {

inline constexpr std::string_view workspace_path = "/workspace";
inline constexpr std::string_view home_path = "/builder/home";

class PathMap {
 public:
  // `seen` is an absolute path of the container. A later entry for the same path wins.
  void add(std::string_view seen, std::string real);
  // Replace every path in `text` that is, or lies below, a mapped one. A path begins where no
  // character of a path stands before it, so "/data/workspace" and "/workspace2" stay.
  std::string apply(std::string_view text) const;

 private:
  std::vector<std::pair<std::string, std::string>> entries_;  // longest first
};

// A relative path below a folder: no "..", not absolute; cleaned, may be empty.
Result<std::string> clean_relative(std::string_view path, std::string_view what);

}  // namespace knative::builder
