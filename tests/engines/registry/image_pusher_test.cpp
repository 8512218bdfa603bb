// Pushes to a registry that fails as it is told, in virtual time.
#include "engines/registry/fake_registry.hpp"

namespace knative::oci::testing {
namespace {

/// Takes uploads; each of its answers leads elsewhere, by an absolute or a relative Location.
class Uploads {
 public:
  explicit Uploads(FakeRegistry& registry) : registry_(registry) {}

  std::optional<http::Response> operator()(const http::Request& request) {
    const std::string target = request.target;
    if (request.method == "POST") return accepted(0);
    if (target.starts_with("/somewhere/")) {
      if (request.method == "GET") return moved(204);
      if (request.method == "PUT") return put(request);
      if (request.method == "PATCH") return patch(request);
    }
    if (request.method == "PUT") {
      const std::string reference = target.substr(target.rfind('/') + 1);
      registry_.put_document(reference, request.body.bytes(),
                             request.headers.get("Content-Type").value_or(""));
      return http::text("", 201);
    }
    return std::nullopt;
  }

  std::string received;
  std::vector<std::string> ranges;
  int failing = 0;       ///< So many parts are lost in the middle.
  int lost_answers = 0;  ///< So many ends of uploads are done, but not told.
  bool keeps = true;     ///< What came before a failure is kept.
  std::string refused;   ///< A digest that it takes for wrong.

 private:
  http::Response moved(int status) {
    http::Response response = http::text("", status);
    const std::string place = "/somewhere/" + std::to_string(++moves_) + "?state=a%2Fb";
    response.headers.set("Location", moves_ % 2 == 0 ? place : registry_.url(place));
    const std::size_t size = received.size();
    response.headers.set("Range", "0-" + std::to_string(size == 0 ? 0 : size - 1));
    return response;
  }
  http::Response accepted(std::size_t) {
    received.clear();
    return moved(202);
  }
  http::Response patch(const http::Request& request) {
    const std::string range(request.headers.get("Content-Range").value_or(""));
    ranges.push_back(range);
    if (std::stoull(range) != received.size()) return http::error_response(416);
    if (failing > 0) {
      --failing;
      received += request.body.bytes().substr(0, request.body.bytes().size() / 2);
      if (!keeps) received.clear();
      return http::error_response(502);
    }
    received += request.body.bytes();
    return moved(202);
  }
  http::Response put(const http::Request& request) {
    received += request.body.bytes();
    const std::string digest = http::percent_decode(request.query("digest", ""));
    EXPECT_EQ(request.query("state", ""), "a/b");
    if (digest == refused || Digest::of(received).to_string() != digest) {
      return FakeRegistry::refusal(400, "DIGEST_INVALID", "not what it says");
    }
    registry_.blobs[digest] = std::exchange(received, {});
    if (lost_answers-- > 0) return http::error_response(504);
    return http::text("", 201);
  }

  FakeRegistry& registry_;
  int moves_ = 0;
};

class Push : public RegistryWorldTest {
 protected:
  Push() {
    for (std::size_t i = 0; layer.size() < (3u << 20); ++i) layer += std::to_string(i);
    Manifest manifest;
    manifest.layers = {store->put_blob(layer, media_type::layer).value()};
    ImageConfig config;
    config.platform = host_platform();
    config.diff_ids = {manifest.layers[0].digest};
    manifest.config = store->put_blob(config.to_json(), media_type::config).value();
    root = store->put_manifest(local, manifest).value();
    registry.hook = [this](const http::Request& request) { return uploads(request); };
  }
  Result<PushedImage> push() {
    const Reference to = named(registry.address() + "/team/shop:v1");
    return sim.run(client().push(store, local, to, PushOptions()));
  }
  void expect_there() {
    EXPECT_EQ(registry.blobs[Digest::of(layer).to_string()], layer);
    EXPECT_EQ(registry.documents["v1"].bytes, store->get_blob(root).value());
  }

