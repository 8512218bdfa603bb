// What becomes of a Broker whose log fails while it runs, or is gone when it starts.
#include "platform/platform_fixture.hpp"

namespace knative {
namespace {

using namespace testing_platform;
using eventing::Broker;
using eventing::Channel;

class EventingLog : public PlatformFixture {
 protected:
  EventingLog() { begin_on_disk(); }
  void begin_on_disk() {
    PlatformOptions options;
    options.data_directory = "/data";
    begin(std::move(options));
    platform_->start().value();
    simulation_.run_for(5s);
  }
  std::string directory_of(const std::string& uid) { return "/data/events/" + uid; }
  Files& files() { return simulation_.env().files; }
  Errc send(const std::string& broker) {
    const CloudEvent ping("ping", "/test");
    const Result<Offset> sent = simulation_.run(platform_->publish(broker, ping));
    return sent ? Errc::internal : sent.error().code;
  }
  http::Response post(const std::string& broker) {
    CloudEvent ping("ping", "/test");
    ping.set_id("1");
    http::Request request = to_http(ping, ContentMode::binary, "/default/" + broker);
    request.headers.set("host", "broker-ingress.knative-eventing.svc.cluster.local");
    return simulation_.run(platform_->ingress().handle(request));
  }
  /// Lines of the log that say that a commit failed.
  std::size_t complaints() {
    const std::string trace = simulation_.trace().to_string();
    std::size_t count = 0;
    for (std::size_t at = 0; (at = trace.find("commit failed", at)) != trace.npos; ++at) ++count;
    return count;
  }
  static constexpr Errc taken = Errc::internal;  // what `send` gives for an event that was
};

TEST_F(EventingLog, a_broker_whose_log_fails_says_so_and_comes_back_when_it_works_again) {
  apply(eventing::broker("sick"));
  apply(eventing::broker("well"));
  ASSERT_EQ(state<Broker>("sick"), "True");
  const std::string uid = get<Broker>("sick").metadata.uid;
  files().rename(directory_of(uid), "/data/elsewhere").value();
  const std::size_t before = complaints();
  for (int i = 0; i < 20; ++i) {
    const http::Response refused = post("sick");
    EXPECT_EQ(refused.status, 503);
    EXPECT_EQ(refused.headers.get("retry-after"), "5");
    EXPECT_EQ(refused.body.bytes().find("/data"), std::string_view::npos);
    simulation_.run_for(100ms);
  }
  EXPECT_EQ(complaints(), before + 1) << "the same line is said once a minute";
  EXPECT_EQ(state<Broker>("sick"), "False LogFailed");
  EXPECT_NE(message<Broker>("sick").find(uid), std::string::npos) << message<Broker>("sick");
  EXPECT_EQ(state<Broker>("well"), "True");
  EXPECT_EQ(send("well"), taken);
  simulation_.run_for(1h);
  EXPECT_EQ(state<Broker>("sick"), "False LogFailed");

  files().rename("/data/elsewhere", directory_of(uid)).value();
  simulation_.run_for(10s);
  EXPECT_EQ(state<Broker>("sick"), "True") << "without anybody sending";
  EXPECT_EQ(send("sick"), taken);
}

TEST_F(EventingLog, a_full_disk_is_no_secret_of_the_broker) {
  Channel channel;
  channel.metadata.name = "orders";
  apply(channel);
  ASSERT_EQ(state<Channel>("orders"), "True");
  FaultPlan plan;
  plan.no_space = 1;
  simulation_.faults().set_plan(plan);
  EXPECT_EQ(send("orders"), Errc::resource_exhausted);
  simulation_.run_for(3s);
  EXPECT_EQ(state<Channel>("orders"), "False LogFailed");
  simulation_.faults().clear();
  simulation_.run_for(10s);
  EXPECT_EQ(state<Channel>("orders"), "True");
  EXPECT_EQ(send("orders"), taken);
}

TEST_F(EventingLog, a_log_that_is_gone_at_the_start_is_data_loss_of_that_broker_alone) {
  apply(eventing::broker("lost"));
  apply(eventing::broker("well"));
  ASSERT_EQ(send("lost"), taken);
  const std::string uid = get<Broker>("lost").metadata.uid;
  platform_.reset();
  files().remove_all(directory_of(uid)).value();
  for (int start = 0; start < 2; ++start) {
    begin_on_disk();
    EXPECT_EQ(state<Broker>("lost"), "False LogFailed");
    EXPECT_NE(message<Broker>("lost").find("missing"), std::string::npos)
        << message<Broker>("lost");
    EXPECT_EQ(send("lost"), Errc::unavailable);
    EXPECT_EQ(post("lost").status, 503);
    EXPECT_EQ(state<Broker>("well"), "True");
    EXPECT_EQ(send("well"), taken);
  }
  // Who gives up what was lost makes it anew.
  remove<Broker>("lost");
  apply(eventing::broker("lost"));
  EXPECT_EQ(state<Broker>("lost"), "True");
  EXPECT_EQ(send("lost"), taken);
}

TEST_F(EventingLog, the_logs_of_all_that_are_gone_at_the_start_are_missed) {
  Channel channel;
  channel.metadata.name = "orders";
  apply(channel);
  apply(eventing::broker("lost"));
  platform_.reset();
  files().remove_all("/data/events").value();
  begin_on_disk();
  EXPECT_EQ(state<Broker>("lost"), "False LogFailed");
  EXPECT_EQ(state<Channel>("orders"), "False LogFailed");
}

}  // namespace
}  // namespace knative
