// An image on its way into a folder, a layer at a time.
#pragma once

#include <string>

#include "knative/oci.hpp"

namespace knative::oci {

class Unpacking {
 public:
  /// Makes the folder, which must be empty when it is there. `store` and `files` must outlive it.
  static Result<Unpacking> begin(ImageStore& store, Files& files, const Reference& name,
                                 Manifest manifest, ImageConfig config, std::string directory,
                                 const UnpackOptions& options);
  bool done() const noexcept { return next_ == manifest_.layers.size(); }
  /// The next layer, all of it checked. On failure what was written is removed and the error names
  /// image and layer.
  Result<void> next();
  ImageConfig take_config() { return std::move(config_); }
  UnpackLosses take_losses() { return std::move(losses_); }

 private:
  Unpacking(ImageStore& store, Files& files, std::string title, Manifest manifest,
            ImageConfig config, std::string directory, const UnpackOptions& options);

  ImageStore* store_;
  Files* files_;
  std::string title_;
  Manifest manifest_;
  ImageConfig config_;
  std::string directory_;
  UnpackOptions left_;  // of the bounds
  UnpackLosses losses_;
  std::size_t next_ = 0;
};

}  // namespace knative::oci
