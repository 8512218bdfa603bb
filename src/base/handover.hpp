/// \file
/// What work on another thread makes for a task that may be dropped before it gets it.
#pragma once

#include <atomic>

namespace knative::base {

/// Shared by both. Each leaves it once: the work when it has come to its end, the task when it has
/// the result or is dropped. When nobody got it, nobody else knows of what was made: whoever is
/// told that he is the last removes it.
class Handover {
 public:
  /// Whether the task is still there: what nobody waits for need not be begun.
  bool awaited() const noexcept { return !left_.load(); }
  /// Whether the other one had left before.
  bool leave() noexcept { return left_.exchange(true); }

 private:
  std::atomic<bool> left_ = false;
};

}  // namespace knative::base
