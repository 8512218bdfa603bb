#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "knative/router.hpp"
#include "knative/simulation.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;

struct RecordedDemand final : Demand {
  void wanted(std::string_view revision) override { revisions.emplace_back(revision); }
  std::vector<std::string> revisions;
};

/// Answers after a while and knows how many were inside at once.
struct Backend final : http::Handler {
  Backend(Timers& t, std::string n, Duration d = Duration{0})
      : timers(t), name(std::move(n)), delay(d) {}
  Task<http::Response> handle(http::Request& request) override {
    ++inside;
    most = std::max(most, inside);
    ++served;
    last = request.headers;
    struct Leave {
      int& inside;
      ~Leave() { --inside; }
    } leave{inside};
    if (throws) throw std::runtime_error("oops");
    if (delay.count() > 0) co_await timers.sleep_for(delay);
    if (streamed) {
      http::Response response;
      response.body = http::Body(std::move(streamed));
      co_return response;
    }
    co_return http::text(name);
  }
  Timers& timers;
  std::string name;
  Duration delay;
  bool throws = false;
  std::unique_ptr<http::BodySource> streamed;
  int inside = 0;
  int most = 0;
  int served = 0;
  http::Headers last;
};

/// Pieces with pauses.
struct SlowBody final : http::BodySource {
  SlowBody(Timers& t, int n, Duration p, bool& g) : timers(t), left(n), pause(p), gone(g) {}
  ~SlowBody() override { gone = true; }
  Task<Result<std::string_view>> next() override {
    co_await timers.sleep_for(pause);
    if (left-- == 0) co_return std::string_view();
    co_return std::string_view("piece");
  }
  Timers& timers;
  int left;
  Duration pause;
  bool& gone;
};

/// An endpoint that the test owns and keeps.
std::shared_ptr<http::Handler> borrowed(http::Handler& handler) {
  return std::shared_ptr<http::Handler>(std::shared_ptr<http::Handler>(), &handler);
}

struct Call {
  explicit Call(Executor& executor) : tasks(executor) {}
  http::Request request;
  std::optional<http::Response> response;
  TaskSet tasks;
};

Task<void> perform(http::Handler& handler, Call& call) {
  http::Response response = co_await handler.handle(call.request);
  call.response.emplace(std::move(response));
}

class RouterTest : public testing::Test {
 protected:
  RouterTest()
      : timers(sim.env().timers),
        activator(timers, sim.env().random, demand),
        router(activator, sim.env().random) {}

  void route(std::vector<RouteRule> rules) {
    router.set_table(RouteTable::make(std::move(rules)).value());
  }
  void route_all_to(const std::string& revision) {
    route({{.name = "r", .hosts = {"r.local"}, .targets = {{revision, 100}}}});
  }
  std::unique_ptr<Call> start(std::string host = "r.local") {
    auto call = std::make_unique<Call>(sim.env().executor);
    call->request.headers.set("Host", host);
    call->tasks.add(perform(router, *call));
    return call;
  }
  http::Response fetch(std::string host = "r.local", Duration within = 1ms) {
    auto call = start(std::move(host));
    sim.run_for(within);
    EXPECT_TRUE(call->response.has_value());
    return call->response ? std::move(*call->response) : http::Response{.status = 0};
  }

  Simulation sim{7};
  Timers& timers;
  RecordedDemand demand;
  Activator activator;
  Router router;
};

TEST_F(RouterTest, SendsARequestToItsRevision) {
  Backend backend(timers, "one");
  activator.add({.revision = "r-1"})->add_endpoint(borrowed(backend));
  route_all_to("r-1");
  EXPECT_EQ(fetch().body.bytes(), "one");
  EXPECT_EQ(fetch("R.LOCAL:8080").body.bytes(), "one");
  EXPECT_EQ(fetch("r.local.").body.bytes(), "one");
  EXPECT_EQ(activator.find("r-1")->counters().completed, 3U);
}

TEST_F(RouterTest, NamesAnUnknownHost) {
  const http::Response response = fetch("nobody.local:80");
  EXPECT_EQ(response.status, 404);
  EXPECT_NE(response.body.bytes().find("nobody.local"), std::string::npos);
  route_all_to("r-1");
  EXPECT_EQ(fetch("nobody.local").status, 404);
  EXPECT_EQ(fetch().status, 404);  // the revision does not exist
}

TEST_F(RouterTest, SplitsByPercentExactly) {
  Backend one(timers, "one");
  Backend two(timers, "two");
  activator.add({.revision = "r-1"})->add_endpoint(borrowed(one));
  activator.add({.revision = "r-2"})->add_endpoint(borrowed(two));
  const RouteRule rule{.name = "r", .hosts = {"r.local"}, .targets = {{"r-1", 90}, {"r-2", 10}}};
  route({rule});
  for (int i = 0; i < 105; ++i) {
    fetch();
    // An unrelated change of the table does not disturb the sequence.
    if (i % 7 == 0) {
      route({{.name = "x", .hosts = {"x.local"}, .targets = {{"r-1", 100}}}, rule});
    }
  }
  EXPECT_NEAR(two.served, 10.5, 0.6);
}

