// The HTTP server and client over the simulated network: whatever breaks, an answer that arrives
// whole belongs to its request, nothing hangs, and the same seed plays the same.
#include <gtest/gtest.h>

#include "knative/http_client.hpp"
#include "knative/http_server.hpp"
#include "knative/simulation.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;

std::string expected_answer(std::string_view body) {
  std::uint64_t hash = 1469598103934665603U;
  for (const char c : body) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
  return std::to_string(hash) + std::string(body.substr(0, body.size() / 2));
}

/// Answers in pieces, with pauses.
class Pieces final : public http::BodySource {
 public:
  Pieces(Timers& timers, std::string bytes) : timers_(timers), bytes_(std::move(bytes)) {}
  Task<Result<std::string_view>> next() override {
    co_await timers_.sleep_for(1ms);
    const std::string_view piece = std::string_view(bytes_).substr(at_, 700);
    at_ += piece.size();
    co_return piece;
  }

 private:
  Timers& timers_;
  std::string bytes_;
  std::size_t at_ = 0;
};

class Echo final : public http::Handler {
 public:
  explicit Echo(Timers& timers) : timers_(timers) {}
  Task<http::Response> handle(http::Request& request) override {
    const Result<void> read = co_await request.body.read_all();
    http::Response response;
    if (!read) {
      response.status = 400;
      co_return response;
    }
    const std::string answer = expected_answer(request.body.bytes());
    if (request.target == "/stream") {
      auto source = std::make_unique<Pieces>(timers_, answer);
      response.body = http::Body(std::unique_ptr<http::BodySource>(std::move(source)));
    } else {
      co_await timers_.sleep_for(2ms);
      response.body = http::Body(answer);
    }
    co_return response;
  }

 private:
  Timers& timers_;
};

constexpr int wrong_answer = 999;

Task<int> call(http::Client& client, std::uint64_t n, Random random) {
  http::Request request;
  request.method = random.below(3) == 0 ? "PUT" : "POST";
  request.target = n % 3 == 0 ? "/stream" : "/";
  request.headers.set("Host", "far");
  std::string body = std::to_string(n) + ":";
  body.resize(body.size() + random.below(n % 5 == 0 ? 20'000 : 200),
              static_cast<char>('a' + n % 26));
  const std::string expected = expected_answer(body);
  request.body = http::Body(std::move(body));
  Result<http::Response> response = co_await client.send(request);
  if (!response) co_return static_cast<int>(response.error().code);
  if (response->status != 200) co_return response->status;
  const Result<void> read = co_await response->body.read_all();
  if (!read) co_return static_cast<int>(read.error().code);
  co_return response->body.bytes() == expected ? 200 : wrong_answer;
}

struct LoadOutcome {
  LoadReport report;
  std::uint64_t hash = 0;
  bool done = false;
  std::size_t connections = 0;
};

LoadOutcome play(std::uint64_t seed, const FaultPlan& plan) {
  Simulation sim(seed);
  Env& far = sim.host("far").env();
  Env& here = sim.env();
  Echo echo(far.timers);
  Endpoint any;
  any.host = "0.0.0.0";
  any.port = 80;
  http::Server server(far.executor, far.timers, far.logger, far.network.listen(any).value(), echo);
  Endpoint target = any;
  target.host = "far";
  sim.faults().set_plan(plan);
  http::Client client(here.executor, here.timers, here.network, target);
  auto one = [&client, seed](std::uint64_t n) {
    return call(client, n, Random(seed).split(std::to_string(n)));
  };
  LoadRun run = sim.load(one, Load::poisson(40, 5s));
  sim.run_for(2s);
  if (seed % 4 == 0) {
    sim.faults().partition("local", "far");
    sim.run_for(5s);
    sim.faults().heal("local", "far");
  }
  sim.run_for(20min);
  LoadOutcome outcome{run.report(), sim.trace().hash(), run.done(), server.connections()};
  return outcome;
}

TEST(SimulationHttp, WithoutFaultsEveryRequestIsAnswered) {
  const LoadOutcome outcome = play(1, FaultPlan{});
  EXPECT_TRUE(outcome.done);
  EXPECT_EQ(outcome.report.status(200), outcome.report.started) << outcome.report.to_string();
  EXPECT_GT(outcome.report.started, 100U);
  EXPECT_EQ(outcome.connections, 0U);  // idle ones were closed
}

TEST(SimulationHttp, UnderRandomFaultsAnswersAreRightAndNothingHangs) {
  std::uint64_t good = 0;
  std::uint64_t bad = 0;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    FaultPlan plan = FaultPlan::random(seed);
    const LoadOutcome outcome = play(seed, plan);
    EXPECT_TRUE(outcome.done) << "seed " << seed << " " << outcome.report.to_string();
    EXPECT_EQ(outcome.report.status(wrong_answer), 0U) << "seed " << seed;
    EXPECT_EQ(outcome.report.status(-1), 0U) << "seed " << seed;
    EXPECT_EQ(outcome.connections, 0U) << "seed " << seed;
    good += outcome.report.status(200);
    bad += outcome.report.finished - outcome.report.status(200);
  }
  EXPECT_GT(good, 1000U);
  EXPECT_GT(bad, 50U);
}

TEST(SimulationHttp, ACutAtEveryByteOfAnExchangeIsAnErrorOrTheRightAnswer) {
  auto once = [](http::Client& client) -> Task<int> {
    const Random random(1);
    co_return co_await call(client, 1, random);
  };
  bool complete = false;
  for (std::uint64_t cut = 0; !complete; ++cut) {
    ASSERT_LT(cut, 2000U);
    Simulation sim(1);
    Env& env = sim.env();
    Echo echo(env.timers);
    http::Server server(env.executor, env.timers, env.logger,
                        env.network.listen(Endpoint{}).value(), echo);
    sim.faults().cut_connections_after(cut);
    http::Client client(env.executor, env.timers, env.network, server.endpoint());
    const int status = sim.run(once(client));
    EXPECT_TRUE(status == 200 || status == static_cast<int>(Errc::unavailable) || status == 400)
        << "cut after " << cut << ": " << status;
    complete = status == 200;
  }
}

TEST(SimulationHttp, TheSameSeedPlaysTheSame) {
  FaultPlan plan = FaultPlan::random(7);
  plan.connection_lost = 0.01;
  const LoadOutcome first = play(7, plan);
  const LoadOutcome second = play(7, plan);
  EXPECT_EQ(first.hash, second.hash);
  EXPECT_EQ(first.report.by_status, second.report.by_status);
}

}  // namespace
}  // namespace knative
