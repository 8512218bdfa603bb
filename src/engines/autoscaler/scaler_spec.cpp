#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "knative/autoscaler.hpp"

namespace knative {
namespace {

using Map = std::map<std::string, std::string>;
constexpr double target_min = 0.01;
constexpr double rps_utilization = 0.7;
constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr int count_max = std::numeric_limits<int>::max();
constexpr Duration hour = std::chrono::hours(1);
constexpr Duration forever = std::chrono::hours(24 * 365);
/// Added to the progress deadline before an activation is given up.
constexpr Duration activation_buffer = std::chrono::seconds(30);

struct Unit {
  std::string_view name;
  double nanoseconds;
};
constexpr Unit units[] = {{"ns", 1},  {"us", 1e3}, {"\xc2\xb5s", 1e3}, {"ms", 1e6},
                          {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}};

/// Durations in Go's notation: "1h30m", "1.5s", "0".
std::optional<Duration> parse_duration(std::string_view text) {
  if (text == "0") return Duration{0};
  double total = 0;
  bool any = false;
  while (!text.empty()) {
    double number = 0;
    const auto [end, problem] =
        std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
    if (problem != std::errc() || number < 0) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    const auto name_end = text.find_first_of("0123456789.");
    const std::string_view name = text.substr(0, name_end);
    const auto unit =
        std::find_if(std::begin(units), std::end(units),
                     [name](const Unit& candidate) { return candidate.name == name; });
    if (unit == std::end(units)) return std::nullopt;
    total += number * unit->nanoseconds;
    text.remove_prefix(name.size());
    any = true;
  }
  if (!any || total > 9e18) return std::nullopt;
  return Duration{static_cast<Duration::rep>(std::llround(total))};
}

std::string camel_case(std::string_view kebab) {
  std::string camel;
  for (std::size_t i = 0; i < kebab.size(); ++i) {
    if (kebab[i] == '-' && i + 1 < kebab.size()) {
      camel.push_back(static_cast<char>(kebab[++i] - 'a' + 'A'));
    } else {
      camel.push_back(kebab[i]);
    }
  }
  return camel;
}

/// Reads keys of a map and remembers the first failure.
class Reader {
 public:
  Reader(const Map& map, std::string prefix) : map_(map), prefix_(std::move(prefix)) {}

