#include "knative/metrics.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <list>
#include <map>
#include <optional>
#include <utility>

#include "base/text.hpp"
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

bool is_letter(char c) { return base::is_letter(c) || c == '_'; }

bool is_name(std::string_view name, bool colons) {
  if (name.empty() || !(is_letter(name[0]) || (colons && name[0] == ':'))) return false;
  return std::all_of(name.begin(), name.end(), [colons](char c) {
    return is_letter(c) || base::is_digit(c) || (colons && c == ':');
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

void append_sample(std::string& out, double value) {
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
  /// Gauges asked for when the text is made. Whoever gave one knows its place: beyond the bound of
  /// a name thousands share a series.
  using Reads = std::list<std::function<double()>>;
  Reads reads;
  std::optional<Reads::iterator> own_read;  ///< Given without a set.
  int sets = 0;                             ///< That have it.

  void read_by(std::optional<Reads::iterator>& place, std::function<double()> read) {
    if (place) {
      **place = std::move(read);
    } else {
      place = reads.insert(reads.end(), std::move(read));
    }
  }
  double gauge_value() const {
    double sum = gauge.value();
    for (const auto& read : reads) sum += read();
    return sum;
  }
};

using LabelValues = std::vector<std::string>;

struct Family {
  Type type = Type::counter;
  std::string help;
  std::vector<std::string> label_names;  // sorted
  std::vector<double> bounds;
  using All = std::map<LabelValues, std::unique_ptr<Series>>;
  All series;
  /// The series that stands for all others beyond the bound, when there is one.
  std::optional<All::iterator> other;

  void erase(All::iterator gone) {
    if (other == gone) other.reset();
    series.erase(gone);
  }
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

/// A series as a value.
struct Sum {
  std::uint64_t counted = 0;  // counter, or how often a histogram was told
  double value = 0;           // gauge, or the sum of a histogram
  std::vector<std::uint64_t> buckets;
};

struct SumFamily {
  Type type = Type::counter;
  std::string help;
  std::vector<std::string> label_names;  // sorted
  std::vector<double> bounds;
  std::map<LabelValues, Sum> series;
};

/// name{a="1",b="2"} with `suffix` after the name and `extra` as the last label.
void append_series_name(std::string& out, std::string_view name, std::string_view suffix,
                        const SumFamily& family, const LabelValues& values,
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

void append_histogram(std::string& out, std::string_view name, const SumFamily& family,
                      const LabelValues& values, const Sum& histogram) {
  std::uint64_t below = 0;
  for (std::size_t i = 0; i <= family.bounds.size(); ++i) {
    below += histogram.buckets[i];
    std::string bound = "le=\"";
    append_sample(bound, i < family.bounds.size() ? family.bounds[i] : HUGE_VAL);
    bound += '"';
    append_series_name(out, name, "_bucket", family, values, bound);
    out += std::to_string(below) + "\n";
  }
  append_series_name(out, name, "_sum", family, values);
  append_sample(out, histogram.value);
  out += '\n';
  append_series_name(out, name, "_count", family, values);
  out += std::to_string(histogram.counted) + "\n";
}

void append_family(std::string& out, std::string_view name, const SumFamily& family) {
  out.append("# HELP ").append(name).append(" ");
  append_escaped(out, family.help, false);
  out.append("\n# TYPE ").append(name).append(" ").append(type_name(family.type)).append("\n");
  for (const auto& [values, series] : family.series) {
    if (family.type == Type::histogram) {
      append_histogram(out, name, family, values, series);
      continue;
    }
    append_series_name(out, name, "", family, values);
    if (family.type == Type::counter) {
      out += std::to_string(series.counted);
    } else {
      append_sample(out, series.value);
    }
    out += '\n';
  }
}

Sum sum_of(const Series& series, Type type) {
  if (type == Type::counter) return {series.counter.value(), 0, {}};
  if (type == Type::gauge) return {0, series.gauge_value(), {}};
  Sum sum{series.histogram->count(), series.histogram->sum(), {}};
  for (std::size_t i = 0; i <= series.histogram->bounds().size(); ++i) {
    sum.buckets.push_back(series.histogram->in_bucket(i));
  }
  return sum;
}

void add_to(Sum& sum, const Sum& more) {
  sum.counted += more.counted;
  sum.value += more.value;
  for (std::size_t i = 0; i < sum.buckets.size(); ++i) sum.buckets[i] += more.buckets[i];
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
  std::vector<double> bounds;
  for (double decade = 1; decade < 100'000; decade *= 10) {
    for (const double step : {1, 2, 5}) bounds.push_back(decade * step);
  }
  bounds.push_back(100'000);
  return bounds;
}

struct Metrics::Impl {
  explicit Impl(std::size_t series_max) : series_max(std::max<std::size_t>(series_max, 1)) {}

  struct Place {
    Family* family;
    Family::All::iterator series;
  };

  Series& find(std::string_view name, std::string_view help, Type type, const MetricLabels& labels,
               std::vector<double> bounds = {}) {
    return *place(name, help, type, labels, std::move(bounds)).series->second;
  }

  Place place(std::string_view name, std::string_view help, Type type,
              const MetricLabels& unordered, std::vector<double> bounds) {
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
    if (known != family.series.end()) return Place{&family, known};
    // The series that stands for all others does not count against the bound.
    const bool full = family.series.size() - (family.other ? 1 : 0) >= series_max;
    if (full && family.other) return Place{&family, *family.other};
    if (full) values.assign(labels.size(), "other");
    const auto added = family.series.try_emplace(std::move(values)).first;
    if (full) family.other = added;
    std::unique_ptr<Series>& series = added->second;
    if (series == nullptr) {
      series = std::make_unique<Series>();
      if (type == Type::histogram) series->histogram.emplace(family.bounds);
    }
    return Place{&family, added};
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
  Series& series = impl_->find(name, help, Type::gauge, labels);
  series.read_by(series.own_read, std::move(read));
}

bool Metrics::remove(std::string_view name, const MetricLabels& labels) {
  const auto family = impl_->families.find(name);
  if (family == impl_->families.end()) return false;
  const auto series = family->second.series.find(values_of(sorted(labels)));
  if (series == family->second.series.end() || series->second->sets > 0) return false;
  family->second.erase(series);
  return true;
}

std::size_t Metrics::remove_labelled(std::string_view label_name, std::string_view label_value) {
  std::size_t removed = 0;
  for (auto& entry : impl_->families) {
    Family& family = entry.second;
    const auto found = std::find(family.label_names.begin(), family.label_names.end(), label_name);
    if (found == family.label_names.end()) continue;
    const auto index = static_cast<std::size_t>(found - family.label_names.begin());
    for (auto series = family.series.begin(); series != family.series.end();) {
      const auto here = series++;
      if (here->first[index] != label_value || here->second->sets != 0) continue;
      family.erase(here);
      ++removed;
    }
  }
  return removed;
}

std::string Metrics::prometheus_text() const { return snapshot().prometheus_text(); }

// ---------------------------------------------------------------------------- snapshot

struct MetricsSnapshot::Impl {
  std::map<std::string, SumFamily, std::less<>> families;
};

MetricsSnapshot::MetricsSnapshot() : impl_(std::make_unique<Impl>()) {}
MetricsSnapshot::~MetricsSnapshot() = default;
MetricsSnapshot::MetricsSnapshot(const MetricsSnapshot& other)
    : impl_(std::make_unique<Impl>(*other.impl_)) {}
MetricsSnapshot::MetricsSnapshot(MetricsSnapshot&&) noexcept = default;
MetricsSnapshot& MetricsSnapshot::operator=(MetricsSnapshot other) noexcept {
  impl_ = std::move(other.impl_);
  return *this;
}

MetricsSnapshot Metrics::snapshot() const {
  MetricsSnapshot taken;
  for (const auto& [name, family] : impl_->families) {
    if (family.series.empty()) continue;
    SumFamily& sums = taken.impl_->families[name];
    sums.type = family.type;
    sums.help = family.help;
    sums.label_names = family.label_names;
    sums.bounds = family.bounds;
    for (const auto& [values, series] : family.series) {
      sums.series.emplace_hint(sums.series.end(), values, sum_of(*series, family.type));
    }
  }
  return taken;
}

void MetricsSnapshot::add(const MetricsSnapshot& other) {
  for (const auto& [name, more] : other.impl_->families) {
    const auto [found, is_new] = impl_->families.try_emplace(name, more);
    if (is_new) continue;
    SumFamily& family = found->second;
    KN_ASSERT(family.type == more.type && family.label_names == more.label_names);
    KN_ASSERT(family.bounds == more.bounds);
    for (const auto& [values, sum] : more.series) {
      const auto [series, first] = family.series.try_emplace(values, sum);
      if (!first) add_to(series->second, sum);
    }
  }
}

std::string MetricsSnapshot::prometheus_text() const {
  std::string out;
  for (const auto& [name, family] : impl_->families) append_family(out, name, family);
  return out;
}

// ---------------------------------------------------------------------------- set

struct MetricSet::Impl {
  struct Mine {
    Metrics::Impl::Place place;
    std::optional<Series::Reads::iterator> read;
  };

  Mine& find(std::string_view name, std::string_view help, Type type, const MetricLabels& more,
             std::vector<double> bounds = {}) {
    MetricLabels all = labels;
    all.insert(all.end(), more.begin(), more.end());
    const Metrics::Impl::Place place = metrics.place(name, help, type, all, std::move(bounds));
    const auto known = std::find_if(series.begin(), series.end(), [&place](const Mine& mine) {
      return mine.place.series->second == place.series->second;
    });
    if (known != series.end()) return *known;
    ++place.series->second->sets;
    return series.emplace_back(Mine{place, std::nullopt});
  }

  Metrics::Impl& metrics;
  MetricLabels labels;
  std::vector<Mine> series;
};

MetricSet::MetricSet(Metrics& metrics, MetricLabels labels)
    : impl_(new Impl{*metrics.impl_, std::move(labels), {}}) {}

MetricSet::~MetricSet() {
  for (const Impl::Mine& mine : impl_->series) {
    Series& series = *mine.place.series->second;
    if (mine.read) series.reads.erase(*mine.read);
    if (--series.sets == 0) mine.place.family->erase(mine.place.series);
  }
}

Counter& MetricSet::counter(std::string_view name, std::string_view help,
                            const MetricLabels& labels) {
  return impl_->find(name, help, Type::counter, labels).place.series->second->counter;
}

Histogram& MetricSet::histogram(std::string_view name, std::string_view help,
                                std::vector<double> bounds, const MetricLabels& labels) {
  const Impl::Mine& mine = impl_->find(name, help, Type::histogram, labels, std::move(bounds));
  return *mine.place.series->second->histogram;
}

void MetricSet::gauge_from(std::string_view name, std::string_view help,
                           std::function<double()> read, const MetricLabels& labels) {
  Impl::Mine& mine = impl_->find(name, help, Type::gauge, labels);
  mine.place.series->second->read_by(mine.read, std::move(read));
}

// ---------------------------------------------------------------------------- answers

void AnswerMetrics::find(int status) {
  const auto known = [this](int wanted) {
    return std::find_if(by_status_.begin(), by_status_.end(),
                        [wanted](const Answers& answers) { return answers.status == wanted; });
  };
  auto found = known(status);
  const bool full = by_status_.size() >= statuses_max;
  const int status_class = status / 100;
  // Beyond the bound, one series per class is kept under the class's number.
  if (found == by_status_.end() && full) found = known(status_class);
  if (found == by_status_.end()) {
    const MetricLabels labels{{"response_code", full ? "other" : std::to_string(status)},
                              {"response_code_class", std::to_string(status_class) + "xx"}};
    Counter& count = series_.counter(names_.count, names_.count_help, labels);
    Histogram& latencies =
        series_.histogram(names_.latencies, names_.latencies_help, latency_bounds(), labels);
    by_status_.push_back({full ? status_class : status, &count, &latencies});
    found = by_status_.end() - 1;
  }
  last_ = static_cast<std::size_t>(found - by_status_.begin());
}

}  // namespace knative
