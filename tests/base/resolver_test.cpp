// Names are looked up beside the loop, and a name server that keeps silent holds up nobody else.
#include "base/resolver.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <set>

#include "support/real_world.hpp"

namespace knative::base {
namespace {

using namespace std::chrono_literals;
using testing_world::eventually;

/// Looks names up: "silent..." not before it is let go, others at once. Outlives the test, as the
/// operating system does.
struct NameServer {
  std::promise<void> go;
  std::shared_future<void> gone = go.get_future().share();
  std::atomic<int> asked{0};
  std::atomic<int> done{0};

  static Resolver::LookUp of(std::shared_ptr<NameServer> server) {
    return [server](const std::string& host) -> Result<Addresses> {
      ++server->asked;
      if (host.starts_with("silent")) server->gone.wait();
      ++server->done;
      if (host == "nobody") return fail(Errc::unavailable, "nobody: there is none");
      return Addresses{"192.0.2.1"};
    };
  }
};

class ResolverTest : public ::testing::Test {
 protected:
  ResolverTest() { loop_ = std::make_unique<Loop>(testing_world::quiet()); }
  ~ResolverTest() override {
    tasks_.reset();
    resolver_.reset();
    loop_.reset();
    server_->go.set_value();
    while (server_->done != server_->asked) std::this_thread::yield();
  }
  void begin() {
    resolver_ = std::make_unique<Resolver>(loop_->env().mailbox, NameServer::of(server_));
    tasks_.emplace(loop_->env().executor);
  }
  void want(const std::string& host) {
    auto work = [](Resolver& with, std::string name, int& answers) -> Task<void> {
      Result<Addresses> found = co_await with.resolve(std::move(name));
      if (found) ++answers;
    };
    tasks_->add(work(*resolver_, host, answers_));
  }
  bool until(const std::function<bool()>& holds) {
    return loop_->run(eventually(loop_->env().timers, holds));
  }
  Result<Addresses> resolve(const std::string& host) {
    return loop_->run(resolver_->resolve(host));
  }

  std::shared_ptr<NameServer> server_ = std::make_shared<NameServer>();
  std::unique_ptr<Loop> loop_;
  std::unique_ptr<Resolver> resolver_;
  std::optional<TaskSet> tasks_;
  int answers_ = 0;
};

TEST_F(ResolverTest, ANameThatIsNeverAnsweredHoldsUpNoOther) {
  begin();
  for (int i = 0; i < 5; ++i) want("silent-" + std::to_string(i));
  ASSERT_TRUE(until([this] { return server_->asked == 5; }));
  EXPECT_EQ(resolve("quick").value(), Addresses{"192.0.2.1"});
  EXPECT_EQ(resolve("nobody").error().detail, "nobody: there is none");
  EXPECT_EQ(answers_, 0);
  EXPECT_EQ(resolver_->under_way(), 5U);
}

TEST_F(ResolverTest, NobodyWaitsForItAtTheEnd) {
  begin();
  want("silent");
  ASSERT_TRUE(until([this] { return server_->asked == 1; }));
  tasks_.reset();
  resolver_.reset();
  loop_.reset();  // returns
  EXPECT_EQ(server_->done, 0);
}

TEST_F(ResolverTest, WhoAsksForTheSameNameWaitsForTheSameThread) {
  begin();
  for (int i = 0; i < 20; ++i) want("silent");
  ASSERT_TRUE(until([this] { return server_->asked == 1; }));
  server_->go.set_value();
  ASSERT_TRUE(until([this] { return answers_ == 20; }));
  EXPECT_EQ(server_->asked, 1);
  EXPECT_EQ(resolver_->under_way(), 0U);
  server_->go = std::promise<void>();  // for the end of the test
}

TEST_F(ResolverTest, BeyondTheBoundNamesWaitForTheirTurn) {
  begin();
  constexpr int all = static_cast<int>(Resolver::threads_max) + 10;
  for (int i = 0; i < all; ++i) want("silent-" + std::to_string(i));
  ASSERT_TRUE(until([this] { return resolver_->under_way() == Resolver::threads_max; }));
  server_->go.set_value();
  ASSERT_TRUE(until([this] { return answers_ == all; }));
  EXPECT_EQ(server_->asked, all);
  server_->go = std::promise<void>();
}

TEST_F(ResolverTest, WhatNobodyWaitsForAnyMoreIsNotLookedUp) {
  begin();
  constexpr int threads = static_cast<int>(Resolver::threads_max);
  for (int i = 0; i < threads + 10; ++i) want("silent-" + std::to_string(i));
  ASSERT_TRUE(until([this] { return server_->asked == threads; }));
  tasks_.reset();
  server_->go.set_value();
  ASSERT_TRUE(until([this] { return resolver_->under_way() == 0; }));
  EXPECT_EQ(server_->asked, threads);
  server_->go = std::promise<void>();
}

TEST(LookUp, TheMachinesOwnNameAndWhatIsNone) {
  const Result<Addresses> own = look_up("localhost");
  ASSERT_TRUE(own) << own.error().to_string();
  const std::set<std::string> loopback = {"127.0.0.1", "::1"};
  for (const std::string& address : *own) EXPECT_TRUE(loopback.contains(address)) << address;
  EXPECT_EQ(look_up("no-such-host.invalid").error().code, Errc::unavailable);
  EXPECT_EQ(look_up(std::string("a\0b", 3)).error().code, Errc::invalid_argument);
}

}  // namespace
}  // namespace knative::base