  const std::string* find(std::string_view key) {
    key_ = prefix_ + std::string(key);
    auto found = map_.find(key_);
    if (found == map_.end() && !prefix_.empty()) {
      found = map_.find(prefix_ + camel_case(key));
      if (found != map_.end()) key_ = found->first;
    }
    return found == map_.end() ? nullptr : &found->second;
  }
  bool number(std::string_view key, double& into, double lowest, double highest) {
    const std::string* text = find(key);
    if (text == nullptr) return false;
    double value = 0;
    const auto [end, problem] = std::from_chars(text->data(), text->data() + text->size(), value);
    if (problem != std::errc() || end != text->data() + text->size() || !std::isfinite(value)) {
      return invalid(*text);
    }
    if (value < lowest || value > highest) return invalid(*text);
    into = value;
    return true;
  }
  bool count(std::string_view key, int& into, int lowest, int highest = count_max) {
    const std::string* text = find(key);
    if (text == nullptr) return false;
    int value = 0;
    const auto [end, problem] = std::from_chars(text->data(), text->data() + text->size(), value);
    if (problem != std::errc() || end != text->data() + text->size()) return invalid(*text);
    if (value < lowest || value > highest) return invalid(*text);
    into = value;
    return true;
  }
  bool duration(std::string_view key, Duration& into, Duration lowest, Duration highest,
                bool whole_seconds) {
    const std::string* text = find(key);
    if (text == nullptr) return false;
    const std::optional<Duration> value = parse_duration(*text);
    if (!value || *value < lowest || *value > highest) return invalid(*text);
    if (whole_seconds && value->count() % 1'000'000'000 != 0) return invalid(*text);
    into = *value;
    return true;
  }
  void boolean(std::string_view key, bool& into) {
    const std::string* text = find(key);
    if (text == nullptr) return;
    if (*text != "true" && *text != "false") {
      invalid(*text);
    } else {
      into = *text == "true";
    }
  }
  bool invalid(const std::string& value) {
    if (!error_) error_ = fail(Errc::invalid_argument, key_ + ": invalid value \"" + value + "\"");
    return false;
  }
  void require(bool holds, std::string_view problem) {
    if (!holds && !error_) error_ = fail(Errc::invalid_argument, std::string(problem));
  }
  const std::optional<Error>& error() const noexcept { return error_; }

 private:
  const Map& map_;
  std::string prefix_;
  std::string key_;
  std::optional<Error> error_;
};

Duration panic_window(Duration stable, double percentage) {
  const double seconds = std::round(static_cast<double>(stable.count()) * percentage / 100.0 / 1e9);
  return std::chrono::seconds(std::max(1L, static_cast<long>(seconds)));
}

void check_burst_capacity(Reader& reader, std::string_view key, double& into) {
  double value = into;
  if (!reader.number(key, value, -1, infinity)) return;
  if (value < 0 && value != -1) {
    reader.invalid(*reader.find(key));
  } else {
    into = value;
  }
}

void resolve_target(Reader& reader, const AutoscalerConfig& config, std::int64_t concurrency,
                    DeciderSpec& spec) {
  if (const std::string* metric = reader.find("metric")) {
    if (*metric == "rps") {
      spec.metric = ScalingMetric::rps;
    } else if (*metric != "concurrency") {
      reader.invalid(*metric);
    }
  }
  const bool by_rps = spec.metric == ScalingMetric::rps;
  const double limit = static_cast<double>(concurrency);
  double utilization = config.container_concurrency_target_percentage;
  utilization = by_rps ? rps_utilization : utilization > 1 ? utilization / 100 : utilization;
  double total = by_rps            ? config.requests_per_second_target_default
                 : concurrency > 0 ? limit
                                   : config.container_concurrency_target_default;
  double target = 0;
  if (reader.number("target", target, target_min, infinity)) {
    total = !by_rps && concurrency > 0 ? std::min(target, limit) : target;
  }
  double percentage = 0;
  if (reader.number("target-utilization-percentage", percentage, 1, 100)) {
    utilization = percentage / 100;
  }
  spec.total_value = total;
  spec.target_value = std::max(target_min, total * utilization);
}

}  // namespace

Result<AutoscalerConfig> AutoscalerConfig::parse(const Map& data, const AutoscalerConfig& base) {
  AutoscalerConfig config = base;
  Reader reader(data, "");
  reader.number("container-concurrency-target-percentage",
                config.container_concurrency_target_percentage, 1e-9, 100);
  reader.number("container-concurrency-target-default", config.container_concurrency_target_default,
                target_min, infinity);
  reader.number("requests-per-second-target-default", config.requests_per_second_target_default,
                target_min, infinity);
  check_burst_capacity(reader, "target-burst-capacity", config.target_burst_capacity);
  reader.duration("stable-window", config.stable_window, std::chrono::seconds(6), hour, true);
  reader.number("panic-window-percentage", config.panic_window_percentage, 1, 100);
  reader.number("panic-threshold-percentage", config.panic_threshold_percentage, -infinity,
                infinity);
  const double above_one = std::nextafter(1.0, 2.0);
  reader.number("max-scale-up-rate", config.max_scale_up_rate, above_one, infinity);
  reader.number("max-scale-down-rate", config.max_scale_down_rate, above_one, infinity);
  reader.boolean("enable-scale-to-zero", config.enable_scale_to_zero);
  reader.duration("scale-to-zero-grace-period", config.scale_to_zero_grace_period, Duration{1},
                  forever, false);
  reader.duration("scale-to-zero-pod-retention-period", config.scale_to_zero_pod_retention_period,
                  Duration{0}, forever, false);
  if (const std::string* name = reader.find("pod-autoscaler-class")) {
    config.pod_autoscaler_class = *name;
  }
  reader.number("activator-capacity", config.activator_capacity, 1, infinity);
  reader.boolean("allow-zero-initial-scale", config.allow_zero_initial_scale);
  reader.count("initial-scale", config.initial_scale, config.allow_zero_initial_scale ? 0 : 1);
  reader.count("min-scale", config.min_scale, 0);
  reader.count("max-scale", config.max_scale, 0);
  reader.count("max-scale-limit", config.max_scale_limit, 0);
  reader.duration("scale-down-delay", config.scale_down_delay, Duration{0}, forever, true);
  reader.duration("progress-deadline", config.progress_deadline, std::chrono::seconds(1), forever,
                  true);
  const double pct = config.container_concurrency_target_percentage;
  reader.require(
      config.container_concurrency_target_default * (pct > 1 ? pct / 100 : pct) >= target_min,
      "container-concurrency-target-default: times its percentage below 0.01");
  reader.require(config.max_scale == 0 || config.min_scale <= config.max_scale,
                 "min-scale: larger than max-scale");
  reader.require(config.max_scale_limit == 0 ||
                     (config.max_scale >= 1 && config.max_scale <= config.max_scale_limit),
                 "max-scale: outside 1..max-scale-limit");
  if (reader.error()) return *reader.error();
  return config;
}

Result<ScalerSpec> resolve_scaler_spec(const AutoscalerConfig& config, const Map& annotations,
                                       std::int64_t container_concurrency) {
  Reader reader(annotations, "autoscaling.knative.dev/");
  ScalerSpec spec;
  DeciderSpec& decider = spec.decider;
  resolve_target(reader, config, container_concurrency, decider);

  decider.target_burst_capacity = config.target_burst_capacity;
  check_burst_capacity(reader, "target-burst-capacity", decider.target_burst_capacity);
  decider.activator_capacity = config.activator_capacity;
  decider.max_scale_up_rate = config.max_scale_up_rate;
  decider.max_scale_down_rate = config.max_scale_down_rate;
  decider.stable_window = config.stable_window;
  reader.duration("window", decider.stable_window, std::chrono::seconds(6), hour, true);
  double panic_window_share = config.panic_window_percentage;
  reader.number("panic-window-percentage", panic_window_share, 1, 100);
  decider.panic_window = panic_window(decider.stable_window, panic_window_share);
  double panic_threshold = config.panic_threshold_percentage;
  reader.number("panic-threshold-percentage", panic_threshold, 110, 1000);
  decider.panic_threshold = panic_threshold / 100;
  decider.scale_down_delay = config.scale_down_delay;
  reader.duration("scale-down-delay", decider.scale_down_delay, Duration{0}, hour, true);
  decider.initial_scale = config.initial_scale;
  reader.count("initial-scale", decider.initial_scale, config.allow_zero_initial_scale ? 0 : 1);
  reader.count("activation-scale", decider.activation_scale, 2);
  if (const std::string* name = reader.find("metric-aggregation-algorithm")) {
    if (*name == "weighted-exponential" || *name == "weightedExponential") {
      decider.aggregation = WindowAggregation::weighted_exponential;
    } else if (*name != "linear") {
      reader.invalid(*name);
    }
  }

  spec.min_scale = config.min_scale;
  spec.max_scale = config.max_scale;
  reader.count("min-scale", spec.min_scale, 0);
  reader.count("max-scale", spec.max_scale, config.max_scale_limit > 0 ? 1 : 0,
               config.max_scale_limit > 0 ? config.max_scale_limit : count_max);
  reader.require(spec.max_scale == 0 || spec.min_scale <= spec.max_scale,
                 "autoscaling.knative.dev/min-scale: larger than max-scale");
  const int most = std::max(1, config.instances_max);
  spec.max_scale = spec.max_scale == 0 ? most : std::min(spec.max_scale, most);
  for (int* scale : {&spec.min_scale, &decider.initial_scale, &decider.activation_scale}) {
    *scale = std::min(*scale, most);
  }
  spec.enable_scale_to_zero = config.enable_scale_to_zero;
  spec.grace_period = config.scale_to_zero_grace_period;
  spec.pod_retention = config.scale_to_zero_pod_retention_period;
  reader.duration("scale-to-zero-pod-retention-period", spec.pod_retention, Duration{0}, hour,
                  false);
  if (reader.error()) return *reader.error();

  Duration deadline = config.progress_deadline;
  Reader serving(annotations, "serving.knative.dev/");
  serving.duration("progress-deadline", deadline, std::chrono::seconds(1), forever, true);
  if (serving.error()) return *serving.error();
  spec.activation_timeout = deadline + activation_buffer;
  return spec;
}

}  // namespace knative
