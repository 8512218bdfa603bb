#include <gtest/gtest.h>

#include "http_world.hpp"

namespace knative::http {
namespace {

using namespace knative::http::testing;

/// A peer that accepts connections one after the other and plays a script for each: read until
/// `marker` was seen, send the text, and close or hold.
struct Step {
  std::string until = "\r\n\r\n";
  std::string send;
  Duration pause{};
  bool close = false;
};
using Script = std::vector<Step>;

class ScriptedPeer {
 public:
  ScriptedPeer(Env& env, std::vector<Script> scripts)
      : env_(env),
        listener_(env.network.listen(Endpoint{}).value()),
        scripts_(std::move(scripts)),
        tasks_(env.executor) {
    tasks_.add(accept());
  }
  Endpoint endpoint() const { return listener_->endpoint(); }
  const std::vector<std::string>& seen() const { return seen_; }

 private:
  Task<void> accept() {
    for (std::size_t i = 0;; ++i) {
      auto stream = co_await listener_->accept();
      if (!stream) co_return;
      seen_.emplace_back();
      tasks_.add(play(std::move(*stream), i));
    }
  }
  Task<void> play(std::unique_ptr<Stream> stream, std::size_t index) {
    const Script script = scripts_[std::min(index, scripts_.size() - 1)];
    std::vector<char> buffer(4096);
    const std::span<char> room(buffer);
    std::string pending;
    for (const Step& step : script) {
      std::size_t end = std::string::npos;
      while ((end = pending.find(step.until)) == std::string::npos) {
        Result<std::size_t> got = co_await stream->read_some(room);
        if (!got || *got == 0) co_return;
        pending.append(buffer.data(), *got);
        seen_[index].append(buffer.data(), *got);
      }
      pending.erase(0, end + step.until.size());
      if (step.pause > Duration(0)) co_await env_.timers.sleep_for(step.pause);
      if (!step.send.empty()) {
        Result<std::size_t> sent = co_await stream->write_all(step.send);
        if (!sent) co_return;
      }
      if (step.close) co_return;
    }
    for (;;) {
      Result<std::size_t> got = co_await stream->read_some(room);
      if (!got || *got == 0) co_return;
      seen_[index].append(buffer.data(), *got);
    }
  }

