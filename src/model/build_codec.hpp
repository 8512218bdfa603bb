// Descriptions of the structs in build.hpp.
#pragma once

#include "knative/build.hpp"
#include "knative/fields.hpp"
#include "model/pod_codec.hpp"

namespace knative::build {
const fields::Struct& describe(const GitSource*);
const fields::Struct& describe(const GcsSource*);
const fields::Struct& describe(const SourceSpec*);
const fields::Struct& describe(const ArgumentSpec*);
const fields::Struct& describe(const TemplateInstantiationSpec*);
const fields::Struct& describe(const ImageContent*);
const fields::Struct& describe(const ImageConfig*);
const fields::Struct& describe(const BuildSpec*);
const fields::Struct& describe(const ClusterSpec*);
const fields::Struct& describe(const GoogleSpec*);
const fields::Struct& describe(const ResolvedSource*);
const fields::Struct& describe(const BuildStatus*);
const fields::Struct& describe(const Build*);
const fields::Struct& describe(const ParameterSpec*);
const fields::Struct& describe(const BuildTemplateSpec*);
const fields::Struct& describe(const BuildTemplate*);
const fields::Struct& describe(const ClusterBuildTemplate*);
}  // namespace knative::build
