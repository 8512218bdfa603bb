// Serving as a part of a platform: what instances run on, the data plane, and its reconcilers.
#include <memory>
#include <utility>

#include "extensions/serving/data_plane.hpp"
#include "extensions/serving/reconcilers.hpp"
#include "extensions/serving/workloads.hpp"
#include "knative/access.hpp"
#include "knative/extensions.hpp"
#include "knative/oci.hpp"
#include "knative/platform_options.hpp"
#include "platform/lines.hpp"

namespace knative {

namespace {

// Says that there are no images, for a platform without a store of them.
class NoImages final : public ImageProvider {
 public:
  Task<Result<ImageRoot>> provide(std::string image) override {
    co_return fail(Errc::failed_precondition,
                   "image " + image + " cannot run: no image store is installed");
  }
};

class ServingExtension final : public Extension, private ScaleAccess {
 public:
  explicit ServingExtension(FunctionTable& functions) : functions_(functions) {}
  std::string_view name() const override { return "serving"; }

  Result<void> install(Installer& into) override {
    if (Result<void> made = make_runtimes(into); !made) return made;
    data_plane_ = std::make_unique<DataPlane>(
        into.env(), *runtime_, into.metrics(), into.options().autoscaler,
        [&controllers = into.controllers()](const std::string& key) {
          controllers.enqueue("revision", key);
        });
    const control::Scope scope{into.context(), into.addresses()};
    using namespace control;
    Result<void> done = into.provide<ScaleAccess>(*this);
    if (done) {
      done = into.add_controller<serving::Service>("service",
                                                   std::make_unique<ServiceReconciler>(scope));
    }
    if (done) {
      done = into.add_controller<serving::Configuration>(
          "configuration", std::make_unique<ConfigurationReconciler>(scope));
    }
    if (done) {
      done = into.add_controller<serving::Revision>(
          "revision", std::make_unique<RevisionReconciler>(scope, *data_plane_));
    }
    if (done) {
      done = into.add_controller<serving::Route>(
          "route", std::make_unique<RouteReconciler>(scope, *data_plane_, into.door()));
    }
    return done;
  }

  Task<void> stop(Duration grace) override { return data_plane_->stop(grace); }

 private:
  Result<void> make_runtimes(Installer& into) {
    Env& env = into.env();
    const auto* images = into.find<std::shared_ptr<oci::ImageStore>>();
    if (images != nullptr) {
      Result<std::string> directory = into.directory("unpacked");
      if (!directory) return directory.error();
      // Unpacked roots are not synced: after a power failure they may be there by name only.
      if (Result<void> swept = env.files.remove_all(*directory); !swept) return swept;
      unpacked_ = std::make_unique<oci::UnpackCache>(*images, env.files, env.disk, *directory);
      image_provider_ = std::make_unique<StoreImages>(*unpacked_);
    } else {
      image_provider_ = std::make_unique<NoImages>();
    }
    function_runtime_ = std::make_unique<FunctionRuntime>(functions_, env.offload, env.logger);
    ProcessRuntimeOptions process_options;
    process_options.base_environment["PATH"] = into.options().path;
    process_options.on_log = [output = LineSplitter(into.options().on_output)](
                                 const WorkloadSpec& spec, std::string_view,
                                 std::string_view line) { output(spec.name, line); };
    process_runtime_ =
        std::make_unique<ProcessRuntime>(env, *image_provider_, std::move(process_options));
    runtime_ = std::make_unique<AnyRuntime>(*function_runtime_, *process_runtime_);
    return {};
  }

  int ready_instances(std::string_view route_key) const override {
    return data_plane_->ready(std::string(route_key));
  }

  FunctionTable& functions_;
  std::unique_ptr<oci::UnpackCache> unpacked_;
  std::unique_ptr<ImageProvider> image_provider_;
  std::unique_ptr<FunctionRuntime> function_runtime_;
  std::unique_ptr<ProcessRuntime> process_runtime_;
  std::unique_ptr<AnyRuntime> runtime_;
  std::unique_ptr<DataPlane> data_plane_;
};

}  // namespace

std::unique_ptr<Extension> serving_extension(FunctionTable& functions) {
  return std::make_unique<ServingExtension>(functions);
}

}  // namespace knative
