#include <gtest/gtest.h>

#include <array>
#include <map>

#include "knative/router.hpp"

namespace knative {
namespace {

RouteRule rule(std::string name, std::vector<std::string> hosts, std::vector<RouteTarget> targets) {
  return RouteRule{std::move(name), std::move(hosts), std::move(targets), {}};
}

TEST(RouteTable, FindsByHostWithoutCase) {
  const auto table = RouteTable::make({rule("a", {"a.example.com", "a.ns"}, {{"ns/a-1", 100}}),
                                       rule("b", {"B.Example.com"}, {{"ns/b-1", 100}})})
                         .value();
  EXPECT_EQ(table->find("a.example.com")->rule->name, "a");
  EXPECT_EQ(table->find("A.EXAMPLE.COM")->rule->name, "a");
  EXPECT_EQ(table->find("b.example.com")->rule->name, "b");
  EXPECT_EQ(table->find("b.example.com")->tag, RouteTable::no_tag);
  EXPECT_FALSE(table->find("c.example.com"));
  EXPECT_FALSE(table->find(""));
}

TEST(RouteTable, FindsTagsByTheirHosts) {
  RouteRule one = rule("a", {"a.example.com"}, {{"ns/a-1", 100}});
  one.tags = {{"blue", "ns/a-1", {"blue-a.example.com"}}, {"green", "ns/a-2", {"green-a.ns"}}};
  const auto table = RouteTable::make({one}).value();
  EXPECT_EQ(table->find("green-a.ns")->tag, 1U);
  EXPECT_EQ(table->find("blue-a.example.com")->tag, 0U);
}

TEST(RouteTable, MergesEqualRevisionsAndDropsZeroes) {
  const auto table =
      RouteTable::make({rule("a", {"a"}, {{"r1", 30}, {"r2", 0}, {"r1", 40}, {"r3", 30}})}).value();
  const std::vector<RouteTarget> expected{{"r1", 70}, {"r3", 30}};
  EXPECT_EQ(table->rule("a")->targets, expected);
}

TEST(RouteTable, RefusesWhatDoesNotAddUp) {
  const auto short_of = RouteTable::make({rule("ns/a", {"a"}, {{"r1", 50}, {"r2", 49}})});
  ASSERT_FALSE(short_of);
  EXPECT_EQ(short_of.error().detail, "route ns/a: percents sum to 99, not 100");
  EXPECT_FALSE(RouteTable::make({rule("a", {"a"}, {{"r1", 150}, {"r2", -50}})}));
  EXPECT_FALSE(RouteTable::make({rule("a", {"a"}, {})}));
  const auto twice = RouteTable::make(
      {rule("ns/a", {"same"}, {{"r1", 100}}), rule("ns/b", {"SAME"}, {{"r2", 100}})});
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().detail, "route ns/b: host SAME belongs to route ns/a");
}

TEST(RouteTable, AChangeLeavesTheTableBeforeAsItWas) {
  const auto first =
      RouteTable::make({rule("a", {"a"}, {{"a-1", 100}}), rule("b", {"b", "b.ns"}, {{"b-1", 100}})})
          .value();
  const auto second = first->with(rule("b", {"b", "b.new"}, {{"b-2", 100}})).value();
  const auto third = second->without("a");
  EXPECT_EQ(first->find("b")->rule->targets[0].revision, "b-1");
  EXPECT_TRUE(first->find("b.ns"));
  EXPECT_FALSE(first->find("b.new"));
  EXPECT_EQ(second->find("b")->rule->targets[0].revision, "b-2");
  EXPECT_FALSE(second->find("b.ns"));
  EXPECT_EQ(second->find("b")->id, first->find("b")->id);
  EXPECT_EQ(second->find("a")->rule, first->find("a")->rule);
  EXPECT_FALSE(third->find("a"));
  EXPECT_EQ(third->rule("a"), nullptr);
  EXPECT_EQ(third->size(), 1U);
  EXPECT_EQ(first->size(), 2U);
  // Two that go on from one table do not see each other's changes.
  const auto left = first->with(rule("c", {"c"}, {{"left", 100}})).value();
  const auto right = first->with(rule("c", {"c"}, {{"right", 100}})).value();
  EXPECT_EQ(left->find("c")->rule->targets[0].revision, "left");
  EXPECT_EQ(right->find("c")->rule->targets[0].revision, "right");
}

TEST(RouteTable, ARefusedChangeNamesTheOwnerOfTheHost) {
  const auto table = RouteTable::make({rule("ns/a", {"a"}, {{"a-1", 100}})}).value();
  const auto taken = table->with(rule("ns/b", {"A"}, {{"b-1", 100}}));
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, Errc::already_exists);
  EXPECT_EQ(taken.error().detail, "route ns/b: host A belongs to route ns/a");
  const auto twice = table->with(rule("ns/b", {"b", "b"}, {{"b-1", 100}}));
  EXPECT_EQ(twice.error().detail, "route ns/b: host b is given twice");
  EXPECT_FALSE(table->find("b"));
}

