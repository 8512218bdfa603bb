// Virtual time: order, jumps, ends, livelocks.
#include <gtest/gtest.h>

#include <set>

#include "knative/simulation.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;

Task<void> note_after(Timers& timers, Duration wait, int id, std::vector<int>& order) {
  co_await timers.sleep_for(wait);
  order.push_back(id);
}

TEST(SimulationClock, TimersFireInOrderOfTimeThenOfArming) {
  Simulation sim(1);
  std::vector<int> order;
  TaskSet tasks(sim.env().executor);
  tasks.add(note_after(sim.env().timers, 3s, 1, order));
  tasks.add(note_after(sim.env().timers, 1s, 2, order));
  tasks.add(note_after(sim.env().timers, 3s, 3, order));
  tasks.add(note_after(sim.env().timers, 2s, 4, order));
  sim.run_for(10s);
  EXPECT_EQ(order, (std::vector<int>{2, 4, 1, 3}));
  EXPECT_TRUE(tasks.empty());
}

TEST(SimulationClock, RunForLetsExactlyThatTimeGoBy) {
  Simulation sim(1);
  std::vector<int> order;
  TaskSet tasks(sim.env().executor);
  tasks.add(note_after(sim.env().timers, 15min, 1, order));
  sim.run_for(15min - 1ns);
  EXPECT_TRUE(order.empty());
  EXPECT_EQ(sim.now().time_since_epoch(), 15min - 1ns);
  sim.run_for(1ns);
  EXPECT_EQ(order.size(), 1U);
}

TEST(SimulationClock, RunReturnsTheTasksValueAndJumpsThroughTime) {
  Simulation sim(1);
  auto work = [](Timers& timers) -> Task<int> {
    co_await timers.sleep_for(48h);
    co_return 7;
  };
  EXPECT_EQ(sim.run(work(sim.env().timers)), 7);
  EXPECT_EQ(sim.now().time_since_epoch(), 48h);
}

TEST(SimulationClock, RunRethrowsTheTasksException) {
  Simulation sim(1);
  auto work = [](Timers& timers) -> Task<void> {
    co_await timers.sleep_for(1s);
    throw std::runtime_error("no");
  };
  EXPECT_THROW(sim.run(work(sim.env().timers)), std::runtime_error);
}

TEST(SimulationClock, NowStandsStillDuringATurn) {
  Simulation sim(1);
  auto work = [](Timers& timers) -> Task<bool> {
    co_await timers.sleep_for(5ms);
    const Instant first = timers.now();
    volatile int sum = 0;
    for (int i = 0; i < 1000; ++i) sum = sum + i;
    co_return timers.now() == first&& first.time_since_epoch() == 5ms;
  };
  EXPECT_TRUE(sim.run(work(sim.env().timers)));
}

TEST(SimulationClock, WallTimeBeginsAtTheChosenInstantAndCanBeSteppedWithoutMovingTimers) {
  SimulationOptions options;
  options.wall_start = WallTime(std::chrono::seconds(1000));
  Simulation sim(1, options);
  sim.run_for(5s);
  EXPECT_EQ(sim.env().timers.wall().time_since_epoch(), 1005s);
  sim.step_wall(-1h);
  EXPECT_EQ(sim.env().timers.wall().time_since_epoch(), 1005s - 1h);
  EXPECT_EQ(sim.now().time_since_epoch(), 5s);
}

TEST(SimulationClock, WaitingForWhatCannotHappenIsAnErrorWithTheSeed) {
  Simulation sim(4711);
  auto work = [](Wakeup& never) -> Task<void> { co_await never.wait(); };
  Wakeup never;
  sim.trace().record(sim.now(), TraceKind::note, "before the end");
  try {
    sim.run(work(never));
    FAIL() << "run returned";
  } catch (const Exception& e) {
    EXPECT_EQ(e.code(), Errc::failed_precondition);
    EXPECT_NE(std::string(e.what()).find("seed 4711"), std::string::npos);
    EXPECT_NE(std::string(e.what()).find("before the end"), std::string::npos);
  }
}

