// Services in sandboxes whose instances are more than one program.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "platform/deployed_services.hpp"
#include "platform/sandbox_guest_image.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;

using testing_platform::bytes_of_file;

class SandboxInstances : public testing_platform::DeployedServices {
 protected:
  void SetUp() override {
    const IsolationSupport support = loop_.env().processes.isolation(folder_.path());
    if (!support.possible || !support.own_network) {
      GTEST_SKIP() << "SANDBOXES ARE NOT TESTED HERE: " << support.reason;
    }
    PlatformOptions options;
    options.on_output = [this](std::string_view, std::string_view line) {
      lines_.emplace_back(line);
    };
    begin(std::move(options));
    testing_platform::store_guest_image(platform_->images(), {"/guest"});
  }
  void TearDown() override { platform_.reset(); }  // it tells lines_

  Result<void> deploy(const std::string& spec) {
    return DeployedServices::deploy("guest", "    spec:\n" + spec);
  }
  std::string asked() { return DeployedServices::asked("guest"); }

  std::vector<std::string> lines_;
};

TEST_F(SandboxInstances, init_containers_share_volumes_and_hooks_run_inside) {
  const Result<void> ready = deploy(R"(
      runtimeClassName: sandbox
      initContainers:
      - {name: make, image: "local/guest:v1", args: [write, /v/a, hello],
         volumeMounts: [{name: v, mountPath: /v}]}
      - {name: look, image: "local/guest:v1", args: [cat, /v/a],
         volumeMounts: [{name: v, mountPath: /v}]}
      containers:
      - image: local/guest:v1
        args: [serve]
        lifecycle: {postStart: {exec: {command: [/guest, write, /claim/note, started]}}}
        volumeMounts: [{name: c, mountPath: /claim}]
      volumes:
      - {name: v, emptyDir: {}}
      - {name: c, persistentVolumeClaim: {claimName: notes}}
)");
  ASSERT_TRUE(ready) << ready.error().to_string();
  EXPECT_EQ(asked(), "hello");
  EXPECT_THAT(lines_, testing::Contains("[look] hello"));
  EXPECT_EQ(bytes_of_file(folder_ / "data/claims/default/notes/note"), "started");
}

// The place was looked at when the instance was prepared, and mounted by its name later.
TEST_F(SandboxInstances, a_place_in_a_volume_that_an_init_container_makes_a_link_leads_nowhere) {
  const std::string outside = folder_ / "outside";
  std::filesystem::create_directories(outside);
  std::ofstream(outside + "/secret") << "hunter2";
  const Result<void> ready = deploy(R"(
      runtimeClassName: sandbox
      initContainers:
      - {name: swap, image: "local/guest:v1", args: [link, ")" +
                                    outside + R"(", /v/place],
         volumeMounts: [{name: v, mountPath: /v}]}
      containers:
      - image: local/guest:v1
        args: [cat, /data/secret]
        volumeMounts: [{name: v, mountPath: /data, subPath: place}]
      volumes:
      - {name: v, emptyDir: {}}
)");
  ASSERT_FALSE(ready);
  EXPECT_THAT(ready.error().detail, testing::HasSubstr("/data"));
  EXPECT_THAT(ready.error().detail, testing::Not(testing::HasSubstr(folder_.path())));
  EXPECT_THAT(lines_, testing::Each(testing::Not(testing::HasSubstr("hunter2"))));
}

// It was made as a folder when the instance was prepared, before the file was.
TEST_F(SandboxInstances, a_sub_path_may_be_a_file_that_an_init_container_makes) {
  const Result<void> ready = deploy(R"(
      runtimeClassName: sandbox
      initContainers:
      - {name: make, image: "local/guest:v1", args: [write, /v/conf, hello],
         volumeMounts: [{name: v, mountPath: /v}]}
      containers:
      - image: local/guest:v1
        args: [serve]
        lifecycle: {postStart: {exec: {command: [/guest, cat, /etc/app.conf]}}}
        volumeMounts: [{name: v, mountPath: /etc/app.conf, subPath: conf}]
      volumes:
      - {name: v, emptyDir: {}}
)");
  EXPECT_TRUE(ready) << ready.error().to_string();
}

TEST_F(SandboxInstances, a_hook_that_fails_inside_is_said) {
  const Result<void> ready = deploy(R"(
      runtimeClassName: sandbox
      containers:
      - image: local/guest:v1
        args: [serve]
        lifecycle: {postStart: {exec: {command: [/guest, exit, "6"]}}}
)");
  ASSERT_FALSE(ready);
  EXPECT_THAT(ready.error().detail, testing::HasSubstr("its command ended with exit code 6"));
}

constexpr const char* two_containers = R"(
      containers:
      - {image: "local/guest:v1", args: [serve], ports: [{containerPort: 8080}]}
      - {name: helper, image: "local/guest:v1", args: [stubborn]}
)";

TEST_F(SandboxInstances, a_sidecar_runs_beside_a_program_in_the_machines_network) {
  const Result<void> ready =
      deploy(std::string("      runtimeClassName: sandbox-host-network\n") + two_containers);
  ASSERT_TRUE(ready) << ready.error().to_string();
  EXPECT_EQ(asked(), "hello");
  const auto said = [this] {
    return std::find(lines_.begin(), lines_.end(), "[helper] stubborn") != lines_.end();
  };
  EXPECT_TRUE(loop_.run(testing_world::eventually(loop_.env().timers, said)));
}

TEST_F(SandboxInstances, containers_with_a_network_of_their_own_reach_each_other_in_it) {
  const Result<void> ready = deploy(R"(
      runtimeClassName: sandbox
      containers:
      - image: local/guest:v1
        args: [serve]
        ports: [{containerPort: 8080}]
      - name: helper
        image: local/guest:v1
        args: [serve]
        env: [{name: PORT, value: "9090"}]
        readinessProbe: {httpGet: {path: /, port: 9090}}
      - name: caller
        image: local/guest:v1
        args: [keep-reaching, "127.0.0.1", "8080", "127.0.0.1", "9090"]
)");
  ASSERT_TRUE(ready) << ready.error().to_string();
  EXPECT_EQ(asked(), "hello");
  const auto said = [this] {
    return std::count(lines_.begin(), lines_.end(), "[caller] 127.0.0.1 8080: done") > 0 &&
           std::count(lines_.begin(), lines_.end(), "[caller] 127.0.0.1 9090: done") > 0;
  };
  EXPECT_TRUE(loop_.run(testing_world::eventually(loop_.env().timers, said)));
}

}  // namespace
}  // namespace knative
