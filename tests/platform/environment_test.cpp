// What a Revision's process gets as environment and arguments, and what it cannot have.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "knative/platform.hpp"
#include "knative/simulation.hpp"
#include "scenario_world.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;
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
class EnvironmentTest : public testing::Test, public http::Handler {
 protected:
  EnvironmentTest() {
    PlatformOptions options;
    options.listen.reset();
    simulation_.add_program("server",
                            [this](SimProcessContext& context) { return serve(context); });
    platform_ = std::make_unique<Platform>(simulation_.env(), functions_, options);
    platform_->start().value();
    scenario::store_image(platform_->images(), "server");
  }

  Task<int> serve(SimProcessContext& context) {
    argv_ = context.argv();
    environment_ = context.environment();
    Env& env = context.env();
    const int port = std::stoi(environment_.at("PORT"));
    const Endpoint endpoint{
        .host = "127.0.0.1", .port = static_cast<std::uint16_t>(port), .path = {}};
    http::Server server(env.executor, env.timers, env.logger, env.network.listen(endpoint).value(),
                        *this);
    Event never;
    co_await never.wait();
    co_return 0;
  }
  Task<http::Response> handle(http::Request& request) override {
    if (request.path() == "/healthz") probes_.push_back(simulation_.env().timers.now());
    co_return http::text("served");
  }

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

  Simulation simulation_{7};
  FunctionTable functions_;
  std::unique_ptr<Platform> platform_;
  std::vector<Instant> probes_;
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
  const Condition healthy = *find_condition(
      platform_->get<serving::Revision>("web-00003")->status.conditions, "ContainerHealthy");
  EXPECT_EQ(healthy.reason, "CreateContainerConfigError");
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
  http::Request request = http::get("/");
  EXPECT_EQ(simulation_.run(platform_->invoke("web", request)).value().status, 200);
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

TEST_F(EnvironmentTest, a_process_is_ready_after_as_many_probes_as_its_revision_asks_for) {
  ASSERT_TRUE(deploy_with(
      "readinessProbe: {httpGet: {path: /healthz}, periodSeconds: 2, successThreshold: 3}"));
  ASSERT_EQ(probes_.size(), 3U);
  EXPECT_GE(probes_[2] - probes_[0], 4s);
}

TEST_F(EnvironmentTest, what_a_process_cannot_have_is_said_and_not_left_out) {
  EXPECT_THAT(failure_with("volumeMounts: [{name: v, mountPath: /cache}]}], volumes: "
                           "[{name: v, emptyDir: {}"),
              HasSubstr("no volumes: spec.containers[0].volumeMounts"));
  EXPECT_THAT(failure_with("name: web, ports: [{containerPort: 80}]}, "
                           "{name: sidecar, image: local/server"),
              HasSubstr("no other containers beside it: spec.containers[1]"));
  EXPECT_THAT(failure_with("readinessProbe: {exec: {command: [\"true\"]}}"),
              HasSubstr("only httpGet and tcpSocket are probed"));
}

}  // namespace
}  // namespace knative
