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
};

// Whether an image that is put on `base` is put on nothing.
bool is_scratch(std::string_view base);

// Store layers and config and return the manifest, which is not stored yet.
Result<oci::Manifest> pack_image(Files& files, oci::ImageStore& store, const PackRequest& request);

// What `relative` below `root` is, when no part of it is a symbolic link; `invalid_argument`
// otherwise, `not_found` when absent.
Result<FileInfo> find_inside(Files& files, const std::string& root, const std::string& relative,
                             std::string_view what);

}  // namespace knative::builder
