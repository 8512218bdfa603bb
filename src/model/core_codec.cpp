#include "model/core_codec.hpp"

namespace knative::core {

using codec::field;

const codec::Struct& describe(const NamespaceStatus*) {
  static constexpr codec::Field fields[] = {field<&NamespaceStatus::phase>("phase")};
  static constexpr codec::Struct description{"NamespaceStatus", fields};
  return description;
}

const codec::Struct& describe(const Namespace*) {
  static constexpr codec::Field fields[] = {field<&Namespace::metadata>("metadata"),
                                            field<&Namespace::status>("status")};
  static constexpr codec::Struct description{"Namespace", fields};
  return description;
}

const codec::Struct& describe(const Secret*) {
  static constexpr codec::Field fields[] = {
      field<&Secret::metadata>("metadata"), field<&Secret::type>("type"),
      field<&Secret::data>("data", codec::secret),
      field<&Secret::string_data>("stringData", codec::secret),
      field<&Secret::immutable>("immutable")};
  static constexpr codec::Struct description{"Secret", fields};
  return description;
}

const codec::Struct& describe(const ConfigMap*) {
  static constexpr codec::Field fields[] = {
      field<&ConfigMap::metadata>("metadata"), field<&ConfigMap::data>("data"),
      field<&ConfigMap::binary_data>("binaryData"), field<&ConfigMap::immutable>("immutable")};
  static constexpr codec::Struct description{"ConfigMap", fields};
  return description;
}

const codec::Struct& describe(const ServiceAccount*) {
  static constexpr codec::Field fields[] = {
      field<&ServiceAccount::metadata>("metadata"), field<&ServiceAccount::secrets>("secrets"),
      field<&ServiceAccount::image_pull_secrets>("imagePullSecrets"),
      field<&ServiceAccount::automount_service_account_token>("automountServiceAccountToken")};
  static constexpr codec::Struct description{"ServiceAccount", fields};
  return description;
}

const codec::Struct& describe(const ServicePort*) {
  static constexpr codec::Field fields[] = {field<&ServicePort::name>("name"),
                                            field<&ServicePort::protocol>("protocol"),
                                            field<&ServicePort::app_protocol>("appProtocol"),
                                            field<&ServicePort::port>("port", codec::always),
                                            field<&ServicePort::target_port>("targetPort"),
                                            field<&ServicePort::node_port>("nodePort")};
  static constexpr codec::Struct description{"ServicePort", fields};
  return description;
}

const codec::Struct& describe(const ServiceSpec*) {
  static constexpr codec::Field fields[] = {
      field<&ServiceSpec::type>("type"),
      field<&ServiceSpec::cluster_ip>("clusterIP"),
      field<&ServiceSpec::ports>("ports"),
      field<&ServiceSpec::selector>("selector"),
      field<&ServiceSpec::external_name>("externalName"),
      field<&ServiceSpec::session_affinity>("sessionAffinity")};
  static constexpr codec::Struct description{"ServiceSpec", fields};
  return description;
}

const codec::Struct& describe(const Service*) {
  static constexpr codec::Field fields[] = {field<&Service::metadata>("metadata"),
                                            field<&Service::spec>("spec"),
                                            field<&Service::status>("status")};
  static constexpr codec::Struct description{"Service", fields};
  return description;
}

}  // namespace knative::core
