#include <gtest/gtest.h>

#include "knative/autoscaler.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;
using Map = std::map<std::string, std::string>;

ScalerSpec resolve(const Map& short_annotations, std::int64_t concurrency = 0,
                   const AutoscalerConfig& config = {}) {
  Map annotations;
  for (const auto& [key, value] : short_annotations) {
    annotations["autoscaling.knative.dev/" + key] = value;
  }
  return resolve_scaler_spec(config, annotations, concurrency).value();
}

TEST(ScalerSpec, DefaultsAreKnatives) {
  const ScalerSpec spec = resolve({});
  EXPECT_EQ(spec.decider, DeciderSpec{});
  ScalerSpec knatives;
  knatives.max_scale = AutoscalerConfig{}.instances_max;  // ours: there is an end to everything
  EXPECT_EQ(spec, knatives);
  EXPECT_EQ(AutoscalerConfig::parse({}).value(), AutoscalerConfig{});
}

TEST(ScalerSpec, ScalesAreCutToWhatThePlatformStarts) {
  AutoscalerConfig config;
  config.instances_max = 20;
  for (const char* key : {"min-scale", "max-scale", "initial-scale", "activation-scale"}) {
    const ScalerSpec spec = resolve({{key, "999999999"}}, 0, config);
    EXPECT_LE(spec.min_scale, 20) << key;
    EXPECT_EQ(spec.max_scale, 20) << key;
    EXPECT_LE(spec.decider.initial_scale, 20) << key;
    EXPECT_LE(spec.decider.activation_scale, 20) << key;
  }
  EXPECT_EQ(resolve({{"min-scale", "999999999"}}, 0, config).min_scale, 20);
  EXPECT_EQ(resolve({{"max-scale", "7"}}, 0, config).max_scale, 7);
}

TEST(ScalerSpec, ConcurrencyTarget) {
  EXPECT_DOUBLE_EQ(resolve({}, 10).decider.target_value, 7);
  EXPECT_DOUBLE_EQ(resolve({}, 10).decider.total_value, 10);
  EXPECT_DOUBLE_EQ(resolve({}, 1).decider.target_value, 0.7);
  EXPECT_DOUBLE_EQ(resolve({{"target", "50"}}, 10).decider.total_value, 10);
  EXPECT_DOUBLE_EQ(resolve({{"target", "5"}}, 10).decider.total_value, 5);
  EXPECT_DOUBLE_EQ(resolve({{"target", "500"}}).decider.total_value, 500);
  EXPECT_DOUBLE_EQ(
      resolve({{"target", "10"}, {"target-utilization-percentage", "80"}}).decider.target_value, 8);
  EXPECT_DOUBLE_EQ(resolve({{"target", "0.01"}}).decider.target_value, 0.01);
}

TEST(ScalerSpec, RequestsPerSecondTarget) {
  const ScalerSpec spec = resolve({{"metric", "rps"}}, 3);
  EXPECT_EQ(spec.decider.metric, ScalingMetric::rps);
  EXPECT_DOUBLE_EQ(spec.decider.total_value, 200);
  EXPECT_DOUBLE_EQ(spec.decider.target_value, 140);
  AutoscalerConfig config;
  config.container_concurrency_target_percentage = 50;
  EXPECT_DOUBLE_EQ(resolve({{"metric", "rps"}}, 0, config).decider.target_value, 140);
  EXPECT_DOUBLE_EQ(resolve({{"metric", "rps"}, {"target", "100"}}, 3).decider.total_value, 100);
}

TEST(ScalerSpec, PercentageAboveOneIsPercentBelowAFraction) {
  AutoscalerConfig config;
  config.container_concurrency_target_percentage = 0.5;
  EXPECT_DOUBLE_EQ(resolve({}, 10, config).decider.target_value, 5);
  config.container_concurrency_target_percentage = 50;
  EXPECT_DOUBLE_EQ(resolve({}, 10, config).decider.target_value, 5);
}

TEST(ScalerSpec, PanicWindowIsAShareInWholeSeconds) {
  EXPECT_EQ(resolve({{"window", "60s"}}).decider.panic_window, Duration(6s));
  EXPECT_EQ(resolve({{"window", "6s"}}).decider.panic_window, Duration(1s));
  EXPECT_EQ(resolve({{"window", "6s"}, {"panic-window-percentage", "1"}}).decider.panic_window,
            Duration(1s));
  EXPECT_EQ(resolve({{"window", "1m15s"}}).decider.panic_window, Duration(8s));
}

