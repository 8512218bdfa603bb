// What every ImageStore promises, run against memory and layout folders; and what other tools say
// about the folders.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>

#include "knative/env.hpp"
#include "knative/oci.hpp"
#include "support/real_world.hpp"

namespace knative::oci {
namespace {

namespace fs = std::filesystem;

struct Kind {
  const char* name;
  std::function<std::shared_ptr<ImageStore>(Files&, const std::string&)> make;
};

class ImageStoreContract : public ::testing::TestWithParam<Kind> {
 protected:
  void SetUp() override { store_ = GetParam().make(files(), root_ / "store"); }
  Files& files() { return loop_.env().files; }

  // One layer with one file, under a name.
  Descriptor add_image(const std::string& name, const std::string& content = "hello") {
    std::unique_ptr<BlobWriter> blob = store_->new_blob().value();
    LayerWriter writer(*blob);
    writer.add_file("greeting", content).value();
    const LayerInfo layer = writer.finish().value();
    EXPECT_EQ(blob->commit().value().digest, layer.blob.digest);
    ImageConfig config;
    config.platform = host_platform();
    config.entrypoint = {"/greeting"};
    config.diff_ids = {layer.diff_id};
    Manifest manifest;
    manifest.config = store_->put_blob(config.to_json(), media_type::config).value();
    manifest.layers = {layer.blob};
    return store_->put_manifest(Reference::parse(name).value(), manifest).value();
  }
  static Reference ref(const std::string& text) { return Reference::parse(text).value(); }

