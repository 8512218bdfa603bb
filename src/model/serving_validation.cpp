// Admission rules of the Serving kinds, with the texts and paths that Knative's webhook prints.

#include "knative/serving.hpp"

#include <algorithm>
#include <charconv>
#include <map>

#include "model/pod_validation.hpp"
#include "model/serving_codec.hpp"
#include "model/value_diff.hpp"

namespace knative::serving {
namespace {

constexpr std::size_t label_length_max = 63;

constexpr std::string_view group_prefix = "serving.knative.dev/";

std::string bracketed(std::string_view why) { return '[' + std::string(why) + ']'; }

// ---------------------------------------------------------------------------- metadata

bool is_owned_by(const ObjectMeta& metadata, std::string_view kind, std::string_view name) {
  return std::any_of(
      metadata.owner_references.begin(), metadata.owner_references.end(),
      [&](const OwnerReference& owner) { return owner.kind == kind && owner.name == name; });
}

// Labels of the group are the controllers' own; `known` are those that a kind may carry when its
// owner does. Others are kept and have no effect.
FieldErrors validate_labels(const ObjectMeta& metadata,
                            std::initializer_list<std::string_view> known) {
  FieldErrors errors;
  for (const auto& [key, value] : metadata.labels) {
    if (key == keys::visibility) {
      if (value != "cluster-local") errors.add(invalid_value(value, key));
    } else if (key.starts_with(group_prefix)) {
      if (std::find(known.begin(), known.end(), key) == known.end()) continue;
      if ((key == keys::service && !is_owned_by(metadata, Service::kind, value) &&
           !metadata.labels.contains(keys::configuration)) ||
          (key == keys::configuration && !is_owned_by(metadata, Configuration::kind, value))) {
        errors.add(missing_field({key}));
      }
    }
  }
  return std::move(errors).via_field("labels");
}

// A Go duration of whole, non-negative seconds under `key`; `what` names it.
FieldErrors validate_seconds(const StringMap& annotations, std::string_view key,
                             std::string_view what) {
  const auto found = annotations.find(key);
  if (found == annotations.end() || found->second.empty()) return {};
  const std::string& text = found->second;
  const Result<Duration> duration = parse_duration(text);
  if (!duration) return invalid_value(text, key);
  if (*duration % std::chrono::seconds(1) != Duration::zero()) {
    return field_error(std::string(what) + '=' + text + " is not at second precision", {key});
  }
  if (*duration < Duration::zero()) {
    return field_error(std::string(what) + '=' + text + " must be positive", {key});
  }
  return {};
}

// Annotations and labels of Service, Configuration and Route themselves.
FieldErrors validate_own_metadata(const ObjectMeta& metadata,
                                  std::initializer_list<std::string_view> known_labels) {
  FieldErrors errors;
  for (const auto& entry : metadata.annotations) {
    if (!entry.first.starts_with(keys::autoscaling_prefix)) continue;
    errors.add(invalid_key_name(entry.first, "annotations",
                                "autoscaling annotations must be put under "
                                "\"spec.template.metadata.annotations\" to work"));
  }
  errors.add(validate_seconds(metadata.annotations, keys::rollout_duration, "rolloutDuration")
                 .via_field("annotations"));
  errors.add(validate_labels(metadata, known_labels));
  return std::move(errors).via_field("metadata");
}

// Requests and limits for the queue in front of an instance.
FieldErrors validate_queue_annotations(const StringMap& annotations) {
  constexpr std::string_view queue_prefix = "queue.sidecar.serving.knative.dev/";
  FieldErrors errors;
  for (auto entry = annotations.lower_bound(queue_prefix);
       entry != annotations.end() && entry->first.starts_with(queue_prefix); ++entry) {
    const std::string_view name = std::string_view(entry->first).substr(queue_prefix.size());
    const std::string& value = entry->second;
    if (name == "resource-percentage" || name == "resourcePercentage") {
      errors.add(field_error("the resource percentage is deprecated", {""},
                             "name the amounts, as in cpu-resource-request and cpu-resource-limit")
                     .via_key(entry->first)
                     .as_warning());
      double number = 0;
      const char* end = value.data() + value.size();
      const auto parsed = std::from_chars(value.data(), end, number);
      if (parsed.ec != std::errc() || parsed.ptr != end) {
        errors.add(invalid_value(value, "").via_key(entry->first));
      } else if (!(number >= 0.1 && number <= 100)) {
        errors.add(out_of_bounds(value, "0.1", "100", "").via_key(entry->first));
      }
    } else if (name.ends_with("-resource-request") || name.ends_with("-resource-limit")) {
      if (!Quantity::parse(value)) errors.add(invalid_value(value, "").via_key(entry->first));
    }
  }
  return errors;
}

FieldErrors validate_template_name(const ObjectMeta& metadata, const ObjectMeta& parent) {
  FieldErrors errors;
  if (!metadata.generate_name.empty()) {
    std::string stem = metadata.generate_name;
    while (!stem.empty() && stem.back() == '-') stem.pop_back();
    if (const std::string why = check_dns1035_label(stem); !why.empty()) {
      errors.add(invalid_value("not a DNS 1035 label prefix: " + bracketed(why), "generateName"));
    }
  }
  if (metadata.name.empty()) return errors;
  if (const std::string why = check_dns1035_label(metadata.name); !why.empty()) {
    errors.add(invalid_value("not a DNS 1035 label: " + bracketed(why), "name"));
    return errors;
  }
  if (parent.name.empty() && !parent.generate_name.empty()) {
    // The parent's name is not known yet, and the next parent would take the same name.
    errors.add(disallowed_field({"name"}));
    return errors;
  }
  const std::string prefix = parent.name + '-';
  if (!metadata.name.starts_with(prefix)) {
    errors.add(
        invalid_value('"' + metadata.name + "\" must have prefix \"" + prefix + '"', "name"));
  }
  return errors;
}

// ---------------------------------------------------------------------------- revisions

FieldErrors refuse_pod_fields(const RefusedPodFields& refused) {
  FieldErrors errors;
  const std::pair<const Refused&, std::string_view> fields[] = {
      {refused.active_deadline_seconds, "activeDeadlineSeconds"},
      {refused.affinity, "affinity"},
      {refused.dns_config, "dnsConfig"},
      {refused.dns_policy, "dnsPolicy"},
      {refused.ephemeral_containers, "ephemeralContainers"},
      {refused.host_aliases, "hostAliases"},
      {refused.host_ipc, "hostIPC"},
      {refused.host_network, "hostNetwork"},
      {refused.host_pid, "hostPID"},
      {refused.hostname, "hostname"},
      {refused.node_name, "nodeName"},
      {refused.node_selector, "nodeSelector"},
      {refused.priority, "priority"},
      {refused.priority_class_name, "priorityClassName"},
      {refused.readiness_gates, "readinessGates"},
      {refused.restart_policy, "restartPolicy"},
      {refused.scheduler_name, "schedulerName"},
      {refused.security_context, "securityContext"},
      {refused.share_process_namespace, "shareProcessNamespace"},
      {refused.subdomain, "subdomain"},
      {refused.termination_grace_period_seconds, "terminationGracePeriodSeconds"},
      {refused.tolerations, "tolerations"},
      {refused.topology_spread_constraints, "topologySpreadConstraints"}};
  for (const auto& field : fields) {
    if (field.first.set) errors.add(disallowed_field({field.second}));
  }
  return errors;
}

// What Knative has flags for, or keeps from users, and instances here do.
core::PodFeatures pod_features_here() {
  core::PodFeatures features;
  features.multi_container_probing = true;
  features.init_containers = true;
  features.lifecycle = true;
  features.persistent_volume_claim = true;
  features.persistent_volume_write = true;
  return features;
}

// Containers, volumes and the rest of what comes from pods.
FieldErrors validate_pod(const RevisionSpec& spec) {
  FieldErrors errors = refuse_pod_fields(spec.refused);
  core::PodSpec pod;
  pod.containers = spec.containers;
  pod.init_containers = spec.init_containers;
  pod.volumes = spec.volumes;
  pod.service_account_name = spec.service_account_name;
  pod.image_pull_secrets = spec.image_pull_secrets;
  pod.enable_service_links = spec.enable_service_links;
  pod.automount_service_account_token = spec.automount_service_account_token;
  errors.add(core::validate_revision_pod(pod, pod_features_here()));
  return errors;
}

void check_seconds(FieldErrors& errors, const std::optional<std::int64_t>& value, std::int64_t high,
                   std::string_view field) {
  if (value && (*value < 0 || *value > high)) errors.add(out_of_bounds(*value, 0, high, field));
}

FieldErrors validate_spec(const RevisionSpec& spec, const Config& config) {
  FieldErrors errors = validate_pod(spec);
  check_seconds(errors, spec.timeout_seconds, config.timeout_seconds_max, "timeoutSeconds");
  const std::int64_t timeout = std::clamp(spec.timeout_seconds.value_or(config.timeout_seconds),
                                          std::int64_t{0}, config.timeout_seconds_max);
  check_seconds(errors, spec.response_start_timeout_seconds, timeout,
                "responseStartTimeoutSeconds");
  check_seconds(errors, spec.idle_timeout_seconds, timeout, "idleTimeoutSeconds");
  if (spec.container_concurrency) {
    const std::int64_t low = config.allow_container_concurrency_zero ? 0 : 1;
    const std::int64_t value = *spec.container_concurrency;
    if (value < low || value > config.container_concurrency_max) {
      errors.add(
          out_of_bounds(value, low, config.container_concurrency_max, "containerConcurrency"));
    }
  }
  return errors;
}

FieldErrors validate_revision_annotations(const StringMap& annotations, const Config& config) {
  FieldErrors errors = validate_autoscaling(annotations, config);
  errors.add(validate_queue_annotations(annotations));
  errors.add(validate_seconds(annotations, keys::progress_deadline, "progress-deadline"));
  const auto idle = annotations.find(keys::idle);
  if (idle != annotations.end() && idle->second != "frozen" && idle->second != "stopped") {
    errors.add(invalid_value(idle->second, keys::idle, "expected frozen or stopped"));
  }
  return errors;
}

FieldErrors validate_template(const RevisionTemplateSpec& spec, const ObjectMeta& parent,
                              const Config& config) {
  FieldErrors errors = validate_template_name(spec.metadata, parent);
  errors.add(
      validate_revision_annotations(spec.metadata.annotations, config).via_field("annotations"));
  for (const auto& entry : spec.metadata.labels) {
    if (std::string why = check_qualified_name(entry.first); !why.empty()) {
      errors.add(invalid_key_name(entry.first, "labels", std::move(why)));
    }
  }
  errors = std::move(errors).via_field("metadata");
  errors.add(validate_spec(spec.spec, config).via_field("spec"));
  return std::move(errors).via_field("template");
}

// ---------------------------------------------------------------------------- traffic

FieldErrors validate_target(const TrafficTarget& target, bool in_service) {
  FieldErrors errors;
  const bool pinned = !target.revision_name.empty();
  if (target.latest_revision && pinned == *target.latest_revision) {
    const std::string latest = *target.latest_revision ? "true" : "false";
    errors.add(field_error("may not set revisionName \"" + target.revision_name +
                               "\" when latestRevision is " + latest,
                           {"latestRevision"}));
  }
  const auto check_name = [&](const std::string& name, std::string_view field) {
    if (std::string why = check_qualified_name(name); !why.empty()) {
      errors.add(invalid_key_name(name, field, std::move(why)));
    }
  };
  if (in_service && !target.configuration_name.empty()) {
    errors.add(disallowed_field({"configurationName"}));
  } else if (pinned && !target.configuration_name.empty()) {
    errors.add(multiple_one_of({"revisionName", "configurationName"}));
  } else if (pinned) {
    check_name(target.revision_name, "revisionName");
  } else if (!target.configuration_name.empty()) {
    check_name(target.configuration_name, "configurationName");
  } else if (!in_service) {
    errors.add(missing_one_of({"revisionName", "configurationName"}));
  }
  if (target.percent && (*target.percent < 0 || *target.percent > 100)) {
    errors.add(out_of_bounds(*target.percent, 0, 100, "percent"));
  }
  if (!target.tag.empty()) {
    if (const std::string why = check_dns1035_label(target.tag); !why.empty()) {
      errors.add(invalid_value("not a DNS 1035 label: " + bracketed(why), "tag"));
    }
  }
  if (!target.url.empty()) errors.add(disallowed_field({"url"}));
  return errors;
}

FieldErrors validate_traffic(const std::vector<TrafficTarget>& traffic, bool in_service) {
  FieldErrors errors;
  std::map<std::string_view, std::size_t> tags;
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < traffic.size(); ++i) {
    errors.add(validate_target(traffic[i], in_service).via_index(i));
    const std::int64_t percent = traffic[i].percent.value_or(0);
    // Percents are bounded on their own; keep absurd ones from overflowing the sum.
    sum += std::clamp(percent, std::int64_t{-1000000}, std::int64_t{1000000});
    if (traffic[i].tag.empty()) continue;
    const auto [first, fresh] = tags.emplace(traffic[i].tag, i);
    if (!fresh) {
      errors.add(field_error(
          "Multiple definitions for \"" + traffic[i].tag + '"',
          {'[' + std::to_string(i) + "].tag", '[' + std::to_string(first->second) + "].tag"}));
    }
  }
  if (sum != 100) {
    errors.add(field_error("Traffic targets sum to " + std::to_string(sum) + ", want 100", {""}));
  }
  return std::move(errors).via_field("traffic");
}

// A tag and the name of its Route are one label of a host.
FieldErrors validate_tag_hosts(const std::vector<TrafficTarget>& traffic, std::string_view name) {
  FieldErrors errors;
  for (std::size_t i = 0; i < traffic.size(); ++i) {
    if (traffic[i].tag.empty() || traffic[i].tag.size() + 1 + name.size() <= label_length_max) {
      continue;
    }
    errors.add(invalid_value("the host label " + traffic[i].tag + '-' + std::string(name) +
                                 " has more than 63 characters",
                             "[" + std::to_string(i) + "].tag"));
  }
  return std::move(errors).via_field("spec.traffic");
}

// ---------------------------------------------------------------------------- updates

FieldErrors validate_users(const ObjectMeta& metadata, const ObjectMeta& old, bool same_spec) {
  FieldErrors errors;
  const auto value = [](const StringMap& map, std::string_view key) -> std::string_view {
    const auto found = map.find(key);
    return found == map.end() ? std::string_view() : found->second;
  };
  const std::string_view creator = value(old.annotations, keys::creator);
  if (!creator.empty() && value(metadata.annotations, keys::creator) != creator) {
    errors.add(field_error("annotation value is immutable", {keys::creator}));
  }
  const std::string_view modifier = value(metadata.annotations, keys::last_modifier);
  const std::string_view old_modifier = value(old.annotations, keys::last_modifier);
  if (same_spec && !old_modifier.empty() && modifier != old_modifier) {
    errors.add(invalid_value(modifier, keys::last_modifier));
  }
  return std::move(errors).via_field("metadata.annotations");
}

// A Revision that has a name of its own choosing is made once.
FieldErrors validate_same_name(const RevisionTemplateSpec& changed,
                               const RevisionTemplateSpec& old) {
  if (changed.metadata.name.empty() || changed.metadata.name != old.metadata.name) return {};
  if (changed == old) return {};
  FieldErrors errors =
      field_error("Saw the following changes without a name change (-old +new)", {"metadata.name"},
                  value_diff(fields::to_value(old), fields::to_value(changed), ""));
  return std::move(errors).via_field("spec.template");
}

}  // namespace

