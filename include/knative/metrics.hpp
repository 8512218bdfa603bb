/// \file
/// Counters, gauges and histograms of one platform, in Prometheus text form.
///
/// A `Metrics` is an object like any other: whoever composes a platform owns one and hands it
/// down. Engines ask once for a handle and keep it; an increment is then a plain addition, so a
/// registry and its handles belong to one loop. It is not a time series store: it knows only now.
///
/// \code
/// knative::Metrics metrics;
/// knative::Counter& requests = metrics.counter(
///     "knative_requests_total", "Requests answered.", {{"code", "200"}, {"revision", "hello"}});
/// requests.add();
/// std::string page = metrics.prometheus_text();  // served as prometheus_content_type
/// \endcode
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
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

/// Bounds in seconds that suit requests: 1 ms to 30 s.
KNATIVE_EXPORT std::vector<double> latency_bounds();

/// One label of a series. Values may be any text; they are escaped.
struct MetricLabel {
  std::string name;
  std::string value;
};
/// Labels of a series; their order does not matter.
using MetricLabels = std::vector<MetricLabel>;

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
  /// series is removed or the registry is gone. Replaces an earlier `read` of the same series.
  void gauge_from(std::string_view name, std::string_view help, std::function<double()> read,
                  const MetricLabels& labels = {});

  /// Forget one series, e.g. of a deleted revision; its handle must not be used any more.
  /// Returns whether there was one.
  bool remove(std::string_view name, const MetricLabels& labels);
  /// Forget every series that has this label, of any name. Returns how many there were.
  std::size_t remove_labelled(std::string_view label_name, std::string_view label_value);

  /// Everything in text form, sorted by name and labels.
  std::string prometheus_text() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace knative
