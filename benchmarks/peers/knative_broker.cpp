// A Broker with one Trigger and a function behind it, as a platform with a data directory serves
// them: events come in over HTTP and are on disk when they are answered.
//
//   peer_knative_broker PORT DATA_DIRECTORY    POST /default/default; GET with the host
//                                              hello.default.example.com: events delivered so far
#include <cstdio>
#include <cstdlib>
#include <knative/knative.hpp>
#include <string>

namespace kn = knative;

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  kn::PlatformOptions options;
  options.listen = kn::Endpoint{};
  options.listen->port = static_cast<std::uint16_t>(std::atoi(argv[1]));
  options.domain = "example.com";
  options.data_directory = argv[2];
  std::uint64_t delivered = 0;
  kn::FunctionTable functions;
  functions.event("count", [&delivered](const kn::CloudEvent&) { ++delivered; });
  functions.http("hello", [&delivered](kn::http::Request&) {
    return kn::http::text(std::to_string(delivered));
  });
  kn::LoopOptions quiet;
  quiet.log_level = kn::LogLevel::error;
  kn::Loop loop(quiet);
  kn::Platform platform(loop.env(), functions, options);
  const auto apply = [&](const kn::AnyObject& object) {
    const kn::ObjectRef ref = platform.apply(object).value();
    loop.run(platform.ready(ref)).value();
  };
  for (const char* name : {"hello", "count"}) {
    kn::serving::Service service = kn::serving::service(name, std::string("fn:") + name);
    service.spec.template_.metadata.annotations = {{"autoscaling.knative.dev/min-scale", "1"}};
    apply(service);
  }
  apply(kn::eventing::broker("default"));
  apply(kn::eventing::trigger("count", "default", "http://count.default.svc.cluster.local"));
  std::printf("%d\n", platform.endpoint().port);
  std::fflush(stdout);
  loop.run();
}
