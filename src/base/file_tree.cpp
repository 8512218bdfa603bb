#include "base/file_tree.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <vector>

#include "base/file_descriptor.hpp"
#include "base/posix_error.hpp"

namespace knative::base {
namespace {

constexpr std::size_t piece_bytes = 256 << 10;
constexpr int lock_tries_max = 50;
constexpr useconds_t lock_pause_us = 10'000;
constexpr std::size_t kernel_piece_bytes = std::size_t{1} << 30;

Result<void> copy_by_reading(Files& files, const std::string& from, const std::string& to,
                             unsigned mode) {
  Result<std::unique_ptr<File>> source = files.open(from, OpenOptions{});
  if (!source) return source.error();
  const OpenOptions how{.write = true, .create = true, .exclusive = true, .mode = mode};
  Result<std::unique_ptr<File>> target = files.open(to, how);
  if (!target) return target.error();
  std::vector<char> piece(piece_bytes);
  for (std::uint64_t at = 0;;) {
    const Result<std::size_t> got = (*source)->read_at(at, piece);
    if (!got) return got.error();
    if (*got == 0) return {};
    Result<void> written = (*target)->write_at(at, std::string_view(piece.data(), *got));
    if (!written) return written;
    at += *got;
  }
}

// False: this file system cannot do it, nothing was written.
Result<bool> copy_in_kernel(const std::string& from, const std::string& to, unsigned mode) {
  const FileDescriptor source(::open(from.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (source.fd < 0) return posix_error(errno, from);
  const FileDescriptor target(::open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (target.fd < 0) return posix_error(errno, to);
  if (::ioctl(target.fd, FICLONE, source.fd) == 0) return true;
  for (bool any = false;; any = true) {
    const ssize_t got =
        ::copy_file_range(source.fd, nullptr, target.fd, nullptr, kernel_piece_bytes, 0);
    if (got == 0) return true;
    if (got > 0 || errno == EINTR) continue;
    if (any) return posix_error(errno, to);
    ::unlink(to.c_str());
    return false;
  }
}

// Sockets are left out: nobody listens at the copy.
Result<void> clone_special(Files& files, const std::string& from, const std::string& to) {
  const Result<SpecialFile> file = files.special(from);
  if (!file && file.error().code == Errc::unimplemented) return {};
  if (!file) return file.error();
  return files.make_special(to, *file);
}

Result<void> clone_into(Files& files, const std::string& from, const std::string& to) {
  std::vector<std::string> pending{""};
  std::vector<std::pair<std::string, unsigned>> modes;  // set last: some allow no new entries
  while (!pending.empty()) {
    const std::string relative = std::move(pending.back());
    pending.pop_back();
    const Result<std::vector<FileInfo>> entries = files.list(from + relative);
    if (!entries) return entries.error();
    for (const FileInfo& entry : *entries) {
      const std::string name = relative + "/" + entry.name;
      Result<void> done;
      if (entry.type == FileType::directory) {
        done = files.make_directories(to + name);
        if ((entry.mode & 0777u) != 0755u) modes.emplace_back(to + name, entry.mode & 0777u);
        pending.push_back(name);
      } else if (entry.type == FileType::symlink) {
        const Result<std::string> target = files.read_symlink(from + name);
        if (!target) return target.error();
        done = files.make_symlink(*target, to + name);
      } else if (entry.type == FileType::regular) {
        done = clone_file(files, from + name, to + name, entry.mode);
      } else {
        done = clone_special(files, from + name, to + name);
      }
      if (!done) return done;
    }
  }
  for (const auto& [path, mode] : modes) {
    if (Result<void> set = files.set_mode(path, mode); !set) return set;
  }
  return {};
}

}  // namespace

std::string absolute_path(Files& files, const std::string& path) {
  if (path.empty() || path.front() == '/') return path;
  if (!files.native()) return "/" + path;
  std::array<char, 4096> buffer;
  const char* const directory = ::getcwd(buffer.data(), buffer.size());
  if (directory == nullptr) return path;
  std::string_view rest = path;
  while (rest.starts_with("./")) rest.remove_prefix(2);
  if (rest == ".") rest = {};
  std::string result(directory);
  if (!rest.empty()) result.append(result == "/" ? "" : "/").append(rest);
  return result;
}

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

Result<void> make_durable_directory(Files& files, const std::string& path) {
  std::vector<std::string> missing;
  std::string there = path;
  for (; there != "/" && there != "." && !files.info(there); there = parent_of(there)) {
    missing.push_back(there);
  }
  const auto sync_name = [&files](const std::string& directory) -> Result<void> {
    Result<void> synced = files.sync_directory(parent_of(directory));
    if (!synced && synced.error().code == Errc::failed_precondition) return {};
    return synced;
  };
  if (there != "/" && there != ".") {
    if (Result<void> synced = sync_name(there); !synced) return synced;
  }
  for (auto next = missing.rbegin(); next != missing.rend(); ++next) {
    if (Result<void> made = files.make_directories(*next); !made) return made;
    if (Result<void> synced = sync_name(*next); !synced) return synced;
  }
  // Something is there: a directory, or it is refused.
  return missing.empty() ? files.make_directories(path) : Result<void>();
}

void claim_private_file(const std::string& path) noexcept {
  const FileDescriptor made(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR));
}

Result<void> clone_file(Files& files, const std::string& from, const std::string& to,
                        unsigned mode) {
  if (files.native()) {
    const Result<bool> copied = copy_in_kernel(from, to, mode & 0777u);
    if (!copied) return copied.error();
    if (*copied) return {};
  }
  return copy_by_reading(files, from, to, mode & 0777u);
}

Result<void> clone_tree(Files& files, const std::string& from, const std::string& to) {
  if (Result<void> made = files.make_directories(to); !made) return made;
  Result<void> cloned = clone_into(files, from, to);
  if (!cloned) (void)files.remove_all(to);
  return cloned;
}

Result<std::unique_ptr<File>> lock_soon(Files& files, const std::string& path) {
  Result<std::unique_ptr<File>> lock = files.lock(path);
  for (int tries = 1; !lock && lock.error().code == Errc::failed_precondition; ++tries) {
    if (tries == lock_tries_max) break;
    ::usleep(lock_pause_us);
    lock = files.lock(path);
  }
  return lock;
}

void sweep_directories(Files& files, const std::string& parent, std::string_view prefix,
                       bool without_lock) {
  const Result<std::vector<FileInfo>> entries = files.list(parent);
  if (!entries) return;
  for (const FileInfo& entry : *entries) {
    if (entry.type != FileType::directory || !entry.name.starts_with(prefix)) continue;
    const std::string directory = parent + "/" + entry.name;
    const std::string lock_path = directory + "/" + std::string(owner_lock);
    if (!without_lock && !files.info(lock_path)) continue;
    const Result<std::unique_ptr<File>> lock = files.lock(lock_path);
    if (lock) (void)files.remove_all(directory);
  }
}

}  // namespace knative::base
