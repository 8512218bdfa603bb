// Descriptions of the structs in pod.hpp.
#pragma once

#include "knative/pod.hpp"
#include "model/codec.hpp"
#include "model/meta_codec.hpp"

namespace knative::core {
const codec::Struct& describe(const KeySelector*);
const codec::Struct& describe(const FieldSelector*);
const codec::Struct& describe(const EnvVarSource*);
const codec::Struct& describe(const EnvVar*);
const codec::Struct& describe(const EnvFromRef*);
const codec::Struct& describe(const EnvFromSource*);
const codec::Struct& describe(const ContainerPort*);
const codec::Struct& describe(const ResourceRequirements*);
const codec::Struct& describe(const VolumeMount*);
const codec::Struct& describe(const HttpHeader*);
const codec::Struct& describe(const HttpGetAction*);
const codec::Struct& describe(const TcpSocketAction*);
const codec::Struct& describe(const ExecAction*);
const codec::Struct& describe(const GrpcAction*);
const codec::Struct& describe(const Probe*);
const codec::Struct& describe(const Capabilities*);
const codec::Struct& describe(const SeccompProfile*);
const codec::Struct& describe(const SecurityContext*);
const codec::Struct& describe(const Container*);
const codec::Struct& describe(const KeyToPath*);
const codec::Struct& describe(const SecretVolumeSource*);
const codec::Struct& describe(const ConfigMapVolumeSource*);
const codec::Struct& describe(const NamedProjection*);
const codec::Struct& describe(const ServiceAccountTokenProjection*);
const codec::Struct& describe(const VolumeProjection*);
const codec::Struct& describe(const ProjectedVolumeSource*);
const codec::Struct& describe(const EmptyDirVolumeSource*);
const codec::Struct& describe(const PersistentVolumeClaimVolumeSource*);
const codec::Struct& describe(const HostPathVolumeSource*);
const codec::Struct& describe(const Volume*);
const codec::Struct& describe(const LocalObjectReference*);
const codec::Struct& describe(const PodSpec*);
const codec::Struct& describe(const ContainerStateWaiting*);
const codec::Struct& describe(const ContainerStateRunning*);
const codec::Struct& describe(const ContainerStateTerminated*);
const codec::Struct& describe(const ContainerState*);
}  // namespace knative::core
