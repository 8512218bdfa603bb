// A last will: kills what we started when we are killed ourselves.
#pragma once

#include <sys/types.h>

namespace knative::base {

/// A small helper process of one loop. It holds the list of process groups that the loop started
/// and kills them when the loop's process is gone, however it went. (The kernel's
/// PR_SET_PDEATHSIG reaches the children only, not what they started.)
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
  /// Strike the group of a child that has been reaped.
  void strike(pid_t group) const noexcept;

 private:
  int socket_ = -1;
  pid_t pid_ = 0;
};

}  // namespace knative::base
