#include "knative/metrics.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>

namespace knative {
namespace {

TEST(Metrics, SameNameAndLabelsGiveTheSameHandleInAnyOrder) {
  Metrics metrics;
  Counter& one = metrics.counter("hits_total", "Hits.", {{"a", "1"}, {"b", "2"}});
  Counter& two = metrics.counter("hits_total", "Hits.", {{"b", "2"}, {"a", "1"}});
  Counter& other = metrics.counter("hits_total", "Hits.", {{"b", "1"}, {"a", "2"}});
  EXPECT_EQ(&one, &two);
  EXPECT_NE(&one, &other);
}

TEST(Metrics, HandlesStayValidWhileOthersComeAndGo) {
  Metrics metrics(5000);
  Counter& first = metrics.counter("hits_total", "Hits.", {{"n", "first"}});
  for (int n = 0; n < 2000; ++n) {
    metrics.counter("hits_total", "Hits.", {{"n", std::to_string(n)}}).add();
    metrics.gauge("g" + std::to_string(n), "G.");
  }
  EXPECT_EQ(metrics.remove_labelled("n", "17"), 1u);
  EXPECT_TRUE(metrics.remove("hits_total", {{"n", "18"}}));
  EXPECT_FALSE(metrics.remove("hits_total", {{"n", "18"}}));
  first.add(3);
  EXPECT_EQ(metrics.counter("hits_total", "Hits.", {{"n", "first"}}).value(), 3u);
}

TEST(Metrics, WritesHelpTypeAndValuesSortedByName) {
  Metrics metrics;
  metrics.gauge("b_gauge", "A gauge.").set(-1.5);
  metrics.counter("a_total", "A counter.").add(12);
  metrics.counter("c_total", "With labels.", {{"code", "200"}, {"app", "x"}}).add(1);
  metrics.counter("c_total", "With labels.", {{"code", "500"}, {"app", "x"}});
  EXPECT_EQ(metrics.prometheus_text(),
            "# HELP a_total A counter.\n"
            "# TYPE a_total counter\n"
            "a_total 12\n"
            "# HELP b_gauge A gauge.\n"
            "# TYPE b_gauge gauge\n"
            "b_gauge -1.5\n"
            "# HELP c_total With labels.\n"
            "# TYPE c_total counter\n"
            "c_total{app=\"x\",code=\"200\"} 1\n"
            "c_total{app=\"x\",code=\"500\"} 0\n");
}

TEST(Metrics, EscapesHelpAndLabelValues) {
  Metrics metrics;
  metrics.counter("x_total", "Back\\slash, \"quote\",\nline.", {{"v", "a\\b\"c\nd"}}).add();
  EXPECT_EQ(metrics.prometheus_text(),
            "# HELP x_total Back\\\\slash, \"quote\",\\nline.\n"
            "# TYPE x_total counter\n"
            "x_total{v=\"a\\\\b\\\"c\\nd\"} 1\n");
}

TEST(Metrics, WritesHistogramsCumulativelyWithInfinitySumAndCount) {
  Metrics metrics;
  Histogram& latency = metrics.histogram("t_seconds", "Time.", {0.5, 1}, {{"app", "x"}});
  for (const double value : {0.25, 0.5, 0.75, 3.0}) latency.observe(value);
  EXPECT_EQ(metrics.prometheus_text(),
            "# HELP t_seconds Time.\n"
            "# TYPE t_seconds histogram\n"
            "t_seconds_bucket{app=\"x\",le=\"0.5\"} 2\n"
            "t_seconds_bucket{app=\"x\",le=\"1\"} 3\n"
            "t_seconds_bucket{app=\"x\",le=\"+Inf\"} 4\n"
            "t_seconds_sum{app=\"x\"} 4.5\n"
            "t_seconds_count{app=\"x\"} 4\n");
}

TEST(Metrics, HistogramKeepsItsSumWhenAValueIsNotANumber) {
  Histogram histogram({1});
  histogram.observe(std::numeric_limits<double>::quiet_NaN());
  histogram.observe(std::numeric_limits<double>::infinity());
  EXPECT_EQ(histogram.count(), 2u);
  EXPECT_EQ(histogram.in_bucket(0), 0u);
  EXPECT_EQ(histogram.in_bucket(1), 2u);
  EXPECT_TRUE(std::isinf(histogram.sum()));
}

TEST(Metrics, WritesNumbersThatAreNone) {
  Metrics metrics;
  metrics.gauge("a", "A.").set(std::numeric_limits<double>::quiet_NaN());
  metrics.gauge("b", "B.").set(-std::numeric_limits<double>::infinity());
  metrics.gauge("c", "C.").set(1e21);
  const std::string text = metrics.prometheus_text();
  EXPECT_NE(text.find("\na NaN\n"), text.npos);
  EXPECT_NE(text.find("\nb -Inf\n"), text.npos);
  EXPECT_NE(text.find("\nc 1e+21\n"), text.npos);
}

TEST(Metrics, AsksForComputedGaugesWhenTheTextIsMade) {
  Metrics metrics;
  double now = 1;
  metrics.gauge_from("depth", "Depth.", [&now] { return now; });
  now = 7;
  EXPECT_NE(metrics.prometheus_text().find("\ndepth 7\n"), std::string::npos);
}

TEST(MetricSet, TakesItsSeriesAlong) {
  Metrics metrics;
  metrics.counter("x_total", "X.", {{"app", "stays"}}).add();
  {
    MetricSet set(metrics, {{"app", "goes"}});
    set.counter("x_total", "X.").add(2);
    set.gauge_from("depth", "Depth.", [] { return 7.0; });
    set.histogram("t", "T.", {1}, {{"code", "200"}}).observe(0.5);
    const std::string text = metrics.prometheus_text();
    EXPECT_NE(text.find("x_total{app=\"goes\"} 2\n"), text.npos) << text;
    EXPECT_NE(text.find("depth{app=\"goes\"} 7\n"), text.npos) << text;
    EXPECT_NE(text.find("t_count{app=\"goes\",code=\"200\"} 1\n"), text.npos) << text;
    EXPECT_FALSE(metrics.remove("x_total", {{"app", "goes"}}));
    EXPECT_EQ(metrics.remove_labelled("app", "goes"), 0u);
  }
  EXPECT_EQ(metrics.prometheus_text(),
            "# HELP x_total X.\n# TYPE x_total counter\nx_total{app=\"stays\"} 1\n");
}

TEST(MetricSet, SeriesStayUntilTheLastOfTwoOwnersIsGone) {
  Metrics metrics;
  auto old = std::make_unique<MetricSet>(metrics, MetricLabels{{"app", "x"}});
  old->counter("x_total", "X.").add();
  old->gauge_from("depth", "Depth.", [] { return 1.0; });
  MetricSet successor(metrics, {{"app", "x"}});
  Counter& count = successor.counter("x_total", "X.");
  successor.gauge_from("depth", "Depth.", [] { return 2.0; });
  EXPECT_NE(metrics.prometheus_text().find("depth{app=\"x\"} 3\n"), std::string::npos);
  old.reset();
  count.add();
  const std::string text = metrics.prometheus_text();
  EXPECT_NE(text.find("x_total{app=\"x\"} 2\n"), text.npos) << text;
  EXPECT_NE(text.find("depth{app=\"x\"} 2\n"), text.npos) << text;
}

TEST(MetricSet, BeyondTheBoundGaugesShareASeriesUntilTheLastIsGone) {
  Metrics metrics(1);
  metrics.gauge("depth", "Depth.", {{"app", "first"}}).set(100);
  std::vector<std::unique_ptr<MetricSet>> sets;
  const auto add = [&](double value) {
    sets.push_back(std::make_unique<MetricSet>(
        metrics, MetricLabels{{"app", "x" + std::to_string(static_cast<int>(value))}}));
    sets.back()->gauge_from("depth", "Depth.", [value] { return value; });
  };
  const auto others = [&]() -> std::string {
    const std::string text = metrics.prometheus_text();
    const std::string begin = "depth{app=\"other\"} ";
    const std::size_t at = text.find(begin);
    if (at == text.npos) return "none";
    return text.substr(at + begin.size(), text.find('\n', at) - at - begin.size());
  };
  for (int i = 1; i <= 9; ++i) add(i);
  EXPECT_EQ(others(), "45");
  sets[4]->gauge_from("depth", "Depth.", [] { return 50.0; });  // replaces its 5
  EXPECT_EQ(others(), "90");
  sets.erase(sets.begin() + 4);
  sets.erase(sets.begin());
  EXPECT_EQ(others(), "39");
  sets.clear();
  EXPECT_EQ(others(), "none");
  add(7);
  EXPECT_EQ(others(), "7");
}

TEST(MetricSet, RoomThatASeriesLeavesIsTakenWhileOthersStillShareOne) {
  Metrics metrics(2);
  const auto held = [&metrics](std::string name) {
    auto set = std::make_unique<MetricSet>(metrics, MetricLabels{{"app", std::move(name)}});
    set->counter("seen", "Seen.").add(1);
    return set;
  };
  const auto first = held("first");
  auto second = held("second");
  const auto shared = held("third");
  second.reset();
  const auto fourth = held("fourth");
  const std::string text = metrics.prometheus_text();
  EXPECT_NE(text.find("seen{app=\"fourth\"} 1\n"), text.npos) << text;
  EXPECT_NE(text.find("seen{app=\"other\"} 1\n"), text.npos) << text;
}

TEST(AnswerMetrics, CountsByStatusAndBoundsWhatAFunctionMakesUp) {
  Metrics metrics;
  MetricSet set(metrics, {{"app", "x"}});
  AnswerMetrics answers(set, {"n", "N.", "ms", "Ms."});
  for (int status = 200; status < 300; ++status) answers.answered(status, 3);
  for (int i = 0; i < 5; ++i) answers.answered(299, 3);
  answers.answered(500, 3);
  const std::string text = metrics.prometheus_text();
  const auto has = [&text](const std::string& line) {
    return text.find(line + "\n") != std::string::npos;
  };
  EXPECT_TRUE(has("n{app=\"x\",response_code=\"200\",response_code_class=\"2xx\"} 1")) << text;
  EXPECT_TRUE(has("n{app=\"x\",response_code=\"231\",response_code_class=\"2xx\"} 1")) << text;
  EXPECT_TRUE(has("n{app=\"x\",response_code=\"other\",response_code_class=\"2xx\"} 73")) << text;
  EXPECT_TRUE(has("n{app=\"x\",response_code=\"other\",response_code_class=\"5xx\"} 1")) << text;
  EXPECT_TRUE(
      has("ms_bucket{app=\"x\",response_code=\"200\",response_code_class=\"2xx\","
          "le=\"5\"} 1"))
      << text;
}

TEST(Metrics, BoundsTheSeriesOfAName) {
  Metrics metrics(3);
  for (int n = 0; n < 10; ++n) {
    metrics.counter("x_total", "X.", {{"path", "/" + std::to_string(n)}}).add();
  }
  EXPECT_EQ(metrics.prometheus_text(),
            "# HELP x_total X.\n"
            "# TYPE x_total counter\n"
            "x_total{path=\"/0\"} 1\n"
            "x_total{path=\"/1\"} 1\n"
            "x_total{path=\"/2\"} 1\n"
            "x_total{path=\"other\"} 7\n");
}

TEST(MetricsDeathTest, RejectsContradictionsAndMalformedNames) {
  Metrics metrics;
  metrics.counter("x_total", "X.", {{"a", "1"}});
  EXPECT_DEATH(metrics.gauge("x_total", "X.", {{"a", "1"}}), "invariant");
  EXPECT_DEATH(metrics.counter("x_total", "X.", {{"b", "1"}}), "invariant");
  EXPECT_DEATH(metrics.counter("x-total", "X."), "invariant");
  EXPECT_DEATH(metrics.counter("y_total", "Y.", {{"__name", "1"}}), "invariant");
  EXPECT_DEATH(metrics.histogram("h", "H.", {2, 1}), "invariant");
}

TEST(MetricsSnapshot, LoopsCountAloneAndAreSummedWhenTheyAreRead) {
  const auto fill = [](Metrics& metrics, std::uint64_t amount) {
    metrics.counter("hits_total", "Hits.", {{"code", "200"}}).add(amount);
    metrics.gauge_from("busy", "Busy.", [amount] { return 0.5 * static_cast<double>(amount); });
    metrics.histogram("took", "Took.", {1, 10}).observe(static_cast<double>(amount));
  };
  Metrics here;
  Metrics there;
  fill(here, 1);
  fill(there, 4);
  there.counter("hits_total", "Hits.", {{"code", "500"}}).add();
  there.counter("only_total", "Only there.").add(7);

  MetricsSnapshot all = here.snapshot();
  all.add(there.snapshot());
  here.counter("hits_total", "Hits.", {{"code", "200"}}).add(100);  // later: not in it
  EXPECT_EQ(all.prometheus_text(),
            "# HELP busy Busy.\n# TYPE busy gauge\nbusy 2.5\n"
            "# HELP hits_total Hits.\n# TYPE hits_total counter\n"
            "hits_total{code=\"200\"} 5\nhits_total{code=\"500\"} 1\n"
            "# HELP only_total Only there.\n# TYPE only_total counter\nonly_total 7\n"
            "# HELP took Took.\n# TYPE took histogram\ntook_bucket{le=\"1\"} 1\n"
            "took_bucket{le=\"10\"} 2\ntook_bucket{le=\"+Inf\"} 2\ntook_sum 5\ntook_count 2\n");
}

TEST(MetricsSnapshot, IsAValue) {
  Metrics metrics;
  metrics.counter("hits_total", "Hits.").add(2);
  MetricsSnapshot one = metrics.snapshot();
  MetricsSnapshot two = one;
  two.add(one);
  EXPECT_NE(one.prometheus_text(), two.prometheus_text());
  one = two;
  EXPECT_EQ(one.prometheus_text(), two.prometheus_text());
}

}  // namespace
}  // namespace knative
