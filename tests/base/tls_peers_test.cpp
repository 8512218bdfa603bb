// TLS against other implementations' programs: openssl s_client and s_server, curl, Python's ssl.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "knative/http_client.hpp"
#include "knative/http_server.hpp"
#include "knative/tls.hpp"
#include "support/paths.hpp"
#include "support/real_world.hpp"
#include "support/tls_pair.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;
using namespace testing_tls;
using testing::HasSubstr;
using testing::Not;
using testing_world::eventually;

/// A command of a shell: what it has said so far, and how it ended.
struct Command {
  std::string output;
  std::optional<ExitStatus> status;
  std::unique_ptr<Process> process;
};

Task<void> await_end(Command& command) { command.status = co_await command.process->wait(); }

class TlsPeers : public testing::Test {
 protected:
  TlsPeers() {
    write("ca.pem", party_.authority.certificate());
    write_identity("leaf", party_.server.identities[0]);
    write_identity("ada", issue(party_.authority, {"ada"}, env_.timers.wall()));
  }
  void write(const std::string& name, const std::string& text) {
    env_.files.write_file(directory_ / name, text).value();
  }
  void write_identity(const std::string& name, const tls::Identity& identity) {
    write(name + ".pem", identity.certificates);
    write(name + ".key", identity.private_key);
  }
  std::string read(const std::string& name) {
    return env_.files.read_file(directory_ / name).value();
  }

  /// Begin a shell command in the directory of the files above.
  Command& begin(const std::string& script) {
    Command& command = *commands_.emplace_back(std::make_unique<Command>());
    ProcessOptions options;
    options.argv = {"/bin/sh", "-c", script};
    options.environment = {{"PATH", "/usr/bin:/bin"}, {"PEER", peer_}};
    options.working_directory = directory_.path();
    options.on_stdout =
        options.on_stderr = [&command](std::string_view text) { command.output += text; };
    command.process = env_.processes.spawn(options).value();
    tasks_.add(await_end(command));
    return command;
  }
  bool ended(Command& command) {
    return wait_for([&] { return command.status.has_value(); });
  }
  /// Run a shell command to its end.
  Command& run(const std::string& script) {
    Command& command = begin(script);
    if (!ended(command)) {
      ADD_FAILURE() << "it does not end: " << script;
      command.status = ExitStatus{0, 9};
    }
    return command;
  }
  bool wait_for(const std::function<bool()>& condition) {
    auto waiting = [](Timers& timers, const std::function<bool()>& until) -> Task<bool> {
      for (int rounds = 0; rounds < 6; ++rounds) {  // slow machines start programs slowly
        auto some = eventually(timers, until);
        const bool holds = co_await some;
        if (holds) co_return true;
      }
      co_return false;
    };
    return loop_.run(waiting(env_.timers, condition));
  }

  /// Serve TLS: answer each first line with "echo: " and it, and end.
  Endpoint serve() {
    listener_ = listen(env_, party_);
    auto accept = [](tls::SecureListener& listener, TaskSet& tasks,
                     std::vector<tls::Facts>& facts) -> Task<void> {
      for (;;) {
        Result<StreamPtr> stream = co_await listener.accept();
        if (!stream) co_return;
        facts.push_back(*(*stream)->tls_facts());
        auto answer = [](StreamPtr with) -> Task<void> {
          std::string line;
          char buffer[1024];
          while (line.find('\n') == line.npos) {
            const Result<std::size_t> got = co_await with->read_some(buffer);
            if (!got || *got == 0) break;
            line.append(buffer, *got);
          }
          const std::string reply = "echo: " + line;
          (void)co_await with->write_all(reply);
        };
        tasks.add(answer(std::move(*stream)));
      }
    };
    tasks_.add(accept(*listener_, tasks_, facts_));
    return listener_->endpoint();
  }
  std::string port() { return std::to_string(serve().port); }

