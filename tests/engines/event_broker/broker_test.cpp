#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>

#include "knative/event_broker.hpp"
#include "knative/simulation.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;

/// A subscriber that does as it is told and remembers what it saw.
class Subscriber final : public Sink {
 public:
  explicit Subscriber(Timers& timers) : timers_(timers) {}

  std::vector<CloudEvent> seen;
  std::vector<Instant> times;
  std::vector<int> statuses;  ///< Of the next attempts; then 202.
  std::optional<CloudEvent> reply;
  std::string body;
  std::optional<Duration> retry_after;
  Duration takes{0};
  bool throws = false;
  int running = 0;
  int running_max = 0;

  Task<Result<Reply>> deliver(const CloudEvent&) override { co_return Reply(); }
  Task<DeliveryAttempt> attempt(const CloudEvent& event) override {
    struct Count {
      int& of;
      explicit Count(int& counter) : of(counter) { ++of; }
      ~Count() { --of; }
    };
    const Count count(running);
    running_max = std::max(running_max, running);
    seen.push_back(event);
    times.push_back(timers_.now());
    if (throws) throw std::runtime_error("a bug in the handler");
    if (takes > Duration(0)) co_await timers_.sleep_for(takes);
    DeliveryAttempt attempt;
    attempt.status = 202;
    if (!statuses.empty()) {
      attempt.status = statuses.front();
      statuses.erase(statuses.begin());
    }
    attempt.retry_after = retry_after;
    if (attempt.ok()) {
      attempt.reply = reply;
    } else {
      attempt.detail = body;
    }
    co_return attempt;
  }

 private:
  Timers& timers_;
};

CloudEvent event(const std::string& id, const std::string& type = "test") {
  CloudEvent made(type, "/tests", {{"n", 1}});
  made.set_id(id);
  return made;
}

std::vector<std::string> ids(const std::vector<CloudEvent>& events) {
  std::vector<std::string> found;
  for (const CloudEvent& one : events) found.push_back(one.id());
  return found;
}

class BrokerTest : public testing::Test {
 protected:
  BrokerTest() : subscriber(world.env().timers), letters(world.env().timers) {
    log = memory_log(world.env().timers);
    options.delivery.jitter = 0;
    options.delivery.delay = 100ms;
    options.delivery.retry = 3;
    options.dead_letter = &letters;
    make_broker();
  }
  void make_broker(BrokerOptions given = {}) {
    broker.reset();
    Env& env = world.env();
    broker = std::make_unique<EventBroker>(env.executor, env.timers, *log, env.logger,
                                           env.random.split("broker"), std::move(given));
  }
  Result<Offset> publish(const CloudEvent& what) {
    auto call = [](EventBroker& to, const CloudEvent& one) -> Task<Result<Offset>> {
      co_return co_await to.publish(one);
    };
    return world.run(call(*broker, what));
  }
  void settle(Duration time = 1h) {
    world.run_for(time);
    EXPECT_TRUE(broker->idle());
  }
  TriggerStats stats(const std::string& name = "t") { return broker->trigger_stats(name).value(); }

  Simulation world{11};
  std::unique_ptr<Log> log;
  Subscriber subscriber;
  Subscriber letters;
  TriggerOptions options;
  std::unique_ptr<EventBroker> broker;
};

TEST_F(BrokerTest, delivers_an_accepted_event_once_to_every_matching_trigger) {
  Subscriber other(world.env().timers);
  options.filter = Filter::exact("type", "wanted").value();
  broker->set_trigger("t", options, subscriber).value();
  TriggerOptions everything;
  broker->set_trigger("all", everything, other).value();
  publish(event("1", "wanted")).value();
  publish(event("2", "other")).value();
  settle(1s);
  EXPECT_EQ(ids(subscriber.seen), (std::vector<std::string>{"1"}));
  EXPECT_EQ(ids(other.seen), (std::vector<std::string>{"1", "2"}));
  EXPECT_EQ(stats().matched, 1u);
  EXPECT_EQ(stats().filtered, 1u);
  EXPECT_EQ(stats().cursor, 2u);
  EXPECT_EQ(log->cursor("trigger/t"), 2u);
  // nothing of the broker's bookkeeping but the arrival time is shown
  EXPECT_EQ(subscriber.seen[0].extension("knativebrokerttl"), nullptr);
  EXPECT_NE(subscriber.seen[0].extension("knativearrivaltime"), nullptr);
  EXPECT_EQ(subscriber.seen[0].data(), event("1").data());
  broker.reset();
}

