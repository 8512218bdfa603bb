// A platform that runs documents as Knative Build's own behaviour tests have them, written anew,
// with repositories of this machine in place of the network.
#pragma once

#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "knative/build.hpp"
#include "knative/platform.hpp"

namespace knative {

class BuildDocuments : public ::testing::Test {
 protected:
  void SetUp() override {
    shell(
        "git init -q -b master repo && cd repo && echo hello > file && mkdir -p deep/sub && "
        "echo inner > deep/sub/inner && git add . && git commit -qm one && git tag v1 && "
        "git update-ref refs/pull/7/head HEAD && git checkout -q -b side && echo side > file && "
        "git commit -qam two && git checkout -q master");
    shell("cd repo && git archive -o ../tree.tgz HEAD");
    begin({});
  }
  void TearDown() override {
    if (platform_) loop_.run(platform_->stop());
    platform_.reset();
  }
  void begin(PlatformOptions options) {
    if (platform_) loop_.run(platform_->stop());
    platform_.reset();
    options.data_directory = folder_.path + "/data";
    options.listen.reset();
    options.on_output = [this](std::string_view source, std::string_view line) {
      output_.append(source).append(": ").append(line).append("\n");
    };
    platform_ = std::make_unique<Platform>(loop_.env(), functions_, std::move(options));
    platform_->start().value();
  }

  void shell(const std::string& command) {
    const std::string line =
        "export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=a "
        "GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b; cd " +
        folder_.path + " && { " + command + "\n} >>shell.log 2>&1";
    ASSERT_EQ(std::system(line.c_str()), 0) << command;
  }
  std::string head() {
    const std::string log = folder_.path + "/head";
    shell("git -C repo rev-parse HEAD > " + log);
    return loop_.env().files.read_file(log).value().substr(0, 40);
  }

  // REPO, TREE, BUSYBOX and COMMIT stand for this machine's.
  std::string filled(std::string text) {
    for (const auto& [word, value] :
         std::map<std::string, std::string>{{"REPO", folder_.path + "/repo"},
                                            {"TREE", folder_.path + "/tree.tgz"},
                                            {"BUSYBOX", busybox_},
                                            {"COMMIT", head()}}) {
      for (std::size_t at = text.find(word); at != text.npos; at = text.find(word, at)) {
        text.replace(at, word.size(), value);
      }
    }
    return text;
  }
  void apply(const std::string& text) {
    const auto applied = platform_->apply_text(filled(text));
    ASSERT_TRUE(applied) << applied.error().to_string();
  }
  // Run the Build "b" with this spec, after the other documents.
  build::BuildStatus run(const std::string& spec, const std::string& others = "") {
    output_.clear();
    if (platform_->get<build::Build>("b")) {
      (void)platform_->remove(ref());
    }
    const std::string document =
        "apiVersion: build.knative.dev/v1alpha1\nkind: Build\nmetadata:\n  name: b\n"
        "  labels: {team: red}\nspec:\n";
    apply((others.empty() ? "" : others + "\n---\n") + document + spec);
    return ended();
  }
  build::BuildStatus ended() {
    const auto over = [](const AnyObject& object) {
      const auto* build = object.get_if<build::Build>();
      const Condition* done = find_condition(build->status.conditions, "Succeeded");
      return done != nullptr && !done->is_unknown();
    };
    const Result<AnyObject> found =
        loop_.run(platform_->wait_for(ref(), over, std::chrono::seconds(30)));
    EXPECT_TRUE(found) << found.error().to_string() << "\n" << output_;
    return found ? found->get_if<build::Build>()->status : build::BuildStatus();
  }
  static ObjectRef ref() {
    return {std::string(build::Build::api_version), std::string(build::Build::kind), "default",
            "b"};
  }
  static const Condition& succeeded(const build::BuildStatus& status) {
    return *find_condition(status.conditions, "Succeeded");
  }
  void expect_success(const std::string& spec, const std::string& others = "") {
    const build::BuildStatus status = run(spec, others);
    ASSERT_FALSE(status.conditions.empty());
    EXPECT_TRUE(succeeded(status).is_true()) << succeeded(status).message << "\n" << output_;
  }
  void expect_failure(const std::string& reason, const std::string& message,
                      const std::string& spec, const std::string& others = "") {
    const build::BuildStatus status = run(spec, others);
    ASSERT_FALSE(status.conditions.empty());
    EXPECT_TRUE(succeeded(status).is_false()) << output_;
    EXPECT_EQ(succeeded(status).reason, reason);
    EXPECT_THAT(succeeded(status).message, testing::HasSubstr(message));
  }

  struct Folder {
    const std::string path = Loop().env().files.make_temporary_directory("documents-").value();
    ~Folder() { EXPECT_TRUE(Loop().env().files.remove_all(path)) << path; }
  };
  Folder folder_;
  Loop loop_;
  FunctionTable functions_;
  std::string output_;
  std::string busybox_ = "busybox";  // an image
  std::unique_ptr<Platform> platform_;
};

}  // namespace knative
