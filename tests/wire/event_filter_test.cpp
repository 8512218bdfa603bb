#include <gtest/gtest.h>

#include "knative/event.hpp"
#include "wire/event_cesql.hpp"

namespace knative {
namespace {

CloudEvent sample() {
  CloudEvent event("com.example.order", "/shop/eu");
  event.set_id("1").set_subject("s-1").set_time("2026-01-01T00:00:00Z");
  event.set_extension("count", 5).set_extension("flag", true).set_extension("name", "Ada");
  event.set_data(EventData::of("x", "text/plain; charset=utf-8"));
  return event;
}

bool matches(const Result<Filter>& filter) { return filter.value().matches(sample()); }

TEST(Filter, exact_prefix_and_suffix_compare_the_text_of_an_attribute) {
  EXPECT_TRUE(matches(Filter::exact("type", "com.example.order")));
  EXPECT_FALSE(matches(Filter::exact("type", "com.example")));
  EXPECT_TRUE(matches(Filter::prefix("type", "com.example")));
  EXPECT_FALSE(matches(Filter::prefix("type", "example")));
  EXPECT_TRUE(matches(Filter::suffix("source", "/eu")));
  EXPECT_FALSE(matches(Filter::suffix("source", "/us")));
  EXPECT_TRUE(matches(Filter::exact("count", "5")));
  EXPECT_TRUE(matches(Filter::exact("flag", "true")));
  EXPECT_TRUE(matches(Filter::prefix("name", "A")));
  EXPECT_FALSE(matches(Filter::exact("missing", "x")));
  EXPECT_FALSE(matches(Filter::prefix("dataschema", "x")));
  EXPECT_TRUE(matches(Filter::exact("datamediatype", "text/plain")));
  EXPECT_TRUE(matches(Filter::prefix("time", "2026")));
}

TEST(Filter, combines_with_all_any_and_not) {
  const Filter yes = Filter::exact("id", "1").value();
  const Filter no = Filter::exact("id", "2").value();
  EXPECT_TRUE(matches(Filter::all({yes, yes})));
  EXPECT_FALSE(matches(Filter::all({yes, no})));
  EXPECT_TRUE(matches(Filter::any({no, yes})));
  EXPECT_FALSE(matches(Filter::any({no, no})));
  EXPECT_TRUE(Filter::not_(no).matches(sample()));
  EXPECT_FALSE(Filter::not_(yes).matches(sample()));
  EXPECT_FALSE(Filter::not_(Filter()).matches(sample()));
  EXPECT_TRUE(matches(Filter::any({no, Filter::not_(Filter::all({yes, no}).value())})));
  EXPECT_TRUE(Filter().matches(sample()));
}

TEST(Filter, what_does_not_parse_is_an_error_and_never_open) {
  EXPECT_FALSE(Filter::exact("Type", "x"));
  EXPECT_FALSE(Filter::exact("", "x"));
  EXPECT_FALSE(Filter::prefix("type", ""));
  EXPECT_FALSE(Filter::suffix("a b", "x"));
  EXPECT_FALSE(Filter::all({}));
  EXPECT_FALSE(Filter::any({}));
  EXPECT_FALSE(Filter::attributes({{"Bad", ""}}));
  const Result<Filter> wrong = Filter::cesql("type = ");
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, Errc::invalid_argument);
  EXPECT_NE(wrong.error().detail.find("position 7"), std::string::npos) << wrong.error().detail;
}

TEST(Filter, attributes_of_a_trigger_treat_empty_as_any_but_present) {
  EXPECT_TRUE(matches(Filter::attributes({})));
  EXPECT_TRUE(matches(Filter::attributes({{"type", "com.example.order"}, {"subject", ""}})));
  EXPECT_FALSE(matches(Filter::attributes({{"dataschema", ""}})));
  EXPECT_FALSE(matches(Filter::attributes({{"missing", ""}})));
  EXPECT_TRUE(matches(Filter::attributes({{"count", ""}})));
  EXPECT_FALSE(matches(Filter::attributes({{"count", "5"}})));  // no string
  EXPECT_TRUE(matches(Filter::attributes({{"name", "Ada"}})));
}

// --------------------------------------------------------------------------- CloudEvents SQL

using cesql::ErrorKind;
using cesql::Scalar;

struct Case {
  const char* expression;
  Scalar value;
  ErrorKind error = ErrorKind::none;
};

Scalar text(const char* value) { return std::string(value); }
Scalar number(std::int32_t value) { return value; }

TEST(Cesql, evaluates_as_the_specification_says) {
  const std::vector<Case> cases{
      // literals
      {"TRUE", true},
      {"false", false},
      {"42", number(42)},
      {"-1", number(-1)},
      {"+7", number(7)},
      {"'abc'", text("abc")},
      {"\"abc\"", text("abc")},
      {R"('it\'s')", text("it's")},
      {R"("say \"hi\"")", text("say \"hi\"")},
      {R"('"')", text("\"")},
      // arithmetic
      {"4 + 5", number(9)},
      {"4 - 1", number(3)},
      {"4 * 2 + 1", number(9)},
      {"1 + 4 * 2", number(9)},
      {"(1 + 4) * 2", number(10)},
      {"7 / 2", number(3)},
      {"-7 / 2", number(-3)},
      {"-7 % 3", number(-1)},
      {"10 - 3 - 2", number(5)},
      {"5 / 0", number(0), ErrorKind::math},
      {"5 % 0", number(0), ErrorKind::math},
      {"2147483647 + 1", number(-2147483647 - 1), ErrorKind::math},
      {"-(5)", number(-5)},
      {"--5", number(5)},
      {"'10' + 5", number(15)},
      {"'x' + 5", number(5), ErrorKind::cast},
      {"TRUE + 1", number(2)},
      // comparison
      {"1 < 2", true},
      {"2 <= 1", false},
      {"1 = 1", true},
      {"1 != 1", false},
      {"1 <> 2", true},
      {"'a' = 'a'", true},
      {"'5' = 5", true},
      {"5 = '5'", true},
      {"'true' = TRUE", true},
      {"TRUE = 'TRUE'", false},
      {"'x' = TRUE", false, ErrorKind::cast},
      // logic
      {"TRUE AND FALSE", false},
      {"TRUE OR FALSE", true},
      {"TRUE XOR TRUE", false},
      {"NOT TRUE", false},
      {"NOT 10", false},
      {"NOT 'x'", true, ErrorKind::cast},
      {"FALSE AND 1 / 0 = 0", false},
      {"TRUE OR missing", true},
      {"true and (1 != 1 / 0)", false, ErrorKind::math},
      {"false or (1 != 1 / 0)", false, ErrorKind::math},
      {"1 != 1 / 0", false, ErrorKind::math},
      {"1 + 1 / 0", number(0), ErrorKind::math},
      {"1 = 1 AND 2 = 2", true},
      // attributes
      {"type", text("com.example.order")},
      {"TYPE", text("com.example.order")},
      {"type = 'com.example.order' AND count > 4", true},
      {"count + 1", number(6)},
      {"flag", true},
      {"EXISTS subject", true},
      {"EXISTS nothing", false},
      {"NOT EXISTS nothing", true},
      {"missing", false, ErrorKind::missing_attribute},
      {"missing != 2", false, ErrorKind::missing_attribute},
      {"1 / missing", number(0), ErrorKind::missing_attribute},
      {"missing LIKE 'a'", false, ErrorKind::missing_attribute},
      {"NOT missing", false, ErrorKind::missing_attribute},
      {"LENGTH(missing)", number(0), ErrorKind::missing_attribute},
      // LIKE
      {"'abc' LIKE 'a%'", true},
      {"'abc' LIKE 'a_c'", true},
      {"'abc' LIKE 'a_'", false},
      {"'abc' NOT LIKE 'b%'", true},
      {"'abc' LIKE '%'", true},
      {"'' LIKE '%'", true},
      {"'' LIKE '_'", false},
      {"'a%c' LIKE 'a\\%c'", true},
      {"'abc' LIKE 'a\\%c'", false},
      {"'a_c' LIKE 'a\\_c'", true},
      {"'abc' LIKE 'a\\_c'", false},
      {"'aXbXc' LIKE 'a%b%c'", true},
      {"'ABC' LIKE 'abc'", false},
      {"'\xe2\x82\xac' LIKE '_'", true},
      {"123 LIKE '1%3'", true},
      {"'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaab' LIKE '%a%a%a%a%a%a%a%c'", false},
      // IN
      {"'a' IN ('b', 'a')", true},
      {"'a' NOT IN ('b', 'c')", true},
      {"1 IN ('1', 2)", true},
      {"'1' IN (1)", true},
      {"count IN (4, 5)", true},
      {"1 IN (missing)", false, ErrorKind::missing_attribute},
      // precedence
      {"NOT TRUE OR TRUE", true},
      {"NOT 'abc' LIKE 'a%'", false, ErrorKind::cast},  // NOT binds more tightly
      {"NOT ('abc' LIKE 'a%')", false},
      {"1 + 1 = 2 AND NOT FALSE", true},
      {"-2 * 3", number(-6)},
      {"2 IN (1, 2) AND 'x' LIKE 'x'", true},
      // functions
      {"LENGTH('abc')", number(3)},
      {"length('\xe2\x82\xac')", number(1)},
      {"CONCAT()", text("")},
      {"CONCAT('a', 1, TRUE)", text("a1true")},
      {"CONCAT_WS(',', 'a', 'b')", text("a,b")},
      {"CONCAT_WS(',')", text("")},
      {"LOWER('ABC')", text("abc")},
      {"UPPER('abc')", text("ABC")},
      {"TRIM(' \t a b \n ')", text("a b")},
      {"LEFT('abc', 2)", text("ab")},
      {"LEFT('abc', 9)", text("abc")},
      {"LEFT('abc', 0)", text("")},
      {"LEFT('abc', -2)", text("abc"), ErrorKind::function_evaluation},
      {"RIGHT('abc', 2)", text("bc")},
      {"RIGHT('abc', 0)", text("")},
      {"SUBSTRING('abcdef', 2)", text("bcdef")},
      {"SUBSTRING('abcdef', 2, 3)", text("bcd")},
      {"SUBSTRING('abcdef', -2)", text("ef")},
      {"SUBSTRING('abcdef', 0)", text("")},
      {"SUBSTRING('abc', 5)", text(""), ErrorKind::function_evaluation},
      {"SUBSTRING('abc', -4)", text(""), ErrorKind::function_evaluation},
      {"SUBSTRING('abc', 1, -1)", text(""), ErrorKind::function_evaluation},
      {"ABS(-5)", number(5)},
      {"ABS(-2147483648)", number(2147483647), ErrorKind::math},
      {"INT('12')", number(12)},
      {"INT('x')", number(0), ErrorKind::cast},
      {"INT('99999999999')", number(0), ErrorKind::cast},
      {"BOOL('TRUE')", true},
      {"STRING(12)", text("12")},
      {"IS_INT('12')", true},
      {"IS_BOOL('x')", false},
      {"NOSUCH(1)", false, ErrorKind::missing_function},
      {"LENGTH('a', 'b')", false, ErrorKind::missing_function},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.expression);
    const Result<cesql::Expression> parsed = cesql::Expression::parse(one.expression);
    ASSERT_TRUE(parsed) << parsed.error().to_string();
    const cesql::Outcome outcome = parsed->evaluate(sample());
    EXPECT_EQ(outcome.value, one.value);
    EXPECT_EQ(static_cast<int>(outcome.error), static_cast<int>(one.error));
  }
}

