#include "base/cgroups.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "support/real_world.hpp"

namespace knative::base {
namespace {

namespace fs = std::filesystem;

// Somebody who has been.
pid_t gone() {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(0);
  ::waitpid(pid, nullptr, 0);
  return pid;
}

TEST(Cgroups, WhatAKilledPlatformLeftIsSweptAndNothingElse) {
  const testing_world::TemporaryDirectory root;
  const std::string folder = root.path();
  const std::string dead = "/knative-" + std::to_string(gone());
  const std::string alive = "/knative-" + std::to_string(::getpid());
  for (const std::string& name : {dead + "-1-1", dead + "-1-2", alive + "-1-1",
                                  std::string("/knative-x-1"), std::string("/system")}) {
    fs::create_directories(folder + name);
  }
  fs::create_directories(folder + dead + "-1-2/populated");
  const CgroupHierarchies where{.memory = folder, .cpu = folder + "/absent"};
  where.sweep(std::chrono::hours(1));
  EXPECT_TRUE(fs::exists(folder + dead + "-1-1")) << "it may have only just been made";
  where.sweep(std::chrono::seconds(0));
  EXPECT_FALSE(fs::exists(folder + dead + "-1-1"));
  EXPECT_TRUE(fs::exists(folder + dead + "-1-2")) << "somebody is in it";
  EXPECT_TRUE(fs::exists(folder + alive + "-1-1"));
  EXPECT_TRUE(fs::exists(folder + "/knative-x-1"));
  EXPECT_TRUE(fs::exists(folder + "/system"));
}

/// The first line of a file of a group.
std::string said_by(const Cgroup& group, const std::string& name) {
  for (const std::string& folder : group.folders()) {
    std::ifstream file(folder + "/" + name);
    std::string line;
    if (std::getline(file, line)) return line;
  }
  return "no " + name;
}

class OwnCgroup : public testing::Test {
 protected:
  void SetUp() override {
    where_ = CgroupHierarchies::find();
    if (where_.cpu.empty()) GTEST_SKIP() << "CONTROL GROUPS ARE NOT TESTED HERE";
    IsolationLimits limits;
    limits.cpu_milli = 200;
    const std::string name = std::string(group_prefix) + std::to_string(::getpid()) + "-test-1";
    auto made = Cgroup::make(where_, name, limits);
    if (!made) GTEST_SKIP() << "CONTROL GROUPS ARE NOT TESTED HERE: " << made.error().detail;
    group_ = std::move(*made);
  }
  CgroupHierarchies where_;
  std::unique_ptr<Cgroup> group_;
};

// Thousands of processes with a fifth of a CPU took a quarter of a minute to die.
TEST_F(OwnCgroup, WhoIsKilledIsNotSlowedDownByItsLimit) {
  const bool two = where_.unified;
  const char* const file = two ? "cpu.max" : "cpu.cfs_quota_us";
  EXPECT_EQ(said_by(*group_, file), two ? "20000 100000" : "20000");
  group_->lift_cpu_limit();
  EXPECT_EQ(said_by(*group_, file), two ? "max 100000" : "-1");
}

TEST_F(OwnCgroup, WhoWritesToItsEntrancesIsInAllOfIt) {
  const auto entrances = group_->entrances().value();
  if (where_.unified) {
    EXPECT_TRUE(entrances.empty());
    return;
  }
  EXPECT_EQ(entrances.size(), group_->folders().size());
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    for (const FileDescriptor& entrance : entrances) {
      if (::write(entrance.fd, "0", 1) != 1) ::_exit(1);
    }
    char byte = 0;
    ::close(ends[1]);
    ::_exit(static_cast<int>(::read(ends[0], &byte, 1)));
  }
  ::close(ends[0]);
  for (const std::string& folder : group_->folders()) {
    std::string line;
    for (int turn = 0; turn < 5000 && line.empty(); ++turn) {
      std::ifstream file(folder + "/cgroup.procs");
      std::getline(file, line);
      ::sched_yield();
    }
    EXPECT_EQ(line, std::to_string(child)) << folder;
  }
  ::close(ends[1]);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

/// Groups of either version that can freeze, as far as this machine has them.
class FreezingCgroup : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    const std::string folder = GetParam() ? "/sys/fs/cgroup/unified" : "/sys/fs/cgroup/freezer";
    const bool only_2 = GetParam() && fs::exists("/sys/fs/cgroup/cgroup.procs");
    where_.freezer = only_2 ? "/sys/fs/cgroup" : folder;
    where_.unified_freezer = GetParam();
    if (::access((where_.freezer + "/cgroup.procs").c_str(), W_OK) < 0) {
      GTEST_SKIP() << "FREEZING IS NOT TESTED HERE: " << where_.freezer << " is not there";
    }
  }
  std::unique_ptr<Cgroup> make(pid_t of) {
    const std::string name = std::string(group_prefix) + std::to_string(of) + "-freeze-1";
    return Cgroup::make(where_, name, {}, true).value();
  }
  /// A member that counts, as fast as it can, on the pipe.
  static pid_t start(const Cgroup& group, int (&ends)[2]) {
    EXPECT_EQ(::pipe2(ends, O_NONBLOCK), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      for (const FileDescriptor& entrance : group.entrances().value()) {
        if (::write(entrance.fd, "0", 1) != 1) ::_exit(1);
      }
      for (;;) {
        static_cast<void>(!::write(ends[1], "x", 1));
        ::sched_yield();
      }
    }
    EXPECT_TRUE(group.add(child));
    return child;
  }
  static void drain(int from) {
    char bytes[4096];
    while (::read(from, bytes, sizeof bytes) > 0) {
    }
  }
  static bool runs(int from) {
    char byte = 0;
    for (int turn = 0; turn < 20'000; ++turn) {
      if (::read(from, &byte, 1) == 1) return true;
      ::sched_yield();
    }
    return false;
  }
  bool is_frozen(const Cgroup& group) const {
    const std::string folder = group.folders().front();
    for (int turn = 0; turn < 100'000; ++turn) {
      std::ifstream file(folder + (GetParam() ? "/cgroup.events" : "/freezer.state"));
      for (std::string line; std::getline(file, line);) {
        if (line == "FROZEN" || line == "frozen 1") return true;
      }
      ::sched_yield();
    }
    return false;
  }
  CgroupHierarchies where_;
};