TEST_F(RouterTest, TagHostsAndTheTagHeader) {
  Backend one(timers, "one");
  Backend two(timers, "two");
  activator.add({.revision = "r-1"})->add_endpoint(borrowed(one));
  activator.add({.revision = "r-2"})->add_endpoint(borrowed(two));
  const RouteRule rule{.name = "r",
                       .hosts = {"r.local"},
                       .targets = {{"r-1", 100}},
                       .tags = {{"next", "r-2", {"next-r.local"}}}};
  route({rule});
  EXPECT_EQ(fetch("next-r.local").body.bytes(), "two");
  Router by_header(activator, sim.env().random, {.tag_header_routing = true});
  by_header.set_table(RouteTable::make({rule}).value());
  Call call(sim.env().executor);
  call.request.headers.set("Host", "r.local");
  call.request.headers.set("Knative-Serving-Tag", "next");
  call.tasks.add(perform(by_header, call));
  sim.run_for(1ms);
  EXPECT_EQ(call.response->body.bytes(), "two");
  Call wrong(sim.env().executor);
  wrong.request.headers.set("Host", "r.local");
  wrong.request.headers.set("Knative-Serving-Tag", "nothing");
  wrong.tasks.add(perform(by_header, wrong));
  sim.run_for(1ms);
  EXPECT_EQ(wrong.response->body.bytes(), "one");
  EXPECT_EQ(one.last.get("Knative-Serving-Default-Route"), "true");
}

TEST_F(RouterTest, RemovesInternalHeadersAndAddsForwarded) {
  Backend backend(timers, "one");
  activator.add({.revision = "r-1"})->add_endpoint(borrowed(backend));
  route_all_to("r-1");
  Call call(sim.env().executor);
  call.request.headers = {{"Host", "r.local:8080"},
                          {"k-original-host", "evil"},
                          {"Knative-Serving-Revision", "other"},
                          {"X-Forwarded-For", "1.1.1.1"},
                          {"Accept", "*/*"}};
  call.request.peer = "[::1]:4242";
  call.tasks.add(perform(router, call));
  sim.run_for(1ms);
  EXPECT_FALSE(backend.last.has("K-Original-Host"));
  EXPECT_FALSE(backend.last.has("Knative-Serving-Revision"));
  EXPECT_EQ(backend.last.get("Host"), "r.local:8080");
  EXPECT_EQ(backend.last.get("Accept"), "*/*");
  EXPECT_EQ(backend.last.get("X-Forwarded-For"), "1.1.1.1, ::1");
  EXPECT_EQ(backend.last.get("X-Forwarded-Proto"), "http");
  EXPECT_EQ(backend.last.get("X-Forwarded-Host"), "r.local:8080");
  EXPECT_EQ(backend.last.get("Forwarded"),
            "for=1.1.1.1;host=r.local:8080;proto=http, for=\"[::1]\"");
}

TEST_F(RouterTest, AddsForwardedToRequestsThatCameStraightFromAClient) {
  Backend backend(timers, "one");
  activator.add({.revision = "r-1"})->add_endpoint(borrowed(backend));
  route_all_to("r-1");
  Call call(sim.env().executor);
  call.request.headers = {{"Host", "r.local:8080"}, {"X-Forwarding", "no"}};
  call.request.peer = "10.0.0.1:4242";
  call.tasks.add(perform(router, call));
  sim.run_for(1ms);
  EXPECT_EQ(backend.last.size(), 6u);
  EXPECT_EQ(backend.last.get("X-Forwarded-For"), "10.0.0.1");
  EXPECT_EQ(backend.last.get("X-Forwarded-Proto"), "http");
  EXPECT_EQ(backend.last.get("X-Forwarded-Host"), "r.local:8080");
  EXPECT_EQ(backend.last.get("Forwarded"), "for=10.0.0.1;host=r.local:8080;proto=http");
}

TEST_F(RouterTest, APeerOfAUnixSocketHasNoAddressToForward) {
  Backend backend(timers, "one");
  activator.add({.revision = "r-1"})->add_endpoint(borrowed(backend));
  route_all_to("r-1");
  for (const char* peer : {"unix", "unix:", "unix:/run/a.sock"}) {
    Call call(sim.env().executor);
    call.request.headers = {{"Host", "r.local"}};
    call.request.peer = peer;
    call.tasks.add(perform(router, call));
    sim.run_for(1ms);
    EXPECT_EQ(backend.last, (http::Headers{{"Host", "r.local"}})) << peer;
  }
}