TEST_F(BrokerTest, gives_an_event_without_id_one_and_refuses_an_invalid_one) {
  broker->set_trigger("t", options, subscriber).value();
  publish(CloudEvent("made", "/here")).value();
  publish(CloudEvent("made", "/here")).value();
  settle();
  ASSERT_EQ(subscriber.seen.size(), 2u);
  EXPECT_NE(subscriber.seen[0].id(), subscriber.seen[1].id());
  EXPECT_EQ(subscriber.seen[0].id().size(), 36u);
  const Result<Offset> refused = publish(CloudEvent("", "/here"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::invalid_argument);
  EXPECT_EQ(refused.error().detail, "type: missing");
  EXPECT_EQ(broker->stats().accepted, 2u);
  EXPECT_EQ(broker->stats().rejected, 1u);
  broker.reset();
}

TEST_F(BrokerTest, tries_again_at_the_times_of_the_schedule) {
  subscriber.statuses = {500, 503, 429};
  broker->set_trigger("t", options, subscriber).value();
  publish(event("1")).value();
  settle();
  ASSERT_EQ(subscriber.times.size(), 4u);
  EXPECT_EQ(subscriber.times[1] - subscriber.times[0], 200ms);
  EXPECT_EQ(subscriber.times[2] - subscriber.times[1], 400ms);
  EXPECT_EQ(subscriber.times[3] - subscriber.times[2], 800ms);
  EXPECT_EQ(stats().delivered, 1u);
  EXPECT_EQ(stats().retries, 3u);
  EXPECT_TRUE(letters.seen.empty());
  EXPECT_EQ(stats().last_error, "");
  broker.reset();
}

TEST_F(BrokerTest, waits_as_long_as_retry_after_says_but_no_longer_than_allowed) {
  subscriber.statuses = {503, 503};
  subscriber.retry_after = 10s;
  options.delivery.retry_after_max = 3s;
  broker->set_trigger("t", options, subscriber).value();
  publish(event("1")).value();
  settle();
  ASSERT_EQ(subscriber.times.size(), 3u);
  EXPECT_EQ(subscriber.times[1] - subscriber.times[0], 3s);
  broker.reset();
}

TEST_F(BrokerTest, sends_what_cannot_be_delivered_to_the_dead_letter_sink_with_the_reason) {
  subscriber.statuses = {500, 500, 500, 500};
  subscriber.body = "out of order" + std::string(2000, '!');
  options.subscriber_uri = "http://subscriber.example/";
  broker->set_trigger("t", options, subscriber).value();
  publish(event("1")).value();
  settle();
  EXPECT_EQ(subscriber.seen.size(), 4u);
  ASSERT_EQ(letters.seen.size(), 1u);
  const CloudEvent& letter = letters.seen[0];
  EXPECT_EQ(letter.id(), "1");
  EXPECT_EQ(letter.attribute("knativeerrorcode"), "500");
  EXPECT_EQ(letter.attribute("knativeerrordest"), "http://subscriber.example/");
  EXPECT_EQ(letter.attribute("knativeerrordata")->size(), 1024u);
  EXPECT_TRUE(letter.attribute("knativeerrordata")->starts_with("b3V0IG9mIG9yZGVy"));
  EXPECT_EQ(stats().dead_lettered, 1u);
  EXPECT_TRUE(letter.validate());
  broker.reset();
}

TEST_F(BrokerTest, does_not_try_again_what_the_subscriber_refused) {
  for (const int status : {400, 401, 403, 413, 302}) {
    subscriber.statuses = {status};
    subscriber.seen.clear();
    letters.seen.clear();
    const std::string name = "t" + std::to_string(status);
    broker->set_trigger(name, options, subscriber).value();
    publish(event("1")).value();
    settle();
    EXPECT_EQ(subscriber.seen.size(), 1u) << status;
    EXPECT_EQ(letters.seen.size(), 1u) << status;
    broker->detach_trigger(name);
  }
  broker.reset();
}

TEST_F(BrokerTest, counts_and_drops_when_the_dead_letter_sink_fails_too) {
  subscriber.statuses = {400};
  letters.statuses = {500, 500, 500, 500};
  broker->set_trigger("t", options, subscriber).value();
  publish(event("1")).value();
  settle();
  EXPECT_EQ(letters.seen.size(), 4u);
  EXPECT_EQ(stats().dropped, 1u);
  EXPECT_EQ(stats().cursor, 1u);
  broker.reset();
}

TEST_F(BrokerTest, gives_up_an_attempt_at_its_deadline) {
  subscriber.takes = 24h;
  options.delivery.timeout = 2s;
  options.delivery.retry = 1;
  broker->set_trigger("t", options, subscriber).value();
  publish(event("1")).value();
  settle(1min);
  EXPECT_EQ(subscriber.seen.size(), 2u);
  EXPECT_EQ(subscriber.running, 0);
  EXPECT_EQ(subscriber.times[1] - subscriber.times[0], 2s + 200ms);
  ASSERT_EQ(letters.seen.size(), 1u);
  EXPECT_EQ(letters.seen[0].attribute("knativeerrorcode"), "504");
  broker.reset();
}

TEST_F(BrokerTest, treats_an_exception_as_a_failed_attempt) {
  subscriber.throws = true;
  options.delivery.retry = 1;
  broker->set_trigger("t", options, subscriber).value();
  publish(event("1")).value();
  settle();
  EXPECT_EQ(subscriber.seen.size(), 2u);
  EXPECT_EQ(letters.seen.size(), 1u);
  EXPECT_EQ(stats().dead_lettered, 1u);
  broker.reset();
}

TEST_F(BrokerTest, a_hanging_subscriber_holds_back_nobody_else) {
  Subscriber quick(world.env().timers);
  subscriber.takes = 24h;
  options.delivery.timeout = 48h;
  broker->set_trigger("stuck", options, subscriber).value();
  broker->set_trigger("quick", options, quick).value();
  for (int i = 0; i < 300; ++i) publish(event(std::to_string(i))).value();
  world.run_for(1s);
  EXPECT_EQ(quick.seen.size(), 300u);
  EXPECT_EQ(subscriber.seen.size(), 100u);  // its window
  EXPECT_EQ(stats("stuck").backlog, 300u);
  EXPECT_EQ(stats("quick").backlog, 0u);
  broker.reset();
}

TEST_F(BrokerTest, one_stuck_event_does_not_hold_back_the_others_of_its_trigger_within_the_span) {
  subscriber.statuses = {500};
  options.delivery.delay = 1h;
  options.delivery.delay_max = 1h;
  options.window = 10;
  options.span_max = 50;
  broker->set_trigger("t", options, subscriber).value();
  for (int i = 0; i < 100; ++i) publish(event(std::to_string(i))).value();
  world.run_for(1s);
  EXPECT_EQ(subscriber.seen.size(), 50u);
  EXPECT_EQ(stats().cursor, 0u);
  settle(2h);
  EXPECT_EQ(stats().delivered, 100u);
  EXPECT_EQ(stats().cursor, 100u);
  broker.reset();
}

TEST_F(BrokerTest, keeps_the_order_of_the_log_with_a_window_of_one) {
  subscriber.statuses = {500, 500, 202, 500};
  options.window = 1;
  broker->set_trigger("t", options, subscriber).value();
  for (int i = 0; i < 5; ++i) publish(event(std::to_string(i))).value();
  settle();
  EXPECT_EQ(ids(subscriber.seen),
            (std::vector<std::string>{"0", "0", "0", "1", "1", "2", "3", "4"}));
  EXPECT_EQ(subscriber.running_max, 1);
  broker.reset();
}

TEST_F(BrokerTest, takes_replies_into_the_broker) {
  Subscriber second(world.env().timers);
  subscriber.reply = CloudEvent("answer", "/subscriber", {{"ok", true}});
  options.filter = Filter::exact("type", "question").value();
  broker->set_trigger("ask", options, subscriber).value();
  options.filter = Filter::exact("type", "answer").value();
  broker->set_trigger("answers", options, second).value();
  publish(event("1", "question")).value();
  settle();
  ASSERT_EQ(second.seen.size(), 1u);
  EXPECT_EQ(second.seen[0].type(), "answer");
  EXPECT_FALSE(second.seen[0].id().empty());
  EXPECT_EQ(stats("ask").replies, 1u);
  broker.reset();
}

TEST_F(BrokerTest, stops_a_loop_of_replies_at_the_hop_limit) {
  BrokerOptions given;
  given.hops_max = 5;
  make_broker(given);
  subscriber.reply = CloudEvent("again", "/loop");
  broker->set_trigger("t", options, subscriber).value();
  publish(event("1", "again")).value();
  settle();
  EXPECT_EQ(subscriber.seen.size(), 5u);
  EXPECT_EQ(stats().replies, 4u);
  EXPECT_EQ(stats().replies_dropped, 1u);
  EXPECT_EQ(broker->stats().hops_exhausted, 1u);
  EXPECT_EQ(stats().dropped, 0u);
  broker.reset();
}

TEST_F(BrokerTest, honours_the_hop_limit_of_an_arriving_event) {
  CloudEvent last = event("1");
  last.set_extension("knativebrokerttl", "1");
  const Result<Offset> refused = publish(last);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::invalid_argument);
  last.set_extension("knativebrokerttl", "no number");
  EXPECT_TRUE(publish(last));
  last.set_extension("knativebrokerttl", 2);
  EXPECT_TRUE(publish(last));
  broker.reset();
}