TEST(ScalerSpec, BothSpellingsOfAnnotations) {
  EXPECT_EQ(resolve({{"minScale", "2"}, {"maxScale", "4"}}).min_scale, 2);
  EXPECT_EQ(resolve({{"min-scale", "2"}, {"max-scale", "4"}}).max_scale, 4);
  EXPECT_EQ(resolve({{"metricAggregationAlgorithm", "weightedExponential"}}).decider.aggregation,
            WindowAggregation::weighted_exponential);
}

TEST(ScalerSpec, OtherAnnotations) {
  const ScalerSpec spec = resolve({{"activation-scale", "3"},
                                   {"scale-down-delay", "2m"},
                                   {"scale-to-zero-pod-retention-period", "90s"},
                                   {"target-burst-capacity", "-1"},
                                   {"panic-threshold-percentage", "150"},
                                   {"initial-scale", "4"}});
  EXPECT_EQ(spec.decider.activation_scale, 3);
  EXPECT_EQ(spec.decider.scale_down_delay, Duration(2min));
  EXPECT_EQ(spec.pod_retention, Duration(90s));
  EXPECT_EQ(spec.decider.target_burst_capacity, -1);
  EXPECT_DOUBLE_EQ(spec.decider.panic_threshold, 1.5);
  EXPECT_EQ(spec.decider.initial_scale, 4);
  const Map deadline{{"serving.knative.dev/progress-deadline", "70s"}};
  EXPECT_EQ(resolve_scaler_spec({}, deadline, 0).value().activation_timeout, Duration(100s));
}

TEST(ScalerSpec, BadAnnotationsAreNamed) {
  const std::pair<const char*, const char*> bad[] = {
      {"target", "0"},           {"target", "ten"},
      {"window", "5s"},          {"window", "61m"},
      {"window", "6.5s"},        {"target-burst-capacity", "-2"},
      {"min-scale", "-1"},       {"min-scale", "2x"},
      {"initial-scale", "0"},    {"metric", "memory"},
      {"activation-scale", "1"}, {"panic-threshold-percentage", "109"},
      {"scale-down-delay", ""},  {"target-utilization-percentage", "101"}};
  for (const auto& [key, value] : bad) {
    const std::string name = std::string("autoscaling.knative.dev/") + key;
    const auto result = resolve_scaler_spec({}, {{name, value}}, 0);
    ASSERT_FALSE(result) << key << "=" << value;
    EXPECT_EQ(result.error().code, Errc::invalid_argument);
    EXPECT_EQ(result.error().detail.find(name), 0U) << result.error().detail;
  }
  EXPECT_FALSE(resolve_scaler_spec(
      {}, {{"autoscaling.knative.dev/min-scale", "5"}, {"autoscaling.knative.dev/max-scale", "4"}},
      0));
}

TEST(AutoscalerConfig, ParsesItsConfigMap) {
  const AutoscalerConfig config = AutoscalerConfig::parse({{"stable-window", "2m"},
                                                           {"enable-scale-to-zero", "false"},
                                                           {"max-scale-up-rate", "10"},
                                                           {"target-burst-capacity", "0"},
                                                           {"initial-scale", "0"},
                                                           {"allow-zero-initial-scale", "true"},
                                                           {"_example", "anything"}})
                                      .value();
  EXPECT_EQ(config.stable_window, Duration(2min));
  EXPECT_FALSE(config.enable_scale_to_zero);
  EXPECT_EQ(config.max_scale_up_rate, 10);
  EXPECT_EQ(config.target_burst_capacity, 0);
  EXPECT_EQ(config.initial_scale, 0);
}

TEST(AutoscalerConfig, RejectsWhatIsOutOfRange) {
  const Map bad[] = {{{"stable-window", "5s"}},
                     {{"stable-window", "soon"}},
                     {{"max-scale-up-rate", "1"}},
                     {{"max-scale-down-rate", "1.0"}},
                     {{"enable-scale-to-zero", "yes"}},
                     {{"initial-scale", "0"}},
                     {{"target-burst-capacity", "-0.5"}},
                     {{"scale-to-zero-grace-period", "0s"}},
                     {{"activator-capacity", "0.9"}},
                     {{"min-scale", "3"}, {"max-scale", "2"}},
                     {{"max-scale-limit", "10"}},
                     {{"max-scale-limit", "10"}, {"max-scale", "11"}},
                     {{"container-concurrency-target-default", "0.01"}}};
  for (const Map& data : bad) {
    EXPECT_FALSE(AutoscalerConfig::parse(data)) << data.begin()->first;
  }
}

}  // namespace
}  // namespace knative
