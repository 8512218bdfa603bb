#include "knative/manifest.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "knative/build.hpp"
#include "knative/core.hpp"
#include "support/paths.hpp"

namespace knative {
namespace {

using manifest::Limits;
using manifest::ParseOptions;

std::string json_of(std::string_view yaml) {
  const auto values = manifest::parse_values(yaml);
  if (!values) return values.error().detail;
  std::string out;
  for (const Value& value : *values) out += (out.empty() ? "" : " ") + value.to_json();
  return out;
}

std::string error_of(std::string_view text, ParseOptions options = {}) {
  if (options.file_name.empty()) options.file_name = "app.yaml";
  const auto objects = manifest::parse(text, options);
  return objects ? "parsed" : objects.error().detail;
}

// ---------------------------------------------------------------------------- scalars

TEST(Yaml, ScalarsFollowKubernetes) {
  const std::pair<std::string_view, std::string_view> table[] = {
      {"yes", "true"},
      {"No", "false"},
      {"ON", "true"},
      {"off", "false"},
      {"y", "true"},
      {"N", "false"},
      {"true", "true"},
      {"tRue", "\"tRue\""},
      {"'yes'", "\"yes\""},
      {"\"5\"", "\"5\""},
      {"~", "null"},
      {"", "null"},
      {"Null", "null"},
      {"nUll", "\"nUll\""},
      {"0", "0"},
      {"-0", "0"},
      {"+12", "12"},
      {"0777", "511"},
      {"0o17", "15"},
      {"0x1F", "31"},
      {"-0x10", "-16"},
      {"0b101", "5"},
      {"1_000", "1000"},
      {"08", "8"},
      {"09.5", "9.5"},
      {"1.0", "1"},
      {"1.5", "1.5"},
      {"1e3", "1000"},
      {".5", "0.5"},
      {"5.", "5"},
      {".", "\".\""},
      {"1.2.3", "\"1.2.3\""},
      {"1e", "\"1e\""},
      {"12:30:45", "\"12:30:45\""},
      {"2019-06-01", "\"2019-06-01\""},
      {"9223372036854775807", "9223372036854775807"},
      {"-9223372036854775808", "-9223372036854775808"},
      {"1e400", "\"1e400\""},
      {"100m", "\"100m\""},
      {"1Gi", "\"1Gi\""},
      {"-", "\"-\""},
      {"!!str 123", "\"123\""},
      {"!!int \"123\"", "123"},
      {"!!float 1", "1"},
      {"!!bool \"on\"", "true"},
      {"!!null \"\"", "null"},
      {"!!binary aGVsbG8=", "\"hello\""},
      {"! 12", "\"12\""},
      {"|\n   a\n   b", "\"a\\nb\\n\""},
      {"\"\\u00e4\\x41\"", "\"äA\""},
  };
  for (const auto& [yaml, json] : table) {
    // The first element of a list that has a second one, so that nothing ends early.
    const std::string document = "- " + std::string(yaml) + "\n- end\n";
    if (yaml == "-") continue;
    EXPECT_EQ(json_of(document), "[" + std::string(json) + ",\"end\"]") << yaml;
  }
}

TEST(Yaml, KeysAreText) {
  EXPECT_EQ(json_of("{1: a, true: b, 0x10: c, 'q': d, 1.5: e}"),
            R"({"1":"a","1.5":"e","16":"c","q":"d","true":"b"})");
  EXPECT_EQ(json_of("~: a"), "1:1: a key must be text, found null");
  EXPECT_EQ(json_of("? [a]\n: b"), "1:3: a key must be text, found list");
}

TEST(Yaml, NotANumberIsRefused) {
  EXPECT_EQ(json_of("a: .inf"), "1:4: infinities and NaN cannot be written in JSON");
  EXPECT_EQ(json_of("a: !foo x\nb: !!set {}\nc: !!int x"),
            "1:4: unknown tag (text that begins with ! is quoted)\n"
            "2:4: unknown tag (text that begins with ! is quoted)\n"
            "3:4: cannot read the value as !!int");
}

// ---------------------------------------------------------------------------- structure

TEST(Yaml, DocumentsAnchorsAndMerges) {
  EXPECT_EQ(json_of("a: 1\n---\n---\n[b]\n...\n---\nc"), R"({"a":1} null ["b"] "c")");
  EXPECT_EQ(json_of(""), "");
  EXPECT_EQ(json_of("# only a comment\n"), "");
  EXPECT_EQ(json_of("base: &b {u: 1, v: 2}\nd: {<<: *b, v: 3}\n"),
            R"({"base":{"u":1,"v":2},"d":{"u":1,"v":3}})");
  EXPECT_EQ(json_of("[&a {u: 1, v: 1}, &b {v: 2, w: 2}, {<<: [*a, *b], u: 0}]"),
            R"([{"u":1,"v":1},{"v":2,"w":2},{"u":0,"v":1,"w":2}])");
  EXPECT_EQ(json_of("{'<<': 1}"), R"({"<<":1})");
  EXPECT_EQ(json_of("<<: 5"), "1:1: \"<<\" needs a map or a list of maps, found integer");
  EXPECT_EQ(json_of("a: *nowhere"), "1:4: unknown anchor (text that begins with * is quoted)");
  EXPECT_EQ(json_of("a: &x [*x]"), "1:8: anchor \"x\" contains itself");
  EXPECT_EQ(json_of("a: &x 1\n---\nb: *x"),
            "3:4: unknown anchor (text that begins with * is quoted)")
      << "anchors end with their document";
}

TEST(Yaml, DuplicateKeysNameBothPlaces) {
  EXPECT_EQ(json_of("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\na: 2\n"),
            "5:3: duplicate key \"c\", first at 3:3\n6:1: duplicate key \"a\", first at 1:1");
  EXPECT_EQ(json_of("{1: a, '1': b}"), "1:8: duplicate key \"1\", first at 1:2");
}

TEST(Yaml, SyntaxErrorsNameThePlace) {
  EXPECT_EQ(json_of("a: [1, 2\nb: 3\n").substr(0, 4), "2:2:");
  EXPECT_EQ(json_of("a: b: c").substr(0, 4), "1:5:");
  EXPECT_EQ(json_of("a:\n\t- b").substr(0, 4), "2:1:");
  EXPECT_NE(json_of("a: \"\xff\"").find("UTF-8"), std::string::npos);
  EXPECT_EQ(error_of("a: 'x", {.file_name = "f.yaml"}).substr(0, 7), "f.yaml:");
}

TEST(Yaml, JsonIsAccepted) {
  EXPECT_EQ(json_of("{\"a\":1,\"b\":[true,null,\"\\/\"]}"), R"({"a":1,"b":[true,null,"/"]})");
  EXPECT_EQ(json_of("{\n\t\"a\": \"\\ud834\\udd1e\"\n}"), "{\"a\":\"𝄞\"}");
}

// ---------------------------------------------------------------------------- limits

Errc limit_code(std::string_view text, const Limits& limits) {
  ParseOptions options;
  options.limits = limits;
  const auto values = manifest::parse_values(text, options);
  return values ? Errc{} : values.error().code;
}

TEST(YamlLimits, BillionLaughsEnd) {
  std::string bomb = "a0: &a0 [l,l,l,l,l,l,l,l,l,l]\n";
  for (int i = 1; i < 30; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + before;
    for (int j = 1; j < 10; ++j) bomb += "," + before;
    bomb += "]\n";
  }
  const auto values = manifest::parse_values(bomb);
  ASSERT_FALSE(values);
  EXPECT_EQ(values.error().code, Errc::resource_exhausted);
  EXPECT_NE(values.error().detail.find("more than 1000000 values"), std::string::npos)
      << values.error().detail;
}

TEST(YamlLimits, MergeBombsEnd) {
  std::string bomb = "a0: &a0 {k0: 1}\n";
  for (int i = 1; i < 40; ++i) {
    const std::string n = std::to_string(i);
    const std::string before = "*a" + std::to_string(i - 1);
    bomb += "a" + n + ": &a" + n + " {<<: [" + before + "," + before + "], k" + n + ": 1}\n";
  }
  EXPECT_EQ(limit_code(bomb, {.nodes_max = 100000}), Errc::resource_exhausted);
}

TEST(YamlLimits, NestedAnchorsAreCountedOnEveryLevel) {
  std::string text;
  for (int i = 0; i < 60; ++i) text += "&a" + std::to_string(i) + " [";
  for (int i = 0; i < 1000; ++i) text += "0,";
  text += std::string(60, ']');
  EXPECT_EQ(limit_code(text, {.nodes_max = 10000}), Errc::resource_exhausted);
}

TEST(YamlLimits, DepthDocumentsAndBytes) {
  EXPECT_EQ(limit_code(std::string(64, '[') + std::string(64, ']'), {}), Errc{});
  EXPECT_EQ(limit_code(std::string(65, '[') + std::string(65, ']'), {}), Errc::resource_exhausted);
  EXPECT_EQ(limit_code(std::string(100000, '['), {}), Errc::resource_exhausted);
  std::string deep = "a: &a [[[[1]]]]\nb: ";
  EXPECT_EQ(limit_code(deep + "[[*a]]", {.depth_max = 7}), Errc{});
  EXPECT_EQ(limit_code(deep + "[[[*a]]]", {.depth_max = 7}), Errc::resource_exhausted);
  EXPECT_EQ(limit_code("--- 1\n--- 2\n--- 3\n", {.documents_max = 2}), Errc::resource_exhausted);
  EXPECT_EQ(limit_code("abcdef", {.bytes_max = 5}), Errc::resource_exhausted);
}

// ---------------------------------------------------------------------------- objects

constexpr std::string_view shop = R"(# the shop
apiVersion: build.knative.dev/v1alpha1
kind: Build
metadata:
  name: shop
spec:
  source:
    git: {url: "https://example.org/shop.git", revision: main}
  timeout: 20m
  steps:
  - name: compile
    image: gcc:12
    command: [make]
    args: ["-j", "2"]
    resources:
      limits: {cpu: 2, memory: 1.5Gi}
  - image: busybox
    args:
    - |
      set -e
      echo "$(date): done"
---
apiVersion: v1
kind: ConfigMap
metadata: {name: m}
data:
  a: "yes"
)";

TEST(Manifest, ObjectsRoundTrip) {
  const auto objects = manifest::parse(shop);
  ASSERT_TRUE(objects) << objects.error().detail;
  ASSERT_EQ(objects->size(), 2U);
  const auto& build = (*objects)[0].get<build::Build>();
  EXPECT_EQ(build.spec.timeout, std::chrono::minutes(20));
  EXPECT_EQ(build.spec.steps[1].args[0], "set -e\necho \"$(date): done\"\n");
  const std::string printed = manifest::print(*objects);
  EXPECT_EQ(printed, R"(apiVersion: build.knative.dev/v1alpha1
kind: Build
metadata:
  name: shop
spec:
  source:
    git:
      revision: main
      url: https://example.org/shop.git
  steps:
  - args:
    - -j
    - "2"
    command:
    - make
    image: gcc:12
    name: compile
    resources:
      limits:
        cpu: "2"
        memory: 1536Mi
  - args:
    - |
      set -e
      echo "$(date): done"
    image: busybox
  timeout: 20m0s
---
apiVersion: v1
data:
  a: "yes"
kind: ConfigMap
metadata:
  name: m
)");
  const auto again = manifest::parse(printed);
  ASSERT_TRUE(again) << again.error().detail;
  EXPECT_EQ(*again, *objects);
}

TEST(Manifest, ErrorsOfAllDocumentsHavePlaces) {
  EXPECT_EQ(
      error_of(R"(apiVersion: build.knative.dev/v1alpha1
kind: Build
metadata:
  name: shop
spec:
  stesp: []
  timeout: 10
  steps:
  - image: 5
    env: {A: b}
---
apiVersion: v1
kind: ConfigMap
data:
  port: 8080
  port: 1
---
just text
---
kind: Secert
apiVersion: v1
)"),
      "app.yaml:6:3: unknown field: spec.stesp; did you mean \"steps\"?\n"
      "app.yaml:7:3: expected a duration as in \"1m30s\", found integer 10: spec.timeout\n"
      "app.yaml:9:5: expected a string, found integer 5: spec.steps[0].image; write the value "
      "in quotes\n"
      "app.yaml:10:5: expected a list, found a map: spec.steps[0].env\n"
      "app.yaml:15:3: expected a string, found integer 8080: data[port]; write the value in "
      "quotes\n"
      "app.yaml:16:3: duplicate key \"port\", first at 15:3\n"
      "app.yaml:18:1: expected a map, found string\n"
      "app.yaml:20:1: no kind \"Secert\" in version \"v1\": kind; did you mean \"Secret\"?");
}

TEST(Manifest, ValidationErrorsHavePlacesToo) {
  ParseOptions options;
  options.validate = true;
  EXPECT_EQ(
      error_of(R"(apiVersion: build.knative.dev/v1alpha1
kind: Build
metadata:
  name: Shop
spec:
  timeout: 25h
  steps:
  - name: a
)",
               options),
      "app.yaml:4:3: invalid value: Shop: metadata.name; not a DNS 1123 subdomain: use labels "
      "of lower case letters, digits and '-', each beginning and ending with a letter or "
      "digit, separated by '.'\n"
      "app.yaml:6:3: expected 0 <= 25h0m0s <= 24: spec.timeout\n"
      "app.yaml:7:3: missing field(s): spec.steps.Image");
}

