// Templates, paths and detection: the pure part of the builder.
#include "builder_fixture.hpp"
#include "engines/builder/git_protocol.hpp"

namespace knative {
namespace {

build::BuildTemplateSpec make_template(build::Step step, bool required = false) {
  build::BuildTemplateSpec result;
  build::ParameterSpec foo;
  foo.name = "FOO";
  foo.description = "what to say";
  if (!required) foo.default_ = "";
  result.parameters = {foo};
  result.steps = {std::move(step)};
  return result;
}

build::BuildSpec with_arguments(std::vector<build::ArgumentSpec> arguments) {
  build::BuildSpec spec;
  spec.template_.emplace();
  spec.template_->name = "t";
  spec.template_->arguments = std::move(arguments);
  return spec;
}

TEST(Template, FillsInTheDocumentedFields) {
  build::Step step;
  step.name = "s-${FOO}";
  step.image = "busybox:${FOO}";
  step.command = {"${FOO}"};
  step.args = {"echo $BAR ${FOO}", "${FOO", "$FOO", "$${FOO}", "${UNKNOWN}"};
  step.working_dir = "/dir/${FOO}/bar";
  step.env = {{.name = "${FOO}", .value = "<${FOO}>", .value_from = {}}};
  step.volume_mounts = {{.name = "${FOO}", .mount_path = "/${FOO}"}};
  const build::BuildSpec spec =
      instantiate(with_arguments({{"FOO", "world"}}), make_template(step)).value();
  const build::Step& out = spec.steps.at(0);
  EXPECT_EQ(out.name, "s-world");
  EXPECT_EQ(out.image, "busybox:world");
  EXPECT_EQ(out.command[0], "world");
  EXPECT_EQ(out.args,
            (std::vector<std::string>{"echo $BAR world", "${FOO", "$FOO", "$world", "${UNKNOWN}"}));
  EXPECT_EQ(out.working_dir, "/dir/world/bar");
  EXPECT_EQ(out.env[0].name, "${FOO}") << "names are not filled in";
  EXPECT_EQ(out.env[0].value, "<world>");
  EXPECT_EQ(out.volume_mounts[0].name, "world");
  EXPECT_FALSE(spec.template_.has_value());
}

TEST(Template, AnEmptyDefaultIsADefault) {
  build::Step step;
  step.working_dir = "/dir/${FOO}/bar";
  EXPECT_EQ(instantiate(with_arguments({}), make_template(step)).value().steps[0].working_dir,
            "/dir//bar");
}

TEST(Template, ValuesAreNotExpandedAgain) {
  build::Step step;
  step.args = {"${FOO}"};
  EXPECT_EQ(instantiate(with_arguments({{"FOO", "${BAR}"}, {"BAR", "x"}}), make_template(step))
                .value()
                .steps[0]
                .args[0],
            "${BAR}");
}

TEST(Template, UndeclaredArgumentsSubstituteToo) {
  build::Step step;
  step.args = {"${EXTRA}"};
  EXPECT_EQ(
      instantiate(with_arguments({{"EXTRA", "x"}}), make_template(step)).value().steps[0].args[0],
      "x");
}

TEST(Template, ReportsKnativesReasons) {
  const auto reason = [](const Result<build::BuildSpec>& result) {
    return result.error().detail.substr(0, result.error().detail.find(':'));
  };
  build::Step step;
  EXPECT_EQ(reason(instantiate(with_arguments({{"A", "1"}, {"A", "2"}}), make_template(step))),
            "DuplicateArgName");
  const Result<build::BuildSpec> missing =
      instantiate(with_arguments({}), make_template(step, true));
  EXPECT_EQ(reason(missing), "UnsatisfiedParameter");
  EXPECT_NE(missing.error().detail.find("{FOO what to say}"), std::string::npos);
  step.name = "step-name-${FOO${BAR}}";
  EXPECT_EQ(reason(instantiate(with_arguments({}), make_template(step))), "NestedPlaceholder");
}

TEST(Template, EnvironmentReplacesAndVolumesAreAppended) {
  build::Step step;
  step.env = {{.name = "A", .value = "1", .value_from = {}},
              {.name = "B", .value = "2", .value_from = {}}};
  build::BuildTemplateSpec from = make_template(step);
  core::Volume cache;
  cache.name = "cache-${FOO}";
  from.volumes = {cache};
  build::BuildSpec spec = with_arguments({{"FOO", "x"}});
  spec.template_->env = {{.name = "A", .value = "${FOO}", .value_from = {}}};
  core::Volume own;
  own.name = "own";
  spec.volumes = {own};
  const build::BuildSpec out = instantiate(spec, from).value();
  ASSERT_EQ(out.steps[0].env.size(), 2u);
  EXPECT_EQ(out.steps[0].env[0].name, "B");
  EXPECT_EQ(out.steps[0].env[1].value, "x");
  ASSERT_EQ(out.volumes.size(), 2u);
  EXPECT_EQ(out.volumes[0].name, "own");
  EXPECT_EQ(out.volumes[1].name, "cache-x");
}

// ---------------------------------------------------------------------------- detection

class Detection : public BuilderFixture {
 protected:
  DetectedSource detect() { return detect_source(env().files, path("src")).value(); }
  Error refused() { return detect_source(env().files, path("src")).error(); }
};

TEST_F(Detection, Procfile) {
  write("src/Procfile", "worker: x\nweb:   ./server --port $PORT\n");
  EXPECT_EQ(detect().image.entrypoint,
            (std::vector<std::string>{"/bin/sh", "-c", "exec ./server --port $PORT"}));
  write("src/Procfile", "web: ./server -v");
  write("src/Makefile", "server:\n");
  EXPECT_EQ(detect().image.entrypoint, (std::vector<std::string>{"/workspace/server", "-v"}));
  EXPECT_EQ(detect().steps.at(0).name, "make");
  write("src/Procfile", "worker: x");
  EXPECT_NE(refused().detail.find("web:"), std::string::npos);
}

TEST_F(Detection, CMake) {
  write("src/CMakeLists.txt",
        "project(shop CXX)\n# add_executable(no x)\nADD_EXECUTABLE(\n  server main.cpp)\n");
  EXPECT_EQ(detect().kind, "cmake");
  EXPECT_EQ(detect().image.entrypoint[0], "/workspace/bin/server");
  write("src/CMakeLists.txt", "project(shop CXX)\nadd_executable(${PROJECT_NAME} main.cpp)\n");
  EXPECT_EQ(detect().image.entrypoint[0], "/workspace/bin/shop");
  write("src/CMakeLists.txt", "add_library(x x.cpp)\n");
  EXPECT_EQ(refused().code, Errc::not_found);
}

TEST_F(Detection, OtherLanguages) {
  write("src/start.sh", "#!/bin/sh\n");
  EXPECT_EQ(detect().image.entrypoint,
            (std::vector<std::string>{"/bin/sh", "/workspace/start.sh"}));
  write("src/app.py", "");
  write("src/requirements.txt", "flask\n");
  EXPECT_EQ(detect().image.entrypoint, (std::vector<std::string>{"python3", "/workspace/app.py"}));
  EXPECT_EQ(detect().steps.at(0).name, "pip");
  write("src/package.json", R"({"scripts":{"start":"node index.js"},"dependencies":{"x":"1"}})");
  EXPECT_EQ(detect().image.entrypoint, (std::vector<std::string>{"node", "index.js"}));
  EXPECT_EQ(detect().steps.at(0).name, "npm");
  write("src/go.mod", "module x\n");
  EXPECT_EQ(detect().kind, "go");
}

TEST_F(Detection, AnUnknownSourceListsWhatIsRecognised) {
  write("src/README", "");
  write("src/Dockerfile", "FROM scratch");
  EXPECT_EQ(refused().code, Errc::not_found);
  for (const char* name : {"Procfile", "CMakeLists.txt", "Makefile", "go.mod", "package.json",
                           "main.py", "start.sh", "Dockerfile is not supported"}) {
    EXPECT_NE(refused().detail.find(name), std::string::npos) << name;
  }
}

}  // namespace
}  // namespace knative
