// Layers that other tools make: whatever Docker and containerd take, nothing outside the root.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "knative/env.hpp"
#include "knative/oci.hpp"
#include "support/forwarding_files.hpp"
#include "support/real_world.hpp"
#include "wire/oci_raw_tar.hpp"

namespace knative::oci {
namespace {

namespace fs = std::filesystem;
using namespace testing_tar;

class ForeignLayer : public ::testing::Test {
 protected:
  Files& files() { return loop_.env().files; }
  std::string path(const std::string& name) const { return root_.path() + "/" + name; }
  std::string read(const std::string& name) { return files().read_file(path(name)).value(); }

  Result<UnpackedLayer> unpack_with(Files& files, const std::string& archive,
                                    const std::string& into, const UnpackOptions& options = {}) {
    fs::create_directories(path(into));
    const std::unique_ptr<ByteSource> source = memory_source(archive);
    return unpack_layer(files, *source, path(into), options);
  }
  Result<UnpackedLayer> unpack(const std::string& archive, const std::string& into,
                               const UnpackOptions& options = {}) {
    return unpack_with(files(), archive, into, options);
  }
  void expect_taken(const std::string& archive, const std::string& into) {
    const Result<UnpackedLayer> layer = unpack(archive, into);
    ASSERT_TRUE(layer) << layer.error().to_string();
    EXPECT_EQ(layer->diff_id, Digest::of(archive));
  }
  void expect_refused(const std::string& archive, Errc code, const std::string& why) {
    fs::remove_all(path("refused"));
    const Result<UnpackedLayer> layer = unpack(archive, "refused/root");
    ASSERT_FALSE(layer) << why;
    EXPECT_EQ(layer.error().code, code) << layer.error().detail;
    EXPECT_NE(layer.error().detail.find(why), std::string::npos) << layer.error().detail;
    EXPECT_EQ(files().list(path("refused"))->size(), 1u);
  }
  // All names below a folder with what they are.
  std::string listing(const std::string& name) {
    std::string text;
    std::vector<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(path(name))) {
      names.push_back(entry.path().string().substr(path(name).size()));
    }
    std::sort(names.begin(), names.end());
    for (const std::string& each : names) {
      text += each;
      if (files().info(path(name) + each)->type == FileType::regular)
        text += "=" + read(name + each);
      text += "\n";
    }
    return text;
  }
  bool shell(const std::string& command) {
    return std::system(("cd " + root_.path() + " && { " + command + "; } >output 2>&1").c_str()) ==
           0;
  }
  static bool have(const std::string& tool) {
    return std::system(("command -v " + tool + " >/dev/null 2>&1").c_str()) == 0;
  }

