// Images that are brought here, as a part of a platform offers it to the others.
#pragma once

#include "knative/container.hpp"
#include "knative/error.hpp"
#include "knative/oci.hpp"
#include "knative/task.hpp"

namespace knative {

/// An image that is whole in the store.
struct FetchedImage {
  oci::Reference name;  ///< There.
  oci::Pin pin;         ///< Keeps it.
};

/// Brings images into the store. Belongs to its loop.
class ImageFetching {
 public:
  virtual ~ImageFetching() = default;
  /// The image that `spec` names, pulled if need be, with what it and its namespace may show to
  /// registries. The detail of a pull's failure begins with "ErrImagePull: " or
  /// "ErrImageNeverPull: ". `spec` must stay until the task is done.
  virtual Task<Result<FetchedImage>> fetch(const ContainerSpec& spec) = 0;
  virtual Task<Result<FetchedImage>> fetch(ContainerSpec&&) = delete;
};

}  // namespace knative
