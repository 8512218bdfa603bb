// Images in one file: in and out again, between our store and other tools, and what is refused.
#include "knative/oci_archive.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "knative/env.hpp"
#include "knative/value.hpp"
#include "support/real_world.hpp"
#include "wire/oci_archive.hpp"
#include "wire/oci_raw_tar.hpp"

namespace knative::oci {
namespace {

namespace fs = std::filesystem;
using namespace testing_tar;

class ImageArchive : public ::testing::Test {
 protected:
  Files& files() { return loop_.env().files; }
  std::string path(const std::string& name) const { return root_.path() + "/" + name; }
  static Reference ref(const std::string& text) { return Reference::parse(text).value(); }
  bool shell(const std::string& command) {
    return std::system(("cd " + root_.path() + " && { " + command + "; } >output 2>&1").c_str()) ==
           0;
  }
  std::string output() { return files().read_file(path("output")).value(); }
  static bool have(const std::string& tool) {
    return std::system(("command -v " + tool + " >/dev/null 2>&1").c_str()) == 0;
  }

  struct Made {
    Manifest manifest;
    Descriptor descriptor;
    std::string config;
  };
  // Two layers, the second of which replaces a file of the first and is `large`.
  static Made add_image(ImageStore& store, const std::string& name, std::size_t large = 600'000) {
    Made made;
    ImageConfig config;
    config.created = format_epoch(0);
    config.platform = host_platform();
    config.entrypoint = {"/bin/app"};
    for (const std::string& content : {std::string("old"), std::string(large, 'x')}) {
      const std::unique_ptr<BlobWriter> blob = store.new_blob().value();
      LayerWriter writer(*blob);
      writer.add_directory("bin").value();
      writer.add_file("bin/app", content, true).value();
      const LayerInfo layer = writer.finish().value();
      blob->commit().value();
      made.manifest.layers.push_back(layer.blob);
      config.diff_ids.push_back(layer.diff_id);
    }
    made.config = config.to_json();
    made.manifest.config = store.put_blob(made.config, media_type::config).value();
    if (!name.empty()) made.descriptor = store.put_manifest(ref(name), made.manifest).value();
    return made;
  }
  void expect_whole(ImageStore& store, const std::string& name, std::size_t large = 600'000) {
    fs::remove_all(path("root"));
    const Result<ImageConfig> config = store.unpack(files(), ref(name), path("root"));
    ASSERT_TRUE(config) << config.error().to_string();
    EXPECT_EQ(config->entrypoint, std::vector<std::string>{"/bin/app"});
    EXPECT_EQ(files().info(path("root/bin/app"))->size_bytes, large);
  }
  Result<std::vector<ImportedImage>> import_bytes(const std::string& bytes,
                                                  const ImportOptions& options = {}) {
    const std::unique_ptr<ByteSource> source = memory_source(bytes);
    return import_archive(*store_, *source, options);
  }
  void expect_refused(const std::vector<Raw>& entries, Errc code, const std::string& why,
                      const ImportOptions& options = {}) {
    const Result<std::vector<ImportedImage>> images = import_bytes(raw_tar(entries), options);
    ASSERT_FALSE(images) << why;
    EXPECT_EQ(images.error().code, code) << images.error().detail;
    EXPECT_NE(images.error().detail.find(why), std::string::npos) << images.error().detail;
    EXPECT_TRUE(store_->references()->empty()) << "no name may be bound";
  }

