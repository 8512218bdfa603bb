// The uid is the identity: nothing of an object that is gone answers, and nothing that is in use
// goes under a request.
#include "knative/core.hpp"
#include "knative/serving.hpp"
#include "platform/platform_fixture.hpp"
#include "platform/scenario_world.hpp"

namespace knative {
namespace {

using namespace testing_platform;
using serving::Revision;
using serving::Route;
using serving::Service;
using serving::TrafficTarget;

class ServingIdentity : public PlatformFixture {
 protected:
  ServingIdentity() {
    functions_.http("old", [](http::Request&) { return http::text("old"); });
    functions_.http("new", [](http::Request&) { return http::text("new"); });
    functions_.http("slow", [this](http::Request&) { return nap(simulation_.env().timers); });
  }
  ~ServingIdentity() override { platform_.reset(); }

  static Task<http::Response> nap(Timers& timers) {
    co_await timers.sleep_for(20s);
    co_return http::text("slow");
  }
  static Task<void> ask(Platform& platform, std::string& answer) {
    http::Request request = http::get("/");
    Task<Result<http::Response>> asked = platform.invoke("shop", request);
    const Result<http::Response> response = co_await std::move(asked);
    answer = response && response->ok() ? response->body.bytes()
                                        : std::to_string(response ? response->status : -1);
  }
  void remove_at_once(const std::string& name) {
    platform_->remove(platform_->ref<Service>(name)).value();
  }
};

TEST_F(ServingIdentity, a_service_that_is_made_again_in_one_turn_runs_its_new_function) {
  apply(serving::service("shop", "fn:old"));
  EXPECT_EQ(call("shop"), "old");
  const std::string uid = get<Revision>("shop-00001").metadata.uid;
  remove_at_once("shop");
  apply(serving::service("shop", "fn:new"));
  EXPECT_NE(get<Revision>("shop-00001").metadata.uid, uid);
  EXPECT_EQ(state<Service>("shop"), "True");
  EXPECT_EQ(call("shop"), "new");
}

/// Another one of the same name.
Service with_traffic_to_nothing() {
  Service made = serving::service("shop", "fn:new");
  TrafficTarget& missing = made.spec.traffic.emplace_back();
  missing.revision_name = "shop-missing";
  missing.percent = 100;
  return made;
}

TEST_F(ServingIdentity, a_service_that_is_made_again_with_traffic_to_nothing_is_not_routed) {
  apply(serving::service("shop", "fn:old"));
  const Service again = with_traffic_to_nothing();
  remove_at_once("shop");
  apply(again);
  EXPECT_EQ(state<Service>("shop", "RoutesReady"), "False RevisionMissing");
  EXPECT_EQ(call("shop"), "404");
}

// The Route of before may still be in the table when the new Revision of that name is there.
TEST_F(ServingIdentity, the_route_of_before_leads_to_nothing_of_the_same_name) {
  apply(serving::service("shop", "fn:old"));
  const Service again = with_traffic_to_nothing();
  remove_at_once("shop");
  platform_->apply(again).value();
  constexpr int asked = 60;
  std::vector<std::string> answers(asked);
  TaskSet tasks(simulation_.env().executor);
  for (std::string& answer : answers) {
    tasks.add(ask(*platform_, answer));
    simulation_.step();
  }
  simulation_.run_for(1min);
  EXPECT_EQ(state<Service>("shop", "ConfigurationsReady"), "True");
  for (const std::string& answer : answers) EXPECT_NE(answer, "new");
  EXPECT_EQ(answers.back(), "404");
}

TEST_F(ServingIdentity, generations_of_one_name_that_drain_share_nothing) {
  apply(serving::service("shop", "fn:slow"));
  TaskSet tasks(simulation_.env().executor);
  std::string first;
  tasks.add(ask(*platform_, first));
  simulation_.run_for(1s);
  remove_at_once("shop");
  apply(serving::service("shop", "fn:slow"));
  std::string second;
  tasks.add(ask(*platform_, second));
  simulation_.run_for(1s);
  remove_at_once("shop");
  simulation_.run_for(5s);
  EXPECT_EQ(call("shop"), "404");
  apply(serving::service("other", "fn:old"));  // Revisions come and go meanwhile
  simulation_.run_for(10s);
  EXPECT_EQ(first, "slow");
  remove<Service>("other");
  simulation_.run_for(20s);
  EXPECT_EQ(second, "slow");
  EXPECT_EQ(platform_->scale("shop"), 0);
}

TEST_F(ServingIdentity, a_service_that_was_removed_among_many_changes_is_not_routed) {
  apply(serving::service("shop", "fn:old"));
  remove_at_once("shop");
  for (int i = 0; i < 9000; ++i) {
    core::ConfigMap filler;
    filler.metadata.name = "filler-" + std::to_string(i);
    platform_->apply(filler).value();
  }
  simulation_.run_for(5s);
  EXPECT_EQ(call("shop"), "404");
  EXPECT_EQ(platform_->scale("shop"), 0);
}

TEST_F(ServingIdentity, a_tag_whose_host_no_resolver_takes_is_refused_by_name) {
  Service shop = serving::service(std::string(60, 's'), "fn:old");
  shop.spec.traffic = {{.latest_revision = true, .percent = 100, .tag = "current"}};
  const Result<ObjectRef> refused = platform_->apply(shop);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::invalid_argument);
  EXPECT_NE(refused.error().detail.find("spec.traffic[0].tag"), std::string::npos)
      << refused.error().detail;
  shop.spec.traffic[0].tag = "v1";
  EXPECT_TRUE(platform_->apply(shop));
}

// ---------------------------------------------------------------------------- over a restart

class ServingRestart : public PlatformFixture {
 protected:
  ServingRestart() {
    functions_.http("one", [this](http::Request&) {
      ++calls_;
      return http::text("one");
    });
    boot();
  }
  ~ServingRestart() override { platform_.reset(); }
  void boot() {
    PlatformOptions options;
    options.data_directory = "/data";
    begin(std::move(options));
    platform_->start().value();
  }
  void restart() {
    simulation_.run(platform_->stop(10s));
    boot();
    simulation_.run_for(5s);
  }
  int calls_ = 0;
};

TEST_F(ServingRestart, min_scale_is_kept) {
  Service shop = serving::service("shop", "fn:one");
  shop.spec.template_.metadata.annotations["autoscaling.knative.dev/min-scale"] = "2";
  apply(shop);
  EXPECT_EQ(platform_->scale("shop"), 2);
  restart();
  EXPECT_EQ(platform_->scale("shop"), 2);
  EXPECT_EQ(calls_, 0);
  simulation_.run_for(10min);
  EXPECT_EQ(platform_->scale("shop"), 2);
}

TEST_F(ServingRestart, a_revision_that_no_route_names_any_more_sleeps_in_spite_of_its_min_scale) {
  Service shop = serving::service("shop", "fn:one");
  shop.spec.template_.metadata.annotations["autoscaling.knative.dev/min-scale"] = "2";
  apply(shop);
  shop.spec.template_.metadata.annotations["autoscaling.knative.dev/min-scale"] = "1";
  apply(shop);
  simulation_.run_for(10min);
  restart();
  EXPECT_EQ(get<Revision>("shop-00001").status.actual_replicas, 0);
  EXPECT_EQ(platform_->scale("shop"), 1);
}

TEST_F(ServingRestart, without_min_scale_it_sleeps_until_somebody_asks) {
  apply(serving::service("shop", "fn:one"));
  restart();
  EXPECT_EQ(platform_->scale("shop"), 0);
  EXPECT_EQ(state<Service>("shop"), "True");
  EXPECT_EQ(call("shop"), "one");
}

// ---------------------------------------------------------------------------- programs that fail

class ServingPrograms : public PlatformFixture {
 protected:
  ServingPrograms() {
    simulation_.add_program("app",
                            [this](SimProcessContext& context) { return run(*this, context); });
    scenario::store_image(platform_->images(), "app");
  }
  ~ServingPrograms() override { platform_.reset(); }

