// Images that tests put into a platform's store; the guest of the sandbox tests is one.
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

/// An image of one layer, by its name.
inline void store_image(oci::ImageStore& images, const std::string& name, const std::string& layer,
                        std::vector<std::string> entrypoint) {
  oci::ImageConfig config;
  config.platform = oci::host_platform();
  config.entrypoint = std::move(entrypoint);
  config.diff_ids.push_back(oci::Digest::of(layer));
  oci::Manifest manifest;
  manifest.layers.push_back(
      images.put_blob(layer, "application/vnd.oci.image.layer.v1.tar").value());
  manifest.config =
      images.put_blob(config.to_json(), "application/vnd.oci.image.config.v1+json").value();
  images.put_manifest(oci::Reference::parse(name).value(), manifest).value();
}

/// The guest alone in its root, as "local/guest:v1".
inline void store_guest_image(oci::ImageStore& images, std::vector<std::string> entrypoint) {
  const std::string guest = bytes_of_file(testing_paths::binary() + "/tests/sandbox_guest");
  const std::string layer =
      oci::testing_tar::raw_tar({{.name = "guest", .content = guest, .mode = 0755}});
  store_image(images, "local/guest:v1", layer, std::move(entrypoint));
}

}  // namespace knative::testing_platform
