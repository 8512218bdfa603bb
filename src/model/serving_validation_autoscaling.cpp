// The annotations autoscaling.knative.dev/*: types, ranges, and how they fit together.
#include <charconv>
#include <cmath>
#include <cstdint>

#include "knative/serving.hpp"

namespace knative::serving {
namespace {

constexpr std::string_view prefix = "autoscaling.knative.dev/";
constexpr std::string_view kpa = "kpa.autoscaling.knative.dev";
constexpr std::string_view hpa = "hpa.autoscaling.knative.dev";
constexpr std::string_view int32_max_text = "2147483647";

// The annotation under its hyphenated name, or under the older name in camel case.
struct Annotation {
  std::string key;
  const std::string* value = nullptr;
  explicit operator bool() const noexcept { return value != nullptr; }
};

std::string camel_case(std::string_view name) {
  std::string out;
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (name[i] == '-' && i + 1 < name.size()) {
      out += static_cast<char>(name[++i] - 'a' + 'A');
    } else {
      out += name[i];
    }
  }
  return out;
}

Annotation find(const StringMap& annotations, std::string_view name) {
  for (const std::string& spelled : {std::string(name), camel_case(name)}) {
    std::string key = std::string(prefix) + spelled;
    const auto found = annotations.find(key);
    if (found != annotations.end()) return {std::move(key), &found->second};
  }
  return {std::string(prefix) + std::string(name), nullptr};
}

template <class T>
std::optional<T> parse_number(const std::string& text) {
  T number{};
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number);
  if (parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
  return number;
}

// A replica count of at least `low`; says so when more than that is never started.
std::optional<std::int32_t> scale(FieldErrors& errors, const Annotation& annotation,
                                  std::int32_t low, const Config& config) {
  if (!annotation) return std::nullopt;
  const std::optional<std::int64_t> number = parse_number<std::int64_t>(*annotation.value);
  if (!number) {
    errors.add(invalid_value(*annotation.value, annotation.key));
    return std::nullopt;
  }
  if (*number < low || *number > INT32_MAX) {
    errors.add(
        out_of_bounds(*annotation.value, std::to_string(low), int32_max_text, annotation.key));
    return std::nullopt;
  }
  if (config.instances_max != 0 && *number > config.instances_max) {
    errors.add(field_error("is cut to " + std::to_string(config.instances_max), {annotation.key},
                           "no more instances of one Revision are started here")
                   .as_warning());
  }
  return static_cast<std::int32_t>(*number);
}

void check_scales(FieldErrors& errors, const StringMap& annotations, const Config& config) {
  const Annotation min_key = find(annotations, "min-scale");
  const Annotation max_key = find(annotations, "max-scale");
  const std::int32_t min = scale(errors, min_key, 0, config).value_or(0);
  const std::int32_t max = scale(errors, max_key, 0, config).value_or(0);
  if (max != 0 && max < min) {
    errors.add(field_error(
        "max-scale=" + std::to_string(max) + " is less than min-scale=" + std::to_string(min),
        {max_key.key, min_key.key}));
  }
  const Annotation initial_key = find(annotations, "initial-scale");
  const std::optional<std::int32_t> initial = scale(errors, initial_key, 0, config);
  if (initial && *initial == 0 && !config.allow_zero_initial_scale) {
    errors.add(invalid_value(0, initial_key.key, "initial-scale=0 not allowed by cluster"));
  }
  const Annotation activation_key = find(annotations, "activation-scale");
  const std::optional<std::int32_t> activation = scale(errors, activation_key, 2, config);
  if (!activation) return;
  if (max != 0 && *activation > max) {
    errors.add(field_error("max-scale=" + std::to_string(max) +
                               " is less than activation-scale=" + std::to_string(*activation),
                           {max_key.key, activation_key.key}));
  }
  if (*activation < min) {
    errors.add(field_error("min-scale=" + std::to_string(min) +
                               " is greater than activation-scale=" + std::to_string(*activation),
                           {min_key.key, activation_key.key}));
  }
}

struct FloatRange {
  std::string_view name;
  double low;
  double high;
  std::string_view low_text;
  std::string_view high_text;
};

void check_floats(FieldErrors& errors, const StringMap& annotations) {
  static constexpr FloatRange ranges[] = {
      {"panic-window-percentage", 1, 100, "1", "100"},
      {"panic-threshold-percentage", 110, 1000, "110", "1000"},
      {"target-utilization-percentage", 1, 100, "1", "100"},
  };
  for (const FloatRange& range : ranges) {
    const Annotation annotation = find(annotations, range.name);
    if (!annotation) continue;
    const std::optional<double> number = parse_number<double>(*annotation.value);
    if (!number || std::isnan(*number)) {
      errors.add(invalid_value(*annotation.value, annotation.key));
    } else if (*number < range.low || *number > range.high) {
      errors.add(out_of_bounds(*annotation.value, range.low_text, range.high_text, annotation.key));
    }
  }
  if (const Annotation target = find(annotations, "target")) {
    const std::optional<double> number = parse_number<double>(*target.value);
    if (!number || !std::isfinite(*number)) {
      errors.add(invalid_value(*target.value, target.key));
    } else if (*number < 0.01) {
      errors.add(field_error("target " + *target.value + " should be at least 0.01", {target.key}));
    }
  }
  if (const Annotation burst = find(annotations, "target-burst-capacity")) {
    const std::optional<double> number = parse_number<double>(*burst.value);
    if (!number || !std::isfinite(*number)) {
      errors.add(invalid_value(*burst.value, burst.key));
    } else if (*number < 0 && *number != -1) {
      errors.add(out_of_bounds(*burst.value, "0", "1.7976931348623157e+308", burst.key));
    }
  }
}

void check_duration(FieldErrors& errors, const Annotation& annotation, Duration low,
                    bool whole_seconds) {
  constexpr Duration high = std::chrono::hours(1);
  if (!annotation) return;
  const Result<Duration> duration = parse_duration(*annotation.value);
  if (!duration) {
    errors.add(invalid_value(*annotation.value, annotation.key));
  } else if (*duration < low || *duration > high) {
    errors.add(out_of_bounds(*annotation.value, format_duration(low), format_duration(high),
                             annotation.key));
  } else if (whole_seconds && *duration % std::chrono::seconds(1) != Duration::zero()) {
    errors.add(field_error("must be specified with at most second precision", {annotation.key}));
  }
}

// The class, and what depends on it.
void check_class(FieldErrors& errors, const StringMap& annotations) {
  const Annotation wanted = find(annotations, "class");
  const std::string_view chosen = wanted ? std::string_view(*wanted.value) : kpa;
  if (chosen != kpa && chosen != hpa && chosen.ends_with("knative.dev")) {
    errors.add(invalid_value(chosen, wanted.key));
  } else if (chosen != kpa && chosen != hpa) {
    errors.add(field_error("has no effect", {wanted.key},
                           "Revisions are scaled as by kpa.autoscaling.knative.dev")
                   .as_warning());
  }
  if (const Annotation metric = find(annotations, "metric")) {
    const std::string& name = *metric.value;
    const bool known = chosen == kpa ? name == "concurrency" || name == "rps" : !name.empty();
    if (!known) errors.add(invalid_value(name, metric.key));
  }
  if (const Annotation algorithm = find(annotations, "metric-aggregation-algorithm")) {
    const std::string& name = *algorithm.value;
    if (chosen == kpa && name != "linear" && name != "weighted-exponential" &&
        name != "weightedExponential") {
      errors.add(invalid_value(name, algorithm.key));
    }
  }
}

}  // namespace

FieldErrors validate_autoscaling(const StringMap& annotations, const Config& config) {
  FieldErrors errors;
  const auto first = annotations.lower_bound(prefix);
  if (first == annotations.end() || !first->first.starts_with(prefix)) return errors;
  check_class(errors, annotations);
  check_scales(errors, annotations, config);
  check_floats(errors, annotations);
  check_duration(errors, find(annotations, "window"), std::chrono::seconds(6), true);
  check_duration(errors, find(annotations, "scale-to-zero-pod-retention-period"), Duration::zero(),
                 false);
  check_duration(errors, find(annotations, "scale-down-delay"), Duration::zero(), true);
  return errors;
}

}  // namespace knative::serving
