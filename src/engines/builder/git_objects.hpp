// Git's objects as far as checking a commit out needs them: ids, trees, commits and tags. Pure.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "knative/error.hpp"

namespace knative::builder::git {

// The name of an object: SHA-1 of its type, size and bytes.
struct Id {
  std::array<unsigned char, 20> bytes{};

  static std::optional<Id> parse(std::string_view hex);  // 40 digits
  static Id from_raw(std::string_view raw);              // 20 bytes
  std::string hex() const;
  std::string_view raw() const {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  friend auto operator<=>(const Id&, const Id&) = default;
};

// An id is a hash already.
struct IdHash {
  std::size_t operator()(const Id& id) const noexcept {
    std::size_t value = 0;
    std::memcpy(&value, id.bytes.data(), sizeof value);
    return value;
  }
};

// The numbers are those of packs.
enum class ObjectType : unsigned char { commit = 1, tree = 2, blob = 3, tag = 4 };

enum class EntryKind : unsigned char { folder, file, program, link, submodule };

struct TreeEntry {
  EntryKind kind;
  std::string_view name;
  Id id;
};

// A name that must not become a file's: none, "." and "..", one with a slash, and all that some
// file system takes for ".git".
bool is_forbidden_name(std::string_view name);

// The entries refer to `bytes`. `invalid_argument` unless all names are permitted, each is there
// once, and they are in git's order.
Result<std::vector<TreeEntry>> parse_tree(std::string_view bytes);

struct Commit {
  Id tree;
  bool has_parents = false;
  std::int64_t time_seconds = 0;  // the committer's
};
Result<Commit> parse_commit(std::string_view bytes);

// What an annotated tag is of: any object.
Result<Id> parse_tag(std::string_view bytes);

}  // namespace knative::builder::git
