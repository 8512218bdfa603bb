/// \file
/// `SandboxRuntime`: an image's program in namespaces of its own, in milliseconds, without a
/// daemon.
///
/// It sees the image's files (its changes lie over them and go with it), a /proc, /dev, /sys and
/// /tmp of its own, no other process, and a network with nothing but loopback and the gateway,
/// unless the host's is chosen. It has Docker's capabilities, which mean nothing outside, no system
/// call that reaches beyond a container, and the memory, CPU and processes that its limits say,
/// where this host counts them. Everything it started ends with it, and with the platform. It
/// belongs to its loop.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "knative/container.hpp"
#include "knative/container_runtimes.hpp"
#include "knative/http_server.hpp"
#include "knative/isolation.hpp"

namespace knative {

/// Who answers inside the network that a sandbox has of its own, where there is nobody else: at
/// port 80 of an address of its loopback. A sandbox whose program serves that port itself has none.
struct SandboxGateway {
  http::Handler* handler = nullptr;  ///< Must outlive every sandbox. Null: nobody.
  /// Whether `handler` answers for a host (lower case): then that name has the address.
  std::function<bool(std::string_view host)> knows;
  http::ServerOptions server;  ///< Bounds of each sandbox's.
};

/// How sandboxes are made.
struct SandboxRuntimeOptions {
  IsolationSupport support;   ///< What `Processes::isolation` says of this host.
  bool host_network = false;  ///< Then PORT is one of this machine's, as for processes.
  /// Of one container, threads included, unless the host cannot count them.
  std::uint64_t processes_max = 4096;
  /// Of what one container writes to its root, where `limits.ephemeral-storage` does not say it;
  /// one that has more is killed within seconds (`ExitStatus::evicted`). 0: no limit.
  std::uint64_t disk_bytes_max = std::uint64_t{10} << 30;
  SandboxGateway gateway;
  /// Ports, variables and output, as for processes.
  ProcessRuntimeOptions program;
};

/// Runs images isolated from this machine and from each other.
class KNATIVE_EXPORT SandboxRuntime final : public ContainerRuntime {
 public:
  SandboxRuntime(Env& env, ImageProvider& images, SandboxRuntimeOptions options);
  ~SandboxRuntime() override;
  FieldErrors unsupported(const ContainerSpec& spec) const override;
  bool can_exec(const ContainerSpec& spec) const override;
  bool can_freeze(const ContainerSpec& spec) const override;
  Task<Result<std::string>> pin(const ContainerSpec& spec) override;
  Task<Result<std::unique_ptr<Container>>> start(const ContainerSpec& spec,
                                                 ContainerOutput output) override;
  Task<Result<std::unique_ptr<Container>>> start_beside(Container& other, const ContainerSpec& spec,
                                                        ContainerOutput output) override;

  struct Impl;

 private:
  std::shared_ptr<Impl> impl_;
};

}  // namespace knative
