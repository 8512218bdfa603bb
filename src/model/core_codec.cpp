#include "model/core_codec.hpp"

namespace knative::core {

using fields::acts;
using fields::Field;
using fields::reported;
using fields::warned;

const fields::Struct& describe(const NamespaceStatus*) {
  static const Field list[] = {acts("phase", &NamespaceStatus::phase)};
  static const fields::Struct description{"NamespaceStatus", list};
  return description;
}

const fields::Struct& describe(const NamespaceSpec*) {
  static const Field list[] = {warned("finalizers", &NamespaceSpec::finalizers,
                                      "a Namespace goes when its objects have gone")};
  static const fields::Struct description{"NamespaceSpec", list};
  return description;
}

const fields::Struct& describe(const SecretReference*) {
  static const Field list[] = {acts("name", &SecretReference::name),
                               acts("namespace", &SecretReference::namespace_)};
  static const fields::Struct description{"SecretReference", list};
  return description;
}

const fields::Struct& describe(const Namespace*) {
  static const Field list[] = {acts("metadata", &Namespace::metadata),
                               acts("spec", &Namespace::spec),
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
      warned("automountServiceAccountToken", &ServiceAccount::automount_service_account_token,
             "there are no tokens of service accounts")};
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
  static const Field list[] = {
      warned("type", &ServiceSpec::type,
             "a name in the cluster leads to the Service of that name in Serving; nothing listens "
             "on ports"),
      warned("clusterIP", &ServiceSpec::cluster_ip,
             "a name in the cluster leads to the Service of that name in Serving; nothing listens "
             "on ports"),
      warned("ports", &ServiceSpec::ports,
             "a name in the cluster leads to the Service of that name in Serving; nothing listens "
             "on ports"),
      warned("selector", &ServiceSpec::selector,
             "a name in the cluster leads to the Service of that name in Serving; nothing listens "
             "on ports"),
      warned("externalName", &ServiceSpec::external_name,
             "a name in the cluster leads to the Service of that name in Serving; nothing listens "
             "on ports"),
      warned("sessionAffinity", &ServiceSpec::session_affinity,
             "a name in the cluster leads to the Service of that name in Serving; nothing listens "
             "on ports"),
      warned("clusterIPs", &ServiceSpec::cluster_ips,
             "a name in the cluster leads to the Service of that name in Serving; nothing listens "
             "on ports"),
      warned("externalTrafficPolicy", &ServiceSpec::external_traffic_policy,
             "a name in the cluster leads to the Service of that name in Serving; nothing listens "
             "on ports"),
      warned("internalTrafficPolicy", &ServiceSpec::internal_traffic_policy,
             "a name in the cluster leads to the Service of that name in Serving; nothing listens "
             "on ports"),
      warned("ipFamilyPolicy", &ServiceSpec::ip_family_policy,
             "a name in the cluster leads to the Service of that name in Serving; nothing listens "
             "on ports"),
      warned("ipFamilies", &ServiceSpec::ip_families,
             "a name in the cluster leads to the Service of that name in Serving; nothing listens "
             "on ports")};
  static const fields::Struct description{"ServiceSpec", list};
  return description;
}

const fields::Struct& describe(const Service*) {
  static const Field list[] = {acts("metadata", &Service::metadata), acts("spec", &Service::spec),
                               reported("status", &Service::status, fields::tolerant)};
  static const fields::Struct description{"Service", list};
  return description;
}

// ---------------------------------------------------------------------------- rules

using fields::Mark;
using fields::Rule;

// What defaulting fills in is no reason for a warning.
constexpr Rule service_rules[] = {{"spec.type", Mark::acts, {}, "ClusterIP"},
                                  {"spec.sessionAffinity", Mark::acts, {}, "None"}};

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
      namespaced_kind<Service>("services", "svc", NameRule::dns1035_label)
          .with_rules(service_rules);
  return info;
}

}  // namespace knative::core
