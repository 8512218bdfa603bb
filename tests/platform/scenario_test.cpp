// Every file of tests/scenarios is played three times from each of its seeds.

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "platform/scenario_runner.hpp"
#include "support/paths.hpp"

namespace knative::scenario {
namespace {

std::vector<std::string> scenario_files() {
  std::vector<std::string> names;
  for (const auto& entry :
       std::filesystem::directory_iterator(testing_paths::source() + "/tests/scenarios")) {
    if (entry.path().extension() == ".yaml") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// The file's own, or 1 to KNATIVE_SCENARIO_SEEDS: more of them than a test run has time for.
std::vector<std::uint64_t> seeds_of(const Value& scenario) {
  std::vector<std::uint64_t> seeds;
  if (const char* count = std::getenv("KNATIVE_SCENARIO_SEEDS")) {
    for (std::uint64_t seed = 1; seed <= std::stoull(count); ++seed) seeds.push_back(seed);
    return seeds;
  }
  for (const Value& seed : need(scenario, "seeds", "scenario").as_list()) {
    seeds.push_back(static_cast<std::uint64_t>(seed.as_int()));
  }
  return seeds;
}

class Scenario : public ::testing::TestWithParam<std::string> {};

TEST_P(Scenario, holds_and_replays_from_its_seeds) {
  const Value scenario =
      read_scenario(testing_paths::source() + "/tests/scenarios/" + GetParam() + ".yaml");
  std::set<std::uint64_t> hashes;
  const std::vector<std::uint64_t> seeds = seeds_of(scenario);
  for (const std::uint64_t seed : seeds) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const Outcome first = Player(scenario, seed).play();
    for (const std::string& failure : first.failures) ADD_FAILURE() << failure;
    for (const std::string& note : first.notes) std::printf("  %s\n", note.c_str());
    std::printf("  seed %llu: %s of virtual time, %llu faults, trace %016llx\n",
                static_cast<unsigned long long>(seed), format_duration(first.virtual_time).c_str(),
                static_cast<unsigned long long>(first.faults),
                static_cast<unsigned long long>(first.hash));
    for (int again = 0; again < 2; ++again) {
      ASSERT_EQ(Player(scenario, seed).play().hash, first.hash);
    }
    hashes.insert(first.hash);
  }
  EXPECT_EQ(hashes.size(), seeds.size()) << "the seed changes nothing";
}

INSTANTIATE_TEST_SUITE_P(Files, Scenario, ::testing::ValuesIn(scenario_files()),
                         [](const auto& param) { return param.param; });

TEST(ScenarioFile, an_unknown_key_is_refused_by_name) {
  const Value scenario = {{"name", "x"}, {"expekt", 1}};
  try {
    Player(scenario, 1).play();
    FAIL() << "not refused";
  } catch (const Exception& refused) {
    EXPECT_NE(std::string(refused.what()).find("expekt"), std::string::npos) << refused.what();
  }
}

TEST(ScenarioFile, a_wrong_expectation_fails) {
  Value scenario = {{"name", "x"}, {"end", "1s"}};
  scenario["functions"] = Value(Value::Map{{"hello", Value(Value::Map{{"kind", "sink"}})}});
  scenario["expect"].push_back(
      Value(Value::Map{{"delivered", Value(Value::Map{{"function", "hello"}, {"count_min", 1}})}}));
  EXPECT_EQ(Player(scenario, 1).play().failures,
            std::vector<std::string>{"hello took 0 events, too few"});
}

}  // namespace
}  // namespace knative::scenario
