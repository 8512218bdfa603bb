// Paths that steps see.
#pragma once

#include <string_view>

#include "base/inside.hpp"

namespace knative::builder {

using base::clean_relative;
using base::resolve_inside;

inline constexpr std::string_view workspace_path = "/workspace";
inline constexpr std::string_view home_path = "/builder/home";

}  // namespace knative::builder
