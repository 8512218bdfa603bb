// A platform whose listener speaks TLS: whom clients can trust, what they see, and how certificates
// are replaced under way.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include "knative/platform.hpp"
#include "knative/simulation.hpp"
#include "support/real_world.hpp"
#include "support/tls_pair.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;
using namespace testing_tls;
using testing::HasSubstr;
using testing::Not;

// ---------------------------------------------------------------------------- real clients

class ListenerTlsPeers : public ::testing::Test {
 protected:
  ListenerTlsPeers() {
    functions_.http("hello", [](http::Request& request) {
      return http::text("hello " + std::string(request.authority()) + " by " +
                        std::string(request.headers.get("X-Forwarded-Proto").value_or("")) + "\n");
    });
    begin();
  }
  ~ListenerTlsPeers() override { platform_.reset(); }

  void begin() {
    platform_.reset();
    PlatformOptions options;
    options.data_directory = directory_ / "data";
    options.listen_tls = ListenTls{};
    platform_ = std::make_unique<Platform>(loop_.env(), functions_, std::move(options));
    platform_->start().value();
    port_ = std::to_string(platform_->endpoint().port);
  }
  /// Apply a Service, wait for it, and give its URL.
  std::string serve(const std::string& name, const std::string& namespace_) {
    serving::Service service = serving::service(name, "fn:hello");
    service.metadata.namespace_ = namespace_;
    const ObjectRef ref = platform_->apply(service).value();
    const Result<void> ready = loop_.run(platform_->ready(ref));
    EXPECT_TRUE(ready) << ready.error().to_string();
    return platform_->url(ref);
  }
  /// Run a shell command beside the platform; what it says, then "status N".
  std::string run(const std::string& script) {
    std::string said;
    ProcessOptions options;
    options.argv = {"/bin/sh", "-c", script};
    options.environment = {{"PATH", "/usr/local/bin:/usr/bin:/bin"},
                           {"CA", directory_ / "data/tls/authority.pem"},
                           {"PORT", port_}};
    options.on_stdout = options.on_stderr = [&said](std::string_view text) { said += text; };
    std::unique_ptr<Process> process = loop_.env().processes.spawn(options).value();
    const std::optional<ExitStatus> status = loop_.run(
        with_deadline(loop_.env().timers, process->wait(), loop_.env().timers.now() + 60s));
    return said + (status ? "status " + std::to_string(status->code) : "no end");
  }

  testing_world::TemporaryDirectory directory_;
  FunctionTable functions_;
  Loop loop_{testing_world::quiet()};
  std::unique_ptr<Platform> platform_;
  std::string port_;
};

TEST_F(ListenerTlsPeers, ItsAuthorityVouchesForEveryNameThatThePlatformAnswersFor) {
  const std::string url = serve("hello", "default");
  EXPECT_EQ(url, "https://hello.default.localhost:" + port_);
  const std::string shop = serve("hello", "shop");
  const std::string resolve =
      " --resolve hello.default.localhost:$PORT:127.0.0.1"
      " --resolve hello.shop.localhost:$PORT:127.0.0.1 ";
  const std::string curl = "curl -sS --max-time 30 --cacert $CA" + resolve;
  EXPECT_EQ(run(curl + url), "hello hello.default.localhost:" + port_ + " by https\nstatus 0");
  EXPECT_EQ(run(curl + shop), "hello hello.shop.localhost:" + port_ + " by https\nstatus 0");
  EXPECT_EQ(run(curl + "https://127.0.0.1:$PORT/healthz"), "ok\nstatus 0");
  EXPECT_THAT(run("curl -sS --max-time 30" + resolve + url), HasSubstr("status 60"));
  EXPECT_THAT(run(curl + "--connect-to ::127.0.0.1:$PORT https://hello.default.example.com/"),
              HasSubstr("status 60"));
}

