// Manifests, and what lies in object storage.
#include "engines/builder/source_locations.hpp"
#include "engines/builder/storage_manifest.hpp"

#include "builder_fixture.hpp"
#include "knative/http_server.hpp"

namespace knative {
namespace {

using builder::parse_manifest;
using builder::storage_url;

TEST(StorageUrl, BucketObjectAndGeneration) {
  const std::string at = "https://storage.example";
  EXPECT_EQ(storage_url("gs://bucket/a/b c+d.zip", at).value(), at + "/bucket/a/b%20c%2Bd.zip");
  EXPECT_EQ(storage_url("gs://bucket/a#12", at + "/").value(), at + "/bucket/a?generation=12");
  EXPECT_EQ(storage_url("gs://bucket/a#b#3", at).value(), at + "/bucket/a%23b?generation=3");
  for (const char* wrong : {"gs://", "gs://b", "gs://b/", "gs:///o", "gs://b/o#", "gs://b/o#x",
                            "gs://../o", "https://b/o"}) {
    EXPECT_EQ(storage_url(wrong, at).error().code, Errc::invalid_argument) << wrong;
  }
}

TEST(StorageManifest, NamesAreInOrderAndInside) {
  const auto entries = parse_manifest(
      R"({"b/c": {"sourceUrl": "gs://x/1", "sha1sum": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
          "mode": 420}, "a": {"sourceUrl": "gs://x/2"}})",
      10);
  ASSERT_TRUE(entries) << entries.error().to_string();
  EXPECT_EQ(*entries, (std::vector<builder::ManifestEntry>{
                          {"a", "gs://x/2", ""}, {"b/c", "gs://x/1", std::string(40, 'a')}}));
  EXPECT_EQ(parse_manifest("{}", 10).value().size(), 0u);
}