  // What Docker wrote before version 25: layers as plain tar in folders of their own, the same one
  // again as a link, and files for still older versions.
  struct Docker {
    std::string layer = raw_tar({{.name = "bin/", .type = '5', .mode = 0755},
                                 {.name = "bin/app", .content = "program", .mode = 0755}});
    std::string config = R"({"architecture":")" + host_platform().architecture +
                         R"(","os":"linux","config":{"Entrypoint":["/bin/app"]},)"
                         R"("rootfs":{"type":"layers","diff_ids":[")" +
                         Digest::of(layer).to_string() + R"(",")" + Digest::of(layer).to_string() +
                         R"("]},"history":[{"created_by":"a"},{"created_by":"b"}]})";
    std::string config_name = std::string(Digest::of(config).hex()) + ".json";
    std::string layers = R"(["one/layer.tar","two/layer.tar"])";
    std::string tags = R"(["shop:v1","registry.example:5000/team/shop:v2"])";

    std::string manifest() const {
      return R"([{"Config":")" + config_name + R"(","RepoTags":)" + tags + R"(,"Layers":)" +
             layers + "}]";
    }
    std::vector<Raw> entries() const {
      return {{.name = "one/", .type = '5', .mode = 0755},
              {.name = "one/VERSION", .content = "1.0"},
              {.name = "one/layer.tar", .content = layer},
              {.name = "two/", .type = '5', .mode = 0755},
              {.name = "two/layer.tar", .type = '2', .link = "../one/layer.tar"},
              {.name = config_name, .content = config},
              {.name = "manifest.json", .content = manifest()},
              {.name = "repositories", .content = "{}"}};
    }
  };

  Loop loop_;
  testing_world::TemporaryDirectory root_;
  std::shared_ptr<ImageStore> store_ = memory_image_store();
};

// It was bound, and refused when it was to run.
TEST_F(ImageArchive, LayersThatAreNotWhatTheirConfigPromisesAreRefused) {
  const std::string folder = path("lies");
  const std::shared_ptr<ImageStore> from = open_image_layout(files(), folder).value();
  const std::string layer = raw_tar({{.name = "f", .content = "x"}});
  for (const std::string& promised : {Digest::of("other").to_string() + "\"", std::string()}) {
    Manifest manifest;
    manifest.layers.push_back(from->put_blob(layer, media_type::layer).value());
    manifest.config = from->put_blob(R"({"architecture":"amd64","os":"linux","rootfs":)"
                                     R"({"type":"layers","diff_ids":[)" +
                                         (promised.empty() ? "" : "\"" + promised) + "]}}",
                                     media_type::config)
                          .value();
    from->put_manifest(ref("local/lies:v1"), manifest).value();
    const std::vector<Reference> names{ref("local/lies:v1")};
    export_images(*from, names, files(), path("lies.tar"), ArchiveFormat::oci).value();
    for (const std::string& place : {folder, path("lies.tar")}) {
      const auto images = import_images(*store_, files(), place);
      ASSERT_FALSE(images) << place << promised;
      EXPECT_EQ(images.error().code, Errc::data_loss) << images.error().detail;
      EXPECT_TRUE(store_->references()->empty());
    }
  }
}

TEST_F(ImageArchive, BothFormatsComeBackWithNameAndDigest) {
  const std::shared_ptr<ImageStore> from = memory_image_store();
  const Descriptor shop = add_image(*from, "local/shop:v1").descriptor;
  const Descriptor other = add_image(*from, "other.example:5000/x:v2", 10).descriptor;
  const std::vector<Reference> names{ref("local/shop:v1"), ref("other.example:5000/x:v2")};
  for (const ArchiveFormat format : {ArchiveFormat::docker, ArchiveFormat::oci}) {
    const std::string file = path("a" + std::to_string(static_cast<int>(format)) + ".tar");
    export_images(*from, names, files(), file, format).value();
    EXPECT_FALSE(fs::exists(file + ".part"));
    const std::shared_ptr<ImageStore> to =
        open_image_layout(files(), path("to" + std::to_string(static_cast<int>(format)))).value();
    const std::vector<ImportedImage> images = import_images(*to, files(), file).value();
    ASSERT_EQ(images.size(), 2u);
    EXPECT_EQ(images[0].name, names[0]);
    EXPECT_EQ(to->resolve(names[0])->digest, shop.digest);
    EXPECT_EQ(to->resolve(names[1])->digest, other.digest);
    EXPECT_EQ(images[1].manifest.digest, other.digest);
    expect_whole(*to, "local/shop:v1");
    expect_whole(*to, "other.example:5000/x:v2", 10);
    // The same images give the same bytes, whatever store they are in.
    export_images(*to, names, files(), path("again.tar"), format).value();
    EXPECT_EQ(files().read_file(path("again.tar")).value(), files().read_file(file).value());
    EXPECT_FALSE(to->collect({.untagged = true})->blobs) << "something was left over";
  }
}

