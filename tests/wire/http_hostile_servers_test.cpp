// Servers and proxies that never end what they begin: whatever they send, a request ends in time,
// with little memory, and https is never spoken in clear text.
#include <gmock/gmock.h>

#include "knative/http_outbound.hpp"
#include "wire/http_world.hpp"

namespace knative::http::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

/// What a server says once it was asked: first this, then that for ever.
struct Script {
  std::string first;
  std::string again;
  Duration pause{};  ///< Between two times.
};

class Hostile {
 public:
  Hostile(Env& env, Script script)
      : listener_(env.network.listen(Endpoint{}).value()), tasks_(env.executor) {
    tasks_.add(accept(env, script));
  }
  std::string url(const std::string& scheme = "http") const {
    return scheme + "://" + listener_->endpoint().to_string() + "/";
  }
  Endpoint endpoint() const { return listener_->endpoint(); }

  std::string heard;
  std::uint64_t written = 0;
  int accepted = 0;
  int ended = 0;  ///< Connections that the client has given up.

 private:
  Task<void> accept(Env& env, Script script) {
    for (;;) {
      Result<std::unique_ptr<Stream>> stream = co_await listener_->accept();
      if (!stream) co_return;
      ++accepted;
      tasks_.add(talk(env, std::move(*stream), script));
    }
  }
  Task<void> talk(Env& env, std::unique_ptr<Stream> stream, Script script) {
    TaskSet listening(env.executor);
    listening.add(listen(*stream));
    co_await asked_.wait();
    Result<std::size_t> sent = co_await stream->write_all(script.first);
    while (sent && !script.again.empty()) {
      sent = co_await stream->write_all(script.again);
      if (sent) written += *sent;
      if (script.pause > Duration(0)) co_await env.timers.sleep_for(script.pause);
    }
    co_await listening.drained();
    ++ended;
  }
  Task<void> listen(Stream& stream) {
    std::vector<char> buffer(4096);
    const std::span<char> room(buffer);
    for (;;) {
      Result<std::size_t> got = co_await stream.read_some(room);
      if (!got || *got == 0) co_return;
      heard.append(buffer.data(), *got);
      asked_.set();
    }
  }

  Wakeup asked_;
  std::unique_ptr<Listener> listener_;
  TaskSet tasks_;
};

class HostileServers : public ::testing::Test {
 protected:
  HostileServers() {
    options_.attempts_max = 1;
    options_.client.connect_timeout = 3s;
    options_.client.response_timeout = 7s;
    options_.client.body_timeout = 5s;
    options_.tls.trust = {false,
                          tls::Authority::create({}, env_.timers.wall()).value().certificate()};
  }
  /// "status bytes", or the error.
  std::string fetch(const std::string& url) {
    auto work = [](Outbound& with, Url to) -> Task<std::string> {
      Request request = get("/");
      request.headers.set("Authorization", "Basic c2VjcmV0");
      Result<Response> response = co_await with.send(to, request);
      if (!response) co_return response.error().to_string();
      Result<void> read = co_await response->body.read_all(1 << 20);
      if (!read) co_return read.error().to_string();
      co_return std::to_string(response->status) + " " +
          std::to_string(response->body.bytes().size());
    };
    client_ = std::make_unique<Outbound>(env_.executor, env_.timers, env_.network, options_);
    const Instant began = env_.timers.now();
    const std::string got = world_.sim.run(work(*client_, Url::parse(url).value()));
    took_ = env_.timers.now() - began;
    EXPECT_EQ(client_->connections(), 0U) << got;
    world_.sim.run_for(10s);
    return got;
  }
  /// The same from a server with this script, which must have been left.
  std::string from(const Script& script) {
    Hostile server(env_, script);
    const std::string got = fetch(server.url());
    EXPECT_EQ(server.accepted, 1);
    EXPECT_EQ(server.ended, 1) << got;
    EXPECT_LT(server.written, std::uint64_t{8} << 20) << "taken from a server that never ends";
    return got;
  }

  World world_;
  Env& env_ = world_.env;
  OutboundOptions options_;
  std::unique_ptr<Outbound> client_;
  Duration took_{};
};

TEST_F(HostileServers, a_header_that_drips_meets_the_response_timeout) {
  EXPECT_THAT(from({"HTTP/1.1 200 OK\r\n", "X", 1s}), StartsWith("deadline_exceeded: "));
  EXPECT_LT(took_, 8s);
  EXPECT_THAT(from({"HTTP/1.1 200 OK\r\n", "X: y\r\n", 1s}), StartsWith("deadline_exceeded: "));
  EXPECT_THAT(from({"H", "", {}}), StartsWith("deadline_exceeded: "));
}

