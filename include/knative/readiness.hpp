/// \file
/// Whether an object is ready, as its conditions say.
#pragma once

#include <string>

#include "knative/object.hpp"

namespace knative {

/// Why an object is not ready, or that it is.
struct Readiness {
  bool ready = false;
  /// The controllers have given up for this generation (Ready is False).
  bool failed = false;
  std::string reason;
  std::string message;
};

/// Read the Ready (or Succeeded) condition of an object; an object without conditions is ready.
/// Conditions of an older generation do not count.
KNATIVE_EXPORT Readiness readiness(const AnyObject& object);

}  // namespace knative
