// What a Revision says of its containers, as a pool of instances wants it.
#pragma once

#include <string>
#include <string_view>

#include "knative/serving.hpp"
#include "knative/workload.hpp"

namespace knative {

/// Empty when it has none.
std::string label_of(const serving::Revision& revision, std::string_view key);

/// One container as far as its image is concerned: what to pull, for whom and how.
ContainerSpec image_spec(const serving::Revision& revision, const core::Container& container);

/// Every container of the Revision with its probes and hooks; nothing in it refers to other objects
/// any more, and images are those of its status. Fails with what `runtime` cannot do, naming the
/// field; what it does not enforce is added to `warnings`.
Result<InstanceSpec> instance_spec(const serving::Revision& revision,
                                   const ContainerRuntime& runtime, FieldErrors& warnings);

}  // namespace knative
