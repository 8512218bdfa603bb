#include <gtest/gtest.h>

#include <thread>

#include "knative/env.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;

LoopOptions quiet() {
  LoopOptions options;
  options.seed = 7;
  options.log_sink = [](const LogRecord&) {};
  return options;
}

Task<int> sleep_and_answer(Timers& timers) {
  co_await timers.sleep_for(5ms);
  co_return 42;
}

TEST(Loop, RunsATaskThatSleeps) {
  Loop loop(quiet());
  const Instant before = loop.env().timers.now();
  EXPECT_EQ(loop.run(sleep_and_answer(loop.env().timers)), 42);
  EXPECT_GE(loop.env().timers.now() - before, 5ms);
}

Task<std::string> echo_once(Network& network, Executor& executor) {
  const Endpoint any;
  auto listener = network.listen(any).value();
  auto serve = [](Listener& door) -> Task<void> {
    auto stream = (co_await door.accept()).value();
    char buffer[64];
    for (;;) {
      Result<std::size_t> got = co_await stream->read_some(buffer);
      if (!got || *got == 0) co_return;
      (co_await stream->write_all(std::string_view(buffer, *got))).value();
    }
  };
  TaskSet servers(executor);
  servers.add(serve(*listener));
  auto stream = (co_await network.connect(listener->endpoint())).value();
  (co_await stream->write_all("hello")).value();
  char buffer[64];
  const std::size_t got = (co_await stream->read_some(buffer)).value();
  co_return std::string(buffer, got);
}

TEST(Loop, EchoesOverTcp) {
  Loop loop(quiet());
  EXPECT_EQ(loop.run(echo_once(loop.env().network, loop.env().executor)), "hello");
}

Task<std::string> shell(Processes& processes, std::string script, ExitStatus& status) {
  std::string output;
  ProcessOptions options;
  options.argv = {"sh", "-c", script};
  options.environment = {{"PATH", "/usr/bin:/bin"}};
  options.on_stdout = [&output](std::string_view piece) { output += piece; };
  auto process = processes.spawn(options).value();
  status = co_await process->wait();
  co_return output;
}

TEST(Loop, CapturesAChildsOutputAndExitCode) {
  Loop loop(quiet());
  ExitStatus status;
  EXPECT_EQ(loop.run(shell(loop.env().processes, "echo hi; exit 3", status)), "hi\n");
  EXPECT_EQ(status.code, 3);
}

Task<int> offloaded(Offload& offload) {
  auto work = [] { return 6 * 7; };
  co_return co_await offload.run(work);
}

TEST(Loop, OffloadsWork) {
  Loop loop(quiet());
  EXPECT_EQ(loop.run(offloaded(loop.env().offload)), 42);
}

}  // namespace
}  // namespace knative
