// Where the images of builds go besides the store.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "knative/oci.hpp"
#include "knative/registry_client.hpp"
#include "knative/task.hpp"

namespace knative {

/// Brings images to the registries that their names begin with. What it refers to must outlive it.
class Publishing {
 public:
  /// `registry` may be null: nothing leaves the store. `own_port` is that of the store as a
  /// registry of this machine; 0: none.
  Publishing(std::shared_ptr<oci::ImageStore> store, oci::RegistryClient* registry, Offload& disk,
             Logger& logger, std::function<std::uint16_t()> own_port)
      : store_(std::move(store)),
        registry_(registry),
        disk_(disk),
        logger_(logger),
        own_port_(std::move(own_port)) {}

  /// As `BuilderOptions::publish`. What the store's own registry would be sent is bound there.
  Task<Result<void>> publish(const oci::Reference& name, const oci::Descriptor& manifest,
                             const std::string& docker_config);

 private:
  std::shared_ptr<oci::ImageStore> store_;
  oci::RegistryClient* registry_;
  Offload& disk_;
  Logger& logger_;
  std::function<std::uint16_t()> own_port_;
};

}  // namespace knative
