// What must hold on a network whatever goes wrong: bytes arrive in order, none twice, none made
// up; and who sees the orderly end of a stream has seen all of it.
#include <gtest/gtest.h>

#include "knative/simulation.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;

struct Transfer {
  std::string sent;        // what the writer meant to send
  bool wrote_all = false;  // every write succeeded, then shutdown_write
  std::string received;
  bool clean_end = false;
};

Task<void> write_pieces(std::unique_ptr<Stream> stream, Env& env, Transfer& transfer,
                        Random random) {
  std::size_t at = 0;
  while (at < transfer.sent.size()) {
    const std::size_t size =
        std::min<std::size_t>(1 + random.below(5000), transfer.sent.size() - at);
    const Result<std::size_t> wrote =
        co_await stream->write_all(std::string_view(transfer.sent).substr(at, size));
    if (!wrote) co_return;
    at += size;
    if (random.below(4) == 0) {
      co_await env.timers.sleep_for(Duration(random.below(5'000'000)));
    }
  }
  transfer.wrote_all = true;
  stream->shutdown_write();
  // Stay until the other side has finished, or gives up.
  char buffer[16];
  const std::span<char> into(buffer);
  const Result<std::size_t> end = co_await stream->read_some(into);
  (void)end.has_value();
}

Task<void> read_pieces(std::unique_ptr<Stream> stream, Env& env, Transfer& transfer,
                       Random random) {
  std::vector<char> buffer(1 + random.below(4000));
  const std::span<char> into(buffer);
  for (;;) {
    const Result<std::size_t> got = co_await stream->read_some(into);
    if (!got) co_return;
    if (*got == 0) {
      transfer.clean_end = true;
      co_return;
    }
    transfer.received.append(buffer.data(), *got);
    if (random.below(8) == 0) {
      co_await env.timers.sleep_for(Duration(random.below(20'000'000)));
    }
  }
}

Task<void> transfer_once(Env& from, Listener& listener, Endpoint target, Transfer& transfer,
                         TaskSet& tasks, Random random) {
  auto dialled = co_await from.network.connect(target);
  if (!dialled) co_return;
  auto accepted = co_await listener.accept();
  if (!accepted) co_return;
  tasks.add(write_pieces(std::move(*dialled), from, transfer, random.split("writer")));
  tasks.add(read_pieces(std::move(*accepted), from, transfer, random.split("reader")));
}

TEST(SimulationStreams, OrderAndEndsHoldUnderRandomFaults) {
  int complete = 0;
  int broken = 0;
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    SimulationOptions options;
    options.faults = FaultPlan::random(seed);
    options.stream_buffer_bytes_max = 1 + static_cast<std::size_t>(seed % 7) * 3000;
    Simulation sim(seed, options);
    Env& far = sim.host("far").env();
    Random random = Random(seed).split("test");
    Transfer transfer;
    transfer.sent.resize(static_cast<std::size_t>(
        random.below(std::min<std::uint64_t>(100'000, options.stream_buffer_bytes_max * 500))));
    for (char& c : transfer.sent) c = static_cast<char>(random());
    Endpoint any;
    any.host = "0.0.0.0";
    any.port = 80;
    auto listener = far.network.listen(any).value();
    Endpoint target = any;
    target.host = "far";
    TaskSet tasks(sim.env().executor);
    tasks.add(transfer_once(sim.env(), *listener, target, transfer, tasks, random));
    sim.run_for(Duration(random.below(100'000'000)));
    if (seed % 3 == 0) sim.faults().partition("local", "far");
    sim.run_for(Duration(random.below(200) * 1'000'000'000));
    sim.faults().heal("local", "far");
    sim.run_until_quiet(10h);
    tasks.clear();

    EXPECT_TRUE(transfer.sent.starts_with(transfer.received)) << "seed " << seed;
    if (transfer.clean_end) {
      EXPECT_TRUE(transfer.wrote_all) << "seed " << seed;
      EXPECT_EQ(transfer.received.size(), transfer.sent.size()) << "seed " << seed;
      ++complete;
    } else {
      ++broken;
    }
  }
  // Both outcomes must occur, or the test tests nothing.
  EXPECT_GT(complete, 40);
  EXPECT_GT(broken, 40);
}

}  // namespace
}  // namespace knative
