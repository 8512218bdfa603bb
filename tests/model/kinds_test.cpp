#include "knative/kinds.hpp"

#include <gtest/gtest.h>

#include "knative/core.hpp"
#include "knative/eventing.hpp"
#include "knative/manifest.hpp"
#include "knative/object.hpp"
#include "knative/serving.hpp"

// A third party's kind: public headers only, in a namespace of its own.
namespace widget {

struct WidgetSpec {
  std::int64_t size = 0;
  std::string colour;
  std::string legacy_shape;
  friend bool operator==(const WidgetSpec&, const WidgetSpec&) = default;
};

struct WidgetStatus {
  std::int64_t observed_generation = 0;
  knative::Conditions conditions;
  friend bool operator==(const WidgetStatus&, const WidgetStatus&) = default;
};

struct Widget {
  static constexpr std::string_view api_version = "example.dev/v1";
  static constexpr std::string_view kind = "Widget";
  knative::ObjectMeta metadata;
  WidgetSpec spec;
  WidgetStatus status;
  friend bool operator==(const Widget&, const Widget&) = default;
};

const knative::fields::Struct& describe(const WidgetSpec*) {
  using namespace knative::fields;
  static const Field list[] = {
      acts("size", &WidgetSpec::size), warned("colour", &WidgetSpec::colour, "widgets are grey"),
      refused("legacyShape", &WidgetSpec::legacy_shape, "shapes went with version 2")};
  static const Struct description{"WidgetSpec", list};
  return description;
}

const knative::fields::Struct& describe(const WidgetStatus*) {
  using namespace knative::fields;
  static const Field list[] = {reported("observedGeneration", &WidgetStatus::observed_generation),
                               reported("conditions", &WidgetStatus::conditions)};
  static const Struct description{"WidgetStatus", list};
  return description;
}

const knative::fields::Struct& describe(const Widget*) {
  using namespace knative::fields;
  static const Field list[] = {acts("metadata", &Widget::metadata), acts("spec", &Widget::spec),
                               reported("status", &Widget::status, tolerant)};
  static const Struct description{"Widget", list};
  return description;
}

void apply_defaults(Widget& widget) {
  if (widget.spec.size == 0) widget.spec.size = 1;
}

knative::FieldErrors validate(const Widget& widget) {
  if (widget.spec.size >= 0) return {};
  return knative::invalid_value(widget.spec.size, "spec.size");
}

const knative::KindInfo& kind_info(const Widget*) {
  static constexpr knative::PrinterColumn columns[] = {{"SIZE", "spec.size"}};
  static constexpr knative::KindInfo info =
      knative::namespaced_kind<Widget>("widgets", "wd").with_columns(columns);
  return info;
}

// As Widget, with a member that no field describes.
struct Forgetful {
  static constexpr std::string_view api_version = "example.dev/v1";
  static constexpr std::string_view kind = "Forgetful";
  knative::ObjectMeta metadata;
  std::string forgotten;
  friend bool operator==(const Forgetful&, const Forgetful&) = default;
};

const knative::fields::Struct& describe(const Forgetful*) {
  using namespace knative::fields;
  static const Field list[] = {acts("metadata", &Forgetful::metadata)};
  static const Struct description{"Forgetful", list};
  return description;
}

const knative::KindInfo& kind_info(const Forgetful*) {
  static constexpr knative::KindInfo info = knative::namespaced_kind<Forgetful>("forgetfuls");
  return info;
}

}  // namespace widget

