#include "model/build_codec.hpp"

namespace knative::build {

using fields::acts;
using fields::Field;
using fields::reported;
using fields::warned;

const fields::Struct& describe(const GitSource*) {
  static const Field list[] = {acts("url", &GitSource::url, fields::always),
                               acts("revision", &GitSource::revision),
                               acts("submodules", &GitSource::submodules)};
  static const fields::Struct description{"GitSource", list};
  return description;
}

const fields::Struct& describe(const GcsSource*) {
  static const Field list[] = {acts("type", &GcsSource::type),
                               acts("location", &GcsSource::location)};
  static const fields::Struct description{"GcsSource", list};
  return description;
}

const fields::Struct& describe(const SourceSpec*) {
  static const Field list[] = {
      acts("git", &SourceSpec::git),       acts("gcs", &SourceSpec::gcs),
      acts("custom", &SourceSpec::custom), acts("subPath", &SourceSpec::sub_path),
      acts("name", &SourceSpec::name),     acts("targetPath", &SourceSpec::target_path)};
  static const fields::Struct description{"SourceSpec", list};
  return description;
}

const fields::Struct& describe(const ArgumentSpec*) {
  static const Field list[] = {acts("name", &ArgumentSpec::name, fields::always),
                               acts("value", &ArgumentSpec::value, fields::always)};
  static const fields::Struct description{"ArgumentSpec", list};
  return description;
}

const fields::Struct& describe(const TemplateInstantiationSpec*) {
  static const Field list[] = {acts("name", &TemplateInstantiationSpec::name, fields::always),
                               acts("kind", &TemplateInstantiationSpec::kind),
                               acts("arguments", &TemplateInstantiationSpec::arguments),
                               acts("env", &TemplateInstantiationSpec::env)};
  static const fields::Struct description{"TemplateInstantiationSpec", list};
  return description;
}

const fields::Struct& describe(const ImageContent*) {
  static const Field list[] = {acts("path", &ImageContent::path),
                               acts("target", &ImageContent::target)};
  static const fields::Struct description{"ImageContent", list};
  return description;
}

const fields::Struct& describe(const ImageConfig*) {
  static const Field list[] = {acts("base", &ImageConfig::base),
                               acts("contents", &ImageConfig::contents),
                               acts("entrypoint", &ImageConfig::entrypoint),
                               acts("command", &ImageConfig::command),
                               acts("env", &ImageConfig::env),
                               acts("workingDir", &ImageConfig::working_dir),
                               acts("user", &ImageConfig::user),
                               acts("ports", &ImageConfig::ports),
                               acts("labels", &ImageConfig::labels),
                               acts("normalize", &ImageConfig::normalize)};
  static const fields::Struct description{"ImageConfig", list};
  return description;
}

const fields::Struct& describe(const BuildSpec*) {
  static const Field list[] = {
      acts("source", &BuildSpec::source),
      acts("sources", &BuildSpec::sources),
      acts("steps", &BuildSpec::steps),
      acts("image", &BuildSpec::image),
      acts("imageConfig", &BuildSpec::image_config),
      acts("template", &BuildSpec::template_),
      acts("serviceAccountName", &BuildSpec::service_account_name),
      acts("timeout", &BuildSpec::timeout),
      acts("volumes", &BuildSpec::volumes),
      warned("nodeSelector", &BuildSpec::node_selector, "there are no nodes here"),
      warned("affinity", &BuildSpec::affinity, "there are no nodes here"),
      acts("Status", &BuildSpec::status, fields::any_case),
      warned("generation", &BuildSpec::generation, "deprecated; metadata.generation counts")};
  static const fields::Struct description{"BuildSpec", list};
  return description;
}

const fields::Struct& describe(const ClusterSpec*) {
  static const Field list[] = {acts("namespace", &ClusterSpec::namespace_),
                               acts("podName", &ClusterSpec::pod_name)};
  static const fields::Struct description{"ClusterSpec", list};
  return description;
}

const fields::Struct& describe(const GoogleSpec*) {
  static const Field list[] = {acts("operation", &GoogleSpec::operation)};
  static const fields::Struct description{"GoogleSpec", list};
  return description;
}

const fields::Struct& describe(const ResolvedSource*) {
  static const Field list[] = {acts("name", &ResolvedSource::name),
                               acts("url", &ResolvedSource::url),
                               acts("revision", &ResolvedSource::revision)};
  static const fields::Struct description{"ResolvedSource", list};
  return description;
}

const fields::Struct& describe(const BuildStatus*) {
  static const Field list[] = {acts("observedGeneration", &BuildStatus::observed_generation),
                               acts("conditions", &BuildStatus::conditions),
                               acts("builder", &BuildStatus::builder),
                               acts("cluster", &BuildStatus::cluster),
                               acts("google", &BuildStatus::google),
                               acts("startTime", &BuildStatus::start_time),
                               acts("completionTime", &BuildStatus::completion_time),
                               acts("stepStates", &BuildStatus::step_states),
                               acts("stepsCompleted", &BuildStatus::steps_completed),
                               acts("image", &BuildStatus::image),
                               acts("sources", &BuildStatus::sources)};
  static const fields::Struct description{"BuildStatus", list};
  return description;
}

const fields::Struct& describe(const Build*) {
  static const Field list[] = {acts("metadata", &Build::metadata), acts("spec", &Build::spec),
                               reported("status", &Build::status, fields::tolerant)};
  static const fields::Struct description{"Build", list};
  return description;
}

const fields::Struct& describe(const ParameterSpec*) {
  static const Field list[] = {acts("name", &ParameterSpec::name, fields::always),
                               acts("description", &ParameterSpec::description),
                               acts("default", &ParameterSpec::default_)};
  static const fields::Struct description{"ParameterSpec", list};
  return description;
}

const fields::Struct& describe(const BuildTemplateSpec*) {
  static const Field list[] = {acts("parameters", &BuildTemplateSpec::parameters),
                               acts("steps", &BuildTemplateSpec::steps),
                               acts("volumes", &BuildTemplateSpec::volumes),
                               warned("generation", &BuildTemplateSpec::generation,
                                      "deprecated; metadata.generation counts")};
  static const fields::Struct description{"BuildTemplateSpec", list};
  return description;
}

const fields::Struct& describe(const BuildTemplate*) {
  static const Field list[] = {acts("metadata", &BuildTemplate::metadata),
                               acts("spec", &BuildTemplate::spec)};
  static const fields::Struct description{"BuildTemplate", list};
  return description;
}

const fields::Struct& describe(const ClusterBuildTemplate*) {
  static const Field list[] = {acts("metadata", &ClusterBuildTemplate::metadata),
                               acts("spec", &ClusterBuildTemplate::spec)};
  static const fields::Struct description{"ClusterBuildTemplate", list};
  return description;
}

// ---------------------------------------------------------------------------- rules

using fields::Mark;
using fields::Rule;

constexpr std::string_view no_server = "a step is no server";
constexpr std::string_view no_terminal = "a step has no terminal";
constexpr std::string_view runs_once = "a step runs once, on this host, to its end";
constexpr std::string_view no_storage = "there is no such storage here; the build fails";

// Steps are containers that nothing is sent to.
#define KN_STEP_RULES(step)                                                                        \
  {step ".ports", Mark::warned, no_server}, {step ".livenessProbe", Mark::warned, no_server},      \
      {step ".readinessProbe", Mark::warned, no_server},                                           \
      {step ".startupProbe", Mark::warned, no_server}, {step ".stdin", Mark::warned, no_terminal}, \
      {step ".stdinOnce", Mark::warned, no_terminal}, {step ".tty", Mark::warned, no_terminal},    \
      {step ".lifecycle", Mark::warned, runs_once},                                                \
      {step ".restartPolicy", Mark::warned, runs_once},                                            \
      {step ".volumeDevices", Mark::warned, runs_once},                                            \
      {step ".resizePolicy", Mark::warned, runs_once},                                             \
      {step ".terminationMessagePath", Mark::acts},                                                \
      {step ".terminationMessagePolicy", Mark::acts},                                              \
      {step ".env.valueFrom.fieldRef", Mark::acts}, {step ".volumeMounts.readOnly", Mark::acts}, { \
    step ".volumeMounts.mountPropagation", Mark::warned, runs_once                                 \
  }

#define KN_BUILD_VOLUMES                                                                        \
  {"spec.volumes.hostPath", Mark::acts}, {"spec.volumes.gitRepo", Mark::acts},                  \
      {"spec.volumes.downwardAPI", Mark::acts}, {"spec.volumes.csi", Mark::warned, no_storage}, \
      {"spec.volumes.ephemeral", Mark::warned, no_storage}, {                                   \
    "spec.volumes.image", Mark::warned, no_storage                                              \
  }

constexpr Rule build_rules[] = {KN_STEP_RULES("spec.steps"), KN_STEP_RULES("spec.source.custom"),
                                KN_STEP_RULES("spec.sources.custom"), KN_BUILD_VOLUMES};
constexpr Rule template_rules[] = {KN_STEP_RULES("spec.steps"), KN_BUILD_VOLUMES};
#undef KN_STEP_RULES
#undef KN_BUILD_VOLUMES

constexpr PrinterColumn build_columns[] = {{"SUCCEEDED", "status.conditions[Succeeded].status"},
                                           {"REASON", "status.conditions[Succeeded].reason"},
                                           {"STARTTIME", "status.startTime"},
                                           {"COMPLETIONTIME", "status.completionTime"},
                                           {"IMAGE", "status.image", true}};

// ---------------------------------------------------------------------------- kinds

const KindInfo& kind_info(const Build*) {
  static constexpr KindInfo info =
      namespaced_kind<Build>("builds").with_rules(build_rules).with_columns(build_columns);
  return info;
}
const KindInfo& kind_info(const BuildTemplate*) {
  static constexpr KindInfo info =
      namespaced_kind<BuildTemplate>("buildtemplates").with_rules(template_rules);
  return info;
}
const KindInfo& kind_info(const ClusterBuildTemplate*) {
  static constexpr KindInfo info =
      cluster_kind<ClusterBuildTemplate>("clusterbuildtemplates").with_rules(template_rules);
  return info;
}

}  // namespace knative::build
