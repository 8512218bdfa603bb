#include "engines/builder/paths.hpp"

#include <algorithm>

namespace knative::builder {

Result<std::string> clean_relative(std::string_view path, std::string_view what) {
  std::string clean;
  std::string_view rest = path;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('/'), rest.size());
    const std::string_view part = rest.substr(0, end);
    if (part == "..") {
      return fail(Errc::invalid_argument,
                  std::string(what) + " \"" + std::string(path) + "\" leaves the workspace");
    }
    if (part.find('\0') != std::string_view::npos) {
      return fail(Errc::invalid_argument, std::string(what) + ": contains a zero byte");
    }
    if (!part.empty() && part != ".") clean.append(clean.empty() ? "" : "/").append(part);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return clean;
}

}  // namespace knative::builder
