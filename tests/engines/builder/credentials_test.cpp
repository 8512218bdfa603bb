// What the Secrets of a ServiceAccount become: Knative Build's files, byte for byte, and what the
// fetcher shows to whom.
#include "engines/builder/credentials.hpp"

#include <gtest/gtest.h>

namespace knative::builder {
namespace {

core::Secret secret(const std::string& name, const std::string& type,
                    const std::map<std::string, std::string>& data,
                    const std::map<std::string, std::string>& annotations = {}) {
  core::Secret made;
  made.metadata.name = name;
  made.type = "kubernetes.io/" + type;
  for (const auto& [key, value] : data) made.data[key] = Bytes(value);
  for (const auto& [key, value] : annotations) {
    made.metadata.annotations["build.knative.dev/" + key] = value;
  }
  return made;
}
core::Secret basic(const std::string& name, const std::map<std::string, std::string>& annotations,
                   const std::string& user = "ada", const std::string& password = "p") {
  return secret(name, "basic-auth", {{"username", user}, {"password", password}}, annotations);
}
core::Secret ssh(const std::string& name, const std::string& host, const std::string& known) {
  return secret(name, "ssh-auth", {{"ssh-privatekey", "key of " + name}, {"known_hosts", known}},
                {{"git-0", host}});
}
std::map<std::string, std::string> files(const std::vector<core::Secret>& secrets) {
  const Result<BuildCredentials> made = credentials_of(secrets, "/builder/home");
  EXPECT_TRUE(made) << made.error().to_string();
  return made->files;
}
std::string problem(const std::vector<core::Secret>& secrets) {
  const Result<BuildCredentials> made = credentials_of(secrets, "/builder/home");
  return made ? "" : made.error().detail;
}

TEST(Credentials, WithoutSecretsTheFilesAreThereAndEmpty) {
  EXPECT_EQ(files({}),
            (std::map<std::string, std::string>{{".docker/config.json", "{\"auths\":{}}"},
                                                {".git-credentials", ""},
                                                {".gitconfig", "[credential]\n\thelper = store\n"},
                                                {".ssh/config", ""},
                                                {".ssh/known_hosts", ""}}));
}

TEST(Credentials, BasicOnesForGitStandInTheOrderOfTheirAccount) {
  const auto made =
      files({basic("two", {{"git-1", "https://z.example"}}, "bob", "s:c/r@t"),
             basic("one", {{"git-0", "https://b.example"}, {"git-x", "http://a:81"}})});
  EXPECT_EQ(made.at(".gitconfig"),
            "[credential]\n\thelper = store\n"
            "[credential \"https://z.example\"]\n\tusername = bob\n"
            "[credential \"http://a:81\"]\n\tusername = ada\n"
            "[credential \"https://b.example\"]\n\tusername = ada\n");
  EXPECT_EQ(made.at(".git-credentials"),
            "https://bob:s%3Ac%2Fr%40t@z.example\nhttp://ada:p@a:81\nhttps://ada:p@b.example\n");
  EXPECT_EQ(made.at(".docker/config.json"), "{\"auths\":{}}");
}

TEST(Credentials, DockerConfigurationsAreMergedAndAnnotatedOnesWin) {
  const auto made = files(
      {basic("b", {{"docker-0", "https://index.docker.io/v1/"}, {"docker-1", "both"}}),
       secret(
           "old", "dockercfg",
           {{".dockercfg", R"({"both": {"auth": "x"}, "cfg": {"auth": "b2xk", "email": "e"}})"}}),
       secret("lost", "dockerconfigjson", {{".dockerconfigjson", R"({"auths": {"lost": {}}})"}}),
       secret("new", "dockerconfigjson",
              {{".dockerconfigjson",
                R"({"auths": {"cfg": {"auth": "bmV3", "identitytoken": "t"}}})"}})});
  EXPECT_EQ(made.at(".docker/config.json"),
            R"({"auths":{)"
            R"("both":{"username":"ada","password":"p","auth":"YWRhOnA=","email":"not@val.id"},)"
            R"("cfg":{"username":"","password":"","auth":"bmV3","email":""},)"
            R"("https://index.docker.io/v1/":{"username":"ada","password":"p",)"
            R"("auth":"YWRhOnA=","email":"not@val.id"}}})");
}

TEST(Credentials, KeysForSshHaveTheirHostAndPort) {
  const auto made = files({ssh("hub", "github.example", "hub key"),
                           ssh("lab", "gitlab.example.com:2222", "lab key\n")});
  EXPECT_EQ(made.at(".ssh/config"),
            "Host github.example\n    HostName github.example\n"
            "    IdentityFile /builder/home/.ssh/id_hub\n    Port 22\n"
            "Host gitlab.example.com\n    HostName gitlab.example.com\n"
            "    IdentityFile /builder/home/.ssh/id_lab\n    Port 2222\n");
  EXPECT_EQ(made.at(".ssh/known_hosts"), "hub key\nlab key\n");
  EXPECT_EQ(made.at(".ssh/id_lab"), "key of lab");
}

TEST(Credentials, SecretsOfOtherTypesAndAnnotationsOfOthersAreNobodys) {
  core::Secret other = basic("other", {});
  other.metadata.annotations["tekton.dev/git-0"] = "https://a";
  EXPECT_EQ(files({other, secret("opaque", "tls", {}, {{"git-0", "https://a"}}),
                   secret("key", "ssh-auth", {{"ssh-privatekey", "k"}}, {{"docker-0", "a"}})}),
            files({}));
}

TEST(Credentials, WhatIsWrongIsSaidInKnativesWords) {
  EXPECT_EQ(problem({basic("a", {{"git-0", "https://x"}}), basic("b", {{"git-0", "https://x"}})}),
            "Multiple entries for url: https://x");
  EXPECT_EQ(problem({basic("a", {{"docker-0", "x"}, {"docker-1", "x"}})}),
            "Multiple entries for url: x");
  EXPECT_EQ(problem({ssh("a", "x", ""), ssh("b", "x", "")}), "Multiple entries for url: x");
  EXPECT_EQ(problem({basic("a", {{"git-0", "https://x?a=b"}})}),
            "Expect entries of the form secret=url, got: a=https://x?a=b");
  EXPECT_EQ(problem({secret("a", "basic-auth", {{"username", "u"}}, {{"git-0", "https://x"}})}),
            "secret \"a\" has no key \"password\"");
  EXPECT_EQ(problem({secret("a", "dockercfg", {{".dockercfg", "{"}})}),
            "secret \"a\": \".dockercfg\" is not a JSON text");
  const Result<void> bad = check_annotations({basic("a", {{"docker-0", "index.docker.io"}})});
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().detail,
            "BadSecretAnnotation: Secret \"a\" has incorrect annotation "
            "\"build.knative.dev/docker-0\" / \"index.docker.io\", value should be "
            "\"https://index.docker.io/v1/\"");
  EXPECT_TRUE(check_annotations({basic("a", {{"docker-0", "https://index.docker.io/v1/"}})}));
}

TEST(Credentials, NothingOfAnotherLineGetsIntoAFile) {
  EXPECT_EQ(problem({basic("a", {{"git-0", "https://x"}}, "ada\n[core]")}),
            "secret \"a\": username holds a line break");
  EXPECT_NE(problem({ssh("a", "x\n    ProxyCommand y", "")}), "");
  EXPECT_NE(problem({ssh("a", "-oProxyCommand", "")}), "");
  EXPECT_NE(problem({ssh("a", "*", "")}), "");
}

TEST(Credentials, AUrlGetsThoseOfItsOriginAndTheLongestPath) {
  const SourceCredentials all =
      credentials_of({basic("a", {{"git-0", "https://x.example"}}, "whole"),
                      basic("b", {{"git-0", "https://x.example/team/"}}, "team"),
                      basic("c", {{"git-0", "http://x.example"}}, "plain"),
                      basic("d", {{"git-0", "not a url"}}, "odd")},
                     "/h")
          ->sources;
  const auto user = [&](std::string_view url) {
    const SourceCredentials::Basic* found = basic_for(all, url);
    return found == nullptr ? "" : found->user;
  };
  EXPECT_EQ(user("https://x.example/shop.git"), "whole");
  EXPECT_EQ(user("https://x.example:443/team/shop.git"), "team");
  EXPECT_EQ(user("https://x.example/teams/shop.git"), "whole");
  EXPECT_EQ(user("http://x.example/team"), "plain");
  for (const char* other : {"https://x.example:444/a", "https://y.x.example/a", "/x.example", ""}) {
    EXPECT_EQ(user(other), "") << other;
  }
}

TEST(Credentials, AHostGetsItsKeyByPortWhenItIsNamed) {
  const SourceCredentials all =
      credentials_of({ssh("a", "x:2222", ""), ssh("b", "x", ""), ssh("c", "y:23", "")}, "/h")
          ->sources;
  EXPECT_EQ(ssh_for(all, "x", std::nullopt)->secret, "b");
  EXPECT_EQ(ssh_for(all, "x", std::uint16_t{2222})->secret, "a");
  EXPECT_EQ(ssh_for(all, "y", std::nullopt)->secret, "c");
  EXPECT_EQ(ssh_for(all, "y", std::uint16_t{22}), nullptr);
  EXPECT_EQ(ssh_for(all, "z", std::nullopt), nullptr);
}

}  // namespace
}  // namespace knative::builder
