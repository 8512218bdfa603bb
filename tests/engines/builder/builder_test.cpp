// Whole builds: a commit becomes an image, or one clear error.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <csignal>
#include <thread>

#include "builder_fixture.hpp"
#include "support/paths.hpp"

namespace knative {
namespace {

class Builds : public BuilderFixture {
 protected:
  bool build_folders_are_gone() {
    Result<std::vector<FileInfo>> left = env().files.list(options_.directory);
    return !left || left->empty();
  }
  // Is a process alive that has `marker` in its command line?
  static bool process_exists(const std::string& marker) {
    for (const auto& entry : fs::directory_iterator("/proc")) {
      std::ifstream file(entry.path() / "cmdline");
      std::string line;
      std::getline(file, line);
      if (line.find(marker) != std::string::npos) return true;
    }
    return false;
  }
  // Killed processes are there until the kernel gets round to them.
  static bool processes_end(const std::string& marker) {
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (process_exists(marker)) {
      if (std::chrono::steady_clock::now() > limit) return false;
      std::this_thread::yield();
    }
    return true;
  }
};

TEST_F(Builds, ACommitBecomesAnImage) {
  write("repo/hello.txt", "hello");
  commit("repo");
  build::Build build = from_git(path("repo"));
  build.spec.steps = {sh("compile", "echo compiling; tr a-z A-Z < hello.txt > out.txt")};
  build.spec.image = "local/shop:v1";
  build.spec.image_config.emplace();
  build.spec.image_config->entrypoint = {"/workspace/run"};
  build.spec.image_config->env = {{.name = "MODE", .value = "x", .value_from = {}}};
  build.spec.image_config->ports = {8080};
  const BuildOutcome outcome = execute(build);
  ASSERT_FALSE(outcome.error) << outcome.error->to_string();
  EXPECT_TRUE(succeeded(outcome).is_true());
  EXPECT_EQ(reasons_, (std::vector<std::string>{"Unknown/Pending", "Unknown/Building", "True/"}));
  EXPECT_EQ(outcome.status.sources.at(0).revision, head("repo"));
  EXPECT_EQ(outcome.status.steps_completed, std::vector<std::string>{"build-step-compile"});
  EXPECT_EQ(outcome.status.step_states.at(0).terminated->exit_code, 0);
  EXPECT_EQ(outcome.status.step_states.at(0).terminated->reason, "Completed");
  EXPECT_TRUE(outcome.status.start_time && outcome.status.completion_time);
  EXPECT_EQ(log_["build-step-compile"], "compiling\n");
  EXPECT_EQ(outcome.status.image.substr(0, 18), "local/shop@sha256:");

  const oci::ImageConfig config = unpack(outcome.status.image, "root");
  EXPECT_EQ(read("root/workspace/out.txt"), "HELLO");
  EXPECT_FALSE(fs::exists(path("root/workspace/.git")));
  EXPECT_EQ(config.entrypoint, std::vector<std::string>{"/workspace/run"});
  EXPECT_EQ(config.environment, std::vector<std::string>{"MODE=x"});
  EXPECT_EQ(config.working_directory, "/workspace");
  EXPECT_EQ(config.exposed_ports, std::set<std::string>{"8080/tcp"});
  EXPECT_EQ(config.created, "2023-11-14T22:13:20Z") << "the commit's time";
  EXPECT_TRUE(store_->resolve(oci::Reference::parse("local/shop:v1").value()));
  EXPECT_TRUE(build_folders_are_gone());
}

TEST_F(Builds, SameInputGivesTheSameDigest) {
  write("one/a", "1");
  write("one/b/c", "2");
  write("one/start.sh", "#!/bin/sh\n", true);
  commit("one");
  shell("cp -r one two && git clone -q two three");  // other paths, times and inode order
  std::set<std::string> digests;
  for (const char* repository : {"one", "two", "three"}) {
    options_.directory = path(std::string("builds-") + repository);
    builder_.reset();
    build::Build build = from_git(path(repository));
    build.spec.image = std::string("local/") + repository;
    const BuildOutcome outcome = execute(build);
    ASSERT_FALSE(outcome.error) << outcome.error->to_string();
    digests.insert(outcome.status.image.substr(outcome.status.image.find('@')));
  }
  EXPECT_EQ(digests.size(), 1u);
}

TEST_F(Builds, AnotherContentGivesAnotherDigest) {
  write("repo/start.sh", "#!/bin/sh\n", true);
  commit("repo");
  build::Build build = from_git(path("repo"));
  build.spec.image = "local/x";
  const std::string first = execute(build).status.image;
  write("repo/start.sh", "#!/bin/sh\nexit\n", true);
  commit("repo");
  EXPECT_NE(execute(build).status.image, first);
}

TEST_F(Builds, RecognisedSourcesNeedNoSteps) {
  write("repo/Makefile", "server: main.c\n\tcp main.c server && chmod +x server\n");
  write("repo/main.c", "#!/bin/sh\n");
  write("repo/Procfile", "web: ./server\n");
  commit("repo");
  build::Build build = from_git(path("repo"));
  build.spec.image = "local/made";
  const BuildOutcome outcome = execute(build);
  ASSERT_FALSE(outcome.error) << outcome.error->to_string();
  EXPECT_EQ(unpack(outcome.status.image, "root").entrypoint,
            std::vector<std::string>{"/workspace/server"});
  EXPECT_EQ(fs::status(path("root/workspace/server")).permissions() & fs::perms::owner_exec,
            fs::perms::owner_exec);
}

TEST_F(Builds, TheSampleApplicationCompilesToTheSameDigestTwice) {
  std::set<std::string> digests;
  for (const std::string name : {"one", "two"}) {
    fs::copy(testing_paths::source() + "/examples/sample-app", path(name),
             fs::copy_options::recursive);
    commit(name);
    options_.directory = path("builds-of-" + name);
    builder_.reset();
    build::Build build = from_git("file://" + path(name), "");
    build.spec.image = "local/sample:" + name;
    const BuildOutcome outcome = execute(build);
    ASSERT_FALSE(outcome.error) << outcome.error->to_string() << log_["build-step-make"];
    digests.insert(outcome.status.image);
    unpack(outcome.status.image, "root-" + name);
    EXPECT_TRUE(fs::exists(path("root-" + name + "/workspace/server")));
  }
  EXPECT_EQ(digests.size(), 1u);
}

TEST_F(Builds, WhatAStepLeavesRunningDoesNotHoldTheBuild) {
  const std::string marker = "86397." + std::to_string(::getpid());
  build::Build build;
  build.metadata.name = "b";
  build.spec.steps = {sh("daemon", "sleep " + marker + " & echo done")};
  const BuildOutcome outcome = execute(build);
  ASSERT_FALSE(outcome.error) << outcome.error->to_string();
  EXPECT_TRUE(processes_end(marker));
}

TEST_F(Builds, AnUnrecognisedSourceIsOneClearError) {
  write("repo/README", "");
  commit("repo");
  build::Build build = from_git(path("repo"));
  build.spec.image = "local/x";
  const BuildOutcome outcome = execute(build);
  EXPECT_EQ(outcome.error->code, Errc::not_found);
  EXPECT_EQ(succeeded(outcome).reason, "SourceNotRecognised");
  EXPECT_NE(outcome.error->detail.find("Procfile"), std::string::npos);
  write("repo/Procfile", "web: ./missing");
  commit("repo");
  EXPECT_NE(execute(build).error->detail.find("\"missing\""), std::string::npos);
}

TEST_F(Builds, RunReportsFailureAsAnError) {
  build::Build build;
  build.metadata.name = "b";
  build.spec.steps = {sh("ok", "true")};
  EXPECT_EQ(loop_.run(builder().run(build)).value().image, "");
  build.spec.steps = {sh("bad", "echo no luck; exit 3")};
  EXPECT_EQ(loop_.run(builder().run(build)).error().code, Errc::failed_precondition);
}

TEST_F(Builds, AFailingStepEndsTheBuild) {
  build::Build build;
  build.metadata.name = "b";
  build.spec.steps = {sh("first", "echo fine"), sh("second", "echo 'no luck' >&2; exit 3"),
                      sh("third", "echo never")};
  const BuildOutcome outcome = execute(build);
  EXPECT_EQ(outcome.error->code, Errc::failed_precondition);
  EXPECT_EQ(outcome.error->detail,
            "step \"build-step-second\" ended with exit code 3, its output tells why");
  EXPECT_TRUE(succeeded(outcome).is_false());
  EXPECT_EQ(succeeded(outcome).reason, "StepFailed");
  EXPECT_EQ(outcome.status.steps_completed,
            (std::vector<std::string>{"build-step-first", "build-step-second"}));
  EXPECT_EQ(outcome.status.step_states[1].terminated->exit_code, 3);
  EXPECT_TRUE(outcome.status.step_states[2].waiting);
  EXPECT_EQ(log_.count("build-step-third"), 0u);
  EXPECT_TRUE(build_folders_are_gone());
}

TEST_F(Builds, AStepThatCannotStartIsSaidSo) {
  build::Build build;
  build.metadata.name = "b";
  build::Step step;
  step.name = "s";
  step.image = "gcc:12";
  step.command = {"no-such-program"};
  build.spec.steps = {step};
  EXPECT_EQ(execute(build).error->code, Errc::not_found);
  build.spec.steps[0].command.clear();
  EXPECT_NE(execute(build).error->detail.find("names a program to run"), std::string::npos);
  build.spec.steps[0].image = "fn:nope";
  EXPECT_NE(execute(build).error->detail.find("\"nope\""), std::string::npos);
}

TEST_F(Builds, AStepThatNeverEndsIsKilledWithAllItStarted) {
  build::Build build;
  build.metadata.name = "slow";
  const std::string marker = "86399." + std::to_string(::getpid());
  build.spec.steps = {sh("hang", "sleep " + marker + " & sleep " + marker)};
  build.spec.timeout = std::chrono::milliseconds(500);
  const BuildOutcome outcome = execute(build);
  EXPECT_EQ(outcome.error->code, Errc::deadline_exceeded);
  EXPECT_EQ(outcome.error->detail, "Build \"slow\" failed to finish within \"500ms\"");
  EXPECT_EQ(succeeded(outcome).reason, "BuildTimeout");
  ASSERT_EQ(outcome.status.step_states.size(), 1U);
  EXPECT_FALSE(outcome.status.step_states[0].running);
  ASSERT_TRUE(outcome.status.step_states[0].terminated);
  EXPECT_EQ(outcome.status.step_states[0].terminated->exit_code, 137);
  EXPECT_TRUE(processes_end(marker));
  EXPECT_TRUE(build_folders_are_gone());
}

TEST_F(Builds, ATimeoutOfZeroEndsAtOnce) {
  build::Build build;
  build.metadata.name = "b";
  build.spec.steps = {sh("s", "true")};
  build.spec.timeout = Duration::zero();
  EXPECT_EQ(succeeded(execute(build)).reason, "BuildTimeout");
}

TEST_F(Builds, DroppingTheTaskCancels) {
  const std::string marker = "86398." + std::to_string(::getpid());
  build::Build build;
  build.metadata.name = "b";
  build.spec.steps = {sh("hang", "echo started; sleep " + marker)};
  std::string output;
  BuildCallbacks callbacks;
  callbacks.on_log = [&](std::string_view, std::string_view text) { output += text; };
  auto start_and_drop = [](Builder& builder, const build::Build& what, const BuildCallbacks& calls,
                           const std::string& seen, Timers& timers) -> Task<void> {
    TaskSet tasks(co_await this_executor());
    auto discard = [](Builder& b, const build::Build& w, const BuildCallbacks& c) -> Task<void> {
      Task<BuildOutcome> task = b.execute(w, c);
      (void)co_await std::move(task);
    };
    tasks.add(discard(builder, what, calls));
    const Instant limit = timers.now() + std::chrono::seconds(20);
    while (seen.empty() && timers.now() < limit) {
      co_await timers.sleep_for(std::chrono::milliseconds(2));
    }
  };
  loop_.run(start_and_drop(builder(), build, callbacks, output, env().timers));
  EXPECT_EQ(output, "started");
  EXPECT_TRUE(processes_end(marker));
  EXPECT_TRUE(build_folders_are_gone());
}

TEST_F(Builds, ACancelledBuildDoesNotStart) {
  build::Build build;
  build.metadata.name = "b";
  build.spec.steps = {sh("s", "true")};
  build.spec.status = std::string(build::build_cancelled);
  const BuildOutcome outcome = execute(build);
  EXPECT_EQ(outcome.error->code, Errc::cancelled);
  EXPECT_EQ(succeeded(outcome).reason, "BuildCancelled");
}

TEST_F(Builds, WhatIsNotValidIsSaidBeforeAnythingRuns) {
  build::Build build;
  build.metadata.name = "b";
  const BuildOutcome nothing = execute(build);
  EXPECT_EQ(succeeded(nothing).reason, "BuildValidationFailed");
  EXPECT_NE(nothing.error->detail.find("spec.steps"), std::string::npos) << nothing.error->detail;
  build.spec.steps = {sh("s", "true")};
  build.spec.image = "Not A Name";
  EXPECT_EQ(execute(build).error->code, Errc::invalid_argument);
}

TEST_F(Builds, StepsShareTheWorkspaceAndHome) {
  write("repo/sub/file", "x");
  commit("repo");
  build::Build build = from_git(path("repo"));
  build::Step first = sh("first", "echo a > shared; echo b > $HOME/note; test -d $WORKSPACE/sub");
  build::Step second = sh("second",
                          "cat shared ../ignored 2>/dev/null || cat /workspace/shared "
                          "$HOME/note; pwd > where; test \"$HOME\" = /builder/home");
  build::Step third =
      sh("third", "test \"$(pwd)\" = \"$WORKSPACE/made/here\"; echo $SOURCE_DATE_EPOCH $FOO");
  third.working_dir = "/workspace/made/here";
  third.env = {{.name = "FOO", .value = "/workspace/x:$(BAR)", .value_from = {}}};
  build.spec.steps = {first, second, third};
  const BuildOutcome outcome = execute(build);
  ASSERT_FALSE(outcome.error) << outcome.error->to_string();
  EXPECT_EQ(log_["build-step-second"], "a\na\nb\n");
  EXPECT_EQ(log_["build-step-third"].substr(0, 11), "1700000000 ");
  EXPECT_NE(log_["build-step-third"].find("/workspace/x:$(BAR)"), std::string::npos);
}

TEST_F(Builds, ACustomSourceIsAContainerThatFillsTheWorkspace) {
  build::Build build;
  build.metadata.name = "b";
  build.spec.source.custom = sh("", "echo made > /workspace/made.txt");
  build.spec.steps = {sh("show", "cat made.txt")};
  const BuildOutcome outcome = execute(build);
  ASSERT_FALSE(outcome.error) << outcome.error->to_string();
  EXPECT_EQ(log_["build-step-show"], "made\n");
  EXPECT_EQ(outcome.status.steps_completed, std::vector<std::string>{"build-step-show"});
}

TEST_F(Builds, ValuesFromOtherObjectsAreRefusedByName) {
  write("repo/a.txt", "a");
  commit("repo");
  build::Build build = from_git(path("repo"));
  build.spec.steps = {sh("show", "env")};
  build.spec.steps[0].env_from = {{.config_map_ref = core::EnvFromRef{.name = "settings"}}};
  EXPECT_NE(execute(build).error->detail.find("envFrom"), std::string::npos);
  build.spec.steps[0].env_from.clear();
  build.spec.steps[0].env = {{.name = "KEY", .value_from = core::EnvVarSource{}}};
  build.spec.steps[0].env[0].value_from->secret_key_ref = core::KeySelector{"s", "k"};
  EXPECT_NE(execute(build).error->detail.find("env KEY"), std::string::npos);
}

TEST_F(Builds, NothingOfTheHostsEnvironmentLeaksIntoSteps) {
  ::setenv("KNATIVE_TEST_SECRET", "s3cret", 1);
  build::Build build;
  build.metadata.name = "b";
  build.spec.steps = {sh("s", "env")};
  execute(build);
  EXPECT_EQ(log_["build-step-s"].find("s3cret"), std::string::npos);
  EXPECT_NE(log_["build-step-s"].find("PATH="), std::string::npos);
  ::unsetenv("KNATIVE_TEST_SECRET");
}

TEST_F(Builds, FunctionsAreSteps) {
  using Output = ContainerOutput;
  functions_.program("write",
                     [](const ContainerSpec& step, const Output& out) -> Task<Result<int>> {
                       out("stdout", "writing " + step.args.at(0));
                       std::ofstream(step.environment.at("WORKSPACE") + "/" + step.args.at(0))
                           << step.environment.at("WHAT");
                       co_return 0;
                     });
  functions_.program("throw", [](const ContainerSpec&, const Output&) -> Task<Result<int>> {
    throw std::runtime_error("broken");
    co_return 0;
  });
  build::Build build;
  build.metadata.name = "b";
  build::Step step;
  step.name = "w";
  step.image = "fn:write";
  step.args = {"note"};
  step.env = {{.name = "WHAT", .value = "text", .value_from = {}}};
  build.spec.steps = {step, sh("read", "cat note")};
  BuildOutcome outcome = execute(build);
  ASSERT_FALSE(outcome.error) << outcome.error->to_string();
  EXPECT_EQ(log_["build-step-read"], "text\n");
  build.spec.steps[0].image = "fn:throw";
  outcome = execute(build);
  EXPECT_NE(log_["build-step-w"].find("broken"), std::string::npos) << log_["build-step-w"];
  EXPECT_EQ(outcome.error->detail.find("broken"), std::string::npos) << outcome.error->detail;
}

TEST_F(Builds, TerminationMessagesAreTheResult) {
  build::Build build;
  build.metadata.name = "b";
  build::Step custom = sh("b", "echo -n custom > /my/result; exit 1");
  custom.termination_message_path = "/my/result";
  build.spec.steps = {sh("a", "echo -n made > /dev/termination-log"), custom};
  const BuildOutcome outcome = execute(build);
  EXPECT_EQ(outcome.status.step_states[0].terminated->message, "made");
  EXPECT_EQ(outcome.status.step_states[1].terminated->message, "custom");
  EXPECT_NE(outcome.error->detail.find("exit code 1: custom"), std::string::npos);
}

TEST_F(Builds, ALongTerminationMessageKeepsItsEndAndWithoutOneTheLogStandsForIt) {
  build::Build build;
  build.metadata.name = "b";
  build::Step falls = sh("b", "echo first; echo no disk; exit 3");
  falls.termination_message_policy = "FallbackToLogsOnError";
  build.spec.steps = {sh("a",
                         "head -c 5000 /dev/zero | tr '\\0' x > /dev/termination-log; "
                         "echo end >> /dev/termination-log"),
                      falls};
  const BuildOutcome outcome = execute(build);
  const std::string message = outcome.status.step_states[0].terminated->message;
  EXPECT_EQ(message.size(), 4096u);
  EXPECT_EQ(message.substr(4090), "xxend\n");
  EXPECT_EQ(outcome.status.step_states[1].terminated->message, "first\nno disk\n");
}

TEST_F(Builds, TheOutputOfAFailedStepIsNowhereInTheStatusUnlessItsPolicySaysSo) {
  build::Build build;
  build.metadata.name = "b";
  build.spec.steps = {sh("a", "echo password=hunter2; echo password=hunter2 >&2; exit 1")};
  BuildOutcome outcome = execute(build);
  EXPECT_EQ(succeeded(outcome).message.find("hunter2"), std::string::npos);
  EXPECT_EQ(outcome.status.step_states[0].terminated->message, "");
  EXPECT_NE(log_["build-step-a"].find("hunter2"), std::string::npos) << "it is in the log";
  build.spec.steps[0].termination_message_policy = "FallbackToLogsOnError";
  outcome = execute(build);
  EXPECT_NE(succeeded(outcome).message.find("exit code 1: password=hunter2"), std::string::npos);
}

TEST_F(Builds, TextOfAStepIsAlwaysValidAndItsLinesAreWhole) {
  build::Build build;
  build.metadata.name = "b";
  // A character every reader is cut in somewhere, and a byte that is none.
  build.spec.steps = {sh("s",
                         "printf x; i=0; while [ $i -lt 400 ]; do printf '\\303\\251'; "
                         "i=$((i+1)); done; sleep 0.01; printf 'more\\nlatin\\351\\n'; exit 3")};
  build.spec.steps[0].termination_message_policy = "FallbackToLogsOnError";
  const BuildOutcome outcome = execute(build);
  std::string accents = "x";
  for (int i = 0; i < 400; ++i) accents += "\xc3\xa9";
  EXPECT_EQ(log_["build-step-s"], accents + "more\nlatin\xef\xbf\xbd\n");
  EXPECT_NE(outcome.error->detail.find("latin\xef\xbf\xbd"), std::string::npos);
  build.spec.steps = {sh("s",
                         "i=0; while [ $i -lt 400 ]; do printf '\\303\\251'; i=$((i+1)); done; "
                         "exit 3")};
  build.spec.steps[0].termination_message_policy = "FallbackToLogsOnError";
  const std::string detail = execute(build).error->detail;
  EXPECT_EQ(detail.substr(detail.size() - 2), "\xc3\xa9");  // cut between two characters
}

TEST_F(Builds, WithoutACommandTheFirstArgumentIsTheProgram) {
  build::Build build;
  build.metadata.name = "b";
  build::Step step;
  step.name = "s";
  step.image = "busybox";
  step.args = {"echo", "hi"};
  build.spec.steps = {step};
  const BuildOutcome outcome = execute(build);
  ASSERT_FALSE(outcome.error) << outcome.error->to_string();
  EXPECT_EQ(log_["build-step-s"], "hi\n");
}

TEST_F(Builds, ValuesFromOtherObjectsComeFromWhoeverKnowsThem) {
  options_.environment = [](const build::Build& build,
                            const core::Container& step) -> Result<std::vector<core::EnvVar>> {
    if (step.env_from.empty()) return step.env;
    return std::vector<core::EnvVar>{
        {.name = "FROM", .value = build.metadata.namespace_, .value_from = {}}};
  };
  build::Build build;
  build.metadata.name = "b";
  build.metadata.namespace_ = "shop";
  build.spec.steps = {sh("s", "echo $FROM")};
  build.spec.steps[0].env_from = {{.config_map_ref = core::EnvFromRef{.name = "settings"}}};
  const BuildOutcome outcome = execute(build);
  ASSERT_FALSE(outcome.error) << outcome.error->to_string();
  EXPECT_EQ(log_["build-step-s"], "shop\n");
}

TEST_F(Builds, AnImageNamedAfterARegistryGoesThere) {
  std::vector<std::string> published;
  bool works = true;
  options_.publish = [&](const oci::Reference& name, const oci::Descriptor& manifest,
                         const std::string& docker_config) -> Task<Result<void>> {
    published.push_back(name.repository + " " + docker_config);
    const bool there = store_->resolve(name)->digest == manifest.digest;
    EXPECT_TRUE(there);
    if (!works) co_return fail(Errc::unavailable, "the registry is away");
    co_return Result<void>();
  };
  build::Build build = on_base("", "echo x > x");
  build.spec.image_config->entrypoint = {"/bin/true"};
  EXPECT_FALSE(execute(build).error);
  EXPECT_TRUE(published.empty());
  build.spec.image = "reg.example:5000/team/top:v1";
  const BuildOutcome outcome = execute(build);
  ASSERT_FALSE(outcome.error) << outcome.error->to_string();
  EXPECT_EQ(published, std::vector<std::string>{R"(reg.example:5000/team/top {"auths":{}})"});
  EXPECT_TRUE(outcome.status.image.starts_with("reg.example:5000/team/top@sha256:"));
  works = false;
  const BuildOutcome failed = execute(build);
  EXPECT_EQ(succeeded(failed).reason, "ImageFailed");
  EXPECT_EQ(succeeded(failed).message, "image: the registry is away");
  EXPECT_EQ(failed.status.image, "");
}

TEST_F(Builds, AHostStepIsOneWhateverRunsImages) {
  std::vector<std::string> asked;
  runtimes_.set_choice([&](const ContainerSpec& spec) -> std::string {
    asked.push_back(spec.image + " on " + spec.runtime);
    return "host";
  });
  build::Build build;
  build.metadata.name = "b";
  build.spec.steps = {sh("one", "true"), sh("two", "true")};
  build.spec.steps[1].image = "busybox";
  EXPECT_FALSE(execute(build).error);
  EXPECT_THAT(asked, ::testing::Contains("host on host"));
  EXPECT_THAT(asked, ::testing::Contains("busybox on "));
}

TEST_F(Builds, VolumesAreSharedFolders) {
  build::Build build;
  build.metadata.name = "b";
  core::Volume volume;
  volume.name = "cache";
  build.spec.volumes = {volume};
  build::Step one = sh("one", "echo kept > /cache/file");
  one.volume_mounts = {{.name = "cache", .mount_path = "/cache"}};
  build::Step two = sh("two", "cat /elsewhere/file");
  two.volume_mounts = {{.name = "cache", .mount_path = "/elsewhere"}};
  build.spec.steps = {one, two};
  const BuildOutcome outcome = execute(build);
  ASSERT_FALSE(outcome.error) << outcome.error->to_string();
  EXPECT_EQ(log_["build-step-two"], "kept\n");
  build.spec.volumes.clear();
  EXPECT_EQ(execute(build).error->code, Errc::invalid_argument);
  volume.secret.emplace();
  build.spec.volumes = {volume};
  EXPECT_EQ(execute(build).error->code, Errc::unimplemented);
}

TEST_F(Builds, TargetPathsAndSubPaths) {
  write("repo/lib/x", "lib");
  commit("repo");
  write("app/app.txt", "app");
  commit("app");
  build::Build build;
  build.metadata.name = "b";
  build::SourceSpec app, lib;
  app.name = "app";
  app.git = build::GitSource{path("app"), "main"};
  lib.name = "lib";
  lib.git = build::GitSource{path("repo"), "main"};
  lib.target_path = "third/party";
  build.spec.sources = {app, lib};
  build.spec.steps = {sh("s", "cat app.txt third/party/lib/x")};
  BuildOutcome outcome = execute(build);
  ASSERT_FALSE(outcome.error) << outcome.error->to_string();
  EXPECT_EQ(log_["build-step-s"], "applib\n");
  EXPECT_EQ(outcome.status.sources.size(), 2u);

  build.spec.sources.clear();
  build.spec.source = lib;
  build.spec.source.target_path.clear();
  build.spec.source.sub_path = "lib";
  build.spec.steps = {sh("s", "cat x; cat /workspace/x")};
  build.spec.image = "local/sub";
  outcome = execute(build);
  ASSERT_FALSE(outcome.error) << outcome.error->to_string();
  EXPECT_EQ(log_["build-step-s"], "liblib\n");
  unpack(outcome.status.image, "root");
  EXPECT_EQ(read("root/workspace/x"), "lib");
  for (const char* wrong : {"../..", "nowhere", "lib/x"}) {
    build.spec.source.sub_path = wrong;
    EXPECT_TRUE(execute(build).error) << wrong;
  }
}

TEST_F(Builds, ALinkAsSubPathOrContentDoesNotLeadOutside) {
  fs::create_directories(path("repo"));
  fs::create_directory_symlink("/etc", path("repo/out"));
  commit("repo");
  build::Build build = from_git(path("repo"));
  build.spec.steps = {sh("s", "true")};
  build.spec.source.sub_path = "out";
  EXPECT_EQ(execute(build).error->code, Errc::invalid_argument);
  build.spec.source.sub_path.clear();
  build.spec.image = "local/x";
  build.spec.image_config.emplace();
  build.spec.image_config->contents = {{"out", ""}};
  EXPECT_EQ(execute(build).error->code, Errc::invalid_argument);
}

TEST_F(Builds, ContentsAndBaseImages) {
  build::Build build;
  build.metadata.name = "base";
  build.spec.steps = {sh("s", "echo base > base.txt")};
  build.spec.image = "local/base";
  build.spec.image_config.emplace();
  build.spec.image_config->env = {{.name = "A", .value = "1", .value_from = {}},
                                  {.name = "B", .value = "1", .value_from = {}}};
  build.spec.image_config->entrypoint = {"/base"};
  ASSERT_FALSE(execute(build).error);
  build.metadata.name = "top";
  build.spec.steps = {sh("s",
                         "mkdir -p bin/deep; echo tool > bin/deep/tool; echo doc > doc; "
                         "chmod +x bin/deep/tool; echo junk > junk")};
  build.spec.image = "local/top";
  build.spec.image_config.emplace();
  build.spec.image_config->base = "local/base";
  build.spec.image_config->env = {{.name = "B", .value = "2", .value_from = {}}};
  build.spec.image_config->contents = {
      {"bin", "/opt/bin"}, {"doc", "/usr/share/"}, {"doc", "/README"}};
  const BuildOutcome outcome = execute(build);
  ASSERT_FALSE(outcome.error) << outcome.error->to_string();
  const oci::ImageConfig config = unpack(outcome.status.image, "root");
  EXPECT_EQ(config.diff_ids.size(), 4u);
  EXPECT_EQ(config.history.size(), 4u);
  EXPECT_EQ(config.entrypoint, std::vector<std::string>{"/base"});
  EXPECT_EQ(config.environment, (std::vector<std::string>{"A=1", "B=2"}));
  EXPECT_EQ(read("root/workspace/base.txt"), "base\n");
  EXPECT_EQ(read("root/opt/bin/deep/tool"), "tool\n");
  EXPECT_EQ(read("root/usr/share/doc"), "doc\n");
  EXPECT_EQ(read("root/README"), "doc\n");
  EXPECT_FALSE(fs::exists(path("root/workspace/junk")));
  build.spec.image_config->contents = {{"missing", ""}};
  EXPECT_EQ(execute(build).error->code, Errc::not_found);
  build.spec.image_config->base = "local/none";
  EXPECT_EQ(execute(build).error->code, Errc::not_found);
}

// The manifest was a mixture that other tools refuse, and half of the config was gone.
TEST_F(Builds, ABaseOfDockersSchema2BecomesAnOciImageThatLostNothing) {
  const std::unique_ptr<oci::BlobWriter> blob = store_->new_blob().value();
  oci::LayerWriter writer(*blob);
  writer.add_file("etc/os-release", "ID=base\n").value();
  const oci::LayerInfo layer = writer.finish().value();
  blob->commit().value();
  const std::string execution =
      R"("Healthcheck":{"Test":["CMD","/check"],"Interval":5},"OnBuild":["RUN make"],)"
      R"("Shell":["/bin/bash","-c"],"User":"1000")";
  const std::string config =
      R"({"architecture":")" + oci::host_platform().architecture +
      R"(","os":"linux","os.version":"12.1","docker_version":"20.10","config":{)" + execution +
      R"(},"rootfs":{"type":"layers","diff_ids":[")" + layer.diff_id.to_string() +
      R"("]},"history":[{"created_by":"ADD /","author":"them"},)"
      R"({"created_by":"USER 1000","empty_layer":true}]})";
  oci::Manifest base;
  base.docker = true;
  base.config = store_->put_blob(config, "application/vnd.docker.container.image.v1+json").value();
  base.layers = {layer.blob};
  base.layers[0].media_type = "application/vnd.docker.image.rootfs.diff.tar.gzip";
  store_->put_manifest(oci::Reference::parse("local/docker").value(), base).value();

  const BuildOutcome outcome = execute(on_base("local/docker", "echo mine > mine.txt"));
  ASSERT_FALSE(outcome.error) << outcome.error->to_string();
  const oci::Reference top = oci::Reference::parse(outcome.status.image).value();
  const oci::Manifest manifest = store_->manifest(top).value();
  EXPECT_TRUE(manifest.check_media_types());
  EXPECT_EQ(manifest.to_json().find("docker"), std::string::npos) << manifest.to_json();
  EXPECT_EQ(manifest.layers[0].digest, layer.blob.digest) << "the bytes are those of the base";
  const std::string text = store_->get_blob(manifest.config).value();
  for (const char* kept :
       {R"("Healthcheck":{"Interval":5,"Test":["CMD","/check"]})", R"("OnBuild":["RUN make"])",
        R"("Shell":["/bin/bash","-c"])", R"("os.version":"12.1")", R"("author":"them")",
        R"("docker_version":"20.10")", R"("User":"1000")"}) {
    EXPECT_NE(text.find(kept), std::string::npos) << kept << " in " << text;
  }
  unpack(outcome.status.image, "root");
  EXPECT_EQ(read("root/etc/os-release"), "ID=base\n");
  EXPECT_EQ(read("root/workspace/mine.txt"), "mine\n");
  const auto have = [](const std::string& tool) {
    return std::system(("command -v " + tool + " >/dev/null 2>&1").c_str()) == 0;
  };
  if (!have("skopeo") || !have("umoci")) {
    GTEST_SKIP() << "skopeo or umoci is not installed: scripts/bootstrap --tests brings them";
  }
  shell("skopeo --insecure-policy copy -q oci:images:local/top:v1 oci:copy:v1");
  shell("umoci unpack --rootless --image images:local/top:v1 bundle");
  EXPECT_EQ(read("bundle/rootfs/etc/os-release"), "ID=base\n");
  EXPECT_EQ(read("bundle/rootfs/workspace/mine.txt"), "mine\n");
}

