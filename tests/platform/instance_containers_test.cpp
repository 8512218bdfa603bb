// Revisions of several containers: what runs before the program that serves, beside it, when it
// starts and before it stops.
#include <gmock/gmock.h>

#include "knative/http_server.hpp"
#include "platform/platform_fixture.hpp"
#include "platform/scenario_world.hpp"

namespace knative {
namespace {

using namespace testing_platform;
using serving::Revision;
using serving::Service;
using testing::ElementsAre;
using testing::HasSubstr;

using HappenedTexts = std::vector<std::string>;

class InstanceContainers : public PlatformFixture {
 protected:
  InstanceContainers() {
    simulation_.add_program("app", [this](SimProcessContext& context) { return serve(context); });
    for (const std::string name : {"prepare", "check", "hook"}) {
      simulation_.add_program(
          name, [this, name](SimProcessContext& context) { return run_once(context, name); });
    }
    simulation_.add_program("helper", [this](SimProcessContext& context) { return help(context); });
    PlatformOptions options;
    options.on_output = [this](std::string_view, std::string_view line) {
      lines_.emplace_back(line);
    };
    begin(std::move(options));
    for (const char* name : {"app", "prepare", "check", "hook", "helper"}) {
      scenario::store_image(platform_->images(), name);
    }
    platform_->start().value();
    app_ = serving::service("app", "local/app");
  }
  ~InstanceContainers() override { platform_.reset(); }

  Task<int> serve(SimProcessContext& context) {
    happened_.emplace_back("app");
    auto handler = http::make_handler([](http::Request&) { return answer(); });
    const std::unique_ptr<http::Server> server = scenario::serve_port(context, *handler);
    if (!server) co_return 1;
    Wakeup never;
    co_await never.wait();
    co_return 0;
  }
  static Task<http::Response> answer() { co_return http::text("served"); }

  // Takes a second; ends as the test says.
  Task<int> run_once(SimProcessContext& context, std::string name) {
    happened_.push_back(name);
    context.write_stdout(name + " works\n");
    co_await context.env().timers.sleep_for(takes_);
    happened_.push_back(name + " done");
    co_return codes_[name];
  }
  // Listens on 9000, lives a while, and ends when the test says so.
  Task<int> help(SimProcessContext& context) {
    happened_.emplace_back("helper");
    Env& env = context.env();
    const Endpoint place{.host = "127.0.0.1", .port = 9000, .path = {}};
    Result<std::unique_ptr<Listener>> listener = env.network.listen(place);
    if (!listener) co_return 9;
    auto handler = http::make_handler([](http::Request&) { return answer(); });
    const http::Server server(env.executor, env.timers, env.logger, std::move(*listener), *handler);
    if (lives_ > Duration::zero()) co_await env.timers.sleep_for(lives_);
    co_await crash_.wait();
    context.write_stderr("the helper is out of ideas\n");
    co_return 4;
  }

  serving::RevisionSpec& spec() { return app_.spec.template_.spec; }
  core::Container& serving_container() { return spec().containers[0]; }
  void init(const std::string& name) {
    spec().init_containers.push_back({.name = name, .image = "local/" + name});
  }
  void helper() {
    serving_container().ports = {{.container_port = 8080}};
    core::Container& added = spec().containers.emplace_back();
    added.name = "helper";
    added.image = "local/helper";
    core::Probe& probe = added.readiness_probe.emplace();
    probe.tcp_socket = core::TcpSocketAction{.port = 9000};
    probe.period_seconds = 1;
  }
  static core::LifecycleHandler run(const std::string& program) {
    core::LifecycleHandler hook;
    hook.exec = core::ExecAction{.command = {program}};
    return hook;
  }

