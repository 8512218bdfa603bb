// What ".gitmodules" says, and what of it may be fetched (see gitmodules, gitsubmodules). Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "knative/error.hpp"

namespace knative::builder::git {

struct SubmoduleEntry {
  std::string name;
  std::string path;
  std::string url;     // as it is written
  std::string update;  // "none" leaves it out
  friend bool operator==(const SubmoduleEntry&, const SubmoduleEntry&) = default;
};

// The submodules of a ".gitmodules", in order; other sections are ignored. `invalid_argument` when
// it is no configuration, or names one that is an option, leaves its folder or runs a program.
Result<std::vector<SubmoduleEntry>> parse_modules(std::string_view text, std::size_t most);

// The URL of a submodule of the repository at `parent`: one that begins with "./" or "../" goes on
// from there, and stays on its server. `invalid_argument` when it is one that git would run a
// program for, and when a repository of another machine names one of this.
Result<std::string> submodule_url(std::string_view parent, std::string_view url);

}  // namespace knative::builder::git
