// Sources, working directories and sub paths do not leave the workspace through a link that an
// earlier source or step made.
#include "builder_fixture.hpp"
#include "engines/builder/paths.hpp"

namespace knative {
namespace {

class SourcePaths : public BuilderFixture {
 protected:
  // "linking" has links to the folder and the file outside, and one to a folder of its own.
  void SetUp() override {
    fs::create_directories(path("outside"));
    write("linking/src/mine", "mine");
    fs::create_directory_symlink(path("outside"), path("linking/out"));
    fs::create_symlink(path("outside/file"), path("linking/file"));
    fs::create_directory_symlink("src", path("linking/inner"));
    fs::create_directory_symlink("../../outside", path("linking/up"));
    commit("linking");
    write("plain/a", "a");
    commit("plain");
    write("filling/out/y/a", "a");
    commit("filling");
    write("replacing/file", "mine");
    commit("replacing");
    shell(
        "for n in plain filling replacing; do tar -C $n --exclude=.git -czf $n.tgz .; "
        "cp -r $n $n-folder; rm -rf $n-folder/.git; done");
  }
  build::SourceSpec git(const std::string& name) {
    build::SourceSpec source;
    source.name = name;
    source.git = build::GitSource{path(name), "main"};
    return source;
  }
  // Git, a folder and an archive of the same content.
  std::vector<build::SourceSpec> every_kind(const std::string& name) {
    std::vector<build::SourceSpec> sources{git(name)};
    for (const char* ending : {"-folder", ".tgz"}) {
      build::SourceSpec source;
      source.name = name;
      source.gcs = build::GcsSource{"Archive", path(name + ending)};
      sources.push_back(source);
    }
    return sources;
  }
  BuildOutcome after_linking(build::SourceSpec second, const std::string& target,
                             const build::Step& step = sh("s", "true")) {
    second.target_path = target;
    build::Build build;
    build.metadata.name = "b";
    build.spec.sources = {git("linking"), second};
    build.spec.steps = {step};
    return execute(build);
  }

  // The folder "links", then a source into the folder "one" that it has.
  BuildOutcome into_its_folder(build::SourceSpec second, const build::Step& step) {
    build::SourceSpec first;
    first.name = "links";
    first.gcs = build::GcsSource{"Archive", path("links")};
    second.target_path = "one";
    build::Build build;
    build.metadata.name = "b";
    build.spec.sources = {first, second};
    build.spec.steps = {step};
    return execute(build);
  }

