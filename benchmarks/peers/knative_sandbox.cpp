// Cold start to exit of one static program: in a sandbox, as a bare process, in containers that we
// have other runtimes make, and by the command lines of those, one after the other in every round.
// compare_sandbox.py prepares it.
//
//     peer_knative_sandbox ROUNDS PROGRAM ROOT UPPERS [NAME COMMAND...]...
//
// COMMAND is one word, split at spaces; "ID" in it becomes a new name each time.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "knative/env.hpp"
#include "knative/oci_runtime.hpp"

namespace kn = knative;

namespace {

double milliseconds(kn::Loop& loop, const kn::ProcessOptions& options) {
  auto run = [](kn::Processes& processes, const kn::ProcessOptions& what) -> kn::Task<bool> {
    auto process = processes.spawn(what);
    if (!process) {
      std::fprintf(stderr, "%s\n", process.error().detail.c_str());
      co_return false;
    }
    kn::Task<kn::ExitStatus> ending = (*process)->wait();
    const kn::ExitStatus status = co_await std::move(ending);
    co_return status.success();
  };
  loop.run_for(std::chrono::milliseconds(30));  // what the one before left to be cleaned up
  const auto before = std::chrono::steady_clock::now();
  const bool good = loop.run(run(loop.env().processes, options));
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - before;
  if (!good) std::fprintf(stderr, "%s failed\n", options.argv.front().c_str());
  return good ? took.count() : -1;
}

std::vector<std::string> words(const std::string& text, const std::string& id) {
  std::vector<std::string> result;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(' ', begin), text.size());
    std::string word = text.substr(begin, end - begin);
    result.push_back(word == "ID" ? id : word);
    begin = end + 1;
  }
  return result;
}

/// The same root for everybody, and an upper folder for each.
class OneImage final : public kn::ImageProvider {
 public:
  OneImage(std::string root, std::string uppers)
      : root_(std::move(root)), uppers_(std::move(uppers)) {}
  kn::Task<kn::Result<kn::ImageRoot>> provide(const kn::ContainerSpec&) override {
    kn::ImageRoot root;
    root.directory = root_;
    root.upper = uppers_ + "/container" + std::to_string(++count_);
    std::filesystem::create_directories(root.upper);
    co_return root;
  }

 private:
  const std::string root_;
  const std::string uppers_;
  int count_ = 0;
};

double milliseconds(kn::Loop& loop, kn::OciRuntime& runtime, const std::string& program) {
  kn::ContainerSpec spec;
  spec.name = "bench";
  spec.command = {program, "true"};
  spec.resources.limits = {{"memory", kn::Quantity(std::int64_t{256} << 20)},
                           {"cpu", kn::Quantity(1)}};
  loop.run_for(std::chrono::milliseconds(30));
  const auto before = std::chrono::steady_clock::now();
  auto container = loop.run(runtime.start(spec, nullptr));
  if (!container) {
    std::fprintf(stderr, "%s\n", container.error().detail.c_str());
    return -1;
  }
  const bool good = loop.run((*container)->wait()).success();
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - before;
  return good ? took.count() : -1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) return 2;
  const int rounds = std::atoi(argv[1]);
  const std::string program = argv[2];
  const std::string root = argv[3];
  const std::string uppers = argv[4];
  kn::Loop loop;
  OneImage image(root, uppers);
  kn::OciRuntimeOptions others;
  others.directory = uppers;
  others.isolating.support = loop.env().processes.isolation(uppers);
  std::map<std::string, std::unique_ptr<kn::OciRuntime>> runtimes;
  for (const char* name : {"crun", "runc"}) {
    const kn::Result<std::string> found = kn::OciRuntime::find(loop.env().files, name);
    if (!found) continue;
    others.program = *found;
    runtimes[std::string("our ") + name] =
        std::make_unique<kn::OciRuntime>(loop.env(), image, others);
  }
  std::map<std::string, std::vector<double>> taken;
  for (int round = 0; round < rounds; ++round) {
    const std::string id = "bench" + std::to_string(round);
    kn::ProcessOptions bare;
    bare.argv = {root + program, "true"};
    taken["process"].push_back(milliseconds(loop, bare));

    kn::ProcessOptions isolated;
    isolated.argv = {program, "true"};
    kn::Isolation& isolation = isolated.isolation.emplace();
    isolation.root = root;
    isolation.upper = uppers + "/" + id;
    std::filesystem::create_directories(isolation.upper);
    isolation.hostname = "bench";
    isolation.capabilities = kn::default_capabilities();
    isolation.limits.memory_bytes = std::uint64_t{256} << 20;
    isolation.limits.cpu_milli = 1000;
    isolation.limits.processes = 1024;
    taken["sandbox"].push_back(milliseconds(loop, isolated));

    for (const auto& [name, runtime] : runtimes) {
      taken[name].push_back(milliseconds(loop, *runtime, program));
    }
    for (int i = 5; i + 1 < argc; i += 2) {
      kn::ProcessOptions peer;
      peer.argv = words(argv[i + 1], id);
      peer.environment = {{"PATH", "/usr/sbin:/usr/bin:/sbin:/bin"}};
      taken[argv[i]].push_back(milliseconds(loop, peer));
    }
  }
  for (auto& [name, samples] : taken) {
    std::sort(samples.begin(), samples.end());
    std::printf("%-10s p50 %6.2f ms  p90 %6.2f ms  best %6.2f ms\n", name.c_str(),
                samples[samples.size() / 2], samples[samples.size() * 9 / 10], samples.front());
  }
}
