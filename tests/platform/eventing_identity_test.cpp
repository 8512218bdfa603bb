// The uid is the identity of Brokers, Triggers and their logs: what was made again under a name is
// another, across turns, restarts and power failures.
#include <algorithm>
#include <map>
#include <set>

#include "knative/core.hpp"
#include "platform/platform_fixture.hpp"

namespace knative {
namespace {

using namespace testing_platform;
using eventing::Broker;
using eventing::Channel;
using eventing::Trigger;

class EventingIdentity : public PlatformFixture {
 protected:
  EventingIdentity() {
    for (const std::string name : {"one", "two"}) {
      functions_.http(name, [this, name](http::Request& request) {
        seen_[name].emplace_back(request.headers.get("ce-id").value_or(""));
        return http::Response{.status = status_};
      });
    }
  }
  void begin_on_disk() {
    PlatformOptions options;
    options.data_directory = "/data";
    begin(std::move(options));
  }
  void stop() { simulation_.run(platform_->stop()); }
  ObjectRef put(const AnyObject& object) { return platform_->apply(object).value(); }
  std::string uid(const std::string& broker) { return get<Broker>(broker).metadata.uid; }
  static CloudEvent event(const std::string& id) {
    CloudEvent made("ping", "/test");
    made.set_id(id);
    return made;
  }
  Result<Offset> send(const std::string& id, const std::string& to = "default") {
    const CloudEvent one = event(id);
    return simulation_.run(platform_->publish(to, one));
  }
  static Trigger to_function(const std::string& name) {
    Trigger made = eventing::trigger("t", "default", "");
    made.spec.subscriber = to<serving::Service>(name);
    return made;
  }
  /// Of the Broker's log, once the platform has stopped.
  std::size_t cursors() {
    const std::string directory = "/data/events/" + uid("default");
    stop();
    platform_.reset();
    const std::unique_ptr<Log> log =
        simulation_.run(open_segment_log(simulation_.env(), directory)).value();
    return log->cursors().size();
  }
  std::size_t logs() {
    std::size_t count = 0;
    const auto there = simulation_.env().files.list("/data/events");
    if (!there) return 0;
    for (const FileInfo& entry : *there) count += entry.type == FileType::directory ? 1 : 0;
    return count;
  }

