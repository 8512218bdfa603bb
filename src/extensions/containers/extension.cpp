// What containers run on, as a part of a platform: the runtimes by name. A host's own extension
// adds another one to them, or another choice.
#include <memory>
#include <utility>

#include "extensions/containers/store_images.hpp"
#include "knative/container_runtimes.hpp"
#include "knative/extensions.hpp"
#include "knative/oci.hpp"
#include "knative/oci_runtime.hpp"
#include "knative/platform_options.hpp"
#include "knative/sandbox_runtime.hpp"
#include "knative/zygote_runtime.hpp"
#include "platform/own_registry.hpp"

namespace knative {

namespace {

// Says that there are no images, for a platform without a store of them.
class NoImages final : public ImageProvider {
 public:
  Task<Result<ImageRoot>> provide(const ContainerSpec& spec) override {
    co_return fail(Errc::failed_precondition,
                   "image " + spec.image + " cannot run: no image store is installed");
  }
};

class ContainersExtension final : public Extension {
 public:
  explicit ContainersExtension(const FunctionTable& functions) : functions_(functions.share()) {}
  std::string_view name() const override { return "containers"; }

  Result<void> install(Installer& into) override {
    if (Result<void> made = find_images(into); !made) return made;
    Env& env = into.env();
    runtimes_.add("function", std::make_shared<FunctionRuntime>(
                                  functions_, env.executor, env.timers, env.offload, env.logger));
    ProcessRuntimeOptions options;
    options.base_environment["PATH"] = into.options().path;
    runtimes_.add("process", std::make_shared<ProcessRuntime>(env, *images_, options));
    ZygoteOptions zygotes;
    zygotes.program = options;
    runtimes_.add("zygote", std::make_shared<ZygoteRuntime>(env, *images_, std::move(zygotes)));
    Result<void> added = add_sandbox(into, options);
    if (!added) return added;
    options.base_environment["LANG"] = "C.UTF-8";
    options.own_view = support_.own_view;
    runtimes_.add("host", std::make_shared<ProcessRuntime>(env, host_, std::move(options)));
    if (Result<void> chosen = choose(into); !chosen) return chosen;
    return into.provide(runtimes_);
  }

 private:
  /// Also where nothing can be isolated: then it says why, to whoever asks for it by name.
  Result<void> add_sandbox(Installer& into, const ProcessRuntimeOptions& program) {
    Env& env = into.env();
    SandboxRuntimeOptions options;
    options.program = program;
    options.program.base_environment.erase("HOME");  // the user's own
    options.host_network = into.options().sandbox_host_network;
    Result<std::string> clones = into.directory("containers");
    if (!clones) return clones.error();
    support_ = options.support = env.processes.isolation(*clones);
    Door& door = into.door();
    options.gateway.handler = &door.inside();
    options.gateway.knows = [&door](std::string_view host) {
      return door.at_host(host) != nullptr;
    };
    options.gateway.server = into.options().server;
    runtimes_.add("sandbox", std::make_shared<SandboxRuntime>(env, *images_, options));
    add_others(env, options, *clones);
    options.host_network = true;
    runtimes_.add("sandbox-host-network", std::make_shared<SandboxRuntime>(env, *images_, options));
    add_others(env, options, *clones);
    return {};
  }

  void add_others(Env& env, const SandboxRuntimeOptions& isolating, const std::string& directory) {
    for (const char* name : {"crun", "runc"}) {
      OciRuntimeOptions options;
      const Result<std::string> program = OciRuntime::find(env.files, name);
      if (program) {
        options.program = *program;
      } else {
        options.reason = program.error().detail;
      }
      options.directory = directory;
      options.isolating = isolating;
      runtimes_.add(std::string(name) + (isolating.host_network ? "-host-network" : ""),
                    std::make_shared<OciRuntime>(env, *images_, std::move(options)));
    }
  }

  Result<void> choose(Installer& into) {
    const std::string& wanted = into.options().image_runtime;
    if (wanted == "sandbox" && !support_.possible) {
      return fail(Errc::failed_precondition,
                  "image_runtime: this host cannot isolate: " + support_.reason);
    }
    if (wanted != "auto" && runtimes_.find(wanted) == nullptr) {
      return fail(Errc::invalid_argument,
                  "image_runtime: no container runtime is named \"" + wanted + "\"");
    }
    into.env().logger.log(
        support_.possible ? LogLevel::debug : LogLevel::info, "containers",
        "images run in a runtime",
        {{"runtime", wanted},
         {"sandbox", support_.possible ? std::string("possible") : support_.reason}});
    runtimes_.set_choice(
        [this, wanted](const ContainerSpec& spec) { return choice(wanted, spec); });
    return {};
  }

  std::string choice(const std::string& wanted, const ContainerSpec& spec) const {
    if (spec.image.starts_with(function_image_prefix)) return "function";
    if (!spec.runtime.empty()) return spec.runtime;
    const bool step = !spec.identity.step.empty();
    if (step && spec.image == "host") return "host";
    if (wanted != "auto") return wanted;
    // Steps fetch what they need, so they have this machine's network.
    if (step) return support_.possible ? "sandbox-host-network" : "host";
    // What was built here is trusted and may need this machine's files and network. What came, or
    // will come, from elsewhere is not, and brings its own.
    const bool foreign = source_ && source_->foreign(spec.image);
    return foreign && support_.possible ? "sandbox" : "process";
  }

  Result<void> find_images(Installer& into) {
    Env& env = into.env();
    const auto* store = into.find<std::shared_ptr<oci::ImageStore>>();
    if (store == nullptr) {
      images_ = std::make_unique<NoImages>();
      return {};
    }
    Result<std::string> unpacked = into.directory("unpacked");
    if (!unpacked) return unpacked.error();
    Result<std::string> clones = into.directory("containers");
    if (!clones) return clones.error();
    // Unpacked roots are not synced: after a power failure they may be there by name only. Clones
    // are those of a platform that was killed.
    for (const std::string& directory : {*unpacked, *clones}) {
      if (Result<void> swept = env.files.remove_all(directory); !swept) return swept;
    }
    for (const char* name : {"unpacked", "containers"}) {
      if (Result<std::string> made = into.directory(name); !made) return made.error();
    }
    cache_ = std::make_unique<oci::UnpackCache>(*store, env.files, env.disk, *unpacked);
    holds_ = std::make_unique<ImageHolds>(*store, env);
    ImageSourceOptions options;
    options.own_port = own_registry_port(into);
    source_ = std::make_unique<ImageSource>(*store, into.find<oci::RegistryClient>(), *holds_,
                                            *cache_, into.client(), env, std::move(options));
    images_ = std::make_unique<StoreImages>(*source_, *cache_, env, std::move(*clones));
    Result<void> provided = into.provide<ImageFetching>(*source_);
    return provided ? into.provide(*holds_) : provided;
  }

  FunctionTable functions_;
  HostImages host_;
  std::unique_ptr<oci::UnpackCache> cache_;
  std::unique_ptr<ImageHolds> holds_;
  std::unique_ptr<ImageSource> source_;
  std::unique_ptr<ImageProvider> images_;
  IsolationSupport support_;
  ContainerRuntimes runtimes_;
};

}  // namespace

std::unique_ptr<Extension> containers_extension(const FunctionTable& functions) {
  return std::make_unique<ContainersExtension>(functions);
}

}  // namespace knative
