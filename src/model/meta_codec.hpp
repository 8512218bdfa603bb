// Descriptions of the structs in meta.hpp.
#pragma once

#include "model/codec.hpp"

namespace knative {
const codec::Struct& describe(const OwnerReference*);
const codec::Struct& describe(const ObjectMeta*);
const codec::Struct& describe(const ObjectRef*);
const codec::Struct& describe(const Condition*);
}  // namespace knative
