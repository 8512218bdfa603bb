// Events that nobody takes: what they cost the others, how often they are tried across restarts,
// and where people find them.
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <set>
#include <string>

#include "engines/event_broker/subscriber.hpp"
#include "knative/event_broker.hpp"
#include "knative/simulation.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;
using testing_broker::event;
using testing_broker::ids;
using testing_broker::lent;
using testing_broker::Subscriber;

/// Refuses what is called so, counts how often it saw each event.
class Picky final : public Sink {
 public:
  explicit Picky(Timers& timers) : timers_(timers) {}
  std::map<std::string, int> seen;
  std::map<std::string, std::vector<Instant>> times;
  std::string poison = "poison";
  int status = 503;
  bool healed = false;
  Duration hangs{0};  ///< So long with poison.
  std::optional<Duration> retry_after;

  Task<Result<Reply>> deliver(const CloudEvent&) override { co_return Reply(); }
  Task<DeliveryAttempt> attempt(const CloudEvent& event) override {
    const std::string id = event.id();
    ++seen[id];
    times[id].push_back(timers_.now());
    DeliveryAttempt attempt;
    attempt.status = 202;
    if (healed || !id.starts_with(poison)) co_return attempt;
    if (hangs > Duration(0)) co_await timers_.sleep_for(hangs);
    attempt.status = status;
    attempt.body = "poisoned";
    attempt.retry_after = retry_after;
    co_return attempt;
  }
  int attempts(const std::string& prefix) const {
    int count = 0;
    for (const auto& [id, times] : seen) count += id.starts_with(prefix) ? times : 0;
    return count;
  }

 private:
  Timers& timers_;
};

class ParkingTest : public testing::Test {
 protected:
  ParkingTest() : picky(world.env().timers) {
    log = memory_log(world.env().timers);
    options.delivery.jitter = 0;
    options.delivery.delay = 1s;
    options.delivery.retry = 2;
    options.delivery.policy = BackoffPolicy::linear;
    options.subscriber_uri = "http://picky/";
    restart();
  }
  ~ParkingTest() override { broker.reset(); }
  /// As after a kill: what was not stored is gone.
  void restart(BrokerOptions given = {}) {
    broker.reset();
    Env& env = world.env();
    broker = std::make_unique<EventBroker>(env.executor, env.timers, log, env.logger,
                                           env.random.split("broker"), std::move(given));
  }
  void set() { broker->set_trigger("t", options, lent(picky)).value(); }
  void publish(const std::string& id) {
    const CloudEvent one = event(id);
    world.run(broker->publish(one)).value();
  }
  TriggerStats stats() { return broker->trigger_stats("t").value(); }
  std::vector<ParkedEvent> parked(ParkedSelection selection = {}) {
    return broker->parked(selection, 1'000'000);
  }

  Simulation world{11};
  std::shared_ptr<Log> log;
  Picky picky;
  TriggerOptions options;
  std::unique_ptr<EventBroker> broker;
};

// ---------------------------------------------------------------------------- poison

TEST_F(ParkingTest, many_poison_events_delay_no_other) {
  options.delivery.delay = 1min;
  set();
  for (int i = 0; i < 150; ++i) publish("poison" + std::to_string(i));
  for (int i = 0; i < 500; ++i) publish("good" + std::to_string(i));
  world.run_for(100ms);
  EXPECT_EQ(picky.attempts("good"), 500);
  EXPECT_EQ(picky.attempts("poison"), 150);
  EXPECT_EQ(stats().waiting, 150u);
  world.run_for(1h);
  EXPECT_EQ(picky.attempts("good"), 500);
  EXPECT_EQ(picky.attempts("poison"), 150 * 3);
  EXPECT_EQ(stats().parked, 150u);
  EXPECT_TRUE(broker->idle());
}

