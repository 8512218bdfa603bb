#include "model/core_codec.hpp"

namespace knative::core {

using fields::acts;
using fields::Field;
using fields::refused;
using fields::reported;
using fields::Struct;
using fields::warned;

const fields::Struct& describe(const NamespaceStatus*) {
  static const Field list[] = {acts("phase", &NamespaceStatus::phase)};
  static const fields::Struct description{"NamespaceStatus", list};
  return description;
}

const fields::Struct& describe(const Namespace*) {
  static const Field list[] = {acts("metadata", &Namespace::metadata),
                               reported("status", &Namespace::status, fields::tolerant)};
  static const fields::Struct description{"Namespace", list};
  return description;
}

const fields::Struct& describe(const Secret*) {
  static const Field list[] = {acts("metadata", &Secret::metadata), acts("type", &Secret::type),
                               acts("data", &Secret::data, fields::secret),
                               acts("stringData", &Secret::string_data, fields::secret),
                               acts("immutable", &Secret::immutable)};
  static const fields::Struct description{"Secret", list};
  return description;
}

const fields::Struct& describe(const ConfigMap*) {
  static const Field list[] = {
      acts("metadata", &ConfigMap::metadata), acts("data", &ConfigMap::data),
      acts("binaryData", &ConfigMap::binary_data), acts("immutable", &ConfigMap::immutable)};
  static const fields::Struct description{"ConfigMap", list};
  return description;
}

const fields::Struct& describe(const ServiceAccount*) {
  static const Field list[] = {
      acts("metadata", &ServiceAccount::metadata), acts("secrets", &ServiceAccount::secrets),
      acts("imagePullSecrets", &ServiceAccount::image_pull_secrets),
      acts("automountServiceAccountToken", &ServiceAccount::automount_service_account_token)};
  static const fields::Struct description{"ServiceAccount", list};
  return description;
}

const fields::Struct& describe(const ServicePort*) {
  static const Field list[] = {acts("name", &ServicePort::name),
                               acts("protocol", &ServicePort::protocol),
                               acts("appProtocol", &ServicePort::app_protocol),
                               acts("port", &ServicePort::port, fields::always),
                               acts("targetPort", &ServicePort::target_port),
                               acts("nodePort", &ServicePort::node_port)};
  static const fields::Struct description{"ServicePort", list};
  return description;
}

const fields::Struct& describe(const ServiceSpec*) {
  static const Field list[] = {acts("type", &ServiceSpec::type),
                               acts("clusterIP", &ServiceSpec::cluster_ip),
                               acts("ports", &ServiceSpec::ports),
                               acts("selector", &ServiceSpec::selector),
                               acts("externalName", &ServiceSpec::external_name),
                               acts("sessionAffinity", &ServiceSpec::session_affinity)};
  static const fields::Struct description{"ServiceSpec", list};
  return description;
}

const fields::Struct& describe(const Service*) {
  static const Field list[] = {acts("metadata", &Service::metadata), acts("spec", &Service::spec),
                               reported("status", &Service::status, fields::tolerant)};
  static const fields::Struct description{"Service", list};
  return description;
}

// ---------------------------------------------------------------------------- kinds

const KindInfo& kind_info(const Namespace*) {
  static constexpr KindInfo info =
      cluster_kind<Namespace>("namespaces", "ns", NameRule::dns1123_label);
  return info;
}
const KindInfo& kind_info(const Secret*) {
  static constexpr KindInfo info = namespaced_kind<Secret>("secrets");
  return info;
}
const KindInfo& kind_info(const ConfigMap*) {
  static constexpr KindInfo info = namespaced_kind<ConfigMap>("configmaps", "cm");
  return info;
}
const KindInfo& kind_info(const ServiceAccount*) {
  static constexpr KindInfo info = namespaced_kind<ServiceAccount>("serviceaccounts", "sa");
  return info;
}
const KindInfo& kind_info(const Service*) {
  static constexpr KindInfo info =
      namespaced_kind<Service>("services", "svc", NameRule::dns1035_label);
  return info;
}

}  // namespace knative::core
