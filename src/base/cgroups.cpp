#include "base/cgroups.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <ctime>
#include <filesystem>
#include <optional>

#include "base/file_descriptor.hpp"
#include "base/posix_error.hpp"

namespace knative::base {
namespace {

constexpr std::uint64_t cpu_period_us = 100'000;
constexpr std::uint64_t cpu_quota_us_min = 1'000;  // the kernel takes no less
constexpr int removal_tries_max = 50;
constexpr const char* state_v1 = "/freezer.state";
constexpr const char* state_v2 = "/cgroup.freeze";

std::string read_text(const std::string& path) {
  std::string text;
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, 4096> buffer;
  while (file.fd >= 0) {
    const ssize_t got = ::read(file.fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
  return text;
}

Result<void> write_text(const std::string& path, const std::string& text) {
  FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (file.fd < 0 || ::write(file.fd, text.data(), text.size()) < 0) {
    return posix_error(errno, path);
  }
  return {};
}

/// The first line's number, or the one behind `key` in a file of "key number" lines.
std::optional<std::uint64_t> number_in(std::string_view text, std::string_view key = {}) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!key.empty()) {
      if (!line.starts_with(key) || line.size() <= key.size() || line[key.size()] != ' ') continue;
      line.remove_prefix(key.size() + 1);
    }
    std::uint64_t number = 0;
    const auto parsed = std::from_chars(line.data(), line.data() + line.size(), number);
    if (parsed.ec != std::errc()) return std::nullopt;
    return number;
  }
  return std::nullopt;
}

bool has_word(std::string_view list, std::string_view word, char separator) {
  while (!list.empty()) {
    const std::size_t end = std::min(list.find(separator), list.size());
    if (list.substr(0, end) == word) return true;
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return false;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(separator, begin), text.size());
    if (end > begin) parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

/// One mounted hierarchy.
struct Mounted {
  std::string_view root;    ///< Of the hierarchy, that is mounted.
  std::string_view folder;  ///< Where.
  std::string_view options;
  bool unified = false;
};

std::vector<Mounted> mounted_in(std::string_view mounts) {
  std::vector<Mounted> result;
  for (const std::string_view line : split(mounts, '\n')) {
    const std::vector<std::string_view> words = split(line, ' ');
    const auto dash = std::find(words.begin(), words.end(), "-");
    if (words.size() < 6 || words.end() - dash < 4) continue;
    const bool unified = dash[1] == "cgroup2";
    if (!unified && dash[1] != "cgroup") continue;
    result.push_back({words[3], words[4], dash[3], unified});
  }
  return result;
}

/// The folder of this process's own group, as far as it is mounted.
std::string own_folder(const Mounted& mounted, std::string_view cgroups) {
  for (const std::string_view line : split(cgroups, '\n')) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (second == line.npos) continue;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    std::string_view path = line.substr(second + 1);
    const std::vector<std::string_view> names = split(controllers, ',');
    const bool mine =
        mounted.unified
            ? controllers.empty()
            : !names.empty() && std::all_of(names.begin(), names.end(), [&](std::string_view name) {
                return has_word(mounted.options, name, ',');
              });
    if (!mine) continue;
    if (mounted.root != "/") {
      if (!path.starts_with(mounted.root)) return std::string(mounted.folder);
      path.remove_prefix(mounted.root.size());
    }
    return path.size() > 1 ? std::string(mounted.folder).append(path) : std::string(mounted.folder);
  }
  return {};
}

bool may_make_in(const std::string& folder) {
  return !folder.empty() && ::access(folder.c_str(), W_OK | X_OK) == 0;
}

/// Version 2 counts in a group's children only what the group hands down.
bool hands_down(const std::string& folder, std::string_view controller) {
  const auto listed = [&](const char* file) {
    std::string text = read_text(folder + file);
    while (!text.empty() && text.back() == '\n') text.pop_back();
    return has_word(text, controller, ' ');
  };
  if (listed("/cgroup.subtree_control")) return true;
  if (!listed("/cgroup.controllers")) return false;
  return write_text(folder + "/cgroup.subtree_control", "+" + std::string(controller)).has_value();
}

}  // namespace

CgroupHierarchies CgroupHierarchies::find(std::string_view cgroups, std::string_view mounts) {
  CgroupHierarchies result;
  const std::vector<Mounted> all = mounted_in(mounts);
  const auto version_1 = [&](std::string_view controller) -> std::string {
    for (const Mounted& one : all) {
      if (one.unified || !has_word(one.options, controller, ',')) continue;
      std::string folder = own_folder(one, cgroups);
      if (may_make_in(folder)) return folder;
    }
    return {};
  };
  for (const Mounted& one : all) {
    if (!one.unified) continue;
    // Our own group may hold processes, which keeps it from handing anything down.
    for (const std::string& folder : {own_folder(one, cgroups), std::string(one.folder)}) {
      if (!may_make_in(folder) || !hands_down(folder, "memory")) continue;
      result.unified = true;
      result.memory = result.cpu_usage = result.freezer = folder;
      result.unified_freezer = true;
      if (hands_down(folder, "cpu")) result.cpu = folder;
      if (hands_down(folder, "pids")) result.processes = folder;
      return result;
    }
  }
  result.memory = version_1("memory");
  result.cpu = version_1("cpu");
  result.cpu_usage = version_1("cpuacct");
  result.processes = version_1("pids");
  result.freezer = version_1("freezer");
  for (const Mounted& one : all) {
    // Version 2 freezes without any controller.
    const std::string folder = own_folder(one, cgroups);
    if (!result.freezer.empty() || !one.unified || !may_make_in(folder)) continue;
    result.freezer = folder;
    result.unified_freezer = true;
  }
  return result;
}

