// What isolation is made of and has names.
#include "knative/isolation.hpp"

#include <algorithm>
#include <array>

namespace knative {
namespace {

// In the order of the kernel's numbers.
constexpr std::array<std::string_view, 41> names = {"CHOWN",
                                                    "DAC_OVERRIDE",
                                                    "DAC_READ_SEARCH",
                                                    "FOWNER",
                                                    "FSETID",
                                                    "KILL",
                                                    "SETGID",
                                                    "SETUID",
                                                    "SETPCAP",
                                                    "LINUX_IMMUTABLE",
                                                    "NET_BIND_SERVICE",
                                                    "NET_BROADCAST",
                                                    "NET_ADMIN",
                                                    "NET_RAW",
                                                    "IPC_LOCK",
                                                    "IPC_OWNER",
                                                    "SYS_MODULE",
                                                    "SYS_RAWIO",
                                                    "SYS_CHROOT",
                                                    "SYS_PTRACE",
                                                    "SYS_PACCT",
                                                    "SYS_ADMIN",
                                                    "SYS_BOOT",
                                                    "SYS_NICE",
                                                    "SYS_RESOURCE",
                                                    "SYS_TIME",
                                                    "SYS_TTY_CONFIG",
                                                    "MKNOD",
                                                    "LEASE",
                                                    "AUDIT_WRITE",
                                                    "AUDIT_CONTROL",
                                                    "SETFCAP",
                                                    "MAC_OVERRIDE",
                                                    "MAC_ADMIN",
                                                    "SYSLOG",
                                                    "WAKE_ALARM",
                                                    "BLOCK_SUSPEND",
                                                    "AUDIT_READ",
                                                    "PERFMON",
                                                    "BPF",
                                                    "CHECKPOINT_RESTORE"};

constexpr std::array<std::string_view, 14> usual = {
    "CHOWN",   "DAC_OVERRIDE",     "FOWNER",  "FSETID",     "KILL",  "SETGID",      "SETUID",
    "SETPCAP", "NET_BIND_SERVICE", "NET_RAW", "SYS_CHROOT", "MKNOD", "AUDIT_WRITE", "SETFCAP"};

}  // namespace

std::optional<int> capability_number(std::string_view name) {
  std::string upper(name);
  for (char& c : upper) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  if (upper.starts_with("CAP_")) upper.erase(0, 4);
  const auto found = std::find(names.begin(), names.end(), upper);
  if (found == names.end()) return std::nullopt;
  return static_cast<int>(found - names.begin());
}

std::string_view capability_name(int number) noexcept {
  const bool known = number >= 0 && static_cast<std::size_t>(number) < names.size();
  return known ? names[static_cast<std::size_t>(number)] : std::string_view();
}

Isolation::Capabilities default_capabilities() noexcept {
  Isolation::Capabilities result = 0;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (std::find(usual.begin(), usual.end(), names[i]) != usual.end()) {
      result |= Isolation::Capabilities{1} << i;
    }
  }
  return result;
}

Isolation::Capabilities all_capabilities() noexcept {
  return (Isolation::Capabilities{1} << names.size()) - 1;
}

}  // namespace knative
