// Isolated children of the real world, where namespaces are allowed.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "support/real_world.hpp"

namespace knative {
namespace {

using testing_world::quiet;
using testing_world::TemporaryDirectory;

class IsolationTest : public testing::Test {
 protected:
  void SetUp() override {
    support_ = env_.processes.isolation(folder_.path());
    if (!support_.possible) {
      EXPECT_NE(support_.reason, "");
      GTEST_SKIP() << "ISOLATION IS NOT TESTED HERE: " << support_.reason;
    }
    std::filesystem::create_directories(folder_ / "root");
  }
  ProcessOptions program(std::vector<std::string> argv) {
    ProcessOptions options;
    options.argv = std::move(argv);
    options.isolation.emplace();
    options.isolation->root = folder_ / "root";
    return options;
  }
  TemporaryDirectory folder_;
  Loop loop_{quiet()};
  Env& env_ = loop_.env();
  IsolationSupport support_;
};

TEST_F(IsolationTest, ATrialLeavesNothing) {
  EXPECT_EQ(support_.reason, "");
  int entries = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
    entries += entry.path().filename() != "root" ? 1 : 0;
  }
  EXPECT_EQ(entries, 0);
}

TEST_F(IsolationTest, TheHostsOwnProgramIsNotRunInside) {
  // Who runs it holds a way to write to it.
  std::ofstream(folder_ / "root/script") << "#! /proc/self/exe\n";
  std::ofstream(folder_ / "root/again") << "#!/script argument\n";
  std::filesystem::create_symlink("/proc/self/exe", folder_ / "root/link");
  for (const char* name : {"/script", "/again"}) {
    std::filesystem::permissions(folder_.path() + "/root" + name, std::filesystem::perms::all);
  }
  for (const char* name : {"/proc/self/exe", "/link", "/script", "/again"}) {
    const auto started = env_.processes.spawn(program({name}));
    ASSERT_FALSE(started) << name;
    EXPECT_EQ(started.error().code, Errc::failed_precondition) << started.error().to_string();
  }
}

TEST_F(IsolationTest, WhatIsWrongWithAPlanIsNamed) {
  ProcessOptions options = program({"/none"});
  options.root_directory = "/";
  EXPECT_EQ(env_.processes.spawn(options).error().code, Errc::invalid_argument);
  options = program({"/none"});
  options.isolation->mounts = {{"/etc", "/a/../../b", false, 0}};
  const auto outside = env_.processes.spawn(options);
  ASSERT_FALSE(outside);
  EXPECT_NE(outside.error().detail.find("/a/../../b"), std::string::npos);
  options.isolation->mounts = {{folder_ / "absent", "/a", false, 0}};
  const auto absent = env_.processes.spawn(options);
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().code, Errc::not_found);
}

TEST(Isolation, CapabilitiesHaveTheKernelsNumbers) {
  EXPECT_EQ(capability_number("CHOWN"), 0);
  EXPECT_EQ(capability_number("cap_net_bind_service"), 10);
  EXPECT_EQ(capability_number("CAP_SYS_ADMIN"), 21);
  EXPECT_EQ(capability_number("CHECKPOINT_RESTORE"), 40);
  EXPECT_EQ(capability_number("MAGIC"), std::nullopt);
  EXPECT_EQ(default_capabilities(), 0xa80425fbu);
}

}  // namespace
}  // namespace knative
