// The guest of the sandbox tests as an image of a platform's store.
#pragma once

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "knative/oci.hpp"
#include "support/paths.hpp"
#include "wire/oci_raw_tar.hpp"

namespace knative::testing_platform {

inline std::string bytes_of_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/// Alone in its root, as "local/guest:v1".
inline void store_guest_image(oci::ImageStore& images, std::vector<std::string> entrypoint) {
  const std::string guest = bytes_of_file(testing_paths::binary() + "/tests/sandbox_guest");
  const std::string layer =
      oci::testing_tar::raw_tar({{.name = "guest", .content = guest, .mode = 0755}});
  oci::ImageConfig config;
  config.platform = oci::host_platform();
  config.entrypoint = std::move(entrypoint);
  config.diff_ids.push_back(oci::Digest::of(layer));
  oci::Manifest manifest;
  manifest.layers.push_back(
      images.put_blob(layer, "application/vnd.oci.image.layer.v1.tar").value());
  manifest.config =
      images.put_blob(config.to_json(), "application/vnd.oci.image.config.v1+json").value();
  images.put_manifest(oci::Reference::parse("local/guest:v1").value(), manifest).value();
}

}  // namespace knative::testing_platform
