// Files of the real world: plain system calls, no state, hence thread-safe.
#include "base/files_posix.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/file_descriptor.hpp"
#include "base/mount_calls.hpp"
#include "base/posix_error.hpp"

namespace knative::base {

Error posix_error(int number, const std::string& what) {
  Errc code = Errc::internal;
  switch (number) {
    case ENOENT:
    case ENOTDIR: code = Errc::not_found; break;
    case EEXIST:
    case EADDRINUSE: code = Errc::already_exists; break;
    case EINVAL:
    case ENAMETOOLONG:
    case ELOOP:
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT: code = Errc::invalid_argument; break;
    case EACCES:
    case EPERM:
    case EROFS:
    case EISDIR:
    case ENOTEMPTY:
    case EXDEV:
    case ETXTBSY:
    case EBUSY: code = Errc::failed_precondition; break;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
    case EMLINK: code = Errc::resource_exhausted; break;
    case EIO:
    case ECONNREFUSED:
    case ECONNRESET:
    case ECONNABORTED:
    case EPIPE:
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case ENOTCONN:
    case EAGAIN:
    case ETIMEDOUT: code = Errc::unavailable; break;
    default: break;
  }
  const char* text = strerrordesc_np(number);
  return fail(code, what + ": " + (text != nullptr ? text : "unknown error"));
}

namespace {

template <class F>
auto retry(F call) {
  for (;;) {
    const auto result = call();
    if (result >= 0 || errno != EINTR) return result;
  }
}

class PosixFile final : public File {
 public:
  PosixFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  ~PosixFile() override { ::close(fd_); }
  PosixFile(const PosixFile&) = delete;
  PosixFile& operator=(const PosixFile&) = delete;

  Result<std::size_t> read_at(std::uint64_t offset, std::span<char> into) override {
    std::size_t filled = 0;
    while (filled < into.size()) {
      const ssize_t got = retry([&] {
        return ::pread(fd_, into.data() + filled, into.size() - filled,
                       static_cast<off_t>(offset + filled));
      });
      if (got < 0) return posix_error(errno, path_);
      if (got == 0) break;
      filled += static_cast<std::size_t>(got);
    }
    return filled;
  }

  Result<void> write_at(std::uint64_t offset, std::string_view bytes) override {
    while (!bytes.empty()) {
      const ssize_t put = retry(
          [&] { return ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset)); });
      if (put < 0) return posix_error(errno, path_);
      if (put == 0) return fail(Errc::resource_exhausted, path_ + ": nothing could be written");
      bytes.remove_prefix(static_cast<std::size_t>(put));
      offset += static_cast<std::size_t>(put);
    }
    return {};
  }

  Result<void> sync() override {
    if (retry([&] { return ::fdatasync(fd_); }) < 0) return posix_error(errno, path_);
    return {};
  }

  Result<bool> is_at(const std::string& path) override {
    struct stat mine {};
    struct stat there {};
    if (::fstat(fd_, &mine) < 0) return posix_error(errno, path_);
    if (::lstat(path.c_str(), &there) < 0) {
      if (errno == ENOENT || errno == ENOTDIR) return false;
      return posix_error(errno, path);
    }
    return mine.st_dev == there.st_dev && mine.st_ino == there.st_ino;
  }

  Result<void> truncate(std::uint64_t size) override {
    if (retry([&] { return ::ftruncate(fd_, static_cast<off_t>(size)); }) < 0) {
      return posix_error(errno, path_);
    }
    return {};
  }

  Result<std::uint64_t> size() override {
    struct stat status;
    if (::fstat(fd_, &status) < 0) return posix_error(errno, path_);
    return static_cast<std::uint64_t>(status.st_size);
  }

 private:
  const int fd_;
  const std::string path_;
};

std::string_view last_component(std::string_view path) {
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  const std::size_t slash = path.rfind('/');
  return slash == path.npos || path.size() == 1 ? path : path.substr(slash + 1);
}

constexpr std::int64_t nanoseconds_per_second = 1'000'000'000;