TEST(Cesql, refuses_what_does_not_parse) {
  for (const char* wrong :
       {"",           "1 +",         "4-1",      "(1",  "1)",           "'open",
        "a b",        "1 IN ()",     "1 LIKE x", "AND", "type ==  'x'", "EXISTS",
        "EXISTS 'x'", "99999999999", "f(1,)",    "a.b", "a_b",          "NOT",
        "1 NOT 2",    "@",           "LIKE",     "1 2"}) {
    EXPECT_FALSE(cesql::Expression::parse(wrong)) << wrong;
  }
  EXPECT_FALSE(cesql::Expression::parse(std::string(1000, '(') + "1" + std::string(1000, ')')));
  std::string chain = "1";
  for (int i = 0; i < 2000; ++i) chain += " + 1";
  EXPECT_FALSE(cesql::Expression::parse(chain));
}

TEST(Cesql, as_a_filter_any_error_means_no_match) {
  EXPECT_TRUE(matches(Filter::cesql("type LIKE 'com.%' AND count = 5")));
  EXPECT_FALSE(matches(Filter::cesql("missing = 'x' OR TRUE")));
  EXPECT_FALSE(matches(Filter::cesql("missing")));
  EXPECT_TRUE(matches(Filter::cesql("TRUE OR missing = 'x'")));
  EXPECT_TRUE(matches(Filter::cesql("count")));
  EXPECT_FALSE(matches(Filter::cesql("name")));
}

}  // namespace
}  // namespace knative
