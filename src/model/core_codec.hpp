// Descriptions of the structs in core.hpp.
#pragma once

#include "knative/core.hpp"
#include "model/codec.hpp"
#include "model/pod_codec.hpp"

namespace knative::core {
const codec::Struct& describe(const NamespaceStatus*);
const codec::Struct& describe(const Namespace*);
const codec::Struct& describe(const Secret*);
const codec::Struct& describe(const ConfigMap*);
const codec::Struct& describe(const ServiceAccount*);
const codec::Struct& describe(const ServicePort*);
const codec::Struct& describe(const ServiceSpec*);
const codec::Struct& describe(const Service*);
}  // namespace knative::core
