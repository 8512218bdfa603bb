// Manifests and indexes as registries give them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "knative/oci_image.hpp"

namespace knative::oci {

inline constexpr std::string_view docker_manifest_type =
    "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr std::string_view docker_index_type =
    "application/vnd.docker.distribution.manifest.list.v2+json";
// What we take, the Accept field of manifests.
inline constexpr std::string_view accepted_manifests =
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.docker.distribution.manifest.v2+json";

bool is_index_type(std::string_view media_type) noexcept;
bool is_manifest_type(std::string_view media_type) noexcept;  // Of an image or artifact.
// Layers that may not be distributed; registries need not have them.
bool is_foreign_layer(const Descriptor& layer) noexcept;

// The media type of a document, by its own word, or else by `claimed` (Content-Type, a descriptor),
// or else by its members. Fails with `invalid_argument` when they disagree or it could be read as
// both kinds, with `unimplemented` for Docker's schema 1.
Result<std::string> document_type(std::string_view bytes, std::string_view claimed);

// The entry of an index that runs on `wanted`; null: none. Entries without a platform come last.
const Descriptor* choose_platform(const Index& index, const ImagePlatform& wanted) noexcept;
// "linux/arm64/v8"
std::string platform_text(const ImagePlatform& platform);

}  // namespace knative::oci
