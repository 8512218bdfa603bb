// Pulls from a registry that does as it is told, in virtual time.
#include "engines/registry/fake_registry.hpp"

namespace knative::oci::testing {
namespace {

class Pull : public RegistryWorldTest {
 protected:
  FakeRegistry registry{env};
  std::string name(const std::string& rest) const { return registry.address() + "/" + rest; }
};

TEST_F(Pull, an_image_is_in_the_store_byte_by_byte_and_under_its_name) {
  const std::string layer(3 << 20, 'x');
  const Descriptor root = registry.put_image("v1", {layer, "second"});
  const Result<PulledImage> pulled = pull(name("team/shop:v1"));
  ASSERT_TRUE(pulled) << pulled.error().to_string();
  EXPECT_EQ(pulled->root.digest, root.digest);
  EXPECT_EQ(pulled->manifest.digest, root.digest);
  EXPECT_EQ(pulled->blobs_fetched, 4u);
  EXPECT_EQ(store->resolve(named(name("team/shop:v1"))).value().digest, root.digest);
  const Manifest manifest = store->manifest(named(name("team/shop:v1"))).value();
  EXPECT_EQ(store->get_blob(manifest.layers[0]).value(), layer);
  EXPECT_EQ(store->get_blob(manifest.layers[1]).value(), "second");
  EXPECT_EQ(registry.count("GET /v2/team/shop/manifests/v1"), 1u);
}

TEST_F(Pull, what_the_store_has_is_not_fetched_again) {
  registry.put_image("v1", {"base", "one"});
  registry.put_image("v2", {"base", "two"});
  ASSERT_TRUE(pull(name("shop:v1")));
  registry.asked.clear();
  const Result<PulledImage> pulled = pull(name("shop:v2"));
  ASSERT_TRUE(pulled) << pulled.error().to_string();
  EXPECT_EQ(pulled->blobs_kept, 1u);
  EXPECT_EQ(registry.count("GET /v2/shop/blobs/" + Digest::of("base").to_string()), 0u);
  EXPECT_EQ(registry.count("GET /v2/shop/blobs/"), 2u);
}

TEST_F(Pull, a_blob_that_breaks_goes_on_where_it_broke) {
  std::string layer;
  for (int i = 0; i < 300'000; ++i) layer += std::to_string(i);
  registry.put_image("v1", {layer});
  const std::string path = "/v2/shop/blobs/" + Digest::of(layer).to_string();
  int breaks = 0;
  registry.hook = [&](const http::Request& request) -> std::optional<http::Response> {
    if (request.target != path || breaks >= 2) return std::nullopt;
    ++breaks;
    http::Response whole = FakeRegistry::part_of(layer, request);
    const std::string rest = whole.body.bytes();
    whole.body = http::Body(
        std::make_unique<FaultyBody>(rest.substr(0, rest.size() / 3), rest.size(), true));
    return whole;
  };
  const Result<PulledImage> pulled = pull(name("shop:v1"));
  ASSERT_TRUE(pulled) << pulled.error().to_string();
  EXPECT_EQ(breaks, 2);
  std::vector<std::string> ranges;
  for (const Asked& asked : registry.asked) {
    if (asked.line == "GET " + path) {
      ranges.emplace_back(asked.headers.get("Range").value_or("none"));
    }
  }
  ASSERT_EQ(ranges.size(), 3u);
  EXPECT_EQ(ranges[0], "none");
  EXPECT_EQ(ranges[1], "bytes=" + std::to_string(layer.size() / 3) + "-");
  EXPECT_EQ(store->get_blob(store->manifest(named(name("shop:v1"))).value().layers[0]).value(),
            layer);
}

}  // namespace
}  // namespace knative::oci::testing