TEST_F(ImageArchive, WhatOldDockersSavedIsTaken) {
  const Docker docker;
  for (const std::string& archive :
       {raw_tar(docker.entries()), zstd_frame(raw_tar(docker.entries()))}) {
    const Result<std::vector<ImportedImage>> images = import_bytes(archive);
    ASSERT_TRUE(images) << images.error().to_string();
    ASSERT_EQ(images->size(), 2u);
    EXPECT_EQ(images->at(0).name, ref("shop:v1"));
    EXPECT_EQ(images->at(1).name, ref("registry.example:5000/team/shop:v2"));
    const Manifest manifest = store_->manifest(ref("shop:v1")).value();
    EXPECT_EQ(manifest.config.digest, Digest::of(docker.config)) << "the image's id stays";
    EXPECT_EQ(manifest.layers[1].digest, Digest::of(docker.layer));
    EXPECT_EQ(manifest.layers[0].media_type, media_type::layer);
    expect_whole(*store_, "shop:v1", 7);
  }
}

TEST_F(ImageArchive, CompressedLayersAreTakenAsTheyAreAndChecked) {
  Docker docker;
  docker.layers = R"(["l.tar.zst","l.tar.zst"])";
  std::vector<Raw> entries{{.name = "l.tar.zst", .content = zstd_frame(docker.layer)},
                           {.name = docker.config_name, .content = docker.config},
                           {.name = "manifest.json", .content = docker.manifest()}};
  const Result<std::vector<ImportedImage>> images = import_bytes(raw_tar(entries));
  ASSERT_TRUE(images) << images.error().to_string();
  EXPECT_EQ(store_->manifest(ref("shop:v1"))->layers[0].media_type, media_type::layer_zstd);
  expect_whole(*store_, "shop:v1", 7);
  store_ = memory_image_store();
  entries[0].content = zstd_frame(docker.layer + std::string(512, '\0'));
  expect_refused(entries, Errc::data_loss, "\"l.tar.zst\": the content has the digest");
}

// Docker since version 25: a layout whose index knows the tag alone, and manifest.json the rest.
TEST_F(ImageArchive, NamesComeFromWhereTheyAreWhole) {
  const std::shared_ptr<ImageStore> from = memory_image_store();
  const Made made = add_image(*from, "local/shop:v1", 10);
  const auto blob = [&](const Descriptor& part) {
    return Raw{.name = archive::blob_name(part.digest), .content = from->get_blob(part).value()};
  };
  Index index;
  index.manifests = {made.descriptor};
  index.manifests[0].annotations["org.opencontainers.image.ref.name"] = "v1";
  const std::string legacy = R"([{"Config":")" + archive::blob_name(made.manifest.config.digest) +
                             R"(","RepoTags":["team/shop:v1","team/shop:latest"],"Layers":[]}])";
  std::vector<Raw> entries{blob(made.manifest.layers[0]),
                           blob(made.manifest.layers[1]),
                           blob(made.manifest.config),
                           blob(made.descriptor),
                           {.name = "index.json", .content = index.to_json()},
                           {.name = "manifest.json", .content = legacy}};
  EXPECT_EQ(import_bytes(raw_tar(entries)).value().at(1).name, ref("team/shop:latest"));
  index.manifests[0].annotations["io.containerd.image.name"] = "docker.io/library/tea:v3";
  entries[4].content = index.to_json();
  EXPECT_EQ(import_bytes(raw_tar(entries)).value().at(0).name, ref("tea:v3"));
  EXPECT_EQ(import_bytes(raw_tar(entries), {.name = ref("mine:v4")}).value().at(0).name,
            ref("mine:v4"));
  EXPECT_TRUE(store_->resolve(ref("mine:v4"))->annotations.empty());
  entries.pop_back();
  index.manifests[0].annotations.clear();
  entries[4].content = index.to_json();
  const Result<std::vector<ImportedImage>> nameless = import_bytes(raw_tar(entries));
  ASSERT_FALSE(nameless);
  EXPECT_NE(nameless.error().detail.find("is called"), std::string::npos);
  EXPECT_TRUE(import_bytes(raw_tar(entries), {.name = ref("mine:v5")}));
}

