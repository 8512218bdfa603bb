// Names, digests and documents of images.
#include "knative/oci.hpp"

#include <gtest/gtest.h>

#include "knative/value.hpp"

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
  EXPECT_TRUE(Digest::parse("sha512:" + std::string(128, 'a')));
  EXPECT_EQ(Digest::parse("blake3:" + std::string(64, 'a')).error().code, Errc::unimplemented);
  EXPECT_EQ(Digest::parse_any("multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46H")
                ->algorithm_name(),
            "multihash+base58");
  for (const char* wrong : {"x:", "x:a/b", "x:..", "..:a", "+x:a", "x+:a", "x:a.b"}) {
    EXPECT_EQ(Digest::parse_any(wrong).error().code, Errc::invalid_argument) << wrong;
  }
  for (const char* wrong : {"", "sha256", "sha256:", "sha256:abc", ":abc", "sha512:abc"}) {
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

// Read and written again, a document says what it said.
template <class Document>
void expect_nothing_lost(const std::string& json) {
  const Result<Document> document = Document::parse(json);
  ASSERT_TRUE(document) << document.error().detail;
  EXPECT_EQ(Value::parse_json(document->to_json()).value(), Value::parse_json(json).value());
  EXPECT_EQ(Document::parse(document->to_json()).value(), *document);
}

std::string descriptor(const std::string& type, const std::string& more = "") {
  return R"({"mediaType":")" + type + R"(","digest":")" + empty_sha256 + R"(","size":0)" + more +
         "}";
}

TEST(Manifest, LosesNothingOfOtherTools) {
  const std::string rich =
      R"(,"urls":["https://a.example/b","c"],"data":"e30=","artifactType":"text/x",)"
      R"("annotations":{"k":"v"},"x.y":{"z":[1,2.5,null,true]})";
  const std::string layer = descriptor("application/vnd.oci.image.layer.v1.tar+zstd");
  expect_nothing_lost<Manifest>(
      R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",)"
      R"("artifactType":"application/x.sbom","subject":)" +
      descriptor("application/vnd.oci.image.manifest.v1+json") + R"(,"config":)" +
      descriptor("application/vnd.oci.empty.v1+json", rich) + R"(,"layers":[)" + layer +
      R"(],"annotations":{"a":"b"},"io.example.extra":[{"deep":1}]})");
}

TEST(Manifest, StaysInTheFamilyThatItIsOf) {
  const std::string docker =
      R"({"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json",)"
      R"("config":)" +
      descriptor("application/vnd.docker.container.image.v1+json") + R"(,"layers":[)" +
      descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip") + "," +
      descriptor("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
                 R"(,"urls":["https://a.example/b"])") +
      "]}";
  expect_nothing_lost<Manifest>(docker);
  Manifest manifest = Manifest::parse(docker).value();
  EXPECT_TRUE(manifest.check_media_types());
  EXPECT_EQ(manifest.own_media_type(), "application/vnd.docker.distribution.manifest.v2+json");
  // A layer of ours on top, named as OCI does.
  Descriptor ours = manifest.layers[0];
  ours.media_type = media_type::layer_gzip;
  manifest.layers.push_back(ours);
  const Result<void> mixed = manifest.check_media_types();
  ASSERT_FALSE(mixed);
  EXPECT_EQ(mixed.error().code, Errc::invalid_argument);
  EXPECT_NE(mixed.error().detail.find("layers[2].mediaType"), std::string::npos);
  manifest.use_oci_media_types();
  EXPECT_TRUE(manifest.check_media_types());
  EXPECT_EQ(manifest.own_media_type(), media_type::manifest);
  EXPECT_EQ(manifest.config.media_type, media_type::config);
  EXPECT_EQ(manifest.layers[0].media_type, media_type::layer_gzip);
  EXPECT_EQ(manifest.layers[1].media_type,
            "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip");
  EXPECT_EQ(manifest.layers[1].urls, std::vector<std::string>{"https://a.example/b"});
  EXPECT_EQ(manifest.to_json().find("docker"), std::string::npos) << manifest.to_json();
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

TEST(ImageConfig, LosesNothingOfOtherTools) {
  expect_nothing_lost<ImageConfig>(
      R"({"architecture":"amd64","os":"windows","os.version":"10.0.17763","variant":"v1",)"
      R"("os.features":["win32k"],"author":"me","created":"2020-01-01T00:00:00Z",)"
      R"("docker_version":"20.10","container":"abc","container_config":{"Cmd":["x"]},)"
      R"("config":{"User":"1000","Healthcheck":{"Test":["CMD","true"],"Interval":30000000000},)"
      R"("OnBuild":["RUN make"],"Shell":["/bin/bash","-c"],"ArgsEscaped":true,"Cmd":["a"]},)"
      R"("rootfs":{"type":"layers","diff_ids":[],"base_layer":"b"},)"
      R"("history":[{"created":"2020-01-01T00:00:00Z","created_by":"x","author":"me",)"
      R"("comment":"c","empty_layer":true,"extra":1}]})");
}

TEST(ImageConfig, ReadsNullsOfOtherTools) {
  const char* json =
      R"({"architecture":"amd64","os":"linux","config":{"Env":null,"Cmd":null,"Labels":null},)"
      R"("rootfs":{"type":"layers","diff_ids":[]},"history":null})";
  EXPECT_TRUE(ImageConfig::parse(json));
  EXPECT_NE(ImageConfig::parse("{}").error().detail.find("architecture: is missing"),
            std::string::npos);
}

TEST(Index, LosesNothingOfOtherTools) {
  for (const char* type : {"application/vnd.oci.image.index.v1+json",
                           "application/vnd.docker.distribution.manifest.list.v2+json"}) {
    expect_nothing_lost<Index>(
        R"({"schemaVersion":2,"mediaType":")" + std::string(type) + R"(","manifests":[)" +
        descriptor("application/vnd.oci.image.manifest.v1+json",
                   R"(,"urls":["https://a.example"],"data":"e30=","artifactType":"text/x",)"
                   R"("platform":{"architecture":"arm","os":"linux","variant":"v7",)"
                   R"("os.version":"1","os.features":["f"],"features":["sse4"]})") +
        R"(],"artifactType":"text/y","subject":)" + descriptor("text/z") +
        R"(,"annotations":{"a":"b"},"more":{"x":1}})");
  }
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