TEST_F(ListenerTlsPeers, OpensslAndPythonAgreeOnHttp11) {
  EXPECT_THAT(run("printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' | openssl s_client -connect "
                  "127.0.0.1:$PORT -CAfile $CA -verify_return_error -verify_hostname localhost "
                  "-servername localhost -alpn h2,http/1.1 -ign_eof"),
              testing::AllOf(HasSubstr("ALPN protocol: http/1.1"), HasSubstr("200 OK"),
                             HasSubstr("Verify return code: 0 (ok)")));
  EXPECT_THAT(run("openssl s_client -connect 127.0.0.1:$PORT -CAfile $CA -alpn h2 </dev/null"),
              HasSubstr("no application protocol"));
  EXPECT_EQ(run("exec python3 -c \"\n"
                "import os, ssl, urllib.request\n"
                "context = ssl.create_default_context(cafile=os.environ['CA'])\n"
                "url = 'https://localhost:' + os.environ['PORT'] + '/healthz'\n"
                "print(urllib.request.urlopen(url, context=context, timeout=30).status)\""),
            "200\nstatus 0");
}

TEST_F(ListenerTlsPeers, ClearTextIsRefusedAndAnswersNothing) {
  EXPECT_THAT(run("curl -sS --max-time 30 http://127.0.0.1:$PORT/healthz"),
              testing::AllOf(Not(HasSubstr("ok")), Not(HasSubstr("status 0"))));
  EXPECT_THAT(run("curl -sS --max-time 30 --cacert $CA https://localhost:$PORT/healthz"),
              HasSubstr("status 0"));
}

TEST_F(ListenerTlsPeers, TheAuthorityIsMadeOnceAndItsKeyIsPrivate) {
  const std::string before = platform_->authority();
  EXPECT_THAT(before, HasSubstr("BEGIN CERTIFICATE"));
  struct stat key {};
  ASSERT_EQ(::stat((directory_ / "data/tls/authority.key").c_str(), &key), 0);
  EXPECT_EQ(key.st_mode & 0777U, 0600U);
  begin();
  EXPECT_EQ(platform_->authority(), before);
  EXPECT_EQ(run("curl -sS --cacert $CA https://localhost:$PORT/healthz"), "ok\nstatus 0");
}

// ---------------------------------------------------------------------------- virtual time

class ListenerTlsTest : public ::testing::Test {
 protected:
  ListenerTlsTest() {
    env_.files.make_directories("/tls").value();
    write_identity("tls", issue(authority_, {"first.example.com"}, env_.timers.wall()));
    files_ = tls::Paths{"/tls/tls.crt", "/tls/tls.key", {}};
  }
  void write_identity(const std::string& name, const tls::Identity& identity) {
    env_.files.write_file("/tls/" + name + ".crt", identity.certificates).value();
    env_.files.write_file("/tls/" + name + ".key", identity.private_key).value();
  }
  Result<void> start(std::optional<tls::Paths> files, const std::string& data_directory = "") {
    platform_.reset();
    PlatformOptions options;
    options.data_directory = data_directory;
    // Nobody else makes the directory durable.
    options.open_store = [](Env& env, StoreOptions store) {
      return memory_store(env.timers, env.ids, std::move(store));
    };
    options.listen = Endpoint{"127.0.0.1", 8443, {}};
    options.listen_tls = ListenTls{};
    options.listen_tls->key_type = tls::KeyType::ed25519;
    if (files) options.listen_tls->files = *files;
    std::vector<std::unique_ptr<Extension>> none;
    platform_ = std::make_unique<Platform>(env_, std::move(none), std::move(options));
    return platform_->start();
  }
  /// A connection that expects this name, or why there is none.
  Result<StreamPtr> connect(const std::string& name, std::optional<tls::Identity> own = {}) {
    tls::ClientOptions options;
    const std::string ours = platform_->authority();
    options.trust = {false, ours.empty() ? authority_.certificate() : ours};
    options.server_name = name;
    options.identity = std::move(own);
    networks_.push_back(tls::wrap(env_.executor, env_.timers, env_.network, options).value());
    return sim_.run(networks_.back()->connect(platform_->endpoint()));
  }
  /// The status line of an answer over a connection that goes on.
  std::string ask(Stream& stream) {
    auto work = [](Stream& with) -> Task<std::string> {
      const std::string request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
      const Result<std::size_t> sent = co_await with.write_all(request);
      if (!sent) co_return sent.error().to_string();
      std::vector<char> buffer(4096);
      const std::span<char> room(buffer);
      const Result<std::size_t> got = co_await with.read_some(room);
      if (!got) co_return got.error().to_string();
      const std::string text(buffer.data(), *got);
      co_return text.substr(0, text.find('\r'));
    };
    return sim_.run(work(stream));
  }

