#include <gtest/gtest.h>

#include <stdexcept>

#include "http_vectors.hpp"
#include "http_world.hpp"

namespace knative::http {
namespace {

using namespace knative::http::testing;
using ::testing::Test;

const std::string simple_get = "GET /?name=ada HTTP/1.1\r\nHost: a\r\n\r\n";
const std::string last_get = "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

Response echo_target(Request& request) { return text(request.method + " " + request.target); }

Task<Response> echo_body(Request& request) {
  Result<void> read = co_await request.body.read_all();
  if (!read) co_return error_response(500, read.error().to_string());
  co_return text("<" + request.body.bytes() + ">");
}

TEST(HttpServer, answers_and_keeps_the_connection) {
  World world;
  world.serve(echo_target);
  const Received got = world.raw({simple_get, last_get});
  EXPECT_TRUE(got.ended);
  EXPECT_EQ(count_of(got.bytes, "HTTP/1.1 200 OK\r\n"), 2U);
  EXPECT_NE(got.bytes.find("\r\nContent-Length: 14\r\n"), std::string::npos) << got.bytes;
  EXPECT_NE(got.bytes.find("GET /?name=ada"), std::string::npos);
  EXPECT_NE(got.bytes.find("Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n"), std::string::npos)
      << got.bytes;
  EXPECT_EQ(count_of(got.bytes, "Connection: close\r\n"), 1U);
  EXPECT_EQ(world.server->requests(), 2U);
  world.sim.run_for(2s);
  EXPECT_EQ(world.server->connections(), 0U);
}

TEST(HttpServer, what_a_client_lists_in_connection_cannot_take_away_what_is_added_later) {
  World world;
  world.serve([](Request& request) {
    request.headers.set("X-Forwarded-For", "ours");
    remove_hop_by_hop(request.headers);  // as before it goes to a program
    std::string names;
    for (std::size_t i = 0; i < request.headers.size(); ++i) {
      names += std::string(request.headers.at(i).name) + ";";
    }
    return text(names);
  });
  const std::string got = world.answer(
      "GET / HTTP/1.1\r\nHost: a\r\nX-Mine: 1\r\nX-Kept: 1\r\n"
      "Connection: close, host, x-mine\r\nConnection: X-Forwarded-For\r\n\r\n");
  EXPECT_NE(got.find("\r\n\r\nHost;X-Kept;X-Forwarded-For;"), std::string::npos) << got;
}

TEST(HttpServer, pipelined_requests_are_answered_in_order) {
  World world;
  Timers& timers = world.env.timers;
  world.serve([&timers](Request& request) -> Task<Response> {
    // The first takes longest: its answer must still be the first.
    if (request.target == "/1") co_await timers.sleep_for(1s);
    co_return text(request.target + ";");
  });
  std::string all;
  for (const char* target : {"/1", "/2", "/3"}) {
    all += "GET " + std::string(target) + " HTTP/1.1\r\nHost: a\r\n\r\n";
  }
  const std::string got = world.answer(all + last_get);
  const std::size_t first = got.find("/1;");
  const std::size_t second = got.find("/2;");
  const std::size_t third = got.find("/3;");
  EXPECT_LT(first, second);
  EXPECT_LT(second, third);
  EXPECT_LT(third, got.find("/last;"));
}

TEST(HttpServer, a_request_may_arrive_byte_by_byte) {
  World world;
  world.serve(echo_body);
  std::vector<std::string> bytes;
  for (const char c : std::string("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                                  "Transfer-Encoding: chunked\r\n\r\n"
                                  "5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nT: 1\r\n\r\n")) {
    bytes.emplace_back(1, c);
  }
  EXPECT_EQ(body_of(world.raw(bytes).bytes), "<hello world>");
}

TEST(HttpServer, bodies_of_known_length_arrive_in_memory_or_streamed) {
  World world;
  world.serve(echo_body);
  const std::string head = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: ";
  EXPECT_EQ(body_of(world.answer(head + "5\r\n\r\nhello")), "<hello>");
  const std::string large(300'000, 'x');
  EXPECT_EQ(body_of(world.answer(head + "300000\r\n\r\n" + large)), "<" + large + ">");
  EXPECT_EQ(body_of(world.raw({head + "5\r\n\r\nhe", "llo"}).bytes), "<hello>");
}

TEST(HttpServer, every_rejected_vector_gets_its_status_and_the_connection_ends) {
  World world;
  std::string seen;
  world.serve([&seen](Request& request) {
    seen = request.target;
    return text("");
  });
  for (const auto& vector : knative::testing::load_http_vectors("requests.txt")) {
    if (vector.verdict != "reject") continue;
    seen.clear();
    const Received got = world.raw({vector.bytes + simple_get});
    EXPECT_TRUE(got.ended) << vector.name;
    EXPECT_EQ(got.bytes.substr(0, 13), "HTTP/1.1 " + std::to_string(vector.status) + " ")
        << vector.name;
    EXPECT_EQ(count_of(got.bytes, "HTTP/1.1 "), 1U) << vector.name;
    EXPECT_NE(got.bytes.find("at byte " + std::to_string(*vector.offset) + "\n"), std::string::npos)
        << vector.name << got.bytes;
    EXPECT_EQ(seen, "") << vector.name << ": a smuggled request reached the handler";
  }
  world.sim.run_for(2s);
  EXPECT_EQ(world.server->connections(), 0U);
}

TEST(HttpServer, a_broken_chunked_body_is_400_and_the_rest_is_no_request) {
  World world;
  int calls = 0;
  world.serve([&calls](Request& request) -> Task<Response> {
    ++calls;
    co_return co_await echo_body(request);
  });
  const std::string head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const auto& vector : knative::testing::load_http_vectors("chunked.txt")) {
    if (vector.verdict != "reject") continue;
    for (const bool at_once : {true, false}) {
      calls = 0;
      const Received got = at_once ? world.raw({head + vector.bytes + simple_get})
                                   : world.raw({head, vector.bytes + simple_get});
      EXPECT_EQ(got.bytes.substr(0, 13), "HTTP/1.1 " + std::to_string(vector.status) + " ")
          << vector.name;
      EXPECT_TRUE(got.ended) << vector.name;
      EXPECT_LE(calls, 1) << vector.name;
    }
  }
}

TEST(HttpServer, bodies_over_the_bound_are_413) {
  World world;
  ServerOptions options;
  options.body_bytes_max = 1000;
  int calls = 0;
  world.serve(
      [&calls](Request& request) -> Task<Response> {
        ++calls;
        co_return co_await echo_body(request);
      },
      options);
  const std::string head = "POST / HTTP/1.1\r\nHost: a\r\n";
  EXPECT_EQ(world.answer(head + "Content-Length: 1001\r\n\r\n").substr(0, 13), "HTTP/1.1 413 ");
  EXPECT_EQ(calls, 0);
  const std::string chunk = "1f4\r\n" + std::string(500, 'x') + "\r\n";
  EXPECT_NE(world.answer(head + "Transfer-Encoding: chunked\r\n\r\n" + chunk + chunk + "0\r\n\r\n")
                .find(" 200 OK"),
            std::string::npos);
  const Received over = world.raw(
      {head + "Transfer-Encoding: chunked\r\n\r\n" + chunk, chunk, "1\r\nx\r\n0\r\n\r\n"});
  EXPECT_EQ(over.bytes.substr(0, 13), "HTTP/1.1 413 ");
  EXPECT_TRUE(over.ended);
}

TEST(HttpServer, says_continue_only_when_the_handler_reads) {
  World world;
  world.serve([](Request& request) -> Task<Response> {
    if (request.target == "/no") co_return error_response(403);
    co_return co_await echo_body(request);
  });
  auto expect = [](std::string_view target) {
    return "POST " + std::string(target) +
           " HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
  };
  const std::string yes = world.raw({expect("/"), "hello", last_get}, 1s).bytes;
  EXPECT_EQ(yes.find("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"), 0U) << yes;
  EXPECT_NE(yes.find("<hello>"), std::string::npos);
  const Received no = world.raw({expect("/no")});
  EXPECT_EQ(no.bytes.find("HTTP/1.1 403 "), 0U) << no.bytes;
  EXPECT_TRUE(no.ended) << "nobody can tell whether the body will come";
  const std::string at_once = world.answer(expect("/") + "hello");
  EXPECT_EQ(at_once.find("HTTP/1.1 200 OK\r\n"), 0U) << at_once;
}

TEST(HttpServer, head_has_the_length_but_no_body) {
  World world;
  world.serve(echo_target);
  const std::string got = world.answer("HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n" + last_get);
  EXPECT_EQ(count_of(got, "HTTP/1.1 200 OK\r\n"), 2U);
  EXPECT_NE(got.find("Content-Length: 7\r\n"), std::string::npos);
  EXPECT_EQ(got.find("HEAD /x"), std::string::npos);
}

TEST(HttpServer, no_content_has_neither_body_nor_length) {
  World world;
  world.serve([](Request&) {
    Response response = text("not to be sent", 204);
    response.headers.add("Content-Length", "14");
    return response;
  });
  const std::string got = world.answer(last_get);
  EXPECT_EQ(got.find("HTTP/1.1 204 No Content\r\n"), 0U);
  EXPECT_EQ(got.find("Content-Length"), std::string::npos);
  EXPECT_EQ(body_of(got), "");
}

TEST(HttpServer, a_handlers_framing_fields_are_ignored) {
  World world;
  world.serve([](Request&) {
    Response response = text("abc");
    response.headers.add("content-length", "1");
    response.headers.add("Transfer-Encoding", "chunked");
    response.headers.add("Connection", "x");
    response.headers.add("X-Kept", "1");
    return response;
  });
  const std::string got = world.answer(last_get);
  EXPECT_EQ(count_of(got, "ontent-"), 2U) << got;  // Content-Type and our Content-Length
  EXPECT_NE(got.find("Content-Length: 3\r\n"), std::string::npos);
  EXPECT_EQ(got.find("Transfer-Encoding"), std::string::npos);
  EXPECT_EQ(count_of(got, "Connection: "), 1U);
  EXPECT_NE(got.find("X-Kept: 1\r\n"), std::string::npos);
}

TEST(HttpServer, streamed_responses_are_chunked_or_of_known_length) {
  World world;
  Timers& timers = world.env.timers;
  world.serve([&timers](Request& request) {
    const bool known = request.target == "/known";
    const std::vector<std::string> pieces = {"one ", "two ", "three"};
    Response response;
    response.body = Body(std::make_unique<ListSource>(
        timers, pieces, 10ms, known ? std::optional<std::uint64_t>(13) : std::nullopt));
    return response;
  });
  const std::string chunked =
      world.answer("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_NE(chunked.find("Transfer-Encoding: chunked\r\n"), std::string::npos);
  EXPECT_EQ(body_of(chunked), "4\r\none \r\n4\r\ntwo \r\n5\r\nthree\r\n0\r\n\r\n");
  const std::string known =
      world.answer("GET /known HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_NE(known.find("Content-Length: 13\r\n"), std::string::npos);
  EXPECT_EQ(body_of(known), "one two three");
  const Received old = world.raw({"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"});
  EXPECT_EQ(body_of(old.bytes), "one two three");
  EXPECT_TRUE(old.ended) << "the end of the connection is the end of the body";
}

TEST(HttpServer, a_streamed_response_that_breaks_has_no_proper_end) {
  World world;
  Timers& timers = world.env.timers;
  world.serve([&timers](Request& request) {
    const std::vector<std::string> pieces = {"one"};
    Response response;
    const bool shorter = request.target == "/short";
    response.body = Body(std::make_unique<ListSource>(
        timers, pieces, 1ms, shorter ? std::optional<std::uint64_t>(10) : std::nullopt, !shorter));
    return response;
  });
  const Received broken = world.raw({simple_get});
  EXPECT_TRUE(broken.ended);
  EXPECT_EQ(body_of(broken.bytes), "3\r\none\r\n");
  const Received shorter = world.raw({"GET /short HTTP/1.1\r\nHost: a\r\n\r\n"});
  EXPECT_TRUE(shorter.ended);
  EXPECT_EQ(body_of(shorter.bytes), "one");
}

TEST(HttpServer, a_body_can_be_echoed_while_it_arrives) {
  World world;
  world.serve([](Request& request) {
    Response response;
    response.body = std::move(request.body);
    return response;
  });
  const std::string head = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: ";
  std::vector<std::string> pieces = {head + "9\r\n\r\n", "abc", "def", "ghi"};
  EXPECT_EQ(body_of(world.raw(pieces, 1s).bytes), "abcdefghi");
}

TEST(HttpServer, old_version_clients_are_served) {
  World world;
  world.serve(echo_target);
  const Received once = world.raw({"GET / HTTP/1.0\r\n\r\n"});
  EXPECT_TRUE(once.ended);
  EXPECT_EQ(body_of(once.bytes), "GET /");
  const Received kept =
      world.raw({"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "GET /2 HTTP/1.0\r\n\r\n"});
  EXPECT_EQ(count_of(kept.bytes, "HTTP/1.1 200"), 2U);
  EXPECT_EQ(count_of(kept.bytes, "Connection: keep-alive\r\n"), 1U);
}

TEST(HttpServer, a_handler_that_throws_is_500_and_the_connection_lives) {
  World world;
  world.serve([](Request& request) -> Task<Response> {
    if (request.target == "/odd") throw 7;
    if (request.target == "/status") co_return text("", 42);
    if (request.target == "/last") co_return text("fine");
    throw std::runtime_error("boom");
  });
  const std::string got = world.answer(simple_get + "GET /odd HTTP/1.1\r\nHost: a\r\n\r\n" +
                                       "GET /status HTTP/1.1\r\nHost: a\r\n\r\n" + last_get);
  EXPECT_EQ(count_of(got, "HTTP/1.1 500 "), 3U);
  EXPECT_EQ(count_of(got, "boom"), 0U) << "what is thrown is not the client's business";
  EXPECT_EQ(body_of(got.substr(got.find("HTTP/1.1 200"))), "fine");
}

TEST(HttpServer, an_unread_body_is_dropped_up_to_a_bound) {
  World world;
  world.serve(echo_target);
  auto post = [](std::size_t size) {
    return "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(size) + "\r\n\r\n" +
           std::string(size, 'x');
  };
  EXPECT_EQ(count_of(world.answer(post(100'000) + last_get), "HTTP/1.1 200"), 2U);
  const Received large = world.raw({post(1'000'000) + last_get});
  EXPECT_EQ(count_of(large.bytes, "HTTP/1.1 200"), 1U);
  EXPECT_TRUE(large.ended);
  const std::string chunks = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
  EXPECT_EQ(count_of(world.raw({chunks, "3\r\nabc\r\n0\r\n\r\n" + last_get}).bytes, "HTTP/1.1 200"),
            2U);
}

TEST(HttpServer, a_refusal_before_the_body_was_received_ends_the_connection) {
  for (const std::string framing : {"Content-Length: 10", "Transfer-Encoding: chunked"}) {
    World world;
    world.serve([](Request&) -> Task<Response> { co_return error_response(503, "not now"); });
    const std::string head = "POST / HTTP/1.1\r\nHost: a\r\n" + framing + "\r\n\r\n";
    const std::string begun = framing.starts_with("C") ? "abc" : "3\r\nabc\r\n";
    const Received got = world.raw({head + begun, simple_get}, 1s);
    EXPECT_EQ(count_of(got.bytes, "HTTP/1.1 503"), 1U) << got.bytes;
    EXPECT_NE(got.bytes.find("Connection: close"), std::string::npos) << got.bytes;
    EXPECT_TRUE(got.ended);
  }
  // What is there need not be sent again: the connection stays.
  World world;
  world.serve([](Request&) -> Task<Response> { co_return error_response(404, "nobody"); });
  const std::string whole = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
  EXPECT_EQ(count_of(world.answer(whole + last_get), "HTTP/1.1 404"), 2U);
}

TEST(HttpServer, a_handler_is_dropped_when_its_client_leaves) {
  World world;
  Timers& timers = world.env.timers;
  struct Note {
    int* to;
    ~Note() { ++*to; }
  };
  int dropped = 0;
  bool finished = false;
  world.serve([&](Request&) -> Task<Response> {
    const Note note{&dropped};
    co_await timers.sleep_for(1h);
    finished = true;
    co_return text("late");
  });
  const Received got = world.raw({simple_get}, 1ms, 10s);
  EXPECT_FALSE(got.ended);
  world.sim.run_for(1s);
  EXPECT_EQ(dropped, 1);
  EXPECT_FALSE(finished);
  EXPECT_EQ(world.server->connections(), 0U);
}

TEST(HttpServer, data_that_arrives_while_a_handler_works_is_the_next_request) {
  World world;
  Timers& timers = world.env.timers;
  world.serve([&timers](Request& request) -> Task<Response> {
    co_await timers.sleep_for(1s);
    co_return text(request.target);
  });
  const Received got =
      world.raw({simple_get, "GET /2 HTTP/1.1\r\nHo", "st: a\r\n\r\n", last_get}, 100ms);
  EXPECT_EQ(count_of(got.bytes, "HTTP/1.1 200"), 3U);
  EXPECT_TRUE(got.ended);
}

// ---------------------------------------------------------------------------- time

TEST(HttpServer, a_slow_header_is_408) {
  World world;
  world.serve(echo_target);
  const Received got = world.raw({"GET / HT"}, 1ms, 1h);
  EXPECT_EQ(got.bytes.find("HTTP/1.1 408 "), 0U);
  EXPECT_TRUE(got.ended);
  EXPECT_GE(got.after, 10s);
  EXPECT_LT(got.after, 12s);
}

TEST(HttpServer, a_header_that_drips_is_408_all_the_same) {
  World world;
  world.serve(echo_target);
  std::vector<std::string> drops = {"GET / HTTP/1.1\r\nHost: a\r\n"};
  for (int i = 0; i < 100; ++i) drops.push_back("X: 1\r\n");
  const Received got = world.raw(drops, 1s, 1h);
  EXPECT_EQ(got.bytes.find("HTTP/1.1 408 "), 0U);
}

TEST(HttpServer, an_idle_connection_is_closed_in_silence) {
  World world;
  world.serve(echo_target);
  const Received never = world.raw({}, 1ms, 1h);
  EXPECT_TRUE(never.ended);
  EXPECT_EQ(never.bytes, "");
  EXPECT_GE(never.after, 60s);
  EXPECT_LT(never.after, 61s);
  const Received after = world.raw({simple_get}, 1ms, 1h);
  EXPECT_TRUE(after.ended);
  EXPECT_EQ(count_of(after.bytes, "HTTP/1.1"), 1U);
  EXPECT_LT(after.after, 61s);
}

TEST(HttpServer, a_body_that_stops_is_408) {
  World world;
  world.serve(echo_body);
  const Received got =
      world.raw({"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe", "l"}, 20s, 1h);
  EXPECT_EQ(got.bytes.find("HTTP/1.1 408 "), 0U) << got.bytes;
  EXPECT_TRUE(got.ended);
  EXPECT_GE(got.after, 30s);
  EXPECT_LT(got.after, 33s);
}

/// `count` pieces of `bytes`, one a second, behind the head of a request with a body of that size.
std::vector<std::string> drip(int count, std::size_t bytes, const std::string& first = "") {
  const std::size_t size = first.size() + static_cast<std::size_t>(count) * bytes;
  std::vector<std::string> pieces = {
      "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
      "Content-Length: " +
      std::to_string(size) + "\r\n\r\n" + first};
  for (int i = 0; i < count; ++i) pieces.emplace_back(bytes, 'x');
  return pieces;
}

TEST(HttpServer, a_body_that_drips_is_408_and_does_not_hold_its_connection_for_ever) {
  World world;
  world.serve(echo_body);
  // Who was fast at first has not bought hours with it.
  for (const std::string& first : {std::string(), std::string(1'000'000, 'x')}) {
    const Received got = world.raw(drip(600, 1, first), 1s, 1h);
    EXPECT_EQ(got.bytes.find("HTTP/1.1 408 "), 0U) << got.bytes.substr(0, 100);
    EXPECT_TRUE(got.ended);
    EXPECT_LT(got.after, 40s);
    EXPECT_EQ(world.server->connections(), 0U);
  }
}

TEST(HttpServer, chunks_that_drip_are_408_too) {
  World world;
  world.serve(echo_body);
  std::vector<std::string> drops = {
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"};
  for (int i = 0; i < 600; ++i) drops.push_back("1\r\nx\r\n");
  const Received got = world.raw(drops, 1s, 1h);
  EXPECT_EQ(got.bytes.find("HTTP/1.1 408 "), 0U) << got.bytes.substr(0, 100);
  EXPECT_LT(got.after, 40s);
}

TEST(HttpServer, a_slow_upload_that_keeps_coming_is_not_cut) {
  World world;
  world.serve(echo_body);
  const Received got = world.raw(drip(600, 1000), 1s, 1h);  // ten minutes
  EXPECT_EQ(got.bytes.find("HTTP/1.1 200 "), 0U) << got.bytes.substr(0, 100);
  EXPECT_EQ(body_of(got.bytes).size(), 600'002U);
}

TEST(HttpServer, a_body_that_the_handler_is_slow_to_read_is_not_cut) {
  World world;
  world.serve([&world](Request& request) -> Task<Response> {
    std::size_t size = 0;
    for (;;) {
      Result<std::string_view> piece = co_await request.body.source()->next();
      if (!piece) co_return error_response(500, piece.error().detail);
      if (piece->empty()) break;
      size += piece->size();
      co_await world.env.timers.sleep_for(std::chrono::seconds(20));
    }
    co_return text(std::to_string(size));
  });
  const Received got = world.raw(drip(0, 0, std::string(600'000, 'x')), 1ms, 1h);
  EXPECT_EQ(body_of(got.bytes), "600000") << got.bytes.substr(0, 100);
}

TEST(HttpServer, without_a_least_rate_only_a_pause_ends_a_body) {
  World world;
  ServerOptions options;
  options.body_bytes_per_second_min = 0;
  world.serve(echo_body, options);
  const Received got = world.raw(drip(100, 1), 1s, 1h);
  EXPECT_EQ(got.bytes.find("HTTP/1.1 200 "), 0U) << got.bytes.substr(0, 100);
}

TEST(HttpServer, a_peer_that_does_not_read_is_given_up) {
  World world;
  world.serve([](Request&) { return text(std::string(10'000'000, 'x')); });
  auto work = [](World& in) -> Task<std::size_t> {
    auto stream = (co_await in.env.network.connect(in.server->endpoint())).value();
    (co_await stream->write_all("GET / HTTP/1.1\r\nHost: a\r\n\r\n")).value();
    co_await in.env.timers.sleep_for(std::chrono::seconds(29));
    const std::size_t before = in.server->connections();
    co_await in.env.timers.sleep_for(std::chrono::seconds(3));
    co_return before * 10 + in.server->connections();
  };
  EXPECT_EQ(world.sim.run(work(world)), 10U);
}

TEST(HttpServer, a_slow_reader_that_does_read_gets_everything) {
  SimulationOptions options = World::quiet();
  options.faults.slow_reader = 1;
  options.faults.slow_bytes_per_second = 10'000;  // over a minute for the whole
  World world(7, options);
  world.serve([](Request&) { return text(std::string(1'000'000, 'x')); });
  const Received got = world.raw({last_get}, 1ms, 1h);
  EXPECT_EQ(body_of(got.bytes).size(), 1'000'000U);
}

// ---------------------------------------------------------------------------- bounds, draining

/// Connect and send `text`; then nothing more.
Task<std::vector<std::unique_ptr<Stream>>> hold(World& in, int count, std::string text) {
  std::vector<std::unique_ptr<Stream>> held;
  for (int i = 0; i < count; ++i) {
    held.push_back((co_await in.env.network.connect(in.server->endpoint())).value());
    if (!text.empty()) (co_await held.back()->write_all(text)).value();
  }
  co_await in.env.timers.sleep_for(std::chrono::seconds(1));
  co_return held;
}

TEST(HttpServer, connections_over_the_bound_get_503_when_all_are_busy) {
  World world;
  ServerOptions options;
  options.connections_max = 2;
  Timers& timers = world.env.timers;
  world.serve(
      [&timers](Request&) -> Task<Response> {
        co_await timers.sleep_for(10s);
        co_return text("late");
      },
      options);
  auto work = [](World& in) -> Task<std::string> {
    auto held = co_await hold(in, 2, simple_get);
    const std::vector<std::string> pieces = {simple_get};
    Received third = co_await raw_exchange(in.env, in.server->endpoint(), pieces,
                                           std::chrono::seconds(1), std::chrono::seconds(5));
    co_return third.ended ? third.bytes : "not closed";
  };
  const std::string got = world.sim.run(work(world));
  EXPECT_EQ(got.find("HTTP/1.1 503 "), 0U) << got;
  EXPECT_NE(got.find("Retry-After: 1\r\n"), std::string::npos);
  EXPECT_NE(got.find("Connection: close\r\n"), std::string::npos);
  EXPECT_EQ(world.server->refused(), 1U);
}

TEST(HttpServer, an_idle_connection_gives_way_when_the_bound_is_reached) {
  World world;
  ServerOptions options;
  options.connections_max = 2;
  world.serve(echo_target, options);
  auto work = [](World& in) -> Task<std::string> {
    auto held = co_await hold(in, 2, "");
    const std::vector<std::string> pieces = {last_get};
    Received third = co_await raw_exchange(in.env, in.server->endpoint(), pieces,
                                           std::chrono::seconds(1), std::chrono::seconds(5));
    std::vector<char> buffer(4096);
    const std::span<char> room(buffer);
    // The one that waited longest was told, and closed.
    const std::size_t told = (co_await held[0]->read_some(room)).value();
    const std::size_t more = (co_await held[0]->read_some(room)).value();
    co_return third.bytes.substr(0, 12) + "|" + std::string(buffer.data(), told).substr(0, 12) +
        "|" + std::to_string(more);
  };
  EXPECT_EQ(world.sim.run(work(world)), "HTTP/1.1 200|HTTP/1.1 503|0");
  EXPECT_EQ(world.server->refused(), 0U);
}

TEST(HttpServer, drain_finishes_what_runs_and_closes_what_idles) {
  World world;
  Timers& timers = world.env.timers;
  world.serve([&timers](Request& request) -> Task<Response> {
    co_await timers.sleep_for(10s);
    co_return text(request.target);
  });
  auto work = [](World& in) -> Task<std::string> {
    auto idle = (co_await in.env.network.connect(in.server->endpoint())).value();
    auto busy = (co_await in.env.network.connect(in.server->endpoint())).value();
    (co_await busy->write_all("GET /busy HTTP/1.1\r\nHost: a\r\n\r\n")).value();
    co_await in.env.timers.sleep_for(std::chrono::seconds(1));
    const Instant begin = in.env.timers.now();
    co_await in.server->drain();
    const bool waited = in.env.timers.now() - begin > std::chrono::seconds(8);
    std::vector<char> buffer(4096);
    const std::span<char> room(buffer);
    const std::size_t idle_got = (co_await idle->read_some(room)).value();
    const std::size_t got = (co_await busy->read_some(room)).value();
    auto refused = co_await in.env.network.connect(in.server->endpoint());
    co_return std::string(buffer.data(), got) + (waited ? " waited" : "") +
        (idle_got == 0 ? " closed" : "") + (refused ? "" : " refused");
  };
  const std::string got = world.sim.run(work(world));
  EXPECT_NE(got.find("Connection: close\r\n"), std::string::npos);
  EXPECT_NE(got.find("/busy waited closed refused"), std::string::npos) << got;
}

TEST(HttpServer, destroying_it_drops_handlers_and_connections) {
  World world;
  Timers& timers = world.env.timers;
  world.serve([&timers](Request&) -> Task<Response> {
    co_await timers.sleep_for(1h);
    co_return text("");
  });
  auto work = [](World& in) -> Task<bool> {
    auto stream = (co_await in.env.network.connect(in.server->endpoint())).value();
    (co_await stream->write_all(simple_get)).value();
    co_await in.env.timers.sleep_for(std::chrono::seconds(1));
    in.server.reset();
    std::vector<char> buffer(16);
    const std::span<char> room(buffer);
    Result<std::size_t> got = co_await stream->read_some(room);
    co_return !got || *got == 0;
  };
  EXPECT_TRUE(world.sim.run(work(world)));
}

TEST(HttpServer, a_body_that_outlives_its_request_only_fails) {
  World world;
  Body carried;
  world.serve([&carried](Request& request) {
    carried = std::move(request.body);
    return text("");
  });
  world.raw({"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\nhe", "l"}, 1s);
  ASSERT_TRUE(carried.streamed());
  const Result<void> read = world.sim.run(carried.read_all());
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Errc::cancelled);
}

/// The n-th read or write fails, for every n that occurs: whatever happens, nothing hangs,
/// nothing leaks (under ASan), and the next client is served.
TEST(HttpServer, every_read_and_write_may_fail) {
  for (const SimOperation operation : {SimOperation::stream_read, SimOperation::stream_write}) {
    for (std::uint64_t n = 1;; ++n) {
      World world(n);
      Timers& timers = world.env.timers;
      world.serve([&timers](Request& request) -> Task<Response> {
        if (request.method == "POST") co_return co_await echo_body(request);
        Response response;
        const std::vector<std::string> pieces = {"one", "two"};
        response.body = Body(std::make_unique<ListSource>(timers, pieces, 10ms));
        co_return response;
      });
      world.sim.faults().fail_nth(operation, n);
      world.raw({simple_get, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nab", "cdef",
                 last_get},
                50ms, 10s);
      const bool injected = world.sim.faults().injected() > 0;
      world.sim.faults().clear();
      EXPECT_NE(world.answer(last_get).find(" 200 OK"), std::string::npos) << n;
      world.sim.run_for(2s);
      EXPECT_EQ(world.server->connections(), 0U) << n;
      if (!injected) {
        EXPECT_GT(n, 4U);
        break;
      }
    }
  }
}

// Nothing can be accepted for want of descriptors.
class NoDescriptors final : public Listener {
 public:
  Task<Result<std::unique_ptr<Stream>>> accept() override {
    ++asked;
    co_return fail(Errc::resource_exhausted, "Too many open files");
  }
  Endpoint endpoint() const override { return {}; }
  int asked = 0;
};

TEST(HttpServer, a_lack_of_descriptors_does_not_fill_the_log) {
  Simulation sim{1};
  Env& env = sim.env();
  auto made = std::make_unique<NoDescriptors>();
  const NoDescriptors& listener = *made;
  const auto nobody = make_handler([](Request&) { return text("nobody"); });
  Server server(env.executor, env.timers, env.logger, std::move(made), *nobody);
  sim.run_for(60s);
  EXPECT_GT(listener.asked, 100);
  const std::string trace = sim.trace().to_string();
  int said = 0;
  for (std::size_t at = 0; (at = trace.find("accept failed", at)) != trace.npos; ++at) ++said;
  EXPECT_GE(said, 10);
  EXPECT_LE(said, 17);
}

// A process that has used up all but what is reserved.
class FewDescriptors final : public Listener {
 public:
  explicit FewDescriptors(std::unique_ptr<Listener> inner) : inner_(std::move(inner)) {}
  Task<Result<std::unique_ptr<Stream>>> accept() override { return inner_->accept(); }
  Endpoint endpoint() const override { return inner_->endpoint(); }
  DescriptorRoom descriptors() const noexcept override { return {.max = 64, .left = 15}; }

 private:
  std::unique_ptr<Listener> inner_;
};

TEST(HttpServer, who_is_refused_takes_at_most_half_of_the_reserved_descriptors) {
  Simulation sim{1};
  Env& env = sim.env();
  auto listener = std::make_unique<FewDescriptors>(env.network.listen(Endpoint{}).value());
  const auto nobody = make_handler([](Request&) { return text("nobody"); });
  Server server(env.executor, env.timers, env.logger, std::move(listener), *nobody);
  std::vector<std::unique_ptr<Stream>> crowd;
  for (int i = 0; i < 40; ++i) {
    auto stream = sim.run(env.network.connect(server.endpoint()));
    ASSERT_TRUE(stream);
    crowd.push_back(*std::move(stream));
  }
  sim.run_for(100ms);  // they do not leave, so that each is waited for
  EXPECT_EQ(server.connections(), 8U);
  sim.run_for(30s);
  EXPECT_EQ(server.refused(), 40U);
  EXPECT_EQ(server.connections(), 0U);
}

}  // namespace
}  // namespace knative::http