TEST_F(RouterTest, RequestsToZeroWaitAndTellTheDemandOnce) {
  Backend backend(timers, "one");
  Throttler& throttler = *activator.add({.revision = "r-1"});
  route_all_to("r-1");
  std::vector<std::unique_ptr<Call>> calls;
  for (int i = 0; i < 100; ++i) calls.push_back(start());
  sim.run_for(5s);
  EXPECT_EQ(throttler.waiting(), 100);
  EXPECT_EQ(demand.revisions, std::vector<std::string>{"r-1"});
  throttler.add_endpoint(borrowed(backend));
  sim.run_for(1ms);
  for (const auto& call : calls) EXPECT_EQ(call->response->status, 200);
  EXPECT_EQ(throttler.in_flight(), 0);
  EXPECT_DOUBLE_EQ(throttler.stats().report(sim.now()).average_concurrency > 99, true);
}

TEST_F(RouterTest, ConcurrencyHoldsExactlyPerEndpoint) {
  for (const int limit : {1, 2, 3, 5}) {
    const std::string revision = "r-" + std::to_string(limit);
    Throttler& throttler = *activator.add({.revision = revision, .container_concurrency = limit});
    Backend a(timers, "a", 10ms);
    Backend b(timers, "b", 10ms);
    throttler.add_endpoint(borrowed(a));
    throttler.add_endpoint(borrowed(b));
    route_all_to(revision);
    std::vector<std::unique_ptr<Call>> calls;
    for (int i = 0; i < 10 * limit; ++i) calls.push_back(start());
    sim.run_for(10s);
    EXPECT_EQ(a.most, limit);
    EXPECT_EQ(b.most, limit);
    EXPECT_EQ(a.served, 5 * limit);
    for (const auto& call : calls) EXPECT_EQ(call->response->status, 200);
  }
}

TEST_F(RouterTest, AFullQueueAnswers503WithRetryAfter) {
  activator.add({.revision = "r-1", .queue_depth_max = 2, .retry_after = 3s});
  route_all_to("r-1");
  auto a = start();
  auto b = start();
  const http::Response response = fetch();
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(response.headers.get("Retry-After"), "3");
  EXPECT_NE(response.body.bytes().find("pending request queue full"), std::string::npos);
  EXPECT_EQ(activator.find("r-1")->counters().rejected, 1U);
  // Who leaves makes room at once.
  a.reset();
  auto c = start();
  sim.run_for(1ms);
  EXPECT_FALSE(c->response.has_value());
}

TEST_F(RouterTest, WaitingTooLongIs503AndTheTimeoutIs504) {
  activator.add({.revision = "r-1", .timeout = 10s, .wait_max = 2s});
  route_all_to("r-1");
  EXPECT_EQ(fetch("r.local", 2100ms).status, 503);
  activator.add({.revision = "r-1", .timeout = 10s});
  EXPECT_EQ(fetch("r.local", 10100ms).status, 504);
}

TEST_F(RouterTest, TheTimeoutCountsFromArrival) {
  Backend backend(timers, "one", 8s);
  Throttler& throttler = *activator.add({.revision = "r-1", .timeout = 10s});
  route_all_to("r-1");
  auto call = start();
  sim.run_for(5s);
  throttler.add_endpoint(borrowed(backend));
  sim.run_for(4900ms);
  EXPECT_FALSE(call->response.has_value());
  EXPECT_EQ(backend.inside, 1);
  sim.run_for(200ms);
  EXPECT_EQ(call->response->status, 504);
  EXPECT_NE(call->response->body.bytes().find("request timeout"), std::string::npos);
  EXPECT_EQ(backend.inside, 0);  // the call was dropped
  EXPECT_EQ(throttler.in_flight(), 0);
}

TEST_F(RouterTest, AClientThatLeavesFreesItsPlace) {
  Backend backend(timers, "one", 1h);
  Throttler& throttler = *activator.add({.revision = "r-1", .container_concurrency = 1});
  throttler.add_endpoint(borrowed(backend));
  route_all_to("r-1");
  auto first = start();
  auto second = start();
  sim.run_for(1s);
  EXPECT_EQ(backend.served, 1);
  first.reset();
  sim.run_for(1ms);
  EXPECT_EQ(backend.served, 2);
  EXPECT_EQ(backend.most, 1);
}

TEST_F(RouterTest, AHandlerThatThrowsAnswers500) {
  Backend backend(timers, "one");
  backend.throws = true;
  Throttler& throttler = *activator.add({.revision = "r-1"});
  throttler.add_endpoint(borrowed(backend));
  route_all_to("r-1");
  EXPECT_EQ(fetch().status, 500);
  EXPECT_EQ(throttler.in_flight(), 0);
  EXPECT_EQ(throttler.counters().failed, 1U);
}

