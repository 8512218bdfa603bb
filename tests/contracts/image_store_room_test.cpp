// What image stores keep and what they let go: repositories, pins, collection, quota; and what is
// in a layout after a crash.
#include <gtest/gtest.h>

#include <functional>

#include "knative/oci.hpp"
#include "knative/simulation.hpp"

namespace knative::oci {
namespace {

struct RoomKind {
  const char* name;
  std::function<std::shared_ptr<ImageStore>(Files&, const ImageStoreLimits&)> make;
};

class ImageRoom : public ::testing::TestWithParam<RoomKind> {
 protected:
  void SetUp() override { open({}); }
  void open(const ImageStoreLimits& limits) {
    store_.reset();
    store_ = GetParam().make(world_.env().files, limits);
  }
  static Reference ref(const std::string& text) { return Reference::parse(text).value(); }

  Manifest manifest_of(const std::string& layer) {
    Manifest manifest;
    manifest.config =
        store_->put_blob("{\"of\":\"" + layer.substr(0, 20) + "\"}", media_type::config).value();
    manifest.layers = {store_->put_blob(layer, media_type::layer).value()};
    return manifest;
  }
  Descriptor add(const std::string& name, const std::string& layer) {
    return store_->put_manifest(ref(name), manifest_of(layer)).value();
  }
  // A manifest of a repository without a tag.
  Descriptor keep(const std::string& repository, const Manifest& manifest) {
    const Descriptor blob = store_->put_blob(manifest.to_json(), manifest.own_media_type()).value();
    store_->keep_manifest(repository, blob).value();
    return blob;
  }
  bool has(const Digest& digest) {
    const Result<std::unique_ptr<BlobContent>> blob = store_->read_blob(digest);
    return blob.has_value();
  }
  bool has(const std::string& bytes) { return has(Digest::of(bytes)); }

