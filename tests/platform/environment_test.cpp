// What a Revision's process gets as environment and arguments, and what it cannot have.
#include <gmock/gmock.h>

#include "knative/http_server.hpp"
#include "platform/platform_fixture.hpp"
#include "platform/scenario_world.hpp"

namespace knative {
namespace {

using namespace testing_platform;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

constexpr const char* objects = R"(
apiVersion: v1
kind: Secret
metadata: {name: login}
stringData: {user: ada, password: "s$(MODE)t"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {MODE: fast, user: nobody}
)";

// A platform with one program in an image that tells what it was given.
class EnvironmentTest : public PlatformFixture, public http::Handler {
 protected:
  EnvironmentTest() {
    simulation_.add_program("server",
                            [this](SimProcessContext& context) { return serve(context); });
    begin({});
  }
  ~EnvironmentTest() override { platform_.reset(); }

  void begin(PlatformOptions options) {
    PlatformFixture::begin(std::move(options));
    platform_->start().value();
    scenario::store_image(platform_->images(), "server");
  }
  Task<int> serve(SimProcessContext& context) {
    argv_ = context.argv();
    environment_ = context.environment();
    const std::unique_ptr<http::Server> server = scenario::serve_port(context, *this);
    if (!server) co_return 1;
    Wakeup never;
    co_await never.wait();
    co_return 0;
  }
  Task<http::Response> handle(http::Request&) override { co_return http::text("served"); }

  /// Apply a Service whose container has these fields, in YAML's flow style.
  Result<void> deploy(const std::string& fields, Duration timeout = 30s) {
    const std::string manifest =
        "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: web}\n"
        "spec: {template: {spec: {containers: [" +
        fields + "]}}}\n";
    return simulation_.run(
        platform_->ready(platform_->apply_text(manifest).value().at(0), timeout));
  }
  Result<void> deploy_with(const std::string& fields) {
    return deploy("{image: local/server, " + fields + "}");
  }
  std::string failure_with(const std::string& fields) {
    const Result<void> done = deploy_with(fields);
    return done ? "it is ready" : done.error().detail;
  }
  /// The variables that were asked for, without those that every process gets.
  std::map<std::string, std::string> own() const {
    std::map<std::string, std::string> result;
    for (const auto& [name, value] : environment_) {
      if (name != "PATH" && name != "PORT" && !name.starts_with("K_") && name != "LANG" &&
          name != "HOME") {
        result[name] = value;
      }
    }
    return result;
  }

