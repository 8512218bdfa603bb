// Every blocking member of PlatformThread, called from outside, from its own loop, and too late.
#include <gtest/gtest.h>

#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>

#include "knative/core.hpp"
#include "knative/platform_thread.hpp"
#include "support/real_world.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;
using testing_world::quiet;
using testing_world::TemporaryDirectory;

constexpr std::string_view eventing_v1 = "eventing.knative.dev/v1";

std::string broker(const std::string& name, const std::string& namespace_ = "default") {
  return "apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: " + name +
         ", namespace: " + namespace_ + "}\n";
}

class PlatformThreadCalls : public ::testing::Test {
 protected:
  PlatformThreadCalls() {
    functions_.http("hello", [](http::Request&) { return http::text("hello"); });
    begin({});
  }
  void begin(PlatformOptions options) {
    platform_.reset();
    platform_ = std::make_unique<PlatformThread>(functions_, std::move(options), quiet());
  }
  std::size_t count(std::string_view kind, std::string_view namespace_ = "") {
    return platform_->list(eventing_v1, kind, namespace_).value().size();
  }
  void publish() {
    const CloudEvent ping("ping", "/test");
    const Result<Offset> sent = platform_->publish("default", ping);
    ASSERT_TRUE(sent) << sent.error().to_string();
  }
  /// A handler that counts; `then` runs in it, on the loop.
  EventHandler counting(int& heard, std::function<void()> then = {}) {
    return [this, &heard, then = std::move(then)](const CloudEvent&) -> Task<Reply> {
      if (then) then();
      {
        const std::lock_guard<std::mutex> guard(mutex_);
        ++heard;
      }
      changed_.notify_all();
      co_return Reply();
    };
  }
  bool hears(const int& heard, int wanted) {
    std::unique_lock<std::mutex> guard(mutex_);
    return changed_.wait_for(guard, 20s, [&] { return heard >= wanted; }) && heard == wanted;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  FunctionTable functions_;
  std::unique_ptr<PlatformThread> platform_;
};

TEST_F(PlatformThreadCalls, a_text_is_applied_listed_and_removed) {
  const auto refs = platform_->apply_text(broker("a") + "---\n" + broker("b", "shop")).value();
  ASSERT_EQ(refs.size(), 2u);
  EXPECT_EQ(count("Broker"), 2u);
  EXPECT_EQ(count("Broker", "shop"), 1u);
  EXPECT_EQ(count("Trigger"), 0u);
  EXPECT_EQ(platform_->list(eventing_v1, "Teapot").error().code, Errc::unimplemented);
  const Result<std::vector<ObjectRef>> bad = platform_->apply_text("kind: [", "shop.yaml");
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().detail.rfind("shop.yaml:2:1:", 0), 0u) << bad.error().detail;
  EXPECT_TRUE(platform_->remove(refs[1]));
  EXPECT_EQ(platform_->remove(refs[1]).error().code, Errc::not_found);
  EXPECT_EQ(count("Broker"), 1u);
}

TEST_F(PlatformThreadCalls, a_directory_is_applied) {
  TemporaryDirectory directory;
  EXPECT_EQ(platform_->apply_path(directory.path()).error().code, Errc::not_found);
  std::ofstream(directory / "b.yaml") << broker("b");
  std::ofstream(directory / "a.yaml") << broker("a");
  const std::vector<ObjectRef> refs = platform_->apply_path(directory.path()).value();
  ASSERT_EQ(refs.size(), 2u);
  EXPECT_EQ(refs[0].name, "a");
  EXPECT_EQ(count("Broker"), 2u);
}

TEST_F(PlatformThreadCalls, what_is_durable_is_there_again_after_a_restart) {
  TemporaryDirectory directory;
  PlatformOptions options;
  options.data_directory = directory.path();
  options.listen.reset();
  begin(options);
  const ObjectRef ref = platform_->apply(eventing::broker("default")).value();
  EXPECT_TRUE(platform_->durable(ref));
  EXPECT_EQ(platform_->durable(platform_->ref<eventing::Broker>("absent")).error().code,
            Errc::not_found);
  begin(options);
  EXPECT_TRUE(platform_->get<eventing::Broker>("default"));
  EXPECT_TRUE(platform_->ready(ref));
  platform_.reset();
}

/// Of one step in an image.
build::Build build_of(std::string name, std::string image) {
  build::Build build;
  build.metadata.name = std::move(name);
  build.metadata.namespace_ = "default";
  build::Step& step = build.spec.steps.emplace_back();
  step.name = "only";
  step.image = std::move(image);
  return build;
}

TEST_F(PlatformThreadCalls, a_relative_data_directory_is_made_absolute_at_the_door) {
  TemporaryDirectory directory;
  PlatformOptions options;
  options.data_directory = std::filesystem::relative(directory.path()).string();
  options.listen.reset();
  begin(options);
  build::Build build = build_of("where", "host");
  build.spec.steps[0].command = {"/bin/sh", "-ec", "test -d $WORKSPACE; cd /; test -d $WORKSPACE"};
  const Result<BuildResult> built = platform_->build(build);
  EXPECT_TRUE(built) << built.error().to_string();
  platform_.reset();
}