  Simulation world_{3};
  std::shared_ptr<ImageStore> store_;
};
INSTANTIATE_TEST_SUITE_P(
    All, ImageRoom,
    ::testing::Values(RoomKind{"memory",
                               [](Files&, const ImageStoreLimits& limits) {
                                 return memory_image_store(limits);
                               }},
                      RoomKind{"layout",
                               [](Files& files, const ImageStoreLimits& limits) {
                                 return open_image_layout(files, "/l", {.limits = limits}).value();
                               }}),
    [](const auto& info) { return info.param.name; });

TEST_P(ImageRoom, WhatATagNeedsIsNeverCollected) {
  add("a", "one");
  add("b", "two");
  EXPECT_EQ(store_->collect()->blobs, 0u);
  store_->remove_reference(ref("a")).value();
  const Collected collected = store_->collect().value();
  EXPECT_EQ(collected.blobs, 3u);
  EXPECT_GT(collected.bytes, 0u);
  EXPECT_FALSE(has("one"));
  EXPECT_TRUE(has("two"));
  EXPECT_TRUE(store_->manifest(ref("b")));
}

TEST_P(ImageRoom, WhatWasPulledGivesRoomUnlessItIsPinned) {
  const auto pulled = [this](const std::string& name, const std::string& layer) {
    Descriptor root = add(name, layer);
    root.annotations[std::string(pulled_annotation)] = "true";
    store_->set_reference(ref(name), root).value();
    return root;
  };
  add("ours", "one");
  const Descriptor used = pulled("used", "two");
  pulled("unused", "three");
  EXPECT_EQ(store_->collect({.untagged = true})->blobs, 0u);
  Pin pin = store_->pin(used.digest).value();
  const Collected collected = store_->collect({.untagged = true, .pulled = true}).value();
  EXPECT_EQ(collected.names, 1u);
  EXPECT_TRUE(has("one") && has("two"));
  EXPECT_FALSE(has("three"));
  EXPECT_FALSE(store_->find(ref("unused")).value());
  pin.reset();
  EXPECT_EQ(store_->collect({.pulled = true})->names, 1u);
  EXPECT_TRUE(has("one"));
}

TEST_P(ImageRoom, AFullStoreMakesRoomByWhatItCanPullAgain) {
  open({.bytes_max = 10'000});
  Descriptor root = add("pulled", std::string(6'000, 'p'));
  root.annotations[std::string(pulled_annotation)] = "true";
  store_->set_reference(ref("pulled"), root).value();
  add("ours", std::string(6'000, 'o'));
  EXPECT_FALSE(store_->find(ref("pulled")).value());
  EXPECT_TRUE(store_->find(ref("ours")).value());
}

TEST_P(ImageRoom, ANameThatMovedOnLeavesItsImageToTheCollection) {
  add("a", "one");
  add("a", "two");
  store_->collect().value();
  EXPECT_FALSE(has("one"));
  EXPECT_TRUE(has("two"));
}

TEST_P(ImageRoom, APinKeepsAWholeImage) {
  const Descriptor image = add("a", "one");
  Pin pin = store_->pin(image.digest).value();
  const Pin again = store_->pin(image.digest).value();
  store_->remove_reference(ref("a")).value();
  EXPECT_EQ(store_->collect()->blobs, 0u);
  EXPECT_EQ(store_->remove_blob(image.digest).error().code, Errc::failed_precondition);
  pin.reset();
  EXPECT_EQ(store_->collect()->blobs, 0u) << "another holds it";
  EXPECT_TRUE(has("one"));
  EXPECT_EQ(store_->pin(Digest::of("absent")).error().code, Errc::not_found);
}

TEST_P(ImageRoom, WhatIsOnItsWayIntoAnImageIsSparedOnce) {
  store_->put_blob("layer", media_type::layer).value();
  EXPECT_EQ(store_->collect()->blobs, 0u);
  EXPECT_TRUE(store_->blob_size(Digest::of("layer")).value()) << "asked for: it is wanted again";
  EXPECT_EQ(store_->collect()->blobs, 0u);
  EXPECT_EQ(store_->collect()->blobs, 1u);
}

TEST_P(ImageRoom, UntaggedManifestsGoOnlyWhenAskedAndReferrersStayWithTheirSubject) {
  const Descriptor subject = add("a", "one");
  const Descriptor untagged = keep("a", manifest_of("two"));
  Manifest signature = manifest_of("signature");
  signature.subject = subject;
  const Descriptor about = keep("a", signature);
  store_->collect().value();
  store_->collect().value();
  EXPECT_TRUE(has(untagged.digest));
  const Collected collected = store_->collect({.untagged = true}).value();
  EXPECT_EQ(collected.manifests, 1u);
  EXPECT_FALSE(has(untagged.digest));
  EXPECT_TRUE(has(about.digest));
  EXPECT_TRUE(has("signature"));
  EXPECT_EQ(store_->referrers("a", subject.digest)->size(), 1u);
}

TEST_P(ImageRoom, NestedIndexesKeepTheirImages) {
  const Descriptor image = add("a", "one");
  Index inner;
  inner.manifests = {image};
  Index outer;
  outer.manifests = {store_->put_blob(inner.to_json(), media_type::index).value()};
  const Descriptor top = store_->put_blob(outer.to_json(), media_type::index).value();
  store_->set_reference(ref("many"), top).value();
  store_->remove_reference(ref("a")).value();
  store_->collect().value();
  store_->collect().value();
  EXPECT_EQ(store_->resolve(ref("many"))->digest, image.digest);
  EXPECT_TRUE(has("one"));
  EXPECT_TRUE(store_->find({"many", "", image.digest}).value());
  EXPECT_TRUE(store_->refers_to("many", Digest::of("one")).value());
  store_->remove_reference(ref("many")).value();
  EXPECT_FALSE(store_->refers_to("many", Digest::of("one")).value());
}

TEST_P(ImageRoom, ABlobOfAnImageIsNotRemovedAlone) {
  add("a", "one");
  EXPECT_EQ(store_->remove_blob(Digest::of("one")).error().code, Errc::failed_precondition);
  store_->put_blob("free", "x").value();
  store_->remove_blob(Digest::of("free")).value();
  EXPECT_FALSE(has("free"));
  EXPECT_EQ(store_->remove_blob(Digest::of("free")).error().code, Errc::not_found);
}

TEST_P(ImageRoom, AQuotaMakesRoomOrRefuses) {
  open({.bytes_max = 10'000});
  add("old", std::string(6'000, 'o'));
  const auto put = [this](char fill) {
    return store_->put_blob(std::string(6'000, fill), media_type::layer);
  };
  const Error full = put('x').error();
  EXPECT_EQ(full.code, Errc::resource_exhausted);
  EXPECT_NE(full.detail.find("10000"), std::string::npos) << full.detail;
  store_->remove_reference(ref("old")).value();
  EXPECT_TRUE(put('x')) << "what nobody needs made room";
  EXPECT_FALSE(has(std::string(6'000, 'o')));
  EXPECT_LE(store_->used_bytes().value(), 10'000u);
}

TEST_P(ImageRoom, OneQuotaCountsWhatIsBeingWritten) {
  open({.bytes_max = 10'000});
  std::unique_ptr<BlobWriter> one = store_->new_blob().value();
  one->write(std::string(6'000, 'a')).value();
  std::unique_ptr<BlobWriter> two = store_->new_blob().value();
  EXPECT_EQ(two->write(std::string(6'000, 'b')).error().code, Errc::resource_exhausted);
  one.reset();
  EXPECT_TRUE(two->write(std::string(6'000, 'b')));
  EXPECT_TRUE(two->commit());
}

TEST_P(ImageRoom, ABlobIsCommittedUnderTheDigestThatIsAskedFor) {
  for (const DigestAlgorithm algorithm : {DigestAlgorithm::sha256, DigestAlgorithm::sha512}) {
    for (const DigestAlgorithm asked : {DigestAlgorithm::sha256, DigestAlgorithm::sha512}) {
      std::unique_ptr<BlobWriter> blob = store_->new_blob(algorithm).value();
      blob->write("abc").value();
      EXPECT_EQ(blob->commit(Digest::of("abc", asked))->digest, Digest::of("abc", asked));
      EXPECT_TRUE(has(Digest::of("abc", asked)));
    }
  }
  std::unique_ptr<BlobWriter> wrong = store_->new_blob().value();
  wrong->write("abd").value();
  EXPECT_EQ(wrong->commit(Digest::of("abx")).error().code, Errc::data_loss);
  EXPECT_FALSE(has("abd"));
  EXPECT_EQ(store_->get_blob({"", Digest::of("abc", DigestAlgorithm::sha512), 3, {}, {}}).value(),
            "abc");
}

// ---------------------------------------------------------------------------- layouts

class LayoutRoom : public ::testing::Test {
 protected:
  Files& files() { return world_.env().files; }
  std::shared_ptr<ImageStore> open() { return open_image_layout(files(), "/l").value(); }
  static Descriptor add(ImageStore& store, const std::string& name, const std::string& layer) {
    Manifest manifest;
    manifest.config =
        store.put_blob("{\"of\":\"" + layer.substr(0, 20) + "\"}", media_type::config).value();
    manifest.layers = {store.put_blob(layer, media_type::layer).value()};
    return store.put_manifest(Reference::parse(name).value(), manifest).value();
  }
  Simulation world_{5};
};

TEST_F(LayoutRoom, ManyNamesAreNotRewrittenForEachOfThem) {
  std::shared_ptr<ImageStore> store = open();
  const Descriptor image = add(*store, "a:t0", "layer");
  std::uint64_t rewritten = 0;
  std::int64_t before = files().info("/l/index.json")->modified_ns;
  for (int i = 1; i < 2'000; ++i) {
    world_.run_for(std::chrono::microseconds(1));
    store->set_reference({"a", "t" + std::to_string(i), Digest()}, image).value();
    const std::int64_t now = files().info("/l/index.json")->modified_ns;
    rewritten += now != before ? 1 : 0;
    before = now;
  }
  // Each of the first few hundred, while the index is small; then less and less often.
  EXPECT_LT(rewritten, 400u);
  const std::shared_ptr<ImageStore> reader = open();
  EXPECT_EQ(reader->references()->size(), 2'000u) << "index and journal together";
  store->remove_reference({"a", "t7", Digest()}).value();
  EXPECT_EQ(reader->references()->size(), 1'999u) << "another process sees it";
  store.reset();
  EXPECT_FALSE(files().info("/l/.index.journal")) << "closed: the index says it all";
  EXPECT_EQ(open()->references()->size(), 1'999u);
}

TEST_F(LayoutRoom, AnotherWriterIsNotCollectedFrom) {
  std::shared_ptr<ImageStore> one = open();
  const std::shared_ptr<ImageStore> two = open();
  add(*one, "a", "layer");
  two->references().value();
  EXPECT_TRUE(one->collect()) << "who only reads takes no part";
  two->put_blob("on its way", "x").value();
  EXPECT_EQ(one->collect().error().code, Errc::unavailable);
}

TEST_F(LayoutRoom, EntriesThatCannotBeReadStayAndHinderNobody) {
  std::shared_ptr<ImageStore> store = open();
  const Descriptor image = add(*store, "a", "layer");
  store.reset();
  const std::string strange =
      "{\"digest\":\"no digest\",\"size\":1},"
      "{\"digest\":\"blake3:" +
      std::string(64, 'f') +
      "\",\"size\":3},"
      "{\"digest\":\"" +
      image.digest.to_string() + "\",\"size\":99999999999999999999},";
  std::string text = files().read_file("/l/index.json").value();
  text.insert(text.find("\"manifests\":[") + 13, strange);
  files().write_file("/l/index.json", text).value();
  store = open();
  EXPECT_EQ(store->references()->size(), 1u);
  add(*store, "b", "other");
  const std::string after = files().read_file("/l/index.json").value();
  EXPECT_NE(after.find("no digest"), std::string::npos);
  EXPECT_NE(after.find("blake3:"), std::string::npos);
  EXPECT_EQ(store->collect().error().code, Errc::failed_precondition)
      << "what they need is unknown";
}

TEST_F(LayoutRoom, APowerFailureLeavesWholeImages) {
  for (int round = 0; round < 40; ++round) {
    Simulation world(static_cast<std::uint64_t>(round) + 100);
    Files& files = world.env().files;
    std::shared_ptr<ImageStore> store = open_image_layout(files, "/l").value();
    std::vector<std::string> bound;
    for (int i = 0; i <= round * 7; ++i) {
      const std::string name = "team/shop-with-a-long-name:t" + std::to_string(i);
      add(*store, name, "layer " + std::to_string(i));
      if (i % 3 == 0) store->remove_reference(Reference::parse(name).value()).value();
      if (i % 3 != 0) bound.push_back(name);
    }
    std::unique_ptr<BlobWriter> half = store->new_blob().value();
    half->write("half").value();
    world.disk().crash(CrashMode::seeded);
    half.reset();
    store.reset();
    store = open_image_layout(files, "/l").value();
    EXPECT_EQ(store->references()->size(), bound.size()) << round;
    for (const std::string& name : bound) {
      const Result<Manifest> manifest = store->manifest(Reference::parse(name).value());
      ASSERT_TRUE(manifest) << name << manifest.error().to_string();
      EXPECT_TRUE(store->get_blob(manifest->layers.front())) << name;
    }
    for (const FileInfo& entry : files.list("/l").value()) {
      EXPECT_FALSE(entry.name.starts_with(".blob-")) << entry.name;
    }
    store->collect().value();
    store->collect().value();
    for (const std::string& name : bound) {
      EXPECT_TRUE(store->manifest(Reference::parse(name).value())) << name;
    }
  }
}

}  // namespace
}  // namespace knative::oci
