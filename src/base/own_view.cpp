#include "base/own_view.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <memory>

#include "base/file_descriptor.hpp"
#include "base/mount_calls.hpp"
#include "base/posix_error.hpp"

namespace knative::base {
namespace {

constexpr std::size_t mirrored_entries_max = 4096;
constexpr const char* own_size = "16m";  // of what is new in a mirrored folder

bool is_below(const std::string& path, const std::string& folder) {
  return path.size() > folder.size() && path.starts_with(folder) && path[folder.size()] == '/';
}

std::string folder_above(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

// ---------------------------------------------------------------------------- in the host

Result<OwnView::Mirror> OwnView::mirror(const std::string& folder) {
  struct stat info;
  if (::stat(folder.c_str(), &info) < 0) return posix_error(errno, folder);
  std::array<char, 128> options;
  std::snprintf(options.data(), options.size(), "mode=%o,uid=%u,gid=%u,size=%s",
                info.st_mode & 07777, info.st_uid, info.st_gid, own_size);
  Mirror made{folder, options.data(), {}};
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(::opendir(folder.c_str()), ::closedir);
  if (listing == nullptr) return posix_error(errno, folder);
  while (const dirent* const found = ::readdir(listing.get())) {
    Entry entry{found->d_name, {}, false};
    if (entry.name == "." || entry.name == "..") continue;
    if (made.entries.size() == mirrored_entries_max) {
      return fail(Errc::resource_exhausted, folder + ": too many entries for a view of its own");
    }
    const std::string path = (folder == "/" ? "" : folder) + "/" + entry.name;
    if (::lstat(path.c_str(), &info) < 0) continue;  // it has gone
    entry.directory = S_ISDIR(info.st_mode);
    if (S_ISLNK(info.st_mode)) {
      std::array<char, PATH_MAX> target;
      const ssize_t length = ::readlink(path.c_str(), target.data(), target.size());
      if (length <= 0) continue;
      entry.link.assign(target.data(), static_cast<std::size_t>(length));
    }
    made.entries.push_back(std::move(entry));
  }
  return made;
}

Result<void> OwnView::add_mirror(const std::string& target) {
  struct stat info;
  std::string folder = target;
  while (::stat(folder.c_str(), &info) < 0) {
    if (errno != ENOENT) return posix_error(errno, folder);
    folder = folder_above(folder);
  }
  if (folder == target) return {};
  if (std::any_of(mirrors_.begin(), mirrors_.end(),
                  [&](const Mirror& known) { return known.folder == folder; })) {
    return {};
  }
  Result<Mirror> made = mirror(folder);
  if (!made) return made.error();
  mirrors_.insert(folder == "/" ? mirrors_.begin() : mirrors_.end(), std::move(*made));
  return {};
}

Result<OwnView> OwnView::make(const std::vector<IsolationMount>& mounts) {
  OwnView view;
  for (const IsolationMount& mount : mounts) {
    if (mount_target_is_bad(mount.target) || mount.source.empty()) {
      return fail(Errc::invalid_argument,
                  "view: mount at " + mount.target + ": not a place for a file or folder");
    }
    if (!mount.within.empty() && !mount.source.starts_with(mount.within + "/")) {
      return fail(Errc::invalid_argument,
                  "view: mount at " + mount.target + ": its source is elsewhere");
    }
    const FileDescriptor place(open_within(mount.source, mount.within));
    struct stat info;
    if (place.fd < 0 || ::fstat(place.fd, &info) < 0) {
      return posix_error(errno, mount.within.empty() ? mount.source : "mount at " + mount.target);
    }
    const bool covered =
        std::any_of(view.mounts_.begin(), view.mounts_.end(),
                    [&](const Mount& before) { return is_below(mount.target, before.target); });
    if (!covered) {
      if (Result<void> added = view.add_mirror(mount.target); !added) return added.error();
    }
    view.mounts_.push_back(
        {mount.source, mount.target, S_ISDIR(info.st_mode), mount.read_only, mount.within, -1});
  }
  return view;
}

// ---------------------------------------------------------------------------- in the child

class OwnView::Setup {
 public:
  Setup(const OwnView& view, SetupFailure& failure) noexcept : view_(view), failure_(failure) {}

  bool run() noexcept {
    if (::unshare(CLONE_NEWNS) < 0) return failed("mounts");
    // What happens to the machine's mounts is seen; what happens here is not.
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) < 0) return failed("mounts");
    if (!take_sources()) return false;
    for (const Mirror& mirror : view_.mirrors_) {
      if (!(mirror.folder == "/" ? replace_root(mirror) : replace(mirror))) return false;
    }
    return attach_mounts();
  }

