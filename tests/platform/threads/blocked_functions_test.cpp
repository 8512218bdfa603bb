// What the user's functions do with their threads is nothing to the disk.
#include <gtest/gtest.h>

#include <atomic>
#include <optional>

#include "knative/platform.hpp"
#include "support/real_world.hpp"

namespace knative {
namespace {

using testing_world::eventually;
using namespace std::chrono_literals;

Task<void> call(Platform& platform) {
  http::Request request = http::get("/");
  (void)co_await platform.invoke("stuck", request);
}

Task<void> publish_while_blocked(Env& env, Platform& platform, std::atomic<int>& blocked,
                                 std::atomic<bool>& release) {
  const ObjectRef service = platform.apply(serving::service("stuck", "fn:stuck")).value();
  const ObjectRef broker = platform.apply(eventing::broker("default")).value();
  (co_await platform.ready(service)).value();
  (co_await platform.ready(broker)).value();
  TaskSet calls(env.executor);
  for (int i = 0; i < 2; ++i) calls.add(call(platform));
  const std::function<bool()> all = [&blocked] { return blocked == 2; };
  EXPECT_TRUE(co_await eventually(env.timers, all));
  const CloudEvent event("ping", "/test");
  Task<Result<Offset>> publishing = platform.publish("default", event);
  const Instant deadline = env.timers.now() + 60s;
  const std::optional<Result<Offset>> sent =
      co_await with_deadline(env.timers, std::move(publishing), deadline);
  EXPECT_TRUE(sent && *sent) << "the disk waits for the functions";
  EXPECT_EQ(blocked, 2);
  release = true;
  release.notify_all();
  co_await calls.drained();
}

TEST(BlockedFunctions, ADurablePublishDoesNotWaitForThem) {
  testing_world::TemporaryDirectory data;
  std::atomic<int> blocked{0};
  std::atomic<bool> release{false};
  FunctionTable functions;
  functions.http_blocking("stuck", [&](http::Request&) {
    ++blocked;
    release.wait(false);
    --blocked;
    return http::Response{};
  });
  LoopOptions loop_options = testing_world::quiet();
  loop_options.offload_threads_max = 2;
  Loop loop(loop_options);
  PlatformOptions options;
  options.listen.reset();
  options.data_directory = data / "platform";
  Platform platform(loop.env(), functions, options);
  platform.start().value();
  loop.run(publish_while_blocked(loop.env(), platform, blocked, release));
  loop.run(platform.stop());
}

}  // namespace
}  // namespace knative
