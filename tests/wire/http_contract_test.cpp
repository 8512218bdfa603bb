// What a Handler may rely on besides head and body: trailers, interim responses, take-over of the
// connection, and the facts of a request.
#include <gtest/gtest.h>

#include "wire/http_world.hpp"

namespace knative::http {
namespace {

using namespace knative::http::testing;

// ---------------------------------------------------------------------------- trailers

Task<Response> tell_trailers(Request& request) {
  Result<void> read = co_await request.body.read_all();
  if (!read) co_return error_response(400);
  std::string told;
  if (const Headers* trailers = request.body.trailers()) {
    for (const Headers::Field field : *trailers) {
      told.append(field.name).append("=").append(field.value).append(";");
    }
  }
  Response response = text(request.body.bytes() + "|" + told);
  response.body.set_trailers(Headers{{"X-Sum", "7"}, {"Set-Cookie", "never=1"}});
  co_return response;
}

constexpr std::string_view chunked_with_trailers =
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    "3\r\nabc\r\n0\r\nX-Check: 1 2\r\nAuthorization: stolen\r\nx-more:\r\n\r\n";

TEST(HttpContract, trailers_arrive_and_leave_but_never_those_that_decide) {
  World world;
  world.serve(tell_trailers);
  const std::string got = world.answer(std::string(chunked_with_trailers));
  EXPECT_NE(got.find("Transfer-Encoding: chunked\r\n"), std::string::npos) << got;
  EXPECT_NE(got.find("\r\nabc|X-Check=1 2;x-more=;\r\n0\r\nX-Sum: 7\r\n\r\n"), std::string::npos)
      << got;
  EXPECT_EQ(got.find("never"), std::string::npos);
}

TEST(HttpContract, trailers_do_not_depend_on_how_the_bytes_are_cut) {
  World world;
  world.serve(tell_trailers);
  const std::string whole = body_of(world.answer(std::string(chunked_with_trailers)));
  std::vector<std::string> pieces;
  for (const char c : chunked_with_trailers) pieces.emplace_back(1, c);
  EXPECT_EQ(body_of(world.raw(pieces).bytes), whole);
}

TEST(HttpContract, old_clients_get_no_trailers) {
  World world;
  world.serve(tell_trailers);
  const std::string got = world.answer("GET / HTTP/1.0\r\n\r\n");
  EXPECT_NE(got.find("Content-Length: 1\r\n"), std::string::npos) << got;
  EXPECT_EQ(got.find("X-Sum"), std::string::npos);
}

TEST(HttpContract, trailers_pass_a_proxy_in_both_directions) {
  World world;
  world.serve(tell_trailers);
  auto upstream = world.client();
  Server proxy(world.env.executor, world.env.timers, world.env.logger,
               world.env.network.listen(Endpoint{}).value(), *upstream);
  for (const bool streamed : {false, true}) {
    Client client(world.env.executor, world.env.timers, world.env.network, proxy.endpoint());
    auto work = [](Env& env, Client& with, bool in_pieces) -> Task<std::string> {
      Request request = post("/", "abc");
      if (in_pieces) {
        request.body = Body(std::make_unique<ListSource>(
            env.timers, std::vector<std::string>{"a", "bc"}, std::chrono::milliseconds(1)));
      }
      request.body.set_trailers(Headers{{"X-Check", "9"}});
      Result<Response> response = co_await with.send(request);
      if (!response) co_return response.error().to_string();
      Result<void> read = co_await response->body.read_all();
      if (!read || response->body.trailers() == nullptr) co_return "no trailers";
      co_return response->body.bytes() + "|" +
          std::string(response->body.trailers()->get("x-sum").value_or(""));
    };
    EXPECT_EQ(world.sim.run(work(world.env, client, streamed)), "abc|X-Check=9;|7") << streamed;
  }
}

// ---------------------------------------------------------------------------- interim responses

Task<Response> hint(Request& request) {
  std::string told = "none";
  if (request.interim != nullptr) {
    const Headers links{{"Link", "</style.css>"}, {"Content-Length", "9"}};
    Result<void> sent = co_await request.interim->send(103, links);
    Result<void> refused = co_await request.interim->send(101, links);
    told = sent ? "told" : "not told";
    if (refused || refused.error().code != Errc::failed_precondition) told = "101 was taken";
  }
  co_return text(told);
}

TEST(HttpContract, interim_responses_come_before_the_final_one) {
  World world;
  world.serve(hint);
  const std::string got = world.answer("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(got.find("HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\nHTTP/1.1 200 OK\r\n"),
            0U)
      << got;
  EXPECT_EQ(body_of(world.answer("GET / HTTP/1.0\r\n\r\n")), "none");
}

TEST(HttpContract, a_client_passes_interim_responses_on) {
  World world;
  world.serve(hint);
  auto upstream = world.client();
  Server proxy(world.env.executor, world.env.timers, world.env.logger,
               world.env.network.listen(Endpoint{}).value(), *upstream);
  const std::string got =
      world.sim
          .run(raw_exchange(world.env, proxy.endpoint(),
                            {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"}, 1ms, 5s))
          .bytes;
  EXPECT_EQ(got.find("HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\nHTTP/1.1 200 OK\r\n"),
            0U)
      << got;
}

// ---------------------------------------------------------------------------- take-over

/// Answers every byte by its capital letter, until '.'.
class Shouting final : public Tunnel {
 public:
  explicit Shouting(int* ended = nullptr) : ended_(ended) {}
  ~Shouting() override {
    if (ended_ != nullptr) ++*ended_;
  }
  Task<void> run(std::unique_ptr<Stream> stream) override {
    std::vector<char> buffer(16);
    const std::span<char> room(buffer);
    for (;;) {
      Result<std::size_t> got = co_await stream->read_some(room);
      if (!got || *got == 0) co_return;
      for (char& c : room.first(*got)) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
      const std::string_view piece(buffer.data(), *got);
      Result<std::size_t> put = co_await stream->write_all(piece);
      if (!put || piece.ends_with('.')) co_return;
    }
  }

 private:
  int* ended_;
};

Response shout(Request& request) {
  if (request.method == "CONNECT") {
    Response response;
    response.tunnel = std::make_unique<Shouting>();
    return response;
  }
  if (request.upgrade().empty()) return text("no upgrade");
  return switch_protocols(request.upgrade(), std::make_unique<Shouting>());
}

constexpr std::string_view upgrade_request =
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: shout\r\n\r\n";

TEST(HttpContract, an_upgrade_hands_the_stream_over_with_what_was_read) {
  World world;
  world.serve(shout);
  // The first bytes of the other protocol come in the same segment as the request.
  const Received got = world.raw({std::string(upgrade_request) + "hello ", "world."});
  EXPECT_EQ(got.bytes.find("HTTP/1.1 101 Switching Protocols\r\nUpgrade: shout\r\n"), 0U);
  EXPECT_NE(got.bytes.find("Connection: Upgrade\r\n\r\nHELLO WORLD."), std::string::npos)
      << got.bytes;
  EXPECT_TRUE(got.ended);
  EXPECT_EQ(world.server->connections(), 0U);
}

TEST(HttpContract, connect_is_the_handlers_only_when_asked_for) {
  World world;
  world.serve(shout);
  const std::string request = "CONNECT far:443 HTTP/1.1\r\nHost: far:443\r\n\r\nhi.";
  EXPECT_EQ(world.answer(request).find("HTTP/1.1 501 "), 0U);
  ServerOptions options;
  options.connect = true;
  world.serve(shout, options);
  const std::string got = world.answer(request);
  EXPECT_EQ(got.find("HTTP/1.1 200 OK\r\n"), 0U) << got;
  EXPECT_EQ(body_of(got), "HI.");
  EXPECT_EQ(got.find("Content-Length"), std::string::npos);
  EXPECT_EQ(world.answer("CONNECT far HTTP/1.1\r\nHost: far\r\n\r\n").find("HTTP/1.1 400 "), 0U);
  EXPECT_EQ(world.answer("CONNECT far:1 HTTP/1.1\r\nHost: far\r\nContent-Length: 1\r\n\r\nx")
                .find("HTTP/1.1 400 "),
            0U);
}

TEST(HttpContract, tunnels_without_their_status_are_500) {
  World world;
  world.serve([](Request& request) {
    Response response;
    response.status = request.target == "/switch" ? 101 : 200;
    if (request.target != "/none") response.tunnel = std::make_unique<Shouting>();
    if (request.target == "/none") response.status = 101;
    return response;
  });
  for (const char* target : {"/switch", "/ok", "/none"}) {
    const std::string got = world.answer("GET " + std::string(target) +
                                         " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    EXPECT_EQ(got.find("HTTP/1.1 500 "), 0U) << target << got;
  }
}

TEST(HttpContract, an_upgrade_passes_a_proxy) {
  World world;
  world.serve(shout);
  ClientOptions options;
  options.connections_max = 1;
  auto upstream = world.client(options);
  Server proxy(world.env.executor, world.env.timers, world.env.logger,
               world.env.network.listen(Endpoint{}).value(), *upstream);
  const std::vector<std::string> pieces = {std::string(upgrade_request), "hello ", "world."};
  const Received got = world.sim.run(raw_exchange(world.env, proxy.endpoint(), pieces, 10ms, 5s));
  EXPECT_NE(got.bytes.find("\r\n\r\nHELLO WORLD."), std::string::npos) << got.bytes;
  EXPECT_TRUE(got.ended);
  // The place of the tunnel's connection is free again, once our end has arrived.
  world.sim.run_for(1s);
  EXPECT_EQ(upstream->connections(), 0U);
}

TEST(HttpContract, a_client_gives_the_stream_to_a_caller_who_speaks_the_protocol) {
  World world;
  world.serve(shout);
  auto client = world.client();
  auto work = [](Client& with) -> Task<std::string> {
    Request request = get("/");
    request.headers.set("Upgrade", "shout");
    request.headers.set("Connection", "upgrade");
    Result<Response> response = co_await with.send(request);
    if (!response || !response->tunnel) co_return "no tunnel";
    std::unique_ptr<Stream> stream = response->tunnel->take_stream();
    (co_await stream->write_all("hey.")).value();
    std::vector<char> buffer(64);
    const std::span<char> room(buffer);
    const std::size_t got = (co_await stream->read_some(room)).value();
    co_return std::to_string(response->status) + " " + std::string(buffer.data(), got) + " " +
        std::to_string(with.connections());
  };
  EXPECT_EQ(world.sim.run(work(*client)), "101 HEY. 1");
  EXPECT_EQ(client->connections(), 0U);
}

TEST(HttpContract, a_server_that_goes_ends_its_tunnels) {
  World world;
  int ended = 0;
  world.serve([&ended](Request& request) {
    return switch_protocols(request.upgrade(), std::make_unique<Shouting>(&ended));
  });
  auto work = [](World& in) -> Task<std::size_t> {
    auto stream = (co_await in.env.network.connect(in.server->endpoint())).value();
    (co_await stream->write_all(upgrade_request)).value();
    co_await in.env.timers.sleep_for(std::chrono::seconds(1));
    in.server.reset();
    std::vector<char> buffer(1024);
    const std::span<char> room(buffer);
    (co_await stream->read_some(room)).value();  // the head
    Result<std::size_t> end = co_await stream->read_some(room);
    co_return end ? *end : 0;
  };
  EXPECT_EQ(world.sim.run(work(world)), 0U);
  EXPECT_EQ(ended, 1);
}

// ---------------------------------------------------------------------------- facts, conditions

TEST(HttpContract, a_request_knows_how_it_came) {
  World world;
  world.serve([](Request& request) {
    return text(request.scheme + " " + std::string(request.authority()) + " " +
                (request.version == Version::http_1_0 ? "1.0" : "1.1") + " " +
                (request.tls == nullptr ? "clear" : "tls"));
  });
  EXPECT_EQ(body_of(world.answer("GET https://A:81/x HTTP/1.1\r\nHost: A:81\r\n"
                                 "Connection: close\r\n\r\n")),
            "http A:81 1.1 clear");
  EXPECT_EQ(body_of(world.answer("GET / HTTP/1.0\r\n\r\n")), "http  1.0 clear");
}

TEST(HttpContract, one_table_maps_conditions_to_statuses_and_back) {
  for (int value = 1; value <= 12; ++value) {
    const auto condition = static_cast<Errc>(value);
    const int status = status_of(condition);
    EXPECT_FALSE(reason_phrase(status).empty());
    EXPECT_EQ(gateway_status_of(condition), condition == Errc::unavailable ? 502 : status);
    // Where several conditions share a status, the way back gives one of them.
    EXPECT_EQ(status_of(condition_of(status)), status);
  }
  EXPECT_EQ(condition_of(401), Errc::failed_precondition);
  EXPECT_EQ(condition_of(429), Errc::resource_exhausted);
  EXPECT_EQ(condition_of(418), Errc::invalid_argument);
  EXPECT_EQ(condition_of(599), Errc::internal);
}

TEST(HttpContract, a_502_names_no_internal_port) {
  World world;
  auto listener = world.env.network.listen(Endpoint{}).value();
  const Endpoint nobody = listener->endpoint();
  listener.reset();
  std::string told;
  ClientOptions options;
  options.on_failure = [&told](const Error& error) { told = error.detail; };
  Client client(world.env.executor, world.env.timers, world.env.network, nobody, options);
  auto work = [](Client& with) -> Task<Response> {
    Request request = get("/");
    co_return co_await with.handle(request);
  };
  const Response response = world.sim.run(work(client));
  EXPECT_EQ(response.status, 502);
  EXPECT_TRUE(response.unreached);
  EXPECT_EQ(response.body.bytes(), "Bad Gateway: no answer\n");
  EXPECT_NE(told.find(std::to_string(nobody.port)), std::string::npos) << told;
}

Task<void> answer_by_scripts(Listener& listener) {
  Task<Result<std::unique_ptr<Stream>>> accepting = listener.accept();
  const std::unique_ptr<Stream> stream = (co_await std::move(accepting)).value();
  Task<Result<std::size_t>> writing = stream->write_all("HTTP/1.0 200 OK\n\nhello\n");
  (void)co_await std::move(writing);
}

TEST(HttpContract, an_answer_that_is_no_http_is_told_to_whom_the_program_belongs) {
  Simulation world{9};
  const Endpoint any{.host = "127.0.0.1", .port = 0, .path = {}};
  const std::unique_ptr<Listener> listener = world.env().network.listen(any).value();
  std::vector<std::string> told;
  ClientOptions options;
  options.on_bad_answer = [&told](const Error& error) { told.push_back(error.detail); };
  Client client(world.env().executor, world.env().timers, world.env().network, listener->endpoint(),
                options);
  TaskSet serving(world.env().executor);
  serving.add(answer_by_scripts(*listener));
  Request request = get("/");
  const Response response = world.run(client.handle(request));
  EXPECT_EQ(response.status, 502);
  ASSERT_EQ(told.size(), 1U);
  EXPECT_NE(told[0].find("line feed without carriage return at byte 15"), std::string::npos)
      << told[0];
}

}  // namespace
}  // namespace knative::http
