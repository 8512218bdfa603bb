#include "knative/core.hpp"

#include <gtest/gtest.h>

namespace knative {
namespace {

TEST(Core, SecretRoundTripsAndMovesStringData) {
  const auto value = Value::parse_json(
      R"({"apiVersion":"v1","kind":"Secret","metadata":{"name":"git"},"data":{"raw":"AAEC/w=="},)"
      R"("stringData":{"username":"ada"}})");
  auto secret = AnyObject::from_value(value.value(), Strictness::strict).value();
  EXPECT_EQ(secret.get<core::Secret>().data.at("raw").bytes, std::string("\0\1\2\xff", 4));
  EXPECT_EQ(secret.to_value(), value.value());
  secret.apply_defaults();
  secret.apply_defaults();
  EXPECT_EQ(secret.to_value().to_json(),
            R"({"apiVersion":"v1","data":{"raw":"AAEC/w==","username":"YWRh"},"kind":"Secret",)"
            R"("metadata":{"name":"git","namespace":"default"},"type":"Opaque"})");
  EXPECT_TRUE(secret.validate().empty());
}

TEST(Core, SecretTypesPromiseKeys) {
  core::Secret secret{.metadata = {.name = "x"}, .type = "kubernetes.io/basic-auth"};
  EXPECT_EQ(core::validate(secret).to_string(), "missing field(s): data[password], data[username]");
  secret.type = "kubernetes.io/dockerconfigjson";
  secret.data[".dockerconfigjson"] = Bytes("{");
  EXPECT_EQ(core::validate(secret).to_string(), "not a JSON text: data[.dockerconfigjson]");
  secret.data["a b"] = Bytes("x");
  secret.data[".dockerconfigjson"] = Bytes("{}");
  EXPECT_EQ(core::validate(secret).begin()->message, "invalid key name \"a b\"");
}

TEST(Core, DamagedBase64IsNamedWithoutItsContent) {
  const auto value = Value::parse_json(
      R"({"apiVersion":"v1","kind":"Secret","metadata":{"name":"git"},"data":{"raw":"pass word"}})");
  const auto secret = AnyObject::from_value(value.value(), Strictness::strict);
  ASSERT_FALSE(secret);
  EXPECT_EQ(secret.error().detail,
            "expected a base64 string: data[raw]\nillegal base64 data at byte 4");
}

TEST(Core, DataOfASecretIsNeverRepeated) {
  const std::pair<const char*, const char*> rows[] = {
      {R"("stringData":{"pin":1234})",
       "expected a string, found integer: stringData[pin]\nwrite the value in quotes"},
      {R"("stringData":"1234")", "expected a map, found string: stringData"},
      {R"("data":"1234")", "expected a map, found string: data"},
      {R"("data":{"pin":1234})", "expected a base64 string, found integer: data[pin]"},
      {R"("data":{},"type":1234)",
       "expected a string, found integer 1234: type\nwrite the value in quotes"}};
  for (const auto& [fields, errors] : rows) {
    const auto value = Value::parse_json(std::string(R"({"apiVersion":"v1","kind":"Secret",)") +
                                         R"("metadata":{"name":"git"},)" + fields + "}");
    const auto secret = AnyObject::from_value(value.value(), Strictness::strict);
    ASSERT_FALSE(secret);
    EXPECT_EQ(secret.error().detail, errors);
  }
}

TEST(Core, ServiceDefaultsAndRules) {
  core::Service service{.metadata = {.name = "web"}, .spec = {.ports = {{.port = 80}}}};
  core::apply_defaults(service);
  EXPECT_EQ(service.spec.ports[0].target_port, IntOrString(80));
  EXPECT_EQ(service.spec.type, "ClusterIP");
  EXPECT_TRUE(core::validate(service).empty());
  service.spec.ports.push_back({.port = 70000});
  EXPECT_EQ(core::validate(service).to_string(),
            "expected 1 <= 70000 <= 65535: spec.ports[1].port\n"
            "missing field(s): spec.ports[0].name, spec.ports[1].name");
}

TEST(Core, ConfigMapKeysMustBeUniqueAcrossDataAndBinaryData) {
  core::ConfigMap map{.metadata = {.name = "m"}, .data = {{"a", "1"}}};
  map.binary_data["a"] = Bytes("x");
  EXPECT_EQ(core::validate(map).to_string(),
            "expected exactly one, got both: binaryData[a], data[a]");
}

TEST(Core, ImmutableDataStays) {
  const core::ConfigMap old{.metadata = {.name = "m"}, .data = {{"a", "1"}}, .immutable = true};
  core::ConfigMap newer = old;
  newer.metadata.labels["x"] = "y";
  EXPECT_TRUE(AnyObject(newer).validate_update(AnyObject(old)).empty());
  newer.data["a"] = "2";
  newer.immutable.reset();
  EXPECT_EQ(AnyObject(newer).validate_update(AnyObject(old)).to_string(),
            "field is immutable when `immutable` is set: data, immutable");
  EXPECT_EQ(core::validate_update(core::Secret{.type = "b"}, core::Secret{.type = "a"}).to_string(),
            "field is immutable: type");
}

}  // namespace
}  // namespace knative
