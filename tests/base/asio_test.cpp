#include "knative/asio.hpp"

#include <gtest/gtest.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "knative/network.hpp"
#include "knative/task.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;
using boost::asio::ip::tcp;
using Failure = boost::system::error_code;

class AsioDriverTest : public testing::Test {
 protected:
  /// Run the context until `done`, for at most ten seconds.
  template <class Done>
  bool run_until(Done done) {
    const auto end = std::chrono::steady_clock::now() + 10s;
    while (!done() && std::chrono::steady_clock::now() < end) context.run_one_for(100ms);
    return done();
  }

  boost::asio::io_context context;
  Loop loop;
};

Task<void> sleep_and_count(Timers& timers, int& count) {
  for (int i = 0; i < 3; ++i) {
    co_await timers.sleep_for(5ms);
    ++count;
  }
}

TEST_F(AsioDriverTest, TimersOfTheLoopFireInTheContext) {
  int count = 0;
  TaskSet tasks(loop.env().executor);
  tasks.add(sleep_and_count(loop.env().timers, count));
  const AsioDriver driver(context, loop);
  EXPECT_TRUE(run_until([&count] { return count == 3; }));
}

Task<void> echo(Listener& listener) {
  Result<std::unique_ptr<Stream>> accepted = co_await listener.accept();
  std::unique_ptr<Stream> stream = std::move(accepted).value();
  std::array<char, 64> bytes{};
  for (;;) {
    const Result<std::size_t> got = co_await stream->read_some(bytes);
    if (!got || *got == 0) co_return;
    const std::string_view answer(bytes.data(), *got);
    const Result<std::size_t> written = co_await stream->write_all(answer);
    if (!written) co_return;
  }
}

TEST_F(AsioDriverTest, SocketsOfTheHostAndOfTheLoopShareOneThread) {
  std::unique_ptr<Listener> listener =
      loop.env().network.listen(Endpoint{"127.0.0.1", 0}, ListenOptions{}).value();
  TaskSet tasks(loop.env().executor);
  tasks.add(echo(*listener));
  {
    const AsioDriver driver(context, loop);
    tcp::socket client(context);
    std::string got(5, ' ');
    std::size_t size = 0;
    client.connect(
        tcp::endpoint(boost::asio::ip::address_v4::loopback(), listener->endpoint().port));
    for (int round = 0; round < 3; ++round) {
      size = 0;
      boost::asio::write(client, boost::asio::buffer("hello", 5));
      client.async_read_some(boost::asio::buffer(got),
                             [&size](const Failure&, std::size_t read) { size = read; });
      ASSERT_TRUE(run_until([&size] { return size != 0; }));
      EXPECT_EQ(got, "hello");
    }
  }
  tasks.clear();
}

Task<void> wait_and_tell(Wakeup& wakeup, bool& told) {
  co_await wakeup.wait();
  told = true;
}

TEST_F(AsioDriverTest, WhatAHandlerOfTheHostMakesReadyRuns) {
  Wakeup wakeup;
  bool told = false;
  TaskSet tasks(loop.env().executor);
  tasks.add(wait_and_tell(wakeup, told));
  const AsioDriver driver(context, loop);
  context.run_for(20ms);
  ASSERT_FALSE(told);
  boost::asio::post(context, [&wakeup] { wakeup.set(); });
  EXPECT_TRUE(run_until([&told] { return told; }));
}

TEST_F(AsioDriverTest, ATaskAndATimerThatAHandlerStartsRun) {
  int count = 0;
  TaskSet tasks(loop.env().executor);
  const AsioDriver driver(context, loop);
  context.run_for(20ms);
  boost::asio::post(context, [&] { tasks.add(sleep_and_count(loop.env().timers, count)); });
  EXPECT_TRUE(run_until([&count] { return count == 3; }));
}

TEST_F(AsioDriverTest, PostsOfOtherThreadsArrive) {
  const AsioDriver driver(context, loop);
  int count = 0;
  std::thread other([this, &count] {
    for (int i = 0; i < 100; ++i) loop.post([&count] { ++count; });
  });
  EXPECT_TRUE(run_until([&count] { return count == 100; }));
  other.join();
}

TEST_F(AsioDriverTest, AnIdleLoopCostsNoTurns) {
  const AsioDriver driver(context, loop);
  context.run_for(20ms);
  EXPECT_EQ(context.run_for(50ms), 0u);
}

TEST_F(AsioDriverTest, MayGoInAHandlerOfItsOwnLoop) {
  auto driver = std::make_unique<AsioDriver>(context, loop);
  bool gone = false;
  loop.post([&] {
    driver.reset();
    gone = true;
  });
  EXPECT_TRUE(run_until([&gone] { return gone; }));
  context.run();  // nothing is left to wait for
  EXPECT_TRUE(context.stopped());
  bool ran = false;  // the loop goes on by itself
  loop.post([&ran] { ran = true; });
  loop.run_for(1ms);
  EXPECT_TRUE(ran);
}

TEST_F(AsioDriverTest, TheLoopMayRunByItselfBetweenTheTurns) {
  const AsioDriver driver(context, loop);
  int count = 0;
  TaskSet tasks(loop.env().executor);
  tasks.add(sleep_and_count(loop.env().timers, count));
  loop.run_for(1ms);
  EXPECT_TRUE(run_until([&count] { return count == 3; }));
}

}  // namespace
}  // namespace knative
