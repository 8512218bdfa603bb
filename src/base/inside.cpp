#include "base/inside.hpp"

#include <algorithm>
#include <vector>

namespace knative::base {

namespace {

constexpr int links_followed_max = 40;

// The first part last.
void push_parts(std::string_view path, std::vector<std::string>& pending) {
  while (!path.empty()) {
    const std::size_t slash = path.rfind('/');
    const std::size_t start = slash == path.npos ? 0 : slash + 1;
    if (start < path.size()) pending.emplace_back(path.substr(start));
    path = path.substr(0, slash == path.npos ? 0 : slash);
  }
}

std::string joined(const std::vector<std::string>& parts) {
  std::string path;
  for (const std::string& part : parts) path.append(path.empty() ? "" : "/").append(part);
  return path;
}

}  // namespace

Result<std::string> clean_relative(std::string_view path, std::string_view what,
                                   std::string_view root_name) {
  std::string clean;
  std::string_view rest = path;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('/'), rest.size());
    const std::string_view part = rest.substr(0, end);
    if (part == "..") {
      return fail(Errc::invalid_argument, std::string(what) + " \"" + std::string(path) +
                                              "\" leaves " + std::string(root_name));
    }
    if (part.find('\0') != std::string_view::npos) {
      return fail(Errc::invalid_argument, std::string(what) + ": contains a zero byte");
    }
    if (!part.empty() && part != ".") clean.append(clean.empty() ? "" : "/").append(part);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return clean;
}

Result<std::string> resolve_inside(Files& files, const std::string& root, std::string_view path,
                                   std::string_view what, std::string_view root_name) {
  const std::string shown = std::string(what) + " \"" + std::string(path) + "\"";
  const std::string out = " leaves " + std::string(root_name);
  std::vector<std::string> pending;
  std::vector<std::string> real;
  push_parts(path, pending);
  for (int links = 0; !pending.empty();) {
    const std::string part = std::move(pending.back());
    pending.pop_back();
    if (part == ".") continue;
    if (part == "..") {
      if (real.empty()) return fail(Errc::invalid_argument, shown + out);
      real.pop_back();
      continue;
    }
    real.push_back(part);
    const std::string place = root + "/" + joined(real);
    const Result<FileInfo> info = files.info(place);
    if (!info && info.error().code != Errc::not_found) return info.error();
    if (!info || info->type == FileType::directory) continue;
    if (info->type != FileType::symlink) {
      return fail(Errc::invalid_argument, shown + ": \"" + joined(real) + "\" is not a directory");
    }
    if (++links > links_followed_max) {
      return fail(Errc::invalid_argument, shown + ": too many symbolic links");
    }
    const Result<std::string> target = files.read_symlink(place);
    if (!target) return target.error();
    std::string_view rest = *target;
    real.pop_back();
    if (rest.starts_with('/')) {
      const bool inside = rest.starts_with(root) && rest.substr(root.size()).starts_with('/');
      if (!inside) {
        return fail(Errc::invalid_argument, shown + out + " by the link \"" + part + "\"");
      }
      rest.remove_prefix(root.size());
      real.clear();
    }
    push_parts(rest, pending);
  }
  return joined(real);
}

}  // namespace knative::base
