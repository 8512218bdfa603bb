// Two revisions behind one URL: 90 % of the traffic to the old one, 10 % to the new one, which
// also has a host of its own.
#include <cstdio>
#include <knative/knative.hpp>
#include <map>
#include <string>

namespace kn = knative;

int main() {
  kn::FunctionTable functions;
  functions.http("v1", [](kn::http::Request&) { return kn::http::text("one"); });
  functions.http("v2", [](kn::http::Request&) { return kn::http::text("two"); });
  kn::PlatformThread platform(functions);

  kn::serving::Service shop = kn::serving::service("shop", "fn:v1");
  platform.apply(shop).value();
  platform.wait_ready("shop").value();

  shop.spec.template_.spec.containers[0].image = "fn:v2";
  shop.spec.traffic = {{.revision_name = "shop-00001", .percent = 90},
                       {.latest_revision = true, .percent = 10, .tag = "canary"}};
  platform.apply(shop).value();
  platform.wait_ready("shop").value();

  std::map<std::string, int> answers;
  for (int i = 0; i < 1000; ++i) {
    ++answers[platform.invoke("shop", kn::http::get("/")).value().body.bytes()];
  }
  for (const auto& [answer, count] : answers) std::printf("%s: %d\n", answer.c_str(), count);
  const auto canary = platform.invoke("canary-shop", kn::http::get("/")).value();
  std::printf("canary: %s\n", canary.body.bytes().c_str());
  const auto stored = platform.get<kn::serving::Service>("shop").value();
  for (const kn::serving::TrafficTarget& target : stored.status.traffic) {
    std::printf("%s %ld%%\n", target.revision_name.c_str(), static_cast<long>(*target.percent));
  }
}