TEST(Manifest, LenientPrunesAndDefaultsOnRequest) {
  ParseOptions options;
  options.strictness = Strictness::lenient;
  options.apply_defaults = true;
  const auto objects = manifest::parse(
      "apiVersion: v1\nkind: Secret\nmetadata: {name: s, selfLnk: x}\nfoo: bar\n", options);
  ASSERT_TRUE(objects);
  EXPECT_EQ(manifest::print(objects->front()),
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\n  namespace: default\n"
            "type: Opaque\n");
}

TEST(Manifest, ListsAreExpanded) {
  const auto objects = manifest::parse(R"(
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}
- {apiVersion: v1, kind: Secret, metadata: {name: b}}
---
apiVersion: v1
kind: ConfigMapList
metadata: {resourceVersion: "5"}
items:
- metadata: {name: c}
)");
  ASSERT_TRUE(objects) << objects.error().detail;
  ASSERT_EQ(objects->size(), 3U);
  EXPECT_EQ((*objects)[2].ref().to_string(), "ConfigMap c");
  EXPECT_EQ(
      error_of(
          "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, x: 1}\n- 5\n"),
      "app.yaml:4:37: unknown field: items[0].x\n"
      "app.yaml:5:3: expected a map, found integer: items[1]");
}

TEST(Manifest, WithoutAFileNameMessagesBeginWithTheLine) {
  const auto objects = manifest::parse("apiVersion: v1\nkind: ConfigMap\nx: 1\n");
  ASSERT_FALSE(objects);
  EXPECT_EQ(objects.error().code, Errc::invalid_argument);
  EXPECT_EQ(objects.error().detail, "3:1: unknown field: x");
}

