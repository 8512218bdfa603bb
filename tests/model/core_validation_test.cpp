#include <gtest/gtest.h>

#include "knative/core.hpp"

namespace knative::core {
namespace {

template <class T>
std::string errors_of(const T& object) {
  return validate(object).to_string();
}
template <class T>
std::string errors_of_update(const T& newer, const T& old) {
  return validate_update(newer, old).to_string();
}

constexpr std::size_t data_bytes_max = 1024 * 1024;

// ---------------------------------------------------------------------------- Secret, ConfigMap

TEST(CoreSecret, EveryTypeNeedsItsKeys) {
  const struct {
    std::string type;
    std::vector<std::string> keys;
    std::string errors;
  } rows[] = {
      {"Opaque", {}, ""},
      {"example.org/own", {}, ""},
      {"kubernetes.io/basic-auth", {"username"}, ""},
      {"kubernetes.io/basic-auth", {"password"}, ""},
      {"kubernetes.io/ssh-auth", {"known_hosts"}, "missing field(s): data[ssh-privatekey]"},
      {"kubernetes.io/ssh-auth", {"ssh-privatekey"}, ""},
      {"kubernetes.io/tls", {}, "missing field(s): data[tls.crt], data[tls.key]"},
      {"kubernetes.io/tls", {"tls.crt"}, "missing field(s): data[tls.key]"},
      {"kubernetes.io/tls", {"tls.crt", "tls.key"}, ""},
      {"kubernetes.io/dockerconfigjson", {}, "missing field(s): data[.dockerconfigjson]"},
      {"kubernetes.io/dockerconfigjson", {".dockerconfigjson"}, ""},
      {"kubernetes.io/dockercfg", {}, "missing field(s): data[.dockercfg]"},
      {"kubernetes.io/dockercfg", {".dockercfg"}, ""},
  };
  for (const auto& row : rows) {
    Secret with_data{.type = row.type};
    Secret with_text{.type = row.type};
    for (const std::string& key : row.keys) {
      with_data.data[key] = Bytes("{}");
      with_text.string_data[key] = "{}";
    }
    EXPECT_EQ(errors_of(with_data), row.errors) << row.type;
    EXPECT_EQ(errors_of(with_text), row.errors) << row.type << " in stringData";
  }
}

TEST(CoreSecret, DockerConfigurationsAreJson) {
  const std::pair<std::string, std::string> types[] = {
      {"kubernetes.io/dockerconfigjson", ".dockerconfigjson"},
      {"kubernetes.io/dockercfg", ".dockercfg"}};
  for (const auto& [type, key] : types) {
    EXPECT_EQ(errors_of(Secret{.type = type, .data = {{key, Bytes("auths:")}}}),
              "not a JSON text: data[" + key + "]");
    EXPECT_EQ(errors_of(Secret{.type = type, .string_data = {{key, "auths:"}}}),
              "not a JSON text: data[" + key + "]");
  }
}

TEST(CoreSecret, KeysAreFileNames) {
  const std::pair<std::string, std::string> keys[] = {
      {"", "must be letters, digits, '-', '_' and '.'"},
      {"a/b", "must be letters, digits, '-', '_' and '.'"},
      {".", "must not be '.' or begin with '..'"},
      {"..a", "must not be '.' or begin with '..'"},
      {std::string(254, 'a'), "must be no more than 253 characters"}};
  for (const auto& [key, why] : keys) {
    EXPECT_EQ(errors_of(Secret{.data = {{key, Bytes("x")}}}),
              "invalid key name \"" + key + "\": data\n" + why);
    EXPECT_EQ(errors_of(Secret{.string_data = {{key, "x"}}}),
              "invalid key name \"" + key + "\": stringData\n" + why);
    EXPECT_EQ(errors_of(ConfigMap{.binary_data = {{key, Bytes("x")}}}),
              "invalid key name \"" + key + "\": binaryData\n" + why);
  }
  EXPECT_EQ(errors_of(Secret{.data = {{".dotfile_1-a", Bytes("x")}}}), "");
}

TEST(CoreData, AllValuesTogetherAreBounded) {
  const std::string half(data_bytes_max / 2, 'x');
  const std::string too_long = "data is too long: more than 1048576 bytes: data";
  Secret secret{.data = {{"a", Bytes(half)}}, .string_data = {{"b", half}}};
  EXPECT_EQ(errors_of(secret), "") << "exactly the limit";
  secret.string_data["c"] = "x";
  EXPECT_EQ(errors_of(secret), too_long);
  ConfigMap map{.data = {{"a", half}}, .binary_data = {{"b", Bytes(half)}}};
  EXPECT_EQ(errors_of(map), "") << "exactly the limit";
  map.data["c"] = "x";
  EXPECT_EQ(errors_of(map), too_long);
}

TEST(CoreUpdates, AnImmutableSecretKeepsItsData) {
  const std::string words = "field is immutable when `immutable` is set: ";
  const Secret old{.type = "Opaque", .data = {{"a", Bytes("1")}}, .immutable = true};
  EXPECT_EQ(errors_of_update(old, old), "");
  Secret newer = old;
  newer.data["a"] = Bytes("2");
  EXPECT_EQ(errors_of_update(newer, old), words + "data");
  newer = old;
  newer.string_data["b"] = "2";
  EXPECT_EQ(errors_of_update(newer, old), words + "data");
  newer = old;
  newer.immutable = false;
  EXPECT_EQ(errors_of_update(newer, old), words + "immutable");
}

TEST(CoreUpdates, MutableDataMayChangeAndBecomeImmutable) {
  const Secret old{.type = "Opaque", .data = {{"a", Bytes("1")}}, .immutable = false};
  EXPECT_EQ(errors_of_update(
                Secret{.type = "Opaque", .data = {{"a", Bytes("2")}}, .immutable = true}, old),
            "");
  EXPECT_EQ(errors_of_update(ConfigMap{.data = {{"a", "2"}}, .immutable = true}, ConfigMap{}), "");
}

TEST(CoreUpdates, AnImmutableConfigMapKeepsBothKindsOfData) {
  const ConfigMap old{.data = {{"a", "1"}}, .binary_data = {{"b", Bytes("1")}}, .immutable = true};
  EXPECT_EQ(errors_of_update(old, old), "");
  ConfigMap newer = old;
  newer.data.clear();
  newer.binary_data["b"] = Bytes("2");
  EXPECT_EQ(errors_of_update(newer, old),
            "field is immutable when `immutable` is set: binaryData, data");
}

// ---------------------------------------------------------------------------- ServiceAccount

TEST(CoreServiceAccount, ReferencesHaveNames) {
  EXPECT_EQ(errors_of(ServiceAccount{.secrets = {{"git"}}, .image_pull_secrets = {{"pull"}}}), "");
  EXPECT_EQ(errors_of(ServiceAccount{.secrets = {{"git"}, {}}, .image_pull_secrets = {{}}}),
            "missing field(s): imagePullSecrets[0].name, secrets[1].name");
}

// ---------------------------------------------------------------------------- Service

TEST(CoreService, TypesAndWhatTheyNeed) {
  const std::vector<ServicePort> ports = {{.port = 80}};
  const struct {
    ServiceSpec spec;
    std::string errors;
  } rows[] = {
      {{.ports = ports}, ""},
      {{.type = "ClusterIP", .ports = ports}, ""},
      {{.type = "NodePort", .ports = ports}, ""},
      {{.type = "LoadBalancer", .ports = ports}, ""},
      {{.type = "Headless", .ports = ports}, "invalid value: Headless: spec.type"},
      {{.type = "ClusterIP"}, "missing field(s): spec.ports"},
      {{.cluster_ip = "None"}, ""},
      {{.type = "ExternalName"}, "missing field(s): spec.externalName"},
      {{.type = "ExternalName", .external_name = "db.example.org"}, ""},
  };
  for (const auto& row : rows) EXPECT_EQ(errors_of(Service{.spec = row.spec}), row.errors);
}

TEST(CoreService, PortsHaveARangeAProtocolAndATarget) {
  const struct {
    ServicePort port;
    std::string errors;
  } rows[] = {
      {{.port = 65535, .target_port = "http1"}, ""},
      {{.protocol = "SCTP", .port = 1, .target_port = 65535}, ""},
      {{.protocol = "UDP", .port = 53}, ""},
      {{.port = 0}, "expected 1 <= 0 <= 65535: spec.ports[0].port"},
      {{.protocol = "tcp", .port = 80}, "invalid value: tcp: spec.ports[0].protocol"},
      {{.port = 80, .target_port = -1}, "expected 1 <= -1 <= 65535: spec.ports[0].targetPort"},
      {{.port = 80, .target_port = 65536},
       "expected 1 <= 65536 <= 65535: spec.ports[0].targetPort"},
      {{.name = "Web", .port = 80},
       "invalid value: Web: spec.ports[0].name\n"
       "not a DNS 1123 label: use lower case letters, digits and '-', beginning and ending with a "
       "letter or digit"},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(errors_of(Service{.spec = {.ports = {row.port}}}), row.errors);
  }
}

TEST(CoreService, PortNamesAreUnique) {
  EXPECT_EQ(errors_of(Service{.spec = {.ports = {{.name = "a", .port = 80},
                                                 {.name = "b", .port = 81},
                                                 {.name = "a", .port = 82}}}}),
            "expected exactly one, got both: spec.ports[2].name");
}

}  // namespace
}  // namespace knative::core
