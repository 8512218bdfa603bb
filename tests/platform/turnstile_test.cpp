// However much there is to reconcile, other fibers have their turn.
#include <gtest/gtest.h>

#include <optional>

#include "knative/simulation.hpp"
#include "platform/control_plane.hpp"

namespace knative {
namespace {

constexpr int many = 100;

Task<void> enter(Turnstile& gate, int& begun) {
  co_await gate.enter();
  ++begun;
}

TEST(Turnstile, what_is_reconciled_in_one_turn_is_little_however_much_there_is) {
  Simulation simulation(1);
  Turnstile gate(simulation.env().executor);
  TaskSet tasks(simulation.env().executor);
  int begun = 0;
  for (int i = 0; i < many; ++i) tasks.add(enter(gate, begun));
  int turns = 0;
  for (int before = 0; begun < many && turns < 10 * many; ++turns) {
    simulation.step();
    EXPECT_LE(begun - before, 4);
    before = begun;
  }
  EXPECT_EQ(begun, many);
  EXPECT_LE(turns, many);
}

TEST(Turnstile, who_is_dropped_while_it_waits_keeps_nobody_out) {
  Simulation simulation(1);
  Turnstile gate(simulation.env().executor);
  TaskSet tasks(simulation.env().executor);
  int begun = 0;
  int dropped = 0;
  std::optional<TaskSet> others(simulation.env().executor);
  for (int i = 0; i < many; ++i) others->add(enter(gate, dropped));
  for (int i = 0; i < many; ++i) tasks.add(enter(gate, begun));
  simulation.step();
  others.reset();
  for (int turns = 0; begun < many && turns < 10 * many; ++turns) simulation.step();
  EXPECT_EQ(begun, many);
  EXPECT_LT(dropped, many);
}

}  // namespace
}  // namespace knative