  Simulation sim_{7};
  Env& env_ = sim_.env();
  tls::Authority authority_ = tls::Authority::create({}, env_.timers.wall()).value();
  tls::Paths files_;
  std::vector<std::unique_ptr<tls::SecureNetwork>> networks_;
  std::unique_ptr<Platform> platform_;
};

TEST_F(ListenerTlsTest, NewFilesServeNewConnectionsWhileOldOnesGoOn) {
  start(files_).value();
  EXPECT_EQ(platform_->authority(), "");
  StreamPtr old = connect("first.example.com").value();
  EXPECT_EQ(ask(*old), "HTTP/1.1 200 OK");
  write_identity("tls", issue(authority_, {"second.example.com"}, env_.timers.wall()));
  sim_.run_for(11s);
  StreamPtr young = connect("second.example.com").value();
  EXPECT_EQ(ask(*young), "HTTP/1.1 200 OK");
  EXPECT_EQ(ask(*old), "HTTP/1.1 200 OK");
  EXPECT_THAT(connect("first.example.com").error().detail,
              HasSubstr("is for second.example.com, not for first.example.com"));
  // What does not fit together changes nothing.
  env_.files.write_file("/tls/tls.key", "no key").value();
  sim_.run_for(1min);
  EXPECT_TRUE(connect("second.example.com"));
}

TEST_F(ListenerTlsTest, ABadFileIsOneClearErrorThatNamesIt) {
  const auto problem = [this](tls::Paths files) {
    const Result<void> started = start(std::move(files));
    return started ? std::string("started") : started.error().detail;
  };
  env_.files.write_file("/tls/bad", "no certificate").value();
  write_identity("other", issue(authority_, {"other"}, env_.timers.wall()));
  EXPECT_THAT(problem({"/tls/none", "/tls/tls.key", {}}), HasSubstr("/tls/none"));
  EXPECT_THAT(problem({"/tls/bad", "/tls/tls.key", {}}), HasSubstr("listen_tls: /tls/bad"));
  EXPECT_THAT(problem({"/tls/tls.crt", "/tls/bad", {}}), HasSubstr("/tls/bad"));
  EXPECT_THAT(problem({"/tls/tls.crt", "/tls/other.key", {}}), HasSubstr("does not belong"));
  EXPECT_THAT(problem({"/tls/tls.crt", {}, {}}), HasSubstr("listen_tls: private_key: no file"));
  EXPECT_THAT(problem({"/tls/tls.crt", "/tls/tls.key", "/tls/bad"}), HasSubstr("/tls/bad"));
  PlatformOptions deaf;
  deaf.listen.reset();
  deaf.listen_tls = ListenTls{};
  std::vector<std::unique_ptr<Extension>> none;
  Platform platform(env_, std::move(none), std::move(deaf));
  EXPECT_THAT(platform.start().error().detail, HasSubstr("listen_tls: there is no listener"));
}

TEST_F(ListenerTlsTest, ClientsShowACertificateWhenTheHostNamesWhomToTrust) {
  env_.files.write_file("/tls/ca.crt", authority_.certificate()).value();
  files_.trusted = "/tls/ca.crt";
  start(files_).value();
  StreamPtr nobody = connect("first.example.com").value();
  EXPECT_THAT(ask(*nobody), HasSubstr("certificate required"));
  StreamPtr ada =
      connect("first.example.com", issue(authority_, {"ada"}, env_.timers.wall())).value();
  EXPECT_EQ(ask(*ada), "HTTP/1.1 200 OK");
}

