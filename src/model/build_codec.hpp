// Descriptions of the structs in build.hpp.
#pragma once

#include "knative/build.hpp"
#include "model/codec.hpp"
#include "model/pod_codec.hpp"

namespace knative::build {
const codec::Struct& describe(const GitSource*);
const codec::Struct& describe(const GcsSource*);
const codec::Struct& describe(const SourceSpec*);
const codec::Struct& describe(const ArgumentSpec*);
const codec::Struct& describe(const TemplateInstantiationSpec*);
const codec::Struct& describe(const ImageContent*);
const codec::Struct& describe(const ImageConfig*);
const codec::Struct& describe(const BuildSpec*);
const codec::Struct& describe(const ClusterSpec*);
const codec::Struct& describe(const GoogleSpec*);
const codec::Struct& describe(const ResolvedSource*);
const codec::Struct& describe(const BuildStatus*);
const codec::Struct& describe(const Build*);
const codec::Struct& describe(const ParameterSpec*);
const codec::Struct& describe(const BuildTemplateSpec*);
const codec::Struct& describe(const BuildTemplate*);
const codec::Struct& describe(const ClusterBuildTemplate*);
}  // namespace knative::build
