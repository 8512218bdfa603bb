#include "base/seccomp.hpp"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <iterator>

#include "knative/error.hpp"

namespace knative::base {
namespace {

#if defined(__x86_64__)
constexpr std::uint32_t native_architecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t native_architecture = AUDIT_ARCH_AARCH64;
#elif defined(__riscv) && __riscv_xlen == 64
constexpr std::uint32_t native_architecture = AUDIT_ARCH_RISCV64;
#else
#error "the audit architecture of this machine is missing here"
#endif

/// The newest call that the list below has been made for (set_mempolicy_home_node, Linux 5.17).
constexpr std::uint32_t newest_known = 450;

constexpr std::uint32_t refused = SECCOMP_RET_ERRNO | EPERM;
constexpr std::uint32_t unknown = SECCOMP_RET_ERRNO | ENOSYS;

// By the kernel's number where not every C library has it.
#define KN_CALL(name) \
  { #name, SYS_##name }
constexpr SystemCallRule refused_calls[] = {
    // The machine's own state.
    KN_CALL(acct),
    KN_CALL(reboot),
    KN_CALL(swapon),
    KN_CALL(swapoff),
    KN_CALL(syslog),
    KN_CALL(vhangup),
    KN_CALL(quotactl),
    KN_CALL(nfsservctl),
    KN_CALL(clock_settime),
    KN_CALL(clock_adjtime),
    KN_CALL(settimeofday),
    KN_CALL(init_module),
    KN_CALL(finit_module),
    KN_CALL(delete_module),
    KN_CALL(kexec_load),
    {"quotactl_fd", 443},
#ifdef SYS_kexec_file_load
    KN_CALL(kexec_file_load),
#endif
#ifdef SYS_ioperm
    KN_CALL(ioperm),
    KN_CALL(iopl),
#endif
#ifdef SYS_create_module
    KN_CALL(create_module),
    KN_CALL(get_kernel_syms),
    KN_CALL(query_module),
    KN_CALL(uselib),
    KN_CALL(ustat),
    KN_CALL(sysfs),
    KN_CALL(_sysctl),
#endif
    // Files outside, other roots.
    KN_CALL(mount),
    KN_CALL(umount2),
    KN_CALL(pivot_root),
    KN_CALL(open_by_handle_at),
    KN_CALL(lookup_dcookie),
    KN_CALL(fanotify_init),
    {"open_tree", 428},
    {"move_mount", 429},
    {"fsopen", 430},
    {"fsconfig", 431},
    {"fsmount", 432},
    {"fspick", 433},
    {"mount_setattr", 442},
    // Namespaces, tracing and what has been a way out before.
    KN_CALL(setns),
    KN_CALL(unshare),
    KN_CALL(bpf),
    KN_CALL(perf_event_open),
    KN_CALL(userfaultfd),
    KN_CALL(kcmp),
    KN_CALL(add_key),
    KN_CALL(request_key),
    KN_CALL(keyctl),
    KN_CALL(process_vm_readv),
    KN_CALL(process_vm_writev),
    KN_CALL(move_pages),
    {"io_uring_setup", 425},
    {"io_uring_enter", 426},
    {"io_uring_register", 427},
    {"pidfd_getfd", 438},
    {"process_madvise", 440},
    {"process_mrelease", 448}};
#undef KN_CALL

using Program = std::vector<sock_filter>;

sock_filter statement(std::uint16_t code, std::uint32_t value) { return {code, 0, 0, value}; }
sock_filter jump(std::uint16_t code, std::uint32_t value, std::size_t yes, std::size_t no) {
  KN_ASSERT(yes < 256 && no < 256);
  return {code, static_cast<std::uint8_t>(yes), static_cast<std::uint8_t>(no), value};
}
sock_filter load(std::size_t offset) {
  return statement(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset));
}
sock_filter verdict(std::uint32_t action) { return statement(BPF_RET | BPF_K, action); }

constexpr std::size_t number_offset = offsetof(seccomp_data, nr);
constexpr std::size_t architecture_offset = offsetof(seccomp_data, arch);
/// The lower half of an argument: all the checks below are about numbers of 32 bits.
std::size_t argument_offset(std::size_t index) {
  return offsetof(seccomp_data, args) + index * sizeof(std::uint64_t);
}

/// Refused when any of `bits` is set in an argument.
Program refuse_bits(std::size_t argument, std::uint32_t bits) {
  return {load(argument_offset(argument)), jump(BPF_JMP | BPF_JSET | BPF_K, bits, 0, 1),
          verdict(refused), verdict(SECCOMP_RET_ALLOW)};
}
Program refuse_value(std::size_t argument, std::uint32_t value) {
  return {load(argument_offset(argument)), jump(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1),
          verdict(refused), verdict(SECCOMP_RET_ALLOW)};
}
/// PER_LINUX, with or without UNAME26, and asking.
Program check_personality() {
  return {load(argument_offset(0)),
          jump(BPF_JMP | BPF_JEQ | BPF_K, 0, 3, 0),
          jump(BPF_JMP | BPF_JEQ | BPF_K, 0x0020000, 2, 0),
          jump(BPF_JMP | BPF_JEQ | BPF_K, 0xffffffff, 1, 0),
          verdict(refused),
          verdict(SECCOMP_RET_ALLOW)};
}

/// What becomes of the calls from `first` up to the next rule.
struct Rule {
  std::uint32_t first;
  Program program;
};

/// A decision by halves, so that every call is a few comparisons away.
Program decide(const std::vector<Rule>& rules, std::size_t begin, std::size_t end) {
  if (end - begin == 1) return rules[begin].program;
  const std::size_t middle = begin + (end - begin) / 2;
  Program below = decide(rules, begin, middle);
  const Program above = decide(rules, middle, end);
  Program result;
  result.push_back(jump(BPF_JMP | BPF_JGE | BPF_K, rules[middle].first, below.size(), 0));
  result.insert(result.end(), below.begin(), below.end());
  result.insert(result.end(), above.begin(), above.end());
  return result;
}

Program program_of(const SystemCallRule& rule) {
  switch (rule.kind) {
    case SystemCallRule::Kind::refuse: return {verdict(refused)};
    case SystemCallRule::Kind::unknown: return {verdict(unknown)};
    case SystemCallRule::Kind::refuse_bits: return refuse_bits(rule.argument, rule.value);
    case SystemCallRule::Kind::refuse_value: return refuse_value(rule.argument, rule.value);
    case SystemCallRule::Kind::personality: break;
  }
  return check_personality();
}

}  // namespace

std::vector<SystemCallRule> system_call_rules() {
  using Kind = SystemCallRule::Kind;
  constexpr std::uint32_t namespaces = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
                                       CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWCGROUP;
  std::vector<SystemCallRule> rules(std::begin(refused_calls), std::end(refused_calls));
  rules.push_back({"clone", SYS_clone, Kind::refuse_bits, 0, namespaces});
  rules.push_back({"clone3", 435, Kind::unknown, 0, 0});
  rules.push_back({"personality", SYS_personality, Kind::personality, 0, 0});
  rules.push_back({"socket", SYS_socket, Kind::refuse_value, 0, AF_VSOCK});
  rules.push_back({"ioctl", SYS_ioctl, Kind::refuse_value, 1, TIOCSTI});
  std::sort(rules.begin(), rules.end(),
            [](const SystemCallRule& a, const SystemCallRule& b) { return a.number < b.number; });
  return rules;
}

std::vector<sock_filter> default_system_call_filter() {
  const Program allow{verdict(SECCOMP_RET_ALLOW)};
  std::vector<Rule> rules{{0, allow}};
  for (const SystemCallRule& one : system_call_rules()) {
    if (rules.back().first == one.number) {
      rules.back().program = program_of(one);
    } else {
      rules.push_back({one.number, program_of(one)});
    }
    rules.push_back({one.number + 1, allow});
  }
  KN_ASSERT(rules.back().first <= newest_known + 1);
  if (rules.back().first == newest_known + 1) rules.pop_back();
  rules.push_back({newest_known + 1, {verdict(unknown)}});
  Program result{load(architecture_offset),
                 jump(BPF_JMP | BPF_JEQ | BPF_K, native_architecture, 1, 0), verdict(refused),
                 load(number_offset)};
  const Program tree = decide(rules, 0, rules.size());
  result.insert(result.end(), tree.begin(), tree.end());
  return result;
}

}  // namespace knative::base
