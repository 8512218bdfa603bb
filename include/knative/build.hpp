/// \file
/// build.knative.dev/v1alpha1: Build, BuildTemplate and ClusterBuildTemplate.
///
/// The objects of Knative Build 0.7 as plain aggregates, plus three documented extensions that its
/// container-based builds did not need: `BuildSpec::image` with `image_config` (what the steps left
/// behind becomes this image) and `BuildStatus::image` with `sources` (what came out, from what).
///
/// \code
/// knative::build::Build build{
///     .metadata = {.name = "shop"},
///     .spec = {.source = {.git = knative::build::GitSource{.url =
///     "https://example.org/shop.git"}},
///              .steps = {{.name = "compile", .image = "gcc:12", .command = {"make"}}},
///              .image = "local/shop"}};
/// \endcode
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "knative/meta.hpp"
#include "knative/object.hpp"
#include "knative/pod.hpp"

namespace knative::build {

/// One step is a container; steps run in order in a shared workspace.
using Step = core::Container;

/// A git repository at a revision.
struct GitSource {
  std::string url = {};
  std::string revision = {};  ///< Branch, tag, commit or ref; empty: the remote's default branch.
  /// Extension, as of Tekton's git-clone: fetch what .gitmodules names, and what that names.
  bool submodules = false;
  friend bool operator==(const GitSource&, const GitSource&) = default;
};

/// An archive or manifest in an object store.
struct GcsSource {
  std::string type = {};      ///< "Archive", "ZipArchive", "TarGzArchive" or "Manifest".
  std::string location = {};  ///< gs://, http://, https://, file:// or a path.
  friend bool operator==(const GcsSource&, const GcsSource&) = default;
};

/// Where files come from: the first of git, gcs and custom that is set.
struct SourceSpec {
  std::optional<GitSource> git = {};
  std::optional<GcsSource> gcs = {};
  std::optional<Step> custom = {};  ///< A container that fills the workspace.
  std::string sub_path = {};        ///< The directory that steps see as the workspace.
  std::string name = {};
  std::string target_path = {};  ///< Where in the workspace the files are put.

