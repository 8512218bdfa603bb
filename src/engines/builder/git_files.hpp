// The files of a repository that holds one commit: pack, its index, and the index of the working
// tree (gitformat-pack version 2, gitformat-index version 2). Blocking.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engines/builder/git_objects.hpp"
#include "knative/files.hpp"

namespace knative::builder::git {

// SHA-1, which names things and is no secret.
class Sha1 {
 public:
  Sha1();
  ~Sha1();
  Sha1(Sha1&& other) noexcept;
  Sha1& operator=(Sha1&& other) noexcept;
  void update(std::string_view bytes);
  std::string finish();  // 20 bytes; once

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Writes whole objects, not deltas: they are read once more at the most.
class PackWriter {
 public:
  // "<path>.pack" and "<path>.idx", neither of which exists; `objects` is how many will be added.
  static Result<std::unique_ptr<PackWriter>> create(Files& files, const std::string& path,
                                                    std::uint32_t objects);
  virtual ~PackWriter() = default;
  virtual Result<void> add(const Id& id, ObjectType type, std::string_view bytes) = 0;
  virtual Result<void> finish() = 0;
};

// What git remembers of a file in order to see whether it has changed.
struct IndexEntry {
  std::string path;
  Id id;
  std::uint32_t mode = 0;  // 0100644, 0100755, 0120000 or 0160000
  std::uint32_t changed_seconds = 0, changed_nanoseconds = 0;
  std::uint32_t modified_seconds = 0, modified_nanoseconds = 0;
  std::uint32_t device = 0, inode = 0, user = 0, group = 0, size_bytes = 0;
};

// `entries` are sorted by path.
Result<void> write_index(Files& files, const std::string& path,
                         const std::vector<IndexEntry>& entries);

}  // namespace knative::builder::git
