#include "extensions/serving/instance_spec.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "platform/reconciling.hpp"

namespace knative {

namespace {

constexpr std::int32_t serving_port_default = 8080;
constexpr std::string_view function_stands_alone =
    "a function of the host program has no other containers beside it";

// Says whose container it is.
void name_container(ContainerSpec& spec, const serving::Revision& revision,
                    const core::Container& container) {
  spec.name = control::key_of(revision.metadata);
  spec.identity.namespace_ = revision.metadata.namespace_;
  spec.identity.revision = revision.metadata.name;
  spec.identity.configuration = label_of(revision, serving::keys::configuration);
  spec.identity.service = label_of(revision, serving::keys::service);
  if (spec.identity.service.empty()) spec.identity.service = spec.identity.configuration;
  spec.identity.uid = revision.metadata.uid;
  if (&container != revision.spec.serving_container()) spec.identity.container = container.name;
  spec.runtime = revision.spec.runtime_class_name.value_or("");
  spec.image_pull.service_account = revision.spec.service_account_name;
  for (const core::LocalObjectReference& secret : revision.spec.image_pull_secrets) {
    spec.image_pull.secrets.push_back(secret.name);
  }
}

Result<ContainerSpec> container_spec_of(const serving::Revision& revision,
                                        const core::Container& container) {
  Result<ContainerSpec> spec = container_spec(container);
  if (!spec) return spec;
  name_container(*spec, revision, container);
  const serving::RevisionStatus& status = revision.status;
  for (const auto* list : {&status.container_statuses, &status.init_container_statuses}) {
    for (const serving::ContainerStatus& one : *list) {
      if (one.name == container.name && !one.image_digest.empty()) spec->image = one.image_digest;
    }
  }
  // Where they lie is known when an instance starts.
  for (const core::VolumeMount& mount : container.volume_mounts) {
    spec->mounts.push_back(
        {.source = {}, .target = mount.mount_path, .read_only = mount.read_only});
  }
  return spec;
}

// The probes of the object, read for the pool.
Result<void> read_probes(InstanceSpec& instance, const core::Container& container) {
  const std::vector<core::ContainerPort>& ports = instance.container.ports;
  if (container.readiness_probe) {
    Result<InstanceProbe> probe = instance_probe(*container.readiness_probe, ports);
    if (!probe) return probe.error().within("readinessProbe");
    instance.readiness = std::move(*probe);
  }
  if (container.liveness_probe) {
    Result<InstanceProbe> probe = instance_probe(*container.liveness_probe, ports);
    if (!probe) return probe.error().within("livenessProbe");
    instance.liveness = std::move(*probe);
  }
  if (container.startup_probe) {
    Result<InstanceProbe> probe = instance_probe(*container.startup_probe, ports);
    if (!probe) return probe.error().within("startupProbe");
    instance.startup = std::move(*probe);
  }
  return {};
}

Result<void> read_hooks(InstanceSpec& instance, const core::Container& container) {
  if (!container.lifecycle) return {};
  const auto read = [&](const std::optional<core::LifecycleHandler>& from,
                        std::optional<InstanceHook>& into, std::string_view field) -> Result<void> {
    if (!from) return {};
    Result<InstanceHook> hook = instance_hook(*from, instance.container.ports);
    if (!hook) return hook.error().within(field);
    into = std::move(*hook);
    return {};
  };
  Result<void> done =
      read(container.lifecycle->post_start, instance.post_start, "lifecycle.postStart");
  if (!done) return done;
  return read(container.lifecycle->pre_stop, instance.pre_stop, "lifecycle.preStop");
}

// A container with all that is asked of it; the one that serves has a port.
Result<InstanceSpec> instance_part_of(const serving::Revision& revision,
                                      const core::Container& container) {
  Result<ContainerSpec> spec = container_spec_of(revision, container);
  if (!spec) return spec.error();
  InstanceSpec part;
  part.container = std::move(*spec);
  const auto idle = revision.metadata.annotations.find(serving::keys::idle);
  part.container.freezable =
      idle != revision.metadata.annotations.end() && idle->second == "frozen";
  if (&container == revision.spec.serving_container()) {
    std::vector<core::ContainerPort>& ports = part.container.ports;
    if (ports.empty()) ports.push_back({.container_port = serving_port_default});
    part.container.requests_max = static_cast<int>(revision.spec.container_concurrency.value_or(0));
  }
  if (Result<void> read = read_probes(part, container); !read) return read.error();
  if (Result<void> read = read_hooks(part, container); !read) return read.error();
  return part;
}

// Containers of one instance run on one runtime: if not on the one that is named, then on the one
// that keeps the least trusted of them apart.
void share_runtime(InstanceSpec& instance, const ContainerRuntime& runtime) {
  std::vector<ContainerSpec*> all{&instance.container};
  for (ContainerSpec& init : instance.init) all.push_back(&init);
  for (InstanceSpec& sidecar : instance.sidecars) all.push_back(&sidecar.container);
  const bool function = instance.container.image.starts_with(function_image_prefix);
  if (all.size() == 1 || function || !instance.container.runtime.empty()) return;
  std::string chosen = runtime.name_for(instance.container);
  for (const ContainerSpec* const one : all) {
    if (chosen == "process") chosen = runtime.name_for(*one);
  }
  for (ContainerSpec* const one : all) one->runtime = chosen;
}

FieldErrors unsupported_in_revision(const serving::Revision& revision, const InstanceSpec& instance,
                                    const ContainerRuntime& runtime) {
  const std::vector<core::Container>& containers = revision.spec.containers;
  FieldErrors found;
  std::size_t sidecar = 0;
  for (std::size_t i = 0; i < containers.size(); ++i) {
    const bool serves = &containers[i] == revision.spec.serving_container();
    const InstanceSpec& part = serves ? instance : instance.sidecars[sidecar++];
    found.add(unsupported(part, runtime).via_field_index("spec.containers", i));
    const bool function = containers[i].image.starts_with(function_image_prefix) ||
                          instance.container.image.starts_with(function_image_prefix);
    if (serves || !function) continue;
    found.add(field_error(std::string(function_stands_alone),
                          {"spec.containers[" + std::to_string(i) + "]"}));
  }
  const auto freezes = [&](const InstanceSpec& part) { return runtime.can_freeze(part.container); };
  const bool can_freeze =
      freezes(instance) && std::all_of(instance.sidecars.begin(), instance.sidecars.end(), freezes);
  if (instance.container.freezable && !can_freeze) {
    found.add(field_error("what its containers run in freezes nothing on this host",
                          {"metadata.annotations[" + std::string(serving::keys::idle) + "]"}));
  }
  for (std::size_t i = 0; i < instance.init.size(); ++i) {
    found.add(runtime.unsupported(instance.init[i]).via_field_index("spec.initContainers", i));
    if (!instance.init[i].image.starts_with(function_image_prefix)) continue;
    found.add(field_error("a function of the host program has no end",
                          {"spec.initContainers[" + std::to_string(i) + "]"}));
  }
  return found;
}

}  // namespace

std::string label_of(const serving::Revision& revision, std::string_view key) {
  const auto found = revision.metadata.labels.find(key);
  return found == revision.metadata.labels.end() ? std::string() : found->second;
}

ContainerSpec image_spec(const serving::Revision& revision, const core::Container& container) {
  ContainerSpec spec;
  spec.image = container.image;
  spec.image_pull.policy = container.image_pull_policy;
  name_container(spec, revision, container);
  return spec;
}

Result<InstanceSpec> instance_spec(const serving::Revision& revision,
                                   const ContainerRuntime& runtime, FieldErrors& warnings) {
  const std::vector<core::Container>& containers = revision.spec.containers;
  const core::Container* const serving = revision.spec.serving_container();
  if (serving == nullptr) return fail(Errc::invalid_argument, "spec.containers: none serves");
  InstanceSpec instance;
  std::vector<InstanceSpec> sidecars;
  for (std::size_t i = 0; i < containers.size(); ++i) {
    Result<InstanceSpec> part = instance_part_of(revision, containers[i]);
    if (!part) return part.error().within("spec.containers[" + std::to_string(i) + "]");
    if (&containers[i] == serving) {
      instance = std::move(*part);
    } else {
      sidecars.push_back(std::move(*part));
    }
  }
  instance.sidecars = std::move(sidecars);
  for (std::size_t i = 0; i < revision.spec.init_containers.size(); ++i) {
    Result<ContainerSpec> init = container_spec_of(revision, revision.spec.init_containers[i]);
    if (!init) return init.error().within("spec.initContainers[" + std::to_string(i) + "]");
    instance.init.push_back(std::move(*init));
  }
  share_runtime(instance, runtime);
  const FieldErrors found = unsupported_in_revision(revision, instance, runtime);
  warnings.add(found.filter(FieldError::Level::warning));
  if (const Result<void> runs = found.to_result(); !runs) {
    return fail(Errc::unimplemented, runs.error().detail);
  }
  return instance;
}

}  // namespace knative
