// The older and newer API versions of EventType, which is stored as v1.
#pragma once

#include <vector>

#include "knative/kinds.hpp"

namespace knative::eventing {

// v1beta1 and v1beta2 have the stored shape; v1beta3 lists attributes.
std::vector<KindVersion> event_type_versions();

}  // namespace knative::eventing
