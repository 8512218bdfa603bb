// Names, digests and documents of images.
#include "knative/oci.hpp"

#include <gtest/gtest.h>

namespace knative::oci {
namespace {

constexpr const char* empty_sha256 =
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

TEST(Digest, HashesKnownVectors) {
  EXPECT_EQ(Digest::of("").to_string(), empty_sha256);
  EXPECT_EQ(Digest::of("{}").to_string(),
            "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
  Hasher hasher;
  hasher.update("a");
  hasher.update("bc");
  EXPECT_EQ(hasher.finish().hex(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hasher.finish().to_string(), empty_sha256) << "fresh after finish";
}

TEST(Digest, ParsesOnlyWellFormedText) {
  EXPECT_TRUE(Digest::parse(empty_sha256));
  EXPECT_EQ(Digest::parse("sha512:" + std::string(128, 'a')).error().code, Errc::unimplemented);
  for (const char* wrong : {"", "sha256", "sha256:", "sha256:abc", ":abc"}) {
    EXPECT_EQ(Digest::parse(wrong).error().code, Errc::invalid_argument) << wrong;
  }
  EXPECT_FALSE(Digest::parse("sha256:" + std::string(64, 'A')));
  EXPECT_FALSE(Digest::parse("sha256:" + std::string(65, 'a')));
  EXPECT_FALSE(Digest::parse("sha256:" + std::string(62, 'a') + "/."));
}

TEST(Reference, ParsesAllParts) {
  const Reference r =
      Reference::parse("reg.example:5000/team/shop:v1@" + std::string(empty_sha256)).value();
  EXPECT_EQ(r.repository, "reg.example:5000/team/shop");
  EXPECT_EQ(r.registry(), "reg.example:5000");
  EXPECT_EQ(r.tag, "v1");
  EXPECT_EQ(r.digest.to_string(), empty_sha256);
  EXPECT_EQ(Reference::parse(r.to_string()).value(), r);
}

TEST(Reference, KeepsTheShortForm) {
  const std::string hub = std::string("docker") + ".io";
  EXPECT_EQ(Reference::parse("busybox").value().to_string(), "busybox");
  EXPECT_EQ(Reference::parse(hub + "/library/busybox:1").value().to_string(), "busybox:1");
  EXPECT_EQ(Reference::parse("index." + hub + "/a/b").value().to_string(), "a/b");
  EXPECT_EQ(Reference::parse("local/shop").value().registry(), "");
  EXPECT_EQ(Reference::parse("localhost/shop").value().registry(), "localhost");
  EXPECT_EQ(Reference::parse("localhost:5000/shop").value().tag, "");
  EXPECT_EQ(Reference::parse("[::1]:5000/shop").value().registry(), "[::1]:5000");
}

TEST(Reference, DefaultsTheTagOnlyWithoutDigest) {
  EXPECT_EQ(Reference::parse("a").value().with_default_tag().tag, "latest");
  EXPECT_EQ(Reference::parse("a:b").value().with_default_tag().tag, "b");
  EXPECT_EQ(Reference::parse("a@" + std::string(empty_sha256)).value().with_default_tag().tag, "");
}

TEST(Reference, RefusesWhatIsNoName) {
  for (const std::string& wrong :
       {std::string(), std::string("Ab"), std::string("a/B"), std::string("a//b"),
        std::string("a/"), std::string("-a"), std::string("a..b"), std::string("a___b"),
        std::string("a:"), std::string("a:-b"), std::string("a:b c"), std::string("../a"),
        std::string("a b"), std::string("reg.example:port/a"), std::string("a@sha256:12"),
        "a:" + std::string(129, 'x'), std::string(300, 'a'), std::string("/a"),
        std::string("[::1/a")}) {
    EXPECT_FALSE(Reference::parse(wrong)) << wrong;
  }
  EXPECT_NE(Reference::parse("Shop").error().detail.find("\"Shop\""), std::string::npos);
}

TEST(Manifest, RoundTripsCanonically) {
  Manifest manifest;
  manifest.config = {std::string(media_type::config), Digest::of("c"), 1, {}, {}};
  manifest.layers = {{std::string(media_type::layer_gzip), Digest::of("l"), 2, {{"k", "v"}}, {}}};
  manifest.annotations["a"] = "b";
  const std::string json = manifest.to_json();
  EXPECT_EQ(Manifest::parse(json).value(), manifest);
  EXPECT_EQ(Manifest::parse(json).value().to_json(), json);
  EXPECT_EQ(json.find(' '), std::string::npos);
}

TEST(Manifest, AcceptsDockersMediaTypeAndUnknownMembers) {
  const std::string json =
      R"({"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json",)"
      R"("x":1,"config":{"mediaType":"c","digest":")" +
      std::string(empty_sha256) + R"(","size":0,"data":"e30="},"layers":[],"annotations":null})";
  EXPECT_EQ(Manifest::parse(json).value().config.digest.to_string(), empty_sha256);
}

