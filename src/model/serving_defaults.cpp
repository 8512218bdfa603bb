// What admission fills in for the Serving kinds, and makers of usual objects.
#include <algorithm>
#include <cstdio>

#include "knative/serving.hpp"

namespace knative::serving {
namespace {

bool has_name(const std::vector<core::Container>& containers, std::string_view name) {
  return std::any_of(containers.begin(), containers.end(),
                     [&](const core::Container& container) { return container.name == name; });
}

void default_names(std::vector<core::Container>& containers, const std::string& base) {
  const bool several = containers.size() > 1;
  std::size_t number = 0;
  for (core::Container& container : containers) {
    if (!container.name.empty()) continue;
    std::string name = base;
    if (several) {
      do {
        name = base + '-' + std::to_string(number++);
      } while (has_name(containers, name));
    }
    container.name = std::move(name);
  }
}

// A read-only mount unless the volume is one that is made for writing.
void default_mounts(std::vector<core::Container>& containers,
                    const std::vector<core::Volume>& volumes) {
  for (core::Container& container : containers) {
    for (core::VolumeMount& mount : container.volume_mounts) {
      const auto volume =
          std::find_if(volumes.begin(), volumes.end(),
                       [&](const core::Volume& other) { return other.name == mount.name; });
      const bool writable =
          volume != volumes.end() &&
          (volume->empty_dir || volume->persistent_volume_claim || !volume->ephemeral.is_null());
      if (!writable) mount.read_only = true;
    }
  }
}

bool has_handler(const core::Probe& probe) {
  return probe.http_get || probe.tcp_socket || probe.exec || probe.grpc;
}

void default_probe_numbers(core::Probe& probe) {
  if (probe.grpc && !probe.grpc->service) probe.grpc->service.emplace();
  if (probe.success_threshold == 0) probe.success_threshold = 1;
  // Zero means: probe aggressively, with neither timeout nor threshold.
  if (probe.period_seconds == 0) return;
  if (probe.failure_threshold == 0) probe.failure_threshold = 3;
  if (probe.timeout_seconds == 0) probe.timeout_seconds = 1;
}

void default_probe_port(std::optional<core::Probe>& probe, const core::Container& container) {
  if (!probe || container.ports.empty()) return;
  const std::int32_t port = container.ports.front().container_port;
  if (probe->http_get && probe->http_get->port.is_zero()) probe->http_get->port = port;
  if (probe->tcp_socket && probe->tcp_socket->port.is_zero()) probe->tcp_socket->port = port;
  if (probe->grpc && probe->grpc->port == 0) probe->grpc->port = port;
}

void default_serving_container(core::Container& container) {
  if (!container.readiness_probe) container.readiness_probe.emplace();
  if (!has_handler(*container.readiness_probe)) container.readiness_probe->tcp_socket.emplace();
  default_probe_numbers(*container.readiness_probe);
  default_probe_port(container.liveness_probe, container);
  default_probe_port(container.startup_probe, container);
}

void default_timeouts(RevisionSpec& spec, const Config& config) {
  if (spec.timeout_seconds.value_or(0) == 0) spec.timeout_seconds = config.timeout_seconds;
  if (!spec.response_start_timeout_seconds && config.response_start_timeout_seconds > 0 &&
      config.response_start_timeout_seconds < *spec.timeout_seconds) {
    spec.response_start_timeout_seconds = config.response_start_timeout_seconds;
  }
  if (!spec.idle_timeout_seconds && config.idle_timeout_seconds != 0 &&
      config.idle_timeout_seconds < *spec.timeout_seconds) {
    spec.idle_timeout_seconds = config.idle_timeout_seconds;
  }
}

void default_spec(RevisionSpec& spec, const Config& config) {
  default_timeouts(spec, config);
  if (!spec.container_concurrency) spec.container_concurrency = config.container_concurrency;
  if (!spec.enable_service_links) spec.enable_service_links = config.enable_service_links;
  default_names(spec.containers, "user-container");
  default_names(spec.init_containers, "init-container");
  default_mounts(spec.containers, spec.volumes);
  default_mounts(spec.init_containers, spec.volumes);
  const core::Container* serving = spec.serving_container();
  for (core::Container& container : spec.containers) {
    if (&container == serving) {
      default_serving_container(container);
    } else if (container.readiness_probe) {
      default_probe_numbers(*container.readiness_probe);
    }
  }
}

void default_traffic(std::vector<TrafficTarget>& traffic) {
  for (TrafficTarget& target : traffic) {
    if (!target.latest_revision) target.latest_revision = target.revision_name.empty();
    if (!target.percent) target.percent = 0;
  }
}

}  // namespace

const core::Container* RevisionSpec::serving_container() const noexcept {
  if (containers.size() == 1) return &containers.front();
  for (const core::Container& container : containers) {
    if (!container.ports.empty()) return &container;
  }
  return nullptr;
}

void apply_defaults(Service& object, const Config& config) {
  default_spec(object.spec.template_.spec, config);
  if (object.spec.traffic.empty()) {
    TrafficTarget latest;
    latest.latest_revision = true;
    latest.percent = 100;
    object.spec.traffic.push_back(std::move(latest));
  }
  default_traffic(object.spec.traffic);
}

void apply_defaults(Configuration& object, const Config& config) {
  default_spec(object.spec.template_.spec, config);
}

void apply_defaults(Revision& object, const Config& config) { default_spec(object.spec, config); }

void apply_defaults(Route& object, const Config&) { default_traffic(object.spec.traffic); }

void apply_defaults(PodAutoscaler& object, const Config&) {
  if (object.spec.protocol_type.empty()) object.spec.protocol_type = "http1";
}

std::string revision_name(const Configuration& object) {
  const std::string& wanted = object.spec.template_.metadata.name;
  if (!wanted.empty()) return wanted;
  char suffix[32];
  std::snprintf(suffix, sizeof suffix, "-%05lld",
                static_cast<long long>(object.metadata.generation));
  return child_name(object.metadata.name, suffix);
}

Service service(std::string name, std::string image) {
  Service made;
  made.metadata.name = std::move(name);
  core::Container container;
  container.image = std::move(image);
  made.spec.template_.spec.containers.push_back(std::move(container));
  return made;
}

Route route(std::string name, std::string configuration) {
  Route made;
  made.metadata.name = std::move(name);
  TrafficTarget target;
  target.configuration_name = std::move(configuration);
  target.latest_revision = true;
  target.percent = 100;
  made.spec.traffic.push_back(std::move(target));
  return made;
}

}  // namespace knative::serving
