// Descriptions of the structs in pod.hpp.
#pragma once

#include "knative/fields.hpp"
#include "knative/meta.hpp"
#include "knative/pod.hpp"

namespace knative::core {
const fields::Struct& describe(const KeySelector*);
const fields::Struct& describe(const FieldSelector*);
const fields::Struct& describe(const EnvVarSource*);
const fields::Struct& describe(const EnvVar*);
const fields::Struct& describe(const EnvFromRef*);
const fields::Struct& describe(const EnvFromSource*);
const fields::Struct& describe(const ContainerPort*);
const fields::Struct& describe(const ResourceRequirements*);
const fields::Struct& describe(const VolumeMount*);
const fields::Struct& describe(const HttpHeader*);
const fields::Struct& describe(const HttpGetAction*);
const fields::Struct& describe(const TcpSocketAction*);
const fields::Struct& describe(const ExecAction*);
const fields::Struct& describe(const GrpcAction*);
const fields::Struct& describe(const Probe*);
const fields::Struct& describe(const SleepAction*);
const fields::Struct& describe(const LifecycleHandler*);
const fields::Struct& describe(const Lifecycle*);
const fields::Struct& describe(const Capabilities*);
const fields::Struct& describe(const SeccompProfile*);
const fields::Struct& describe(const SecurityContext*);
const fields::Struct& describe(const Container*);
const fields::Struct& describe(const KeyToPath*);
const fields::Struct& describe(const SecretVolumeSource*);
const fields::Struct& describe(const ConfigMapVolumeSource*);
const fields::Struct& describe(const DownwardApiFile*);
const fields::Struct& describe(const DownwardApiVolumeSource*);
const fields::Struct& describe(const DownwardApiProjection*);
const fields::Struct& describe(const GitRepoVolumeSource*);
const fields::Struct& describe(const NamedProjection*);
const fields::Struct& describe(const ServiceAccountTokenProjection*);
const fields::Struct& describe(const VolumeProjection*);
const fields::Struct& describe(const ProjectedVolumeSource*);
const fields::Struct& describe(const EmptyDirVolumeSource*);
const fields::Struct& describe(const PersistentVolumeClaimVolumeSource*);
const fields::Struct& describe(const HostPathVolumeSource*);
const fields::Struct& describe(const Volume*);
const fields::Struct& describe(const LocalObjectReference*);
const fields::Struct& describe(const PodSpec*);
const fields::Struct& describe(const ContainerStateWaiting*);
const fields::Struct& describe(const ContainerStateRunning*);
const fields::Struct& describe(const ContainerStateTerminated*);
const fields::Struct& describe(const ContainerState*);
}  // namespace knative::core