TEST(RouteTable, ManyRulesComeAndGoAsInAPlainMap) {
  std::shared_ptr<const RouteTable> table = RouteTable::make({}).value();
  std::map<std::string, std::string> plain;
  Random random(5);
  for (int step = 0; step < 4000; ++step) {
    const std::string name = "r" + std::to_string(random.below(700));
    if (random.below(3) == 0) {
      table = table->without(name);
      plain.erase(name);
    } else {
      const std::string revision = std::to_string(step);
      table = table->with(rule(name, {name + ".x", name + ".y"}, {{revision, 100}})).value();
      plain[name] = revision;
    }
  }
  EXPECT_EQ(table->size(), plain.size());
  for (int i = 0; i < 700; ++i) {
    const std::string name = "r" + std::to_string(i);
    const auto found = table->find(name + ".y");
    const auto expected = plain.find(name);
    ASSERT_EQ(found.has_value(), expected != plain.end()) << name;
    if (found) {
      EXPECT_EQ(found->rule->targets[0].revision, expected->second);
    }
  }
}

TEST(TrafficSplit, EveryDeckIsExact) {
  for (const std::vector<int>& percents :
       {std::vector<int>{90, 10}, {50, 50}, {1, 99}, {33, 33, 34}, {60, 25, 15}, {100}}) {
    TrafficSplit split(percents, Random(3));
    for (int deck = 0; deck < 20; ++deck) {
      std::vector<int> dealt(percents.size());
      for (std::size_t i = 0; i < split.deck_size(); ++i) ++dealt[split.next()];
      for (std::size_t t = 0; t < percents.size(); ++t) {
        ASSERT_EQ(dealt[t] * 100, percents[t] * static_cast<int>(split.deck_size()));
      }
    }
  }
  EXPECT_EQ(TrafficSplit({90, 10}, Random(1)).deck_size(), 10U);
}

TEST(TrafficSplit, DoesNotLockOntoAPatternInTheTraffic) {
  // Every second request is a write: both targets must see both kinds.
  TrafficSplit split({50, 50}, Random(4));
  std::array<std::array<int, 2>, 2> seen{};
  for (std::size_t i = 0; i < 10'000; ++i) ++seen[split.next()][i % 2];
  for (const auto& target : seen) {
    EXPECT_GT(target[0], 2300);
    EXPECT_GT(target[1], 2300);
  }
}

TEST(ForwardedValue, FollowsTheShim) {
  EXPECT_EQ(forwarded_value("1.2.3.4", "", ""), "for=1.2.3.4");
  EXPECT_EQ(forwarded_value("1.2.3.4, 5.6.7.8", "a.com", "http"),
            "for=1.2.3.4;host=a.com;proto=http, for=5.6.7.8");
  EXPECT_EQ(forwarded_value("::1", "", "https"), "for=\"[::1]\";proto=https");
  EXPECT_EQ(forwarded_value("[::1]", "", ""), "for=\"[::1]\"");
  EXPECT_EQ(forwarded_value("", "a.com", "http"), "host=a.com;proto=http");
  EXPECT_EQ(forwarded_value("", "", ""), "");
}

}  // namespace
}  // namespace knative
