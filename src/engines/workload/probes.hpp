// Asking an instance how it is. Private to the workload.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "knative/workload.hpp"

namespace knative {

/// Probes one instance.
class Prober {
 public:
  /// Everything must outlive the prober.
  Prober(Env& env, Container& container, const InstanceSpec& spec)
      : env_(env), container_(container), spec_(spec) {}
  /// Hears why it is not ready yet, once that has taken a while and then ever more rarely.
  void on_waiting(std::function<void(const std::string&)> waiting) {
    waiting_ = std::move(waiting);
  }

  /// Wait until it may get requests: startup probe, then readiness. Fails with
  /// `deadline_exceeded` (start timeout), or `unavailable` when it ended first or its startup probe
  /// gave up; the detail has its last lines of output.
  Task<Result<void>> until_ready();
  /// Whether becoming ready takes an answer of its program, rather than that it runs.
  bool asks() const;
  /// Wait until its liveness probe gives up: why. Never, without such a probe.
  Task<Error> until_unwell();
  /// Wait until the readiness probe gives up (`now_ready` true) or succeeds again. Never, when
  /// readiness is not asked for periodically.
  Task<void> until_readiness(bool now_ready);
  /// Ask nothing until told to go on; what is asked meanwhile counts for nothing.
  void pause(bool paused);
  /// What was wrong when it was asked last and something was.
  const std::string& last_problem() const noexcept { return last_problem_; }
  /// How its program ended before it was ready, if it did.
  const std::optional<ExitStatus>& ended() const noexcept { return ended_; }
  /// Whether it was given up because of a startup or liveness probe, and the grace which that
  /// probe gives it.
  bool gave_up() const noexcept { return gave_up_; }
  const std::optional<Duration>& stop_grace() const noexcept { return stop_grace_; }
  /// One try, within the probe's timeout; what was wrong, or nothing.
  Task<std::optional<std::string>> attempt(const InstanceProbe& probe);

 private:
  /// One try that was not disturbed by a pause.
  Task<std::optional<std::string>> attempt_at_work(const InstanceProbe& probe);
  /// Ask until it succeeds often enough (true), or `failures_max` times not in a row (false).
  Task<bool> ask(const InstanceProbe& probe, std::optional<int> failures_max);
  Task<std::optional<std::string>> once_tcp(const InstanceProbe& probe);
  Task<std::optional<std::string>> once_http(const InstanceProbe& probe);
  Task<std::optional<std::string>> once_exec(const InstanceProbe& probe);
  Task<std::optional<std::string>> once_grpc(const InstanceProbe& probe);
  Task<Result<void>> start_up();
  std::optional<Endpoint> place_of(const InstanceProbe& probe) const;
  Network& network_of(const InstanceProbe& probe) const;
  Error with_lines(Errc code, std::string text) const;
  void give_up(const InstanceProbe& probe);
  void tell_problem();

  Env& env_;
  Container& container_;
  const InstanceSpec& spec_;
  std::string last_problem_;
  bool paused_ = false;
  int pauses_ = 0;
  Wakeup resumed_;
  std::optional<ExitStatus> ended_;
  bool gave_up_ = false;
  std::optional<Duration> stop_grace_;
  std::function<void(const std::string&)> waiting_;
  std::optional<Instant> tell_at_;
  Duration tell_pause_ = std::chrono::seconds(5);
};

/// A container for people: its name, and which one of several it is.
std::string container_title(const ContainerSpec& spec);
/// "; its last output:" and its last lines as far as they are short; empty when it said nothing.
std::string output_end(const Container& container);

}  // namespace knative