FieldErrors validate(const Service& object, const Config& config) {
  FieldErrors errors = validate_own_metadata(object.metadata, {});
  errors.add(validate_template(object.spec.template_, object.metadata, config).via_field("spec"));
  errors.add(validate_traffic(object.spec.traffic, true).via_field("spec"));
  errors.add(validate_tag_hosts(object.spec.traffic, object.metadata.name));
  return errors.merged();
}

FieldErrors validate(const Configuration& object, const Config& config) {
  FieldErrors errors = validate_own_metadata(
      object.metadata, {keys::service, keys::service_uid, keys::route, keys::routes});
  errors.add(validate_template(object.spec.template_, object.metadata, config).via_field("spec"));
  return errors.merged();
}

FieldErrors validate(const Revision& object, const Config& config) {
  FieldErrors errors =
      validate_labels(object.metadata, {keys::service, keys::service_uid, keys::configuration,
                                        keys::configuration_uid, keys::configuration_generation,
                                        keys::route, keys::routing_state})
          .via_field("metadata");
  errors.add(validate_revision_annotations(object.metadata.annotations, config)
                 .via_field("metadata.annotations"));
  errors.add(validate_spec(object.spec, config).via_field("spec"));
  return errors.merged();
}

FieldErrors validate(const Route& object, const Config&) {
  FieldErrors errors =
      validate_own_metadata(object.metadata, {keys::service, keys::service_uid, keys::route});
  errors.add(validate_traffic(object.spec.traffic, false).via_field("spec"));
  errors.add(validate_tag_hosts(object.spec.traffic, object.metadata.name));
  return errors.merged();
}