namespace knative {
namespace {

using widget::Widget;

KindRegistry kinds_with_widget() {
  KindRegistry kinds = built_in_kinds();
  kinds.add<Widget>().value();
  return kinds;
}

Value document(std::string_view api_version, std::string_view kind) {
  Value out = {{"metadata", {{"name", "x"}}}};
  out["apiVersion"] = Value(api_version);
  out["kind"] = Value(kind);
  return out;
}

TEST(Kinds, AThirdPartysStructIsAnObjectLikeAnyOther) {
  const KindRegistry kinds = kinds_with_widget();
  manifest::ParseOptions options;
  options.kinds = &kinds;
  const auto objects = manifest::parse(R"(
apiVersion: example.dev/v1
kind: Widget
metadata: {name: w}
spec: {size: 3, colour: red})",
                                       options);
  ASSERT_TRUE(objects) << objects.error().detail;
  AnyObject object = objects->front();
  EXPECT_EQ(object.get<Widget>().spec.size, 3);
  AnyObject changed = object;
  changed.get_if_mutable<Widget>()->spec.size = 4;
  EXPECT_EQ(object.get<Widget>().spec.size, 3) << "copies are objects of their own";
  EXPECT_FALSE(changed.spec_equals(object));
  EXPECT_EQ(AnyObject(object.get<Widget>()), object);
  AnyObject small = AnyObject(Widget{.metadata = {.name = "w"}});
  small.apply_defaults();
  EXPECT_EQ(small.get<Widget>().spec.size, 1);
  EXPECT_EQ(small.metadata().namespace_, "default");
  changed.get_if_mutable<Widget>()->spec.size = -1;
  EXPECT_NE(changed.validate().to_string().find("invalid value: -1: spec.size"), std::string::npos);
  EXPECT_EQ(kinds.find_by_plural("example.dev", "v1", "widgets"), &object.info());
  const auto wrong =
      manifest::parse("{apiVersion: example.dev/v1, kind: Widget, spec: {sise: 3}}", options);
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().detail, "1:51: unknown field: spec.sise; did you mean \"size\"?");
}

TEST(Kinds, WhatAFieldDoesIsSaidByItsMark) {
  Widget object{.metadata = {.name = "w", .namespace_ = "default"}};
  EXPECT_TRUE(AnyObject(object).validate().empty());
  object.spec.colour = "red";
  const FieldErrors warned = AnyObject(object).validate();
  EXPECT_FALSE(warned.has_errors());
  EXPECT_EQ(warned.to_string(), "has no effect: spec.colour\nwidgets are grey");
  object.spec.legacy_shape = "round";
  const FieldErrors refused = AnyObject(object).validate();
  EXPECT_TRUE(refused.has_errors());
  EXPECT_EQ(refused.filter(FieldError::Level::error).to_string(),
            "must not set the field(s): spec.legacyShape\nshapes went with version 2");
}

TEST(Kinds, AKindIsAddedOnceAndWithAllItsMembers) {
  KindRegistry kinds = kinds_with_widget();
  EXPECT_EQ(kinds.add<Widget>().error().code, Errc::already_exists);
  const auto forgotten = kinds.add<widget::Forgetful>();
  ASSERT_FALSE(forgotten);
  EXPECT_EQ(forgotten.error().code, Errc::invalid_argument);
  EXPECT_NE(forgotten.error().detail.find("Forgetful: " + std::to_string(sizeof(std::string))),
            std::string::npos)
      << forgotten.error().detail;
}

TEST(Kinds, EveryMemberOfTheBuiltInKindsIsDescribed) {
  for (const KindInfo* info : default_kinds().all()) {
    EXPECT_EQ(fields::undescribed(*info->ops->type), std::vector<std::string>()) << info->kind;
  }
}

TEST(Kinds, ObjectsOfAKindWithoutATypeAreKeptWhole) {
  KindRegistry kinds = built_in_kinds();
  kinds.add(UntypedKind{"example.dev/v1", "Gadget", "gadgets"}).value();
  Value value = document("example.dev/v1", "Gadget");
  value["spec"] = {{"free", {1, "form"}}, {"deep", {{"er", true}}}};
  value["extra"] = Value("kept");
  // Compilers differ about a list of one Value in braces: it is made by hand.
  value["status"]["observedGeneration"] = Value(7);
  value["status"]["conditions"].push_back(Value({{"type", "Ready"}, {"status", "True"}}));
  AnyObject object = kinds.from_value(value, Strictness::strict).value();
  EXPECT_EQ(object.to_value().to_json_pretty(), value.to_json_pretty());
  EXPECT_EQ(object.metadata().name, "x");
  EXPECT_EQ(object.observed_generation(), 7);
  ASSERT_NE(object.conditions(), nullptr);
  EXPECT_TRUE(find_condition(*object.conditions(), "Ready")->is_true());
  EXPECT_EQ(object.get_if<core::Namespace>(), nullptr);

  AnyObject other = object;
  other.clear_status();
  EXPECT_EQ(other.conditions(), nullptr);
  EXPECT_TRUE(other.spec_equals(object));
  EXPECT_FALSE(other == object);
  other.take_status_from(object);
  EXPECT_TRUE(other == object);
  value["spec"]["free"] = Value(2);
  EXPECT_FALSE(kinds.from_value(value, Strictness::strict).value().spec_equals(object));
  // An object may outlive the registry.
  kinds = KindRegistry();
  EXPECT_EQ(object.kind(), "Gadget");
  EXPECT_EQ(object.ref().to_string(), "Gadget.example.dev x");
}

