// Start an idle platform with its listener and say what that cost: start-up time and resident
// memory, as the host program sees them.
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

int main() {
  const auto begin = std::chrono::steady_clock::now();
  kn::FunctionTable functions;
  functions.http("hello", [](kn::http::Request&) { return kn::http::text("hello"); });
  kn::LoopOptions quiet;
  quiet.log_level = kn::LogLevel::error;
  kn::PlatformThread platform(functions, {}, quiet);
  platform.start().value();
  const auto started = std::chrono::steady_clock::now();
  platform.apply(kn::serving::service("hello", "fn:hello")).value();
  platform.wait_ready("hello").value();
  const auto ready = std::chrono::steady_clock::now();
  const auto milliseconds = [&](auto until) {
    return std::chrono::duration<double, std::milli>(until - begin).count();
  };
  std::printf("{\"start_ms\": %.3f, \"first_service_ms\": %.3f, \"resident_mb\": %.1f}\n",
              milliseconds(started), milliseconds(ready), resident_mb());
}