TEST_F(BrokerTest, an_invalid_reply_is_a_failed_attempt) {
  subscriber.reply = CloudEvent("", "");
  options.delivery.retry = 1;
  broker->set_trigger("t", options, subscriber).value();
  publish(event("1")).value();
  settle();
  EXPECT_EQ(subscriber.seen.size(), 2u);
  ASSERT_EQ(letters.seen.size(), 1u);
  EXPECT_EQ(letters.seen[0].attribute("knativeerrorcode"), "502");
  broker.reset();
}

TEST_F(BrokerTest, a_new_trigger_begins_with_the_next_event_or_where_it_is_told) {
  Subscriber later(world.env().timers);
  Subscriber from_start(world.env().timers);
  publish(event("before")).value();
  broker->set_trigger("later", options, later).value();
  options.begin = 0;
  broker->set_trigger("start", options, from_start).value();
  publish(event("after")).value();
  settle();
  EXPECT_EQ(ids(later.seen), (std::vector<std::string>{"after"}));
  EXPECT_EQ(ids(from_start.seen), (std::vector<std::string>{"before", "after"}));
  broker.reset();
}

TEST_F(BrokerTest, goes_on_at_the_cursor_after_detaching_and_forgets_it_when_removed) {
  broker->set_trigger("t", options, subscriber).value();
  publish(event("1")).value();
  settle();
  broker->detach_trigger("t");
  publish(event("2")).value();
  broker->set_trigger("t", options, subscriber).value();
  settle();
  EXPECT_EQ(ids(subscriber.seen), (std::vector<std::string>{"1", "2"}));
  world.run(broker->remove_trigger("t")).value();
  EXPECT_EQ(log->cursor("trigger/t"), std::nullopt);
  EXPECT_TRUE(broker->triggers().empty());
  publish(event("3")).value();
  broker->set_trigger("t", options, subscriber).value();
  settle();
  EXPECT_EQ(subscriber.seen.size(), 2u);
  broker.reset();
}

