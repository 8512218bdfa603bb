// When a Revision that runs a program is ready, by its readiness probe and its progress deadline.
#include "knative/http_server.hpp"
#include "platform/platform_fixture.hpp"
#include "platform/scenario_world.hpp"

namespace knative {
namespace {

using namespace testing_platform;
using serving::Revision;

// A program that answers on PORT; it says which paths it was probed at, and with which status it
// answers them.
class Probed final : public http::Handler {
 public:
  Task<int> serve(SimProcessContext& context) {
    context.write_stderr("warming up\n");
    co_await context.env().timers.sleep_for(starts);
    const std::unique_ptr<http::Server> server = scenario::serve_port(context, *this);
    if (!server) co_return 1;
    Wakeup never;
    co_await never.wait();
    co_return 0;
  }
  Task<http::Response> handle(http::Request& request) override {
    if (request.headers.get("user-agent").value_or("").starts_with("kube-probe/")) {
      probes.emplace_back(request.target);
      const int status = probes.size() < healthy_from ? 503 : 200;
      co_return http::text("", status);
    }
    co_return http::text("served");
  }

  Duration starts{0};
  std::size_t healthy_from = 1;  // the probe that is the first to succeed
  std::vector<std::string> probes;
};

class ProcessReadiness : public PlatformFixture {
 protected:
  ProcessReadiness() {
    simulation_.add_program("app",
                            [this](SimProcessContext& context) { return probed_.serve(context); });
    scenario::store_image(platform_->images(), "app");
    app_ = serving::service("app", "local/app");
  }
  ~ProcessReadiness() override { platform_.reset(); }

  core::Probe& probe() { return app_.spec.template_.spec.containers[0].readiness_probe.emplace(); }
  void set_deadline(const std::string& text) {
    app_.spec.template_.metadata.annotations[std::string(serving::keys::progress_deadline)] = text;
  }
  Result<void> deploy(Duration timeout) {
    const ObjectRef ref = platform_->apply(app_).value();
    return simulation_.run(platform_->ready(ref, timeout));
  }

  Probed probed_;
  serving::Service app_;
};

TEST_F(ProcessReadiness, without_a_probe_a_port_that_listens_is_ready) {
  ASSERT_TRUE(deploy(10s));
  EXPECT_EQ(call("app"), "served");
  EXPECT_TRUE(probed_.probes.empty());
}

TEST_F(ProcessReadiness, an_http_probe_without_path_asks_for_the_root) {
  probe().http_get.emplace();
  ASSERT_TRUE(deploy(10s));
  EXPECT_EQ(probed_.probes, std::vector<std::string>{"/"});
}

TEST_F(ProcessReadiness, an_http_probe_asks_for_its_path_until_it_succeeds) {
  for (const char* path : {"/healthz?deep=1", "healthz"}) {
    probed_.probes.clear();
    probed_.healthy_from = 3;
    probe().http_get = core::HttpGetAction{.path = path};
    ASSERT_TRUE(deploy(10s)) << path;
    ASSERT_EQ(probed_.probes.size(), 3u) << path;
    EXPECT_EQ(probed_.probes[2], std::string(path[0] == '/' ? "" : "/") + path);
  }
}

TEST_F(ProcessReadiness, a_probe_asks_as_often_and_as_many_times_as_it_says) {
  core::Probe& wanted = probe();
  wanted.http_get.emplace();
  wanted.period_seconds = 10;
  wanted.success_threshold = 3;
  const Result<void> early = deploy(15s);
  ASSERT_FALSE(early);
  EXPECT_EQ(early.error().code, Errc::deadline_exceeded);
  EXPECT_EQ(probed_.probes.size(), 2u);
  ASSERT_TRUE(deploy(10s));
  EXPECT_EQ(probed_.probes.size(), 3u);
}

TEST_F(ProcessReadiness, a_program_that_misses_its_deadline_fails_with_its_last_output) {
  probed_.starts = 1h;
  set_deadline("40s");
  ASSERT_TRUE(platform_->apply(app_));
  simulation_.run_for(39s);
  EXPECT_EQ(state<Revision>("app-00001", "ResourcesAvailable"), "Unknown Deploying");
  simulation_.run_for(2s);
  EXPECT_EQ(state<Revision>("app-00001", "ResourcesAvailable"), "False ProgressDeadlineExceeded");
  const std::string text = message<Revision>("app-00001", "ResourcesAvailable");
  EXPECT_NE(text.find("within 40 s"), std::string::npos) << text;
  EXPECT_NE(text.find("warming up"), std::string::npos) << text;
  EXPECT_EQ(state<serving::Configuration>("app"), "False RevisionFailed");
  simulation_.run_for(3min);
  EXPECT_EQ(simulation_.host("local").processes(), 0u) << "nobody tries for ever";
}

TEST_F(ProcessReadiness, a_probe_that_fails_is_told_long_before_the_deadline) {
  probed_.healthy_from = 1'000'000;
  probe().http_get = core::HttpGetAction{.path = "/healthz"};
  ASSERT_TRUE(platform_->apply(app_));
  simulation_.run_for(7s);
  EXPECT_EQ(state<Revision>("app-00001", "ContainerHealthy"), "Unknown Deploying");
  const std::string text = message<Revision>("app-00001", "ContainerHealthy");
  EXPECT_NE(text.find("not ready yet: GET /healthz is answered with 503"), std::string::npos)
      << text;
}

TEST_F(ProcessReadiness, a_program_may_be_slow_when_its_deadline_says_so) {
  probed_.starts = 15min;
  set_deadline("20m");
  const Result<void> ready = deploy(20min);
  EXPECT_TRUE(ready) << ready.error().to_string();
}

TEST_F(ProcessReadiness, an_image_that_is_not_unpacked_in_time_is_given_up) {
  FaultPlan plan;
  plan.offload_stall = 1;
  plan.offload_stall_max = 24h;
  simulation_.faults().set_plan(plan);
  set_deadline("10s");
  ASSERT_TRUE(platform_->apply(app_));
  simulation_.run_for(2min);
  EXPECT_EQ(state<Revision>("app-00001", "ResourcesAvailable"), "False ProgressDeadlineExceeded");
  EXPECT_EQ(message<Revision>("app-00001", "ResourcesAvailable"),
            "Initial scale was never achieved");
  EXPECT_EQ(state<Revision>("app-00001", "Active"), "False TimedOut");
}

}  // namespace
}  // namespace knative
