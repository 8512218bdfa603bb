// The folders of a build are at the same places each time, for those who write paths down.
#include <set>

#include "builder_fixture.hpp"

namespace knative {
namespace {

class BuildPaths : public BuilderFixture {
 protected:
  /// Debug information, and a path of the workspace that stands in a file of the source.
  void plant(const std::string& include) {
    write("repo/inc/answer.h", "#define ANSWER 42\n");
    write("repo/main.c", "#include <answer.h>\nint main(void) { return ANSWER; }\n");
    write("repo/Makefile", "app: main.c\n\tcc -g -I" + include + " -o app main.c\n");
    commit("repo");
  }
  std::string digest_of(const std::string& name) {
    build::Build build = from_git(path("repo"));
    build.metadata.name = name;
    build.spec.steps = {sh("make", "make")};
    build.spec.image = "local/app";
    const BuildOutcome outcome = execute(build);
    EXPECT_FALSE(outcome.error) << outcome.error->to_string() << log_["build-step-make"];
    return outcome.status.image.substr(outcome.status.image.find('@') + 1);
  }
};

class OwnViewPaths : public BuildPaths {
 protected:
  void SetUp() override {
    own_view_ = env().processes.isolation(root_).own_view;
    if (!own_view_) GTEST_SKIP() << "VIEWS OF ONE'S OWN ARE NOT TESTED HERE: not allowed";
  }
};

TEST_F(OwnViewPaths, DebugInformationIsTheSameInBuildsOfAnyName) {
  plant("/workspace/inc");
  std::set<std::string> digests;
  for (const std::string name : {"one", "two", "three"}) {
    options_.directory = path("builds-of-" + name);
    builder_.reset();
    digests.insert(digest_of(name));
  }
  EXPECT_EQ(digests.size(), 1u);
}

TEST_F(OwnViewPaths, StepsOnTheHostSeeWhatContainersSee) {
  write("repo/f", "content\n");
  commit("repo");
  build::Build build = from_git(path("repo"));
  build.spec.steps = {sh("s",
                         "pwd; echo $WORKSPACE $HOME; cat /workspace/f; git -c "
                         "advice.detachedHead=false clone -q file:///workspace "
                         "/workspace/copy; cat /workspace/copy/f; ls -d /usr /etc; "
                         "printf '#!/bin/sh\\nprintf told > /dev/termination-log\\n' > $HOME/tell; "
                         "sh /builder/home/tell"),
                      sh("t", "pwd; test -e /builder/home/tell")};
  build.spec.steps[1].working_dir = "/workspace/new";
  const BuildOutcome outcome = execute(build);
  ASSERT_FALSE(outcome.error) << outcome.error->to_string() << log_["build-step-s"];
  EXPECT_EQ(log_["build-step-s"],
            "/workspace\n/workspace /builder/home\ncontent\ncontent\n/etc\n/usr\n");
  EXPECT_EQ(log_["build-step-t"], "/workspace/new\n");
  EXPECT_EQ(outcome.status.step_states.at(0).terminated->message, "told");
}

TEST_F(OwnViewPaths, AMountInAFolderOfTheMachineIsToldByItsRealPlace) {
  build::Build build;
  build.metadata.name = "told";
  build.spec.volumes = {{.name = "v", .empty_dir = core::EmptyDirVolumeSource{}}};
  build.spec.steps = {sh("s", "cd /usr/not/there && pwd")};
  build.spec.steps[0].volume_mounts = {
      {.name = "v", .mount_path = "/usr/not/there", .read_only = true}};
  const BuildOutcome outcome = execute(build);
  ASSERT_FALSE(outcome.error) << outcome.error->to_string();
  const std::string& said = log_["build-step-s"];
  EXPECT_NE(said.find("warning: not enforced"), std::string::npos) << said;
  EXPECT_NE(said.find(options_.directory + "/named-.told/volumes/"), std::string::npos) << said;
}

TEST_F(BuildPaths, WithoutAViewTheyAreTheSameInBuildsOfOneName) {
  plant("inc");
  const std::string first = digest_of("shop");
  EXPECT_EQ(digest_of("shop"), first);
  EXPECT_EQ(digest_of("shop"), first);
}

TEST_F(BuildPaths, TwoOfOneNameAtOnceHaveTheirOwnAndAreTold) {
  build::Build build;
  build.metadata.name = "twin";
  build.spec.steps = {sh("s", "while ! test -e " + path("go") + "; do sleep 0.01; done; pwd")};
  const BuildCallbacks quiet;
  std::string said;
  BuildCallbacks second;
  second.on_log = [&](std::string_view, std::string_view line) {
    said.append(line).append("\n");
    write("go", "");
  };
  std::vector<Task<BuildOutcome>> both;
  both.push_back(builder().execute(build, quiet));
  both.push_back(builder().execute(build, second));
  for (const BuildOutcome& outcome : loop_.run(when_all(std::move(both)))) {
    EXPECT_FALSE(outcome.error) << outcome.error->to_string();
  }
  EXPECT_NE(said.find("a build of this name is at work"), std::string::npos) << said;
  EXPECT_NE(said.find("/build-"), std::string::npos) << said;
}

}  // namespace
}  // namespace knative