TEST_F(Builds, ABaseWithoutHistoryGetsAStepForEachLayer) {
  oci::Manifest base;
  oci::ImageConfig config;
  config.platform = oci::host_platform();
  for (const char* name : {"one", "two"}) {
    const std::unique_ptr<oci::BlobWriter> blob = store_->new_blob().value();
    oci::LayerWriter writer(*blob);
    writer.add_file(name, name).value();
    const oci::LayerInfo layer = writer.finish().value();
    blob->commit().value();
    base.layers.push_back(layer.blob);
    config.diff_ids.push_back(layer.diff_id);
  }
  base.config = store_->put_blob(config.to_json(), oci::media_type::config).value();
  store_->put_manifest(oci::Reference::parse("local/bare").value(), base).value();
  const BuildOutcome outcome = execute(on_base("local/bare", "true"));
  ASSERT_FALSE(outcome.error) << outcome.error->to_string();
  const oci::ImageConfig built = unpack(outcome.status.image, "root");
  ASSERT_EQ(built.history.size(), 3u);
  EXPECT_EQ(built.history[1].created_by, "unknown");
  EXPECT_EQ(built.history[2].created_by, "knative build");
}

// They would come out of the image as removals.
TEST_F(Builds, FilesThatAreNamedAsWhiteoutsFailTheBuildByName) {
  build::Build build;
  build.metadata.name = "b";
  build.spec.steps = {sh("s", "mkdir -p app; echo x > app/.wh.config")};
  build.spec.image = "local/wh";
  const BuildOutcome outcome = execute(build);
  ASSERT_TRUE(outcome.error);
  EXPECT_EQ(outcome.error->code, Errc::invalid_argument);
  EXPECT_NE(outcome.error->detail.find("app/.wh.config"), std::string::npos)
      << outcome.error->detail;
  build.spec.steps = {sh("s", "mkdir -p app; echo x > app/.what")};
  EXPECT_FALSE(execute(build).error);
}

