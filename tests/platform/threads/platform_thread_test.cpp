#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <thread>
#include <vector>

#include "knative/platform_thread.hpp"
#include "support/real_world.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;
using testing_world::exchange_bytes;
using testing_world::quiet;
using testing_world::TemporaryDirectory;

// Counts what arrives and lets a test wait for it.
class Counter {
 public:
  void add() {
    const std::lock_guard<std::mutex> guard(mutex_);
    ++count_;
    changed_.notify_all();
  }
  bool wait_for(int wanted) {
    std::unique_lock<std::mutex> guard(mutex_);
    return changed_.wait_for(guard, 20s, [&] { return count_ >= wanted; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int count_ = 0;
};

/// A Service that is ready.
struct Hello {
  Hello() {
    functions.http("hello", [](http::Request&) { return http::text("hello"); });
    platform.apply(serving::service("hello", "fn:hello")).value();
    platform.wait_ready("hello").value();
  }
  FunctionTable functions;
  PlatformThread platform{functions, {}, quiet()};
};

TEST(PlatformThread, serves_http_by_host_and_health_and_metrics_by_address) {
  Hello hello;
  const Endpoint endpoint = hello.platform.endpoint();
  const std::string close = "Connection: close\r\n\r\n";
  EXPECT_NE(exchange_bytes(endpoint, "GET / HTTP/1.1\r\nHost: hello.default.localhost\r\n" + close)
                .find("200 OK"),
            std::string::npos);
  EXPECT_NE(exchange_bytes(endpoint, "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n" + close)
                .find("200 OK"),
            std::string::npos);
  EXPECT_NE(exchange_bytes(endpoint, "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n" + close)
                .find("200 OK"),
            std::string::npos);
}

TEST(PlatformThread, bad_requests_and_events_are_refused_and_it_goes_on_serving) {
  Hello hello;
  PlatformThread& platform = hello.platform;
  const ObjectRef broker = platform.apply(eventing::broker("default")).value();
  platform.ready(broker).value();
  const Endpoint endpoint = platform.endpoint();
  const std::string twice = exchange_bytes(endpoint,
                                           "POST / HTTP/1.1\r\nHost: hello.default.localhost\r\n"
                                           "Content-Length: 1\r\nContent-Length: 1\r\n\r\nx");
  EXPECT_EQ(twice.rfind("HTTP/1.1 400", 0), 0u) << twice;
  const std::string no_id = exchange_bytes(endpoint,
                                           "POST /default/default HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                                           "ce-specversion: 1.0\r\nce-type: a\r\nce-source: /b\r\n"
                                           "Content-Length: 0\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(no_id.rfind("HTTP/1.1 400", 0), 0u) << no_id;
  EXPECT_NE(no_id.find("id"), std::string::npos) << no_id;
  EXPECT_EQ(platform.invoke("hello", http::get("/")).value().status, 200);
}

TEST(PlatformThread, refuses_an_address_that_strangers_can_reach) {
  FunctionTable functions;
  PlatformOptions options;
  options.listen = Endpoint{.host = "0.0.0.0", .port = 0};
  PlatformThread platform(functions, options, quiet());
  const Result<void> started = platform.start();
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, Errc::failed_precondition);
}

TEST(PlatformThread, objects_and_events_survive_a_restart) {
  TemporaryDirectory directory;
  PlatformOptions options;
  options.data_directory = directory.path();
  FunctionTable functions;
  Counter received;
  functions.http("hello", [](http::Request&) { return http::text("hello"); });
  functions.http("sink", [&received](http::Request&) {
    received.add();
    return http::Response{.status = 202};
  });
  {
    PlatformThread platform(functions, options, quiet());
    platform.apply(serving::service("hello", "fn:hello")).value();
    platform.wait_ready("hello").value();
    const ObjectRef broker = platform.apply(eventing::broker("default")).value();
    platform.ready(broker).value();
    // Nobody can deliver yet: the subscriber comes after the restart.
    eventing::Trigger trigger =
        eventing::trigger("later", "default", "http://sink.default.svc.cluster.local");
    const ObjectRef ref = platform.apply(trigger).value();
    platform.ready(ref).value();
    for (int i = 0; i < 20; ++i) {
      const CloudEvent event("a", "/b", Value({{"n", i}}));
      platform.publish("default", event).value();
    }
  }
  PlatformThread platform(functions, options, quiet());
  platform.wait_ready("hello").value();
  EXPECT_EQ(platform.invoke("hello", http::get("/")).value().body.bytes(), "hello");
  platform.apply(serving::service("sink", "fn:sink")).value();
  platform.wait_ready("sink").value();
  EXPECT_TRUE(received.wait_for(20));
}

TEST(PlatformThread, calls_from_many_threads_end_when_it_stops) {
  TemporaryDirectory directory;
  FunctionTable functions;
  functions.http_blocking(
      "slow", [](http::Request& request) { return http::text(request.query("name", "nobody")); });
  PlatformOptions options;
  options.data_directory = directory.path();
  LoopOptions loop = quiet();
  loop.offload_threads_max = 3;
  PlatformThread platform(functions, options, loop);
  platform.apply(serving::service("slow", "fn:slow")).value();
  platform.apply(eventing::broker("default")).value();
  platform.wait_ready("slow").value();
  Counter heard;
  const EventSubscription subscription = platform
                                             .subscribe("default", Filter(),
                                                        [&heard](const CloudEvent&) -> Task<Reply> {
                                                          heard.add();
                                                          co_return Reply();
                                                        })
                                             .value();
  Counter calls;
  std::vector<std::thread> threads;
  for (int number = 0; number < 6; ++number) {
    threads.emplace_back([&platform, &calls, number] {
      for (bool going = true; going; calls.add()) {
        if (number % 2 == 0) {
          going = platform.invoke("slow", http::get("/?name=a")).has_value();
        } else {
          going = platform.publish("default", CloudEvent("a", "/b")).has_value();
        }
      }
    });
  }
  EXPECT_TRUE(calls.wait_for(200));
  EXPECT_TRUE(heard.wait_for(50));
  platform.stop(100ms);
  for (std::thread& thread : threads) thread.join();
}

TEST(PlatformThread, two_platforms_live_in_one_process_but_not_in_one_directory) {
  TemporaryDirectory directory;
  PlatformOptions options;
  options.data_directory = directory.path();
  FunctionTable functions;
  functions.http("hello", [](http::Request&) { return http::text("hello"); });
  PlatformThread first(functions, options, quiet());
  first.start().value();
  PlatformThread second(functions, {}, quiet());
  second.apply(serving::service("hello", "fn:hello")).value();
  second.wait_ready("hello").value();
  PlatformThread third(functions, options, quiet());
  const Result<void> started = third.start();
  ASSERT_FALSE(started);
  EXPECT_NE(started.error().detail.find(directory.path()), std::string::npos);
}

TEST(PlatformThread, a_blocking_call_from_its_own_loop_is_refused) {
  FunctionTable functions;
  PlatformThread platform(functions, {}, quiet());
  bool refused = false;
  platform.call([&](Platform&) {
    try {
      platform.endpoint();
    } catch (const Exception& exception) {
      refused = exception.code() == Errc::failed_precondition;
    }
  });
  EXPECT_TRUE(refused);
}

TEST(PlatformThread, posted_work_runs_in_order_on_the_loop_and_nobody_waits) {
  FunctionTable functions;
  PlatformOptions options;
  options.listen.reset();
  PlatformThread platform(functions, options, quiet());
  std::vector<int> order;
  for (int number = 0; number < 100; ++number) {
    platform.post([&order, number](Platform&) { order.push_back(number); });
  }
  platform.post([&](Platform& inner) {
    // From the loop itself, where a blocking call would be refused.
    platform.post([&order](Platform&) { order.push_back(100); });
    EXPECT_TRUE(inner.start());
  });
  platform.call([](Platform&) {});
  platform.call([&order](Platform&) {
    ASSERT_EQ(order.size(), 101U);
    EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
  });
}

}  // namespace
}  // namespace knative
