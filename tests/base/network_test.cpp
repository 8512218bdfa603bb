// Sockets of the real world; what both worlds share is in the contract suite.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "support/real_world.hpp"

namespace knative {
namespace {

using testing_world::quiet;
using testing_world::TemporaryDirectory;
using namespace std::chrono_literals;

using Streams = std::pair<std::unique_ptr<Stream>, std::unique_ptr<Stream>>;

Task<Result<std::size_t>> keep(std::unique_ptr<Stream>& into,
                               Task<Result<std::unique_ptr<Stream>>> made) {
  Result<std::unique_ptr<Stream>> stream = co_await made;
  if (!stream) co_return stream.error();
  into = std::move(*stream);
  co_return std::size_t{0};
}

/// A connected pair: the dialling end and the accepted one.
Task<Streams> connect_pair(Network& network, const Endpoint& where) {
  auto listener = network.listen(where).value();
  Streams streams;
  std::vector<Task<Result<std::size_t>>> both;
  both.push_back(keep(streams.second, listener->accept()));
  both.push_back(keep(streams.first, network.connect(listener->endpoint())));
  for (Result<std::size_t>& done : co_await when_all(std::move(both))) done.value();
  co_return streams;
}

Task<std::string> read_to_end(Stream& stream, std::size_t piece = 4096) {
  std::string all;
  std::string buffer(piece, '\0');
  for (;;) {
    const std::size_t got = (co_await stream.read_some(buffer)).value();
    if (got == 0) co_return all;
    all.append(buffer, 0, got);
  }
}

Task<void> echo(std::unique_ptr<Stream> stream) {
  char buffer[4096];
  for (;;) {
    const Result<std::size_t> got = co_await stream->read_some(buffer);
    if (!got || *got == 0) co_return;
    const Result<std::size_t> put = co_await stream->write_all(std::string_view(buffer, *got));
    if (!put) co_return;
  }
}

Task<void> echo_server(Listener& listener, TaskSet& connections) {
  for (;;) {
    Result<std::unique_ptr<Stream>> stream = co_await listener.accept();
    if (stream) connections.add(echo(std::move(*stream)));
  }
}

class NetworkTest : public testing::Test {
 protected:
  Loop loop_{quiet()};
  Env& env_ = loop_.env();
  const Endpoint any_{};
};

/// The same for TCP on both families and for Unix sockets.
class EveryFamily : public NetworkTest, public testing::WithParamInterface<const char*> {
 protected:
  Endpoint where() {
    const std::string_view family = GetParam();
    Endpoint endpoint;
    if (family == "unix") {
      endpoint.path = directory_ / "socket";
    } else if (family == "abstract") {
      endpoint.path = "@" + directory_.path();
    } else {
      endpoint.host = GetParam();
    }
    return endpoint;
  }
  bool available() { return static_cast<bool>(env_.network.listen(where())); }
  TemporaryDirectory directory_;
};

TEST_P(EveryFamily, MovesBytesAndTheEndInBothDirections) {
  if (!available()) GTEST_SKIP() << "no " << GetParam() << " here";
  auto body = [](Network& network, const Endpoint& where) -> Task<void> {
    auto [client, server] = co_await connect_pair(network, where);
    (void)(co_await client->write_all("ping")).value();
    char buffer[16];
    EXPECT_EQ((co_await server->read_some(buffer)).value(), 4u);
    client->shutdown_write();
    EXPECT_EQ((co_await server->read_some(buffer)).value(), 0u);
    EXPECT_EQ((co_await server->read_some(buffer)).value(), 0u);  // and stays so
    (void)(co_await server->write_all("pong")).value();           // the other half is open
    server->shutdown_write();
    EXPECT_EQ(co_await read_to_end(*client), "pong");
    EXPECT_FALSE(server->peer().empty());
  };
  const Endpoint endpoint = where();
  loop_.run(body(env_.network, endpoint));
}

TEST_P(EveryFamily, MovesMoreThanTheSocketsBuffersHold) {
  if (!available()) GTEST_SKIP() << "no " << GetParam() << " here";
  auto body = [](Network& network, const Endpoint& where) -> Task<void> {
    auto [client, server] = co_await connect_pair(network, where);
    std::string big(20 << 20, '\0');
    for (std::size_t i = 0; i < big.size(); ++i) big[i] = static_cast<char>(i * 131 >> 7);
    auto send = [](Stream& stream, const std::string& bytes) -> Task<std::string> {
      std::vector<std::string_view> pieces;  // many, of odd sizes, some empty
      for (std::size_t at = 0, n = 1; at < bytes.size(); n = (n * 7 + 13) % 300'001) {
        pieces.push_back(std::string_view(bytes).substr(at, n));
        at += n;
      }
      EXPECT_EQ((co_await stream.write(pieces)).value(), bytes.size());
      stream.shutdown_write();
      co_return "";
    };
    std::vector<Task<std::string>> both;
    both.push_back(send(*client, big));
    both.push_back(read_to_end(*server, 60'000));
    const std::vector<std::string> done = co_await when_all(std::move(both));
    EXPECT_TRUE(done[1] == big);
  };
  const Endpoint endpoint = where();
  loop_.run(body(env_.network, endpoint));
}

INSTANTIATE_TEST_SUITE_P(Families, EveryFamily,
                         testing::Values("127.0.0.1", "::1", "unix", "abstract"),
                         [](const auto& info) {
                           const std::string_view name = info.param;
                           if (name == "127.0.0.1") return "ipv4";
                           return name == "::1" ? "ipv6" : name == "unix" ? "local" : "abstract";
                         });

TEST_F(NetworkTest, AnAbstractNameBelongsToOneListenerAndLeavesNothing) {
  const TemporaryDirectory unique;
  const Endpoint name{.host = {}, .port = 0, .path = "@" + unique.path()};
  Result<std::unique_ptr<Listener>> first = env_.network.listen(name);
  ASSERT_TRUE(first);
  EXPECT_EQ((*first)->endpoint().path, name.path);
  const Result<std::unique_ptr<Listener>> second = env_.network.listen(name);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Errc::already_exists);
  EXPECT_FALSE(env_.files.info(name.path));
  first->reset();
  EXPECT_TRUE(env_.network.listen(name));
}

TEST_F(NetworkTest, AbortFailsTheOtherEndAndWhoeverWaits) {
  auto body = [](Network& network, Endpoint any) -> Task<void> {
    auto [client, server] = co_await connect_pair(network, any);
    auto wait = [](Stream& stream) -> Task<Errc> {
      char buffer[16];
      const Result<std::size_t> got = co_await stream.read_some(buffer);
      co_return got ? Errc::internal : got.error().code;
    };
    auto abort = [](Stream& stream) -> Task<Errc> {
      stream.abort();
      co_return Errc::internal;
    };
    std::vector<Task<Errc>> tasks;
    tasks.push_back(wait(*client));
    tasks.push_back(wait(*server));
    tasks.push_back(abort(*client));
    const std::vector<Errc> codes = co_await when_all(std::move(tasks));
    EXPECT_EQ(codes[0], Errc::cancelled);
    EXPECT_EQ(codes[1], Errc::unavailable);  // a reset
    EXPECT_EQ((co_await client->write_all("x")).error().code, Errc::cancelled);
    char buffer[16];
    EXPECT_EQ((co_await client->read_some(buffer)).error().code, Errc::cancelled);
  };
  loop_.run(body(env_.network, any_));
}

TEST_F(NetworkTest, WritingToAClosedPeerIsAnErrorAndNoSignal) {
  auto body = [](Network& network, Endpoint any) -> Task<void> {
    auto [client, server] = co_await connect_pair(network, any);
    server.reset();
    const std::string bytes(1 << 16, 'x');
    for (int i = 0; i < 100; ++i) {
      const Result<std::size_t> put = co_await client->write_all(bytes);
      if (put) continue;
      EXPECT_EQ(put.error().code, Errc::unavailable);
      co_return;
    }
    ADD_FAILURE() << "never failed";
  };
  loop_.run(body(env_.network, any_));
}

TEST_F(NetworkTest, ADroppedReadLosesNothing) {
  auto body = [](Env& env, Endpoint any) -> Task<void> {
    auto [client, server] = co_await connect_pair(env.network, any);
    auto read = [](Stream& stream) -> Task<std::string> {
      char buffer[16];
      const std::size_t got = (co_await stream.read_some(buffer)).value();
      co_return std::string(buffer, got);
    };
    for (int i = 0; i < 3; ++i) {
      auto nothing = co_await with_deadline(env.timers, read(*server), env.timers.now() + 1ms);
      EXPECT_FALSE(nothing.has_value());
    }
    (void)(co_await client->write_all("late")).value();
    EXPECT_EQ(co_await read(*server), "late");
  };
  loop_.run(body(env_, any_));
}

TEST_F(NetworkTest, RefusedAndUnknownAreUnavailable) {
  auto body = [](Network& network, Endpoint any) -> Task<void> {
    Endpoint gone;
    {
      auto listener = network.listen(any).value();
      gone = listener->endpoint();
    }
    const auto refused = co_await network.connect(gone);
    EXPECT_EQ(refused.error().code, Errc::unavailable);
    EXPECT_NE(refused.error().detail.find(gone.to_string()), std::string::npos);
    Endpoint unknown;
    unknown.host = "no-such-host.invalid";
    unknown.port = 80;
    EXPECT_EQ((co_await network.connect(unknown)).error().code, Errc::unavailable);
    Endpoint nobody;
    nobody.path = "/nonexistent/socket";
    EXPECT_EQ((co_await network.connect(nobody)).error().code, Errc::unavailable);
  };
  loop_.run(body(env_.network, any_));
}

TEST_F(NetworkTest, LocalhostNeedsNoResolver) {
  auto body = [](Network& network, Endpoint any) -> Task<void> {
    auto listener = network.listen(any).value();
    Endpoint named = listener->endpoint();
    named.host = "localhost";
    EXPECT_TRUE(co_await network.connect(named));
  };
  loop_.run(body(env_.network, any_));
}

TEST_F(NetworkTest, APortInUseAlreadyExistsUnlessShared) {
  auto listener = env_.network.listen(any_).value();
  EXPECT_NE(listener->endpoint().port, 0);
  EXPECT_EQ(env_.network.listen(listener->endpoint()).error().code, Errc::already_exists);
  ListenOptions shared;
  shared.reuse_port = true;
  auto one = env_.network.listen(any_, shared).value();
  EXPECT_TRUE(env_.network.listen(one->endpoint(), shared));
}

TEST_F(NetworkTest, ListenRejectsWhatIsNoAddress) {
  Endpoint endpoint;
  endpoint.host = "example.org";
  EXPECT_EQ(env_.network.listen(endpoint).error().code, Errc::invalid_argument);
  endpoint.path = std::string(200, 'x');
  EXPECT_EQ(env_.network.listen(endpoint).error().code, Errc::invalid_argument);
  endpoint.path.clear();
  endpoint.host = "203.0.113.7";  // not ours
  EXPECT_EQ(env_.network.listen(endpoint).error().code, Errc::invalid_argument);
}

TEST_F(NetworkTest, AUnixSocketFileOfADeadServerIsReplacedAndOursIsRemoved) {
  TemporaryDirectory directory;
  Endpoint endpoint;
  endpoint.path = directory / "socket";
  {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, endpoint.path.c_str());
    ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ::close(fd);  // the file stays, as after a kill
  }
  {
    auto listener = env_.network.listen(endpoint).value();
    EXPECT_EQ(listener->endpoint(), endpoint);
    EXPECT_EQ(env_.network.listen(endpoint).error().code, Errc::already_exists);
  }
  EXPECT_FALSE(env_.files.info(endpoint.path));
}

TEST_F(NetworkTest, ServesAThousandConnections) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const int count = limit.rlim_cur > 2100 ? 1000 : static_cast<int>(limit.rlim_cur) / 4;
  auto one = [](Network& network, Endpoint where, int number) -> Task<int> {
    auto stream = (co_await network.connect(where)).value();
    int echoed = 0;
    for (int round = 0; round < 5; ++round) {
      const std::string text = std::to_string(number * 10 + round);
      (void)(co_await stream->write_all(text)).value();
      char buffer[32];
      const std::size_t got = (co_await stream->read_some(buffer)).value();
      echoed += std::string_view(buffer, got) == text;
    }
    co_return echoed;
  };
  auto body = [](Env& env, auto& client, Endpoint any, int clients) -> Task<int> {
    auto listener = env.network.listen(any).value();
    TaskSet connections(env.executor);
    TaskSet server(env.executor);
    server.add(echo_server(*listener, connections));
    std::vector<Task<int>> tasks;
    for (int i = 0; i < clients; ++i) {
      tasks.push_back(client(env.network, listener->endpoint(), i));
    }
    int sum = 0;
    for (const int echoed : co_await when_all(std::move(tasks))) sum += echoed;
    co_return sum;
  };
  EXPECT_EQ(loop_.run(body(env_, one, any_, count)), 5 * count);
}

TEST_F(NetworkTest, AFastStreamDoesNotStarveTheOthers) {
  auto body = [](Env& env, Endpoint any) -> Task<void> {
    auto [fast_client, fast_server] = co_await connect_pair(env.network, any);
    auto flood = [](Stream& stream) -> Task<void> {
      const std::string bytes(1 << 20, 'x');
      while (co_await stream.write_all(bytes)) {
      }
    };
    auto swallow = [](Stream& stream) -> Task<void> {
      char buffer[256];  // always more to read
      for (;;) {
        const Result<std::size_t> got = co_await stream.read_some(buffer);
        if (!got || *got == 0) co_return;
      }
    };
    TaskSet busy(env.executor);
    busy.add(flood(*fast_client));
    busy.add(swallow(*fast_server));
    for (int i = 0; i < 5; ++i) co_await env.timers.sleep_for(2ms);
    auto [client, server] = co_await connect_pair(env.network, any);
    (void)(co_await client->write_all("x")).value();
    char buffer[4];
    EXPECT_EQ((co_await server->read_some(buffer)).value(), 1u);
  };
  loop_.run(body(env_, any_));
}

TEST_F(NetworkTest, OutOfDescriptorsIsResourceExhausted) {
  auto body = [](Env& env, Endpoint any) -> Task<void> {
    auto listener = env.network.listen(any).value();
    auto waiting = (co_await env.network.connect(listener->endpoint())).value();
    rlimit before{};
    ::getrlimit(RLIMIT_NOFILE, &before);
    rlimit none = before;
    none.rlim_cur = 3;
    ::setrlimit(RLIMIT_NOFILE, &none);
    const auto accepted = co_await listener->accept();
    const auto connected = co_await env.network.connect(listener->endpoint());
    const auto listening = env.network.listen(any);
    ::setrlimit(RLIMIT_NOFILE, &before);
    EXPECT_EQ(accepted.error().code, Errc::resource_exhausted);
    EXPECT_EQ(connected.error().code, Errc::resource_exhausted);
    EXPECT_EQ(listening.error().code, Errc::resource_exhausted);
    EXPECT_TRUE(co_await listener->accept());  // the connection was not lost
  };
  loop_.run(body(env_, any_));
}

// ---------------------------------------------------------------------------- endpoints

TEST(Endpoint, ParsesEveryForm) {
  EXPECT_EQ(Endpoint::parse("127.0.0.1:80").value(), (Endpoint{"127.0.0.1", 80, {}}));
  EXPECT_EQ(Endpoint::parse("[::1]:8080").value(), (Endpoint{"::1", 8080, {}}));
  EXPECT_EQ(Endpoint::parse(":0").value(), (Endpoint{"0.0.0.0", 0, {}}));
  EXPECT_EQ(Endpoint::parse("localhost:65535").value(), (Endpoint{"localhost", 65535, {}}));
  EXPECT_EQ(Endpoint::parse("unix:/a/b").value().path, "/a/b");
  for (const char* text : {"127.0.0.1:80", "[::1]:8080", "localhost:65535", "unix:/a/b"}) {
    EXPECT_EQ(Endpoint::parse(text).value().to_string(), text);
  }
}

TEST(Endpoint, RejectsEverythingElse) {
  for (const char* text :
       {"", "host", "host:", "host:x", "host:65536", "host:-1", "host:+1", "::1:80", "[::1]",
        "[::1]80", "[::1", "[host]:80", "unix:", "a b:80", "http://a:80", "host:80 "}) {
    const Result<Endpoint> parsed = Endpoint::parse(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().code, Errc::invalid_argument) << text;
  }
}

TEST(Endpoint, KnowsLoopback) {
  for (const char* text : {"127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1", "unix:/x"}) {
    EXPECT_TRUE(Endpoint::parse(text).value().is_loopback()) << text;
  }
  for (const char* text : {"0.0.0.0:1", "[::]:1", "10.0.0.1:1", "127.example.org:1", ":1"}) {
    EXPECT_FALSE(Endpoint::parse(text).value().is_loopback()) << text;
  }
}

TEST(Datagrams, GoToAndFroBetweenTwoAddresses) {
  Loop loop(quiet());
  Network& network = loop.env().network;
  auto server = network.listen_datagrams(Endpoint{}).value();
  auto client = network.listen_datagrams(Endpoint{}).value();
  auto once = [](Datagrams& datagrams, Endpoint& from) -> Task<std::string> {
    char buffer[8];
    const Result<std::size_t> got = co_await datagrams.receive(buffer, from);
    co_return std::string(buffer, got.value());
  };
  Endpoint from;
  client->send("question", server->endpoint());
  EXPECT_EQ(loop.run(once(*server, from)), "question");
  EXPECT_EQ(from, client->endpoint());
  server->send("a longer answer", from);
  EXPECT_EQ(loop.run(once(*client, from)), "a longer");
  server->send("lost", Endpoint{.host = "127.0.0.1", .port = 1});  // refused, and not said so
  client->send("more", server->endpoint());
  EXPECT_EQ(loop.run(once(*server, from)), "more");
  EXPECT_EQ(network.listen_datagrams(server->endpoint()).error().code, Errc::already_exists);
}

}  // namespace
}  // namespace knative