TEST_F(ListenerTlsTest, WhomToTrustMayChangeBesideAnAuthorityOfItsOwn) {
  env_.files.write_file("/tls/ca.crt", authority_.certificate()).value();
  start(tls::Paths{{}, {}, "/tls/ca.crt"}).value();
  const tls::Identity ada = issue(authority_, {"ada"}, env_.timers.wall());
  EXPECT_EQ(ask(*connect("localhost", ada).value()), "HTTP/1.1 200 OK");
  EXPECT_THAT(ask(*connect("localhost").value()), HasSubstr("certificate required"));
  const tls::Authority other = tls::Authority::create({}, env_.timers.wall()).value();
  env_.files.write_file("/tls/ca.crt", other.certificate()).value();
  sim_.run_for(11s);
  EXPECT_THAT(ask(*connect("localhost", ada).value()), HasSubstr("unknown ca"));
  const tls::Identity bob = issue(other, {"bob"}, env_.timers.wall());
  EXPECT_EQ(ask(*connect("localhost", bob).value()), "HTTP/1.1 200 OK");
}

TEST_F(ListenerTlsTest, ItsOwnCertificateIsRenewedLongBeforeItEnds) {
  start({}).value();
  for (int month = 0; month < 7; ++month) {
    const Result<StreamPtr> stream = connect("localhost");
    EXPECT_TRUE(stream) << month << ": " << stream.error().to_string();
    sim_.run_for(std::chrono::hours(24 * 30));
  }
}

TEST_F(ListenerTlsTest, TheAuthorityThatWasGivenAwaySurvivesAPowerFailure) {
  start({}, "/data").value();
  const std::string given = platform_->authority();
  platform_.reset();
  sim_.crash(CrashMode::lose_all);
  start({}, "/data").value();
  EXPECT_EQ(platform_->authority(), given);
}

TEST_F(ListenerTlsTest, AClockThatIsSetIsFollowedWithinTheHour) {
  start({}).value();
  for (const Duration moved : {std::chrono::hours(24 * 100), -std::chrono::hours(24 * 100)}) {
    sim_.step_wall(moved);
    EXPECT_FALSE(connect("localhost"));
    sim_.run_for(61min);
    const Result<StreamPtr> stream = connect("localhost");
    EXPECT_TRUE(stream) << stream.error().to_string();
  }
}

TEST_F(ListenerTlsTest, AStopLeavesNothingThatLooksAfterCertificates) {
  start(files_).value();
  sim_.run(platform_->stop());
  platform_.reset();
  EXPECT_TRUE(sim_.run_until_quiet(1min));
}

// ---------------------------------------------------------------------------- addresses

TEST(SecureAddresses, AreHttpsOutsideAndAtTheListenersPort) {
  Addresses addresses("example.com");
  addresses.set_secure(true);
  addresses.set_port(8443);
  EXPECT_EQ(addresses.external_url("a", "b"), "https://a.b.example.com:8443");
  Door door(addresses);
  const std::shared_ptr<http::Handler> handler =
      http::make_handler([](http::Request&) { return http::text("x"); });
  door.set_hosts("a", {"a.b.example.com"}, handler).value();
  const auto ours = [&door](std::string_view url) {
    return door.at_url(http::Url::parse(url).value()) != nullptr;
  };
  EXPECT_TRUE(ours("https://a.b.example.com:8443/"));
  EXPECT_TRUE(ours("https://a.b.example.com/"));
  EXPECT_TRUE(ours("http://a.b.example.com/"));
  EXPECT_FALSE(ours("http://a.b.example.com:8443/"));
  EXPECT_FALSE(ours("https://a.b.example.com:80/"));
  addresses.set_port(443);
  EXPECT_EQ(addresses.external_url("a", "b"), "https://a.b.example.com");
  addresses.set_secure(false);
  EXPECT_EQ(addresses.external_url("a", "b"), "http://a.b.example.com:443");
  EXPECT_FALSE(ours("https://a.b.example.com/"));
}

}  // namespace
}  // namespace knative
