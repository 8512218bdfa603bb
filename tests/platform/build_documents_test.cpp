// Documents of Knative Build whose steps run on this machine: each succeeds or fails for the reason
// that it is about.
#include "build_documents_fixture.hpp"

namespace knative {
namespace {

using testing::HasSubstr;

// ---------------------------------------------------------------------------- steps

TEST_F(BuildDocuments, StepsRunInOrderWithTheirNames) {
  const build::BuildStatus status = run(R"y(
  steps:
  - {name: one, image: host, command: [/bin/sh], args: [-c, "echo 1 > a"]}
  - {image: host, command: [/bin/sh], args: [-c, "test $(cat a) = 1"]})y");
  EXPECT_TRUE(succeeded(status).is_true()) << succeeded(status).message;
  EXPECT_EQ(succeeded(status).reason, "");
  EXPECT_EQ(status.steps_completed,
            (std::vector<std::string>{"build-step-one", "build-step-unnamed-1"}));
}

TEST_F(BuildDocuments, AFailingStepFailsTheBuild) {
  expect_failure("StepFailed", "step \"build-step-fails\" ended with exit code 1", R"y(
  steps:
  - {name: fails, image: host, command: [/bin/false]}
  - {name: never, image: host, command: [/bin/true]})y");
}

TEST_F(BuildDocuments, AProgramThatIsKilledFailsTheBuild) {
  const build::BuildStatus status = run(R"y(
  steps: [{name: panics, image: host, command: [/bin/sh, -c, "kill -ABRT $$"]}])y");
  EXPECT_TRUE(succeeded(status).is_false());
  EXPECT_EQ(status.step_states.at(0).terminated->exit_code, 134);
}

TEST_F(BuildDocuments, ALowTimeoutIsKept) {
  const auto begun = loop_.env().timers.now();
  expect_failure("BuildTimeout", "Build \"b\" failed to finish within \"1s\"", R"y(
  timeout: 1s
  steps: [{image: host, command: [/bin/sleep], args: ["1000"]}])y");
  EXPECT_GE(loop_.env().timers.now() - begun, std::chrono::seconds(1));
}

TEST_F(BuildDocuments, ABuildThatWaitsForASecretUntilItsTimeoutNamesIt) {
  expect_failure("BuildTimeout",
                 "Build \"b\" failed to finish within \"1s\": volume \"s\": Secret \"absent\" "
                 "not found",
                 R"y(
  timeout: 1s
  volumes: [{name: s, secret: {secretName: absent}}]
  steps: [{image: host, command: [/bin/true]}])y");
}

TEST_F(BuildDocuments, AHighTimeoutIsNoWait) {
  expect_success("  timeout: 1h\n  steps: [{image: host, command: [/bin/true]}]");
}

TEST_F(BuildDocuments, TheHomeIsSharedAndMayBeMountedOver) {
  expect_success(R"y(
  volumes: [{name: mine, emptyDir: {}}]
  steps:
  - {image: host, command: [/bin/sh, -c, "test \"$HOME\" = /builder/home || test -d $HOME; echo x > $HOME/x"]}
  - {image: host, command: [/bin/sh, -c, "test $(cat $HOME/x) = x"]}
  - image: host
    command: [/bin/sh, -c, "test ! -e /builder/home/x"]
    volumeMounts: [{name: mine, mountPath: /builder/home}])y");
}

TEST_F(BuildDocuments, TheWorkspaceIsWhereStepsAreAndMayBeMountedOver) {
  expect_success(R"y(
  volumes: [{name: mine, emptyDir: {}}]
  steps:
  - {image: host, command: [/bin/sh, -c, "echo x > /workspace/x; test -e x"]}
  - {image: host, workingDir: /workspace/absent/dir, command: [/bin/sh, -c, "test -e ../../x"]}
  - image: host
    command: [/bin/sh, -c, "test ! -e /workspace/x"]
    volumeMounts: [{name: mine, mountPath: /workspace/}])y");
}

TEST_F(BuildDocuments, TerminationMessagesStandInTheStates) {
  const build::BuildStatus status = run(R"y(
  steps:
  - {image: host, command: [/bin/sh, -c, "echo one > /dev/termination-log"]}
  - image: host
    command: [/bin/sh, -c, "echo two > /other/place"]
    terminationMessagePath: /other/place
  - image: host
    command: [/bin/sh, -c, "echo said; exit 3"]
    terminationMessagePolicy: FallbackToLogsOnError)y");
  ASSERT_EQ(status.step_states.size(), 3U);
  EXPECT_EQ(status.step_states[0].terminated->message, "one\n");
  EXPECT_EQ(status.step_states[1].terminated->message, "two\n");
  EXPECT_EQ(status.step_states[2].terminated->message, "said\n");
}

// ---------------------------------------------------------------------------- values and volumes

constexpr const char* objects = R"y(
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {mode: fast, other: slow}
---
apiVersion: v1
kind: Secret
metadata: {name: login}
stringData: {user: ada, password: "p$(x)"
})y";

TEST_F(BuildDocuments, ConfigMapsAndSecretsAreEnvironment) {
  expect_success(R"y(
  steps:
  - image: host
    command: [/bin/sh, -c]
    args: ["test \"$A/$B/$P_user/$POD/$SPACE/$TEAM/${NONE-unset}\" = 'fast/p$(x)/ada/'$POD/default/red/unset && case $POD in b-pod-*) ;; *) exit 1; esac"]
    env:
    - {name: A, valueFrom: {configMapKeyRef: {name: settings, key: mode}}}
    - {name: B, valueFrom: {secretKeyRef: {name: login, key: password}}}
    - {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: SPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
    - {name: TEAM, valueFrom: {fieldRef: {fieldPath: "metadata.labels['team']"}}}
    - {name: NONE, valueFrom: {secretKeyRef: {name: absent, key: k, optional: true}}}
    envFrom: [{prefix: P_, secretRef: {name: login}}])y",
                 objects);
}

TEST_F(BuildDocuments, ConfigMapsSecretsAndFieldsAreFiles) {
  expect_success(R"y(
  volumes:
  - {name: c, configMap: {name: settings, defaultMode: 0444, items: [{key: mode, path: a/b, mode: 0400}, {key: other, path: o}]}}
  - {name: s, secret: {secretName: login}}
  - {name: none, secret: {secretName: absent, optional: true}}
  - {name: d, downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}}
  - name: p
    projected: {sources: [{secret: {name: login}}, {configMap: {name: settings, items: [{key: mode, path: m}]}}, {downwardAPI: {items: [{path: space, fieldRef: {fieldPath: metadata.namespace}}]}}]}
  steps:
  - image: host
    command: [/bin/sh, -exc]
    args: ["test $(cat /c/a/b) = fast; test $(stat -c %a /c/a/b /c/o | tr -d '\\n') = 400444; test $(cat /s/user) = ada; test \"$(cat /s/password)\" = 'p$(x)'; test -z \"$(ls /n)\"; grep -q 'team=\"red\"' /d/labels; test $(cat /p/user /p/m /p/space) = adafastdefault; test $(cat /one) = slow"]
    volumeMounts:
    - {name: c, mountPath: /c}
    - {name: c, mountPath: /one, subPath: o}
    - {name: s, mountPath: /s}
    - {name: none, mountPath: /n}
    - {name: d, mountPath: /d}
    - {name: p, mountPath: /p})y",
                 objects);
}