Task<void> set_when_done(Task<void> task, bool& done) {
  co_await std::move(task);
  done = true;
}

TEST_F(RouterTest, DrainingTakesNoNewRequestsAndWaitsForTheOld) {
  Backend old_one(timers, "old", 1s);
  Backend new_one(timers, "new");
  Throttler& throttler = *activator.add({.revision = "r-1", .container_concurrency = 1});
  throttler.add_endpoint(borrowed(old_one));
  route_all_to("r-1");
  auto call = start();
  sim.run_for(1ms);
  throttler.add_endpoint(borrowed(new_one));
  bool drained = false;
  TaskSet tasks(sim.env().executor);
  tasks.add(set_when_done(throttler.remove_endpoint(old_one), drained));
  // The request on the draining endpoint does not use up the new one's place.
  EXPECT_EQ(fetch().body.bytes(), "new");
  EXPECT_EQ(fetch().body.bytes(), "new");
  EXPECT_FALSE(drained);
  sim.run_for(1s);
  EXPECT_TRUE(drained);
  EXPECT_EQ(call->response->body.bytes(), "old");
  EXPECT_EQ(throttler.endpoints(), 1);
}

TEST_F(RouterTest, AnAbortedEndpointAnswers502AndIsNotUsedAgain) {
  auto backend = std::make_unique<Backend>(timers, "one", 1h);
  Throttler& throttler = *activator.add({.revision = "r-1"});
  throttler.add_endpoint(borrowed(*backend));
  route_all_to("r-1");
  auto call = start();
  sim.run_for(1ms);
  throttler.abort_endpoint(*backend);
  EXPECT_EQ(backend->inside, 0);
  backend.reset();
  sim.run_for(1ms);
  EXPECT_EQ(call->response->status, 502);
  EXPECT_EQ(throttler.endpoints(), 0);
  EXPECT_EQ(throttler.in_flight(), 0);
}

TEST_F(RouterTest, AStreamedBodyKeepsItsPlaceUntilItIsGone) {
  bool gone = false;
  Backend backend(timers, "one");
  backend.streamed = std::make_unique<SlowBody>(timers, 3, 1s, gone);
  Throttler& throttler = *activator.add({.revision = "r-1", .container_concurrency = 1});
  throttler.add_endpoint(borrowed(backend));
  route_all_to("r-1");
  http::Response response = fetch();
  EXPECT_EQ(throttler.in_flight(), 1);
  auto next = start();
  sim.run_for(1ms);
  EXPECT_FALSE(next->response.has_value());
  Result<void> read = sim.run(response.body.read_all());
  EXPECT_TRUE(read);
  EXPECT_EQ(response.body.bytes(), "piecepiecepiece");
  response = http::Response();
  EXPECT_TRUE(gone);
  sim.run_for(1ms);
  EXPECT_TRUE(next->response.has_value());
  next.reset();
  EXPECT_EQ(throttler.in_flight(), 0);
}

TEST_F(RouterTest, TheTimeoutCutsAStreamedBody) {
  bool gone = false;
  Backend backend(timers, "one");
  backend.streamed = std::make_unique<SlowBody>(timers, 100, 1s, gone);
  Throttler& throttler = *activator.add({.revision = "r-1", .timeout = 5s});
  throttler.add_endpoint(borrowed(backend));
  route_all_to("r-1");
  http::Response response = fetch();
  Result<void> read = sim.run(response.body.read_all());
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Errc::deadline_exceeded);
  EXPECT_EQ(throttler.counters().timed_out, 1U);
}

TEST_F(RouterTest, AbortDropsStreamedBodies) {
  bool gone = false;
  auto backend = std::make_unique<Backend>(timers, "one");
  backend->streamed = std::make_unique<SlowBody>(timers, 100, 1s, gone);
  Throttler& throttler = *activator.add({.revision = "r-1"});
  throttler.add_endpoint(borrowed(*backend));
  route_all_to("r-1");
  http::Response response = fetch();
  throttler.abort_endpoint(*backend);
  EXPECT_TRUE(gone);
  backend.reset();
  Result<void> read = sim.run(response.body.read_all());
  EXPECT_FALSE(read);
}

TEST_F(RouterTest, FailWaitingAnswersEveryoneWithTheReason) {
  Throttler& throttler = *activator.add({.revision = "r-1"});
  route_all_to("r-1");
  auto a = start();
  auto b = start();
  sim.run_for(1ms);
  throttler.fail_waiting("the image does not exist");
  sim.run_for(1ms);
  EXPECT_EQ(a->response->status, 503);
  EXPECT_NE(b->response->body.bytes().find("the image does not exist"), std::string::npos);
  // The next one asks for an instance again.
  auto c = start();
  sim.run_for(1ms);
  EXPECT_EQ(demand.revisions.size(), 2U);
}

