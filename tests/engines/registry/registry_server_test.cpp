// Every row of the distribution specification, asked of our registry.
#include <gtest/gtest.h>

#include "engines/registry/registry_world.hpp"
#include "knative/http_server.hpp"

namespace knative::registry {
namespace {

using oci::Digest;
using oci::DigestAlgorithm;

class RegistryServer : public RegistryWorld, public ::testing::WithParamInterface<DigestAlgorithm> {
 protected:
  std::string digest(const std::string& bytes) const {
    return Digest::of(bytes, GetParam()).to_string();
  }
};
INSTANTIATE_TEST_SUITE_P(Algorithms, RegistryServer,
                         ::testing::Values(DigestAlgorithm::sha256, DigestAlgorithm::sha512),
                         [](const auto& info) {
                           return info.param == DigestAlgorithm::sha256 ? "sha256" : "sha512";
                         });
using RegistryServerOnce = RegistryWorld;

TEST_F(RegistryServerOnce, TheBaseAnswers) {
  EXPECT_EQ(ask("GET", "/v2/").status, 200);
  EXPECT_EQ(ask("GET", "/v2").header("Docker-Distribution-Api-Version"), "registry/2.0");
  EXPECT_EQ(ask("POST", "/v2/").status, 405);
  EXPECT_EQ(ask("GET", "/v2/x").status, 404);
}

TEST_P(RegistryServer, ABlobInOneRequest) {
  const std::string name = "team/shop";
  EXPECT_EQ(ask("HEAD", "/v2/team/shop/blobs/" + digest("abc")).status, 404);
  EXPECT_EQ(push_blob(name, "abc", GetParam()), digest("abc"));
  const Answer head = ask("HEAD", "/v2/team/shop/blobs/" + digest("abc"));
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.header("Content-Length"), "3");
  EXPECT_EQ(head.header("Docker-Content-Digest"), digest("abc"));
  EXPECT_EQ(ask("GET", "/v2/team/shop/blobs/" + digest("abc")).body, "abc");
  EXPECT_EQ(server_->uploads(), 0u);
}

TEST_P(RegistryServer, ABlobByPostAndPut) {
  const std::string place = begin("a", "?digest-algorithm=sha512");
  const Answer put = ask("PUT", place + "?digest=" + digest("hello"), "hello");
  EXPECT_EQ(put.status, 201);
  EXPECT_EQ(put.header("Location"), "/v2/a/blobs/" + digest("hello"));
  EXPECT_EQ(ask("GET", "/v2/a/blobs/" + digest("hello")).body, "hello");
}

TEST_P(RegistryServer, ABlobInChunks) {
  const std::string place = begin("a");
  Answer chunk = ask("PATCH", place, "hel", {{"Content-Range", "0-2"}});
  EXPECT_EQ(chunk.status, 202);
  EXPECT_EQ(chunk.header("Range"), "0-2");
  EXPECT_EQ(ask("PATCH", place, "xx", {{"Content-Range", "7-8"}}).status, 416);
  const Answer where = ask("GET", place);
  EXPECT_EQ(where.status, 204);
  EXPECT_EQ(where.header("Range"), "0-2");
  EXPECT_EQ(where.header("Location"), place);
  chunk = ask("PATCH", place, "lo", {{"Content-Range", "3-4"}});
  EXPECT_EQ(chunk.header("Range"), "0-4");
  EXPECT_EQ(
      ask("PUT", place + "?digest=" + digest("hello!"), "!", {{"Content-Range", "5-5"}}).status,
      201);
  EXPECT_EQ(ask("GET", "/v2/a/blobs/" + digest("hello!")).body, "hello!");
}

TEST_P(RegistryServer, AStreamedBlob) {
  const std::string place = begin("a");
  EXPECT_EQ(ask("PATCH", place, "streamed").status, 202);
  EXPECT_EQ(ask("PUT", place + "?digest=" + digest("streamed")).status, 201);
  EXPECT_EQ(ask("GET", "/v2/a/blobs/" + digest("streamed")).body, "streamed");
}

TEST_P(RegistryServer, AnEmptyBlobIsABlob) {
  push_blob("a", "", GetParam());
  EXPECT_EQ(ask("HEAD", "/v2/a/blobs/" + digest("")).header("Content-Length"), "0");
  EXPECT_EQ(ask("GET", "/v2/a/blobs/" + digest("")).body, "");
}

TEST_P(RegistryServer, AWrongDigestIsRefusedAndLeavesNothing) {
  const Answer whole = ask("POST", "/v2/a/blobs/uploads/?digest=" + digest("right"), "wrong");
  EXPECT_EQ(whole.status, 400);
  EXPECT_EQ(whole.code(), "DIGEST_INVALID");
  const std::string place = begin("a");
  EXPECT_EQ(ask("PUT", place + "?digest=" + digest("right"), "wrong").status, 400);
  EXPECT_EQ(ask("GET", place).status, 404) << "a refused upload is over";
  EXPECT_EQ(ask("GET", "/v2/a/blobs/" + digest("right")).status, 404);
  EXPECT_EQ(ask("PUT", begin("a") + "?digest=sha256:zz", "x").code(), "DIGEST_INVALID");
  EXPECT_EQ(store_->used_bytes().value(), 0u);
}

TEST_P(RegistryServer, RangesOfABlob) {
  push_blob("a", "0123456789", GetParam());
  const std::string place = "/v2/a/blobs/" + digest("0123456789");
  const auto part = [&](std::string_view range) {
    return ask("GET", place, "", {{"Range", range}});
  };
  EXPECT_EQ(part("bytes=2-4").status, 206);
  EXPECT_EQ(part("bytes=2-4").body, "234");
  EXPECT_EQ(part("bytes=2-4").header("Content-Range"), "bytes 2-4/10");
  EXPECT_EQ(part("bytes=7-").body, "789");
  EXPECT_EQ(part("bytes=-3").body, "789");
  EXPECT_EQ(part("bytes=8-99999999999999999999999").body, "89");
  EXPECT_EQ(part("bytes=10-").status, 416);
  EXPECT_EQ(part("bytes=99999999999999999999999-").header("Content-Range"), "bytes */10");
  EXPECT_EQ(part("bytes=-0").status, 416);
  for (const char* strange : {"bytes=5-2", "bytes=a-b", "bytes=0-1,3-4", "items=0-1", "bytes=-"}) {
    EXPECT_EQ(part(strange).status, 200) << strange;
  }
  EXPECT_EQ(ask("HEAD", place, "", {{"Range", "bytes=2-4"}}).header("Content-Length"), "3");
}

TEST_P(RegistryServer, BlobsAreMounted) {
  push_blob("one", "shared", GetParam());
  const std::string mount = "/v2/two/blobs/uploads/?mount=" + digest("shared");
  EXPECT_EQ(ask("GET", "/v2/two/blobs/" + digest("shared")).status, 404);
  EXPECT_EQ(ask("POST", mount + "&from=three").status, 202) << "it is not there: an upload begins";
  const Answer mounted = ask("POST", mount + "&from=one");
  EXPECT_EQ(mounted.status, 201);
  EXPECT_EQ(mounted.header("Location"), "/v2/two/blobs/" + digest("shared"));
  EXPECT_EQ(ask("GET", "/v2/two/blobs/" + digest("shared")).body, "shared");
  EXPECT_EQ(ask("POST", "/v2/four/blobs/uploads/?mount=" + digest("shared")).status, 201);
  EXPECT_EQ(ask("POST", "/v2/four/blobs/uploads/?mount=" + digest("absent")).status, 202);
}

TEST_P(RegistryServer, ABlobIsDeletedWhereItWas) {
  push_blob("one", "shared", GetParam());
  ask("POST", "/v2/two/blobs/uploads/?mount=" + digest("shared") + "&from=one");
  EXPECT_EQ(ask("DELETE", "/v2/one/blobs/" + digest("shared")).status, 202);
  EXPECT_EQ(ask("GET", "/v2/one/blobs/" + digest("shared")).status, 404);
  EXPECT_EQ(ask("GET", "/v2/two/blobs/" + digest("shared")).status, 200);
  EXPECT_EQ(ask("DELETE", "/v2/two/blobs/" + digest("shared")).status, 202);
  EXPECT_EQ(ask("DELETE", "/v2/two/blobs/" + digest("shared")).status, 404);
  EXPECT_EQ(store_->used_bytes().value(), 0u);
}

TEST_F(RegistryServerOnce, ACancelledUploadIsOver) {
  const std::string place = begin("a");
  EXPECT_EQ(ask("PATCH", place, "some").status, 202);
  EXPECT_EQ(ask("DELETE", place).status, 204);
  EXPECT_EQ(ask("DELETE", place).code(), "BLOB_UPLOAD_UNKNOWN");
  EXPECT_EQ(ask("PATCH", place, "more").status, 404);
}

TEST_F(RegistryServerOnce, AManifestComesBackByteByByte) {
  const std::string digest = push_image("team/shop", "v1");
  const std::string manifest = image("layer");
  for (const std::string& reference : {std::string("v1"), digest}) {
    const Answer got = ask("GET", "/v2/team/shop/manifests/" + reference);
    EXPECT_EQ(got.status, 200);
    EXPECT_EQ(got.body, manifest);
    EXPECT_EQ(got.header("Content-Type"), oci::media_type::manifest);
    EXPECT_EQ(got.header("Docker-Content-Digest"), digest);
    const Answer head = ask("HEAD", "/v2/team/shop/manifests/" + reference);
    EXPECT_EQ(head.header("Content-Length"), std::to_string(manifest.size()));
    EXPECT_EQ(head.body, "");
  }
  EXPECT_EQ(ask("GET", "/v2/team/shop/manifests/v2").code(), "MANIFEST_UNKNOWN");
  EXPECT_EQ(ask("GET", "/v2/other/manifests/" + digest).status, 404) << "of another repository";
  // The store's own name for it.
  EXPECT_EQ(store_->resolve(oci::Reference::parse("team/shop:v1").value())->digest.to_string(),
            digest);
}

TEST_F(RegistryServerOnce, ManifestsSurviveARestart) {
  const std::string digest = push_image("team/shop", "v1");
  const std::string untagged = image("layer", ", \"annotations\":{\"a\":\"b\"}");
  EXPECT_EQ(put_manifest("team/shop", Digest::of(untagged).to_string(), untagged).status, 201);
  restart();
  EXPECT_EQ(ask("GET", "/v2/team/shop/manifests/v1").header("Docker-Content-Digest"), digest);
  EXPECT_EQ(ask("GET", "/v2/team/shop/manifests/" + Digest::of(untagged).to_string()).body,
            untagged);
  EXPECT_EQ(ask("GET", "/v2/team/shop/blobs/" + Digest::of("layer").to_string()).body, "layer");
}

TEST_F(RegistryServerOnce, SeveralTagsAtOnce) {
  push_image("a", "first");
  const std::string manifest = image("layer");
  const std::string digest = Digest::of(manifest).to_string();
  std::string query = "?tag=t0";
  for (int i = 1; i < 12; ++i) query += "&tag=t" + std::to_string(i);
  const Answer put = put_manifest("a", digest + query, manifest);
  EXPECT_EQ(put.status, 201);
  std::size_t tags = 0;
  for (const auto field : put.headers) tags += http::same_name(field.name, "OCI-Tag") ? 1 : 0;
  EXPECT_EQ(tags, 12u);
  EXPECT_EQ(ask("GET", "/v2/a/manifests/t11").status, 200);
  EXPECT_EQ(put_manifest("a", digest + "?tag=.bad", manifest).status, 400);
}

TEST_F(RegistryServerOnce, WhatIsNoManifestIsRefused) {
  push_blob("a", "{}");
  push_blob("a", "layer");
  const auto code = [&](const std::string& bytes,
                        std::string_view type = oci::media_type::manifest) {
    return put_manifest("a", "t", bytes, type).code();
  };
  EXPECT_EQ(code("not json"), "MANIFEST_INVALID");
  EXPECT_EQ(code("[]"), "MANIFEST_INVALID");
  EXPECT_EQ(code("{\"schemaVersion\":1}"), "MANIFEST_INVALID");
  EXPECT_EQ(code(image("layer"), "text/plain"), "MANIFEST_INVALID");
  EXPECT_EQ(code(image("layer"), oci::media_type::index), "MANIFEST_INVALID");
  EXPECT_EQ(code(image("absent")), "MANIFEST_BLOB_UNKNOWN");
  EXPECT_EQ(put_manifest("a", Digest::of("x").to_string(), image("layer")).code(),
            "DIGEST_INVALID");
  EXPECT_EQ(put_manifest("a", "bad!tag", image("layer")).status, 400);
  EXPECT_EQ(ask("GET", "/v2/a/tags/list").body, "{\"name\":\"a\",\"tags\":[]}");
}

TEST_F(RegistryServerOnce, AnImageWithoutSomeOfItsBlobsOnlyWhereAllowed) {
  EXPECT_EQ(put_manifest("a", "t", image("absent")).status, 404);
  ServerOptions options;
  options.sparse = true;
  open(std::move(options));
  EXPECT_EQ(put_manifest("a", "t", image("absent")).status, 201);
}

TEST_F(RegistryServerOnce, IndexesMayBeNestedAndMissManifests) {
  const std::string digest = push_image("a", "one");
  const std::string inner = "{\"schemaVersion\":2,\"manifests\":[" +
                            descriptor(image("layer"), oci::media_type::manifest) + "," +
                            descriptor("absent", oci::media_type::manifest) + "]}";
  EXPECT_EQ(put_manifest("a", "inner", inner, oci::media_type::index).status, 201);
  const std::string outer =
      "{\"schemaVersion\":2,\"manifests\":[" + descriptor(inner, oci::media_type::index) + "]}";
  EXPECT_EQ(put_manifest("a", "outer", outer, oci::media_type::index).status, 201);
  EXPECT_EQ(ask("GET", "/v2/a/manifests/outer").body, outer);
  EXPECT_EQ(store_->resolve(oci::Reference::parse("a:outer").value())->digest.to_string(), digest);
}

TEST_F(RegistryServerOnce, TagsInPages) {
  push_image("a", "v1");
  for (const char* tag : {"v2", "B", "c", "a_b"}) put_manifest("a", tag, image("layer"));
  EXPECT_EQ(ask("GET", "/v2/a/tags/list").body,
            "{\"name\":\"a\",\"tags\":[\"B\",\"a_b\",\"c\",\"v1\",\"v2\"]}");
  const Answer page = ask("GET", "/v2/a/tags/list?n=2");
  EXPECT_EQ(page.body, "{\"name\":\"a\",\"tags\":[\"B\",\"a_b\"]}");
  EXPECT_EQ(page.header("Link"), "</v2/a/tags/list?n=2&last=a_b>; rel=\"next\"");
  const Answer rest = ask("GET", "/v2/a/tags/list?n=3&last=a_b");
  EXPECT_EQ(rest.body, "{\"name\":\"a\",\"tags\":[\"c\",\"v1\",\"v2\"]}");
  EXPECT_EQ(rest.header("Link"), "");
  EXPECT_EQ(ask("GET", "/v2/a/tags/list?n=0").body, "{\"name\":\"a\",\"tags\":[]}");
  EXPECT_EQ(ask("GET", "/v2/a/tags/list?n=x").status, 400);
  EXPECT_EQ(ask("GET", "/v2/none/tags/list").code(), "NAME_UNKNOWN");
  push_image("b/c", "v1");
  EXPECT_EQ(ask("GET", "/v2/_catalog").body, "{\"repositories\":[\"a\",\"b/c\"]}");
  EXPECT_EQ(ask("GET", "/v2/_catalog?n=1").header("Link"),
            "</v2/_catalog?n=1&last=a>; rel=\"next\"");
}

TEST_F(RegistryServerOnce, ReferrersOfAManifest) {
  const std::string subject = push_image("a", "v1");
  const std::string about =
      ", \"artifactType\":\"application/vnd.x+json\", \"annotations\":{\"k\":\"v\"}, \"subject\":" +
      descriptor(image("layer"), oci::media_type::manifest);
  EXPECT_EQ(ask("GET", "/v2/a/referrers/" + subject).body,
            "{\"manifests\":[],\"mediaType\":\"application/vnd.oci.image.index.v1+json\","
            "\"schemaVersion\":2}");
  const std::string artifact = image("layer", about);
  const std::string digest = Digest::of(artifact).to_string();
  const Answer put = put_manifest("a", digest, artifact);
  EXPECT_EQ(put.header("OCI-Subject"), subject);
  const Answer list = ask("GET", "/v2/a/referrers/" + subject);
  EXPECT_EQ(list.header("Content-Type"), oci::media_type::index);
  const oci::Index index = oci::Index::parse(list.body).value();
  ASSERT_EQ(index.manifests.size(), 1u);
  EXPECT_EQ(index.manifests[0].digest.to_string(), digest);
  EXPECT_EQ(index.manifests[0].artifact_type, "application/vnd.x+json");
  EXPECT_EQ(index.manifests[0].annotations.at("k"), "v");
  const std::string filter = "/v2/a/referrers/" + subject + "?artifactType=application/vnd.";
  EXPECT_EQ(oci::Index::parse(ask("GET", filter + "x+json").body)->manifests.size(), 1u);
  EXPECT_EQ(oci::Index::parse(ask("GET", filter + "x%2Bjson").body)->manifests.size(), 1u);
  EXPECT_EQ(oci::Index::parse(ask("GET", filter + "y").body)->manifests.size(), 0u);
  EXPECT_EQ(ask("GET", filter + "y").header("OCI-Filters-Applied"), "artifactType");
  EXPECT_EQ(ask("GET", "/v2/a/referrers/sha256:1").status, 400);
  EXPECT_EQ(oci::Index::parse(ask("GET", "/v2/b/referrers/" + subject).body)->manifests.size(), 0u);
  restart();
  EXPECT_EQ(oci::Index::parse(ask("GET", "/v2/a/referrers/" + subject).body)->manifests.size(), 1u);
  EXPECT_EQ(ask("DELETE", "/v2/a/manifests/" + digest).status, 202);
  EXPECT_EQ(oci::Index::parse(ask("GET", "/v2/a/referrers/" + subject).body)->manifests.size(), 0u);
}

TEST_F(RegistryServerOnce, ReferrersInPages) {
  ServerOptions options;
  options.page_max = 2;
  open(std::move(options));
  const std::string subject = push_image("a", "v1");
  for (int i = 0; i < 5; ++i) {
    const std::string artifact = image(
        "layer", ", \"annotations\":{\"i\":\"" + std::to_string(i) +
                     "\"}, \"subject\":" + descriptor(image("layer"), oci::media_type::manifest));
    put_manifest("a", Digest::of(artifact).to_string(), artifact);
  }
  std::string at = "/v2/a/referrers/" + subject;
  std::size_t seen = 0;
  for (int pages = 1; !at.empty(); ++pages) {
    ASSERT_LE(pages, 3);
    const Answer page = ask("GET", at);
    seen += oci::Index::parse(page.body)->manifests.size();
    const std::string link = page.header("Link");
    at = link.empty() ? "" : link.substr(1, link.find('>') - 1);
  }
  EXPECT_EQ(seen, 5u);
}

TEST_F(RegistryServerOnce, TagsAndManifestsAreDeleted) {
  const std::string digest = push_image("a", "v1");
  put_manifest("a", "v2", image("layer"));
  EXPECT_EQ(ask("DELETE", "/v2/a/manifests/v1").status, 202);
  EXPECT_EQ(ask("GET", "/v2/a/manifests/v1").status, 404);
  EXPECT_EQ(ask("GET", "/v2/a/manifests/v2").status, 200);
  EXPECT_EQ(ask("DELETE", "/v2/a/blobs/" + Digest::of("layer").to_string()).status, 405)
      << "it is part of an image";
  EXPECT_EQ(ask("DELETE", "/v2/a/manifests/" + digest).status, 202);
  EXPECT_EQ(ask("GET", "/v2/a/manifests/v2").status, 404);
  EXPECT_EQ(ask("GET", "/v2/a/manifests/" + digest).status, 404);
  EXPECT_EQ(ask("DELETE", "/v2/a/manifests/" + digest).status, 404);
  ServerOptions options;
  options.deletion = false;
  open(std::move(options));
  push_image("a", "v1");
  EXPECT_EQ(ask("DELETE", "/v2/a/manifests/v1").status, 405);
}

TEST_F(RegistryServerOnce, AnotherRepositoryKeepsItsManifest) {
  const std::string digest = push_image("a", "v1");
  push_image("b", "v1");
  EXPECT_EQ(ask("DELETE", "/v2/a/manifests/" + digest).status, 202);
  EXPECT_EQ(ask("GET", "/v2/a/manifests/" + digest).status, 404);
  EXPECT_EQ(ask("GET", "/v2/b/manifests/" + digest).status, 200);
}

TEST_F(RegistryServerOnce, NamesFollowTheGrammar) {
  for (const char* good : {"a", "a/b", "a.b/c_d/e__f/g--h", "0", "a_b.c/d", "library/busybox"}) {
    push_image(good, "t");
    EXPECT_EQ(ask("GET", "/v2/" + std::string(good) + "/manifests/t").status, 200) << good;
  }
  for (const char* bad :
       {"A", "a//b", "../x", "a/../b", "a/.", "-a", "a-", "a___b", "a..b", "a%2F..%2Fb", "a%00b"}) {
    const Answer answer = ask("POST", "/v2/" + std::string(bad) + "/blobs/uploads/");
    EXPECT_EQ(answer.code(), "NAME_INVALID") << bad;
  }
  EXPECT_EQ(ask("POST", "/v2/" + std::string(256, 'a') + "/blobs/uploads/").code(), "NAME_INVALID");
  restart();
  EXPECT_EQ(ask("GET", "/v2/a_b.c/d/manifests/t").status, 200);
}

TEST_F(RegistryServerOnce, RightsOfUsersAndStrangers) {
  ServerOptions options;
  options.users = {{"ann", "secret", Access::write}, {"bob", "pass:word", Access::read}};
  options.anonymous = Access::none;
  open(options);
  const auto as = [&](std::string_view method, const char* credentials) {
    http::Headers headers;
    if (*credentials != '\0') headers.set("Authorization", std::string("Basic ") + credentials);
    return ask(method, method == "GET" ? "/v2/" : "/v2/a/blobs/uploads/", "", std::move(headers));
  };
  EXPECT_EQ(as("GET", "").status, 401);
  EXPECT_EQ(as("GET", "").header("WWW-Authenticate"),
            "Basic realm=\"registry\", charset=\"UTF-8\"");
  EXPECT_EQ(as("GET", "YW5uOnNlY3JldA==").status, 200);
  EXPECT_EQ(as("POST", "YW5uOnNlY3JldA==").status, 202);
  EXPECT_EQ(as("GET", "Ym9iOnBhc3M6d29yZA==").status, 200);
  EXPECT_EQ(as("POST", "Ym9iOnBhc3M6d29yZA==").status, 403);
  EXPECT_EQ(as("GET", "YW5uOndyb25n").status, 401);
  EXPECT_EQ(as("GET", "%%%").status, 401);
  options.anonymous = Access::read;
  open(options);
  EXPECT_EQ(as("GET", "").status, 200);
  EXPECT_EQ(as("POST", "").status, 401);
  EXPECT_EQ(as("GET", "YW5uOndyb25n").status, 401) << "who says who he is must be him";
}

TEST(RegistryNames, OfThisMachineArePlain) {
  const auto plain = [](const std::string& name) {
    return plain_name(oci::Reference::parse(name).value(), 5000).to_string();
  };
  EXPECT_EQ(plain("localhost:5000/team/shop:v1"), "team/shop:v1");
  EXPECT_EQ(plain("127.0.0.1:5000/shop"), "shop");
  EXPECT_EQ(plain("[::1]:5000/shop"), "shop");
  EXPECT_EQ(plain("localhost:5001/shop"), "localhost:5001/shop");
  EXPECT_EQ(plain("shop:v1"), "shop:v1");
  const std::string digest = Digest::of("x").to_string();
  EXPECT_EQ(plain("localhost:5000/a@" + digest), "a@" + digest);
}

}  // namespace
}  // namespace knative::registry
