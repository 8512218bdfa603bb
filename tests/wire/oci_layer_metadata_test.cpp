// What a layer keeps beside names and bytes: owners, modes, attributes, links, pipes and devices,
// between our writer, our reader and other tools.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "knative/env.hpp"
#include "knative/oci.hpp"
#include "support/forwarding_files.hpp"
#include "support/real_world.hpp"

namespace knative::oci {
namespace {

namespace fs = std::filesystem;

class TextSink : public ByteSink {
 public:
  Result<void> write(std::string_view bytes) override {
    text.append(bytes);
    return {};
  }
  std::string text;
};

class LayerMetadata : public ::testing::Test {
 protected:
  Files& files() { return loop_.env().files; }
  std::string path(const std::string& name) const { return root_.path() + "/" + name; }
  void write(const std::string& name, const std::string& text, unsigned mode) {
    fs::create_directories(fs::path(path(name)).parent_path());
    files().write_file(path(name), text).value();
    files().set_mode(path(name), mode).value();
  }
  bool shell(const std::string& command) {
    return std::system(("cd " + root_.path() + " && { " + command + "; } >output 2>&1").c_str()) ==
           0;
  }
  std::string output() { return files().read_file(path("output")).value(); }
  static bool have(const std::string& tool) {
    return std::system(("command -v " + tool + " >/dev/null 2>&1").c_str()) == 0;
  }

  LayerInfo pack(const std::string& tree, std::string& out, const LayerOptions& options,
                 std::string_view prefix = "") {
    TextSink sink;
    LayerWriter writer(sink, options);
    writer.add_tree(files(), path(tree), prefix).value();
    LayerInfo info = writer.finish().value();
    out = std::move(sink.text);
    return info;
  }
  UnpackedLayer unpack(const std::string& archive, const std::string& into,
                       const UnpackOptions& options) {
    fs::create_directories(path(into));
    const std::unique_ptr<ByteSource> source = memory_source(archive);
    return unpack_layer(files(), *source, path(into), options).value();
  }
  // Everything that an image may have, under "in".
  void make_tree() {
    write("in/bin/su", "#!", 04755);
    write("in/etc/key", "secret", 0600);
    write("in/etc/only-mine", "x", 0700);
    write("in/etc/shared", "twice", 0640);
    files().make_hard_link(path("in/etc/shared"), path("in/srv")).value();
    files().make_symlink("../etc/key", path("in/bin/link")).value();
    files().make_special(path("in/run.pipe"), SpecialFile{.mode = 0620}).value();
    fs::create_directories(path("in/tmp"));
    noted_ = files().set_attribute(path("in/etc/key"), "user.note", std::string("a\0=b\n", 5)) &&
             files().set_attribute(path("in/tmp"), "user.dir", "d");
    if (::geteuid() == 0) {
      files().set_owner(path("in/etc/key"), 1234, 2345).value();
      files().set_owner(path("in/bin/link"), 1234, 2345).value();
      files().set_owner(path("in/tmp"), 3'000'000, 3'000'001).value();  // beyond seven octal digits
      files().set_mode(path("in/etc/key"), 0600).value();
    }
    files().set_mode(path("in/tmp"), 01777).value();
  }
  // Names with all but times, and what is in them.
  std::string described(const std::string& tree, const std::string& folder = "") {
    std::string text;
    for (const FileInfo& entry : files().list(path(tree) + folder).value()) {
      const std::string name = folder + "/" + entry.name;
      const std::string place = path(tree) + name;
      char mode[16];
      std::snprintf(mode, sizeof mode, "%04o", entry.mode);
      text += name + " " + std::to_string(static_cast<int>(entry.type)) + " " + mode + " " +
              std::to_string(entry.owner) + ":" + std::to_string(entry.group);
      if (entry.type != FileType::directory) text += " x" + std::to_string(entry.links);
      if (entry.type == FileType::regular) text += " " + files().read_file(place).value();
      if (entry.type == FileType::symlink) text += " " + files().read_symlink(place).value();
      for (const auto& [key, value] : files().attributes(place).value()) {
        if (key.starts_with("user.")) text += " " + key + "=" + value;
      }
      text += "\n";
      if (entry.type == FileType::directory) text += described(tree, name);
    }
    return text;
  }