TEST_F(RouterTest, ARemovedRevisionLetsItsRequestsEnd) {
  Backend backend(timers, "one", 1s);
  activator.add({.revision = "r-1"})->add_endpoint(borrowed(backend));
  route_all_to("r-1");
  auto call = start();
  sim.run_for(1ms);
  activator.remove(*activator.find("r-1"));
  EXPECT_EQ(activator.find("r-1"), nullptr);
  EXPECT_EQ(fetch().status, 404);
  sim.run_for(2s);
  EXPECT_EQ(call->response->status, 200);
}

TEST_F(RouterTest, WithoutALimitTheLessBusyEndpointIsPreferred) {
  Throttler& throttler = *activator.add({.revision = "r-1"});
  Backend busy(timers, "busy", 1h);
  Backend idle(timers, "idle");
  throttler.add_endpoint(borrowed(busy));
  throttler.add_endpoint(borrowed(idle));
  route_all_to("r-1");
  std::vector<std::unique_ptr<Call>> calls;
  for (int i = 0; i < 50; ++i) {
    calls.push_back(start());
    sim.run_for(1ms);
  }
  EXPECT_LE(busy.served, 2);
}

// ---------------------------------------------------------------------------- generations

TEST_F(RouterTest, NamesakesNeverShareAThrottler) {
  Backend old_one(timers, "old", 1s);
  Backend new_one(timers, "new");
  auto throttler = activator.add({.revision = "r-1", .uid = "1"});
  throttler->add_endpoint(borrowed(old_one));
  route_all_to("r-1");
  auto call = start();
  sim.run_for(1ms);
  auto next = activator.add({.revision = "r-1", .uid = "2"});
  EXPECT_NE(next, throttler);
  next->add_endpoint(borrowed(new_one));
  EXPECT_EQ(fetch().body.bytes(), "new");
  activator.remove(*throttler);  // says nothing about its namesake
  throttler.reset();
  EXPECT_EQ(fetch().body.bytes(), "new");
  activator.remove(*next);
  next.reset();
  EXPECT_EQ(activator.size(), 0U);
  EXPECT_EQ(fetch().status, 404);
  sim.run_for(1s);
  EXPECT_EQ(call->response->body.bytes(), "old");
}

TEST_F(RouterTest, ARuleMeansTheRevisionThatItWasMadeFor) {
  Backend old_one(timers, "old");
  Backend new_one(timers, "new");
  const auto rule_for = [](const std::string& uid) {
    RouteRule rule{.name = "r", .hosts = {"r.local"}, .targets = {{"r-1", 100, uid}}, .tags = {}};
    rule.tags.push_back({"now", "r-1", {"now-r.local"}, uid});
    return std::vector<RouteRule>{rule};
  };
  auto old_throttler = activator.add({.revision = "r-1", .uid = "1"});
  old_throttler->add_endpoint(borrowed(old_one));
  route(rule_for("1"));
  EXPECT_EQ(fetch().body.bytes(), "old");
  auto throttler = activator.add({.revision = "r-1", .uid = "2"});
  throttler->add_endpoint(borrowed(new_one));
  EXPECT_EQ(fetch().status, 404);
  EXPECT_EQ(fetch("now-r.local").status, 404);
  route(rule_for("2"));
  EXPECT_EQ(fetch().body.bytes(), "new");
  EXPECT_EQ(fetch("now-r.local").body.bytes(), "new");
  EXPECT_EQ(old_one.served, 1);
}

TEST_F(RouterTest, ARequestOutlivesItsThrottlerWithItsStreamedBody) {
  bool gone = false;
  auto backend = std::make_shared<Backend>(timers, "one");
  const std::weak_ptr<Backend> alive = backend;
  backend->streamed = std::make_unique<SlowBody>(timers, 3, 1s, gone);
  activator.add({.revision = "r-1"})->add_endpoint(std::move(backend));
  route_all_to("r-1");
  http::Response response = fetch();
  activator.remove(*activator.find("r-1"));
  EXPECT_FALSE(alive.expired());
  const Result<void> read = sim.run(response.body.read_all());
  EXPECT_TRUE(read);
  EXPECT_EQ(response.body.bytes(), "piecepiecepiece");
  response = http::Response();
  EXPECT_TRUE(alive.expired());
}

TEST_F(RouterTest, ATaskThatBeginsAfterItsThrottlerIsGoneAnswers503) {
  route_all_to("r-1");
  auto throttler = activator.add({.revision = "r-1"});
  http::Request request;
  request.headers.set("Host", "r.local");
  Task<http::Response> late = router.handle(request);
  activator.remove(*throttler);
  throttler.reset();
  const http::Response response = sim.run(std::move(late));
  EXPECT_EQ(response.status, 503);
  EXPECT_TRUE(demand.revisions.empty());
}

