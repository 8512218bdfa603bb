#include "model/whole_object.hpp"

namespace knative {

const fields::Struct& describe(const WholeObject*) {
  // By these objects are compared; conditions are a view of the status.
  static const fields::Field list[] = {fields::acts("metadata", &WholeObject::metadata),
                                       fields::acts("content", &WholeObject::content),
                                       fields::reported("status", &WholeObject::status)};
  static const fields::Struct description{"WholeObject", list};
  return description;
}

void WholeObject::read(const Value& value, WholeObject& into, fields::Decoder& decoder) {
  into.content = Value(Value::Map{});
  const fields::Path root;
  for (const auto& [key, member] : value.as_map()) {
    if (key == "apiVersion" || key == "kind") continue;
    if (key == "metadata") {
      fields::from_value(into.metadata, member, decoder, root.field(key));
    } else if (key == "status") {
      into.status = member;
    } else {
      into.content[key] = member;
    }
  }
  into.read_conditions();
}

Value WholeObject::to_value() const {
  Value out = content;
  out["metadata"] = fields::to_value(metadata);
  if (!status.is_null()) out["status"] = status;
  return out;
}

std::int64_t WholeObject::observed_generation() const noexcept {
  const Value* observed = status.find("observedGeneration");
  const std::int64_t* number = observed ? observed->if_int() : nullptr;
  return number ? *number : 0;
}

void WholeObject::read_conditions() {
  conditions.clear();
  const Value* list = status.find("conditions");
  has_conditions = list != nullptr && list->is_list();
  if (!has_conditions) return;
  FieldErrors ignored;
  fields::Decoder decoder(Strictness::lenient, ignored);
  fields::from_value(conditions, *list, decoder, fields::Path{});
}

void WholeObject::write_conditions() { status["conditions"] = fields::to_value(conditions); }

}  // namespace knative