TEST_F(PlatformThreadCalls, url_scale_and_metrics_tell_of_a_service) {
  const ObjectRef ref = platform_->apply(serving::service("hello", "fn:hello")).value();
  EXPECT_EQ(platform_->scale("absent"), 0);
  EXPECT_EQ(platform_->url(platform_->ref<serving::Service>("absent")), "");
  ASSERT_TRUE(platform_->wait_ready("hello"));
  EXPECT_EQ(platform_->url(ref),
            "http://hello.default.localhost:" + std::to_string(platform_->endpoint().port));
  EXPECT_EQ(platform_->scale("hello"), 1);
  EXPECT_EQ(platform_->invoke("hello", http::get("/")).value().body.bytes(), "hello");
  EXPECT_NE(platform_->metrics_text().find("revision_name=\"hello-00001\""), std::string::npos);
  EXPECT_EQ(platform_->wait_ready("absent", 1s).error().code, Errc::not_found);
}

TEST_F(PlatformThreadCalls, a_build_runs_a_step_of_the_host_program_and_makes_an_image) {
  functions_.program(
      "write", [](const ContainerSpec& step, const ContainerOutput& log) -> Task<Result<int>> {
        std::ofstream(step.environment.at("WORKSPACE") + "/made") << "yes";
        log("stdout", "written");
        co_return 0;
      });
  PlatformOptions options;
  begin(std::move(options));
  build::Build build = build_of("made", "fn:write");
  build.spec.image = "local/made:v1";
  const Result<BuildResult> built = platform_->build(build);
  ASSERT_TRUE(built) << built.error().to_string();
  EXPECT_EQ(built->image.rfind("local/made@sha256:", 0), 0u) << built->image;
  build.spec.steps[0].image = "fn:absent";
  const Result<BuildResult> failed = platform_->build(build);
  ASSERT_FALSE(failed);
  EXPECT_NE(failed.error().detail.find("absent"), std::string::npos) << failed.error().detail;
  platform_.reset();
}

TEST_F(PlatformThreadCalls, a_subscription_hears_what_passes_its_filter_until_it_is_cancelled) {
  platform_->apply(eventing::broker("default")).value();
  int all = 0;
  int pongs = 0;
  const Filter pong = Filter::exact("type", "pong").value();
  EventSubscription first = platform_->subscribe("default", Filter(), counting(all)).value();
  EventSubscription second = platform_->subscribe("default", pong, counting(pongs)).value();
  publish();
  EXPECT_TRUE(hears(all, 1));
  EXPECT_TRUE(hears(pongs, 0));
  EXPECT_EQ(count("Trigger"), 2u);
  second.cancel();
  EXPECT_EQ(count("Trigger"), 1u);
  EXPECT_FALSE(platform_->subscribe("No Name!", Filter(), counting(all)));
  platform_->stop();
  first.cancel();
}

TEST_F(PlatformThreadCalls, a_subscription_may_be_cancelled_by_its_own_handler) {
  platform_->apply(eventing::broker("default")).value();
  int once = 0;
  int always = 0;
  EventSubscription own;
  own = platform_->subscribe("default", Filter(), counting(once, [&own] { own.cancel(); })).value();
  EventSubscription other = platform_->subscribe("default", Filter(), counting(always)).value();
  publish();
  EXPECT_TRUE(hears(once, 1));
  publish();
  EXPECT_TRUE(hears(always, 2));
  EXPECT_TRUE(hears(once, 1));
  EXPECT_EQ(count("Trigger"), 1u);
}

TEST_F(PlatformThreadCalls, to_stop_from_its_own_loop_is_refused_and_does_not_count) {
  bool refused = false;
  platform_->call([&](Platform&) {
    try {
      platform_->stop();
    } catch (const Exception& exception) {
      refused = exception.code() == Errc::failed_precondition;
    }
  });
  EXPECT_TRUE(refused);
  EXPECT_TRUE(platform_->apply_text(broker("default")));
  platform_->stop();
  EXPECT_FALSE(platform_->apply_text(broker("default")));
}

TEST_F(PlatformThreadCalls, everything_that_comes_after_stop_is_refused_and_returns) {
  const ObjectRef ref = platform_->apply(eventing::broker("default")).value();
  platform_->stop();
  platform_->stop();
  const CloudEvent ping("ping", "/test");
  int heard = 0;
  const auto code = [](const auto& result) {
    return result ? Errc::internal : result.error().code;
  };
  EXPECT_EQ(code(platform_->start()), Errc::failed_precondition);
  EXPECT_EQ(code(platform_->apply(eventing::broker("late"))), Errc::failed_precondition);
  EXPECT_EQ(code(platform_->apply_text(broker("late"))), Errc::failed_precondition);
  EXPECT_EQ(code(platform_->get(ref)), Errc::failed_precondition);
  EXPECT_EQ(code(platform_->list(eventing_v1, "Broker")), Errc::failed_precondition);
  EXPECT_EQ(code(platform_->remove(ref)), Errc::failed_precondition);
  EXPECT_EQ(code(platform_->ready(ref)), Errc::failed_precondition);
  EXPECT_EQ(code(platform_->durable(ref)), Errc::failed_precondition);
  EXPECT_EQ(code(platform_->invoke("hello", http::get("/"))), Errc::failed_precondition);
  EXPECT_EQ(code(platform_->publish("default", ping)), Errc::failed_precondition);
  EXPECT_EQ(code(platform_->subscribe("default", Filter(), counting(heard))),
            Errc::failed_precondition);
  EXPECT_EQ(code(platform_->build(build::Build{})), Errc::failed_precondition);
  EXPECT_EQ(platform_->url(ref), "");
  EXPECT_EQ(platform_->scale("hello"), 0);
  EXPECT_EQ(platform_->endpoint().port, 0);
  EXPECT_EQ(heard, 0);
}

}  // namespace
}  // namespace knative
