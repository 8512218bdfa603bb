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
  /// A platform whose warnings are kept, without what they are about.
  void begin_with_warnings() {
    PlatformOptions options;
    options.on_warning = [this](std::string_view, std::string_view text) {
      warnings_.emplace_back(text);
    };
    begin(std::move(options));
  }
  std::vector<std::string> warnings_;
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

TEST_F(ApplyPath, the_problems_of_all_files_are_told_at_once_and_nothing_is_applied) {
  write("/m/a.yaml", broker("a"));
  write("/m/b.yaml", broker("b") + "spec: {deliver: {}}\n");
  write("/m/c.yaml", "apiVersion: serving.knative.dev/v1alpha1\nkind: Service\n");
  write("/m/d.yaml", "apiVersion: apps/v1\nkind: Deployment\n");
  const std::string problems = names("/m").at(0);
  EXPECT_NE(problems.find("/m/b.yaml:4:8: unknown field: spec.deliver"), std::string::npos)
      << problems;
  EXPECT_NE(problems.find("/m/c.yaml:2:1: no kind \"Service\" in version "
                          "\"serving.knative.dev/v1alpha1\": kind; group serving.knative.dev has "
                          "kind Service in serving.knative.dev/v1"),
            std::string::npos)
      << problems;
  EXPECT_NE(problems.find("/m/d.yaml:2:1: no kind \"Deployment\""), std::string::npos) << problems;
  EXPECT_EQ(brokers(), 0u);
}

TEST_F(ApplyPath, unknown_kinds_are_left_out_with_a_warning_when_that_is_wanted) {
  begin_with_warnings();
  write("/m/a.yaml", broker("a"));
  write("/m/deep/d.yaml", "apiVersion: apps/v1\nkind: Deployment\n");
  const std::vector<manifest::Source> sources = platform_->read_manifests("/m", true).value();
  ASSERT_EQ(sources.size(), 2u) << "read with what is in its directories";
  ApplyOptions skip;
  skip.skip_unknown_kinds = true;
  EXPECT_EQ(platform_->apply_texts(sources, skip).value().size(), 1u);
  ASSERT_EQ(warnings_.size(), 1u);
  EXPECT_EQ(warnings_[0],
            "/m/deep/d.yaml:1:1: left out: no kind \"Deployment\" in version \"apps/v1\"");
}

TEST_F(ApplyPath, the_same_object_given_twice_is_warned_about_with_both_places) {
  begin_with_warnings();
  write("/m/a.yaml", broker("a") + "---\n" + broker("b") + "---\n" + broker("a"));
  write("/m/b.yaml", broker("c") + "---\n" + broker("b"));
  write("/m/c.yaml",
        "apiVersion: eventing.knative.dev/v1\nkind: Broker\n"
        "metadata: {name: c, namespace: default}\n");
  EXPECT_EQ(names("/m"), (Names{"a", "b", "a", "c", "b", "c"})) << "all are applied, in turn";
  EXPECT_EQ(warnings_,
            (Names{"/m/a.yaml:9:1: Broker \"a\" is given twice: what document 1, line 1 says is "
                   "replaced by document 3, line 9",
                   "/m/b.yaml: Broker.eventing.knative.dev default/b is also in /m/a.yaml: what "
                   "that says is replaced",
                   "/m/c.yaml: Broker.eventing.knative.dev default/c is also in /m/b.yaml: what "
                   "that says is replaced"}));
}

TEST_F(ApplyPath, a_version_of_an_object_that_is_not_there_is_named_as_the_precondition) {
  write("/m/a.yaml",
        "apiVersion: eventing.knative.dev/v1\nkind: Broker\n"
        "metadata: {name: a, resourceVersion: '7'}\n");
  const Result<std::vector<ObjectRef>> refs = platform_->apply_path("/m/a.yaml");
  ASSERT_FALSE(refs);
  EXPECT_EQ(refs.error().code, Errc::conflict);
  EXPECT_NE(refs.error().detail.find("metadata.resourceVersion is \"7\""), std::string::npos)
      << refs.error().detail;
}