TEST_F(BrokerTest, new_options_apply_to_what_is_still_in_progress) {
  Subscriber replacement(world.env().timers);
  subscriber.takes = 24h;
  broker->set_trigger("t", options, subscriber).value();
  for (int i = 0; i < 5; ++i) publish(event(std::to_string(i))).value();
  world.run_for(1s);
  EXPECT_EQ(subscriber.running, 5);
  broker->set_trigger("t", options, replacement).value();
  EXPECT_EQ(subscriber.running, 0);
  settle(1s);
  EXPECT_EQ(replacement.seen.size(), 5u);
  EXPECT_EQ(stats().cursor, 5u);
  broker.reset();
}

TEST_F(BrokerTest, refuses_options_out_of_range) {
  const auto refused = [&](auto change) {
    TriggerOptions wrong = options;
    change(wrong);
    const Result<void> set = broker->set_trigger("t", wrong, subscriber);
    return !set && set.error().code == Errc::invalid_argument;
  };
  EXPECT_TRUE(refused([](TriggerOptions& wrong) { wrong.window = 0; }));
  EXPECT_TRUE(refused([](TriggerOptions& wrong) { wrong.span_max = 5; }));
  EXPECT_TRUE(refused([](TriggerOptions& wrong) { wrong.delivery.retry = -1; }));
  EXPECT_TRUE(refused([](TriggerOptions& wrong) { wrong.delivery.timeout = 0s; }));
  EXPECT_TRUE(refused([](TriggerOptions& wrong) { wrong.delivery.jitter = 2; }));
  broker.reset();
}

