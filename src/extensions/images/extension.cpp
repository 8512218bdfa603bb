// The image store of a platform, a layout in the data directory or memory, and the registries
// behind it.
#include "knative/extensions.hpp"
#include "knative/oci.hpp"
#include "knative/platform_options.hpp"
#include "knative/registry_client.hpp"

namespace knative {

namespace {

class ImagesExtension final : public Extension {
 public:
  std::string_view name() const override { return "images"; }

  Result<void> install(Installer& into) override {
    const oci::ImageStoreLimits limits{.bytes_max = into.options().image_bytes_max};
    if (into.durable()) {
      oci::ImageLayoutOptions options;
      options.limits = limits;
      Result<std::string> directory = into.directory("images");
      if (!directory) return directory.error();
      Result<std::shared_ptr<oci::ImageStore>> layout =
          oci::open_image_layout(into.env().files, *directory, options);
      if (!layout) return layout.error();
      images_ = std::move(*layout);
    } else {
      images_ = oci::memory_image_store(limits);
    }
    Result<void> provided = into.provide(images_);
    if (!provided || !into.options().pull_images) return provided;
    oci::RegistryClientOptions options;
    if (into.options().registries) options = *into.options().registries;
    Env& env = into.env();
    if (options.processes == nullptr) options.processes = &env.processes;
    random_.emplace(env.random.split("images.registries"));
    registries_.emplace(into.outbound(), env.timers, *random_, env.disk, std::move(options));
    return into.provide(*registries_);
  }

 private:
  std::shared_ptr<oci::ImageStore> images_;
  std::optional<Random> random_;
  std::optional<oci::RegistryClient> registries_;
};

}  // namespace

std::unique_ptr<Extension> images_extension() { return std::make_unique<ImagesExtension>(); }

}  // namespace knative
