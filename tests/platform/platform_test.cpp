#include "knative/platform.hpp"

#include <gtest/gtest.h>

#include "knative/simulation.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;

// A platform in virtual time with a few functions.
class PlatformInSimulation : public ::testing::Test {
 protected:
  PlatformInSimulation() : simulation_(7) {
    functions_.http("hello", [](http::Request& request) {
      return http::text("hello " + request.query("name", "world"));
    });
    functions_.http("one", [](http::Request&) { return http::text("one"); });
    functions_.http("two", [](http::Request&) { return http::text("two"); });
    functions_.http("throws", [](http::Request&) -> http::Response {
      throw std::runtime_error("no luck today");
    });
    PlatformOptions options;
    options.listen.reset();
    platform_ = std::make_unique<Platform>(simulation_.env(), functions_, options);
  }

  Result<void> ready(const ObjectRef& ref, Duration timeout = 60s) {
    return simulation_.run(platform_->ready(ref, timeout));
  }
  void deploy(const serving::Service& service) {
    const Result<ObjectRef> ref = platform_->apply(service);
    ASSERT_TRUE(ref) << ref.error().to_string();
    const Result<void> outcome = ready(*ref);
    ASSERT_TRUE(outcome) << outcome.error().to_string();
  }
  http::Response call(const std::string& service, const std::string& target = "/") {
    http::Request request = http::get(target);
    return simulation_.run(platform_->invoke(service, request)).value();
  }

  Simulation simulation_;
  FunctionTable functions_;
  std::unique_ptr<Platform> platform_;
};

TEST_F(PlatformInSimulation, a_service_makes_configuration_route_and_revision_and_answers) {
  deploy(serving::service("hello", "fn:hello"));
  const http::Response response = call("hello", "/?name=ada");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body.bytes(), "hello ada");
  EXPECT_TRUE(platform_->get<serving::Configuration>("hello"));
  EXPECT_TRUE(platform_->get<serving::Route>("hello"));
  const serving::Revision revision = platform_->get<serving::Revision>("hello-00001").value();
  EXPECT_EQ(revision.metadata.labels.at("serving.knative.dev/service"), "hello");
  EXPECT_EQ(platform_->url(platform_->ref<serving::Service>("hello")),
            "http://hello.default.localhost");
}

TEST_F(PlatformInSimulation, an_unknown_service_is_404_and_the_message_names_the_host) {
  deploy(serving::service("hello", "fn:hello"));
  const http::Response response = call("absent");
  EXPECT_EQ(response.status, 404);
  EXPECT_NE(response.body.bytes().find("absent"), std::string::npos);
}

TEST_F(PlatformInSimulation, a_function_that_throws_is_500_and_others_go_on) {
  deploy(serving::service("bad", "fn:throws"));
  deploy(serving::service("hello", "fn:hello"));
  EXPECT_EQ(call("bad").status, 500);
  EXPECT_EQ(call("hello").status, 200);
}

TEST_F(PlatformInSimulation, a_missing_function_fails_the_service_with_its_name) {
  const ObjectRef ref = platform_->apply(serving::service("gone", "fn:gone")).value();
  const Result<void> outcome = ready(ref);
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, Errc::failed_precondition);
  EXPECT_NE(outcome.error().detail.find("gone"), std::string::npos) << outcome.error().detail;
}

TEST_F(PlatformInSimulation, a_failing_service_does_not_keep_the_store_busy) {
  const ObjectRef ref = platform_->apply(serving::service("gone", "fn:gone")).value();
  EXPECT_FALSE(ready(ref));
  simulation_.run_for(1min);
  // Each restart with its back-off may write; nothing may write in a circle.
  EXPECT_LT(std::stoll(platform_->store().resource_version()), 500);
}

TEST_F(PlatformInSimulation, an_image_that_is_no_image_fails_the_service) {
  const ObjectRef ref = platform_->apply(serving::service("app", "local/nothing:v1")).value();
  const Result<void> outcome = ready(ref);
  ASSERT_FALSE(outcome);
  EXPECT_NE(outcome.error().detail.find("local/nothing"), std::string::npos)
      << outcome.error().detail;
}

