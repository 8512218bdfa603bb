#include <gtest/gtest.h>

#include <stdexcept>

#include "engines/workload/function_fixture.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;

Task<http::Response> greet(http::Request& request) {
  co_return http::text("hello " + request.query("name", "world"));
}

using FunctionRuntimeTest = FunctionFixture;

TEST_F(FunctionRuntimeTest, RunsCoroutinesAndPlainFunctions) {
  functions.http("greet", greet);
  functions.http("plain", [](http::Request& r) { return http::text(r.method); });
  EXPECT_EQ(call("fn:greet", http::get("/?name=ada")).body.bytes(), "hello ada");
  EXPECT_EQ(call("fn:plain", http::post("/", "x")).body.bytes(), "POST");
}

TEST_F(FunctionRuntimeTest, RunsBlockingFunctionsBesideTheLoop) {
  functions.http_blocking("slow", [](http::Request& r) { return http::text(r.body.bytes()); });
  const Instant before = sim.now();
  EXPECT_EQ(call("fn:slow", http::post("/", "body")).body.bytes(), "body");
  EXPECT_GT(sim.now(), before);  // the offload took virtual time
}

TEST_F(FunctionRuntimeTest, CapturesLiveAsLongAsTheTable) {
  std::string text(100, 'x');
  functions.http("captures",
                 [text](http::Request&) -> Task<http::Response> { co_return http::text(text); });
  EXPECT_EQ(call("fn:captures", http::get("/")).body.bytes(), std::string(100, 'x'));
}

TEST_F(FunctionRuntimeTest, AnExceptionIs500) {
  functions.http("throws", [](http::Request&) -> http::Response {
    throw std::runtime_error("secret detail");
  });
  functions.http("later", [](http::Request&) -> Task<http::Response> {
    throw 42;
    co_return http::Response();
  });
  const http::Response response = call("fn:throws", http::get("/"));
  EXPECT_EQ(response.status, 500);
  EXPECT_EQ(response.body.bytes().find("secret"), std::string::npos);
  EXPECT_EQ(call("fn:later", http::get("/")).status, 500);
}

TEST_F(FunctionRuntimeTest, AMissingFunctionIsNamedWithTheKnownOnes) {
  functions.http("a", greet);
  functions.http("b", greet);
  const auto missing = start("fn:c");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Errc::not_found);
  EXPECT_EQ(missing.error().detail, "function \"c\" is not registered; known are: a, b");
  EXPECT_EQ(start("docker.io/nginx").error().code, Errc::invalid_argument);
}

TEST_F(FunctionRuntimeTest, ExitsWhenStopped) {
  functions.http("a", greet);
  std::unique_ptr<Instance> instance = start("fn:a").value();
  sim.run(instance->stop(1s));
  EXPECT_TRUE(sim.run(instance->exited()).success());
}

}  // namespace
}  // namespace knative