FileInfo info_of(const struct stat& status, std::string_view name) {
  FileInfo info;
  info.name = name;
  info.type = S_ISREG(status.st_mode)   ? FileType::regular
              : S_ISDIR(status.st_mode) ? FileType::directory
              : S_ISLNK(status.st_mode) ? FileType::symlink
                                        : FileType::other;
  info.size_bytes = static_cast<std::uint64_t>(status.st_size);
  info.mode = status.st_mode & 07777;
  // Numbers of files begin anew on each file system, those of file systems are small.
  info.id = status.st_ino ^ (static_cast<std::uint64_t>(status.st_dev) << 44);
  info.links = static_cast<unsigned>(status.st_nlink);
  info.owner = status.st_uid;
  info.group = status.st_gid;
  info.modified_ns =
      std::int64_t{status.st_mtim.tv_sec} * nanoseconds_per_second + status.st_mtim.tv_nsec;
  return info;
}

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};
using Directory = std::unique_ptr<DIR, CloseDirectory>;

/// Names of the entries below an open directory.
std::vector<std::string> entry_names(DIR* directory) {
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(directory)) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  return names;
}

/// Deeper folders are moved up before they are emptied: each level holds an open descriptor.
constexpr unsigned removal_depth_max = 64;

/// What a removal of a tree knows on every level.
struct Removal {
  int top = -1;  ///< The folder that deep ones are moved into.
  unsigned long moved = 0;
};

int move_aside(int parent, const char* name, Removal& removal) {
  while (true) {
    const std::string aside = ".removed-" + std::to_string(removal.moved++);
    if (::renameat(parent, name, removal.top, aside.c_str()) == 0) return 0;
    // Another tree may have such a name itself.
    if (errno != EEXIST && errno != ENOTEMPTY && errno != ENOTDIR) return errno;
  }
}

/// Remove `name` below the directory `parent` and everything in it. By descriptors, so that a
/// directory that is swapped for a symbolic link meanwhile leads nowhere.
int remove_below(int parent, const char* name, Removal& removal, unsigned depth) {
  if (::unlinkat(parent, name, 0) == 0 || errno == ENOENT) return 0;
  if (errno != EISDIR && errno != EPERM) return errno;
  if (depth == removal_depth_max) return move_aside(parent, name, removal);
  const int fd = ::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT ? 0 : errno;
  const Directory directory(::fdopendir(fd));
  if (directory == nullptr) {
    const int error = errno;
    ::close(fd);
    return error;
  }
  if (depth == 0) removal.top = fd;
  for (unsigned long before = removal.moved + 1; before != removal.moved;) {
    before = removal.moved;
    ::rewinddir(directory.get());
    for (const std::string& entry : entry_names(directory.get())) {
      if (const int error = remove_below(fd, entry.c_str(), removal, depth + 1); error != 0) {
        return error;
      }
    }
    if (depth != 0) break;
  }
  return ::unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : errno;
}

int remove_tree(const char* path) {
  Removal removal;
  return remove_below(AT_FDCWD, path, removal, 0);
}

constexpr unsigned counted_depth_max = 256;  // each level holds a descriptor
constexpr std::uint64_t stored_unit = 512;   // of st_blocks
constexpr std::uint64_t name_bytes = 4096;

/// Add what is below the folder `name` of `parent`; ELOOP where that is too deep.
int count_below(int parent, const char* name, std::uint64_t bytes_max, std::uint64_t& bytes,
                unsigned depth) {
  if (depth == counted_depth_max) return ELOOP;
  const int fd = ::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? 0 : errno;
  const Directory directory(::fdopendir(fd));
  if (directory == nullptr) {
    const int error = errno;
    ::close(fd);
    return error;
  }
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::string_view below = entry->d_name;
    if (below == "." || below == "..") continue;
    struct stat status;
    if (::fstatat(fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0) continue;  // gone
    bytes += std::max(static_cast<std::uint64_t>(status.st_blocks) * stored_unit, name_bytes);
    if (bytes > bytes_max) return 0;
    if (!S_ISDIR(status.st_mode)) continue;
    if (const int error = count_below(fd, entry->d_name, bytes_max, bytes, depth + 1); error != 0) {
      return error;
    }
    if (bytes > bytes_max) return 0;
  }
  return 0;
}

