/// \file
/// A wake-up as a task, for races and deadlines. Private to the library.
#pragma once

#include <cstdint>

#include "knative/task.hpp"

namespace knative::base {

inline Task<void> wait_since(Wakeup& wakeup, std::uint32_t notices) {
  if (wakeup.notices() == notices) co_await wakeup.wait();
}

/// Until the first notice after this call, although the task begins later: nothing that is told in
/// between is lost. Whoever got it may be another one, so look again. `wakeup` outlives the task.
inline Task<void> wait_for(Wakeup& wakeup) { return wait_since(wakeup, wakeup.notices()); }

}  // namespace knative::base
