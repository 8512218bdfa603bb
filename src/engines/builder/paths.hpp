// Paths that steps see, and paths in a build's fields.
#pragma once

#include <string>
#include <string_view>

#include "knative/error.hpp"
#include "knative/files.hpp"

namespace knative::builder {

inline constexpr std::string_view workspace_path = "/workspace";
inline constexpr std::string_view home_path = "/builder/home";

// A relative path below a folder: no "..", not absolute; cleaned, may be empty.
Result<std::string> clean_relative(std::string_view path, std::string_view what);

// Where a relative path leads below `root` (a path without links) when the links on its way are
// followed: relative again and free of them. What is absent need not be there.
// `invalid_argument` when it leads out, and when a file stands in its way. Blocks briefly.
Result<std::string> resolve_inside(Files& files, const std::string& root, std::string_view path,
                                   std::string_view what);

}  // namespace knative::builder
