#include "platform/admission.hpp"

#include <algorithm>

#include "knative/autoscaler.hpp"
#include "knative/container.hpp"
#include "knative/core.hpp"
#include "knative/serving.hpp"
#include "model/whole_object.hpp"

namespace knative {

namespace {

const serving::RevisionSpec& spec_of(const serving::Revision& revision) { return revision.spec; }
template <class T>
const serving::RevisionSpec& spec_of(const T& object) {
  return object.spec.template_.spec;
}

bool is_said(const FieldErrors& said, const std::string& path) {
  for (const FieldError& error : said) {
    for (const std::string& other : error.paths) {
      if (path.starts_with(other)) return true;
    }
  }
  return false;
}

// What the runtime of a container ignores of it.
FieldErrors ignored_of(core::Container container, const std::string& runtime,
                       const ContainerRuntimes& runtimes) {
  container.env_from.clear();
  for (core::EnvVar& variable : container.env) variable.value_from.reset();
  Result<ContainerSpec> wanted = container_spec(container);
  if (!wanted) return {};
  wanted->runtime = runtime;
  return runtimes.unsupported(*wanted).filter(FieldError::Level::warning);
}

// What the runtimes of the containers ignore of them, unless it is `said`. What they refuse the
// Revision says, when it is made.
FieldErrors ignored_of(const serving::RevisionSpec& spec, std::string_view where,
                       const ContainerRuntimes* runtimes, const FieldErrors& said) {
  FieldErrors ignored;
  if (runtimes == nullptr) return ignored;
  const std::string runtime = spec.runtime_class_name.value_or("");
  if (!runtime.empty() && runtimes->find(runtime) == nullptr) {
    std::string known;
    for (const std::string& other : runtimes->names()) known.append(" ").append(other);
    return field_error("no container runtime is named \"" + runtime + "\"",
                       {std::string(where) + "runtimeClassName"}, "known are" + known);
  }
  FieldErrors found;
  for (std::size_t i = 0; i < spec.containers.size(); ++i) {
    found.add(ignored_of(spec.containers[i], runtime, *runtimes)
                  .via_field_index(std::string(where) + "containers", i));
  }
  for (std::size_t i = 0; i < spec.init_containers.size(); ++i) {
    found.add(ignored_of(spec.init_containers[i], runtime, *runtimes)
                  .via_field_index(std::string(where) + "initContainers", i));
  }
  for (const FieldError& warning : found) {
    if (!is_said(said, warning.paths.front())) ignored.add(warning);
  }
  return ignored;
}

// Of the probes of a function: it is called, so a port of its own is not asked.
FieldErrors ignored_ports(const serving::RevisionSpec& spec, std::string_view where) {
  FieldErrors ignored;
  const core::Container* serving = spec.serving_container();
  if (serving == nullptr || !serving->image.starts_with(function_image_prefix)) return ignored;
  core::ContainerPort served{.container_port = 8080};
  if (!serving->ports.empty()) served = serving->ports.front();
  const auto check = [&](const IntOrString& port, const std::string& host,
                         const std::string& field) {
    const bool own = port.is_string() ? port.name() == served.name
                                      : port.is_zero() || port.number() == served.container_port;
    if (own || !host.empty()) return;
    ignored.add(field_error("has no effect", {field + ".port"},
                            "a function of the host program is called, it has no ports")
                    .as_warning());
  };
  const std::pair<const std::optional<core::Probe>&, const char*> probes[] = {
      {serving->readiness_probe, "readinessProbe"},
      {serving->liveness_probe, "livenessProbe"},
      {serving->startup_probe, "startupProbe"}};
  for (const auto& [probe, name] : probes) {
    if (!probe) continue;
    const std::string field = name;
    if (probe->http_get) check(probe->http_get->port, probe->http_get->host, field + ".httpGet");
    if (probe->tcp_socket) {
      check(probe->tcp_socket->port, probe->tcp_socket->host, field + ".tcpSocket");
    }
  }
  const auto index = static_cast<std::size_t>(serving - spec.containers.data());
  return std::move(ignored).via_field_index(std::string(where) + "containers", index);
}

template <class T>
FieldErrors admit_serving(AnyObject& object, const serving::Config& config,
                          const ContainerRuntimes* runtimes) {
  T& typed = *object.get_if_mutable<T>();
  serving::apply_defaults(typed, config);
  FieldErrors errors = validate_metadata(typed.metadata, object.info()).via_field("metadata");
  errors.add(serving::validate(typed, config));
  errors = with_marks(std::move(errors), object.check_marks());
  const std::string_view where = T::kind == "Revision" ? "spec." : "spec.template.spec.";
  errors.add(ignored_of(spec_of(typed), where, runtimes, errors));
  errors.add(ignored_ports(spec_of(typed), where));
  return errors;
}

// config-autoscaler is read while the platform runs: a wrong value is refused at the door.
FieldErrors check_autoscaler_config(const core::ConfigMap& map, const AutoscalerConfig& base) {
  if (map.metadata.namespace_ != autoscaler_config_namespace ||
      map.metadata.name != autoscaler_config_name) {
    return {};
  }
  const Result<AutoscalerConfig> parsed =
      AutoscalerConfig::parse({map.data.begin(), map.data.end()}, base);
  if (!parsed) return field_error(parsed.error().detail, {"data"});
  FieldErrors errors;
  const int most = std::max(1, base.instances_max);
  const std::pair<std::string_view, int> scales[] = {{"initial-scale", parsed->initial_scale},
                                                     {"min-scale", parsed->min_scale},
                                                     {"max-scale", parsed->max_scale}};
  for (const auto& [key, scale] : scales) {
    if (scale <= most || !map.data.contains(key)) continue;
    errors.add(field_error("is cut to " + std::to_string(most), {"data." + std::string(key)},
                           "no more instances of one Revision are started here")
                   .as_warning());
  }
  return errors;
}

// All warnings as one message of a condition.
std::string warnings_of(const FieldErrors& errors) {
  static constexpr std::size_t lines_max = 20;
  const FieldErrors warnings = errors.filter(FieldError::Level::warning).merged();
  std::string out;
  std::size_t count = 0;
  for (const FieldError& warning : warnings) {
    if (count++ == lines_max)
      return out + "; and " + std::to_string(warnings.size() - lines_max) + " more";
    if (!out.empty()) out += "; ";
    out += to_line(warning);
  }
  return out;
}

}  // namespace

std::function<FieldErrors(AnyObject& object)> admission_rules(const AutoscalerConfig& autoscaler,
                                                              RuntimesGiven runtimes) {
  return [&autoscaler, runtimes = std::move(runtimes)](AnyObject& object) {
    serving::Config config;
    config.allow_zero_initial_scale = autoscaler.allow_zero_initial_scale;
    config.instances_max = std::max(1, autoscaler.instances_max);
    if (object.get_if<serving::Service>() != nullptr) {
      return admit_serving<serving::Service>(object, config, runtimes());
    }
    if (object.get_if<serving::Configuration>() != nullptr) {
      return admit_serving<serving::Configuration>(object, config, runtimes());
    }
    if (object.get_if<serving::Revision>() != nullptr) {
      return admit_serving<serving::Revision>(object, config, runtimes());
    }
    object.apply_defaults();
    FieldErrors errors = object.validate();
    if (const auto* map = object.get_if<core::ConfigMap>()) {
      errors.add(check_autoscaler_config(*map, autoscaler));
    }
    return errors;
  };
}

std::string to_line(const FieldError& error) {
  std::string line = error.to_string();
  const std::size_t end = line.find('\n');
  if (end != std::string::npos) line.replace(end, 1, "; ");
  std::replace(line.begin(), line.end(), '\n', ' ');
  return line;
}

Admission admission(const AutoscalerConfig& autoscaler, RuntimesGiven runtimes, Timers& timers) {
  return [check = admission_rules(autoscaler, std::move(runtimes)), &timers](
             AnyObject& object, const AnyObject* old) -> Result<void> {
    FieldErrors errors = check(object);
    if (old != nullptr) errors.add(object.validate_update(*old));
    if (Result<void> valid = errors.to_result(); !valid) {
      return fail(valid.error().code, "validation failed: " + valid.error().detail);
    }
    object.set_warning(warnings_of(errors), Timestamp(timers.wall()));
    return {};
  };
}

}  // namespace knative
