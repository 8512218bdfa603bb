#include "knative/build.hpp"

#include <gtest/gtest.h>

namespace knative {
namespace {

using build::Build;
using build::SourceSpec;

std::string errors_of(const Build& build) { return build::validate(build).to_string(); }

Build valid() {
  return Build{.metadata = {.name = "shop"},
               .spec = {.source = {.git = build::GitSource{.url = "https://example.org/s.git"}},
                        .steps = {{.name = "compile", .image = "gcc"}}}};
}

TEST(Build, DefaultsAreIdempotent) {
  Build build = valid();
  build::apply_defaults(build);
  EXPECT_EQ(build.spec.service_account_name, "default");
  EXPECT_EQ(build.spec.timeout, std::chrono::minutes(10));
  const Build once = build;
  build::apply_defaults(build);
  EXPECT_EQ(build, once);

  Build templated{.metadata = {.name = "t"}};
  templated.spec.template_ = build::TemplateInstantiationSpec{.name = "kaniko"};
  build::apply_defaults(templated);
  EXPECT_EQ(templated.spec.template_->kind, "BuildTemplate");
}

TEST(Build, ZeroTimeoutIsKept) {
  Build build = valid();
  build.spec.timeout = Duration::zero();
  build::apply_defaults(build);
  EXPECT_EQ(build.spec.timeout, Duration::zero());
  EXPECT_EQ(AnyObject(build).to_value().at_path("spec.timeout")->as_string(), "0s");
}

TEST(Build, AcceptsWhatIsRight) {
  EXPECT_EQ(errors_of(valid()), "");
  // The extension: an image from a source alone.
  Build build = valid();
  build.spec.steps.clear();
  build.spec.image = "local/shop";
  EXPECT_EQ(errors_of(build), "");
}

TEST(Build, NeedsStepsOrATemplateButNotBoth) {
  Build build{.metadata = {.name = "b"}};
  EXPECT_EQ(errors_of(build), "expected exactly one, got neither: spec.steps, spec.template");
  build.spec.steps = {{.image = "gcc"}};
  build.spec.template_ = build::TemplateInstantiationSpec{.kind = "Template"};
  EXPECT_EQ(errors_of(build),
            "expected exactly one, got both: spec.steps, spec.template\n"
            "invalid value: Template: spec.template.kind\n"
            "missing field(s): spec.template.name");
}

TEST(Build, NamesHaveNoDotsAndAtMost63Characters) {
  Build build = valid();
  build.metadata.name = std::string(64, 'a') + ".b";
  EXPECT_EQ(errors_of(build),
            "Invalid resource name: length must be no more than 63 characters: metadata.name\n"
            "Invalid resource name: special character . must not be present: metadata.name");
}

TEST(Build, StepsNeedImagesAndDistinctNames) {
  Build build = valid();
  build.spec.steps = {{.name = "a"}, {.name = "a", .image = "x"}, {.image = "x"}, {.image = "x"}};
  EXPECT_EQ(errors_of(build),
            "expected exactly one, got both: spec.steps.name\n"
            "missing field(s): spec.steps.Image");
}

TEST(Build, TimeoutIsBetweenZeroAndADay) {
  Build build = valid();
  build.spec.timeout = std::chrono::hours(24);
  EXPECT_EQ(errors_of(build), "");
  build.spec.timeout = std::chrono::hours(25);
  EXPECT_EQ(errors_of(build), "expected 0 <= 25h0m0s <= 24: spec.timeout");
  build.spec.timeout = -std::chrono::seconds(1);
  EXPECT_EQ(errors_of(build), "expected 0 <= -1s <= 24: spec.timeout");
}

TEST(Build, ASourceIsOfOneKind) {
  Build build = valid();
  build.spec.source.git = build::GitSource{.url = "https://example.org/a.git"};
  build.spec.source.gcs = build::GcsSource{.type = "Archive", .location = "gs://b/o"};
  EXPECT_EQ(errors_of(build), "expected exactly one, got both: spec.source.gcs, spec.source.git");
}

TEST(Build, SourcesAreTold) {
  const build::GitSource git{.url = "https://example.org/a.git"};
  Build build = valid();
  build.spec.sources = {SourceSpec{.git = git, .name = "a"}};
  EXPECT_EQ(errors_of(build), "expected exactly one, got both: spec.source, spec.sources");
  build.spec.source = {};
  EXPECT_EQ(errors_of(build), "");
  build.spec.sources = {SourceSpec{.git = git, .sub_path = "x"},
                        SourceSpec{.git = git, .sub_path = "y"}};
  EXPECT_EQ(errors_of(build),
            "expected exactly one, got both: spec.sources.name, spec.sources.subpath\n"
            "invalid value: Empty Target Path: spec.sources.targetPath");
  build.spec.sources = {SourceSpec{.git = git, .name = "a", .target_path = "/a/b"},
                        SourceSpec{.git = git, .name = "b", .target_path = "a/bc/d"}};
  EXPECT_EQ(errors_of(build), "") << "whole components are compared";
  build.spec.sources[1].target_path = "a/b/c";
  EXPECT_EQ(errors_of(build), "Overlapping Target Paths: spec.sources.targetPath");
  build.spec.sources = {
      SourceSpec{.custom = build::Step{.image = "x"}, .name = "a", .target_path = "t"}};
  EXPECT_EQ(errors_of(build), "invalid value: t: spec.sources.targetPath");
  build.spec.sources = {SourceSpec{.git = build::GitSource{}, .name = "a"}};
  EXPECT_EQ(errors_of(build), "missing field(s): spec.sources[0].git.url");
}

TEST(Build, WhereSourcesAreIsToldBeforeTheyAreFetched) {
  Build build = valid();
  const auto gcs = [&](const std::string& type, const std::string& location) {
    build.spec.source = {.gcs = build::GcsSource{type, location}};
    return errors_of(build);
  };
  for (const char* type : {"Archive", "ZipArchive", "TarGzArchive", "Manifest"}) {
    EXPECT_EQ(gcs(type, "gs://bucket/a/b.zip#7"), "");
  }
  for (const char* location : {"https://h/a", "http://h/a", "file:///a", "/a", "a"}) {
    EXPECT_EQ(gcs("Archive", location), "") << location;
  }
  EXPECT_EQ(gcs("", ""), "missing field(s): spec.source.gcs.location, spec.source.gcs.type");
  EXPECT_EQ(gcs("Folder", "/a"),
            "invalid value: Folder: spec.source.gcs.type\n"
            "only Archive, ZipArchive, TarGzArchive and Manifest");
  EXPECT_EQ(gcs("Archive", "ftp://me:secret@h/a"),
            "invalid value: ftp://: spec.source.gcs.location\n"
            "only paths, gs://, http://, https://, file://");
  for (const char* location : {"gs://", "gs://bucket", "gs://bucket/", "gs:///o", "gs://b/#1"}) {
    EXPECT_EQ(gcs("Archive", location), "invalid value: " + std::string(location) +
                                            ": spec.source.gcs.location\n"
                                            "must be gs://BUCKET/OBJECT");
  }
  build.spec.source = {.git = build::GitSource{"ext::sh -c x://y"}};
  EXPECT_NE(errors_of(build), "");
  for (const char* url : {"git@h:a/b", "ssh://h/a", "git+ssh://h/a", "git://h/a", "/a", "a"}) {
    build.spec.source.git->url = url;
    EXPECT_EQ(errors_of(build), "") << url;
  }
}

TEST(Build, PathsOfSourcesAndVolumesStayInside) {
  Build build = valid();
  build.spec.source.sub_path = "a/../../b";
  build.spec.source.target_path = "..";
  EXPECT_EQ(errors_of(build),
            "invalid value: ..: spec.source.targetPath\nmust not contain '..'\n"
            "invalid value: a/../../b: spec.source.subPath\nmust not contain '..'");
  build.spec.source.sub_path = "/a";
  build.spec.source.target_path = "/a..b";
  EXPECT_EQ(errors_of(build), "invalid value: /a: spec.source.subPath\nmust be a relative path");
  build = valid();
  core::Volume volume{.name = "v"};
  volume.secret.emplace().items = {{.key = "k", .path = "k"}, {.key = "k", .path = "../k"}};
  core::Volume both{.name = "w"};
  both.projected.emplace().sources.emplace_back().config_map.emplace().items = {
      {.key = "k", .path = "/k"}};
  build.spec.volumes = {volume, both};
  const std::string told =
      "invalid value: ../k: spec.volumes[0].secret.items[1].path\nmust not contain '..'\n"
      "invalid value: /k: spec.volumes[1].projected.sources[0].configMap.items[0].path\n"
      "must be a relative path";
  EXPECT_EQ(errors_of(build), told);
  build::BuildTemplate templated{.metadata = {.name = "t"}};
  templated.spec.volumes = build.spec.volumes;
  EXPECT_EQ(build::validate(templated).to_string(), told);
}

TEST(Build, OneTargetIsInAnotherHoweverItIsWritten) {
  const build::GitSource git{.url = "https://example.org/a.git"};
  Build build = valid();
  build.spec.source = {};
  build.spec.sources = {SourceSpec{.git = git, .name = "a", .target_path = "a/b"},
                        SourceSpec{.git = git, .name = "b", .target_path = "./a//b/."}};
  EXPECT_EQ(errors_of(build), "Overlapping Target Paths: spec.sources.targetPath");
}

TEST(Build, ImageConfigIsChecked) {
  Build build = valid();
  build.spec.image_config = build::ImageConfig{.contents = {{.path = "../etc"}}, .ports = {0}};
  EXPECT_EQ(errors_of(build),
            "expected 1 <= 0 <= 65535: spec.imageConfig.ports[0]\n"
            "invalid value: ../etc: spec.imageConfig.contents[0].path\n"
            "must stay inside the workspace\n"
            "missing field(s): spec.image");
}

// Else it was packed as it stood, or refused when all steps had run.
TEST(Build, PlacesInAnImageAreAbsoluteAndDoNotClimb) {
  Build build = valid();
  build.spec.image = "local/a";
  for (const char* place : {"./app", ".", "/workspace/../x", "/.."}) {
    build.spec.image_config = build::ImageConfig{.working_dir = place};
    EXPECT_NE(errors_of(build).find("spec.imageConfig.workingDir"), std::string::npos) << place;
  }
  build.spec.image_config =
      build::ImageConfig{.contents = {{.target = "a/../b"}}, .working_dir = "/a..b/c"};
  EXPECT_EQ(errors_of(build),
            "invalid value: a/../b: spec.imageConfig.contents[0].target\n"
            "must not have \"..\" in it");
}

TEST(Build, TemplatesHaveDistinctParametersStepsAndVolumes) {
  build::BuildTemplate build_template{.metadata = {.name = "t"}};
  build_template.spec = {.parameters = {{.name = "A"}, {.name = "A"}},
                         .steps = {{.name = "s"}, {.name = "s", .image = "i"}},
                         .volumes = {{.name = "v"}, {.name = "v"}}};
  EXPECT_EQ(build::validate(build_template).to_string(),
            "expected exactly one, got both: spec.name\n"
            "invalid key name \"ParamName\": spec.b.spec.params\n"
            "missing field(s): spec.Image");
}

TEST(Build, CancelFieldIsReadInAnyCaseAndWrittenAsUpstream) {
  for (const char* key : {"status", "Status", "STATUS"}) {
    Value value = {{"apiVersion", "build.knative.dev/v1alpha1"},
                   {"kind", "Build"},
                   {"metadata", {{"name", "b"}}},
                   {"spec", Value(Value::Map{{key, Value("BuildCancelled")}})}};
    const auto object = AnyObject::from_value(value, Strictness::strict).value();
    EXPECT_EQ(object.get<Build>().spec.status, build::build_cancelled);
    EXPECT_EQ(object.to_value().at_path("spec")->to_json(), R"({"Status":"BuildCancelled"})");
  }
}

TEST(Build, EmptyDefaultOfAParameterIsADefault) {
  const auto value = Value::parse_json(
      R"({"apiVersion":"build.knative.dev/v1alpha1","kind":"ClusterBuildTemplate",)"
      R"("metadata":{"name":"t"},"spec":{"parameters":[{"default":"","name":"A"},{"name":"B"}]}})");
  const auto object = AnyObject::from_value(value.value(), Strictness::strict).value();
  const auto& spec = object.get<build::ClusterBuildTemplate>().spec;
  EXPECT_EQ(spec.parameters[0].default_, "");
  EXPECT_FALSE(spec.parameters[1].default_.has_value());
  EXPECT_EQ(object.to_value(), value.value());
}

TEST(Build, WrongFieldsAreAllNamedWithTheirPaths) {
  const auto value = Value::parse_json(
      R"({"apiVersion":"build.knative.dev/v1alpha1","kind":"Build","metadata":{"name":"b"},)"
      R"("spec":{"stesp":[],"timeout":"10x","steps":[{"image":5,"args":"all"}]}})");
  const auto object = AnyObject::from_value(value.value(), Strictness::strict);
  ASSERT_FALSE(object);
  EXPECT_EQ(object.error().detail,
            "expected a duration as in \"1m30s\", found string \"10x\": spec.timeout\n"
            "missing or unknown unit in duration \"10x\"\n"
            "expected a list, found string \"all\": spec.steps[0].args\n"
            "expected a string, found integer 5: spec.steps[0].image\n"
            "write the value in quotes\n"
            "unknown field: spec.stesp\n"
            "did you mean \"steps\"?");
}

}  // namespace
}  // namespace knative