  Loop loop_;
  testing_world::TemporaryDirectory root_;
};

// ---------------------------------------------------------------------------- names

// As ko, kaniko and Bazel write them.
TEST_F(ForeignLayer, AbsoluteNamesAndTargetsOfHardLinksMeanTheRoot) {
  std::ofstream(path("victim")) << "precious";
  expect_taken(raw_tar({{.name = "/", .type = '5', .mode = 0750},
                        {.name = "/app/s.py", .content = "print()", .mode = 0555},
                        {.name = "/app/again", .type = '1', .link = "/app/s.py"},
                        {.name = "//app//./third", .type = '1', .link = "//app/../app/s.py"},
                        {.name = "/../../up", .content = "still inside"},
                        {.name = "a/../beside", .content = "beside"},
                        {.name = path("victim").substr(1), .content = "mine"}}),
               "out");
  EXPECT_EQ(read("out/app/s.py"), "print()");
  EXPECT_EQ(read("out/app/again"), "print()");
  EXPECT_EQ(read("out/app/third"), "print()");
  EXPECT_EQ(read("out/up"), "still inside");
  EXPECT_EQ(read("out/beside"), "beside");
  EXPECT_FALSE(fs::exists(path("out/a"))) << "no folder of that name was asked for";
  EXPECT_EQ(read("victim"), "precious");
  EXPECT_EQ(files().info(path("out"))->mode & 0777, 0750u);
  EXPECT_EQ(files().info(path("out/app/again"))->mode & 0777, 0555u);
}

TEST_F(ForeignLayer, RootEntriesOfEveryFormAreTaken) {
  for (const char* name : {"/", "./", ".", "//", "/."}) {
    expect_taken(raw_tar({{.name = name, .type = '5', .mode = 0}, {.name = "f", .content = "x"}}),
                 "out");
    EXPECT_EQ(read("out/f"), "x") << name;
  }
  expect_refused(raw_tar({{.name = "/.", .type = '2', .link = "/etc"}}), Errc::invalid_argument,
                 "has no name");
  expect_refused(raw_tar({{.name = "h", .type = '1', .link = "/"}}), Errc::invalid_argument,
                 "hard link to nothing");
  expect_refused(raw_tar({{.name = "h", .type = '1', .link = "../../victim"}}),
                 Errc::invalid_argument, "leads out");
}

TEST_F(ForeignLayer, ALayerOfNoBytesHasNoFiles) {
  EXPECT_EQ(unpack("", "out")->diff_id, Digest::of(""));
  std::array<char, 8> into;
  EXPECT_EQ(memory_source(std::string_view())->read(into).value(), 0u);
  EXPECT_EQ(unpack(std::string(1024, '\0'), "out")->entries, 0u);
}

// As umoci inserts files.
TEST_F(ForeignLayer, AnArchiveMayEndWithItsLastByteOfContent) {
  const std::string whole = raw_entry({.name = "a", .content = "1"}) + raw_entry({.name = "f"});
  const std::string cut = whole + bytes_of(raw_header({.name = "b", .content = "last"})) + "last";
  expect_taken(cut, "out");
  EXPECT_EQ(listing("out"), "/a=1\n/b=last\n/f=\n");
  expect_refused(cut.substr(0, cut.size() - 1), Errc::data_loss, "truncated");
}

TEST_F(ForeignLayer, AHardLinkToItsOwnNameChangesNothing) {
  expect_taken(raw_tar({{.name = "f", .content = "x"}, {.name = "f", .type = '1', .link = "/f"}}),
               "out");
  EXPECT_EQ(read("out/f"), "x");
}

TEST_F(ForeignLayer, LinkTargetsWithZeroBytesOrWithoutEndAreRefused) {
  const auto pax_link = [](const std::string& target) {
    return raw_entry({.name = "pax", .type = 'x', .content = pax_record("linkpath", target)}) +
           raw_tar({{.name = "l", .type = '2'}});
  };
  expect_refused(pax_link(std::string("a\0b", 3)), Errc::invalid_argument, "zero byte");
  expect_refused(pax_link(std::string(5000, 'a')), Errc::invalid_argument, "too long");
}

// A file system that takes "A" and "a" for one name, as they exist.
class CaseFolding : public testing_support::ForwardingFiles {
 public:
  CaseFolding(Files& files, std::string root) : ForwardingFiles(files), root_(std::move(root)) {}
  std::string fold(std::string name) const {
    for (std::size_t i = root_.size(); i < name.size(); ++i) {
      name[i] = static_cast<char>(std::tolower(static_cast<unsigned char>(name[i])));
    }
    return name;
  }
  Result<std::unique_ptr<File>> open(const std::string& name, const OpenOptions& how) override {
    return files_.open(fold(name), how);
  }
  Result<FileInfo> info(const std::string& name) override { return files_.info(fold(name)); }
  Result<void> make_directories(const std::string& name) override {
    return files_.make_directories(fold(name));
  }
  Result<void> make_symlink(const std::string& target, const std::string& name) override {
    return files_.make_symlink(target, fold(name));
  }
  Result<std::string> read_symlink(const std::string& name) override {
    return files_.read_symlink(fold(name));
  }
  Result<void> set_mode(const std::string& name, unsigned mode) override {
    return files_.set_mode(fold(name), mode);
  }
  Result<void> remove_all(const std::string& name) override {
    return files_.remove_all(fold(name));
  }

