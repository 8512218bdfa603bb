#include "knative/metrics.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>
#include <utility>

#include "knative/error.hpp"

namespace knative {
namespace {

enum class Type { counter, gauge, histogram };

std::string_view type_name(Type type) {
  switch (type) {
    case Type::counter: return "counter";
    case Type::gauge: return "gauge";
    case Type::histogram: return "histogram";
  }
  return "untyped";
}

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

bool is_name(std::string_view name, bool colons) {
  if (name.empty() || !(is_letter(name[0]) || (colons && name[0] == ':'))) return false;
  return std::all_of(name.begin(), name.end(), [colons](char c) {
    return is_letter(c) || (c >= '0' && c <= '9') || (colons && c == ':');
  });
}

void append_escaped(std::string& out, std::string_view text, bool quotes) {
  for (const char c : text) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '"' && quotes) {
      out += "\\\"";
    } else {
      out += c;
    }
  }
}

void append_number(std::string& out, double value) {
  if (std::isnan(value)) {
    out += "NaN";
  } else if (std::isinf(value)) {
    out += value > 0 ? "+Inf" : "-Inf";
  } else {
    char buffer[32];
    const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, value);
    out.append(buffer, end);
  }
}

struct Series {
  Counter counter;
  Gauge gauge;
  std::optional<Histogram> histogram;
  std::function<double()> read;
};

using LabelValues = std::vector<std::string>;

struct Family {
  Type type = Type::counter;
  std::string help;
  std::vector<std::string> label_names;  // sorted
  std::vector<double> bounds;
  std::map<LabelValues, std::unique_ptr<Series>> series;
};

MetricLabels sorted(MetricLabels labels) {
  std::sort(labels.begin(), labels.end(),
            [](const MetricLabel& a, const MetricLabel& b) { return a.name < b.name; });
  return labels;
}

LabelValues values_of(const MetricLabels& labels) {
  LabelValues values;
  for (const MetricLabel& label : labels) values.push_back(label.value);
  return values;
}

/// name{a="1",b="2"} with `suffix` after the name and `extra` as the last label.
void append_series_name(std::string& out, std::string_view name, std::string_view suffix,
                        const Family& family, const LabelValues& values,
                        std::string_view extra = "") {
  out.append(name).append(suffix);
  if (!values.empty() || !extra.empty()) {
    out += '{';
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (i != 0) out += ',';
      out.append(family.label_names[i]).append("=\"");
      append_escaped(out, values[i], true);
      out += '"';
    }
    if (!values.empty() && !extra.empty()) out += ',';
    out.append(extra).append("}");
  }
  out += ' ';
}

void append_histogram(std::string& out, std::string_view name, const Family& family,
                      const LabelValues& values, const Histogram& histogram) {
  std::uint64_t below = 0;
  for (std::size_t i = 0; i <= histogram.bounds().size(); ++i) {
    below += histogram.in_bucket(i);
    std::string bound = "le=\"";
    append_number(bound, i < histogram.bounds().size() ? histogram.bounds()[i] : HUGE_VAL);
    bound += '"';
    append_series_name(out, name, "_bucket", family, values, bound);
    out += std::to_string(below) + "\n";
  }
  append_series_name(out, name, "_sum", family, values);
  append_number(out, histogram.sum());
  out += '\n';
  append_series_name(out, name, "_count", family, values);
  out += std::to_string(histogram.count()) + "\n";
}

}  // namespace

Histogram::Histogram(std::vector<double> bounds)
    : bounds_(std::move(bounds)), counts_(bounds_.size() + 1) {
  for (std::size_t i = 0; i < bounds_.size(); ++i) {
    KN_ASSERT(std::isfinite(bounds_[i]));
    KN_ASSERT(i == 0 || bounds_[i - 1] < bounds_[i]);
  }
}

void Histogram::observe(double value) noexcept {
  ++count_;
  if (std::isnan(value)) {
    ++counts_.back();
    return;
  }
  const auto bucket = std::lower_bound(bounds_.begin(), bounds_.end(), value);
  ++counts_[static_cast<std::size_t>(bucket - bounds_.begin())];
  sum_ += value;
}

std::vector<double> latency_bounds() {
  return {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30};
}