  std::vector<std::string> argv_;
  std::map<std::string, std::string> environment_;
};

TEST_F(EnvironmentTest, values_come_from_secrets_and_config_maps_as_they_are) {
  platform_->apply_text(objects).value();
  ASSERT_TRUE(
      deploy_with("env: [{name: A, value: plain}, "
                  "{name: B, valueFrom: {secretKeyRef: {name: login, key: password}}}, "
                  "{name: C, valueFrom: {configMapKeyRef: {name: settings, key: MODE}}}, "
                  "{name: D, value: \"$(A)-$(C)\"}]"));
  EXPECT_THAT(own(), ElementsAre(Pair("A", "plain"), Pair("B", "s$(MODE)t"), Pair("C", "fast"),
                                 Pair("D", "plain-fast")));
}

TEST_F(EnvironmentTest, of_whole_objects_the_later_wins_and_env_wins_over_both) {
  platform_->apply_text(objects).value();
  ASSERT_TRUE(
      deploy_with("envFrom: [{configMapRef: {name: settings}}, "
                  "{secretRef: {name: login}}, "
                  "{prefix: X_, configMapRef: {name: settings}}], "
                  "env: [{name: password, value: own}]"));
  EXPECT_THAT(own(),
              ElementsAre(Pair("MODE", "fast"), Pair("X_MODE", "fast"), Pair("X_user", "nobody"),
                          Pair("password", "own"), Pair("user", "ada")));
}

TEST_F(EnvironmentTest, what_is_optional_may_be_absent) {
  platform_->apply_text(objects).value();
  ASSERT_TRUE(deploy_with(
      "envFrom: [{secretRef: {name: none, optional: true}}], env: ["
      "{name: A, valueFrom: {secretKeyRef: {name: none, key: x, optional: true}}}, "
      "{name: B, valueFrom: {configMapKeyRef: {name: settings, key: x, optional: true}}}]"));
  EXPECT_THAT(own(), ElementsAre());
}

TEST_F(EnvironmentTest, an_absent_object_or_key_is_named) {
  EXPECT_THAT(failure_with("env: [{name: A, valueFrom: {secretKeyRef: {name: login, key: user}}}]"),
              HasSubstr("env A: Secret \"login\" not found"));
  EXPECT_THAT(failure_with("envFrom: [{configMapRef: {name: settings}}]"),
              HasSubstr("envFrom: ConfigMap \"settings\" not found"));
  platform_->apply_text(objects).value();
  EXPECT_THAT(failure_with("env: [{name: A, valueFrom: {secretKeyRef: {name: login, key: pin}}}]"),
              HasSubstr("env A: couldn't find key pin in Secret default/login"));
  EXPECT_EQ(state<serving::Revision>("web-00003", "ContainerHealthy"),
            "False CreateContainerConfigError");
}

TEST_F(EnvironmentTest, a_revision_starts_when_its_secret_comes_at_last) {
  EXPECT_FALSE(
      deploy_with("env: [{name: A, valueFrom: {secretKeyRef: {name: login, key: user}}}]"));
  platform_->apply_text(objects).value();
  EXPECT_TRUE(simulation_.run(platform_->ready(platform_->ref<serving::Service>("web"))));
  EXPECT_EQ(environment_.at("A"), "ada");
}

TEST_F(EnvironmentTest, a_running_revision_outlives_its_secret) {
  platform_->apply_text(objects).value();
  ASSERT_TRUE(deploy_with("env: [{name: A, valueFrom: {secretKeyRef: {name: login, key: user}}}]"));
  platform_->remove({"v1", "Secret", "", "login"}).value();
  simulation_.run_for(10min);  // it has fallen to zero meanwhile
  EXPECT_EQ(call("web"), "served");
  EXPECT_TRUE(simulation_.run(platform_->ready(platform_->ref<serving::Service>("web"))));
}

TEST_F(EnvironmentTest, arguments_may_refer_to_variables) {
  ASSERT_TRUE(
      deploy_with("args: [\"--port=$(PORT)\", \"--mode=$(MODE)\", \"$$(MODE)\"], "
                  "env: [{name: MODE, value: slow}]"));
  ASSERT_EQ(argv_.size(), 4U);
  EXPECT_EQ(argv_[1], "--port=" + environment_.at("PORT"));
  EXPECT_EQ(argv_[2], "--mode=slow");
  EXPECT_EQ(argv_[3], "$(MODE)");
}

TEST_F(EnvironmentTest, the_latest_ready_revision_does_not_go_back_when_the_newest_cannot_start) {
  PlatformOptions options;
  options.data_directory = "/data";
  begin(options);
  platform_->apply_text(objects).value();
  ASSERT_TRUE(deploy_with("env: [{name: A, value: plain}]"));
  ASSERT_TRUE(deploy_with("env: [{name: A, valueFrom: {secretKeyRef: {name: login, key: user}}}]"));
  platform_->remove({"v1", "Secret", "", "login"}).value();
  simulation_.run_for(1min);
  begin(options);
  simulation_.run_for(1min);
  EXPECT_EQ(state<serving::Revision>("web-00001"), "True");
  EXPECT_EQ(state<serving::Revision>("web-00002"), "False CreateContainerConfigError");
  EXPECT_EQ(get<serving::Configuration>("web").status.latest_ready_revision_name, "web-00002");
}

TEST_F(EnvironmentTest, what_a_process_cannot_have_is_said_and_not_left_out) {
  EXPECT_THAT(failure_with("volumeMounts: [{name: v, mountPath: /cache}]}], volumes: "
                           "[{name: v, emptyDir: {}"),
              HasSubstr("no volumes: spec.containers[0].volumeMounts"));
  EXPECT_THAT(failure_with("name: web, ports: [{containerPort: 80}]}, "
                           "{name: sidecar, image: \"fn:helper\""),
              HasSubstr("no other containers beside it: spec.containers[1]"));
  EXPECT_THAT(failure_with("securityContext: {runAsUser: 1000}"),
              HasSubstr("spec.containers[0].securityContext.runAsUser"));
}

}  // namespace
}  // namespace knative
