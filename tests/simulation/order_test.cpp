// The order of ready fibers, single turns, and what is still there.
#include <gtest/gtest.h>

#include <set>

#include "knative/simulation.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;

Task<void> note(int id, std::vector<int>& order) {
  order.push_back(id);
  co_return;
}

std::vector<int> order_of(std::uint64_t seed, int count, ReadyOrder wanted = ReadyOrder::seeded) {
  SimulationOptions options;
  options.ready_order = wanted;
  Simulation sim(seed, options);
  std::vector<int> order;
  TaskSet tasks(sim.env().executor);
  for (int i = 0; i < count; ++i) tasks.add(note(i, order));
  sim.run_for(1s);
  return order;
}

TEST(SimulationOrder, ReadyFibersRunInEveryOrderThatASeedCanDraw) {
  std::set<std::vector<int>> seen;
  for (std::uint64_t seed = 0; seed < 200; ++seed) seen.insert(order_of(seed, 3));
  EXPECT_EQ(seen.size(), 6U);  // every permutation of three
}

TEST(SimulationOrder, TheSameSeedGivesTheSameOrder) {
  for (const std::uint64_t seed : {1U, 5U, 9U}) EXPECT_EQ(order_of(seed, 20), order_of(seed, 20));
}

TEST(SimulationOrder, FirstInFirstOutIsThereForWhoAsksForIt) {
  EXPECT_EQ(order_of(3, 4, ReadyOrder::fifo), (std::vector<int>{0, 1, 2, 3}));
}

TEST(SimulationOrder, WhatIsMadeReadyInATurnRunsInALaterOne) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Simulation sim(seed);
    std::vector<int> order;
    TaskSet tasks(sim.env().executor);
    auto spawn = [](TaskSet& set, std::vector<int>& into) -> Task<void> {
      set.add(note(2, into));
      into.push_back(1);
      co_return;
    };
    tasks.add(spawn(tasks, order));
    tasks.add(note(1, order));
    sim.run_for(1s);
    EXPECT_EQ(order, (std::vector<int>{1, 1, 2})) << "seed " << seed;
  }
}

TEST(SimulationSteps, AStepIsOneTurnAndEndsWhenNothingCanHappen) {
  Simulation sim(1);
  auto nap = [](Timers& timers, int& steps) -> Task<void> {
    ++steps;
    co_await timers.sleep_for(5s);
    ++steps;
  };
  int steps = 0;
  TaskSet tasks(sim.env().executor);
  tasks.add(nap(sim.env().timers, steps));
  EXPECT_EQ(sim.turns(), 0U);
  EXPECT_TRUE(sim.step());
  EXPECT_EQ(steps, 1);
  EXPECT_EQ(sim.now(), Instant{});
  EXPECT_TRUE(sim.step());  // time goes to the timer
  EXPECT_EQ(steps, 1);
  EXPECT_EQ(sim.now(), Instant{} + 5s);
  EXPECT_TRUE(sim.step());
  EXPECT_EQ(steps, 2);
  EXPECT_EQ(sim.turns(), 3U);
  EXPECT_FALSE(sim.step());
  EXPECT_EQ(sim.turns(), 3U);
}

// Writes a file with its sync in the middle; the power may go in any turn.
Task<void> save(Env& env, std::string text, bool& saved) {
  auto job = [&env, text] { return env.files.write_file("/data/a", text).has_value(); };
  const bool done = co_await env.offload.run(job);
  saved = done;
}

TEST(SimulationSteps, APowerFailureAtEveryTurnLeavesTheOldOrTheNewFile) {
  bool old_seen = false;
  bool new_seen = false;
  for (std::uint64_t turn = 0; turn < 12; ++turn) {
    Simulation sim(7);
    ASSERT_TRUE(sim.env().files.make_directories("/data"));
    ASSERT_TRUE(sim.env().files.write_file("/data/a", "old"));
    ASSERT_TRUE(sim.env().files.sync_directory("/"));
    bool saved = false;
    {
      TaskSet tasks(sim.env().executor);
      tasks.add(save(sim.env(), "new", saved));
      while (sim.turns() < turn && sim.step()) {
      }
      sim.power_off();
    }
    sim.crash(CrashMode::lose_all);
    const Result<std::string> found = sim.env().files.read_file("/data/a");
    ASSERT_TRUE(found);
    EXPECT_EQ(*found, saved ? "new" : *found);
    EXPECT_TRUE(*found == "old" || *found == "new") << *found;
    (*found == "old" ? old_seen : new_seen) = true;
  }
  EXPECT_TRUE(old_seen);
  EXPECT_TRUE(new_seen);
}

