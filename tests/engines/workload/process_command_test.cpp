#include "engines/workload/process_command.hpp"

#include <gtest/gtest.h>

#include "knative/simulation.hpp"

namespace knative {
namespace {

using Words = std::vector<std::string>;

class ProcessCommandTest : public testing::Test {
 protected:
  ProcessCommandTest() {
    Files& files = sim.env().files;
    files.make_directories("/images/a/app/bin").value();
    files.write_file("/images/a/app/server.py", "#").value();
    files.write_file("/images/a/app/bin/tool", "#").value();
    image.directory = "/images/a";
    image.working_directory = "/app";
    spec.image = "shop:1";
    spec.service = "hello";
    spec.configuration = "hello";
    spec.revision = "hello-00001";
  }
  Result<ProcessOptions> make() {
    return process_options(spec, image, options, 9000, sim.env().files);
  }
  Simulation sim{1};
  WorkloadSpec spec;
  ImageRoot image;
  ProcessRuntimeOptions options;
};

TEST_F(ProcessCommandTest, CommandAndArgsReplaceEntrypointAndCmd) {
  image.entrypoint = {"entry"};
  image.cmd = {"default"};
  EXPECT_EQ(make()->argv, (Words{"entry", "default"}));
  spec.args = {"own"};
  EXPECT_EQ(make()->argv, (Words{"entry", "own"}));
  spec.command = {"other"};
  EXPECT_EQ(make()->argv, (Words{"other", "own"}));
  spec.args.clear();
  EXPECT_EQ(make()->argv, (Words{"other"}));
}

TEST_F(ProcessCommandTest, NothingToRunIsAnError) {
  const auto result = make();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Errc::invalid_argument);
  EXPECT_NE(result.error().detail.find("shop:1"), std::string::npos);
}

TEST_F(ProcessCommandTest, EnvironmentIsLayeredAndHasTheContractsVariables) {
  spec.command = {"x"};
  image.environment = {{"A", "image"}, {"B", "image"}};
  spec.environment = {{"B", "revision"}, {"K_SERVICE", "forged"}};
  const auto environment = make()->environment;
  EXPECT_EQ(environment.at("A"), "image");
  EXPECT_EQ(environment.at("B"), "revision");
  EXPECT_EQ(environment.at("K_SERVICE"), "hello");
  EXPECT_EQ(environment.at("K_CONFIGURATION"), "hello");
  EXPECT_EQ(environment.at("K_REVISION"), "hello-00001");
  EXPECT_FALSE(environment.at("PATH").empty());
}

TEST_F(ProcessCommandTest, ReferencesAreExpandedInTheRevisionsWordsOnly) {
  image.entrypoint = {"sh", "-c", "echo $(PORT)"};
  image.environment = {{"MODE", "fast"}};
  spec.args = {"--port=$(PORT)", "--mode=$(MODE)", "--as=$(K_SERVICE)", "$$(PORT)", "$(NOBODY)"};
  EXPECT_EQ(make()->argv, (Words{"sh", "-c", "echo $(PORT)", "--port=9000", "--mode=fast",
                                 "--as=hello", "$(PORT)", "$(NOBODY)"}));
  spec.command = {"serve", "$(PORT)"};
  spec.args.clear();
  EXPECT_EQ(make()->argv, (Words{"serve", "9000"}));
}

TEST_F(ProcessCommandTest, ExpandedPathsMeanTheImageToo) {
  spec.environment = {{"PLACE", "/app"}};
  spec.command = {"python3", "$(PLACE)/server.py"};
  EXPECT_EQ(make()->argv, (Words{"python3", "/images/a/app/server.py"}));
}

TEST_F(ProcessCommandTest, PathsThatExistInTheImageMeanTheImage) {
  spec.command = {"python3", "/app/server.py", "/etc/hosts", "app/x", "/"};
  const ProcessOptions process = make().value();
  EXPECT_EQ(process.argv,
            (Words{"python3", "/images/a/app/server.py", "/etc/hosts", "app/x", "/"}));
  EXPECT_EQ(process.working_directory, "/images/a/app");
  EXPECT_EQ(process.root_directory, "");
  spec.command = {"tool"};
  image.environment["PATH"] = "/usr/bin:/app/bin";
  EXPECT_EQ(make()->argv, Words{"/images/a/app/bin/tool"});
}

TEST_F(ProcessCommandTest, ChangeRootLeavesPathsAlone) {
  options.change_root = true;
  spec.command = {"/app/bin/tool"};
  spec.working_directory = "/app/bin";
  const ProcessOptions process = make().value();
  EXPECT_EQ(process.argv, Words{"/app/bin/tool"});
  EXPECT_EQ(process.root_directory, "/images/a");
  EXPECT_EQ(process.working_directory, "/app/bin");
}

TEST(LineSplitter, CutsLinesAndBreaksLongOnes) {
  Words lines;
  LineSplitter splitter(5, [&lines](std::string_view line) { lines.emplace_back(line); });
  splitter.append("ab\ncd");
  splitter.append("e\n\nlonger than five\nx");
  splitter.finish();
  splitter.finish();
  EXPECT_EQ(lines, (Words{"ab", "cde", "", "longe", "r tha", "n fiv", "e", "x"}));
}

}  // namespace
}  // namespace knative
