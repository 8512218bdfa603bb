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

constexpr std::uint32_t denied[] = {
    // The machine's own state.
    SYS_acct, SYS_reboot, SYS_swapon, SYS_swapoff, SYS_syslog, SYS_vhangup, SYS_quotactl,
    SYS_nfsservctl, SYS_clock_settime, SYS_clock_adjtime, SYS_settimeofday, SYS_init_module,
    SYS_finit_module, SYS_delete_module, SYS_kexec_load, 443 /* quotactl_fd */,
#ifdef SYS_kexec_file_load
    SYS_kexec_file_load,
#endif
#ifdef SYS_ioperm
    SYS_ioperm, SYS_iopl,
#endif
#ifdef SYS_create_module
    SYS_create_module, SYS_get_kernel_syms, SYS_query_module, SYS_uselib, SYS_ustat, SYS_sysfs,
    SYS__sysctl,
#endif
    // Files outside, other roots.
    SYS_mount, SYS_umount2, SYS_pivot_root, SYS_open_by_handle_at, SYS_lookup_dcookie,
    SYS_fanotify_init, 428 /* open_tree */, 429 /* move_mount */, 430 /* fsopen */,
    431 /* fsconfig */, 432 /* fsmount */, 433 /* fspick */, 442 /* mount_setattr */,
    // Namespaces, tracing and what has been a way out before.
    SYS_setns, SYS_unshare, SYS_bpf, SYS_perf_event_open, SYS_userfaultfd, SYS_kcmp, SYS_add_key,
    SYS_request_key, SYS_keyctl, SYS_process_vm_readv, SYS_process_vm_writev, SYS_move_pages,
    425 /* io_uring_setup */, 426 /* io_uring_enter */, 427 /* io_uring_register */,
    438 /* pidfd_getfd */, 440 /* process_madvise */, 448 /* process_mrelease */};

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

std::vector<std::pair<std::uint32_t, Program>> single_rules() {
  std::vector<std::pair<std::uint32_t, Program>> singles;
  for (const std::uint32_t number : denied) singles.push_back({number, {verdict(refused)}});
  constexpr std::uint32_t namespaces = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
                                       CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWCGROUP;
  singles.push_back({SYS_clone, refuse_bits(0, namespaces)});
  singles.push_back({435 /* clone3 */, {verdict(unknown)}});
  singles.push_back({SYS_personality, check_personality()});
  singles.push_back({SYS_socket, refuse_value(0, AF_VSOCK)});
  singles.push_back({SYS_ioctl, refuse_value(1, TIOCSTI)});
  std::sort(singles.begin(), singles.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  return singles;
}

}  // namespace

std::vector<sock_filter> default_system_call_filter() {
  const Program allow{verdict(SECCOMP_RET_ALLOW)};
  std::vector<Rule> rules{{0, allow}};
  for (auto& [number, program] : single_rules()) {
    if (rules.back().first == number) {
      rules.back().program = std::move(program);
    } else {
      rules.push_back({number, std::move(program)});
    }
    rules.push_back({number + 1, allow});
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