TEST_P(FreezingCgroup, WhoIsInItStandsStillAndGoesOn) {
  const auto group = make(::getpid());
  int ends[2];
  const pid_t child = start(*group, ends);
  EXPECT_TRUE(runs(ends[0]));
  ASSERT_TRUE(group->freeze(true));
  ASSERT_TRUE(is_frozen(*group));
  drain(ends[0]);
  EXPECT_FALSE(runs(ends[0]));
  ASSERT_TRUE(group->freeze(false));
  EXPECT_TRUE(runs(ends[0]));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  ::close(ends[0]);
  ::close(ends[1]);
}

// Of a platform that was killed together with its helper, the kernel kills the children; and those
// of another one that only looks gone go on as they are.
TEST_P(FreezingCgroup, TheSweepLetsEndWhoIsKilledAndFrozen) {
  auto group = make(gone());
  const std::string folder = group->folders().front();
  int ends[2];
  const pid_t child = start(*group, ends);
  EXPECT_TRUE(runs(ends[0]));
  ASSERT_TRUE(group->freeze(true));
  ASSERT_TRUE(is_frozen(*group));
  where_.sweep(std::chrono::seconds(0));
  EXPECT_TRUE(fs::exists(folder));
  drain(ends[0]);
  EXPECT_FALSE(runs(ends[0]));
  ::kill(child, SIGKILL);
  std::thread reaper([child] { ::waitpid(child, nullptr, 0); });
  if (GetParam()) reaper.join();  // version 2 lets it go by itself
  where_.sweep(std::chrono::seconds(0));
  if (reaper.joinable()) reaper.join();
  // Who is let go takes as long as the machine is busy; the next sweep finds nobody.
  if (fs::exists(folder)) where_.sweep(std::chrono::seconds(0));
  EXPECT_FALSE(fs::exists(folder));
  ::close(ends[0]);
  ::close(ends[1]);
}

INSTANTIATE_TEST_SUITE_P(EitherVersion, FreezingCgroup, testing::Bool(),
                         [](const auto& version) { return version.param ? "two" : "one"; });

}  // namespace
}  // namespace knative::base
