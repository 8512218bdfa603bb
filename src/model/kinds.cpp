// The registry of kinds. To add a kind: a struct, its fields and its row in a codec file, and a
// line here; see docs/adding-a-kind.md. A host adds its own at run time.
#include "knative/kinds.hpp"

#include <algorithm>

#include "knative/build.hpp"
#include "knative/core.hpp"
#include "knative/eventing.hpp"
#include "knative/serving.hpp"
#include "model/event_type_versions.hpp"
#include "model/whole_object.hpp"

namespace knative {
namespace {

// An untyped kind with the texts that its row refers to.
struct OwnedKind {
  UntypedKind texts;
  KindInfo info;
};

std::string_view group_of(std::string_view api_version) noexcept {
  const std::size_t slash = api_version.find('/');
  return slash == std::string_view::npos ? std::string_view{} : api_version.substr(0, slash);
}

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) {
    if (!out.empty()) out += ", ";
    out += word;
  }
  return out;
}

// apiVersion or kind of a document; reports what is missing.
std::string_view text_member(const Value& value, std::string_view key, FieldErrors& errors) {
  const Value* member = value.find(key);
  if (!member || member->is_null()) {
    errors.add(missing_field({key}));
  } else if (!member->is_string()) {
    errors.add(field_error("expected a string, found " + std::string(member->type_name()), {key}));
  } else if (member->if_string()->empty()) {
    errors.add(missing_field({key}));
  } else {
    return *member->if_string();
  }
  return {};
}

}  // namespace

// ---------------------------------------------------------------------------- filling

Result<void> KindRegistry::add(const KindInfo& info) {
  for (const KindInfo* other : all_) {
    if (other->kind == info.kind && other->group() == info.group()) {
      return fail(Errc::already_exists, "kind " + std::string(info.kind) + " is registered in " +
                                            std::string(other->api_version));
    }
  }
  if (info.ops) {
    const std::vector<std::string> forgotten = fields::undescribed(*info.ops->type);
    if (!forgotten.empty()) {
      return fail(Errc::invalid_argument, "members that no field describes: " + joined(forgotten));
    }
  }
  entries_.push_back({&info, nullptr, {}});
  all_.push_back(&info);
  return {};
}

Result<void> KindRegistry::add(UntypedKind kind) {
  auto owned = std::make_shared<OwnedKind>();
  owned->texts = std::move(kind);
  const UntypedKind& texts = owned->texts;
  owned->info = {texts.api_version, texts.kind,       texts.plural,   texts.short_names,
                 texts.namespaced,  texts.has_status, texts.name_rule};
  if (texts.api_version.empty() || texts.kind.empty() || texts.plural.empty()) {
    return fail(Errc::invalid_argument, "a kind has apiVersion, kind and plural");
  }
  const std::shared_ptr<const KindInfo> info(owned, &owned->info);
  Result<void> added = add(*info);
  if (added) entries_.back().owned = info;
  return added;
}

Result<void> KindRegistry::add_version(std::string_view kind, KindVersion version) {
  const std::string_view group = group_of(version.api_version);
  for (Entry& entry : entries_) {
    if (entry.info->kind != kind || entry.info->group() != group) continue;
    if (find_entry(version.api_version, kind)) {
      return fail(Errc::already_exists,
                  "kind " + std::string(kind) + " is registered in " + version.api_version);
    }
    entry.versions.push_back(std::move(version));
    return {};
  }
  return fail(Errc::not_found, "no kind " + std::string(kind) + " in group " + std::string(group));
}

// ---------------------------------------------------------------------------- finding

const KindRegistry::Entry* KindRegistry::find_entry(std::string_view api_version,
                                                    std::string_view kind) const noexcept {
  for (const Entry& entry : entries_) {
    if (entry.info->kind != kind) continue;
    if (entry.info->api_version == api_version) return &entry;
    for (const KindVersion& version : entry.versions) {
      if (version.api_version == api_version) return &entry;
    }
  }
  return nullptr;
}

const KindInfo* KindRegistry::find(std::string_view api_version,
                                   std::string_view kind) const noexcept {
  const Entry* entry = find_entry(api_version, kind);
  return entry ? entry->info : nullptr;
}

const KindInfo* KindRegistry::find_by_plural(std::string_view group, std::string_view version,
                                             std::string_view plural) const noexcept {
  for (const KindInfo* info : all_) {
    if (info->plural != plural || info->group() != group) continue;
    if (info->version() == version) return info;
    std::string api_version(group);
    if (!group.empty()) api_version += '/';
    api_version += version;
    return find(api_version, info->kind);
  }
  return nullptr;
}

std::vector<std::string> KindRegistry::versions(const KindInfo& kind) const {
  std::vector<std::string> out;
  if (const Entry* entry = find_entry(kind.api_version, kind.kind)) {
    out.emplace_back(entry->info->api_version);
    for (const KindVersion& version : entry->versions) out.push_back(version.api_version);
  }
  return out;
}

// What is near an unknown kind: the same name in other versions or groups, or a similar name.
std::string KindRegistry::explain_unknown(std::string_view api_version,
                                          std::string_view kind) const {
  std::vector<std::string_view> names;
  std::string elsewhere;
  for (const KindInfo* info : all_) {
    if (info->kind == kind) {
      if (info->group() == group_of(api_version)) {
        return "group " + std::string(info->group()) + " has kind " + std::string(kind) + " in " +
               joined(versions(*info));
      }
      if (!elsewhere.empty()) elsewhere += ", ";
      elsewhere += joined(versions(*info));
    }
    if (info->api_version == api_version) names.push_back(info->kind);
  }
  if (const std::string_view name = fields::did_you_mean(kind, names); !name.empty()) {
    return "did you mean \"" + std::string(name) + "\"?";
  }
  if (elsewhere.empty()) return {};
  return "kind " + std::string(kind) + " is in " + elsewhere;
}

