// Descriptions of the structs in serving.hpp.
#pragma once

#include "knative/serving.hpp"
#include "model/codec.hpp"
#include "model/meta_codec.hpp"
#include "model/pod_codec.hpp"

namespace knative::serving {
const codec::Struct& describe(const TrafficTarget*);
const codec::Struct& describe(const RefusedPodFields*);
const codec::Struct& describe(const RevisionSpec*);
const codec::Struct& describe(const RevisionTemplateSpec*);
const codec::Struct& describe(const ConfigurationSpec*);
const codec::Struct& describe(const RouteSpec*);
const codec::Struct& describe(const ServiceSpec*);
const codec::Struct& describe(const Addressable*);
const codec::Struct& describe(const ContainerStatus*);
const codec::Struct& describe(const RevisionStatus*);
const codec::Struct& describe(const ConfigurationStatus*);
const codec::Struct& describe(const RouteStatus*);
const codec::Struct& describe(const ServiceStatus*);
const codec::Struct& describe(const Service*);
const codec::Struct& describe(const Configuration*);
const codec::Struct& describe(const Revision*);
const codec::Struct& describe(const Route*);
const codec::Struct& describe(const PodAutoscalerSpec*);
const codec::Struct& describe(const PodAutoscalerStatus*);
const codec::Struct& describe(const PodAutoscaler*);
}  // namespace knative::serving

namespace knative::codec {
// Anything but null, false, 0 and emptiness counts as set.
KN_CUSTOM_CODEC(serving::Refused, "boolean");
}  // namespace knative::codec
