#include "base/isolation_posix.hpp"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "base/file_descriptor.hpp"
#include "base/kernel_paths.hpp"
#include "base/mount_calls.hpp"
#include "base/posix_error.hpp"
#include "base/seccomp.hpp"

namespace knative::base {
namespace {

constexpr unsigned long private_flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
constexpr std::array<const char*, 6> devices = {"/dev/null",   "/dev/zero",    "/dev/full",
                                                "/dev/random", "/dev/urandom", "/dev/tty"};
constexpr std::array<std::array<const char*, 2>, 5> device_links = {
    {{"pts/ptmx", "/dev/ptmx"},
     {"/proc/self/fd", "/dev/fd"},
     {"/proc/self/fd/0", "/dev/stdin"},
     {"/proc/self/fd/1", "/dev/stdout"},
     {"/proc/self/fd/2", "/dev/stderr"}}};
Result<std::string> read_map(const char* path) {
  FileDescriptor file(::open(path, O_RDONLY | O_CLOEXEC));
  if (file.fd < 0) return posix_error(errno, path);
  std::array<char, 4096> buffer;
  const ssize_t got = ::read(file.fd, buffer.data(), buffer.size());
  if (got < 0) return posix_error(errno, path);
  return std::string(buffer.data(), static_cast<std::size_t>(got));
}

/// Everybody who is known in this process's namespace, by the same number.
Result<std::string> identity_map(const char* path) {
  Result<std::string> text = read_map(path);
  if (!text) return text;
  std::string map;
  const char* at = text->c_str();
  unsigned long inside = 0;
  unsigned long outside = 0;
  unsigned long count = 0;
  int length = 0;
  while (std::sscanf(at, "%lu %lu %lu%n", &inside, &outside, &count, &length) == 3) {
    const std::string first = std::to_string(inside);
    map.append(first).append(" ").append(first).append(" ").append(std::to_string(count));
    map.push_back('\n');
    at += length;
  }
  return map;
}

Result<void> write_map(const std::string& path, const std::string& map) {
  FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (file.fd < 0 || ::write(file.fd, map.data(), map.size()) < 0) return posix_error(errno, path);
  return {};
}

}  // namespace

// ---------------------------------------------------------------------------- in the host

Result<IsolationPlan> IsolationPlan::make(const Isolation& isolation, const Cgroup* group) {
  IsolationPlan plan;
  plan.isolation_ = &isolation;
  if (isolation.root.empty() || isolation.root.front() != '/') {
    return fail(Errc::invalid_argument, "isolation: the root must be an absolute path");
  }
  plan.merged_ = isolation.root;
  if (!isolation.upper.empty()) {
    plan.merged_ = isolation.upper + "/root";
    for (const char* name : {"/files", "/overlay", "/root"}) {
      const std::string folder = isolation.upper + name;
      if (::mkdir(folder.c_str(), 0755) < 0 && errno != EEXIST) return posix_error(errno, folder);
    }
    // Of one that ran before on the same folder, which a volatile overlay asks about: the machine
    // has not failed since.
    const std::string asked = isolation.upper + "/overlay/work/incompat/volatile";
    ::unlink((asked + "/dirty").c_str());
    ::rmdir(asked.c_str());
  }
  if (!isolation.stage.empty()) plan.merged_ = isolation.stage + "/root";
  for (const IsolationMount& mount : isolation.mounts) {
    if (mount_target_is_bad(mount.target)) {
      return fail(Errc::invalid_argument, "mount at " + mount.target + ": not an absolute path");
    }
    Mount planned{mount.source, mount.target, {}, true, mount.read_only, false, mount.within};
    if (mount.source.empty()) {
      planned.options = "mode=1777";
      if (mount.bytes_max != 0) planned.options += ",size=" + std::to_string(mount.bytes_max);
      plan.memories_.push_back(std::move(planned));
      continue;
    }
    if (!mount.within.empty() && !mount.source.starts_with(mount.within + "/")) {
      return fail(Errc::invalid_argument, "mount at " + mount.target + ": its source is elsewhere");
    }
    const FileDescriptor place(open_within(mount.source, mount.within));
    struct stat info;
    if (place.fd < 0 || ::fstat(place.fd, &info) < 0) {
      return posix_error(errno, mount.within.empty() ? mount.source : "mount at " + mount.target);
    }
    planned.directory = S_ISDIR(info.st_mode);
    plan.binds_.push_back(std::move(planned));
  }
  for (const IsolationFile& file : isolation.files) {
    if (mount_target_is_bad(file.path)) {
      return fail(Errc::invalid_argument, "file " + file.path + ": not an absolute path");
    }
  }
  for (std::size_t i = 0; group != nullptr && i < group->folders().size(); ++i) {
    plan.unified_ = group->unified();
    const std::string& name = group->controllers()[i];
    plan.groups_.push_back({group->folders()[i],
                            name.empty() ? "/sys/fs/cgroup" : "/sys/fs/cgroup/" + name,
                            {},
                            true,
                            true,
                            false,
                            {}});
  }
  plan.sources_.resize(devices.size() + plan.binds_.size() + plan.groups_.size(), -1);
  if (Result<void> prepared = plan.prepare_users(); !prepared) return prepared.error();
  if (!isolation.stage.empty()) {
    if (Result<void> prepared = plan.prepare_stage(); !prepared) return prepared.error();
  }
  return plan;
}

Result<IsolationPlan> IsolationPlan::joining(const Isolation& isolation) {
  IsolationPlan plan;
  plan.isolation_ = &isolation;
  plan.joined_ = Joined::everything;
  if (Result<void> prepared = plan.prepare_users(); !prepared) return prepared.error();
  return plan;
}

Result<IsolationPlan> IsolationPlan::beside(const Isolation& isolation, const Cgroup* group) {
  Result<IsolationPlan> plan = make(isolation, group);
  if (plan) plan->joined_ = Joined::users_and_network;
  return plan;
}

Result<void> IsolationPlan::prepare_users() {
  if (isolation_->filter_system_calls) filter_ = default_system_call_filter();
  any_user_ = ::geteuid() == 0;
  if (any_user_) {
    Result<std::string> users = identity_map("/proc/self/uid_map");
    Result<std::string> groups = identity_map("/proc/self/gid_map");
    if (!users) return users.error();
    if (!groups) return groups.error();
    user_map_ = std::move(*users);
    group_map_ = std::move(*groups);
    return {};
  }
  if (!isolation_->groups.empty()) {
    return fail(Errc::unimplemented, "isolation: supplementary groups need a privileged platform");
  }
  user_map_ = std::to_string(isolation_->user) + " " + std::to_string(::geteuid()) + " 1\n";
  group_map_ = std::to_string(isolation_->group) + " " + std::to_string(::getegid()) + " 1\n";
  return {};
}

/// Places for what the runtime finds, and the user that it is.
Result<void> IsolationPlan::prepare_stage() {
  const std::string mounts = isolation_->stage + "/mounts";
  for (const std::string& folder : {merged_, mounts}) {
    if (::mkdir(folder.c_str(), 0755) < 0 && errno != EEXIST) return posix_error(errno, folder);
  }
  std::size_t next = 0;
  for (std::size_t i = 0; i < isolation_->mounts.size(); ++i) {
    if (isolation_->mounts[i].source.empty()) continue;
    Mount& bind = binds_[next++];
    bind.target = mounts + "/" + std::to_string(i);
    const int made = bind.directory ? ::mkdir(bind.target.c_str(), 0755)
                                    : ::mknod(bind.target.c_str(), S_IFREG | 0644, 0);
    if (made < 0 && errno != EEXIST) return posix_error(errno, bind.target);
  }
  memories_.clear();
  temporary_ = merged_ + "/tmp";
  // Runtimes look for the hierarchies that the mounts tell of, and take it that they may not make
  // groups there only if something is there.
  std::error_code none;
  for (std::filesystem::directory_iterator at("/sys/fs/cgroup", none), end; !none && at != end;
       at.increment(none)) {
    if (!unified_ && at->is_directory(none)) hierarchies_.push_back(at->path());
  }
  if (!any_user_) {
    if (isolation_->user != 0 || isolation_->group != 0) {
      return fail(Errc::unimplemented, "isolation: another user needs a privileged platform");
    }
    return {};
  }
  // They recognize the first namespace of users by its mapping everybody, and try there what they
  // may not do here.
  for (std::string* map : {&user_map_, &group_map_}) {
    const std::size_t everybody = map->find(" 4294967295\n");
    if (everybody != map->npos) map->replace(everybody, 11, " 4294967294");
  }
  return {};
}

int IsolationPlan::clone_flags() const noexcept {
  if (joined_ == Joined::everything) return 0;
  int flags = CLONE_NEWNS | CLONE_NEWPID;
  if (isolation_->stage.empty()) flags |= CLONE_NEWIPC | CLONE_NEWUTS;
  if (joined_ != Joined::nothing) return flags;
  return own_network() ? flags | CLONE_NEWUSER | CLONE_NEWNET : flags | CLONE_NEWUSER;
}

Result<void> IsolationPlan::map_users(pid_t child) const {
  const std::string folder = "/proc/" + std::to_string(child);
  if (!any_user_) {
    if (Result<void> denied = write_map(folder + "/setgroups", "deny"); !denied) return denied;
  }
  Result<void> mapped = write_map(folder + "/uid_map", user_map_);
  return mapped ? write_map(folder + "/gid_map", group_map_) : mapped;
}

Result<void> IsolationPlan::map_everybody(pid_t child) {
  for (const char* name : {"/uid_map", "/gid_map"}) {
    Result<std::string> map = identity_map((std::string("/proc/self") + name).c_str());
    if (!map) return map.error();
    Result<void> mapped = write_map("/proc/" + std::to_string(child) + name, *map);
    if (!mapped) return mapped;
  }
  return {};
}

// ---------------------------------------------------------------------------- in the child

/// The steps of `IsolationPlan::enter`; each says what of it failed.
class IsolationPlan::Setup {
 public:
  Setup(const IsolationPlan& plan, SetupFailure& failure) noexcept
      : plan_(plan), isolation_(*plan.isolation_), failure_(failure) {}

