// Layers: packed deterministically, readable by tar, unpacked without leaving the root.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "knative/env.hpp"
#include "knative/oci.hpp"
#include "support/real_world.hpp"
#include "wire/oci_raw_tar.hpp"

namespace knative::oci {
namespace {

namespace fs = std::filesystem;
using testing_tar::Raw;
using testing_tar::raw_tar;

class StringSink : public ByteSink {
 public:
  Result<void> write(std::string_view bytes) override {
    text.append(bytes);
    return {};
  }
  std::string text;
};

class LayerTest : public ::testing::Test {
 protected:
  Files& files() { return loop_.env().files; }
  std::string path(const std::string& name) const { return root_.path() + "/" + name; }
  void write(const std::string& name, const std::string& text, unsigned mode = 0644) {
    const std::string full = path(name);
    fs::create_directories(fs::path(full).parent_path());
    std::ofstream(full) << text;
    ASSERT_EQ(::chmod(full.c_str(), mode), 0);
  }
  std::string read(const std::string& name) { return files().read_file(path(name)).value(); }

  LayerInfo pack(const std::string& tree, std::string& out, LayerOptions options = {},
                 std::string_view prefix = "") {
    StringSink sink;
    LayerWriter writer(sink, options);
    writer.add_tree(files(), path(tree), prefix).value();
    LayerInfo info = writer.finish().value();
    out = std::move(sink.text);
    return info;
  }
  Result<UnpackedLayer> unpack(const std::string& archive, const std::string& into,
                               const UnpackOptions& options = {}) {
    fs::create_directories(path(into));
    const std::unique_ptr<ByteSource> source = memory_source(archive);
    return unpack_layer(files(), *source, path(into), options);
  }
  Error refused(const std::vector<Raw>& entries, const UnpackOptions& options = {}) {
    fs::remove_all(path("jail"));
    Result<UnpackedLayer> result = unpack(raw_tar(entries), "jail/root", options);
    // Nothing but the root may be there, whatever happened.
    EXPECT_EQ(files().list(path("jail")).value().size(), 1u);
    EXPECT_FALSE(result.has_value());
    return result ? Error{} : result.error();
  }

