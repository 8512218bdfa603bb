// See gitrepository-layout. What must be a file is looked at first: a pipe would be waited for.
#include "engines/builder/git_local.hpp"

#include <algorithm>
#include <map>
#include <optional>

namespace knative::builder::git {

namespace {

constexpr std::size_t loose_refs_max = 1'000'000;
constexpr std::size_t refs_depth_max = 64;
constexpr int symbolic_refs_max = 5;
constexpr std::uint64_t ref_bytes_max = 4096;
constexpr std::string_view symbolic = "ref: ";
constexpr std::string_view git_file = "gitdir: ";

bool is_folder(Files& files, const std::string& path) {
  const Result<FileInfo> info = files.info(path + "/.");  // as what a link leads to
  return info && info->type == FileType::directory;
}

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") + 1 - first);
}

// The text of a small file; none when it is absent, and when it is not a file.
Result<std::optional<std::string>> small_file(Files& files, const std::string& path) {
  const Result<FileInfo> info = files.info(path);
  if (!info && info.error().code == Errc::not_found) return std::optional<std::string>();
  if (!info) return info.error();
  if (info->type != FileType::regular) return std::optional<std::string>();
  Result<std::string> text = files.read_file(path);
  if (!text) return text.error();
  return std::optional<std::string>(std::move(*text));
}

std::string from(const std::string& folder, std::string_view path) {
  return path.starts_with('/') ? std::string(path) : folder + "/" + std::string(path);
}

// Where HEAD is, or none.
Result<std::optional<std::string>> git_folder(Files& files, const std::string& path) {
  for (const std::string& candidate : {path + "/.git", path, path + ".git"}) {
    if (is_folder(files, candidate)) {
      if (files.info(candidate + "/HEAD")) return std::optional<std::string>(candidate);
      continue;
    }
    const Result<std::optional<std::string>> text = small_file(files, candidate);
    if (!text) return text.error();
    if (!*text || !(*text)->starts_with(git_file)) continue;
    const std::string_view to = trimmed(std::string_view(**text).substr(git_file.size()));
    return std::optional<std::string>(from(candidate.substr(0, candidate.rfind('/')), to));
  }
  return std::optional<std::string>();
}

// The value of a key in the section [extensions] of a repository's own configuration.
std::string extension(std::string_view configuration, std::string_view key) {
  bool inside = false;
  std::string value;
  while (!configuration.empty()) {
    const std::size_t end = std::min(configuration.find('\n'), configuration.size());
    std::string line(trimmed(configuration.substr(0, end)));
    configuration.remove_prefix(std::min(end + 1, configuration.size()));
    std::transform(line.begin(), line.end(), line.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    if (line.starts_with('[')) {
      inside = line.starts_with("[extensions]");
    } else if (inside) {
      const std::size_t equals = std::min(line.find('='), line.size());
      if (trimmed(std::string_view(line).substr(0, equals)) != key) continue;
      value = trimmed(std::string_view(line).substr(std::min(equals + 1, line.size())));
    }
  }
  return value;
}

Result<void> known_format(Files& files, const std::string& common) {
  const Result<std::optional<std::string>> text = small_file(files, common + "/config");
  if (!text) return text.error();
  if (!*text) return {};
  const std::string hash = extension(**text, "objectformat");
  const std::string refs = extension(**text, "refstorage");
  if (!hash.empty() && hash != "sha1") {
    return fail(Errc::unimplemented, "the repository's object format is not supported, only sha1");
  }
  if (!refs.empty() && refs != "files") {
    return fail(Errc::unimplemented, "the way the repository keeps its refs is not supported");
  }
  return {};
}

using Values = std::map<std::string, std::string>;  // of refs: an id, or "ref: " and another

// A ref of its own file comes first.
void read_packed(std::string_view text, Values& values) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::size_t space = line.find(' ');
    if (space == line.npos || !is_full_id(line.substr(0, space))) continue;  // comment or peeled
    values.try_emplace(std::string(line.substr(space + 1)), line.substr(0, space));
  }
}

