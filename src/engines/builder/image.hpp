// Packs what a build left behind into an image. Blocking; for a worker thread.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "knative/builder.hpp"

namespace knative::builder {

struct PackRequest {
  std::string workspace;  // real folder that steps saw as /workspace
  build::ImageConfig image;
  std::set<std::string> excluded;  // relative to the workspace
  std::int64_t mtime_seconds = 0;
  std::int64_t created_seconds = 0;
  std::string revision;  // commit id, may be empty
  int compression_level = 1;
  // Owners, modes, attributes and links as the workspace has them, else normalised.
  bool preserve = false;
  // Whose files are the image's root's.
  std::uint32_t root_owner = 0;
  std::uint32_t root_group = 0;
};

struct PackedImage {
  oci::Manifest manifest;             // not stored yet
  std::vector<std::string> left_out;  // of the workspace, by name and why
};

// Whether an image that is put on `base` is put on nothing.
bool is_scratch(std::string_view base);

// Store layers and config.
Result<PackedImage> pack_image(Files& files, oci::ImageStore& store, const PackRequest& request);

// What `relative` below `root` is, when no part of it is a symbolic link; `invalid_argument`
// otherwise, `not_found` when absent.
Result<FileInfo> find_inside(Files& files, const std::string& root, const std::string& relative,
                             std::string_view what);

}  // namespace knative::builder
