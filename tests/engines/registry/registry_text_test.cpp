#include "engines/registry/registry_text.hpp"

#include <gtest/gtest.h>

namespace knative::oci {
namespace {

std::optional<Duration> pause_of(const char* text) {
  http::Headers headers;
  headers.set("Retry-After", text);
  const std::chrono::sys_days day = std::chrono::year(2026) / 11 / 27;
  return read_retry_after(headers, WallTime(day));
}

TEST(RegistryText, ARetryAfterIsSecondsOrADate) {
  EXPECT_EQ(pause_of("7"), Duration(std::chrono::seconds(7)));
  EXPECT_EQ(pause_of("Fri, 27 Nov 2026 00:00:07 GMT"), Duration(std::chrono::seconds(7)));
  EXPECT_EQ(pause_of("Fri, 27 Nov 2020 00:00:07 GMT"), Duration(0));
  EXPECT_EQ(pause_of("soon"), std::nullopt);
}

TEST(RegistryText, ADateThatNoClockCountsToIsFarAway) {
  EXPECT_GT(pause_of("Wed, 21 Oct 7319 07:28:00 GMT"), Duration(std::chrono::hours(24 * 365)));
  EXPECT_GT(pause_of("Fri, 31 Dec 9999 23:59:59 GMT"), Duration(std::chrono::hours(24 * 365)));
  EXPECT_EQ(pause_of("Fri, 31 Dec 0000 23:59:59 GMT"), std::nullopt);
}

}  // namespace
}  // namespace knative::oci
