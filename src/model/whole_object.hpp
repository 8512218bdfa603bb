// Objects of kinds that were registered without a type: everything is kept, metadata apart.
#pragma once

#include <memory>

#include "knative/object.hpp"

namespace knative {

struct WholeObject {
  ObjectMeta metadata;
  Value content;  // A map of everything but apiVersion, kind, metadata and status.
  Value status;
  Conditions conditions;  // Of `status`, for readers; `has_conditions` when there is such a list.
  bool has_conditions = false;
  std::shared_ptr<const KindInfo> info;  // Keeps the kind for as long as the object.

  static void read(const Value& value, WholeObject& into, fields::Decoder& decoder);
  Value to_value() const;
  std::int64_t observed_generation() const noexcept;
  // Keep `conditions` and `status` the same.
  void read_conditions();
  void write_conditions();
};
const fields::Struct& describe(const WholeObject*);

// `errors` and those of `marks` that say something new.
FieldErrors with_marks(FieldErrors errors, const FieldErrors& marks);

}  // namespace knative
