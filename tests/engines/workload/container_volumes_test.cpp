// What containers see of volumes, and what becomes of subPaths when they start.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "knative/container.hpp"
#include "knative/simulation.hpp"
#include "support/real_world.hpp"

namespace knative {
namespace {

namespace fs = std::filesystem;

core::VolumeMount mount_at(const std::string& path, const std::string& sub_path) {
  core::VolumeMount mount;
  mount.name = "v";
  mount.mount_path = path;
  mount.sub_path = sub_path;
  return mount;
}

TEST(ContainerVolumes, ASubPathIsBelowItsVolumeWhateverIsThere) {
  const std::map<std::string, ContainerMount> volumes = {
      {"v", {.source = "/volumes/0", .target = "", .bytes_max = 7}}};
  const auto mounts =
      mount_volumes(volumes, {mount_at("/a", ""), mount_at("/b", "./x//y/")}).value();
  EXPECT_EQ(mounts[0], (ContainerMount{
                           .source = "/volumes/0", .target = "/a", .volume = "v", .bytes_max = 7}));
  EXPECT_EQ(mounts[1], (ContainerMount{.source = "/volumes/0/x/y",
                                       .target = "/b",
                                       .within = "/volumes/0",
                                       .volume = "v",
                                       .bytes_max = 7}));
  EXPECT_EQ(mount_volumes(volumes, {mount_at("/a", "x/../..")}).error().code,
            Errc::invalid_argument);
  EXPECT_EQ(mount_volumes({}, {mount_at("/a", "")}).error().code, Errc::invalid_argument);
}

/// The same for this machine's files and for simulated ones.
void check_sub_paths(Files& files, const std::string& root) {
  const std::string volume = root + "/volume";
  files.make_directories(volume + "/releases/1").value();
  files.make_directories(root + "/outside").value();
  files.write_file(volume + "/releases/1/file", "x").value();
  files.make_symlink("releases/1", volume + "/current").value();
  files.make_symlink("../outside", volume + "/out").value();
  files.make_symlink("nowhere/1", volume + "/nowhere-yet").value();
  const auto make = [&](const std::string& sub_path) {
    const std::vector<ContainerMount> mounts = {
        {.source = volume + "/" + sub_path, .target = "/seen", .within = volume, .volume = "v"}};
    return make_sub_paths(files, mounts);
  };
  EXPECT_TRUE(make("releases/1/file"));
  EXPECT_EQ(files.info(volume + "/releases/1/file")->type, FileType::regular);
  EXPECT_TRUE(make("current/new/er"));
  EXPECT_EQ(files.info(volume + "/releases/1/new/er")->type, FileType::directory);
  for (const std::string wrong : {"out", "out/deep/er"}) {
    const Result<void> made = make(wrong);
    ASSERT_FALSE(made) << wrong;
    EXPECT_EQ(made.error().code, Errc::invalid_argument);
    EXPECT_NE(made.error().detail.find("volume \"v\""), std::string::npos) << made.error().detail;
    EXPECT_EQ(made.error().detail.find(root), std::string::npos) << made.error().detail;
  }
  EXPECT_TRUE(files.list(root + "/outside")->empty());
  EXPECT_FALSE(make("releases/1/file/below"));
}

TEST(ContainerVolumes, SubPathsAreMadeBelowTheirVolumeOnly) {
  Loop loop{testing_world::quiet()};
  const testing_world::TemporaryDirectory folder;
  check_sub_paths(loop.env().files, folder.path());
}

TEST(ContainerVolumes, SubPathsOfSimulatedFilesAreTheSame) {
  Simulation simulation{1};
  check_sub_paths(simulation.env().files, "/root");
}

}  // namespace
}  // namespace knative
