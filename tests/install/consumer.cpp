// The smallest program of a user: used by every way of consuming the library.
#include <knative/knative.hpp>

#include <cstdio>

namespace kn = knative;

kn::http::Response hello(kn::http::Request& request) {
  return kn::http::text("hello " + request.query("name", "world"));
}

int main() {
  kn::FunctionTable functions;
  functions.http("hello", hello);
  kn::PlatformThread platform(functions);
  platform.apply(kn::serving::service("hello", "fn:hello")).value();
  platform.wait_ready("hello", std::chrono::seconds(10)).value();
  const kn::http::Response reply =
      platform.invoke("hello", kn::http::get("/?name=consumer")).value();
  std::puts(reply.body.bytes().c_str());
  return reply.body.bytes() == "hello consumer" ? 0 : 1;
}
