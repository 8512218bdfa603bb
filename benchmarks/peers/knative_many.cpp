// Many containers of one image at a time, each a server in a sandbox with a network of its own: how
// long each takes from the call to its first answer, what all of them cost in memory, and how
// long it takes until nothing is left. As root.
//
//     peer_knative_many COUNT PROGRAM ROOT UPPERS
//
// PROGRAM is a path in ROOT; "PROGRAM serve" answers requests on $PORT (tests/sandbox_guest does).
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "knative/env.hpp"
#include "knative/http.hpp"
#include "knative/sandbox_runtime.hpp"

namespace kn = knative;

namespace {

using Clock = std::chrono::steady_clock;

class OneImage final : public kn::ImageProvider {
 public:
  OneImage(std::string root, std::string uppers)
      : root_(std::move(root)), uppers_(std::move(uppers)) {}
  kn::Task<kn::Result<kn::ImageRoot>> provide(const kn::ContainerSpec& spec) override {
    return provide_shared(spec);
  }
  kn::Task<kn::Result<kn::ImageRoot>> provide_shared(const kn::ContainerSpec&) override {
    kn::ImageRoot image;
    image.directory = root_;
    image.upper = uppers_ + "/" + std::to_string(++made_);
    std::filesystem::create_directories(image.upper);
    co_return image;
  }

 private:
  std::string root_;
  std::string uppers_;
  int made_ = 0;
};

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// Of /proc/meminfo or of /proc/self/status, in KiB.
long kibibytes(const char* path, const std::string& name) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(name + ":")) return std::atol(line.c_str() + name.size() + 1);
  }
  return 0;
}

kn::Task<bool> answers(kn::Loop& loop, kn::Container& container) {
  for (int attempt = 0; attempt < 5000; ++attempt) {
    kn::http::Request request = kn::http::get("/");
    kn::Task<kn::http::Response> asking = container.endpoint()->handle(request);
    const kn::http::Response response = co_await std::move(asking);
    if (response.status == 200) co_return true;
    co_await loop.env().timers.sleep_for(std::chrono::milliseconds(1));
  }
  co_return false;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) return 2;
  const int count = std::atoi(argv[1]);
  kn::Loop loop;
  kn::SandboxRuntimeOptions options;
  options.support = loop.env().processes.isolation(argv[4]);
  if (!options.support.possible || !options.support.own_network) {
    std::fprintf(stderr, "no sandboxes here: %s\n", options.support.reason.c_str());
    return 1;
  }
  OneImage images(argv[3], argv[4]);
  kn::SandboxRuntime runtime(loop.env(), images, options);
  kn::ContainerSpec spec;
  spec.image = "many";
  spec.command = {argv[2], "serve"};
  spec.ports.push_back({.container_port = 8080});

  const long free_before = kibibytes("/proc/meminfo", "MemAvailable");
  const long own_before = kibibytes("/proc/self/status", "VmRSS");
  std::vector<std::unique_ptr<kn::Container>> containers;
  std::vector<double> taken;
  const Clock::time_point begin = Clock::now();
  for (int i = 0; i < count; ++i) {
    spec.name = "many-" + std::to_string(i);
    const Clock::time_point started = Clock::now();
    auto container = loop.run(runtime.start(spec, nullptr));
    if (!container || !loop.run(answers(loop, **container))) {
      std::fprintf(stderr, "container %d: %s\n", i,
                   container ? "no answer" : container.error().detail.c_str());
      return 1;
    }
    taken.push_back(seconds_since(started) * 1000);
    containers.push_back(std::move(*container));
  }
  const double all = seconds_since(begin);
  const long machine = free_before - kibibytes("/proc/meminfo", "MemAvailable");
  const long own = kibibytes("/proc/self/status", "VmRSS") - own_before;
  const Clock::time_point stopping = Clock::now();
  containers.clear();
  const double stopped = seconds_since(stopping);
  const std::vector<double> last(taken.end() - std::min<std::ptrdiff_t>(100, count), taken.end());
  double last_sum = 0;
  for (const double one : last) last_sum += one;
  std::sort(taken.begin(), taken.end());
  std::printf(
      "%d containers in %.1f s: to the first answer p50 %.1f ms, p99 %.1f ms, the last %zu "
      "%.1f ms each\n",
      count, all, taken[taken.size() / 2], taken[taken.size() * 99 / 100], last.size(),
      last_sum / static_cast<double>(last.size()));
  std::printf(
      "memory: %.0f KiB each of the machine, %.1f KiB each of this process; gone in %.1f s\n",
      static_cast<double>(machine) / count, static_cast<double>(own) / count, stopped);
}