// What a ref that is being written or was cut short by a crash says is no value; git does not see
// it either.
Result<void> read_loose(Files& files, const std::string& common, Values& values) {
  std::vector<std::string> pending{"refs"};
  std::size_t count = 0;
  while (!pending.empty()) {
    const std::string folder = std::move(pending.back());
    pending.pop_back();
    Result<std::vector<FileInfo>> entries = files.list(common + "/" + folder);
    if (!entries && entries.error().code == Errc::not_found) continue;
    if (!entries) return entries.error();
    for (const FileInfo& entry : *entries) {
      const std::string name = folder + "/" + entry.name;
      if (++count > loose_refs_max ||
          static_cast<std::size_t>(std::count(name.begin(), name.end(), '/')) > refs_depth_max) {
        return fail(Errc::resource_exhausted, "the repository has too many refs");
      }
      if (entry.type == FileType::directory) pending.push_back(name);
      if (entry.type != FileType::regular || entry.size_bytes > ref_bytes_max) continue;
      const Result<std::string> text = files.read_file(common + "/" + name);
      if (!text && text.error().code == Errc::not_found) continue;  // deleted meanwhile
      if (!text) return text.error();
      const std::string_view value = trimmed(*text);
      if (is_full_id(value) || value.starts_with(symbolic)) values[name] = value;
    }
  }
  return {};
}

// Which commit HEAD of this working tree is at, as the value of a ref.
Result<std::string> read_head(Files& files, const std::string& folder) {
  const Result<std::string> link = files.read_symlink(folder + "/HEAD");  // as git once made it
  if (link) return std::string(symbolic) + *link;
  const Result<std::optional<std::string>> text = small_file(files, folder + "/HEAD");
  if (!text) return text.error();
  return std::string(*text ? trimmed(**text) : "");
}

std::optional<std::string> value_of(const Values& values, std::string text) {
  for (int links = 0; links <= symbolic_refs_max; ++links) {
    if (is_full_id(text)) return text;
    if (!text.starts_with(symbolic)) return std::nullopt;
    const auto next = values.find(std::string(trimmed(text.substr(symbolic.size()))));
    if (next == values.end()) return std::nullopt;
    text = next->second;
  }
  return std::nullopt;
}

}  // namespace

Result<LocalRepository> open_local(Files& files, const std::string& path) {
  const Result<std::optional<std::string>> folder = git_folder(files, path);
  if (!folder) return folder.error();
  if (!*folder) {
    return fail(Errc::not_found, files.info(path) ? "there is no git repository in this folder"
                                                  : "the repository does not exist");
  }
  std::string common = **folder;  // of all working trees
  const Result<std::optional<std::string>> shared = small_file(files, common + "/commondir");
  if (!shared) return shared.error();
  if (*shared) common = from(**folder, trimmed(**shared));
  LocalRepository repository;
  repository.objects = common + "/objects";
  if (!is_folder(files, repository.objects)) {
    return fail(Errc::not_found, "there is no git repository in this folder");
  }
  if (Result<void> known = known_format(files, common); !known) return known.error();
  Values values;  // in this order: git may be moving refs from their files to the packed ones
  if (Result<void> read = read_loose(files, common, values); !read) return read.error();
  const Result<std::optional<std::string>> packed = small_file(files, common + "/packed-refs");
  if (!packed) return packed.error();
  if (*packed) read_packed(**packed, values);
  Result<std::string> head = read_head(files, **folder);
  if (!head) return head.error();
  if (const auto id = value_of(values, *head)) repository.refs.push_back({"HEAD", *id});
  for (const auto& [name, value] : values) {
    if (const auto id = value_of(values, value)) repository.refs.push_back({name, *id});
  }
  return repository;
}

}  // namespace knative::builder::git