  HappenedTexts happened_;
  HappenedTexts lines_;
  std::map<std::string, int> codes_;
  Duration takes_ = 1s;
  Duration lives_{0};  ///< The helper, at least.
  Wakeup crash_;
  Service app_;
};

TEST_F(InstanceContainers, init_containers_run_one_after_the_other_before_the_program) {
  init("prepare");
  init("check");
  apply(app_);
  EXPECT_EQ(state<Service>("app"), "True") << message<Service>("app");
  EXPECT_THAT(happened_, ElementsAre("prepare", "prepare done", "check", "check done", "app"));
  EXPECT_EQ(call("app"), "served");
  EXPECT_THAT(lines_, testing::Contains("[prepare] prepare works"));
  const Revision revision = get<Revision>("app-00001");
  ASSERT_EQ(revision.status.init_container_statuses.size(), 2U);
  EXPECT_EQ(revision.status.init_container_statuses[1].name, "check");
  EXPECT_THAT(revision.status.init_container_statuses[1].image_digest, HasSubstr("local/check@"));
}

TEST_F(InstanceContainers, an_init_container_that_fails_is_named_and_tried_again) {
  codes_["prepare"] = 7;
  init("prepare");
  apply(app_);
  simulation_.run_for(10s);
  EXPECT_EQ(state<Revision>("app-00001", "ContainerHealthy"), "False ExitCode7");
  const std::string text = message<Revision>("app-00001", "ContainerHealthy");
  EXPECT_THAT(text, HasSubstr("Container failed with: default/app-00001 (container \"prepare\") "
                              "failed (exit code 7)"));
  EXPECT_THAT(text, HasSubstr("prepare works"));
  EXPECT_THAT(happened_, testing::Not(testing::Contains("app")));
  codes_["prepare"] = 0;
  simulation_.run_for(2min);
  EXPECT_EQ(state<Service>("app"), "True") << message<Service>("app");
}

TEST_F(InstanceContainers, what_does_not_end_before_the_program_is_named_soon) {
  takes_ = 1h;
  init("prepare");
  ASSERT_TRUE(platform_->apply(app_));
  simulation_.run_for(7s);
  EXPECT_THAT(message<Revision>("app-00001", "ContainerHealthy"),
              HasSubstr("(container \"prepare\") has not ended yet"));
  remove<Service>("app");
  spec().init_containers.clear();
  serving_container().lifecycle.emplace().post_start = run("hook");
  ASSERT_TRUE(platform_->apply(app_));
  simulation_.run_for(7s);
  EXPECT_THAT(message<Revision>("app-00001", "ContainerHealthy"),
              HasSubstr("the hook postStart of default/app-00001 has not ended yet"));
}

TEST_F(InstanceContainers, an_init_container_without_an_image_is_said_in_knatives_words) {
  spec().init_containers.push_back({.name = "away", .image = "local/away"});
  apply(app_);
  EXPECT_EQ(state<Revision>("app-00001", "ContainerHealthy"), "False ContainerMissing");
  EXPECT_THAT(message<Revision>("app-00001", "ContainerHealthy"),
              HasSubstr("Unable to fetch image \"local/away\": failed to resolve"));
}

TEST_F(InstanceContainers, a_hook_runs_when_the_program_has_started_and_before_it_stops) {
  takes_ = 3s;
  core::Lifecycle& hooks = serving_container().lifecycle.emplace();
  hooks.post_start = run("prepare");
  hooks.pre_stop = run("hook");
  ASSERT_TRUE(platform_->apply(app_));
  simulation_.run_for(2s);
  EXPECT_THAT(state<Service>("app"), HasSubstr("Unknown")) << "its hook is not done";
  simulation_.run_for(5s);
  EXPECT_EQ(state<Service>("app"), "True") << message<Service>("app");
  EXPECT_THAT(happened_, ElementsAre("app", "prepare", "prepare done"));
  ASSERT_TRUE(platform_->remove(platform_->ref<Service>("app")));
  simulation_.run_for(1s);
  EXPECT_EQ(happened_.back(), "hook");
  EXPECT_EQ(simulation_.host("local").processes(), 2U) << "the program goes on meanwhile";
  simulation_.run_for(10s);
  EXPECT_EQ(happened_.back(), "hook done");
  EXPECT_EQ(simulation_.host("local").processes(), 0U);
}

TEST_F(InstanceContainers, a_hook_that_fails_ends_its_container_and_says_why) {
  codes_["hook"] = 5;
  serving_container().lifecycle.emplace().post_start = run("hook");
  apply(app_);
  EXPECT_EQ(state<Revision>("app-00001", "ContainerHealthy"), "False PostStartHookError");
  const std::string text = message<Revision>("app-00001", "ContainerHealthy");
  EXPECT_THAT(text, HasSubstr("the hook postStart of default/app-00001 failed: its command ended "
                              "with exit code 5: hook works"));
}

TEST_F(InstanceContainers, a_failure_is_told_before_its_programs_have_stopped) {
  codes_["hook"] = 5;
  core::Lifecycle& hooks = serving_container().lifecycle.emplace();
  hooks.post_start = run("hook");
  hooks.pre_stop.emplace().sleep = core::SleepAction{.seconds = 25};
  ASSERT_TRUE(platform_->apply(app_));
  simulation_.run_for(3s);
  EXPECT_EQ(state<Revision>("app-00001", "ContainerHealthy"), "False PostStartHookError");
  codes_["hook"] = 0;
  simulation_.run_for(2min);
  EXPECT_EQ(state<Service>("app"), "True") << message<Service>("app");
}

TEST_F(InstanceContainers, a_sidecar_belongs_to_the_instance) {
  helper();
  apply(app_);
  EXPECT_EQ(state<Service>("app"), "True") << message<Service>("app");
  EXPECT_THAT(happened_, ElementsAre("app", "helper"));
  EXPECT_EQ(get<Revision>("app-00001").status.container_statuses.size(), 2U);
  ASSERT_TRUE(platform_->remove(platform_->ref<Service>("app")));
  simulation_.run_for(1min);
  EXPECT_EQ(simulation_.host("local").processes(), 0U);
}

TEST_F(InstanceContainers, a_sidecar_that_ends_is_started_again_and_meanwhile_nobody_is_served) {
  helper();
  app_.spec.template_.metadata.annotations["autoscaling.knative.dev/min-scale"] = "1";
  apply(app_);
  crash_.set();
  simulation_.run_for(1s);
  EXPECT_EQ(get<Revision>("app-00001").status.actual_replicas.value_or(0), 0);
  crash_.reset();
  simulation_.run_for(30s);
  EXPECT_EQ(get<Revision>("app-00001").status.actual_replicas.value_or(0), 1);
  EXPECT_EQ(std::count(happened_.begin(), happened_.end(), "app"), 1) << "it goes on";
  EXPECT_GT(std::count(happened_.begin(), happened_.end(), "helper"), 2);
  EXPECT_EQ(call("app"), "served");
}

// It lived a moment each time, and the Service was ready for that moment.
TEST_F(InstanceContainers, a_sidecar_that_crashes_again_and_again_does_not_make_the_service_flap) {
  helper();
  spec().containers[1].readiness_probe.reset();
  lives_ = 50ms;
  app_.spec.template_.metadata.annotations["autoscaling.knative.dev/min-scale"] = "1";
  apply(app_);
  ASSERT_EQ(get<Revision>("app-00001").status.actual_replicas.value_or(0), 1);
  crash_.set();
  int became_ready = 0;
  bool ready = true;
  for (int i = 0; i < 6000; ++i) {
    simulation_.run_for(10ms);
    const bool now = get<Revision>("app-00001").status.actual_replicas.value_or(0) == 1;
    became_ready += now && !ready ? 1 : 0;
    ready = now;
  }
  EXPECT_GT(std::count(happened_.begin(), happened_.end(), "helper"), 5);
  EXPECT_EQ(became_ready, 0);
  // One that stays up is believed, the sooner the less often it has failed.
  crash_.reset();
  simulation_.run_for(2min);
  EXPECT_EQ(get<Revision>("app-00001").status.actual_replicas.value_or(0), 1);
  EXPECT_EQ(call("app"), "served");
}

TEST_F(InstanceContainers, a_sidecar_that_does_not_run_is_named) {
  helper();
  crash_.set();
  apply(app_);
  EXPECT_EQ(state<Revision>("app-00001", "ContainerHealthy"), "False ExitCode4");
  const std::string text = message<Revision>("app-00001", "ContainerHealthy");
  EXPECT_THAT(text, HasSubstr("(container \"helper\") ended by itself (exit code 4)"));
  EXPECT_THAT(text, HasSubstr("the helper is out of ideas"));
}

TEST_F(InstanceContainers, an_idle_instance_is_frozen_where_the_revision_says_so) {
  app_.spec.template_.metadata.annotations["serving.knative.dev/idle"] = "frozen";
  apply(app_);
  simulation_.run_for(10min);
  const auto processes = [this] { return simulation_.host("local").processes(); };
  EXPECT_EQ(processes(), 1U);
  EXPECT_EQ(get<Revision>("app-00001").status.actual_replicas.value_or(0), 0);
  EXPECT_EQ(state<Revision>("app-00001", "Active"), "False NoTraffic");
  EXPECT_EQ(state<Service>("app"), "True");
  EXPECT_EQ(call("app"), "served");
  EXPECT_THAT(happened_, ElementsAre("app")) << "it was there";
  EXPECT_EQ(get<Revision>("app-00001").status.actual_replicas.value_or(0), 1);
  simulation_.run_for(10min);
  EXPECT_EQ(processes(), 1U);
  // Nobody comes back to a Revision that no Route names.
  app_ = get<Service>("app");
  serving_container().env.push_back({.name = "A", .value = "b"});
  apply(app_);
  simulation_.run_for(10min);
  EXPECT_EQ(processes(), 1U);
  EXPECT_THAT(happened_, ElementsAre("app", "app"));
  ASSERT_TRUE(platform_->remove(platform_->ref<Service>("app")));
  simulation_.run_for(1min);
  EXPECT_EQ(processes(), 0U);
}

TEST_F(InstanceContainers, what_cannot_be_frozen_is_refused_by_the_annotations_name) {
  functions_.http("hello", [](http::Request&) { return http::text("hello"); });
  serving_container().image = "fn:hello";
  app_.spec.template_.metadata.annotations["serving.knative.dev/idle"] = "frozen";
  apply(app_);
  EXPECT_EQ(state<Revision>("app-00001", "ContainerHealthy"), "False Unsupported");
  EXPECT_THAT(message<Revision>("app-00001", "ContainerHealthy"),
              HasSubstr("metadata.annotations[serving.knative.dev/idle]"));
}

TEST_F(InstanceContainers, functions_have_no_containers_beside_them) {
  functions_.http("hello", [](http::Request&) { return http::text("hello"); });
  helper();
  serving_container().image = "fn:hello";
  apply(app_);
  EXPECT_EQ(state<Revision>("app-00001", "ContainerHealthy"), "False Unsupported");
  EXPECT_THAT(message<Revision>("app-00001", "ContainerHealthy"), HasSubstr("spec.containers[1]"));
}

}  // namespace
}  // namespace knative
