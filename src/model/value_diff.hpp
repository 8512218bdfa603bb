// What changed between two values, as text for "Immutable fields changed (-old +new)".
#pragma once

#include <string>
#include <string_view>

#include "knative/fwd.hpp"

namespace knative {

// One entry per differing leaf: "{spec.image}:\n\t-: \"a\"\n\t+: \"b\"\n". Empty when equal.
std::string value_diff(const Value& old, const Value& changed, std::string_view root);

}  // namespace knative