TEST(Manifest, NamesTheMemberThatIsWrong) {
  const auto error = [](const std::string& json) { return Manifest::parse(json).error().detail; };
  EXPECT_NE(error("{}").find("schemaVersion: is missing"), std::string::npos);
  EXPECT_NE(error(R"({"schemaVersion":2})").find("config: is missing"), std::string::npos);
  const std::string config =
      R"("config":{"digest":")" + std::string(empty_sha256) + R"(","size":3})";
  EXPECT_NE(
      error(R"({"schemaVersion":2,)" + config + R"(,"layers":[{"digest":"sha256:0","size":1}]})")
          .find("layers[0].digest"),
      std::string::npos);
  EXPECT_NE(error(R"({"schemaVersion":2,)" + config + R"(,"layers":[{"digest":")" +
                  std::string(empty_sha256) + R"(","size":-1}]})")
                .find("layers[0].size"),
            std::string::npos);
  EXPECT_NE(error(R"({"schemaVersion":2,"mediaType":"text/html"})").find("mediaType"),
            std::string::npos);
  EXPECT_NE(error("<html>").find("byte 0"), std::string::npos) << error("<html>");
}

TEST(ImageConfig, RoundTrips) {
  ImageConfig config;
  config.created = format_epoch(1'700'000'000);
  config.platform = host_platform();
  config.user = "1000";
  config.environment = {"A=1"};
  config.entrypoint = {"/workspace/server"};
  config.command = {"--verbose"};
  config.working_directory = "/workspace";
  config.exposed_ports = {"8080/tcp"};
  config.labels = {{"x", "y"}};
  config.diff_ids = {Digest::of("a")};
  config.history = {
      {.created = config.created, .created_by = "x", .comment = "", .empty_layer = true}};
  EXPECT_EQ(ImageConfig::parse(config.to_json()).value(), config);
  EXPECT_EQ(config.created, "2023-11-14T22:13:20Z");
  EXPECT_EQ(format_epoch(0), "1970-01-01T00:00:00Z");
}

TEST(ImageConfig, ReadsNullsOfOtherTools) {
  const char* json =
      R"({"architecture":"amd64","os":"linux","config":{"Env":null,"Cmd":null,"Labels":null},)"
      R"("rootfs":{"type":"layers","diff_ids":[]},"history":null})";
  EXPECT_TRUE(ImageConfig::parse(json));
  EXPECT_NE(ImageConfig::parse("{}").error().detail.find("architecture: is missing"),
            std::string::npos);
}

TEST(Index, RoundTripsPlatforms) {
  Index index;
  index.manifests = {{std::string(media_type::manifest),
                      Digest::of("m"),
                      1,
                      {},
                      ImagePlatform{"arm64", "linux", "v8"}}};
  EXPECT_EQ(Index::parse(index.to_json()).value(), index);
}

}  // namespace
}  // namespace knative::oci
