// Paths that must stay below a folder, whatever links are on their way.
#pragma once

#include <string>
#include <string_view>

#include "knative/error.hpp"
#include "knative/files.hpp"

namespace knative::base {

// A relative path below a folder: no "..", not absolute; cleaned, may be empty. Errors begin with
// `what` and say that the path leaves `root_name`.
Result<std::string> clean_relative(std::string_view path, std::string_view what,
                                   std::string_view root_name = "the workspace");

// Where a relative path leads below `root` (a path without links) when the links on its way are
// followed: relative again and free of them. What is absent need not be there.
// `invalid_argument` when it leads out, and when a file stands in its way. Blocks briefly.
Result<std::string> resolve_inside(Files& files, const std::string& root, std::string_view path,
                                   std::string_view what,
                                   std::string_view root_name = "the workspace");

}  // namespace knative::base
