// Documents of Knative Build whose steps run in images: one that buildah makes of busybox alone,
// from a registry of this machine.
#include <sys/stat.h>

#include "build_documents_fixture.hpp"
#include "support/real_world.hpp"

namespace knative {
namespace {

using testing::HasSubstr;

// The registry and what is in it, for all tests of the program.
class Registry {
 public:
  Registry() {
    for (const char* tool : {"docker-registry", "buildah", "busybox"}) {
      const std::string look = "command -v " + std::string(tool) + " >/dev/null";
      if (std::system(look.c_str()) != 0) missing_ = tool;
    }
    if (::geteuid() != 0) missing_ = "root";
    if (!missing_.empty()) return;
    port_ = loop_.env().network.listen(Endpoint{}).value()->endpoint().port;
    const std::string place = folder_.path();
    std::ofstream(place + "/registry.yml")
        << "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
           "storage: {filesystem: {rootdirectory: " +
               place + "/kept}}\nhttp: {addr: '127.0.0.1:" + std::to_string(port_) + "'}\n";
    ProcessOptions options;
    options.argv = {"docker-registry", "serve", place + "/registry.yml"};
    options.environment = {{"PATH", "/usr/local/bin:/usr/bin:/bin"}};
    process_ = loop_.env().processes.spawn(options).value();
    const std::string made =
        "cd " + place +
        " && exec >made.log 2>&1 && set -ex; "
        "B=\"buildah --root $PWD/root --runroot $PWD/run --storage-driver vfs\"; C=$($B from "
        "scratch); mkdir -p tree/bin tree/tmp; chmod 1777 tree/tmp; cp $(command -v busybox) "
        "tree/bin/busybox; for name in $(busybox --list); do [ $name = busybox ] || ln -s busybox "
        "tree/bin/$name; done; $B copy $C tree /; $B config --entrypoint '[\"/bin/busybox\"]' "
        "--cmd "
        "'' --env PATH=/bin --env OF_IMAGE=set $C; $B commit $C made; $B config --user 1000:1000 "
        "$C; $B commit $C user; for name in made user; do for n in $(seq 50); do $B push "
        "--tls-verify=false $name docker://127.0.0.1:" +
        std::to_string(port_) + "/$name:v1 && break; sleep 0.1; done; done; $B rm $C";
    if (std::system(("{ " + made + "; }").c_str()) != 0) {
      missing_ = "an image: " + loop_.env().files.read_file(place + "/made.log").value_or("");
    }
  }
  const std::string& missing() const { return missing_; }
  std::string image(const std::string& name) const {
    return "127.0.0.1:" + std::to_string(port_) + "/" + name + ":v1";
  }