TEST_F(BrokerTest, stop_lets_attempts_finish_and_stores_cursors) {
  subscriber.takes = 2s;
  broker->set_trigger("t", options, subscriber).value();
  for (int i = 0; i < 3; ++i) publish(event(std::to_string(i))).value();
  world.run_for(1s);
  EXPECT_EQ(subscriber.running, 3);
  world.run(broker->stop(5s));
  EXPECT_EQ(subscriber.running, 0);
  EXPECT_EQ(log->cursor("trigger/t"), 3u);
  EXPECT_EQ(publish(event("late")).error().code, Errc::failed_precondition);
  EXPECT_EQ(broker->set_trigger("t", options, subscriber).error().code, Errc::failed_precondition);
  broker.reset();
}

TEST_F(BrokerTest, stop_does_not_wait_for_retries_and_keeps_their_events) {
  subscriber.statuses = {500, 500, 500, 500};
  options.delivery.delay = 1min;
  broker->set_trigger("t", options, subscriber).value();
  publish(event("1")).value();
  world.run_for(1s);
  const Instant before = world.now();
  world.run(broker->stop(5s));
  EXPECT_LT(world.now() - before, 1s);
  EXPECT_EQ(log->cursor("trigger/t"), 0u);
  subscriber.statuses.clear();
  make_broker();
  broker->set_trigger("t", options, subscriber).value();
  settle();
  EXPECT_EQ(subscriber.seen.size(), 2u);
  broker.reset();
}

TEST_F(BrokerTest, reports_each_new_type_and_source_once) {
  std::vector<std::string> reported;
  BrokerOptions given;
  given.on_event_type = [&reported](const CloudEvent& seen) { reported.push_back(seen.type()); };
  make_broker(std::move(given));
  publish(event("1", "a")).value();
  publish(event("2", "a")).value();
  publish(event("3", "b")).value();
  EXPECT_EQ(reported, (std::vector<std::string>{"a", "b"}));
  broker.reset();
}

TEST_F(BrokerTest, counts_into_the_metrics_it_was_given) {
  Metrics metrics;
  BrokerOptions given;
  given.metrics = &metrics;
  make_broker(given);
  broker->set_trigger("t", options, subscriber).value();
  publish(event("1")).value();
  CloudEvent without_type("", "/here", Value());
  EXPECT_FALSE(publish(without_type));
  settle();
  const std::string text = metrics.prometheus_text();
  const auto has = [&text](std::string_view line) {
    return text.find(std::string(line) + "\n") != std::string::npos;
  };
  EXPECT_TRUE(
      has("mt_broker_ingress_event_count{broker_name=\"default\",response_code=\"202\","
          "response_code_class=\"2xx\"} 1"))
      << text;
  EXPECT_TRUE(
      has("mt_broker_ingress_event_count{broker_name=\"default\",response_code=\"400\","
          "response_code_class=\"4xx\"} 1"))
      << text;
  EXPECT_TRUE(
      has("mt_broker_filter_event_dispatch_latencies_count{broker_name=\"default\","
          "response_code=\"202\",response_code_class=\"2xx\",trigger_name=\"t\"} 1"))
      << text;
  EXPECT_TRUE(
      has("knative_broker_deliveries_total{broker_name=\"default\",result=\"delivered\","
          "trigger_name=\"t\"} 1"))
      << text;
  EXPECT_TRUE(has("knative_broker_backlog_events{broker_name=\"default\",trigger_name=\"t\"} 0"))
      << text;
  broker.reset();
  EXPECT_EQ(metrics.prometheus_text(), "");  // a broker takes its series along
}