TEST_F(RouterTest, AConnectionThatWasTakenOverKeepsItsPlace) {
  struct Quiet final : http::Tunnel {
    Task<void> run(std::unique_ptr<Stream>) override { co_return; }
  };
  struct Upgrading final : http::Handler {
    Task<http::Response> handle(http::Request&) override {
      co_return http::switch_protocols("test", std::make_unique<Quiet>());
    }
  } backend;
  auto throttler = activator.add({.revision = "r-1", .container_concurrency = 1});
  throttler->add_endpoint(borrowed(backend));
  route_all_to("r-1");
  http::Response response = fetch();
  EXPECT_EQ(response.status, 101);
  EXPECT_EQ(throttler->in_flight(), 1);
  response = http::Response();
  EXPECT_EQ(throttler->in_flight(), 0);
}

TEST_F(RouterTest, AnEndpointThatDrainedGoesWithItsLastRequest) {
  auto backend = std::make_shared<Backend>(timers, "one", 1s);
  const std::weak_ptr<Backend> alive = backend;
  auto throttler = activator.add({.revision = "r-1"});
  throttler->add_endpoint(backend);
  route_all_to("r-1");
  auto call = start();
  sim.run_for(1ms);
  Task<void> drained = throttler->remove_endpoint(*backend);
  backend.reset();
  EXPECT_FALSE(alive.expired());
  sim.run(std::move(drained));
  EXPECT_TRUE(alive.expired());
}

// ---------------------------------------------------------------------------- times

TEST_F(RouterTest, AnEndpointThatDoesNotBeginToAnswerInTimeIs504) {
  Backend backend(timers, "one", 1h);
  auto throttler = activator.add({.revision = "r-1", .response_start_timeout = 2s});
  throttler->add_endpoint(borrowed(backend));
  route_all_to("r-1");
  auto call = start();
  sim.run_for(1999ms);
  EXPECT_FALSE(call->response.has_value());
  sim.run_for(2ms);
  EXPECT_EQ(call->response->status, 504);
  EXPECT_EQ(backend.inside, 0);
}

TEST_F(RouterTest, TheStartTimeoutDoesNotCountWaitingForAnEndpoint) {
  Backend backend(timers, "one", 1s);
  auto throttler = activator.add({.revision = "r-1", .response_start_timeout = 2s});
  route_all_to("r-1");
  auto call = start();
  sim.run_for(10s);
  throttler->add_endpoint(borrowed(backend));
  sim.run_for(2s);
  EXPECT_EQ(call->response->status, 200);
}

TEST_F(RouterTest, ASilentEndpointIs504BeforeTheFirstByteAndCutAfterIt) {
  bool gone = false;
  Backend silent(timers, "one", 1h);
  auto throttler = activator.add({.revision = "r-1", .idle_timeout = 2s});
  throttler->add_endpoint(borrowed(silent));
  route_all_to("r-1");
  EXPECT_EQ(fetch("r.local", 2001ms).status, 504);
  throttler->abort_endpoint(silent);

  Backend steady(timers, "two");
  steady.streamed = std::make_unique<SlowBody>(timers, 10, 1s, gone);
  throttler->add_endpoint(borrowed(steady));
  http::Response response = fetch();
  EXPECT_TRUE(sim.run(response.body.read_all())) << "ten seconds, never two of them silent";

  steady.streamed = std::make_unique<SlowBody>(timers, 10, 3s, gone);
  response = fetch();
  const Result<void> read = sim.run(response.body.read_all());
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Errc::deadline_exceeded);
  EXPECT_EQ(throttler->counters().timed_out, 2U);
}

// ---------------------------------------------------------------------------- the way there

/// Answers like a proxy that cannot reach its program.
struct DeadBackend final : http::Handler {
  Task<http::Response> handle(http::Request&) override {
    ++asked;
    http::Response response = http::error_response(502);
    response.unreached = true;
    co_return response;
  }
  int asked = 0;
};

TEST_F(RouterTest, AnInstanceThatHasJustDiedIsNotTheEndOfARequest) {
  DeadBackend dead;
  Backend well(timers, "well");
  auto throttler = activator.add({.revision = "r-1", .container_concurrency = 3});
  throttler->add_endpoint(borrowed(dead));
  throttler->add_endpoint(borrowed(well));
  route_all_to("r-1");
  EXPECT_EQ(fetch().body.bytes(), "well");
  EXPECT_EQ(dead.asked, 1);
  EXPECT_EQ(throttler->counters().retried, 1U);
  EXPECT_EQ(throttler->counters().failed, 0U);
}

