// The system calls that a program in a container does without.
#pragma once

#include <linux/filter.h>

#include <vector>

namespace knative::base {

/// A filter for PR_SET_SECCOMP that knows this machine's own calls. Those that reach beyond a
/// container fail with EPERM: mounting, namespaces, modules, keys, clocks, BPF, performance
/// counters, io_uring, userfaultfd, other ABIs. Calls newer than the list fail with ENOSYS, so that
/// programs fall back; so does clone3, whose flags cannot be seen.
std::vector<sock_filter> default_system_call_filter();

}  // namespace knative::base