  /// True when no field is set.
  bool empty() const noexcept {
    return !git && !gcs && !custom && sub_path.empty() && name.empty() && target_path.empty();
  }
  friend bool operator==(const SourceSpec&, const SourceSpec&) = default;
};

/// A value for a template's parameter.
struct ArgumentSpec {
  std::string name = {};
  std::string value = {};
  friend bool operator==(const ArgumentSpec&, const ArgumentSpec&) = default;
};

/// Use a template in place of steps.
struct TemplateInstantiationSpec {
  std::string name = {};
  std::string kind = {};  ///< "BuildTemplate" (default) or "ClusterBuildTemplate".
  std::vector<ArgumentSpec> arguments = {};
  std::vector<core::EnvVar> env = {};  ///< Added to every step, replacing equal names.
  friend bool operator==(const TemplateInstantiationSpec&,
                         const TemplateInstantiationSpec&) = default;
};

/// Files of the workspace that go into the image.
struct ImageContent {
  std::string path = {};    ///< In the workspace; empty: all of it.
  std::string target = {};  ///< In the image; empty: the working directory.
  friend bool operator==(const ImageContent&, const ImageContent&) = default;
};

/// Extension: how the resulting image is made from the workspace. Everything may be left out.
struct ImageConfig {
  /// Image to put the files on, pulled if need be; empty or "scratch": none.
  std::string base = {};
  std::vector<ImageContent> contents = {};   ///< Empty: the whole workspace.
  std::vector<std::string> entrypoint = {};  ///< Program and fixed arguments.
  std::vector<std::string> command = {};     ///< Default arguments.
  std::vector<core::EnvVar> env = {};        ///< Literal values only.
  std::string working_dir = {};              ///< Defaulted to "/workspace".
  std::string user = {};
  std::vector<std::int32_t> ports = {};
  StringMap labels = {};
  /// Pack what steps in containers left as what host steps leave is packed: owned by root, 0755 or
  /// 0644, without attributes and hard links. Otherwise all of that is kept but for times.
  bool normalize = false;
  friend bool operator==(const ImageConfig&, const ImageConfig&) = default;
};

/// What to do.
struct BuildSpec {
  SourceSpec source = {};  ///< Excludes `sources`.
  std::vector<SourceSpec> sources = {};
  std::vector<Step> steps = {};  ///< Excludes `template_`.
  /// Extension: a reference such as "local/shop:1" that the workspace is packed into after the last
  /// step. With it, steps may be left out.
  std::string image = {};
  std::optional<ImageConfig> image_config = {};             ///< Extension; needs `image`.
  std::optional<TemplateInstantiationSpec> template_ = {};  ///< JSON "template".
  std::string service_account_name = {};                    ///< Defaulted to "default".
  std::optional<Duration> timeout = {};  ///< Go syntax, 0 to 24h; defaulted to 10m. 0 ends at once.
  std::vector<core::Volume> volumes = {};
  StringMap node_selector = {};
  Value affinity = {};
  std::string status = {};      ///< "BuildCancelled" cancels. JSON "Status", read in any case.
  std::int64_t generation = 0;  ///< Deprecated, ignored.
  friend bool operator==(const BuildSpec&, const BuildSpec&) = default;
};

/// The value of `BuildSpec::status` that cancels, also the reason of the condition then.
inline constexpr std::string_view build_cancelled = "BuildCancelled";

/// The message of that condition, with Knative's words.
KNATIVE_EXPORT std::string cancelled_message(std::string_view build_name);

/// Where a cluster runs the build.
struct ClusterSpec {
  std::string namespace_ = {};
  std::string pod_name = {};
  friend bool operator==(const ClusterSpec&, const ClusterSpec&) = default;
};

/// Kept for old documents; never written.
struct GoogleSpec {
  std::string operation = {};
  friend bool operator==(const GoogleSpec&, const GoogleSpec&) = default;
};

/// Extension: what a source was resolved to.
struct ResolvedSource {
  std::string name = {};
  std::string url = {};
  std::string revision = {};  ///< Commit id of a git source, digest or generation of others.
  friend bool operator==(const ResolvedSource&, const ResolvedSource&) = default;
};

/// What came of it.
struct BuildStatus {
  std::int64_t observed_generation = 0;
  Conditions conditions = {};  ///< Only "Succeeded".
  std::string builder = {};    ///< "Cluster" when it runs in pods; empty in this process.
  std::optional<ClusterSpec> cluster = {};
  std::optional<GoogleSpec> google = {};
  std::optional<Timestamp> start_time = {};
  std::optional<Timestamp> completion_time = {};
  std::vector<core::ContainerState> step_states = {};
  std::vector<std::string> steps_completed = {};
  std::string image = {};                    ///< Extension: the result as "name@sha256:…".
  std::vector<ResolvedSource> sources = {};  ///< Extension.
  friend bool operator==(const BuildStatus&, const BuildStatus&) = default;
};

/// One run: sources, steps, and where it got.
struct Build {
  static constexpr std::string_view api_version = "build.knative.dev/v1alpha1";
  static constexpr std::string_view kind = "Build";
  ObjectMeta metadata = {};
  BuildSpec spec = {};
  BuildStatus status = {};
  friend bool operator==(const Build&, const Build&) = default;
};

/// A hole in a template, written ${NAME} there.
struct ParameterSpec {
  std::string name = {};
  std::string description = {};
  std::optional<std::string> default_ = {};  ///< JSON "default"; an empty string is a default.
  friend bool operator==(const ParameterSpec&, const ParameterSpec&) = default;
};

/// Parameters and the steps that use them.
struct BuildTemplateSpec {
  std::vector<ParameterSpec> parameters = {};
  std::vector<Step> steps = {};
  std::vector<core::Volume> volumes = {};
  std::int64_t generation = 0;  ///< Deprecated, ignored.
  friend bool operator==(const BuildTemplateSpec&, const BuildTemplateSpec&) = default;
};

/// Steps with parameters, for builds of its namespace.
struct BuildTemplate {
  static constexpr std::string_view api_version = "build.knative.dev/v1alpha1";
  static constexpr std::string_view kind = "BuildTemplate";
  ObjectMeta metadata = {};
  BuildTemplateSpec spec = {};
  friend bool operator==(const BuildTemplate&, const BuildTemplate&) = default;
};

/// Steps with parameters, for builds of every namespace.
struct ClusterBuildTemplate {
  static constexpr std::string_view api_version = "build.knative.dev/v1alpha1";
  static constexpr std::string_view kind = "ClusterBuildTemplate";
  ObjectMeta metadata = {};
  BuildTemplateSpec spec = {};
  friend bool operator==(const ClusterBuildTemplate&, const ClusterBuildTemplate&) = default;
};

/// The conditions of a Build: "Succeeded" without dependents.
KNATIVE_EXPORT ConditionSet build_conditions();

/// serviceAccountName "default", timeout 10m, template.kind "BuildTemplate".
KNATIVE_EXPORT void apply_defaults(Build& build);
/// The rules of the 0.7 webhook with its messages, applied to every part (the webhook stopped at a
/// template and did not look at a lone source).
KNATIVE_EXPORT FieldErrors validate(const Build& build);
KNATIVE_EXPORT FieldErrors validate(const BuildTemplate& build_template);
KNATIVE_EXPORT FieldErrors validate(const ClusterBuildTemplate& build_template);

/// What may not change: the spec of a build that has begun, `status` (to cancel it) apart.
KNATIVE_EXPORT FieldErrors validate_update(const Build& newer, const Build& old);

/// Their rows in the registry of kinds.
KNATIVE_EXPORT const KindInfo& kind_info(const Build*);
KNATIVE_EXPORT const KindInfo& kind_info(const BuildTemplate*);
KNATIVE_EXPORT const KindInfo& kind_info(const ClusterBuildTemplate*);

}  // namespace knative::build