  Loop loop_;
  testing_world::TemporaryDirectory root_;
};

TEST_F(LayerTest, RoundTripsATree) {
  write("in/a.txt", "alpha");
  write("in/bin/run", "#!/bin/sh\n", 0755);
  write("in/deep/er/file", std::string(3'000'000, 'x'));
  write("in/empty", "");
  fs::create_directories(path("in/hollow"));
  fs::create_symlink("../a.txt", path("in/bin/link"));
  std::string blob;
  const LayerInfo info = pack("in", blob);
  EXPECT_EQ(info.blob.digest, Digest::of(blob));
  EXPECT_EQ(info.blob.size_bytes, blob.size());
  EXPECT_EQ(info.blob.media_type, media_type::layer_gzip);
  const UnpackedLayer back = unpack(blob, "out").value();
  EXPECT_EQ(back.diff_id, info.diff_id);
  EXPECT_EQ(back.entries, info.entries);
  EXPECT_EQ(back.tar_bytes, info.tar_bytes);
  EXPECT_EQ(read("out/a.txt"), "alpha");
  EXPECT_EQ(read("out/deep/er/file").size(), 3'000'000u);
  EXPECT_EQ(files().info(path("out/bin/run")).value().mode & 0777, 0755u);
  EXPECT_EQ(files().info(path("out/a.txt")).value().mode & 0777, 0644u);
  EXPECT_EQ(files().read_symlink(path("out/bin/link")).value(), "../a.txt");
  EXPECT_EQ(files().info(path("out/hollow")).value().type, FileType::directory);
}

TEST_F(LayerTest, SameTreeGivesSameBytesWhateverTimesOwnersAndOrder) {
  write("one/a", "1");
  write("one/b/c", "2", 0700);
  write("one/z", "3", 0600);
  write("two/z", "3", 0644);  // other order, other time, other mode bits
  write("two/b/c", "2", 0755);
  write("two/a", "1", 0640);
  const auto long_ago = fs::file_time_type::clock::now() - std::chrono::hours(24 * 365);
  fs::last_write_time(path("two/a"), long_ago);
  fs::last_write_time(path("two/b"), long_ago);
  std::string first, second;
  const LayerInfo one = pack("one", first);
  const LayerInfo two = pack("two", second);
  EXPECT_EQ(first, second);
  EXPECT_EQ(one.blob, two.blob);
  // Pinned: a change of these bytes is a change of every image's digest and must be deliberate.
  EXPECT_EQ(one.diff_id.to_string(),
            "sha256:d83acdcea6f410c89b16622a12f3d2d503c2c8bfbc6b2064a43c44e857da1d70");
}

TEST_F(LayerTest, TimeIsTheGivenOneAndTheGzipHeaderHasNone) {
  write("in/a", "1");
  std::string early, late;
  const LayerInfo one = pack("in", early, {.mtime_seconds = 0});
  const LayerInfo two = pack("in", late, {.mtime_seconds = 1'700'000'000});
  EXPECT_NE(one.diff_id, two.diff_id);
  EXPECT_EQ(early.substr(4, 4), std::string(4, '\0'));
  EXPECT_EQ(static_cast<unsigned char>(early[9]), 255) << "operating system: unknown";
}

TEST_F(LayerTest, WhatCannotBeCompressedIsStoredAndTextBesideItIsNot) {
  Random random(7);
  std::string noise(4 << 20, '\0');
  for (char& byte : noise) byte = static_cast<char>(random());
  write("noise/file", noise);
  write("mixed/file", noise.substr(0, 800 << 10) + std::string(224 << 10, 'x') + noise);
  std::string stored, mixed;
  const LayerInfo info = pack("noise", stored);
  EXPECT_LT(info.blob.size_bytes, info.tar_bytes + info.tar_bytes / 100);
  EXPECT_NE(stored.find(noise.substr(3 << 20, 1000)), std::string::npos) << "compressed in vain";
  pack("mixed", mixed);
  EXPECT_LT(mixed.size(), noise.size() + (820 << 10));
  unpack(stored, "out").value();
  EXPECT_EQ(read("out/file"), noise);
}

TEST_F(LayerTest, ThreadsChangeNoByte) {
  Random random(3);
  std::string mixed;
  while (mixed.size() < (7 << 20)) {
    mixed += random.below(2) == 0 ? std::string(random.below(900'000), 'x')
                                  : std::string(1000, static_cast<char>(random()));
  }
  write("in/a", mixed);
  write("in/b", mixed.substr(0, (1 << 20) - 2048));
  for (const bool gzip : {true, false}) {
    std::string one;
    const LayerInfo alone = pack("in", one, {.gzip = gzip, .threads_max = 1});
    for (const unsigned threads : {0u, 2u, 4u}) {
      std::string several;
      const LayerInfo together = pack("in", several, {.gzip = gzip, .threads_max = threads});
      EXPECT_EQ(several, one) << threads;
      EXPECT_EQ(together.diff_id, alone.diff_id);
      EXPECT_EQ(together.blob, alone.blob);
    }
    const LayerInfo quiet = pack("in", one, {.gzip = gzip, .blob_digest = false});
    EXPECT_TRUE(quiet.blob.digest.empty());
    EXPECT_EQ(quiet.blob.size_bytes, alone.blob.size_bytes);
  }
}

class FullSink : public ByteSink {
 public:
  Result<void> write(std::string_view bytes) override {
    room_ -= std::min(room_, bytes.size());
    return room_ > 0 ? Result<void>() : fail(Errc::resource_exhausted, "the disk is full");
  }

 private:
  std::size_t room_ = 10'000;
};

TEST_F(LayerTest, ASinkThatIsFullEndsItWhateverIsUnderWay) {
  Random random(5);
  std::string noise(9 << 20, '\0');
  for (char& byte : noise) byte = static_cast<char>(random());
  for (const unsigned threads : {1u, 4u}) {
    FullSink sink;
    LayerWriter writer(sink, {.threads_max = threads});
    EXPECT_EQ(writer.add_file("a", noise).error().code, Errc::resource_exhausted);
  }
}

TEST_F(LayerTest, TarReadsWhatWeWriteAndWeReadWhatTarWrites) {
  const std::string longish(60, 'd');
  write("in/" + longish + "/" + longish + "/" + std::string(90, 'f'), "long");
  write("in/" + std::string(200, 'g'), "too long for ustar");
  write("in/umlaut-\xc3\xa4", "utf-8");
  fs::create_symlink(std::string(150, 'l'), path("in/link"));
  std::string blob;
  pack("in", blob);
  std::ofstream(path("layer.tgz"), std::ios::binary) << blob;
  ASSERT_EQ(
      std::system(("mkdir " + path("ours") + " && tar -xzf " + path("layer.tgz") + " -C " +
                   path("ours") + " && diff -r --no-dereference " + path("in") + " " + path("ours"))
                      .c_str()),
      0);
  const std::vector<std::string> formats{
      "gnu", "pax", "ustar --exclude='" + std::string(200, 'g') + "' --exclude=link"};
  for (const std::string& format : formats) {
    fs::remove_all(path("theirs"));
    ASSERT_EQ(std::system(("tar -cf " + path("their.tar") + " --format=" + format + " -C " +
                           path("in") + " .")
                              .c_str()),
              0);
    ASSERT_TRUE(unpack(files().read_file(path("their.tar")).value(), "theirs")) << format;
    EXPECT_EQ(read("theirs/umlaut-\xc3\xa4"), "utf-8");
    EXPECT_EQ(read("theirs/" + longish + "/" + longish + "/" + std::string(90, 'f')), "long");
  }
}

TEST_F(LayerTest, NamesMustAscendAndBeClean) {
  StringSink sink;
  LayerWriter writer(sink);
  EXPECT_TRUE(writer.add_directory("a"));
  EXPECT_TRUE(writer.add_file("a/x", "1"));
  EXPECT_TRUE(writer.add_file("a.b", "1")) << "after everything in a";
  EXPECT_EQ(writer.add_file("a/y", "1").error().code, Errc::invalid_argument);
  EXPECT_EQ(writer.add_file("a.b", "1").error().code, Errc::invalid_argument);
  for (const char* wrong : {"", "/b", "b/../c", "b//c", "./b", "b/"}) {
    EXPECT_FALSE(writer.add_file(wrong, "1")) << wrong;
  }
}

// They would come out of the layer as removals.
TEST_F(LayerTest, NamesOfWhiteoutsAreRefusedByName) {
  StringSink sink;
  LayerWriter writer(sink);
  for (const char* name : {".wh.x", "a/.wh.x", "a/.wh..wh..opq", ".wh.d/file", ".wh."}) {
    for (const Result<void>& added :
         {writer.add_file(name, "1"), writer.add_directory(name), writer.add_symlink(name, "x")}) {
      ASSERT_FALSE(added) << name;
      EXPECT_EQ(added.error().code, Errc::invalid_argument);
      EXPECT_NE(added.error().detail.find("\"" + std::string(name) + "\""), std::string::npos)
          << added.error().detail;
    }
  }
  EXPECT_TRUE(writer.add_file(".what", "1"));
  write("in/b/.wh.x", "1");
  const Result<void> tree = writer.add_tree(files(), path("in"), "t");
  ASSERT_FALSE(tree);
  EXPECT_NE(tree.error().detail.find("\"t/b/.wh.x\""), std::string::npos) << tree.error().detail;
}

TEST_F(LayerTest, AFileThatChangesWhilePackedIsAnError) {
  StringSink sink;
  LayerWriter writer(sink);
  const std::unique_ptr<ByteSource> shorter = memory_source("abc");
  EXPECT_EQ(writer.add_file("a", 4, *shorter, false).error().code, Errc::failed_precondition);
  const std::unique_ptr<ByteSource> longer = memory_source("abcde");
  EXPECT_EQ(writer.add_file("b", 4, *longer, false).error().code, Errc::failed_precondition);
}

TEST_F(LayerTest, PrefixBringsItsParentsAndExcludeLeavesOut) {
  write("in/a", "1");
  write("in/.git/config", "x");
  StringSink sink;
  LayerWriter writer(sink);
  writer.add_tree(files(), path("in"), "opt/app", {".git"}).value();
  EXPECT_EQ(writer.finish().value().entries, 3u);  // opt, opt/app, opt/app/a
  ASSERT_TRUE(unpack(sink.text, "out"));
  EXPECT_EQ(read("out/opt/app/a"), "1");
}

// ---------------------------------------------------------------------------- hostile archives

TEST_F(LayerTest, RefusesNamesThatLeaveTheRoot) {
  for (const char* name : {"../evil", "a/../../evil", "..", "a/.."}) {
    const Error error = refused({{.name = name, .content = "x"}});
    EXPECT_EQ(error.code, Errc::invalid_argument) << name;
    EXPECT_NE(error.detail.find(name), std::string::npos) << error.detail;
  }
}

TEST_F(LayerTest, WritesThroughLinksStayInsideTheRoot) {
  const std::string outside = path("outside");
  fs::create_directories(outside);
  const auto tar = raw_tar({{.name = "abs", .type = '2', .content = "", .link = outside},
                            {.name = "abs/file", .content = "x"},
                            {.name = "up", .type = '2', .content = "", .link = "../../outside"},
                            {.name = "up/file2", .content = "y"}});
  ASSERT_TRUE(unpack(tar, "jail/root"));
  EXPECT_TRUE(fs::is_empty(outside));
  EXPECT_EQ(read("jail/root" + outside + "/file"), "x");
  EXPECT_EQ(read("jail/root/outside/file2"), "y");
}

TEST_F(LayerTest, AFileOverALinkReplacesTheLink) {
  write("victim", "precious");
  const auto tar = raw_tar({{.name = "link", .type = '2', .content = "", .link = path("victim")},
                            {.name = "link", .content = "overwritten"}});
  ASSERT_TRUE(unpack(tar, "jail/root"));
  EXPECT_EQ(read("victim"), "precious");
  EXPECT_EQ(read("jail/root/link"), "overwritten");
}

TEST_F(LayerTest, HardLinksCopyFromInsideOnly) {
  write("victim", "precious");
  EXPECT_EQ(refused({{.name = "h", .type = '1', .content = "", .link = "../../victim"}}).code,
            Errc::invalid_argument);
  EXPECT_EQ(refused({{.name = "h", .type = '1', .content = "", .link = path("victim")}}).code,
            Errc::invalid_argument);
  EXPECT_EQ(refused({{.name = "h", .type = '1', .content = "", .link = "missing"}}).code,
            Errc::invalid_argument);
  ASSERT_TRUE(unpack(raw_tar({{.name = "a", .content = "same"},
                              {.name = "b", .type = '1', .content = "", .link = "a"}}),
                     "ok"));
  EXPECT_EQ(read("ok/b"), "same");
}

TEST_F(LayerTest, LinkLoopsEnd) {
  EXPECT_EQ(refused({{.name = "a", .type = '2', .content = "", .link = "b"},
                     {.name = "b", .type = '2', .content = "", .link = "a"},
                     {.name = "a/file", .content = "x"}})
                .code,
            Errc::invalid_argument);
}

TEST_F(LayerTest, LinksLeadNoDeeperThanTheBoundOfFolders) {
  const std::vector<Raw> linked = {{.name = "a/b/c/", .type = '5', .content = ""},
                                   {.name = "l", .type = '2', .content = "", .link = "a/b/c"},
                                   {.name = "l/d/e/f", .content = "x"}};
  EXPECT_TRUE(unpack(raw_tar(linked), "five", {.depth_max = 5}));
  const Error error = unpack(raw_tar(linked), "four", {.depth_max = 4}).error();
  EXPECT_EQ(error.code, Errc::resource_exhausted);
  EXPECT_NE(error.detail.find("more than 4 folders deep"), std::string::npos) << error.detail;
}

TEST_F(LayerTest, SourceArchivesMayNotLinkOutside) {
  const UnpackOptions strict{.refuse_escaping_links = true};
  for (const char* target : {"/etc/passwd", "../x", "a/../../x"}) {
    EXPECT_EQ(refused({{.name = "l", .type = '2', .content = "", .link = target}}, strict).code,
              Errc::invalid_argument)
        << target;
  }
  ASSERT_TRUE(
      unpack(raw_tar({{.name = "d/l", .type = '2', .content = "", .link = "../x"}}), "ok", strict));
}

TEST_F(LayerTest, SourceArchivesHaveNoDevicesAndNoUnknownTypes) {
  for (const char type : {'3', '4', '6'}) {
    const Error error = refused({{.name = "dev", .type = type}}, {.whiteouts = false});
    EXPECT_EQ(error.code, Errc::invalid_argument);
    EXPECT_NE(error.detail.find("\"dev\""), std::string::npos);
  }
  EXPECT_EQ(refused({{.name = "x", .type = 'Z'}}).code, Errc::unimplemented);
}

TEST_F(LayerTest, SetIdBitsAreDroppedAndDirectoriesStayUsable) {
  ASSERT_TRUE(unpack(raw_tar({{.name = "d/", .type = '5', .content = "", .link = "", .mode = 0},
                              {.name = "d/f", .content = "x", .link = "", .mode = 06755}}),
                     "out"));
  struct stat info {};
  ASSERT_EQ(::stat(path("out/d/f").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0755u);
}

TEST_F(LayerTest, BoundsStopBombs) {
  write("in/zeros", std::string(4 << 20, '\0'));
  std::string blob;
  pack("in", blob);
  ASSERT_LT(blob.size(), 40'000u);
  EXPECT_EQ(unpack(blob, "a", {.bytes_max = 1 << 20}).error().code, Errc::resource_exhausted);
  std::vector<Raw> many;
  for (int i = 0; i < 100; ++i) many.push_back({.name = "f" + std::to_string(i)});
  EXPECT_EQ(unpack(raw_tar(many), "b", {.entries_max = 99}).error().code, Errc::resource_exhausted);
  std::vector<Raw> links{{.name = "a", .content = std::string(1000, 'x')}};
  for (int i = 0; i < 100; ++i) {
    links.push_back({.name = "h" + std::to_string(i), .type = '1', .content = "", .link = "a"});
  }
  EXPECT_EQ(unpack(raw_tar(links), "c", {.bytes_max = 80'000}).error().code,
            Errc::resource_exhausted);
  EXPECT_EQ(unpack(raw_tar({{.name = "x", .type = 'L', .content = std::string(2 << 20, 'n')}}), "d")
                .error()
                .code,
            Errc::resource_exhausted);
}

TEST_F(LayerTest, SaysWhatIsNoArchive) {
  EXPECT_EQ(unpack("", "a", {.whiteouts = false}).error().code, Errc::invalid_argument);
  EXPECT_EQ(unpack("hello", "b").error().code, Errc::invalid_argument);
  EXPECT_EQ(unpack(std::string(2000, 'x'), "c").error().code, Errc::invalid_argument);
  EXPECT_EQ(unpack("\x28\xb5\x2f\xfd" + std::string(100, 'x'), "d").error().code, Errc::data_loss);
  EXPECT_EQ(unpack("BZh91AY&SY", "f").error().code, Errc::unimplemented);
  EXPECT_EQ(unpack("\x1f\x8b" + std::string(100, 'x'), "e").error().code, Errc::data_loss);
}

TEST_F(LayerTest, EveryTruncationIsNoticed) {
  write("in/a", "alpha");
  write("in/b", std::string(700, 'b'));
  std::string blob;
  pack("in", blob);
  for (std::size_t length = 1; length < blob.size(); ++length) {
    Result<UnpackedLayer> result = unpack(blob.substr(0, length), "cut");
    EXPECT_FALSE(result.has_value()) << length;
  }
}

TEST_F(LayerTest, DamageNeverCrashes) {
  write("in/a", "alpha");
  fs::create_symlink("a", path("in/l"));
  std::string blob;
  pack("in", blob, {.gzip = false});
  Random random(7);
  for (int round = 0; round < 2000; ++round) {
    std::string damaged = blob;
    for (int i = 0; i < 3; ++i) {
      damaged[random.below(damaged.size())] = static_cast<char>(random.below(256));
    }
    (void)unpack(damaged, "damage/root");
    ASSERT_EQ(files().list(path("damage")).value().size(), 1u);
  }
}

TEST_F(LayerTest, ReadsSeveralGzipMembersAndPadding) {
  write("in/a", std::string(2'500'000, 'q'));
  std::string blob;
  pack("in", blob);
  EXPECT_TRUE(unpack(blob + std::string(512, '\0'), "a"));
  EXPECT_EQ(unpack(blob + "garbage", "b").error().code, Errc::data_loss);
}

// ---------------------------------------------------------------------------- whiteouts

TEST_F(LayerTest, WhiteoutsHideLowerLayersOnly) {
  write("root/gone", "1");
  write("root/dir/old", "1");
  write("root/dir/sub/old", "1");
  write("root/kept", "1");
  ASSERT_TRUE(unpack(raw_tar({{.name = ".wh.gone"},
                              {.name = "dir/new", .content = "2"},
                              {.name = "dir/sub/new", .content = "2"},
                              {.name = "dir/.wh..wh..opq"},
                              {.name = "again", .content = "2"},
                              {.name = ".wh.again"}}),
                     "root"));
  EXPECT_FALSE(fs::exists(path("root/gone")));
  EXPECT_FALSE(fs::exists(path("root/dir/old")));
  EXPECT_FALSE(fs::exists(path("root/dir/sub/old")));
  EXPECT_EQ(read("root/dir/new"), "2");
  EXPECT_EQ(read("root/dir/sub/new"), "2");
  EXPECT_EQ(read("root/kept"), "1");
  EXPECT_EQ(read("root/again"), "2");
  EXPECT_EQ(refused({{.name = ".wh."}}).code, Errc::invalid_argument);
  EXPECT_EQ(refused({{.name = "a/.wh..."}}).code, Errc::invalid_argument);
}

TEST_F(LayerTest, AFileReplacesADirectoryAndBack) {
  write("root/x/inner", "1");
  ASSERT_TRUE(unpack(raw_tar({{.name = "x", .content = "file"}}), "root"));
  EXPECT_EQ(read("root/x"), "file");
  ASSERT_TRUE(
      unpack(raw_tar({{.name = "x/", .type = '5'}, {.name = "x/y", .content = "2"}}), "root"));
  EXPECT_EQ(read("root/x/y"), "2");
}

}  // namespace
}  // namespace knative::oci