const KindInfo* KindRegistry::read_kind(const Value& value, FieldErrors& errors) const {
  const std::string_view api_version = text_member(value, "apiVersion", errors);
  const std::string_view kind = text_member(value, "kind", errors);
  if (api_version.empty() || kind.empty()) return nullptr;
  const KindInfo* info = find(api_version, kind);
  if (!info) {
    errors.add(field_error(
        "no kind \"" + std::string(kind) + "\" in version \"" + std::string(api_version) + "\"",
        {"kind"}, explain_unknown(api_version, kind)));
  }
  return info;
}

// ---------------------------------------------------------------------------- reading, writing

std::optional<AnyObject> KindRegistry::decode(const Value& value, Strictness strictness,
                                              FieldErrors& errors) const {
  const std::size_t before = errors.size();
  if (!value.is_map()) {
    errors.add(field_error("expected a map, found " + std::string(value.type_name()), {}));
    return std::nullopt;
  }
  const KindInfo* info = read_kind(value, errors);
  if (!info) return std::nullopt;
  const std::string& api_version = *value.find("apiVersion")->if_string();
  if (api_version != info->api_version) {
    Result<Value> stored = to_storage(*info, value, strictness, errors);
    if (errors.size() != before) return std::nullopt;
    if (!stored) {
      errors.add(field_error(stored.error().detail, {}));
      return std::nullopt;
    }
    (*stored)["apiVersion"] = Value(info->api_version);
    return decode(*stored, strictness, errors);
  }
  fields::Decoder decoder(strictness, errors);
  if (!info->ops) {
    auto whole = std::make_shared<WholeObject>();
    WholeObject::read(value, *whole, decoder);
    if (errors.size() != before) return std::nullopt;
    whole->info = find_entry(info->api_version, info->kind)->owned;
    return AnyObject(*info, std::move(whole));
  }
  std::shared_ptr<void> object(info->ops->make(), info->ops->destroy);
  const fields::Ops& type = *info->ops->type;
  type.decode(type, object.get(), value, decoder, fields::Path{});
  if (errors.size() != before) return std::nullopt;
  return AnyObject(*info, std::move(object));
}

Result<Value> KindRegistry::to_storage(const KindInfo& info, const Value& value,
                                       Strictness strictness, FieldErrors& errors) const {
  const std::string& api_version = *value.find("apiVersion")->if_string();
  for (const KindVersion& version : find_entry(info.api_version, info.kind)->versions) {
    if (version.api_version != api_version) continue;
    if (version.check && strictness == Strictness::strict) version.check(value, errors);
    return version.to_storage(value);
  }
  return fail(Errc::internal, "no such version: " + api_version);
}

Result<AnyObject> KindRegistry::from_value(const Value& value, Strictness strictness) const {
  FieldErrors errors;
  std::optional<AnyObject> object = decode(value, strictness, errors);
  if (!object) return fail(Errc::invalid_argument, errors.to_string());
  return *std::move(object);
}

Result<Value> KindRegistry::to_value(const AnyObject& object, std::string_view api_version) const {
  Value value = object.to_value();
  if (object.api_version() == api_version) return value;
  if (const Entry* entry = find_entry(object.api_version(), object.kind())) {
    for (const KindVersion& version : entry->versions) {
      if (version.api_version != api_version) continue;
      Result<Value> converted = version.from_storage(std::move(value));
      if (converted) (*converted)["apiVersion"] = Value(api_version);
      return converted;
    }
  }
  return fail(Errc::unimplemented, "kind " + std::string(object.kind()) + " is not served in " +
                                       std::string(api_version));
}

// ---------------------------------------------------------------------------- what there is

Value json_schema(const KindInfo& kind) {
  Value out = kind.ops
                  ? fields::json_schema(*kind.ops->type)
                  : Value({{"type", "object"}, {"x-kubernetes-preserve-unknown-fields", true}});
  Value& properties = out["properties"];
  properties["apiVersion"] = Value({{"type", "string"}});
  properties["kind"] = Value({{"type", "string"}});
  Value of = {{"group", kind.group()}, {"kind", kind.kind}, {"version", kind.version()}};
  out["x-kubernetes-group-version-kind"] = Value(Value::List{std::move(of)});
  return out;
}

KindRegistry built_in_kinds() {
  KindRegistry kinds;
  Result<void> added;
  const auto add = [&](Result<void> next) {
    if (added) added = std::move(next);
  };
  add(kinds.add<core::Namespace>());
  add(kinds.add<core::Secret>());
  add(kinds.add<core::ConfigMap>());
  add(kinds.add<core::ServiceAccount>());
  add(kinds.add<core::Service>());
  add(kinds.add<build::Build>());
  add(kinds.add<build::BuildTemplate>());
  add(kinds.add<build::ClusterBuildTemplate>());
  add(kinds.add<serving::Service>());
  add(kinds.add<serving::Configuration>());
  add(kinds.add<serving::Revision>());
  add(kinds.add<serving::Route>());
  add(kinds.add<serving::PodAutoscaler>());
  add(kinds.add<eventing::Broker>());
  add(kinds.add<eventing::Trigger>());
  add(kinds.add<eventing::EventType>());
  add(kinds.add<eventing::Channel>());
  add(kinds.add<eventing::Subscription>());
  for (KindVersion& version : eventing::event_type_versions()) {
    add(kinds.add_version(eventing::EventType::kind, std::move(version)));
  }
  added.value();
  return kinds;
}

const KindRegistry& default_kinds() {
  static const KindRegistry kinds = built_in_kinds();
  return kinds;
}

}  // namespace knative
