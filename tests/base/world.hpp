// What the tests of the real world share.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "knative/env.hpp"

namespace knative::testing_world {

using namespace std::chrono_literals;

/// A reproducible loop that logs nothing.
inline LoopOptions quiet() {
  LoopOptions options;
  options.seed = 7;
  options.log_sink = [](const LogRecord&) {};
  return options;
}

/// Wait until `condition` holds; false after ten seconds.
inline Task<bool> eventually(Timers& timers, const std::function<bool()>& condition) {
  const Instant deadline = timers.now() + 10s;
  while (!condition()) {
    if (timers.now() >= deadline) co_return false;
    co_await timers.sleep_for(1ms);
  }
  co_return true;
}

/// A directory of its own, removed at the end.
class TemporaryDirectory {
 public:
  explicit TemporaryDirectory(Files& files)
      : files_(files), path_(files.make_temporary_directory("knative-test-").value()) {}
  ~TemporaryDirectory() { EXPECT_TRUE(files_.remove_all(path_)); }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  const std::string& path() const { return path_; }
  std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }

 private:
  Files& files_;
  std::string path_;
};

}  // namespace knative::testing_world