  bool run(const char* working_directory) noexcept {
    // Its own group is the root of all that it sees of them.
    if (::unshare(CLONE_NEWCGROUP) < 0) return failed("control groups");
    if (!isolation_.stage.empty()) return set_stage();
    return take_sources() && make_root() && change_root() && mount_system() && write_files() &&
           mount_memories() && attach_binds() && make_working_directory(working_directory) &&
           hide() && set_up_network() && set_hostname();
  }

  bool set_stage() noexcept {
    if (!take_sources() || !make_root() || !make_tmp(plan_.temporary_.c_str()) ||
        !mount_one("proc", "/proc", private_flags, nullptr) || !mount_groups() ||
        !set_up_network()) {
      return false;
    }
    free_ports();
    for (std::size_t i = 0; i < plan_.binds_.size(); ++i) {
      const char* const place = plan_.binds_[i].target.c_str();
      if (!attach_tree(plan_.sources_[devices.size() + i], place)) return failed(place);
    }
    return ::chdir("/") == 0 || failed("/");
  }

 private:
  bool failed(const char* what) noexcept {
    failure_ = {what, errno};
    return false;
  }

  bool restrict_tree(int tree, const Mount& mount) noexcept {
    std::uint64_t set = mount_no_set_id;
    if (mount.read_only) set |= mount_read_only;
    if (!mount.device) set |= mount_no_devices;
    return set_tree_attributes(tree, set) || failed(mount.source.c_str());
  }

