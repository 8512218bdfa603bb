// What a platform could not deliver: the faces of the parking lot.
#include "platform/platform_fixture.hpp"

namespace knative {
namespace {

using namespace testing_platform;
using eventing::Trigger;

class EventingParking : public PlatformFixture {
 protected:
  EventingParking() {
    functions_.http("picky", [this](http::Request& request) {
      seen_.emplace_back(request.headers.get("ce-id").value_or(""));
      return http::Response{.status = healed_ ? 202 : 503};
    });
    begin_on_disk();
    apply(serving::service("picky", "fn:picky"));
    apply(eventing::broker("default"));
    apply(trigger("t"));
  }
  void begin_on_disk() {
    PlatformOptions options;
    options.data_directory = "/data";
    begin(std::move(options));
    platform_->start().value();
    simulation_.run_for(5s);
  }
  static Trigger trigger(const std::string& name) {
    Trigger made = eventing::trigger(name, "default", "");
    made.spec.subscriber = to<serving::Service>("picky");
    made.spec.delivery = eventing::DeliverySpec{};
    made.spec.delivery->retry = 2;
    made.spec.delivery->backoff_policy = "linear";
    made.spec.delivery->backoff_delay = "PT1S";
    return made;
  }
  void send(const std::string& id) {
    CloudEvent event("ping", "/test");
    event.set_id(id);
    simulation_.run(platform_->publish("default", event)).value();
  }
  http::Response ask(const std::string& method, const std::string& target,
                     const std::string& peer = "127.0.0.1:4711", std::string body = {}) {
    http::Request request = http::get("/-/parked/" + target);
    request.body = http::Body(std::move(body));
    request.method = method;
    request.peer = peer;
    request.headers.set("host", "127.0.0.1");
    if (method == "POST") request.headers.set("content-type", "application/json");
    return simulation_.run(platform_->ingress().handle(request));
  }
  std::vector<ParkedEvent> parked(ParkedSelection selection = {}) {
    return platform_->parked("default", std::move(selection)).value();
  }

  Ids seen_;
  bool healed_ = false;
};

TEST_F(EventingParking, attempts_are_exact_however_often_the_platform_is_restarted) {
  send("poison");
  for (int life = 0; life < 10; ++life) {
    simulation_.run_for(700ms);
    if (life % 2 == 0) simulation_.run(platform_->stop());
    platform_.reset();
    begin_on_disk();
  }
  EXPECT_EQ(seen_, (Ids{"poison", "poison", "poison"}));
  EXPECT_EQ(parked().size(), 1u);
}

TEST_F(EventingParking, parked_events_are_listed_by_the_name_of_their_trigger_and_redriven) {
  apply(trigger("other"));
  simulation_.run_for(1s);
  send("poison");
  simulation_.run_for(1min);
  ASSERT_EQ(parked().size(), 2u);
  const std::vector<ParkedEvent> found = parked({.trigger = "t"});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].trigger, "t");
  EXPECT_EQ(found[0].attempts, 3);
  EXPECT_EQ(found[0].status, 503);
  EXPECT_EQ(found[0].event.id(), "poison");
  const Result<std::vector<ParkedEvent>> absent = platform_->parked("default", {.trigger = "no"});
  EXPECT_EQ(absent.error().code, Errc::not_found);
  EXPECT_EQ(platform_->parked("nobody").error().code, Errc::not_found);
  healed_ = true;
  EXPECT_EQ(simulation_.run(platform_->redrive("default", {.trigger = "t"})).value(), 1u);
  simulation_.run_for(1min);
  EXPECT_EQ(seen_.size(), 7u);
  EXPECT_EQ(simulation_.run(platform_->discard("default", {.id = "poison"})).value(), 1u);
  EXPECT_TRUE(parked().empty());
}

TEST_F(EventingParking, a_removed_trigger_takes_its_parked_events_along) {
  send("poison");
  simulation_.run_for(1min);
  ASSERT_EQ(parked().size(), 1u);
  remove<Trigger>("t");
  simulation_.run_for(1min);
  EXPECT_TRUE(parked().empty());
  EXPECT_NE(platform_->metrics_text().find("removed_events_total{broker_name=\"default\","
                                           "namespace_name=\"default\",state=\"parked\"} 1"),
            std::string::npos);
  apply(trigger("t"));
  simulation_.run_for(1min);
  EXPECT_EQ(seen_.size(), 3u);
}

