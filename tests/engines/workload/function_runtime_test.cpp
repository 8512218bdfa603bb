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

// A body that comes in pieces.
struct Pieces final : http::BodySource {
  explicit Pieces(std::vector<std::string> p) : pieces(std::move(p)) {}
  Task<Result<std::string_view>> next() override {
    if (at == pieces.size()) co_return std::string_view();
    co_return std::string_view(pieces[at++]);
  }
  std::vector<std::string> pieces;
  std::size_t at = 0;
};

http::Request in_pieces(std::vector<std::string> pieces) {
  http::Request request = http::post("/", "");
  request.body = http::Body(std::make_unique<Pieces>(std::move(pieces)));
  return request;
}

TEST_F(FunctionRuntimeTest, APlainFunctionSeesTheWholeBodyWhateverItCameIn) {
  functions.http("plain", [](http::Request& r) { return http::text(r.body.bytes()); });
  functions.http("own", [](http::Request& r) -> Task<http::Response> {
    co_return http::text(r.body.streamed() ? "streamed" : "whole");
  });
  EXPECT_EQ(call("fn:plain", in_pieces({"he", "llo"})).body.bytes(), "hello");
  EXPECT_EQ(call("fn:own", in_pieces({"he", "llo"})).body.bytes(), "streamed");
}

TEST_F(FunctionRuntimeTest, ABodyThatIsTooLargeForMemoryIs413) {
  int calls = 0;
  functions.http("plain", [&calls](http::Request&) {
    ++calls;
    return http::text("");
  });
  functions.http_blocking("blocking", [&calls](http::Request&) {
    ++calls;
    return http::text("");
  });
  const std::string mebibyte(std::size_t{1} << 20, 'x');
  const std::vector<std::string> large(17, mebibyte);
  EXPECT_EQ(call("fn:plain", in_pieces(large)).status, 413);
  EXPECT_EQ(call("fn:blocking", in_pieces(large)).status, 413);
  EXPECT_EQ(call("fn:plain", http::post("/", std::string(std::size_t{17} << 20, 'x'))).status, 413);
  EXPECT_EQ(calls, 0);
}

TEST_F(FunctionRuntimeTest, AFunctionMayAskForWhomItAnswers) {
  functions.http("who", [](http::Request&, const FunctionContext& context) {
    return http::text(context.identity.service + " " + context.identity.revision);
  });
  EXPECT_EQ(call("fn:who", http::get("/")).body.bytes(), "f f-1");
}

TEST_F(FunctionRuntimeTest, AFailureIsLoggedWithFunctionRequestAndCauseAtMostSoOften) {
  functions.http("throws",
                 [](http::Request&) -> http::Response { throw std::runtime_error("no database"); });
  const std::unique_ptr<Container> container = start("fn:throws").value();
  for (int i = 0; i < 50; ++i) {
    http::Request request = http::get("/");
    request.headers.set("X-Request-Id", "r" + std::to_string(i));
    EXPECT_EQ(sim.run(container->endpoint()->handle(request)).status, 500);
  }
  ASSERT_EQ(logged.size(), 10U);
  for (const char* part : {"default/f-1", "fn:throws", "r0", "no database"}) {
    EXPECT_NE(logged[0].find(part), std::string::npos) << part << " in " << logged[0];
  }
}

TEST_F(FunctionRuntimeTest, ATableThatIsDestroyedEarlyHarmsNobody) {
  auto table = std::make_unique<FunctionTable>();
  Env& env = sim.env();
  FunctionRuntime other(*table, env.executor, env.timers, env.offload, env.logger);
  table->http("greet", greet);
  spec.image = "fn:greet";
  const std::unique_ptr<Container> container = sim.run(other.start(spec, nullptr)).value();
  table.reset();
  http::Request request = http::get("/");
  EXPECT_EQ(sim.run(container->endpoint()->handle(request)).body.bytes(), "hello world");
  EXPECT_TRUE(sim.run(other.start(spec, nullptr)));
}

TEST_F(FunctionRuntimeTest, AnEndpointMayBeHeldBeyondItsContainersEnd) {
  functions.http("greet", greet);
  std::shared_ptr<http::Handler> endpoint;
  {
    const std::unique_ptr<Container> container = start("fn:greet").value();
    endpoint = container->endpoint();
  }
  http::Request request = http::get("/");
  EXPECT_EQ(sim.run(endpoint->handle(request)).body.bytes(), "hello world");
}

TEST_F(FunctionRuntimeTest, AProgramRunsToItsEndAndSaysWhatItHasToSay) {
  std::vector<std::string> said;
  output = [&said](std::string_view, std::string_view line) { said.emplace_back(line); };
  functions.program("count",
                    [](const ContainerSpec& s, const ContainerOutput& out) -> Task<Result<int>> {
                      out("stdout", "one\ntwo\xff");
                      out("stdout", s.environment.at("PLACE"));
                      co_return 4;
                    });
  functions.program("throws",
                    [](const ContainerSpec&, const ContainerOutput&) -> Task<Result<int>> {
                      throw std::runtime_error("broken");
                      co_return 0;
                    });
  spec.ports.clear();
  spec.mounts = {{"/real", "/workspace"}};
  spec.environment = {{"PLACE", "/workspace/x"}};
  EXPECT_EQ(sim.run(start("fn:count").value()->wait()).code, 4);
  EXPECT_EQ(said, (std::vector<std::string>{"one", "two\xef\xbf\xbd", "/real/x"}));
  EXPECT_EQ(sim.run(start("fn:throws").value()->wait()).code, 1);
  EXPECT_NE(said.back().find("broken"), std::string::npos);
}

TEST_F(FunctionRuntimeTest, WhatAnswersIsNoStepAndAStepAnswersNothing) {
  functions.http("greet", greet);
  functions.program("step", [](const ContainerSpec&, const ContainerOutput&) -> Task<Result<int>> {
    co_return 0;
  });
  EXPECT_NE(start("fn:step").error().detail.find("answers no requests"), std::string::npos);
  spec.ports.clear();
  EXPECT_NE(start("fn:greet").error().detail.find("cannot be run as a step"), std::string::npos);
}

TEST_F(FunctionRuntimeTest, WhatAFunctionHasNotIsRefusedByName) {
  spec.command = {"x"};
  spec.resources.limits.emplace("memory", Quantity());
  const FieldErrors errors = runtime.unsupported(spec);
  EXPECT_NE(errors.filter(FieldError::Level::error).to_string().find("command"), std::string::npos);
  EXPECT_NE(errors.filter(FieldError::Level::warning).to_string().find("resources.limits"),
            std::string::npos);
}

TEST_F(FunctionRuntimeTest, ExitsWhenStopped) {
  functions.http("a", greet);
  std::unique_ptr<Container> container = start("fn:a").value();
  sim.run(container->stop(1s));
  EXPECT_TRUE(sim.run(container->wait()).success());
}

}  // namespace
}  // namespace knative
