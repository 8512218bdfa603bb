// The broker's HTTP side: its door, its paths, and sinks that speak HTTP.
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "knative/event_broker.hpp"
#include "knative/simulation.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;

CloudEvent sample() {
  CloudEvent event("test", "/tests", {{"n", 1}});
  event.set_id("1");
  return event;
}

class IngressTest : public testing::Test {
 protected:
  IngressTest() : log(memory_log(world.env().timers, small())) { make(BrokerOptions()); }
  static MemoryLogOptions small() {
    MemoryLogOptions options;
    options.retention.bytes_max = 20'000;
    return options;
  }
  void make(BrokerOptions options) {
    Env& env = world.env();
    options.event_bytes_max = 5000;
    broker.reset();
    broker = std::make_shared<EventBroker>(env.executor, env.timers, log, env.logger,
                                           env.random.split("b"), std::move(options));
    paths.add("default", "shop", broker);
  }
  http::Response send(http::Handler& to, http::Request request) {
    auto call = [](http::Handler& handler, http::Request& what) -> Task<http::Response> {
      co_return co_await handler.handle(what);
    };
    return world.run(call(to, request));
  }
  http::Response send(http::Request request) { return send(broker->ingress(), std::move(request)); }

  Simulation world{21};
  std::shared_ptr<Log> log;
  std::shared_ptr<EventBroker> broker;
  BrokerIngress paths;
};

TEST_F(IngressTest, accepts_both_modes_with_202) {
  EXPECT_EQ(send(to_http(sample())).status, 202);
  EXPECT_EQ(send(to_http(sample(), ContentMode::structured)).status, 202);
  EXPECT_EQ(log->end(), 2u);
}

TEST_F(IngressTest, answers_400_naming_the_attribute) {
  http::Request request = to_http(sample());
  request.headers.remove("ce-id");
  const http::Response response = send(std::move(request));
  EXPECT_EQ(response.status, 400);
  EXPECT_NE(response.body.bytes().find("id: missing"), std::string::npos);
  EXPECT_EQ(send(http::post("/", "{}", "application/json")).status, 400);
  CloudEvent tired = sample();
  tired.set_extension("knativebrokerttl", 0);
  EXPECT_EQ(send(to_http(tired)).status, 400);
  EXPECT_EQ(log->end(), 0u);
}

TEST_F(IngressTest, an_event_nested_too_deeply_is_the_senders_fault_and_not_tried_again) {
  const std::string deep = std::string(2000, '[') + std::string(2000, ']');
  const http::Response response = send(http::post(
      "/", R"({"specversion":"1.0","id":"1","source":"/s","type":"t","data":)" + deep + "}",
      "application/cloudevents+json"));
  EXPECT_EQ(response.status, 400);
  EXPECT_FALSE(response.headers.has("retry-after"));
}

TEST_F(IngressTest, answers_other_methods_sizes_and_formats) {
  const http::Response get = send(http::get("/"));
  EXPECT_EQ(get.status, 405);
  EXPECT_EQ(get.headers.get("allow"), "POST, OPTIONS");
  http::Request options = http::get("/");
  options.method = "OPTIONS";
  EXPECT_EQ(send(std::move(options)).status, 200);
  CloudEvent large = sample();
  large.set_data(EventData::text(std::string(5001, 'x')));
  EXPECT_EQ(send(to_http(large)).status, 413);
  EXPECT_EQ(send(http::post("/", "[]", "application/cloudevents-batch+json")).status, 415);
  EXPECT_EQ(send(http::post("/", "", "application/cloudevents+avro")).status, 415);
}

TEST_F(IngressTest, answers_503_with_retry_after_when_the_log_is_full_or_the_broker_stopped) {
  std::shared_ptr<Sink> sink = make_sink(
      [](const CloudEvent&) -> Result<Reply> { return fail(Errc::unavailable, "not now"); });
  TriggerOptions options;
  options.delivery.retry = 1000;
  broker->set_trigger("t", options, sink).value();
  CloudEvent event = sample();
  event.set_data(EventData::text(std::string(4000, 'x')));
  int status = 0;
  for (int i = 0; i < 10 && status != 503; ++i) {
    const http::Response response = send(to_http(event));
    status = response.status;
    if (status == 503) {
      EXPECT_EQ(response.headers.get("retry-after"), "5");
    }
  }
  EXPECT_EQ(status, 503);
  world.run(broker->stop());
  EXPECT_EQ(send(to_http(sample())).status, 503);
}

/// A body whose second half never comes.
class Drip final : public http::BodySource {
 public:
  explicit Drip(Wakeup& never) : never_(never) {}
  Task<Result<std::string_view>> next() override {
    if (std::exchange(begun_, true)) co_await never_.wait();
    co_return std::string_view("{\"n");
  }

 private:
  Wakeup& never_;
  bool begun_ = false;
};