TEST_F(PlatformInSimulation, traffic_is_split_exactly_and_tags_have_hosts) {
  serving::Service shop = serving::service("shop", "fn:one");
  deploy(shop);
  shop.spec.template_.spec.containers[0].image = "fn:two";
  shop.spec.traffic = {{.revision_name = "shop-00001", .percent = 90},
                       {.latest_revision = true, .percent = 10, .tag = "canary"}};
  deploy(shop);
  int two = 0;
  for (int i = 0; i < 1000; ++i) two += call("shop").body.bytes() == "two" ? 1 : 0;
  EXPECT_EQ(two, 100);
  EXPECT_EQ(call("canary-shop").body.bytes(), "two");
}

TEST_F(PlatformInSimulation, a_failing_new_revision_leaves_traffic_on_the_old_one) {
  serving::Service shop = serving::service("shop", "fn:one");
  deploy(shop);
  shop.spec.template_.spec.containers[0].image = "fn:absent";
  const ObjectRef ref = platform_->apply(shop).value();
  EXPECT_FALSE(ready(ref));
  EXPECT_EQ(call("shop").body.bytes(), "one");
}

TEST_F(PlatformInSimulation, an_idle_service_falls_to_zero_and_a_request_wakes_it) {
  deploy(serving::service("hello", "fn:hello"));
  EXPECT_EQ(platform_->scale("hello"), 1);
  simulation_.run_for(5min);
  EXPECT_EQ(platform_->scale("hello"), 0);
  EXPECT_EQ(call("hello").status, 200);
  EXPECT_EQ(platform_->scale("hello"), 1);
}

TEST_F(PlatformInSimulation, min_scale_keeps_instances) {
  serving::Service service = serving::service("hello", "fn:hello");
  service.spec.template_.metadata.annotations["autoscaling.knative.dev/min-scale"] = "2";
  deploy(service);
  simulation_.run_for(5min);
  EXPECT_EQ(platform_->scale("hello"), 2);
}

TEST_F(PlatformInSimulation, deleting_a_service_deletes_what_it_made_and_ends_its_route) {
  deploy(serving::service("hello", "fn:hello"));
  ASSERT_TRUE(platform_->remove(platform_->ref<serving::Service>("hello")));
  simulation_.run_for(1s);
  EXPECT_FALSE(platform_->get<serving::Revision>("hello-00001"));
  EXPECT_EQ(call("hello").status, 404);
}

TEST_F(PlatformInSimulation, an_event_passes_the_filter_and_the_reply_comes_back) {
  ASSERT_TRUE(platform_->apply(eventing::broker("default")));
  std::vector<std::string> seen;
  const Filter created = Filter::exact("type", "order.created").value();
  const Filter accepted = Filter::exact("type", "order.accepted").value();
  EventSubscription first =
      platform_
          ->subscribe("default", created,
                      [&seen](const CloudEvent& event) -> Task<Reply> {
                        seen.push_back(event.type() + " " + event.id());
                        co_return CloudEvent("order.accepted", "/shop", event.data());
                      })
          .value();
  EventSubscription second = platform_
                                 ->subscribe("default", accepted,
                                             [&seen](const CloudEvent& event) -> Task<Reply> {
                                               seen.push_back(event.type());
                                               co_return Reply();
                                             })
                                 .value();
  CloudEvent order("order.created", "/web", Value({{"id", 7}}));
  order.set_id("7");
  CloudEvent other("order.cancelled", "/web", Value({{"id", 8}}));
  ASSERT_TRUE(simulation_.run(platform_->publish("default", order)));
  ASSERT_TRUE(simulation_.run(platform_->publish("default", other)));
  simulation_.run_for(1s);
  EXPECT_EQ(seen, (std::vector<std::string>{"order.created 7", "order.accepted"}));
}

