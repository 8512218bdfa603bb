// What Services, Configurations and Routes do about children that are gone or not theirs, about
// targets that are missing and hosts that are taken.
#include "platform/platform_fixture.hpp"

namespace knative {
namespace {

using namespace testing_platform;
using serving::Configuration;
using serving::Revision;
using serving::Route;
using serving::Service;
using serving::TrafficTarget;

class ServingReconcilers : public PlatformFixture {
 protected:
  ServingReconcilers() {
    for (const char* name : {"one", "two"}) {
      functions_.http(name, [name](http::Request&) { return http::text(name); });
    }
  }
  static Configuration configuration(const std::string& name, const std::string& image = "fn:one",
                                     const std::string& revision = "") {
    Configuration made;
    made.metadata.name = name;
    made.spec.template_ = serving::service(name, image).spec.template_;
    made.spec.template_.metadata.name = revision;
    return made;
  }
  static Route route(const std::string& name, const TrafficTarget& target) {
    Route made;
    made.metadata.name = name;
    made.spec.traffic = {target};
    return made;
  }
  static TrafficTarget revision(const std::string& name) {
    TrafficTarget target;
    target.revision_name = name;
    target.percent = 100;
    return target;
  }
  /// A Service whose latest Revision also has a tag's host.
  static Service tagged(const std::string& name, const std::string& image, const std::string& tag) {
    Service made = serving::service(name, image);
    made.spec.traffic = {{.latest_revision = true, .percent = 100, .tag = tag}};
    return made;
  }
  std::string routes_of(const std::string& revision_name) {
    const Revision found = get<Revision>(revision_name);
    const auto routes = found.metadata.annotations.find(serving::keys::routes);
    return found.metadata.labels.at("serving.knative.dev/routingState") + ":" +
           (routes == found.metadata.annotations.end() ? "" : routes->second);
  }
};

// ---------------------------------------------------------------------------- Service

TEST_F(ServingReconcilers, a_service_without_traffic_sends_everything_to_the_latest_revision) {
  apply(serving::service("shop", "fn:one"));
  const std::vector<TrafficTarget> traffic = get<Route>("shop").spec.traffic;
  ASSERT_EQ(traffic.size(), 1u);
  EXPECT_EQ(traffic[0].configuration_name, "shop");
  EXPECT_EQ(traffic[0].latest_revision, true);
  EXPECT_EQ(traffic[0].percent, 100);
  EXPECT_EQ(get<Service>("shop").status.traffic.at(0).revision_name, "shop-00001");
  apply(serving::service("shop", "fn:two"));
  EXPECT_EQ(get<Service>("shop").status.traffic.at(0).revision_name, "shop-00002");
  EXPECT_EQ(call("shop"), "two");
}

TEST_F(ServingReconcilers, a_configuration_of_somebody_else_is_left_alone_until_it_goes) {
  apply(configuration("shop", "fn:two"));
  apply(serving::service("shop", "fn:one"));
  EXPECT_EQ(state<Service>("shop", "ConfigurationsReady"), "False NotOwned");
  EXPECT_NE(message<Service>("shop", "ConfigurationsReady").find("\"shop\""), std::string::npos);
  EXPECT_EQ(get<Configuration>("shop").spec.template_.spec.containers[0].image, "fn:two");
  remove<Configuration>("shop");
  EXPECT_EQ(state<Service>("shop"), "True");
  EXPECT_EQ(call("shop"), "one");
}

TEST_F(ServingReconcilers, a_route_of_somebody_else_is_left_alone_until_it_goes) {
  apply(configuration("other", "fn:two"));
  apply(serving::route("shop", "other"));
  apply(serving::service("shop", "fn:one"));
  EXPECT_EQ(state<Service>("shop", "RoutesReady"), "False NotOwned");
  EXPECT_EQ(call("shop"), "two");
  remove<Route>("shop");
  EXPECT_EQ(state<Service>("shop"), "True");
  EXPECT_EQ(call("shop"), "one");
}

TEST_F(ServingReconcilers, a_child_that_was_deleted_is_made_again) {
  apply(serving::service("shop", "fn:one"));
  const std::string uid = get<Configuration>("shop").metadata.uid;
  remove<Route>("shop");
  EXPECT_EQ(call("shop"), "one");
  remove<Configuration>("shop");
  EXPECT_NE(get<Configuration>("shop").metadata.uid, uid);
  remove<Revision>("shop-00001");
  EXPECT_EQ(state<Service>("shop"), "True");
  EXPECT_EQ(call("shop"), "one");
}

TEST_F(ServingReconcilers, a_child_that_was_changed_by_hand_is_changed_back) {
  apply(serving::service("shop", "fn:one"));
  Route changed = get<Route>("shop");
  changed.spec.traffic = {revision("shop-00009")};
  apply(changed);
  EXPECT_EQ(get<Route>("shop").spec.traffic.at(0).configuration_name, "shop");
  EXPECT_EQ(state<Service>("shop"), "True");
}

TEST_F(ServingReconcilers, labels_and_annotations_go_to_the_children_and_away_from_them) {
  Service shop = serving::service("shop", "fn:one");
  shop.metadata.labels["networking.knative.dev/visibility"] = "cluster-local";
  shop.metadata.annotations["team"] = "sales";
  apply(shop);
  EXPECT_EQ(get<Service>("shop").status.url, "http://shop.default.svc.cluster.local");
  EXPECT_EQ(call("shop.default.localhost"), "404");
  EXPECT_EQ(get<Configuration>("shop").metadata.annotations.at("team"), "sales");
  shop.metadata.labels.clear();
  shop.metadata.annotations.clear();
  apply(shop);
  EXPECT_FALSE(get<Configuration>("shop").metadata.annotations.contains("team"));
  EXPECT_EQ(get<Service>("shop").status.url, "http://shop.default.localhost");
  EXPECT_EQ(call("shop.default.localhost"), "one");
  EXPECT_LT(writes_of_a_minute(), 10);
}

TEST_F(ServingReconcilers, a_service_says_when_the_name_of_its_revision_is_taken) {
  apply(configuration("shop-new", "fn:two"));  // has the Revision shop-new-00001
  Service shop = serving::service("shop", "fn:one");
  apply(shop);
  shop.spec.template_.metadata.name = "shop-new-00001";
  apply(shop);
  EXPECT_EQ(state<Service>("shop", "RoutesReady"), "False RevisionNameTaken");
  EXPECT_EQ(state<Service>("shop", "ConfigurationsReady"), "False RevisionFailed");
  EXPECT_EQ(call("shop"), "one") << "traffic stays where it was";
  shop.spec.template_.metadata.name = "shop-v2";
  shop.spec.template_.spec.containers[0].image = "fn:two";
  apply(shop);
  EXPECT_EQ(state<Service>("shop"), "True");
  EXPECT_EQ(call("shop"), "two");
}

// ---------------------------------------------------------------------------- Configuration

TEST_F(ServingReconcilers, a_configuration_whose_revision_name_is_taken_fails_until_it_is_free) {
  apply(configuration("shop-new", "fn:two"));
  apply(configuration("shop"));
  EXPECT_EQ(state<Configuration>("shop"), "True");
  apply(configuration("shop", "fn:one", "shop-new-00001"));
  EXPECT_EQ(state<Configuration>("shop"), "False RevisionFailed");
  EXPECT_NE(message<Configuration>("shop").find("\"shop-new-00001\" already exists"),
            std::string::npos);
  EXPECT_EQ(get<Configuration>("shop").status.latest_ready_revision_name, "shop-00001");
  remove<Configuration>("shop-new");
  EXPECT_EQ(state<Configuration>("shop"), "True");
  EXPECT_EQ(get<Configuration>("shop").status.latest_ready_revision_name, "shop-new-00001");
}

TEST_F(ServingReconcilers, a_revision_name_may_not_stay_when_the_template_changes) {
  apply(configuration("shop", "fn:one", "shop-v1"));
  EXPECT_EQ(state<Configuration>("shop"), "True");
  const Result<ObjectRef> refused = platform_->apply(configuration("shop", "fn:two", "shop-v1"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::invalid_argument);
}

TEST_F(ServingReconcilers, a_template_that_names_an_older_revision_goes_back_to_it) {
  apply(configuration("shop", "fn:one", "shop-a"));
  apply(configuration("shop", "fn:two", "shop-b"));
  EXPECT_EQ(get<Configuration>("shop").status.latest_ready_revision_name, "shop-b");
  apply(configuration("shop", "fn:one", "shop-a"));
  EXPECT_EQ(get<Configuration>("shop").status.latest_created_revision_name, "shop-a");
  EXPECT_EQ(get<Configuration>("shop").status.latest_ready_revision_name, "shop-a");
}

// ---------------------------------------------------------------------------- Route

TEST_F(ServingReconcilers, a_route_hears_when_its_configuration_comes_at_last) {
  apply(serving::route("shop", "shop"));
  EXPECT_EQ(state<Route>("shop", "AllTrafficAssigned"), "False ConfigurationMissing");
  EXPECT_EQ(call("shop"), "404");
  apply(configuration("shop", "fn:absent"));
  EXPECT_EQ(state<Route>("shop", "AllTrafficAssigned"), "False RevisionMissing");
  apply(configuration("shop"));
  EXPECT_EQ(state<Route>("shop"), "True");
  EXPECT_EQ(call("shop"), "one");
}

TEST_F(ServingReconcilers, a_route_hears_when_its_revision_comes_at_last) {
  apply(route("shop", revision("shop-v1")));
  EXPECT_EQ(state<Route>("shop", "AllTrafficAssigned"), "False RevisionMissing");
  EXPECT_NE(message<Route>("shop").find("\"shop-v1\""), std::string::npos);
  apply(configuration("shop", "fn:one", "shop-v1"));
  EXPECT_EQ(state<Route>("shop"), "True");
  EXPECT_EQ(call("shop"), "one");
}

TEST_F(ServingReconcilers, a_latest_revision_that_was_deleted_and_made_again_is_routed_as_before) {
  apply(serving::service("shop", "fn:one"));
  const std::string before = get<Revision>("shop-00001").metadata.uid;
  remove<Revision>("shop-00001");
  EXPECT_NE(get<Revision>("shop-00001").metadata.uid, before);
  EXPECT_EQ(state<Service>("shop"), "True");
  EXPECT_EQ(routes_of("shop-00001"), "active:shop");
  EXPECT_EQ(call("shop"), "one");
}

TEST_F(ServingReconcilers, a_route_to_a_revision_that_failed_keeps_the_traffic_of_before) {
  apply(configuration("good", "fn:one", "good-v1"));
  apply(configuration("bad", "fn:absent", "bad-v1"));
  apply(route("shop", revision("good-v1")));
  apply(route("shop", revision("bad-v1")));
  EXPECT_EQ(state<Route>("shop", "AllTrafficAssigned"), "False RevisionMissing");
  EXPECT_EQ(get<Route>("shop").status.traffic.at(0).revision_name, "good-v1");
  EXPECT_EQ(call("shop"), "one");
}

TEST_F(ServingReconcilers, a_host_belongs_to_the_first_route_until_it_gives_it_up) {
  apply(serving::service("shop", "fn:one"));
  apply(tagged("shop", "fn:one", "canary"));
  apply(serving::service("canary-shop", "fn:two"));
  EXPECT_EQ(state<Route>("canary-shop", "IngressReady"), "False HostConflict");
  EXPECT_NE(message<Service>("canary-shop").find("default/shop"), std::string::npos)
      << message<Service>("canary-shop");
  EXPECT_EQ(call("canary-shop"), "one");
  apply(serving::service("shop", "fn:one"));
  EXPECT_EQ(state<Service>("canary-shop"), "True");
  EXPECT_EQ(call("canary-shop"), "two");
}

TEST_F(ServingReconcilers, a_tag_whose_host_is_taken_gets_it_when_the_other_route_goes) {
  apply(serving::service("canary-shop", "fn:two"));
  apply(tagged("shop", "fn:one", "canary"));
  EXPECT_EQ(state<Route>("shop", "IngressReady"), "False HostConflict");
  EXPECT_EQ(call("canary-shop"), "two");
  remove<Service>("canary-shop");
  EXPECT_EQ(state<Service>("shop"), "True");
  EXPECT_EQ(call("canary-shop"), "one");
}

TEST_F(ServingReconcilers, two_tags_of_one_name_are_refused) {
  Service shop = serving::service("shop", "fn:one");
  shop.spec.traffic = {{.latest_revision = true, .percent = 50, .tag = "a"},
                       {.latest_revision = true, .percent = 50, .tag = "a"}};
  const Result<ObjectRef> refused = platform_->apply(shop);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().detail.find("Multiple definitions"), std::string::npos)
      << refused.error().detail;
}

TEST_F(ServingReconcilers, the_route_of_a_service_may_not_name_revisions_of_others) {
  apply(configuration("other", "fn:two", "other-v1"));
  Service shop = serving::service("shop", "fn:one");
  shop.spec.traffic = {revision("other-v1")};
  apply(shop);
  EXPECT_EQ(state<Route>("shop", "AllTrafficAssigned"), "False RevisionNotOwned");
  EXPECT_EQ(call("shop"), "404");
}

TEST_F(ServingReconcilers, a_revision_names_every_route_that_uses_it_and_nobody_writes_in_circles) {
  apply(configuration("shop", "fn:one", "shop-v1"));
  EXPECT_EQ(routes_of("shop-v1"), "pending:");
  apply(route("b", revision("shop-v1")));
  apply(route("a", revision("shop-v1")));
  EXPECT_EQ(routes_of("shop-v1"), "active:a,b");
  EXPECT_LT(writes_of_a_minute(), 10);
  remove<Route>("b");
  EXPECT_EQ(routes_of("shop-v1"), "active:a");
  apply(configuration("shop", "fn:two", "shop-v2"));
  apply(route("a", revision("shop-v2")));
  EXPECT_EQ(routes_of("shop-v1"), "reserve:");
  EXPECT_EQ(routes_of("shop-v2"), "active:a");
}

}  // namespace
}  // namespace knative