TEST_F(HostileServers, headers_without_end_are_cut_off) {
  const std::string name = "X-" + std::string(30, 'n');
  EXPECT_THAT(from({"HTTP/1.1 200 OK\r\n", name + ": v\r\n", {}}), StartsWith("unavailable: "));
  EXPECT_THAT(from({"HTTP/1.1 200 OK\r\nX: ", std::string(1000, 'x'), {}}),
              StartsWith("unavailable: "));
  EXPECT_THAT(from({"HTTP/1.1 200 ", std::string(1000, 'x'), {}}), StartsWith("unavailable: "));
  EXPECT_THAT(from({"", std::string(100'000, '\0'), {}}), StartsWith("unavailable: "));
  EXPECT_LT(took_, 1s);
}

TEST_F(HostileServers, interim_responses_without_end_are_cut_off) {
  EXPECT_THAT(from({"", "HTTP/1.1 100 Continue\r\n\r\n", {}}), StartsWith("unavailable: "));
  EXPECT_THAT(from({"", "HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n", {}}),
              StartsWith("unavailable: "));
  EXPECT_THAT(from({"", "HTTP/1.1 102 Processing\r\n\r\n", 2s}), StartsWith("deadline_exceeded: "));
  EXPECT_LT(took_, 8s);
}

TEST_F(HostileServers, a_body_without_end_fills_no_memory) {
  const std::string piece(10'000, 'x');
  EXPECT_THAT(from({"HTTP/1.1 200 OK\r\n\r\n", piece, {}}), StartsWith("resource_exhausted: "));
  EXPECT_THAT(from({"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", piece, {}}),
              StartsWith("resource_exhausted: "));
  EXPECT_THAT(from({"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                    "2710\r\n" + piece + "\r\n",
                    {}}),
              StartsWith("resource_exhausted: "));
}

TEST_F(HostileServers, a_body_that_stops_meets_the_body_timeout) {
  EXPECT_THAT(from({"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345", "", {}}),
              StartsWith("deadline_exceeded: "));
  EXPECT_THAT(from({"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12", "", {}}),
              StartsWith("deadline_exceeded: "));
  EXPECT_LT(took_, 6s);
}

TEST_F(HostileServers, chunks_and_trailers_without_end_are_cut_off) {
  const std::string chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  EXPECT_THAT(from({chunked + "5;a=", std::string(1000, 'x'), {}}), StartsWith("unavailable: "));
  EXPECT_THAT(from({chunked + "1\r\nx\r\n0\r\n", "X: y\r\n", {}}), StartsWith("unavailable: "));
  EXPECT_THAT(from({chunked, "0000000000000000", {}}), StartsWith("unavailable: "));
}

TEST_F(HostileServers, a_server_that_begins_no_tls_is_given_up_and_told_nothing) {
  Hostile silent(env_, {});
  EXPECT_THAT(fetch(silent.url("https")), StartsWith("deadline_exceeded: "));
  EXPECT_LT(took_, 4s);
  Hostile clear(env_, {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "", {}});
  EXPECT_THAT(fetch(clear.url("https")), HasSubstr("does not speak TLS"));
  for (const Hostile* server : {&silent, &clear}) {
    EXPECT_THAT(server->heard, Not(HasSubstr("HTTP/1.1")));
    EXPECT_THAT(server->heard, Not(HasSubstr("c2VjcmV0")));
  }
}

/// What a request for https://far.example/ becomes through a proxy with this script.
class HostileProxies : public HostileServers {
 protected:
  std::string through(const Script& script) {
    Hostile proxy(env_, script);
    options_.proxies.https = Proxies::Proxy{proxy.endpoint(), ""};
    const std::string got = fetch("https://far.example/secret-path");
    EXPECT_EQ(proxy.ended, proxy.accepted) << got;
    EXPECT_LT(proxy.written, std::uint64_t{8} << 20);
    // Whatever it answers: it has seen where to, and no request.
    EXPECT_THAT(proxy.heard, StartsWith("CONNECT far.example:443 HTTP/1.1\r\n"));
    EXPECT_THAT(proxy.heard, Not(HasSubstr("secret-path")));
    EXPECT_THAT(proxy.heard, Not(HasSubstr("c2VjcmV0")));
    return got;
  }
};

TEST_F(HostileProxies, one_that_answers_in_the_place_of_the_server_hears_no_request) {
  const std::string answer = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nwelcome";
  EXPECT_THAT(through({"HTTP/1.1 200 Connection established\r\n\r\n" + answer, "", {}}),
              HasSubstr("does not speak TLS"));
  EXPECT_THAT(through({answer, "", {}}), HasSubstr("does not speak TLS"));
  EXPECT_THAT(through({"HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\n"
                       "Connection: close\r\nContent-Length: 0\r\n\r\n",
                       "",
                       {}}),
              StartsWith("unavailable: proxy: answers 302"));
}

TEST_F(HostileProxies, one_that_never_ends_is_given_up) {
  EXPECT_THAT(through({"", "", {}}), StartsWith("deadline_exceeded: "));
  EXPECT_LT(took_, 4s);
  EXPECT_THAT(through({"HTTP/1.1 200 OK\r\n", "X: y\r\n", 1s}), StartsWith("deadline_exceeded: "));
  EXPECT_LT(took_, 4s);
  EXPECT_THAT(through({"HTTP/1.1 200 OK\r\n", "X: y\r\n", {}}), StartsWith("unavailable: "));
  EXPECT_THAT(through({"", "HTTP/1.1 100 Continue\r\n\r\n", {}}), StartsWith("unavailable: "));
  EXPECT_THAT(through({"HTTP/1.1 200 OK\r\n\r\n", "", {}}), StartsWith("deadline_exceeded: "));
  EXPECT_LT(took_, 4s);
  EXPECT_THAT(through({"HTTP/1.1 407 Who\r\nContent-Length: 9999\r\n\r\n", "x", {}}),
              StartsWith("failed_precondition: proxy: answers 407"));
}

}  // namespace
}  // namespace knative::http::testing
