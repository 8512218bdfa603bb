// From "an instance is wanted" to the answer of its first request, for one static HTTP server: from
// nothing and from frozen, as a process and in a sandbox, in turns. As root. A server in Python, as
// a process and as a fork of a zygote, is beside them: the mark of the fork is 5 ms.
//
//     peer_knative_first_byte ROUNDS GUEST FOLDER
//
// GUEST is tests/sandbox_guest of a build, FOLDER an empty one for its image.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "knative/container_runtimes.hpp"
#include "knative/env.hpp"
#include "knative/sandbox_runtime.hpp"
#include "knative/workload.hpp"
#include "knative/zygote_runtime.hpp"

namespace kn = knative;
using namespace std::chrono_literals;

namespace {

/// The image: the guest alone, shared by all.
class OneImage final : public kn::ImageProvider {
 public:
  explicit OneImage(std::string folder) : folder_(std::move(folder)) {}
  kn::Task<kn::Result<kn::ImageRoot>> provide(const kn::ContainerSpec&) override {
    kn::ImageRoot root;
    root.directory = folder_ + "/root";
    root.defaults.entrypoint = {"/guest", "serve"};
    co_return root;
  }
  kn::Task<kn::Result<kn::ImageRoot>> provide_shared(const kn::ContainerSpec&) override {
    kn::ImageRoot root;
    root.directory = folder_ + "/root";
    root.upper = folder_ + "/upper" + std::to_string(++count_);
    root.defaults.entrypoint = {"/guest", "serve"};
    std::filesystem::create_directories(root.upper);
    co_return root;
  }

 private:
  std::string folder_;
  int count_ = 0;
};

constexpr const char* python_server = R"(
import http.server, os, socketserver
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header('Content-Length', '5')
        self.end_headers()
        self.wfile.write(b'hello')
    def log_message(self, *args):
        pass
socketserver.TCPServer(('127.0.0.1', int(os.environ['PORT'])), Handler).serve_forever()
)";

/// Holds what is ready, as a router does.
struct Endpoints final : kn::EndpointListener {
  void endpoint_ready(const std::shared_ptr<kn::http::Handler>& endpoint) override {
    ready = endpoint;
    changed.notify_all();
  }
  kn::Task<void> endpoint_draining(const std::shared_ptr<kn::http::Handler>&) override {
    ready.reset();
    co_return;
  }
  void endpoint_gone(const std::shared_ptr<kn::http::Handler>&) override { ready.reset(); }
  void instance_failed(const kn::InstanceFailure& failure) override {
    std::fprintf(stderr, "%s\n", failure.error.to_string().c_str());
  }
  void pool_changed() override {}
  std::shared_ptr<kn::http::Handler> ready;
  kn::Wakeup changed;
};

kn::Task<bool> first_answer(kn::RevisionPool& pool, Endpoints& endpoints) {
  pool.scale_to(1);
  while (!endpoints.ready) co_await endpoints.changed.wait();
  const std::shared_ptr<kn::http::Handler> endpoint = endpoints.ready;
  kn::http::Request request = kn::http::get("/");
  kn::Task<kn::http::Response> handling = endpoint->handle(request);
  kn::http::Response response = co_await std::move(handling);
  kn::Task<kn::Result<void>> reading = response.body.read_all();
  const kn::Result<void> read = co_await std::move(reading);
  co_return read&& response.body.bytes() == "hello";
}

/// One way to be started.
struct Way {
  Way(kn::Loop& loop, kn::ContainerRuntime& runtime, bool frozen,
      std::vector<std::string> command = {}) {
    kn::InstanceSpec spec;
    spec.container.command = std::move(command);
    spec.container.name = "default/first-byte";
    spec.container.image = "guest";
    spec.container.ports.push_back({.container_port = 8080});
    spec.container.freezable = frozen;
    kn::RevisionPoolOptions options;
    options.may_freeze = [frozen] { return frozen; };
    pool = std::make_unique<kn::RevisionPool>(loop.env(), runtime, endpoints, spec, options);
  }
  Endpoints endpoints;
  std::unique_ptr<kn::RevisionPool> pool;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const int rounds = std::atoi(argv[1]);
  const std::string folder = argv[3];
  std::filesystem::create_directories(folder + "/root");
  std::filesystem::copy_file(argv[2], folder + "/root/guest");
  kn::Loop loop;
  OneImage images(folder);
  kn::ProcessRuntime processes(loop.env(), images);
  kn::SandboxRuntimeOptions options;
  options.support = loop.env().processes.isolation(folder);
  kn::SandboxRuntime sandboxes(loop.env(), images, options);
  std::map<std::string, std::unique_ptr<Way>> ways;
  for (const bool frozen : {false, true}) {
    const std::string from = frozen ? " from frozen" : " from nothing";
    ways["process" + from] = std::make_unique<Way>(loop, processes, frozen);
    if (!options.support.possible || (frozen && !options.support.freezing)) continue;
    ways["sandbox" + from] = std::make_unique<Way>(loop, sandboxes, frozen);
  }
  std::ofstream(folder + "/root/server.py") << python_server;
  kn::ZygoteRuntime zygotes(loop.env(), images);
  const std::vector<std::string> python = {"python3", "/server.py"};
  ways["python, process"] = std::make_unique<Way>(loop, processes, false, python);
  ways["python, zygote"] = std::make_unique<Way>(loop, zygotes, false, python);
  std::map<std::string, std::vector<double>> taken;
  for (int round = 0; round <= rounds; ++round) {
    for (auto& [name, way] : ways) {
      loop.run_for(30ms);
      const auto before = std::chrono::steady_clock::now();
      const bool good = loop.run(first_answer(*way->pool, way->endpoints));
      const std::chrono::duration<double, std::micro> took =
          std::chrono::steady_clock::now() - before;
      if (!good) std::fprintf(stderr, "%s: no answer\n", name.c_str());
      if (round > 0) taken[name].push_back(took.count());  // the first of the frozen is not
      way->pool->scale_to(0);
      loop.run_for(10ms);
    }
  }
  for (auto& [name, way] : ways) loop.run(way->pool->stop());
  for (auto& [name, samples] : taken) {
    std::sort(samples.begin(), samples.end());
    std::printf("%-22s p50 %8.0f us  p90 %8.0f us  best %8.0f us\n", name.c_str(),
                samples[samples.size() / 2], samples[samples.size() * 9 / 10], samples.front());
  }
}
