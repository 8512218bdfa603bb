// What an image consists of, from its manifest or index down.
#pragma once

#include <cstdint>
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

// The documents of a store.
FindDocument documents_of(ImageStore& store);

// Visit everything that belongs to an image, parts before what names them. An index may miss some
// of its manifests, which are not visited; `not_found` when it misses all of them.
Result<void> visit_image(const Descriptor& root, const FindDocument& find, const VisitPart& visit);

// Whether a layer in the store unpacks to what a config promises. `bytes_left` of all layers is
// what they may unpack to, and gets less.
Result<void> check_layer(ImageStore& store, const Descriptor& layer, const Digest& diff_id,
                         std::uint64_t& bytes_left);
// The same for all layers of an image that are in the store and have a form that is known.
Result<void> check_layers(ImageStore& store, const Descriptor& root, const FindDocument& find,
                          std::uint64_t& bytes_left);

}  // namespace knative::oci
