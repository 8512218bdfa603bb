// Asking an instance how it is. Private to the workload.
#pragma once

#include <optional>
#include <string>

#include "knative/workload.hpp"

namespace knative {

/// Probes one instance.
class Prober {
 public:
  /// Everything must outlive the prober.
  Prober(Env& env, Container& container, const InstanceSpec& spec)
      : env_(env), container_(container), spec_(spec) {}

  /// Wait until it may get requests: startup probe, then readiness. Fails with
  /// `deadline_exceeded` (start timeout), or `unavailable` when it ended first or its startup probe
  /// gave up; the detail has its last lines of output.
  Task<Result<void>> until_ready();
  /// Wait until its liveness probe gives up: why. Never, without such a probe.
  Task<Error> until_unwell();
  /// Wait until the readiness probe gives up (`now_ready` true) or succeeds again. Never, when
  /// readiness is not asked for periodically.
  Task<void> until_readiness(bool now_ready);
  /// What was wrong when it was asked last and something was.
  const std::string& last_problem() const noexcept { return last_problem_; }
  /// How its program ended before it was ready, if it did.
  const std::optional<ExitStatus>& ended() const noexcept { return ended_; }

 private:
  /// Ask until it succeeds often enough (true), or `failures_max` times not in a row (false).
  Task<bool> ask(const InstanceProbe& probe, std::optional<int> failures_max);
  /// One try; what was wrong, or nothing.
  Task<std::optional<std::string>> once(const InstanceProbe& probe);
  Task<std::optional<std::string>> once_tcp(const InstanceProbe& probe);
  Task<std::optional<std::string>> once_http(const InstanceProbe& probe);
  Task<std::optional<std::string>> once_exec(const InstanceProbe& probe);
  Task<std::optional<std::string>> once_grpc(const InstanceProbe& probe);
  Task<Result<void>> start_up();
  std::optional<Endpoint> place_of(const InstanceProbe& probe) const;
  Network& network_of(const InstanceProbe& probe) const;
  Error with_lines(Errc code, std::string text) const;

  Env& env_;
  Container& container_;
  const InstanceSpec& spec_;
  std::string last_problem_;
  std::optional<ExitStatus> ended_;
};

}  // namespace knative