TEST_F(PlatformInSimulation, a_trigger_delivers_to_a_service_that_sleeps) {
  int calls = 0;
  functions_.http("sink", [&calls](http::Request& request) {
    ++calls;
    EXPECT_EQ(request.headers.get("ce-type").value_or(""), "ping");
    return http::Response{.status = 202};
  });
  serving::Service sink = serving::service("sink", "fn:sink");
  deploy(sink);
  simulation_.run_for(5min);
  ASSERT_EQ(platform_->scale("sink"), 0);
  ASSERT_TRUE(platform_->apply(eventing::broker("default")));
  eventing::Trigger trigger = eventing::trigger("to-sink", "default", "");
  trigger.spec.subscriber.uri.clear();
  trigger.spec.subscriber.ref = eventing::KReference{
      .api_version = "serving.knative.dev/v1", .kind = "Service", .name = "sink"};
  const ObjectRef ref = platform_->apply(trigger).value();
  const Result<void> bound = ready(ref);
  ASSERT_TRUE(bound) << bound.error().to_string();
  const CloudEvent ping("ping", "/test");
  ASSERT_TRUE(simulation_.run(platform_->publish("default", ping)));
  simulation_.run_for(10s);
  EXPECT_EQ(calls, 1);
}

TEST_F(PlatformInSimulation, a_trigger_made_again_under_its_name_delivers_once) {
  int calls = 0;
  functions_.http("sink", [&calls](http::Request&) {
    ++calls;
    return http::Response{.status = 202};
  });
  deploy(serving::service("sink", "fn:sink"));
  ASSERT_TRUE(platform_->apply(eventing::broker("default")));
  const eventing::Trigger trigger =
      eventing::trigger("to-sink", "default", "http://sink.default.svc.cluster.local");
  const ObjectRef ref = platform_->apply(trigger).value();
  ASSERT_TRUE(ready(ref));
  // Both before any controller runs: it sees only the new one.
  ASSERT_TRUE(platform_->remove(ref));
  ASSERT_TRUE(platform_->apply(trigger));
  ASSERT_TRUE(ready(ref));
  const CloudEvent ping("ping", "/test");
  ASSERT_TRUE(simulation_.run(platform_->publish("default", ping)));
  simulation_.run_for(5s);
  EXPECT_EQ(calls, 1);
}

TEST_F(PlatformInSimulation, a_channel_delivers_to_its_subscription) {
  int calls = 0;
  functions_.http("sink", [&calls](http::Request&) {
    ++calls;
    return http::Response{.status = 202};
  });
  deploy(serving::service("sink", "fn:sink"));
  ASSERT_TRUE(platform_->apply(eventing::channel("orders")));
  const Result<ObjectRef> ref = platform_->apply(
      eventing::subscription("to-sink", "orders", "http://sink.default.svc.cluster.local"));
  ASSERT_TRUE(ref) << ref.error().to_string();
  const Result<void> bound = ready(*ref);
  ASSERT_TRUE(bound) << bound.error().to_string();
  const CloudEvent ping("ping", "/test");
  ASSERT_TRUE(simulation_.run(platform_->publish("orders", ping)));
  simulation_.run_for(5s);
  EXPECT_EQ(calls, 1);
}

TEST_F(PlatformInSimulation, publishing_to_an_unknown_broker_is_not_found) {
  const CloudEvent event("a", "/b");
  const Result<Offset> sent = simulation_.run(platform_->publish("nobody", event));
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code, Errc::not_found);
}

TEST(PlatformScale, a_missing_function_at_an_enormous_scale_fills_neither_log_nor_machine) {
  std::size_t lines = 0;
  SimulationOptions world;
  world.log_level = LogLevel::debug;
  world.log_sink = [&lines](const LogRecord&) { ++lines; };
  Simulation simulation(7, std::move(world));
  FunctionTable functions;
  PlatformOptions options;
  options.listen.reset();
  std::string warnings;
  options.on_warning = [&](std::string_view, std::string_view text) { warnings.append(text); };
  Platform platform(simulation.env(), functions, options);
  serving::Service many = serving::service("many", "fn:missing");
  many.spec.template_.metadata.annotations["autoscaling.knative.dev/min-scale"] = "999999999";
  ASSERT_TRUE(platform.apply(many));
  EXPECT_NE(warnings.find("is cut to 1000"), std::string::npos) << warnings;
  simulation.run_for(5min);
  EXPECT_GT(lines, 0U);
  EXPECT_LT(lines, 200U);
  EXPECT_EQ(platform.scale("many"), 0);
}

