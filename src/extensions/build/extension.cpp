// Build as a part of a platform: the builder with its sources, and its reconciler.
#include <memory>
#include <set>
#include <utility>

#include "extensions/build/reconcilers.hpp"
#include "knative/extensions.hpp"
#include "knative/oci.hpp"
#include "knative/platform_options.hpp"
#include "platform/environment.hpp"

namespace knative {

namespace {

class BuildExtension final : public Extension {
 public:
  std::string_view name() const override { return "build"; }

  Result<void> install(Installer& into) override {
    const auto* images = into.find<std::shared_ptr<oci::ImageStore>>();
    if (images == nullptr) {
      return fail(Errc::failed_precondition, "needs an image store: install images_extension()");
    }
    auto* runtimes = into.find<ContainerRuntimes>();
    if (runtimes == nullptr) {
      return fail(Errc::failed_precondition,
                  "needs runtimes of containers: install containers_extension()");
    }
    Result<std::string> directory = into.directory("builds");
    if (!directory) return directory.error();
    // What a platform that was killed had under way.
    if (Result<void> swept = into.env().files.remove_all(*directory); !swept) return swept;
    make_builder(into, *images, *runtimes, std::move(*directory));
    if (Result<void> provided = into.provide(*builder_); !provided) return provided;
    return into.add_controller<build::Build>(
        "build", std::make_unique<control::BuildReconciler>(
                     control::Scope{into.context(), into.addresses()}, into.env().executor,
                     *builder_, into.options().on_output));
  }

 private:
  void make_builder(Installer& into, std::shared_ptr<oci::ImageStore> images,
                    ContainerRuntimes& runtimes, std::string directory) {
    Env& env = into.env();
    fetcher_ = source_fetcher(into.outbound(), env.timers, env.network, env.files, env.offload);
    BuilderOptions builder_options;
    builder_options.directory = std::move(directory);
    builder_options.find_template = [&client = into.client()](
                                        std::string_view kind, std::string_view namespace_,
                                        std::string_view name) -> Result<build::BuildTemplateSpec> {
      if (kind == build::ClusterBuildTemplate::kind) {
        auto found = client.get<build::ClusterBuildTemplate>("", name);
        if (!found) return found.error();
        return found->spec;
      }
      auto found = client.get<build::BuildTemplate>(namespace_, name);
      if (!found) return found.error();
      return found->spec;
    };
    builder_options.environment =
        [&client = into.client()](
            std::string_view namespace_,
            const core::Container& step) -> Result<std::vector<core::EnvVar>> {
      std::set<ObjectRef> looked_for;  // a build runs once: nobody waits for what was missing
      return control::literal_environment(client, namespace_, step, looked_for);
    };
    builder_ = std::make_unique<Builder>(env.timers, env.files, env.disk, *fetcher_, runtimes,
                                         std::move(images), std::move(builder_options));
  }

  std::unique_ptr<Fetcher> fetcher_;
  std::unique_ptr<Builder> builder_;
};

}  // namespace

std::unique_ptr<Extension> build_extension() { return std::make_unique<BuildExtension>(); }

}  // namespace knative
