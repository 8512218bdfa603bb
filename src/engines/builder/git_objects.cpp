#include "engines/builder/git_objects.hpp"

#include <algorithm>
#include <charconv>

namespace knative::builder::git {

namespace {

constexpr unsigned mode_kind = 0170000;
constexpr unsigned mode_folder = 0040000;
constexpr unsigned mode_file = 0100000;
constexpr unsigned mode_link = 0120000;
constexpr unsigned mode_submodule = 0160000;
constexpr unsigned mode_executable = 0100;

std::optional<unsigned char> hex_value(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned char>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<unsigned char>(c - 'a' + 10);
  return std::nullopt;
}

// A name from a repository as part of an error.
std::string quoted(std::string_view name) {
  std::string text = "\"";
  for (const char c : name.substr(0, 200)) {
    text.push_back(c >= 32 && c < 127 ? c : '?');
  }
  return text.append("\"");
}

Error damaged_tree(std::string_view why) {
  return fail(Errc::invalid_argument, "a tree of the commit is damaged: " + std::string(why));
}

// Code points that HFS+ does not see in names: U+200C..F, U+202A..E, U+206A..F, U+FEFF.
std::string without_ignored(std::string_view name) {
  std::string result;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const auto at = [&](std::size_t offset) {
      return i + offset < name.size() ? static_cast<unsigned char>(name[i + offset]) : 0u;
    };
    const unsigned last = at(2);
    const bool general = at(0) == 0xe2 && at(1) == 0x80 &&
                         ((last >= 0x8c && last <= 0x8f) || (last >= 0xaa && last <= 0xae));
    const bool format = at(0) == 0xe2 && at(1) == 0x81 && last >= 0xaa && last <= 0xaf;
    const bool mark = at(0) == 0xef && at(1) == 0xbb && last == 0xbf;
    if (general || format || mark) {
      i += 2;
    } else {
      result.push_back(name[i]);
    }
  }
  return result;
}

// What NTFS makes of a name: no stream, no dots or spaces at its end.
std::string_view as_on_ntfs(std::string_view name) {
  name = name.substr(0, name.find_first_of(":\\"));
  while (!name.empty() && (name.back() == '.' || name.back() == ' ')) name.remove_suffix(1);
  return name;
}

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return result;
}

// Git sorts folders as if their names ended in a slash.
bool in_order(const TreeEntry& a, const TreeEntry& b) {
  const std::size_t common = std::min(a.name.size(), b.name.size());
  const int compared = a.name.substr(0, common).compare(b.name.substr(0, common));
  if (compared != 0) return compared < 0;
  const auto next = [common](const TreeEntry& entry) -> unsigned char {
    if (entry.name.size() > common) return static_cast<unsigned char>(entry.name[common]);
    return static_cast<unsigned char>(entry.kind == EntryKind::folder ? '/' : 0);
  };
  return next(a) < next(b);
}

std::optional<EntryKind> kind_of(std::string_view octal) {
  unsigned mode = 0;
  const auto [end, error] = std::from_chars(octal.data(), octal.data() + octal.size(), mode, 8);
  if (error != std::errc() || end != octal.data() + octal.size()) return std::nullopt;
  switch (mode & mode_kind) {
    case mode_folder: return EntryKind::folder;
    case mode_link: return EntryKind::link;
    case mode_submodule: return EntryKind::submodule;
    case mode_file: return (mode & mode_executable) != 0 ? EntryKind::program : EntryKind::file;
    default: return std::nullopt;
  }
}

// The header of a commit or tag, line by line; stops at the empty line before the message.
std::string_view next_line(std::string_view& rest) {
  const std::size_t end = std::min(rest.find('\n'), rest.size());
  const std::string_view line = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return line;
}

std::optional<Id> id_after(std::string_view line, std::string_view word) {
  if (!line.starts_with(word)) return std::nullopt;
  return Id::parse(line.substr(word.size()));
}