FieldErrors validate(const PodAutoscaler& object, const Config& config) {
  FieldErrors errors =
      validate_autoscaling(object.metadata.annotations, config).via_field("metadata.annotations");
  const PodAutoscalerSpec& spec = object.spec;
  if (spec.scale_target_ref.name.empty()) errors.add(missing_field({"spec.scaleTargetRef.name"}));
  if (spec.container_concurrency < 0 ||
      spec.container_concurrency > config.container_concurrency_max) {
    errors.add(out_of_bounds(spec.container_concurrency, 0, config.container_concurrency_max,
                             "spec.containerConcurrency"));
  }
  if (!spec.reachability.empty() && spec.reachability != "Reachable" &&
      spec.reachability != "Unreachable") {
    errors.add(invalid_value(spec.reachability, "spec.reachability"));
  }
  if (!spec.protocol_type.empty() && spec.protocol_type != "http1" && spec.protocol_type != "h2c") {
    errors.add(invalid_value(spec.protocol_type, "spec.protocolType"));
  }
  return errors.merged();
}

FieldErrors validate_update(const Service& object, const Service& old) {
  FieldErrors errors = validate_users(object.metadata, old.metadata, object.spec == old.spec);
  errors.add(validate_same_name(object.spec.template_, old.spec.template_));
  return errors;
}

FieldErrors validate_update(const Configuration& object, const Configuration& old) {
  FieldErrors errors = validate_users(object.metadata, old.metadata, object.spec == old.spec);
  errors.add(validate_same_name(object.spec.template_, old.spec.template_));
  return errors;
}

FieldErrors validate_update(const Revision& object, const Revision& old) {
  if (object.spec == old.spec) return {};
  return field_error("Immutable fields changed (-old +new)", {"spec"},
                     value_diff(fields::to_value(old.spec), fields::to_value(object.spec), "spec"));
}

FieldErrors validate_update(const Route& object, const Route& old) {
  return validate_users(object.metadata, old.metadata, object.spec == old.spec);
}

}  // namespace knative::serving
