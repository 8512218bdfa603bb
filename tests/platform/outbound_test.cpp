// What goes out of a platform goes by its options: whom it trusts and which proxies it takes.
#include <gmock/gmock.h>

#include "knative/http_server.hpp"
#include "platform/platform_fixture.hpp"
#include "support/tls_pair.hpp"

namespace knative {
namespace {

using namespace testing_platform;
using namespace testing_tls;

/// A machine of the world that takes events, with or without TLS, and proxies what it is asked to.
class Far {
 public:
  Far(Simulation& simulation, const std::string& name, std::uint16_t port,
      const tls::ServerOptions* secure) {
    handler_ = http::make_handler([this](http::Request& request) {
      targets.push_back(request.method + " " + request.host() + request.target);
      authorizations.emplace_back(request.headers.get("Proxy-Authorization").value_or(""));
      return http::Response{.status = 202};
    });
    Env& env = simulation.host(name).env();
    std::unique_ptr<Listener> listener = env.network.listen(Endpoint{name, port, {}}).value();
    if (secure != nullptr) {
      listener =
          tls::wrap(env.executor, env.timers, env.logger, std::move(listener), *secure).value();
    }
    server_ = std::make_unique<http::Server>(env.executor, env.timers, env.logger,
                                             std::move(listener), *handler_);
  }
  std::vector<std::string> targets;
  std::vector<std::string> authorizations;

 private:
  std::unique_ptr<http::Handler> handler_;
  std::unique_ptr<http::Server> server_;
};

class PlatformOutbound : public PlatformFixture {
 protected:
  PlatformOutbound() {
    serving_.identities.push_back(
        issue(authority_, {"far.example.com"}, simulation_.env().timers.wall()));
  }
  /// Publish one event to a Trigger with this subscriber on a platform with these options.
  void deliver(http::OutboundOptions outbound, const std::string& uri) {
    PlatformOptions options;
    options.outbound = std::move(outbound);
    begin(std::move(options));
    apply(eventing::broker("default"));
    eventing::Trigger trigger = eventing::trigger("t", "default", "");
    trigger.spec.subscriber.uri = uri;
    apply(trigger);
    publish("default");
    simulation_.run_for(1min);
  }
  http::OutboundOptions trusting() const {
    http::OutboundOptions options;
    options.tls.trust = {false, authority_.certificate()};
    return options;
  }

  tls::Authority authority_ = tls::Authority::create({}, simulation_.env().timers.wall()).value();
  tls::ServerOptions serving_;
};

TEST_F(PlatformOutbound, AnHttpsSubscriberOfATrustedAuthorityGetsItsEvents) {
  Far far(simulation_, "far.example.com", 443, &serving_);
  deliver(trusting(), "https://far.example.com/in?x=1");
  EXPECT_THAT(far.targets, testing::ElementsAre("POST far.example.com/in?x=1"));
  platform_.reset();
}

TEST_F(PlatformOutbound, WhomNobodyVouchesForGetsNoEvent) {
  Far far(simulation_, "far.example.com", 443, &serving_);
  deliver({}, "https://far.example.com/in");
  EXPECT_TRUE(far.targets.empty());
  platform_.reset();
}

TEST_F(PlatformOutbound, TrustThatCannotBeReadIsAnErrorOfTheStart) {
  PlatformOptions options;
  options.outbound.tls.trust.certificates = "no certificate";
  begin(std::move(options));
  EXPECT_THAT(platform_->start().error().detail,
              testing::HasSubstr("outbound.tls.trust.certificates: no PEM text"));
}

TEST_F(PlatformOutbound, EventsGoThroughTheProxyThatTheHostSays) {
  Far proxy(simulation_, "proxy.example.com", 3128, nullptr);
  Far direct(simulation_, "near.example.com", 80, nullptr);
  http::OutboundOptions options;
  options.proxies = http::Proxies::from({{"http_proxy", "http://ada:pw@proxy.example.com:3128"},
                                         {"no_proxy", "near.example.com"}})
                        .value();
  deliver(options, "http://far.example.com/in");
  EXPECT_THAT(proxy.targets, testing::ElementsAre("POST far.example.com/in"));
  EXPECT_THAT(proxy.authorizations, testing::ElementsAre("Basic YWRhOnB3"));
  deliver(options, "http://near.example.com/in");
  EXPECT_THAT(direct.targets, testing::ElementsAre("POST near.example.com/in"));
  EXPECT_THAT(direct.authorizations, testing::ElementsAre(""));
  EXPECT_EQ(proxy.targets.size(), 1U);
  platform_.reset();
}

}  // namespace
}  // namespace knative
