// Files of the real world; what both worlds share is in the contract suite.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/real_world.hpp"

namespace knative {
namespace {

using testing_world::quiet;
using testing_world::TemporaryDirectory;

class FilesTest : public testing::Test {
 protected:
  Loop loop_{quiet()};
  Files& files_ = loop_.env().files;
  TemporaryDirectory directory_;

  std::unique_ptr<File> create(const std::string& name) {
    OpenOptions options;
    options.write = options.create = true;
    return files_.open(directory_ / name, options).value();
  }
};

TEST_F(FilesTest, WritesReadsTruncatesAndSyncs) {
  std::unique_ptr<File> file = create("a");
  file->write_at(0, "hello").value();
  file->write_at(10, "world").value();
  file->sync().value();
  EXPECT_EQ(file->size().value(), 15u);
  std::string text(20, 'x');
  EXPECT_EQ(file->read_at(0, text).value(), 15u);
  EXPECT_EQ(text.substr(0, 15), std::string("hello") + std::string(5, '\0') + "world");
  EXPECT_EQ(file->read_at(100, text).value(), 0u);
  file->truncate(2).value();
  EXPECT_EQ(files_.read_file(directory_ / "a").value(), "he");
}

TEST_F(FilesTest, OpenSaysWhatIsWrong) {
  const OpenOptions read_only;
  const Result<std::unique_ptr<File>> missing = files_.open(directory_ / "none", read_only);
  EXPECT_EQ(missing.error().code, Errc::not_found);
  EXPECT_NE(missing.error().detail.find(directory_ / "none"), std::string::npos);
  create("a");
  OpenOptions exclusive;
  exclusive.write = exclusive.create = exclusive.exclusive = true;
  EXPECT_EQ(files_.open(directory_ / "a", exclusive).error().code, Errc::already_exists);
  auto file = files_.open(directory_ / "a", read_only).value();
  EXPECT_FALSE(file->write_at(0, "x"));
  OpenOptions write;
  write.write = true;
  EXPECT_EQ(files_.open(directory_.path(), write).error().code, Errc::failed_precondition);
  EXPECT_EQ(files_.open(directory_ / "a/b", read_only).error().code, Errc::not_found);
}

// Each level once held an open descriptor, and each folder was made from the root downwards.
TEST_F(FilesTest, AVeryDeepTreeIsMadeListedAndRemoved) {
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  rlimit few = limit;
  few.rlim_cur = std::min<rlim_t>(limit.rlim_cur, 256);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  const std::string top = directory_ / "top";
  std::string path = top;
  for (int i = 0; i < 1900; ++i) path += "/d";
  files_.make_directories(path).value();
  files_.write_file(path + "/file", "x").value();
  files_.write_file(top + "/.removed-0", "in the way").value();
  files_.make_directories(top + "/.removed-1/full").value();
  EXPECT_EQ(files_.list(path)->size(), 1u);
  const Result<void> removed = files_.remove_all(top);
  EXPECT_TRUE(removed) << removed.error().to_string();
  EXPECT_FALSE(files_.info(top));
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
}

TEST_F(FilesTest, DirectoriesAreMadeUpToWhatIsInTheWay) {
  create("file");
  files_.make_symlink("nowhere", directory_ / "dangling").value();
  for (const char* name : {"file/a/b", "dangling/a/b"}) {
    const Error error = files_.make_directories(directory_ / name).error();
    EXPECT_EQ(error.code, Errc::already_exists) << error.to_string();
  }
  files_.make_directories(directory_ / "a//b/c/").value();
  files_.make_directories(directory_ / "a/b/c/d").value();
  EXPECT_EQ(files_.info(directory_ / "a/b/c/d")->type, FileType::directory);
}

TEST_F(FilesTest, ListsSortedWithTypes) {
  create("b")->write_at(0, "12345").value();
  files_.make_directories(directory_ / "c/d/e").value();
  files_.make_directories(directory_ / "c/d/e").value();
  files_.make_symlink("b", directory_ / "a").value();
  const std::vector<FileInfo> entries = files_.list(directory_.path()).value();
  ASSERT_EQ(entries.size(), 3u);
  EXPECT_EQ(entries[0].name, "a");
  EXPECT_EQ(entries[0].type, FileType::symlink);
  EXPECT_EQ(entries[1].size_bytes, 5u);
  EXPECT_EQ(entries[2].type, FileType::directory);
  EXPECT_EQ(files_.read_symlink(directory_ / "a").value(), "b");
  EXPECT_EQ(files_.info(directory_ / "a").value().type, FileType::symlink);
  EXPECT_EQ(files_.info(directory_ / "c/").value().name, "c");
  EXPECT_EQ(files_.list(directory_ / "none").error().code, Errc::not_found);
  EXPECT_FALSE(files_.make_directories(directory_ / "b/x"));
}

TEST_F(FilesTest, ReadsLongSymlinks) {
  const std::string target(1000, 't');
  files_.make_symlink(target, directory_ / "long").value();
  EXPECT_EQ(files_.read_symlink(directory_ / "long").value(), target);
}

TEST_F(FilesTest, RemovesTreesWithoutFollowingLinks) {
  create("keep")->write_at(0, "x").value();
  files_.make_directories(directory_ / "tree/a/b").value();
  files_.make_symlink(directory_.path(), directory_ / "tree/a/out").value();
  create("tree/a/file");
  files_.remove_all(directory_ / "tree").value();
  EXPECT_EQ(files_.list(directory_.path()).value().size(), 1u);
  files_.remove_all(directory_ / "tree").value();
  EXPECT_EQ(files_.remove(directory_ / "tree").error().code, Errc::not_found);
  files_.remove(directory_ / "keep").value();
}

TEST_F(FilesTest, ReplacesAFileAtomically) {
  const std::string path = directory_ / "config";
  files_.write_file(path, "one").value();
  files_.write_file(path, "two", 0600).value();
  EXPECT_EQ(files_.read_file(path).value(), "two");
  EXPECT_EQ(files_.info(path).value().mode, 0600u);
  EXPECT_EQ(files_.list(directory_.path()).value().size(), 1u);  // no temporary is left
  EXPECT_FALSE(files_.write_file(directory_ / "none/config", "x"));
  files_.set_mode(path, 0644).value();
  EXPECT_EQ(files_.info(path).value().mode, 0644u);
}

TEST_F(FilesTest, ReadFileKnowsItsBound) {
  files_.write_file(directory_ / "big", std::string(10'000, 'x')).value();
  EXPECT_EQ(files_.read_file(directory_ / "big", 9'999).error().code, Errc::resource_exhausted);
  EXPECT_EQ(files_.read_file(directory_ / "big", 10'000).value().size(), 10'000u);
  EXPECT_GT(files_.read_file("/proc/self/stat").value().size(), 0u);  // says size 0, is not
}

TEST_F(FilesTest, ALockHasOneHolder) {
  auto held = files_.lock(directory_ / "lock").value();
  Loop other(quiet());
  EXPECT_EQ(other.env().files.lock(directory_ / "lock").error().code, Errc::failed_precondition);
  held.reset();
  EXPECT_TRUE(other.env().files.lock(directory_ / "lock"));
}

TEST_F(FilesTest, AFullDeviceIsResourceExhausted) {
  OpenOptions options;
  options.write = true;
  auto full = files_.open("/dev/full", options);
  if (!full) GTEST_SKIP() << "no /dev/full here";
  EXPECT_EQ((*full)->write_at(0, "x").error().code, Errc::resource_exhausted);
}

TEST_F(FilesTest, TemporaryDirectoriesArePrivateAndDistinct) {
  TemporaryDirectory other;
  EXPECT_NE(other.path(), directory_.path());
  EXPECT_EQ(files_.info(other.path()).value().mode, 0700u);
  const std::string inside = files_.make_temporary_directory(directory_ / "in-").value();
  EXPECT_TRUE(inside.starts_with(directory_ / "in-"));
  files_.sync_directory(inside).value();
}

}  // namespace
}  // namespace knative
