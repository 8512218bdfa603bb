#include "knative/fields.hpp"

#include <gtest/gtest.h>

namespace knative {
namespace {

struct Inner {
  std::string text;
  friend bool operator==(const Inner&, const Inner&) = default;
};

struct Base {
  std::string based;
};

// One member of every shape.
struct Sample {
  std::int32_t size = 0;
  std::int64_t large = 0;
  double number = 0;
  std::optional<std::string> text;
  Duration wait{};
  Quantity amount;
  IntOrString port;
  Bytes blob;
  std::vector<std::string> names;
  std::map<std::string, double, std::less<>> weights;
  Inner inner;
  std::vector<Inner> inners;
  Base base;
  std::string loose;
  std::map<std::string, Inner, std::less<>> hidden;
};

const fields::Struct& describe(const Inner*) {
  static const fields::Field list[] = {fields::acts("text", &Inner::text)};
  static const fields::Struct description{"Inner", list};
  return description;
}

const fields::Struct& describe(const Base*) {
  static const fields::Field list[] = {fields::acts("based", &Base::based)};
  static const fields::Struct description{"Base", list};
  return description;
}

const fields::Struct& describe(const Sample*) {
  static const fields::Field list[] = {fields::acts("size", &Sample::size),
                                       fields::acts("large", &Sample::large),
                                       fields::acts("number", &Sample::number),
                                       fields::acts("text", &Sample::text),
                                       fields::acts("wait", &Sample::wait),
                                       fields::acts("amount", &Sample::amount),
                                       fields::acts("port", &Sample::port),
                                       fields::acts("blob", &Sample::blob),
                                       fields::acts("names", &Sample::names),
                                       fields::acts("weights", &Sample::weights),
                                       fields::acts("inner", &Sample::inner),
                                       fields::acts("inners", &Sample::inners),
                                       fields::acts("base", &Sample::base, fields::inlined),
                                       fields::acts("loose", &Sample::loose, fields::any_case),
                                       fields::acts("hidden", &Sample::hidden, fields::secret)};
  static const fields::Struct description{"Sample", list};
  return description;
}

struct Decoded {
  Sample sample;
  std::string errors;
};

Decoded decode(const std::string& json, Strictness strictness = Strictness::strict) {
  Decoded decoded;
  FieldErrors errors;
  fields::Decoder decoder(strictness, errors);
  fields::from_value(decoded.sample, Value::parse_json(json).value(), decoder, fields::Path{});
  decoded.errors = errors.to_string();
  return decoded;
}

TEST(CodecTypes, WhatDoesNotFitIsNamedWithWhatWasExpected) {
  const std::string quotes = "\nwrite the value in quotes";
  const std::string no_quotes = "\nwrite the number without quotes";
  const std::pair<std::string, std::string> rows[] = {
      {R"("size":true)", "expected an integer, found boolean true: size"},
      {R"("size":1.5)", "expected an integer, found number 1.5: size"},
      {R"("size":"12")", "expected an integer, found string \"12\": size" + no_quotes},
      {R"("size":"1x")", "expected an integer, found string \"1x\": size"},
      {R"("size":"")", "expected an integer, found string \"\": size"},
      {R"("size":2147483648)", "expected an integer of 32 bits, found integer 2147483648: size"},
      {R"("size":-2147483649)", "expected an integer of 32 bits, found integer -2147483649: size"},
      {R"("large":[])", "expected an integer, found a list: large"},
      {R"("number":"1.5")", "expected a number, found string \"1.5\": number"},
      {R"("number":{})", "expected a number, found a map: number"},
      {R"("text":5)", "expected a string, found integer 5: text" + quotes},
      {R"("text":{})", "expected a string, found a map: text"},
      {R"("wait":10)", "expected a duration as in \"1m30s\", found integer 10: wait"},
      {R"("amount":true)", "expected a quantity as in \"500m\", found boolean true: amount"},
      {R"("port":1.5)", "expected an integer or a string, found number 1.5: port"},
      {R"("port":[])", "expected an integer or a string, found a list: port"},
      {R"("port":4294967296)", "expected an integer of 32 bits, found integer 4294967296: port"},
      {R"("blob":5)", "expected a base64 string, found integer: blob"},
      {R"("blob":["a"])", "expected a base64 string, found list: blob"},
      {R"("names":"a")", "expected a list, found string \"a\": names"},
      {R"("names":{"a":"b"})", "expected a list, found a map: names"},
      {R"("names":["a",1])", "expected a string, found integer 1: names[1]" + quotes},
      {R"("weights":[])", "expected a map, found a list: weights"},
      {R"("weights":{"a":"x"})", "expected a number, found string \"x\": weights[a]"},
      {R"("inner":5)", "expected a map, found integer 5: inner"},
      {R"("inners":[{},null])", "expected a map, found null: inners[1]"},
      {R"("inners":[{"text":[]}])", "expected a string, found a list: inners[0].text"},
      {R"("hidden":{"a":5})", "expected a map, found integer: hidden[a]"},
      {R"("hidden":{"a":{"text":5}},"text":6)",
       "expected a string, found integer: hidden[a].text" + quotes +
           "\nexpected a string, found integer 6: text" + quotes},
  };
  for (const auto& [field, errors] : rows) EXPECT_EQ(decode('{' + field + '}').errors, errors);
}

TEST(CodecTypes, WhatCannotBeParsedSaysWhy) {
  const Decoded wait = decode(R"({"wait":"soon"})");
  EXPECT_TRUE(
      wait.errors.starts_with("expected a duration as in \"1m30s\", found string \"soon\": wait\n"))
      << wait.errors;
  EXPECT_EQ(wait.errors.substr(wait.errors.find('\n') + 1), parse_duration("soon").error().detail);
  const Decoded amount = decode(R"({"amount":"1Q"})");
  EXPECT_TRUE(amount.errors.starts_with(
      "expected a quantity as in \"500m\", found string \"1Q\": amount\n"))
      << amount.errors;
  EXPECT_EQ(amount.errors.substr(amount.errors.find('\n') + 1),
            Quantity::parse("1Q").error().detail);
}

TEST(CodecTypes, SomeTypesTakeTwoForms) {
  const Sample sample = decode(R"({"number":3,"amount":0.5,"port":"h2c"})").sample;
  EXPECT_EQ(sample.number, 3.0);
  EXPECT_EQ(sample.amount, Quantity::from_milli(500));
  EXPECT_EQ(sample.port, IntOrString("h2c"));
  EXPECT_EQ(decode(R"({"amount":2,"port":80})").sample.amount, Quantity(2));
  EXPECT_EQ(decode(R"({"port":80})").sample.port, IntOrString(80));
}

TEST(CodecTypes, TheBoundsOfAnIntegerFit) {
  EXPECT_EQ(decode(R"({"size":2147483647})").sample.size, 2147483647);
  EXPECT_EQ(decode(R"({"size":-2147483648})").errors, "");
  EXPECT_EQ(decode(R"({"large":-9223372036854775808})").errors, "");
}

TEST(CodecTypes, ALongValueIsCutAtACharacter) {
  const std::string letters(100, 'a');
  EXPECT_EQ(decode(R"({"number":")" + letters + R"("})").errors,
            "expected a number, found string \"" + letters.substr(0, 79) + "…: number");
  std::string accents;
  for (int i = 0; i < 50; ++i) accents += "é";
  EXPECT_EQ(decode(R"({"number":")" + accents + R"("})").errors,
            "expected a number, found string \"" + accents.substr(0, 78) + "…: number");
}

TEST(CodecTypes, WhatFitsIsReadBesideWhatDoesNot) {
  const Decoded decoded = decode(R"({"names":["a",1,"b"],"size":"x","large":7})");
  EXPECT_EQ(decoded.sample.names, (std::vector<std::string>{"a", "", "b"}));
  EXPECT_EQ(decoded.sample.large, 7);
}

TEST(CodecFields, InlinedOnesAreFoundAndSuggested) {
  EXPECT_EQ(decode(R"({"based":"x"})").sample.base.based, "x");
  EXPECT_EQ(decode(R"({"base":{"based":"x"}})").errors,
            "unknown field: base\ndid you mean \"based\"?");
  EXPECT_EQ(decode(R"({"baesd":"x"})").errors, "unknown field: baesd\ndid you mean \"based\"?");
}

TEST(CodecFields, CaseCountsUnlessAFieldSaysOtherwise) {
  EXPECT_EQ(decode(R"({"LOOSE":"x"})").sample.loose, "x");
  EXPECT_EQ(decode(R"({"TEXT":"x"})").errors, "unknown field: TEXT\ndid you mean \"text\"?");
}

TEST(CodecFields, UnknownOnesAreDroppedWhenLenientAndTypesStillCount) {
  const Decoded decoded =
      decode(R"({"nothing":1,"inner":{"like":2},"size":3,"large":"4"})", Strictness::lenient);
  EXPECT_EQ(decoded.errors,
            "expected an integer, found string \"4\": large\nwrite the number without quotes");
  EXPECT_EQ(decoded.sample.size, 3);
}

TEST(CodecFields, NoSuggestionIsMadeFromAfar) {
  EXPECT_EQ(decode(R"({"elephant":1})").errors, "unknown field: elephant");
  EXPECT_EQ(decode("{\"" + std::string(65, 'n') + "\":1}").errors,
            "unknown field: " + std::string(65, 'n'));
}

}  // namespace
}  // namespace knative
