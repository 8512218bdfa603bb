// The calls of Linux 5.2 and 5.12 that move mounts about, by number: not every C library names
// them. Between clone and exec: they are nothing but system calls.
#pragma once

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdint>
#include <string>

namespace knative::base {

inline constexpr long call_open_tree = 428;
inline constexpr long call_move_mount = 429;
inline constexpr long call_fsopen = 430;
inline constexpr long call_fsconfig = 431;
inline constexpr long call_fsmount = 432;
inline constexpr long call_openat2 = 437;
inline constexpr long call_mount_setattr = 442;
inline constexpr unsigned open_tree_clone = 1;
inline constexpr unsigned mount_recursive = 0x8000;      // AT_RECURSIVE
inline constexpr unsigned move_mount_from_empty = 0x4;   // MOVE_MOUNT_F_EMPTY_PATH
inline constexpr std::uint64_t mount_read_only = 0x1;    // MOUNT_ATTR_RDONLY
inline constexpr std::uint64_t mount_no_set_id = 0x2;    // MOUNT_ATTR_NOSUID
inline constexpr std::uint64_t mount_no_devices = 0x4;   // MOUNT_ATTR_NODEV
inline constexpr std::uint64_t mount_no_programs = 0x8;  // MOUNT_ATTR_NOEXEC

inline constexpr std::uint64_t resolve_no_magic_links = 2;  // RESOLVE_NO_MAGICLINKS

struct MountAttributes {
  std::uint64_t set = 0;
  std::uint64_t clear = 0;
  std::uint64_t propagation = 0;
  std::uint64_t user_namespace = 0;
};

/// What is at `path` with everything mounted below, as a tree of its own; negative: see errno.
inline int clone_tree(int folder, const char* path) noexcept {
  return static_cast<int>(
      ::syscall(call_open_tree, folder, path, open_tree_clone | O_CLOEXEC | mount_recursive));
}

/// A new file system of the kernel's, as a tree that is nowhere yet; negative: see errno.
inline int new_tree(const char* type, std::uint64_t attributes) noexcept {
  constexpr unsigned create = 6;  // FSCONFIG_CMD_CREATE
  constexpr unsigned close_on_exec = 1;
  const int made = static_cast<int>(::syscall(call_fsopen, type, close_on_exec));
  if (made < 0) return -1;
  const bool good = ::syscall(call_fsconfig, made, create, nullptr, nullptr, 0) == 0;
  const int tree =
      good ? static_cast<int>(::syscall(call_fsmount, made, close_on_exec, attributes)) : -1;
  const int error = errno;
  ::close(made);
  errno = error;
  return tree;
}

/// What is at `path` below the open folder, through no link that leads out; negative: see errno,
/// EXDEV for such a link.
inline int open_beneath(int folder, const char* path) noexcept {
  constexpr std::uint64_t beneath = 8;  // RESOLVE_BENEATH
  const std::uint64_t how[3] = {O_PATH | O_CLOEXEC, 0, beneath | resolve_no_magic_links};
  return static_cast<int>(::syscall(call_openat2, folder, path, how, sizeof how));
}

/// What is at `source`; below the folder `within`, unless that is empty, as `open_beneath`.
inline int open_within(const std::string& source, const std::string& within) noexcept {
  if (within.empty()) return ::open(source.c_str(), O_PATH | O_CLOEXEC);
  const int folder = ::open(within.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return -1;
  const int place = open_beneath(folder, source.c_str() + within.size() + 1);
  const int error = errno;
  ::close(folder);
  errno = error;
  return place;
}

/// A tree of what `open_within` finds: it is looked at once, and what was seen is cloned, whatever
/// others do there meanwhile.
inline int clone_tree_within(const std::string& source, const std::string& within) noexcept {
  const int place = open_within(source, within);
  if (place < 0) return -1;
  const int tree = static_cast<int>(::syscall(
      call_open_tree, place, "", open_tree_clone | O_CLOEXEC | mount_recursive | AT_EMPTY_PATH));
  const int error = errno;
  ::close(place);
  errno = error;
  return tree;
}

inline bool set_tree_attributes(int tree, std::uint64_t set) noexcept {
  MountAttributes attributes;
  attributes.set = set;
  return ::syscall(call_mount_setattr, tree, "", AT_EMPTY_PATH | mount_recursive, &attributes,
                   sizeof attributes) == 0;
}

/// Closes it in any case; false: see errno.
inline bool attach_tree(int tree, const char* target) noexcept {
  const bool done =
      ::syscall(call_move_mount, tree, "", AT_FDCWD, target, move_mount_from_empty) == 0;
  const int error = errno;
  ::close(tree);
  errno = error;
  return done;
}

/// Where nothing may be mounted at, because of how it is written.
inline bool mount_target_is_bad(const std::string& target) {
  return target.size() < 2 || target.front() != '/' || target.size() >= PATH_MAX ||
         (target + "/").find("/../") != std::string::npos;
}

}  // namespace knative::base