TEST(Manifest, WhatElseIsWrongIsSaidBesideAnUnknownField) {
  manifest::ParseOptions options;
  options.validate = true;
  const auto objects =
      manifest::parse("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: UPPER}\nx: 1\n", options);
  ASSERT_FALSE(objects);
  const std::string& detail = objects.error().detail;
  EXPECT_TRUE(detail.starts_with("3:12: invalid value: UPPER: metadata.name")) << detail;
  EXPECT_TRUE(detail.ends_with("\n4:1: unknown field: x")) << detail;
}

TEST(Manifest, ManyProblemsAreCut) {
  std::string text = "apiVersion: v1\nkind: ConfigMap\ndata:\n";
  for (int i = 0; i < 150; ++i) text += "  k" + std::to_string(i) + ": 1\n";
  const std::string message = error_of(text);
  EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 100);
  EXPECT_NE(message.find("\nand 50 more"), std::string::npos);
}

// What the fuzzer starts from, and what once broke it.
TEST(Manifest, CorpusSurvivesPrinting) {
  std::size_t files = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(testing_paths::source() + "/tests/corpus/manifest")) {
    std::ifstream file(entry.path(), std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    ++files;
    const bool valid = entry.path().filename().string().starts_with("valid");
    const auto objects = manifest::parse(text);
    EXPECT_EQ(objects.has_value(), valid) << entry.path();
    if (!objects) continue;
    const auto again = manifest::parse(manifest::print(*objects));
    ASSERT_TRUE(again) << entry.path() << again.error().detail;
    EXPECT_EQ(*again, *objects) << entry.path();
  }
  EXPECT_GE(files, 5U);
}

