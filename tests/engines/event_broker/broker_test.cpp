#include <gtest/gtest.h>

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

class BrokerTest : public testing::Test {
 protected:
  BrokerTest() : subscriber(world.env().timers), letters(world.env().timers) {
    log = memory_log(world.env().timers);
    options.delivery.jitter = 0;
    options.delivery.delay = 100ms;
    options.delivery.retry = 3;
    options.dead_letter = lent(letters);
    make_broker();
  }
  void make_broker(BrokerOptions given = {}) {
    broker.reset();
    Env& env = world.env();
    broker = std::make_unique<EventBroker>(env.executor, env.timers, log, env.logger,
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
  std::shared_ptr<Log> log;
  Subscriber subscriber;
  Subscriber letters;
  TriggerOptions options;
  std::unique_ptr<EventBroker> broker;
};

TEST_F(BrokerTest, delivers_an_accepted_event_once_to_every_matching_trigger) {
  Subscriber other(world.env().timers);
  options.filter = Filter::exact("type", "wanted").value();
  broker->set_trigger("t", options, lent(subscriber)).value();
  TriggerOptions everything;
  broker->set_trigger("all", everything, lent(other)).value();
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
  broker->set_trigger("t", options, lent(subscriber)).value();
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
  broker->set_trigger("t", options, lent(subscriber)).value();
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
  broker->set_trigger("t", options, lent(subscriber)).value();
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
  broker->set_trigger("t", options, lent(subscriber)).value();
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
    broker->set_trigger(name, options, lent(subscriber)).value();
    publish(event("1")).value();
    settle();
    EXPECT_EQ(subscriber.seen.size(), 1u) << status;
    EXPECT_EQ(letters.seen.size(), 1u) << status;
    broker->detach_trigger(name);
  }
  broker.reset();
}

TEST_F(BrokerTest, parks_what_the_dead_letter_sink_does_not_take_either) {
  subscriber.statuses = {400};
  letters.statuses = {500, 500, 500, 500};
  broker->set_trigger("t", options, lent(subscriber)).value();
  publish(event("1")).value();
  settle();
  EXPECT_EQ(letters.seen.size(), 4u);
  EXPECT_EQ(stats().parked, 1u);
  EXPECT_EQ(stats().dropped, 0u);
  EXPECT_EQ(stats().cursor, 1u);
  broker.reset();
}

TEST_F(BrokerTest, gives_up_an_attempt_at_its_deadline) {
  subscriber.takes = 24h;
  options.delivery.timeout = 2s;
  options.delivery.retry = 1;
  broker->set_trigger("t", options, lent(subscriber)).value();
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
  broker->set_trigger("t", options, lent(subscriber)).value();
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
  broker->set_trigger("stuck", options, lent(subscriber)).value();
  broker->set_trigger("quick", options, lent(quick)).value();
  for (int i = 0; i < 300; ++i) publish(event(std::to_string(i))).value();
  world.run_for(1s);
  EXPECT_EQ(quick.seen.size(), 300u);
  EXPECT_EQ(subscriber.seen.size(), 100u);  // its window
  EXPECT_EQ(stats("stuck").backlog, 300u);
  EXPECT_EQ(stats("quick").backlog, 0u);
  broker.reset();
}

TEST_F(BrokerTest, an_event_that_waits_for_its_retry_holds_back_no_other) {
  subscriber.statuses = {500};
  options.delivery.delay = 1h;
  options.delivery.delay_max = 1h;
  options.window = 10;
  options.span_max = 50;
  broker->set_trigger("t", options, lent(subscriber)).value();
  for (int i = 0; i < 100; ++i) publish(event(std::to_string(i))).value();
  world.run_for(1s);
  EXPECT_EQ(subscriber.seen.size(), 100u);
  EXPECT_EQ(stats().cursor, 0u);
  EXPECT_EQ(stats().backlog, 1u);
  EXPECT_EQ(stats().waiting, 1u);
  settle(2h);
  EXPECT_EQ(stats().delivered, 100u);
  EXPECT_EQ(stats().cursor, 100u);
  broker.reset();
}

TEST_F(BrokerTest, keeps_the_order_of_the_log_with_a_window_of_one) {
  subscriber.statuses = {500, 500, 202, 500};
  options.window = 1;
  broker->set_trigger("t", options, lent(subscriber)).value();
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
  broker->set_trigger("ask", options, lent(subscriber)).value();
  options.filter = Filter::exact("type", "answer").value();
  broker->set_trigger("answers", options, lent(second)).value();
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
  broker->set_trigger("t", options, lent(subscriber)).value();
  publish(event("1", "again")).value();
  settle();
  EXPECT_EQ(subscriber.seen.size(), 5u);
  EXPECT_EQ(stats().replies, 4u);
  EXPECT_EQ(stats().replies_looped, 1u);
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
  broker->set_trigger("t", options, lent(subscriber)).value();
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
  TriggerOptions all = options;
  all.begin = 0;
  broker->set_trigger("start", all, lent(from_start)).value();
  world.run_for(1s);
  broker->set_trigger("later", options, lent(later)).value();
  publish(event("after")).value();
  settle();
  EXPECT_EQ(ids(later.seen), (std::vector<std::string>{"after"}));
  EXPECT_EQ(ids(from_start.seen), (std::vector<std::string>{"before", "after"}));
  broker.reset();
}

TEST_F(BrokerTest, goes_on_at_the_cursor_after_detaching_and_forgets_it_when_removed) {
  broker->set_trigger("t", options, lent(subscriber)).value();
  publish(event("1")).value();
  settle();
  broker->detach_trigger("t");
  publish(event("2")).value();
  broker->set_trigger("t", options, lent(subscriber)).value();
  settle();
  EXPECT_EQ(ids(subscriber.seen), (std::vector<std::string>{"1", "2"}));
  world.run(broker->remove_trigger("t")).value();
  EXPECT_EQ(log->cursor("trigger/t"), std::nullopt);
  EXPECT_TRUE(broker->triggers().empty());
  publish(event("3")).value();
  broker->set_trigger("t", options, lent(subscriber)).value();
  settle();
  EXPECT_EQ(subscriber.seen.size(), 2u);
  broker.reset();
}

TEST_F(BrokerTest, an_update_decides_about_events_in_retry_and_their_attempts_stay_counted) {
  Subscriber replacement(world.env().timers);
  Subscriber new_letters(world.env().timers);
  subscriber.statuses = std::vector<int>(40, 500);
  subscriber.statuses[4] = 202;
  replacement.statuses = std::vector<int>(40, 500);
  options.filter = Filter::exact("type", "a").value();
  broker->set_trigger("t", options, lent(subscriber)).value();
  for (int i = 0; i < 10; ++i) publish(event(std::to_string(i), "a")).value();
  world.run_for(50ms);
  EXPECT_EQ(stats().in_progress, 9u);
  EXPECT_EQ(stats().waiting, 9u);
  TriggerOptions other = options;
  other.dead_letter = lent(new_letters);
  broker->set_trigger("t", other, lent(replacement)).value();
  settle();
  EXPECT_EQ(subscriber.seen.size(), 10u);
  EXPECT_EQ(replacement.seen.size(), 9 * 3u);
  EXPECT_TRUE(letters.seen.empty());
  EXPECT_EQ(new_letters.seen.size(), 9u);
  EXPECT_EQ(stats().delivered, 1u);
  EXPECT_EQ(stats().dead_lettered, 9u);
  EXPECT_EQ(stats().failures, 36u);
  EXPECT_EQ(stats().cursor, 10u);
  broker.reset();
}

TEST_F(BrokerTest, an_event_in_retry_that_a_new_filter_does_not_let_through_is_counted_and_gone) {
  subscriber.statuses = std::vector<int>(2, 500);
  broker->set_trigger("t", options, lent(subscriber)).value();
  publish(event("1", "a")).value();
  publish(event("2", "z")).value();
  world.run_for(50ms);
  TriggerOptions other = options;
  other.filter = Filter::exact("type", "z").value();
  broker->set_trigger("t", other, lent(subscriber)).value();
  settle();
  EXPECT_EQ(ids(subscriber.seen), (std::vector<std::string>{"1", "2", "2"}));
  EXPECT_EQ(stats().filtered, 1u);
  EXPECT_EQ(stats().delivered, 1u);
  EXPECT_TRUE(letters.seen.empty());
  broker.reset();
}

TEST_F(BrokerTest, a_held_trigger_makes_no_retries_either) {
  subscriber.statuses = {500};
  broker->set_trigger("t", options, lent(subscriber)).value();
  publish(event("1")).value();
  world.run_for(50ms);
  broker->hold_trigger("t").value();
  world.run_for(1h);
  EXPECT_EQ(subscriber.seen.size(), 1u);
  broker->set_trigger("t", options, lent(subscriber)).value();
  settle(1s);
  EXPECT_EQ(subscriber.seen.size(), 2u);
  broker.reset();
}

TEST_F(BrokerTest, events_that_hang_on_old_terms_do_not_hold_back_those_of_the_new_ones) {
  Subscriber replacement(world.env().timers);
  subscriber.takes = 24h;
  options.delivery.timeout = 48h;
  options.window = 5;
  broker->set_trigger("t", options, lent(subscriber)).value();
  for (int i = 0; i < 8; ++i) publish(event(std::to_string(i))).value();
  world.run_for(1s);
  EXPECT_EQ(subscriber.running, 5);
  broker->set_trigger("t", options, lent(replacement)).value();
  world.run_for(1s);
  EXPECT_EQ(ids(replacement.seen), (std::vector<std::string>{"5", "6", "7"}));
  EXPECT_EQ(stats().cursor, 0u);
  broker.reset();
}

TEST_F(BrokerTest, a_held_trigger_delivers_nothing_and_its_events_wait) {
  publish(event("before")).value();
  broker->hold_trigger("t").value();
  EXPECT_TRUE(stats().held);
  for (int i = 0; i < 3; ++i) publish(event(std::to_string(i))).value();
  world.run_for(1h);
  EXPECT_TRUE(subscriber.seen.empty());
  EXPECT_EQ(log->cursor("trigger/t"), 1u);
  EXPECT_EQ(stats().backlog, 3u);
  broker->set_trigger("t", options, lent(subscriber)).value();
  settle(1s);
  EXPECT_EQ(ids(subscriber.seen), (std::vector<std::string>{"0", "1", "2"}));
  broker->hold_trigger("t").value();
  publish(event("3")).value();
  world.run_for(1h);
  EXPECT_EQ(subscriber.seen.size(), 3u);
  Subscriber other(world.env().timers);
  broker->set_trigger("t", options, lent(other)).value();
  settle(1s);
  EXPECT_EQ(ids(other.seen), (std::vector<std::string>{"3"}));
  broker.reset();
}

TEST_F(BrokerTest, holding_stops_a_backlog_in_the_middle_and_nothing_of_it_is_lost_or_repeated) {
  Subscriber other(world.env().timers);
  subscriber.takes = 10ms;
  options.window = 3;
  options.begin = 0;
  for (int i = 0; i < 50; ++i) publish(event(std::to_string(i))).value();
  broker->set_trigger("t", options, lent(subscriber)).value();
  world.run_for(65ms);
  broker->hold_trigger("t").value();
  world.run_for(1h);
  const std::size_t seen = subscriber.seen.size();
  EXPECT_GT(seen, 3u);
  EXPECT_LT(seen, 50u);
  EXPECT_EQ(stats().cursor, seen);
  broker->set_trigger("t", options, lent(other)).value();
  settle();
  EXPECT_EQ(subscriber.seen.size(), seen);
  EXPECT_EQ(seen + other.seen.size(), 50u);
  broker.reset();
}

TEST_F(BrokerTest, events_that_retention_took_before_their_turn_are_counted) {
  MemoryLogOptions small;
  small.retention.bytes_max = 3000;
  small.retention.when_full = LogFullPolicy::drop_oldest;
  log = memory_log(world.env().timers, small);
  make_broker();
  broker->hold_trigger("t").value();
  for (int i = 0; i < 100; ++i) publish(event(std::to_string(i))).value();
  broker->set_trigger("t", options, lent(subscriber)).value();
  settle(1s);
  EXPECT_GT(stats().expired, 0u);
  EXPECT_EQ(stats().expired + stats().delivered, 100u);
  EXPECT_EQ(stats().dropped, 0u);
  broker.reset();
}

TEST_F(BrokerTest, every_failed_attempt_is_counted_and_logged_with_its_cause_within_a_rate) {
  std::vector<std::map<std::string, std::string>> lines;
  SimulationOptions quiet;
  quiet.log_sink = [&lines](const LogRecord& record) {
    std::map<std::string, std::string>& line = lines.emplace_back();
    line["message"] = record.message;
    for (const LogField& field : record.fields) line[std::string(field.key)] = field.value;
  };
  Simulation loud(3, quiet);
  Env& env = loud.env();
  Subscriber broken(env.timers);
  broken.statuses = std::vector<int>(2000, 500);
  broken.body = "out of order";
  const std::shared_ptr<Log> here = memory_log(env.timers);
  EventBroker made(env.executor, env.timers, here, env.logger, env.random.split("b"));
  options.dead_letter.reset();
  options.subscriber_uri = "http://broken.example/";
  made.set_trigger("t", options, lent(broken)).value();
  const CloudEvent one = event("one");
  loud.run(made.publish(one)).value();
  loud.run_for(1h);
  ASSERT_EQ(lines.size(), 5u);  // four attempts and the end
  EXPECT_EQ(lines[2]["trigger"], "t");
  EXPECT_EQ(lines[2]["event"], "one");
  EXPECT_EQ(lines[2]["attempt"], "3");
  EXPECT_EQ(lines[2]["status"], "500");
  EXPECT_EQ(lines[2]["cause"], "out of order");
  EXPECT_EQ(lines[2]["subscriber"], "http://broken.example/");
  EXPECT_EQ(lines[4]["cause"], "out of order");
  EXPECT_EQ(made.trigger_stats("t")->failures, 4u);
  lines.clear();
  for (int i = 0; i < 200; ++i) loud.run(made.publish(one)).value();
  loud.run_for(1h);
  loud.run(made.publish(one)).value();
  loud.run_for(1s);
  std::size_t said = 0;
  std::uint64_t unsaid = 0;
  for (const auto& line : lines) {
    if (!line.contains("attempt")) continue;
    ++said;
    unsaid += std::stoull(line.at("unsaid"));
  }
  EXPECT_LT(said, 60u);
  EXPECT_EQ(said + unsaid + 4, made.trigger_stats("t")->failures);
}

TEST_F(BrokerTest, the_cause_of_a_failure_is_valid_text_whatever_the_subscriber_answered) {
  make_broker();
  options.delivery.retry = 0;
  options.dead_letter.reset();
  broker->set_trigger("t", options, lent(subscriber)).value();
  const std::string long_one(199, 'a');
  for (const auto& [body, shown] :
       {std::pair(long_one + "\xc3\xa9", long_one),
        std::pair(std::string("no\xff"), std::string("no\xef\xbf\xbd"))}) {
    subscriber.statuses = {500};
    subscriber.body = body;
    publish(event("one")).value();
    settle(1s);
    EXPECT_EQ(stats().last_error, "500 " + shown);
  }
  broker.reset();
}

TEST_F(BrokerTest, ids_that_it_gives_never_repeat_across_restarts_with_the_same_chance) {
  std::set<std::string> given;
  options.begin = 0;
  for (int life = 0; life < 3; ++life) {
    make_broker();
    broker->set_trigger("t" + std::to_string(life), options, lent(subscriber)).value();
    for (int i = 0; i < 3; ++i) publish(CloudEvent("made", "/here")).value();
    settle(1s);
  }
  for (const CloudEvent& one : subscriber.seen) given.insert(one.id());
  EXPECT_EQ(given.size(), 9u);
  broker.reset();
}

TEST_F(BrokerTest, a_trigger_to_its_own_broker_ends_in_a_dead_letter_at_the_hop_limit) {
  BrokerOptions given;
  given.hops_max = 20;
  make_broker(given);
  options.filter = Filter::exact("type", "round").value();
  const auto itself = std::make_shared<BrokerSink>(
      std::shared_ptr<EventBroker>(std::shared_ptr<void>(), broker.get()));
  broker->set_trigger("t", options, itself).value();
  publish(event("1", "round")).value();
  settle();
  EXPECT_EQ(broker->stats().accepted, 20u);
  EXPECT_EQ(stats().delivered, 19u);
  EXPECT_EQ(stats().attempts - stats().dead_lettered, 20u);
  EXPECT_EQ(broker->stats().hops_exhausted, 1u);
  ASSERT_EQ(letters.seen.size(), 1u);
  EXPECT_EQ(letters.seen[0].id(), "1");
  EXPECT_EQ(letters.seen[0].attribute("knativeerrorcode"), "400");
  EXPECT_EQ(letters.seen[0].extension("knativebrokerttl"), nullptr);
  broker.reset();
}

TEST_F(BrokerTest, dead_letters_that_come_back_to_their_broker_come_to_an_end) {
  BrokerOptions given;
  given.hops_max = 20;
  make_broker(given);
  const auto itself = std::make_shared<BrokerSink>(
      std::shared_ptr<EventBroker>(std::shared_ptr<void>(), broker.get()));
  options.dead_letter = itself;
  subscriber.statuses = std::vector<int>(1000, 400);
  broker->set_trigger("t", options, lent(subscriber)).value();
  publish(event("1")).value();
  settle();
  EXPECT_LE(subscriber.seen.size(), 40u);
  EXPECT_EQ(stats().parked, 1u);
  EXPECT_EQ(stats().dead_lettered + 1, subscriber.seen.size());
  broker.reset();
}

TEST_F(BrokerTest, a_retired_broker_acknowledges_nothing_that_was_on_its_way) {
  // A log that takes its time, as one on a disk does.
  class SlowLog final : public Log {
   public:
    SlowLog(Timers& timers, std::unique_ptr<Log> inner)
        : timers_(timers), inner_(std::move(inner)) {}
    Task<Result<Offset>> append(std::string_view bytes) override {
      const std::string kept(bytes);
      co_await timers_.sleep_for(1s);
      co_return co_await inner_->append(kept);
    }
    Task<Result<std::vector<Record>>> read(Offset from, ReadLimits limits) override {
      return inner_->read(from, limits);
    }
    Task<void> wait_for(Offset offset) override { return inner_->wait_for(offset); }
    Task<Result<void>> commit(std::string cursor, Offset next) override {
      return inner_->commit(std::move(cursor), next);
    }
    Task<Result<void>> remove_cursor(std::string cursor) override {
      return inner_->remove_cursor(std::move(cursor));
    }
    Task<Result<void>> commit(LogChange change) override {
      return inner_->commit(std::move(change));
    }
    const LogNotes& notes() const noexcept override { return inner_->notes(); }
    std::optional<Offset> cursor(std::string_view name) const override {
      return inner_->cursor(name);
    }
    std::map<std::string, Offset, std::less<>> cursors() const override {
      return inner_->cursors();
    }
    Offset first() const noexcept override { return inner_->first(); }
    Offset end() const noexcept override { return inner_->end(); }
    Task<Result<Offset>> trim() override { return inner_->trim(); }
    Task<Result<void>> close() override { return inner_->close(); }
    LogStats stats() const override { return inner_->stats(); }
    Task<Result<void>> check() override { return inner_->check(); }

   private:
    Timers& timers_;
    std::unique_ptr<Log> inner_;
  };
  Env& env = world.env();
  for (const bool destroyed : {false, true}) {
    auto made = std::make_unique<EventBroker>(
        env.executor, env.timers, std::make_shared<SlowLog>(env.timers, memory_log(env.timers)),
        env.logger, env.random.split("b"));
    const CloudEvent one = event("1");
    std::optional<Result<Offset>> outcome;
    TaskSet publishers(env.executor);
    auto publish_one = [](Task<Result<Offset>> task,
                          std::optional<Result<Offset>>& into) -> Task<void> {
      into = co_await std::move(task);
    };
    publishers.add(publish_one(made->publish(one), outcome));
    world.run_for(500ms);
    destroyed ? made.reset() : made->retire();
    world.run_for(5s);
    ASSERT_TRUE(outcome);
    ASSERT_FALSE(*outcome);
    EXPECT_EQ(outcome->error().code, Errc::unavailable);
  }
  broker.reset();
}

TEST_F(BrokerTest, refuses_options_out_of_range) {
  const auto refused = [&](auto change) {
    TriggerOptions wrong = options;
    change(wrong);
    const Result<void> set = broker->set_trigger("t", wrong, lent(subscriber));
    return !set && set.error().code == Errc::invalid_argument;
  };
  EXPECT_TRUE(refused([](TriggerOptions& wrong) { wrong.window = 0; }));
  EXPECT_TRUE(refused([](TriggerOptions& wrong) { wrong.span_max = 5; }));
  EXPECT_TRUE(refused([](TriggerOptions& wrong) { wrong.undecided_max = 99; }));
  EXPECT_TRUE(refused([](TriggerOptions& wrong) { wrong.parked_max = 0; }));
  EXPECT_TRUE(refused([](TriggerOptions& wrong) { wrong.delivery.retry = -1; }));
  EXPECT_TRUE(refused([](TriggerOptions& wrong) { wrong.delivery.timeout = 0s; }));
  EXPECT_TRUE(refused([](TriggerOptions& wrong) { wrong.delivery.jitter = 2; }));
  broker.reset();
}

TEST_F(BrokerTest, stop_lets_attempts_finish_and_stores_cursors) {
  subscriber.takes = 2s;
  broker->set_trigger("t", options, lent(subscriber)).value();
  for (int i = 0; i < 3; ++i) publish(event(std::to_string(i))).value();
  world.run_for(1s);
  EXPECT_EQ(subscriber.running, 3);
  world.run(broker->stop(5s));
  EXPECT_EQ(subscriber.running, 0);
  EXPECT_EQ(log->cursor("trigger/t"), 3u);
  EXPECT_EQ(publish(event("late")).error().code, Errc::failed_precondition);
  EXPECT_EQ(broker->set_trigger("t", options, lent(subscriber)).error().code,
            Errc::failed_precondition);
  broker.reset();
}

TEST_F(BrokerTest, stop_does_not_wait_for_retries_and_keeps_their_events) {
  subscriber.statuses = {500, 500, 500, 500};
  options.delivery.delay = 1min;
  broker->set_trigger("t", options, lent(subscriber)).value();
  publish(event("1")).value();
  world.run_for(1s);
  const Instant before = world.now();
  world.run(broker->stop(5s));
  EXPECT_LT(world.now() - before, 1s);
  EXPECT_EQ(log->cursor("trigger/t"), 0u);
  subscriber.statuses.clear();
  make_broker();
  broker->set_trigger("t", options, lent(subscriber)).value();
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
  broker->set_trigger("t", options, lent(subscriber)).value();
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
  broker->set_trigger("t", options, lent(subscriber)).value();
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
      std::shared_ptr<Log> log = std::move(*opened);
      {
        EventBroker broker(env.executor, env.timers, log, env.logger, env.random.split("b"));
        broker.set_trigger("t", options, lent(*sink)).value();
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
        world.run_for(5ms + Duration(static_cast<std::int64_t>(chance.below(30'000'000))));
        producers.clear();
      }
      log.reset();
      world.crash(CrashMode::seeded);
    }
    std::shared_ptr<Log> log = *world.run(open_segment_log(env, "/log"));
    EventBroker broker(env.executor, env.timers, log, env.logger, env.random.split("b"));
    broker.set_trigger("t", options, lent(*sink)).value();
    world.run_for(1min);
    for (const std::string& id : accepted) {
      ASSERT_TRUE(delivered.contains(id)) << "lost " << id << ", seed " << seed;
    }
    EXPECT_GT(accepted.size(), 20u) << "seed " << seed;
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
  std::shared_ptr<Log> log = world.run(open_segment_log(env, "/log", small)).value();
  auto sink = make_sink([](const CloudEvent&) {});
  {
    EventBroker broker(env.executor, env.timers, log, env.logger, env.random.split("b"));
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
  EventBroker broker(env.executor, env.timers, log, env.logger, env.random.split("b"));
  TriggerOptions options;
  options.begin = 0;
  broker.set_trigger("t", options, lent(*sink)).value();
  world.run_for(1h);
  EXPECT_GE(complaints, 10);
  EXPECT_LE(complaints, 30);
  EXPECT_NE(broker.trigger_stats("t")->last_error.find("data_loss"), std::string::npos);
}

}  // namespace
}  // namespace knative
