// The platform's door as a sandbox with its own network has it: a name server and an HTTP server at
// an address of the sandbox's loopback, served from outside. Private to the workload.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "knative/http_server.hpp"
#include "knative/sandbox_runtime.hpp"

namespace knative {

/// What a stranger sends there costs a bounded share of the loop.
class SandboxDoor {
 public:
  /// No other machine has it (RFC 3927), and programs bind 127.0.0.1 or everything.
  static constexpr const char* address = "169.254.20.1";

  /// The first of a program's ports that the door would stand in the way of.
  static std::optional<std::size_t> clash(const std::vector<core::ContainerPort>& ports);
  /// The program's resolv.conf: names are completed as those of Kubernetes are in `namespace_`.
  static std::string resolver(std::string_view namespace_);
  /// Answers until the result is destroyed; `inside` is needed for the call only. What `gateway`
  /// refers to must outlive it.
  static Result<std::shared_ptr<void>> serve(Env& env, Network& inside,
                                             const SandboxGateway& gateway);
};

}  // namespace knative
