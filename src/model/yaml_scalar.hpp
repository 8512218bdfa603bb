// What a plain (unquoted) YAML scalar means in Kubernetes.
#pragma once

#include <optional>
#include <string_view>

#include "knative/value.hpp"

namespace knative::manifest {

enum class ScalarKind : unsigned char { null, boolean, integer, real, not_finite, merge, text };

struct Scalar {
  ScalarKind kind = ScalarKind::text;
  Value value;  // The number, boolean or text; null for `null` and `not_finite`.
};

// By the rules of sigs.k8s.io/yaml. Whole doubles become integers, since the way there leads
// through JSON text, where they have no fraction.
Scalar resolve_plain(std::string_view text);

}  // namespace knative::manifest
