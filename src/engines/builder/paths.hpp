// Paths that steps see, and paths in a build's fields.
#pragma once

#include <string>
#include <string_view>

#include "knative/error.hpp"

namespace knative::builder {

inline constexpr std::string_view workspace_path = "/workspace";
inline constexpr std::string_view home_path = "/builder/home";

// A relative path below a folder: no "..", not absolute; cleaned, may be empty.
Result<std::string> clean_relative(std::string_view path, std::string_view what);

}  // namespace knative::builder
