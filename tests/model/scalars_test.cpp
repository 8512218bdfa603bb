#include "knative/scalars.hpp"

#include <gtest/gtest.h>

namespace knative {
namespace {

TEST(Quantity, CanonicalForms) {
  struct {
    std::string_view text;
    std::string_view canonical;
    std::int64_t value;
  } const table[] = {
      {"0", "0", 0},
      {"0m", "0", 0},
      {"-0", "0", 0},
      {"1", "1", 1},
      {"1000", "1k", 1000},
      {"1500", "1500", 1500},
      {"1500m", "1500m", 2},
      {"1000m", "1", 1},
      {"0.5", "500m", 1},
      {".5", "500m", 1},
      {"5.", "5", 5},
      {"+5", "5", 5},
      {"-1.5", "-1500m", -2},
      {"100n", "100n", 1},
      {"1u", "1u", 1},
      {"1.0000000001", "1000000001n", 2},
      {"2k", "2k", 2000},
      {"1M", "1M", 1000000},
      {"1e3", "1e3", 1000},
      {"1E3", "1e3", 1000},
      {"1500e0", "1500", 1500},
      {"12e-1", "1200e-3", 2},
      {"1E", "1E", 1000000000000000000},
      {"1Ki", "1Ki", 1024},
      {"1.5Gi", "1536Mi", 1610612736},
      {"1024Mi", "1Gi", 1073741824},
      {"1000Ki", "1000Ki", 1024000},
      {"0.5Ki", "512", 512},
      {"512Mi", "512Mi", 536870912},
      {"1Ei", "1Ei", 1152921504606846976},
      {"7Ei", "7Ei", 8070450532247928832},
      {"8Ei", "9223372036854775807", 9223372036854775807},
      {"100E", "9223372036854775807", 9223372036854775807},
      {"1e1000", "9223372036854775807", 9223372036854775807},
      {"1e-1000", "1e-9", 1},
      {"0.3Ki", "307200m", 308},
  };
  for (const auto& row : table) {
    const auto quantity = Quantity::parse(row.text);
    ASSERT_TRUE(quantity) << row.text;
    EXPECT_EQ(quantity->to_string(), row.canonical) << row.text;
    EXPECT_EQ(quantity->value(), row.value) << row.text;
    EXPECT_EQ(Quantity::parse(quantity->to_string()).value().to_string(), row.canonical);
  }
}

TEST(Quantity, RefusesWhatIsNone) {
  for (const char* bad : {"", "m", "-", "1 Gi", "1gi", "1KI", "1K", "1Zi", "1e", "1e+", "1e1.5",
                          "0x10", "1,5", "1..5", "--1", "1mm", "NaN", "1e99999"}) {
    EXPECT_FALSE(Quantity::parse(bad)) << bad;
  }
}

TEST(Quantity, ComparesByNumber) {
  const auto q = [](std::string_view text) { return Quantity::parse(text).value(); };
  EXPECT_EQ(q("1000m"), q("1"));
  EXPECT_EQ(q("1Ki"), q("1.024k"));
  EXPECT_LT(q("1G"), q("1Gi"));
  EXPECT_LT(q("-1"), q("-999m"));
  EXPECT_LT(q("-1m"), q("0"));
  EXPECT_GT(q("1n"), q("0"));
  EXPECT_EQ(q("250m").milli_value(), 250);
  EXPECT_EQ(q("1n").milli_value(), 1);
  EXPECT_EQ(Quantity::from_milli(-1500).to_string(), "-1500m");
  EXPECT_EQ(q("100E").milli_value(), std::numeric_limits<std::int64_t>::max());
}

TEST(Durations, GoSyntax) {
  struct {
    std::string_view text;
    std::int64_t nanoseconds;
    std::string_view canonical;
  } const table[] = {
      {"0", 0, "0s"},
      {"0s", 0, "0s"},
      {"10m", 600000000000, "10m0s"},
      {"1h30m", 5400000000000, "1h30m0s"},
      {"90s", 90000000000, "1m30s"},
      {"300ms", 300000000, "300ms"},
      {"1.5s", 1500000000, "1.5s"},
      {"-1.5h", -5400000000000, "-1h30m0s"},
      {"1us", 1000, "1µs"},
      {"1.5µs", 1500, "1.5µs"},
      {"1ns", 1, "1ns"},
      {".5s", 500000000, "500ms"},
      {"1h0.5s", 3600500000000, "1h0m0.5s"},
      {"2562047h47m16.854775807s", 9223372036854775807, "2562047h47m16.854775807s"},
  };
  for (const auto& row : table) {
    const auto duration = parse_duration(row.text);
    ASSERT_TRUE(duration) << row.text;
    EXPECT_EQ(duration->count(), row.nanoseconds) << row.text;
    EXPECT_EQ(format_duration(*duration), row.canonical) << row.text;
  }
  for (const char* bad : {"", "s", "10", "1d", "1h-5m", "1.2.3s", ".s", "-", "1 s", "2562048h",
                          "99999999999999999999999999h"}) {
    EXPECT_FALSE(parse_duration(bad)) << bad;
  }
  EXPECT_EQ(format_duration(Duration::min()), "-2562047h47m16.854775808s");
}

TEST(Durations, Iso8601) {
  EXPECT_EQ(parse_iso8601_duration("PT10S").value(), std::chrono::seconds(10));
  EXPECT_EQ(parse_iso8601_duration("PT0.2S").value(), std::chrono::milliseconds(200));
  EXPECT_EQ(parse_iso8601_duration("P1DT2H3M").value(), std::chrono::minutes(26 * 60 + 3));
  EXPECT_EQ(parse_iso8601_duration("P2W").value(), std::chrono::hours(24 * 14));
  EXPECT_EQ(parse_iso8601_duration("PT0,5S").value(), std::chrono::milliseconds(500));
  EXPECT_EQ(parse_iso8601_duration("P1M").value(), std::chrono::seconds(2629746));
  EXPECT_EQ(parse_iso8601_duration("P1Y").value(), std::chrono::seconds(31556952));
  EXPECT_EQ(parse_iso8601_duration("P1Y1MT1M").value(), std::chrono::seconds(34186758));
  EXPECT_EQ(parse_iso8601_duration("P0").value(), std::chrono::seconds(0));
  EXPECT_EQ(parse_iso8601_duration("+PT1S").value(), std::chrono::seconds(1));
  for (const char* bad : {"", "P", "PT", "10S", "PT10", "P1M1Y", "P00", "P0,5M1D", "PT1S1M",
                          "PT1.5M1S", "P1DT", "PT-1S", "1s", "P1H", "+", "-PT1S", "-P0", "++P1D"}) {
    EXPECT_FALSE(parse_iso8601_duration(bad)) << bad;
  }
}

TEST(Timestamps, Rfc3339) {
  struct {
    std::string_view text;
    std::string_view canonical;
  } const table[] = {
      {"2019-06-01T12:00:00Z", "2019-06-01T12:00:00Z"},
      {"1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"},
      {"2000-02-29t23:59:59.25z", "2000-02-29T23:59:59.25Z"},
      {"2019-06-01T12:00:00+02:00", "2019-06-01T10:00:00Z"},
      {"2019-01-01T00:30:00.000000001+01:00", "2018-12-31T23:30:00.000000001Z"},
      {"1960-01-01T00:00:00.5Z", "1960-01-01T00:00:00.5Z"},
  };
  for (const auto& row : table) {
    const auto time = Timestamp::parse(row.text);
    ASSERT_TRUE(time) << row.text;
    EXPECT_EQ(time->to_string(), row.canonical);
  }
  for (const char* bad :
       {"", "2019-06-01", "2019-6-1T1:2:3Z", "2019-02-29T00:00:00Z", "2019-06-01T24:00:00Z",
        "2019-06-01T12:00:00", "2019-06-01T12:00:00.Z", "2019-06-01T12:00:00+0200",
        "0001-01-01T00:00:00Z", "2019-06-01T12:00:00Zx", "2019-13-01T12:00:00Z"}) {
    EXPECT_FALSE(Timestamp::parse(bad)) << bad;
  }
}

TEST(Base64, Vectors) {
  const std::pair<std::string_view, std::string_view> table[] = {{"", ""},
                                                                 {"f", "Zg=="},
                                                                 {"fo", "Zm8="},
                                                                 {"foo", "Zm9v"},
                                                                 {"foob", "Zm9vYg=="},
                                                                 {"fooba", "Zm9vYmE="},
                                                                 {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, encoded] : table) {
    EXPECT_EQ(base64_encode(plain), encoded);
    EXPECT_EQ(base64_decode(encoded).value(), plain);
  }
  EXPECT_EQ(base64_decode("Zm9v\r\nYmFy\n").value(), "foobar");
  for (const char* bad : {"Z", "Zg", "Zg=", "Zg===", "=", "Zg==Zg==", "Z=g=", "Zm9v!", "Zm 9v",
                          "Zg=a", "Zm9vYg=", "===="}) {
    EXPECT_FALSE(base64_decode(bad)) << bad;
  }
}

}  // namespace
}  // namespace knative