// A step of an image here runs as a process, as on a platform without sandboxes.
TEST_F(Builds, WhatAStepInAContainerLeavesIsKeptAndAHostStepsIsNormalised) {
  runtimes_.set_choice([](const ContainerSpec&) -> std::string { return "host"; });
  build::Build build;
  build.metadata.name = "b";
  build.spec.steps = {sh("s",
                         "echo key > key; chmod 600 key; echo su > su; chmod 4755 su; ln key too; "
                         "mkfifo -m 640 pipe; touch -d @1000000000 key")};
  build.spec.steps[0].image = "busybox";
  build.spec.image = "local/kept";
  const BuildOutcome outcome = execute(build);
  ASSERT_FALSE(outcome.error) << outcome.error->to_string();
  const auto mode = [&](const std::string& name) {
    return env().files.info(path(name)).value().mode;
  };
  const oci::Reference name = oci::Reference::parse(outcome.status.image).value();
  store_->unpack(env().files, name, path("kept"), {.preserve = true}).value();
  EXPECT_EQ(mode("kept/workspace"), 0755u) << "the build's own mode for steps of any user";
  EXPECT_EQ(mode("kept/workspace/key"), 0600u);
  EXPECT_EQ(mode("kept/workspace/su"), 04755u);
  EXPECT_EQ(mode("kept/workspace/pipe"), 0640u);
  EXPECT_EQ(env().files.info(path("kept/workspace/too"))->links, 2u);
  EXPECT_EQ(env().files.info(path("kept/workspace/key"))->modified_ns, 0);
  EXPECT_EQ(execute(build).status.image, outcome.status.image);
  EXPECT_EQ(log_["build"].find("not in the image"), std::string::npos) << log_["build"];

  build.spec.image_config.emplace().normalize = true;
  const std::string normalised = execute(build).status.image;
  EXPECT_NE(log_["build"].find("not in the image: \"workspace/pipe\": a named pipe"),
            std::string::npos)
      << log_["build"];
  store_
      ->unpack(env().files, oci::Reference::parse(normalised).value(), path("normalised"),
               {.preserve = true})
      .value();
  EXPECT_EQ(mode("normalised/workspace/key"), 0644u);
  EXPECT_EQ(mode("normalised/workspace/su"), 0755u);
  EXPECT_EQ(env().files.info(path("normalised/workspace/too"))->links, 1u);

  build.spec.image_config.reset();
  build.spec.steps[0].image = "host";
  EXPECT_EQ(execute(build).status.image, normalised);
}