  Env& env_;
  std::unique_ptr<Listener> listener_;
  std::vector<Script> scripts_;
  std::vector<std::string> seen_;
  TaskSet tasks_;
};

const std::string ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Send and read the body: status and body, or the error.
Task<std::string> fetch(Client& client, Request request) {
  Result<Response> response = co_await client.send(request);
  if (!response) co_return std::string(to_string(response.error().code));
  Result<void> read = co_await response->body.read_all();
  if (!read) {
    co_return std::to_string(response->status) + " " + std::string(to_string(read.error().code));
  }
  co_return std::to_string(response->status) + " " + response->body.bytes();
}

struct ClientWorld : World {
  using World::World;
  ScriptedPeer& peer_with(std::vector<Script> scripts) {
    peer = std::make_unique<ScriptedPeer>(env, std::move(scripts));
    return *peer;
  }
  std::unique_ptr<Client> client_of_peer(ClientOptions options = {}) {
    return std::make_unique<Client>(env.executor, env.timers, env.network, peer->endpoint(),
                                    options);
  }
  std::unique_ptr<ScriptedPeer> peer;
};

TEST(HttpClient, connections_are_kept_and_used_again) {
  ClientWorld world;
  world.serve([](Request& request) {
    return text(request.method + " " + request.target + " " + request.host());
  });
  auto client = world.client();
  EXPECT_EQ(world.sim.run(fetch(*client, get("/a?b"))), "200 GET /a?b 127.0.0.1");
  Request named = get("/");
  named.headers.set("Host", "hello.example");
  EXPECT_EQ(world.sim.run(fetch(*client, std::move(named))), "200 GET / hello.example");
  EXPECT_EQ(client->connections(), 1U);
  EXPECT_EQ(client->idle_connections(), 1U);
  EXPECT_EQ(world.server->connections(), 1U);
}

TEST(HttpClient, bodies_go_both_ways_in_memory_and_streamed) {
  ClientWorld world;
  world.serve([](Request& request) {
    Response response;
    response.body = std::move(request.body);
    return response;
  });
  auto client = world.client();
  const std::string large(500'000, 'x');
  EXPECT_EQ(world.sim.run(fetch(*client, post("/", "small"))), "200 small");
  EXPECT_EQ(world.sim.run(fetch(*client, post("/", large))), "200 " + large);
  Request chunked = post("/", "");
  const std::vector<std::string> pieces = {"one ", "two ", "three"};
  chunked.body = Body(std::make_unique<ListSource>(world.env.timers, pieces, 10ms));
  EXPECT_EQ(world.sim.run(fetch(*client, std::move(chunked))), "200 one two three");
  Request known = post("/", "");
  known.body = Body(std::make_unique<ListSource>(world.env.timers, pieces, 10ms, 13));
  EXPECT_EQ(world.sim.run(fetch(*client, std::move(known))), "200 one two three");
  EXPECT_EQ(client->connections(), 1U) << "all of it over one connection";
}

TEST(HttpClient, every_framing_of_a_response_is_understood) {
  ClientWorld world;
  const Script script = {
      {.send = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
               "2;x\r\nde\r\n0\r\nT: 1\r\n\r\n"},
      {.send = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok},
      {.send = "HTTP/1.1 204 No Content\r\n\r\n"},
      {.send = "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n"},
      {.send = "HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n"},
      {.send = "HTTP/1.1 200 OK\r\n\r\nuntil the end", .close = true}};
  world.peer_with({script});
  auto client = world.client_of_peer();
  EXPECT_EQ(world.sim.run(fetch(*client, get("/1"))), "200 abcde");
  EXPECT_EQ(world.sim.run(fetch(*client, get("/2"))), "200 ok");
  EXPECT_EQ(world.sim.run(fetch(*client, get("/3"))), "204 ");
  EXPECT_EQ(world.sim.run(fetch(*client, get("/4"))), "304 ");
  Request head = get("/5");
  head.method = "HEAD";
  EXPECT_EQ(world.sim.run(fetch(*client, std::move(head))), "200 ");
  EXPECT_EQ(world.sim.run(fetch(*client, get("/6"))), "200 until the end");
  EXPECT_EQ(world.peer->seen().size(), 1U);
  EXPECT_EQ(client->connections(), 0U);
}

TEST(HttpClient, a_kept_connection_that_was_closed_is_not_used) {
  ClientWorld world;
  world.peer_with({{{.send = ok}, {.until = "never", .pause = 1h}}, {{.send = ok}}});
  ClientOptions options;
  options.idle_timeout = 10s;
  auto client = world.client_of_peer(options);
  EXPECT_EQ(world.sim.run(fetch(*client, get("/"))), "200 ok");
  EXPECT_EQ(client->idle_connections(), 1U);
  world.sim.run_for(11s);
  EXPECT_EQ(client->connections(), 0U) << "idle for too long";
  world.peer_with({{{.send = ok, .close = true}}});
  client = world.client_of_peer();
  EXPECT_EQ(world.sim.run(fetch(*client, get("/"))), "200 ok");
  world.sim.run_for(1s);
  EXPECT_EQ(client->connections(), 0U) << "the peer closed it";
  EXPECT_EQ(world.sim.run(fetch(*client, post("/", "x"))), "200 ok");
  EXPECT_EQ(world.peer->seen().size(), 2U);
}

TEST(HttpClient, repeats_an_idempotent_request_when_the_kept_connection_ends_unanswered) {
  ClientWorld world;
  const Script ends_unanswered = {{.send = ok}, {.send = "", .close = true}};
  world.peer_with({ends_unanswered, {{.send = ok}}});
  auto client = world.client_of_peer();
  EXPECT_EQ(world.sim.run(fetch(*client, get("/1"))), "200 ok");
  EXPECT_EQ(world.sim.run(fetch(*client, get("/2"))), "200 ok");
  ASSERT_EQ(world.peer->seen().size(), 2U);
  EXPECT_NE(world.peer->seen()[1].find("GET /2 "), std::string::npos);

  world.peer_with({ends_unanswered, {{.send = ok}}});
  client = world.client_of_peer();
  EXPECT_EQ(world.sim.run(fetch(*client, get("/1"))), "200 ok");
  EXPECT_EQ(world.sim.run(fetch(*client, post("/2", "x"))), "unavailable")
      << "a POST may have been acted on";
  EXPECT_EQ(world.peer->seen().size(), 1U);

  world.peer_with({{{.send = "", .close = true}}});
  client = world.client_of_peer();
  EXPECT_EQ(world.sim.run(fetch(*client, get("/"))), "unavailable");
  EXPECT_EQ(world.peer->seen().size(), 1U) << "a fresh connection is not repeated";
}

TEST(HttpClient, repeats_whatever_says_that_it_may_be_when_the_kept_connection_ends_unanswered) {
  ClientWorld world;
  world.peer_with({{{.send = ok}, {.send = "", .close = true}}, {{.send = ok}}});
  auto client = world.client_of_peer();
  EXPECT_EQ(world.sim.run(fetch(*client, get("/1"))), "200 ok");
  Request event = post("/2", "x");
  event.repeatable = true;
  EXPECT_EQ(world.sim.run(fetch(*client, std::move(event))), "200 ok");
  EXPECT_EQ(world.peer->seen().size(), 2U);

  world.peer_with({{{.send = "", .close = true}}});
  client = world.client_of_peer();
  event = post("/1", "x");
  event.repeatable = true;
  EXPECT_EQ(world.sim.run(fetch(*client, std::move(event))), "unavailable");
  EXPECT_EQ(world.peer->seen().size(), 1U) << "a fresh connection is not repeated";
}

TEST(HttpClient, bad_responses_are_unavailable_and_end_the_connection) {
  for (const char* bad : {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
                          "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", "garbage\r\n\r\n",
                          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                          "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"}) {
    ClientWorld world;
    world.peer_with({{{.send = bad}}});
    auto client = world.client_of_peer();
    EXPECT_EQ(world.sim.run(fetch(*client, get("/"))), "unavailable") << bad;
    EXPECT_EQ(client->connections(), 0U);
  }
}

TEST(HttpClient, a_response_that_breaks_inside_its_body_fails_there) {
  ClientWorld world;
  world.peer_with({{{.send = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", .close = true}},
                   {{.send = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
                     .close = true}},
                   {{.send = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"}}});
  auto client = world.client_of_peer();
  EXPECT_EQ(world.sim.run(fetch(*client, get("/"))), "200 unavailable");
  EXPECT_EQ(world.sim.run(fetch(*client, get("/"))), "200 unavailable");
  EXPECT_EQ(world.sim.run(fetch(*client, get("/"))), "200 deadline_exceeded");
}

TEST(HttpClient, an_early_answer_ends_the_upload) {
  ClientWorld world;
  world.peer_with({{{.send = "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"}}});
  auto client = world.client_of_peer();
  Request request = post("/", "");
  std::vector<std::string> pieces(100, "piece");
  request.body = Body(std::make_unique<ListSource>(world.env.timers, pieces, 100ms));
  const Instant begin = world.env.timers.now();
  EXPECT_EQ(world.sim.run(fetch(*client, std::move(request))), "413 ");
  EXPECT_LT(world.env.timers.now() - begin, 1s);
  EXPECT_EQ(client->connections(), 0U) << "the rest of the body was never sent";
}

TEST(HttpClient, an_upload_whose_source_breaks_is_not_finished) {
  ClientWorld world;
  std::string seen = "nothing";
  world.serve([&seen](Request& request) -> Task<Response> {
    Result<void> read = co_await request.body.read_all();
    seen = read ? "a whole body" : "a broken body";
    co_return text("");
  });
  auto client = world.client();
  Request request = post("/", "");
  const std::vector<std::string> pieces = {"piece"};
  request.body =
      Body(std::make_unique<ListSource>(world.env.timers, pieces, 10ms, std::nullopt, true));
  EXPECT_EQ(world.sim.run(fetch(*client, std::move(request))), "unavailable");
  world.sim.run_for(1s);
  EXPECT_EQ(seen, "a broken body");
}

TEST(HttpClient, time_limits_hold) {
  ClientWorld world;
  world.peer_with({{{.send = ok, .pause = 10s}}});
  ClientOptions options;
  options.response_timeout = 1s;
  auto client = world.client_of_peer(options);
  EXPECT_EQ(world.sim.run(fetch(*client, get("/"))), "deadline_exceeded");
  EXPECT_EQ(client->connections(), 0U);
  Request request = get("/");
  EXPECT_EQ(world.sim.run(client->handle(request)).status, 504);
}

TEST(HttpClient, failures_are_502_as_a_handler) {
  ClientWorld world;
  Endpoint nobody;
  nobody.port = 1;
  Client client(world.env.executor, world.env.timers, world.env.network, nobody);
  Request request = get("/");
  EXPECT_EQ(world.sim.run(client.handle(request)).status, 502);
  EXPECT_EQ(world.sim.run(fetch(client, get("/"))), "unavailable");
  EXPECT_EQ(client.connections(), 0U);
}

TEST(HttpClient, requests_that_would_break_the_message_are_refused) {
  ClientWorld world;
  world.serve([](Request& request) { return text(request.target); });
  auto client = world.client();
  for (const char* target : {"", "a", "/a b", "/a\r\nX: 1", "/\xc3\xa4", "*a", "/#f"}) {
    EXPECT_EQ(world.sim.run(fetch(*client, get(target))), "invalid_argument") << target;
  }
  Request request = get("/");
  request.method = "GET / HTTP/1.1\r\nX:";
  EXPECT_EQ(world.sim.run(fetch(*client, std::move(request))), "invalid_argument");
  Request options = get("*");
  options.method = "OPTIONS";
  EXPECT_EQ(world.sim.run(fetch(*client, std::move(options))), "200 *");
}

Task<void> fetch_into(Client& client, std::string target, std::vector<std::string>& into) {
  std::string got = co_await fetch(client, get(target));
  into.push_back(std::move(got));
}

TEST(HttpClient, waits_for_a_connection_when_all_are_in_use) {
  ClientWorld world;
  Timers& timers = world.env.timers;
  std::size_t together = 0;
  std::size_t most = 0;
  world.serve([&](Request& request) -> Task<Response> {
    most = std::max(most, ++together);
    co_await timers.sleep_for(1s);
    --together;
    co_return text(request.target);
  });
  ClientOptions options;
  options.connections_max = 2;
  auto client = world.client(options);
  TaskSet tasks(world.env.executor);
  std::vector<std::string> got;
  for (int i = 0; i < 6; ++i) tasks.add(fetch_into(*client, "/" + std::to_string(i), got));
  world.sim.run(tasks.drained());
  EXPECT_EQ(got.size(), 6U);
  for (const std::string& one : got) EXPECT_EQ(one.substr(0, 4), "200 ");
  EXPECT_EQ(most, 2U);
  for (int i = 0; i < 30; ++i) tasks.add(fetch_into(*client, "/", got));
  world.sim.run(tasks.drained());
  EXPECT_EQ(std::count(got.begin(), got.end(), "resource_exhausted"), 20)
      << "five seconds of patience at two a second";
}

TEST(HttpClient, dropping_a_use_or_the_client_ends_the_connection) {
  ClientWorld world;
  Timers& timers = world.env.timers;
  world.serve([&timers](Request&) -> Task<Response> {
    co_await timers.sleep_for(1h);
    co_return text("");
  });
  auto client = world.client();
  std::vector<std::string> got;
  {
    TaskSet tasks(world.env.executor);
    tasks.add(fetch_into(*client, "/", got));
    world.sim.run_for(1s);
    EXPECT_EQ(client->connections(), 1U);
    EXPECT_EQ(world.server->connections(), 1U);
  }
  EXPECT_EQ(client->connections(), 0U);
  world.sim.run_for(1s);
  EXPECT_EQ(world.server->connections(), 0U) << "the server's handler was dropped too";
  TaskSet tasks(world.env.executor);
  tasks.add(fetch_into(*client, "/", got));
  world.sim.run_for(1s);
  client.reset();
  world.sim.run_for(1s);
  EXPECT_EQ(got, std::vector<std::string>{"cancelled"});
}

TEST(HttpClient, a_body_may_outlive_its_client) {
  ClientWorld world;
  world.peer_with({{{.send = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"}}});
  auto client = world.client_of_peer();
  Request request = get("/");
  Response response = world.sim.run(client->send(request)).value();
  client.reset();
  EXPECT_FALSE(world.sim.run(response.body.read_all()));
  EXPECT_EQ(world.sim.run(response.body.read_all()).error().code, Errc::unavailable);
}

TEST(HttpClient, proxies_through_a_server_without_changing_the_message) {
  ClientWorld world;
  world.serve([](Request& request) -> Task<Response> {
    Result<void> read = co_await request.body.read_all();
    if (!read) co_return error_response(500);
    Response response = text(request.method + request.target + request.body.bytes() +
                             std::string(request.headers.get("X-A").value_or("none")));
    response.headers.add("X-B", "b");
    co_return response;
  });
  auto client = world.client();
  Server proxy(world.env.executor, world.env.timers, world.env.logger,
               world.env.network.listen(Endpoint{}).value(), *client);
  const std::string large(200'000, 'y');
  const std::string head = "POST /p HTTP/1.1\r\nHost: a\r\nX-A: a\r\nExpect: 100-continue\r\n";
  const std::vector<std::string> pieces = {
      head + "Content-Length: 3\r\n\r\nabc", head + "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
      "0\r\n\r\n", "HEAD /h HTTP/1.1\r\nHost: a\r\n\r\n",
      head + "Connection: close\r\nContent-Length: 200000\r\n\r\n" + large};
  const Received got = world.sim.run(raw_exchange(world.env, proxy.endpoint(), pieces, 100ms, 10s));
  EXPECT_TRUE(got.ended);
  EXPECT_EQ(count_of(got.bytes, "HTTP/1.1 200 OK"), 4U) << got.bytes.substr(0, 2000);
  EXPECT_EQ(count_of(got.bytes, "X-B: b\r\n"), 4U);
  EXPECT_NE(got.bytes.find("POST/pabca"), std::string::npos);
  EXPECT_NE(got.bytes.find("POST/paba"), std::string::npos);
  EXPECT_NE(got.bytes.find("Content-Length: 10\r\n"), std::string::npos) << "HEAD keeps the length";
  EXPECT_EQ(count_of(got.bytes, large), 1U);
}

/// The n-th operation of each kind fails, for every n that occurs, through a proxy: nothing
/// hangs or leaks, and afterwards requests succeed again.
TEST(HttpClient, every_operation_may_fail_on_the_way_through_a_proxy) {
  for (const SimOperation operation :
       {SimOperation::stream_read, SimOperation::stream_write, SimOperation::connect}) {
    for (std::uint64_t n = 1;; ++n) {
      ClientWorld world(n);
      world.serve([](Request& request) {
        Response response;
        response.body = std::move(request.body);
        return response;
      });
      auto upstream = world.client();
      Server proxy(world.env.executor, world.env.timers, world.env.logger,
                   world.env.network.listen(Endpoint{}).value(), *upstream);
      Client client(world.env.executor, world.env.timers, world.env.network, proxy.endpoint());
      world.sim.faults().fail_nth(operation, n);
      const std::string large(100'000, 'x');
      for (const std::string& body : {std::string("small"), large}) {
        const std::string got = world.sim.run(fetch(client, post("/", body)));
        EXPECT_TRUE(got == "200 " + body || got == "unavailable" || got == "200 unavailable" ||
                    got.substr(0, 4) == "502 ")
            << got.substr(0, 100);
      }
      const bool injected = world.sim.faults().injected() > 0;
      world.sim.faults().clear();
      EXPECT_EQ(world.sim.run(fetch(client, get("/"))), "200 ") << n;
      world.sim.run_for(2min);
      EXPECT_EQ(client.connections() + upstream->connections() + world.server->connections(), 0U);
      if (!injected) break;
    }
  }
}

}  // namespace
}  // namespace knative::http
