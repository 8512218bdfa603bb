// What an image consists of, from its manifest or index down.
#pragma once

#include <functional>
#include <map>
#include <vector>

#include "knative/oci.hpp"

namespace knative::oci {

// Whether a descriptor names an index, OCI's or Docker's.
bool is_index(const Descriptor& descriptor);

// Of a layer that is not distributed with its image, but from somewhere else.
bool is_foreign(const Descriptor& layer);

// Gives the bytes of a document; nothing when they are not there.
using FindDocument = std::function<Result<std::optional<std::string>>(const Descriptor&)>;
// Takes a part, or says what is wrong with it.
using VisitPart = std::function<Result<void>(const Descriptor&)>;

// Visit everything that belongs to an image, parts before what names them. An index may miss some
// of its manifests, which are not visited; `not_found` when it misses all of them.
Result<void> visit_image(const Descriptor& root, const FindDocument& find, const VisitPart& visit);

}  // namespace knative::oci