TEST_F(BuildDocuments, AVolumeWhoseSecretComesLaterIsWaitedFor) {
  apply(R"y(
apiVersion: build.knative.dev/v1alpha1
kind: Build
metadata: {name: b}
spec:
  volumes: [{name: s, secret: {secretName: login}}]
  steps: [{image: host, command: [/bin/sh, -c, "test $(cat /s/user) = ada"], volumeMounts: [{name: s, mountPath: /s}]}])y");
  const auto pending = [](const AnyObject& object) {
    const auto* build = object.get_if<build::Build>();
    const Condition* done = find_condition(build->status.conditions, "Succeeded");
    return done != nullptr && done->reason == "Pending" && done->message != "Pending";
  };
  const Result<AnyObject> waiting =
      loop_.run(platform_->wait_for(ref(), pending, std::chrono::seconds(10)));
  ASSERT_TRUE(waiting) << waiting.error().to_string();
  EXPECT_EQ(succeeded(waiting->get_if<build::Build>()->status).message,
            "volume \"s\": Secret \"login\" not found");
  apply(objects);
  EXPECT_TRUE(succeeded(ended()).is_true()) << output_;
}

TEST_F(BuildDocuments, AClaimIsKeptBetweenBuildsAndPlatforms) {
  const std::string spec = R"y(
  volumes: [{name: v, persistentVolumeClaim: {claimName: cache}}]
  steps: [{image: host, command: [/bin/sh, -c, "SCRIPT"], volumeMounts: [{name: v, mountPath: /cache}]}])y";
  const auto with = [&](const std::string& script) {
    std::string text = spec;
    return text.replace(text.find("SCRIPT"), 6, script);
  };
  expect_success(with("echo kept > /cache/file"));
  begin({});
  expect_success(with("test $(cat /cache/file) = kept"));
}

