// AnyObject: one reference-counted object of a kind in the table, copied when it is changed.
#include <algorithm>

#include "model/codec.hpp"
#include "model/kind_ops.hpp"

namespace knative {
namespace {

// What the document says it is; reports what is missing or unknown.
const KindInfo* kind_of(const Value& value, FieldErrors& errors) {
  const auto text_of = [&](std::string_view key) -> std::string_view {
    const Value* member = value.find(key);
    if (!member || member->is_null()) {
      errors.add(missing_field({key}));
    } else if (!member->is_string()) {
      errors.add(
          field_error("expected a string, found " + std::string(member->type_name()), {key}));
    } else if (member->if_string()->empty()) {
      errors.add(missing_field({key}));
    } else {
      return *member->if_string();
    }
    return {};
  };
  const std::string_view api_version = text_of("apiVersion");
  const std::string_view kind = text_of("kind");
  if (api_version.empty() || kind.empty()) return nullptr;
  if (const KindInfo* info = find_kind(api_version, kind)) return info;

  // The nearest kind: the same name in another version, or a similar name in this version.
  std::vector<std::string_view> names;
  std::string similar;
  for (const KindInfo& row : all_kinds()) {
    if (row.kind == kind && similar.empty()) {
      similar = "kind " + std::string(kind) + " is in " + std::string(row.api_version);
    }
    if (row.api_version == api_version) names.push_back(row.kind);
  }
  if (const std::string_view name = codec::did_you_mean(kind, names); !name.empty()) {
    similar = "did you mean \"" + std::string(name) + "\"?";
  }
  errors.add(field_error(
      "no kind \"" + std::string(kind) + "\" in version \"" + std::string(api_version) + "\"",
      {"kind"}, similar));
  return nullptr;
}

}  // namespace

AnyObject::AnyObject(std::string_view api_version, std::string_view kind,
                     std::shared_ptr<void> object)
    : info_(find_kind(api_version, kind)), object_(std::move(object)) {
  KN_ASSERT(info_ != nullptr && "the type is a row of the table of kinds");
}

void* AnyObject::own() {
  if (object_.use_count() != 1) object_ = info_->ops->clone(object_.get());
  return object_.get();
}

void AnyObject::throw_kind(std::string_view wanted) const {
  throw Exception(fail(Errc::invalid_argument,
                       "expected a " + std::string(wanted) + ", found " +
                           (info_ ? std::string(info_->kind) : std::string("nothing"))));
}

std::optional<AnyObject> AnyObject::decode(const Value& value, Strictness strictness,
                                           FieldErrors& errors) {
  const std::size_t before = errors.size();
  if (!value.is_map()) {
    errors.add(field_error("expected a map, found " + std::string(value.type_name()), {}));
    return std::nullopt;
  }
  const KindInfo* info = kind_of(value, errors);
  if (!info) return std::nullopt;
  std::shared_ptr<void> object = info->ops->make();
  codec::Decoder decoder(strictness, errors);
  codec::decode_struct(info->ops->fields(), object.get(), value, decoder, codec::Path{});
  if (errors.size() != before) return std::nullopt;
  AnyObject out;
  out.info_ = info;
  out.object_ = std::move(object);
  return out;
}

Result<AnyObject> AnyObject::from_value(const Value& value, Strictness strictness) {
  FieldErrors errors;
  std::optional<AnyObject> object = decode(value, strictness, errors);
  if (!object) return fail(Errc::invalid_argument, errors.to_string());
  return *std::move(object);
}

Value AnyObject::to_value() const {
  KN_ASSERT(info_ != nullptr);
  Value out = codec::encode_struct(info_->ops->fields(), object_.get());
  out["apiVersion"] = Value(info_->api_version);
  out["kind"] = Value(info_->kind);
  return out;
}

const ObjectMeta& AnyObject::metadata() const {
  KN_ASSERT(info_ != nullptr);
  return info_->ops->metadata(object_.get());
}
ObjectMeta& AnyObject::metadata() {
  KN_ASSERT(info_ != nullptr);
  return info_->ops->metadata(own());
}

ObjectRef AnyObject::ref() const {
  const ObjectMeta& meta = std::as_const(*this).metadata();
  return {std::string(info_->api_version), std::string(info_->kind), meta.namespace_, meta.name};
}

const Conditions* AnyObject::conditions() const noexcept {
  return info_ ? info_->ops->conditions(object_.get()) : nullptr;
}
std::int64_t AnyObject::observed_generation() const noexcept {
  return info_ ? info_->ops->observed_generation(object_.get()) : 0;
}

void AnyObject::apply_defaults() {
  KN_ASSERT(info_ != nullptr);
  void* object = own();
  ObjectMeta& meta = info_->ops->metadata(object);
  if (info_->namespaced && meta.namespace_.empty()) meta.namespace_ = "default";
  info_->ops->apply_defaults(object);
}

FieldErrors AnyObject::validate() const {
  KN_ASSERT(info_ != nullptr);
  FieldErrors errors = validate_metadata(std::as_const(*this).metadata(), *info_);
  errors = std::move(errors).via_field("metadata");
  errors.add(info_->ops->validate(object_.get()));
  return errors;
}

FieldErrors AnyObject::validate_update(const AnyObject& old) const {
  KN_ASSERT(info_ != nullptr && info_ == old.info_);
  return info_->ops->validate_update(object_.get(), old.object_.get());
}

bool AnyObject::spec_equals(const AnyObject& other) const {
  return info_ == other.info_ &&
         (object_ == other.object_ || info_->ops->spec_equal(object_.get(), other.object_.get()));
}

void AnyObject::take_status_from(const AnyObject& other) {
  KN_ASSERT(info_ != nullptr && info_ == other.info_);
  if (!info_->has_status || object_ == other.object_) return;
  info_->ops->take_status(own(), other.object_.get());
}

void AnyObject::clear_status() {
  KN_ASSERT(info_ != nullptr);
  if (info_->has_status) info_->ops->clear_status(own());
}

bool AnyObject::equals(const AnyObject& other) const {
  return info_ == other.info_ &&
         (object_ == other.object_ || info_->ops->equal(object_.get(), other.object_.get()));
}

}  // namespace knative
