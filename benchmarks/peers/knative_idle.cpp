// Start a platform with a data directory and its listener, give it a Service, a Broker and a
// Trigger, leave it alone, and say what that cost: time as the host program sees it, and memory.
//
//   peer_knative_idle DATA_DIRECTORY
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <knative/knative.hpp>
#include <string>

namespace kn = knative;

namespace {

double resident_mb() {
  std::ifstream status("/proc/self/statm");
  long total = 0;
  long resident = 0;
  status >> total >> resident;
  return static_cast<double>(resident) * static_cast<double>(::sysconf(_SC_PAGESIZE)) / 1e6;
}

}  // namespace

int main(int argc, char** argv) {
  const auto begin = std::chrono::steady_clock::now();
  kn::FunctionTable functions;
  functions.http("hello", [](kn::http::Request&) { return kn::http::text("hello"); });
  kn::PlatformOptions options;
  if (argc > 1) options.data_directory = argv[1];
  kn::LoopOptions quiet;
  quiet.log_level = kn::LogLevel::error;
  kn::PlatformThread platform(functions, options, quiet);
  platform.start().value();
  const auto started = std::chrono::steady_clock::now();
  platform.apply(kn::serving::service("hello", "fn:hello")).value();
  const kn::ObjectRef broker = platform.apply(kn::eventing::broker("default")).value();
  const kn::ObjectRef trigger =
      platform
          .apply(kn::eventing::trigger("all", "default", "http://hello.default.svc.cluster.local"))
          .value();
  platform.wait_ready("hello").value();
  platform.ready(broker).value();
  platform.ready(trigger).value();
  const auto ready = std::chrono::steady_clock::now();
  const kn::CloudEvent event("bench.started", "/bench", kn::Value({{"n", 1}}));
  platform.publish("default", event).value();
  const auto milliseconds = [&](auto until) {
    return std::chrono::duration<double, std::milli>(until - begin).count();
  };
  std::printf("{\"start_ms\": %.3f, \"all_ready_ms\": %.3f, \"resident_mb\": %.1f}\n",
              milliseconds(started), milliseconds(ready), resident_mb());
}
