// The in-memory network and its faults.
#include <gtest/gtest.h>

#include "knative/simulation.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;
using StreamPtr = std::unique_ptr<Stream>;

struct Pair {
  std::unique_ptr<Listener> listener;
  StreamPtr client;
  StreamPtr server;
};

Task<Pair> connected(Env& from, Env& to, std::string host) {
  Endpoint any;
  any.host = "0.0.0.0";
  Pair pair;
  pair.listener = to.network.listen(any).value();
  Endpoint target;
  target.host = std::move(host);
  target.port = pair.listener->endpoint().port;
  pair.client = (co_await from.network.connect(target)).value();
  pair.server = (co_await pair.listener->accept()).value();
  co_return pair;
}

/// Reads until the end or an error; says how it ended.
struct Received {
  std::string bytes;
  std::optional<Error> error;
};
Task<Received> read_to_end(Stream& stream, std::size_t piece_max = 4096) {
  Received received;
  std::vector<char> buffer(piece_max);
  for (;;) {
    const std::span<char> into(buffer);
    const Result<std::size_t> got = co_await stream.read_some(into);
    if (!got) {
      received.error = got.error();
      break;
    }
    if (*got == 0) break;
    received.bytes.append(buffer.data(), *got);
  }
  co_return received;
}

Task<void> write_and_note(Stream& stream, std::string bytes,
                          std::optional<Result<std::size_t>>& to) {
  to = co_await stream.write_all(bytes);
}

TEST(SimulationNetwork, BytesArriveInOrderAfterALatency) {
  Simulation sim(3);
  auto work = [](Env& env) -> Task<std::string> {
    Pair pair = co_await connected(env, env, "localhost");
    const std::string_view pieces[] = {"hello ", "", "world"};
    const std::span<const std::string_view> all(pieces);
    const Instant begin = env.timers.now();
    const std::size_t written = (co_await pair.client->write(all)).value();
    EXPECT_EQ(written, 11U);
    pair.client->shutdown_write();
    const Received received = co_await read_to_end(*pair.server);
    EXPECT_GT(env.timers.now(), begin);
    EXPECT_FALSE(received.error);
    co_return received.bytes;
  };
  EXPECT_EQ(sim.run(work(sim.env())), "hello world");
}