int look_beneath(int root, const std::string& relative) {
  const FileDescriptor there(open_beneath(root, relative.c_str()));
  return there.fd < 0 ? errno : 0;
}

/// A folder where nothing is, below one that is there.
int make_beneath(int root, const std::string& relative) {
  const std::size_t slash = relative.rfind('/');
  const std::string above = slash == relative.npos ? "." : relative.substr(0, slash);
  const FileDescriptor folder(open_beneath(root, above.c_str()));
  if (folder.fd < 0) return errno;
  const std::string name = slash == relative.npos ? relative : relative.substr(slash + 1);
  // Somebody may have been faster, or a link leads nowhere.
  if (::mkdirat(folder.fd, name.c_str(), 0755) < 0 && errno != EEXIST) return errno;
  return look_beneath(root, relative);
}

/// 0 when the directory is there now.
int make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0755) == 0) return 0;
  const int error = errno;
  struct stat status;
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode) ? 0 : error;
}

/// How much of the first `length` bytes of a path names what is above; 0 when nothing does.
std::size_t parent_length(const std::string& path, std::size_t length) {
  const std::size_t last = path.find_last_not_of('/', length - 1);
  const std::size_t slash = last == path.npos ? last : path.rfind('/', last);
  return slash == path.npos ? 0 : slash;
}

/// What a system call that fills a buffer gives; false: there is no such thing here. On an error
/// errno tells.
template <class Call>
Result<bool> grow_to(std::string& into, Call call) {
  while (true) {
    const ssize_t needed = call(nullptr, 0);
    if (needed < 0) break;
    into.resize(static_cast<std::size_t>(needed));
    if (needed == 0) return true;
    const ssize_t got = call(into.data(), into.size());
    if (got >= 0) {
      into.resize(static_cast<std::size_t>(got));
      return true;
    }
    if (errno != ERANGE) break;  // it has grown meanwhile
  }
  if (errno == EOPNOTSUPP || errno == ENODATA) return false;
  return posix_error(errno, "extended attributes");
}

class PosixFiles final : public PosixFilesBase {
 public:
  Result<std::unique_ptr<File>> open(const std::string& path, const OpenOptions& options) override {
    int flags = O_CLOEXEC | (options.write ? O_RDWR : O_RDONLY);
    if (options.create) flags |= O_CREAT;
    if (options.create && options.exclusive) flags |= O_EXCL;
    if (options.truncate) flags |= O_TRUNC;
    const int fd = retry([&] { return ::open(path.c_str(), flags, options.mode); });
    if (fd < 0) return posix_error(errno, path);
    return std::unique_ptr<File>(std::make_unique<PosixFile>(fd, path));
  }

  Result<FileInfo> info(const std::string& path) override {
    struct stat status;
    if (::lstat(path.c_str(), &status) < 0) return posix_error(errno, path);
    return info_of(status, last_component(path));
  }

  Result<std::vector<FileInfo>> list(const std::string& path) override {
    const Directory directory(::opendir(path.c_str()));
    if (directory == nullptr) return posix_error(errno, path);
    std::vector<FileInfo> entries;
    for (const std::string& name : entry_names(directory.get())) {
      struct stat status;
      if (::fstatat(::dirfd(directory.get()), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) < 0) {
        if (errno == ENOENT) continue;  // removed meanwhile
        return posix_error(errno, path + "/" + name);
      }
      entries.push_back(info_of(status, name));
    }
    std::sort(entries.begin(), entries.end(),
              [](const FileInfo& a, const FileInfo& b) { return a.name < b.name; });
    return entries;
  }

  Result<void> make_directories(const std::string& path) override {
    // From the end backwards: of a deep tree nearly everything is there, and each look walks the
    // whole path.
    std::size_t end = path.size();
    while (end > 0 && make_directory(path.substr(0, end)) != 0) end = parent_length(path, end);
    while (end < path.size()) {
      end = std::min(path.find('/', end + 1), path.size());
      const std::string part = path.substr(0, end);
      if (const int error = make_directory(part); error != 0) return posix_error(error, part);
    }
    return {};
  }