TEST_F(ImageArchive, AnIndexMayMissOtherPlatformsButNotAll) {
  const std::shared_ptr<ImageStore> from = memory_image_store();
  const Made made = add_image(*from, "", 10);
  const std::string manifest = made.manifest.to_json();
  Index platforms;
  platforms.manifests.resize(2);
  platforms.manifests[0] = from->put_blob(manifest, media_type::manifest).value();
  platforms.manifests[0].platform = host_platform();
  platforms.manifests[1] = {std::string(media_type::manifest), Digest::of("elsewhere"), 9, {}, {}};
  platforms.manifests[1].platform = ImagePlatform{.architecture = "s390x", .os = "linux"};
  const Descriptor both = from->put_blob(platforms.to_json(), media_type::index).value();
  from->set_reference(ref("both:v1"), both).value();
  const std::vector<Reference> names{ref("both:v1")};
  export_images(*from, names, files(), path("a.tar")).value();
  EXPECT_EQ(import_images(*store_, files(), path("a.tar"))->at(0).manifest.digest, both.digest);
  expect_whole(*store_, "both:v1", 10);
  platforms.manifests.erase(platforms.manifests.begin());
  from->set_reference(ref("none:v1"),
                      from->put_blob(platforms.to_json(), media_type::index).value())
      .value();
  const std::vector<Reference> none{ref("none:v1")};
  EXPECT_EQ(export_images(*from, none, files(), path("b.tar"), ArchiveFormat::oci).error().code,
            Errc::not_found);
  EXPECT_FALSE(fs::exists(path("b.tar"))) << "half an archive is none";
  EXPECT_FALSE(fs::exists(path("b.tar.part")));
}

TEST_F(ImageArchive, FoldersAreImportedAndImagesCopied) {
  const std::shared_ptr<ImageStore> layout = open_image_layout(files(), path("l")).value();
  const Descriptor made = add_image(*layout, "local/shop:v1").descriptor;
  const std::vector<ImportedImage> images = import_images(*store_, files(), path("l")).value();
  ASSERT_EQ(images.size(), 1u);
  EXPECT_EQ(store_->resolve(ref("local/shop:v1"))->digest, made.digest);
  expect_whole(*store_, "local/shop:v1");
  EXPECT_EQ(copy_image(*layout, ref("absent"), *store_, ref("x")).error().code, Errc::not_found);
  EXPECT_FALSE(import_images(*store_, files(), path("nowhere")));
}

TEST_F(ImageArchive, ANameThatIsAbsentIsSaid) {
  add_image(*store_, "local/shop:v1");
  const std::vector<Reference> names{ref("local/tea")};
  const Result<void> exported = export_images(*store_, names, files(), path("a.tar"));
  EXPECT_EQ(exported.error().code, Errc::not_found);
  EXPECT_NE(exported.error().detail.find("local/tea"), std::string::npos);
  EXPECT_FALSE(export_images(*store_, {}, files(), path("a.tar")));
}

// ---------------------------------------------------------------------------- hostile archives

TEST_F(ImageArchive, NamesAndLinksThatLeadOutAreRefused) {
  for (const char* name : {"../x", "/etc/passwd", "a/../../x"}) {
    expect_refused({{.name = name, .content = "x"}}, Errc::invalid_argument, name);
  }
  for (const char* target : {"/etc/passwd", "../../x", ""}) {
    expect_refused({{.name = "a/l", .type = '2', .link = target}}, Errc::invalid_argument,
                   "\"a/l\"");
  }
  expect_refused({{.name = "l", .type = '1', .link = "../x"}}, Errc::invalid_argument, "\"l\"");
  expect_refused({{.name = "dev", .type = '3'}}, Errc::invalid_argument, "\"dev\"");
}

