// The platform's images as a registry, at its door.
#include <algorithm>
#include <utility>

#include "knative/extensions.hpp"
#include "knative/oci.hpp"
#include "knative/platform_options.hpp"
#include "knative/registry_server.hpp"

namespace knative {

namespace {

class RegistryExtension final : public Extension {
 public:
  std::string_view name() const override { return "registry"; }

  Result<void> install(Installer& into) override {
    const PlatformOptions& platform = into.options();
    if (!platform.registry) return {};
    const auto* images = into.find<std::shared_ptr<oci::ImageStore>>();
    if (images == nullptr) {
      return fail(Errc::failed_precondition, "needs an image store: install images_extension()");
    }
    registry::ServerOptions options = *platform.registry;
    const bool beyond = platform.listen && !platform.listen->is_loopback();
    // Strangers write nothing unless they say who they are.
    if (beyond) options.anonymous = std::min(options.anonymous, registry::Access::read);
    const std::uint64_t bytes_max = options.blob_bytes_max;
    auto server = std::make_shared<registry::Server>(into.env(), *images, std::move(options));
    return into.door().set_path("/v2", std::move(server), bytes_max);
  }
};

}  // namespace

std::unique_ptr<Extension> registry_extension() { return std::make_unique<RegistryExtension>(); }

}  // namespace knative