TEST_F(ParkingTest, behind_one_poison_event_any_number_of_others_is_delivered) {
  options.delivery.delay = 1h;
  set();
  publish("poison");
  for (int i = 0; i < 12'000; ++i) publish("good" + std::to_string(i));
  world.run_for(1min);
  EXPECT_EQ(picky.attempts("good"), 12'000);
  EXPECT_EQ(stats().in_progress, 1u);
  EXPECT_EQ(stats().backlog, 1u);
  EXPECT_EQ(stats().stalls, 0u);
  // and after a kill none of them comes again
  restart();
  set();
  world.run_for(1min);
  EXPECT_EQ(picky.attempts("good"), 12'000);
  world.run_for(24h);
  EXPECT_EQ(picky.attempts("poison"), 3);
  EXPECT_EQ(log->first(), log->end());  // nothing is kept for what is parked
}

TEST_F(ParkingTest, an_event_that_hangs_delays_no_other_and_makes_none_come_again) {
  picky.hangs = 24h;
  options.delivery.timeout = 48h;
  options.span_max = 200;
  set();
  publish("poison");
  for (int i = 0; i < 3000; ++i) publish("good" + std::to_string(i));
  world.run_for(1min);
  EXPECT_EQ(picky.attempts("good"), 3000);
  restart();
  picky.hangs = 0s;
  picky.healed = true;
  set();
  world.run_for(1min);
  EXPECT_LE(picky.attempts("good"), 3100);
  EXPECT_EQ(picky.attempts("poison"), 2);
  EXPECT_TRUE(broker->idle());
}

TEST_F(ParkingTest, reads_no_further_while_too_many_are_undecided_and_says_so) {
  options.window = 10;
  options.undecided_max = 20;
  options.delivery.delay = 1min;
  set();
  for (int i = 0; i < 50; ++i) publish("poison" + std::to_string(i));
  world.run_for(1s);
  EXPECT_EQ(picky.attempts("poison"), 20);
  EXPECT_TRUE(stats().stalled);
  EXPECT_EQ(stats().stalls, 1u);
  EXPECT_EQ(stats().in_progress, 20u);
  EXPECT_EQ(stats().backlog, 50u);
  picky.healed = true;
  world.run_for(1h);
  EXPECT_FALSE(stats().stalled);
  EXPECT_EQ(stats().delivered, 50u);
  EXPECT_TRUE(broker->idle());
}

TEST_F(ParkingTest, with_a_window_of_one_poison_holds_back_what_comes_after_it) {
  options.window = 1;
  set();
  publish("poison");
  publish("good");
  world.run_for(1500ms);
  EXPECT_EQ(picky.attempts("good"), 0);
  restart();
  set();
  world.run_for(1s);
  EXPECT_EQ(picky.attempts("good"), 0);  // the order is kept across restarts
  world.run_for(1h);
  EXPECT_EQ(picky.attempts("poison"), 3);
  EXPECT_EQ(picky.attempts("good"), 1);
  EXPECT_GE(picky.times["good"][0], picky.times["poison"][2]);
}

// ---------------------------------------------------------------------------- exact attempts

TEST_F(ParkingTest, attempts_are_counted_across_restarts_and_come_when_they_are_due) {
  Subscriber letters(world.env().timers);
  options.dead_letter = lent(letters);
  set();
  const Instant began = world.now();
  publish("poison");
  for (int life = 0; life < 20; ++life) {
    world.run_for(700ms);
    if (life % 2 == 0) world.run(broker->stop());
    restart();
    set();
  }
  EXPECT_EQ(picky.attempts("poison"), 3);
  EXPECT_EQ(ids(letters.seen), (std::vector<std::string>{"poison"}));
  EXPECT_EQ(letters.seen[0].attribute("knativeerrorcode"), "503");
  EXPECT_EQ(letters.seen[0].attribute("knativeerrordata"), "cG9pc29uZWQ=");
  EXPECT_EQ(picky.times["poison"][1] - began, 1s);
  EXPECT_EQ(picky.times["poison"][2] - began, 3s);
  EXPECT_TRUE(broker->idle());
}

TEST_F(ParkingTest, dead_letters_are_counted_across_restarts_too) {
  Picky letters(world.env().timers);
  options.dead_letter = lent(letters);
  picky.status = 400;
  set();
  publish("poison");
  for (int life = 0; life < 20; ++life) {
    world.run_for(700ms);
    restart();
    set();
  }
  EXPECT_EQ(picky.attempts("poison"), 1);
  EXPECT_EQ(letters.attempts("poison"), 3);
  ASSERT_EQ(parked().size(), 1u);
  EXPECT_EQ(parked()[0].attempts, 1);
  EXPECT_EQ(parked()[0].letters, 3);
  EXPECT_EQ(parked()[0].status, 400);
}

TEST_F(ParkingTest, a_wait_that_retry_after_asked_for_goes_on_after_a_restart) {
  picky.retry_after = 30s;
  options.delivery.retry_after_max = 20s;
  set();
  publish("poison");
  world.run_for(5s);
  restart();
  set();
  world.run_for(14s);
  EXPECT_EQ(picky.attempts("poison"), 1);
  world.run_for(2s);
  EXPECT_EQ(picky.attempts("poison"), 2);
  EXPECT_EQ(picky.times["poison"][1] - picky.times["poison"][0], 20s);
}

TEST_F(ParkingTest, what_retention_takes_before_a_retry_is_counted) {
  MemoryLogOptions small;
  small.retention.bytes_max = 3000;
  small.retention.when_full = LogFullPolicy::drop_oldest;
  log = memory_log(world.env().timers, small);
  restart();
  options.delivery.delay = 1h;
  set();
  publish("poison");
  for (int i = 0; i < 100; ++i) {
    publish("good" + std::to_string(i));
    world.run_for(1ms);
  }
  world.run_for(24h);
  EXPECT_EQ(picky.attempts("good"), 100);
  EXPECT_EQ(picky.attempts("poison"), 1);
  EXPECT_EQ(stats().expired, 1u);
  EXPECT_TRUE(broker->idle());
}

// ---------------------------------------------------------------------------- the parking lot

TEST_F(ParkingTest, what_is_given_up_is_parked_with_its_story_and_survives_a_restart) {
  set();
  publish("poison");
  publish("good");
  world.run_for(1h);
  for (int life = 0; life < 2; ++life) {
    const std::vector<ParkedEvent> all = parked();
    ASSERT_EQ(all.size(), 1u);
    EXPECT_EQ(all[0].trigger, "t");
    EXPECT_EQ(all[0].offset, 0u);
    EXPECT_EQ(all[0].attempts, 3);
    EXPECT_EQ(all[0].letters, 0);
    EXPECT_EQ(all[0].status, 503);
    EXPECT_EQ(all[0].cause, "poisoned");
    EXPECT_EQ(all[0].destination, "http://picky/");
    EXPECT_EQ(all[0].event.id(), "poison");
    EXPECT_EQ(all[0].event.data(), event("poison").data());
    EXPECT_EQ(all[0].event.extension(hops_attribute), nullptr);
    EXPECT_GT(all[0].parked_at, WallTime{});
    restart();
    set();
    world.run_for(1h);
  }
  EXPECT_EQ(picky.attempts("poison"), 3);
  EXPECT_EQ(picky.attempts("good"), 1);
  EXPECT_EQ(stats().parked_now, 1u);
  EXPECT_TRUE(broker->idle());
}

TEST_F(ParkingTest, redriving_begins_anew_and_delivers_once_whoever_asks_twice) {
  set();
  publish("poison");
  world.run_for(1h);
  picky.healed = true;
  std::vector<Task<Result<std::size_t>>> asked;
  for (int i = 0; i < 3; ++i) asked.push_back(broker->redrive({}));
  std::size_t redriven = 0;
  for (const Result<std::size_t>& count : world.run(when_all(std::move(asked)))) {
    redriven += count.value();
  }
  world.run_for(1h);
  EXPECT_EQ(redriven, 1u);
  EXPECT_EQ(picky.attempts("poison"), 4);
  EXPECT_EQ(broker->stats().redriven, 1u);
  EXPECT_EQ(stats().delivered, 1u);
  EXPECT_TRUE(parked().empty());
  restart();
  set();
  world.run_for(1h);
  EXPECT_EQ(picky.attempts("poison"), 4);
  EXPECT_TRUE(log->notes().empty());
}

TEST_F(ParkingTest, what_is_redriven_has_all_its_attempts_and_may_be_parked_again) {
  set();
  publish("poison");
  world.run_for(1h);
  EXPECT_EQ(world.run(broker->redrive({})).value(), 1u);
  world.run_for(500ms);
  restart();
  set();
  world.run_for(1h);
  EXPECT_EQ(picky.attempts("poison"), 6);
  ASSERT_EQ(parked().size(), 1u);
  EXPECT_EQ(parked()[0].attempts, 3);
  EXPECT_EQ(parked()[0].event.id(), "poison");
}

TEST_F(ParkingTest, parked_events_are_chosen_by_trigger_id_source_and_offset) {
  set();
  broker->set_trigger("u", options, lent(picky)).value();
  for (int i = 0; i < 3; ++i) publish("poison" + std::to_string(i));
  world.run_for(1h);
  EXPECT_EQ(parked().size(), 6u);
  EXPECT_EQ(parked({.trigger = "u"}).size(), 3u);
  EXPECT_EQ(parked({.id = "poison1"}).size(), 2u);
  EXPECT_EQ(parked({.source = "/tests"}).size(), 6u);
  EXPECT_EQ(parked({.source = "/elsewhere"}).size(), 0u);
  EXPECT_EQ(parked({.trigger = "t", .offset = 2}).size(), 1u);
  EXPECT_EQ(parked({.trigger = "t", .id = "poison0", .offset = 2}).size(), 0u);
  EXPECT_EQ(parked({.trigger = "absent"}).size(), 0u);
  EXPECT_EQ(broker->parked({}, 4).size(), 4u);
  EXPECT_EQ(world.run(broker->discard({.trigger = "u", .id = "poison1"})).value(), 1u);
  picky.healed = true;
  EXPECT_EQ(world.run(broker->redrive({.trigger = "u"})).value(), 2u);
  world.run_for(1h);
  EXPECT_EQ(picky.attempts("poison"), 6 * 3 + 2);
  EXPECT_EQ(parked().size(), 3u);
  EXPECT_EQ(broker->stats().discarded, 1u);
}

TEST_F(ParkingTest, what_was_discarded_never_comes_again_however_soon_the_process_ends) {
  picky.status = 400;
  set();
  publish("first");
  publish("poison");
  world.run_for(1ms);
  ASSERT_EQ(parked().size(), 1u);
  EXPECT_EQ(world.run(broker->discard({})).value(), 1u);
  restart();  // nothing was stored since
  set();
  world.run_for(1h);
  EXPECT_EQ(picky.attempts("poison"), 1);
  EXPECT_TRUE(parked().empty());
  EXPECT_TRUE(log->notes().empty());
}

TEST_F(ParkingTest, what_has_no_room_in_the_lot_stays_undecided_until_it_has) {
  picky.status = 400;
  options.window = 4;
  options.undecided_max = 10;
  options.parked_max = 5;
  set();
  for (int i = 0; i < 30; ++i) publish("poison" + std::to_string(i));
  world.run_for(1h);
  EXPECT_EQ(parked().size(), 5u);
  EXPECT_EQ(picky.attempts("poison"), 15);
  EXPECT_TRUE(stats().stalled);
  restart();
  set();
  world.run_for(1h);
  EXPECT_EQ(picky.attempts("poison"), 15);
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(world.run(broker->discard({})).value(), 5u) << i;
    world.run_for(1h);
  }
  EXPECT_EQ(picky.attempts("poison"), 30);
  EXPECT_EQ(broker->stats().discarded, 30u);
  EXPECT_TRUE(parked().empty());
  EXPECT_TRUE(broker->idle());
}

TEST_F(ParkingTest, a_dead_letter_sink_that_comes_later_gets_what_waits_for_the_lot) {
  picky.status = 400;
  options.parked_max = 1;
  set();
  for (int i = 0; i < 3; ++i) publish("poison" + std::to_string(i));
  world.run_for(1h);
  EXPECT_EQ(stats().waiting, 2u);
  Subscriber letters(world.env().timers);
  options.dead_letter = lent(letters);
  set();
  world.run_for(1h);
  EXPECT_EQ(letters.seen.size(), 2u);
  EXPECT_EQ(picky.attempts("poison"), 3);
  EXPECT_TRUE(broker->idle());
}

TEST_F(ParkingTest, a_trigger_that_is_removed_takes_its_parked_events_along_and_they_are_counted) {
  set();
  broker->set_trigger("other", options, lent(picky)).value();
  for (int i = 0; i < 3; ++i) publish("poison" + std::to_string(i));
  world.run_for(1h);
  publish("poison-in-retry");
  world.run_for(100ms);
  broker->hold_trigger("t").value();
  publish("unread");
  world.run_for(1s);
  world.run(broker->remove_trigger("t")).value();
  EXPECT_EQ(broker->stats().parked_removed, 3u);
  EXPECT_EQ(broker->stats().undecided_removed, 2u);
  EXPECT_EQ(parked({.trigger = "t"}).size(), 0u);
  EXPECT_EQ(parked({.trigger = "other"}).size(), 3u);
  for (const auto& [name, text] : log->notes()) EXPECT_FALSE(name.starts_with("trigger/t\0"));
  world.run(broker->remove_trigger("other")).value();
  EXPECT_TRUE(log->notes().empty());
  EXPECT_TRUE(log->cursors().empty());
  world.run(broker->remove_trigger("never there")).value();
}

TEST_F(ParkingTest, a_reply_without_hops_and_without_a_sink_is_dropped_and_counted) {
  Subscriber answering(world.env().timers);
  answering.reply = CloudEvent("again", "/loop");
  BrokerOptions given;
  given.hops_max = 3;
  restart(given);
  broker->set_trigger("t", options, lent(answering)).value();
  publish("1");
  world.run_for(1h);
  EXPECT_EQ(stats().dropped, 1u);
  EXPECT_EQ(stats().replies_looped, 1u);
  EXPECT_TRUE(parked().empty());
  EXPECT_TRUE(broker->idle());
}

TEST_F(ParkingTest, metrics_tell_of_redeliveries_and_of_the_parked) {
  Metrics metrics;
  BrokerOptions given;
  given.metrics = &metrics;
  restart(given);
  set();
  publish("poison1");
  publish("poison2");
  world.run_for(1h);
  world.run(broker->discard({.id = "poison1"})).value();
  const std::string text = metrics.prometheus_text();
  for (const char* line :
       {"knative_broker_deliveries_total{broker_name=\"default\",result=\"parked\","
        "trigger_name=\"t\"} 2",
        "knative_broker_redeliveries_total{broker_name=\"default\",trigger_name=\"t\"} 4",
        "knative_broker_parked_events{broker_name=\"default\",trigger_name=\"t\"} 1",
        "knative_broker_undecided_events{broker_name=\"default\",trigger_name=\"t\"} 0",
        "knative_broker_removed_events_total{broker_name=\"default\",state=\"discarded\"} 1"}) {
    EXPECT_NE(text.find(std::string(line) + "\n"), std::string::npos) << line << "\n" << text;
  }
  broker.reset();
}

// ---------------------------------------------------------------------------- crashes

/// A broker on a disk, which publishes one poison event and has it parked, redriven once it is
/// parked, and delivered; whatever fails on the way.
struct Crashing {
  explicit Crashing(Env& env) : picky(env.timers) {
    options.delivery.jitter = 0;
    options.delivery.delay = 1s;
    options.delivery.policy = BackoffPolicy::linear;
    options.delivery.retry = 2;
  }
  Picky picky;
  TriggerOptions options;
  bool accepted = false;
  std::size_t redriven = 0;
  std::size_t parked_seen = 0;

  /// Until `ended`, or until nothing can be opened.
  Task<void> live(Env& env, Duration time, bool redrive) {
    auto opened = co_await open_segment_log(env, "/log");
    if (!opened) co_return;
    const std::shared_ptr<Log> log = std::move(*opened);
    EventBroker broker(env.executor, env.timers, log, env.logger, env.random.split("b"));
    broker.set_trigger("t", options, lent(picky)).value();
    const CloudEvent one = event("poison");
    if (!accepted) accepted = (co_await broker.publish(one)).has_value();
    const Instant end = env.timers.now() + time;
    while (env.timers.now() < end) {
      co_await env.timers.sleep_for(100ms);
      parked_seen = broker.parked({}, 10).size();
      if (!redrive || parked_seen == 0) continue;
      picky.healed = true;
      const ParkedSelection all;
      const Result<std::size_t> moved = co_await broker.redrive(all);
      if (moved) redriven += *moved;
    }
    EXPECT_TRUE(broker.idle() || !picky.healed || parked_seen == 0);
  }
};

/// The process ends at every file operation: an event is given up after exactly retry + 1 attempts
/// that count. One that was being made when the process ended does not.
TEST(ParkingCrash, attempts_are_exact_whenever_the_process_ends) {
  std::uint64_t operations = 0;
  {
    Simulation world(1);
    Crashing run(world.env());
    world.run(run.live(world.env(), 5s, false));
    operations = world.faults().file_operations();
    EXPECT_EQ(run.picky.attempts("poison"), 3);
    EXPECT_EQ(run.parked_seen, 1u);
  }
  ASSERT_GT(operations, 20u);
  int repeated = 0;
  for (const CrashMode mode : {CrashMode::lose_all, CrashMode::torn, CrashMode::keep_all}) {
    for (std::uint64_t n = 1; n <= operations; ++n) {
      SCOPED_TRACE("operation " + std::to_string(n));
      Simulation world(n);
      Crashing run(world.env());
      world.faults().fail_nth_file_operation(n, Faults::forever);
      world.run(run.live(world.env(), 1500ms, false));
      world.crash(mode);
      world.faults().clear();
      const bool acknowledged = run.accepted;
      world.run(run.live(world.env(), 1min, false));
      const int attempts = run.picky.attempts("poison");
      EXPECT_EQ(run.parked_seen, acknowledged ? 1u : run.parked_seen);
      if (acknowledged) {
        EXPECT_GE(attempts, 3);
        EXPECT_LE(attempts, 4);  // what was not durable is made again
        repeated += attempts - 3;
      }
      if (HasFailure()) return;
    }
  }
  EXPECT_GT(repeated, 0) << "no kill hit an attempt";
}

/// The same while it is parked, redriven and delivered: it never gets lost between them.
TEST(ParkingCrash, a_parked_event_is_never_lost_on_its_way) {
  std::uint64_t operations = 0;
  {
    Simulation world(1);
    Crashing run(world.env());
    world.run(run.live(world.env(), 5s, true));
    operations = world.faults().file_operations();
    EXPECT_EQ(run.redriven, 1u);
    EXPECT_EQ(run.picky.attempts("poison"), 4);
  }
  for (const CrashMode mode : {CrashMode::lose_all, CrashMode::torn, CrashMode::keep_all}) {
    for (std::uint64_t n = 1; n <= operations; ++n) {
      SCOPED_TRACE("operation " + std::to_string(n));
      Simulation world(n);
      Crashing run(world.env());
      world.faults().fail_nth_file_operation(n, Faults::forever);
      world.run(run.live(world.env(), 5s, true));
      world.crash(mode);
      world.faults().clear();
      run.accepted = run.accepted && run.picky.attempts("poison") > 0;
      world.run(run.live(world.env(), 1min, true));
      EXPECT_EQ(run.parked_seen, 0u);
      EXPECT_GE(run.picky.attempts("poison"), 4);
      EXPECT_LE(run.picky.attempts("poison"), 12);
      if (HasFailure()) return;
    }
  }
}

/// Killed again and again: the attempts that count are exact.
TEST(ParkingCrash, attempts_stay_exact_over_a_thousand_kills) {
  int kills = 0;
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    Simulation world(seed);
    Crashing run(world.env());
    Random chance = world.env().random.split("kill");
    run.options.delivery.retry = 5;
    int lives = 0;
    while (lives < 20) {
      ++lives;
      ++kills;
      TaskSet life(world.env().executor);
      life.add(run.live(world.env(), 1h, false));
      world.run_for(Duration(static_cast<std::int64_t>(chance.below(1'500'000'000))));
      life.clear();
      world.crash(CrashMode::seeded);
    }
    world.run(run.live(world.env(), 1min, false));
    EXPECT_EQ(run.parked_seen, 1u) << "seed " << seed;
    EXPECT_GE(run.picky.attempts("poison"), 6) << "seed " << seed;
    EXPECT_LE(run.picky.attempts("poison"), 6 + 2) << "seed " << seed;
  }
  EXPECT_EQ(kills, 1000);
}

}  // namespace
}  // namespace knative