TEST_F(ApplyPath, warnings_about_what_was_applied_are_said_when_a_later_object_fails) {
  begin_with_warnings();
  write("/m/a.yaml", broker("a") + "---\n" + broker("a") +
                         "---\napiVersion: eventing.knative.dev/v1\nkind: Broker\n"
                         "metadata: {name: b, resourceVersion: '7'}\n");
  EXPECT_FALSE(platform_->apply_path("/m/a.yaml"));
  EXPECT_EQ(warnings_,
            Names{"/m/a.yaml:5:1: Broker \"a\" is given twice: what document 1, line 1 says is "
                  "replaced by document 2, line 5"});
}

TEST_F(ApplyPath, what_has_no_effect_is_told_to_the_caller_and_stands_in_the_status) {
  std::vector<std::string> warnings;
  PlatformOptions options;
  options.on_warning = [&](std::string_view where, std::string_view text) {
    warnings.push_back(std::string(where) + ": " + std::string(text));
  };
  begin(std::move(options));
  serving::Service hello = serving::service("hello", "fn:hello");
  hello.metadata.annotations["serving.knative.dev/rollout-duration"] = "60s";
  ASSERT_TRUE(platform_->apply(hello));
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_EQ(warnings[0],
            "Service.serving.knative.dev default/hello: has no effect: "
            "metadata.annotations[serving.knative.dev/rollout-duration]; traffic moves to a new "
            "Revision at once");
  simulation_.run_for(5s);
  const Condition warned = condition<serving::Service>("hello", "Warnings");
  EXPECT_EQ(warned.status, "True");
  EXPECT_EQ(warned.severity, "Warning");
  EXPECT_EQ(warned.reason, "NoEffect");
  EXPECT_NE(warned.message.find("traffic moves to a new Revision at once"), std::string::npos);
  hello.metadata.annotations.clear();
  ASSERT_TRUE(platform_->apply(hello));
  simulation_.run_for(5s);
  EXPECT_EQ(condition<serving::Service>("hello", "Warnings").type, "") << "it went with its cause";
  EXPECT_EQ(warnings.size(), 1u);
}

TEST_F(ApplyPath, config_autoscaler_acts_while_the_platform_runs_and_is_checked) {
  core::ConfigMap config;
  config.metadata = {.name = "config-autoscaler", .namespace_ = "knative-serving"};
  config.data["allow-zero-initial-scale"] = "maybe";
  const Result<ObjectRef> refused = platform_->apply(config);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().detail.find("allow-zero-initial-scale"), std::string::npos)
      << refused.error().detail;
  serving::Service zero = serving::service("zero", "fn:hello");
  zero.spec.template_.metadata.annotations["autoscaling.knative.dev/initial-scale"] = "0";
  EXPECT_FALSE(platform_->apply(zero));
  config.data["allow-zero-initial-scale"] = "true";
  apply(config);
  EXPECT_TRUE(platform_->apply(zero));
  ASSERT_TRUE(
      platform_->remove(platform_->ref<core::ConfigMap>("config-autoscaler", "knative-serving")));
  simulation_.run_for(5s);
  EXPECT_FALSE(platform_->apply(zero)) << "what the host said holds again";
}

TEST_F(ApplyPath, what_config_autoscaler_says_reaches_revisions_that_run) {
  functions_.http("hello", [](http::Request&) { return http::text("hello"); });
  apply(serving::service("plain", "fn:hello"));
  serving::Service own = serving::service("own", "fn:hello");
  own.spec.template_.metadata.annotations["autoscaling.knative.dev/min-scale"] = "1";
  apply(own);
  simulation_.run_for(5min);
  ASSERT_EQ(platform_->scale("plain"), 0);
  ASSERT_EQ(platform_->scale("own"), 1);
  core::ConfigMap config;
  config.metadata = {.name = "config-autoscaler", .namespace_ = "knative-serving"};
  config.data["min-scale"] = "2";
  apply(config);
  simulation_.run_for(10s);
  EXPECT_EQ(platform_->scale("plain"), 2);
  EXPECT_EQ(platform_->scale("own"), 1) << "it says so itself";
  ASSERT_TRUE(
      platform_->remove(platform_->ref<core::ConfigMap>("config-autoscaler", "knative-serving")));
  simulation_.run_for(5min);
  EXPECT_EQ(platform_->scale("plain"), 0);
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