CgroupHierarchies CgroupHierarchies::find() {
  return find(read_text("/proc/self/cgroup"), read_text("/proc/self/mountinfo"));
}

namespace {

void kill_members(const std::string& folder) {
  const std::string members = read_text(folder + "/cgroup.procs");
  for (const std::string_view line : split(members, '\n')) {
    const std::optional<std::uint64_t> pid = number_in(line);
    if (pid && *pid > 1 && *pid <= INT_MAX) ::kill(static_cast<pid_t>(*pid), SIGKILL);
  }
}

bool is_killed(std::string_view pid) {
  const std::string status = read_text("/proc/" + std::string(pid) + "/status");
  for (const std::string_view line : split(status, '\n')) {
    if (!line.starts_with("SigPnd:") && !line.starts_with("ShdPnd:")) continue;
    const std::string_view hex = line.substr(line.find('\t') + 1);
    std::uint64_t pending = 0;
    std::from_chars(hex.data(), hex.data() + hex.size(), pending, 16);
    if ((pending >> (SIGKILL - 1) & 1) != 0) return true;
  }
  return false;
}

/// In a frozen group of version 1 who is killed stays, and whoever would thaw him has gone.
void let_killed_end(const std::string& folder) {
  if (!read_text(folder + state_v1).starts_with("FR")) return;
  const std::string members = read_text(folder + "/cgroup.procs");
  const std::vector<std::string_view> pids = split(members, '\n');
  if (std::none_of(pids.begin(), pids.end(), is_killed)) return;
  static_cast<void>(write_text(folder + state_v1, "THAWED"));
  for (int turn = 0; turn < removal_tries_max && ::rmdir(folder.c_str()) < 0; ++turn) {
    ::usleep(1000);
  }
}

}  // namespace

void CgroupHierarchies::sweep(std::chrono::seconds age) const {
  namespace fs = std::filesystem;
  for (const std::string& folder : {freezer, memory, cpu, cpu_usage, processes}) {
    if (folder.empty()) continue;
    std::error_code none;
    for (fs::directory_iterator at(folder, none), end; !none && at != end; at.increment(none)) {
      const std::string name = at->path().filename();
      if (!name.starts_with(group_prefix)) continue;
      const std::optional<std::uint64_t> pid =
          number_in(std::string_view(name).substr(group_prefix.size()));
      struct stat info {};
      if (!pid || *pid > INT_MAX || ::lstat(at->path().c_str(), &info) < 0) continue;
      const bool gone = ::kill(static_cast<pid_t>(*pid), 0) < 0 && errno == ESRCH;
      // Whoever is in another namespace of processes looks gone, too, while he fills a new one.
      if (!gone || ::time(nullptr) - info.st_mtime < age.count()) continue;
      let_killed_end(at->path());
      ::rmdir(at->path().c_str());
    }
  }
}

Result<std::unique_ptr<Cgroup>> Cgroup::make(const CgroupHierarchies& where,
                                             const std::string& name, const IsolationLimits& limits,
                                             bool freezable) {
  std::unique_ptr<Cgroup> group(new Cgroup());
  group->where_.unified = where.unified;
  group->where_.unified_freezer = where.unified_freezer;
  Result<void> done;
  const auto add = [&](const std::string& parent, std::string& mine, const char* controller) {
    if (parent.empty() || !done) return;
    mine = parent + "/" + name;
    const auto known = std::find(group->folders_.begin(), group->folders_.end(), mine);
    if (known != group->folders_.end()) {
      std::string& names =
          group->controllers_[static_cast<std::size_t>(known - group->folders_.begin())];
      if (!where.unified) names.append(",").append(controller);
      return;
    }
    if (::mkdir(mine.c_str(), 0755) < 0) {
      done = posix_error(errno, mine);
      return;
    }
    group->folders_.push_back(mine);
    group->controllers_.emplace_back(where.unified ? "" : controller);
  };
  add(where.memory, group->where_.memory, "memory");
  add(where.cpu, group->where_.cpu, "cpu");
  add(where.cpu_usage, group->where_.cpu_usage, "cpuacct");
  add(where.processes, group->where_.processes, "pids");
  if (freezable) {
    const bool beside = where.unified_freezer && !where.unified;
    add(where.freezer, group->where_.freezer, beside ? "unified" : "freezer");
  }
  if (done) done = group->limit(limits);
  if (!done) return done.error();
  group->cpu_limited_ = limits.cpu_milli != 0 && !group->where_.cpu.empty();
  return group;
}

