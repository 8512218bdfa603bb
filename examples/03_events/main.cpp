// A Broker, a Trigger with a filter, a function that answers with a new event.
#include <cstdio>
#include <future>
#include <knative/knative.hpp>

namespace kn = knative;

int main() {
  kn::FunctionTable functions;
  kn::PlatformThread platform(functions);
  platform.apply(kn::eventing::broker("default")).value();

  // What passes the filter reaches the function; its reply goes back into the Broker.
  const auto orders = kn::Filter::cesql("type = 'order.created' AND EXISTS subject").value();
  auto accept = platform
                    .subscribe("default", orders,
                               [](const kn::CloudEvent& order) -> kn::Task<kn::Reply> {
                                 std::printf("got %s\n", order.id().c_str());
                                 co_return kn::CloudEvent("order.accepted", "/shop", order.data());
                               })
                    .value();

  std::promise<std::string> accepted;
  const auto replies = kn::Filter::exact("type", "order.accepted").value();
  auto watch = platform
                   .subscribe("default", replies,
                              [&accepted](const kn::CloudEvent& reply) -> kn::Task<kn::Reply> {
                                accepted.set_value(reply.type() + " " + reply.data().bytes());
                                co_return kn::Reply();
                              })
                   .value();

  kn::CloudEvent ignored("order.created", "/web", kn::Value({{"id", 6}}));
  ignored.set_id("without-subject");
  platform.publish("default", ignored).value();
  kn::CloudEvent order("order.created", "/web", kn::Value({{"id", 7}}));
  order.set_id("order-7").set_subject("cart");
  platform.publish("default", order).value();
  std::printf("%s\n", accepted.get_future().get().c_str());
}