TEST_F(ImageArchive, WhatIsNotThereOrInACircleIsNamed) {
  Docker docker;
  std::vector<Raw> entries = docker.entries();
  entries[4].link = "layer.tar";  // itself
  expect_refused(entries, Errc::invalid_argument, "\"two/layer.tar\"");
  docker.layers = R"(["one/layer.tar","absent.tar"])";
  expect_refused(docker.entries(), Errc::invalid_argument, "\"absent.tar\"");
  docker.layers = R"(["one/layer.tar"])";
  expect_refused(docker.entries(), Errc::invalid_argument, "lists 2 layers");
  docker.layers = "7";
  expect_refused(docker.entries(), Errc::invalid_argument, "manifest.json[0].Layers");
  docker.layers = R"(["../../outside","one/layer.tar"])";
  expect_refused(docker.entries(), Errc::invalid_argument, "\"../../outside\"");
}

TEST_F(ImageArchive, ContentThatIsNotWhatItsNamePromisesIsRefused) {
  Docker docker;
  std::vector<Raw> entries = docker.entries();
  entries[5].content += " ";
  expect_refused(entries, Errc::data_loss, docker.config_name);
  entries = docker.entries();
  entries[2].content = raw_tar({{.name = "other"}});
  expect_refused(entries, Errc::data_loss, "\"one/layer.tar\"");
  const std::string blob = archive::blob_name(Digest::of("promised"));
  expect_refused({{.name = blob, .content = "something else"}}, Errc::data_loss, blob);
  expect_refused({{.name = blob, .content = std::string(1'000'000, 'x')}}, Errc::data_loss, blob);
  expect_refused({{.name = "blobs/sha256/abc"}}, Errc::invalid_argument, "blobs/sha256/abc");
  expect_refused({{.name = "blobs/md5/abc"}}, Errc::unimplemented, "blobs/md5/abc");
  expect_refused({{.name = "blobs/x"}}, Errc::invalid_argument, "blobs/x");
}

TEST_F(ImageArchive, SizesThatADocumentLiesAboutAreRefused) {
  const std::shared_ptr<ImageStore> from = memory_image_store();
  Made made = add_image(*from, "", 10);
  const auto blob = [&](const Descriptor& part) {
    return Raw{.name = archive::blob_name(part.digest), .content = from->get_blob(part).value()};
  };
  std::vector<Raw> entries{blob(made.manifest.layers[0]), blob(made.manifest.layers[1]),
                           blob(made.manifest.config)};
  made.manifest.layers[1].size_bytes += 1;
  Index index;
  index.manifests = {from->put_blob(made.manifest.to_json(), media_type::manifest).value()};
  index.manifests[0].annotations["org.opencontainers.image.ref.name"] = "local/shop:v1";
  entries.push_back(blob(index.manifests[0]));
  entries.push_back({.name = "index.json", .content = index.to_json()});
  expect_refused(entries, Errc::data_loss,
                 archive::blob_name(made.manifest.layers[1].digest) + "\": has");
  entries.erase(entries.begin());
  expect_refused(entries, Errc::invalid_argument,
                 archive::blob_name(made.manifest.layers[0].digest));
}

TEST_F(ImageArchive, BoundsAndWhatIsNoArchive) {
  expect_refused({{.name = "x", .content = std::string(5000, 'x')}}, Errc::resource_exhausted,
                 "4096", {.bytes_max = 4096});
  std::vector<Raw> many;
  for (int i = 0; i < 12; ++i) many.push_back({.name = "f" + std::to_string(i)});
  expect_refused(many, Errc::resource_exhausted, "10 entries", {.entries_max = 10});
  expect_refused({{.name = "a", .content = "1"}, {.name = "./a", .content = "2"}},
                 Errc::invalid_argument, "\"./a\": is there twice");
  expect_refused({{.name = "index.json", .content = std::string(9 << 20, ' ')}},
                 Errc::resource_exhausted, "index.json");
  expect_refused({{.name = "index.json", .content = "{"}}, Errc::invalid_argument, "index.json");
  expect_refused({{.name = "a"}}, Errc::invalid_argument, "neither index.json nor manifest.json");
  expect_refused({{.name = "index.json", .type = '2', .link = "a"}}, Errc::invalid_argument,
                 "\"index.json\"");
  for (const char* text : {"[]", "{}", "[7]", R"([{"Config":7}])"}) {
    expect_refused({{.name = "manifest.json", .content = text}}, Errc::invalid_argument,
                   "manifest.json");
  }
  EXPECT_FALSE(import_bytes("no tar at all"));
  EXPECT_FALSE(import_bytes(""));
  Docker docker;
  docker.tags = R"(["UPPER CASE"])";
  expect_refused(docker.entries(), Errc::invalid_argument, "UPPER");
}

