// `knative up`: apply manifests, say when and where things are ready, run until interrupted.
#include <cstdio>
#include <cstdlib>
#include <knative/knative.hpp>

#include "command.hpp"

namespace kn = knative;

namespace command {

namespace {

int complain(const kn::Error& error) {
  std::fprintf(stderr, "knative up: %s\n", error.detail.c_str());
  return 1;
}

// Say what became of every object; returns how many are not ready.
int report(kn::PlatformThread& platform, const std::vector<kn::ObjectRef>& refs,
           std::chrono::seconds timeout) {
  int failed = 0;
  for (const kn::ObjectRef& ref : refs) {
    const kn::Result<void> ready = platform.ready(ref, timeout);
    const std::string name = ref.kind + " " + ref.namespace_ + "/" + ref.name;
    if (!ready) {
      ++failed;
      std::printf("%-40s not ready: %s\n", name.c_str(), ready.error().detail.c_str());
    } else {
      std::printf("%-40s ready  %s\n", name.c_str(), platform.url(ref).c_str());
    }
    std::fflush(stdout);
  }
  return failed;
}

}  // namespace

int up(const Arguments& arguments) {
  block_signals();
  kn::PlatformOptions options;
  kn::Result<kn::Endpoint> endpoint =
      kn::Endpoint::parse(arguments.get("--listen", "127.0.0.1:8080"));
  if (!endpoint) return complain(endpoint.error().within("--listen"));
  options.listen = *endpoint;
  options.listen_beyond_loopback = arguments.has("--listen-beyond-loopback");
  options.data_directory = arguments.get("--data-dir");
  options.domain = arguments.get("--domain", "localhost");
  options.on_output = [](std::string_view source, std::string_view line) {
    std::printf("[%.*s] %.*s\n", static_cast<int>(source.size()), source.data(),
                static_cast<int>(line.size()), line.data());
    std::fflush(stdout);
  };
  const std::chrono::seconds timeout(std::atoi(arguments.get("--timeout", "60").c_str()));

  kn::FunctionTable functions;
  kn::LoopOptions loop;
  loop.log_level = kn::LogLevel::warning;
  kn::PlatformThread platform(functions, options, loop);
  if (kn::Result<void> started = platform.start(); !started) return complain(started.error());
  std::printf("listening on http://%s\n", platform.endpoint().to_string().c_str());
  std::fflush(stdout);

  const auto files = arguments.values.find("--filename");
  if (files != arguments.values.end()) {
    for (const std::string& path : files->second) {
      kn::Result<std::vector<kn::ObjectRef>> refs = platform.apply_path(path);
      if (!refs) return complain(refs.error());
      report(platform, *refs, timeout);
    }
  }
  std::printf("up; interrupt to stop\n");
  std::fflush(stdout);
  wait_for_signal();
  std::printf("stopping\n");
  platform.stop();
  return 0;
}

}  // namespace command