 private:
  std::string root_;
};

TEST_F(ForeignLayer, NoTrickWithCaseLeadsOut) {
  fs::create_directories(path("outside"));
  CaseFolding folding(files(), path("jail/root"));
  const std::string archive = raw_tar({{.name = "dir/", .type = '5'},
                                       {.name = "dir/a", .content = "1"},
                                       {.name = "DIR", .type = '2', .link = path("outside")},
                                       {.name = "dir/b", .content = "2"},
                                       {.name = "Dir/c", .content = "3"}});
  const Result<UnpackedLayer> layer = unpack_with(folding, archive, "jail/root");
  EXPECT_TRUE(layer) << layer.error().to_string();
  EXPECT_TRUE(fs::is_empty(path("outside")));
  EXPECT_EQ(files().list(path("jail"))->size(), 1u);
}

// ---------------------------------------------------------------------------- depth and bounds

// Counts how often a path is walked.
class Counting : public testing_support::ForwardingFiles {
 public:
  using ForwardingFiles::ForwardingFiles;
  Result<FileInfo> info(const std::string& name) override {
    ++walks;
    return files_.info(name);
  }
  Result<void> make_directories(const std::string& name) override {
    ++walks;
    return files_.make_directories(name);
  }
  std::size_t walks = 0;
};

TEST_F(ForeignLayer, AFile1900FoldersDeepTakesAFewLooksAtEachFolder) {
  std::string name;
  for (int i = 0; i < 1900; ++i) name += "d/";
  const std::string archive =
      raw_entry({.name = "pax", .type = 'x', .content = pax_record("path", name + "file")}) +
      raw_entry({.name = "short", .content = "deep"}) +
      raw_entry({.name = "pax", .type = 'x', .content = pax_record("path", name + "more")}) +
      raw_tar({{.name = "short", .content = "deeper"}});
  Counting counting(files());
  const Result<UnpackedLayer> layer = unpack_with(counting, archive, "o");
  ASSERT_TRUE(layer) << layer.error().to_string();
  EXPECT_EQ(read("o/" + name + "file"), "deep");
  EXPECT_EQ(read("o/" + name + "more"), "deeper");
  EXPECT_EQ(layer->extra_folders, 1900u);
  EXPECT_LE(counting.walks, 2u * 1900u + 10u);
  EXPECT_TRUE(files().remove_all(path("o")));
  const Error error = unpack(archive, "few", {.entries_max = 1000}).error();
  EXPECT_EQ(error.code, Errc::resource_exhausted) << "folders without an entry count, too";
  EXPECT_TRUE(files().remove_all(path("few")));
}

// Has every folder "d" and a link "l", and takes no time for them.
class Endless : public testing_support::ForwardingFiles {
 public:
  using ForwardingFiles::ForwardingFiles;
  Result<FileInfo> info(const std::string& name) override {
    FileInfo there;
    there.type = name.ends_with("/l") ? FileType::symlink : FileType::directory;
    return there;
  }
  Result<void> set_mode(const std::string&, unsigned) override { return {}; }
  Result<void> remove_all(const std::string&) override { return {}; }
  Result<void> make_symlink(const std::string&, const std::string&) override { return {}; }
};

// A link that is replaced again and again makes every folder unknown again.
TEST_F(ForeignLayer, TheNumberOfLooksIsBounded) {
  std::string folders;
  for (int i = 0; i < 1000; ++i) folders += "d/";
  const std::string deep =
      raw_entry({.name = "pax", .type = 'x', .content = pax_record("path", folders)}) +
      raw_entry({.name = "d", .type = '5'}) + raw_entry({.name = "l", .type = '2', .link = "x"});
  std::string archive;
  for (int i = 0; i < 600; ++i) archive += deep;
  Endless endless(files());
  const Result<UnpackedLayer> layer = unpack_with(endless, archive, "out");
  ASSERT_FALSE(layer);
  EXPECT_EQ(layer.error().code, Errc::resource_exhausted) << layer.error().detail;
  EXPECT_NE(layer.error().detail.find("too many folders"), std::string::npos);
}

// ---------------------------------------------------------------------------- headers

TEST_F(ForeignLayer, HeadersFromBeforePosixAreRead) {
  const auto old_entry = [](const Raw& raw, bool signed_sum) {
    tar::Header header = raw_header(raw);
    header.magic.fill('\0');
    header.version.fill('\0');
    header.prefix.fill('x');  // means nothing without the magic
    std::int64_t sum = tar::checksum(header);
    if (signed_sum) {
      for (const char c : bytes_of(header)) {
        if (static_cast<signed char>(c) < 0) sum -= 256;
      }
    }
    header.checksum.fill(' ');
    put(header.checksum, octal(static_cast<std::uint64_t>(sum), 6));
    return bytes_of(header) + padded(raw.content);
  };
  const std::string archive =
      old_entry({.name = "dir/", .type = '\0', .mode = 0755}, false) +
      old_entry({.name = "dir/\xc3\xa4", .type = '\0', .content = "x"}, true) +
      old_entry({.name = "c", .type = '7', .content = "contiguous"}, false) +
      std::string(1024, '\0');
  expect_taken(archive, "out");
  EXPECT_EQ(read("out/dir/\xc3\xa4"), "x");
  EXPECT_EQ(read("out/c"), "contiguous");
}

TEST_F(ForeignLayer, PaxRecordsWinAndEmptyOnesTakeBack) {
  const std::string global =
      raw_entry({.name = "pax_global_header", .type = 'g', .content = pax_record("comment", "c")});
  const std::string taken_back = pax_record("path", "wrong") + pax_record("path", "") +
                                 pax_record("SCHILY.xattr.user.x", std::string("\0\n=", 3)) +
                                 pax_record("mtime", "1.5") + pax_record("size", "");
  const std::string archive =
      global + raw_entry({.name = "pax", .type = 'x', .content = taken_back}) +
      raw_entry({.name = "right", .content = "1"}) +
      raw_entry({.name = "././@LongLink", .type = 'L', .content = std::string("long/name\0", 10)}) +
      raw_entry({.name = "long/na", .content = "2"}) +
      raw_entry({.name = "././@LongLink", .type = 'K', .content = std::string("long/name\0", 10)}) +
      raw_tar({{.name = "hard", .type = '1', .link = "long/na"}});
  expect_taken(archive, "out");
  EXPECT_EQ(read("out/right"), "1");
  EXPECT_EQ(read("out/hard"), "2");
}

// ---------------------------------------------------------------------------- sparse files

TEST_F(ForeignLayer, SparseFilesOfEveryKindComeOutWhole) {
  std::string expected;
  ASSERT_TRUE(
      shell("mkdir in && truncate -s 3M in/sparse && for at in 0 5 17 40 41 99 300 500; do "
            "printf 'piece at %s' $at | dd of=in/sparse bs=4096 seek=$at conv=notrunc; done; "
            "truncate -s 1M in/hollow; cp in/sparse in/many; for at in $(seq 1 2 180); do "
            "printf $at | dd of=in/many bs=8192 seek=$at conv=notrunc; done; "
            "printf %512s dense > in/dense"))
      << read("output");
  for (const std::string& how :
       {std::string("gnu"), std::string("posix --sparse-version=0.0"),
        std::string("posix --sparse-version=0.1"), std::string("posix --sparse-version=1.0")}) {
    ASSERT_TRUE(shell("tar -cSf a.tar --hole-detection=raw --format=" + how + " -C in .")) << how;
    fs::remove_all(path("out"));
    const std::string archive = read("a.tar");
    ASSERT_LT(archive.size(), 2u << 20) << "not sparse at all: " << how;
    expect_taken(archive, "out");
    EXPECT_TRUE(shell("diff -r in out")) << how << "\n" << read("output");
    EXPECT_EQ(files().info(path("out/hollow"))->size_bytes, 1u << 20) << how;
    const std::size_t end = archive.find_last_not_of('\0');
    for (std::size_t length = 700; length < end; length += 4999) {
      if (length % tar::block_bytes == 0) continue;  // between two entries it is an archive
      EXPECT_FALSE(unpack(archive.substr(0, length), "cut")) << how << " cut at " << length;
    }
  }
}

TEST_F(ForeignLayer, SparseMapsThatLieAreRefused) {
  const auto sparse = [](const std::string& map, const std::string& size,
                         const std::string& content) {
    const std::string records =
        pax_record("GNU.sparse.major", "0") + pax_record("GNU.sparse.minor", "1") +
        pax_record("GNU.sparse.name", "s") + pax_record("GNU.sparse.size", size) +
        pax_record("GNU.sparse.map", map);
    return raw_entry({.name = "pax", .type = 'x', .content = records}) +
           raw_tar({{.name = "GNUSparseFile.0/s", .content = content}});
  };
  expect_taken(sparse("1,2,5,1", "8", "abc"), "good");
  EXPECT_EQ(read("good/s"), std::string("\0ab\0\0c\0\0", 8));
  for (const char* map : {"1,2,2,1", "5,1,1,2", "0,3,9,0", "0,2", "0,4", "0", "0,1,1", "7,3", "0,x",
                          "0,99999999999999999999", "1,2,5,-1"}) {
    expect_refused(sparse(map, "8", "abc"), Errc::data_loss, "sparse map");
  }
  expect_refused(sparse("0,3", "9999999999999", "abc"), Errc::resource_exhausted,
                 "unpacks to more");
  const std::string v1 = pax_record("GNU.sparse.major", "1") + pax_record("GNU.sparse.minor", "0") +
                         pax_record("GNU.sparse.name", "s") +
                         pax_record("GNU.sparse.realsize", "8");
  for (const std::string& content : {std::string("99999999\n"), std::string("x\n"),
                                     std::string("1\n0\n"), std::string(600, '1')}) {
    const std::string archive = raw_entry({.name = "pax", .type = 'x', .content = v1}) +
                                raw_tar({{.name = "s", .content = padded(content)}});
    EXPECT_FALSE(unpack(archive, "v1")) << content;
  }
}

// ---------------------------------------------------------------------------- pipes and devices

TEST_F(ForeignLayer, PipesAreMadeAndDevicesReported) {
  const std::string archive = raw_tar(
      {{.name = "/run/pipe", .type = '6', .mode = 0620},
       {.name = "run/same", .type = '1', .link = "/run/pipe"},
       {.name = "/dev/null", .type = '3', .mode = 0666, .device_major = 1, .device_minor = 3},
       {.name = "dev/again", .type = '1', .link = "dev/null"},
       {.name = "dev/sda", .type = '4', .mode = 0600, .device_major = 8}});
  const Result<UnpackedLayer> layer = unpack(archive, "out");
  ASSERT_TRUE(layer) << layer.error().to_string();
  for (const char* name : {"out/run/pipe", "out/run/same"}) {
    struct stat status {};
    ASSERT_EQ(::lstat(path(name).c_str(), &status), 0) << name;
    EXPECT_TRUE(S_ISFIFO(status.st_mode)) << name;
    EXPECT_EQ(status.st_mode & 0777, 0620u) << name;
  }
  EXPECT_TRUE(fs::is_empty(path("out/dev"))) << "a device leads to this machine's hardware";
  using Kind = SpecialFile::Kind;
  const std::vector<SpecialFile> expected = {{"dev/null", Kind::character_device, 0666, 1, 3},
                                             {"dev/again", Kind::character_device, 0666, 1, 3},
                                             {"dev/sda", Kind::block_device, 0600, 8, 0}};
  EXPECT_EQ(layer->losses.skipped, expected);
}

TEST_F(ForeignLayer, DevicesAreMadeWhereAskedAndAllowed) {
  const SpecialFile null{.name = "null",
                         .kind = SpecialFile::Kind::character_device,
                         .mode = 0666,
                         .major = 1,
                         .minor = 3};
  const bool allowed = files().make_special(path("trial"), null).has_value();
  const std::string archive =
      raw_tar({{.name = "null", .type = '3', .mode = 0666, .device_major = 1, .device_minor = 3}});
  const Result<UnpackedLayer> layer = unpack(archive, "out", {.make_devices = true});
  ASSERT_TRUE(layer) << layer.error().to_string();
  EXPECT_EQ(layer->losses.skipped.size(), allowed ? 0u : 1u);
  if (!allowed) return;
  EXPECT_EQ(files().special(path("out/null")).value(), null);
}

class PipelessFiles : public testing_support::ForwardingFiles {
 public:
  using ForwardingFiles::ForwardingFiles;
  Result<void> make_special(const std::string& path, const SpecialFile& file) override {
    return Files::make_special(path, file);
  }
};

TEST_F(ForeignLayer, FilesThatKnowNoPipesReportThem) {
  PipelessFiles plain(files());
  const Result<UnpackedLayer> layer =
      unpack_with(plain, raw_tar({{.name = "p", .type = '6'}}), "out");
  ASSERT_TRUE(layer) << layer.error().to_string();
  ASSERT_EQ(layer->losses.skipped.size(), 1u);
  EXPECT_EQ(layer->losses.skipped[0].kind, SpecialFile::Kind::pipe);
}

TEST_F(ForeignLayer, WhatARootOfAContainerHasIsKeptWhenAsked) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root gives files away";
  files().make_directories(path("in/home/ann")).value();
  files().write_file(path("in/home/ann/key"), "secret").value();
  files().make_hard_link(path("in/home/ann/key"), path("in/home/again")).value();
  files().make_symlink("key", path("in/home/ann/link")).value();
  const bool noted = files().set_attribute(path("in/home/ann/key"), "user.note", "n").has_value();
  files().set_owner(path("in/home/ann/key"), 1234, 2345).value();
  files().set_owner(path("in/home/ann/link"), 1234, 2345).value();
  files().set_mode(path("in/home/ann/key"), 04600).value();
  files().set_owner(path("in/home/ann"), 1234, 2345).value();
  files().set_mode(path("in/home/ann"), 0500).value();
  files().set_modified(path("in/home/ann/key"), 1'000'000'000'123'456'789).value();
  files().set_modified(path("in/home/ann"), 86'400'000'000'000).value();
  ASSERT_TRUE(shell("tar --format=pax --xattrs --numeric-owner -C in -cf a.tar ."));
  const Result<UnpackedLayer> layer = unpack(read("a.tar"), "out", {.preserve = true});
  ASSERT_TRUE(layer) << layer.error().to_string();
  const FileInfo key = files().info(path("out/home/ann/key")).value();
  EXPECT_EQ(key.owner, 1234u);
  EXPECT_EQ(key.group, 2345u);
  EXPECT_EQ(key.mode, 04600u);
  EXPECT_EQ(key.modified_ns, 1'000'000'000'123'456'789);
  EXPECT_EQ(key.links, 2u);
  EXPECT_EQ(key.id, files().info(path("out/home/again"))->id);
  EXPECT_EQ(files().info(path("out/home/ann/link"))->owner, 1234u);
  const FileInfo folder = files().info(path("out/home/ann")).value();
  EXPECT_EQ(folder.owner, 1234u);
  EXPECT_EQ(folder.mode, 0500u);
  EXPECT_EQ(folder.modified_ns, 86'400'000'000'000);
  const FileAttributes attributes = files().attributes(path("out/home/ann/key")).value();
  EXPECT_EQ(attributes.contains("user.note"), noted);
  // Without being asked: nobody's rights, no time, a copy.
  ASSERT_TRUE(unpack(read("a.tar"), "plain"));
  const FileInfo plain = files().info(path("plain/home/ann/key")).value();
  EXPECT_EQ(plain.owner, ::geteuid());
  EXPECT_EQ(plain.mode, 0600u);
  EXPECT_EQ(plain.links, 1u);
}

