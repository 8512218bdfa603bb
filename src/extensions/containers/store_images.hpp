// The images of the store as directories for processes.
#pragma once

#include <memory>
#include <string>

#include "extensions/containers/image_source.hpp"
#include "knative/container_runtimes.hpp"
#include "knative/oci.hpp"

namespace knative {

/// Unpacks an image once and tells its configuration. Every container gets a clone of
/// that, or an upper folder to lay over it; either is removed in the background when its container
/// is gone.
class StoreImages final : public ImageProvider {
 public:
  /// Clones lie below `directory`, which is this object's alone. The rest must outlive it.
  StoreImages(ImageSource& source, oci::UnpackCache& cache, Env& env, std::string directory);
  /// Removes every clone; their containers must be gone.
  ~StoreImages() override;
  Task<Result<ImageRoot>> provide(const ContainerSpec& spec) override;
  Task<Result<ImageRoot>> provide_shared(const ContainerSpec& spec) override;
  Task<Result<std::string>> pin(const ContainerSpec& spec) override;

 private:
  struct Clones;
  struct Waiting;
  Task<Result<ImageRoot>> provide_with(const ContainerSpec& spec, bool shared);
  ImageSource& source_;
  oci::UnpackCache& cache_;
  Env& env_;
  std::shared_ptr<Clones> clones_;
};

}  // namespace knative
