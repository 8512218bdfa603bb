#include "base/cgroups.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

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

}  // namespace
}  // namespace knative::base
