/// \file
/// A wake-up as a task, for races and deadlines. Private to the library.
#pragma once

#include "knative/task.hpp"

namespace knative::base {

/// `wakeup` outlives the task.
inline Task<void> wait_for(Wakeup& wakeup) { co_await wakeup.wait(); }

}  // namespace knative::base