  Loop loop_;
  testing_world::TemporaryDirectory root_;
  std::shared_ptr<ImageStore> store_;
};

TEST_P(ImageStoreContract, BlobsComeBackAndAreShared) {
  const Descriptor blob = store_->put_blob("abc", "text/plain").value();
  EXPECT_EQ(blob.digest, Digest::of("abc"));
  EXPECT_EQ(blob.size_bytes, 3u);
  EXPECT_EQ(blob.media_type, "text/plain");
  EXPECT_EQ(store_->put_blob("abc", "x").value().digest, blob.digest);
  EXPECT_EQ(store_->get_blob(blob).value(), "abc");
  EXPECT_EQ(store_->blob_size(blob.digest).value(), std::optional<std::uint64_t>(3));
  EXPECT_EQ(store_->blob_size(Digest::of("other")).value(), std::nullopt);
  EXPECT_EQ(store_->get_blob({"", Digest::of("other"), 3, {}, {}}).error().code, Errc::not_found);
}

TEST_P(ImageStoreContract, ADroppedBlobLeavesNothing) {
  {
    std::unique_ptr<BlobWriter> blob = store_->new_blob().value();
    EXPECT_TRUE(blob->write("never"));
  }
  EXPECT_EQ(store_->blob_size(Digest::of("never")).value(), std::nullopt);
}

TEST_P(ImageStoreContract, AnEmptyBlobIsABlob) {
  const Descriptor blob = store_->put_blob("", "x").value();
  EXPECT_EQ(store_->get_blob(blob).value(), "");
}

TEST_P(ImageStoreContract, TheSizeIsCheckedOnReading) {
  Descriptor blob = store_->put_blob("abcdef", "x").value();
  blob.size_bytes = 5;
  EXPECT_EQ(store_->get_blob(blob).error().code, Errc::data_loss);
  blob.size_bytes = 7;
  EXPECT_EQ(store_->get_blob(blob).error().code, Errc::data_loss);
  blob.size_bytes = 6;
  EXPECT_EQ(store_->get_blob(blob, 5).error().code, Errc::resource_exhausted);
}

TEST_P(ImageStoreContract, NamesResolve) {
  const Descriptor v1 = add_image("local/shop:v1", "one");
  const Descriptor latest = add_image("local/shop", "two");
  EXPECT_EQ(store_->resolve(ref("local/shop:v1")).value(), v1);
  EXPECT_EQ(store_->resolve(ref("local/shop")).value(), latest);
  EXPECT_EQ(store_->resolve(ref("local/shop:latest")).value(), latest);
  EXPECT_EQ(store_->resolve(ref("local/shop@" + v1.digest.to_string())).value().digest, v1.digest);
  EXPECT_EQ(store_->resolve(ref("x:y@" + v1.digest.to_string())).value().digest, v1.digest);
  const Error missing = store_->resolve(ref("local/shop:v2")).error();
  EXPECT_EQ(missing.code, Errc::not_found);
  EXPECT_NE(missing.detail.find("local/shop:v1"), std::string::npos) << missing.detail;
  ASSERT_EQ(store_->references().value().size(), 2u);
  EXPECT_EQ(store_->references().value()[1].first.to_string(), "local/shop:v1");
}

TEST_P(ImageStoreContract, ANameMovesButDigestsStay) {
  const Descriptor first = add_image("app", "one");
  const Descriptor second = add_image("app", "two");
  EXPECT_NE(first.digest, second.digest);
  EXPECT_EQ(store_->resolve(ref("app")).value().digest, second.digest);
  EXPECT_EQ(store_->config(ref("app@" + first.digest.to_string())).value().entrypoint,
            std::vector<std::string>{"/greeting"});
  EXPECT_EQ(store_->references().value().size(), 1u);
  EXPECT_TRUE(store_->remove_reference(ref("app")));
  EXPECT_EQ(store_->remove_reference(ref("app")).error().code, Errc::not_found);
  EXPECT_TRUE(store_->references().value().empty());
}

TEST_P(ImageStoreContract, AReferenceNeedsItsManifest) {
  const Descriptor nowhere{std::string(media_type::manifest), Digest::of("nowhere"), 7, {}, {}};
  EXPECT_EQ(store_->set_reference(ref("a"), nowhere).error().code, Errc::not_found);
}

TEST_P(ImageStoreContract, IndexesAreFollowedToThisPlatform) {
  Descriptor mine = add_image("mine");
  Descriptor other = add_image("other", "else");
  Index index;
  other.platform = ImagePlatform{"z80", "cpm", ""};
  mine.platform = host_platform();
  index.manifests = {other, mine};
  const Descriptor blob = store_->put_blob(index.to_json(), media_type::index).value();
  ASSERT_TRUE(store_->set_reference(ref("multi"), blob));
  EXPECT_EQ(store_->resolve(ref("multi")).value().digest, mine.digest);
  index.manifests = {other};
  const Descriptor foreign = store_->put_blob(index.to_json(), media_type::index).value();
  ASSERT_TRUE(store_->set_reference(ref("foreign"), foreign));
  EXPECT_EQ(store_->resolve(ref("foreign")).error().code, Errc::not_found);
}

TEST_P(ImageStoreContract, AnIndexIsFollowedByItsDigestToo) {
  Descriptor mine = add_image("mine");
  mine.platform = host_platform();
  Index index;
  index.manifests = {mine};
  const Descriptor blob = store_->put_blob(index.to_json(), media_type::index).value();
  const Reference exact = ref("multi@" + blob.digest.to_string());
  EXPECT_EQ(store_->resolve(exact).value().digest, mine.digest);
}

TEST_P(ImageStoreContract, AManifestOfTwoFamiliesIsRefusedByName) {
  add_image("app");
  Manifest manifest = store_->manifest(ref("app")).value();
  manifest.layers[0].media_type = "application/vnd.docker.image.rootfs.diff.tar.gzip";
  const Result<Descriptor> mixed = store_->put_manifest(ref("mixed"), manifest);
  ASSERT_FALSE(mixed);
  EXPECT_EQ(mixed.error().code, Errc::invalid_argument);
  EXPECT_NE(mixed.error().detail.find("layers[0].mediaType"), std::string::npos);
  manifest.config.media_type = "application/vnd.docker.container.image.v1+json";
  manifest.docker = true;
  const Descriptor docker = store_->put_manifest(ref("docker"), manifest).value();
  EXPECT_EQ(docker.media_type, "application/vnd.docker.distribution.manifest.v2+json");
  EXPECT_EQ(store_->manifest(ref("docker")).value(), manifest);
}

// Holes and copies of hard links count over all layers, as bytes do.
TEST_P(ImageStoreContract, TheBoundsHoldForAllLayersTogether) {
  const Manifest one = [&] {
    add_image("one");
    return store_->manifest(ref("one")).value();
  }();
  ImageConfig config = store_->config(ref("one")).value();
  Manifest many = one;
  for (int i = 1; i < 5; ++i) {
    many.layers.push_back(one.layers[0]);
    config.diff_ids.push_back(config.diff_ids[0]);
  }
  many.config = store_->put_blob(config.to_json(), media_type::config).value();
  store_->put_manifest(ref("many"), many).value();
  EXPECT_TRUE(store_->unpack(files(), ref("many"), root_ / "five", {.entries_max = 5}));
  EXPECT_EQ(store_->unpack(files(), ref("many"), root_ / "x", {.entries_max = 4}).error().code,
            Errc::resource_exhausted);
  EXPECT_EQ(store_->unpack(files(), ref("many"), root_ / "x", {.bytes_max = 10'000}).error().code,
            Errc::resource_exhausted);
}

TEST_P(ImageStoreContract, UnpacksWithItsConfig) {
  add_image("app", "hello");
  const ImageConfig config = store_->unpack(files(), ref("app"), root_ / "out").value();
  EXPECT_EQ(config.entrypoint, std::vector<std::string>{"/greeting"});
  EXPECT_EQ(files().read_file(root_ / "out/greeting").value(), "hello");
  EXPECT_EQ(store_->unpack(files(), ref("app"), root_ / "out").error().code,
            Errc::failed_precondition)
      << "the directory must be empty";
  EXPECT_EQ(store_->unpack(files(), ref("nope"), root_ / "x").error().code, Errc::not_found);
}

TEST_P(ImageStoreContract, AnImageThatIsNoImageGivesOneClearError) {
  const auto bind = [&](const std::string& name, const std::string& text) {
    const Descriptor blob = store_->put_blob(text, media_type::manifest).value();
    ASSERT_TRUE(store_->set_reference(ref(name), blob));
  };
  const auto error = [&](const std::string& name) {
    return store_->unpack(files(), ref(name), root_.path() + "/" + name).error();
  };
  bind("html", "<html>no image here</html>");
  EXPECT_EQ(error("html").code, Errc::invalid_argument);
  EXPECT_NE(error("html").detail.find("image \"html\": manifest sha256:"), std::string::npos);
  bind("empty", "{}");
  EXPECT_NE(error("empty").detail.find("schemaVersion"), std::string::npos);

  // A layer that is no archive.
  const Descriptor junk = store_->put_blob("this is no tar", media_type::layer).value();
  ImageConfig config;
  config.platform = host_platform();
  config.diff_ids = {junk.digest};
  Manifest manifest;
  manifest.config = store_->put_blob(config.to_json(), media_type::config).value();
  manifest.layers = {junk};
  ASSERT_TRUE(store_->put_manifest(ref("junk"), manifest));
  EXPECT_EQ(error("junk").code, Errc::invalid_argument);
  EXPECT_NE(error("junk").detail.find("image \"junk\": layer 1 (" + junk.digest.to_string() +
                                      "): not a tar archive"),
            std::string::npos)
      << error("junk").detail;
  EXPECT_FALSE(fs::exists(root_ / "junk")) << "nothing half unpacked stays";

  // A config that promises other content, or other layers.
  add_image("app");
  const Manifest good = store_->manifest(ref("app")).value();
  manifest.layers = good.layers;
  ASSERT_TRUE(store_->put_manifest(ref("lie"), manifest));
  EXPECT_EQ(error("lie").code, Errc::data_loss);
  manifest.layers.push_back(good.layers[0]);
  ASSERT_TRUE(store_->put_manifest(ref("count"), manifest));
  EXPECT_EQ(error("count").code, Errc::invalid_argument);
}

TEST_P(ImageStoreContract, TheUnpackCacheUnpacksOncePerDigest) {
  add_image("app:1", "hello");
  add_image("app:2", "hello");
  UnpackCache cache(store_, files(), loop_.env().offload, root_ / "cache");
  const Reference one = ref("app:1");
  const Reference two = ref("app:2");
  auto both = [](UnpackCache& from, const Reference& a,
                 const Reference& b) -> Task<std::vector<Result<UnpackedImage>>> {
    std::vector<Task<Result<UnpackedImage>>> tasks;
    tasks.push_back(from.get(a));
    tasks.push_back(from.get(a));
    tasks.push_back(from.get(b));
    co_return co_await when_all(std::move(tasks));
  };
  const std::vector<Result<UnpackedImage>> got = loop_.run(both(cache, one, two));
  for (const Result<UnpackedImage>& image : got) {
    EXPECT_EQ(image.value().directory, got[0].value().directory);
    EXPECT_EQ(files().read_file(image.value().directory + "/greeting").value(), "hello");
  }
  EXPECT_EQ(files().list(root_ / "cache").value().size(), 1u) << "no leftovers";
  const Reference none = ref("none");
  EXPECT_EQ(loop_.run(cache.get(none)).error().code, Errc::not_found);
}

INSTANTIATE_TEST_SUITE_P(
    All, ImageStoreContract,
    ::testing::Values(Kind{"memory",
                           [](Files&, const std::string&) { return memory_image_store(); }},
                      Kind{"layout",
                           [](Files& files, const std::string& directory) {
                             return open_image_layout(files, directory).value();
                           }},
                      Kind{"layout_without_sync",
                           [](Files& files, const std::string& directory) {
                             return open_image_layout(files, directory, {.sync = false}).value();
                           }}),
    [](const auto& info) { return info.param.name; });

// ---------------------------------------------------------------------------- layout folders

class ImageLayout : public ::testing::Test {
 protected:
  Files& files() { return loop_.env().files; }

  Descriptor add_image(ImageStore& store, const std::string& name) {
    std::unique_ptr<BlobWriter> blob = store.new_blob().value();
    LayerWriter writer(*blob);
    writer.add_directory("workspace").value();
    writer.add_file("workspace/server", std::string(100'000, 's'), true).value();
    writer.add_symlink("workspace/link", "server").error();  // out of order: refused
    const LayerInfo layer = writer.finish().value();
    blob->commit().value();
    ImageConfig config;
    config.created = format_epoch(0);
    config.platform = host_platform();
    config.entrypoint = {"/workspace/server"};
    config.working_directory = "/workspace";
    config.diff_ids = {layer.diff_id};
    Manifest manifest;
    manifest.config = store.put_blob(config.to_json(), media_type::config).value();
    manifest.layers = {layer.blob};
    return store.put_manifest(Reference::parse(name).value(), manifest).value();
  }

  static bool have(const std::string& tool) {
    return std::system(("command -v " + tool + " >/dev/null 2>&1").c_str()) == 0;
  }
  // Exit status and output of a shell command.
  std::pair<int, std::string> shell(const std::string& command) {
    const int status = std::system((command + " >" + root_ / "output 2>&1").c_str());
    return {status, files().read_file(root_ / "output").value()};
  }

  Loop loop_;
  testing_world::TemporaryDirectory root_;
};

TEST_F(ImageLayout, SurvivesReopening) {
  const Descriptor image =
      add_image(*open_image_layout(files(), root_ / "l").value(), "local/shop:v1");
  const auto again = open_image_layout(files(), root_ / "l", {.create = false}).value();
  EXPECT_EQ(again->resolve(Reference::parse("local/shop:v1").value()).value(), image);
}

TEST_F(ImageLayout, RefusesFoldersThatAreNoLayout) {
  EXPECT_EQ(open_image_layout(files(), root_ / "none", {.create = false}).error().code,
            Errc::not_found);
  fs::create_directories(root_ / "other");
  std::ofstream(root_ / "other/file") << "x";
  const Error error = open_image_layout(files(), root_ / "other").error();
  EXPECT_EQ(error.code, Errc::invalid_argument);
  EXPECT_NE(error.detail.find("no OCI image layout"), std::string::npos);
  std::ofstream(root_ / "other/oci-layout") << R"({"imageLayoutVersion":"2.0.0"})";
  EXPECT_EQ(open_image_layout(files(), root_ / "other").error().code, Errc::invalid_argument);
}

TEST_F(ImageLayout, FinishesAFolderWhoseMakingWasInterrupted) {
  const auto exists = [this](const std::string& name) {
    return open_image_layout(files(), root_ / name).has_value();
  };
  fs::create_directories(root_ / "early/blobs/sha256");
  EXPECT_TRUE(exists("early"));
  fs::create_directories(root_ / "half/blobs/sha256");
  std::ofstream(root_ / "half/index.json") << R"({"manif)";
  EXPECT_TRUE(exists("half"));
  fs::create_directories(root_ / "late/blobs/sha256");
  fs::copy(root_ / "half/index.json", root_ / "late/index.json");
  std::ofstream(root_ / "late/oci-layout.new") << "{";
  EXPECT_TRUE(exists("late"));
  fs::create_directories(root_ / "foreign/blobs");
  std::ofstream(root_ / "foreign/index.json") << R"({"manifests":[{"digest":"sha256:0"}]})";
  EXPECT_FALSE(exists("foreign"));
}

TEST_F(ImageLayout, DamagedBlobsAndIndexesAreNoticed) {
  const auto store = open_image_layout(files(), root_ / "l").value();
  const Descriptor image = add_image(*store, "app");
  const std::string blob = root_ / "l/blobs/sha256/" + std::string(image.digest.hex());
  std::string text = files().read_file(blob).value();
  text[10] ^= 1;
  ASSERT_TRUE(files().write_file(blob, text));
  EXPECT_EQ(store->manifest(Reference::parse("app").value()).error().code, Errc::data_loss);
  ASSERT_TRUE(files().write_file(root_ / "l/index.json", "{\"half"));
  const Error error = store->references().error();
  EXPECT_NE(error.detail.find("index.json"), std::string::npos) << error.detail;
}

TEST_F(ImageLayout, AnotherHolderOfTheIndexIsUnavailable) {
  const auto store = open_image_layout(files(), root_ / "l").value();
  const Descriptor image = add_image(*store, "app");
  const auto lock = files().lock(root_ / "l/.index.lock").value();
  EXPECT_EQ(store->set_reference(Reference::parse("b").value(), image).error().code,
            Errc::unavailable);
}

TEST_F(ImageLayout, WhatOthersWroteIntoTheIndexStays) {
  const auto store = open_image_layout(files(), root_ / "l").value();
  const Descriptor image = add_image(*store, "app");
  const std::string digest = image.digest.to_string();
  const std::string theirs =
      R"({"annotations":{"k":"v"},"artifactType":"text/x","data":"e30=","digest":")" + digest +
      R"(","mediaType":"text/y","platform":{"architecture":"a","features":["f"],"os":"o"},)"
      R"("size":7,"urls":["https://a.example"],"x.unknown":{"deep":[1]}})";
  const std::string before =
      R"({"annotations":{"i":"j"},"manifests":[)" + theirs +
      R"(],"mediaType":"application/vnd.oci.image.index.v1+json","schemaVersion":2,"subject":)"
      R"({"digest":")" +
      digest + R"(","mediaType":"text/z","size":1},"unknown":true})";
  ASSERT_TRUE(files().write_file(root_ / "l/index.json", before));
  ASSERT_TRUE(store->set_reference(Reference::parse("b").value(), image));
  ASSERT_TRUE(store->remove_reference(Reference::parse("b").value()));
  EXPECT_EQ(files().read_file(root_ / "l/index.json").value(), before);
}

