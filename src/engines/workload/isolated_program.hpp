// What a spec asks of whoever isolates its program, in words of the kernel. Private to the
// workload.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "engines/workload/process_container.hpp"
#include "knative/sandbox_runtime.hpp"

namespace knative {

/// How a runtime starts programs that it isolates.
class IsolatingStarter : public ProgramStarter {
 public:
  /// `what` is what it starts, for messages ("a sandbox").
  IsolatingStarter(Env& e, ImageProvider& i, const SandboxRuntimeOptions& o, std::string what);

  bool needs_port() const override { return shares_network(); }
  std::uint64_t disk_bytes_max() const override { return isolating.disk_bytes_max; }
  bool shares_network() const { return isolating.host_network || !isolating.support.own_network; }
  Result<std::shared_ptr<void>> serve_inside(const ContainerSpec& spec, Network& inside) override;
  Result<std::unique_ptr<Process>> run_beside(Process& process, const ImageRoot& image,
                                              ProcessOptions beside) override;

  /// As `program`. Fails with what is wrong of spec and image, by field. Blocks briefly, on the
  /// image's files.
  Result<ProcessOptions> isolated(const ContainerSpec& spec, const ImageRoot& image,
                                  std::uint16_t port, const ContainerSpec* beside) const;
  /// What of the spec cannot be isolated so.
  FieldErrors unsupported(const ContainerSpec& spec) const;
  /// Runs `spec`, as `ContainerRuntime::start`. `starter` is shared with what it starts. `beside`:
  /// who shares its network with it, which must stay until the task is done; may be null.
  static Task<Result<std::unique_ptr<Container>>> start(std::shared_ptr<IsolatingStarter> starter,
                                                        const ContainerSpec& spec,
                                                        ProcessContainer* beside,
                                                        ContainerOutput output);
  /// The same in the network of `other`, as `ContainerRuntime::start_beside`.
  static Task<Result<std::unique_ptr<Container>>> start_beside(
      std::shared_ptr<IsolatingStarter> starter, Container& other, const ContainerSpec& spec,
      ContainerOutput output);

  ImageProvider& images;
  const SandboxRuntimeOptions isolating;

 private:
  bool has_gateway(const ContainerSpec& spec) const;
  void isolate(const ContainerSpec& spec, bool gateway, Isolation& isolation) const;
  const std::string what_;
};

}  // namespace knative
