// What reader and writer of image archives have in common: the names in them.
#pragma once

#include <string>
#include <string_view>

#include "knative/oci_image.hpp"

namespace knative::oci::archive {

inline constexpr std::string_view index_file = "index.json";
inline constexpr std::string_view legacy_file = "manifest.json";
inline constexpr std::string_view layout_file = "oci-layout";
inline constexpr std::string_view layout_text = "{\"imageLayoutVersion\":\"1.0.0\"}";
inline constexpr std::string_view blobs_prefix = "blobs/";
inline constexpr std::string_view ref_name = "org.opencontainers.image.ref.name";
// The whole name, as containerd and Docker write it; theirs in `ref_name` is the tag alone.
inline constexpr std::string_view image_name = "io.containerd.image.name";

inline std::string blob_name(const Digest& digest) {
  return std::string(blobs_prefix) + std::string(digest.algorithm_name()) + "/" +
         std::string(digest.hex());
}

// "docker.io/library/busybox:latest" of "busybox:latest".
inline std::string full_name(const Reference& name) {
  if (!name.registry().empty()) return name.to_string();
  const bool official = name.repository.find('/') == std::string::npos;
  return (official ? "docker.io/library/" : "docker.io/") + name.to_string();
}

}  // namespace knative::oci::archive