Result<void> Cgroup::limit(const IsolationLimits& limits) const {
  Result<void> done;
  const auto set = [&](const std::string& folder, const char* file, const std::string& text) {
    if (done && !folder.empty()) done = write_text(folder + "/" + file, text);
  };
  const auto number = [](std::uint64_t n) { return std::to_string(n); };
  const bool two = where_.unified;
  if (limits.memory_bytes != 0) {
    set(where_.memory, two ? "memory.max" : "memory.limit_in_bytes", number(limits.memory_bytes));
    // Swap is beside it, and not every kernel counts that.
    const std::string swap =
        where_.memory + (two ? "/memory.swap.max" : "/memory.memsw.limit_in_bytes");
    if (done && !where_.memory.empty() && ::access(swap.c_str(), W_OK) == 0) {
      done = write_text(swap, two ? "0" : number(limits.memory_bytes));
    }
  }
  if (limits.cpu_milli != 0) {
    const std::uint64_t quota = std::max(limits.cpu_milli * cpu_period_us / 1000, cpu_quota_us_min);
    if (two) {
      set(where_.cpu, "cpu.max", number(quota) + " " + number(cpu_period_us));
    } else {
      set(where_.cpu, "cpu.cfs_period_us", number(cpu_period_us));
      set(where_.cpu, "cpu.cfs_quota_us", number(quota));
    }
  }
  if (limits.cpu_shares_milli != 0) {
    const std::uint64_t shares =
        std::clamp<std::uint64_t>(limits.cpu_shares_milli * 1024 / 1000, 2, 262'144);
    if (two) {
      set(where_.cpu, "cpu.weight", number(1 + (shares - 2) * 9999 / 262'142));
    } else {
      set(where_.cpu, "cpu.shares", number(shares));
    }
  }
  if (limits.processes != 0) set(where_.processes, "pids.max", number(limits.processes));
  return done;
}

Cgroup::~Cgroup() {
  for (const std::string& folder : folders_) {
    for (int turn = 0; turn < removal_tries_max; ++turn) {
      if (::rmdir(folder.c_str()) == 0 || errno != EBUSY) break;
      kill_members(folder);
      if (!where_.freezer.empty()) static_cast<void>(freeze(false));
      ::usleep(1000);
    }
  }
}

Result<std::vector<FileDescriptor>> Cgroup::entrances() const {
  std::vector<FileDescriptor> entrances;
  for (const std::string& folder : folders_) {
    if (of_version_2(folder)) continue;
    const std::string path = folder + "/tasks";
    entrances.emplace_back(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (entrances.back().fd < 0) return posix_error(errno, path);
  }
  return entrances;
}

void Cgroup::lift_cpu_limit() const noexcept {
  if (!cpu_limited_) return;
  const char* const name = where_.unified ? "cpu.max" : "cpu.cfs_quota_us";
  static_cast<void>(write_text(where_.cpu + "/" + name, where_.unified ? "max" : "-1"));
}

bool Cgroup::of_version_2(const std::string& folder) const {
  return where_.unified || (where_.unified_freezer && folder == where_.freezer);
}

Result<void> Cgroup::freeze(bool frozen) const noexcept {
  if (where_.freezer.empty()) {
    return fail(Errc::unimplemented, "this host has no control group that freezes");
  }
  if (where_.unified_freezer) return write_text(where_.freezer + state_v2, frozen ? "1" : "0");
  return write_text(where_.freezer + state_v1, frozen ? "FROZEN" : "THAWED");
}

Result<void> Cgroup::add(pid_t pid) const {
  for (const std::string& folder : folders_) {
    if (!of_version_2(folder)) continue;
    Result<void> added = write_text(folder + "/cgroup.procs", std::to_string(pid));
    if (!added) return added;
  }
  return {};
}

Result<ProcessUsage> Cgroup::usage() const {
  ProcessUsage usage;
  const bool two = where_.unified;
  const auto read = [](const std::string& folder, const char* file, std::string_view key) {
    return number_in(read_text(folder + file), key).value_or(0);
  };
  if (where_.cpu_usage.empty() || where_.memory.empty()) {
    return fail(Errc::unimplemented, "this host has no control groups that count memory and CPU");
  }
  usage.cpu_time =
      two ? Duration(std::chrono::microseconds(read(where_.cpu_usage, "/cpu.stat", "usage_usec")))
          : Duration(std::chrono::nanoseconds(read(where_.cpu_usage, "/cpuacct.usage", {})));
  usage.memory_bytes = read(where_.memory, two ? "/memory.current" : "/memory.usage_in_bytes", {});
  if (!where_.processes.empty()) usage.processes = read(where_.processes, "/pids.current", {});
  return usage;
}

bool Cgroup::out_of_memory() const {
  if (where_.memory.empty()) return false;
  const char* const file = where_.unified ? "/memory.events" : "/memory.oom_control";
  return number_in(read_text(where_.memory + file), "oom_kill").value_or(0) > 0;
}

}  // namespace knative::base