struct Metrics::Impl {
  explicit Impl(std::size_t series_max) : series_max(std::max<std::size_t>(series_max, 1)) {}

  Series& find(std::string_view name, std::string_view help, Type type,
               const MetricLabels& unordered, std::vector<double> bounds = {}) {
    const MetricLabels labels = sorted(unordered);
    auto found = families.find(name);
    if (found == families.end()) {
      KN_ASSERT(is_name(name, true));
      found = families.emplace(std::string(name), Family{}).first;
      found->second.type = type;
      found->second.help = help;
      found->second.bounds = std::move(bounds);
      for (const MetricLabel& label : labels) {
        KN_ASSERT(is_name(label.name, false) && !label.name.starts_with("__"));
        KN_ASSERT(!(type == Type::histogram && label.name == "le"));
        found->second.label_names.push_back(label.name);
      }
    }
    Family& family = found->second;
    KN_ASSERT(family.type == type);
    KN_ASSERT(family.label_names.size() == labels.size());
    for (std::size_t i = 0; i < labels.size(); ++i) {
      KN_ASSERT(family.label_names[i] == labels[i].name);
    }
    LabelValues values = values_of(labels);
    auto known = family.series.find(values);
    if (known != family.series.end()) return *known->second;
    // The series that stands for all others does not count against the bound.
    if (family.series.size() >= series_max) values.assign(labels.size(), "other");
    std::unique_ptr<Series>& series = family.series[values];
    if (series == nullptr) {
      series = std::make_unique<Series>();
      if (type == Type::histogram) series->histogram.emplace(family.bounds);
    }
    return *series;
  }

  std::size_t series_max;
  std::map<std::string, Family, std::less<>> families;
};

Metrics::Metrics(std::size_t series_max) : impl_(std::make_unique<Impl>(series_max)) {}
Metrics::~Metrics() = default;

Counter& Metrics::counter(std::string_view name, std::string_view help,
                          const MetricLabels& labels) {
  return impl_->find(name, help, Type::counter, labels).counter;
}

Gauge& Metrics::gauge(std::string_view name, std::string_view help, const MetricLabels& labels) {
  return impl_->find(name, help, Type::gauge, labels).gauge;
}

Histogram& Metrics::histogram(std::string_view name, std::string_view help,
                              std::vector<double> bounds, const MetricLabels& labels) {
  return *impl_->find(name, help, Type::histogram, labels, std::move(bounds)).histogram;
}

void Metrics::gauge_from(std::string_view name, std::string_view help, std::function<double()> read,
                         const MetricLabels& labels) {
  impl_->find(name, help, Type::gauge, labels).read = std::move(read);
}

bool Metrics::remove(std::string_view name, const MetricLabels& labels) {
  const auto family = impl_->families.find(name);
  return family != impl_->families.end() &&
         family->second.series.erase(values_of(sorted(labels))) != 0;
}

std::size_t Metrics::remove_labelled(std::string_view label_name, std::string_view label_value) {
  std::size_t removed = 0;
  for (auto& entry : impl_->families) {
    Family& family = entry.second;
    const auto found = std::find(family.label_names.begin(), family.label_names.end(), label_name);
    if (found == family.label_names.end()) continue;
    const auto index = static_cast<std::size_t>(found - family.label_names.begin());
    removed += std::erase_if(family.series, [index, label_value](const auto& series) {
      return series.first[index] == label_value;
    });
  }
  return removed;
}

std::string Metrics::prometheus_text() const {
  std::string out;
  for (const auto& [name, family] : impl_->families) {
    if (family.series.empty()) continue;
    out.append("# HELP ").append(name).append(" ");
    append_escaped(out, family.help, false);
    out.append("\n# TYPE ").append(name).append(" ").append(type_name(family.type)).append("\n");
    for (const auto& [values, series] : family.series) {
      if (series->histogram) {
        append_histogram(out, name, family, values, *series->histogram);
        continue;
      }
      append_series_name(out, name, "", family, values);
      if (family.type == Type::counter) {
        out += std::to_string(series->counter.value());
      } else {
        append_number(out, series->read ? series->read() : series->gauge.value());
      }
      out += '\n';
    }
  }
  return out;
}

}  // namespace knative