TEST_F(ImageLayout, NamesInAnotherToolsFormAreMovedAndRemoved) {
  const auto store = open_image_layout(files(), root_ / "l").value();
  const Descriptor image = add_image(*store, "app:v1");
  std::string index = files().read_file(root_ / "l/index.json").value();
  const std::string ours = "\"app:v1\"";
  index.replace(index.find(ours), ours.size(),
                "\"docker"
                ".io/library/app\"");
  ASSERT_TRUE(files().write_file(root_ / "l/index.json", index));
  const Reference name = Reference::parse("app").value();
  EXPECT_EQ(store->resolve(name).value().digest, image.digest);
  ASSERT_TRUE(store->set_reference(name, image));
  EXPECT_EQ(store->references()->size(), 1u) << "one name, one image";
  EXPECT_TRUE(store->remove_reference(name));
  EXPECT_EQ(store->resolve(name).error().code, Errc::not_found);
}

TEST_F(ImageLayout, NoTemporaryFilesStay) {
  const auto store = open_image_layout(files(), root_ / "l").value();
  add_image(*store, "app");
  const std::vector<FileInfo> entries = files().list(root_ / "l").value();
  for (const FileInfo& entry : entries) {
    EXPECT_NE(entry.name.substr(0, 6), ".blob-") << entry.name;
  }
}

