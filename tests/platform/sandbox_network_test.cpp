// A Service in a sandbox with a network of its own: whom it reaches through the platform, and what
// it does not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <mutex>

#include "knative/platform.hpp"
#include "platform/sandbox_guest_image.hpp"
#include "support/real_world.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class SandboxNetwork : public ::testing::Test {
 protected:
  void SetUp() override {
    const IsolationSupport support = loop_.env().processes.isolation(folder_.path());
    if (!support.possible || !support.own_network) {
      GTEST_SKIP() << "SANDBOXES ARE NOT TESTED HERE: " << support.reason;
    }
    functions_.http("other", [](http::Request& request) {
      return http::text("other got " + request.host() + "\n");
    });
    functions_.http("private", [](http::Request&) { return http::text("private\n"); });
    platform_.emplace(loop_.env(), functions_, PlatformOptions());
    platform_->start().value();
    testing_platform::store_guest_image(platform_->images(), {"/guest", "relay"});
  }

  void ready(const std::string& text) {
    for (const ObjectRef& ref : platform_->apply_text(text).value()) {
      const Result<void> done = loop_.run(platform_->ready(ref, 60s));
      ASSERT_TRUE(done) << done.error().to_string();
    }
  }

  /// What the guest says of "/get/..." or "/emit/...".
  std::string asked(const std::string& path) {
    http::Request request = http::get(path);
    Result<http::Response> response = loop_.run(platform_->invoke("guest", request));
    if (!response) return response.error().to_string();
    if (Result<void> read = loop_.run(response->body.read_all()); !read) {
      return read.error().to_string();
    }
    return std::to_string(response->status) + " " + std::string(response->body.bytes());
  }

  testing_world::TemporaryDirectory folder_;
  Loop loop_{testing_world::quiet()};
  FunctionTable functions_;
  std::optional<Platform> platform_;
};

constexpr const char* sandbox_objects = R"(
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: other}
spec: {template: {spec: {containers: [{image: "fn:other"}]}}}
---
apiVersion: serving.knative.dev/v1
kind: Service
metadata:
  name: private
  labels: {networking.knative.dev/visibility: cluster-local}
spec: {template: {spec: {containers: [{image: "fn:private"}]}}}
---
apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {name: default}
---
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: guest}
spec:
  template:
    metadata: {annotations: {autoscaling.knative.dev/min-scale: "1"}}
    spec:
      runtimeClassName: sandbox
      containers:
      - image: local/guest:v1
        env:
        - name: K_SINK
          value: http://broker-ingress.knative-eventing.svc.cluster.local/default/default
)";

TEST_F(SandboxNetwork, AServiceInASandboxCallsServicesAndBrokersAndNothingElse) {
  ready(sandbox_objects);
  if (HasFatalFailure()) return;
  const std::string other = "other.default.svc.cluster.local";
  EXPECT_THAT(asked("/get/" + other + "/" + other + "/"), HasSubstr("other got " + other));
  const std::string hidden = "private.default.svc.cluster.local";
  EXPECT_THAT(asked("/get/" + hidden + "/" + hidden + "/"), HasSubstr("private"));

  std::vector<std::string> types;
  EventHandler hear = [&types](const CloudEvent& event) -> Task<Reply> {
    types.push_back(event.type());
    co_return Reply();
  };
  const EventSubscription subscription =
      platform_->subscribe("default", Filter(), std::move(hear)).value();
  EXPECT_THAT(asked("/emit/guest.spoke"), HasSubstr("HTTP/1.1 202"));
  EXPECT_TRUE(loop_.run(
      testing_world::eventually(loop_.env().timers, [&types] { return types.size() == 1; })));
  EXPECT_EQ(types, (std::vector<std::string>{"guest.spoke"}));

  EXPECT_EQ(asked("/get/nobody.default.svc.cluster.local/x/"),
            "200 nobody.default.svc.cluster.local: rcode 3");
  EXPECT_EQ(asked("/get/example.org/example.org/"), "200 example.org: rcode 3");
  // What is steered by path on the bare address is not there, whatever name is given.
  for (const char* host : {"localhost", "127.0.0.1", "169.254.20.1"}) {
    for (const char* path : {"/metrics", "/healthz", "/v2/", "/default/default"}) {
      EXPECT_THAT(asked("/get/" + other + "/" + host + path), HasSubstr("HTTP/1.1 404"))
          << host << path;
    }
  }
}

}  // namespace
}  // namespace knative