// ---------------------------------------------------------------------------- printing

TEST(Print, TextThatLooksLikeSomethingElseIsQuoted) {
  const char* texts[] = {"",           "yes",
                         "n",          "null",
                         "~",          "5",
                         "0x1f",       "1e3",
                         ".5",         "1.0",
                         "- a",        "-",
                         "--",         "---",
                         "a: b",       "a:",
                         "a #b",       "#a",
                         "#",          "*a",
                         "&a",         "!a",
                         "%a",         "@a",
                         "`a",         "'a'",
                         "\"a\"",      "[a",
                         "{a",         "a]",
                         ",a",         "? a",
                         "?",          "| a",
                         "> a",        " a",
                         "a ",         "\ta",
                         "a\tb",       "a\nb",
                         "a\n",        "\na",
                         "a\n\n",      "a \nb",
                         "a\n b",      " a\nb",
                         "a\r\nb",     "\n",
                         "=",          "<<",
                         "2019-06-01", "12:30:45",
                         "1_000",      ".inf",
                         "...",        "-a",
                         "-1",         "--flag=x",
                         "-j",         "a,b",
                         "http://x/y", "a\\b",
                         "ä",          "\357\273\277a",
                         "\x01",       "\x7f",
                         "\xC2\x85",   "\xE2\x80\xA8",
                         "𝄞",          "line one\nline: two\n\nline # four\n",
                         "a\n\n\nb",   "x\n\t\ty\n",
                         "\\n",        "0",
                         "00",         "0.",
                         "+1",         "1Gi",
                         "$(A)",       "/workspace",
                         ".a",         "_a"};
  for (const char* text : texts) {
    for (const Value& value :
         {Value(text), Value(Value::List{Value(text), Value(text)}),
          Value(Value::Map{{text, Value(text)}, {"z", Value(Value::Map{{"k", Value(text)}})}}),
          Value(Value::List{Value(Value::List{Value(text)}),
                            Value(Value::Map{{"a", Value(Value::List{Value(text)})}})})}) {
      const std::string yaml = manifest::to_yaml(value);
      const auto again = manifest::parse_values(yaml);
      ASSERT_TRUE(again) << yaml << again.error().detail;
      ASSERT_EQ(again->size(), 1U) << yaml;
      EXPECT_EQ(again->front(), value) << yaml;
    }
  }
}

