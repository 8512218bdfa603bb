#include "knative/meta.hpp"

#include <gtest/gtest.h>

#include "knative/build.hpp"
#include "knative/core.hpp"
#include "knative/object.hpp"

namespace knative {
namespace {

Timestamp second(int at) { return Timestamp(WallTime(std::chrono::seconds(at))); }

// ---------------------------------------------------------------------------- field errors

TEST(FieldErrors, PathsGrowFromTheInside) {
  EXPECT_EQ(missing_field({"image", "name"}).via_field("x").to_string(),
            "missing field(s): x.image, x.name");
  FieldErrors errors = missing_field({"image"});
  errors = std::move(errors).via_field_index("containers", 0).via_field("spec");
  EXPECT_EQ(errors.to_string(), "missing field(s): spec.containers[0].image");
  EXPECT_EQ(FieldErrors(invalid_value("x", "")).via_field_key("labels", "a.b/c").to_string(),
            "invalid value: x: labels[a.b/c]");
  EXPECT_EQ(FieldErrors(missing_field({"a"})).via_index(1).via_index(2).via_field("m").to_string(),
            "missing field(s): m[2][1].a");
}

TEST(FieldErrors, EqualMessagesMergeAndSort) {
  FieldErrors errors;
  errors.add(missing_field({"spec.b"}));
  errors.add(invalid_value(7, "spec.c", "must be even"));
  errors.add(missing_field({"spec.a", "spec.b"}));
  errors.add(invalid_value(7, "spec.d"));
  EXPECT_EQ(errors.to_string(),
            "invalid value: 7: spec.d\n"
            "invalid value: 7: spec.c\nmust be even\n"
            "missing field(s): spec.a, spec.b");
  EXPECT_EQ(errors.merged().size(), 3U);
}

TEST(FieldErrors, Catalogue) {
  EXPECT_EQ(disallowed_field({"a"}).to_string(), "must not set the field(s): a");
  EXPECT_EQ(disallowed_update({"a"}).to_string(), "must not update deprecated field(s): a");
  EXPECT_EQ(missing_one_of({"a", "b"}).to_string(), "expected exactly one, got neither: a, b");
  EXPECT_EQ(multiple_one_of({"a", "b"}).to_string(), "expected exactly one, got both: a, b");
  EXPECT_EQ(invalid_key_name("k", "a", "why").to_string(), "invalid key name \"k\": a\nwhy");
  EXPECT_EQ(out_of_bounds(7, 0, 5, "a").to_string(), "expected 0 <= 7 <= 5: a");
}

TEST(FieldErrors, WarningsDoNotInvalidate) {
  FieldErrors errors = missing_field({"a"}).as_warning();
  EXPECT_FALSE(errors.empty());
  EXPECT_FALSE(errors.has_errors());
  EXPECT_TRUE(errors.to_result());
  errors.add(missing_field({"b"}));
  EXPECT_EQ(errors.to_result().error().detail, "missing field(s): b");
}

TEST(Names, Tables) {
  for (const char* good : {"a", "a-b", "0a", "a0"}) EXPECT_EQ(check_dns1123_label(good), "");
  for (const char* bad : {"", "-a", "a-", "A", "a.b", "a_b", "ä"}) {
    EXPECT_NE(check_dns1123_label(bad), "") << bad;
  }
  EXPECT_NE(check_dns1123_label(std::string(64, 'a')), "");
  EXPECT_NE(check_dns1035_label("0a"), "");
  EXPECT_EQ(check_dns1123_subdomain("a.b-c.0"), "");
  for (const char* bad : {"", ".", "a.", ".a", "a..b", "a.-b"}) {
    EXPECT_NE(check_dns1123_subdomain(bad), "") << bad;
  }
  for (const char* good : {"a", "A_b.c-1", "example.org/Name"}) {
    EXPECT_EQ(check_qualified_name(good), "") << good;
  }
  for (const char* bad : {"", "/a", "a/", "a/b/c", "Ex.org/a", "_a", "a b"}) {
    EXPECT_NE(check_qualified_name(bad), "") << bad;
  }
  EXPECT_EQ(check_label_value(""), "");
  EXPECT_EQ(check_label_value("v1.2_x"), "");
  EXPECT_NE(check_label_value("a/b"), "");
}

// ---------------------------------------------------------------------------- conditions

TEST(Conditions, TopFollowsDependents) {
  const ConditionSet set = ConditionSet::living({"A", "B"});
  Conditions conditions;
  set.initialize(conditions, second(1));
  ASSERT_EQ(conditions.size(), 3U);
  EXPECT_TRUE(find_condition(conditions, "Ready")->is_unknown());
  set.mark_true(conditions, "A", second(2));
  EXPECT_FALSE(set.is_happy(conditions));
  set.mark_true(conditions, "B", second(3));
  EXPECT_TRUE(set.is_happy(conditions));
  set.mark_false(conditions, "A", "Broken", "it broke", second(4));
  EXPECT_EQ(find_condition(conditions, "Ready")->reason, "Broken");
  EXPECT_EQ(find_condition(conditions, "Ready")->message, "it broke");
  set.mark_unknown(conditions, "B", "Waiting", "", second(5));
  EXPECT_TRUE(find_condition(conditions, "Ready")->is_false()) << "False wins over Unknown";
  set.mark_true(conditions, "A", second(6));
  EXPECT_EQ(find_condition(conditions, "Ready")->reason, "Waiting");
  EXPECT_EQ(conditions[0].type, "A");
  EXPECT_EQ(conditions[2].type, "Ready");
}

TEST(Conditions, TimesMoveOnlyWithChanges) {
  const ConditionSet set = ConditionSet::living({"A"});
  Conditions conditions;
  set.mark_true(conditions, "A", second(1));
  const Conditions before = conditions;
  set.mark_true(conditions, "A", second(2));
  EXPECT_EQ(conditions, before);
  set.mark_false(conditions, "A", "x", "", second(3));
  EXPECT_EQ(find_condition(conditions, "A")->last_transition_time, second(3));
}

TEST(Conditions, InformationalOnesNeverMatter) {
  const ConditionSet set = ConditionSet::living({"A"});
  Conditions conditions;
  set.mark_true(conditions, "A", second(1));
  set.mark_false(conditions, "Active", "NoTraffic", "", second(2));
  EXPECT_TRUE(set.is_happy(conditions));
  EXPECT_EQ(find_condition(conditions, "Active")->severity, "Info");
  set.mark_unknown(conditions, "Active", "Queued", "", second(3));
  EXPECT_TRUE(set.is_happy(conditions));
  EXPECT_TRUE(set.clear(conditions, "Active"));
  EXPECT_FALSE(set.clear(conditions, "A"));
  EXPECT_FALSE(set.clear(conditions, "Ready"));
}

// ---------------------------------------------------------------------------- metadata

TEST(Metadata, RulesOfNamesLabelsAndOwners) {
  AnyObject object =
      core::Namespace{.metadata = {.namespace_ = "x", .labels = {{"a b", "c"}, {"ok", "not ok"}}}};
  EXPECT_EQ(
      object.validate().to_string(),
      "invalid key name \"a b\": metadata.labels\n"
      "name part must be letters, digits, '-', '_' and '.', beginning and ending with a "
      "letter or digit\n"
      "invalid value: not ok: metadata.labels[ok]\n"
      "must be empty or letters, digits, '-', '_' and '.', beginning and ending with a letter "
      "or digit\n"
      "must not set the field(s): metadata.namespace\n"
      "name or generateName is required: metadata.name");
  core::ConfigMap map{.metadata = {.generate_name = "m-"}};
  EXPECT_EQ(AnyObject(map).validate().to_string(), "");
  map.metadata.owner_references = {{.controller = true}, {.kind = "K", .controller = true}};
  EXPECT_EQ(AnyObject(map).validate().to_string(),
            "missing field(s): metadata.ownerReferences[0].apiVersion, "
            "metadata.ownerReferences[0].kind, metadata.ownerReferences[0].name, "
            "metadata.ownerReferences[1].apiVersion, metadata.ownerReferences[1].name\n"
            "only one owner can be the controller: metadata.ownerReferences");
}

// ---------------------------------------------------------------------------- AnyObject

TEST(AnyObject, CopiesShareUntilChanged) {
  AnyObject a = core::ConfigMap{.metadata = {.name = "m"}, .data = {{"k", "v"}}};
  AnyObject b = a;
  EXPECT_EQ(a.get_if<core::ConfigMap>(), b.get_if<core::ConfigMap>());
  b.metadata().name = "n";
  EXPECT_EQ(std::as_const(a).metadata().name, "m");
  EXPECT_NE(a, b);
  EXPECT_TRUE(a.spec_equals(b)) << "metadata does not count";
  b.get_if_mutable<core::ConfigMap>()->data["k"] = "w";
  EXPECT_FALSE(a.spec_equals(b));
  EXPECT_EQ(a.get_if<core::Secret>(), nullptr);
  EXPECT_THROW((void)a.get<core::Secret>(), Exception);
}

TEST(AnyObject, NamespaceIsDefaultedForNamespacedKindsOnly) {
  AnyObject map = core::ConfigMap{.metadata = {.name = "m"}};
  map.apply_defaults();
  EXPECT_EQ(map.ref().namespace_, "default");
  AnyObject space = core::Namespace{.metadata = {.name = "m"}};
  space.apply_defaults();
  EXPECT_EQ(space.ref().namespace_, "");
  EXPECT_EQ(map.ref().to_string(), "ConfigMap default/m");
  EXPECT_EQ(AnyObject(build::Build{.metadata = {.name = "b"}}).ref().to_string(),
            "Build.build.knative.dev b");
}

TEST(AnyObject, StatusMovesBetweenObjects) {
  AnyObject old = build::Build{.metadata = {.name = "b"}, .status = {.observed_generation = 3}};
  AnyObject wanted = build::Build{.metadata = {.name = "b"}, .spec = {.image = "x"}};
  wanted.take_status_from(old);
  EXPECT_EQ(wanted.observed_generation(), 3);
  EXPECT_NE(wanted.conditions(), nullptr);
  EXPECT_FALSE(wanted.spec_equals(old));
  wanted.clear_status();
  EXPECT_EQ(wanted.observed_generation(), 0);
  EXPECT_EQ(AnyObject(core::ConfigMap{}).conditions(), nullptr);
}

std::string decode_error(std::string_view json, Strictness strictness = Strictness::strict) {
  const auto object = AnyObject::from_value(Value::parse_json(json).value(), strictness);
  return object ? "decoded" : object.error().detail;
}

TEST(AnyObject, UnknownKindsAreNamed) {
  EXPECT_EQ(decode_error("{}"), "missing field(s): apiVersion, kind");
  EXPECT_EQ(decode_error("[]"), "expected a map, found list");
  EXPECT_EQ(decode_error(R"({"apiVersion":"v1","kind":"Sercet"})"),
            "no kind \"Sercet\" in version \"v1\": kind\ndid you mean \"Secret\"?");
  EXPECT_EQ(decode_error(R"({"apiVersion":"v2","kind":"Build"})"),
            "no kind \"Build\" in version \"v2\": kind\nkind Build is in "
            "build.knative.dev/v1alpha1");
  EXPECT_EQ(decode_error(R"({"apiVersion":5,"kind":"Build"})"),
            "expected a string, found integer: apiVersion");
}

TEST(AnyObject, LenientPrunesAndStrictSuggests) {
  const char* text =
      R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"nmae":"x","name":"m"},"dta":{"a":"b"}})";
  EXPECT_EQ(decode_error(text),
            "unknown field: dta\ndid you mean \"data\"?\n"
            "unknown field: metadata.nmae\ndid you mean \"name\"?");
  const auto pruned = AnyObject::from_value(Value::parse_json(text).value(), Strictness::lenient);
  ASSERT_TRUE(pruned);
  EXPECT_EQ(pruned->to_value().to_json(),
            R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"m"}})");
  EXPECT_EQ(decode_error(R"({"apiVersion":"v1","kind":"ConfigMap","zzzzzz":1})"),
            "unknown field: zzzzzz");
}

