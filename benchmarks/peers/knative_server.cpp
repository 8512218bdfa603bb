// A C++ function behind a Service of a platform: listener, routes, queue, accounting, function.
//
//   peer_knative_server PORT BODY_BYTES    answers for the host hello.default.example.com
#include <cstdio>
#include <cstdlib>
#include <knative/knative.hpp>
#include <string>

namespace kn = knative;

int main(int argc, char** argv) {
  kn::PlatformOptions options;
  options.listen = kn::Endpoint{};
  options.listen->port = static_cast<std::uint16_t>(argc > 1 ? std::atoi(argv[1]) : 0);
  options.domain = "example.com";
  const std::string body(argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 200, 'x');
  kn::FunctionTable functions;
  functions.http("hello", [&body](kn::http::Request&) { return kn::http::text(body); });
  kn::LoopOptions quiet;
  quiet.log_level = kn::LogLevel::error;
  kn::Loop loop(quiet);
  kn::Platform platform(loop.env(), functions, options);
  kn::serving::Service hello = kn::serving::service("hello", "fn:hello");
  hello.spec.template_.metadata.annotations = {{"autoscaling.knative.dev/min-scale", "1"}};
  const kn::ObjectRef ref = platform.apply(hello).value();
  loop.run(platform.ready(ref)).value();
  std::printf("%d\n", platform.endpoint().port);
  std::fflush(stdout);
  loop.run();
}
