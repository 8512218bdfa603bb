#include "model/pod_validation.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <set>

#include "knative/oci.hpp"

namespace knative::core {
namespace {

// Ports that the platform's own handlers listen on beside a container.
constexpr std::array<std::int32_t, 6> reserved_ports = {8008, 8012, 8013, 8022, 9090, 9091};
constexpr std::array<std::string_view, 3> reserved_mounts = {"/", "/dev", "/dev/log"};
constexpr std::array<std::string_view, 3> reserved_env = {"K_SERVICE", "K_CONFIGURATION",
                                                          "K_REVISION"};

enum class Role : unsigned char { serving, sidecar, init };

struct Context {
  const PodFeatures& features;
  const std::vector<Volume>& volumes;
  std::set<std::string_view>& mounted;
};

template <class List, class T>
bool contains(const List& list, const T& wanted) {
  return std::find(list.begin(), list.end(), wanted) != list.end();
}

FieldErrors at(FieldErrors errors, std::string_view field, std::size_t index) {
  return std::move(errors).via_field_index(field, index);
}

// `set` holds the names of the alternatives that are there.
FieldErrors exactly_one(const std::vector<std::string_view>& set, FieldPaths expected) {
  if (set.empty()) return missing_one_of(expected);
  if (set.size() == 1) return {};
  FieldError both = multiple_one_of({});
  for (const std::string_view name : set) both.paths.emplace_back(name);
  return both;
}

// ---------------------------------------------------------------------------- environment

FieldErrors validate_key_selector(const std::optional<KeySelector>& selector,
                                  std::string_view field) {
  FieldErrors errors;
  if (!selector) return errors;
  if (selector->name.empty()) errors.add(missing_field({"name"}));
  if (selector->key.empty()) errors.add(missing_field({"key"}));
  return std::move(errors).via_field(field);
}

FieldErrors validate_value_from(const EnvVarSource& source, const PodFeatures& features) {
  FieldErrors errors;
  std::vector<std::string_view> set;
  const auto alternative = [&](bool present, bool allowed, std::string_view field) {
    if (!present) return;
    // One that is not allowed is told once, and not also as one too many.
    if (allowed) {
      set.push_back(field);
    } else {
      errors.add(disallowed_field({field}));
    }
  };
  alternative(source.config_map_key_ref.has_value(), true, "configMapKeyRef");
  alternative(source.secret_key_ref.has_value(), true, "secretKeyRef");
  alternative(source.field_ref.has_value(), features.field_ref, "fieldRef");
  alternative(!source.resource_field_ref.is_null(), features.field_ref, "resourceFieldRef");
  if (errors.empty() || !set.empty()) {
    errors.add(exactly_one(set, {"configMapKeyRef", "secretKeyRef"}));
  }
  errors.add(validate_key_selector(source.config_map_key_ref, "configMapKeyRef"));
  errors.add(validate_key_selector(source.secret_key_ref, "secretKeyRef"));
  return std::move(errors).via_field("valueFrom");
}

FieldErrors validate_env(const std::vector<EnvVar>& env, Role role, const PodFeatures& features) {
  FieldErrors errors;
  for (std::size_t i = 0; i < env.size(); ++i) {
    const EnvVar& variable = env[i];
    FieldErrors wrong;
    if (variable.name.empty()) {
      wrong.add(missing_field({"name"}));
    } else if (contains(reserved_env, variable.name) ||
               (role == Role::serving && variable.name == "PORT")) {
      wrong.add(
          field_error('"' + variable.name + "\" is a reserved environment variable", {"name"}));
    } else if (std::string bad = check_env_name(variable.name); !bad.empty()) {
      wrong.add(invalid_value(variable.name, "name", std::move(bad)));
    }
    if (variable.value_from) {
      if (!variable.value.empty()) wrong.add(multiple_one_of({"value", "valueFrom"}));
      wrong.add(validate_value_from(*variable.value_from, features));
    }
    errors.add(at(std::move(wrong), "env", i));
  }
  return errors;
}

FieldErrors validate_env_from(const std::vector<EnvFromSource>& sources) {
  FieldErrors errors;
  for (std::size_t i = 0; i < sources.size(); ++i) {
    const EnvFromSource& source = sources[i];
    FieldErrors wrong;
    if (!source.config_map_ref && !source.secret_ref) {
      wrong.add(missing_one_of({"configMapRef", "secretRef"}));
    } else if (source.config_map_ref && source.secret_ref) {
      wrong.add(multiple_one_of({"configMapRef", "secretRef"}));
    } else {
      const bool map = source.config_map_ref.has_value();
      const EnvFromRef& ref = map ? *source.config_map_ref : *source.secret_ref;
      if (ref.name.empty()) {
        wrong.add(missing_field({map ? "configMapRef.name" : "secretRef.name"}));
      }
    }
    errors.add(at(std::move(wrong), "envFrom", i));
  }
  return errors;
}

// ---------------------------------------------------------------------------- ports and probes

FieldErrors validate_port(const ContainerPort& port) {
  FieldErrors errors;
  if (port.host_port != 0) errors.add(disallowed_field({"hostPort"}));
  if (!port.host_ip.empty()) errors.add(disallowed_field({"hostIP"}));
  if (!port.protocol.empty() && port.protocol != "TCP") {
    errors.add(invalid_value(port.protocol, "protocol"));
  }
  if (contains(reserved_ports, port.container_port)) {
    errors.add(field_error(std::to_string(port.container_port) + " is a reserved port",
                           {"containerPort"}));
  } else if (port.container_port < 0 || port.container_port > 65535) {
    errors.add(out_of_bounds(port.container_port, 0, 65535, "containerPort"));
  }
  if (!port.name.empty() && port.name != "http1" && port.name != "h2c") {
    errors.add(field_error("port name " + port.name + " is not allowed", {"name"},
                           "the name must be empty, http1 or h2c"));
  }
  return errors;
}

FieldErrors validate_ports(const std::vector<ContainerPort>& ports) {
  FieldErrors errors;
  if (ports.size() > 1) {
    errors.add(field_error("more than one container port is set", {"ports"},
                           "only a single port is allowed"));
  }
  for (std::size_t i = 0; i < ports.size(); ++i)
    errors.add(at(validate_port(ports[i]), "ports", i));
  return errors;
}

FieldErrors validate_probe_port(const IntOrString& port, const Container& container,
                                std::string_view field) {
  FieldErrors errors;
  if (port.is_string()) {
    const std::string name = container.ports.empty() ? std::string() : container.ports[0].name;
    if (port.name() != name) {
      errors.add(field_error("probe port must match container port", {field}));
    }
  } else if (port.number() < 0 || port.number() > 65535) {
    errors.add(out_of_bounds(port.number(), 0, 65535, field));
  }
  return errors;
}

FieldErrors validate_http_get(const HttpGetAction& get, const Container& container) {
  FieldErrors errors = validate_probe_port(get.port, container, "httpGet.port");
  const std::string& scheme = get.scheme;
  if (!scheme.empty() && scheme != "HTTP" && scheme != "HTTPS") {
    errors.add(invalid_value(scheme, "httpGet.scheme"));
  }
  return errors;
}

FieldErrors validate_probe_handlers(const Probe& probe, const Container& container) {
  std::vector<std::string_view> handlers;
  if (probe.http_get) handlers.push_back("httpGet");
  if (probe.tcp_socket) handlers.push_back("tcpSocket");
  if (probe.exec) handlers.push_back("exec");
  if (probe.grpc) handlers.push_back("grpc");
  FieldErrors errors = exactly_one(handlers, {"httpGet", "tcpSocket", "exec", "grpc"});
  if (probe.http_get) errors.add(validate_http_get(*probe.http_get, container));
  if (probe.tcp_socket) {
    errors.add(validate_probe_port(probe.tcp_socket->port, container, "tcpSocket.port"));
  }
  if (probe.exec && probe.exec->command.empty()) errors.add(missing_field({"exec.command"}));
  if (probe.grpc) errors.add(validate_probe_port(probe.grpc->port, container, "grpc.port"));
  return errors;
}

FieldErrors validate_probe(const Probe& probe, const Container& container, bool readiness) {
  FieldErrors errors = validate_probe_handlers(probe, container);
  const auto at_least_zero = [&](std::int32_t value, std::string_view field) {
    if (value < 0)
      errors.add(out_of_bounds(value, 0, std::numeric_limits<std::int32_t>::max(), field));
  };
  at_least_zero(probe.period_seconds, "periodSeconds");
  at_least_zero(probe.initial_delay_seconds, "initialDelaySeconds");
  at_least_zero(probe.success_threshold, "successThreshold");
  at_least_zero(probe.failure_threshold, "failureThreshold");
  at_least_zero(probe.timeout_seconds, "timeoutSeconds");
  if (const auto& grace = probe.termination_grace_period_seconds) {
    // Who is not ready is not stopped.
    if (readiness) {
      errors.add(disallowed_field({"terminationGracePeriodSeconds"}));
    } else if (*grace < 1) {
      errors.add(out_of_bounds(*grace, 1, std::numeric_limits<std::int32_t>::max(),
                               "terminationGracePeriodSeconds"));
    }
  }
  if (readiness && probe.period_seconds == 0) {
    // Period 0 asks for a burst of probes in the first second; these two have no meaning there.
    if (probe.failure_threshold != 0) errors.add(disallowed_field({"failureThreshold"}));
    if (probe.timeout_seconds != 0) errors.add(disallowed_field({"timeoutSeconds"}));
  }
  return errors;
}

FieldErrors validate_probes(const Container& container, Role role, const PodFeatures& features) {
  FieldErrors errors;
  const struct {
    const std::optional<Probe>& probe;
    std::string_view field;
  } probes[] = {{container.liveness_probe, "livenessProbe"},
                {container.readiness_probe, "readinessProbe"},
                {container.startup_probe, "startupProbe"}};
  const bool allowed =
      role == Role::serving || (role == Role::sidecar && features.multi_container_probing);
  for (const auto& [probe, field] : probes) {
    if (!probe) continue;
    if (!allowed) {
      errors.add(disallowed_field({field}));
    } else {
      errors.add(validate_probe(*probe, container, field == "readinessProbe").via_field(field));
    }
  }
  return errors;
}

// ---------------------------------------------------------------------------- mounts and volumes

// "/a//b/../c/" is "/a/c"
std::string clean_path(std::string_view path) {
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    const std::size_t slash = std::min(path.find('/'), path.size());
    const std::string_view part = path.substr(0, slash);
    if (part == "..") {
      if (!parts.empty()) parts.pop_back();
    } else if (!part.empty() && part != ".") {
      parts.push_back(part);
    }
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  std::string out;
  for (const std::string_view part : parts) {
    out += '/';
    out += part;
  }
  return out.empty() ? "/" : out;
}

FieldErrors validate_mount(const VolumeMount& mount, const Context& context,
                           std::set<std::string>& paths) {
  FieldErrors errors;
  const auto volume =
      std::find_if(context.volumes.begin(), context.volumes.end(),
                   [&](const Volume& candidate) { return candidate.name == mount.name; });
  if (mount.name.empty()) {
    errors.add(missing_field({"name"}));
  } else if (volume == context.volumes.end()) {
    errors.add(field_error("volumeMount has no matching volume", {"name"}));
  } else {
    context.mounted.insert(volume->name);
    const bool claim = volume->persistent_volume_claim.has_value();
    const bool writable = volume->empty_dir || !volume->ephemeral.is_null() ||
                          (claim && context.features.persistent_volume_write);
    if (!mount.read_only && !writable) {
      errors.add(
          field_error("volume mount should be readOnly for this type of volume", {"readOnly"}));
    }
  }
  if (mount.mount_path.empty()) {
    errors.add(missing_field({"mountPath"}));
  } else if (mount.mount_path.front() != '/') {
    errors.add(invalid_value(mount.mount_path, "mountPath"));
  } else {
    const std::string clean = clean_path(mount.mount_path);
    if (contains(reserved_mounts, clean) || (clean + "/").starts_with("/proc/") ||
        (clean + "/").starts_with("/sys/")) {
      errors.add(field_error("mountPath \"" + clean + "\" is a reserved path", {"mountPath"}));
    } else if (!paths.insert(clean).second) {
      errors.add(field_error("mountPath \"" + clean + "\" must be unique", {"mountPath"}));
    }
  }
  if (!mount.mount_propagation.empty() && !context.features.mount_propagation) {
    errors.add(disallowed_field({"mountPropagation"}));
  }
  if (mount.sub_path.starts_with('/')) {
    errors.add(invalid_value(mount.sub_path, "subPath", "must be a relative path"));
  } else if (("/" + mount.sub_path + "/").find("/../") != std::string::npos) {
    errors.add(invalid_value(mount.sub_path, "subPath", "must not contain '..'"));
  }
  if (!mount.sub_path_expr.empty()) errors.add(disallowed_field({"subPathExpr"}));
  return errors;
}

constexpr std::int32_t file_mode_max = 0777;

void check_mode(FieldErrors& errors, std::optional<std::int32_t> mode, std::string_view field) {
  if (!mode || (*mode >= 0 && *mode <= file_mode_max)) return;
  errors.add(invalid_value(std::to_string(*mode), field,
                           "must be a number between 0 and 0777 (octal), both inclusive"));
}

// The name of a file that a volume is made of.
void check_file_path(FieldErrors& errors, const std::string& path, std::string_view field) {
  if (path.starts_with('/')) {
    errors.add(invalid_value(path, field, "must be a relative path"));
  } else if (("/" + path + "/").find("/../") != std::string::npos) {
    errors.add(invalid_value(path, field, "must not contain '..'"));
  } else if (path.starts_with("..")) {
    errors.add(invalid_value(path, field, "must not start with '..'"));
  }
}

template <class Item>  // KeyToPath, DownwardApiFile
FieldErrors check_files(const std::vector<Item>& items) {
  FieldErrors errors;
  for (std::size_t i = 0; i < items.size(); ++i) {
    FieldErrors wrong;
    check_file_path(wrong, items[i].path, "path");
    check_mode(wrong, items[i].mode, "mode");
    errors.add(at(std::move(wrong), "items", i));
  }
  return errors;
}

template <class Source>
void check_files(FieldErrors& errors, const std::optional<Source>& source, std::string_view field) {
  if (!source) return;
  FieldErrors wrong = check_files(source->items);
  if constexpr (requires { source->default_mode; }) {
    check_mode(wrong, source->default_mode, "defaultMode");
  }
  errors.add(std::move(wrong).via_field(field));
}

FieldErrors validate_items(const std::vector<KeyToPath>& items) {
  FieldErrors errors;
  for (std::size_t i = 0; i < items.size(); ++i) {
    FieldErrors wrong;
    if (items[i].key.empty()) wrong.add(missing_field({"key"}));
    if (items[i].path.empty()) wrong.add(missing_field({"path"}));
    errors.add(at(std::move(wrong), "items", i));
  }
  return errors;
}

FieldErrors validate_projection(const VolumeProjection& projection) {
  std::vector<std::string_view> set;
  if (projection.secret) set.push_back("secret");
  if (projection.config_map) set.push_back("configMap");
  if (projection.service_account_token) set.push_back("serviceAccountToken");
  if (projection.downward_api) set.push_back("downwardAPI");
  FieldErrors errors = exactly_one(set, {"secret", "configMap", "serviceAccountToken"});
  const auto named = [&](const std::optional<NamedProjection>& part, std::string_view field) {
    if (!part) return;
    FieldErrors wrong = validate_items(part->items);
    if (part->name.empty()) wrong.add(missing_field({"name"}));
    errors.add(std::move(wrong).via_field(field));
  };
  named(projection.secret, "secret");
  named(projection.config_map, "configMap");
  if (projection.service_account_token && projection.service_account_token->path.empty()) {
    errors.add(missing_field({"serviceAccountToken.path"}));
  }
  return errors;
}

FieldErrors validate_volume(const Volume& volume, const PodFeatures& features) {
  FieldErrors errors;
  if (volume.name.empty()) {
    errors.add(missing_field({"name"}));
  } else if (std::string wrong = check_dns1123_label(volume.name); !wrong.empty()) {
    errors.add(invalid_value(volume.name, "name", std::move(wrong)));
  }
  std::vector<std::string_view> set;
  const auto source = [&](bool present, bool allowed, std::string_view field) {
    if (!present) return;
    set.push_back(field);
    if (!allowed) errors.add(disallowed_field({field}));
  };
  source(volume.secret.has_value(), true, "secret");
  source(volume.config_map.has_value(), true, "configMap");
  source(volume.projected.has_value(), true, "projected");
  source(volume.empty_dir.has_value(), features.empty_dir, "emptyDir");
  source(volume.persistent_volume_claim.has_value(), features.persistent_volume_claim,
         "persistentVolumeClaim");
  source(volume.host_path.has_value(), features.host_path, "hostPath");
  source(!volume.csi.is_null(), features.csi, "csi");
  source(!volume.ephemeral.is_null(), features.ephemeral, "ephemeral");
  source(!volume.image.is_null(), features.image_volume, "image");
  source(volume.downward_api.has_value(), false, "downwardAPI");
  source(volume.git_repo.has_value(), false, "gitRepo");
  errors.add(exactly_one(set, {"secret", "configMap", "projected", "emptyDir"}));
  if (volume.persistent_volume_claim) {
    const std::string& claim = volume.persistent_volume_claim->claim_name;
    std::string wrong = check_dns1123_subdomain(claim);
    if (claim.empty()) {
      errors.add(missing_field({"persistentVolumeClaim.claimName"}));
    } else if (!wrong.empty()) {
      errors.add(invalid_value(claim, "persistentVolumeClaim.claimName", std::move(wrong)));
    }
  }
  if (volume.secret) {
    errors.add(validate_items(volume.secret->items).via_field("secret"));
    if (volume.secret->secret_name.empty()) errors.add(missing_field({"secret.secretName"}));
  }
  if (volume.config_map) {
    errors.add(validate_items(volume.config_map->items).via_field("configMap"));
    if (volume.config_map->name.empty()) errors.add(missing_field({"configMap.name"}));
  }
  errors.add(validate_volume_content(volume));
  if (volume.projected) {
    for (std::size_t i = 0; i < volume.projected->sources.size(); ++i) {
      errors.add(at(validate_projection(volume.projected->sources[i]), "projected.sources", i));
    }
  }
  return errors;
}

// ---------------------------------------------------------------------------- containers

FieldErrors validate_security_context(const SecurityContext& context, const PodFeatures& features) {
  FieldErrors errors;
  constexpr std::int64_t id_max = std::numeric_limits<std::int32_t>::max();
  const auto id = [&](const std::optional<std::int64_t>& value, std::string_view field) {
    if (value && (*value < 0 || *value > id_max)) {
      errors.add(out_of_bounds(*value, 0, id_max, field));
    }
  };
  id(context.run_as_user, "runAsUser");
  id(context.run_as_group, "runAsGroup");
  if (context.privileged.value_or(false)) errors.add(disallowed_field({"privileged"}));
  if (context.capabilities && !features.added_capabilities) {
    // The one capability that a low port needs is always allowed.
    for (std::size_t i = 0; i < context.capabilities->add.size(); ++i) {
      if (context.capabilities->add[i] == "NET_BIND_SERVICE") continue;
      errors.add(disallowed_field({"capabilities.add"}));
      break;
    }
  }
  return errors;
}

FieldErrors validate_resources(const ResourceRequirements& resources) {
  FieldErrors errors;
  const auto check = [&](const ResourceList& list, std::string_view field) {
    for (const auto& [name, quantity] : list) {
      if (quantity.is_negative()) {
        errors.add(FieldErrors(invalid_value(quantity.to_string(), "")).via_field_key(field, name));
      }
    }
  };
  check(resources.limits, "limits");
  check(resources.requests, "requests");
  for (const auto& [name, request] : resources.requests) {
    const auto limit = resources.limits.find(name);
    if (limit != resources.limits.end() && request > limit->second) {
      errors.add(FieldErrors(invalid_value(
                                 request.to_string(), "",
                                 "must be no more than the limit of " + limit->second.to_string()))
                     .via_field_key("requests", name));
    }
  }
  return errors;
}

FieldErrors validate_hook(const std::optional<LifecycleHandler>& hook, const Container& container,
                          std::string_view field) {
  FieldErrors errors;
  if (!hook) return errors;
  std::vector<std::string_view> handlers;
  if (hook->exec) handlers.push_back("exec");
  if (hook->http_get) handlers.push_back("httpGet");
  if (hook->sleep) handlers.push_back("sleep");
  if (hook->tcp_socket) {
    errors.add(disallowed_field({"tcpSocket"}));
  } else {
    errors.add(exactly_one(handlers, {"exec", "httpGet", "sleep"}));
  }
  if (hook->exec && hook->exec->command.empty()) errors.add(missing_field({"exec.command"}));
  if (hook->http_get) errors.add(validate_http_get(*hook->http_get, container));
  if (hook->sleep && hook->sleep->seconds < 0) {
    errors.add(out_of_bounds(hook->sleep->seconds, 0, std::numeric_limits<std::int32_t>::max(),
                             "sleep.seconds"));
  }
  return std::move(errors).via_field(field);
}

FieldErrors validate_lifecycle(const Container& container, Role role, const PodFeatures& features) {
  FieldErrors errors;
  if (!container.lifecycle) return errors;
  if (!features.lifecycle || role == Role::init) return disallowed_field({"lifecycle"});
  const Lifecycle& lifecycle = *container.lifecycle;
  errors.add(validate_hook(lifecycle.post_start, container, "postStart"));
  errors.add(validate_hook(lifecycle.pre_stop, container, "preStop"));
  if (!lifecycle.stop_signal.empty()) errors.add(disallowed_field({"stopSignal"}));
  return std::move(errors).via_field("lifecycle");
}

FieldErrors validate_disallowed(const Container& container) {
  FieldErrors errors;
  if (container.stdin_open) errors.add(disallowed_field({"stdin"}));
  if (container.stdin_once) errors.add(disallowed_field({"stdinOnce"}));
  if (container.tty) errors.add(disallowed_field({"tty"}));
  if (!container.volume_devices.is_null()) errors.add(disallowed_field({"volumeDevices"}));
  if (!container.resize_policy.is_null()) errors.add(disallowed_field({"resizePolicy"}));
  if (!container.restart_policy.empty()) errors.add(disallowed_field({"restartPolicy"}));
  return errors;
}

FieldErrors validate_choices(const Container& container) {
  FieldErrors errors;
  const std::string& pull = container.image_pull_policy;
  if (!pull.empty() && pull != "Always" && pull != "IfNotPresent" && pull != "Never") {
    errors.add(invalid_value(pull, "imagePullPolicy"));
  }
  const std::string& message = container.termination_message_policy;
  if (!message.empty() && message != "File" && message != "FallbackToLogsOnError") {
    errors.add(invalid_value(message, "terminationMessagePolicy"));
  }
  return errors;
}

FieldErrors validate_container(const Container& container, Role role, const Context& context) {
  FieldErrors errors = validate_lifecycle(container, role, context.features);
  errors.add(validate_disallowed(container));
  if (container.name == "queue-proxy") {
    errors.add(field_error("\"queue-proxy\" is a reserved container name", {"name"}));
  } else if (!container.name.empty()) {
    if (std::string wrong = check_dns1123_label(container.name); !wrong.empty()) {
      errors.add(invalid_value(container.name, "name", std::move(wrong)));
    }
  }
  if (container.image.empty()) {
    errors.add(missing_field({"image"}));
  } else if (const auto reference = oci::Reference::parse(container.image); !reference) {
    errors.add(invalid_value(container.image, "image", reference.error().detail));
  }
  errors.add(validate_env(container.env, role, context.features));
  errors.add(validate_env_from(container.env_from));
  if (role == Role::init && !container.ports.empty()) {
    errors.add(disallowed_field({"ports"}));
  } else {
    errors.add(validate_ports(container.ports));
  }
  errors.add(validate_resources(container.resources).via_field("resources"));
  std::set<std::string> paths;
  for (std::size_t i = 0; i < container.volume_mounts.size(); ++i) {
    errors.add(at(validate_mount(container.volume_mounts[i], context, paths), "volumeMounts", i));
  }
  errors.add(validate_probes(container, role, context.features));
  if (container.security_context) {
    errors.add(validate_security_context(*container.security_context, context.features)
                   .via_field("securityContext"));
  }
  errors.add(validate_choices(container));
  return errors;
}

FieldErrors validate_containers(const PodSpec& pod, const Context& context) {
  FieldErrors errors;
  if (pod.containers.empty()) return missing_field({"containers"});
  if (pod.containers.size() > 1) {
    if (!context.features.multi_container) {
      errors.add(field_error("multi-container is off, but found " +
                                 std::to_string(pod.containers.size()) + " containers",
                             {"containers"}));
    }
    std::size_t with_ports = 0;
    for (const Container& container : pod.containers)
      with_ports += container.ports.empty() ? 0U : 1U;
    if (with_ports == 0) errors.add(missing_field({"containers.ports"}));
    if (with_ports > 1) {
      errors.add(field_error("more than one container port is set", {"containers.ports"},
                             "only a single port is allowed across all containers"));
    }
  }
  const std::optional<std::size_t> serving = serving_container(pod);
  for (std::size_t i = 0; i < pod.containers.size(); ++i) {
    const Role role = serving == i ? Role::serving : Role::sidecar;
    errors.add(at(validate_container(pod.containers[i], role, context), "containers", i));
  }
  for (std::size_t i = 0; i < pod.init_containers.size(); ++i) {
    errors.add(
        at(validate_container(pod.init_containers[i], Role::init, context), "initContainers", i));
  }
  return errors;
}

FieldErrors validate_names(const PodSpec& pod) {
  FieldErrors errors;
  std::set<std::string_view> names;
  const auto check = [&](const std::vector<Container>& list, std::string_view field) {
    for (std::size_t i = 0; i < list.size(); ++i) {
      if (list[i].name.empty() || names.insert(list[i].name).second) continue;
      errors.add(
          at(field_error("duplicate container name \"" + list[i].name + "\"", {"name"}), field, i));
    }
  };
  check(pod.containers, "containers");
  check(pod.init_containers, "initContainers");
  return errors;
}

FieldErrors validate_pod_fields(const PodSpec& pod, const PodFeatures& features) {
  FieldErrors errors;
  const auto refuse = [&](bool present, std::string_view field) {
    if (present) errors.add(disallowed_field({field}));
  };
  if (!features.scheduling) {
    refuse(!pod.node_selector.empty(), "nodeSelector");
    refuse(!pod.affinity.is_null(), "affinity");
    refuse(!pod.tolerations.is_null(), "tolerations");
    refuse(!pod.topology_spread_constraints.is_null(), "topologySpreadConstraints");
    refuse(pod.runtime_class_name.has_value(), "runtimeClassName");
    refuse(!pod.priority_class_name.empty(), "priorityClassName");
    refuse(!pod.scheduler_name.empty(), "schedulerName");
  }
  refuse(!features.security_context && !pod.security_context.is_null(), "securityContext");
  if (!features.dns) {
    refuse(!pod.host_aliases.is_null(), "hostAliases");
    refuse(!pod.dns_policy.empty(), "dnsPolicy");
    refuse(!pod.dns_config.is_null(), "dnsConfig");
  }
  if (!features.host_namespaces) {
    refuse(pod.share_process_namespace.has_value(), "shareProcessNamespace");
    refuse(pod.host_network, "hostNetwork");
    refuse(pod.host_pid, "hostPID");
    refuse(pod.host_ipc, "hostIPC");
  }
  refuse(!features.init_containers && !pod.init_containers.empty(), "initContainers");
  refuse(!pod.restart_policy.empty(), "restartPolicy");
  refuse(pod.termination_grace_period_seconds.has_value(), "terminationGracePeriodSeconds");
  refuse(pod.active_deadline_seconds.has_value(), "activeDeadlineSeconds");
  refuse(!pod.node_name.empty(), "nodeName");
  refuse(!pod.hostname.empty(), "hostname");
  refuse(!pod.subdomain.empty(), "subdomain");
  if (pod.automount_service_account_token.value_or(false)) {
    errors.add(invalid_value("true", "automountServiceAccountToken"));
  }
  if (!pod.service_account_name.empty()) {
    if (std::string wrong = check_dns1123_subdomain(pod.service_account_name); !wrong.empty()) {
      errors.add(invalid_value(pod.service_account_name, "serviceAccountName", std::move(wrong)));
    }
  }
  for (std::size_t i = 0; i < pod.image_pull_secrets.size(); ++i) {
    const std::string& name = pod.image_pull_secrets[i].name;
    if (name.empty()) {
      errors.add(at(missing_field({"name"}), "imagePullSecrets", i));
    } else if (std::string wrong = check_dns1123_subdomain(name); !wrong.empty()) {
      errors.add(at(invalid_value(name, "name", std::move(wrong)), "imagePullSecrets", i));
    }
  }
  return errors;
}

}  // namespace

FieldErrors validate_volume_content(const Volume& volume) {
  FieldErrors errors;
  if (volume.empty_dir) {
    const EmptyDirVolumeSource& folder = *volume.empty_dir;
    if (folder.medium.starts_with("HugePages")) {
      errors.add(invalid_value(folder.medium, "emptyDir.medium", "there are no huge pages here"));
    } else if (!folder.medium.empty() && !folder.in_memory()) {
      errors.add(invalid_value(folder.medium, "emptyDir.medium"));
    }
    if (folder.size_limit && folder.size_limit->is_negative()) {
      errors.add(invalid_value(folder.size_limit->to_string(), "emptyDir.sizeLimit",
                               "must be greater than or equal to 0"));
    }
  }
  check_files(errors, volume.secret, "secret");
  check_files(errors, volume.config_map, "configMap");
  check_files(errors, volume.downward_api, "downwardAPI");
  if (!volume.projected) return errors;
  check_mode(errors, volume.projected->default_mode, "projected.defaultMode");
  for (std::size_t i = 0; i < volume.projected->sources.size(); ++i) {
    const VolumeProjection& source = volume.projected->sources[i];
    FieldErrors wrong;
    check_files(wrong, source.secret, "secret");
    check_files(wrong, source.config_map, "configMap");
    check_files(wrong, source.downward_api, "downwardAPI");
    if (source.service_account_token) {
      check_file_path(wrong, source.service_account_token->path, "serviceAccountToken.path");
    }
    errors.add(at(std::move(wrong), "projected.sources", i));
  }
  return errors;
}

std::optional<std::size_t> serving_container(const PodSpec& pod) noexcept {
  if (pod.containers.size() == 1) return 0;
  for (std::size_t i = 0; i < pod.containers.size(); ++i) {
    if (!pod.containers[i].ports.empty()) return i;
  }
  return std::nullopt;
}

namespace {

// Several mounts share the folder on disk that memory of one container alone cannot be.
FieldErrors validate_memory(const PodSpec& pod) {
  std::map<std::string_view, int> mounts;
  for (const auto* list : {&pod.init_containers, &pod.containers}) {
    for (const Container& container : *list) {
      for (const VolumeMount& mount : container.volume_mounts) {
        mounts[mount.name] += mount.sub_path.empty() ? 1 : 2;
      }
    }
  }
  FieldErrors errors;
  for (std::size_t i = 0; i < pod.volumes.size(); ++i) {
    const Volume& volume = pod.volumes[i];
    const bool wanted = volume.empty_dir && volume.empty_dir->in_memory();
    if (wanted && mounts[volume.name] > 1) {
      errors.add(at(not_in_memory("emptyDir.medium"), "volumes", i));
    }
  }
  return errors;
}

}  // namespace

FieldError not_in_memory(std::string_view field) {
  return field_error("it lies on disk, as several mounts share it", {field}).as_warning();
}

FieldErrors validate_revision_pod(const PodSpec& pod, const PodFeatures& features) {
  FieldErrors errors = validate_pod_fields(pod, features);
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < pod.volumes.size(); ++i) {
    FieldErrors wrong = validate_volume(pod.volumes[i], features);
    if (!pod.volumes[i].name.empty() && !names.insert(pod.volumes[i].name).second) {
      wrong.add(field_error("duplicate volume name \"" + pod.volumes[i].name + "\"", {"name"}));
    }
    errors.add(at(std::move(wrong), "volumes", i));
  }
  std::set<std::string_view> mounted;
  const Context context{features, pod.volumes, mounted};
  errors.add(validate_containers(pod, context));
  errors.add(validate_names(pod));
  errors.add(validate_memory(pod));
  for (std::size_t i = 0; i < pod.volumes.size(); ++i) {
    const std::string& name = pod.volumes[i].name;
    if (name.empty() || mounted.contains(name)) continue;
    errors.add(
        at(field_error("volume with name \"" + name + "\" not mounted", {"name"}), "volumes", i));
  }
  return errors;
}

}  // namespace knative::core
