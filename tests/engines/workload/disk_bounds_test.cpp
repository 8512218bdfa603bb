// How much a container may write, and when that is looked at. In virtual time.
#include "engines/workload/disk_bounds.hpp"

#include <gtest/gtest.h>

#include "knative/simulation.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;

class DiskBounds : public testing::Test {
 protected:
  void write(const std::string& path, std::size_t bytes) {
    const OpenOptions how{.write = true, .create = true};
    files_.make_directories(path.substr(0, path.rfind('/'))).value();
    files_.open(path, how).value()->write_at(0, std::string(bytes, 'x')).value();
  }
  static Task<void> look(DiskBounds& test) {
    const auto worked = [&test]() -> std::optional<Duration> { return test.worked_; };
    Task<std::string> watching = until_disk_is_exceeded(test.env_, test.bounds_, worked);
    test.said_ = co_await std::move(watching);
  }

  Simulation simulation_{1};
  Env& env_ = simulation_.env();
  Files& files_ = env_.files;
  std::vector<DiskBound> bounds_{{"/volume", 10'000, "too much"}};
  std::optional<Duration> worked_;
  std::string said_;
};

TEST_F(DiskBounds, AreThoseOfTheRootAndOfEachVolumeOnce) {
  ContainerSpec spec{.name = "shop"};
  EXPECT_TRUE(disk_bounds(spec, "/upper", 0).empty());
  EXPECT_TRUE(disk_bounds(spec, "", 1024).empty());
  EXPECT_EQ(
      disk_bounds(spec, "/upper", 1024),
      (std::vector<DiskBound>{
          {"/upper", 1024, "Container shop exceeded its local ephemeral storage limit \"1Ki\""}}));
  spec.resources.limits["ephemeral-storage"] = Quantity(4096);
  spec.mounts = {
      {.source = "/v/a", .target = "/a", .within = "/v", .volume = "v", .bytes_max = 2048},
      {.source = "/v", .target = "/b", .volume = "v", .bytes_max = 2048},
      {.source = "/w", .target = "/c", .volume = "w"},
      {.source = "", .target = "/d", .volume = "m", .bytes_max = 7}};
  EXPECT_EQ(
      disk_bounds(spec, "/upper", 1024),
      (std::vector<DiskBound>{
          {"/upper", 4096, "Container shop exceeded its local ephemeral storage limit \"4Ki\""},
          {"/v", 2048, "Usage of EmptyDir volume \"v\" exceeds the limit \"2Ki\""}}));
}

TEST_F(DiskBounds, WhatIsWrittenIsSeenWithinSeconds) {
  TaskSet tasks(env_.executor);
  tasks.add(look(*this));
  write("/volume/deep/file", 5'000);
  simulation_.run_for(1min);
  EXPECT_EQ(said_, "");
  write("/volume/other", 2'000);  // a name takes a block
  simulation_.run_for(6s);
  EXPECT_EQ(said_, "too much");
}

TEST_F(DiskBounds, WhoDoesNotRunIsNotLookedAt) {
  worked_ = 3ms;
  TaskSet tasks(env_.executor);
  tasks.add(look(*this));
  simulation_.run_for(6s);
  write("/volume/file", 20'000);
  simulation_.run_for(1min);
  EXPECT_EQ(said_, "");
  worked_ = 4ms;
  simulation_.run_for(6s);
  EXPECT_EQ(said_, "too much");
}

}  // namespace
}  // namespace knative
