#include "base/wait_for.hpp"

#include <gtest/gtest.h>

#include "knative/simulation.hpp"

namespace knative::base {
namespace {

using namespace std::chrono_literals;

// A raced task begins a turn after it was made: what is told in that turn was lost.
TEST(WaitFor, ANoticeBeforeTheTaskBeginsIsNotLost) {
  for (const bool to_all : {false, true}) {
    Simulation simulation(1);
    Wakeup wakeup;
    auto waits = [](Timers& timers, Wakeup& news) -> Task<bool> {
      Task<void> waiting = wait_for(news);
      auto limited = with_deadline(timers, std::move(waiting), timers.now() + 1h);
      const auto told = co_await std::move(limited);
      co_return told.has_value();
    };
    auto tells = [](Wakeup& news, bool all) -> Task<void> {
      all ? news.notify_all() : static_cast<void>(news.notify_one());
      co_return;
    };
    Env& env = simulation.env();
    auto both =
        race(waits(env.timers, wakeup), [](Wakeup& news, bool all, auto& tell) -> Task<void> {
          Task<void> telling = tell(news, all);
          co_await std::move(telling);
          Wakeup never;
          co_await never.wait();
        }(wakeup, to_all, tells));
    const auto outcome = simulation.run(std::move(both));
    ASSERT_TRUE(outcome.first);
    EXPECT_TRUE(*outcome.first);
  }
}

TEST(WaitFor, ANoticeBeforeTheCallIsNone) {
  Simulation simulation(1);
  Wakeup wakeup;
  wakeup.notify_all();
  Timers& timers = simulation.env().timers;
  auto limited = with_deadline(timers, wait_for(wakeup), timers.now() + 1s);
  EXPECT_FALSE(simulation.run(std::move(limited)));
}

}  // namespace
}  // namespace knative::base
