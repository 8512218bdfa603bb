// A last will: kills what we started when we are killed ourselves.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

namespace knative::base {

class Cgroup;

/// A small helper process of one loop. It holds the list of process groups that the loop started
/// and kills them when the loop's process is gone, however it went. (The kernel's
/// PR_SET_PDEATHSIG reaches the children only, not what they started.)
///
/// What leaves its group (setsid) is known by two marks that every child gets and hands down: a
/// variable in its environment, and, where that was emptied, a limit of its own. When a child has
/// ended, and when the loop's process is gone, whoever still has a mark is killed as well.
///
/// The limit is RLIMIT_RTTIME, the CPU time of real-time threads in microseconds: a number as large
/// as a hundred thousand years limits nothing, and only who sets that very limit loses it.
class Warden {
 public:
  Warden() = default;
  ~Warden();
  Warden(const Warden&) = delete;
  Warden& operator=(const Warden&) = delete;

  /// Start the helper unless it runs. Without /bin/sh there is none, and the rest does nothing.
  void start();
  /// Enter the calling process's group. Makes only system calls: for the child after a fork.
  void enter_self() const noexcept;
  /// The variable for the next child, "NAME=value", and the number in it; empty without a helper.
  std::string next_mark(std::uint64_t& number);
  /// Give the calling process the mark of child `number`. Makes only system calls.
  void mark_self(std::uint64_t number) const noexcept;
  /// Strike the group of a child that has been reaped, and kill what has its mark.
  void strike(pid_t group, std::uint64_t number) const noexcept;

  /// The same for an isolated child, with whom all that it started ends: it has no mark, but
  /// perhaps a control group, which is removed with who is left in it. For the host.
  void enter(pid_t child, std::uint64_t number, const Cgroup* group) const;
  void leave(pid_t child, std::uint64_t number) const noexcept;

 private:
  void tell(pid_t group, std::uint64_t number, char what) const noexcept;
  int socket_ = -1;
  std::string id_;           ///< Of this helper among all on the machine.
  std::uint64_t limit_ = 0;  ///< The same as the first digits of a limit.
  std::uint64_t children_ = 0;
  pid_t pid_ = 0;
};

}  // namespace knative::base
