// AnyObject: one reference-counted object of a kind, copied when it is changed. Objects of kinds
// without a type are kept whole.
#include <algorithm>

#include "knative/object.hpp"
#include "model/whole_object.hpp"

namespace knative {
namespace {

constexpr std::string_view warning_type = "Warnings";

const fields::Ops& type_of(const KindInfo& info) {
  return info.ops ? *info.ops->type : fields::ops_of<WholeObject>();
}

const Conditions* conditions_of(const fields::Struct& type, const void* object) {
  const fields::Field* status = type.find("status");
  if (!status || !status->ops->fields) return nullptr;
  const fields::Field* conditions = status->ops->fields().find("conditions");
  if (!conditions || conditions->ops != &fields::ops_of<Conditions>()) return nullptr;
  return static_cast<const Conditions*>(conditions->member(status->member(object)));
}

}  // namespace

AnyObject::AnyObject(const KindInfo& info, void* object)
    : info_(&info), object_(object, info.ops->destroy) {}

void* AnyObject::own() {
  if (object_.use_count() == 1) return object_.get();
  if (!info_->ops) {
    object_ = std::make_shared<WholeObject>(*static_cast<const WholeObject*>(object_.get()));
    return object_.get();
  }
  std::shared_ptr<void> copy(info_->ops->make(), info_->ops->destroy);
  const fields::Ops& type = *info_->ops->type;
  type.copy(type, copy.get(), object_.get());
  object_ = std::move(copy);
  return object_.get();
}

void AnyObject::throw_kind(std::string_view wanted) const {
  throw Exception(fail(Errc::invalid_argument,
                       "expected a " + std::string(wanted) + ", found " +
                           (info_ ? std::string(info_->kind) : std::string("nothing"))));
}

Value AnyObject::to_value() const {
  KN_ASSERT(info_ != nullptr);
  Value out;
  if (info_->ops) {
    const fields::Ops& type = *info_->ops->type;
    out = type.encode(type, object_.get());
  } else {
    out = static_cast<const WholeObject*>(object_.get())->to_value();
  }
  out["apiVersion"] = Value(info_->api_version);
  out["kind"] = Value(info_->kind);
  return out;
}

const ObjectMeta& AnyObject::metadata() const {
  KN_ASSERT(info_ != nullptr);
  if (!info_->ops) return static_cast<const WholeObject*>(object_.get())->metadata;
  return info_->ops->metadata(object_.get());
}
ObjectMeta& AnyObject::metadata() {
  KN_ASSERT(info_ != nullptr);
  void* object = own();
  return info_->ops ? info_->ops->metadata(object) : static_cast<WholeObject*>(object)->metadata;
}

ObjectRef AnyObject::ref() const {
  const ObjectMeta& meta = std::as_const(*this).metadata();
  return {std::string(info_->api_version), std::string(info_->kind), meta.namespace_, meta.name};
}

const Conditions* AnyObject::conditions() const noexcept {
  if (!info_) return nullptr;
  if (info_->ops) return conditions_of(info_->ops->type->fields(), object_.get());
  const auto& whole = *static_cast<const WholeObject*>(object_.get());
  return whole.has_conditions ? &whole.conditions : nullptr;
}

std::int64_t AnyObject::observed_generation() const noexcept {
  if (!info_) return 0;
  if (!info_->ops) {
    return static_cast<const WholeObject*>(object_.get())->observed_generation();
  }
  const fields::Field* status = info_->ops->type->fields().find("status");
  if (!status || !status->ops->fields) return 0;
  const fields::Field* observed = status->ops->fields().find("observedGeneration");
  if (!observed || observed->ops != &fields::ops_of<std::int64_t>()) return 0;
  return *static_cast<const std::int64_t*>(observed->member(status->member(object_.get())));
}

void AnyObject::apply_defaults() {
  KN_ASSERT(info_ != nullptr);
  ObjectMeta& meta = metadata();
  if (info_->namespaced && meta.namespace_.empty()) meta.namespace_ = "default";
  if (info_->ops && info_->ops->apply_defaults) info_->ops->apply_defaults(own());
}

FieldErrors AnyObject::check_marks() const {
  KN_ASSERT(info_ != nullptr);
  return fields::check_marks(type_of(*info_), object_.get(), info_->rules);
}

FieldErrors AnyObject::validate() const {
  KN_ASSERT(info_ != nullptr);
  FieldErrors errors = validate_metadata(std::as_const(*this).metadata(), *info_);
  errors = std::move(errors).via_field("metadata");
  if (info_->ops && info_->ops->validate) errors.add(info_->ops->validate(object_.get()));
  return with_marks(std::move(errors), check_marks());
}

FieldErrors AnyObject::validate_update(const AnyObject& old) const {
  KN_ASSERT(info_ != nullptr && info_ == old.info_);
  if (!info_->ops || !info_->ops->validate_update) return {};
  return info_->ops->validate_update(object_.get(), old.object_.get());
}

bool AnyObject::spec_equals(const AnyObject& other) const {
  if (info_ != other.info_) return false;
  if (object_ == other.object_ || !info_) return true;
  const fields::Struct& type = type_of(*info_).fields();
  if (const fields::Field* spec = type.find("spec")) {
    return spec->ops->equal(*spec->ops, spec->member(object_.get()),
                            spec->member(other.object_.get()));
  }
  // Kinds such as Secret, and whole objects: everything but metadata and status.
  return std::all_of(type.fields.begin(), type.fields.end(), [&](const fields::Field& field) {
    return field.name == "metadata" || field.name == "status" ||
           field.ops->equal(*field.ops, field.member(object_.get()),
                            field.member(other.object_.get()));
  });
}

void AnyObject::take_status_from(const AnyObject& other) {
  KN_ASSERT(info_ != nullptr && info_ == other.info_);
  if (!info_->has_status || object_ == other.object_) return;
  void* object = own();
  const fields::Field& status = *type_of(*info_).fields().find("status");
  status.ops->copy(*status.ops, status.member(object), status.member(other.object_.get()));
  if (!info_->ops) static_cast<WholeObject*>(object)->read_conditions();
}

void AnyObject::clear_status() {
  KN_ASSERT(info_ != nullptr);
  if (!info_->has_status) return;
  if (!info_->ops) {
    auto& whole = *static_cast<WholeObject*>(own());
    whole.status = Value();
    whole.read_conditions();
    return;
  }
  const std::shared_ptr<void> fresh(info_->ops->make(), info_->ops->destroy);
  take_status_from(AnyObject(*info_, fresh));
}

void AnyObject::set_warning(std::string_view message, Timestamp now) {
  const Conditions* found = conditions();
  if (!found) return;
  const Condition* old = find_condition(*found, warning_type);
  if (message.empty() ? old == nullptr : old != nullptr && old->message == message) return;
  void* object = own();
  Conditions& list = info_->ops ? const_cast<Conditions&>(*conditions())
                                : static_cast<WholeObject*>(object)->conditions;
  std::erase_if(list, [](const Condition& condition) { return condition.type == warning_type; });
  if (!message.empty()) {
    Condition warning;
    warning.type = std::string(warning_type);
    warning.status = "True";
    warning.severity = "Warning";
    warning.reason = "NoEffect";
    warning.message = std::string(message);
    warning.last_transition_time = now;
    const auto place = std::find_if(list.begin(), list.end(), [](const Condition& condition) {
      return condition.type > warning_type;
    });
    list.insert(place, std::move(warning));
  }
  if (!info_->ops) static_cast<WholeObject*>(object)->write_conditions();
}

bool AnyObject::equals(const AnyObject& other) const {
  if (info_ != other.info_) return false;
  if (object_ == other.object_) return true;
  const fields::Ops& type = type_of(*info_);
  return type.equal(type, object_.get(), other.object_.get());
}

FieldErrors with_marks(FieldErrors errors, const FieldErrors& marks) {
  FieldErrors out = errors;
  for (const FieldError& mark : marks) {
    const bool known = std::any_of(errors.begin(), errors.end(), [&](const FieldError& error) {
      return error.level <= mark.level && std::find(error.paths.begin(), error.paths.end(),
                                                    mark.paths.front()) != error.paths.end();
    });
    if (!known) out.add(mark);
  }
  return out;
}

}  // namespace knative
