#include <set>

#include "knative/core.hpp"
#include "model/config_maps.hpp"

namespace knative::core {
namespace {

constexpr std::size_t data_bytes_max = 1024 * 1024;

template <class Map, class Size>
FieldErrors validate_keys(const Map& map, std::string_view field, Size size, std::size_t& bytes) {
  FieldErrors errors;
  for (const auto& [key, value] : map) {
    if (std::string wrong = check_config_key(key); !wrong.empty()) {
      errors.add(invalid_key_name(key, field, std::move(wrong)));
    }
    bytes += size(value);
  }
  return errors;
}

std::size_t text_size(const std::string& value) { return value.size(); }
std::size_t bytes_size(const Bytes& value) { return value.bytes.size(); }

FieldErrors too_large(std::size_t bytes) {
  if (bytes <= data_bytes_max) return {};
  return field_error("data is too long: more than 1048576 bytes", {"data"});
}

// What a Secret will hold under `key` once defaulting has moved string_data into data, else null.
const std::string* find_entry(const Secret& secret, std::string_view key) {
  if (const auto text = secret.string_data.find(key); text != secret.string_data.end()) {
    return &text->second;
  }
  const auto entry = secret.data.find(key);
  return entry == secret.data.end() ? nullptr : &entry->second.bytes;
}

// The keys that a type promises.
FieldErrors validate_secret_type(const Secret& secret) {
  FieldErrors errors;
  const auto need = [&](std::string_view key) {
    const std::string* entry = find_entry(secret, key);
    if (!entry) errors.add(FieldErrors(missing_field({""})).via_field_key("data", key));
    return entry;
  };
  const auto need_json = [&](std::string_view key) {
    const std::string* entry = need(key);
    if (entry && !Value::parse_json(*entry)) {
      errors.add(FieldErrors(field_error("not a JSON text", {""})).via_field_key("data", key));
    }
  };
  if (secret.type == "kubernetes.io/basic-auth") {
    if (!find_entry(secret, "username") && !find_entry(secret, "password")) {
      errors.add(missing_field({"data[username]", "data[password]"}));
    }
  } else if (secret.type == "kubernetes.io/ssh-auth") {
    need("ssh-privatekey");
  } else if (secret.type == "kubernetes.io/tls") {
    need("tls.crt");
    need("tls.key");
  } else if (secret.type == "kubernetes.io/dockerconfigjson") {
    need_json(".dockerconfigjson");
  } else if (secret.type == "kubernetes.io/dockercfg") {
    need_json(".dockercfg");
  }
  return errors;
}

FieldErrors validate_port(const ServicePort& port, bool named) {
  FieldErrors errors;
  if (named && port.name.empty()) errors.add(missing_field({"name"}));
  if (!port.name.empty()) {
    if (std::string wrong = check_dns1123_label(port.name); !wrong.empty()) {
      errors.add(invalid_value(port.name, "name", std::move(wrong)));
    }
  }
  if (port.port < 1 || port.port > 65535) errors.add(out_of_bounds(port.port, 1, 65535, "port"));
  const std::string& protocol = port.protocol;
  if (!protocol.empty() && protocol != "TCP" && protocol != "UDP" && protocol != "SCTP") {
    errors.add(invalid_value(protocol, "protocol"));
  }
  const IntOrString& target = port.target_port;
  if (!target.is_string() && !target.is_zero() &&
      (target.number() < 1 || target.number() > 65535)) {
    errors.add(out_of_bounds(target.number(), 1, 65535, "targetPort"));
  }
  return errors;
}

}  // namespace

FieldErrors validate(const Secret& secret) {
  std::size_t bytes = 0;
  FieldErrors errors = validate_keys(secret.data, "data", bytes_size, bytes);
  errors.add(validate_keys(secret.string_data, "stringData", text_size, bytes));
  errors.add(too_large(bytes));
  errors.add(validate_secret_type(secret));
  return errors;
}

FieldErrors validate(const ConfigMap& config_map) {
  std::size_t bytes = 0;
  FieldErrors errors = validate_keys(config_map.data, "data", text_size, bytes);
  errors.add(check_config_map(config_map));
  errors.add(validate_keys(config_map.binary_data, "binaryData", bytes_size, bytes));
  for (const auto& [key, value] : config_map.binary_data) {
    if (config_map.data.contains(key)) {
      errors.add(multiple_one_of({"data[" + key + "]", "binaryData[" + key + "]"}));
    }
  }
  errors.add(too_large(bytes));
  return errors;
}

FieldErrors validate(const ServiceAccount& account) {
  FieldErrors errors;
  const auto check = [&](const auto& list, std::string_view field) {
    for (std::size_t i = 0; i < list.size(); ++i) {
      if (list[i].name.empty()) {
        errors.add(FieldErrors(missing_field({"name"})).via_field_index(field, i));
      }
    }
  };
  check(account.secrets, "secrets");
  check(account.image_pull_secrets, "imagePullSecrets");
  return errors;
}

FieldErrors validate(const Service& service) {
  FieldErrors errors;
  const ServiceSpec& spec = service.spec;
  const bool external = spec.type == "ExternalName";
  if (!spec.type.empty() && !external && spec.type != "ClusterIP" && spec.type != "NodePort" &&
      spec.type != "LoadBalancer") {
    errors.add(invalid_value(spec.type, "type"));
  }
  if (external && spec.external_name.empty()) errors.add(missing_field({"externalName"}));
  if (!external && spec.ports.empty() && spec.cluster_ip != "None") {
    errors.add(missing_field({"ports"}));
  }
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < spec.ports.size(); ++i) {
    FieldErrors wrong = validate_port(spec.ports[i], spec.ports.size() > 1);
    if (!spec.ports[i].name.empty() && !names.insert(spec.ports[i].name).second) {
      wrong.add(multiple_one_of({"name"}));
    }
    errors.add(std::move(wrong).via_field_index("ports", i));
  }
  return std::move(errors).via_field("spec");
}

FieldErrors validate_update(const Secret& newer, const Secret& old) {
  FieldErrors errors;
  if (newer.type != old.type) errors.add(field_error("field is immutable", {"type"}));
  if (!old.immutable.value_or(false)) return errors;
  if (!newer.immutable.value_or(false)) {
    errors.add(field_error("field is immutable when `immutable` is set", {"immutable"}));
  }
  if (newer.data != old.data || !newer.string_data.empty()) {
    errors.add(field_error("field is immutable when `immutable` is set", {"data"}));
  }
  return errors;
}

FieldErrors validate_update(const ConfigMap& newer, const ConfigMap& old) {
  FieldErrors errors;
  if (!old.immutable.value_or(false)) return errors;
  if (!newer.immutable.value_or(false)) {
    errors.add(field_error("field is immutable when `immutable` is set", {"immutable"}));
  }
  if (newer.data != old.data) {
    errors.add(field_error("field is immutable when `immutable` is set", {"data"}));
  }
  if (newer.binary_data != old.binary_data) {
    errors.add(field_error("field is immutable when `immutable` is set", {"binaryData"}));
  }
  return errors;
}

}  // namespace knative::core
