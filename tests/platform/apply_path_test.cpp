// Objects by file and directory, in other namespaces, and by functions of the host program.
#include "knative/core.hpp"
#include "platform/platform_fixture.hpp"

namespace knative {
namespace {

using namespace testing_platform;

class ApplyPath : public PlatformFixture {
 protected:
  void write(const std::string& path, const std::string& text) {
    Files& files = simulation_.env().files;
    ASSERT_TRUE(files.make_directories(path.substr(0, path.rfind('/'))));
    ASSERT_TRUE(files.write_file(path, text));
  }
  static std::string broker(const std::string& name) {
    return "apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: " + name + "}\n";
  }
  /// The names of what was applied, or what is wrong.
  std::vector<std::string> names(const std::string& path) {
    const Result<std::vector<ObjectRef>> refs = platform_->apply_path(path);
    if (!refs) return {refs.error().to_string()};
    std::vector<std::string> found;
    for (const ObjectRef& ref : *refs) found.push_back(ref.name);
    return found;
  }
  Errc refusal(const std::string& path) {
    const Result<std::vector<ObjectRef>> refs = platform_->apply_path(path);
    return refs ? Errc::internal : refs.error().code;
  }
  std::size_t brokers() { return platform_->list<eventing::Broker>().value().size(); }
};

using Names = std::vector<std::string>;

TEST_F(ApplyPath, a_file_is_applied_whatever_its_name_and_every_document_of_it) {
  write("/m/shop.txt", broker("a") + "---\n" + broker("b"));
  EXPECT_EQ(names("/m/shop.txt"), (Names{"a", "b"}));
  EXPECT_EQ(brokers(), 2u);
}

TEST_F(ApplyPath, the_manifests_of_a_directory_are_applied_sorted_by_name) {
  write("/m/20-b.yml", broker("b"));
  write("/m/10-a.yaml", broker("a"));
  write("/m/30-c.json",
        R"({"apiVersion":"eventing.knative.dev/v1","kind":"Broker","metadata":{"name":"c"}})");
  write("/m/README.md", "no manifest");
  write("/m/nested.yaml/deep.yaml", broker("deep"));
  EXPECT_EQ(names("/m"), (Names{"a", "b", "c"}));
  EXPECT_EQ(brokers(), 3u);
}

TEST_F(ApplyPath, a_directory_without_manifests_and_a_path_without_anything_are_not_found) {
  write("/m/README.md", "no manifest");
  EXPECT_EQ(refusal("/m"), Errc::not_found);
  EXPECT_EQ(refusal("/absent.yaml"), Errc::not_found);
  EXPECT_NE(names("/absent.yaml").at(0).find("/absent.yaml"), std::string::npos);
}

TEST_F(ApplyPath, a_file_that_does_not_parse_is_named_with_the_place) {
  write("/m/bad.yaml", broker("a") + "---\n" + broker("b") + "spec: {deliver: {}}\n");
  EXPECT_EQ(refusal("/m/bad.yaml"), Errc::invalid_argument);
  EXPECT_NE(names("/m/bad.yaml").at(0).find("/m/bad.yaml:8:8:"), std::string::npos)
      << names("/m/bad.yaml").at(0);
  EXPECT_EQ(brokers(), 0u);
}

TEST_F(ApplyPath, a_manifest_may_do_what_the_configuration_of_the_platform_allows) {
  const std::string zero =
      "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: hello}\nspec:\n"
      "  template:\n    metadata:\n      annotations:\n"
      "        autoscaling.knative.dev/initial-scale: \"0\"\n"
      "    spec:\n      containers: [{image: \"fn:hello\"}]\n";
  write("/m/zero.yaml", zero);
  write("/m/bad.yaml", zero + "      containerConcurrency: -1\n");
  EXPECT_EQ(refusal("/m/zero.yaml"), Errc::invalid_argument);
  PlatformOptions options;
  options.autoscaler.allow_zero_initial_scale = true;
  begin(std::move(options));
  EXPECT_EQ(names("/m/zero.yaml"), Names{"hello"});
  EXPECT_EQ(refusal("/m/bad.yaml"), Errc::invalid_argument);
  EXPECT_NE(names("/m/bad.yaml").at(0).find("containerConcurrency"), std::string::npos);
}

class PlatformObjects : public PlatformFixture {
 protected:
  PlatformObjects() {
    functions_.http("hello", [](http::Request&) { return http::text("hello"); });
  }
};

TEST_F(PlatformObjects, an_object_in_another_namespace_is_found_there_and_only_there) {
  serving::Service hello = serving::service("hello", "fn:hello");
  hello.metadata.namespace_ = "shop";
  const ObjectRef ref = platform_->apply(hello).value();
  EXPECT_EQ(ref, platform_->ref<serving::Service>("hello", "shop"));
  ASSERT_TRUE(simulation_.run(platform_->ready(ref)));
  EXPECT_EQ(call("hello.shop"), "hello");
  EXPECT_EQ(call("hello"), "404");
  EXPECT_EQ(platform_->scale("hello.shop"), 1);
  EXPECT_EQ(platform_->scale("hello"), 0);
  EXPECT_EQ(platform_->url(ref), "http://hello.shop.localhost");
  EXPECT_EQ(platform_->list<serving::Service>("shop").value().size(), 1u);
  EXPECT_EQ(platform_->list<serving::Service>("default").value().size(), 0u);
  EXPECT_FALSE(platform_->get<serving::Service>("hello"));
}

TEST_F(PlatformObjects, an_object_without_conditions_is_ready_and_has_no_url) {
  core::ConfigMap settings;
  settings.metadata.name = "settings";
  const ObjectRef ref = platform_->apply(settings).value();
  EXPECT_TRUE(simulation_.run(platform_->ready(ref, 0s)));
  EXPECT_EQ(platform_->url(ref), "");
  ASSERT_TRUE(platform_->remove(ref));
  EXPECT_EQ(simulation_.run(platform_->ready(ref, 1s)).error().code, Errc::not_found);
  EXPECT_EQ(platform_->remove(ref).error().code, Errc::not_found);
}

TEST_F(PlatformObjects, who_waits_for_an_object_hears_that_it_was_deleted) {
  eventing::Trigger trigger = eventing::trigger("waits", "absent", "http://nowhere.example.com/");
  const ObjectRef ref = platform_->apply(trigger).value();
  auto remove_later = [](Platform& platform, ObjectRef which) -> Task<void> {
    co_await platform.env().timers.sleep_for(500ms);
    EXPECT_TRUE(platform.remove(which));
  };
  TaskSet tasks(simulation_.env().executor);
  tasks.add(remove_later(*platform_, ref));
  EXPECT_EQ(simulation_.run(platform_->ready(ref)).error().code, Errc::not_found);
}

TEST_F(PlatformObjects, two_subscriptions_to_one_broker_both_hear_until_they_are_cancelled) {
  apply(eventing::broker("default"));
  int heard[2] = {0, 0};
  const auto subscribe = [&](int which) {
    return platform_
        ->subscribe("default", Filter(),
                    [&heard, which](const CloudEvent&) -> Task<Reply> {
                      ++heard[which];
                      co_return Reply();
                    })
        .value();
  };
  EventSubscription first = subscribe(0);
  EventSubscription second = subscribe(1);
  EXPECT_NE(first.trigger(), second.trigger());
  publish("default");
  EXPECT_EQ(heard[0], 1);
  EXPECT_EQ(heard[1], 1);
  first.cancel();
  first.cancel();
  publish("default");
  EXPECT_EQ(heard[0], 1);
  EXPECT_EQ(heard[1], 2);
  EXPECT_EQ(platform_->list<eventing::Trigger>().value().size(), 1u);
  second = EventSubscription();
  publish("default/default");
  EXPECT_EQ(heard[1], 2);
  EXPECT_TRUE(platform_->list<eventing::Trigger>().value().empty());
}

TEST_F(PlatformObjects, a_subscription_to_a_broker_of_another_namespace_may_stay_for_good) {
  eventing::Broker orders = eventing::broker("orders");
  orders.metadata.namespace_ = "shop";
  apply(orders);
  int heard = 0;
  platform_
      ->subscribe("shop/orders", Filter(),
                  [&heard](const CloudEvent&) -> Task<Reply> {
                    ++heard;
                    co_return Reply();
                  })
      .value()
      .detach();
  publish("shop/orders");
  EXPECT_EQ(heard, 1);
}

}  // namespace
}  // namespace knative
