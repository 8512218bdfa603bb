/// \file
/// Counters, gauges and histograms of one platform, in Prometheus text form.
///
/// A `Metrics` is an object like any other: whoever composes a platform owns one and hands it
/// down. Engines ask once for a handle and keep it; an increment is then a plain addition, so a
/// registry and its handles belong to one loop. With several loops each has its own, and what they
/// count is summed when it is read (`MetricsSnapshot`). It is not a time series store: it knows
/// only now.
///
/// \code
/// knative::Metrics metrics;
/// knative::Counter& requests = metrics.counter(
///     "requests_total", "Requests answered.", {{"code", "200"}, {"revision", "hello"}});
/// requests.add();
/// std::string page = metrics.prometheus_text();  // served as prometheus_content_type
/// \endcode
///
/// The names that a platform exports are listed in docs/metrics.md.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "knative/version.hpp"

namespace knative {

/// The Content-Type of `Metrics::prometheus_text` (exposition format 0.0.4).
inline constexpr std::string_view prometheus_content_type =
    "text/plain; version=0.0.4; charset=utf-8";

/// A number that only grows.
class KNATIVE_EXPORT Counter {
 public:
  Counter() = default;
  Counter(const Counter&) = delete;
  Counter& operator=(const Counter&) = delete;
  void add(std::uint64_t amount = 1) noexcept { value_ += amount; }
  std::uint64_t value() const noexcept { return value_; }

 private:
  std::uint64_t value_ = 0;
};

/// A number that goes up and down.
class KNATIVE_EXPORT Gauge {
 public:
  Gauge() = default;
  Gauge(const Gauge&) = delete;
  Gauge& operator=(const Gauge&) = delete;
  void set(double value) noexcept { value_ = value; }
  void add(double amount) noexcept { value_ += amount; }
  double value() const noexcept { return value_; }

 private:
  double value_ = 0;
};

/// How often observed values fell below each of some bounds.
class KNATIVE_EXPORT Histogram {
 public:
  /// `bounds`: upper bounds (inclusive) in ascending order, without infinity.
  explicit Histogram(std::vector<double> bounds);
  Histogram(const Histogram&) = delete;
  Histogram& operator=(const Histogram&) = delete;

  /// Count `value`; one that is not a number is counted above all bounds and left out of the sum.
  void observe(double value) noexcept;
  std::uint64_t count() const noexcept { return count_; }
  double sum() const noexcept { return sum_; }
  const std::vector<double>& bounds() const noexcept { return bounds_; }
  /// Values at or below `bounds()[index]` but above the bound before it; one more entry than
  /// bounds for those above all of them.
  std::uint64_t in_bucket(std::size_t index) const noexcept { return counts_[index]; }

 private:
  std::vector<double> bounds_;
  std::vector<std::uint64_t> counts_;
  std::uint64_t count_ = 0;
  double sum_ = 0;
};

/// Bounds in milliseconds that suit requests and deliveries: 1, 2, 5, 10, ... 100,000, as
/// Knative's.
KNATIVE_EXPORT std::vector<double> latency_bounds();

/// One label of a series. Values may be any text; they are escaped.
struct MetricLabel {
  std::string name;
  std::string value;
  friend bool operator==(const MetricLabel&, const MetricLabel&) = default;
};
/// Labels of a series; their order does not matter.
using MetricLabels = std::vector<MetricLabel>;

/// What one registry holds at one moment: a value, free to cross threads. Snapshots of several
/// loops are added up and read as one.
///
/// \code
/// MetricsSnapshot all = here.snapshot();
/// all.add(there);  // taken on another loop, come over its mailbox
/// std::string page = all.prometheus_text();
/// \endcode
class KNATIVE_EXPORT MetricsSnapshot {
 public:
  MetricsSnapshot();
  ~MetricsSnapshot();
  MetricsSnapshot(const MetricsSnapshot& other);
  MetricsSnapshot(MetricsSnapshot&&) noexcept;
  MetricsSnapshot& operator=(MetricsSnapshot other) noexcept;

