// The same server and client over real sockets.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>

#include "knative/http.hpp"
#include "knative/http_client.hpp"
#include "knative/http_server.hpp"
#include "support/real_world.hpp"

namespace knative::http {
namespace {

using namespace std::chrono_literals;

Task<Response> echo(Request& request) {
  Result<void> read = co_await request.body.read_all(std::size_t{64} << 20);
  if (!read) co_return error_response(500, read.error().to_string());
  co_return text(request.target + request.body.take_bytes());
}

Task<void> fetch(Client& client, std::string target, std::string body, std::size_t& right) {
  Request request = post(target, body);
  Result<Response> response = co_await client.send(request);
  if (!response) co_return;
  Result<void> read = co_await response->body.read_all(std::size_t{64} << 20);
  if (read && response->body.bytes() == target + body) ++right;
}

Task<std::size_t> many(Env& env, Client& client, std::size_t requests, std::size_t body_bytes) {
  TaskSet tasks(env.executor);
  std::size_t right = 0;
  for (std::size_t i = 0; i < requests; ++i) {
    tasks.add(fetch(client, "/" + std::to_string(i), std::string(body_bytes, 'x'), right));
  }
  co_await tasks.drained();
  co_return right;
}

struct LoopWorld {
  explicit LoopWorld(const Endpoint& endpoint)
      : handler(make_handler(echo)),
        server(env().executor, env().timers, env().logger, env().network.listen(endpoint).value(),
               *handler) {}
  Env& env() { return loop.env(); }
  Loop loop;
  std::unique_ptr<Handler> handler;
  Server server;
};

TEST(HttpOverSockets, many_requests_share_few_connections) {
  LoopWorld world{Endpoint{}};
  ClientOptions options;
  options.connections_max = 8;
  Client client(world.env().executor, world.env().timers, world.env().network,
                world.server.endpoint(), options);
  EXPECT_EQ(world.loop.run(many(world.env(), client, 500, 10)), 500U);
  EXPECT_LE(client.connections(), 8U);
  EXPECT_EQ(world.server.requests(), 500U);
}

TEST(HttpOverSockets, large_bodies_pass_both_ways_through_a_proxy) {
  LoopWorld world{Endpoint{}};
  Env& env = world.env();
  Client upstream(env.executor, env.timers, env.network, world.server.endpoint());
  Server proxy(env.executor, env.timers, env.logger, env.network.listen(Endpoint{}).value(),
               upstream);
  Client client(env.executor, env.timers, env.network, proxy.endpoint());
  EXPECT_EQ(world.loop.run(many(env, client, 4, 5'000'000)), 4U);
}

TEST(HttpOverSockets, unix_sockets_are_endpoints_too) {
  const testing_world::TemporaryDirectory directory;
  Endpoint endpoint;
  endpoint.path = directory / "http.sock";
  LoopWorld world{endpoint};
  Client client(world.env().executor, world.env().timers, world.env().network, endpoint);
  EXPECT_EQ(world.loop.run(many(world.env(), client, 20, 100'000)), 20U);
}

TEST(HttpOverSockets, a_drained_server_lets_requests_finish_and_refuses_new_ones) {
  Loop loop;
  Env& env = loop.env();
  Wakeup go;
  Wakeup began;
  auto handler = make_handler([&go, &began](Request& request) -> Task<Response> {
    began.set();
    co_await go.wait();
    co_return text(request.target + request.body.bytes());
  });
  Server server(env.executor, env.timers, env.logger, env.network.listen(Endpoint{}).value(),
                *handler);
  Client client(env.executor, env.timers, env.network, server.endpoint());
  auto work = [](Env& world, Server& draining, Client& with, Wakeup& working,
                 Wakeup& release) -> Task<bool> {
    TaskSet tasks(world.executor);
    std::size_t right = 0;
    tasks.add(fetch(with, "/", "x", right));
    co_await working.wait();  // a connection without a request would be closed at once
    tasks.add(draining.drain());
    co_await world.timers.sleep_for(1ms);
    release.set();
    co_await tasks.drained();
    Request request = get("/");
    Result<Response> refused = co_await with.send(request);
    co_return right == 1 && !refused && refused.error().code == Errc::unavailable;
  };
  EXPECT_TRUE(loop.run(work(env, server, client, began, go)));
}

/// Lets this process have only so many descriptors.
class FewDescriptors {
 public:
  explicit FewDescriptors(rlim_t count) {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    rlimit few = before_;
    few.rlim_cur = count;
    ::setrlimit(RLIMIT_NOFILE, &few);
  }
  ~FewDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

struct Crowd {
  int refused = 0;  ///< Got 503 and an end.
  int held = 0;     ///< Still open.
  int broken = 0;
  std::string good;  ///< What a good client was answered after all of them had come.
};

/// Connections that ask for nothing, and then a client that does.
Task<Crowd> crowd(Env& env, Endpoint endpoint, std::size_t count) {
  std::vector<std::unique_ptr<Stream>> idle;
  for (std::size_t i = 0; i < count; ++i) {
    auto stream = co_await env.network.connect(endpoint);
    if (stream) idle.push_back(std::move(*stream));
  }
  Crowd crowd;
  Client client(env.executor, env.timers, env.network, endpoint);
  Request request = get("/good");
  Result<Response> response = co_await client.send(request);
  crowd.good = response ? response->body.bytes() : response.error().to_string();
  auto read = [](Stream& stream, std::string& into) -> Task<bool> {
    std::vector<char> buffer(1024);
    const std::span<char> room(buffer);
    for (;;) {
      Result<std::size_t> got = co_await stream.read_some(room);
      if (!got) co_return false;
      if (*got == 0) co_return true;
      into.append(buffer.data(), *got);
    }
  };
  for (const std::unique_ptr<Stream>& stream : idle) {
    std::string text;
    Task<bool> reading = read(*stream, text);
    std::optional<bool> ended =
        co_await with_deadline(env.timers, std::move(reading), env.timers.now() + 5ms);
    if (!ended) {
      ++crowd.held;
    } else if (*ended && text.starts_with("HTTP/1.1 503 ")) {
      ++crowd.refused;
    } else {
      ++crowd.broken;
    }
  }
  co_return crowd;
}

TEST(HttpOverSockets, a_good_client_is_answered_when_idle_ones_take_all_descriptors) {
  // The clients' descriptors count as well: both ends are in this process.
  const FewDescriptors few(256);
  Loop loop(testing_world::quiet());
  Env& env = loop.env();
  // clang's vptr check reads unknown objects through a pipe, and takes them for invalid when there
  // is no descriptor for one; so it gets to know the logger now.
  env.logger.log(LogLevel::warning, "test", "descriptors will run out");
  auto handler = make_handler(echo);
  Server server(env.executor, env.timers, env.logger, env.network.listen(Endpoint{}).value(),
                *handler);
  const Crowd got = loop.run(crowd(env, server.endpoint(), 160));
  EXPECT_EQ(got.good, "/good");
  EXPECT_EQ(got.broken, 0);
  EXPECT_GT(got.refused, 60);
  EXPECT_GT(got.held, 0);
  EXPECT_EQ(got.refused + got.held, 160);
}

}  // namespace
}  // namespace knative::http
