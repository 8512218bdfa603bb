// A wake-up as a task, for races and deadlines.
#pragma once

#include "knative/task.hpp"

namespace knative {

/// `wakeup` outlives the task.
inline Task<void> wait_for(Wakeup& wakeup) { co_await wakeup.wait(); }

}  // namespace knative
