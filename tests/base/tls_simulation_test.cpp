// TLS in the virtual world: equal seeds, and faults at every byte and at every suspension.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "knative/simulation.hpp"
#include "knative/tls.hpp"
#include "support/tls_pair.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;
using namespace testing_tls;
using testing::HasSubstr;

/// An echo over TLS, with certificates asked for on both sides; what the client got.
Task<std::string> exchange(Env& env, const Party& party) {
  Pair pair = co_await connect_pair(env, party);
  if (!pair.client) co_return pair.client.error().to_string();
  if (!pair.server) co_return "not accepted";
  const std::string question(3000, 'q');
  std::vector<Task<std::string>> steps;
  steps.push_back(write_and_end(**pair.client, question));
  steps.push_back(read_to_end(*pair.server));
  const std::vector<std::string> asked = co_await when_all(std::move(steps));
  if (asked[1] != question) co_return asked[0] + asked[1];
  std::vector<Task<std::string>> back;
  const std::string answer(40'000, 'a');
  back.push_back(write_and_end(*pair.server, answer));
  back.push_back(read_to_end(**pair.client));
  const std::vector<std::string> answered = co_await when_all(std::move(back));
  co_return answered[1] == answer ? "whole" : answered[0] + answered[1];
}

struct Played {
  std::string read;
  std::uint64_t hash = 0;
  std::uint64_t reads = 0;
  std::uint64_t writes = 0;
};

Party mutual(WallTime now) {
  Party party(now);
  party.server.client_certificates = tls::ClientCertificates::required;
  party.server.client_trust.certificates = party.authority.certificate();
  party.client.identity = issue(party.authority, {"ada"}, now);
  return party;
}

const WallTime start{std::chrono::seconds(1'767'225'600)};  // of every simulation

template <class Prepare>
Played play(std::uint64_t seed, const Party& party, Prepare prepare) {
  Simulation sim(seed);
  prepare(sim);
  Played played;
  played.read = sim.run(exchange(sim.env(), party));
  // Nothing is left behind: no fiber, no timer.
  EXPECT_TRUE(sim.run_until_quiet(1min));
  played.hash = sim.trace().hash();
  played.reads = sim.faults().operations(SimOperation::stream_read);
  played.writes = sim.faults().operations(SimOperation::stream_write);
  return played;
}

/// Keys and certificates are new each time: only their sizes may matter.
Played play(std::uint64_t seed) {
  return play(seed, mutual(start), [](Simulation&) {});
}

TEST(TlsSimulation, EqualSeedsGiveEqualHashesWhateverTheKeys) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    const Played once = play(seed);
    const Played again = play(seed);
    EXPECT_EQ(once.read, "whole");
    EXPECT_EQ(once.hash, again.hash) << seed;
  }
  EXPECT_NE(play(1).hash, play(2).hash);
}

TEST(TlsSimulation, AConnectionCutAtAnyByteIsAnErrorAndNeverAnEnd) {
  // Every byte of the handshake, and some beyond, up to before the last words.
  const Party party = mutual(start);
  for (std::uint64_t bytes = 0; bytes < 3000; bytes += bytes < 1100 ? 1 : 97) {
    const Played cut =
        play(3, party, [bytes](Simulation& sim) { sim.faults().cut_connections_after(bytes); });
    EXPECT_THAT(cut.read, testing::AnyOf(HasSubstr("unavailable: "), "not accepted")) << bytes;
  }
}

TEST(TlsSimulation, EachReadAndWriteMayFail) {
  const Played all = play(5);
  ASSERT_EQ(all.read, "whole");
  const Party party = mutual(start);
  const auto fail_each = [&party](SimOperation operation, std::uint64_t count) {
    std::uint64_t failed = 0;
    for (std::uint64_t n = 1; n <= count; ++n) {
      const Played broken =
          play(5, party, [&](Simulation& sim) { sim.faults().fail_nth(operation, n); });
      if (broken.read != "whole") ++failed;
    }
    return failed;
  };
  // The last ones only say the end of what was whole already.
  EXPECT_GE(fail_each(SimOperation::stream_read, all.reads) + 4, all.reads);
  EXPECT_GE(fail_each(SimOperation::stream_write, all.writes) + 4, all.writes);
}

TEST(TlsSimulation, DroppedAtAnySuspensionItLeavesNothing) {
  // Each microsecond is another place: dialling, each flight, each read and write.
  const Party party = mutual(start);
  std::uint64_t dropped = 0;
  for (int after = 0; after < 400; ++after) {
    Simulation sim(7);
    auto body = [](Env& env, const Party& each, Duration patience) -> Task<bool> {
      auto bounded = with_deadline(env.timers, exchange(env, each), env.timers.now() + patience);
      const std::optional<std::string> read = co_await bounded;
      co_return read.has_value();
    };
    if (!sim.run(body(sim.env(), party, std::chrono::microseconds(after)))) ++dropped;
    EXPECT_TRUE(sim.run_until_quiet(1min)) << after;
  }
  EXPECT_GT(dropped, 100u);
}

TEST(TlsSimulation, FaultsOfManyKindsNeverPassOffAPartAsTheWhole) {
  const Party party = mutual(start);
  int whole = 0;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    const auto prepare = [seed](Simulation& sim) {
      sim.faults().set_plan(FaultPlan::random(seed));
    };
    const Played once = play(seed, party, prepare);
    const Played again = play(seed, party, prepare);
    EXPECT_EQ(once.hash, again.hash) << seed;
    EXPECT_EQ(once.read, again.read) << seed;
    if (once.read == "whole") ++whole;
  }
  EXPECT_GT(whole, 10);
  EXPECT_LT(whole, 100);
}

