// Pulls from a registry that does as it is told, in virtual time.
#include "engines/registry/fake_registry.hpp"

namespace knative::oci::testing {
namespace {

class Pull : public RegistryWorldTest {
 protected:
  FakeRegistry registry{env};
  std::string name(const std::string& rest) const { return registry.address() + "/" + rest; }
  /// What is asked for at `path` comes with a body of this.
  void give(const std::string& path, std::function<std::unique_ptr<http::BodySource>()> body) {
    registry.hook = [path, make = std::move(body)](
                        const http::Request& request) -> std::optional<http::Response> {
      if (request.target != path) return std::nullopt;
      http::Response response = http::text("");
      response.body = http::Body(make());
      return response;
    };
  }
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

TEST_F(Pull, who_waits_for_an_image_is_told_of_each_blob_and_of_the_end) {
  const Descriptor root = registry.put_image("v1", {"first", "second"});
  PullOptions how;
  how.arrival = std::make_shared<ImageArrival>();
  ASSERT_TRUE(pull(name("shop:v1"), how));
  EXPECT_EQ(how.arrival->digest(), root.digest);
  const Manifest* const manifest = sim.run(how.arrival->manifest());
  ASSERT_NE(manifest, nullptr);
  EXPECT_TRUE(sim.run(how.arrival->blob(manifest->config.digest)));
  EXPECT_TRUE(sim.run(how.arrival->blob(Digest::of("second"))));
  EXPECT_FALSE(sim.run(how.arrival->blob(Digest::of("none of its"))));
  how.arrival = std::make_shared<ImageArrival>();
  ASSERT_FALSE(pull(name("shop:v2"), how));
  EXPECT_EQ(sim.run(how.arrival->manifest()), nullptr);
}

// ---------------------------------------------------------------------------- hostile registries

TEST_F(Pull, content_with_another_digest_never_gets_into_the_store) {
  const std::string layer = "what was promised";
  registry.put_image("v1", {layer});
  registry.blobs[Digest::of(layer).to_string()] = "what it becomes..";
  const Result<PulledImage> pulled = pull(name("shop:v1"));
  ASSERT_FALSE(pulled);
  EXPECT_EQ(pulled.error().code, Errc::data_loss);
  EXPECT_NE(pulled.error().detail.find("repository shop: blob sha256:"), std::string::npos)
      << pulled.error().detail;
  EXPECT_FALSE(store->blob_size(Digest::of("what it becomes..")).value());
  EXPECT_TRUE(store->references().value().empty());
}

TEST_F(Pull, a_manifest_with_another_digest_is_refused) {
  const Descriptor root = registry.put_image("v1", {"layer"});
  registry.documents[root.digest.to_string()].bytes += " ";
  const Result<PulledImage> pulled = pull(name("shop@" + root.digest.to_string()));
  ASSERT_FALSE(pulled);
  EXPECT_EQ(pulled.error().code, Errc::data_loss) << pulled.error().to_string();
}

TEST_F(Pull, sizes_that_lie_are_told_before_the_bytes_come) {
  const std::string layer(1 << 20, 'x');
  registry.put_image("v1", {layer});
  const std::string path = "/v2/shop/blobs/" + Digest::of(layer).to_string();
  for (const std::size_t size : {layer.size() - 1, layer.size() + 1}) {
    registry.hook = [&](const http::Request& request) -> std::optional<http::Response> {
      if (request.target != path) return std::nullopt;
      return http::text(std::string(size, 'x'));
    };
    const Result<PulledImage> pulled = pull(name("shop:v1"));
    ASSERT_FALSE(pulled);
    EXPECT_EQ(pulled.error().code, Errc::data_loss) << pulled.error().to_string();
  }
}

TEST_F(Pull, a_body_without_end_is_cut_off_where_the_blob_should_end) {
  const std::string layer(1 << 20, 'x');
  registry.put_image("v1", {layer});
  const std::string path = "/v2/shop/blobs/" + Digest::of(layer).to_string();
  give(path,
       [] { return std::make_unique<FaultyBody>(std::string(100'000, 'x'), std::nullopt, false); });
  const Result<PulledImage> pulled = pull(name("shop:v1"));
  ASSERT_FALSE(pulled);
  EXPECT_EQ(pulled.error().code, Errc::data_loss) << pulled.error().to_string();
  EXPECT_EQ(registry.count("GET " + path), 1u);
}

/// A byte every ten seconds.
class DrippingBody final : public http::BodySource {
 public:
  explicit DrippingBody(Timers& timers) : timers_(timers) {}
  Task<Result<std::string_view>> next() override {
    co_await timers_.sleep_for(10s);
    co_return std::string_view("x");
  }

 private:
  Timers& timers_;
};

TEST_F(Pull, a_blob_that_comes_byte_by_byte_is_given_up) {
  const std::string layer(1 << 20, 'x');
  registry.put_image("v1", {layer});
  const std::string path = "/v2/shop/blobs/" + Digest::of(layer).to_string();
  give(path, [this] { return std::make_unique<DrippingBody>(env.timers); });
  const Instant begun = env.timers.now();
  const Result<PulledImage> pulled = pull(name("shop:v1"));
  ASSERT_FALSE(pulled);
  EXPECT_NE(pulled.error().detail.find("too slowly"), std::string::npos) << pulled.error().detail;
  EXPECT_LT(env.timers.now() - begun, 5min);
}

TEST_F(Pull, documents_without_end_and_of_great_depth_are_refused) {
  std::string deep = "{\"schemaVersion\":2,\"layers\":";
  deep += std::string(100'000, '[') + std::string(100'000, ']') + "}";
  registry.put_document("deep", deep, media_type::manifest);
  const Result<PulledImage> nested = pull(name("shop:deep"));
  ASSERT_FALSE(nested);
  EXPECT_EQ(nested.error().code, Errc::resource_exhausted) << nested.error().to_string();
  registry.hook = [](const http::Request&) -> std::optional<http::Response> {
    http::Response response = http::text("");
    response.body =
        http::Body(std::make_unique<FaultyBody>(std::string(100'000, ' '), std::nullopt, false));
    return response;
  };
  const Result<PulledImage> endless = pull(name("shop:v1"));
  ASSERT_FALSE(endless);
  EXPECT_EQ(endless.error().code, Errc::resource_exhausted) << endless.error().to_string();
}

TEST_F(Pull, what_could_be_read_as_a_manifest_and_as_an_index_is_neither) {
  const std::string both = R"({"schemaVersion":2,"config":{},"layers":[],"manifests":[]})";
  registry.put_document("both", both, media_type::manifest);
  EXPECT_EQ(pull(name("shop:both")).error().code, Errc::invalid_argument);
  const Descriptor image = registry.put_image("v1", {"layer"});
  registry.documents["v1"].type = media_type::index;
  const Result<PulledImage> other = pull(name("shop:v1"));
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, Errc::invalid_argument) << other.error().to_string();
  registry.put_document("old", R"({"schemaVersion":1,"fsLayers":[]})", "application/json");
  EXPECT_EQ(pull(name("shop:old")).error().code, Errc::unimplemented);
}

TEST_F(Pull, an_index_that_lists_itself_or_goes_down_for_ever_ends) {
  Index index;
  std::string bytes = index.to_json();
  for (int depth = 0; depth < 20; ++depth) {
    Index outer;
    outer.manifests = {registry.put_document("", bytes, media_type::index)};
    bytes = outer.to_json();
  }
  registry.put_document("deep", bytes, media_type::index);
  const Result<PulledImage> pulled = pull(name("shop:deep"));
  ASSERT_FALSE(pulled);
  EXPECT_EQ(pulled.error().code, Errc::resource_exhausted) << pulled.error().to_string();
}

TEST_F(Pull, more_than_an_image_may_have_is_refused_before_it_is_fetched) {
  options.image_bytes_max = 1000;
  registry.put_image("v1", {std::string(600, 'a'), std::string(600, 'b')});
  const Result<PulledImage> pulled = pull(name("shop:v1"));
  ASSERT_FALSE(pulled);
  EXPECT_EQ(pulled.error().code, Errc::resource_exhausted);
  EXPECT_EQ(registry.count("GET /v2/shop/blobs/"), 0u);
}

TEST_F(Pull, a_blob_that_breaks_each_time_without_a_byte_more_is_given_up) {
  const std::string layer(100'000, 'x');
  registry.put_image("v1", {layer});
  const std::string path = "/v2/shop/blobs/" + Digest::of(layer).to_string();
  registry.hook = [&](const http::Request& request) -> std::optional<http::Response> {
    if (request.target != path || request.headers.has("Range")) return std::nullopt;
    http::Response response = http::text("");
    response.body = http::Body(std::make_unique<FaultyBody>("xxx", layer.size(), true));
    return response;
  };
  EXPECT_TRUE(pull(name("shop:v1")));
  store = memory_image_store();
  give(path, [&layer] { return std::make_unique<FaultyBody>("", layer.size(), true); });
  const Result<PulledImage> pulled = pull(name("shop:v1"));
  ASSERT_FALSE(pulled);
  EXPECT_EQ(pulled.error().code, Errc::unavailable) << pulled.error().to_string();
}

TEST_F(Pull, a_registry_that_ignores_ranges_is_read_from_the_beginning_again) {
  const std::string layer(300'000, 'x');
  registry.put_image("v1", {layer});
  const std::string path = "/v2/shop/blobs/" + Digest::of(layer).to_string();
  int asked = 0;
  registry.hook = [&](const http::Request& request) -> std::optional<http::Response> {
    if (request.target != path) return std::nullopt;
    http::Response response = http::text(layer);
    if (++asked == 1) {
      response.body =
          http::Body(std::make_unique<FaultyBody>(layer.substr(0, 100'000), layer.size(), true));
    }
    return response;
  };
  const Result<PulledImage> pulled = pull(name("shop:v1"));
  ASSERT_TRUE(pulled) << pulled.error().to_string();
  EXPECT_EQ(asked, 2);
}

TEST_F(Pull, too_many_requests_and_failures_are_tried_again_when_the_registry_says) {
  registry.put_image("v1", {"layer"});
  int refusals = 0;
  registry.hook = [&](const http::Request&) -> std::optional<http::Response> {
    if (++refusals > 2) return std::nullopt;
    http::Response response =
        FakeRegistry::refusal(refusals == 1 ? 429 : 503, "TOOMANYREQUESTS", "slow down");
    if (refusals == 1) response.headers.set("Retry-After", "7");
    return response;
  };
  const Instant begin = sim.now();
  const Result<PulledImage> pulled = pull(name("shop:v1"));
  ASSERT_TRUE(pulled) << pulled.error().to_string();
  EXPECT_GE(sim.now() - begin, 7s);
  EXPECT_LT(sim.now() - begin, 9s);
  registry.hook = [&](const http::Request&) -> std::optional<http::Response> {
    http::Response response = FakeRegistry::refusal(429, "TOOMANYREQUESTS", "come back\\ntomorrow");
    response.headers.set("Retry-After", "86400");
    return response;
  };
  const Result<PulledImage> refused = pull(name("shop:v1"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::resource_exhausted);
  EXPECT_NE(refused.error().detail.find("TOOMANYREQUESTS: come back tomorrow"), std::string::npos)
      << refused.error().detail;
  EXPECT_NE(refused.error().detail.find("86400 s"), std::string::npos) << refused.error().detail;
}

TEST_F(Pull, dropping_it_leaves_no_part_of_a_blob_and_nothing_at_work) {
  std::shared_ptr<ImageStore> layout = open_image_layout(env.files, "/images").value();
  store = layout;
  const std::string layer(2 << 20, 'x');
  registry.put_image("v1", {layer});
  const std::string path = "/v2/shop/blobs/" + Digest::of(layer).to_string();
  give(path, [&layer] {
    return std::make_unique<FaultyBody>(layer.substr(0, 1 << 20), layer.size() + (1u << 30), false);
  });
  const Reference shop = named(name("shop:v1"));
  for (int turns = 10; turns < 400; turns += 13) {
    {
      TaskSet tasks(env.executor);
      auto run = [](RegistryClient& with, const Reference& what,
                    std::shared_ptr<ImageStore> into) -> Task<void> {
        (void)co_await with.pull(what, std::move(into));
      };
      tasks.add(run(client(), shop, store));
      for (int turn = 0; turn < turns && sim.step(); ++turn) {
      }
    }
    sim.run_for(10s);
    EXPECT_TRUE(store->references().value().empty());
    for (const auto& [file, bytes] : sim.disk().snapshot()) {
      EXPECT_EQ(file.find(".blob-"), std::string::npos) << file << " after " << turns;
    }
  }
}

// ---------------------------------------------------------------------------- platforms, mirrors

TEST_F(Pull, the_best_variant_of_the_platform_is_chosen) {
  Index index;
  for (const char* variant : {"v5", "v7", "v6", "v9"}) {
    const ImagePlatform platform{"arm", "linux", variant, {}, {}, {}};
    index.manifests.push_back(registry.put_image("", {std::string("arm ") + variant}, platform));
    index.manifests.back().platform = platform;
  }
  index.manifests.push_back(registry.put_image("", {"statement"}));
  index.manifests.back().platform = ImagePlatform{"unknown", "unknown", "", {}, {}, {}};
  registry.put_document("v1", index.to_json(), media_type::index);
  const std::vector<std::pair<std::string, std::size_t>> rows = {
      {"v7", 1}, {"v6", 2}, {"v8", 1}, {"", 1}};
  for (const auto& [variant, chosen] : rows) {
    PullOptions how;
    how.platform = ImagePlatform{"arm", "linux", variant, {}, {}, {}};
    const Result<PulledImage> pulled = pull(name("shop:v1"), how);
    ASSERT_TRUE(pulled) << pulled.error().to_string();
    EXPECT_EQ(pulled->manifest.digest, index.manifests[chosen].digest) << variant;
  }
  const Result<PulledImage> none = pull(name("shop:v1"), PullOptions{});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, Errc::not_found);
  EXPECT_NE(none.error().detail.find("has no manifest for linux/"), std::string::npos);
}

TEST_F(Pull, mirrors_are_asked_first_and_the_registry_for_what_they_lack) {
  FakeRegistry mirror(env);
  options.hosts[registry.address()].mirrors = {mirror.address() + "/cache"};
  registry.put_image("v1", {"one", "two"});
  mirror.documents = registry.documents;
  mirror.put_blob("one", media_type::layer);
  const Result<PulledImage> pulled = pull(name("shop:v1"));
  ASSERT_TRUE(pulled) << pulled.error().to_string();
  EXPECT_EQ(mirror.count("GET /v2/cache/shop/manifests/v1"), 1u);
  EXPECT_EQ(registry.count("GET /v2/shop/manifests/"), 0u);
  EXPECT_EQ(registry.count("GET /v2/shop/blobs/" + Digest::of("one").to_string()), 0u);
  EXPECT_EQ(registry.count("GET /v2/shop/blobs/" + Digest::of("two").to_string()), 1u);
}

TEST_F(Pull, foreign_layers_are_fetched_from_elsewhere_only_when_asked_for) {
  Manifest manifest;
  manifest.config = registry.put_blob("{}", media_type::config);
  Descriptor layer;
  layer.media_type = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
  layer.digest = Digest::of("far");
  layer.size_bytes = 3;
  layer.urls = {"http://far.example/layer"};
  manifest.layers = {layer};
  registry.put_document("v1", manifest.to_json(), media_type::manifest);
  const Result<PulledImage> pulled = pull(name("shop:v1"));
  ASSERT_FALSE(pulled);
  EXPECT_EQ(pulled.error().code, Errc::failed_precondition) << pulled.error().to_string();
  PullOptions how;  // http is no way even then
  how.foreign_layers = true;
  EXPECT_EQ(pull(name("shop:v1"), how).error().code, Errc::not_found);
}

TEST_F(Pull, a_name_with_a_digest_is_not_bound_unless_told) {
  const Descriptor root = registry.put_image("v1", {"layer"});
  const std::string exact = name("shop@" + root.digest.to_string());
  ASSERT_TRUE(pull(exact));
  EXPECT_TRUE(store->references().value().empty());
  PullOptions how;
  how.as = named("pinned/shop:v1");
  ASSERT_TRUE(pull(exact, how));
  EXPECT_EQ(store->resolve(named("pinned/shop:v1")).value().digest, root.digest);
}

// ---------------------------------------------------------------------------- tags to digests

TEST_F(Pull, a_tag_becomes_a_digest_by_one_head_request) {
  const Descriptor root = registry.put_image("v1", {"layer"});
  const Result<Descriptor> found = resolve(name("shop:v1"));
  ASSERT_TRUE(found) << found.error().to_string();
  EXPECT_EQ(found->digest, root.digest);
  EXPECT_EQ(found->size_bytes, root.size_bytes);
  ASSERT_EQ(registry.asked.size(), 1u);
  EXPECT_EQ(registry.asked[0].line, "HEAD /v2/shop/manifests/v1");
  registry.hook = [](const http::Request& request) -> std::optional<http::Response> {
    if (request.method == "HEAD") return http::text("");  // says nothing of a digest
    return std::nullopt;
  };
  EXPECT_EQ(resolve(name("shop:v1")).value().digest, root.digest);
}

TEST(KeepsTag, as_knative_does) {
  const std::vector<std::string> skipped = {"kind.local", "ko.local", "dev.local"};
  EXPECT_TRUE(keeps_tag(named("ko.local/shop:v1"), skipped));
  EXPECT_TRUE(keeps_tag(named("dev.local/a/b"), skipped));
  EXPECT_TRUE(keeps_tag(named("x.example/a@" + Digest::of("").to_string()), skipped));
  EXPECT_FALSE(keeps_tag(named("x.example/ko.local/a:v1"), skipped));
  EXPECT_FALSE(keeps_tag(named("busybox"), skipped));
}

}  // namespace
}  // namespace knative::oci::testing