  Result<void> make_symlink(const std::string& target, const std::string& path) override {
    if (::symlink(target.c_str(), path.c_str()) < 0) return posix_error(errno, path);
    return {};
  }

  Result<std::string> read_symlink(const std::string& path) override {
    std::string target(256, '\0');
    for (;;) {
      const ssize_t length = ::readlink(path.c_str(), target.data(), target.size());
      if (length < 0) return posix_error(errno, path);
      if (static_cast<std::size_t>(length) < target.size()) {
        target.resize(static_cast<std::size_t>(length));
        return target;
      }
      target.resize(target.size() * 2);  // it may have been cut
    }
  }

  Result<void> set_mode(const std::string& path, unsigned mode) override {
    if (::chmod(path.c_str(), mode) < 0) return posix_error(errno, path);
    return {};
  }

  Result<void> rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) < 0) return posix_error(errno, from + " -> " + to);
    return {};
  }

  Result<void> remove(const std::string& path) override {
    if (::remove(path.c_str()) < 0) return posix_error(errno, path);
    return {};
  }

  Result<void> remove_all(const std::string& path) override {
    if (const int error = remove_tree(path.c_str()); error != 0) {
      return posix_error(error, path);
    }
    return {};
  }

  Result<void> make_inside(const std::string& directory, const std::string& relative) override {
    const FileDescriptor root(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (root.fd < 0) return posix_error(errno, directory);
    for (std::size_t end = 0; end != relative.npos;) {
      end = relative.find('/', end + 1);
      const std::string prefix = relative.substr(0, end);
      int error = look_beneath(root.fd, prefix);
      if (error == ENOSYS) return Files::make_inside(directory, relative);
      if (error == ENOENT) error = make_beneath(root.fd, prefix);
      if (error == ENOENT || error == EXDEV || error == ELOOP) {
        return fail(Errc::invalid_argument,
                    "\"" + relative + "\" leads out of its folder, or nowhere, by a link");
      }
      if (error != 0) return posix_error(error, "\"" + relative + "\"");
    }
    return {};
  }

  Result<std::uint64_t> disk_usage(const std::string& path, std::uint64_t bytes_max) override {
    std::uint64_t bytes = 0;
    const int error = count_below(AT_FDCWD, path.c_str(), bytes_max, bytes, 0);
    if (error == ELOOP) {
      return fail(Errc::resource_exhausted, path + ": its folders are more than " +
                                                std::to_string(counted_depth_max) + " deep");
    }
    if (error != 0) return posix_error(error, path);
    return bytes;
  }

  Result<void> sync_directory(const std::string& path) override {
    const int fd = retry([&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
    if (fd < 0) return posix_error(errno, path);
    const int result = retry([&] { return ::fsync(fd); });
    const int error = errno;
    ::close(fd);
    // Some file systems have nothing to sync in a directory and say EINVAL.
    if (result < 0 && error != EINVAL) return posix_error(error, path);
    return {};
  }

  Result<std::string> make_temporary_directory(const std::string& prefix) override {
    std::string path = prefix;
    if (path.find('/') == path.npos) {
      const char* parent = ::secure_getenv("TMPDIR");
      path = std::string(parent != nullptr && *parent == '/' ? parent : "/tmp") + "/" + path;
    }
    path.append(6, 'X');  // for mkdtemp to fill in
    if (::mkdtemp(path.data()) == nullptr) return posix_error(errno, path);
    return path;
  }

  bool native() const noexcept override { return true; }

  Result<void> make_hard_link(const std::string& existing, const std::string& path) override {
    if (::linkat(AT_FDCWD, existing.c_str(), AT_FDCWD, path.c_str(), 0) < 0) {
      return posix_error(errno, path);
    }
    return {};
  }

  Result<void> set_owner(const std::string& path, std::uint32_t owner,
                         std::uint32_t group) override {
    if (::lchown(path.c_str(), owner, group) < 0) return posix_error(errno, path);
    return {};
  }

  Result<void> set_modified(const std::string& path, std::int64_t nanoseconds) override {
    struct timespec time {};
    time.tv_sec = nanoseconds / nanoseconds_per_second;
    time.tv_nsec = nanoseconds % nanoseconds_per_second;
    if (time.tv_nsec < 0) {  // before the epoch
      --time.tv_sec;
      time.tv_nsec += nanoseconds_per_second;
    }
    const struct timespec both[2] = {time, time};
    if (::utimensat(AT_FDCWD, path.c_str(), both, AT_SYMLINK_NOFOLLOW) < 0) {
      return posix_error(errno, path);
    }
    return {};
  }

  Result<void> set_attribute(const std::string& path, const std::string& name,
                             std::string_view value) override {
    if (::lsetxattr(path.c_str(), name.c_str(), value.data(), value.size(), 0) == 0) return {};
    if (errno != EOPNOTSUPP) return posix_error(errno, path + ": " + name);
    return fail(Errc::unimplemented, path + ": " + name + " cannot be kept here");
  }

  Result<FileAttributes> attributes(const std::string& path) override {
    FileAttributes all;
    std::string names;
    Result<bool> read = grow_to(names, [&](char* into, std::size_t room) {
      return ::llistxattr(path.c_str(), into, room);
    });
    if (!read) return posix_error(errno, path);
    if (!*read) return all;
    for (std::size_t at = 0; at < names.size();) {
      const std::string name = names.c_str() + at;
      at += name.size() + 1;
      std::string value;
      const auto get = [&](char* into, std::size_t room) {
        return ::lgetxattr(path.c_str(), name.c_str(), into, room);
      };
      if (Result<bool> got = grow_to(value, get); got && *got) all[name] = std::move(value);
    }
    return all;
  }

  Result<void> make_special(const std::string& path, const SpecialFile& file) override {
    const mode_t type = file.kind == SpecialFile::Kind::pipe               ? S_IFIFO
                        : file.kind == SpecialFile::Kind::character_device ? S_IFCHR
                                                                           : S_IFBLK;
    if (::mknod(path.c_str(), type | (file.mode & 0777u), makedev(file.major, file.minor)) == 0) {
      return set_mode(path, file.mode & 0777u);  // the umask may have taken bits away
    }
    if (errno != EPERM) return posix_error(errno, path);
    return fail(Errc::unimplemented, path + ": a node of this kind may not be made here");
  }

  Result<SpecialFile> special(const std::string& path) override {
    struct stat status;
    if (::lstat(path.c_str(), &status) < 0) return posix_error(errno, path);
    SpecialFile file;
    file.name = last_component(path);
    file.mode = status.st_mode & 0777u;
    if (S_ISFIFO(status.st_mode)) return file;
    if (!S_ISCHR(status.st_mode) && !S_ISBLK(status.st_mode)) {
      return fail(Errc::unimplemented, path + ": neither a pipe nor a device");
    }
    file.kind = S_ISCHR(status.st_mode) ? SpecialFile::Kind::character_device
                                        : SpecialFile::Kind::block_device;
    file.major = major(status.st_rdev);
    file.minor = minor(status.st_rdev);
    return file;
  }

  Result<std::unique_ptr<File>> lock(const std::string& path) override {
    const int fd = retry([&] { return ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644); });
    if (fd < 0) return posix_error(errno, path);
    auto file = std::make_unique<PosixFile>(fd, path);
    // flock belongs to the open file, so it also keeps out another holder in this process.
    if (retry([&] { return ::flock(fd, LOCK_EX | LOCK_NB); }) < 0) {
      if (errno == EWOULDBLOCK) {
        return fail(Errc::failed_precondition, path + ": locked by another holder");
      }
      return posix_error(errno, path);
    }
    return std::unique_ptr<File>(std::move(file));
  }
};

}  // namespace

std::unique_ptr<PosixFilesBase> make_posix_files() { return std::make_unique<PosixFiles>(); }

}  // namespace knative::base