TEST_F(IngressTest, a_post_that_is_half_read_when_its_broker_goes_is_answered_503) {
  for (const bool retired : {true, false}) {
    make(BrokerOptions());
    Wakeup never;
    std::optional<http::Response> answer;
    TaskSet requests(world.env().executor);
    auto post = [](http::Handler& to, Wakeup& body,
                   std::optional<http::Response>& into) -> Task<void> {
      http::Request request = to_http(sample(), ContentMode::binary, "/default/shop");
      request.body = http::Body(std::make_unique<Drip>(body));
      into = co_await to.handle(request);
    };
    requests.add(post(paths, never, answer));
    world.run_for(1s);
    EXPECT_FALSE(answer);
    paths.remove("default", "shop");
    if (retired) broker->retire();
    broker.reset();
    world.run_for(1s);
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, 503);
    EXPECT_EQ(log->end(), 0u);
  }
}

TEST_F(IngressTest, asks_whether_events_are_wanted_before_writing_them) {
  BrokerOptions options;
  bool wanted = true;
  options.admit = [&wanted]() -> Result<void> {
    if (wanted) return {};
    return fail(Errc::not_found, "no such broker");
  };
  make(options);
  EXPECT_EQ(send(to_http(sample())).status, 202);
  wanted = false;
  EXPECT_EQ(send(to_http(sample())).status, 404);
  EXPECT_EQ(log->end(), 1u);
}

TEST_F(IngressTest, leads_paths_to_brokers) {
  const auto status = [&](std::string_view path) {
    return send(paths, to_http(sample(), ContentMode::binary, path)).status;
  };
  EXPECT_EQ(status("/default/shop"), 202);
  EXPECT_EQ(status("/default/shop/"), 202);
  EXPECT_EQ(status("/default/shop?x=y"), 202);
  EXPECT_EQ(status("/default/none"), 404);
  EXPECT_EQ(status("/"), 404);
  EXPECT_EQ(status("/default"), 400);
  EXPECT_EQ(status("/default/shop/more"), 400);
  EXPECT_EQ(status("//shop"), 400);
  EXPECT_EQ(send(paths, http::get("/default/shop")).status, 405);
  paths.remove("default", "shop");
  EXPECT_EQ(status("/default/shop"), 404);
}

// --------------------------------------------------------------------------- HttpSink

class HttpSinkTest : public testing::Test {
 protected:
  DeliveryAttempt attempt(http::Response (*answer)(http::Request&), HttpSinkOptions options = {}) {
    auto handler = http::make_handler(answer);
    HttpSink sink(*handler, std::move(options));
    const CloudEvent event = sample();
    return world.run(sink.attempt(event));
  }
  Simulation world{22};
};

TEST_F(HttpSinkTest, posts_the_event_in_binary_mode_and_asks_for_a_reply) {
  HttpSinkOptions options;
  options.target = "/in";
  options.host = "subscriber.example";
  const DeliveryAttempt done = attempt(
      [](http::Request& request) {
        EXPECT_EQ(request.method, "POST");
        EXPECT_EQ(request.target, "/in");
        EXPECT_EQ(request.host(), "subscriber.example");
        EXPECT_EQ(request.headers.get("prefer"), "reply");
        EXPECT_EQ(from_http(request).value(), sample());
        return http::text("");
      },
      options);
  EXPECT_TRUE(done.ok());
  EXPECT_FALSE(done.reply);
}

TEST_F(HttpSinkTest, takes_an_event_in_a_200_as_the_reply_but_not_in_a_202) {
  const auto reply = [](http::Request&) { return to_http_response(CloudEvent(sample()), 200); };
  EXPECT_EQ(attempt(reply).reply.value(), sample());
  const auto accepted = [](http::Request&) { return to_http_response(sample(), 202); };
  const DeliveryAttempt done = attempt(accepted);
  EXPECT_TRUE(done.ok());
  EXPECT_FALSE(done.reply);
}

TEST_F(HttpSinkTest, decides_about_bodies_that_are_no_events_as_told) {
  const auto text = [](http::Request&) { return http::text("thanks"); };
  EXPECT_TRUE(attempt(text).ok());
  HttpSinkOptions strict;
  strict.non_event_reply = NonEventReply::fail;
  EXPECT_EQ(attempt(text, strict).status, 502);
  const auto empty = [](http::Request&) { return http::text(""); };
  EXPECT_TRUE(attempt(empty, strict).ok());
}

TEST_F(HttpSinkTest, fails_on_a_malformed_or_too_large_reply) {
  const auto malformed = [](http::Request&) {
    http::Response response = to_http_response(sample());
    response.headers.remove("ce-id");
    return response;
  };
  const DeliveryAttempt done = attempt(malformed);
  EXPECT_EQ(done.status, 502);
  EXPECT_NE(done.detail.find("id: missing"), std::string::npos);
  HttpSinkOptions small;
  small.reply_bytes_max = 3;
  EXPECT_EQ(attempt([](http::Request&) { return to_http_response(sample()); }, small).status, 502);
}

TEST_F(HttpSinkTest, reports_status_body_and_retry_after_of_a_failure) {
  const auto busy = [](http::Request&) { return http::unavailable("busy", 7s); };
  const DeliveryAttempt done = attempt(busy);
  EXPECT_EQ(done.status, 503);
  EXPECT_EQ(done.retry_after, 7s);
  EXPECT_NE(done.body.find("busy"), std::string::npos);
  const auto huge = [](http::Request&) { return http::text(std::string(1 << 20, 'x'), 500); };
  EXPECT_EQ(attempt(huge).body.size(), 64u * 1024);
}

}  // namespace
}  // namespace knative
