// The client of all origins, in a simulated world: redirects, credentials, proxies, TLS, bounds.
#include <gtest/gtest.h>

#include <deque>

#include "knative/http_outbound.hpp"
#include "wire/http_authority.hpp"
#include "wire/http_connect_proxy.hpp"
#include "wire/http_world.hpp"

namespace knative::http::testing {
namespace {

/// What a site was asked.
struct Asked {
  std::string method;
  std::string target;
  std::string body;
  Headers headers;
};

/// A server that remembers.
class Site {
 public:
  template <class F>
  Site(Env& env, F answer, std::unique_ptr<Listener> listener = nullptr)
      : handler_(make_handler([this, answer](Request& request) -> Task<Response> {
          Result<void> read = co_await request.body.read_all();
          if (!read) co_return error_response(400);
          asked.push_back(
              Asked{request.method, request.target, request.body.bytes(), request.headers});
          co_return answer(request);
        })),
        server_(env.executor, env.timers, env.logger,
                listener ? std::move(listener) : env.network.listen(Endpoint{}).value(),
                *handler_) {}
  std::string url(std::string_view target, std::string_view scheme = "http") const {
    return std::string(scheme) + "://" + server_.endpoint().to_string() + std::string(target);
  }
  Server& server() noexcept { return server_; }
  std::vector<Asked> asked;

 private:
  std::unique_ptr<Handler> handler_;
  Server server_;
};

Response redirect(int status, std::string_view location) {
  Response response = text("elsewhere", status);
  response.headers.set("Location", location);
  return response;
}

/// A site whose answer is made by a function that may be replaced.
Response plain(Request& request) { return text("at " + request.target); }

class OutboundTest : public ::testing::Test {
 protected:
  World world;
  Env& env = world.env;
  tls::Authority nobody = tls::Authority::create({}, env.timers.wall()).value();

