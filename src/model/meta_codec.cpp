#include "knative/fields.hpp"
#include "knative/meta.hpp"

namespace knative {

using fields::acts;
using fields::Field;
using fields::reported;

const fields::Struct& describe(const OwnerReference*) {
  static const Field list[] = {acts("apiVersion", &OwnerReference::api_version),
                               acts("kind", &OwnerReference::kind),
                               acts("name", &OwnerReference::name),
                               acts("uid", &OwnerReference::uid),
                               acts("controller", &OwnerReference::controller),
                               acts("blockOwnerDeletion", &OwnerReference::block_owner_deletion)};
  static const fields::Struct description{"OwnerReference", list};
  return description;
}

const fields::Struct& describe(const ObjectMeta*) {
  static const Field list[] = {
      acts("name", &ObjectMeta::name),
      acts("generateName", &ObjectMeta::generate_name),
      acts("namespace", &ObjectMeta::namespace_),
      acts("labels", &ObjectMeta::labels),
      acts("annotations", &ObjectMeta::annotations),
      reported("uid", &ObjectMeta::uid),
      acts("resourceVersion", &ObjectMeta::resource_version),
      reported("generation", &ObjectMeta::generation),
      reported("creationTimestamp", &ObjectMeta::creation_timestamp),
      reported("deletionTimestamp", &ObjectMeta::deletion_timestamp),
      reported("deletionGracePeriodSeconds", &ObjectMeta::deletion_grace_period_seconds),
      acts("ownerReferences", &ObjectMeta::owner_references),
      acts("finalizers", &ObjectMeta::finalizers),
      reported("selfLink", &ObjectMeta::self_link),
      reported("managedFields", &ObjectMeta::managed_fields)};
  static const fields::Struct description{"ObjectMeta", list};
  return description;
}

const fields::Struct& describe(const ObjectRef*) {
  static const Field list[] = {
      acts("apiVersion", &ObjectRef::api_version), acts("kind", &ObjectRef::kind),
      acts("namespace", &ObjectRef::namespace_), acts("name", &ObjectRef::name)};
  static const fields::Struct description{"ObjectRef", list};
  return description;
}

const fields::Struct& describe(const Condition*) {
  static const Field list[] = {acts("type", &Condition::type, fields::always),
                               acts("status", &Condition::status, fields::always),
                               acts("severity", &Condition::severity),
                               acts("reason", &Condition::reason),
                               acts("message", &Condition::message),
                               acts("lastTransitionTime", &Condition::last_transition_time)};
  static const fields::Struct description{"Condition", list};
  return description;
}

}  // namespace knative
