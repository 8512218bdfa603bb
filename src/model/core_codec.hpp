// Descriptions of the structs in core.hpp.
#pragma once

#include "knative/core.hpp"
#include "knative/fields.hpp"
#include "model/pod_codec.hpp"

namespace knative::core {
const fields::Struct& describe(const NamespaceStatus*);
const fields::Struct& describe(const NamespaceSpec*);
const fields::Struct& describe(const Namespace*);
const fields::Struct& describe(const SecretReference*);
const fields::Struct& describe(const Secret*);
const fields::Struct& describe(const ConfigMap*);
const fields::Struct& describe(const ServiceAccount*);
const fields::Struct& describe(const ServicePort*);
const fields::Struct& describe(const ServiceSpec*);
const fields::Struct& describe(const Service*);
}  // namespace knative::core