// "Ada <ada@example.com> 1700000000 +0100"
std::optional<std::int64_t> time_of(std::string_view person) {
  const std::size_t zone = person.rfind(' ');
  if (zone == std::string_view::npos || zone == 0) return std::nullopt;
  const std::size_t before = person.rfind(' ', zone - 1);
  if (before == std::string_view::npos) return std::nullopt;
  const std::string_view digits = person.substr(before + 1, zone - before - 1);
  std::int64_t seconds = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), seconds);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return seconds;
}

}  // namespace

std::optional<Id> Id::parse(std::string_view hex) {
  Id id;
  if (hex.size() != 2 * id.bytes.size()) return std::nullopt;
  for (std::size_t i = 0; i < id.bytes.size(); ++i) {
    const std::optional<unsigned char> high = hex_value(hex[2 * i]);
    const std::optional<unsigned char> low = hex_value(hex[2 * i + 1]);
    if (!high || !low) return std::nullopt;
    id.bytes[i] = static_cast<unsigned char>(*high << 4 | *low);
  }
  return id;
}

Id Id::from_raw(std::string_view raw) {
  Id id;
  KN_ASSERT(raw.size() == id.bytes.size());
  std::memcpy(id.bytes.data(), raw.data(), raw.size());
  return id;
}

std::string Id::hex() const {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  text.reserve(2 * bytes.size());
  for (const unsigned char byte : bytes) {
    text.push_back(digits[byte >> 4]);
    text.push_back(digits[byte & 15]);
  }
  return text;
}

bool is_forbidden_name(std::string_view name) {
  if (name.empty() || name == "." || name == ".." || name.find('/') != name.npos) return true;
  const std::string seen = lower(without_ignored(name));
  const std::string_view short_form = as_on_ntfs(seen);
  return seen == ".git" || short_form == ".git" || short_form == "git~1";
}

Result<std::vector<TreeEntry>> parse_tree(std::string_view bytes) {
  std::vector<TreeEntry> entries;
  while (!bytes.empty()) {
    const std::size_t space = bytes.find(' ');
    const std::size_t zero = bytes.find('\0');
    if (space > zero || zero == bytes.npos || bytes.size() - zero - 1 < sizeof(Id::bytes)) {
      return damaged_tree("an entry is cut short");
    }
    const std::string_view name = bytes.substr(space + 1, zero - space - 1);
    const std::optional<EntryKind> kind = kind_of(bytes.substr(0, space));
    if (!kind) return damaged_tree("the mode of " + quoted(name) + " is none");
    if (is_forbidden_name(name)) {
      return fail(Errc::invalid_argument,
                  "the commit has a file named " + quoted(name) + ", which is not permitted");
    }
    entries.push_back({*kind, name, Id::from_raw(bytes.substr(zero + 1, sizeof(Id::bytes)))});
    bytes.remove_prefix(zero + 1 + sizeof(Id::bytes));
    if (entries.size() > 1 && !in_order(entries[entries.size() - 2], entries.back())) {
      return damaged_tree(quoted(name) + " is out of order");
    }
  }
  // A file and a folder of one name need not stand side by side.
  std::vector<std::string_view> names;
  names.reserve(entries.size());
  for (const TreeEntry& entry : entries) names.push_back(entry.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) return damaged_tree(quoted(*twice) + " is there twice");
  return entries;
}

Result<Commit> parse_commit(std::string_view bytes) {
  Commit commit;
  const std::optional<Id> tree = id_after(next_line(bytes), "tree ");
  if (!tree) return fail(Errc::invalid_argument, "the commit is damaged: it names no tree");
  commit.tree = *tree;
  for (std::string_view line = next_line(bytes); !line.empty(); line = next_line(bytes)) {
    if (line.starts_with("parent ")) commit.has_parents = true;
    if (!line.starts_with("committer ")) continue;
    const std::optional<std::int64_t> time = time_of(line);
    if (!time) break;
    commit.time_seconds = *time;
    return commit;
  }
  return fail(Errc::invalid_argument, "the commit is damaged: it has no time");
}

Result<Id> parse_tag(std::string_view bytes) {
  const std::optional<Id> target = id_after(next_line(bytes), "object ");
  if (!target) return fail(Errc::invalid_argument, "the tag is damaged: it names no object");
  return *target;
}

}  // namespace knative::builder::git