  /// Dial a server of the other side, say a line and read to the end.
  std::string ask(const std::string& port, const std::string& line = "ping\n") {
    auto asking = [](Env& env, const Party& party, Endpoint to,
                     std::string words) -> Task<std::string> {
      tls::ClientOptions options = party.client;
      options.server_name = "localhost";
      auto network = tls::wrap(env.executor, env.timers, env.network, options).value();
      Result<StreamPtr> stream = co_await network->connect(to);
      if (!stream) co_return stream.error().to_string();
      Result<std::size_t> sent = co_await (*stream)->write_all(words);
      if (!sent) co_return sent.error().to_string();
      (*stream)->shutdown_write();
      auto reading = read_to_end(**stream);
      const std::string answer = co_await reading;
      co_return answer;
    };
    Endpoint to;
    to.port = static_cast<std::uint16_t>(std::stoul(port));
    std::optional<std::string> answer = loop_.run(
        with_deadline(env_.timers, asking(env_, party_, to, line), env_.timers.now() + 60s));
    return answer ? *answer : "no answer";
  }
  /// The port that a command says after `word`.
  std::string announced_port(Command& command, const std::string& word) {
    std::string number;
    const auto said = [&] {
      const std::size_t at = command.output.find(word);
      if (at == std::string::npos) return false;
      const std::size_t end = command.output.find('\n', at);
      if (end == std::string::npos) return false;
      number = command.output.substr(at + word.size(), end - at - word.size());
      return true;
    };
    EXPECT_TRUE(wait_for(said)) << command.output;
    return number.empty() ? "1" : number.substr(number.rfind(':') + 1);
  }
  /// What our client says to an `openssl s_server` with a certificate and options.
  std::string ask_s_server(const std::string& name, const std::string& more = "") {
    Command& server = begin("exec openssl s_server -accept 127.0.0.1:0 -naccept 1 -rev -cert " +
                            name + ".pem -key " + name + ".key " + more);
    const std::string answer = ask(announced_port(server, "ACCEPT "));
    server.process->signal(9);
    EXPECT_TRUE(ended(server));
    return answer;
  }

  testing_world::TemporaryDirectory directory_;
  Loop loop_{testing_world::quiet()};
  Env& env_ = loop_.env();
  const std::string peer_ = testing_paths::source() + "/tests/tls/peer.py";
  Party party_{env_.timers.wall()};
  std::vector<tls::Facts> facts_;
  std::unique_ptr<tls::SecureListener> listener_;
  std::vector<std::unique_ptr<Command>> commands_;
  TaskSet tasks_{env_.executor};  // last: its tasks use the rest
};

// ---------------------------------------------------------------------------- our server

TEST_F(TlsPeers, OpensslClientsOfBothVersionsAreServed) {
  const std::string at = port();
  for (const std::string version : {"1_2", "1_3"}) {
    const Command& client =
        run("printf 'ping\\n' | openssl s_client -quiet -verify_return_error "
            "-CAfile ca.pem -verify_hostname localhost -servername localhost "
            "-tls" +
            version + " -connect 127.0.0.1:" + at);
    EXPECT_THAT(client.output, HasSubstr("echo: ping"));
    EXPECT_EQ(client.status->code, 0) << client.output;
    ASSERT_FALSE(facts_.empty());
    EXPECT_EQ(facts_.back().version,
              version == "1_2" ? tls::Version::tls_1_2 : tls::Version::tls_1_3);
  }
  const Command& old =
      run("printf 'ping\\n' | openssl s_client -quiet -tls1_1 -cipher "
          "ALL:@SECLEVEL=0 -connect 127.0.0.1:" +
          at);
  EXPECT_THAT(old.output, Not(HasSubstr("echo")));
  EXPECT_NE(old.status->code, 0);
  EXPECT_TRUE(wait_for([&] { return listener_->counts().failed == 1; }));
}

TEST_F(TlsPeers, AClientMayAskForNewKeysAtAnyTime) {
  const Command& client = run("exec python3 $PEER key-update " + port() + " ca.pem");
  EXPECT_THAT(client.output, HasSubstr("echo: ping"));
}

TEST_F(TlsPeers, RenegotiationIsRefused) {
  const Command& client =
      run("printf 'R\\n' | timeout 20 openssl s_client -CAfile ca.pem -tls1_2 -connect 127.0.0.1:" +
          port());
  EXPECT_THAT(client.output, HasSubstr("RENEGOTIATING"));
  EXPECT_THAT(client.output, HasSubstr("no renegotiation"));
}

TEST_F(TlsPeers, PythonsClientIsServedAndTellsWhatWasAgreed) {
  party_.server.alpn = {"http/1.1"};
  party_.server.client_certificates = tls::ClientCertificates::required;
  party_.server.client_trust.certificates = party_.authority.certificate();
  const std::string at = port();
  const Command& client = run("exec python3 $PEER client " + at + " ca.pem ada.pem ada.key");
  EXPECT_THAT(client.output, HasSubstr("received echo: ping\n"));
  EXPECT_THAT(client.output, HasSubstr("version TLSv1.3\n"));
  EXPECT_THAT(client.output, HasSubstr("alpn http/1.1\n"));
  EXPECT_THAT(client.output, HasSubstr("names localhost 127.0.0.1 local\n"));
  EXPECT_EQ(facts_.at(0).peer->subject, "CN=ada");
  EXPECT_EQ(facts_.at(0).server_name, "localhost");

  const Command& nobody = run("exec python3 $PEER client " + at + " ca.pem");
  EXPECT_THAT(nobody.output, HasSubstr("CERTIFICATE_REQUIRED"));
  const Command& doubting = run("exec python3 $PEER client " + at + " leaf.pem");
  EXPECT_THAT(doubting.output, HasSubstr("CERTIFICATE_VERIFY_FAILED"));
}

