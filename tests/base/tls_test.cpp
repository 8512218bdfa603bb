// TLS over any network: one contract for both worlds.
#include "knative/tls.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "knative/simulation.hpp"
#include "support/real_world.hpp"
#include "support/tls_pair.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;
using namespace testing_tls;
using testing::HasSubstr;
using testing_world::eventually;

/// One of both worlds.
class TlsContract : public ::testing::TestWithParam<bool> {
 protected:
  TlsContract() {
    if (GetParam()) {
      sim_.emplace(1);
    } else {
      loop_.emplace(testing_world::quiet());
    }
    party.emplace(env().timers.wall());
  }
  Env& env() { return sim_ ? sim_->env() : loop_->env(); }
  template <class T>
  T run(Task<T> task) {
    return sim_ ? sim_->run(std::move(task)) : loop_->run(std::move(task));
  }

 private:
  std::optional<Loop> loop_;
  std::optional<Simulation> sim_;

 protected:
  std::optional<Party> party;
};

INSTANTIATE_TEST_SUITE_P(Worlds, TlsContract, testing::Bool(),
                         [](const auto& info) { return info.param ? "Simulation" : "Loop"; });

// ---------------------------------------------------------------------------- bytes

TEST_P(TlsContract, MovesBytesAndTheEndInBothDirections) {
  auto body = [](Env& env, const Party& party) -> Task<void> {
    Pair pair = co_await connect_pair(env, party);
    Stream& client = **pair.client;
    Stream& server = *pair.server;
    (void)(co_await client.write_all("ping")).value();
    char buffer[16];
    EXPECT_EQ((co_await server.read_some(buffer)).value(), 4u);
    client.shutdown_write();
    EXPECT_EQ((co_await server.read_some(buffer)).value(), 0u);
    EXPECT_EQ((co_await server.read_some(buffer)).value(), 0u);  // and stays so
    (void)(co_await server.write_all("pong")).value();           // the other half is open
    server.shutdown_write();
    EXPECT_EQ(co_await read_to_end(client), "pong");
    const Result<std::size_t> late = co_await client.write_all("late");
    EXPECT_EQ(late.error().code, Errc::unavailable);
    EXPECT_FALSE(server.peer().empty());
  };
  run(body(env(), *party));
}