TEST(Kinds, UnregisteredKindsAreErrorsThatNameWhatThereIs) {
  const auto why = [](std::string_view api_version, std::string_view kind) {
    const auto object = default_kinds().from_value(document(api_version, kind), Strictness::strict);
    return object ? std::string("known") : object.error().detail;
  };
  EXPECT_EQ(why("serving.knative.dev/v1alpha1", "Service"),
            "no kind \"Service\" in version \"serving.knative.dev/v1alpha1\": kind\n"
            "group serving.knative.dev has kind Service in serving.knative.dev/v1");
  EXPECT_EQ(why("eventing.knative.dev/v2", "EventType"),
            "no kind \"EventType\" in version \"eventing.knative.dev/v2\": kind\n"
            "group eventing.knative.dev has kind EventType in eventing.knative.dev/v1, "
            "eventing.knative.dev/v1beta1, eventing.knative.dev/v1beta2, "
            "eventing.knative.dev/v1beta3");
  EXPECT_EQ(why("serving.knative.dev/v1", "Sevice"),
            "no kind \"Sevice\" in version \"serving.knative.dev/v1\": kind\n"
            "did you mean \"Service\"?");
  EXPECT_EQ(why("apps/v1", "Deployment"), "no kind \"Deployment\" in version \"apps/v1\": kind");
}

TEST(Kinds, UnknownFieldsOfAStatusNeverRefuseAnObject) {
  Value trigger = document("eventing.knative.dev/v1", "Trigger");
  trigger["status"] = {{"auth", {{"serviceAccountName", "x"}}}, {"subscriberUri", "http://a"}};
  const auto object = default_kinds().from_value(trigger, Strictness::strict);
  ASSERT_TRUE(object) << object.error().detail;
  EXPECT_EQ(object->get<eventing::Trigger>().status.subscriber_uri, "http://a");
  Value service = document("serving.knative.dev/v1", "Service");
  service["status"] = {{"domain", "hello.example.com"}, {"traffic", "not a list"}};
  EXPECT_TRUE(default_kinds().from_value(service, Strictness::strict));
}

// ---------------------------------------------------------------------------- versions

TEST(KindVersions, AnOlderVersionIsStoredInTheStoredOne) {
  Value old = document("eventing.knative.dev/v1beta2", "EventType");
  old["spec"] = {{"type", "order.created"}, {"source", "/shop"}, {"schemaData", "{}"}};
  const AnyObject object = default_kinds().from_value(old, Strictness::strict).value();
  EXPECT_EQ(object.api_version(), "eventing.knative.dev/v1");
  EXPECT_EQ(object.get<eventing::EventType>().spec.type, "order.created");
  const Value back = default_kinds().to_value(object, "eventing.knative.dev/v1beta2").value();
  EXPECT_EQ(back.to_json(), old.to_json());
  EXPECT_EQ(default_kinds().to_value(object, "eventing.knative.dev/v9").error().code,
            Errc::unimplemented);
}

TEST(KindVersions, AttributesOfAnEventTypeGoThereAndBack) {
  const KindRegistry& kinds = default_kinds();
  Value of_attributes = document("eventing.knative.dev/v1beta3", "EventType");
  Value attributes;
  attributes.push_back({{"name", "type"}, {"required", true}, {"value", "order.created"}});
  attributes.push_back({{"name", "source"}, {"required", true}, {"value", "/shop/{id}"}});
  attributes.push_back({{"name", "region"}, {"required", false}});
  of_attributes["spec"] = {{"description", "d"}};
  of_attributes["spec"]["attributes"] = attributes;
  const AnyObject object = kinds.from_value(of_attributes, Strictness::strict).value();
  EXPECT_EQ(object.get<eventing::EventType>().spec.source, "/shop/{id}");
  EXPECT_EQ(kinds.to_value(object, "eventing.knative.dev/v1beta3").value().to_json_pretty(),
            of_attributes.to_json_pretty());
}

