#include "model/event_type_versions.hpp"

#include <algorithm>

#include "knative/eventing.hpp"
#include "model/eventing_codec.hpp"

namespace knative::eventing {
namespace {

// Holds what the stored version has no field for, so that the way there and back loses nothing.
constexpr std::string_view attributes_key = "eventing.knative.dev/attributes";
constexpr std::string_view schema_data_key = "eventing.knative.dev/schemaData";

struct Attribute {
  std::string name;
  bool required = false;
  std::string value;
};

struct SpecOfAttributes {
  std::optional<KReference> reference;
  std::string description;
  std::vector<Attribute> attributes;
};

struct EventTypeOfAttributes {
  ObjectMeta metadata;
  SpecOfAttributes spec;
  Value status;
};

using fields::acts;
using fields::Field;

const fields::Struct& describe(const Attribute*) {
  static const Field list[] = {acts("name", &Attribute::name, fields::always),
                               acts("required", &Attribute::required, fields::always),
                               acts("value", &Attribute::value)};
  static const fields::Struct description{"EventAttributeDefinition", list};
  return description;
}

const fields::Struct& describe(const SpecOfAttributes*) {
  static const Field list[] = {acts("reference", &SpecOfAttributes::reference),
                               acts("description", &SpecOfAttributes::description),
                               acts("attributes", &SpecOfAttributes::attributes)};
  static const fields::Struct description{"EventTypeSpec", list};
  return description;
}

const fields::Struct& describe(const EventTypeOfAttributes*) {
  static const Field list[] = {acts("metadata", &EventTypeOfAttributes::metadata),
                               acts("spec", &EventTypeOfAttributes::spec),
                               fields::reported("status", &EventTypeOfAttributes::status)};
  static const fields::Struct description{"EventType", list};
  return description;
}

template <class T>
Result<T> read(const Value* from) {
  T out;
  if (!from) return out;
  FieldErrors errors;
  fields::Decoder decoder(Strictness::lenient, errors);
  fields::from_value(out, *from, decoder, fields::Path{});
  if (errors.has_errors()) return fail(Errc::invalid_argument, errors.to_string());
  return out;
}

// The attributes that the stored fields amount to.
std::vector<Attribute> attributes_of(const EventTypeSpec& spec) {
  std::vector<Attribute> out;
  out.push_back({"type", true, spec.type});
  out.push_back({"source", true, spec.source});
  out.push_back({"specversion", true, ""});
  out.push_back({"id", true, ""});
  if (!spec.schema.empty()) out.push_back({"dataschema", false, spec.schema});
  return out;
}

// Whether `listed` says the same about what the stored version has fields for.
bool agrees(const EventTypeSpec& spec, const std::vector<Attribute>& listed) {
  const auto value = [&](std::string_view name) -> std::string_view {
    const auto found = std::find_if(listed.begin(), listed.end(),
                                    [&](const Attribute& one) { return one.name == name; });
    return found == listed.end() ? std::string_view() : std::string_view(found->value);
  };
  return value("type") == spec.type && value("source") == spec.source &&
         value("dataschema") == spec.schema;
}

Result<Value> from_attributes(Value object) {
  const Value* from = object.find("spec");
  Result<SpecOfAttributes> spec = read<SpecOfAttributes>(from);
  if (!spec) return spec.error().within("spec");
  EventTypeSpec stored;
  stored.reference = spec->reference;
  stored.description = spec->description;
  for (const Attribute& attribute : spec->attributes) {
    if (attribute.name == "type") stored.type = attribute.value;
    if (attribute.name == "source") stored.source = attribute.value;
    if (attribute.name == "dataschema") stored.schema = attribute.value;
  }
  const Value listed = fields::to_value(spec->attributes);
  Value& metadata = object["metadata"];
  if (Value* annotations = metadata.find("annotations")) {
    if (const Value* data = annotations->find(schema_data_key); data && data->is_string()) {
      stored.schema_data = *data->if_string();
      annotations->if_map()->erase(std::string(schema_data_key));
      if (annotations->empty()) metadata.if_map()->erase("annotations");
    }
  }
  if (listed != fields::to_value(attributes_of(stored))) {
    metadata["annotations"][attributes_key] = Value(listed.to_json());
  }
  object["spec"] = fields::to_value(stored);
  return object;
}

Result<Value> to_attributes(Value object) {
  const Value* from = object.find("spec");
  Result<EventTypeSpec> stored = read<EventTypeSpec>(from);
  if (!stored) return stored.error().within("spec");
  SpecOfAttributes spec;
  spec.reference = stored->reference;
  spec.description = stored->description;
  spec.attributes = attributes_of(*stored);
  if (!spec.reference && !stored->broker.empty()) {
    spec.reference.emplace();
    spec.reference->api_version = std::string(Broker::api_version);
    spec.reference->kind = std::string(Broker::kind);
    spec.reference->name = stored->broker;
  }
  Value& metadata = object["metadata"];
  if (Value* annotations = metadata.find("annotations")) {
    if (const Value* kept = annotations->find(attributes_key); kept && kept->is_string()) {
      const Result<Value> parsed = Value::parse_json(*kept->if_string());
      if (parsed) {
        Result<std::vector<Attribute>> listed = read<std::vector<Attribute>>(&*parsed);
        if (listed && agrees(*stored, *listed)) spec.attributes = std::move(*listed);
      }
      annotations->if_map()->erase(std::string(attributes_key));
      if (annotations->empty()) metadata.if_map()->erase("annotations");
    }
  }
  if (!stored->schema_data.empty()) {
    metadata["annotations"][schema_data_key] = Value(stored->schema_data);
  }
  object["spec"] = fields::to_value(spec);
  return object;
}

Result<Value> same(Value object) { return object; }

}  // namespace

std::vector<KindVersion> event_type_versions() {
  std::vector<KindVersion> out;
  out.push_back({"eventing.knative.dev/v1beta1", &same, &same});
  out.push_back({"eventing.knative.dev/v1beta2", &same, &same});
  out.push_back({"eventing.knative.dev/v1beta3", &from_attributes, &to_attributes,
                 &check_fields<EventTypeOfAttributes>});
  return out;
}

}  // namespace knative::eventing