  /// What comes from outside, held as trees of their own: nothing outside is named later.
  bool take_sources() noexcept {
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0) return failed("mounts");
    std::size_t next = 0;
    for (const char* device : devices) {
      plan_.sources_[next] = clone_tree(AT_FDCWD, device);
      if (plan_.sources_[next++] < 0) return failed(device);
    }
    for (const std::vector<Mount>* mounts : {&plan_.binds_, &plan_.groups_}) {
      for (const Mount& mount : *mounts) {
        const int tree = clone_tree_within(mount.source, mount.within);
        plan_.sources_[next++] = tree;
        if (tree < 0) return failed((mount.within.empty() ? mount.source : mount.target).c_str());
        if (!restrict_tree(tree, mount)) return false;
      }
    }
    return isolation_.stage.empty() ? take_kernels() : true;
  }

  /// What the kernel shows of itself, made while the host's is there: without that nobody may.
  bool take_kernels() noexcept {
    constexpr std::uint64_t attributes = mount_no_set_id | mount_no_devices | mount_no_programs;
    proc_ = new_tree("proc", attributes);
    if (proc_ < 0) return failed("/proc");
    // Only who owns a network may mount its own view of it.
    const Mount sys{"/sys", "/sys", {}, true, true, false};
    sys_ = isolation_.host_network ? clone_tree(AT_FDCWD, "/sys")
                                   : new_tree("sysfs", attributes | mount_read_only);
    if (sys_ < 0) return failed("/sys");
    return !isolation_.host_network || restrict_tree(sys_, sys);
  }

