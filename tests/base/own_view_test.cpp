// Children that see this machine otherwise than everybody else, where that is allowed.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "support/real_world.hpp"

namespace knative {
namespace {

namespace fs = std::filesystem;

using testing_world::quiet;
using testing_world::TemporaryDirectory;

constexpr const char* absent = "/knative-own-view-test";

class OwnViewTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!env_.processes.isolation(folder_.path()).own_view) {
      GTEST_SKIP() << "VIEWS OF ONE'S OWN ARE NOT TESTED HERE: not allowed";
    }
    fs::create_directories(folder_ / "work");
    fs::create_directories(folder_ / "other");
    std::ofstream(folder_ / "work/name") << "work\n";
    std::ofstream(folder_ / "other/name") << "other\n";
  }
  ProcessOptions script(const std::string& text, std::vector<IsolationMount> view) {
    ProcessOptions options;
    options.argv = {"/bin/sh", "-ec", text};
    options.environment["PATH"] = "/usr/bin:/bin";
    options.view = std::move(view);
    return options;
  }
  /// What it prints, and how it ended.
  std::string run(ProcessOptions options) {
    std::string text;
    options.on_stdout = options.on_stderr = [&text](std::string_view piece) { text += piece; };
    auto process = env_.processes.spawn(options);
    if (!process) return process.error().to_string();
    const ExitStatus ended = loop_.run((*process)->wait());
    return ended.success() ? text : text + ended.to_string();
  }

  TemporaryDirectory folder_;
  Loop loop_{quiet()};
  Env& env_ = loop_.env();
};

TEST_F(OwnViewTest, AFolderIsSeenWhereTheMachineHasNothing) {
  const std::string below = std::string(absent) + "/deep/er";
  ProcessOptions options =
      script("pwd; cat name; echo new > made; cat " + below + "/name; ls -d /usr /proc/self /dev",
             {{folder_ / "work", absent, false, 0, {}}, {folder_ / "other", below, false, 0, {}}});
  options.working_directory = absent;
  EXPECT_EQ(run(std::move(options)),
            std::string(absent) + "\nwork\nother\n/dev\n/proc/self\n/usr\n");
  EXPECT_TRUE(fs::exists(folder_ / "work/made"));
  EXPECT_FALSE(fs::exists(absent)) << "nobody else sees it";
}

TEST_F(OwnViewTest, TheRootHasEverythingElseThatItHas) {
  std::string all;
  const std::string list = "cd / && find . -maxdepth 1 ! -path .";
  EXPECT_EQ(
      run(script(list + absent + " | LC_ALL=C sort", {{folder_ / "work", absent, false, 0, {}}})),
      run(script(list + absent + " | LC_ALL=C sort", {})));
}

TEST_F(OwnViewTest, AFolderIsSeenOverWhatIsThere) {
  EXPECT_EQ(run(script("cat " + (folder_ / "work/name"),
                       {{folder_ / "other", folder_ / "work", false, 0, {}}})),
            "other\n");
  EXPECT_EQ(run(script("cat " + (folder_ / "work/name"), {})), "work\n");
}

TEST_F(OwnViewTest, DevicesHaveAFileBesideThem) {
  EXPECT_EQ(run(script("echo said > /dev/knative-own-view-test; head -c 2 /dev/zero | wc -c; "
                       "echo gone > /dev/null",
                       {{folder_ / "work/name", "/dev/knative-own-view-test", false, 0, {}}})),
            "2\n");
  std::string said;
  std::ifstream(folder_ / "work/name") >> said;
  EXPECT_EQ(said, "said");
  EXPECT_FALSE(fs::exists("/dev/knative-own-view-test"));
}

TEST_F(OwnViewTest, WhatIsReadOnlyIsNotWritten) {
  const std::string text = run(script("echo x > " + std::string(absent) + "/name",
                                      {{folder_ / "work", absent, true, 0, {}}}));
  EXPECT_NE(text.find("Read-only"), std::string::npos) << text;
}

TEST_F(OwnViewTest, RightsAreThoseOfThePlatform) {
  const std::string ask = "grep Cap /proc/self/status; id -u; cat /proc/self/uid_map; umask";
  EXPECT_EQ(run(script(ask, {{folder_ / "work", absent, false, 0, {}}})), run(script(ask, {})));
}

TEST_F(OwnViewTest, ALinkThatLeavesItsFolderIsNotMounted) {
  fs::create_directory_symlink("/etc", folder_ / "work/link");
  const std::string text = run(script(
      "ls " + std::string(absent), {{folder_ / "work/link", absent, false, 0, folder_ / "work"}}));
  EXPECT_EQ(text.find("passwd"), std::string::npos) << text;
}

TEST_F(OwnViewTest, WhatIsWrongIsNamed) {
  const auto refused = [this](ProcessOptions options) {
    const auto started = env_.processes.spawn(options);
    return started ? std::string("started") : started.error().detail;
  };
  EXPECT_NE(refused(script("", {{folder_ / "work", "relative", false, 0, {}}})).find("relative"),
            std::string::npos);
  EXPECT_NE(refused(script("", {{folder_ / "none", absent, false, 0, {}}})).find("none"),
            std::string::npos);
  ProcessOptions two = script("", {{folder_ / "work", absent, false, 0, {}}});
  two.root_directory = "/";
  EXPECT_NE(refused(std::move(two)).find("view"), std::string::npos);
}

}  // namespace
}  // namespace knative