 private:
  bool failed(const char* what) noexcept {
    failure_ = {what, errno};
    return false;
  }

  bool take_sources() noexcept {
    for (const Mount& mount : view_.mounts_) {
      mount.tree = clone_tree_within(mount.source, mount.within);
      if (mount.tree < 0) {
        return failed((mount.within.empty() ? mount.source : mount.target).c_str());
      }
      if (mount.read_only && !set_tree_attributes(mount.tree, mount_read_only))
        return failed(mount.source.c_str());
    }
    return true;
  }

  static bool make_mount_point(const char* name, bool directory) noexcept {
    if (directory) return ::mkdir(name, 0755) == 0 || errno == EEXIST;
    const int file = ::open(name, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0644);
    if (file < 0) return errno != ENOENT && errno != ENOTDIR && errno != EROFS;
    ::close(file);
    return true;
  }

  /// Everything that the folder `from` has, into the empty one that is the working directory.
  /// `held`, which may be null, is there as `tree` already.
  bool fill(const Mirror& mirror, int from, const Entry* held, int tree) noexcept {
    for (const Entry& entry : mirror.entries) {
      const char* const name = entry.name.c_str();
      if (!entry.link.empty()) {
        if (::symlink(entry.link.c_str(), name) < 0) return failed(name);
        continue;
      }
      const int own = &entry == held ? tree : clone_tree(from, name);
      if (own < 0 && errno == ENOENT) continue;  // it has gone
      if (own < 0 || !make_mount_point(name, entry.directory) || !attach_tree(own, name)) {
        return failed(name);
      }
    }
    return true;
  }

  bool mount_memory(const Mirror& mirror, const char* place) noexcept {
    return ::mount("tmpfs", place, "tmpfs", MS_NOSUID | MS_NODEV, mirror.options.c_str()) == 0 &&
           ::chdir(place) == 0;
  }

  bool replace(const Mirror& mirror) noexcept {
    const char* const folder = mirror.folder.c_str();
    const int from = ::open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (from < 0 || !mount_memory(mirror, folder)) return failed(folder);
    const bool filled = fill(mirror, from, nullptr, -1);
    ::close(from);
    return filled && (::chdir("/") == 0 || failed("/"));
  }

  /// Over one of its own folders at first, which only this process sees.
  bool replace_root(const Mirror& mirror) noexcept {
    const Entry* scaffold = nullptr;
    for (const Entry& entry : mirror.entries) {
      if (entry.directory) scaffold = &entry;
    }
    errno = ENOENT;
    if (scaffold == nullptr) return failed("/");
    const int from = ::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (from < 0 || ::fchdir(from) < 0) return failed("/");
    const int tree = clone_tree(from, scaffold->name.c_str());
    if (tree < 0 || !mount_memory(mirror, scaffold->name.c_str())) return failed("/");
    const bool filled = fill(mirror, from, scaffold, tree);
    ::close(from);
    if (!filled) return false;
    if (::syscall(SYS_pivot_root, ".", ".") < 0 || ::umount2(".", MNT_DETACH) < 0) {
      return failed("pivot_root");
    }
    return ::chdir("/") == 0 || failed("/");
  }

  bool make_place(const Mount& mount) noexcept {
    char prefix[PATH_MAX];
    const std::string& target = mount.target;
    for (std::size_t i = 0; i < target.size(); ++i) {
      if (target[i] == '/' && i > 0) {
        prefix[i] = '\0';
        if (!make_mount_point(prefix, true)) return false;
      }
      prefix[i] = target[i];
    }
    return make_mount_point(target.c_str(), mount.directory);
  }

  bool attach_mounts() noexcept {
    for (const Mount& mount : view_.mounts_) {
      const char* const target = mount.target.c_str();
      if (!make_place(mount) || !attach_tree(mount.tree, target)) return failed(target);
    }
    return true;
  }

  const OwnView& view_;
  SetupFailure& failure_;
};

bool OwnView::enter(SetupFailure& failure) const noexcept { return Setup(*this, failure).run(); }

}  // namespace knative::base