TEST_F(RouterTest, ARequestToTheOnlyInstanceWaitsForTheNextOne) {
  DeadBackend dead;
  Backend next(timers, "next");
  auto throttler = activator.add({.revision = "r-1", .container_concurrency = 1});
  throttler->add_endpoint(borrowed(dead));
  route_all_to("r-1");
  auto call = start();
  sim.run_for(1ms);
  throttler->abort_endpoint(dead);  // now its end is known
  sim.run_for(1s);
  EXPECT_FALSE(call->response.has_value());
  EXPECT_EQ(throttler->waiting(), 1);
  throttler->add_endpoint(borrowed(next));
  sim.run_for(1ms);
  EXPECT_EQ(call->response->body.bytes(), "next");
}

TEST_F(RouterTest, AnInstanceThatIsNeverReachedIs502InTheEnd) {
  DeadBackend dead;
  auto throttler = activator.add({.revision = "r-1"});
  throttler->add_endpoint(borrowed(dead));
  route_all_to("r-1");
  EXPECT_EQ(fetch("r.local", 1s).status, 502);
  EXPECT_EQ(dead.asked, 5);
  EXPECT_EQ(throttler->counters().failed, 1U);
  EXPECT_EQ(throttler->counters().completed, 0U);
  EXPECT_EQ(throttler->in_flight(), 0);
}

// ---------------------------------------------------------------------------- bodies

TEST_F(RouterTest, BodiesThatDripHoldNoPlace) {
  std::vector<bool> gone(20);
  Backend backend(timers, "one");
  auto throttler = activator.add({.revision = "r-1", .container_concurrency = 2});
  throttler->add_endpoint(borrowed(backend));
  route_all_to("r-1");
  bool dropped = false;
  std::vector<std::unique_ptr<Call>> slow;
  for (int i = 0; i < 20; ++i) {
    slow.push_back(std::make_unique<Call>(sim.env().executor));
    Call& call = *slow.back();
    call.request.headers.set("Host", "r.local");
    call.request.body = http::Body(std::make_unique<SlowBody>(timers, 5, 10s, dropped));
    call.tasks.add(perform(router, call));
  }
  sim.run_for(1s);
  EXPECT_EQ(fetch().body.bytes(), "one");
  EXPECT_EQ(throttler->stats().concurrency(), 0);
  sim.run_for(1min);
  for (const auto& call : slow) EXPECT_EQ(call->response->status, 200);
  EXPECT_EQ(backend.served, 21);
}

