// What is done with whole trees of files, whatever world they are in.
#pragma once

#include <string>

#include "knative/error.hpp"
#include "knative/files.hpp"

namespace knative::base {

/// The path from the root: a relative one begins at the process's working directory, in a
/// simulation at the root.
std::string absolute_path(Files& files, const std::string& path);

/// The directory that `path` is in: "/" of "/a", "." of "a".
std::string parent_of(const std::string& path);

/// Make a directory whose name survives a crash. Those above it are made and become durable one
/// after the other, from above, so that one that is there is so for good, but for its own name:
/// that is made durable again, because who made it may have been stopped in between. A directory
/// that may not be read was not made here and is not synced.
Result<void> make_durable_directory(Files& files, const std::string& path);

/// An empty file of the real world that only its user may read, for a library that makes its own
/// more open. One that is there, and what cannot be made, is left alone without being opened: to
/// close it would take its locks.
void claim_private_file(const std::string& path) noexcept;

/// Copy a regular file to `to`, which must not exist, with its mode. Shares the blocks where the
/// file system can (reflink), else copies inside the kernel where there is one.
Result<void> clone_file(Files& files, const std::string& from, const std::string& to,
                        unsigned mode);

/// Copy everything below `from` into the new directory `to`, symbolic links, pipes and devices
/// as they are. Sockets are left out. On failure what was copied is removed.
Result<void> clone_tree(Files& files, const std::string& from, const std::string& to);

/// `Files::lock`, tried for half a second of real time: the children of a holder that was killed
/// have its files until the kernel has ended them. Blocks.
Result<std::unique_ptr<File>> lock_soon(Files& files, const std::string& path);

/// Remove what others have left: the directories in `parent` whose names begin with `prefix` and
/// whose lock file nobody holds any more. Those without a lock file are left alone unless
/// `without_lock`. What cannot be removed stays.
void sweep_directories(Files& files, const std::string& parent, std::string_view prefix,
                       bool without_lock);

/// Name of the lock file in such a directory.
inline constexpr std::string_view owner_lock = ".owner";

}  // namespace knative::base
