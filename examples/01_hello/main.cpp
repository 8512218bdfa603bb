// A function behind a URL: deploy it, call it in process and over HTTP.
// [hello]
#include <cstdio>
#include <knative/knative.hpp>

namespace kn = knative;

kn::http::Response hello(kn::http::Request& request) {
  return kn::http::text("hello " + request.query("name", "world"));
}

int main() {
  kn::FunctionTable functions;
  functions.http("hello", hello);
  kn::PlatformThread platform(functions);
  platform.apply(kn::serving::service("hello", "fn:hello")).value();
  platform.wait_ready("hello").value();
  const auto reply = platform.invoke("hello", kn::http::get("/?name=ada")).value();
  std::printf("%d %s\n", reply.status, reply.body.bytes().c_str());
  std::printf("%s\n", platform.url(platform.ref<kn::serving::Service>("hello")).c_str());
}
// [/hello]