  /// Serves until it is told to fail; says what it must not tell strangers.
  static Task<int> run(ServingPrograms& test, SimProcessContext& context) {
    context.write_stderr("password=hunter2\n");
    if (test.broken_) co_return 1;
    auto handler = http::make_handler([&test](http::Request&) { return test.answer(); });
    const std::unique_ptr<http::Server> server = scenario::serve_port(context, *handler);
    if (!server) co_return 1;
    co_await test.fall_.wait();
    co_return 1;
  }
  Task<http::Response> answer() {
    co_await simulation_.env().timers.sleep_for(answers_after_);
    co_return http::text("served");
  }
  std::string body_of_call() {
    http::Request request = http::get("/");
    http::Response response = simulation_.run(platform_->invoke("app", request)).value();
    const Result<void> read = simulation_.run(response.body.read_all());
    return std::to_string(response.status) + " " + response.body.bytes() + (read ? "" : "!");
  }

  bool broken_ = false;
  Duration answers_after_{0};
  Wakeup fall_;
};

TEST_F(ServingPrograms, one_that_fails_after_its_first_success_does_not_stay_ready) {
  apply(serving::service("app", "local/app"));
  EXPECT_EQ(state<Service>("app"), "True");
  broken_ = true;
  fall_.set();
  simulation_.run_for(10s);
  EXPECT_EQ(state<Revision>("app-00001", "ContainerHealthy"), "False ExitCode1");
  EXPECT_EQ(state<Service>("app").substr(0, 5), "False");
  const std::string answer = body_of_call();
  EXPECT_EQ(answer.substr(0, 4), "503 ") << answer;
  EXPECT_EQ(answer.find("hunter2"), std::string::npos) << "output is not for strangers";
  EXPECT_NE(message<Revision>("app-00001", "ContainerHealthy").find("hunter2"), std::string::npos);
  broken_ = false;
  fall_.reset();
  simulation_.run_for(3min);
  EXPECT_EQ(state<Service>("app"), "True");
}

TEST_F(ServingPrograms, draining_waits_as_long_as_the_revision_allows) {
  answers_after_ = 100s;
  Service app = serving::service("app", "local/app");
  app.spec.template_.spec.timeout_seconds = 200;
  apply(app);
  TaskSet tasks(simulation_.env().executor);
  std::string answer;
  auto ask = [](Platform& platform, std::string& into) -> Task<void> {
    http::Request request = http::get("/");
    Task<Result<http::Response>> asked = platform.invoke("app", request);
    const Result<http::Response> response = co_await std::move(asked);
    into = std::to_string(response ? response->status : -1);
  };
  tasks.add(ask(*platform_, answer));
  simulation_.run_for(1s);
  platform_->remove(platform_->ref<Service>("app")).value();
  simulation_.run_for(90s);
  EXPECT_EQ(answer, "");
  simulation_.run_for(20s);
  EXPECT_EQ(answer, "200");
}

TEST_F(ServingPrograms, response_start_and_idle_timeouts_act) {
  answers_after_ = 100s;
  Service app = serving::service("app", "local/app");
  app.spec.template_.spec.response_start_timeout_seconds = 5;
  apply(app);
  Instant before = simulation_.now();
  EXPECT_EQ(body_of_call().substr(0, 3), "504");
  EXPECT_LT(simulation_.now() - before, 6s);
  app.spec.template_.spec.response_start_timeout_seconds.reset();
  app.spec.template_.spec.idle_timeout_seconds = 7;
  apply(app);
  before = simulation_.now();
  EXPECT_EQ(body_of_call().substr(0, 3), "504");
  EXPECT_LT(simulation_.now() - before, 8s);
}

}  // namespace
}  // namespace knative
