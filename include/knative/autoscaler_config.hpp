/// \file
/// What the autoscaler is configured with.
#pragma once

#include <chrono>
#include <map>
#include <string>

#include "knative/error.hpp"
#include "knative/timers.hpp"

namespace knative {

/// ConfigMap config-autoscaler with its defaults, `progress-deadline` of config-deployment, and
/// what only the host says: `instances_max`.
struct AutoscalerConfig {
  double container_concurrency_target_percentage = 70;
  double container_concurrency_target_default = 100;
  double requests_per_second_target_default = 200;
  double target_burst_capacity = 211;
  Duration stable_window = std::chrono::seconds(60);
  double panic_window_percentage = 10;
  double panic_threshold_percentage = 200;
  double max_scale_up_rate = 1000;
  double max_scale_down_rate = 2;
  bool enable_scale_to_zero = true;
  Duration scale_to_zero_grace_period = std::chrono::seconds(30);
  Duration scale_to_zero_pod_retention_period{0};
  std::string pod_autoscaler_class = "kpa.autoscaling.knative.dev";
  double activator_capacity = 100;
  int initial_scale = 1;
  bool allow_zero_initial_scale = false;
  int min_scale = 0;
  int max_scale = 0;        ///< 0: unlimited.
  int max_scale_limit = 0;  ///< 0: no limit.
  Duration scale_down_delay{0};
  Duration progress_deadline = std::chrono::seconds(600);
  /// Of one Revision, at least 1: more are never started. Whoever asks for more is warned when it
  /// is applied, in the status too.
  int instances_max = 1000;

  /// Read the data of the ConfigMap over what `base` says; unknown keys are ignored. Fails with
  /// `invalid_argument` naming the first key that is malformed or out of its range.
  KNATIVE_EXPORT static Result<AutoscalerConfig> parse(
      const std::map<std::string, std::string>& data, const AutoscalerConfig& base);
  static Result<AutoscalerConfig> parse(const std::map<std::string, std::string>& data) {
    return parse(data, AutoscalerConfig());
  }
  friend bool operator==(const AutoscalerConfig&, const AutoscalerConfig&) = default;
};

}  // namespace knative
