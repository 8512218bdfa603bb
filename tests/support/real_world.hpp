// What tests of the real world share: a loop that logs nothing, a directory that goes away,
// bytes sent to a port, and waiting for what will happen.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

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

/// Raw bytes over a new connection; the whole answer until the peer closes.
inline std::string exchange_bytes(const Endpoint& endpoint, const std::string& bytes) {
  auto exchange = [](Network& network, Endpoint to, std::string text) -> Task<std::string> {
    Result<std::unique_ptr<Stream>> stream = co_await network.connect(std::move(to));
    if (!stream) co_return stream.error().to_string();
    const Result<std::size_t> sent = co_await (*stream)->write_all(text);
    if (!sent) co_return sent.error().to_string();
    std::string answer;
    char piece[4096];
    for (;;) {
      Result<std::size_t> got = co_await (*stream)->read_some(std::span<char>(piece));
      if (!got || *got == 0) co_return answer;
      answer.append(piece, *got);
    }
  };
  Loop loop;
  return loop.run(exchange(loop.env().network, endpoint, bytes));
}

/// A directory of its own, removed at the end.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    path_ = (std::filesystem::temp_directory_path() / "knative-test-XXXXXX").string();
    if (::mkdtemp(path_.data()) == nullptr) ADD_FAILURE() << "no temporary directory " << path_;
  }
  ~TemporaryDirectory() {
    std::error_code failed;
    std::filesystem::remove_all(path_, failed);
    EXPECT_FALSE(failed) << path_ << ": " << failed.message();
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  const std::string& path() const { return path_; }
  std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }

 private:
  std::string path_;
};

}  // namespace knative::testing_world