TEST_F(Builds, TheUmaskOfThePlatformIsNotInTheImage) {
  runtimes_.set_choice([](const ContainerSpec&) -> std::string { return "host"; });
  write("repo/d/program", "#!/bin/sh\n", true);
  write("repo/d/text", "x");
  commit("repo");
  std::set<std::string> images;
  for (const mode_t mask : {022U, 077U}) {
    build::Build build = from_git(path("repo"));
    build.spec.steps = {sh("s", "true")};
    build.spec.steps[0].image = "busybox";
    build.spec.image = "local/masked";
    const mode_t before = ::umask(mask);
    const BuildOutcome outcome = execute(build);
    ::umask(before);
    ASSERT_FALSE(outcome.error) << outcome.error->to_string();
    images.insert(outcome.status.image);
  }
  EXPECT_EQ(images.size(), 1u);
}

TEST_F(Builds, TemplatesAreLookedUpAndFilledIn) {
  options_.find_template = [](std::string_view kind, std::string_view,
                              std::string_view name) -> Result<build::BuildTemplateSpec> {
    if (kind != "BuildTemplate" || name != "say") {
      return fail(Errc::not_found,
                  "buildtemplates.build.knative.dev \"" + std::string(name) + "\" not found");
    }
    build::BuildTemplateSpec spec;
    spec.parameters.emplace_back();
    spec.parameters[0].name = "WHAT";
    spec.steps = {sh("say", "echo ${WHAT}")};
    return spec;
  };
  build::Build build;
  build.metadata.name = "b";
  build.spec.template_.emplace();
  build.spec.template_->name = "say";
  build.spec.template_->arguments = {{"WHAT", "hi"}};
  const BuildOutcome outcome = execute(build);
  ASSERT_FALSE(outcome.error) << outcome.error->to_string();
  EXPECT_EQ(log_["build-step-say"], "hi\n");
  build.spec.template_->name = "other";
  EXPECT_EQ(succeeded(execute(build)).reason, "BuildValidationFailed");
  EXPECT_EQ(succeeded(execute(build)).message,
            "buildtemplates.build.knative.dev \"other\" not found");
}

