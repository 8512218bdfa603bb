// The system calls that a program in a container does without.
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <vector>

namespace knative::base {

/// What becomes of a system call.
struct SystemCallRule {
  enum class Kind : unsigned char {
    refuse,        ///< EPERM
    unknown,       ///< ENOSYS
    refuse_bits,   ///< EPERM when any of `value` is set in an argument, by its lower half.
    refuse_value,  ///< EPERM when an argument is `value`.
    personality,   ///< EPERM but for the usual ones.
  };
  const char* name = nullptr;
  std::uint32_t number = 0;
  Kind kind = Kind::refuse;
  std::uint32_t argument = 0;
  std::uint32_t value = 0;
};

/// Those that are not simply allowed.
std::vector<SystemCallRule> system_call_rules();

/// A filter for PR_SET_SECCOMP that knows this machine's own calls. Those that reach beyond a
/// container fail with EPERM: mounting, namespaces, modules, keys, clocks, BPF, performance
/// counters, io_uring, userfaultfd, other ABIs. Calls newer than the list fail with ENOSYS, so that
/// programs fall back; so does clone3, whose flags cannot be seen.
std::vector<sock_filter> default_system_call_filter();

}  // namespace knative::base