TEST(KindVersions, EveryConversionFromTheStoredVersionAndBackIsTheSameObject) {
  const KindRegistry& kinds = default_kinds();
  eventing::EventType type;
  type.metadata.name = "created";
  type.metadata.annotations["a"] = "b";
  type.spec.type = "order.created";
  type.spec.source = "/shop";
  type.spec.schema = "https://schemas.example.com/order";
  type.spec.schema_data = "{}";
  type.spec.description = "an order";
  type.spec.reference =
      eventing::KReference{"eventing.knative.dev/v1", "Broker", "default", "orders", ""};
  const AnyObject object = type;
  for (const std::string& version : kinds.versions(object.info())) {
    const Value converted = kinds.to_value(object, version).value();
    EXPECT_EQ(*converted.find("apiVersion"), Value(version));
    const AnyObject back = kinds.from_value(converted, Strictness::strict).value();
    EXPECT_EQ(back.to_value().to_json_pretty(), object.to_value().to_json_pretty()) << version;
  }
}

TEST(KindVersions, AWrongFieldOfAnotherVersionIsNamedAsItStandsThere) {
  Value wrong = document("eventing.knative.dev/v1beta3", "EventType");
  wrong["spec"] = {{"attributs", Value::List{}}};
  const auto object = default_kinds().from_value(wrong, Strictness::strict);
  ASSERT_FALSE(object);
  EXPECT_EQ(object.error().detail, "unknown field: spec.attributs\ndid you mean \"attributes\"?");
}

TEST(KindVersions, AHostAddsVersionsOfItsOwnKinds) {
  KindRegistry kinds = kinds_with_widget();
  KindVersion version;
  version.api_version = "example.dev/v1alpha1";
  version.to_storage = [](Value object) -> Result<Value> {
    if (const Value* wide = object.at_path("spec.width")) {
      const Value size = *wide;
      object["spec"] = {{"size", size}};
    }
    return object;
  };
  version.from_storage = [](Value object) -> Result<Value> {
    if (const Value* size = object.at_path("spec.size")) {
      const Value width = *size;
      object["spec"] = {{"width", width}};
    }
    return object;
  };
  kinds.add_version("Widget", version).value();
  EXPECT_EQ(kinds.add_version("Widget", version).error().code, Errc::already_exists);
  EXPECT_EQ(kinds.add_version("Wodget", version).error().code, Errc::not_found);
  Value old = document("example.dev/v1alpha1", "Widget");
  old["spec"] = {{"width", 9}};
  const AnyObject object = kinds.from_value(old, Strictness::strict).value();
  EXPECT_EQ(object.get<Widget>().spec.size, 9);
  EXPECT_EQ(kinds.to_value(object, "example.dev/v1alpha1").value().to_json(), old.to_json());
  EXPECT_EQ(kinds.find_by_plural("example.dev", "v1alpha1", "widgets"), &object.info());
}

// ---------------------------------------------------------------------------- schemas

TEST(KindSchemas, FollowFromTheListsOfFields) {
  const KindRegistry kinds = kinds_with_widget();
  const Value schema = json_schema(*kinds.find("example.dev/v1", "Widget"));
  EXPECT_EQ(schema.at_path("properties.spec.properties.size.type")->as_string(), "integer");
  EXPECT_EQ(schema.at_path("properties.spec.properties.colour.description")->as_string(),
            "No effect: widgets are grey.");
  EXPECT_EQ(schema.at_path("properties.kind.type")->as_string(), "string");
  const Value trigger = json_schema(*kinds.find("eventing.knative.dev/v1", "Trigger"));
  EXPECT_EQ(trigger
                .at_path("properties.spec.properties.filters.items.properties.all.items."
                         "x-kubernetes-preserve-unknown-fields")
                ->as_bool(),
            true)
      << "filters contain filters";
  for (const KindInfo* info : kinds.all()) {
    EXPECT_NE(json_schema(*info).at_path("properties.metadata.properties.name"), nullptr)
        << info->kind;
  }
}

}  // namespace
}  // namespace knative
