// Images that other tools made run as Services: everything between the store and the program.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>

#include "knative/platform_thread.hpp"
#include "support/real_world.hpp"
#include "wire/oci_raw_tar.hpp"

namespace knative {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using namespace oci::testing_tar;

// Says what is in the files that lie beside it.
constexpr const char* server = R"(
import http.server, os
root = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = ''
        for name in sorted(os.listdir(root + '/data')):
            with open(root + '/data/' + name) as file:
                body += name + '=' + file.read().strip() + ';'
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())
    def log_message(self, *args):
        pass
http.server.HTTPServer(('127.0.0.1', int(os.environ['PORT'])), Handler).serve_forever()
)";

class ForeignImages : public ::testing::Test {
 protected:
  void start() {
    PlatformOptions options;
    options.data_directory = root_ / "data";
    LoopOptions loop = testing_world::quiet();
    loop.log_sink = [this](const LogRecord& record) {
      const std::lock_guard guard(mutex_);
      for (const LogField& field : record.fields) {
        if (field.key == "what") losses_.emplace_back(field.value);
      }
    };
    platform_ = std::make_unique<PlatformThread>(functions_, options, std::move(loop));
  }
  std::string served_by(const std::string& image) {
    const Result<ObjectRef> ref = platform_->apply(serving::service("app", image));
    if (!ref) return ref.error().to_string();
    const Result<void> ready = platform_->ready(*ref, 60s);
    if (!ready) return ready.error().to_string();
    Result<http::Response> response = platform_->invoke("app", http::get("/"));
    return response ? std::string(response->body.bytes()) : response.error().to_string();
  }
  bool shell(const std::string& command) {
    return std::system(("cd " + root_.path() + " && { " + command + "; } >output 2>&1").c_str()) ==
           0;
  }
  std::string output() const {
    std::ifstream file(root_ / "output");
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  static bool have(const std::string& tool) {
    return std::system(("command -v " + tool + " >/dev/null 2>&1").c_str()) == 0;
  }

  testing_world::TemporaryDirectory root_;
  FunctionTable functions_;
  std::mutex mutex_;
  std::vector<std::string> losses_;  // that a warning named
  std::unique_ptr<PlatformThread> platform_;
};

// Schema 2, layers of zstd frames, absolute names, a link, a pipe, a device, whiteouts.
TEST_F(ForeignImages, a_service_runs_what_ko_kaniko_and_others_write) {
  const std::string lower = raw_tar(
      {{.name = "/", .type = '5', .mode = 0755},
       {.name = "/app/", .type = '5', .mode = 0755},
       {.name = "/app/s.py", .content = server, .mode = 0555},
       {.name = "/data/one", .content = "1"},
       {.name = "/data/gone", .content = "never seen"},
       {.name = "/data/two", .type = '1', .link = "/data/one"},
       {.name = "/run/pipe", .type = '6'},
       {.name = "/dev/null", .type = '3', .mode = 0666, .device_major = 1, .device_minor = 3}});
  const std::string upper = raw_tar({{.name = "data/three", .content = "3"},
                                     {.name = "/bin/serve", .type = '2', .link = "/app/s.py"},
                                     {.name = "data/.wh.gone"}});
  start();
  platform_->call([&](Platform& platform) {
    oci::ImageStore& images = platform.images();
    oci::ImageConfig config;
    config.platform = oci::host_platform();
    config.entrypoint = {"python3", "/app/s.py"};
    oci::Manifest manifest;
    manifest.docker = true;
    for (const std::string& tar : {lower, upper}) {
      const std::string blob = zstd_frame(tar.substr(0, 1000)) + zstd_frame(tar.substr(1000));
      manifest.layers.push_back(
          images.put_blob(blob, "application/vnd.docker.image.rootfs.diff.tar.zstd").value());
      config.diff_ids.push_back(oci::Digest::of(tar));
    }
    manifest.config =
        images.put_blob(config.to_json(), "application/vnd.docker.container.image.v1+json").value();
    images.put_manifest(oci::Reference::parse("local/foreign:v1").value(), manifest).value();
  });
  EXPECT_EQ(served_by("local/foreign:v1"), "one=1;three=3;two=1;");
  const std::lock_guard guard(mutex_);
  EXPECT_EQ(losses_, std::vector<std::string>{"\"dev/null\" is not made: a device"});
}

TEST_F(ForeignImages, a_service_runs_what_umoci_made_and_skopeo_copied) {
  for (const char* tool : {"umoci", "skopeo"}) {
    if (!have(tool)) {
      GTEST_SKIP() << tool << " is not installed: scripts/bootstrap --tests brings it";
    }
  }
  std::ofstream(root_ / "s.py") << server;
  ASSERT_TRUE(
      shell("mkdir -p tree/data tree/app && cp s.py tree/app/ && echo 1 > tree/data/one && "
            "ln tree/data/one tree/data/two && mkfifo tree/data.pipe && "
            "umoci init --layout theirs && umoci new --image theirs:v1 && "
            "umoci insert --rootless --image theirs:v1 tree/app /app && "
            "umoci insert --rootless --image theirs:v1 tree/data /data && "
            "umoci insert --rootless --image theirs:v1 tree/data.pipe /run/pipe && "
            "umoci insert --rootless --image theirs:v1 --whiteout /data/nothing && "
            "umoci config --image theirs:v1 --config.entrypoint python3 "
            "--config.entrypoint /app/s.py && mkdir -p data/images && "
            "skopeo --insecure-policy copy -q oci:theirs:v1 oci:data/images:local/peer:v1"))
      << output();
  start();
  EXPECT_EQ(served_by("local/peer:v1"), "one=1;two=1;");
}

}  // namespace
}  // namespace knative