TEST_F(BrokerTest, works_through_a_backlog_larger_than_its_window) {
  options.begin = 0;
  for (int i = 0; i < 5000; ++i) publish(event(std::to_string(i))).value();
  subscriber.takes = 1ms;
  broker->set_trigger("t", options, subscriber).value();
  settle(1min);
  EXPECT_EQ(subscriber.seen.size(), 5000u);
  EXPECT_EQ(subscriber.running_max, 100);
  broker.reset();
}

// --------------------------------------------------------------------------- crashes

/// Events accepted before a crash are delivered after it, whenever it comes.
TEST(BrokerCrash, loses_no_accepted_event_when_the_machine_dies_at_any_moment) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    Simulation world(seed);
    Env& env = world.env();
    std::set<std::string> accepted;
    std::set<std::string> delivered;
    auto sink = make_sink([&](const CloudEvent& one) { delivered.insert(one.id()); });
    TriggerOptions options;
    int number = 0;
    for (int life = 0; life < 4; ++life) {
      auto opened = world.run(open_segment_log(env, "/log"));
      ASSERT_TRUE(opened) << opened.error().to_string();
      std::unique_ptr<Log> log = std::move(*opened);
      {
        EventBroker broker(env.executor, env.timers, *log, env.logger, env.random.split("b"));
        broker.set_trigger("t", options, *sink).value();
        TaskSet producers(env.executor);
        auto produce = [](EventBroker& to, Timers& timers, std::set<std::string>& told,
                          int from) -> Task<void> {
          for (int i = 0;; ++i) {
            const CloudEvent one = event(std::to_string(from) + "-" + std::to_string(i));
            const Result<Offset> offset = co_await to.publish(one);
            if (offset) told.insert(one.id());
            co_await timers.sleep_for(100us);
          }
        };
        for (int p = 0; p < 4; ++p) {
          producers.add(produce(broker, env.timers, accepted, number++));
        }
        Random chance = env.random.split("crash");
        world.run_for(Duration(static_cast<std::int64_t>(chance.below(30'000'000))));
        producers.clear();
      }
      log.reset();
      world.crash(CrashMode::seeded);
    }
    std::unique_ptr<Log> log = *world.run(open_segment_log(env, "/log"));
    EventBroker broker(env.executor, env.timers, *log, env.logger, env.random.split("b"));
    broker.set_trigger("t", options, *sink).value();
    world.run_for(1min);
    for (const std::string& id : accepted) {
      ASSERT_TRUE(delivered.contains(id)) << "lost " << id << ", seed " << seed;
    }
    EXPECT_GT(accepted.size(), 20u);
    EXPECT_EQ(broker.trigger_stats("t")->cursor, log->end());
  }
}

TEST(BrokerDamage, a_trigger_before_damage_says_so_and_looks_again_ever_more_rarely) {
  int complaints = 0;
  SimulationOptions quiet;
  quiet.log_sink = [&complaints](const LogRecord& line) {
    if (line.message == "a trigger cannot read the log") ++complaints;
  };
  Simulation world(3, quiet);
  Env& env = world.env();
  SegmentLogOptions small;
  small.cache_bytes_max = 0;
  std::unique_ptr<Log> log = world.run(open_segment_log(env, "/log", small)).value();
  auto sink = make_sink([](const CloudEvent&) {});
  {
    EventBroker broker(env.executor, env.timers, *log, env.logger, env.random.split("b"));
    const CloudEvent one = event("1");
    auto publish = [](EventBroker& to, const CloudEvent& what) -> Task<void> {
      for (int i = 0; i < 3; ++i) (co_await to.publish(what)).value();
    };
    world.run(publish(broker, one));
  }
  for (const FileInfo& file : env.files.list("/log").value()) {
    if (!file.name.ends_with(".segment")) continue;
    auto opened = env.files.open("/log/" + file.name, {.write = true}).value();
    opened->write_at(150, "damage").value();
  }
  EventBroker broker(env.executor, env.timers, *log, env.logger, env.random.split("b"));
  TriggerOptions options;
  options.begin = 0;
  broker.set_trigger("t", options, *sink).value();
  world.run_for(1h);
  EXPECT_GE(complaints, 10);
  EXPECT_LE(complaints, 30);
  EXPECT_NE(broker.trigger_stats("t")->last_error.find("data_loss"), std::string::npos);
}

}  // namespace
}  // namespace knative