Task<void> greet(Env& env, Endpoint server) {
  auto dialled = co_await env.network.connect(server);
  if (!dialled) co_return;
  static_cast<void>(co_await (*dialled)->write_all("hello"));
  co_await env.timers.sleep_for(1h);
}

Task<void> hold_one(Listener& listener, std::unique_ptr<Stream>& into) {
  auto accepted = co_await listener.accept();
  if (accepted) into = std::move(*accepted);
}

TEST(SimulationCensus, CountsWhatIsThereAndWhatIsUnderWay) {
  Simulation sim(3);
  Env& env = sim.env();
  EXPECT_EQ(sim.census().to_string(), "nothing");
  EXPECT_TRUE(sim.settled());
  Endpoint door;
  door.port = 80;
  auto listener = env.network.listen(door).value();
  auto file = env.files.lock("/tmp/lock").value();
  std::unique_ptr<Stream> server;
  TaskSet tasks(env.executor);
  tasks.add(hold_one(*listener, server));
  tasks.add(greet(env, door));
  EXPECT_FALSE(sim.settled());
  ASSERT_TRUE(sim.step());
  EXPECT_EQ(sim.census().connecting, 1U);
  EXPECT_FALSE(sim.settled());
  ASSERT_TRUE(sim.run_until_settled(1s));
  EXPECT_LT(sim.now() - Instant{}, 1s);
  const Census census = sim.census();
  EXPECT_EQ(census.to_string(), "1 fiber, 1 timer, 1 connection, 1 listener, 1 file open");
  const Value world = sim.snapshot();
  EXPECT_EQ(world.at_path("local.connections")->to_json(), R"({"127.0.0.1:80":1})");
  EXPECT_EQ(world.at_path("local.listeners")->to_json(), R"(["127.0.0.1:80"])");
  EXPECT_EQ(world.at_path("local.open")->to_json(), R"(["/tmp/lock"])");
  tasks.clear();
  server.reset();
  listener.reset();
  file.reset();
  ASSERT_TRUE(sim.run_until_settled(1s));
  EXPECT_EQ(sim.census(), Census{});
}

TEST(SimulationCensus, ProcessesAndOffloadedWorkAreUnderWayUntilTheyEnd) {
  Simulation sim(3);
  sim.add_program("sleep", [](SimProcessContext& context) -> Task<int> {
    co_await context.env().timers.sleep_for(1min);
    co_return 0;
  });
  ProcessOptions options;
  options.argv = {"sleep", "60"};
  auto process = sim.env().processes.spawn(options).value();
  EXPECT_EQ(sim.census().processes, 1U);
  EXPECT_EQ(sim.snapshot().at_path("local.programs")->to_json(), R"(["sleep 60"])");
  bool done = false;
  auto work = [](Env& env, bool& into) -> Task<void> {
    auto job = [] { return true; };
    into = co_await env.offload.run(job);
  };
  TaskSet tasks(sim.env().executor);
  tasks.add(work(sim.env(), done));
  ASSERT_TRUE(sim.step());
  EXPECT_EQ(sim.census().offloaded, 1U);
  EXPECT_FALSE(sim.settled());
  ASSERT_TRUE(sim.run_until_settled(1s));
  EXPECT_TRUE(done);
  EXPECT_EQ(sim.census().processes, 1U);  // it sleeps, and nothing else happens
  sim.run_for(2min);
  EXPECT_EQ(sim.census(), Census{});
}

TEST(SimulationSnapshot, TwoWorldsThatDidTheSameAreEqualWhateverTheirSeed) {
  const auto world = [](std::uint64_t seed, const std::string& text) {
    Simulation sim(seed);
    EXPECT_TRUE(sim.env().files.make_directories("/data"));
    EXPECT_TRUE(sim.env().files.write_file("/data/a", text));
    return sim.snapshot();
  };
  EXPECT_EQ(world(1, "same"), world(2, "same"));
  EXPECT_NE(world(1, "same"), world(1, "Same"));
}

}  // namespace
}  // namespace knative
