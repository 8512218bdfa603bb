// errno as an Error.
#pragma once

#include <string>

#include "knative/error.hpp"

namespace knative::base {

/// The error for `number` (an errno value), with `what` (a path, an address) in front.
Error posix_error(int number, const std::string& what);

}  // namespace knative::base
