// Descriptions of the structs in serving.hpp.
#pragma once

#include "knative/fields.hpp"
#include "knative/meta.hpp"
#include "knative/serving.hpp"
#include "model/pod_codec.hpp"

namespace knative::serving {
const fields::Struct& describe(const TrafficTarget*);
const fields::Struct& describe(const RefusedPodFields*);
const fields::Struct& describe(const RevisionSpec*);
const fields::Struct& describe(const RevisionTemplateSpec*);
const fields::Struct& describe(const ConfigurationSpec*);
const fields::Struct& describe(const RouteSpec*);
const fields::Struct& describe(const ServiceSpec*);
const fields::Struct& describe(const Addressable*);
const fields::Struct& describe(const ContainerStatus*);
const fields::Struct& describe(const RevisionStatus*);
const fields::Struct& describe(const ConfigurationStatus*);
const fields::Struct& describe(const RouteStatus*);
const fields::Struct& describe(const ServiceStatus*);
const fields::Struct& describe(const Service*);
const fields::Struct& describe(const Configuration*);
const fields::Struct& describe(const Revision*);
const fields::Struct& describe(const Route*);
const fields::Struct& describe(const PodAutoscalerSpec*);
const fields::Struct& describe(const PodAutoscalerStatus*);
const fields::Struct& describe(const PodAutoscaler*);
}  // namespace knative::serving

namespace knative::fields {
// Anything but null, false, 0 and emptiness counts as set.
template <>
struct Custom<serving::Refused> {
  static constexpr std::string_view type = "boolean";
  static void decode(serving::Refused& to, const Value& from, Decoder& decoder, const Path& path);
  static Value encode(const serving::Refused& value);
  static bool empty(const serving::Refused& value);
};
}  // namespace knative::fields
