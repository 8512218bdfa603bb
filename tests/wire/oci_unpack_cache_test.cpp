// Images that are unpacked while they arrive, in virtual time.
#include <gtest/gtest.h>

#include "knative/oci.hpp"
#include "knative/simulation.hpp"

namespace knative::oci {
namespace {

using namespace std::chrono_literals;

class ArrivingImages : public ::testing::Test {
 protected:
  struct Image {
    Digest digest;
    Manifest manifest;
    std::string manifest_text;
    std::vector<std::string> blobs;  // config, then layers
    Reference name;
  };

  // One file in each layer, named by its number.
  Image image(int layers, bool promises = true) {
    std::vector<Digest> diff_ids;
    Image made;
    for (int i = 1; i <= layers; ++i) {
      const std::shared_ptr<ImageStore> scratch = memory_image_store();
      std::unique_ptr<BlobWriter> blob = scratch->new_blob().value();
      LayerWriter writer(*blob);
      writer.add_file(std::to_string(i), "content").value();
      const LayerInfo layer = writer.finish().value();
      (void)blob->commit().value();
      made.manifest.layers.push_back(layer.blob);
      diff_ids.push_back(promises ? layer.diff_id : Digest::of("another"));
      made.blobs.push_back(scratch->get_blob(layer.blob).value());
    }
    ImageConfig config;
    config.platform = host_platform();
    config.entrypoint = {"/1"};
    config.diff_ids = diff_ids;
    made.blobs.insert(made.blobs.begin(), config.to_json());
    made.manifest.config = {.media_type = std::string(media_type::config),
                            .digest = Digest::of(made.blobs.front()),
                            .size_bytes = made.blobs.front().size()};
    made.manifest_text = made.manifest.to_json();
    made.digest = Digest::of(made.manifest_text);
    made.name = Reference{.repository = "shop", .tag = "v1", .digest = made.digest};
    return made;
  }

  void come(const Image& image, std::size_t number) {
    arrival_->came(store_->put_blob(image.blobs[number], "").value().digest);
    world_.run_for(1s);
  }
  void follow(const Image& image) {
    following_.add(cache_->follow(arrival_));
    arrival_->found(image.digest, image.manifest);
    world_.run_for(1s);
  }
  // Folders that are not images yet.
  std::vector<std::string> under_way() {
    std::vector<std::string> all;
    const auto there = world_.env().files.list("/roots");
    for (const FileInfo& one : there ? *there : std::vector<FileInfo>()) {
      if (one.name.starts_with(".unpack-")) all.push_back("/roots/" + one.name + "/root");
    }
    return all;
  }
  std::string read(const std::string& path) {
    const Result<std::string> text = world_.env().files.read_file(path);
    return text ? *text : text.error().to_string();
  }
  Result<UnpackedImage> get(const Image& image) { return world_.run(cache_->get(image.name)); }

  Simulation world_{7};
  std::shared_ptr<ImageStore> store_ = memory_image_store();
  std::unique_ptr<UnpackCache> cache_ =
      std::make_unique<UnpackCache>(store_, world_.env().files, world_.env().offload, "/roots");
  std::shared_ptr<ImageArrival> arrival_ = std::make_shared<ImageArrival>();
  TaskSet following_{world_.env().executor};
};

TEST_F(ArrivingImages, a_layer_is_unpacked_before_the_next_one_is_there) {
  const Image shop = image(3);
  follow(shop);
  come(shop, 0);
  come(shop, 2);  // nobody waits for their order
  ASSERT_EQ(under_way().size(), 1u);
  EXPECT_TRUE(world_.env().files.list(under_way()[0]).value().empty());
  come(shop, 1);
  EXPECT_EQ(read(under_way()[0] + "/1"), "content");
  EXPECT_EQ(read(under_way()[0] + "/2"), "content");
  EXPECT_FALSE(world_.env().files.info(under_way()[0] + "/3"));
  come(shop, 3);
  arrival_->end();
  EXPECT_TRUE(under_way().empty());
  for (const Descriptor& layer : shop.manifest.layers) {
    ASSERT_TRUE(store_->remove_blob(layer.digest));  // they are not read again
  }
  (void)store_->put_manifest(shop.name, shop.manifest).value();
  const Result<UnpackedImage> got = get(shop);
  ASSERT_TRUE(got) << got.error().to_string();
  EXPECT_EQ(read(got->directory + "/3"), "content");
}

TEST_F(ArrivingImages, who_asks_for_one_waits_for_what_is_under_way) {
  const Image shop = image(2);
  follow(shop);
  come(shop, 0);
  come(shop, 1);
  (void)store_->put_manifest(shop.name, shop.manifest).value();
  std::optional<Result<UnpackedImage>> got;
  auto ask = [](UnpackCache& cache, const Reference& name,
                std::optional<Result<UnpackedImage>>& into) -> Task<void> {
    Task<Result<UnpackedImage>> getting = cache.get(name);
    into = co_await std::move(getting);
  };
  following_.add(ask(*cache_, shop.name, got));
  world_.run_for(10s);
  EXPECT_FALSE(got);
  come(shop, 2);
  ASSERT_TRUE(got && *got);
  EXPECT_EQ(read((*got)->directory + "/2"), "content");
}

TEST_F(ArrivingImages, a_pull_that_ends_early_leaves_nothing) {
  const Image shop = image(2);
  follow(shop);
  come(shop, 0);
  come(shop, 1);
  EXPECT_EQ(under_way().size(), 1u);
  arrival_->end();
  world_.run_for(1s);
  EXPECT_TRUE(world_.env().files.list("/roots").value().empty());
}

TEST_F(ArrivingImages, nothing_is_left_when_nobody_follows_any_more) {
  const Image shop = image(2);
  follow(shop);
  come(shop, 0);
  following_.clear();
  world_.run_for(1s);
  EXPECT_TRUE(world_.env().files.list("/roots").value().empty());
}

TEST_F(ArrivingImages, what_is_not_as_promised_is_said_by_who_asks_for_it) {
  const Image shop = image(2, false);
  follow(shop);
  for (std::size_t i = 0; i < 3; ++i) come(shop, i);
  arrival_->end();
  world_.run_for(1s);
  EXPECT_TRUE(world_.env().files.list("/roots").value().empty());
  (void)store_->put_manifest(shop.name, shop.manifest).value();
  const Result<UnpackedImage> got = get(shop);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, Errc::data_loss) << got.error().to_string();
  EXPECT_TRUE(world_.env().files.list("/roots").value().empty());
}

TEST_F(ArrivingImages, more_than_a_few_at_a_time_are_not_followed) {
  std::vector<std::shared_ptr<ImageArrival>> all;
  for (std::size_t i = 0; i < UnpackCache::following_max + 2; ++i) {
    const Image shop = image(static_cast<int>(i) + 1);
    arrival_ = std::make_shared<ImageArrival>();
    all.push_back(arrival_);
    follow(shop);
    come(shop, 0);
  }
  EXPECT_EQ(under_way().size(), UnpackCache::following_max);
}

}  // namespace
}  // namespace knative::oci