TEST_F(ForeignLayer, AFolderThatBecomesALinkGivesNobodyElseItsOwner) {
  fs::create_directories(path("outside/d"));
  const unsigned mode = files().info(path("outside/d"))->mode;
  const std::string archive = raw_tar({{.name = "a", .type = '5', .mode = 0755},
                                       {.name = "a/d", .type = '5', .mode = 01700},
                                       {.name = "a", .type = '2', .link = path("outside")}});
  ASSERT_TRUE(unpack(archive, "out", {.preserve = true}));
  EXPECT_EQ(files().info(path("outside/d"))->mode, mode);
}

TEST_F(ForeignLayer, UnknownTypesAreRefusedByName) {
  expect_refused(raw_tar({{.name = "x", .type = 'Z'}}), Errc::unimplemented, "\"x\"");
}

// ---------------------------------------------------------------------------- compression

TEST_F(ForeignLayer, ZstdFramesOneAfterAnotherAreRead) {
  const std::string plain = raw_tar(
      {{.name = "a", .content = std::string(100'000, 'a')}, {.name = "b", .content = "bee"}});
  std::string packed = zstd_skippable("a table of contents") + zstd_frame("");
  for (std::size_t at = 0; at < plain.size(); at += 7777) {
    packed += zstd_frame(plain.substr(at, 7777));
    packed += zstd_skippable(std::string(at % 13, 's'));
  }
  const Result<UnpackedLayer> layer = unpack(packed, "out");
  ASSERT_TRUE(layer) << layer.error().to_string();
  EXPECT_EQ(layer->diff_id, Digest::of(plain));
  EXPECT_EQ(layer->tar_bytes, plain.size());
  EXPECT_EQ(read("out/b"), "bee");
  EXPECT_EQ(unpack(packed + "garbage", "x").error().code, Errc::data_loss);
}

TEST_F(ForeignLayer, EveryTruncationOfAZstdFrameIsNoticed) {
  const std::string packed = zstd_frame(raw_tar({{.name = "a", .content = "alpha"}}));
  for (std::size_t length = 1; length < packed.size(); ++length) {
    EXPECT_FALSE(unpack(packed.substr(0, length), "cut")) << length;
  }
  EXPECT_TRUE(unpack(packed, "whole"));
}

TEST_F(ForeignLayer, AZstdWindowThatNeedsTooMuchMemoryIsRefused) {
  const std::string plain = raw_tar({{.name = "a", .content = "alpha"}});
  EXPECT_TRUE(unpack(zstd_frame(plain, 27), "most"));
  expect_refused(zstd_frame(plain, 28), Errc::resource_exhausted, "bytes of memory");
}

TEST_F(ForeignLayer, WhatTheZstdProgramPacksComesOut) {
  if (!have("zstd")) {
    GTEST_SKIP() << "zstd is not installed: scripts/bootstrap --tests brings it";
  }
  ASSERT_TRUE(
      shell("mkdir -p in/d && seq 1 200000 > in/d/numbers && ln -s d in/l && "
            "tar -cf a.tar -C in . && split -b 400000 a.tar part. && "
            "n=1; for p in part.*; do zstd -q -$n $p || exit 1; n=$((n + 5)); done; "
            "cat part.*.zst > a.tar.zst && zstd -q -19 --long=27 a.tar -o b.tar.zst"))
      << read("output");
  for (const char* name : {"a.tar.zst", "b.tar.zst"}) {
    fs::remove_all(path("out"));
    const Result<UnpackedLayer> layer = unpack(read(name), "out");
    ASSERT_TRUE(layer) << name << layer.error().to_string();
    EXPECT_EQ(layer->diff_id, Digest::of(read("a.tar")));
    EXPECT_TRUE(shell("diff -r in out")) << read("output");
  }
}

// ---------------------------------------------------------------------------- whiteouts

TEST_F(ForeignLayer, WhiteoutsMeanTheSameInEveryOrder) {
  const std::string lower = raw_tar({{.name = "gone", .content = "1"},
                                     {.name = "dir/old", .content = "1"},
                                     {.name = "dir/sub/old", .content = "1"},
                                     {.name = "opaque/old", .content = "1"},
                                     {.name = "kept", .content = "1"}});
  // "dir" goes with all that was in it, and comes again with something new.
  std::vector<Raw> upper = {{.name = ".wh.gone"},
                            {.name = ".wh.dir"},
                            {.name = "dir/sub/new", .content = "2"},
                            {.name = "opaque/.wh..wh..opq"},
                            {.name = "opaque/new", .content = "2"}};
  const auto by_name = [](const Raw& a, const Raw& b) { return a.name < b.name; };
  std::sort(upper.begin(), upper.end(), by_name);
  const std::string expected = "/dir\n/dir/sub\n/dir/sub/new=2\n/kept=1\n/opaque\n/opaque/new=2\n";
  do {
    fs::remove_all(path("out"));
    ASSERT_TRUE(unpack(lower, "out"));
    ASSERT_TRUE(unpack(raw_tar(upper), "out"));
    ASSERT_EQ(listing("out"), expected);
  } while (std::next_permutation(upper.begin(), upper.end(), by_name));
}

TEST_F(ForeignLayer, AWhiteoutRemovesALinkAndNotWhatItMeans) {
  ASSERT_TRUE(unpack(raw_tar({{.name = "real/file", .content = "1"},
                              {.name = "link", .type = '2', .link = "real"}}),
                     "out"));
  ASSERT_TRUE(unpack(raw_tar({{.name = "/link/.wh.other"}, {.name = ".wh.link"}}), "out"));
  EXPECT_EQ(listing("out"), "/real\n/real/file=1\n");
}

TEST_F(ForeignLayer, BookkeepingOfOldUnionFileSystemsIsNoFile) {
  expect_taken(raw_tar({{.name = ".wh..wh.aufs", .content = ""},
                        {.name = ".wh..wh.orph/", .type = '5'},
                        {.name = "/.wh..wh.plnk/", .type = '5'},
                        {.name = ".wh..wh.plnk/12.34", .content = "x"},
                        {.name = "f", .content = "x"}}),
               "out");
  EXPECT_EQ(listing("out"), "/f=x\n");
}

}  // namespace
}  // namespace knative::oci
