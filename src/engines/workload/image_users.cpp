#include "engines/workload/image_users.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

namespace knative {
namespace {

constexpr std::uint64_t file_bytes_max = std::uint64_t{1} << 20;

std::optional<std::uint32_t> number(std::string_view text) {
  std::uint32_t value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) {
    return std::nullopt;
  }
  return value;
}

std::string_view cut(std::string_view& text, char separator) {
  const std::size_t end = std::min(text.find(separator), text.size());
  const std::string_view piece = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return piece;
}

/// One line of either file.
struct Entry {
  std::string_view name;
  std::string_view id;
  std::string_view third;  ///< The group of a user, the members of a group.
  std::string_view home;
};

template <class Visit>
void each(std::string_view text, Visit visit) {
  while (!text.empty()) {
    std::string_view line = cut(text, '\n');
    Entry entry;
    entry.name = cut(line, ':');
    cut(line, ':');  // the password
    entry.id = cut(line, ':');
    entry.third = cut(line, ':');
    cut(line, ':');  // who that is
    entry.home = cut(line, ':');
    if (!entry.name.empty() && visit(entry)) return;
  }
}

bool lists(std::string_view members, std::string_view name) {
  while (!members.empty()) {
    if (cut(members, ',') == name) return true;
  }
  return false;
}

std::string read_plain(Files& files, const std::string& root, const char* name) {
  for (const std::string& path : {root + "/etc", root + "/etc/" + name}) {
    const Result<FileInfo> info = files.info(path);
    if (!info || info->type == FileType::symlink || info->type == FileType::other) return {};
  }
  return files.read_file(root + "/etc/" + name, file_bytes_max).value_or("");
}

}  // namespace

ImageUsers ImageUsers::read(Files& files, const std::string& root) {
  return {read_plain(files, root, "passwd"), read_plain(files, root, "group")};
}

Result<ImageUser> ImageUsers::find(std::string_view wanted) const {
  ImageUser result;
  std::string_view rest = wanted;
  const std::string_view user = cut(rest, ':');
  const std::string_view group_text = rest;
  const std::optional<std::uint32_t> uid =
      user.empty() ? std::optional<std::uint32_t>(0) : number(user);
  if (uid) result.user = *uid;
  std::string_view name;
  each(passwd, [&](const Entry& entry) {
    const std::optional<std::uint32_t> id = number(entry.id);
    const bool found = uid ? id == uid : entry.name == user && id;
    if (!found) return false;
    name = entry.name;
    result.user = *id;
    result.group = number(entry.third).value_or(0);
    if (entry.home.starts_with('/')) result.home = entry.home;
    return true;
  });
  if (!uid && name.empty()) {
    return fail(Errc::not_found, "the image has no user \"" + std::string(user) + "\"");
  }
  if (!group_text.empty()) {
    std::optional<std::uint32_t> gid = number(group_text);
    each(group, [&](const Entry& entry) {
      if (gid || entry.name != group_text) return false;
      gid = number(entry.id);
      return gid.has_value();
    });
    if (!gid) {
      return fail(Errc::not_found, "the image has no group \"" + std::string(group_text) + "\"");
    }
    result.group = *gid;
    return result;  // who names a group wants that one
  }
  each(group, [&](const Entry& entry) {
    const std::optional<std::uint32_t> gid = number(entry.id);
    if (gid && !name.empty() && lists(entry.third, name)) result.groups.push_back(*gid);
    return false;
  });
  std::sort(result.groups.begin(), result.groups.end());
  result.groups.erase(std::unique(result.groups.begin(), result.groups.end()), result.groups.end());
  return result;
}

}  // namespace knative
