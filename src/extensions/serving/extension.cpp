// Serving as a part of a platform: the data plane and its reconcilers.
#include <memory>
#include <utility>

#include "extensions/serving/data_plane.hpp"
#include "extensions/serving/reconcilers.hpp"
#include "knative/access.hpp"
#include "knative/container.hpp"
#include "knative/extensions.hpp"
#include "knative/platform_options.hpp"
#include "platform/admission.hpp"

namespace knative {

namespace {

class ServingExtension final : public Extension, private ScaleAccess {
 public:
  std::string_view name() const override { return "serving"; }

  Result<void> install(Installer& into) override {
    auto* runtimes = into.find<ContainerRuntimes>();
    if (runtimes == nullptr) {
      return fail(Errc::failed_precondition,
                  "needs runtimes of containers: install containers_extension()");
    }
    Result<std::string> instances = into.directory("instances");
    if (!instances) return instances.error();
    Result<std::string> claims = into.directory("claims");
    if (!claims) return claims.error();
    // Those of a platform that was killed.
    if (Result<void> swept = into.env().files.remove_all(*instances); !swept) return swept;
    instances = into.directory("instances");
    if (!instances) return instances.error();
    volumes_.emplace(into.env(), into.client(), std::move(*instances), std::move(*claims),
                     into.options().host_path_volumes);
    data_plane_ = std::make_unique<DataPlane>(
        into.env(), *runtimes, into.metrics(), into.options().autoscaler,
        [&controllers = into.controllers()](const std::string& key) {
          controllers.enqueue("revision", key);
        },
        into.options().on_output, *volumes_);
    data_plane_->set_frozen_max(into.options().frozen_instances_max);
    into.on_config_map(std::string(autoscaler_config_namespace),
                       std::string(autoscaler_config_name), [this](const auto&) -> Result<void> {
                         data_plane_->reconfigure();
                         return {};
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
      auto revisions =
          std::make_unique<RevisionReconciler>(scope, *data_plane_, into.find<ImageHolds>());
      done = revisions->keep_images();
      if (done) done = into.add_controller<serving::Revision>("revision", std::move(revisions));
    }
    if (done) {
      done = into.add_controller<serving::Route>(
          "route", std::make_unique<RouteReconciler>(scope, *data_plane_, into.door()));
    }
    return done;
  }

  Task<void> stop(Duration grace) override { return data_plane_->stop(grace); }

 private:
  int ready_instances(std::string_view route_key) const override {
    return data_plane_->ready(std::string(route_key));
  }

  std::optional<InstanceVolumes> volumes_;
  std::unique_ptr<DataPlane> data_plane_;
};

}  // namespace

std::unique_ptr<Extension> serving_extension() { return std::make_unique<ServingExtension>(); }

}  // namespace knative
