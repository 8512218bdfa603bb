// Build as a part of a platform: the builder with its sources, and its reconciler.
#include <algorithm>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "extensions/build/publishing.hpp"
#include "extensions/build/reconcilers.hpp"
#include "knative/extensions.hpp"
#include "knative/oci.hpp"
#include "knative/platform_options.hpp"
#include "platform/environment.hpp"
#include "platform/image_fetching.hpp"
#include "platform/own_registry.hpp"
#include "platform/volumes.hpp"

namespace knative {

namespace {

constexpr std::size_t pod_suffix_characters = 6;
constexpr std::string_view default_account = "default";

// The pod that a cluster would make of a build.
control::PodFacts pod_of(const build::Build& build) {
  control::PodFacts pod;
  pod.metadata = build.metadata;
  const std::string& uid = build.metadata.uid;
  pod.metadata.name += "-pod-" + uid.substr(0, std::min(uid.size(), pod_suffix_characters));
  pod.metadata.labels["build.knative.dev/buildName"] = build.metadata.name;
  pod.metadata.annotations["sidecar.istio.io/inject"] = "false";
  pod.service_account = build.spec.service_account_name;
  return pod;
}

// In the words of a cluster's API.
Error not_found(std::string_view kinds, std::string_view name) {
  return fail(Errc::not_found, std::string(kinds) + " \"" + std::string(name) + "\" not found");
}

// An account that nobody made is the default one, which every namespace of a cluster has.
Result<std::vector<core::Secret>> secrets_of(const Client& client, const build::Build& build) {
  const std::string& space = build.metadata.namespace_;
  const std::string& name = build.spec.service_account_name;
  const Result<core::ServiceAccount> account = client.get<core::ServiceAccount>(space, name);
  if (!account && account.error().code != Errc::not_found) return account.error();
  if (!account && name == default_account) return std::vector<core::Secret>();
  if (!account) return not_found("serviceaccounts", name);
  std::vector<core::Secret> secrets;
  for (const core::SecretReference& reference : account->secrets) {
    Result<core::Secret> secret = client.get<core::Secret>(space, reference.name);
    if (!secret && secret.error().code == Errc::not_found) {
      return not_found("secrets", reference.name);
    }
    if (!secret) return secret.error();
    secrets.push_back(std::move(*secret));
  }
  return secrets;
}

Task<Result<std::pair<oci::Reference, oci::Pin>>> fetched_base(ImageFetching& images,
                                                               const ContainerSpec& spec) {
  Task<Result<FetchedImage>> fetching = images.fetch(spec);
  Result<FetchedImage> fetched = co_await std::move(fetching);
  if (!fetched) co_return fetched.error();
  co_return std::pair(std::move(fetched->name), std::move(fetched->pin));
}

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
    Result<std::string> claims = into.directory("claims");
    if (!claims) return claims.error();
    make_builder(into, *images, *runtimes, std::move(*directory), std::move(*claims));
    if (Result<void> provided = into.provide(*builder_); !provided) return provided;
    return into.add_controller<build::Build>(
        "build",
        std::make_unique<control::BuildReconciler>(control::Scope{into.context(), into.addresses()},
                                                   into.env().executor, *builder_));
  }

 private:
  void make_builder(Installer& into, std::shared_ptr<oci::ImageStore> images,
                    ContainerRuntimes& runtimes, std::string directory, std::string claims) {
    Env& env = into.env();
    fetcher_ = source_fetcher(into.outbound(), env.timers, env.network, env.processes, env.files,
                              env.offload,
                              into.options().sources ? *into.options().sources : FetcherOptions{});
    BuilderOptions builder_options;
    builder_options.directory = std::move(directory);
    builder_options.find_template = [&client = into.client()](
                                        std::string_view kind, std::string_view namespace_,
                                        std::string_view name) -> Result<build::BuildTemplateSpec> {
      if (kind == build::ClusterBuildTemplate::kind) {
        auto found = client.get<build::ClusterBuildTemplate>("", name);
        if (!found && found.error().code == Errc::not_found) {
          return not_found("clusterbuildtemplates.build.knative.dev", name);
        }
        if (!found) return found.error();
        return found->spec;
      }
      auto found = client.get<build::BuildTemplate>(namespace_, name);
      if (!found && found.error().code == Errc::not_found) {
        return not_found("buildtemplates.build.knative.dev", name);
      }
      if (!found) return found.error();
      return found->spec;
    };
    builder_options.environment =
        [&client = into.client()](
            const build::Build& build,
            const core::Container& step) -> Result<std::vector<core::EnvVar>> {
      std::set<ObjectRef> looked_for;  // a build runs once: nobody waits for what was missing
      return control::literal_environment(client, pod_of(build), step, looked_for);
    };
    builder_options.volumes = [&client = into.client(), &files = env.files,
                               claims = std::move(claims),
                               host_paths = into.options().host_path_volumes](
                                  const build::Build& build, const std::string& below) {
      std::set<ObjectRef> looked_for;  // the builder asks again
      const control::VolumePlaces places{below, claims, host_paths};
      return control::make_volumes(files, client, pod_of(build), build.spec.volumes, places,
                                   looked_for);
    };
    builder_options.secrets = [&client = into.client()](const build::Build& build) {
      return secrets_of(client, build);
    };
    builder_options.on_log = [output = into.options().on_output](const build::Build& build,
                                                                 std::string_view step,
                                                                 std::string_view text) {
      const std::string& space = build.metadata.namespace_;
      output("build " + (space.empty() ? "" : space + "/") + build.metadata.name + " " +
                 std::string(step),
             text);
    };
    if (auto* fetching = into.find<ImageFetching>(); fetching != nullptr) {
      builder_options.fetch_base = [fetching](const ContainerSpec& spec) {
        return fetched_base(*fetching, spec);
      };
    }
    const bool pushes = into.options().push_images;
    publishing_.emplace(images, pushes ? into.find<oci::RegistryClient>() : nullptr, env.disk,
                        env.logger, own_registry_port(into));
    builder_options.publish = [this](const oci::Reference& name, const oci::Descriptor& manifest,
                                     const std::string& docker_config) {
      return publishing_->publish(name, manifest, docker_config);
    };
    builder_ = std::make_unique<Builder>(env.timers, env.files, env.disk, *fetcher_, runtimes,
                                         std::move(images), std::move(builder_options));
  }

  std::unique_ptr<Fetcher> fetcher_;
  std::optional<Publishing> publishing_;
  std::unique_ptr<Builder> builder_;
};

}  // namespace

std::unique_ptr<Extension> build_extension() { return std::make_unique<BuildExtension>(); }

}  // namespace knative
