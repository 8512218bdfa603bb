// Paths that steps see.
#pragma once

#include <string>
#include <string_view>

#include "base/inside.hpp"

namespace knative::builder {

using base::clean_relative;
using base::resolve_inside;

inline constexpr std::string_view workspace_path = "/workspace";
inline constexpr std::string_view home_path = "/builder/home";

// "/builder//home/" is "/builder/home".
inline std::string clean_target(std::string_view path) {
  std::string clean;
  for (const char c : path) {
    if (c != '/' || !clean.ends_with('/')) clean.push_back(c);
  }
  if (clean.size() > 1 && clean.ends_with('/')) clean.pop_back();
  return clean;
}

}  // namespace knative::builder
