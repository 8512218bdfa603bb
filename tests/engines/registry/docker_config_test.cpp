// Credentials as tools and Secrets keep them.
#include <gtest/gtest.h>

#include "knative/registry_credentials.hpp"

namespace knative::oci {
namespace {

Reference image(std::string_view text) { return Reference::parse(text).value(); }

std::vector<std::string> users(const RegistryKeyring& keyring, std::string_view name) {
  std::vector<std::string> found;
  for (const RegistryCredential& one : keyring.find(image(name))) found.push_back(one.user);
  return found;
}

using Users = std::vector<std::string>;

TEST(DockerConfig, every_form_of_a_place_is_found) {
  const RegistryKeyring keyring = RegistryKeyring::parse_docker_config(R"({
    "auths": {
      "a.example": {"auth": "dXNlci1hOnBhc3M6d29yZA=="},
      "https://b.example:5000/v1/": {"username": "user-b", "password": "p"},
      "http://c.example/v2/": {"username": "user-c", "password": "p"},
      "d.example/team": {"username": "team", "password": "p"},
      "d.example/team/shop": {"username": "shop", "password": "p"},
      "d.example": {"username": "all", "password": "p"},
      "*.e.example": {"username": "wild", "password": "p"},
      "empty.example": {}
    },
    "HttpHeaders": {"User-Agent": "Docker-Client/19"}
  })")
                                      .value();
  EXPECT_EQ(users(keyring, "a.example/x"), Users{"user-a"});
  EXPECT_EQ(keyring.find(image("a.example/x")).at(0).password, "pass:word");
  EXPECT_EQ(users(keyring, "b.example:5000/x"), Users{"user-b"});
  EXPECT_EQ(users(keyring, "b.example/x"), Users{});
  EXPECT_EQ(users(keyring, "c.example/x/y"), Users{"user-c"});
  EXPECT_EQ(users(keyring, "d.example/team/shop/api:v1"), (Users{"shop", "team", "all"}));
  EXPECT_EQ(users(keyring, "d.example/teams"), Users{"all"});
  EXPECT_EQ(users(keyring, "reg.e.example/x"), Users{"wild"});
  EXPECT_EQ(users(keyring, "a.b.e.example/x"), Users{});
  EXPECT_EQ(users(keyring, "e.example/x"), Users{});
  EXPECT_EQ(users(keyring, "empty.example/x"), Users{});
}

TEST(DockerConfig, the_default_registry_has_many_names) {
  const std::string hub =
      "docker"
      ".io";
  const std::vector<std::string> places = {"https://index." + hub + "/v1/", hub,
                                           "registry-1." + hub, hub + "/library"};
  for (const std::string& place : places) {
    RegistryKeyring keyring;
    ASSERT_TRUE(keyring.add(place, {"ada", "p", "", ""}));
    EXPECT_EQ(users(keyring, "busybox:1"), Users{"ada"}) << place;
  }
}

TEST(DockerConfig, tokens_and_helpers) {
  const RegistryKeyring keyring = RegistryKeyring::parse_docker_config(R"({
    "auths": {"a.example": {"identitytoken": "i"}, "b.example": {"registrytoken": "r"}},
    "credHelpers": {"c.example": "vault"}, "credsStore": "keychain"
  })")
                                      .value();
  EXPECT_EQ(keyring.find(image("a.example/x")).at(0).identity_token, "i");
  EXPECT_EQ(keyring.find(image("b.example/x")).at(0).registry_token, "r");
  EXPECT_EQ(keyring.helper(image("c.example/x")), "vault");
  EXPECT_EQ(keyring.helper(image("a.example/x")), "keychain");
}

TEST(DockerConfig, the_older_kind_of_secret_has_places_alone) {
  const RegistryKeyring keyring =
      RegistryKeyring::parse_dockercfg(R"({"https://a.example/v1/":{"auth":"dTpw","email":"e"}})")
          .value();
  EXPECT_EQ(users(keyring, "a.example/x"), Users{"u"});
  EXPECT_FALSE(RegistryKeyring::parse_dockercfg(R"({"auths":{"a.example":{"auth":"!"}}})")
                   .value()
                   .find(image("a.example/x"))
                   .size());
}

TEST(DockerConfig, what_is_wrong_is_named_without_a_secret) {
  const std::vector<std::pair<std::string, std::string>> rows = {
      {R"({"auths":{"a.example":{"auth":"aHVudGVyMg=="}}})", "auths: \"a.example\": auth"},
      {R"({"auths":{"a.example":{"auth":"hunter2!"}}})", "auths: \"a.example\": auth"},
      {R"({"auths":{"a.example":{"password":7}}})", "password: expected a string"},
      {R"({"auths":{"ada:hunter2@a.example":{"username":"u"}}})", "\"a.example\""},
      {R"({"auths":[]})", "auths: expected an object"},
      {R"({"credHelpers":{"a.example":"../../bin/sh"}})", "credHelpers: \"a.example\""},
      {R"({"credsStore":"a b"})", "credsStore"},
      {R"([])", "expected an object"},
  };
  for (const auto& [json, words] : rows) {
    const Result<RegistryKeyring> keyring = RegistryKeyring::parse_docker_config(json);
    ASSERT_FALSE(keyring) << json;
    EXPECT_EQ(keyring.error().code, Errc::invalid_argument);
    EXPECT_NE(keyring.error().detail.find(words), std::string::npos) << keyring.error().detail;
    EXPECT_EQ(keyring.error().detail.find("hunter2"), std::string::npos);
  }
}

TEST(Keyring, what_was_there_first_is_tried_first) {
  RegistryKeyring first;
  RegistryKeyring second;
  ASSERT_TRUE(first.add("a.example", {"one", "p", "", ""}));
  ASSERT_TRUE(second.add("a.example", {"two", "p", "", ""}));
  ASSERT_TRUE(second.add("a.example", {"one", "p", "", ""}));
  first.append(second);
  EXPECT_EQ(users(first, "a.example/x"), (Users{"one", "two"}));
}

}  // namespace
}  // namespace knative::oci