 private:
  testing_world::TemporaryDirectory folder_;
  Loop loop_{testing_world::quiet()};
  std::string missing_;
  std::uint16_t port_ = 0;
  std::unique_ptr<Process> process_;
};

class ContainerDocuments : public BuildDocuments {
 protected:
  static void SetUpTestSuite() { registry_ = std::make_unique<Registry>(); }
  static void TearDownTestSuite() { registry_.reset(); }
  void SetUp() override {
    if (!registry_->missing().empty()) {
      GTEST_SKIP() << "STEPS IN IMAGES ARE NOT TESTED HERE: no " << registry_->missing();
    }
    const IsolationSupport support = loop_.env().processes.isolation(folder_.path);
    if (!support.possible)
      GTEST_SKIP() << "STEPS IN IMAGES ARE NOT TESTED HERE: " << support.reason;
    busybox_ = registry_->image("made");
    BuildDocuments::SetUp();
  }
  static std::unique_ptr<Registry> registry_;
};
std::unique_ptr<Registry> ContainerDocuments::registry_;

TEST_F(ContainerDocuments, ArgumentsAloneGoToTheImagesProgram) {
  expect_success("  steps: [{image: BUSYBOX, args: [echo, hi]}]");
  EXPECT_THAT(output_, HasSubstr("build-step-unnamed-0: hi\n"));
}

TEST_F(ContainerDocuments, StepsSeeTheirImageTheWorkspaceAndTheHome) {
  expect_success(R"y(
  source: {git: {url: REPO, revision: master}}
  steps:
  - image: BUSYBOX
    command: [sh, -exc]
    args: ["test $(pwd) = /workspace; test $HOME = /builder/home; test $OF_IMAGE = set; test $(cat file) = hello; test ! -e /usr/bin/env; echo x > made; echo y > $HOME/kept; echo z > /bin/new"]
  - {image: BUSYBOX, command: [sh, -exc], args: ["test -e /workspace/made; test -e $HOME/kept; test ! -e /bin/new"]}
  - {image: host, command: [/bin/sh, -exc], args: ["test -e /workspace/made; test -e /builder/home/kept"]})y");
}

TEST_F(ContainerDocuments, AFailingStepFailsTheBuildWithItsExitCode) {
  expect_failure("StepFailed", "step \"build-step-fails\" ended with exit code 7", R"y(
  steps:
  - {name: fails, image: BUSYBOX, command: [sh, -c, "exit 7"]}
  - {name: never, image: BUSYBOX, args: [echo, never]})y");
  EXPECT_THAT(output_, testing::Not(HasSubstr("never")));
}

TEST_F(ContainerDocuments, AProgramThatIsKilledSaysBySignal) {
  const build::BuildStatus status = run(R"y(
  steps: [{name: panics, image: BUSYBOX, command: [sh, -c, "sh -c 'kill -ABRT $$'; exit $?"]}])y");
  EXPECT_TRUE(succeeded(status).is_false());
  EXPECT_EQ(status.step_states.at(0).terminated->exit_code, 134);
}

TEST_F(ContainerDocuments, AProgramThatIsNotInTheImageDoesNotStart) {
  expect_failure("StepFailed", "/usr/bin/python3", R"y(
  steps: [{image: BUSYBOX, command: [/usr/bin/python3]}])y");
}

TEST_F(ContainerDocuments, AnImageThatIsNotInTheRegistryFailsTheStepByItsName) {
  expect_failure("StepFailed", "absent:v9",
                 "  steps: [{name: s, image: \"" + registry_->image("absent:v9") + "\"}]");
}

TEST_F(ContainerDocuments, ALowTimeoutEndsWhatRuns) {
  expect_failure("BuildTimeout", "Build \"b\" failed to finish within \"2s\"", R"y(
  timeout: 2s
  steps: [{image: BUSYBOX, args: [sleep, "1000"]}])y");
}

TEST_F(ContainerDocuments, TerminationMessagesComeFromInside) {
  const build::BuildStatus status = run(R"y(
  steps:
  - {image: BUSYBOX, command: [sh, -c, "echo one > /dev/termination-log"]}
  - {image: BUSYBOX, command: [sh, -c, "echo two > /other/place"], terminationMessagePath: /other/place}
  - image: BUSYBOX
    command: [sh, -c, "echo said; exit 3"]
    terminationMessagePolicy: FallbackToLogsOnError)y");
  ASSERT_EQ(status.step_states.size(), 3U);
  EXPECT_EQ(status.step_states[0].terminated->message, "one\n");
  EXPECT_EQ(status.step_states[1].terminated->message, "two\n");
  EXPECT_EQ(status.step_states[2].terminated->message, "said\n");
}

TEST_F(ContainerDocuments, AVolumeIsSharedAtTwoPlaces) {
  expect_success(R"y(
  volumes: [{name: v, emptyDir: {}}]
  steps:
  - {image: BUSYBOX, command: [sh, -c, "echo x > /a/x"], volumeMounts: [{name: v, mountPath: /a}]}
  - {image: BUSYBOX, command: [sh, -c, "test -e /b/c/x"], volumeMounts: [{name: v, mountPath: /b/c}]})y");
}

TEST_F(ContainerDocuments, TheWorkspaceAndTheHomeMayBeMountedOver) {
  expect_success(R"y(
  volumes: [{name: v, emptyDir: {}}, {name: w, emptyDir: {}}]
  steps:
  - {image: BUSYBOX, command: [sh, -c, "echo x > /workspace/x; echo x > /builder/home/x"]}
  - image: BUSYBOX
    command: [sh, -c, "test ! -e /workspace/x && test ! -e /builder/home/x"]
    volumeMounts: [{name: v, mountPath: /workspace}, {name: w, mountPath: /builder/home}])y");
}

TEST_F(ContainerDocuments, AWorkingDirectoryThatIsAbsentIsMade) {
  expect_success(R"y(
  steps:
  - {image: BUSYBOX, workingDir: /workspace/a/b, command: [sh, -c, "test $(pwd) = /workspace/a/b; echo x > c"]}
  - {image: BUSYBOX, workingDir: a, command: [sh, -c, "test -e b/c"]}
  - {image: BUSYBOX, workingDir: /elsewhere/deep, command: [sh, -c, "test $(pwd) = /elsewhere/deep"]})y");
}

constexpr const char* values = R"y(
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {mode: fast}
---
apiVersion: v1
kind: Secret
metadata: {name: login}
stringData: {user: ada})y";

TEST_F(ContainerDocuments, ConfigMapsAndSecretsAreEnvironmentAndFiles) {
  expect_success(R"y(
  volumes: [{name: c, configMap: {name: settings}}, {name: s, secret: {secretName: login}}]
  steps:
  - image: BUSYBOX
    command: [sh, -exc]
    args: ["test $MODE/$USER_/$(cat /etc/c/mode)/$(cat /etc/s/user) = fast/ada/fast/ada; if echo x > /etc/s/user; then exit 9; fi"]
    env:
    - {name: MODE, valueFrom: {configMapKeyRef: {name: settings, key: mode}}}
    - {name: USER_, valueFrom: {secretKeyRef: {name: login, key: user}}}
    volumeMounts: [{name: c, mountPath: /etc/c}, {name: s, mountPath: /etc/s, readOnly: true}])y",
                 values);
}

