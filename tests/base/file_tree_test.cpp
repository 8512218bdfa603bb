#include "base/file_tree.hpp"

#include <gtest/gtest.h>

#include <filesystem>

#include "knative/simulation.hpp"
#include "support/forwarding_files.hpp"
#include "support/real_world.hpp"

namespace knative::base {
namespace {

class FileTreeTest : public testing::TestWithParam<bool> {
 protected:
  FileTreeTest() : loop_(testing_world::quiet()) {
    if (!GetParam()) root_ = "/tree";
    files().make_directories(root_).value();
  }
  Files& files() { return GetParam() ? loop_.env().files : sim_.env().files; }
  std::string in(const std::string& name) const { return root_ + "/" + name; }

  testing_world::TemporaryDirectory directory_;
  Loop loop_;
  Simulation sim_{1};
  std::string root_ = directory_.path();
};

TEST(FileTree, TheDirectoryThatAPathIsIn) {
  EXPECT_EQ(parent_of("/a/b"), "/a");
  EXPECT_EQ(parent_of("/a"), "/");
  EXPECT_EQ(parent_of("/"), "/");
  EXPECT_EQ(parent_of("a/b"), "a");
  EXPECT_EQ(parent_of("a"), ".");
}

// A child of a holder that was killed has the lock until the kernel has ended it.
class HeldForAMoment final : public testing_support::ForwardingFiles {
 public:
  HeldForAMoment(Files& files, int refusals) : ForwardingFiles(files), left_(refusals) {}
  Result<std::unique_ptr<File>> lock(const std::string& path) override {
    if (left_-- > 0) return fail(Errc::failed_precondition, "locked by another holder");
    return ForwardingFiles::lock(path);
  }
  int left_;
};

TEST(FileTree, ALockThatAKilledHoldersChildHasForAMomentIsWaitedFor) {
  Simulation simulation(1);
  HeldForAMoment moment(simulation.env().files, 3);
  EXPECT_TRUE(lock_soon(moment, "/lock"));
  EXPECT_EQ(moment.left_, -1);
  HeldForAMoment living(simulation.env().files, 1000);
  EXPECT_EQ(lock_soon(living, "/lock").error().code, Errc::failed_precondition);
}

TEST(FileTree, AMadeDirectorySurvivesAPowerFailureWithAllAboveIt) {
  Simulation world(1);
  Files& files = world.env().files;
  files.make_directories("/plain/deep").value();
  ASSERT_TRUE(make_durable_directory(files, "/data/events/one"));
  world.power_off();
  world.crash(CrashMode::lose_all);
  EXPECT_TRUE(files.info("/data/events/one"));
  EXPECT_FALSE(files.info("/plain/deep"));
}

TEST(FileTree, ADirectoryWhoseMakerWasStoppedBecomesDurableWhenItIsMadeAgain) {
  Simulation world(1);
  Files& files = world.env().files;
  ASSERT_TRUE(make_durable_directory(files, "/data"));
  files.make_directories("/data/events").value();  // and no more
  ASSERT_TRUE(make_durable_directory(files, "/data/events/one"));
  world.power_off();
  world.crash(CrashMode::lose_all);
  EXPECT_TRUE(files.info("/data/events/one"));
  files.make_directories("/data/events/two").value();
  ASSERT_TRUE(make_durable_directory(files, "/data/events/two"));
  world.power_off();
  world.crash(CrashMode::lose_all);
  EXPECT_TRUE(files.info("/data/events/two"));
}

TEST_P(FileTreeTest, ACloneSharesNothingThatIsWritten) {
  files().make_directories(in("a/deep")).value();
  files().write_file(in("a/deep/file"), "first", 0755).value();
  files().write_file(in("a/empty"), "").value();
  files().make_symlink("deep/file", in("a/link")).value();
  ASSERT_TRUE(clone_tree(files(), in("a"), in("b")));
  files().write_file(in("b/deep/file"), "changed").value();
  files().write_file(in("b/new"), "new").value();
  EXPECT_EQ(files().read_file(in("a/deep/file")).value(), "first");
  EXPECT_FALSE(files().info(in("a/new")));
  ASSERT_TRUE(clone_tree(files(), in("a"), in("c")));
  EXPECT_EQ(files().read_file(in("c/deep/file")).value(), "first");
  EXPECT_EQ(files().info(in("c/deep/file"))->mode & 0777u, 0755u);
  EXPECT_EQ(files().read_file(in("c/empty")).value(), "");
  EXPECT_EQ(files().read_symlink(in("c/link")).value(), "deep/file");
}

TEST_P(FileTreeTest, APipeIsCopiedAsAPipe) {
  files().make_directories(in("a")).value();
  const SpecialFile pipe{.name = "pipe", .kind = SpecialFile::Kind::pipe, .mode = 0620};
  files().make_special(in("a/pipe"), pipe).value();
  EXPECT_EQ(files().make_special(in("a/pipe"), pipe).error().code, Errc::already_exists);
  ASSERT_TRUE(clone_tree(files(), in("a"), in("b")));
  EXPECT_EQ(files().info(in("b/pipe"))->type, FileType::other);
  EXPECT_EQ(files().special(in("b/pipe")).value(), pipe);
  EXPECT_EQ(files().special(in("b")).error().code, Errc::unimplemented);
  EXPECT_EQ(files().special(in("none")).error().code, Errc::not_found);
}

TEST_P(FileTreeTest, AFailedCloneLeavesNothing) {
  EXPECT_FALSE(clone_tree(files(), in("absent"), in("b")));
  EXPECT_FALSE(files().info(in("b")));
}

TEST_P(FileTreeTest, OnlyWhatNobodyHoldsIsSwept) {
  for (const char* name : {"x-dead", "x-alive", "x-strange", "y-dead"}) {
    files().make_directories(in(name)).value();
    files().write_file(in(name) + "/data", "1").value();
  }
  for (const char* name : {"x-dead", "y-dead"}) files().lock(in(name) + "/.owner").value();
  const std::unique_ptr<File> held = files().lock(in("x-alive/.owner")).value();
  sweep_directories(files(), root_, "x-", false);
  EXPECT_FALSE(files().info(in("x-dead")));
  EXPECT_TRUE(files().info(in("x-alive/data")));
  EXPECT_TRUE(files().info(in("x-strange/data")));
  EXPECT_TRUE(files().info(in("y-dead/data")));
  sweep_directories(files(), root_, "x-", true);
  EXPECT_TRUE(files().info(in("x-alive/data")));
  EXPECT_FALSE(files().info(in("x-strange")));
}

INSTANTIATE_TEST_SUITE_P(Worlds, FileTreeTest, testing::Bool());

TEST(AbsolutePath, BeginsAtTheWorkingDirectory) {
  Loop loop(testing_world::quiet());
  Files& files = loop.env().files;
  const std::string here = std::filesystem::current_path().string();
  EXPECT_EQ(absolute_path(files, "/a/b"), "/a/b");
  EXPECT_EQ(absolute_path(files, "data"), here + "/data");
  EXPECT_EQ(absolute_path(files, "./data"), here + "/data");
  EXPECT_EQ(absolute_path(files, "."), here);
  EXPECT_EQ(absolute_path(files, ""), "");
  Simulation sim(1);
  EXPECT_EQ(absolute_path(sim.env().files, "data"), "/data");
}

}  // namespace
}  // namespace knative::base
