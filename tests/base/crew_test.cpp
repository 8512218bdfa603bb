// Several threads compute, the caller among them; what must be in order is.
#include "base/crew.hpp"

#include <gtest/gtest.h>

#include <atomic>

namespace knative::base {
namespace {

class CrewOf : public ::testing::TestWithParam<unsigned> {};

TEST_P(CrewOf, DoesEverythingAndOrderedWorkInOrder) {
  std::string text;
  std::array<int, 200> squares{};
  Crew crew(GetParam());
  std::vector<Crew::Ticket> tickets;
  for (int i = 0; i < 200; ++i) {
    tickets.push_back(crew.add_in_order([&text, i] { text += std::to_string(i) + " "; }));
    tickets.push_back(crew.add([&squares, i] { squares[static_cast<std::size_t>(i)] = i * i; }));
  }
  // Also the last one first.
  crew.wait(tickets.back());
  for (const Crew::Ticket& ticket : tickets) crew.wait(ticket);
  std::string expected;
  for (int i = 0; i < 200; ++i) {
    expected += std::to_string(i) + " ";
    EXPECT_EQ(squares[static_cast<std::size_t>(i)], i * i);
  }
  EXPECT_EQ(text, expected);
}

TEST_P(CrewOf, WorkThatNobodyWaitsForIsOverWithTheCrewOrNeverBegins) {
  std::atomic<int> running = 0;
  std::atomic<int> begun = 0;
  {
    Crew crew(GetParam());
    for (int i = 0; i < 50; ++i) {
      crew.add([&] {
        ++running;
        ++begun;
        --running;
      });
    }
  }
  EXPECT_EQ(running, 0);
  const int after = begun;
  EXPECT_LE(after, 50);
}

INSTANTIATE_TEST_SUITE_P(, CrewOf, ::testing::Values(0u, 1u, 3u),
                         [](const auto& info) { return std::to_string(info.param); });

}  // namespace
}  // namespace knative::base