TEST_F(BuildDocuments, HostPathsAreTheHostsToAllow) {
  const std::string spec = R"y(
  volumes: [{name: v, hostPath: {path: REPO, type: Directory}}]
  steps: [{image: host, command: [/bin/sh, -c, "test -e /there/file"], volumeMounts: [{name: v, mountPath: /there}]}])y";
  expect_failure("BuildExecuteFailed", "volume \"v\": hostPath is not allowed", spec);
  PlatformOptions options;
  options.host_path_volumes = true;
  begin(std::move(options));
  expect_success(spec);
}

TEST_F(BuildDocuments, AVolumeMayBeARepository) {
  expect_success(R"y(
  volumes:
  - {name: g, gitRepo: {repository: REPO, revision: side}}
  - {name: flat, gitRepo: {repository: REPO, directory: .}}
  steps:
  - image: host
    workingDir: /w/a/b
    command: [/bin/sh, -exc, "test $(cat /g/repo/file) = side; test $(cat /w/file) = hello"]
    volumeMounts: [{name: g, mountPath: /g}, {name: flat, mountPath: /w}])y");
}

TEST_F(BuildDocuments, OneEmptyVolumeAtTwoPlaces) {
  expect_success(R"y(
  volumes: [{name: v, emptyDir: {}}]
  steps:
  - {image: host, command: [/bin/sh, -c, "echo x > /a/x"], volumeMounts: [{name: v, mountPath: /a}]}
  - {image: host, command: [/bin/sh, -c, "test -e /b/c/x"], volumeMounts: [{name: v, mountPath: /b/c}]})y");
}

// ---------------------------------------------------------------------------- sources

TEST_F(BuildDocuments, GitByBranchTagCommitAndRef) {
  for (const char* revision : {"master", "v1", "COMMIT", "refs/pull/7/head", "pull/7/head"}) {
    SCOPED_TRACE(revision);
    expect_success("  source: {git: {url: REPO, revision: " + std::string(revision) + R"y(}}
  steps: [{image: host, command: [/bin/sh, -c, "test $(cat file) = hello"]}])y");
  }
  expect_failure("SourceFailed", "nowhere", R"y(
  source: {git: {url: REPO, revision: nowhere}}
  steps: [{image: host, command: [/bin/true]}])y");
}

TEST_F(BuildDocuments, SubPathIsTheWorkspace) {
  expect_success(R"y(
  source: {git: {url: REPO, revision: master}, subPath: deep/sub}
  steps: [{image: host, command: [/bin/sh, -c, "test $(cat /workspace/inner) = inner"]}])y");
}

TEST_F(BuildDocuments, ASubPathThatNoSourceBroughtIsEmpty) {
  expect_failure("StepFailed", "step \"build-step-unnamed-0\" ended with exit code 1", R"y(
  source: {git: {url: REPO, revision: master}, subPath: absent/dir}
  steps: [{image: host, command: [/bin/sh, -c, "test -e inner"]}])y");
  expect_failure("StepFailed", "step \"build-step-unnamed-0\" ended with exit code 1", R"y(
  source: {git: {url: REPO, revision: master}, subPath: deep}
  steps: [{image: host, command: [/bin/sh, -c, "test -e file"]}])y");
}

TEST_F(BuildDocuments, SourcesHavePlacesOfTheirOwn) {
  expect_success(R"y(
  sources:
  - {name: a, git: {url: REPO, revision: master}, targetPath: basel}
  - {name: b, gcs: {type: Archive, location: TREE}, targetPath: baselrocks}
  steps: [{image: host, command: [/bin/sh, -c, "test $(cat basel/file) = $(cat baselrocks/file)"]}])y");
}

TEST_F(BuildDocuments, AnArchiveFillsTheWorkspace) {
  expect_success(R"y(
  source: {gcs: {type: Archive, location: TREE}}
  steps: [{image: host, command: [/bin/sh, -c, "test $(cat deep/sub/inner) = inner"]}])y");
}

