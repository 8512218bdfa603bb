#include "base/complaints.hpp"

#include <gtest/gtest.h>

namespace knative::base {
namespace {

using namespace std::chrono_literals;

TEST(Complaints, ABurstThenAPaceAndTheOthersAreCounted) {
  Complaints complaints(2, 0.5);
  const Instant begin{};
  EXPECT_EQ(complaints.next(begin), 0u);
  EXPECT_EQ(complaints.next(begin), 0u);
  EXPECT_EQ(complaints.next(begin), std::nullopt);
  EXPECT_EQ(complaints.next(begin + 1s), std::nullopt);
  EXPECT_EQ(complaints.next(begin + 2s), 2u);
  EXPECT_EQ(complaints.next(begin + 3s), std::nullopt);
  EXPECT_EQ(complaints.next(begin + 4s), 1u);
}

TEST(Complaints, ALongSilenceGivesNoMoreThanTheBurst) {
  Complaints complaints(2, 0.5);
  const Instant begin{};
  EXPECT_EQ(complaints.next(begin), 0u);
  const Instant later = begin + 24h;
  EXPECT_EQ(complaints.next(later), 0u);
  EXPECT_EQ(complaints.next(later), 0u);
  EXPECT_EQ(complaints.next(later), std::nullopt);
}

}  // namespace
}  // namespace knative::base
