// What we push, as other tools see it at the distribution project's registry.
#include "engines/registry/registry_peer.hpp"

namespace knative::oci::testing {
namespace {

class PushPeer : public RegistryPeerTest {
 protected:
  Result<PushedImage> push(const std::string& local, const std::string& to, PushOptions how = {}) {
    const Reference from = name_of(local);
    const Reference target = name_of(to);
    return loop.run(client().push(store, from, target, std::move(how)));
  }
  /// An image of our own making: two layers of this size.
  Descriptor own_image(const std::string& name, std::size_t bytes) {
    Manifest manifest;
    ImageConfig config;
    config.platform = host_platform();
    for (const char first : {'a', 'b'}) {
      std::string text(bytes, first);
      for (std::size_t i = 0; i < text.size(); i += 97) text[i] = static_cast<char>(i * 31 / 97);
      manifest.layers.push_back(store->put_blob(text, media_type::layer).value());
      config.diff_ids.push_back(manifest.layers.back().digest);
    }
    manifest.config = store->put_blob(config.to_json(), media_type::config).value();
    return store->put_manifest(name_of(name), manifest).value();
  }
  std::string digest_at(const std::string& name) {
    return shell("skopeo inspect --tls-verify=false --format '{{.Digest}}' docker://" + name);
  }
};

TEST_F(PushPeer, an_image_is_there_to_the_byte_and_costs_one_head_the_second_time) {
  start();
  const Descriptor root = own_image("local/shop:v1", 3 << 20);
  const Result<PushedImage> pushed = push("local/shop:v1", at("team/shop:v1"));
  ASSERT_TRUE(pushed) << pushed.error().to_string();
  EXPECT_EQ(pushed->root.digest, root.digest);
  EXPECT_EQ(pushed->blobs_sent, 3u);
  EXPECT_EQ(digest_at(at("team/shop:v1")), root.digest.to_string());
  shell("skopeo copy --src-tls-verify=false docker://" + at("team/shop:v1") + " oci:copied:v1");
  const Result<PushedImage> again = push("local/shop:v1", at("team/shop:v1"));
  ASSERT_TRUE(again) << again.error().to_string();
  EXPECT_EQ(again->blobs_sent + again->blobs_there + again->blobs_mounted, 0u);
}

TEST_F(PushPeer, another_repository_gives_its_layers) {
  start();
  own_image("local/shop:v1", 2 << 20);
  ASSERT_TRUE(push("local/shop:v1", at("team/shop:v1")));
  const Result<PushedImage> pushed = push("local/shop:v1", at("other/shop:v2"));
  ASSERT_TRUE(pushed) << pushed.error().to_string();
  EXPECT_EQ(pushed->blobs_mounted, 3u);
  EXPECT_EQ(pushed->blobs_sent, 0u);
  shell("skopeo copy --src-tls-verify=false docker://" + at("other/shop:v2") + " oci:copied:v1");
}

TEST_F(PushPeer, large_blobs_go_in_pieces_when_told) {
  options.chunk_bytes = 700'000;
  start();
  const Descriptor root = own_image("local/shop:v1", 3 << 20);
  const Result<PushedImage> pushed = push("local/shop:v1", at("shop:v1"));
  ASSERT_TRUE(pushed) << pushed.error().to_string();
  shell("skopeo copy --src-tls-verify=false docker://" + at("shop:v1") + " oci:copied:v1");
  EXPECT_EQ(digest_at(at("shop:v1")), root.digest.to_string());
}

TEST_F(PushPeer, what_was_pulled_goes_on_as_it_was) {
  start();
  make_image();
  for (const char* format : {"oci", "v2s2"}) {
    const std::string tag = format;
    shell("skopeo copy --format " + tag + " --dest-tls-verify=false oci:made:v1 docker://" +
          at("from:" + tag));
    ASSERT_TRUE(pull(at("from:" + tag)));
    const Result<PushedImage> pushed = push(at("from:" + tag), at("onward/to:" + tag));
    ASSERT_TRUE(pushed) << pushed.error().to_string();
    EXPECT_EQ(pushed->blobs_sent, 0u);
    EXPECT_EQ(raw("docker://" + at("from:" + tag)), raw("docker://" + at("onward/to:" + tag)));
  }
}

TEST_F(PushPeer, an_index_goes_with_all_that_it_lists) {
  start();
  const Descriptor amd = own_image("local/amd:v1", 1000);
  const Descriptor arm = own_image("local/arm:v1", 2000);
  Index index;
  index.manifests = {amd, arm};
  index.manifests[0].platform = host_platform();
  index.manifests[1].platform = ImagePlatform{"arm", "linux", "v7", {}, {}, {}};
  const Descriptor list = store->put_blob(index.to_json(), media_type::index).value();
  ASSERT_TRUE(store->set_reference(name_of("local/both:v1"), list));
  const Result<PushedImage> pushed = push("local/both:v1", at("both:v1"));
  ASSERT_TRUE(pushed) << pushed.error().to_string();
  EXPECT_EQ(pushed->root.digest, list.digest);
  shell("skopeo copy --all --src-tls-verify=false docker://" + at("both:v1") + " oci:copied:v1");
  // And back: only what was asked for.
  store = memory_image_store();
  PullOptions other;
  other.platform = ImagePlatform{"arm", "linux", "v7", {}, {}, {}};
  const Result<PulledImage> one = pull(at("both:v1"), other);
  ASSERT_TRUE(one) << one.error().to_string();
  EXPECT_EQ(one->root.digest, list.digest);
  EXPECT_EQ(one->manifest.digest, arm.digest);
  EXPECT_FALSE(store->blob_size(amd.digest).value());
  PullOptions all;
  all.all_platforms = true;
  ASSERT_TRUE(pull(at("both:v1"), all));
  EXPECT_TRUE(store->blob_size(amd.digest).value());
}

TEST_F(PushPeer, tags_referrers_and_removal) {
  start();
  const Descriptor root = own_image("local/shop:v1", 1000);
  ASSERT_TRUE(push("local/shop:v1", at("shop:v1")));
  ASSERT_TRUE(push("local/shop:v1", at("shop:v2")));
  const Reference shop = name_of(at("shop"));
  EXPECT_EQ(loop.run(client().tags(shop, RegistryKeyring())).value(),
            (std::vector<std::string>{"v1", "v2"}));
  const Reference none = name_of(at("none"));
  EXPECT_EQ(loop.run(client().tags(none, RegistryKeyring())).error().code, Errc::not_found);
  // This registry keeps no referrers: their index is kept under a tag.
  Manifest signature;
  signature.artifact_type = "application/vnd.example.signature";
  signature.subject = root;
  signature.config = store->put_blob("{}", "application/vnd.oci.empty.v1+json").value();
  signature.layers = {signature.config};
  ASSERT_TRUE(store->put_manifest(name_of("local/signature:v1"), signature));
  const Result<PushedImage> signed_ = push("local/signature:v1", at("shop:signature"));
  ASSERT_TRUE(signed_) << signed_.error().to_string();
  Reference exact = shop;
  exact.digest = root.digest;
  const auto found =
      loop.run(client().referrers(exact, "application/vnd.example.signature", RegistryKeyring()));
  ASSERT_TRUE(found) << found.error().to_string();
  ASSERT_EQ(found->size(), 1u);
  EXPECT_EQ(found->front().digest, signed_->root.digest);
  EXPECT_TRUE(
      loop.run(client().referrers(exact, "something/else", RegistryKeyring())).value().empty());
  const Reference tag = name_of(at("shop:v1"));
  EXPECT_EQ(loop.run(client().remove(tag, RegistryKeyring())).error().code, Errc::unimplemented);
  ASSERT_TRUE(loop.run(client().remove(exact, RegistryKeyring())));
  EXPECT_EQ(loop.run(client().resolve(tag)).error().code, Errc::not_found);
}

}  // namespace
}  // namespace knative::oci::testing