  FakeRegistry registry{env};
  Uploads uploads{registry};
  std::string layer;
  const Reference local = named("local/shop:v1");
  Descriptor root;
};

TEST_F(Push, an_unchanged_image_costs_one_head_request) {
  ASSERT_TRUE(push());
  expect_there();
  registry.asked.clear();
  const Result<PushedImage> again = push();
  ASSERT_TRUE(again) << again.error().to_string();
  ASSERT_EQ(registry.asked.size(), 1u);
  EXPECT_EQ(registry.asked[0].line, "HEAD /v2/team/shop/manifests/v1");
}

TEST_F(Push, the_name_is_given_last) {
  ASSERT_TRUE(push());
  EXPECT_EQ(registry.asked.back().line, "PUT /v2/team/shop/manifests/v1");
}

TEST_F(Push, an_upload_goes_on_where_it_broke) {
  uploads.failing = 2;
  const Result<PushedImage> pushed = push();
  ASSERT_TRUE(pushed) << pushed.error().to_string();
  expect_there();
  ASSERT_EQ(uploads.ranges.size(), 3u);
  EXPECT_EQ(uploads.ranges[1],
            std::to_string(layer.size() / 2) + "-" + std::to_string(layer.size() - 1));
}

TEST_F(Push, an_upload_that_was_forgotten_begins_anew) {
  uploads.failing = 1;
  uploads.keeps = false;
  const Result<PushedImage> pushed = push();
  ASSERT_TRUE(pushed) << pushed.error().to_string();
  expect_there();
}

TEST_F(Push, an_answer_that_was_lost_is_asked_for_instead_of_sending_again) {
  uploads.lost_answers = 1;
  const Result<PushedImage> pushed = push();
  ASSERT_TRUE(pushed) << pushed.error().to_string();
  expect_there();
}

TEST_F(Push, pieces_are_as_large_as_told) {
  options.chunk_bytes = 1'000'000;
  ASSERT_TRUE(push());
  expect_there();
  EXPECT_EQ(uploads.ranges.size(), layer.size() / 1'000'000 + 1);
  EXPECT_EQ(uploads.ranges[1], "1000000-1999999");
}

TEST_F(Push, what_fails_each_time_ends_and_gives_no_name) {
  uploads.failing = 1000;
  uploads.keeps = false;
  const Result<PushedImage> pushed = push();
  ASSERT_FALSE(pushed);
  EXPECT_EQ(pushed.error().code, Errc::unavailable) << pushed.error().to_string();
  EXPECT_FALSE(registry.documents.contains("v1"));
}

TEST_F(Push, a_refused_digest_is_said_in_the_registrys_words) {
  uploads.refused = Digest::of(layer).to_string();
  const Result<PushedImage> pushed = push();
  ASSERT_FALSE(pushed);
  EXPECT_EQ(pushed.error().code, Errc::invalid_argument);
  EXPECT_NE(pushed.error().detail.find("DIGEST_INVALID: not what it says"), std::string::npos)
      << pushed.error().detail;
}

TEST_F(Push, an_index_whose_parts_nobody_has_is_refused) {
  Index index;
  Descriptor absent = root;
  absent.digest = Digest::of("nowhere");
  index.manifests = {root, absent};
  index.manifests[0].platform = host_platform();
  index.manifests[1].platform = ImagePlatform{"arm", "linux", "v7", {}, {}, {}};
  const Descriptor list = store->put_blob(index.to_json(), media_type::index).value();
  ASSERT_TRUE(store->set_reference(local, list));
  const Result<PushedImage> whole = push();
  ASSERT_FALSE(whole);
  EXPECT_EQ(whole.error().code, Errc::failed_precondition) << whole.error().to_string();
  PushOptions one;
  one.one_platform = true;
  const Reference to = named(registry.address() + "/team/shop:v1");
  const Result<PushedImage> pushed = sim.run(client().push(store, local, to, one));
  ASSERT_TRUE(pushed) << pushed.error().to_string();
  EXPECT_EQ(pushed->root.digest, root.digest);
}

}  // namespace
}  // namespace knative::oci::testing
