#include "knative/controller.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "knative/simulation.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

/// Takes `duration` for each call, then answers what `answer` says; remembers who was inside.
class Recorder final : public Reconciler {
 public:
  explicit Recorder(Timers& timers) : timers_(timers) {}

  Task<Result<Requeue>> reconcile(std::string key) override {
    calls.emplace_back(key, timers_.now().time_since_epoch());
    const Inside inside(*this, key);
    if (duration > 0ms) co_await timers_.sleep_for(duration);
    co_return answer(key);
  }

  Duration duration{0};
  std::function<Result<Requeue>(const std::string&)> answer = [](const std::string&) {
    return Requeue::never();
  };
  std::vector<std::pair<std::string, Duration>> calls;  ///< Key and when.
  int inside = 0;
  int inside_max = 0;
  bool same_key_twice = false;

 private:
  /// Also counts what is dropped in the middle.
  struct Inside {
    Inside(Recorder& recorder, std::string name) : owner(recorder), key(std::move(name)) {
      owner.inside_max = std::max(owner.inside_max, ++owner.inside);
      if (++owner.per_key_[key] > 1) owner.same_key_twice = true;
    }
    ~Inside() {
      --owner.inside;
      --owner.per_key_[key];
    }
    Inside(const Inside&) = delete;
    Inside& operator=(const Inside&) = delete;
    Recorder& owner;
    std::string key;
  };
  Timers& timers_;
  std::map<std::string, int> per_key_;
};

class ControllerTest : public testing::Test {
 protected:
  static SimulationOptions options(std::vector<std::string>& lines) {
    SimulationOptions result;
    result.log_sink = [&lines](const LogRecord& record) {
      lines.push_back(format_log_text(record));
    };
    return result;
  }
  Controller make(ControllerOptions bounds = {}) {
    return Controller(sim.env().executor, sim.env().timers, sim.env().logger, "test", recorder,
                      bounds);
  }
  std::vector<Duration> times_of(const std::string& key) const {
    std::vector<Duration> times;
    for (const auto& [name, at] : recorder.calls) {
      if (name == key) times.push_back(at - begin);
    }
    return times;
  }

  std::vector<std::string> lines;
  Simulation sim{1, options(lines)};
  Recorder recorder{sim.env().timers};
  const Duration begin = sim.env().timers.now().time_since_epoch();
};

TEST_F(ControllerTest, does_not_call_for_every_time_that_a_key_was_added) {
  Controller controller = make();
  for (int i = 0; i < 50; ++i) controller.enqueue("default/a");
  EXPECT_FALSE(controller.idle());
  sim.run_for(1s);
  // Once for the first, which is taken at once, and once for all that came after it.
  EXPECT_THAT(times_of("default/a"), ElementsAre(0ms, 0ms));
  EXPECT_TRUE(controller.idle());
  EXPECT_EQ(controller.reconciled(), 2U);
  EXPECT_EQ(controller.failures(), 0U);
}

TEST_F(ControllerTest, works_on_a_key_once_at_a_time_and_again_when_it_was_added_meanwhile) {
  recorder.duration = 100ms;
  Controller controller = make();
  controller.enqueue("a");
  sim.run_for(50ms);
  controller.enqueue("a");
  controller.enqueue("a");
  sim.run_for(1s);
  EXPECT_THAT(times_of("a"), ElementsAre(0ms, 100ms));
  EXPECT_FALSE(recorder.same_key_twice);
}

TEST_F(ControllerTest, works_on_as_many_keys_at_once_as_it_has_workers) {
  recorder.duration = 100ms;
  Controller controller = make({.workers_max = 3, .backoff = {}});
  for (int i = 0; i < 9; ++i) controller.enqueue("key-" + std::to_string(i));
  sim.run_for(50ms);
  EXPECT_EQ(recorder.inside, 3);
  sim.run_for(1s);
  EXPECT_EQ(recorder.inside_max, 3);
  EXPECT_EQ(controller.reconciled(), 9U);
  EXPECT_THAT(times_of("key-8"), ElementsAre(200ms));
}

