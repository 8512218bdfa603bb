// What instances run on: one runtime for both kinds of workload, functions and processes, and the
// images of the store as directories for the processes.
#pragma once

#include <memory>
#include <string>

#include "knative/oci.hpp"
#include "knative/workload.hpp"

namespace knative {

/// Unpacks an image of the store once and tells its configuration.
class StoreImages final : public ImageProvider {
 public:
  explicit StoreImages(oci::UnpackCache& cache) : cache_(cache) {}
  Task<Result<ImageRoot>> provide(std::string image) override;

 private:
  oci::UnpackCache& cache_;
};

/// "fn:NAME" runs in this process, everything else beside it.
class AnyRuntime final : public WorkloadRuntime {
 public:
  AnyRuntime(WorkloadRuntime& functions, WorkloadRuntime& processes)
      : functions_(functions), processes_(processes) {}
  Task<Result<std::unique_ptr<Instance>>> start(const WorkloadSpec& spec) override {
    return spec.image.starts_with(function_image_prefix) ? functions_.start(spec)
                                                         : processes_.start(spec);
  }

 private:
  WorkloadRuntime& functions_;
  WorkloadRuntime& processes_;
};

}  // namespace knative