TEST(AnyObject, NullIsAbsent) {
  EXPECT_EQ(
      decode_error(R"({"apiVersion":"v1","kind":"ConfigMap","metadata":null,"data":{"a":null}})"),
      "decoded");
  EXPECT_EQ(decode_error(R"({"apiVersion":"build.knative.dev/v1alpha1","kind":"Build",)"
                         R"("spec":{"steps":[null]}})"),
            "expected a map, found null: spec.steps[0]");
}

TEST(AnyObject, WrongTypesNamePathExpectedAndFound) {
  EXPECT_EQ(decode_error(R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"generation":"1",)"
                         R"("labels":{"a":true},"creationTimestamp":"today"},"immutable":"yes"})"),
            "expected a string, found boolean true: metadata.labels[a]\n"
            "write the value in quotes\n"
            "expected a time as in \"2019-06-01T12:00:00Z\", found string \"today\": "
            "metadata.creationTimestamp\n"
            "not a RFC 3339 time: \"today\"\n"
            "expected an integer, found string \"1\": metadata.generation\n"
            "write the number without quotes\n"
            "expected true or false, found string \"yes\": immutable");
  EXPECT_EQ(decode_error(R"({"apiVersion":"v1","kind":"Service","spec":{"ports":[{"port":5e9},)"
                         R"({"port":5000000000}]}})"),
            "expected an integer of 32 bits, found integer 5000000000: spec.ports[1].port\n"
            "expected an integer, found number 5e+09: spec.ports[0].port");
}