TEST_F(ControllerTest, waits_until_a_key_is_due) {
  Controller controller = make();
  controller.enqueue_after("late", 5s);
  sim.run_for(4s);
  EXPECT_TRUE(controller.idle());
  EXPECT_THAT(times_of("late"), ElementsAre());
  sim.run_for(2s);
  EXPECT_THAT(times_of("late"), ElementsAre(5s));
}

TEST_F(ControllerTest, calls_again_when_the_reconciler_asks_for_it) {
  recorder.answer = [&](const std::string&) {
    return recorder.calls.size() < 3 ? Requeue::in(10s) : Requeue::never();
  };
  Controller controller = make();
  controller.enqueue("a");
  sim.run_for(60s);
  EXPECT_THAT(times_of("a"), ElementsAre(0s, 10s, 20s));
}

TEST_F(ControllerTest, backs_off_from_a_failure_up_to_the_limit_and_logs_each) {
  recorder.answer = [&](const std::string&) -> Result<Requeue> {
    if (recorder.calls.size() > 4) return Requeue::never();
    return fail(Errc::unavailable, "not yet");
  };
  Controller controller = make({.workers_max = 1, .backoff = {.base = 100ms, .limit = 300ms}});
  controller.enqueue("a");
  sim.run_for(60s);
  EXPECT_THAT(times_of("a"), ElementsAre(0ms, 100ms, 300ms, 600ms, 900ms));
  EXPECT_EQ(controller.failures(), 4U);
  ASSERT_EQ(lines.size(), 4U);
  EXPECT_THAT(lines[0], testing::HasSubstr("reconcile failed"));
  EXPECT_THAT(lines[0], testing::HasSubstr("key=a"));
  EXPECT_THAT(lines[0], testing::HasSubstr("not yet"));
}

TEST_F(ControllerTest, a_failing_key_does_not_hold_up_the_others) {
  recorder.answer = [](const std::string& key) -> Result<Requeue> {
    if (key == "bad") return fail(Errc::internal, "broken");
    return Requeue::never();
  };
  Controller controller = make({.workers_max = 1, .backoff = {.base = 1s, .limit = 1s}});
  controller.enqueue("bad");
  controller.enqueue("good");
  sim.run_for(100ms);
  EXPECT_THAT(times_of("good"), ElementsAre(0ms));
}

TEST_F(ControllerTest, a_conflict_is_tried_again_soon_and_is_no_failure) {
  recorder.answer = [&](const std::string&) -> Result<Requeue> {
    if (recorder.calls.size() > 3) return Requeue::never();
    return fail(Errc::conflict, "somebody was faster");
  };
  Controller controller = make({.workers_max = 1, .backoff = {.base = 5ms, .limit = 60s}});
  controller.enqueue("a");
  sim.run_for(1s);
  EXPECT_THAT(times_of("a"), ElementsAre(0ms, 5ms, 10ms, 15ms));
  EXPECT_EQ(controller.failures(), 0U);
  EXPECT_THAT(lines, ElementsAre());
}

TEST_F(ControllerTest, what_a_reconciler_throws_is_a_failure) {
  recorder.answer = [&](const std::string&) -> Result<Requeue> {
    if (recorder.calls.size() == 1) throw std::runtime_error("thrown by hand");
    if (recorder.calls.size() == 2) throw 42;
    return Requeue::never();
  };
  Controller controller = make();
  controller.enqueue("a");
  sim.run_for(1s);
  EXPECT_EQ(recorder.calls.size(), 3U);
  EXPECT_EQ(controller.failures(), 2U);
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_THAT(lines[0], testing::HasSubstr("thrown by hand"));
}

TEST_F(ControllerTest, destruction_drops_the_work_in_progress) {
  recorder.duration = 1h;
  {
    Controller controller = make();
    controller.enqueue("a");
    controller.enqueue("b");
    controller.enqueue_after("c", 1s);
    sim.run_for(100ms);
    EXPECT_EQ(recorder.inside, 2);
  }
  EXPECT_EQ(recorder.inside, 0);
  sim.run_for(2h);
  EXPECT_EQ(recorder.calls.size(), 2U);
}

}  // namespace
}  // namespace knative