TEST_F(BuildDocuments, ACustomSourceRunsInItsSubPathAndIsHidden) {
  const build::BuildStatus status = run(R"y(
  source: {custom: {image: host, command: [/bin/sh, -c, "pwd; echo mine > made"]}, subPath: inner/dir}
  steps: [{image: host, command: [/bin/sh, -c, "test $(cat /workspace/made) = mine"]}])y");
  EXPECT_TRUE(succeeded(status).is_true()) << succeeded(status).message << output_;
  EXPECT_EQ(status.step_states.size(), 1U);
  EXPECT_EQ(status.steps_completed, std::vector<std::string>{"build-step-unnamed-1"});
}

// ---------------------------------------------------------------------------- templates

constexpr const char* say_template = R"y(
apiVersion: build.knative.dev/v1alpha1
kind: KIND
metadata: {name: say}
spec:
  parameters:
  - {name: WHAT, description: the word}
  - {name: HOW, default: loud}
  - {name: CACHE, default: own}
  volumes: [{name: own, emptyDir: {}}]
  steps:
  - name: say
    image: host
    command: [/bin/sh, -c]
    args: ["WHAT=shell; test \"${WHAT}/${HOW}/$WHAT/$ENV\" = \"$EXPECT\" && echo x > /cache/x"]
    env: [{name: ENV, value: template}, {name: EXPECT, value: none}]
    volumeMounts: [{name: "${CACHE}", mountPath: /cache}])y";

std::string template_of(const std::string& kind) {
  std::string text = say_template;
  return text.replace(text.find("KIND"), 4, kind);
}

TEST_F(BuildDocuments, TemplatesTakeArgumentsDefaultsEnvironmentAndVolumes) {
  for (const std::string kind : {"BuildTemplate", "ClusterBuildTemplate"}) {
    SCOPED_TRACE(kind);
    expect_success(
        "  volumes: [{name: given, persistentVolumeClaim: {claimName: c}}]\n"
        "  template:\n    kind: " +
            kind + R"y(
    name: say
    arguments: [{name: WHAT, value: word}, {name: CACHE, value: given}]
    env: [{name: ENV, value: build}, {name: EXPECT, value: word/loud/shell/build}])y",
        template_of(kind));
    expect_success("  template:\n    kind: " + kind + R"y(
    name: say
    arguments: [{name: WHAT, value: word}, {name: HOW, value: ""}]
    env: [{name: EXPECT, value: word//shell/template}])y");
  }
}

TEST_F(BuildDocuments, ACustomSourceComesBeforeATemplate) {
  expect_success(R"y(
  source: {custom: {image: host, command: [git], args: [clone, -q, REPO, another]}}
  template: {name: t})y",
                 R"y(
apiVersion: build.knative.dev/v1alpha1
kind: BuildTemplate
metadata: {name: t}
spec: {steps: [{image: host, command: [/bin/cat], args: [another/file]}]})y");
}

TEST_F(BuildDocuments, WhatIsWrongWithATemplateIsSaidInKnativesWords) {
  expect_failure("BuildValidationFailed",
                 "UnsatisfiedParameter: build does not specify these required parameters: [{WHAT "
                 "the word}]",
                 "  template: {name: say}", template_of("BuildTemplate"));
  expect_failure("BuildValidationFailed", "DuplicateArgName: duplicate argument name \"WHAT\"",
                 "  template: {name: say, arguments: [{name: WHAT, value: a}, {name: WHAT, value: "
                 "b}]}");
  expect_failure("BuildValidationFailed", "buildtemplates.build.knative.dev \"absent\" not found",
                 "  template: {name: absent}");
  expect_failure("BuildValidationFailed",
                 "clusterbuildtemplates.build.knative.dev \"say\" not found",
                 "  template: {name: say, kind: ClusterBuildTemplate}");
  expect_failure("BuildValidationFailed", "expected exactly one, got both: name", R"y(
  volumes: [{name: own, emptyDir: {}}]
  template: {name: say, arguments: [{name: WHAT, value: a}]})y");
}

// ---------------------------------------------------------------------------- accounts

TEST_F(BuildDocuments, AccountsAndTheirSecretsMustBeThere) {
  expect_failure("BuildValidationFailed", "serviceaccounts \"robot\" not found", R"y(
  serviceAccountName: robot
  steps: [{image: host, command: [/bin/true]}])y");
  expect_failure("BuildValidationFailed", "secrets \"absent\" not found", R"y(
  serviceAccountName: robot
  steps: [{image: host, command: [/bin/true]}])y",
                 R"y(
apiVersion: v1
kind: ServiceAccount
metadata: {name: robot}
secrets: [{name: absent}])y");
  expect_failure("BuildValidationFailed", "BadSecretAnnotation: Secret \"absent\" has incorrect",
                 R"y(
  serviceAccountName: robot
  steps: [{image: host, command: [/bin/true]}])y",
                 R"y(
apiVersion: v1
kind: Secret
metadata: {name: absent, annotations: {build.knative.dev/docker-0: index.docker.io}}
type: kubernetes.io/basic-auth
stringData: {username: ada, password: p})y");
}