  build::Build linking_then(const build::Step& step) {
    build::Build build = from_git(path("linking"));
    build.spec.steps = {step};
    return build;
  }
};

TEST_F(SourcePaths, ATargetPathThroughALinkIsRefused) {
  for (const char* target : {"out/y", "out", "up/y", "file"}) {
    for (const build::SourceSpec& second : every_kind("plain")) {
      const BuildOutcome outcome = after_linking(second, target);
      ASSERT_TRUE(outcome.error) << target;
      EXPECT_EQ(outcome.error->code, Errc::invalid_argument) << outcome.error->to_string();
      EXPECT_NE(outcome.error->detail.find("leaves the workspace"), std::string::npos)
          << outcome.error->detail;
      EXPECT_TRUE(fs::is_empty(path("outside"))) << target;
    }
  }
}

TEST_F(SourcePaths, ATargetPathThroughALinkWithinTheWorkspaceIsTaken) {
  for (const build::SourceSpec& second : every_kind("plain")) {
    const build::Step step = sh("s", "cat src/deep/a inner/deep/a; ls -A src");
    const BuildOutcome outcome = after_linking(second, "inner/deep", step);
    ASSERT_FALSE(outcome.error) << outcome.error->to_string();
    EXPECT_EQ(log_["build-step-s"], "aadeep\nmine\n");
  }
}

TEST_F(SourcePaths, AFolderInPlaceOfALinkLeavesTheWorkspaceByNoMeans) {
  fs::create_directories(path("links/one"));
  fs::create_directory_symlink(path("outside"), path("links/one/out"));
  for (const build::SourceSpec& second : every_kind("filling")) {
    const BuildOutcome outcome = into_its_folder(second, sh("s", "true"));
    EXPECT_TRUE(fs::is_empty(path("outside")));
    if (second.gcs && second.gcs->location.ends_with(".tgz")) continue;  // "/" is its folder
    ASSERT_TRUE(outcome.error);
    EXPECT_EQ(succeeded(outcome).reason, "SourceFailed");
    EXPECT_NE(outcome.error->detail.find("leaves the workspace"), std::string::npos)
        << outcome.error->detail;
  }
}

TEST_F(SourcePaths, AFileReplacesALinkOfAnEarlierSource) {
  write("outside/file", "theirs");
  fs::create_directories(path("links/one"));
  fs::create_symlink(path("outside/file"), path("links/one/file"));
  for (const build::SourceSpec& second : every_kind("replacing")) {
    const BuildOutcome outcome =
        into_its_folder(second, sh("s", "test ! -L one/file; cat one/file"));
    ASSERT_FALSE(outcome.error) << outcome.error->to_string();
    EXPECT_EQ(log_["build-step-s"], "mine\n");
    EXPECT_EQ(read("outside/file"), "theirs");
  }
}

TEST_F(SourcePaths, AWorkingDirectoryThroughALinkIsRefused) {
  for (const char* place : {"out/y", "out", "up/y", "../../../y", "/workspace/out/y", "file/y"}) {
    build::Step step = sh("s", "touch here");
    step.working_dir = place;
    const BuildOutcome outcome = execute(linking_then(step));
    ASSERT_TRUE(outcome.error) << place;
    EXPECT_EQ(outcome.error->code, Errc::invalid_argument) << outcome.error->to_string();
    EXPECT_NE(outcome.error->detail.find("leaves the workspace"), std::string::npos)
        << outcome.error->detail;
    EXPECT_TRUE(fs::is_empty(path("outside"))) << place;
  }
  build::Step step = sh("s", "touch here; cd ../..; ls -A src");
  step.working_dir = "inner/new";
  const BuildOutcome outcome = execute(linking_then(step));
  ASSERT_FALSE(outcome.error) << outcome.error->to_string();
  EXPECT_EQ(log_["build-step-s"], "mine\nnew\n");
}

TEST_F(SourcePaths, ASubPathThroughALinkIsRefused) {
  build::Build build = linking_then(sh("s", "true"));
  for (const char* place : {"out", "up", "out/y"}) {
    build.spec.source.sub_path = place;
    EXPECT_EQ(execute(build).error->code, Errc::invalid_argument) << place;
  }
  build.spec.source.sub_path.clear();
  build::Step first = sh("first", "ln -s " + path("outside") + " $WORKSPACE/../volumes/0/out");
  first.volume_mounts = {{.name = "v", .mount_path = "/v"}};
  build::Step second = sh("second", "true");
  second.volume_mounts = {{.name = "v", .mount_path = "/v", .sub_path = "out/y"}};
  build.spec.volumes = {{.name = "v", .empty_dir = core::EmptyDirVolumeSource{}}};
  build.spec.steps = {first, second};
  const BuildOutcome outcome = execute(build);
  ASSERT_TRUE(outcome.error);
  EXPECT_NE(outcome.error->detail.find("leads out of its folder"), std::string::npos)
      << outcome.error->detail;
  EXPECT_TRUE(fs::is_empty(path("outside")));
}

TEST_F(SourcePaths, LinksAreFollowedWithinTheFolderOnly) {
  const std::string root = path("linking");
  fs::create_symlink("round", path("linking/round"));
  fs::create_directory_symlink(root + "/src", path("linking/whole"));
  const auto resolved = [&](std::string_view what) {
    const Result<std::string> inside =
        builder::resolve_inside(env().files, root, what, "targetPath");
    return inside ? *inside : std::string("refused");
  };
  EXPECT_EQ(resolved(""), "");
  EXPECT_EQ(resolved("./new//folder/"), "new/folder");
  EXPECT_EQ(resolved("inner"), "src");
  EXPECT_EQ(resolved("inner/new"), "src/new");
  EXPECT_EQ(resolved("whole/new"), "src/new");
  EXPECT_EQ(resolved("src/../new"), "new");
  for (const char* wrong : {"..", "src/../..", "round", "out", "up", "src/mine/x", "file"}) {
    EXPECT_EQ(resolved(wrong), "refused") << wrong;
  }
}

}  // namespace
}  // namespace knative