TEST_F(ContainerDocuments, AnyImageIsASource) {
  expect_success(R"y(
  source: {custom: {image: BUSYBOX, args: [sh, -c, "mkdir another && echo mine > another/file"]}}
  template: {name: t, arguments: [{name: WHAT, value: file}]})y",
                 R"y(
apiVersion: build.knative.dev/v1alpha1
kind: BuildTemplate
metadata: {name: t}
spec:
  parameters: [{name: WHAT}]
  steps: [{image: BUSYBOX, command: [grep], args: [mine, "another/${WHAT}"]}])y");
}

TEST_F(ContainerDocuments, AClusterTemplateNamesItsImageByArguments) {
  const std::string image = registry_->image("made");
  const std::size_t colon = image.rfind(':');
  expect_success(
      "  template: {name: t, kind: ClusterBuildTemplate, arguments: [{name: TAG, value: " +
          image.substr(colon + 1) + "}]}",
      R"y(
apiVersion: build.knative.dev/v1alpha1
kind: ClusterBuildTemplate
metadata: {name: t}
spec:
  parameters: [{name: TAG, default: none}]
  steps: [{image: ")y" +
          image.substr(0, colon) + R"y(:${TAG}", args: ["true"]}])y");
}

TEST_F(ContainerDocuments, ASubPathIsTheWorkspaceOfContainers) {
  expect_success(R"y(
  source: {git: {url: REPO, revision: master}, subPath: deep/sub}
  steps: [{image: BUSYBOX, command: [sh, -exc], args: ["test $(cat /workspace/inner) = inner; test ! -e ../file"]}])y");
  expect_failure("StepFailed", "step \"build-step-unnamed-0\" ended with exit code 1", R"y(
  source: {git: {url: REPO, revision: master}, subPath: deep}
  steps: [{image: BUSYBOX, command: [sh, -c, "test -e file"]}])y");
}

TEST_F(ContainerDocuments, TheImagesUserRunsAndMayWriteTheWorkspace) {
  const std::string user = registry_->image("user");
  expect_success(
      "  steps:\n  - {image: \"" + user +
      R"y(", command: [sh, -exc], args: ["test $(id -u):$(id -g) = 1000:1000; echo x > made; echo x > $HOME/x"]}
  - {image: BUSYBOX, command: [sh, -exc], args: ["test $(stat -c %u made) = 1000"]}
  - {image: BUSYBOX, command: [sh, -exc], args: ["test $(id -u) = 77"], securityContext: {runAsUser: 77}})y");
}

TEST_F(ContainerDocuments, WhatAStepLeavesRunningIsGone) {
  expect_success(R"y(
  steps:
  - {image: BUSYBOX, command: [sh, -c, "setsid sleep 86397.5 & echo left"]}
  - {image: host, command: [/bin/sh, -c, "! grep -ls '[8]6397.5' /proc/[0-9]*/cmdline"]})y");
}

TEST_F(ContainerDocuments, StepsReachTheNetworkOfThisMachine) {
  const std::string image = registry_->image("made");
  expect_success("  steps: [{image: BUSYBOX, args: [wget, -q, -O, \"-\", \"http://" +
                 image.substr(0, image.find('/')) + "/v2/\"]}]");
}

TEST_F(ContainerDocuments, TheFilesAreOnTheImageThatTheDocumentNames) {
  const build::BuildStatus status = run(R"y(
  image: local/made:v1
  imageConfig: {base: BUSYBOX, entrypoint: [/bin/cat, /app/out], contents: [{path: out, target: /app/}]}
  steps: [{image: BUSYBOX, command: [sh, -c, "echo built > out"]}])y");
  ASSERT_TRUE(succeeded(status).is_true()) << succeeded(status).message << output_;
  expect_success("  steps: [{image: \"" + status.image + "\"}]");
  EXPECT_THAT(output_, HasSubstr("built\n"));
}

}  // namespace
}  // namespace knative