TEST_F(ImageLayout, SkopeoAcceptsIt) {
  if (!have("skopeo")) {
    GTEST_SKIP() << "skopeo is not installed: scripts/bootstrap --tests brings it";
  }
  const auto store = open_image_layout(files(), root_ / "l").value();
  const Descriptor image = add_image(*store, "local/shop:v1");
  const auto [status, output] = shell("skopeo inspect oci:" + root_ / "l:local/shop:v1");
  EXPECT_EQ(status, 0) << output;
  EXPECT_NE(output.find(image.digest.to_string()), std::string::npos) << output;
  // skopeo reads every blob and checks digests and DiffIDs when it copies.
  const auto [copied, log] = shell("skopeo --insecure-policy copy oci:" + root_.path() +
                                   "/l:local/shop:v1 dir:" + root_ / "copy");
  EXPECT_EQ(copied, 0) << log;
  // And what skopeo writes, we read.
  const auto [back, log2] = shell("skopeo --insecure-policy copy dir:" + root_.path() +
                                  "/copy oci:" + root_ / "theirs:local/shop:v2");
  EXPECT_EQ(back, 0) << log2;
  const auto theirs = open_image_layout(files(), root_ / "theirs", {.create = false}).value();
  Result<ImageConfig> unpacked =
      theirs->unpack(files(), Reference::parse("local/shop:v2").value(), root_ / "out");
  ASSERT_TRUE(unpacked) << unpacked.error().to_string();
  EXPECT_EQ(files().read_file(root_ / "out/workspace/server").value().size(), 100'000u);
}

TEST_F(ImageLayout, UmociUnpacksIt) {
  if (!have("umoci")) {
    GTEST_SKIP() << "umoci is not installed: scripts/bootstrap --tests brings it";
  }
  const auto store = open_image_layout(files(), root_ / "l").value();
  add_image(*store, "shop:v1");
  const auto [status, output] =
      shell("umoci unpack --rootless --image " + root_ / "l:shop:v1 " + root_ / "bundle");
  ASSERT_EQ(status, 0) << output;
  EXPECT_EQ(files().read_file(root_ / "bundle/rootfs/workspace/server").value().size(), 100'000u);
  EXPECT_EQ(files().info(root_ / "bundle/rootfs/workspace/server").value().mode & 0777, 0755u);
}

}  // namespace
}  // namespace knative::oci
