// The table of kinds. To add one: a struct, its fields in a codec file, and a row here; see
// docs/adding-a-kind.md.
#include "model/build_codec.hpp"
#include "model/core_codec.hpp"
#include "model/eventing_codec.hpp"
#include "model/kind_ops.hpp"
#include "model/serving_codec.hpp"

namespace knative {
namespace {

constexpr KindInfo kinds[] = {
    // core
    cluster_kind<core::Namespace>("namespaces", "ns", NameRule::dns1123_label),
    namespaced_kind<core::Secret>("secrets"),
    namespaced_kind<core::ConfigMap>("configmaps", "cm"),
    namespaced_kind<core::ServiceAccount>("serviceaccounts", "sa"),
    namespaced_kind<core::Service>("services", "svc", NameRule::dns1035_label),
    // build.knative.dev; names are checked by its own rules
    namespaced_kind<build::Build>("builds"),
    namespaced_kind<build::BuildTemplate>("buildtemplates"),
    cluster_kind<build::ClusterBuildTemplate>("clusterbuildtemplates"),
    // serving.knative.dev
    namespaced_kind<serving::Service>("services", "ksvc,kservice", NameRule::dns1035_label),
    namespaced_kind<serving::Configuration>("configurations", "config,cfg",
                                            NameRule::dns1035_label),
    namespaced_kind<serving::Revision>("revisions", "rev"),
    namespaced_kind<serving::Route>("routes", "rt", NameRule::dns1035_label),
    namespaced_kind<serving::PodAutoscaler>("podautoscalers", "kpa,pa"),
    // eventing.knative.dev, messaging.knative.dev
    namespaced_kind<eventing::Broker>("brokers"),
    namespaced_kind<eventing::Trigger>("triggers"),
    namespaced_kind<eventing::EventType>("eventtypes"),
    namespaced_kind<eventing::Channel>("channels", "ch"),
    namespaced_kind<eventing::Subscription>("subscriptions", "sub"),
};

}  // namespace

std::span<const KindInfo> all_kinds() noexcept { return kinds; }

const KindInfo* find_kind(std::string_view api_version, std::string_view kind) noexcept {
  for (const KindInfo& row : kinds) {
    if (row.kind == kind && row.api_version == api_version) return &row;
  }
  return nullptr;
}

const KindInfo* find_kind_by_plural(std::string_view group, std::string_view version,
                                    std::string_view plural) noexcept {
  for (const KindInfo& row : kinds) {
    if (row.plural == plural && row.group() == group && row.version() == version) return &row;
  }
  return nullptr;
}

}  // namespace knative
