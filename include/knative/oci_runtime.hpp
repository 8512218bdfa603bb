/// \file
/// `OciRuntime`: images run by crun or runc, for those who want the runtime that they know.
///
/// The program is called as its manual says, with a config.json that says what the spec asks for,
/// in the same words of the kernel as for a sandbox. It runs on a stage: in namespaces of users,
/// mounts and processes around the container's own, where it finds the image with an upper folder
/// over it, and in the network and the control group that the platform reaches and counts. So
/// everything ends with the container and with the platform, whatever the runtime does: its
/// processes, mounts and networks with the stage, its state with the container's folder. What the
/// runtime itself uses while it waits counts as the container's. It belongs to its loop.
///
/// \code
/// kn::OciRuntimeOptions options;
/// options.program = kn::OciRuntime::find(env.files, "crun").value();
/// options.directory = "/var/lib/app/containers";
/// options.isolating.support = env.processes.isolation(options.directory);
/// runtimes.add("crun", std::make_shared<kn::OciRuntime>(env, images, options));
/// \endcode
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "knative/sandbox_runtime.hpp"

namespace knative {

/// How a runtime is called.
struct OciRuntimeOptions {
  std::string program;  ///< Its path. Empty: there is none, which `reason` explains.
  std::string reason;
  /// Where containers have a folder each while they run, which is absolute and this runtime's
  /// alone: what a killed platform has left there is for the next one to remove.
  std::string directory;
  SandboxRuntimeOptions isolating;  ///< As for sandboxes.
};

/// Runs images by the command line of crun or runc.
class KNATIVE_EXPORT OciRuntime final : public ContainerRuntime {
 public:
  /// The path of a runtime of that name. `not_found` when it is not installed where the system's
  /// programs are.
  static Result<std::string> find(Files& files, std::string_view name);

  OciRuntime(Env& env, ImageProvider& images, OciRuntimeOptions options);
  ~OciRuntime() override;
  FieldErrors unsupported(const ContainerSpec& spec) const override;
  bool can_exec(const ContainerSpec& spec) const override;
  bool can_freeze(const ContainerSpec& spec) const override;
  Task<Result<std::string>> pin(const ContainerSpec& spec) override;
  /// Done when the program runs; a program that is not there is `not_found`.
  Task<Result<std::unique_ptr<Container>>> start(const ContainerSpec& spec,
                                                 ContainerOutput output) override;
  Task<Result<std::unique_ptr<Container>>> start_beside(Container& other, const ContainerSpec& spec,
                                                        ContainerOutput output) override;

  struct Impl;

 private:
  std::shared_ptr<Impl> impl_;
};

}  // namespace knative