TEST(PlatformLoad, a_load_by_the_name_of_a_service_finds_the_platform_of_the_simulation) {
  Simulation simulation(42);
  FunctionTable functions;
  int calls = 0;
  functions.http("hello", [&calls](http::Request&) {
    ++calls;
    return http::text("hello");
  });
  Platform platform(simulation.env(), functions);
  platform.apply(serving::service("hello", "fn:hello")).value();
  const LoadRun run = simulation.load("hello", Load::poisson(20, 1min));
  const LoadRun nobody = simulation.load("nobody.shop", Load::constant(1, 10s));
  simulation.run_for(10min);
  EXPECT_TRUE(run.done());
  EXPECT_GT(run.report().started, 1000u);
  EXPECT_EQ(run.report().status(200), run.report().started) << run.report().to_string();
  EXPECT_EQ(static_cast<std::uint64_t>(calls), run.report().started);
  EXPECT_EQ(nobody.report().status(404), 10u) << nobody.report().to_string();
  EXPECT_EQ(platform.scale("hello"), 0);
}

TEST(PlatformStore, a_store_that_the_host_opens_gets_the_rules_of_the_platform) {
  Simulation simulation(3);
  FunctionTable functions;
  PlatformOptions options;
  options.listen.reset();
  options.default_namespace = "shop";
  options.autoscaler.allow_zero_initial_scale = true;
  options.open_store = [](Env& env, StoreOptions rules) -> Result<std::unique_ptr<Store>> {
    return memory_store(env.timers, env.random, std::move(rules));
  };
  Platform platform(simulation.env(), functions, options);
  serving::Service sleeper = serving::service("sleeper", "fn:sleeper");
  sleeper.spec.template_.metadata.annotations["autoscaling.knative.dev/initial-scale"] = "0";
  const Result<ObjectRef> ref = platform.apply(sleeper);
  ASSERT_TRUE(ref) << ref.error().to_string();
  EXPECT_EQ(ref->namespace_, "shop");
  sleeper.spec.template_.spec.containers.clear();
  const Result<ObjectRef> refused = platform.apply(sleeper);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::invalid_argument);
}

TEST(PlatformStore, a_broker_whose_log_cannot_be_opened_says_503_until_it_can) {
  Simulation simulation(5);
  FunctionTable functions;
  PlatformOptions options;
  options.listen.reset();
  options.data_directory = "/data";
  Files& files = simulation.env().files;
  Platform platform(simulation.env(), functions, options);
  const ObjectRef ref = platform.apply(eventing::broker("late")).value();
  const std::string log = "/data/events/" + platform.get(ref)->metadata().uid;
  ASSERT_TRUE(files.write_file(log, "in the way"));
  const auto post = [&](std::string_view path) {
    CloudEvent event("ping", "/test");
    event.set_id("1");
    http::Request request = to_http(event);
    request.target = path;
    request.headers.set("host", "127.0.0.1");
    auto call = [](http::Handler& handler, http::Request& what) -> Task<http::Response> {
      co_return co_await handler.handle(what);
    };
    return simulation.run(call(platform.ingress(), request));
  };
  EXPECT_FALSE(simulation.run(platform.ready(ref, 3s)));
  const http::Response refused = post("/default/late");
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.headers.get("retry-after"), "5");
  const CloudEvent ping("ping", "/test");
  EXPECT_EQ(simulation.run(platform.publish("late", ping)).error().code, Errc::unavailable);
  for (const std::string_view path : {"/default/never", "/late", "/", "//", "/a/b/c"}) {
    EXPECT_EQ(post(path).status, 404) << path;
  }
  ASSERT_TRUE(files.remove(log));
  const std::function<bool(const AnyObject&)> is_ready = [](const AnyObject& object) {
    return readiness(object).ready;
  };
  ASSERT_TRUE(simulation.run(platform.wait_for(ref, is_ready, 10min)));
  EXPECT_EQ(post("/default/late").status, 202);
}

TEST(PlatformStore, a_data_directory_that_it_makes_is_for_its_user_only) {
  Simulation simulation(6);
  FunctionTable functions;
  Files& files = simulation.env().files;
  ASSERT_TRUE(files.make_directories("/old"));
  const unsigned before = files.info("/old")->mode;
  for (const char* path : {"/new/data", "/old"}) {
    PlatformOptions options;
    options.listen.reset();
    options.data_directory = path;
    Platform platform(simulation.env(), functions, options);
    ASSERT_TRUE(platform.start());
  }
  EXPECT_EQ(files.info("/new/data")->mode & 0777, 0700U);
  EXPECT_EQ(files.info("/old")->mode, before);
}