// ---------------------------------------------------------------------------- every field

// A value that fits a type, with every field of every struct set. Types that contain themselves end
// at a depth.
Value sample(const fields::Ops& ops, int depth) {
  static constexpr int depth_max = 14;
  if (depth > depth_max) return {};
  switch (ops.shape) {
    case fields::Shape::optional: return sample(*ops.element, depth);
    case fields::Shape::list: {
      Value element = sample(*ops.element, depth + 1);
      return element.is_null() ? Value() : Value(Value::List{std::move(element)});
    }
    case fields::Shape::map: {
      Value element = sample(*ops.element, depth + 1);
      return element.is_null() ? Value() : Value(Value::Map{{"key", std::move(element)}});
    }
    case fields::Shape::structure: {
      Value::Map map;
      for (const fields::Field& field : ops.fields().fields) {
        Value value = sample(*field.ops, depth + 1);
        if (field.flags & fields::inlined) {
          for (const auto& [key, inner] : value.as_map()) map.emplace(key, inner);
        } else if (!value.is_null()) {
          map.emplace(std::string(field.name), std::move(value));
        }
      }
      return map.empty() ? Value() : Value(std::move(map));
    }
    case fields::Shape::scalar: break;
  }
  const std::pair<std::string_view, Value> samples[] = {{"boolean", true},
                                                        {"int32", 7},
                                                        {"int64", std::int64_t{1} << 40},
                                                        {"number", 1.5},
                                                        {"any", {{"free", {1, "form"}}}},
                                                        {"timestamp", "2019-06-01T12:00:00Z"},
                                                        {"duration", "1m30s"},
                                                        {"quantity", "1536Mi"},
                                                        {"int-or-string", "http"},
                                                        {"bytes", "AAEC"}};
  for (const auto& [type, value] : samples) {
    if (type == ops.type) return value;
  }
  return "text";
}