TEST_F(TlsPeers, CurlGetsAnAnswerOverHttpsAndVerifies) {
  auto handler = http::make_handler([](http::Request& request) {
    return http::text("path " + std::string(request.path()) + "\n" + std::string(100'000, 'x'));
  });
  party_.server.alpn = {"http/1.1"};
  auto listener = listen(env_, party_);
  const std::string at = std::to_string(listener->endpoint().port);
  http::Server server(env_.executor, env_.timers, env_.logger, std::move(listener), *handler);
  const std::string curl = "curl -sS --max-time 30 --resolve localhost:" + at +
                           ":127.0.0.1 --resolve other:" + at + ":127.0.0.1 ";
  const Command& good =
      run(curl +
          "--cacert ca.pem -w '%{http_code} %{ssl_verify_result} %{size_download}' "
          "-o /dev/null https://localhost:" +
          at + "/a https://localhost:" + at + "/b -o /dev/null");
  EXPECT_EQ(good.output, "200 0 100008200 0 100008");
  const Command& by_address =
      run(curl + "--cacert ca.pem https://127.0.0.1:" + at + "/c | head -c 6");
  EXPECT_EQ(by_address.output.substr(0, 6), "path /");
  const Command& wrong = run(curl + "--cacert ca.pem https://other:" + at + "/");
  EXPECT_EQ(wrong.status->code, 60) << wrong.output;
  const Command& unknown = run(curl + "https://localhost:" + at + "/");
  EXPECT_EQ(unknown.status->code, 60) << unknown.output;
  const Command& clear = run(curl + "http://localhost:" + at + "/");
  EXPECT_NE(clear.status->code, 0) << clear.output;
  EXPECT_THAT(clear.output, Not(HasSubstr("path")));
}

// ---------------------------------------------------------------------------- our client

TEST_F(TlsPeers, PythonsServerIsReachedWithAndWithoutOurCertificate) {
  Command& open = begin("exec python3 $PEER server leaf.pem leaf.key");
  EXPECT_EQ(ask(announced_port(open, "port ")), "nobody says ping\n");
  Command& closed = begin("exec python3 $PEER server leaf.pem leaf.key ca.pem");
  party_.client.identity = tls::Identity{read("ada.pem"), read("ada.key")};
  EXPECT_EQ(ask(announced_port(closed, "port ")), "ada says ping\n");
  EXPECT_TRUE(ended(open) && ended(closed));
  Command& strict = begin("exec python3 $PEER server leaf.pem leaf.key ca.pem");
  party_.client.identity.reset();
  EXPECT_THAT(ask(announced_port(strict, "port "), ""), HasSubstr("certificate required"));
  EXPECT_TRUE(ended(strict));
}

TEST_F(TlsPeers, AServerThatClosesWithoutSayingSoHasTruncated) {
  Command& server = begin("exec python3 $PEER ragged leaf.pem leaf.key");
  EXPECT_THAT(ask(announced_port(server, "port ")), HasSubstr("truncated"));
  EXPECT_TRUE(ended(server));
}

TEST_F(TlsPeers, OpensslServersOfBothVersionsAreReached) {
  for (const char* version : {"-tls1_2", "-tls1_3"}) {
    EXPECT_THAT(ask_s_server("leaf", version), HasSubstr("gnip")) << version;
  }
  EXPECT_THAT(ask_s_server("leaf", "-tls1_1 -cipher ALL:@SECLEVEL=0"),
              HasSubstr("protocol version"));
}

TEST_F(TlsPeers, BadlyMadeCertificatesAreRefusedAndSayWhy) {
  const Command& made = run(R"(set -e
quiet() { openssl "$@" 2>/dev/null; }
quiet req -x509 -newkey rsa:2048 -nodes -keyout rsa.key -out rsa.pem -subj /CN=rsa-authority -days 3
printf 'subjectAltName=DNS:localhost\n' > good.ext
printf 'subjectAltName=DNS:localhost\nextendedKeyUsage=clientAuth\n' > purpose.ext
printf 'subjectAltName=email:a@b\n' > common.ext
leaf() {  # name bits digest extensions subject
  quiet req -new -newkey rsa:$2 -nodes -keyout $1.key -out $1.csr -subj /CN=$5
  quiet x509 -req -in $1.csr -CA rsa.pem -CAkey rsa.key -CAcreateserial -$3 -days 2 \
    -extfile $4.ext -out $1.pem
}
leaf good 2048 sha256 good leaf
leaf small 1024 sha256 good leaf
leaf sha1 2048 sha1 good leaf
leaf md5 2048 md5 good leaf
leaf purpose 2048 sha256 purpose leaf
leaf common 2048 sha256 common localhost
quiet req -x509 -newkey rsa:2048 -nodes -keyout self.key -out self.pem -subj /CN=self -days 3 \
  -addext subjectAltName=DNS:localhost
)");
  ASSERT_EQ(made.status->code, 0) << made.output;
  party_.client.trust.certificates = read("rsa.pem");
  const std::string weak = "-cipher ALL:@SECLEVEL=0";
  EXPECT_THAT(ask_s_server("good"), HasSubstr("gnip"));
  EXPECT_THAT(ask_s_server("small", weak), HasSubstr("has too weak a key: RSA 1024"));
  EXPECT_THAT(ask_s_server("sha1", weak), HasSubstr("has too weak a signature: sha1With"));
  EXPECT_THAT(ask_s_server("md5", weak), HasSubstr("has too weak a signature: md5With"));
  EXPECT_THAT(ask_s_server("purpose"), HasSubstr("is refused: unsuitable certificate purpose"));
  // A common name is no host name (RFC 9525), whatever it says.
  EXPECT_THAT(ask_s_server("common"), HasSubstr("the certificate is for a@b, not for localhost"));
  EXPECT_THAT(ask_s_server("self"), HasSubstr("\"CN=self\" is self-signed and not trusted"));
  EXPECT_THAT(ask_s_server("leaf"), HasSubstr("unknown authority"));

  // And none of the weak ones serves.
  for (const std::string name : {"small", "sha1", "md5"}) {
    tls::ServerOptions options;
    options.identities = {tls::Identity{read(name + ".pem"), read(name + ".key")}};
    const Endpoint any;
    auto served = tls::wrap(env_.executor, env_.timers, env_.logger,
                            env_.network.listen(any).value(), options);
    ASSERT_FALSE(served) << name;
    EXPECT_THAT(served.error().detail,
                HasSubstr(name == "small" ? "key too small" : "md too weak"));
  }
}

TEST_F(TlsPeers, CertificatesOutOfTheirTimeAreRefused) {
  const WallTime now = env_.timers.wall();
  const WallTime then = now - std::chrono::hours(24 * 100);
  const tls::Authority old = tls::Authority::create({}, then).value();
  write_identity("expired", issue(old, {"localhost"}, then));
  write_identity("early", issue(old, {"localhost"}, now + std::chrono::hours(24)));
  write_identity("timely", issue(old, {"localhost"}, now));
  party_.client.trust.certificates = old.certificate();
  EXPECT_THAT(ask_s_server("timely"), HasSubstr("gnip"));
  EXPECT_THAT(ask_s_server("expired"), HasSubstr("expired on "));
  EXPECT_THAT(ask_s_server("early"), HasSubstr("is not valid before "));
  tls::AuthorityOptions brief;
  brief.lifetime = std::chrono::hours(24 * 99);
  const tls::Authority ended = tls::Authority::create(brief, then).value();
  write_identity("orphan", issue(ended, {"localhost"}, then));
  party_.client.trust.certificates = ended.certificate();
  EXPECT_THAT(ask_s_server("orphan"), HasSubstr("expired on "));
}

TEST_F(TlsPeers, WhoIsNoAuthorityVouchesForNobody) {
  const Command& made = run(R"(set -e
quiet() { openssl "$@" 2>/dev/null; }
quiet req -x509 -newkey rsa:2048 -nodes -keyout root.key -out root.pem -subj /CN=root -days 3
printf 'subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n' > leaf.ext
printf 'basicConstraints=critical,CA:TRUE\nnameConstraints=critical,permitted;DNS:other.example\n' \
  > bound.ext
sign() {  # name issuer extensions
  quiet req -new -newkey rsa:2048 -nodes -keyout $1.key -out $1.csr -subj /CN=$1
  quiet x509 -req -in $1.csr -CA $2.pem -CAkey $2.key -CAcreateserial -sha256 -days 2 \
    -extfile $3.ext -out $1.pem
}
sign middle root leaf
sign below middle leaf
sign bound root bound
sign outside bound leaf
)");
  ASSERT_EQ(made.status->code, 0) << made.output;
  party_.client.trust.certificates = read("root.pem");
  EXPECT_THAT(ask_s_server("middle"), HasSubstr("gnip"));
  EXPECT_THAT(ask_s_server("below", "-cert_chain middle.pem"), HasSubstr("failed_precondition"));
  // An authority for other names only.
  EXPECT_THAT(ask_s_server("outside", "-cert_chain bound.pem"), HasSubstr("failed_precondition"));
}

TEST_F(TlsPeers, TheSystemsTrustKnowsNoAuthorityOfOurs) {
  party_.client.trust = {true, {}};
  EXPECT_THAT(ask_s_server("leaf"), HasSubstr("unknown authority"));
}

}  // namespace
}  // namespace knative
