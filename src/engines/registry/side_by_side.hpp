// Several jobs of one kind side by side, not more than so many at a time.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>

#include "knative/task.hpp"

namespace knative::oci {

// Run `job(0)` to `job(count - 1)`, each a `Task<Result<void>>`. The first failure drops those that
// are under way.
template <class Job>
Task<Result<void>> side_by_side(std::size_t count, std::size_t at_once_max, Job& job) {
  struct Common {
    std::size_t next = 0;
    std::size_t running = 0;
    std::optional<Error> error;
    Wakeup changed;
  };
  auto work = [](Common& common, std::size_t all, Job& each) -> Task<void> {
    while (common.next < all && !common.error) {
      Task<Result<void>> one = each(common.next++);
      Result<void> done = co_await std::move(one);
      if (!done && !common.error) common.error = std::move(done).error();
    }
    --common.running;
    common.changed.notify_all();
  };
  Executor& executor = co_await this_executor();
  Common common;
  TaskSet workers(executor);
  common.running = std::min(count, std::max<std::size_t>(at_once_max, 1));
  for (std::size_t i = common.running; i > 0; --i) workers.add(work(common, count, job));
  while (common.running > 0 && !common.error) co_await common.changed.wait();
  workers.clear();
  if (common.error) co_return *std::move(common.error);
  co_return Result<void>();
}

}  // namespace knative::oci
