/// \file
/// The driver behind `LoadRun`: sleeps to each arrival and starts one task for it.
#pragma once

#include "knative/load.hpp"

namespace knative {

struct LoadRun::Impl {
  static constexpr int handler_threw = -1;
  static constexpr int body_failed = -2;

  Impl(Executor& executor, Timers& clock, Random random, const Load& load, LoadOptions chosen,
       http::Handler* target, std::function<Task<int>(std::uint64_t)> function);
  static Task<void> drive(Impl& self);
  static Task<void> one(Impl& self, std::uint64_t n);
  static Task<int> request(Impl& self, std::uint64_t n);

  Timers& timers;
  LoadOptions options;
  http::Handler* handler;
  std::unique_ptr<http::Handler> owned;  ///< What `handler` is, when nobody else keeps it.
  std::function<Task<int>(std::uint64_t)> call;
  Load::Cursor cursor;
  LoadReport report;
  bool all_sent = false;
  TaskSet tasks;
};

}  // namespace knative