TEST(SimulationNetwork, AFullBufferStopsTheWriterUntilTheReaderReads) {
  SimulationOptions options;
  options.stream_buffer_bytes_max = 1000;
  Simulation sim(3, options);
  Pair pair = sim.run(connected(sim.env(), sim.env(), "127.0.0.1"));
  TaskSet tasks(sim.env().executor);
  std::optional<Result<std::size_t>> written;
  tasks.add(write_and_note(*pair.client, std::string(10'000, 'x'), written));
  sim.run_for(1h);
  EXPECT_FALSE(written.has_value());
  auto read = [](Stream& stream) -> Task<std::size_t> {
    std::vector<char> buffer(100'000);
    std::size_t sum = 0;
    const std::span<char> into(buffer);
    sum += (co_await stream.read_some(into)).value();
    co_return sum;
  };
  EXPECT_EQ(sim.run(read(*pair.server)), 1000U);
  std::size_t sum = 1000;
  while (sum < 10'000) sum += sim.run(read(*pair.server));
  EXPECT_EQ(sum, 10'000U);
  sim.run_for(1s);
  ASSERT_TRUE(written.has_value());
  EXPECT_EQ(written->value(), 10'000U);
}

TEST(SimulationNetwork, ConnectingToNobodyIsRefused) {
  Simulation sim(3);
  auto work = [](Env& env, std::string host) -> Task<Errc> {
    Endpoint target;
    target.host = std::move(host);
    target.port = 81;
    auto dialled = co_await env.network.connect(target);
    co_return dialled.error().code;
  };
  EXPECT_EQ(sim.run(work(sim.env(), "127.0.0.1")), Errc::unavailable);
  EXPECT_EQ(sim.run(work(sim.env(), "no.such.host")), Errc::unavailable);
}

TEST(SimulationNetwork, APortHasOneListenerUnlessItIsShared) {
  Simulation sim(3);
  Network& network = sim.env().network;
  auto first = network.listen(Endpoint{}).value();
  EXPECT_NE(first->endpoint().port, 0);
  EXPECT_EQ(network.listen(first->endpoint()).error().code, Errc::already_exists);
  ListenOptions shared;
  shared.reuse_port = true;
  auto second = network.listen(Endpoint{}, shared).value();
  auto third = network.listen(second->endpoint(), shared).value();
  EXPECT_EQ(second->endpoint(), third->endpoint());
  const Endpoint free_again = first->endpoint();
  first.reset();
  EXPECT_TRUE(network.listen(free_again).has_value());
}

TEST(SimulationNetwork, UnixSocketsBelongToTheirHost) {
  Simulation sim(3);
  Endpoint socket;
  socket.path = "/run/app.sock";
  auto listener = sim.env().network.listen(socket).value();
  auto work = [](Env& env, Endpoint endpoint) -> Task<bool> {
    auto dialled = co_await env.network.connect(endpoint);
    co_return dialled.has_value();
  };
  EXPECT_TRUE(sim.run(work(sim.env(), socket)));
  EXPECT_FALSE(sim.run(work(sim.host("other").env(), socket)));
}

TEST(SimulationNetwork, HostsReachEachOtherByNameAndAddressButNotTheirLoopback) {
  Simulation sim(3);
  Env& here = sim.env();
  SimHost& other = sim.host("other");
  auto reach = [](Env& from, Env& to, std::string host) -> Task<std::string> {
    Pair pair = co_await connected(from, to, std::move(host));
    co_return pair.server->peer();
  };
  EXPECT_EQ(sim.run(reach(here, other.env(), "other")).rfind("10.0.0.2:", 0), 0U);
  EXPECT_EQ(sim.run(reach(here, other.env(), other.address())).rfind("10.0.0.2:", 0), 0U);
  auto loopback_only = other.env().network.listen(Endpoint{}).value();
  Endpoint target = loopback_only->endpoint();
  target.host = "other";
  auto dial = [](Env& env, Endpoint endpoint) -> Task<bool> {
    auto dialled = co_await env.network.connect(endpoint);
    co_return dialled.has_value();
  };
  EXPECT_FALSE(sim.run(dial(here, target)));
  EXPECT_TRUE(sim.run(dial(other.env(), target)));
}

TEST(SimulationNetwork, AbortFailsOperationsInProgressAndBreaksThePeer) {
  Simulation sim(3);
  Pair pair = sim.run(connected(sim.env(), sim.env(), "localhost"));
  auto read = [](Stream& stream, std::optional<Received>& to) -> Task<void> {
    to = co_await read_to_end(stream);
  };
  std::optional<Received> mine;
  std::optional<Received> theirs;
  TaskSet tasks(sim.env().executor);
  tasks.add(read(*pair.client, mine));
  tasks.add(read(*pair.server, theirs));
  sim.run_for(1s);
  EXPECT_FALSE(mine);
  pair.client->abort();
  sim.run_for(1s);
  ASSERT_TRUE(mine && theirs);
  EXPECT_EQ(mine->error->code, Errc::cancelled);
  EXPECT_EQ(theirs->error->code, Errc::unavailable);
}

TEST(SimulationNetwork, ADroppedReadIsForgottenAndTheNextOneGetsTheBytes) {
  Simulation sim(3);
  Pair pair = sim.run(connected(sim.env(), sim.env(), "localhost"));
  auto read = [](Stream& stream) -> Task<std::string> {
    char buffer[16];
    const std::span<char> into(buffer);
    const std::size_t got = (co_await stream.read_some(into)).value();
    co_return std::string(buffer, got);
  };
  auto limited = [](Timers& timers, Task<std::string> task) -> Task<bool> {
    auto result = co_await with_deadline(timers, std::move(task), timers.now() + 1s);
    co_return result.has_value();
  };
  EXPECT_FALSE(sim.run(limited(sim.env().timers, read(*pair.server))));
  auto write = [](Stream& stream) -> Task<void> { (co_await stream.write_all("late")).value(); };
  sim.run(write(*pair.client));
  EXPECT_EQ(sim.run(read(*pair.server)), "late");
}

TEST(SimulationNetwork, WritingToAPeerThatHasGoneFails) {
  Simulation sim(3);
  Pair pair = sim.run(connected(sim.env(), sim.env(), "localhost"));
  pair.server.reset();
  auto work = [](Env& env, Stream& stream) -> Task<bool> {
    for (int i = 0; i < 10; ++i) {
      const Result<std::size_t> written = co_await stream.write_all("anyone?");
      if (!written) co_return written.error().code == Errc::unavailable;
      co_await env.timers.sleep_for(1s);
    }
    co_return false;
  };
  EXPECT_TRUE(sim.run(work(sim.env(), *pair.client)));
}

TEST(SimulationNetwork, ClosingAfterWritingStillDeliversEverything) {
  Simulation sim(3);
  Pair pair = sim.run(connected(sim.env(), sim.env(), "localhost"));
  auto write = [](Stream& stream) -> Task<void> { (co_await stream.write_all("bye")).value(); };
  sim.run(write(*pair.client));
  pair.client.reset();
  const Received received = sim.run(read_to_end(*pair.server));
  EXPECT_EQ(received.bytes, "bye");
  EXPECT_FALSE(received.error);
}

TEST(SimulationNetwork, DroppingAListenerResetsWhoWaitsInItsQueue) {
  Simulation sim(3);
  auto listener = sim.env().network.listen(Endpoint{}).value();
  auto dial = [](Env& env, Endpoint endpoint) -> Task<StreamPtr> {
    auto dialled = co_await env.network.connect(endpoint);
    co_return std::move(dialled).value();
  };
  StreamPtr client = sim.run(dial(sim.env(), listener->endpoint()));
  listener.reset();
  const Received received = sim.run(read_to_end(*client));
  EXPECT_EQ(received.error->code, Errc::unavailable);
}

TEST(SimulationNetworkFaults, ACutConnectionDeliversExactlyThatManyBytes) {
  for (std::uint64_t n = 0; n <= 20; ++n) {
    Simulation sim(n);
    sim.faults().cut_connections_after(n);
    Pair pair = sim.run(connected(sim.env(), sim.env(), "localhost"));
    TaskSet tasks(sim.env().executor);
    std::optional<Result<std::size_t>> written;
    tasks.add(write_and_note(*pair.client, std::string(100, 'x'), written));
    const Received received = sim.run(read_to_end(*pair.server));
    EXPECT_EQ(received.bytes.size(), n);
    EXPECT_EQ(received.error->code, Errc::unavailable);
    ASSERT_TRUE(written);
    EXPECT_EQ(written->error().code, Errc::unavailable);
  }
}

TEST(SimulationNetworkFaults, TheNthConnectIsRefused) {
  Simulation sim(5);
  auto listener = sim.env().network.listen(Endpoint{}).value();
  sim.faults().fail_nth(SimOperation::connect, 2);
  auto dial = [](Env& env, Endpoint endpoint) -> Task<bool> {
    auto dialled = co_await env.network.connect(endpoint);
    co_return dialled.has_value();
  };
  EXPECT_TRUE(sim.run(dial(sim.env(), listener->endpoint())));
  EXPECT_FALSE(sim.run(dial(sim.env(), listener->endpoint())));
  EXPECT_TRUE(sim.run(dial(sim.env(), listener->endpoint())));
  EXPECT_EQ(sim.faults().injected(), 1U);
  EXPECT_EQ(sim.faults().operations(SimOperation::connect), 3U);
}

TEST(SimulationNetworkFaults, TheNthReadOrWriteBreaksTheConnection) {
  for (const SimOperation kind : {SimOperation::stream_read, SimOperation::stream_write}) {
    Simulation sim(5);
    Pair pair = sim.run(connected(sim.env(), sim.env(), "localhost"));
    sim.faults().fail_nth(kind, 2);
    auto echo = [](Stream& client, Stream& server) -> Task<int> {
      char buffer[8];
      const std::span<char> into(buffer);
      for (int i = 0; i < 5; ++i) {
        const Result<std::size_t> sent = co_await client.write_all("ping");
        if (!sent) co_return i;
        const Result<std::size_t> got = co_await server.read_some(into);
        if (!got) co_return i;
      }
      co_return -1;
    };
    EXPECT_EQ(sim.run(echo(*pair.client, *pair.server)), 1) << to_string(kind);
  }
}

TEST(SimulationNetworkFaults, AcceptCanFailAndTheListenerGoesOn) {
  Simulation sim(5);
  sim.faults().fail_nth(SimOperation::accept, 1);
  auto listener = sim.env().network.listen(Endpoint{}).value();
  auto work = [](Env& env, Listener& from) -> Task<std::vector<bool>> {
    std::vector<bool> accepted;
    for (int i = 0; i < 2; ++i) {
      StreamPtr client = (co_await env.network.connect(from.endpoint())).value();
      auto got = co_await from.accept();
      accepted.push_back(got.has_value());
    }
    co_return accepted;
  };
  EXPECT_EQ(sim.run(work(sim.env(), *listener)), (std::vector<bool>{false, true}));
}

TEST(SimulationNetworkFaults, APartitionHoldsBytesBackUntilItHeals) {
  Simulation sim(5);
  Env& far = sim.host("far").env();
  Pair pair = sim.run(connected(sim.env(), far, "far"));
  sim.faults().partition("local", "far");
  TaskSet tasks(sim.env().executor);
  std::optional<Result<std::size_t>> written;
  tasks.add(write_and_note(*pair.client, "across", written));
  std::optional<Received> got;
  auto read = [](Stream& stream, std::optional<Received>& to) -> Task<void> {
    to = co_await read_to_end(stream);
  };
  tasks.add(read(*pair.server, got));
  sim.run_for(30s);
  EXPECT_TRUE(written.has_value());  // it is in the buffer
  EXPECT_FALSE(got.has_value());
  sim.faults().heal("far", "local");
  sim.run_for(1s);
  pair.client->shutdown_write();
  sim.run_for(1s);
  ASSERT_TRUE(got.has_value());
  EXPECT_EQ(got->bytes, "across");
}

TEST(SimulationNetworkFaults, ALongPartitionBreaksTheSenderAndNotTheSilentSide) {
  SimulationOptions options;
  options.stream_give_up = 60s;
  Simulation sim(5, options);
  Env& far = sim.host("far").env();
  Pair pair = sim.run(connected(sim.env(), far, "far"));
  sim.faults().partition("local", "far");
  auto send = [](Env& env, Stream& stream) -> Task<Errc> {
    for (;;) {
      const Result<std::size_t> written = co_await stream.write_all("hello?");
      if (!written) co_return written.error().code;
      co_await env.timers.sleep_for(1s);
    }
  };
  EXPECT_EQ(sim.run(send(sim.env(), *pair.client)), Errc::unavailable);
  EXPECT_GE(sim.now().time_since_epoch(), 60s);
  EXPECT_LT(sim.now().time_since_epoch(), 65s);
}

TEST(SimulationNetworkFaults, ConnectingThroughAPartitionWaitsAndThenFails) {
  Simulation sim(5);
  Env& far = sim.host("far").env();
  Endpoint any;
  any.host = "0.0.0.0";
  any.port = 80;
  auto listener = far.network.listen(any).value();
  auto dial = [](Env& env) -> Task<bool> {
    Endpoint target;
    target.host = "far";
    target.port = 80;
    auto dialled = co_await env.network.connect(target);
    co_return dialled.has_value();
  };
  sim.faults().partition("far", "local");
  EXPECT_FALSE(sim.run(dial(sim.env())));
  EXPECT_GE(sim.now().time_since_epoch(), 30s);
  // Healed while connecting: it gets through.
  auto heal = [](Simulation& world) -> Task<void> {
    co_await world.env().timers.sleep_for(10s);
    world.faults().clear();
  };
  TaskSet tasks(sim.env().executor);
  tasks.add(heal(sim));
  EXPECT_TRUE(sim.run(dial(sim.env())));
}

TEST(SimulationNetworkFaults, ASlowReaderTakesItsTime) {
  SimulationOptions options;
  options.faults.slow_reader = 1;
  options.faults.slow_bytes_per_second = 1000;
  Simulation sim(5, options);
  Pair pair = sim.run(connected(sim.env(), sim.env(), "localhost"));
  TaskSet tasks(sim.env().executor);
  std::optional<Result<std::size_t>> written;
  tasks.add(write_and_note(*pair.client, std::string(60'000, 'x'), written));
  std::optional<Received> got;
  auto read = [](Stream& stream, std::optional<Received>& to) -> Task<void> {
    to = co_await read_to_end(stream);
  };
  tasks.add(read(*pair.server, got));
  sim.run_for(40s);
  EXPECT_FALSE(written.has_value());
  sim.run_for(21s);
  ASSERT_TRUE(written.has_value());
  EXPECT_EQ(written->value(), 60'000U);
}

TEST(SimulationNetworkFaults, LatencySpikesDelayButKeepTheOrder) {
  SimulationOptions options;
  options.faults.latency_spike = 0.5;
  options.faults.latency_spike_max = 1s;
  Simulation sim(5, options);
  Pair pair = sim.run(connected(sim.env(), sim.env(), "localhost"));
  auto write = [](Stream& stream) -> Task<void> {
    for (int i = 0; i < 50; ++i) {
      const std::string piece(1, static_cast<char>('0' + i % 10));
      (co_await stream.write_all(piece)).value();
    }
    stream.shutdown_write();
  };
  sim.run(write(*pair.client));
  const Instant begin = sim.now();
  const Received received = sim.run(read_to_end(*pair.server));
  EXPECT_EQ(received.bytes.size(), 50U);
  for (std::size_t i = 0; i < received.bytes.size(); ++i) {
    EXPECT_EQ(received.bytes[i], static_cast<char>('0' + i % 10));
  }
  EXPECT_GT(sim.now() - begin, 500ms);
}

}  // namespace
}  // namespace knative