  Loop loop_;
  testing_world::TemporaryDirectory root_;
  bool noted_ = false;
};

constexpr LayerOptions kept{.preserve = true};

TEST_F(LayerMetadata, ComesOutOfOurReaderAsItWentIntoOurWriter) {
  make_tree();
  std::string blob;
  const LayerInfo layer = pack("in", blob, kept);
  EXPECT_TRUE(layer.left_out.empty());
  const UnpackedLayer back = unpack(blob, "out", {.preserve = true});
  EXPECT_EQ(back.diff_id, layer.diff_id);
  EXPECT_TRUE(back.losses.empty()) << back.losses.to_string();
  EXPECT_EQ(described("out"), described("in"));
  EXPECT_EQ(files().info(path("out/srv"))->id, files().info(path("out/etc/shared"))->id);
  // Times never: the same tree later is the same layer.
  const std::string before = blob;
  files().set_modified(path("in/etc/key"), 86'400'000'000'000).value();
  EXPECT_EQ(pack("in", blob, kept).diff_id, layer.diff_id);
  EXPECT_EQ(blob, before);
}

TEST_F(LayerMetadata, ComesOutOfTarAsItWentIn) {
  make_tree();
  TextSink sink;
  LayerWriter writer(sink, kept);
  writer.add_tree(files(), path("in")).value();
  writer.finish().value();
  files().write_file(path("a.tgz"), sink.text).value();
  ASSERT_TRUE(
      shell("mkdir out && tar --xattrs --xattrs-include='*' --numeric-owner -p -xzf a.tgz "
            "-C out"))
      << output();
  EXPECT_EQ(described("out"), described("in"));
}

TEST_F(LayerMetadata, ComesOutOfUmociAsItWentIn) {
  if (::geteuid() != 0 || !have("umoci")) {
    GTEST_SKIP() << "needs root and umoci: scripts/bootstrap --tests brings it";
  }
  make_tree();
  files().remove(path("in/run.pipe")).value();  // compared below: umoci forgets the mode of pipes
  const std::shared_ptr<ImageStore> store = open_image_layout(files(), path("images")).value();
  const std::unique_ptr<BlobWriter> blob = store->new_blob().value();
  LayerWriter writer(*blob, kept);
  writer.add_tree(files(), path("in")).value();
  const LayerInfo layer = writer.finish().value();
  blob->commit().value();
  ImageConfig config;
  config.platform = host_platform();
  config.diff_ids = {layer.diff_id};
  Manifest manifest;
  manifest.config = store->put_blob(config.to_json(), media_type::config).value();
  manifest.layers = {layer.blob};
  store->put_manifest(Reference::parse("made:v1").value(), manifest).value();
  ASSERT_TRUE(shell("umoci unpack --image images:made:v1 bundle")) << output();
  EXPECT_EQ(described("bundle/rootfs"), described("in"));
}

TEST_F(LayerMetadata, OfWhatBuildahMadeComesOut) {
  if (::geteuid() != 0 || !have("buildah")) GTEST_SKIP() << "needs root and buildah";
  make_tree();
  ASSERT_TRUE(
      shell("B=\"buildah --root $PWD/root --runroot $PWD/run --storage-driver vfs\"; "
            "C=$($B from scratch) && M=$($B mount $C) && cp -a in/. $M/ && "
            "$B umount $C && $B commit -q $C oci:theirs:v1 && $B rm $C"))
      << output();
  const std::shared_ptr<ImageStore> store = open_image_layout(files(), path("theirs")).value();
  const Reference name = store->references().value().front().first;
  UnpackLosses losses;
  store->unpack(files(), name, path("out"), {.preserve = true}, &losses).value();
  EXPECT_TRUE(losses.empty()) << losses.to_string();
  EXPECT_EQ(described("out"), described("in"));
}

TEST_F(LayerMetadata, AnotherProgramsCapabilitiesAreKept) {
  if (::geteuid() != 0 || !have("setcap")) GTEST_SKIP() << "needs root and setcap";
  write("in/ping", "#!", 0755);
  ASSERT_TRUE(shell("setcap cap_net_raw+ep in/ping")) << output();
  std::string blob;
  pack("in", blob, kept);
  unpack(blob, "out", {.preserve = true});
  const FileAttributes before = files().attributes(path("in/ping")).value();
  ASSERT_TRUE(before.contains("security.capability"));
  EXPECT_EQ(files().attributes(path("out/ping")).value(), before);
}

TEST_F(LayerMetadata, IsNormalisedUnlessAskedFor) {
  make_tree();
  write("plain/bin/su", "#!", 0755);
  write("plain/etc/key", "secret", 0644);
  write("plain/etc/only-mine", "x", 0755);
  write("plain/etc/shared", "twice", 0644);
  write("plain/srv", "twice", 0644);
  files().make_symlink("../etc/key", path("plain/bin/link")).value();
  fs::create_directories(path("plain/tmp"));
  std::string rich, poor;
  const LayerInfo layer = pack("in", rich, {});
  EXPECT_EQ(pack("plain", poor, {}).diff_id, layer.diff_id);
  EXPECT_EQ(layer.left_out, std::vector<std::string>{"\"run.pipe\": a named pipe"});
}

TEST_F(LayerMetadata, WhatCannotBePackedIsNamed) {
  write("in/a", "1", 0644);
  const int listener = ::socket(AF_UNIX, SOCK_STREAM, 0);
  struct sockaddr_un address {};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path("in/agent.sock").c_str(), sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(listener, reinterpret_cast<struct sockaddr*>(&address), sizeof address), 0);
  ::close(listener);
  std::vector<std::string> expected{"\"opt/agent.sock\": a socket"};
  if (files().set_attribute(path("in/z"), "user.a=b", "x").error().code == Errc::not_found) {
    write("in/z", "1", 0644);
    if (files().set_attribute(path("in/z"), "user.a=b", "x")) {
      expected.push_back("\"opt/z\": its attribute user.a=b is not kept");
    }
  }
  std::string blob;
  EXPECT_EQ(pack("in", blob, kept, "opt").left_out, expected);
  unpack(blob, "out", {});
  EXPECT_TRUE(fs::exists(path("out/opt/a")));
}

TEST_F(LayerMetadata, TheTreesOwnFolderKeepsItsMode) {
  write("in/a", "1", 0644);
  files().set_mode(path("in"), 0750).value();
  std::string blob;
  pack("in", blob, kept, "srv/app");
  unpack(blob, "out", {.preserve = true});
  EXPECT_EQ(files().info(path("out/srv"))->mode, 0755u);
  EXPECT_EQ(files().info(path("out/srv/app"))->mode, 0750u);
}

TEST_F(LayerMetadata, WhatTheProcessOwnsMayBelongToRootInTheLayer) {
  write("in/a", "1", 0644);
  const FileInfo own = files().info(path("in/a")).value();
  TextSink sink;
  LayerWriter writer(
      sink, {.gzip = false, .preserve = true, .root_owner = own.owner, .root_group = own.group});
  writer.add_tree(files(), path("in")).value();
  writer.finish().value();
  EXPECT_EQ(sink.text.substr(108, 16), std::string("0000000\0"
                                                   "0000000\0",
                                                   16));
}

TEST_F(LayerMetadata, OfTheCallersChoiceIsCheckedAndWritten) {
  TextSink sink;
  LayerWriter writer(sink);
  const std::unique_ptr<ByteSource> content = memory_source("x");
  EntryMetadata own{.mode = 02750, .owner = 0, .group = 0, .attributes = {{"user.k", "v"}}};
  writer.add_directory("d", own).value();
  own.mode = 0604;
  writer.add_file("d/f", 1, *content, own).value();
  writer.add_hard_link("d/g", "d/f").value();
  writer.add_special("d/p", SpecialFile{}, {.mode = 0611, .attributes = {}}).value();
  writer.add_special("d/q", SpecialFile{.kind = SpecialFile::Kind::block_device, .major = 8}, own)
      .value();
  for (const char* wrong : {"d/z", "d/h", "/d/f", "../f", ""}) {
    EXPECT_EQ(writer.add_hard_link("d/h", wrong).error().code, Errc::invalid_argument) << wrong;
  }
  for (const char* wrong : {"trusted.k", "user.a=b", "security.selinux"}) {
    const Result<void> added = writer.add_directory("e", {.attributes = {{wrong, "v"}}});
    ASSERT_FALSE(added) << wrong;
    EXPECT_NE(added.error().detail.find(wrong), std::string::npos) << added.error().detail;
  }
  writer.finish().value();
  const UnpackedLayer layer = unpack(sink.text, "out", {.preserve = true});
  EXPECT_EQ(files().info(path("out/d"))->mode, 02750u);
  EXPECT_EQ(files().info(path("out/d/g"))->mode, 0604u);
  EXPECT_EQ(files().info(path("out/d/g"))->links, 2u);
  EXPECT_EQ(files().special(path("out/d/p"))->mode, 0611u);
  ASSERT_EQ(layer.losses.skipped.size(), 1u);
  EXPECT_EQ(layer.losses.skipped[0].major, 8u);
  EXPECT_EQ(layer.losses.to_string(), "\"d/q\" is not made: a device");
}

// Of a file system without attributes, by a process that may not give files away.
class PoorFiles : public testing_support::ForwardingFiles {
 public:
  using ForwardingFiles::ForwardingFiles;
  Result<void> set_owner(const std::string& path, std::uint32_t, std::uint32_t) override {
    return fail(Errc::failed_precondition, path + ": not permitted");
  }
  Result<void> set_attribute(const std::string& path, const std::string&,
                             std::string_view) override {
    return fail(Errc::unimplemented, path + ": not here");
  }
};

TEST_F(LayerMetadata, WhatCannotBeGivenIsNamed) {
  TextSink sink;
  LayerWriter writer(sink);
  for (int i = 0; i < 9; ++i) {
    const std::unique_ptr<ByteSource> content = memory_source("x");
    const EntryMetadata metadata{.mode = 06755, .owner = 7, .attributes = {{"user.k", "v"}}};
    writer.add_file("f" + std::to_string(i), 1, *content, metadata).value();
  }
  writer.finish().value();
  PoorFiles poor(files());
  fs::create_directories(path("out"));
  const std::unique_ptr<ByteSource> source = memory_source(sink.text);
  const UnpackedLayer layer = unpack_layer(poor, *source, path("out"), {.preserve = true}).value();
  ASSERT_EQ(layer.losses.changed.size(), 18u);
  const std::string text = layer.losses.to_string();
  EXPECT_NE(text.find("\"f0\": it does not belong to 7:0"), std::string::npos) << text;
  EXPECT_NE(text.find("\"f0\": its attribute user.k is lost"), std::string::npos) << text;
  EXPECT_NE(text.find("13 more are changed"), std::string::npos) << text;
  EXPECT_EQ(files().info(path("out/f0"))->mode, 0755u) << "nobody's rights are lent";
}

}  // namespace
}  // namespace knative::oci