TEST_F(ImageArchive, DamageOfAnArchiveNeverBindsAName) {
  const std::string archive = raw_tar(Docker().entries());
  Random random(11);
  for (int round = 0; round < 300; ++round) {
    std::string damaged = archive;
    damaged[random.below(damaged.size() - 1024)] ^= static_cast<char>(1 + random.below(255));
    store_ = memory_image_store();
    const bool taken = import_bytes(damaged).has_value();
    EXPECT_NE(store_->references()->empty(), taken) << round;
  }
}

// ---------------------------------------------------------------------------- other tools

TEST_F(ImageArchive, SkopeoReadsWhatWeWrite) {
  if (!have("skopeo")) {
    GTEST_SKIP() << "skopeo is not installed: scripts/bootstrap --tests brings it";
  }
  const Made made = add_image(*store_, "local/shop:v1");
  const std::vector<Reference> names{ref("local/shop:v1")};
  export_images(*store_, names, files(), path("d.tar")).value();
  export_images(*store_, names, files(), path("o.tar"), ArchiveFormat::oci).value();
  for (const char* from : {"docker-archive:d.tar", "docker-archive:d.tar:local/shop:v1",
                           "oci-archive:d.tar", "oci-archive:o.tar:local/shop:v1"}) {
    fs::remove_all(path("theirs"));
    ASSERT_TRUE(shell(std::string("skopeo --insecure-policy copy -q ") + from +
                      " oci:theirs:local/shop:v9"))
        << from << output();
    const std::shared_ptr<ImageStore> theirs = open_image_layout(files(), path("theirs")).value();
    expect_whole(*theirs, "local/shop:v9");
    if (std::string_view(from).starts_with("oci-archive")) {
      EXPECT_EQ(theirs->resolve(ref("local/shop:v9"))->digest, made.descriptor.digest);
    }
  }
}

TEST_F(ImageArchive, WeReadWhatSkopeoWrites) {
  if (!have("skopeo")) {
    GTEST_SKIP() << "skopeo is not installed: scripts/bootstrap --tests brings it";
  }
  const std::shared_ptr<ImageStore> layout = open_image_layout(files(), path("l")).value();
  const Made made = add_image(*layout, "local/shop:v1");
  ASSERT_TRUE(
      shell("skopeo --insecure-policy copy -q oci:l:local/shop:v1 "
            "docker-archive:d.tar:team/tea:v2 && "
            "skopeo --insecure-policy copy -q oci:l:local/shop:v1 "
            "oci-archive:o.tar:team/cup:v3 && gzip -k d.tar"))
      << output();
  EXPECT_EQ(import_images(*store_, files(), path("d.tar"))->at(0).name, ref("team/tea:v2"));
  expect_whole(*store_, "team/tea:v2");
  EXPECT_EQ(store_->config(ref("team/tea:v2"))->diff_ids,
            layout->config(ref("local/shop:v1"))->diff_ids);
  EXPECT_EQ(import_images(*store_, files(), path("o.tar"))->at(0).name, ref("team/cup:v3"));
  EXPECT_EQ(store_->resolve(ref("team/cup:v3"))->digest, made.descriptor.digest);
  expect_whole(*store_, "team/cup:v3");
  EXPECT_EQ(import_images(*store_, files(), path("d.tar.gz"), {.name = ref("packed")})->at(0).name,
            ref("packed"));
}

}  // namespace
}  // namespace knative::oci
