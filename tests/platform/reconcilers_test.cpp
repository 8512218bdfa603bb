#include <gtest/gtest.h>

#include "knative/platform.hpp"
#include "knative/simulation.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;

TEST(Reconcilers, a_broker_hears_when_its_dead_letter_sink_comes_at_last) {
  Simulation simulation(7);
  FunctionTable functions;
  functions.http("letters", [](http::Request&) { return http::text(""); });
  PlatformOptions options;
  options.listen.reset();
  Platform platform(simulation.env(), functions, options);
  eventing::Broker broker = eventing::broker("default");
  broker.spec.delivery = eventing::DeliverySpec{};
  broker.spec.delivery->dead_letter_sink = eventing::Destination{
      .ref = eventing::KReference{
          .api_version = "serving.knative.dev/v1", .kind = "Service", .name = "letters"}};
  const ObjectRef ref = platform.apply(broker).value();
  simulation.run_for(1min);
  const auto state = [&platform] {
    return find_condition(platform.get<eventing::Broker>("default")->status.conditions,
                          "DeadLetterSinkResolved")
        ->status;
  };
  EXPECT_EQ(state(), "False");
  ASSERT_TRUE(platform.apply(serving::service("letters", "fn:letters")));
  simulation.run_for(1min);
  EXPECT_EQ(state(), "True");
  EXPECT_TRUE(simulation.run(platform.ready(ref)));
}

}  // namespace
}  // namespace knative
