// The outgoing client against servers and proxies of others, on the real loop.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "knative/http_outbound.hpp"
#include "knative/http_server.hpp"
#include "support/real_world.hpp"
#include "wire/http_connect_proxy.hpp"

namespace knative::http {
namespace {

using namespace std::chrono_literals;

/// A program that runs while this exists.
class Peer {
 public:
  Peer(Env& env, std::vector<std::string> argv) {
    ProcessOptions options;
    options.argv = std::move(argv);
    options.environment = {{"PATH", "/usr/sbin:/usr/bin:/sbin:/bin"}};
    options.on_stderr = [this](std::string_view piece) { said.append(piece); };
    Result<std::unique_ptr<Process>> spawned = env.processes.spawn(options);
    if (spawned) process_ = std::move(*spawned);
  }
  bool running() const noexcept { return process_ != nullptr; }
  std::string said;

 private:
  std::unique_ptr<Process> process_;
};

bool installed(const char* path) { return std::filesystem::exists(path); }

class HttpPeers : public ::testing::Test {
 protected:
  Loop loop{testing_world::quiet()};
  Env& env = loop.env();
  testing_world::TemporaryDirectory directory;
  tls::Authority authority = tls::Authority::create({}, env.timers.wall()).value();

  std::string write(const std::string& name, const std::string& text) {
    std::ofstream(directory / name) << text;
    return directory / name;
  }
  std::uint16_t free_port() { return env.network.listen(Endpoint{}).value()->endpoint().port; }
  /// Listens on the port and passes everything on.
  std::string haproxy_config(std::uint16_t port, const Endpoint& to) {
    return write("haproxy.cfg",
                 "defaults\n mode http\n timeout connect 5s\n timeout client 5s\n"
                 " timeout server 5s\n timeout tunnel 5s\nfrontend f\n bind 127.0.0.1:" +
                     std::to_string(port) + "\n default_backend b\nbackend b\n server s " +
                     to.to_string() + "\n");
  }
  bool listens(std::uint16_t port) {
    auto work = [](Env& in, Endpoint to) -> Task<bool> {
      const Instant deadline = in.timers.now() + 10s;
      while (in.timers.now() < deadline) {
        auto stream = co_await in.network.connect(to);
        if (stream) co_return true;
        co_await in.timers.sleep_for(5ms);
      }
      co_return false;
    };
    Endpoint to;
    to.port = port;
    return loop.run(work(env, to));
  }
  /// A certificate for 127.0.0.1 and far.example, with its key in the same file.
  std::string certificate() {
    tls::LeafOptions leaf;
    leaf.names = {"127.0.0.1", "far.example"};
    leaf.key_type = tls::KeyType::p256;
    const tls::Identity identity = authority.issue(leaf, env.timers.wall()).value();
    return write("server.pem", identity.certificates + identity.private_key);
  }
  OutboundOptions options() {
    OutboundOptions made;
    made.tls.trust.system = false;
    made.tls.trust.certificates = authority.certificate();
    return made;
  }
  std::string fetch(Outbound& client, const std::string& url, Request request = get("/")) {
    auto work = [](Outbound& with, Url to, Request& message) -> Task<std::string> {
      Result<Response> response = co_await with.send(to, message);
      if (!response) co_return response.error().to_string();
      Result<void> read = co_await response->body.read_all();
      if (!read) co_return read.error().to_string();
      co_return std::to_string(response->status) + " " + response->body.bytes();
    };
    return loop.run(work(client, Url::parse(url).value(), request));
  }
  /// nginx in clear text and in TLS; false when it does not come up.
  bool begin_nginx() {
    clear = std::to_string(free_port());
    secure = std::to_string(free_port());
    const std::string pem = certificate();
    write("large.bin", std::string(3'000'000, 'x'));
    const std::string config = write(
        "nginx.conf", "daemon off; master_process off; pid " + (directory / "pid") +
                          "; error_log stderr warn;\nevents {}\nhttp {\n access_log off;\n "
                          "client_body_temp_path " +
                          (directory / "body") + "; proxy_temp_path " + (directory / "proxy") +
                          "; fastcgi_temp_path " + (directory / "f") + "; uwsgi_temp_path " +
                          (directory / "u") + "; scgi_temp_path " + (directory / "s") +
                          ";\n server {\n  listen 127.0.0.1:" + clear +
                          ";\n  listen 127.0.0.1:" + secure + " ssl;\n  ssl_certificate " + pem +
                          ";\n  ssl_certificate_key " + pem + ";\n  root " + (directory / "") +
                          ";\n  location = /hello { return 200 \"$scheme $request_method\"; }\n"
                          "  location = /moved { return 302 /hello; }\n"
                          "  location = /round { return 307 /round; }\n"
                          "  location = /up { return 301 https://127.0.0.1:" +
                          secure +
                          "/hello; }\n"
                          "  location = /down { return 301 http://127.0.0.1:" +
                          clear + "/hello; }\n }\n}\n");
    nginx = std::make_unique<Peer>(
        env, std::vector<std::string>{"nginx", "-p", directory / "", "-c", config, "-e", "stderr"});
    return nginx->running() && listens(static_cast<std::uint16_t>(std::stoi(secure)));
  }
  std::string clear;
  std::string secure;
  std::unique_ptr<Peer> nginx;
};

TEST_F(HttpPeers, nginx_as_an_origin) {
  if (!installed("/usr/sbin/nginx")) GTEST_SKIP() << "nginx is not installed";
  ASSERT_TRUE(begin_nginx()) << nginx->said;
  Outbound client(env.executor, env.timers, env.network, options());
  const std::string http = "http://127.0.0.1:" + clear;
  const std::string https = "https://127.0.0.1:" + secure;
  EXPECT_EQ(fetch(client, http + "/hello"), "200 http GET");
  EXPECT_EQ(fetch(client, https + "/hello"), "200 https GET");
  EXPECT_EQ(fetch(client, http + "/moved", post("/", "data")), "200 http GET");
  EXPECT_EQ(fetch(client, http + "/up"), "200 https GET");
  EXPECT_NE(fetch(client, https + "/down").find("https does not lead to http"), std::string::npos);
  EXPECT_NE(fetch(client, http + "/round").find("redirects go round"), std::string::npos);
  EXPECT_EQ(fetch(client, https + "/large.bin").size(), 3'000'004U);
  EXPECT_EQ(fetch(client, http + "/large.bin").size(), 3'000'004U);
  EXPECT_EQ(client.connections(), 2U);  // kept, one of each
  OutboundOptions strangers = options();
  strangers.tls.trust.certificates =
      tls::Authority::create({}, env.timers.wall()).value().certificate();
  Outbound stranger(env.executor, env.timers, env.network, strangers);
  EXPECT_EQ(fetch(stranger, https + "/hello").find("failed_precondition: "), 0U);
}

TEST_F(HttpPeers, haproxy_as_a_proxy_before_our_server) {
  if (!installed("/usr/sbin/haproxy")) GTEST_SKIP() << "haproxy is not installed";
  auto handler = make_handler([](Request& request) -> Task<Response> {
    Result<void> read = co_await request.body.read_all();
    if (!read) co_return error_response(400);
    co_return text(request.method + " " + request.target + " " + std::string(request.authority()) +
                   " " + std::to_string(request.body.bytes().size()));
  });
  Server origin(env.executor, env.timers, env.logger, env.network.listen(Endpoint{}).value(),
                *handler);
  const std::uint16_t port = free_port();
  const std::string config = haproxy_config(port, origin.endpoint());
  Peer haproxy(env, {"haproxy", "-db", "-f", config});
  ASSERT_TRUE(haproxy.running());
  ASSERT_TRUE(listens(port)) << haproxy.said;
  OutboundOptions through = options();
  through.proxies =
      Proxies::from({{"http_proxy", "http://127.0.0.1:" + std::to_string(port)}}).value();
  Outbound client(env.executor, env.timers, env.network, through);
  EXPECT_EQ(fetch(client, "http://far.example/a?b"), "200 GET /a?b far.example 0");
  EXPECT_EQ(fetch(client, "http://other.example:81/c", post("/", std::string(100'000, 'x'))),
            "200 POST /c other.example:81 100000");
}

TEST_F(HttpPeers, https_to_nginx_through_haproxy_and_a_proxy_that_connects) {
  if (!installed("/usr/sbin/nginx") || !installed("/usr/sbin/haproxy")) {
    GTEST_SKIP() << "nginx or haproxy is not installed";
  }
  ASSERT_TRUE(begin_nginx()) << nginx->said;
  // haproxy only passes CONNECT on; who connects stands behind it.
  testing::Proxy connecting(env);
  connecting.to.port = static_cast<std::uint16_t>(std::stoi(secure));
  const std::uint16_t port = free_port();
  const std::string config = haproxy_config(port, connecting.as_proxy().endpoint);
  Peer haproxy(env, {"haproxy", "-db", "-f", config});
  ASSERT_TRUE(haproxy.running());
  ASSERT_TRUE(listens(port)) << haproxy.said;
  OutboundOptions through = options();
  through.proxies =
      Proxies::from({{"https_proxy", "http://ada:pw@127.0.0.1:" + std::to_string(port)}}).value();
  Outbound client(env.executor, env.timers, env.network, through);
  EXPECT_EQ(fetch(client, "https://far.example/hello"), "200 https GET");
  EXPECT_EQ(fetch(client, "https://far.example/large.bin").size(), 3'000'004U);
  EXPECT_EQ(connecting.seen, (std::vector<std::string>{"CONNECT far.example:443 " +
                                                       basic_authorization("ada", "pw")}));
  // The certificate is for the host that was asked for, whoever is in between.
  const std::string other = fetch(client, "https://other.example/hello");
  EXPECT_EQ(other.find("failed_precondition: "), 0U) << other;
  connecting.refusing = true;
  Outbound refused(env.executor, env.timers, env.network, through);
  const std::string why = fetch(refused, "https://far.example/hello");
  EXPECT_NE(why.find("proxy: answers 407"), std::string::npos) << why;
}

}  // namespace
}  // namespace knative::http