TEST_F(Builds, AMissingRepositoryIsOneClearError) {
  build::Build build = from_git(path("nowhere"));
  build.spec.steps = {sh("s", "true")};
  const BuildOutcome outcome = execute(build);
  EXPECT_EQ(outcome.error->code, Errc::not_found);
  EXPECT_EQ(succeeded(outcome).reason, "SourceFailed");
  EXPECT_NE(outcome.error->detail.find(path("nowhere")), std::string::npos);
  EXPECT_TRUE(build_folders_are_gone());
}

TEST_F(Builds, ManyAtOnceDoNotMeet) {
  std::vector<build::Build> builds(8);
  for (std::size_t i = 0; i < builds.size(); ++i) {
    builds[i].metadata.name = "b" + std::to_string(i);
    builds[i].spec.steps = {sh("s", "echo " + std::to_string(i) + " > n; sleep 0.02; cat n")};
    builds[i].spec.image = "local/b" + std::to_string(i);
  }
  auto all = [](Builder& builder,
                const std::vector<build::Build>& what) -> Task<std::vector<Result<BuildResult>>> {
    std::vector<Task<Result<BuildResult>>> tasks;
    for (const build::Build& build : what) tasks.push_back(builder.run(build));
    auto together = when_all(std::move(tasks));
    co_return co_await std::move(together);
  };
  const std::vector<Result<BuildResult>> results = loop_.run(all(builder(), builds));
  for (std::size_t i = 0; i < results.size(); ++i) {
    unpack(results[i].value().image, "root" + std::to_string(i));
    EXPECT_EQ(read("root" + std::to_string(i) + "/workspace/n"), std::to_string(i) + "\n");
  }
}

TEST_F(Builds, AFullDiskIsOneClearError) {
  builder_.reset();
  options_.directory = "/dev/full/none";
  build::Build build;
  build.metadata.name = "b";
  build.spec.steps = {sh("s", "true")};
  EXPECT_EQ(succeeded(execute(build)).reason, "BuildExecuteFailed");
}

}  // namespace
}  // namespace knative
