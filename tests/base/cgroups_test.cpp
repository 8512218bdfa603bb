#include "base/cgroups.hpp"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

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

}  // namespace
}  // namespace knative::base
