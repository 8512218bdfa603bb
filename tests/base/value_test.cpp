#include "knative/value.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace knative {
namespace {

std::string error_of(std::string_view text) {
  const auto parsed = Value::parse_json(text);
  return parsed ? "parsed" : parsed.error().to_string();
}

TEST(Value, BracesMakeMapsAndLists) {
  const Value order = {{"id", 7}, {"lines", {"tea", "cup"}}, {"total", 1.5}, {"none", nullptr}};
  EXPECT_EQ(order.to_json(), R"({"id":7,"lines":["tea","cup"],"none":null,"total":1.5})");
  EXPECT_EQ(Value({1, 2}).to_json(), "[1,2]");
  EXPECT_EQ(Value().to_json(), "null");
  EXPECT_EQ(Value(Value::Map{}).to_json(), "{}");
  EXPECT_EQ(Value(true).type(), Value::Type::boolean);
  EXPECT_EQ(Value("text").type(), Value::Type::string);
  EXPECT_EQ(Value(std::size_t{5}).type(), Value::Type::integer);
  const Value copy = order;
  EXPECT_EQ(copy, order);
}

TEST(Value, IntegersAndDoublesStayWhatTheyWere) {
  struct {
    std::string_view text;
    Value::Type type;
    std::string_view again;
  } const table[] = {
      {"0", Value::Type::integer, "0"},
      {"-0", Value::Type::integer, "0"},
      {"9223372036854775807", Value::Type::integer, "9223372036854775807"},
      {"-9223372036854775808", Value::Type::integer, "-9223372036854775808"},
      {"9223372036854775808", Value::Type::real, "9223372036854775808.0"},
      {"1.0", Value::Type::real, "1.0"},
      {"1e2", Value::Type::real, "100.0"},
      {"0.1", Value::Type::real, "0.1"},
      {"1e-400", Value::Type::real, "0.0"},
      {"1e300", Value::Type::real, "1e+300"},
      {"2.2250738585072011e-308", Value::Type::real, "2.225073858507201e-308"},
      {"123456789012345678901234567890", Value::Type::real, "1.2345678901234568e+29"},
  };
  for (const auto& row : table) {
    const auto value = Value::parse_json(row.text);
    ASSERT_TRUE(value) << row.text << value.error().detail;
    EXPECT_EQ(value->type(), row.type) << row.text;
    std::string again = value->to_json();
    if (row.text == "9223372036854775808") {
      EXPECT_EQ(value->as_double(), 9223372036854775808.0);
    } else {
      EXPECT_EQ(again, row.again);
    }
    EXPECT_EQ(Value::parse_json(again).value(), *value);
  }
  EXPECT_EQ(Value(std::nan("")).to_json(), "null");
  EXPECT_EQ(Value(std::numeric_limits<std::uint64_t>::max()).type(), Value::Type::real);
}

TEST(Value, StrictJsonNamesTheByte) {
  for (const char* bad : {"",           " ",
                          "{",          "[1,]",
                          "{\"a\":1,}", "01",
                          "+1",         "1.",
                          ".5",         "nul",
                          "'a'",        "\"\x01\"",
                          "\"\\x\"",    "\"\\ud800\"",
                          "\"\xff\"",   "\"\xed\xa0\x80\"",
                          "[1] 2",      "// c\n1",
                          "{a:1}",      "NaN",
                          "1e999",      "\xef\xbb\xbf{}"}) {
    const auto parsed = Value::parse_json(bad);
    EXPECT_FALSE(parsed) << bad;
    if (!parsed) {
      EXPECT_EQ(parsed.error().code, Errc::invalid_argument) << bad;
      EXPECT_EQ(parsed.error().detail.rfind("byte ", 0), 0U) << parsed.error().detail;
    }
  }
  EXPECT_EQ(error_of("[1] 2"), "invalid_argument: byte 4: extra data after the JSON value");
}

TEST(Value, DuplicateKeysAreRefusedWithTheirOffset) {
  EXPECT_EQ(error_of(R"({"a":1,"b":{"c":1,"c":2}})"),
            "invalid_argument: byte 20: duplicate key \"c\"");
  EXPECT_EQ(error_of(R"({"a":1,"\u0061":2})"), "invalid_argument: byte 14: duplicate key \"a\"");
}

TEST(Value, DepthAndSizeAreBounded) {
  const auto nested = [](std::size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  EXPECT_TRUE(Value::parse_json(nested(64)));
  const auto deep = Value::parse_json(nested(65));
  ASSERT_FALSE(deep);
  EXPECT_EQ(deep.error().code, Errc::resource_exhausted);
  EXPECT_EQ(Value::parse_json(nested(100000)).error().code, Errc::resource_exhausted);
  EXPECT_EQ(Value::parse_json("[1,2,3]", {.bytes_max = 6}).error().code, Errc::resource_exhausted);
}

TEST(Value, StringsSurviveEscaping) {
  const std::string all = [] {
    std::string out;
    for (int c = 0; c < 128; ++c) out += static_cast<char>(c);
    return out + "ä€𝄞";
  }();
  EXPECT_EQ(Value::parse_json(Value(all).to_json()).value().as_string(), all);
  EXPECT_EQ(Value::parse_json(R"("\u00e4\ud834\udd1e\/")").value().as_string(), "ä𝄞/");
  EXPECT_EQ(Value("a\xff"
                  "b\xc0\x80")
                .to_json(),
            "\"a\xEF\xBF\xBD"
            "b\xEF\xBF\xBD\xEF\xBF\xBD\"");
}

TEST(Value, PathsLeadToMembers) {
  const Value value = {{"a", {{"b", {1, {{"c.d", "x"}}}}}}};
  ASSERT_NE(value.at_path("a.b[0]"), nullptr);
  EXPECT_EQ(value.at_path("a.b[0]")->as_int(), 1);
  ASSERT_NE(value.at_path("a.b[1][\"c.d\"]"), nullptr);
  EXPECT_EQ(value.at_path("a.b[1][\"c.d\"]")->as_string(), "x");
  EXPECT_EQ(value.at_path(""), &value);
  for (const char* missing : {"b", "a.b[2]", "a.b[-1]", "a.b[x]", "a.", ".a", "a..b", "a.b[0",
                              "a.b[0]c", "a.b.c", "a[0]"}) {
    EXPECT_EQ(value.at_path(missing), nullptr) << missing;
  }
}

TEST(Value, WrongAlternativesThrow) {
  const Value text = "x";
  EXPECT_THROW((void)text.as_int(), Exception);
  EXPECT_THROW((void)text.as_map(), Exception);
  EXPECT_EQ(text.if_int(), nullptr);
  EXPECT_EQ(Value(3).as_double(), 3.0);
  Value list;
  list.push_back(1);
  list.push_back("b");
  EXPECT_EQ(list, Value({1, "b"}));
  EXPECT_THROW(list["a"], Exception);
  Value map;
  map["a"]["b"] = 1;
  EXPECT_EQ(map.to_json(), R"({"a":{"b":1}})");
  EXPECT_NE(Value(1), Value(1.0)) << "an integer is no double";
}

TEST(Value, PrettyTextIsStable) {
  const Value value = {{"b", {1, Value(Value::List{})}}, {"a", Value(Value::Map{})}};
  EXPECT_EQ(value.to_json_pretty(), "{\n  \"a\": {},\n  \"b\": [\n    1,\n    []\n  ]\n}");
  EXPECT_EQ(Value::parse_json(value.to_json_pretty()).value(), value);
}

}  // namespace
}  // namespace knative