TEST_P(TlsContract, MovesMoreThanAnyBufferHolds) {
  auto body = [](Env& env, const Party& party) -> Task<void> {
    Pair pair = co_await connect_pair(env, party);
    std::string big(3 << 20, '\0');
    for (std::size_t i = 0; i < big.size(); ++i) big[i] = static_cast<char>(i * 131 >> 7);
    auto send = [](Stream& stream, const std::string& bytes) -> Task<std::string> {
      std::vector<std::string_view> pieces;  // many, of odd sizes, some empty
      for (std::size_t at = 0, n = 1; at < bytes.size(); n = (n * 7 + 13) % 50'001) {
        pieces.push_back(std::string_view(bytes).substr(at, n));
        pieces.push_back({});
        at += n;
      }
      EXPECT_EQ((co_await stream.write(pieces)).value(), bytes.size());
      stream.shutdown_write();
      co_return "";
    };
    std::vector<Task<std::string>> both;
    both.push_back(send(**pair.client, big));
    both.push_back(read_to_end(*pair.server, 60'000));
    both.push_back(send(*pair.server, big));
    both.push_back(read_to_end(**pair.client, 1000));
    const std::vector<std::string> done = co_await when_all(std::move(both));
    EXPECT_TRUE(done[1] == big);
    EXPECT_TRUE(done[3] == big);
  };
  run(body(env(), *party));
}

TEST_P(TlsContract, AWriteWaitsForAReader) {
  auto body = [](Env& env, const Party& party) -> Task<void> {
    Pair pair = co_await connect_pair(env, party);
    const std::string big(32 << 20, 'x');
    auto bounded =
        with_deadline(env.timers, (*pair.client)->write_all(big), env.timers.now() + 200ms);
    const auto written = co_await bounded;
    EXPECT_FALSE(written.has_value()) << "nobody has read anything";
  };
  run(body(env(), *party));
}

TEST_P(TlsContract, AStreamThatIsDestroyedEndsCleanly) {
  auto body = [](Env& env, const Party& party) -> Task<void> {
    Pair pair = co_await connect_pair(env, party);
    (void)(co_await (*pair.client)->write_all("last words")).value();
    pair.client->reset();
    EXPECT_EQ(co_await read_to_end(*pair.server), "last words");
  };
  run(body(env(), *party));
}

TEST_P(TlsContract, AbortFailsWhatIsInProgressAndTheOtherEnd) {
  auto body = [](Env& env, const Party& party) -> Task<void> {
    Pair pair = co_await connect_pair(env, party);
    auto later = [](Timers& timers, Stream& stream) -> Task<std::string> {
      co_await timers.sleep_for(5ms);
      stream.abort();
      co_return "";
    };
    std::vector<Task<std::string>> both;
    both.push_back(read_to_end(**pair.client));
    both.push_back(later(env.timers, **pair.client));
    const std::vector<std::string> done = co_await when_all(std::move(both));
    EXPECT_THAT(done[0], HasSubstr("cancelled"));
    EXPECT_THAT(co_await read_to_end(*pair.server), HasSubstr("unavailable"));
  };
  run(body(env(), *party));
}

TEST_P(TlsContract, ADroppedReadLosesNothing) {
  auto body = [](Env& env, const Party& party) -> Task<void> {
    Pair pair = co_await connect_pair(env, party);
    std::string got;
    for (int round = 0; round < 20; ++round) {
      char buffer[8];
      {
        // Given up before anything comes.
        auto read = [](Stream& stream, std::span<char> into) -> Task<std::size_t> {
          co_return (co_await stream.read_some(into)).value();
        };
        auto bounded =
            with_deadline(env.timers, read(*pair.server, buffer), env.timers.now() + 100us);
        const auto early = co_await bounded;
        EXPECT_FALSE(early.has_value());
      }
      (void)(co_await (*pair.client)->write_all(std::to_string(round))).value();
      const std::size_t count = (co_await pair.server->read_some(buffer)).value();
      got.append(buffer, count);
    }
    EXPECT_EQ(got, "012345678910111213141516171819");
  };
  run(body(env(), *party));
}

// ---------------------------------------------------------------------------- facts

TEST_P(TlsContract, AStreamTellsWhatWasEstablished) {
  const WallTime now = env().timers.wall();
  party->client.identity = issue(party->authority, {"ada", "spiffe://local/ada"}, now);
  party->client.alpn = {"h2", "http/1.1"};
  party->server.alpn = {"http/1.1"};
  party->server.client_certificates = tls::ClientCertificates::required;
  party->server.client_trust.certificates = party->authority.certificate();
  party->client.server_name = "localhost";
  auto body = [](Env& env, const Party& party) -> Task<void> {
    Pair pair = co_await connect_pair(env, party);
    const tls::Facts& client = *(*pair.client)->tls_facts();
    const tls::Facts& server = *pair.server->tls_facts();
    for (const tls::Facts* facts : {&client, &server}) {
      EXPECT_EQ(facts->version, tls::Version::tls_1_3);
      EXPECT_EQ(facts->cipher, "TLS_AES_128_GCM_SHA256");
      EXPECT_EQ(facts->alpn, "http/1.1");
      EXPECT_EQ(facts->server_name, "localhost");
    }
    EXPECT_EQ(client.peer->subject, "CN=localhost");
    EXPECT_EQ(client.peer->issuer, "CN=knative local authority");
    EXPECT_EQ(client.peer->names, (std::vector<std::string>{"localhost", "127.0.0.1", "local"}));
    EXPECT_EQ(client.peer->key, "Ed25519");
    EXPECT_EQ(server.peer->subject, "CN=ada");
    EXPECT_EQ(server.peer->names, (std::vector<std::string>{"ada", "spiffe://local/ada"}));
    EXPECT_EQ(server.peer->sha256.size(), 64u);
  };
  run(body(env(), *party));
}

TEST_P(TlsContract, AClearStreamHasNoFacts) {
  auto body = [](Env& env) -> Task<void> {
    const Endpoint any;
    auto listener = env.network.listen(any).value();
    StreamPtr stream = (co_await env.network.connect(listener->endpoint())).value();
    EXPECT_EQ(stream->tls_facts(), nullptr);
  };
  run(body(env()));
}

TEST_P(TlsContract, EachVersionThatIsAllowedIsSpoken) {
  auto body = [](Env& env, Party& party) -> Task<void> {
    party.client.version_min = tls::Version::tls_1_3;
    Pair pair = co_await connect_pair(env, party);
    EXPECT_EQ((*pair.client)->tls_facts()->version, tls::Version::tls_1_3);
  };
  run(body(env(), *party));
}

TEST_P(TlsContract, AddressesAreVerifiedAndNotAskedForByName) {
  auto body = [](Env& env, const Party& party) -> Task<void> {
    Pair pair = co_await connect_pair(env, party);  // 127.0.0.1
    EXPECT_EQ((*pair.client)->tls_facts()->server_name, "");
    EXPECT_EQ(pair.server->tls_facts()->server_name, "");
  };
  run(body(env(), *party));
}

TEST_P(TlsContract, TheNameThatIsAskedForChoosesTheCertificate) {
  const WallTime now = env().timers.wall();
  // Of another kind than the first, which therefore could be chosen in its stead.
  auto add = [&](std::vector<std::string> names, tls::KeyType type) {
    party->server.identities.push_back(issue(party->authority, std::move(names), now, type));
  };
  add({"shop.example"}, tls::KeyType::p256);
  add({"*.apps.example"}, tls::KeyType::ed25519);
  add({"shop.example", "other.example"}, tls::KeyType::ed25519);
  auto body = [](Env& env, Party& party) -> Task<void> {
    const std::pair<const char*, const char*> cases[] = {
        {"shop.example", "CN=shop.example"},  {"SHOP.example", "CN=shop.example"},
        {"shop.example.", "CN=shop.example"}, {"a.apps.example", "CN=*.apps.example"},
        {"other.example", "CN=shop.example"}, {"localhost", "CN=localhost"}};
    for (const auto& [asked, subject] : cases) {
      party.client.server_name = asked;
      Pair pair = co_await connect_pair(env, party);
      EXPECT_TRUE(pair.client) << pair.client.error().to_string();
      if (!pair.client) continue;
      EXPECT_EQ((*pair.client)->tls_facts()->peer->subject, subject) << asked;
    }
    party.client.server_name = "a.b.apps.example";  // one label only
    Pair pair = co_await connect_pair(env, party);
    EXPECT_THAT(pair.client.error().detail, HasSubstr("not for a.b.apps.example"));
  };
  run(body(env(), *party));
}

TEST_P(TlsContract, TheServerPrefersAmongTheProtocolsOffered) {
  auto body = [](Env& env, Party& party) -> Task<void> {
    struct Case {
      std::vector<std::string> client, server;
      std::string chosen;
    };
    const Case cases[] = {{{"http/1.1", "h2"}, {"h2", "http/1.1"}, "h2"},
                          {{"http/1.1"}, {"h2", "http/1.1"}, "http/1.1"},
                          {{}, {"h2"}, ""},
                          {{"h2"}, {}, ""}};
    for (const Case& each : cases) {
      party.client.alpn = each.client;
      party.server.alpn = each.server;
      Pair pair = co_await connect_pair(env, party);
      EXPECT_EQ((*pair.client)->tls_facts()->alpn, each.chosen);
      EXPECT_EQ(pair.server->tls_facts()->alpn, each.chosen);
    }
    party.client.alpn = {"h3"};
    party.server.alpn = {"h2"};
    Pair pair = co_await connect_pair(env, party);
    EXPECT_EQ(pair.client.error().code, Errc::unavailable);
    EXPECT_THAT(pair.client.error().detail, HasSubstr("no application protocol"));
  };
  run(body(env(), *party));
}

// ---------------------------------------------------------------------------- distrust

TEST_P(TlsContract, ACertificateThatIsNotToBeTrustedIsNamedWithItsFault) {
  auto body = [](Env& env, Party& party) -> Task<void> {
    const WallTime now = env.timers.wall();
    struct Case {
      std::string fault;
      tls::Identity identity;
    };
    const tls::Authority stranger =
        tls::Authority::create({.common_name = "stranger"}, now).value();
    const std::vector<std::string> names = {"localhost", "127.0.0.1"};
    tls::LeafOptions brief;
    brief.names = names;
    brief.lifetime = 1h;
    const Case cases[] = {
        {"expired on ", party.authority.issue(brief, now - 2h).value()},
        {"is not valid before ", issue(party.authority, names, now + 2h)},
        {"the certificate is for other.example, 10.0.0.9, not for 127.0.0.1",
         issue(party.authority, {"other.example", "10.0.0.9"}, now)},
        {"was issued by an unknown authority: \"CN=stranger\"", issue(stranger, names, now)},
        {"is self-signed and not trusted", stranger.identity()},
    };
    for (const Case& each : cases) {
      party.server.identities = {each.identity};
      Pair pair = co_await connect_pair(env, party);
      EXPECT_FALSE(pair.client) << each.fault;
      if (pair.client) continue;
      EXPECT_EQ(pair.client.error().code, Errc::failed_precondition) << each.fault;
      EXPECT_THAT(pair.client.error().detail, HasSubstr(each.fault));
      EXPECT_EQ(pair.server, nullptr) << each.fault;
    }
  };
  run(body(env(), *party));
}

TEST_P(TlsContract, ACertificateOfAPeerMayBeTrustedItself) {
  auto body = [](Env& env, Party& party) -> Task<void> {
    party.client.trust.certificates = party.server.identities[0].certificates;
    Pair pair = co_await connect_pair(env, party);
    EXPECT_TRUE(pair.client) << pair.client.error().to_string();
    party.client.server_name = "elsewhere";  // and is for its names all the same
    Pair other = co_await connect_pair(env, party);
    EXPECT_FALSE(other.client);
  };
  run(body(env(), *party));
}

TEST_P(TlsContract, AServerThatWantsACertificateRefusesWhoShowsNoneOrAWrongOne) {
  const WallTime now = env().timers.wall();
  party->server.client_trust.certificates = party->authority.certificate();
  auto body = [](Env& env, Party& party, WallTime now) -> Task<void> {
    const tls::Authority stranger = tls::Authority::create({}, now).value();
    using enum tls::ClientCertificates;
    struct Case {
      tls::ClientCertificates wanted;
      std::optional<tls::Identity> shown;
      bool served;
    };
    const Case cases[] = {
        {required, std::nullopt, false},
        {required, issue(stranger, {"eve"}, now), false},
        {required, issue(party.authority, {"ada"}, now), true},
        {required, issue(party.authority, {"late"}, now + 48h), false},
        {optional, std::nullopt, true},
        {optional, issue(stranger, {"eve"}, now), false},
        {ignored, issue(stranger, {"eve"}, now), true},
    };
    for (const Case& each : cases) {
      party.server.client_certificates = each.wanted;
      party.client.identity = each.shown;
      Pair pair = co_await connect_pair(env, party);
      EXPECT_TRUE(pair.client);  // in TLS 1.3 the client is done before the server has judged
      EXPECT_EQ(pair.server != nullptr, each.served);
      if (each.served) {
        EXPECT_EQ(pair.server->tls_facts()->peer.has_value(), each.wanted != ignored && each.shown);
      } else {
        EXPECT_THAT(co_await read_to_end(**pair.client), HasSubstr("the peer refused: "));
      }
    }
  };
  run(body(env(), *party, now));
}

// ---------------------------------------------------------------------------- strangers

TEST_P(TlsContract, AClientThatNeverFinishesItsHandshakeStopsNobody) {
  auto body = [](Env& env, Party& party) -> Task<void> {
    party.server.handshake_timeout = 300ms;
    auto listener = listen(env, party);
    auto network = dialler(env, party);
    std::vector<StreamPtr> stalled;
    for (int i = 0; i < 5; ++i) {
      stalled.push_back((co_await env.network.connect(listener->endpoint())).value());
    }
    (void)(co_await stalled[1]->write_all("\x16\x03\x01")).value();  // three bytes of a hello
    auto connected = connect_to(env, *listener, *network, listener->endpoint());
    Pair pair = co_await connected;
    EXPECT_TRUE(pair.client);
    EXPECT_NE(pair.server, nullptr);
    EXPECT_EQ(listener->counts().completed, 1u);
    auto ended = [&] { return listener->counts().timed_out == 5; };
    const std::function<bool()> all = ended;
    auto waited = eventually(env.timers, all);
    EXPECT_TRUE(co_await waited);
    EXPECT_EQ(listener->counts().under_way, 0u);
    char buffer[64];
    const Result<std::size_t> end = co_await stalled[0]->read_some(buffer);
    EXPECT_TRUE(!end || *end == 0);  // they are closed
  };
  run(body(env(), *party));
}

TEST_P(TlsContract, BeyondTheBoundTheOneThatStallsLongestGivesWay) {
  auto body = [](Env& env, Party& party) -> Task<void> {
    party.server.handshakes_max = 2;
    party.server.handshake_timeout = 1h;
    auto listener = listen(env, party);
    auto network = dialler(env, party);
    std::vector<StreamPtr> stalled;
    for (int i = 0; i < 4; ++i) {
      stalled.push_back((co_await env.network.connect(listener->endpoint())).value());
    }
    const Instant begin = env.timers.now();
    auto connected = connect_to(env, *listener, *network, listener->endpoint());
    Pair pair = co_await connected;
    EXPECT_TRUE(pair.client);
    EXPECT_LT(env.timers.now() - begin, 4s);
    EXPECT_GE(listener->counts().evicted, 3u);
    EXPECT_LE(listener->counts().under_way, 2u);
  };
  run(body(env(), *party));
}

TEST_P(TlsContract, AServerThatNeverAnswersIsGivenUp) {
  auto body = [](Env& env, Party& party) -> Task<void> {
    party.client.handshake_timeout = 50ms;
    const Endpoint any;
    auto silent = env.network.listen(any).value();
    auto network = dialler(env, party);
    Result<StreamPtr> stream = co_await network->connect(silent->endpoint());
    EXPECT_EQ(stream.error().code, Errc::deadline_exceeded);
    EXPECT_THAT(stream.error().detail, HasSubstr("TLS handshake timed out"));
  };
  run(body(env(), *party));
}

TEST_P(TlsContract, WhoSpeaksNoTlsIsToldApart) {
  auto body = [](Env& env, Party& party) -> Task<void> {
    auto listener = listen(env, party);
    StreamPtr stranger = (co_await env.network.connect(listener->endpoint())).value();
    (void)(co_await stranger->write_all("GET / HTTP/1.1\r\nHost: a\r\n\r\n")).value();
    const std::string answer = co_await read_to_end(*stranger);
    EXPECT_EQ(answer.find("HTTP"), std::string::npos);
    auto failed = [&] { return listener->counts().failed == 1; };
    const std::function<bool()> counted = failed;
    auto waited = eventually(env.timers, counted);
    EXPECT_TRUE(co_await waited);

    const Endpoint any;
    auto clear = env.network.listen(any).value();
    auto speak = [](Listener& listener) -> Task<void> {
      StreamPtr stream = (co_await listener.accept()).value();
      (void)co_await stream->write_all("HTTP/1.1 400 Bad Request\r\n\r\n");
      stream->shutdown_write();
      (void)co_await read_to_end(*stream);
    };
    TaskSet speaking(env.executor);
    speaking.add(speak(*clear));
    auto network = dialler(env, party);
    Result<StreamPtr> stream = co_await network->connect(clear->endpoint());
    EXPECT_EQ(stream.error().code, Errc::unavailable);
    EXPECT_THAT(stream.error().detail, HasSubstr("does not speak TLS"));
  };
  run(body(env(), *party));
}

/// A listener that nobody reaches.
class LonelyListener final : public Listener {
 public:
  Task<Result<StreamPtr>> accept() override {
    co_await never_.wait();
    co_return fail(Errc::internal, "somebody came");
  }
  Endpoint endpoint() const override { return Endpoint{"lonely", 7, {}}; }
  DescriptorRoom descriptors() const noexcept override { return {100, 3}; }

 private:
  Wakeup never_;
};

TEST_P(TlsContract, WhatTheListenerBelowTellsIsPassedOn) {
  Env& world = env();
  const auto listener = tls::wrap(world.executor, world.timers, world.logger,
                                  std::make_unique<LonelyListener>(), party->server)
                            .value();
  EXPECT_EQ(listener->endpoint().host, "lonely");
  EXPECT_EQ(listener->descriptors().left, 3u);
  EXPECT_EQ(listener->descriptors().max, 100u);
}

// ---------------------------------------------------------------------------- what is between

/// Carries bytes between a client and a server, and keeps them.
struct Relay {
  std::string seen[2];
  std::size_t bytes_max = ~std::size_t{0};  ///< Of the server's; then both are ended.
};

Task<void> carry(Stream& from, Stream& to, std::string& seen, std::size_t bytes_max) {
  char buffer[1024];
  while (seen.size() < bytes_max) {
    const Result<std::size_t> got = co_await from.read_some(buffer);
    if (!got || *got == 0) break;
    const std::string_view piece(buffer, std::min(*got, bytes_max - seen.size()));
    seen += piece;
    const Result<std::size_t> put = co_await to.write_all(piece);
    if (!put) break;
  }
  to.shutdown_write();
}

Task<void> relay(Network& network, Listener& listener, Endpoint to, Relay& state) {
  StreamPtr client = (co_await listener.accept()).value();
  StreamPtr server = (co_await network.connect(to)).value();
  std::vector<Task<void>> both;
  both.push_back(carry(*client, *server, state.seen[0], ~std::size_t{0}));
  both.push_back(carry(*server, *client, state.seen[1], state.bytes_max));
  auto carried = when_all(std::move(both));
  (void)co_await carried;
}

struct Relayed {
  std::string read;
  Relay state;
};

Task<Relayed> through_a_relay(Env& env, const Party& party, std::size_t bytes_max) {
  Relayed relayed;
  relayed.state.bytes_max = bytes_max;
  auto listener = listen(env, party);
  const Endpoint any;
  auto between = env.network.listen(any).value();
  TaskSet relaying(env.executor);
  relaying.add(relay(env.network, *between, listener->endpoint(), relayed.state));
  auto network = dialler(env, party);
  auto connected = connect_to(env, *listener, *network, between->endpoint());
  Pair pair = co_await connected;
  if (!pair.client || !pair.server) {
    relayed.read = pair.client ? "not accepted" : pair.client.error().to_string();
    co_return relayed;
  }
  const std::string words = "the secret words";
  auto written = write_and_end(*pair.server, words);
  (void)co_await written;
  relayed.read = co_await read_to_end(**pair.client);
  co_return relayed;
}

TEST_P(TlsContract, NothingCrossesTheNetworkInClearText) {
  Relayed all = run(through_a_relay(env(), *party, ~std::size_t{0}));
  EXPECT_EQ(all.read, "the secret words");
  EXPECT_EQ(all.state.seen[0].find("secret"), std::string::npos);
  EXPECT_EQ(all.state.seen[1].find("secret"), std::string::npos);
  EXPECT_GT(all.state.seen[1].size(), 400u);
}

TEST_P(TlsContract, AnEndThatThePeerDidNotSayIsTruncation) {
  const Relayed all = run(through_a_relay(env(), *party, ~std::size_t{0}));
  // Without the last bytes, which say the end; also without some of the words.
  for (const std::size_t missing : {1u, 24u, 30u}) {
    const std::size_t some = all.state.seen[1].size() - missing;
    const Relayed cut = run(through_a_relay(env(), *party, some));
    EXPECT_THAT(cut.read, HasSubstr("truncated: the connection ended without close_notify"));
  }
}

TEST_P(TlsContract, TlsBeginsOnAConnectionThatStandsAlready) {
  auto body = [](Env& env, const Party& party) -> Task<void> {
    auto listener = listen(env, party);
    auto network = dialler(env, party);
    StreamPtr plain = (co_await env.network.connect(listener->endpoint())).value();
    Result<StreamPtr> stream = co_await network->secure(std::move(plain), "localhost");
    EXPECT_TRUE(stream) << stream.error().to_string();
    StreamPtr unnamed = (co_await env.network.connect(listener->endpoint())).value();
    Result<StreamPtr> refused = co_await network->secure(std::move(unnamed), "no name");
    EXPECT_EQ(refused.error().code, Errc::invalid_argument);
  };
  run(body(env(), *party));
}

TEST_P(TlsContract, AUnixSocketNeedsANameToVerify) {
  auto body = [](Env& env, Party& party) -> Task<void> {
    Endpoint where;
    where.path = "@knative-tls-test-" + std::to_string(reinterpret_cast<std::uintptr_t>(&party));
    auto listener = listen(env, party, where);
    auto network = dialler(env, party);
    Result<StreamPtr> refused = co_await network->connect(where);
    EXPECT_EQ(refused.error().code, Errc::invalid_argument);
    party.client.server_name = "localhost";
    network->reload(party.client).value();
    Result<StreamPtr> stream = co_await network->connect(where);
    EXPECT_TRUE(stream) << stream.error().to_string();
  };
  run(body(env(), *party));
}

TEST_P(TlsContract, ASecureNetworkDoesNotListenInClear) {
  auto network = dialler(env(), *party);
  const Endpoint any;
  EXPECT_EQ(network->listen(any).error().code, Errc::failed_precondition);
}

// ---------------------------------------------------------------------------- reload

TEST_P(TlsContract, NewConnectionsUseReloadedCertificatesAndOldOnesGoOn) {
  auto body = [](Env& env, Party& party) -> Task<void> {
    auto listener = listen(env, party);
    auto network = dialler(env, party);
    auto first = connect_to(env, *listener, *network, listener->endpoint());
    Pair old = co_await first;
    const WallTime now = env.timers.wall();
    const tls::Authority fresh = tls::Authority::create({}, now).value();

    tls::ServerOptions broken = party.server;
    broken.identities[0].private_key = issue(fresh, {"x"}, now).private_key;
    EXPECT_EQ(listener->reload(broken).error().code, Errc::invalid_argument);

    tls::ServerOptions changed = party.server;
    changed.identities = {issue(fresh, {"127.0.0.1"}, now)};
    listener->reload(changed).value();
    auto second = connect_to(env, *listener, *network, listener->endpoint());
    Pair refused = co_await second;
    EXPECT_THAT(refused.client.error().detail, HasSubstr("unknown authority"));

    tls::ClientOptions trusting = party.client;
    trusting.trust.certificates += fresh.certificate();
    network->reload(trusting).value();
    auto third = connect_to(env, *listener, *network, listener->endpoint());
    Pair renewed = co_await third;
    EXPECT_TRUE(renewed.client);

    (void)(co_await (*old.client)->write_all("still here")).value();
    old.client->reset();
    EXPECT_EQ(co_await read_to_end(*old.server), "still here");
  };
  run(body(env(), *party));
}

TEST_P(TlsContract, OptionsThatCannotBeUsedAreNamed) {
  Env& world = env();
  const auto serving = [&](auto change) {
    tls::ServerOptions options = party->server;
    change(options);
    const Endpoint any;
    auto made = tls::wrap(world.executor, world.timers, world.logger,
                          world.network.listen(any).value(), options);
    return made ? std::string("usable") : made.error().to_string();
  };
  const auto dialling = [&](auto change) {
    tls::ClientOptions options = party->client;
    change(options);
    auto made = tls::wrap(world.executor, world.timers, world.network, options);
    return made ? std::string("usable") : made.error().to_string();
  };
  EXPECT_EQ(serving([](auto&) {}), "usable");
  EXPECT_THAT(serving([](auto& o) { o.identities.clear(); }), HasSubstr("identities: "));
  EXPECT_THAT(serving([](auto& o) { o.identities[0].certificates = "?"; }),
              HasSubstr("identities[0]: certificates: no PEM text of a certificate"));
  EXPECT_THAT(serving([](auto& o) { o.identities[0].private_key = "?"; }),
              HasSubstr("identities[0]: private_key: no PEM text of a private key"));
  EXPECT_THAT(serving([](auto& o) { o.alpn = {""}; }), HasSubstr("alpn: "));
  EXPECT_THAT(serving([](auto& o) { o.handshakes_max = 0; }), HasSubstr("handshakes_max: "));
  EXPECT_THAT(serving([](auto& o) { o.handshake_timeout = 0s; }), HasSubstr("handshake_timeout: "));
  EXPECT_THAT(serving([](auto& o) { o.client_certificates = tls::ClientCertificates::required; }),
              HasSubstr("client_trust: nobody is trusted"));
  EXPECT_EQ(dialling([](auto&) {}), "usable");
  EXPECT_THAT(dialling([](auto& o) { o.trust.certificates = ""; }),
              HasSubstr("trust: nobody is trusted"));
  EXPECT_THAT(dialling([](auto& o) { o.trust.certificates = "x"; }),
              HasSubstr("trust.certificates: no PEM text"));
  EXPECT_THAT(dialling([](auto& o) {
                o.identity = tls::Identity{"x", "y"};
              }),
              HasSubstr("identity: certificates: "));
  EXPECT_THAT(dialling([](auto& o) { o.alpn = {std::string(256, 'a')}; }), HasSubstr("alpn: "));
}

}  // namespace
}  // namespace knative
