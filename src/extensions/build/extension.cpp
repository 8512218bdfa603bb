// Build as a part of a platform: the builder with its sources and local steps, and its reconciler.
#include <memory>
#include <utility>

#include "extensions/build/reconcilers.hpp"
#include "knative/extensions.hpp"
#include "knative/oci.hpp"
#include "knative/platform_options.hpp"
#include "platform/lines.hpp"

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
    Result<std::string> directory = into.directory("builds");
    if (!directory) return directory.error();
    make_builder(into, *images, std::move(*directory));
    if (Result<void> provided = into.provide(*builder_); !provided) return provided;
    return into.add_controller<build::Build>(
        "build", std::make_unique<control::BuildReconciler>(
                     control::Scope{into.context(), into.addresses()}, into.env().executor,
                     *builder_, LineSplitter(into.options().on_output)));
  }

 private:
  void make_builder(Installer& into, std::shared_ptr<oci::ImageStore> images,
                    std::string directory) {
    Env& env = into.env();
    const PlatformOptions& options = into.options();
    fetcher_ = source_fetcher(env.executor, env.timers, env.network, env.files, env.offload);
    LocalStepOptions step_options;
    step_options.environment["PATH"] = options.path;
    step_runner_ = local_step_runner(
        env.processes, options.step_functions ? *options.step_functions : no_step_functions_,
        std::move(step_options));
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
    builder_ = std::make_unique<Builder>(env.timers, env.files, env.disk, *fetcher_, *step_runner_,
                                         std::move(images), std::move(builder_options));
  }

  StepFunctions no_step_functions_;
  std::unique_ptr<Fetcher> fetcher_;
  std::unique_ptr<StepRunner> step_runner_;
  std::unique_ptr<Builder> builder_;
};

}  // namespace

std::unique_ptr<Extension> build_extension() { return std::make_unique<BuildExtension>(); }

}  // namespace knative
