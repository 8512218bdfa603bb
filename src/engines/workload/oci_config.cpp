#include "engines/workload/oci_config.hpp"

#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include "base/kernel_paths.hpp"
#include "base/seccomp.hpp"
#include "knative/value.hpp"

namespace knative {
namespace {

// In the order of the kernel's numbers.
constexpr std::array<const char*, 16> resource_names = {
    "CPU",     "FSIZE", "DATA",  "STACK",      "CORE",     "RSS",  "NPROC",  "NOFILE",
    "MEMLOCK", "AS",    "LOCKS", "SIGPENDING", "MSGQUEUE", "NICE", "RTPRIO", "RTTIME"};
constexpr int error_refused = 1;   // EPERM
constexpr int error_unknown = 38;  // ENOSYS

Value::Map map_of(std::initializer_list<std::pair<const char*, Value>> fields) {
  Value::Map map;
  for (const auto& [name, value] : fields) map.emplace(name, value);
  return map;
}

Value::List words_of(const std::vector<std::string>& words) {
  return Value::List(words.begin(), words.end());
}

template <class Names>
Value::List paths_of(const Names& names) {
  return Value::List(names.begin(), names.end());
}

Value::List capability_words(Isolation::Capabilities capabilities) {
  Value::List words;
  for (int number = 0; number < 64; ++number) {
    if ((capabilities >> number & 1) == 0) continue;
    if (const std::string_view name = capability_name(number); !name.empty()) {
      words.emplace_back(std::string("CAP_").append(name));
    }
  }
  return words;
}

Value::Map rights_of(const Isolation& isolation) {
  const Value::List all = capability_words(isolation.capabilities);
  const Value::List held = isolation.user == 0 ? all : Value::List();
  return map_of({{"bounding", all},
                 {"effective", held},
                 {"permitted", held},
                 {"inheritable", Value::List()},
                 {"ambient", Value::List()}});
}

Value::Map process_of(const ProcessOptions& program) {
  const Isolation& isolation = *program.isolation;
  Value::List environment;
  for (const auto& [name, value] : program.environment)
    environment.emplace_back(name + "=" + value);
  Value::List limits;
  for (const ResourceLimit& limit : isolation.resource_limits) {
    const auto number = static_cast<std::size_t>(limit.resource);
    KN_ASSERT(number < resource_names.size());
    limits.emplace_back(map_of({{"type", std::string("RLIMIT_") + resource_names[number]},
                                {"soft", limit.soft},
                                {"hard", limit.hard}}));
  }
  const Value::List groups(isolation.groups.begin(), isolation.groups.end());
  return map_of(
      {{"terminal", false},
       {"user",
        map_of({{"uid", isolation.user}, {"gid", isolation.group}, {"additionalGids", groups}})},
       {"args", words_of(program.argv)},
       {"env", environment},
       {"cwd", program.working_directory.empty() ? std::string("/") : program.working_directory},
       {"capabilities", rights_of(isolation)},
       {"rlimits", limits},
       {"noNewPrivileges", isolation.no_new_privileges}});
}

Value mount_of(const std::string& target, const char* type, const std::string& source,
               const std::vector<std::string>& options) {
  return map_of({{"destination", target},
                 {"type", type},
                 {"source", source},
                 {"options", words_of(options)}});
}

Value bind_of(const std::string& target, const std::string& source, bool read_only) {
  std::vector<std::string> options = {"rbind", "nosuid", "nodev"};
  if (read_only) options.emplace_back("ro");
  return mount_of(target, "bind", source, options);
}

Value::List mounts_of(const Isolation& isolation) {
  Value::List mounts = {
      mount_of("/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}),
      mount_of("/dev", "tmpfs", "tmpfs", {"nosuid", "noexec", "mode=755", "size=16m"}),
      mount_of("/dev/pts", "devpts", "devpts",
               {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}),
      mount_of("/dev/shm", "tmpfs", "tmpfs",
               {"nosuid", "noexec", "nodev", "mode=1777", "size=64m"}),
      mount_of("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"})};
  // Only who owns a network may mount its own view of it.
  mounts.push_back(isolation.host_network
                       ? bind_of("/sys", "/sys", true)
                       : mount_of("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}));
  mounts.push_back(bind_of("/sys/fs/cgroup", "/sys/fs/cgroup", true));
  for (std::size_t i = 0; i < isolation.files.size(); ++i) {
    const std::string source = isolation.stage + "/files/" + std::to_string(i);
    mounts.push_back(bind_of(isolation.files[i].path, source, false));
  }
  for (std::size_t i = 0; i < isolation.mounts.size(); ++i) {
    const IsolationMount& mount = isolation.mounts[i];
    if (!mount.source.empty()) {
      const std::string source = isolation.stage + "/mounts/" + std::to_string(i);
      mounts.push_back(bind_of(mount.target, source, mount.read_only));
      continue;
    }
    std::vector<std::string> options = {"nosuid", "nodev", "mode=1777"};
    if (mount.bytes_max != 0) options.push_back("size=" + std::to_string(mount.bytes_max));
    if (mount.read_only) options.emplace_back("ro");
    mounts.push_back(mount_of(mount.target, "tmpfs", "tmpfs", options));
  }
  return mounts;
}

Value call_rule(const char* name, int error, const Value::List& arguments = {}) {
  return map_of({{"names", Value::List{Value(name)}},
                 {"action", "SCMP_ACT_ERRNO"},
                 {"errnoRet", error},
                 {"args", arguments}});
}

Value masked(std::uint32_t index, std::uint32_t mask, std::uint32_t value) {
  return map_of(
      {{"index", index}, {"value", mask}, {"valueTwo", value}, {"op", "SCMP_CMP_MASKED_EQ"}});
}

Value::Map filter_of() {
  using Kind = base::SystemCallRule::Kind;
  Value::List calls;
  for (const base::SystemCallRule& rule : base::system_call_rules()) {
    switch (rule.kind) {
      case Kind::refuse: calls.push_back(call_rule(rule.name, error_refused)); break;
      case Kind::unknown: calls.push_back(call_rule(rule.name, error_unknown)); break;
      case Kind::refuse_value:
        calls.push_back(call_rule(rule.name, error_refused,
                                  Value::List{masked(rule.argument, 0xffffffff, rule.value)}));
        break;
      case Kind::refuse_bits:
        for (std::uint32_t bit = 1; bit != 0; bit <<= 1) {
          if ((rule.value & bit) == 0) continue;
          calls.push_back(
              call_rule(rule.name, error_refused, Value::List{masked(rule.argument, bit, bit)}));
        }
        break;
      // That an argument is none of several values cannot be said; it concerns the caller alone.
      case Kind::personality: break;
    }
  }
  return map_of({{"defaultAction", "SCMP_ACT_ALLOW"}, {"syscalls", calls}});
}

}  // namespace

std::string oci_config(const ProcessOptions& program) {
  KN_ASSERT(program.isolation && !program.isolation->stage.empty());
  const Isolation& isolation = *program.isolation;
  Value::List namespaces;
  for (const char* type : {"pid", "ipc", "uts", "mount"}) {
    namespaces.emplace_back(map_of({{"type", type}}));
  }
  Value::List masked_paths = paths_of(base::masked_files);
  for (const char* folder : base::masked_folders) masked_paths.emplace_back(folder);
  Value::Map kernel = map_of({{"namespaces", namespaces},
                              {"maskedPaths", masked_paths},
                              {"readonlyPaths", paths_of(base::read_only_paths)}});
  if (isolation.filter_system_calls) kernel.emplace("seccomp", filter_of());
  Value::Map config = map_of({{"ociVersion", "1.0.0"},
                              {"process", process_of(program)},
                              {"root", map_of({{"path", isolation.stage + "/root"},
                                               {"readonly", isolation.read_only_root}})},
                              {"mounts", mounts_of(isolation)},
                              {"linux", kernel}});
  if (!isolation.hostname.empty()) config.emplace("hostname", isolation.hostname);
  return Value(std::move(config)).to_json();
}

}  // namespace knative