TEST_F(BuildDocuments, CredentialsStandInTheHomeAndNowhereElse) {
  const build::BuildStatus status = run(R"y(
  serviceAccountName: robot
  image: local/made
  imageConfig: {entrypoint: [/bin/true]}
  steps:
  - image: host
    command: [/bin/sh, -ec]
    args: ["grep -q not@val.id $HOME/.docker/config.json; grep -q 's3cret@git.example' $HOME/.git-credentials; test $(stat -c %a $HOME/.git-credentials) = 600; test -z \"$(ls -A /workspace)\""])y",
                                        R"y(
apiVersion: v1
kind: ServiceAccount
metadata: {name: robot}
secrets: [{name: login}]
---
apiVersion: v1
kind: Secret
metadata:
  name: login
  annotations: {build.knative.dev/git-0: "https://git.example", build.knative.dev/docker-0: "https://reg.example"}
type: kubernetes.io/basic-auth
stringData: {username: ada, password: s3cret})y");
  EXPECT_TRUE(succeeded(status).is_true()) << succeeded(status).message << output_;
  EXPECT_EQ(output_.find("s3cret"), output_.npos);
  EXPECT_FALSE(std::filesystem::exists(folder_.path + "/data/builds") &&
               !std::filesystem::is_empty(folder_.path + "/data/builds"));
}

// ---------------------------------------------------------------------------- changes

TEST_F(BuildDocuments, CancellingChangesTheConditionAlone) {
  const std::string document = R"y(
apiVersion: build.knative.dev/v1alpha1
kind: Build
metadata: {name: b}
spec:
  Status: "STATUS"
  steps:
  - {name: one, image: host, command: [/bin/true]}
  - {name: two, image: host, command: [/bin/sleep], args: ["1000"]})y";
  const auto with = [&](const std::string& status) {
    std::string text = document;
    return text.replace(text.find("STATUS"), 6, status);
  };
  apply(with(""));
  const auto second = [](const AnyObject& object) {
    const auto* build = object.get_if<build::Build>();
    return build->status.step_states.size() == 2 && build->status.step_states[1].running;
  };
  ASSERT_TRUE(loop_.run(platform_->wait_for(ref(), second, std::chrono::seconds(10))));
  apply(with("BuildCancelled"));
  const build::BuildStatus status = ended();
  EXPECT_EQ(succeeded(status).reason, "BuildCancelled");
  EXPECT_EQ(succeeded(status).message, "Build \"b\" was cancelled");
  ASSERT_EQ(status.step_states.size(), 2U);
  EXPECT_EQ(status.step_states[0].terminated->reason, "Completed");
  EXPECT_EQ(status.steps_completed, std::vector<std::string>{"build-step-one"});
  EXPECT_TRUE(status.start_time);
  const Result<void> ready = loop_.run(platform_->ready(ref(), std::chrono::seconds(10)));
  ASSERT_FALSE(ready);
  EXPECT_THAT(ready.error().to_string(), HasSubstr("Build \"b\" was cancelled"));
}

TEST_F(BuildDocuments, AFinishedBuildDoesNotChange) {
  expect_success("  steps: [{image: host, command: [/bin/true]}]");
  const auto changed = platform_->apply_text(
      "{apiVersion: build.knative.dev/v1alpha1, kind: Build, metadata: {name: b}, spec: {steps: "
      "[{image: host, command: [/bin/false]}]}}");
  ASSERT_FALSE(changed);
  EXPECT_THAT(changed.error().detail, HasSubstr("a build that has begun does not change"));
  // To cancel what has ended is no error, and waiting for it ends.
  apply(
      "{apiVersion: build.knative.dev/v1alpha1, kind: Build, metadata: {name: b, labels: {team: "
      "red}}, spec: {Status: BuildCancelled, steps: [{image: host, command: [/bin/true]}]}}");
  EXPECT_TRUE(loop_.run(platform_->ready(ref(), std::chrono::seconds(10))));
}

}  // namespace
}  // namespace knative