TEST(Print, EmptyAndScalarValues) {
  EXPECT_EQ(manifest::to_yaml(Value()), "null\n");
  EXPECT_EQ(manifest::to_yaml(Value(Value::Map{})), "{}\n");
  EXPECT_EQ(manifest::to_yaml(Value({{"a", Value(Value::List{})}, {"b", 1.5}, {"c", true}})),
            "a: []\nb: 1.5\nc: true\n");
  EXPECT_EQ(manifest::to_yaml(Value({{"a", {{{"b", 1}, {"c", 2}}, {{"d", 3}}}}})),
            "a:\n- b: 1\n  c: 2\n- d: 3\n");
}

TEST(Manifest, RulesOfItsOwnTakeThePlaceOfTheKinds) {
  ParseOptions options;
  options.file_name = "a.yaml";
  options.validate = true;
  options.rules = [](AnyObject& copy) {
    copy.apply_defaults();
    return FieldErrors(missing_field({"spec.template"}));
  };
  const Result<std::vector<AnyObject>> refused =
      parse("apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: BAD}\nspec: {}\n",
            options);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().detail, "a.yaml:4:1: missing field(s): spec.template");
  options.rules = [](AnyObject& copy) {
    copy.apply_defaults();
    return FieldErrors();
  };
  const std::vector<AnyObject> taken =
      parse("apiVersion: v1\nkind: Secret\nmetadata: {name: BAD}\n", options).value();
  EXPECT_EQ(taken.at(0).get_if<core::Secret>()->type, "") << "the copy has the defaults";
}

}  // namespace
}  // namespace knative
