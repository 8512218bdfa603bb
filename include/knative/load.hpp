/// \file
/// `Load`: when requests arrive, as a value; and how it went, as a report.
///
/// Arrival times are pure and seeded. `Simulation::load` drives them against a Handler in virtual
/// time; a benchmark may walk a `Load::Cursor` in real time. Not thread-safe.
///
/// \code
/// using namespace std::chrono_literals;
/// knative::Load day = knative::Load::ramp(1, 200, 5min).then(knative::Load::silence(10min));
/// knative::LoadRun run = sim.load(handler, day);
/// sim.run_for(15min);
/// std::puts(run.report().to_string().c_str());
/// \endcode
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "knative/env.hpp"
#include "knative/http.hpp"

namespace knative {

/// When requests arrive. A value; the same seed gives the same times.
class KNATIVE_EXPORT Load {
 public:
  /// Independent arrivals with this mean rate.
  static Load poisson(double rate_per_second, Duration duration);
  /// Evenly spaced; the first at once.
  static Load constant(double rate_per_second, Duration duration);
  /// Independent arrivals whose mean rate goes linearly from one to the other.
  static Load ramp(double from_per_second, double to_per_second, Duration duration);
  /// `count` at once every `interval`, the first at once.
  static Load burst(std::size_t count, Duration interval, Duration duration);
  /// At these times after the beginning.
  static Load at(std::vector<Duration> times);
  /// Nobody comes.
  static Load silence(Duration duration);

  /// This one, and the other after its end.
  Load then(const Load& next) const;
  Duration duration() const noexcept;
  /// All arrival times after the beginning, in order.
  std::vector<Duration> arrivals(std::uint64_t seed) const;

  /// Hands out the arrival times one by one.
  class KNATIVE_EXPORT Cursor {
   public:
    Cursor(Load load, Random random);
    /// Empty at the end.
    std::optional<Duration> next();

   private:
    std::optional<Duration> next_in_phase();
    std::shared_ptr<const Load> load_;
    Random random_;
    std::size_t phase_ = 0;
    std::uint64_t index_ = 0;
    double elapsed_ = 0;
    Duration base_{0};
  };

 private:
  enum class Shape : unsigned char { poisson, constant, ramp, burst, list };
  struct Phase {
    Shape shape;
    Duration duration{0};
    double from = 0;
    double to = 0;
    std::uint64_t count = 0;
    Duration interval{0};
    std::vector<Duration> times;
  };
  explicit Load(Phase phase) { phases_.push_back(std::move(phase)); }
  std::vector<Phase> phases_;
};

/// How a load went so far. Percentiles are exact to 1/32.
struct KNATIVE_EXPORT LoadReport {
  std::uint64_t started = 0;
  std::uint64_t finished = 0;
  std::uint64_t in_flight_max = 0;
  /// Requests that the generator had to skip because `LoadOptions::in_flight_max` was reached.
  std::uint64_t skipped = 0;
  std::map<int, std::uint64_t> by_status;  ///< -1: the handler threw.
  Duration latency_min{0};
  Duration latency_max{0};
  Duration latency_sum{0};
  std::vector<std::uint64_t> latency_buckets;

  std::uint64_t in_flight() const noexcept { return started - finished; }
  std::uint64_t status(int code) const;
  Duration latency_mean() const;
  /// `fraction` in [0, 1], e.g. 0.99.
  Duration latency(double fraction) const;
  /// "300 started, 300 finished, 200: 299, 503: 1, p50 1.2ms, p99 8ms, max 9ms"
  std::string to_string() const;
  void add_latency(Duration latency);
};

/// How a load is driven.
struct LoadOptions {
  std::string name = "load";  ///< Splits the chance: two loads of one name arrive alike.
  std::size_t in_flight_max = 100'000;
  /// Makes the n-th request; empty: GET / for everyone.
  std::function<http::Request(std::uint64_t)> request;
};

/// A load that is being driven; dropping it cancels what is in flight. Must not outlive the
/// simulation or the handler.
class KNATIVE_EXPORT LoadRun {
 public:
  LoadRun(LoadRun&&) noexcept;
  LoadRun& operator=(LoadRun&&) noexcept;
  ~LoadRun();
  const LoadReport& report() const noexcept;
  /// True when every arrival was answered.
  bool done() const noexcept;
  Task<void> finished();

 private:
  friend class Simulation;
  struct Impl;
  explicit LoadRun(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace knative