TEST(TlsSimulation, CertificatesAreJudgedByTheClockOfTheWorld) {
  Simulation sim(1);
  const Party party(sim.env().timers.wall());
  EXPECT_TRUE(sim.run(connect_pair(sim.env(), party)).client);
  sim.step_wall(24h * 91);
  const Pair late = sim.run(connect_pair(sim.env(), party));
  EXPECT_THAT(late.client.error().detail,
              HasSubstr("expired on 2026-04-01T00:00:00Z (it is now 2026-04-02T00:00:00Z)"));
}

// ---------------------------------------------------------------------------- files

TEST(TlsFiles, ChangedFilesAreReloadedOnceTheyFitTogether) {
  std::vector<std::string> lines;
  SimulationOptions options;
  options.log_sink = [&lines](const LogRecord& record) {
    lines.push_back(std::string(record.message));
    for (const LogField& field : record.fields) lines.back() += " " + field.value;
  };
  Simulation sim(1, options);
  Env& env = sim.env();
  const WallTime now = env.timers.wall();
  const tls::Authority authority = tls::Authority::create({}, now).value();
  const tls::Identity first = issue(authority, {"first"}, now);
  const tls::Identity second = issue(authority, {"second"}, now);
  const auto put = [&](const char* name, const std::string& text) {
    env.files.write_file(std::string("/tls/") + name, text).value();
  };
  env.files.make_directories("/tls").value();
  put("tls.crt", first.certificates);
  put("tls.key", first.private_key);
  put("ca.crt", authority.certificate());
  const tls::Paths paths{"/tls/tls.crt", "/tls/tls.key", "/tls/ca.crt"};
  const tls::Material loaded = tls::load(env.files, paths).value();
  EXPECT_EQ(loaded.identity->certificates, first.certificates);
  EXPECT_EQ(loaded.trusted, authority.certificate());

  std::vector<tls::Material> applied;
  TaskSet following(env.executor);
  following.add(tls::follow(env.timers, env.files, env.offload, env.logger, paths, loaded,
                            [&applied](const tls::Material& material) -> Result<void> {
                              applied.push_back(material);
                              return {};
                            }));
  sim.run_for(1min);
  EXPECT_TRUE(applied.empty()) << "nothing has changed";
  put("tls.key", second.private_key);  // the key comes first
  sim.run_for(1min);
  EXPECT_TRUE(applied.empty()) << "the key does not fit yet";
  ASSERT_EQ(lines.size(), 1u) << "told once";
  EXPECT_THAT(lines[0], HasSubstr("/tls/tls.key: private_key: it does not belong"));
  EXPECT_THAT(lines[0], testing::Not(HasSubstr("PRIVATE KEY")));
  put("tls.crt", second.certificates);
  sim.run_for(11s);
  ASSERT_EQ(applied.size(), 1u);
  EXPECT_EQ(applied[0].identity->certificates, second.certificates);
  sim.run_for(1min);
  EXPECT_EQ(applied.size(), 1u);
  following.clear();
}

TEST(TlsFiles, WhatIsWrongWithAFileIsSaid) {
  Simulation sim(1);
  Env& env = sim.env();
  env.files.make_directories("/tls").value();
  env.files.write_file("/tls/bad", "no certificate").value();
  const auto problem = [&](tls::Paths paths) {
    return tls::load(env.files, paths).error().to_string();
  };
  EXPECT_THAT(problem({"/tls/none", "/tls/bad", {}}), HasSubstr("/tls/none"));
  EXPECT_THAT(problem({"/tls/bad", "/tls/bad", {}}), HasSubstr("/tls/bad"));
  EXPECT_THAT(problem({{}, "/tls/bad", {}}), HasSubstr("certificates: no file"));
  EXPECT_THAT(problem({{}, {}, "/tls/bad"}), HasSubstr("/tls/bad: no PEM text"));
  EXPECT_TRUE(tls::load(env.files, {}));
}

}  // namespace
}  // namespace knative