TEST(PlatformStore, a_trigger_delivers_after_a_restart_in_which_no_object_changes) {
  Simulation simulation(4);
  FunctionTable functions;
  int calls = 0;
  functions.http("sink", [&calls](http::Request&) {
    ++calls;
    return http::Response{.status = 202};
  });
  PlatformOptions options;
  options.listen.reset();
  options.data_directory = "/data";
  {
    Platform platform(simulation.env(), functions, options);
    const ObjectRef sink = platform.apply(serving::service("sink", "fn:sink")).value();
    ASSERT_TRUE(simulation.run(platform.ready(sink)));
    ASSERT_TRUE(platform.apply(eventing::broker("default")));
    const ObjectRef ref =
        platform
            .apply(eventing::trigger("to-sink", "default", "http://sink.default.svc.cluster.local"))
            .value();
    ASSERT_TRUE(simulation.run(platform.ready(ref)));
    simulation.run(platform.stop());
  }
  Platform again(simulation.env(), functions, options);
  ASSERT_TRUE(again.start());
  simulation.run_for(1s);
  const CloudEvent ping("ping", "/test");
  ASSERT_TRUE(simulation.run(again.publish("default", ping)));
  simulation.run_for(5s);
  EXPECT_EQ(calls, 1);
}

struct BadManifest {
  const char* name;
  const char* text;
  const char* expected;
};

class PlatformManifest : public PlatformInSimulation,
                         public ::testing::WithParamInterface<BadManifest> {};

TEST_P(PlatformManifest, is_refused_with_the_place_and_nothing_is_applied) {
  const Result<std::vector<ObjectRef>> refs = platform_->apply_text(GetParam().text, "shop.yaml");
  ASSERT_FALSE(refs);
  EXPECT_EQ(refs.error().code, Errc::invalid_argument);
  EXPECT_NE(refs.error().detail.find(GetParam().expected), std::string::npos)
      << refs.error().detail;
  EXPECT_NE(refs.error().detail.find("shop.yaml:"), std::string::npos) << refs.error().detail;
  EXPECT_TRUE(platform_->list<serving::Service>().value().empty());
  deploy(serving::service("hello", "fn:hello"));
  EXPECT_EQ(call("hello").status, 200);
}

INSTANTIATE_TEST_SUITE_P(
    Bad, PlatformManifest,
    ::testing::Values(
        BadManifest{"wrong_type",
                    "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: shop}\n"
                    "spec:\n  template:\n    spec:\n      containerConcurrency: many\n"
                    "      containers: [{image: \"fn:one\"}]\n",
                    "containerConcurrency"},
        BadManifest{"unknown_field",
                    "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: shop}\n"
                    "spec:\n  template:\n    spec:\n      containers: [{imag: \"fn:one\"}]\n",
                    "imag"},
        BadManifest{"duplicate_key",
                    "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata:\n  name: shop\n"
                    "  name: shop2\n",
                    "name"},
        BadManifest{"percent_missing",
                    "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: shop}\n"
                    "spec:\n  template:\n    spec:\n      containers: [{image: \"fn:one\"}]\n"
                    "  traffic: [{latestRevision: true, percent: 90}]\n",
                    "traffic"}),
    [](const auto& param) { return param.param.name; });

TEST(PlatformReplay, the_same_seed_gives_the_same_history) {
  const auto history = [](std::uint64_t seed) {
    Simulation simulation(seed);
    FunctionTable functions;
    functions.http("one", [](http::Request&) { return http::text("one"); });
    PlatformOptions options;
    options.listen.reset();
    Platform platform(simulation.env(), functions, options);
    const ObjectRef ref = platform.apply(serving::service("one", "fn:one")).value();
    simulation.run(platform.ready(ref)).value();
    simulation.run_for(10min);
    return simulation.trace().hash();
  };
  const std::uint64_t first = history(11);
  EXPECT_EQ(history(11), first);
  EXPECT_EQ(history(11), first);
}

}  // namespace
}  // namespace knative
