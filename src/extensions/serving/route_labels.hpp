// A Revision says which Routes use it, and so whether it is in use, as readers of Knative expect.
#pragma once

#include <set>
#include <string>

#include "knative/serving.hpp"

namespace knative::control {

/// Names of the Routes that the Revision says it is used by.
std::set<std::string> routes_of(const serving::Revision& revision);

/// Say that the Route uses it, or does not any more. False when that was said already.
bool label_route(serving::Revision& revision, const std::string& route, bool used, Timestamp now);

}  // namespace knative::control