  /// Add every series of `other` to that of the same name and labels: counters, gauges and
  /// buckets alike. Help texts stay as they are here. A name of another type, or with other
  /// labels or bounds, is an assertion, as in one registry.
  void add(const MetricsSnapshot& other);
  /// Everything in text form, sorted by name and labels.
  std::string prometheus_text() const;

 private:
  friend class Metrics;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The registry. Handles stay valid until the registry is gone or their series is removed.
///
/// Asking again with the same name and labels gives the same handle. Names, label names and types
/// are the programmer's: a malformed one, or one that contradicts an earlier call for that name,
/// is an assertion. Label values come from outside: beyond `series_max` series of one name, all
/// further ones share one series whose label values are "other".
class KNATIVE_EXPORT Metrics {
 public:
  /// `series_max`: bound on the series of each name.
  explicit Metrics(std::size_t series_max = 1000);
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  Counter& counter(std::string_view name, std::string_view help, const MetricLabels& labels = {});
  Gauge& gauge(std::string_view name, std::string_view help, const MetricLabels& labels = {});
  /// `bounds` count for the first series of a name; the others share them.
  Histogram& histogram(std::string_view name, std::string_view help, std::vector<double> bounds,
                       const MetricLabels& labels = {});
  /// A gauge whose value is asked for when the text is made. `read` must stay callable until the
  /// series is removed or the registry is gone. Replaces an earlier `read` given here for the
  /// same series.
  void gauge_from(std::string_view name, std::string_view help, std::function<double()> read,
                  const MetricLabels& labels = {});

  /// Forget one series; its handle must not be used any more. Returns whether there was one. What
  /// belongs to a `MetricSet` stays.
  bool remove(std::string_view name, const MetricLabels& labels);
  /// The same for every series that has this label, of any name. Returns how many there were.
  std::size_t remove_labelled(std::string_view label_name, std::string_view label_value);

  /// What is there now; gauges given as functions are asked.
  MetricsSnapshot snapshot() const;
  /// `snapshot()` in text form.
  std::string prometheus_text() const;

 private:
  friend class MetricSet;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The series of one owner, such as a revision or a trigger: they are forgotten when the set goes,
/// except those that another set has, too (an owner and its successor of the same name may
/// overlap).
class KNATIVE_EXPORT MetricSet {
 public:
  /// `labels` stand on every series of the set. `metrics` must outlive it.
  explicit MetricSet(Metrics& metrics, MetricLabels labels = {});
  ~MetricSet();
  MetricSet(const MetricSet&) = delete;
  MetricSet& operator=(const MetricSet&) = delete;

  /// As in `Metrics`; `labels` come on top of those of the set. Handles are good as long as it.
  Counter& counter(std::string_view name, std::string_view help, const MetricLabels& labels = {});
  Histogram& histogram(std::string_view name, std::string_view help, std::vector<double> bounds,
                       const MetricLabels& labels = {});
  /// `read` must stay callable as long as the set lives. What several sets have shows their sum.
  void gauge_from(std::string_view name, std::string_view help, std::function<double()> read,
                  const MetricLabels& labels = {});

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Answers by status under Knative's labels response_code and response_code_class: how many, and
/// how long they took. A status is looked up in the registry when it is first seen, never again.
class KNATIVE_EXPORT AnswerMetrics {
 public:
  /// Names and help texts of the counter and of the histogram.
  struct Names {
    std::string count;
    std::string count_help;
    std::string latencies;
    std::string latencies_help;
  };
  /// `series` must outlive it.
  AnswerMetrics(MetricSet& series, Names names) : series_(series), names_(std::move(names)) {}
  /// Count one answer with an HTTP status (0: none came).
  void answered(int status, double milliseconds) {
    if (by_status_.empty() || by_status_[last_].status != status) find(status);
    by_status_[last_].count->add();
    by_status_[last_].latencies->observe(milliseconds);
  }

 private:
  /// Statuses with series of their own; a function may make up any, and the rest is "other".
  static constexpr std::size_t statuses_max = 32;
  struct Answers {
    int status;
    Counter* count;
    Histogram* latencies;
  };
  void find(int status);
  MetricSet& series_;
  Names names_;
  std::vector<Answers> by_status_;
  std::size_t last_ = 0;
};

}  // namespace knative