TEST(StorageManifest, WhatLeavesOrContradictsItselfIsRefused) {
  const std::string good = R"({"sourceUrl": "gs://x/1"})";
  for (const std::string name : {"../a", "/a", "a/../../b", "", ".", "a/", "a\\u0000b"}) {
    const auto entries = parse_manifest("{\"" + name + "\": " + good + "}", 10);
    ASSERT_FALSE(entries) << name;
    EXPECT_EQ(entries.error().code, Errc::invalid_argument) << name;
  }
  for (const std::string& text : std::vector<std::string>{
           "[]", "{", "{\"a\": 1}", "{\"a\": {}}", "{\"a\": " + good + ", \"a/b\": " + good + "}",
           "{\"a\": " + good + ", \"./a\": " + good + "}",
           std::string(R"({"a": {"sourceUrl": "gs://x/1", "sha1sum": "12"}})")}) {
    EXPECT_EQ(parse_manifest(text, 10).error().code, Errc::invalid_argument) << text;
  }
  EXPECT_EQ(parse_manifest("{\"a/b/c\": " + good + "}", 2).error().code, Errc::resource_exhausted);
}

// Object storage on this machine: objects by their path, with what was asked for.
class Storage : public BuilderFixture {
 protected:
  void SetUp() override {
    handler_ = http::make_handler([this](http::Request& request) { return answer(request); });
    Result<std::unique_ptr<Listener>> listener =
        env().network.listen({.host = "127.0.0.1", .port = 0, .path = {}});
    ASSERT_TRUE(listener);
    server_ = std::make_unique<http::Server>(env().executor, env().timers, env().logger,
                                             std::move(*listener), *handler_);
    endpoint_ = "http://" + server_->endpoint().to_string();
    fetcher_options_.storage_endpoint = endpoint_;
  }
  void TearDown() override {
    builder_.reset();
    fetcher_.reset();
    outbound_.reset();
    server_.reset();
  }

  Task<http::Response> answer(http::Request& request) {
    const std::string target = request.target;
    const std::string who(request.headers.get("Authorization").value_or(""));
    asked_.push_back(target + (who.empty() ? "" : " " + who));
    most_at_once_ = std::max(most_at_once_, ++at_once_);
    co_await env().timers.sleep_for(std::chrono::milliseconds(1));
    --at_once_;
    if (failures_[target] > 0) {
      --failures_[target];
      http::Response busy = http::text("busy");
      busy.status = 503;
      co_return busy;
    }
    const auto found = objects_.find(target);
    if (found != objects_.end()) co_return http::text(found->second);
    http::Response none = http::text("none");
    none.status = 404;
    co_return none;
  }

  Result<Fetched> fetch_from(const std::string& location, const std::string& type = "Manifest") {
    return fetch_archive(location, type);
  }
  static std::string item(const std::string& name, const std::string& url,
                          const std::string& sum = "") {
    return "\"" + name + "\": {\"sourceUrl\": \"" + url + "\", \"sha1sum\": \"" + sum + "\"}";
  }

  std::map<std::string, std::string> objects_;
  std::map<std::string, int> failures_;
  std::vector<std::string> asked_;
  int at_once_ = 0;
  int most_at_once_ = 0;
  std::string endpoint_;
  std::unique_ptr<http::Handler> handler_;
  std::unique_ptr<http::Server> server_;
};

const std::string sum_of_hello = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d";

TEST_F(Storage, AManifestBringsItsFiles) {
  objects_["/bucket/hello?generation=7"] = "hello";
  objects_["/bucket/b%20c"] = "other";
  objects_["/bucket/manifest.json"] = "{" +
                                      item("deep/er/hello", "gs://bucket/hello#7", sum_of_hello) +
                                      "," + item("other", endpoint_ + "/bucket/b%20c") + "}";
  const Result<Fetched> fetched = fetch_from("gs://bucket/manifest.json");
  ASSERT_TRUE(fetched) << fetched.error().to_string();
  EXPECT_EQ(read("out/deep/er/hello") + read("out/other"), "helloother");
  EXPECT_EQ(fs::status(path("out/other")).permissions(), static_cast<fs::perms>(0555));
  EXPECT_EQ(fetched->resolved.url, "gs://bucket/manifest.json");
  EXPECT_EQ(fetched->resolved.revision,
            oci::Digest::of(objects_["/bucket/manifest.json"]).to_string());
  EXPECT_EQ(std::distance(fs::directory_iterator(path("out")), fs::directory_iterator()), 2);
  for (const auto& entry : fs::directory_iterator(root_)) {
    EXPECT_EQ(entry.path().filename().string().find(".download-"), std::string::npos);
  }
}

TEST_F(Storage, AnArchiveOfABucketIsUnpacked) {
  write("src/a", "there");
  shell("tar -czf src.tgz -C src .");
  objects_["/bucket/src.tgz"] = read("src.tgz");
  ASSERT_TRUE(fetch_from("gs://bucket/src.tgz", "TarGzArchive"));
  EXPECT_EQ(read("out/a"), "there");
  EXPECT_EQ(fetch_from("gs://bucket/none", "Archive").error().code, Errc::not_found);
}

TEST_F(Storage, ContentThatIsAnotherIsRefused) {
  objects_["/b/hello"] = "hallo";
  objects_["/b/m"] = "{" + item("hello", "gs://b/hello", sum_of_hello) + "}";
  const Error error = fetch_from("gs://b/m").error();
  EXPECT_EQ(error.code, Errc::invalid_argument);
  EXPECT_NE(error.detail.find("SHA mismatch"), std::string::npos) << error.detail;
}

TEST_F(Storage, WhatIsBusyIsAskedAgainAndWhatIsMissingIsNot) {
  objects_["/b/hello"] = "hello";
  objects_["/b/m"] = "{" + item("hello", "gs://b/hello", sum_of_hello) + "}";
  failures_["/b/hello"] = 2;
  ASSERT_TRUE(fetch_from("gs://b/m"));
  EXPECT_EQ(asked_.size(), 4u);
  asked_.clear();
  failures_["/b/hello"] = 100;
  const Error busy = fetch_from("gs://b/m").error();
  EXPECT_EQ(busy.code, Errc::unavailable);
  EXPECT_NE(busy.detail.find("gs://b/hello"), std::string::npos) << busy.detail;
  failures_.clear();
  objects_.erase("/b/hello");
  asked_.clear();
  EXPECT_EQ(fetch_from("gs://b/m").error().code, Errc::not_found);
  EXPECT_EQ(asked_.size(), 2u);
}

TEST_F(Storage, SomeObjectsAtATimeAreFetched) {
  fetcher_options_.downloads_max = 3;
  std::string items;
  for (int i = 0; i < 40; ++i) {
    const std::string name = "f" + std::to_string(i);
    objects_["/b/" + name] = name;
    items += (i == 0 ? "" : ",") + item("d" + std::to_string(i % 7) + "/" + name, "gs://b/" + name);
  }
  objects_["/b/m"] = "{" + items + "}";
  const Result<Fetched> fetched = fetch_from("gs://b/m");
  ASSERT_TRUE(fetched) << fetched.error().to_string();
  EXPECT_EQ(most_at_once_, 3);
  for (int i = 0; i < 40; ++i) {
    const std::string name = "f" + std::to_string(i);
    EXPECT_EQ(read("out/d" + std::to_string(i % 7) + "/" + name), name);
  }
}

TEST_F(Storage, TheTokenIsForItsEndpointAlone) {
  fetcher_options_.storage_token = [] { return std::string("t0ken"); };
  const std::string elsewhere = "http://localhost:" + std::to_string(server_->endpoint().port);
  objects_["/b/a"] = objects_["/b/c"] = objects_["/b/d"] = "x";
  objects_["/b/m"] = "{" + item("a", "gs://b/a") + "," + item("c", endpoint_ + "/b/c") + "," +
                     item("d", elsewhere + "/b/d") + "}";
  ASSERT_TRUE(fetch_from("gs://b/m"));
  std::sort(asked_.begin(), asked_.end());
  EXPECT_EQ(asked_, (std::vector<std::string>{"/b/a Bearer t0ken", "/b/c Bearer t0ken", "/b/d",
                                              "/b/m Bearer t0ken"}));
}

TEST_F(Storage, TheBoundsAreThoseOfTheWholeSource) {
  objects_["/b/a"] = objects_["/b/b"] = std::string(600, 'x');
  objects_["/b/m"] = "{" + item("a", "gs://b/a") + "," + item("b", "gs://b/b") + "}";
  fetcher_options_.bytes_max = 1000;
  EXPECT_EQ(fetch_from("gs://b/m").error().code, Errc::resource_exhausted);
  fetcher_options_.bytes_max = 1'000'000;
  fetcher_options_.files_max = 1;
  builder_.reset();
  EXPECT_EQ(fetch_from("gs://b/m").error().code, Errc::resource_exhausted);
}

TEST_F(Storage, AManifestOfThisMachineMayNameItsFilesAndOneFromElsewhereMayNot) {
  write("hello", "hello");
  const std::string text = "{" + item("copy", path("hello"), sum_of_hello) + "}";
  write("m.json", text);
  const Result<Fetched> fetched = fetch_from(path("m.json"));
  ASSERT_TRUE(fetched) << fetched.error().to_string();
  EXPECT_EQ(read("out/copy"), "hello");
  objects_["/b/m"] = text;
  EXPECT_EQ(fetch_from("gs://b/m").error().code, Errc::invalid_argument);
  EXPECT_FALSE(fs::exists(path("out/copy")));
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  write("m.json", "{" + item("copy", path("pipe")) + "}");
  EXPECT_EQ(fetch_from(path("m.json")).error().code, Errc::invalid_argument);
}

TEST_F(Storage, LinksOfAnEarlierSourceAreNotFollowed) {
  fs::create_directories(path("outside"));
  objects_["/b/a"] = "x";
  objects_["/b/m"] = "{" + item("link/a", "gs://b/a") + "}";
  builder();
  build::SourceSpec source;
  source.gcs = build::GcsSource{"Manifest", "gs://b/m"};
  fs::create_directories(path("out"));
  fs::create_directory_symlink(path("outside"), path("out/link"));
  EXPECT_FALSE(loop_.run(fetcher_->fetch(source, path("out"), credentials_)));
  EXPECT_TRUE(fs::is_empty(path("outside")));
}

}  // namespace
}  // namespace knative
