#include "engines/builder/paths.hpp"

#include <algorithm>

namespace knative::builder {

namespace {

// Characters that continue a file name; a path that begins after one of them is part of another.
bool in_path(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '/' ||
         c == '.' || c == '_' || c == '-' || c == '~' || c == '}' || c == ')';
}

bool continues_name(char c) { return c != '/' && in_path(c) && c != '}' && c != ')'; }

}  // namespace

void PathMap::add(std::string_view seen, std::string real) {
  while (seen.size() > 1 && seen.back() == '/') seen.remove_suffix(1);
  std::erase_if(entries_, [&](const auto& entry) { return entry.first == seen; });
  entries_.emplace_back(std::string(seen), std::move(real));
  std::sort(entries_.begin(), entries_.end(), [](const auto& a, const auto& b) {
    return a.first.size() != b.first.size() ? a.first.size() > b.first.size() : a.first < b.first;
  });
}

std::string PathMap::apply(std::string_view text) const {
  std::string result;
  std::size_t i = 0;
  while (i < text.size()) {
    const bool begins = text[i] == '/' && (i == 0 || !in_path(text[i - 1]));
    const std::pair<std::string, std::string>* match = nullptr;
    if (begins) {
      for (const auto& entry : entries_) {
        const std::size_t end = i + entry.first.size();
        if (text.substr(i, entry.first.size()) == entry.first &&
            (end >= text.size() || !continues_name(text[end]))) {
          match = &entry;
          break;
        }
      }
    }
    if (match != nullptr) {
      result.append(match->second);
      i += match->first.size();
    } else {
      result.push_back(text[i++]);
    }
  }
  return result;
}

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