TEST(Codec, EveryKindRoundTripsWithEveryFieldSet) {
  for (const KindInfo* info : default_kinds().all()) {
    const KindInfo& kind = *info;
    Value document = Value(Value::Map{});
    for (const fields::Field& field : kind.ops->type->fields().fields) {
      document[field.name] = sample(*field.ops, 0);
    }
    document["apiVersion"] = Value(kind.api_version);
    document["kind"] = Value(kind.kind);
    const auto object = AnyObject::from_value(document, Strictness::strict);
    ASSERT_TRUE(object) << kind.kind << ": " << object.error().detail;
    EXPECT_EQ(object->to_value().to_json_pretty(), document.to_json_pretty());
    const auto again = AnyObject::from_value(object->to_value(), Strictness::strict);
    ASSERT_TRUE(again);
    EXPECT_EQ(*again, *object);
    EXPECT_EQ(&object->info(), &kind);
    EXPECT_EQ(default_kinds().find_by_plural(kind.group(), kind.version(), kind.plural), &kind);
  }
}

TEST(Codec, DefaultsOfEveryKindAreIdempotent) {
  for (const KindInfo* info : default_kinds().all()) {
    const KindInfo& kind = *info;
    Value document = {{"metadata", {{"name", "x"}}}};
    document["apiVersion"] = Value(kind.api_version);
    document["kind"] = Value(kind.kind);
    AnyObject once = AnyObject::from_value(document, Strictness::strict).value();
    once.apply_defaults();
    AnyObject twice = once;
    twice.apply_defaults();
    EXPECT_EQ(once.to_value().to_json(), twice.to_value().to_json()) << kind.kind;
  }
}

}  // namespace
}  // namespace knative