  bool make_root() noexcept {
    const char* const root = plan_.merged_.c_str();
    if (!isolation_.upper.empty()) return mount_overlay(root);
    return ::mount(isolation_.root.c_str(), root, nullptr, MS_BIND | MS_REC, nullptr) == 0 ||
           failed(root);
  }

  /// Its options can be read inside: nothing in them tells where it lies outside. What is written
  /// dies with it, so nobody waits for the disk, least of all for what others have written there.
  bool mount_overlay(const char* root) noexcept {
    const char* const lower = isolation_.root.c_str();
    const int folder = ::open(lower, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) return failed(lower);
    char options[128];
    std::snprintf(options, sizeof options,
                  "userxattr,volatile,lowerdir=/proc/self/fd/%d,upperdir=files,workdir=overlay",
                  folder);
    const bool done = ::chdir(isolation_.upper.c_str()) == 0 &&
                      ::mount("overlay", root, "overlay", MS_NODEV, options) == 0;
    const bool made = done || failed("overlay");
    ::close(folder);
    return made;
  }

  /// From here on there is nothing but the root. The host, which lies over it for a moment, goes
  /// before any path is followed: from the root itself ".." leads to what lies over it.
  bool change_root() noexcept {
    const int host = ::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (host < 0) return failed("/");
    if (::chdir(plan_.merged_.c_str()) < 0) return failed(plan_.merged_.c_str());
    if (::syscall(SYS_pivot_root, ".", ".") < 0) return failed("pivot_root");
    if (::fchdir(host) < 0 || ::umount2(".", MNT_DETACH) < 0) return failed("leaving the host");
    ::close(host);
    return ::chdir("/") == 0 || failed("/");
  }

  bool attach_kernels(int tree, const char* target) noexcept {
    if (::mkdir(target, 0755) < 0 && errno != EEXIST) return failed(target);
    return attach_tree(tree, target) || failed(target);
  }

  /// mkdir -p of what comes before the last name, or of everything.
  static bool make_folders(const char* path, bool everything) noexcept {
    char prefix[PATH_MAX];
    std::size_t i = 0;
    for (; path[i] != '\0' && i + 1 < sizeof prefix; ++i) {
      if (path[i] == '/' && i > 0) {
        prefix[i] = '\0';
        if (::mkdir(prefix, 0755) < 0 && errno != EEXIST) return false;
      }
      prefix[i] = path[i];
    }
    prefix[i] = '\0';
    return !everything || ::mkdir(prefix, 0755) == 0 || errno == EEXIST;
  }

