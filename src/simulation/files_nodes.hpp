// What the in-memory disk is made of: files and folders, their durable state and what is pending.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "knative/files.hpp"

namespace knative::simulation {

struct Change {
  bool truncate = false;
  std::uint64_t offset = 0;  // or the new size
  std::string bytes;
};

struct Node {
  FileType type = FileType::regular;
  unsigned mode = 0644;
  std::string data;     // or the target of a symbolic link
  std::string durable;  // regular files only
  std::vector<Change> pending;
  std::map<std::string, std::shared_ptr<Node>> entries;
  std::map<std::string, std::shared_ptr<Node>> durable_entries;
  bool locked = false;
  std::optional<SpecialFile> special;  // pipes and devices
  std::uint64_t id = 0;                // given when it gets its first name
  unsigned links = 0;
  std::uint32_t owner = 0;
  std::uint32_t group = 0;
  std::int64_t modified_ns = 0;
  FileAttributes attributes;
};
using NodePtr = std::shared_ptr<Node>;

struct EntryChange {
  NodePtr directory;
  std::string name;
  NodePtr node;  // null: removed
};
using Transaction = std::vector<EntryChange>;

inline void apply(std::string& content, const Change& change, std::size_t bytes_max) {
  if (change.truncate) {
    content.resize(static_cast<std::size_t>(change.offset));
    return;
  }
  const std::string_view bytes = std::string_view(change.bytes).substr(0, bytes_max);
  if (bytes.empty()) return;
  const auto offset = static_cast<std::size_t>(change.offset);
  if (content.size() < offset) content.resize(offset);
  content.replace(offset, std::min(bytes.size(), content.size() - offset), bytes);
}

inline void apply(const Transaction& transaction) {
  for (const EntryChange& change : transaction) {
    if (change.node == nullptr) {
      change.directory->durable_entries.erase(change.name);
    } else {
      change.directory->durable_entries[change.name] = change.node;
    }
  }
}

inline std::vector<std::string> components(std::string_view path) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  while (begin < path.size()) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    if (end > begin && path.substr(begin, end - begin) != ".") {
      parts.emplace_back(path.substr(begin, end - begin));
    }
    begin = end + 1;
  }
  return parts;
}

}  // namespace knative::simulation
