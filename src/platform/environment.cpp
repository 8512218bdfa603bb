#include "platform/environment.hpp"

#include <map>
#include <optional>
#include <string>
#include <utility>

#include "knative/core.hpp"
#include "knative/reconciler.hpp"
#include "model/expansion.hpp"

namespace knative::control {

Values secret_values(const core::Secret& secret) {
  Values values;
  for (const auto& [key, value] : secret.data) values[key] = value.bytes;
  return values;
}

namespace {

Values values_of(const core::Secret& secret) { return secret_values(secret); }
Values values_of(const core::ConfigMap& map) { return {map.data.begin(), map.data.end()}; }

class Reader {
 public:
  Reader(const Client& client, const PodFacts& pod, std::set<ObjectRef>& interests)
      : client_(client), pod_(pod), namespace_(pod.metadata.namespace_), interests_(interests) {}

  /// Everything in an object; empty when it is absent and may be.
  template <class T>
  Result<Values> all(const std::string& name, bool optional) {
    const ObjectRef ref{std::string(T::api_version), std::string(T::kind), namespace_, name};
    interests_.insert(ref);
    const Result<T> found = client_.get<T>(namespace_, name);
    if (found) return values_of(*found);
    if (found.error().code != Errc::not_found) return found.error();
    if (optional) return Values();
    return fail(Errc::failed_precondition, std::string(T::kind) + " \"" + name + "\" not found");
  }

  template <class T>
  Result<std::optional<std::string>> one(const core::KeySelector& from) {
    const bool optional = from.optional.value_or(false);
    const Result<Values> values = all<T>(from.name, optional);
    if (!values) return values.error();
    const auto value = values->find(from.key);
    if (value != values->end()) return std::optional<std::string>(value->second);
    if (optional) return std::optional<std::string>();
    return fail(Errc::failed_precondition, "couldn't find key " + from.key + " in " +
                                               std::string(T::kind) + " " +
                                               make_key(namespace_, from.name));
  }

  Result<Values> source(const core::EnvFromSource& from) {
    if (from.config_map_ref) {
      return all<core::ConfigMap>(from.config_map_ref->name,
                                  from.config_map_ref->optional.value_or(false));
    }
    if (!from.secret_ref) return Values();
    return all<core::Secret>(from.secret_ref->name, from.secret_ref->optional.value_or(false));
  }

  Result<std::optional<std::string>> value(const core::EnvVarSource& from) {
    if (from.config_map_key_ref) return one<core::ConfigMap>(*from.config_map_key_ref);
    if (from.secret_key_ref) return one<core::Secret>(*from.secret_key_ref);
    if (!from.field_ref) {
      return fail(Errc::unimplemented, "resourceFieldRef has no value here");
    }
    Result<std::string> value = pod_field(pod_, *from.field_ref, false);
    if (!value) return value.error();
    return std::optional<std::string>(std::move(*value));
  }

 private:
  const Client& client_;
  const PodFacts& pod_;
  const std::string& namespace_;
  std::set<ObjectRef>& interests_;
};

core::EnvVar literal(std::string name, const std::string& value) {
  return {.name = std::move(name), .value = core::escape_references(value), .value_from = {}};
}

}  // namespace

Result<std::vector<core::EnvVar>> literal_environment(const Client& client, const PodFacts& pod,
                                                      const core::Container& container,
                                                      std::set<ObjectRef>& interests) {
  Reader reader(client, pod, interests);
  std::vector<core::EnvVar> result;
  for (const core::EnvFromSource& from : container.env_from) {
    const Result<Values> values = reader.source(from);
    if (!values) return values.error().within("envFrom");
    for (const auto& [key, value] : *values) result.push_back(literal(from.prefix + key, value));
  }
  for (const core::EnvVar& variable : container.env) {
    if (!variable.value_from) {
      result.push_back(variable);
      continue;
    }
    const Result<std::optional<std::string>> value = reader.value(*variable.value_from);
    if (!value) return value.error().within("env " + variable.name);
    if (*value) result.push_back(literal(variable.name, **value));
  }
  return result;
}

}  // namespace knative::control
