#include "knative/door.hpp"

#include <gtest/gtest.h>

#include "knative/http_outbound.hpp"
#include "knative/platform.hpp"
#include "knative/simulation.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;

/// A platform that everybody can reach, with a Service inside and one outside.
class DoorToAll : public ::testing::Test {
 protected:
  DoorToAll() {
    functions_.http("hello", [](http::Request&) { return http::text("hello"); });
    PlatformOptions options;
    options.listen = Endpoint{"0.0.0.0", 80, {}};
    options.listen_beyond_loopback = true;
    platform_ = std::make_unique<Platform>(simulation_.env(), functions_, options);
    serving::Service inside = serving::service("inside", "fn:hello");
    inside.metadata.labels["networking.knative.dev/visibility"] = "cluster-local";
    apply(inside);
    apply(serving::service("open", "fn:hello"));
  }
  void apply(const serving::Service& service) {
    const Result<ObjectRef> ref = platform_->apply(service);
    ASSERT_TRUE(ref) << ref.error().to_string();
    const Result<void> ready = simulation_.run(platform_->ready(*ref, 60s));
    ASSERT_TRUE(ready) << ready.error().to_string();
  }
  /// The status of a request to `host` that comes from a machine.
  int from(SimHost& machine, const std::string& address, const std::string& host) {
    Env& env = machine.env();
    http::Client client(env.executor, env.timers, env.network, Endpoint{address, 80, {}});
    http::Request request = http::get("/");
    request.headers.set("Host", host);
    return simulation_.run(client.handle(request)).status;
  }

  Simulation simulation_{7};
  FunctionTable functions_;
  std::unique_ptr<Platform> platform_;
};

TEST_F(DoorToAll, a_cluster_local_service_is_404_for_who_comes_from_another_machine) {
  SimHost& here = simulation_.host("local");
  SimHost& there = simulation_.host("stranger");
  for (const char* host : {"inside.default.svc.cluster.local", "inside.default.svc",
                           "inside.default", "inside.default.svc.cluster.local.:80"}) {
    EXPECT_EQ(from(there, "local", host), 404) << host;
    EXPECT_EQ(from(here, "127.0.0.1", host), 200) << host;
  }
  EXPECT_EQ(from(there, "local", "open.default.localhost"), 200);
  http::Request request = http::get("/");
  EXPECT_EQ(simulation_.run(platform_->invoke("inside", request)).value().status, 200);
}

TEST_F(DoorToAll, a_service_that_becomes_cluster_local_is_gone_for_other_machines) {
  SimHost& there = simulation_.host("stranger");
  EXPECT_EQ(from(there, "local", "open.default.svc.cluster.local"), 200);
  serving::Service open = platform_->get<serving::Service>("open").value();
  open.metadata.labels["networking.knative.dev/visibility"] = "cluster-local";
  apply(open);
  simulation_.run_for(5s);
  EXPECT_EQ(from(there, "local", "open.default.svc.cluster.local"), 404);
  EXPECT_EQ(from(there, "local", "open.default.localhost"), 404);
}

TEST_F(DoorToAll, a_host_with_the_dot_of_a_full_name_is_the_same_name) {
  SimHost& there = simulation_.host("stranger");
  EXPECT_EQ(from(there, "local", "open.default.localhost."), 200);
  EXPECT_EQ(from(there, "local", "Open.Default.localhost.:80"), 200);
  EXPECT_EQ(from(there, "local", "open.default.localhost.."), 404);
}

TEST(Door, no_host_stands_twice_when_the_domain_is_the_clusters_own) {
  const std::vector<std::string> inside = {"a.b.svc.cluster.local", "a.b.svc", "a.b"};
  EXPECT_EQ(Addresses("svc.cluster.local").hosts("a", "b"), inside);
  EXPECT_EQ(Addresses("svc").hosts("a", "b"), inside);
  EXPECT_EQ(Addresses("localhost").hosts("a", "b", true), inside);
  EXPECT_EQ(Addresses("localhost").hosts("a", "b").size(), 4U);
}

TEST(Door, a_peer_is_inside_over_loopback_and_unix_sockets) {
  Simulation simulation(7);
  const Addresses addresses("localhost");
  Door door(addresses);
  const auto answers = [](http::Request&) { return http::text("in"); };
  ASSERT_TRUE(
      door.set_hosts("test", {"in"}, std::shared_ptr(http::make_handler(answers)), Reach::inside));
  const auto status = [&](const char* peer) {
    http::Request request = http::get("/");
    request.headers.set("Host", "in");
    request.peer = peer;
    return simulation.run(door.front().handle(request)).status;
  };
  for (const char* peer :
       {"127.0.0.1:4", "127.8.0.1:4", "[::1]:4", "[::ffff:127.0.0.1]:4", "unix"}) {
    EXPECT_EQ(status(peer), 200) << peer;
  }
  for (const char* peer : {"10.0.0.1:4", "12.7.0.0:1", "[::10]:4", "[2001:db8::1]:4", "[::]:1"}) {
    EXPECT_EQ(status(peer), 404) << peer;
  }
  http::Request called = http::get("/");
  called.headers.set("Host", "in");
  called.peer = "10.0.0.1:4";
  EXPECT_EQ(simulation.run(door.handle(called)).status, 200)
      << "who hands a stranger's request on in process answers for that";
}

}  // namespace
}  // namespace knative