TEST(SimulationClock, ALivelockIsAnErrorInsteadOfAHang) {
  SimulationOptions options;
  options.turns_per_instant_max = 1000;
  Simulation sim(1, options);
  auto spin = [](Timers& timers) -> Task<void> {
    struct Now final : TimerNode {
      Waiter waiter;
      void fire() noexcept override { waiter.wake(); }
    };
    struct Again {
      Timers& timers;
      Now node{};
      bool await_ready() const noexcept { return false; }
      void await_suspend(std::coroutine_handle<detail::Promise<void>> handle) {
        node.waiter.park(*handle.promise().fiber);
        timers.arm(node, timers.now());
      }
      void await_resume() const noexcept {}
    };
    for (;;) {
      Again again{timers};
      co_await again;
    }
  };
  try {
    sim.run(spin(sim.env().timers));
    FAIL() << "run returned";
  } catch (const Exception& e) {
    EXPECT_EQ(e.code(), Errc::internal);
  }
}

TEST(SimulationClock, RunUntilQuietTellsWhetherTimersAreLeft) {
  Simulation sim(1);
  std::vector<int> order;
  TaskSet tasks(sim.env().executor);
  tasks.add(note_after(sim.env().timers, 1h, 1, order));
  EXPECT_FALSE(sim.run_until_quiet(10min));
  EXPECT_EQ(sim.now().time_since_epoch(), 10min);
  EXPECT_TRUE(sim.run_until_quiet(10h));
  EXPECT_EQ(sim.now().time_since_epoch(), 1h);
}

TEST(SimulationClock, DeadlinesDropTheTask) {
  Simulation sim(1);
  auto forever = [](Timers& timers) -> Task<int> {
    co_await timers.sleep_for(100h);
    co_return 1;
  };
  auto work = [](Timers& timers, Task<int> slow) -> Task<bool> {
    auto limited = co_await with_deadline(timers, std::move(slow), timers.now() + 2s);
    co_return limited.has_value();
  };
  EXPECT_FALSE(sim.run(work(sim.env().timers, forever(sim.env().timers))));
  EXPECT_EQ(sim.now().time_since_epoch(), 2s);
  EXPECT_TRUE(sim.run_until_quiet(0s));
}

TEST(SimulationOffload, WorkRunsAfterAVirtualDelayAndOneWorkerAtATime) {
  SimulationOptions options;
  options.offload_threads_max = 1;
  options.offload_min = options.offload_max = 10ms;
  Simulation sim(1, options);
  auto work = [](Env& env, int id, std::vector<std::pair<int, Duration>>& done) -> Task<void> {
    auto job = [id] { return id * 2; };
    const int twice = co_await env.offload.run(job);
    done.emplace_back(twice, env.timers.now().time_since_epoch());
  };
  std::vector<std::pair<int, Duration>> done;
  TaskSet tasks(sim.env().executor);
  for (int id = 1; id <= 3; ++id) tasks.add(work(sim.env(), id, done));
  EXPECT_TRUE(sim.run_until_quiet(1s));
  ASSERT_EQ(done.size(), 3U);
  std::set<int> values;
  for (std::size_t i = 0; i < 3; ++i) {  // in whichever order they were submitted
    values.insert(done[i].first);
    EXPECT_EQ(done[i].second, (i + 1) * 10ms);
  }
  EXPECT_EQ(values, (std::set<int>{2, 4, 6}));
}

TEST(SimulationOffload, AbandonedWorkStillRunsToItsEnd) {
  bool ran = false;
  {
    Simulation sim(1);
    auto work = [](Env& env, bool& flag) -> Task<void> {
      auto job = [&flag] { flag = true; };
      co_await env.offload.run(job);
    };
    TaskSet tasks(sim.env().executor);
    tasks.add(work(sim.env(), ran));
    auto nothing = []() -> Task<void> { co_return; };
    sim.run(nothing());
    tasks.clear();
    EXPECT_FALSE(ran);
  }
  EXPECT_TRUE(ran);
}

}  // namespace
}  // namespace knative
