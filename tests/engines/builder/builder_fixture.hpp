// A real world with a temporary folder, git repositories and a builder in it.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "knative/builder.hpp"
#include "knative/container_runtimes.hpp"
#include "knative/http_outbound.hpp"

namespace knative {

namespace fs = std::filesystem;

// Makes branch "many" of the repository here: a dozen objects, and 10^10 files.
inline const std::string plant_many_files =
    "what='100644 blob'; id=$(echo x | git hash-object -w --stdin); "
    "for level in 0 1 2 3 4 5 6 7 8 9; do id=$(for n in 0 1 2 3 4 5 6 7 8 9; do "
    "printf \"$what $id\\tn$n\\n\"; done | git mktree); what='040000 tree'; done; "
    "git update-ref refs/heads/many $(git commit-tree -m many $id)";

class BuilderFixture : public ::testing::Test {
 protected:
  BuilderFixture() {
    options_.directory = root_ + "/builds";
    fetcher_options_.idle_timeout = std::chrono::seconds(20);
    store_ = oci::open_image_layout(env().files, root_ + "/images", {.sync = false}).value();
  }

  Env& env() { return loop_.env(); }
  std::string path(const std::string& name) const { return root_ + "/" + name; }

  void write(const std::string& name, const std::string& text, bool executable = false) {
    fs::create_directories(fs::path(path(name)).parent_path());
    std::ofstream(path(name)) << text;
    if (executable) {
      fs::permissions(path(name), fs::perms::owner_all | fs::perms::group_exec |
                                      fs::perms::others_exec | fs::perms::group_read |
                                      fs::perms::others_read);
    }
  }
  std::string read(const std::string& name) { return env().files.read_file(path(name)).value(); }

  // Run a shell command with a git that knows no configuration but the test's.
  void shell(const std::string& command) {
    const std::string line =
        "export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=a "
        "GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b "
        "GIT_AUTHOR_DATE='1700000000 +0000' GIT_COMMITTER_DATE='1700000000 +0000'; cd " +
        root_ + " && { " + command + "\n} >output 2>&1";
    ASSERT_EQ(std::system(line.c_str()), 0) << command << "\n" << read("output");
  }
  std::string shell_line(const std::string& command) {
    shell(command);
    std::string text = read("output");
    return text.substr(0, text.find('\n'));
  }
  // A repository in `name` with everything that is in its folder.
  void commit(const std::string& name, const std::string& message = "m") {
    shell("git init -q -b main " + name + " 2>/dev/null; cd " + name +
          " && git add -A -f && git commit -q --allow-empty -m " + message);
  }
  std::string head(const std::string& name) {
    return shell_line("git -C " + name + " rev-parse HEAD");
  }

  Builder& builder() {
    if (!builder_) {
      outbound_ = std::make_unique<http::Outbound>(env().executor, env().timers, env().network,
                                                   outbound_options_);
      fetcher_ = source_fetcher(*outbound_, env().timers, env().network, env().processes,
                                env().files, env().offload, fetcher_options_);
      runtimes_.add("function",
                    std::make_shared<FunctionRuntime>(functions_, env().executor, env().timers,
                                                      env().offload, env().logger));
      ProcessRuntimeOptions steps;
      steps.own_view = own_view_;
      runtimes_.add("host", std::make_shared<ProcessRuntime>(env(), host_, steps));
      builder_ = std::make_unique<Builder>(env().timers, env().files, env().offload, *fetcher_,
                                           runtimes_, store_, options_);
    }
    return *builder_;
  }

  Result<Fetched> fetch(const std::string& url, const std::string& revision,
                        const std::string& into = "out") {
    builder();
    build::SourceSpec source;
    source.git = build::GitSource{url, revision};
    fs::create_directories(path(into));
    return loop_.run(fetcher_->fetch(source, path(into), credentials_));
  }

  /// Into a new "out".
  Result<Fetched> fetch_archive(const std::string& location, const std::string& type = "Archive") {
    builder();
    build::SourceSpec source;
    source.gcs = build::GcsSource{type, location};
    fs::remove_all(path("out"));
    fs::create_directories(path("out"));
    return loop_.run(fetcher_->fetch(source, path("out"), credentials_));
  }

  static build::Step sh(const std::string& name, const std::string& script) {
    build::Step step;
    step.name = name;
    step.image = "host";
    step.command = {"/bin/sh", "-ec"};
    step.args = {script};
    return step;
  }
  /// Image "local/top:v1": what the script leaves in the workspace, on top of `base`.
  static build::Build on_base(const std::string& base, const std::string& script) {
    build::Build build;
    build.metadata.name = "top";
    build.spec.steps = {sh("s", script)};
    build.spec.image = "local/top:v1";
    build.spec.image_config.emplace();
    build.spec.image_config->base = base;
    return build;
  }
  build::Build from_git(const std::string& url, const std::string& revision = "main") {
    build::Build build;
    build.metadata.name = "shop";
    build.metadata.namespace_ = "default";
    build.spec.source.git = build::GitSource{url, revision};
    return build;
  }

  BuildOutcome execute(const build::Build& build) {
    log_.clear();
    reasons_.clear();
    BuildCallbacks callbacks;
    callbacks.on_log = [this](std::string_view step, std::string_view line) {
      log_[std::string(step)].append(line).append("\n");
    };
    callbacks.on_status = [this](const build::BuildStatus& status) {
      const Condition* condition = find_condition(status.conditions, "Succeeded");
      const std::string now = condition->status + "/" + condition->reason;
      if (reasons_.empty() || reasons_.back() != now) reasons_.push_back(now);
    };
    return loop_.run(builder().execute(build, callbacks));
  }
  const Condition& succeeded(const BuildOutcome& outcome) {
    return *find_condition(outcome.status.conditions, "Succeeded");
  }
  oci::ImageConfig unpack(const std::string& image, const std::string& into) {
    return store_->unpack(env().files, oci::Reference::parse(image).value(), path(into)).value();
  }

  // Goes after the loop, which waits for what dropped tasks left at work.
  struct Folder {
    const std::string path = Loop().env().files.make_temporary_directory("builder-test-").value();
    ~Folder() { EXPECT_TRUE(Loop().env().files.remove_all(path)) << path; }
  };
  Folder folder_;
  const std::string& root_ = folder_.path;
  Loop loop_;
  BuilderOptions options_;
  FetcherOptions fetcher_options_;
  http::OutboundOptions outbound_options_;
  SourceCredentials credentials_;
  std::unique_ptr<http::Outbound> outbound_;
  std::shared_ptr<oci::ImageStore> store_;
  FunctionTable functions_;
  HostImages host_;
  bool own_view_ = false;  // of steps on the host
  ContainerRuntimes runtimes_;
  std::unique_ptr<Fetcher> fetcher_;
  std::unique_ptr<Builder> builder_;
  std::map<std::string, std::string> log_;
  std::vector<std::string> reasons_;
};

}  // namespace knative
