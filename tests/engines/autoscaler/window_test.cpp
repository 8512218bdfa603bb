#include <gtest/gtest.h>

#include <cmath>
#include <deque>
#include <map>
#include <random>

#include "knative/autoscaler.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;

Instant at(double seconds) {
  return Instant(Duration(static_cast<Duration::rep>(std::llround(seconds * 1e9))));
}

TEST(Window, AddsValuesOfOneSecond) {
  Window window(60s);
  window.record(at(10.1), 3);
  window.record(at(10.9), 4);
  EXPECT_DOUBLE_EQ(window.average(at(10.95)), 7);
}

TEST(Window, DividesByTheSecondsSinceTheFirstWrite) {
  Window window(60s);
  window.record(at(10), 10);
  window.record(at(13), 2);
  // Four seconds, two of them without a value.
  EXPECT_DOUBLE_EQ(window.average(at(13)), 3);
}

TEST(Window, TrailingSilenceShortensTheDivisorAndAgesValuesOut) {
  Window window(4s);
  for (int second = 0; second < 4; ++second) window.record(at(second), 1.0 + second);
  EXPECT_DOUBLE_EQ(window.average(at(3)), 2.5);
  EXPECT_DOUBLE_EQ(window.average(at(4)), 3);  // 2, 3, 4 over three seconds
  EXPECT_DOUBLE_EQ(window.average(at(6)), 4);  // 4 over one
  EXPECT_DOUBLE_EQ(window.average(at(7)), 0);
}

TEST(Window, IsEmptyAfterMoreThanAWindowOfSilence) {
  Window window(4s);
  EXPECT_TRUE(window.empty(at(0)));
  window.record(at(1), 5);
  EXPECT_FALSE(window.empty(at(5.9)));
  EXPECT_TRUE(window.empty(at(6)));
}

TEST(Window, StartsAnewAfterAWindowOfSilence) {
  Window window(4s);
  for (int second = 0; second < 4; ++second) window.record(at(second), 100);
  window.record(at(7), 6);
  EXPECT_DOUBLE_EQ(window.average(at(7)), 6);
}

TEST(Window, TakesLateValuesInsideAndIgnoresThemOutside) {
  Window window(4s);
  window.record(at(10), 8);
  window.record(at(8), 4);  // moves the first write back
  EXPECT_DOUBLE_EQ(window.average(at(10)), 4);
  window.record(at(6), 1000);
  EXPECT_DOUBLE_EQ(window.average(at(10)), 4);
}

TEST(Window, RoundsToSixDigits) {
  Window window(3s);
  window.record(at(0), 1);
  window.record(at(2), 0);
  EXPECT_EQ(window.average(at(2)), 0.333333);
}

TEST(Window, ResizeKeepsTheNewestSeconds) {
  Window window(6s);
  for (int second = 0; second < 6; ++second) window.record(at(second), second);
  window.resize(3s);
  EXPECT_DOUBLE_EQ(window.average(at(5)), 4);  // 3, 4, 5
  window.resize(10s);
  EXPECT_EQ(window.length(), Duration(10s));
  EXPECT_DOUBLE_EQ(window.average(at(5)), 4);  // first write counts as two seconds back
}

TEST(Window, WeightsByTheExponentOfTheAge) {
  Window window(10s, WindowAggregation::weighted_exponential);
  const double coefficient = 1 - std::pow(0.0001, 0.1);
  const double values[] = {10, 10, 5, 5};
  for (int second = 0; second < 4; ++second) window.record(at(second), values[second]);
  const double left = 1 - coefficient;
  const double expected = coefficient * (5 + 5 * left + 10 * left * left + 10 * left * left * left);
  EXPECT_NEAR(window.average(at(3)), expected, 1e-9);
  EXPECT_NEAR(window.average(at(5)), expected * left * left, 1e-9);
}

TEST(Window, WeightedAverageBeginsLow) {
  Window window(60s, WindowAggregation::weighted_exponential);
  window.record(at(0), 10);
  EXPECT_NEAR(window.average(at(0)), 2.0, 1e-9);
}

/// The same by definition: every second of the window in a map.
double by_definition(const std::map<std::int64_t, double>& seconds, std::int64_t first,
                     std::int64_t last, std::int64_t now, std::int64_t n) {
  if (now - last >= n) return 0;
  double sum = 0;
  for (const auto& [second, value] : seconds) {
    if (second > now - n && second > last - n) sum += value;
  }
  const std::int64_t count = std::min(last - first + 1, n - std::max<std::int64_t>(0, now - last));
  return sum / static_cast<double>(count);
}

TEST(Window, AgreesWithItsDefinitionOverRandomWalks) {
  std::mt19937 random(7);
  for (int round = 0; round < 50; ++round) {
    const auto n = static_cast<std::int64_t>(1 + random() % 20);
    Window window{std::chrono::seconds(n)};
    std::map<std::int64_t, double> seconds;
    std::int64_t now = static_cast<std::int64_t>(random() % 100);
    std::int64_t first = now;
    std::int64_t last = now - 1000;
    for (int move = 0; move < 300; ++move) {
      now += static_cast<std::int64_t>(random() % 4 == 0 ? random() % 25 : random() % 2);
      if (random() % 3 != 0) {
        if (now - last >= n) {
          seconds.clear();
          first = now;
        }
        last = now;
        const double value = static_cast<double>(random() % 1000);
        seconds[now] += value;
        window.record(at(static_cast<double>(now)), value);
      }
      if (seconds.empty()) continue;
      ASSERT_NEAR(window.average(at(static_cast<double>(now))),
                  by_definition(seconds, first, last, now, n), 1e-6)
          << "round " << round << " move " << move;
    }
  }
}

TEST(MaxWindow, AgreesWithItsDefinitionOverRandomWalks) {
  std::mt19937 random(11);
  for (int round = 0; round < 50; ++round) {
    const int buckets = 1 + static_cast<int>(random() % 10);
    MaxWindow window(buckets * 2s);
    std::deque<std::pair<std::int64_t, int>> seen;
    std::int64_t now = 0;  // milliseconds
    for (int move = 0; move < 300; ++move) {
      now += static_cast<std::int64_t>(random() % 5000);
      const int value = static_cast<int>(random() % 100);
      const std::int64_t slot = now / 2000;
      window.record(Instant(std::chrono::milliseconds(now)), value);
      seen.emplace_back(slot, value);
      int largest = 0;
      for (const auto& [s, v] : seen) {
        if (s > slot - buckets) largest = std::max(largest, v);
      }
      ASSERT_EQ(window.max(), largest);
    }
  }
}

}  // namespace
}  // namespace knative