TEST_F(EventingParking, people_at_this_machine_ask_over_http) {
  send("poison");
  simulation_.run_for(1min);
  const http::Response listed = ask("GET", "default/default?trigger=t&count=5");
  EXPECT_EQ(listed.status, 200);
  const Value all = Value::parse_json(listed.body.bytes()).value();
  ASSERT_EQ(all.as_list().size(), 1u);
  EXPECT_EQ(*all.as_list()[0].at_path("event.id"), Value("poison"));
  EXPECT_EQ(*all.as_list()[0].at_path("trigger"), Value("t"));
  EXPECT_EQ(*all.as_list()[0].at_path("attempts"), Value(3));
  EXPECT_EQ(ask("GET", "default/default?offset=x").status, 400);
  EXPECT_EQ(ask("GET", "default/default?id=other").body.bytes(), "[]");
  EXPECT_EQ(ask("GET", "default/absent").status, 404);
  EXPECT_EQ(ask("GET", "default").status, 404);
  EXPECT_EQ(ask("POST", "default/default").status, 405);
  EXPECT_EQ(ask("GET", "default/default/redrive").status, 405);
  EXPECT_EQ(ask("GET", "default/default", "10.0.0.7:4711").status, 403);
  EXPECT_EQ(ask("POST", "default/default/discard", "10.0.0.7:4711").status, 403);
  EXPECT_EQ(ask("POST", "default/default/discard", "").status, 403) << "an event is no person";
  healed_ = true;
  EXPECT_EQ(ask("POST", "default/default/redrive?id=poison").body.bytes(), "{\"count\":1}");
  simulation_.run_for(1min);
  EXPECT_EQ(seen_.size(), 4u);
  EXPECT_EQ(ask("POST", "default/default/discard?all=true").body.bytes(), "{\"count\":0}");
}

// A name that is misspelt, or whose value did not come along, would choose everything.
TEST_F(EventingParking, what_does_not_choose_is_refused_and_throws_nothing_away) {
  send("poison");
  simulation_.run_for(1min);
  ASSERT_EQ(parked().size(), 1u);
  const std::string discard = "default/default/discard";
  for (const char* wrong :
       {"", "?triger=t", "?id=", "?id", "?offset=", "?id=a&id=b", "?all=false",
        "?all=", "?kind=Trigger&id=poison", "?count=1&id=poison", "?&id=poison"}) {
    EXPECT_EQ(ask("POST", discard + wrong).status, 400) << wrong;
  }
  EXPECT_EQ(ask("POST", discard + "?all=true", "127.0.0.1:4711", "{\"id\":\"other\"}").status, 400);
  EXPECT_EQ(ask("GET", "default/default?bogus=1").status, 400);
  EXPECT_EQ(ask("GET", "default/default?offset=1&offset=2").status, 400);
  EXPECT_EQ(parked().size(), 1u);
  EXPECT_EQ(ask("POST", discard + "?kind=Broker&id=poison").body.bytes(), "{\"count\":1}");
}

TEST_F(EventingParking, a_channel_of_the_brokers_name_is_asked_for_by_its_kind) {
  send("poison");
  simulation_.run_for(1min);
  eventing::Channel channel;
  channel.metadata.name = "default";
  channel.metadata.namespace_ = "default";
  apply(channel);
  simulation_.run_for(1min);
  EXPECT_EQ(platform_->parked("default").error().code, Errc::failed_precondition);
  EXPECT_EQ(ask("GET", "default/default").status, http::status_of(Errc::failed_precondition));
  EXPECT_EQ(platform_->parked("Broker/default/default").value().size(), 1u);
  EXPECT_TRUE(platform_->parked("Channel/default/default").value().empty());
  EXPECT_EQ(ask("GET", "default/default?kind=Channel").body.bytes(), "[]");
}

}  // namespace
}  // namespace knative
