// Services whose instances are forks of one interpreter.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "knative/platform.hpp"
#include "support/real_world.hpp"
#include "wire/oci_raw_tar.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;

constexpr const char* server = R"(
import http.server, os
import helper
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = ('%d %d %s' % (os.getppid(), os.getpid(), helper.word)).encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
http.server.ThreadingHTTPServer(('127.0.0.1', int(os.environ['PORT'])), Handler).serve_forever()
)";

class ZygoteServices : public testing::Test {
 protected:
  ZygoteServices() {
    PlatformOptions options;
    options.data_directory = folder_ / "data";
    platform_.emplace(loop_.env(), functions_, std::move(options));
    platform_->start().value();
    oci::ImageStore& images = platform_->images();
    const std::string layer =
        oci::testing_tar::raw_tar({{.name = "app/", .type = '5', .mode = 0755},
                                   {.name = "app/server.py", .content = server},
                                   {.name = "app/helper.py", .content = "word = 'hello'\n"}});
    oci::ImageConfig config;
    config.platform = oci::host_platform();
    config.entrypoint = {"python3", "/app/server.py"};
    config.diff_ids.push_back(oci::Digest::of(layer));
    oci::Manifest manifest;
    manifest.layers.push_back(
        images.put_blob(layer, "application/vnd.oci.image.layer.v1.tar").value());
    manifest.config =
        images.put_blob(config.to_json(), "application/vnd.oci.image.config.v1+json").value();
    images.put_manifest(oci::Reference::parse("local/app:v1").value(), manifest).value();
  }

  Result<void> deploy(const std::string& more) {
    const std::string text =
        "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: app}\n"
        "spec:\n  template:\n    metadata:\n      annotations:\n"
        "        autoscaling.knative.dev/min-scale: \"2\"\n"
        "        autoscaling.knative.dev/target-burst-capacity: \"-1\"\n"
        "    spec:\n      runtimeClassName: zygote\n      containers:\n"
        "      - image: local/app:v1\n" +
        more;
    const Result<std::vector<ObjectRef>> applied = platform_->apply_text(text);
    if (!applied) return applied.error();
    return loop_.run(platform_->ready(applied->front(), 60s));
  }
  std::string asked() {
    http::Request request = http::get("/");
    Result<http::Response> response = loop_.run(platform_->invoke("app", request));
    if (!response) return response.error().to_string();
    if (Result<void> read = loop_.run(response->body.read_all()); !read) {
      return read.error().to_string();
    }
    return std::string(response->body.bytes());
  }

  testing_world::TemporaryDirectory folder_;
  Loop loop_{testing_world::quiet()};
  FunctionTable functions_;
  std::optional<Platform> platform_;
};

TEST_F(ZygoteServices, all_instances_fork_from_one_interpreter) {
  const Result<void> ready = deploy("");
  ASSERT_TRUE(ready) << ready.error().to_string();
  std::set<std::string> parents;
  std::set<std::string> instances;
  for (int i = 0; i < 200 && instances.size() < 2; ++i) {
    const std::string answer = asked();
    ASSERT_THAT(answer, testing::EndsWith(" hello"));
    parents.insert(answer.substr(0, answer.find(' ')));
    instances.insert(answer);
  }
  EXPECT_EQ(instances.size(), 2u);
  EXPECT_EQ(parents.size(), 1u);
}

TEST_F(ZygoteServices, a_program_of_another_language_is_named) {
  const Result<void> ready = deploy("        command: [node, server.js]\n");
  ASSERT_FALSE(ready);
  EXPECT_THAT(ready.error().detail, testing::HasSubstr("\"node server.js\""));
}

}  // namespace
}  // namespace knative