  std::unique_ptr<Outbound> outbound(OutboundOptions options = {}) {
    options.tls.trust.system = false;
    if (options.tls.trust.certificates.empty()) {
      options.tls.trust.certificates = nobody.certificate();
    }
    return std::make_unique<Outbound>(env.executor, env.timers, env.network, std::move(options));
  }
  /// "status body", or the error.
  std::string fetch(Outbound& client, const std::string& url, Request& request,
                    SendOptions options = {}) {
    auto work = [](Outbound& with, Url to, Request& message, SendOptions how) -> Task<std::string> {
      Result<Response> response = co_await with.send(to, message, how);
      if (!response) co_return response.error().to_string();
      Result<void> read = co_await response->body.read_all();
      if (!read) co_return read.error().to_string();
      co_return std::to_string(response->status) + " " + response->body.bytes();
    };
    return world.sim.run(work(client, Url::parse(url).value(), request, options));
  }
  std::string fetch(Outbound& client, const std::string& url, SendOptions options = {}) {
    Request request = get("/");
    return fetch(client, url, request, options);
  }
};

// ---------------------------------------------------------------------------- redirects

TEST(UrlReference, is_resolved_as_by_the_standard) {
  const Url base = Url::parse("http://a.example:81/b/c/d?q").value();
  const std::vector<std::pair<std::string, std::string>> rows = {
      {"g", "/b/c/g"},    {"./g", "/b/c/g"},   {"g/", "/b/c/g/"},       {"/g", "/g"},
      {"?y", "/b/c/d?y"}, {"g?y", "/b/c/g?y"}, {"", "/b/c/d?q"},        {".", "/b/c/"},
      {"..", "/b/"},      {"../g", "/b/g"},    {"../../g", "/g"},       {"../../../g", "/g"},
      {"g#s", "/b/c/g"},  {"/./g", "/g"},      {"g;x=1/../y", "/b/c/y"}};
  for (const auto& [reference, target] : rows) {
    const Result<Url> url = wire::resolve(base, reference);
    ASSERT_TRUE(url) << reference;
    EXPECT_EQ(url->target, target) << reference;
    EXPECT_EQ(url->port, 81) << reference;
  }
  EXPECT_EQ(wire::resolve(base, "//b.example/x").value().to_string(), "http://b.example/x");
  EXPECT_EQ(wire::resolve(base, "https://b.example").value().to_string(), "https://b.example/");
  EXPECT_FALSE(wire::resolve(base, "ftp://b.example/"));
  EXPECT_FALSE(wire::resolve(base, "/a b"));
}

TEST_F(OutboundTest, methods_after_redirects_are_as_by_the_standard) {
  struct Row {
    int status;
    std::string method;
    std::string then;
    std::string body;
  };
  const std::vector<Row> rows = {{301, "POST", "GET", ""},      {302, "POST", "GET", ""},
                                 {303, "POST", "GET", ""},      {303, "PUT", "GET", ""},
                                 {301, "PUT", "PUT", "data"},   {307, "POST", "POST", "data"},
                                 {308, "POST", "POST", "data"}, {302, "DELETE", "DELETE", "data"}};
  for (const Row& row : rows) {
    Site site(env, [&row](Request& request) {
      return request.target == "/from" ? redirect(row.status, "/to") : plain(request);
    });
    auto client = outbound();
    Request request = post("/", "data", "text/plain");
    request.method = row.method;
    EXPECT_EQ(fetch(*client, site.url("/from"), request), "200 at /to");
    ASSERT_EQ(site.asked.size(), 2U);
    EXPECT_EQ(site.asked[1].method, row.then) << row.status << row.method;
    EXPECT_EQ(site.asked[1].body, row.body);
    EXPECT_EQ(site.asked[1].headers.has("Content-Type"), !row.body.empty());
  }
}

TEST_F(OutboundTest, credentials_and_cookies_never_go_to_another_origin) {
  Site other(env, plain);
  Site site(env, [&other](Request& request) {
    if (request.target == "/same") return redirect(302, "/away");
    return redirect(307, other.url("/there"));
  });
  auto client = outbound();
  Request request = get("/");
  request.headers.set("Authorization", "Bearer secret");
  request.headers.set("Cookie", "a=b");
  request.headers.set("X-Kept", "1");
  EXPECT_EQ(fetch(*client, site.url("/same"), request), "200 at /there");
  ASSERT_EQ(site.asked.size(), 2U);
  EXPECT_EQ(site.asked[1].headers.get("Authorization"), "Bearer secret");
  ASSERT_EQ(other.asked.size(), 1U);
  EXPECT_FALSE(other.asked[0].headers.has("Authorization"));
  EXPECT_FALSE(other.asked[0].headers.has("Cookie"));
  EXPECT_TRUE(other.asked[0].headers.has("X-Kept"));
  EXPECT_EQ(other.asked[0].headers.get("Host"), other.server().endpoint().to_string());
}

TEST_F(OutboundTest, redirects_that_go_round_or_do_not_end_are_told) {
  Site round(env,
             [](Request& request) { return redirect(302, request.target == "/a" ? "/b" : "/a"); });
  Site endless(env, [](Request& request) { return redirect(302, request.target + "x"); });
  auto client = outbound();
  EXPECT_EQ(fetch(*client, round.url("/a")),
            "failed_precondition: redirects go round at " + round.url("/a"));
  EXPECT_EQ(fetch(*client, endless.url("/")).find("failed_precondition: more than 10 redirects"),
            0U);
  EXPECT_EQ(endless.asked.size(), 11U);
  SendOptions stay;
  stay.redirects = false;
  EXPECT_EQ(fetch(*client, round.url("/a"), stay), "302 elsewhere");
}

TEST_F(OutboundTest, a_location_that_is_no_url_is_an_error_with_where_it_came_from) {
  Site site(env, [](Request&) { return redirect(302, "gopher://x/"); });
  auto client = outbound();
  const std::string got = fetch(*client, site.url("/a"));
  EXPECT_EQ(got.find("invalid_argument: redirect from " + site.url("/a")), 0U) << got;
}

TEST_F(OutboundTest, a_streamed_body_is_not_sent_twice) {
  Site site(env, [](Request&) { return redirect(307, "/again"); });
  auto client = outbound();
  Request request = post("/", "");
  request.body = Body(std::make_unique<ListSource>(env.timers, std::vector<std::string>{"ab"}));
  EXPECT_EQ(fetch(*client, site.url("/"), request), "307 elsewhere");
  EXPECT_EQ(site.asked.size(), 1U);
}

// ---------------------------------------------------------------------------- credentials

class Keys final : public Authorizer {
 public:
  Task<Result<std::string>> authorize(const Url& url,
                                      const std::vector<Challenge>& challenges) override {
    asked.push_back(url.target + " " + std::to_string(challenges.size()));
    if (challenges.empty()) co_return std::string();
    if (failing) co_return fail(Errc::unavailable, "no keys");
    co_return challenges[0].scheme == "bearer"
        ? bearer_authorization(challenges[0].parameters.at("scope"))
        : basic_authorization("ada", "pass:word");
  }
  std::vector<std::string> asked;
  bool failing = false;
};

TEST_F(OutboundTest, a_challenge_is_answered_once_and_the_request_sent_again) {
  Site site(env, [](Request& request) {
    if (request.headers.get("Authorization") == "Bearer repository:a:pull") return plain(request);
    Response response = text("who?", 401);
    response.headers.set("WWW-Authenticate",
                         "Bearer realm=\"https://auth/token\",scope=\"repository:a:pull\"");
    return response;
  });
  auto client = outbound();
  Keys keys;
  SendOptions how;
  how.authorizer = &keys;
  Request request = post("/", "data");
  EXPECT_EQ(fetch(*client, site.url("/v2/"), request, how), "200 at /v2/");
  EXPECT_EQ(keys.asked, (std::vector<std::string>{"/v2/ 0", "/v2/ 1"}));
  EXPECT_EQ(site.asked[1].body, "data");
  keys.failing = true;
  const std::string got = fetch(*client, site.url("/v2/"), how);
  EXPECT_EQ(got.find("unavailable: credentials for 127.0.0.1: no keys"), 0U) << got;
}

TEST_F(OutboundTest, credentials_that_are_refused_again_end_in_401) {
  Site site(env, [](Request&) {
    Response response = text("no", 401);
    response.headers.set("WWW-Authenticate", "Basic realm=x");
    return response;
  });
  auto client = outbound();
  Keys keys;
  SendOptions how;
  how.authorizer = &keys;
  EXPECT_EQ(fetch(*client, site.url("/"), how), "401 no");
  EXPECT_EQ(site.asked.size(), 2U);
  EXPECT_EQ(site.asked[1].headers.get("Authorization"), "Basic YWRhOnBhc3M6d29yZA==");
}

TEST(Challenges, of_one_field_are_told_apart) {
  Headers headers{
      {"WWW-Authenticate",
       "Basic realm=\"a, \\\"b\\\"\", Bearer realm=\"https://x/t\" , service=s,Negotiate YWI="},
      {"www-authenticate", "NTLM"},
      {"WWW-Authenticate", "Digest =\"broken"}};
  const std::vector<Challenge> got = parse_challenges(headers);
  ASSERT_EQ(got.size(), 5U);
  EXPECT_EQ(got[0].parameters.at("realm"), "a, \"b\"");
  EXPECT_EQ(got[1].scheme, "bearer");
  EXPECT_EQ(got[1].parameters.at("service"), "s");
  EXPECT_EQ(got[2].token, "YWI=");
  EXPECT_EQ(got[3], (Challenge{"ntlm", {}, {}}));
  EXPECT_EQ(got[4].scheme, "digest");
}

// ---------------------------------------------------------------------------- TLS, proxies

struct Secure {
  explicit Secure(Env& env) : authority(tls::Authority::create({}, env.timers.wall()).value()) {}
  std::unique_ptr<Listener> listener(Env& env) {
    tls::LeafOptions leaf;
    leaf.names = {"127.0.0.1"};
    tls::ServerOptions options;
    options.identities.push_back(authority.issue(leaf, env.timers.wall()).value());
    return tls::wrap(env.executor, env.timers, env.logger, env.network.listen(Endpoint{}).value(),
                     options)
        .value();
  }
  tls::Authority authority;
};

TEST_F(OutboundTest, https_is_spoken_in_tls_or_not_at_all) {
  Secure secure(env);
  Site site(
      env, [](Request& request) { return text(request.scheme); }, secure.listener(env));
  Site clear(env, plain);
  OutboundOptions options;
  options.tls.trust.certificates = secure.authority.certificate();
  auto client = outbound(options);
  EXPECT_EQ(fetch(*client, site.url("/a", "https")), "200 https");
  auto stranger = outbound();
  const std::string got = fetch(*stranger, site.url("/a", "https"));
  EXPECT_EQ(got.find("failed_precondition: "), 0U) << got;
  const std::string plain_server = fetch(*client, clear.url("/a", "https"));
  EXPECT_EQ(plain_server.find("unavailable: "), 0U) << plain_server;
  EXPECT_EQ(site.asked.size(), 1U);
  EXPECT_TRUE(clear.asked.empty());
}

TEST_F(OutboundTest, a_redirect_from_https_to_http_is_refused) {
  Secure secure(env);
  Site clear(env, plain);
  Site site(
      env, [&clear](Request&) { return redirect(302, clear.url("/x")); }, secure.listener(env));
  OutboundOptions options;
  options.tls.trust.certificates = secure.authority.certificate();
  auto client = outbound(options);
  const std::string got = fetch(*client, site.url("/a", "https"));
  EXPECT_NE(got.find("https does not lead to http"), std::string::npos) << got;
  EXPECT_TRUE(clear.asked.empty());
}

/// Leads a name that is not loopback's to a proxy.
TEST_F(OutboundTest, http_goes_through_a_proxy_whole) {
  Site site(env, plain);
  Proxy proxy(env);
  proxy.to = site.server().endpoint();
  OutboundOptions options;
  options.proxies.http = proxy.as_proxy("Basic c2VjcmV0");
  options.proxies.direct = {"direct.example"};
  auto client = outbound(options);
  EXPECT_EQ(fetch(*client, "http://far.example/a?b=c"), "200 at /a?b=c");
  EXPECT_EQ(proxy.seen, (std::vector<std::string>{"GET /a?b=c Basic c2VjcmV0"}));
  ASSERT_EQ(site.asked.size(), 1U);
  EXPECT_EQ(site.asked[0].headers.get("Host"), "far.example");
  EXPECT_FALSE(site.asked[0].headers.has("Proxy-Authorization"));
  EXPECT_EQ(fetch(*client, "http://direct.example/").find("unavailable: "), 0U);
  EXPECT_EQ(fetch(*client, site.url("/near")), "200 at /near");  // loopback
  EXPECT_EQ(proxy.seen.size(), 1U);
}

TEST_F(OutboundTest, https_is_tunnelled_and_the_proxy_sees_no_request) {
  Secure secure(env);
  tls::LeafOptions leaf;
  leaf.names = {"far.example"};
  tls::ServerOptions server;
  server.identities.push_back(secure.authority.issue(leaf, env.timers.wall()).value());
  Site site(env, plain,
            tls::wrap(env.executor, env.timers, env.logger, env.network.listen(Endpoint{}).value(),
                      server)
                .value());
  Proxy proxy(env);
  proxy.to = site.server().endpoint();
  OutboundOptions options;
  options.tls.trust.certificates = secure.authority.certificate();
  options.proxies.https = proxy.as_proxy("Basic c2VjcmV0");
  auto client = outbound(options);
  EXPECT_EQ(fetch(*client, "https://far.example/a"), "200 at /a");
  EXPECT_EQ(fetch(*client, "https://far.example/b"), "200 at /b");
  // One connection, and the credentials of the proxy stop there.
  EXPECT_EQ(proxy.seen, (std::vector<std::string>{"CONNECT far.example:443 Basic c2VjcmV0"}));
  EXPECT_FALSE(site.asked[0].headers.has("Proxy-Authorization"));
  proxy.refusing = true;
  auto another = outbound(options);
  const std::string got = fetch(*another, "https://far.example/a");
  EXPECT_NE(got.find("failed_precondition: proxy: answers 407"), std::string::npos) << got;
}

TEST(ProxiesTest, are_read_from_the_environment) {
  const Proxies proxies = Proxies::from({{"http_proxy", "http://user:p%40ss@proxy.local:3128"},
                                         {"HTTPS_PROXY", "tunnel.local:8080"},
                                         {"no_proxy", "a.example, .b.example,10.0.0.0/8,c:81"}})
                              .value();
  EXPECT_EQ(proxies.http->endpoint.to_string(), "proxy.local:3128");
  EXPECT_EQ(proxies.http->authorization, "Basic dXNlcjpwQHNz");
  EXPECT_EQ(proxies.https->endpoint.port, 8080);
  auto through = [&proxies](std::string_view url) {
    return proxies.proxy_for(Url::parse(url).value()) != nullptr;
  };
  EXPECT_TRUE(through("http://x.example/"));
  EXPECT_TRUE(through("https://x.example/"));
  EXPECT_TRUE(through("http://xa.example/"));
  EXPECT_TRUE(through("http://11.0.0.1/"));
  EXPECT_TRUE(through("http://c/"));
  EXPECT_FALSE(through("http://c:81/"));
  EXPECT_FALSE(through("http://A.example/"));
  EXPECT_FALSE(through("http://sub.a.example/"));
  EXPECT_FALSE(through("http://x.b.example/"));
  EXPECT_FALSE(through("http://10.9.8.7/"));
  EXPECT_FALSE(through("http://localhost/"));
  EXPECT_FALSE(through("http://[::1]:80/"));
  EXPECT_FALSE(Proxies::from({{"HTTP_PROXY", "evil:1"}}).value().http);
  const Result<Proxies> bad = Proxies::from({{"https_proxy", "socks5://user:secret@x:1"}});
  ASSERT_FALSE(bad);
  EXPECT_NE(bad.error().detail.find("https_proxy"), std::string::npos);
  EXPECT_EQ(bad.error().detail.find("secret"), std::string::npos);
  EXPECT_FALSE(Proxies::from({{"no_proxy", "fe80::/10"}}));
}

// ---------------------------------------------------------------------------- bounds, faults

TEST_F(OutboundTest, three_hundred_destinations_at_once_lose_none) {
  std::deque<Site> sites;
  auto slow = [](Request&) { return text("here"); };
  for (int i = 0; i < 300; ++i) sites.emplace_back(env, slow);
  OutboundOptions options;
  options.origins_max = 64;
  auto client = outbound(options);
  auto one = [](Outbound& with, std::string to, int& right) -> Task<void> {
    const Url url = Url::parse(to).value();
    Request request = get("/");
    Result<Response> response = co_await with.send(url, request);
    if (response && response->body.bytes() == "here") ++right;
  };
  int right = 0;
  auto all = [&](Env& in) -> Task<void> {
    TaskSet tasks(in.executor);
    for (const Site& site : sites) tasks.add(one(*client, site.url("/"), right));
    co_await tasks.drained();
  };
  world.sim.run(all(env));
  EXPECT_EQ(right, 300);
  EXPECT_EQ(fetch(*client, Site(env, plain).url("/x")), "200 at /x");
  EXPECT_LE(client->origins(), 64U);  // what is no longer used is kept up to the bound
}

TEST_F(OutboundTest, requests_beyond_the_bound_of_an_origin_fail_at_once) {
  Site site(env, plain);
  OutboundOptions options;
  options.requests_per_origin_max = 0;
  EXPECT_EQ(fetch(*outbound(options), site.url("/")).find("resource_exhausted: "), 0U);
  options.requests_per_origin_max = 1;
  options.requests_max = 0;
  EXPECT_EQ(fetch(*outbound(options), site.url("/")).find("resource_exhausted: "), 0U);
}

/// A listener that answers raw bytes, each connection with the next text, and then closes.
Task<void> raw_server(Env& env, Listener& listener, std::vector<std::string> texts, int& accepted) {
  for (const std::string& answer : texts) {
    auto stream = co_await listener.accept();
    if (!stream) co_return;
    ++accepted;
    std::vector<char> buffer(4096);
    const std::span<char> room(buffer);
    (void)co_await (*stream)->read_some(room);
    if (!answer.empty()) (void)co_await (*stream)->write_all(answer);
    co_await env.timers.sleep_for(std::chrono::milliseconds(1));
  }
}

struct Raw {
  Raw(Env& env, std::vector<std::string> texts)
      : listener(env.network.listen(Endpoint{}).value()), tasks(env.executor) {
    tasks.add(raw_server(env, *listener, std::move(texts), accepted));
  }
  std::string url() const { return "http://" + listener->endpoint().to_string() + "/"; }
  int accepted = 0;
  std::unique_ptr<Listener> listener;
  TaskSet tasks;
};

TEST_F(OutboundTest, only_what_is_safe_is_sent_again) {
  const std::string good = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
  auto client = outbound();
  Raw broken(env, {"", good});
  EXPECT_EQ(fetch(*client, broken.url()), "200 ok");
  EXPECT_EQ(broken.accepted, 2);
  Raw again(env, {"", good});
  Request request = post("/", "data");
  EXPECT_EQ(fetch(*client, again.url(), request).find("unavailable: "), 0U);
  EXPECT_EQ(again.accepted, 1);
}

TEST_F(OutboundTest, servers_that_lie_are_caught) {
  const std::vector<std::pair<std::string, std::string>> rows = {
      {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", "unavailable: "},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", "unavailable: "},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "unavailable: "},
      {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", "unavailable: "},
      {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
       "unavailable: "},
      {"HTTP/1.1 200 OK\r\n" + std::string(70'000, 'x'), "unavailable: "},
      {"SSH-2.0-x\r\n", "unavailable: "},
      // Bytes after the end are nobody's, and the connection is not used again.
      {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n", "200 ok"}};
  OutboundOptions options;
  options.attempts_max = 1;
  auto client = outbound(options);
  for (const auto& [answer, expected] : rows) {
    Raw server(env, {answer});
    const std::string got = fetch(*client, server.url());
    EXPECT_EQ(got.find(expected), 0U) << answer.substr(0, 80) << " gave " << got;
  }
  EXPECT_EQ(client->connections(), 0U);
}

TEST_F(OutboundTest, a_server_that_never_answers_meets_the_first_byte_timeout) {
  auto listener = env.network.listen(Endpoint{}).value();
  OutboundOptions options;
  options.client.response_timeout = 7s;
  options.client.connect_timeout = 3s;
  auto client = outbound(options);
  const Instant begin = env.timers.now();
  const std::string url = "http://" + listener->endpoint().to_string() + "/";
  EXPECT_EQ(fetch(*client, url).find("deadline_exceeded: "), 0U);
  EXPECT_LT(env.timers.now() - begin, 8s);
}

TEST_F(OutboundTest, faults_of_the_network_never_give_a_wrong_answer) {
  int right = 0;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SimulationOptions faulty = World::quiet();
    faulty.faults.connection_lost = 0.05;
    World other(seed, faulty);
    other.serve([](Request& request) {
      return request.target == "/from" ? redirect(302, "/to") : text("at " + request.target);
    });
    OutboundOptions options;
    options.tls.trust.system = false;
    options.tls.trust.certificates = nobody.certificate();
    auto client = std::make_unique<Outbound>(other.env.executor, other.env.timers,
                                             other.env.network, options);
    auto work = [](Outbound& with, std::string to) -> Task<std::string> {
      const Url url = Url::parse(to).value();
      Request request = get("/");
      Result<Response> response = co_await with.send(url, request);
      if (!response) co_return std::string();
      Result<void> read = co_await response->body.read_all();
      if (!read) co_return std::string();
      co_return response->body.bytes();
    };
    const std::string got =
        other.sim.run(work(*client, "http://" + other.server->endpoint().to_string() + "/from"));
    if (!got.empty()) {
      EXPECT_EQ(got, "at /to");
      ++right;
    }
  }
  EXPECT_GT(right, 20);
}

}  // namespace
}  // namespace knative::http::testing
