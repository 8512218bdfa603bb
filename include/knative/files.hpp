/// \file
/// The file system as a capability. Calls block: what may be slow belongs on `Env::disk`.
///
/// \code
/// kn::Result<std::string> text = files.read_file("/etc/app.json");
/// kn::Result<void> written = files.write_file("/var/lib/app/state", bytes);  // durable, atomic
/// \endcode
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "knative/error.hpp"

namespace knative {

/// An open file. Calls block; use `Offload` for slow ones. Distinct offsets may be used from
/// several threads at once.
class KNATIVE_EXPORT File {
 public:
  virtual ~File() = default;
  /// Read up to `into.size()` bytes at `offset`; fewer only at the end of the file.
  virtual Result<std::size_t> read_at(std::uint64_t offset, std::span<char> into) = 0;
  /// Write all of `bytes` at `offset`. `resource_exhausted` when the disk is full; then a prefix
  /// may have been written.
  virtual Result<void> write_at(std::uint64_t offset, std::string_view bytes) = 0;
  /// Make written bytes durable (fdatasync). After a failure the file's state is unknown.
  virtual Result<void> sync() = 0;
  virtual Result<void> truncate(std::uint64_t size) = 0;
  virtual Result<std::uint64_t> size() = 0;
  /// Whether `path` names this very file: false once it was removed, renamed or replaced, or a
  /// directory above it was. What is written then is lost with the last `File`. Costs no disk
  /// access as a rule.
  virtual Result<bool> is_at(const std::string& path) = 0;
};

/// How to open a file; by default for reading only.
struct OpenOptions {
  bool write = false;
  bool create = false;     ///< Create when absent.
  bool truncate = false;   ///< Empty it when present.
  bool exclusive = false;  ///< With `create`: fail with `already_exists` when present.
  unsigned mode = 0644;
};

/// What a path names.
enum class FileType : unsigned char { regular, directory, symlink, other };

/// Metadata of one path.
struct FileInfo {
  std::string name;  ///< Last path component.
  FileType type = FileType::regular;
  std::uint64_t size_bytes = 0;
  unsigned mode = 0;
  std::uint64_t id = 0;  ///< The same for every name of one file, while it exists.
  unsigned links = 1;    ///< How many names a file has.
  std::uint32_t owner = 0;
  std::uint32_t group = 0;
  std::int64_t modified_ns = 0;  ///< Since the epoch.
};

/// A named pipe or a device node.
struct SpecialFile {
  enum class Kind : unsigned char { pipe, character_device, block_device };
  std::string name;  ///< Where it belongs, relative to whatever it is part of; may be empty.
  Kind kind = Kind::pipe;
  unsigned mode = 0644;
  unsigned major = 0;  ///< Of a device.
  unsigned minor = 0;
  friend bool operator==(const SpecialFile&, const SpecialFile&) = default;
};

/// Extended attributes by name ("user.note"), with their bytes.
using FileAttributes = std::map<std::string, std::string, std::less<>>;

/// The file system. Paths are UTF-8 with '/'; errors name the path. Calls block.
/// Thread-safe.
class KNATIVE_EXPORT Files {
 public:
  virtual Result<std::unique_ptr<File>> open(const std::string& path,
                                             const OpenOptions& options) = 0;
  /// Metadata without following a final symbolic link.
  virtual Result<FileInfo> info(const std::string& path) = 0;
  /// Entries sorted by name, without "." and "..".
  virtual Result<std::vector<FileInfo>> list(const std::string& directory) = 0;
  /// Create a directory and its parents; succeeds when it exists.
  virtual Result<void> make_directories(const std::string& path) = 0;
  /// See to it that something is at `relative` below `directory`: what is there, a file, too, or
  /// else folders. Links are followed as long as they stay below, whatever others change there
  /// meanwhile; `invalid_argument` where one leads out or nowhere, naming `relative` alone.
  virtual Result<void> make_inside(const std::string& directory, const std::string& relative);
  virtual Result<void> make_symlink(const std::string& target, const std::string& path) = 0;
  virtual Result<std::string> read_symlink(const std::string& path) = 0;
  virtual Result<void> set_mode(const std::string& path, unsigned mode) = 0;
  /// Atomically replace `to` by `from`.
  virtual Result<void> rename(const std::string& from, const std::string& to) = 0;
  virtual Result<void> remove(const std::string& path) = 0;
  /// What everything below `directory` takes on disk, links not followed, for each name at least
  /// 4096 bytes; counted no further than beyond `bytes_max`. `resource_exhausted` below 256
  /// folders.
  virtual Result<std::uint64_t> disk_usage(const std::string& directory, std::uint64_t bytes_max);
  /// Remove a tree without following symbolic links; succeeds when absent.
  virtual Result<void> remove_all(const std::string& path) = 0;
  /// Make entries of a directory durable (fsync of the directory).
  virtual Result<void> sync_directory(const std::string& path) = 0;
  /// Create a fresh private directory whose name begins with `prefix`.
  virtual Result<std::string> make_temporary_directory(const std::string& prefix) = 0;
  /// Hold `path` as a lock file until the returned file is destroyed; `failed_precondition` when
  /// another holder exists.
  virtual Result<std::unique_ptr<File>> lock(const std::string& path) = 0;

  // What roots of containers need beside. None follows a symbolic link at the end of its path;
  // `failed_precondition` when this process may not, `unimplemented` when this file system cannot.

  /// A second name for the regular file at `existing`.
  virtual Result<void> make_hard_link(const std::string& existing, const std::string& path);
  virtual Result<void> set_owner(const std::string& path, std::uint32_t owner, std::uint32_t group);
  /// Nanoseconds since the epoch, of the content; the time of access becomes the same.
  virtual Result<void> set_modified(const std::string& path, std::int64_t nanoseconds);
  virtual Result<void> set_attribute(const std::string& path, const std::string& name,
                                     std::string_view value);
  /// All that this process may read, "security.capability" among them.
  virtual Result<FileAttributes> attributes(const std::string& path);
  /// `unimplemented` when this process may not make it here.
  virtual Result<void> make_special(const std::string& path, const SpecialFile& file);
  /// What lies at `path`; `unimplemented` for what is neither a pipe nor a device, as a socket.
  virtual Result<SpecialFile> special(const std::string& path);
  /// These are the operating system's files: a library that opens a path by itself sees the same.
  virtual bool native() const noexcept { return false; }

  Result<std::string> read_file(const std::string& path,
                                std::uint64_t bytes_max = std::uint64_t{64} << 20);
  /// Write through a temporary file, sync, rename, sync the directory.
  Result<void> write_file(const std::string& path, std::string_view bytes, unsigned mode = 0644);

 protected:
  ~Files() = default;
};

}  // namespace knative