  static bool make_file(const char* path) noexcept {
    const int file = ::open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0644);
    // What cannot be opened is there; the mount will tell.
    if (file < 0) return errno != ENOENT && errno != ENOTDIR && errno != EROFS;
    ::close(file);
    return true;
  }

  static bool make_place(const Mount& mount) noexcept {
    const char* const target = mount.target.c_str();
    if (!make_folders(target, mount.directory)) return false;
    return (mount.directory || make_file(target)) && is_no_kernels(target);
  }

  /// What masks /proc and /sys stays what one sees there, whatever links lead to them.
  static bool is_no_kernels(const char* target) noexcept {
    const int place = ::open(target, O_PATH | O_CLOEXEC);
    if (place < 0) return false;
    char link[32];
    std::snprintf(link, sizeof link, "/proc/self/fd/%d", place);
    char real[PATH_MAX];
    const ssize_t size = ::readlink(link, real, sizeof real - 1);
    ::close(place);
    if (size < 0) return false;
    real[size] = '\0';
    for (const char* kernels : {"/proc", "/sys"}) {
      const std::size_t length = std::strlen(kernels);
      if (std::strncmp(real, kernels, length) != 0) continue;
      errno = EPERM;
      if (real[length] == '\0' || real[length] == '/') return false;
    }
    return true;
  }

  bool mount_one(const char* type, const char* target, unsigned long flags,
                 const char* options) noexcept {
    if (::mkdir(target, 0755) < 0 && errno != EEXIST) return failed(target);
    return ::mount(type, target, type, flags, options) == 0 || failed(target);
  }

  bool mount_system() noexcept {
    if (!attach_kernels(proc_, "/proc") ||
        !mount_one("tmpfs", "/dev", MS_NOSUID | MS_NOEXEC, "mode=755,size=16m")) {
      return false;
    }
    for (std::size_t i = 0; i < devices.size(); ++i) {
      if (!make_file(devices[i]) || !attach_tree(plan_.sources_[i], devices[i])) {
        return failed(devices[i]);
      }
    }
    for (const auto& [to, name] : device_links) {
      if (::symlink(to, name) < 0) return failed(name);
    }
    return mount_one("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC,
                     "newinstance,ptmxmode=0666,mode=0620") &&
           mount_one("tmpfs", "/dev/shm", private_flags, "mode=1777,size=64m") &&
           mount_one("mqueue", "/dev/mqueue", private_flags, nullptr) &&
           attach_kernels(sys_, "/sys") && mount_groups() && make_tmp("/tmp");
  }

  /// The limits, to look at.
  bool mount_groups() noexcept {
    if (::access("/sys/fs/cgroup", F_OK) < 0) return true;
    if (!plan_.unified_) {
      if (::mount("tmpfs", "/sys/fs/cgroup", "tmpfs", private_flags, "mode=755,size=64k") < 0) {
        return failed("/sys/fs/cgroup");
      }
    }
    const std::size_t first = devices.size() + plan_.binds_.size();
    for (std::size_t i = 0; i < plan_.groups_.size(); ++i) {
      const char* const target = plan_.groups_[i].target.c_str();
      if (!plan_.unified_ && ::mkdir(target, 0755) < 0) return failed(target);
      if (!attach_tree(plan_.sources_[first + i], target)) return failed(target);
    }
    for (const std::string& folder : plan_.hierarchies_) ::mkdir(folder.c_str(), 0755);
    return plan_.unified_ || make_read_only("/sys/fs/cgroup");
  }

  bool make_read_only(const char* path) noexcept {
    return ::mount(nullptr, path, nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | private_flags,
                   nullptr) == 0 ||
           failed(path);
  }

  bool make_tmp(const char* path) noexcept {
    if (::mkdir(path, 0777) < 0) return errno == EEXIST || failed(path);
    return ::chmod(path, 01777) == 0 || failed(path);
  }

  bool write_files() noexcept {
    for (const IsolationFile& file : isolation_.files) {
      const char* const path = file.path.c_str();
      if (!make_folders(path, false)) return failed(path);
      // Never into a file that another root may share.
      if (::unlink(path) < 0 && errno != ENOENT) return failed(path);
      const int fd = ::open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
      if (fd < 0) return failed(path);
      const ssize_t size = static_cast<ssize_t>(file.content.size());
      const bool written = ::write(fd, file.content.data(), file.content.size()) == size;
      ::close(fd);
      if (!written) return failed(path);
    }
    return true;
  }

  bool mount_memories() noexcept {
    for (const Mount& mount : plan_.memories_) {
      const char* const target = mount.target.c_str();
      const unsigned long flags = MS_NOSUID | MS_NODEV | (mount.read_only ? MS_RDONLY : 0);
      if (!make_place(mount) ||
          ::mount("tmpfs", target, "tmpfs", flags, mount.options.c_str()) < 0) {
        return failed(target);
      }
    }
    return true;
  }

  bool attach_binds() noexcept {
    for (std::size_t i = 0; i < plan_.binds_.size(); ++i) {
      const Mount& mount = plan_.binds_[i];
      if (!make_place(mount) ||
          !attach_tree(plan_.sources_[devices.size() + i], mount.target.c_str())) {
        return failed(mount.target.c_str());
      }
    }
    return true;
  }

  bool make_working_directory(const char* path) noexcept {
    if (path == nullptr || ::access(path, F_OK) == 0) return true;
    return make_folders(path, true) || failed(path);
  }

  /// What shows or changes the machine.
  bool hide() noexcept {
    for (const char* path : masked_files) {
      if (::mount("/dev/null", path, nullptr, MS_BIND, nullptr) < 0 && errno != ENOENT) {
        return failed(path);
      }
    }
    for (const char* path : masked_folders) {
      if (::mount("tmpfs", path, "tmpfs", private_flags | MS_RDONLY, "size=0,mode=755") < 0 &&
          errno != ENOENT) {
        return failed(path);
      }
    }
    free_ports();
    for (const char* path : read_only_paths) {
      if (::mount(path, path, nullptr, MS_BIND | MS_REC, nullptr) < 0) {
        if (errno == ENOENT) continue;
        return failed(path);
      }
      if (!make_read_only(path)) return false;
    }
    if (!isolation_.read_only_root) return true;
    MountAttributes attributes;
    attributes.set = mount_read_only;
    return ::syscall(call_mount_setattr, AT_FDCWD, "/", 0, &attributes, sizeof attributes) == 0 ||
           failed("read-only root");
  }

  /// Ports and pings of one's own network take no privilege.
  void free_ports() noexcept {
    if (isolation_.host_network) return;
    set_kernel("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
    set_kernel("/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
  }

  static void set_kernel(const char* path, const char* text) noexcept {
    const int file = ::open(path, O_WRONLY | O_CLOEXEC);
    if (file < 0) return;
    const ssize_t ignored = ::write(file, text, std::strlen(text));
    (void)ignored;  // a kernel without it asks for the privilege
    ::close(file);
  }

  bool set_up_network() noexcept {
    if (!plan_.own_network() || plan_.raises_network()) return true;
    const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (socket < 0) return failed("loopback");
    ifreq request{};
    std::memcpy(request.ifr_name, "lo", 3);
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    const bool up = ::ioctl(socket, SIOCSIFFLAGS, &request) == 0;
    const bool done = up || failed("loopback");
    ::close(socket);
    return done;
  }

  bool set_hostname() noexcept {
    const std::string& name = isolation_.hostname;
    return name.empty() || ::sethostname(name.data(), name.size()) == 0 || failed("hostname");
  }

  const IsolationPlan& plan_;
  const Isolation& isolation_;
  SetupFailure& failure_;
  int proc_ = -1;
  int sys_ = -1;
};

bool IsolationPlan::enter(const char* working_directory, SetupFailure& failure) const noexcept {
  return Setup(*this, failure).run(working_directory);
}

bool IsolationPlan::join(int pidfd, SetupFailure& failure) const noexcept {
  int spaces = CLONE_NEWUSER | CLONE_NEWNET;
  if (joined_ == Joined::everything) {
    spaces |= CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
    if (isolation_->host_network) spaces &= ~CLONE_NEWNET;
  }
  if (::syscall(SYS_setns, pidfd, spaces) == 0) return true;
  failure = {"namespaces", errno};
  return false;
}

bool IsolationPlan::join(const PreparedNamespaces& prepared, SetupFailure& failure) noexcept {
  if (::setns(prepared.users.fd, CLONE_NEWUSER) == 0 &&
      ::setns(prepared.network.fd, CLONE_NEWNET) == 0) {
    return true;
  }
  failure = {"namespaces", errno};
  return false;
}

bool IsolationPlan::restrict(SetupFailure& failure) const noexcept {
  if (!isolation_->stage.empty() && has_own_root()) return true;
  const auto failed = [&failure](const char* what) {
    failure = {what, errno};
    return false;
  };
  for (const ResourceLimit& limit : isolation_->resource_limits) {
    const rlimit value{limit.soft, limit.hard};
    if (::syscall(SYS_prlimit64, 0, limit.resource, &value, nullptr) < 0) return failed("rlimit");
  }
  if (isolation_->no_new_privileges && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
    return failed("no_new_privs");
  }
  if (!filter_.empty()) {
    const sock_fprog program{static_cast<unsigned short>(filter_.size()),
                             const_cast<sock_filter*>(filter_.data())};
    if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0) return failed("seccomp");
  }
  for (int capability = 0; ::prctl(PR_CAPBSET_READ, capability) >= 0; ++capability) {
    if ((isolation_->capabilities >> capability & 1) != 0) continue;
    if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0) return failed("capabilities");
  }
  static_cast<void>(::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
  // By number: the C library's own would ask the host's other threads to follow.
  if (any_user_ &&
      ::syscall(SYS_setgroups, isolation_->groups.size(), isolation_->groups.data()) < 0) {
    return failed("groups");
  }
  const gid_t group = isolation_->group;
  const uid_t user = isolation_->user;
  if (::syscall(SYS_setresgid, group, group, group) < 0) return failed("group");
  if (::syscall(SYS_setresuid, user, user, user) < 0) return failed("user");
  const Isolation::Capabilities kept = user == 0 ? isolation_->capabilities : 0;
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  for (int half = 0; half < 2; ++half) {
    data[half].permitted = data[half].effective = static_cast<std::uint32_t>(kept >> (32 * half));
  }
  return ::syscall(SYS_capset, &header, data) == 0 || failed("capabilities");
}

}  // namespace knative::base