TEST_F(RouterTest, ALongBodyIsReadAheadToItsBoundAndArrivesWhole) {
  struct LongBody final : http::BodySource {
    Task<Result<std::string_view>> next() override {
      piece.assign(left == 0 ? 0 : 10'000, static_cast<char>('a' + left));
      if (left > 0) --left;
      read += piece.size();
      co_return std::string_view(piece);
    }
    std::size_t left = 20;
    std::size_t read = 0;
    std::string piece;
  };
  struct Keep final : http::Handler {
    Task<http::Response> handle(http::Request& request) override {
      seen_before = source->read;
      const Result<void> read = co_await request.body.read_all();
      bytes = read ? request.body.take_bytes() : "";
      co_return http::text("kept");
    }
    LongBody* source = nullptr;
    std::size_t seen_before = 0;
    std::string bytes;
  } keep;
  auto throttler = activator.add({.revision = "r-1", .container_concurrency = 1});
  throttler->add_endpoint(borrowed(keep));
  route_all_to("r-1");
  auto source = std::make_unique<LongBody>();
  keep.source = source.get();
  Call call(sim.env().executor);
  call.request.headers.set("Host", "r.local");
  call.request.body = http::Body(std::move(source));
  call.tasks.add(perform(router, call));
  sim.run_for(1ms);
  EXPECT_EQ(call.response->status, 200);
  EXPECT_EQ(keep.seen_before, 70'000U);
  std::string expected;
  for (char c = 20; c > 0; --c) expected.append(10'000, static_cast<char>('a' + c));
  EXPECT_EQ(keep.bytes, expected);
}

TEST_F(RouterTest, ABodyThatDoesNotComeInTimeIs408) {
  bool dropped = false;
  Backend backend(timers, "one");
  auto throttler = activator.add({.revision = "r-1", .container_concurrency = 1, .timeout = 5s});
  throttler->add_endpoint(borrowed(backend));
  route_all_to("r-1");
  Call call(sim.env().executor);
  call.request.headers.set("Host", "r.local");
  call.request.body = http::Body(std::make_unique<SlowBody>(timers, 100, 1s, dropped));
  call.tasks.add(perform(router, call));
  sim.run_for(6s);
  EXPECT_EQ(call.response->status, 408);
  EXPECT_EQ(backend.served, 0);
}

// ---------------------------------------------------------------------------- hops

/// Calls itself through the router, waiting or not.
struct Loop final : http::Handler {
  Loop(http::Handler& d, Executor& executor) : door(d), tasks(executor) {}
  Task<http::Response> handle(http::Request&) override {
    ++called;
    http::Request again;
    again.headers.set("Host", "r.local");
    if (!waits) {
      tasks.add(fire(*this));
      co_return http::text("called");
    }
    co_return co_await door.handle(again);
  }
  static Task<void> fire(Loop& self) {
    http::Request again;
    again.headers.set("Host", "r.local");
    const http::Response response = co_await self.door.handle(again);
    self.last_status = response.status;
  }
  http::Handler& door;
  TaskSet tasks;
  bool waits = true;
  int called = 0;
  int last_status = 0;
};

TEST_F(RouterTest, AFunctionThatInvokesItselfIs508AtABoundedDepth) {
  Loop loop(router, sim.env().executor);
  auto throttler = activator.add({.revision = "r-1"});
  throttler->add_endpoint(borrowed(loop));
  route_all_to("r-1");
  EXPECT_EQ(fetch().status, 508);
  EXPECT_EQ(loop.called, 64);
  // The next request begins anew.
  EXPECT_EQ(fetch().status, 508);
  EXPECT_EQ(loop.called, 128);
  loop.waits = false;
  EXPECT_EQ(fetch().status, 200);
  sim.run_for(1s);
  EXPECT_EQ(loop.called, 192);
  EXPECT_EQ(loop.last_status, 508);
  EXPECT_EQ(throttler->in_flight(), 0);
}

TEST_F(RouterTest, HopsTravelInAHeaderToOtherProcessesAndBack) {
  Backend backend(timers, "one");
  auto throttler = activator.add({.revision = "r-1", .remote = true});
  throttler->add_endpoint(borrowed(backend));
  route_all_to("r-1");
  EXPECT_EQ(fetch().status, 200);
  EXPECT_EQ(backend.last.get(hops_header), "1");
  Call call(sim.env().executor);
  call.request.peer = "10.0.0.1:4242";
  call.request.headers.set("Host", "r.local");
  call.request.headers.set(hops_header, "63");
  call.tasks.add(perform(router, call));
  sim.run_for(1ms);
  EXPECT_EQ(call.response->status, 200);
  EXPECT_EQ(backend.last.get(hops_header), "64");
  Call last(sim.env().executor);
  last.request.peer = call.request.peer;
  last.request.headers = backend.last;  // as a proxy passes them on
  last.tasks.add(perform(router, last));
  sim.run_for(1ms);
  EXPECT_EQ(last.response->status, 508);
}

/// Random arrivals, departures, endpoints coming and going: concurrency is never exceeded and
/// everybody is answered in the end.
TEST_F(RouterTest, KeepsItsPromisesInRandomWeather) {
  Random random(21);
  for (int round = 0; round < 10; ++round) {
    const int limit = static_cast<int>(random.below(5));
    const std::string revision = "w-" + std::to_string(round);
    Throttler& throttler =
        *activator.add({.revision = revision, .container_concurrency = limit, .timeout = 20s});
    route_all_to(revision);
    std::vector<std::unique_ptr<Backend>> backends;
    std::vector<std::unique_ptr<Backend>> leaving;
    std::vector<std::unique_ptr<Call>> calls;
    for (int move = 0; move < 400; ++move) {
      const std::uint64_t kind = random.below(10);
      if (kind == 0 && backends.size() < 5) {
        const Duration delay = std::chrono::milliseconds(random.below(200));
        backends.push_back(std::make_unique<Backend>(timers, "x", delay));
        throttler.add_endpoint(borrowed(*backends.back()));
      } else if (kind == 1 && !backends.empty()) {
        Task<void> drained = throttler.remove_endpoint(*backends.back());
        leaving.push_back(std::move(backends.back()));
        backends.pop_back();
      } else if (kind == 2 && !backends.empty()) {
        throttler.abort_endpoint(*backends.front());
        backends.erase(backends.begin());
      } else if (kind == 3 && !calls.empty()) {
        calls.erase(calls.begin() + static_cast<std::ptrdiff_t>(random.below(calls.size())));
      } else {
        calls.push_back(start());
      }
      sim.run_for(std::chrono::milliseconds(random.below(30)));
      for (const auto& backend : backends) ASSERT_TRUE(limit == 0 || backend->most <= limit);
    }
    backends.push_back(std::make_unique<Backend>(timers, "last"));
    throttler.add_endpoint(borrowed(*backends.back()));
    sim.run_for(30s);
    for (const auto& call : calls) ASSERT_TRUE(call->response.has_value());
    EXPECT_EQ(throttler.in_flight(), 0);
    EXPECT_EQ(throttler.waiting(), 0);
    activator.remove(throttler);
  }
}

}  // namespace
}  // namespace knative
