// What a spec and an image become: words, variables, paths; and the choice among runtimes.
#include "knative/container.hpp"

#include <gtest/gtest.h>

#include "knative/container_runtimes.hpp"
#include "knative/simulation.hpp"

namespace knative {
namespace {

using Words = std::vector<std::string>;

class ContainerCommandTest : public testing::Test {
 protected:
  ContainerCommandTest() {
    spec.image = "shop:1";
    spec.identity.service = "hello";
    spec.identity.configuration = "hello";
    spec.identity.revision = "hello-00001";
  }
  Result<ContainerCommand> make() { return container_command(spec, image, {{"PORT", "9000"}}); }
  ContainerSpec spec;
  ImageDefaults image;
};

TEST_F(ContainerCommandTest, CommandAndArgsReplaceEntrypointAndCmd) {
  image.entrypoint = {"entry"};
  image.cmd = {"default"};
  EXPECT_EQ(make()->argv, (Words{"entry", "default"}));
  spec.args = {"own"};
  EXPECT_EQ(make()->argv, (Words{"entry", "own"}));
  spec.command = {"other"};
  EXPECT_EQ(make()->argv, (Words{"other", "own"}));
  spec.args.clear();
  EXPECT_EQ(make()->argv, (Words{"other"}));
}

TEST_F(ContainerCommandTest, WithoutEntrypointTheFirstArgumentIsTheProgram) {
  spec.args = {"echo", "hi"};
  EXPECT_EQ(make()->argv, (Words{"echo", "hi"}));
}

TEST_F(ContainerCommandTest, NothingToRunIsAnError) {
  const auto result = make();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Errc::invalid_argument);
  EXPECT_NE(result.error().detail.find("shop:1"), std::string::npos);
}

TEST_F(ContainerCommandTest, EnvironmentIsLayeredAndHasTheContractsVariables) {
  spec.command = {"x"};
  image.environment = {{"A", "image"}, {"B", "image"}};
  spec.environment = {{"B", "revision"}, {"K_SERVICE", "forged"}, {"PORT", "1"}};
  const auto environment = make()->environment;
  EXPECT_EQ(environment.at("A"), "image");
  EXPECT_EQ(environment.at("B"), "revision");
  EXPECT_EQ(environment.at("K_SERVICE"), "hello");
  EXPECT_EQ(environment.at("K_CONFIGURATION"), "hello");
  EXPECT_EQ(environment.at("K_REVISION"), "hello-00001");
  EXPECT_EQ(environment.at("PORT"), "9000");
}

TEST_F(ContainerCommandTest, WhatIsNoInstanceHasNoNamesOfOne) {
  spec.identity = {.build = "b", .step = "build-step-s"};
  spec.command = {"x"};
  EXPECT_FALSE(make()->environment.contains("K_REVISION"));
}

TEST_F(ContainerCommandTest, ReferencesAreExpandedInTheSpecsWordsOnly) {
  image.entrypoint = {"sh", "-c", "echo $(PORT)"};
  image.environment = {{"MODE", "fast"}};
  spec.args = {"--port=$(PORT)", "--mode=$(MODE)", "--as=$(K_SERVICE)", "$$(PORT)", "$(NOBODY)"};
  EXPECT_EQ(make()->argv, (Words{"sh", "-c", "echo $(PORT)", "--port=9000", "--mode=fast",
                                 "--as=hello", "$(PORT)", "$(NOBODY)"}));
  spec.command = {"serve", "$(PORT)"};
  spec.args.clear();
  EXPECT_EQ(make()->argv, (Words{"serve", "9000"}));
}

TEST(ContainerSpecOfObject, ExpandsTheEnvironmentInItsOrder) {
  core::Container container;
  container.image = "shop:1";
  container.env = {{.name = "A", .value = "1", .value_from = {}},
                   {.name = "B", .value = "$(A)-$(HOME)-$(LATER)-$$(A)", .value_from = {}},
                   {.name = "LATER", .value = "x", .value_from = {}}};
  const ContainerSpec spec = container_spec(container, {{"HOME", "/h"}}).value();
  EXPECT_EQ(spec.environment.at("B"), "1-/h-$(LATER)-$(A)");
  EXPECT_EQ(spec.environment.at("HOME"), "/h");
}

TEST(ContainerSpecOfObject, ValuesThatWereNotLookedUpAreNamed) {
  core::Container container;
  container.env = {{.name = "KEY", .value_from = core::EnvVarSource{}}};
  EXPECT_NE(container_spec(container).error().detail.find("env KEY"), std::string::npos);
  container.env.clear();
  container.env_from = {{.config_map_ref = core::EnvFromRef{.name = "settings"}}};
  EXPECT_NE(container_spec(container).error().detail.find("envFrom"), std::string::npos);
}

TEST(HostPaths, APathBelowAMountIsTheMountsSource) {
  const std::vector<ContainerMount> mounts{{"/real/w", "/workspace"},
                                           {"/real/deep", "/workspace/deep/"},
                                           {"/real/old", "/data"},
                                           {"/real/new", "/data"}};
  EXPECT_EQ(host_paths(mounts, "/workspace"), "/real/w");
  EXPECT_EQ(host_paths(mounts, "cat /workspace/a /workspace/deep/b"), "cat /real/w/a /real/deep/b");
  EXPECT_EQ(host_paths(mounts, "--in=/workspace:/data/x"), "--in=/real/w:/real/new/x");
  for (const char* same : {"/workspace2", "/data2/workspace", "workspace", "/workspace-x",
                           "${X}/workspace", "./workspace", ""}) {
    EXPECT_EQ(host_paths(mounts, same), same);
  }
}

TEST(ContainerRuntimesByName, AHostsOwnRuntimeIsChosenByNameAndAnUnknownOneIsNamed) {
  struct Own final : ContainerRuntime {
    FieldErrors unsupported(const ContainerSpec&) const override { return {}; }
    Task<Result<std::string>> pin(const ContainerSpec& spec) override {
      co_return spec.image + "@own";
    }
    Task<Result<std::unique_ptr<Container>>> start(const ContainerSpec&, ContainerOutput) override {
      co_return fail(Errc::unavailable, "own");
    }
  };
  Simulation sim(1);
  ContainerRuntimes runtimes;
  runtimes.add("crun", std::make_shared<Own>());
  ContainerSpec spec;
  spec.image = "shop:1";
  spec.runtime = "crun";
  EXPECT_EQ(sim.run(runtimes.start(spec, nullptr)).error().detail, "own");
  EXPECT_EQ(sim.run(runtimes.pin(spec)).value(), "shop:1@own");
  spec.runtime.clear();
  EXPECT_EQ(sim.run(runtimes.start(spec, nullptr)).error().detail,
            "no container runtime is named \"process\"; known are crun");
  EXPECT_TRUE(runtimes.unsupported(spec).has_errors());
  runtimes.set_choice([](const ContainerSpec&) { return std::string("crun"); });
  EXPECT_EQ(sim.run(runtimes.start(spec, nullptr)).error().detail, "own");
}

}  // namespace
}  // namespace knative