  int status_ = 202;
  std::map<std::string, std::vector<std::string>> seen_;
};

TEST_F(EventingIdentity, a_broker_that_is_removed_and_applied_in_one_turn_has_a_new_empty_log) {
  begin_on_disk();
  apply(eventing::broker("default"));
  EXPECT_EQ(send("1").value(), 0u);
  EXPECT_EQ(send("2").value(), 1u);
  const std::string before = uid("default");
  platform_->remove(platform_->ref<Broker>("default")).value();
  put(eventing::broker("default"));
  EXPECT_NE(uid("default"), before);
  EXPECT_EQ(send("3").value(), 0u);
  simulation_.run_for(5s);
  EXPECT_EQ(logs(), 1u);
}

TEST_F(EventingIdentity, a_new_broker_does_not_deliver_the_backlog_of_the_old_one) {
  apply(serving::service("one", "fn:one"));
  apply(eventing::broker("default"));
  apply(to_function("one"));
  send("old").value();
  platform_->remove(platform_->ref<Broker>("default")).value();
  put(eventing::broker("default"));
  send("new").value();
  simulation_.run_for(1min);
  // The old one may be under way when its Broker goes, but it is nothing of the new log.
  EXPECT_EQ(std::count(seen_["one"].begin(), seen_["one"].end(), "new"), 1);
  EXPECT_LE(seen_["one"].size(), 2u);
}

TEST_F(EventingIdentity, an_event_sent_in_the_turn_after_its_broker_was_removed_is_refused) {
  apply(eventing::broker("default"));
  platform_->remove(platform_->ref<Broker>("default")).value();
  const Result<Offset> refused = send("late");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::not_found);
  apply(eventing::broker("default"));
  platform_->remove(platform_->ref<Broker>("default")).value();
  http::Request request = to_http(event("later"), ContentMode::binary, "/default/default");
  request.headers.set("host", "127.0.0.1");
  auto call = [](http::Handler& handler, http::Request& what) -> Task<http::Response> {
    co_return co_await handler.handle(what);
  };
  EXPECT_EQ(simulation_.run(call(platform_->ingress(), request)).status, 404);
}

TEST_F(EventingIdentity, ids_of_events_never_repeat_when_a_broker_is_made_again) {
  functions_.http("ids", [this](http::Request& request) {
    seen_["ids"].emplace_back(request.headers.get("ce-id").value_or(""));
    return http::Response{.status = 202};
  });
  apply(serving::service("ids", "fn:ids"));
  for (int life = 0; life < 3; ++life) {
    apply(eventing::broker("default"));
    apply(to_function("ids"));
    publish("default");
    publish("default");
    remove<Broker>("default");
  }
  const std::set<std::string> all(seen_["ids"].begin(), seen_["ids"].end());
  EXPECT_EQ(all.size(), 6u);
}

TEST_F(EventingIdentity, ids_of_events_never_repeat_after_a_restart) {
  functions_.http("ids", [this](http::Request& request) {
    seen_["ids"].emplace_back(request.headers.get("ce-id").value_or(""));
    return http::Response{.status = 202};
  });
  begin_on_disk();
  apply(serving::service("ids", "fn:ids"));
  apply(eventing::broker("default"));
  apply(to_function("ids"));
  for (int start = 0; start < 3; ++start) {
    publish("default");
    publish("default");
    // Numbers that were given to events that were refused do not count as used.
    FaultPlan plan;
    plan.no_space = 1;
    simulation_.faults().set_plan(plan);
    const CloudEvent ping("ping", "/test");
    for (int i = 0; i < 2; ++i) {
      EXPECT_FALSE(simulation_.run(platform_->publish("default", ping)));
    }
    simulation_.faults().clear();
    simulation_.run_for(10s);
    stop();
    platform_.reset();
    begin_on_disk();
    platform_->start().value();
    simulation_.run_for(10s);
  }
  const std::set<std::string> all(seen_["ids"].begin(), seen_["ids"].end());
  EXPECT_EQ(all.size(), seen_["ids"].size());
  EXPECT_GE(all.size(), 6u);
}

TEST_F(EventingIdentity, a_broker_that_went_when_the_platform_stopped_leaves_no_log_behind) {
  begin_on_disk();
  apply(eventing::broker("default"));
  apply(eventing::broker("other"));
  send("1").value();
  platform_->remove(platform_->ref<Broker>("default")).value();
  stop();
  begin_on_disk();
  put(eventing::broker("default"));
  EXPECT_EQ(send("2").value(), 0u);
  simulation_.run_for(5s);
  EXPECT_EQ(logs(), 2u);
}

TEST_F(EventingIdentity, what_no_broker_owns_is_swept_after_a_power_failure) {
  for (const Duration later : {Duration(0), Duration(2s), Duration(20s)}) {
    begin_on_disk();
    apply(eventing::broker("default"));
    send("1").value();
    platform_->remove(platform_->ref<Broker>("default")).value();
    simulation_.run(platform_->store().durable()).value();
    simulation_.run_for(later);
    simulation_.power_off();
    platform_.reset();
    simulation_.faults().clear();
    simulation_.crash(CrashMode::seeded);
    begin_on_disk();
    ASSERT_TRUE(platform_->start());
    simulation_.run_for(5s);
    EXPECT_EQ(logs(), 0u);
    platform_.reset();
  }
}

// No reconciler of this process has seen it: what an earlier one kept goes all the same.
TEST_F(EventingIdentity, a_broker_or_channel_that_is_removed_right_after_a_start_leaves_no_log) {
  for (const bool again : {false, true}) {
    begin_on_disk();
    apply(eventing::broker("default"));
    eventing::Channel channel;
    channel.metadata.name = "c";
    apply(channel);
    EXPECT_EQ(logs(), 2u);
    begin_on_disk();
    ASSERT_TRUE(platform_->start());
    platform_->remove(platform_->ref<Broker>("default")).value();
    platform_->remove(platform_->ref<Channel>("c")).value();
    if (again) put(eventing::broker("default"));
    simulation_.run_for(5s);
    EXPECT_EQ(logs(), again ? 1u : 0u);
    if (again) remove<Broker>("default");
  }
  EXPECT_EQ(logs(), 0u);
}

TEST_F(EventingIdentity, a_trigger_that_goes_before_its_first_step_leaves_no_cursor) {
  begin_on_disk();
  apply(serving::service("one", "fn:one"));
  apply(eventing::broker("default"));
  for (const bool again : {false, true}) {
    put(to_function("one"));
    auto publish = [](Platform& platform, CloudEvent one) -> Task<void> {
      const Result<Offset> taken = co_await platform.publish("default", one);
      EXPECT_TRUE(taken) << taken.error().to_string();
    };
    TaskSet publishing(simulation_.env().executor);
    publishing.add(publish(*platform_, event("1")));
    simulation_.step();  // it is taken note of
    platform_->remove(platform_->ref<Trigger>("t")).value();
    if (again) put(to_function("one"));
    simulation_.run_for(5s);
  }
  EXPECT_EQ(cursors(), 1u);
}

TEST_F(EventingIdentity, a_directory_that_is_no_log_of_ours_is_left_alone) {
  begin_on_disk();
  Files& files = simulation_.env().files;
  ASSERT_TRUE(files.make_directories("/data/events/of-somebody-else"));
  ASSERT_TRUE(platform_->start());
  simulation_.run_for(5s);
  EXPECT_TRUE(files.info("/data/events/of-somebody-else"));
}

TEST_F(EventingIdentity, a_cursor_whose_trigger_went_with_a_crash_does_not_keep_the_log) {
  begin_on_disk();
  apply(serving::service("one", "fn:one"));
  apply(eventing::broker("default"));
  apply(to_function("one"));
  send("1").value();
  simulation_.run_for(5s);
  platform_->remove(platform_->ref<Trigger>("t")).value();
  simulation_.run(platform_->store().durable()).value();
  simulation_.power_off();
  platform_.reset();
  simulation_.crash(CrashMode::seeded);
  begin_on_disk();
  ASSERT_TRUE(platform_->start());
  simulation_.run_for(5s);
  EXPECT_EQ(cursors(), 0u);
}

TEST_F(EventingIdentity, a_removed_broker_accepts_nothing_after_the_watch_had_to_list_again) {
  apply(eventing::broker("default"));
  platform_->remove(platform_->ref<Broker>("default")).value();
  core::ConfigMap filler;
  for (int i = 0; i < 9000; ++i) {
    filler.metadata.name = "filler-" + std::to_string(i);
    put(filler);
  }
  simulation_.run_for(5s);
  EXPECT_EQ(send("1").error().code, Errc::not_found);
  put(eventing::broker("default"));
  for (int i = 0; i < 9000; ++i) {
    filler.metadata.name = "filler-" + std::to_string(i);
    filler.data["x"] = "y";
    put(filler);
  }
  simulation_.run_for(5s);
  EXPECT_EQ(send("2").value(), 0u);
}

// ---------------------------------------------------------------------------- cursors

TEST_F(EventingIdentity, events_accepted_before_the_subscriber_came_are_delivered_to_it) {
  put(eventing::broker("default"));
  put(to_function("one"));
  for (int i = 0; i < 5; ++i) send(std::to_string(i)).value();
  simulation_.run_for(1h);
  EXPECT_TRUE(seen_["one"].empty());
  apply(serving::service("one", "fn:one"));
  EXPECT_EQ(sorted(seen_["one"]), (Ids{"0", "1", "2", "3", "4"}));
}

TEST_F(EventingIdentity, they_are_also_after_a_restart_and_a_power_failure) {
  for (const bool orderly : {true, false}) {
    seen_.clear();
    begin_on_disk();
    put(eventing::broker("default"));
    put(to_function("one"));
    for (int i = 0; i < 5; ++i) send(std::to_string(i)).value();
    simulation_.run(platform_->store().durable()).value();
    if (orderly) {
      stop();
    } else {
      simulation_.power_off();
    }
    platform_.reset();
    simulation_.faults().clear();
    if (!orderly) simulation_.crash(CrashMode::seeded);
    begin_on_disk();
    apply(serving::service("one", "fn:one"));
    simulation_.run_for(1min);
    EXPECT_EQ(sorted(seen_["one"]), (Ids{"0", "1", "2", "3", "4"})) << orderly;
    remove<serving::Service>("one");
    remove<Trigger>("t");
    remove<Broker>("default");
    platform_.reset();
  }
}

TEST_F(EventingIdentity, a_trigger_gets_what_is_accepted_in_the_turn_in_which_it_was_applied) {
  apply(serving::service("one", "fn:one"));
  apply(eventing::broker("default"));
  send("before").value();
  put(to_function("one"));
  send("after").value();
  simulation_.run_for(1min);
  EXPECT_EQ(seen_["one"], (Ids{"after"}));
}

TEST_F(EventingIdentity, a_trigger_that_is_made_again_is_another) {
  apply(serving::service("one", "fn:one"));
  apply(serving::service("two", "fn:two"));
  apply(eventing::broker("default"));
  apply(to_function("one"));
  send("1").value();
  simulation_.run_for(1s);
  platform_->remove(platform_->ref<Trigger>("t")).value();
  send("between").value();
  put(to_function("two"));
  send("2").value();
  simulation_.run_for(1min);
  EXPECT_EQ(seen_["one"], (Ids{"1"}));
  EXPECT_EQ(seen_["two"], (Ids{"2"}));
}

// ---------------------------------------------------------------------------- readiness

TEST_F(EventingIdentity, a_broker_whose_log_failed_in_this_start_is_not_ready) {
  begin_on_disk();
  apply(eventing::broker("default"));
  apply(eventing::broker("unharmed"));
  send("1").value();
  const std::string directory = "/data/events/" + uid("default");
  stop();
  platform_.reset();
  Files& files = simulation_.env().files;
  for (const FileInfo& file : files.list(directory).value()) {
    ASSERT_TRUE(files.remove(directory + "/" + file.name));
    ASSERT_TRUE(files.make_directories(directory + "/" + file.name));
  }
  begin_on_disk();
  ASSERT_TRUE(platform_->start());
  const Result<void> ready = simulation_.run(platform_->ready(platform_->ref<Broker>("default")));
  ASSERT_FALSE(ready);
  EXPECT_NE(ready.error().detail.find("LogFailed"), std::string::npos) << ready.error().detail;
  EXPECT_TRUE(simulation_.run(platform_->ready(platform_->ref<Broker>("unharmed"))));
  EXPECT_EQ(send("2").error().code, Errc::unavailable);
  EXPECT_EQ(send("3", "unharmed").value(), 0u);
}

TEST_F(EventingIdentity, publishing_waits_for_nothing_that_was_applied_elsewhere) {
  apply(serving::service("one", "fn:one"));
  apply(eventing::broker("default"));
  apply(to_function("one"));
  const auto time_to_publish = [this] {
    const Instant before = simulation_.now();
    send("x").value();
    return simulation_.now() - before;
  };
  const Duration alone = time_to_publish();
  for (int i = 0; i < 400; ++i) {
    put(serving::service("unrelated-" + std::to_string(i), "fn:two"));
  }
  EXPECT_EQ(time_to_publish(), alone);
}

}  // namespace
}  // namespace knative
