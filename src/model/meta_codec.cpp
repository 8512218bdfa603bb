#include "model/meta_codec.hpp"

namespace knative {

using codec::field;

const codec::Struct& describe(const OwnerReference*) {
  static constexpr codec::Field fields[] = {
      field<&OwnerReference::api_version>("apiVersion"),
      field<&OwnerReference::kind>("kind"),
      field<&OwnerReference::name>("name"),
      field<&OwnerReference::uid>("uid"),
      field<&OwnerReference::controller>("controller"),
      field<&OwnerReference::block_owner_deletion>("blockOwnerDeletion")};
  static constexpr codec::Struct description{"OwnerReference", fields};
  return description;
}

const codec::Struct& describe(const ObjectMeta*) {
  static constexpr codec::Field fields[] = {
      field<&ObjectMeta::name>("name"),
      field<&ObjectMeta::generate_name>("generateName"),
      field<&ObjectMeta::namespace_>("namespace"),
      field<&ObjectMeta::labels>("labels"),
      field<&ObjectMeta::annotations>("annotations"),
      field<&ObjectMeta::uid>("uid"),
      field<&ObjectMeta::resource_version>("resourceVersion"),
      field<&ObjectMeta::generation>("generation"),
      field<&ObjectMeta::creation_timestamp>("creationTimestamp"),
      field<&ObjectMeta::deletion_timestamp>("deletionTimestamp"),
      field<&ObjectMeta::deletion_grace_period_seconds>("deletionGracePeriodSeconds"),
      field<&ObjectMeta::owner_references>("ownerReferences"),
      field<&ObjectMeta::finalizers>("finalizers"),
      field<&ObjectMeta::self_link>("selfLink"),
      field<&ObjectMeta::managed_fields>("managedFields")};
  static constexpr codec::Struct description{"ObjectMeta", fields};
  return description;
}

const codec::Struct& describe(const ObjectRef*) {
  static constexpr codec::Field fields[] = {
      field<&ObjectRef::api_version>("apiVersion"), field<&ObjectRef::kind>("kind"),
      field<&ObjectRef::namespace_>("namespace"), field<&ObjectRef::name>("name")};
  static constexpr codec::Struct description{"ObjectRef", fields};
  return description;
}

const codec::Struct& describe(const Condition*) {
  static constexpr codec::Field fields[] = {
      field<&Condition::type>("type", codec::always),
      field<&Condition::status>("status", codec::always),
      field<&Condition::severity>("severity"),
      field<&Condition::reason>("reason"),
      field<&Condition::message>("message"),
      field<&Condition::last_transition_time>("lastTransitionTime")};
  static constexpr codec::Struct description{"Condition", fields};
  return description;
}

}  // namespace knative
