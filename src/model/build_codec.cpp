#include "model/build_codec.hpp"

namespace knative::build {

using codec::field;

const codec::Struct& describe(const GitSource*) {
  static constexpr codec::Field fields[] = {field<&GitSource::url>("url", codec::always),
                                            field<&GitSource::revision>("revision")};
  static constexpr codec::Struct description{"GitSource", fields};
  return description;
}

const codec::Struct& describe(const GcsSource*) {
  static constexpr codec::Field fields[] = {field<&GcsSource::type>("type"),
                                            field<&GcsSource::location>("location")};
  static constexpr codec::Struct description{"GcsSource", fields};
  return description;
}

const codec::Struct& describe(const SourceSpec*) {
  static constexpr codec::Field fields[] = {
      field<&SourceSpec::git>("git"),       field<&SourceSpec::gcs>("gcs"),
      field<&SourceSpec::custom>("custom"), field<&SourceSpec::sub_path>("subPath"),
      field<&SourceSpec::name>("name"),     field<&SourceSpec::target_path>("targetPath")};
  static constexpr codec::Struct description{"SourceSpec", fields};
  return description;
}

const codec::Struct& describe(const ArgumentSpec*) {
  static constexpr codec::Field fields[] = {field<&ArgumentSpec::name>("name", codec::always),
                                            field<&ArgumentSpec::value>("value", codec::always)};
  static constexpr codec::Struct description{"ArgumentSpec", fields};
  return description;
}

const codec::Struct& describe(const TemplateInstantiationSpec*) {
  static constexpr codec::Field fields[] = {
      field<&TemplateInstantiationSpec::name>("name", codec::always),
      field<&TemplateInstantiationSpec::kind>("kind"),
      field<&TemplateInstantiationSpec::arguments>("arguments"),
      field<&TemplateInstantiationSpec::env>("env")};
  static constexpr codec::Struct description{"TemplateInstantiationSpec", fields};
  return description;
}

const codec::Struct& describe(const ImageContent*) {
  static constexpr codec::Field fields[] = {field<&ImageContent::path>("path"),
                                            field<&ImageContent::target>("target")};
  static constexpr codec::Struct description{"ImageContent", fields};
  return description;
}

const codec::Struct& describe(const ImageConfig*) {
  static constexpr codec::Field fields[] = {field<&ImageConfig::base>("base"),
                                            field<&ImageConfig::contents>("contents"),
                                            field<&ImageConfig::entrypoint>("entrypoint"),
                                            field<&ImageConfig::command>("command"),
                                            field<&ImageConfig::env>("env"),
                                            field<&ImageConfig::working_dir>("workingDir"),
                                            field<&ImageConfig::user>("user"),
                                            field<&ImageConfig::ports>("ports"),
                                            field<&ImageConfig::labels>("labels")};
  static constexpr codec::Struct description{"ImageConfig", fields};
  return description;
}

const codec::Struct& describe(const BuildSpec*) {
  static constexpr codec::Field fields[] = {
      field<&BuildSpec::source>("source"),
      field<&BuildSpec::sources>("sources"),
      field<&BuildSpec::steps>("steps"),
      field<&BuildSpec::image>("image"),
      field<&BuildSpec::image_config>("imageConfig"),
      field<&BuildSpec::template_>("template"),
      field<&BuildSpec::service_account_name>("serviceAccountName"),
      field<&BuildSpec::timeout>("timeout"),
      field<&BuildSpec::volumes>("volumes"),
      field<&BuildSpec::node_selector>("nodeSelector"),
      field<&BuildSpec::affinity>("affinity"),
      field<&BuildSpec::status>("Status", codec::any_case),
      field<&BuildSpec::generation>("generation")};
  static constexpr codec::Struct description{"BuildSpec", fields};
  return description;
}

const codec::Struct& describe(const ClusterSpec*) {
  static constexpr codec::Field fields[] = {field<&ClusterSpec::namespace_>("namespace"),
                                            field<&ClusterSpec::pod_name>("podName")};
  static constexpr codec::Struct description{"ClusterSpec", fields};
  return description;
}

const codec::Struct& describe(const GoogleSpec*) {
  static constexpr codec::Field fields[] = {field<&GoogleSpec::operation>("operation")};
  static constexpr codec::Struct description{"GoogleSpec", fields};
  return description;
}

const codec::Struct& describe(const ResolvedSource*) {
  static constexpr codec::Field fields[] = {field<&ResolvedSource::name>("name"),
                                            field<&ResolvedSource::url>("url"),
                                            field<&ResolvedSource::revision>("revision")};
  static constexpr codec::Struct description{"ResolvedSource", fields};
  return description;
}

const codec::Struct& describe(const BuildStatus*) {
  static constexpr codec::Field fields[] = {
      field<&BuildStatus::observed_generation>("observedGeneration"),
      field<&BuildStatus::conditions>("conditions"),
      field<&BuildStatus::builder>("builder"),
      field<&BuildStatus::cluster>("cluster"),
      field<&BuildStatus::google>("google"),
      field<&BuildStatus::start_time>("startTime"),
      field<&BuildStatus::completion_time>("completionTime"),
      field<&BuildStatus::step_states>("stepStates"),
      field<&BuildStatus::steps_completed>("stepsCompleted"),
      field<&BuildStatus::image>("image"),
      field<&BuildStatus::sources>("sources")};
  static constexpr codec::Struct description{"BuildStatus", fields};
  return description;
}

const codec::Struct& describe(const Build*) {
  static constexpr codec::Field fields[] = {field<&Build::metadata>("metadata"),
                                            field<&Build::spec>("spec"),
                                            field<&Build::status>("status")};
  static constexpr codec::Struct description{"Build", fields};
  return description;
}

const codec::Struct& describe(const ParameterSpec*) {
  static constexpr codec::Field fields[] = {field<&ParameterSpec::name>("name", codec::always),
                                            field<&ParameterSpec::description>("description"),
                                            field<&ParameterSpec::default_>("default")};
  static constexpr codec::Struct description{"ParameterSpec", fields};
  return description;
}

const codec::Struct& describe(const BuildTemplateSpec*) {
  static constexpr codec::Field fields[] = {field<&BuildTemplateSpec::parameters>("parameters"),
                                            field<&BuildTemplateSpec::steps>("steps"),
                                            field<&BuildTemplateSpec::volumes>("volumes"),
                                            field<&BuildTemplateSpec::generation>("generation")};
  static constexpr codec::Struct description{"BuildTemplateSpec", fields};
  return description;
}

const codec::Struct& describe(const BuildTemplate*) {
  static constexpr codec::Field fields[] = {field<&BuildTemplate::metadata>("metadata"),
                                            field<&BuildTemplate::spec>("spec")};
  static constexpr codec::Struct description{"BuildTemplate", fields};
  return description;
}

const codec::Struct& describe(const ClusterBuildTemplate*) {
  static constexpr codec::Field fields[] = {field<&ClusterBuildTemplate::metadata>("metadata"),
                                            field<&ClusterBuildTemplate::spec>("spec")};
  static constexpr codec::Struct description{"ClusterBuildTemplate", fields};
  return description;
}

}  // namespace knative::build
