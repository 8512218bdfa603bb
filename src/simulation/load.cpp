// Arrival times and reports. The driver is here too: it needs nothing but timers.
#include "simulation/load_run.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>

namespace knative {

// ---------------------------------------------------------------------------- arrivals

Load Load::poisson(double rate_per_second, Duration duration) {
  return ramp(rate_per_second, rate_per_second, duration);
}

Load Load::constant(double rate_per_second, Duration duration) {
  Phase phase{Shape::constant};
  phase.duration = duration;
  phase.from = rate_per_second;
  return Load(std::move(phase));
}

Load Load::ramp(double from_per_second, double to_per_second, Duration duration) {
  Phase phase{from_per_second == to_per_second ? Shape::poisson : Shape::ramp};
  phase.duration = duration;
  phase.from = from_per_second;
  phase.to = to_per_second;
  return Load(std::move(phase));
}

Load Load::burst(std::size_t count, Duration interval, Duration duration) {
  Phase phase{Shape::burst};
  phase.duration = duration;
  phase.count = count;
  phase.interval = interval;
  return Load(std::move(phase));
}

Load Load::at(std::vector<Duration> times) {
  Phase phase{Shape::list};
  std::sort(times.begin(), times.end());
  phase.duration = times.empty() ? Duration(0) : times.back();
  phase.times = std::move(times);
  return Load(std::move(phase));
}

Load Load::silence(Duration duration) { return constant(0, duration); }

Load Load::then(const Load& next) const {
  Load both = *this;
  both.phases_.insert(both.phases_.end(), next.phases_.begin(), next.phases_.end());
  return both;
}

Duration Load::duration() const noexcept {
  Duration sum{0};
  for (const Phase& phase : phases_) sum += phase.duration;
  return sum;
}

std::vector<Duration> Load::arrivals(std::uint64_t seed) const {
  Cursor cursor(*this, Random(seed));
  std::vector<Duration> times;
  while (const std::optional<Duration> at = cursor.next()) times.push_back(*at);
  return times;
}

Load::Cursor::Cursor(Load load, Random random)
    : load_(std::make_shared<const Load>(std::move(load))), random_(random) {}

std::optional<Duration> Load::Cursor::next() {
  while (phase_ < load_->phases_.size()) {
    if (const std::optional<Duration> at = next_in_phase()) return base_ + *at;
    base_ += load_->phases_[phase_].duration;
    ++phase_;
    index_ = 0;
    elapsed_ = 0;
  }
  return std::nullopt;
}

std::optional<Duration> Load::Cursor::next_in_phase() {
  const Phase& phase = load_->phases_[phase_];
  const double length = std::chrono::duration<double>(phase.duration).count();
  const auto at = [](double seconds) { return Duration(std::llround(seconds * 1e9)); };
  switch (phase.shape) {
    case Shape::constant: {
      const double seconds = static_cast<double>(index_) / std::max(phase.from, 1e-12);
      if (phase.from <= 0 || seconds >= length) return std::nullopt;
      ++index_;
      return at(seconds);
    }
    case Shape::poisson:
    case Shape::ramp: {
      const double highest = std::max(phase.from, phase.to);
      if (highest <= 0) return std::nullopt;
      for (;;) {
        elapsed_ += random_.exponential(1 / highest);
        if (elapsed_ >= length) return std::nullopt;
        if (phase.shape == Shape::poisson) return at(elapsed_);
        // Thinning: keep an arrival with the share that the rate has of the highest rate.
        const double rate = phase.from + (phase.to - phase.from) * elapsed_ / length;
        if (random_.uniform() * highest < rate) return at(elapsed_);
      }
    }
    case Shape::burst: {
      if (phase.count == 0) return std::nullopt;
      const auto round = static_cast<std::int64_t>(index_ / phase.count);
      if (round > 0 && phase.interval <= Duration(0)) return std::nullopt;
      const Duration when = round * phase.interval;
      if (when >= phase.duration) return std::nullopt;
      ++index_;
      return when;
    }
    case Shape::list:
      if (index_ >= phase.times.size()) return std::nullopt;
      return phase.times[static_cast<std::size_t>(index_++)];
  }
  return std::nullopt;
}

// ---------------------------------------------------------------------------- report

namespace {

constexpr unsigned bucket_bits = 5;  // 32 buckets for each power of two

std::size_t bucket_of(std::uint64_t value) noexcept {
  if (value < (1U << bucket_bits)) return static_cast<std::size_t>(value);
  const auto exponent = static_cast<unsigned>(std::bit_width(value)) - 1;
  const std::uint64_t fraction = (value >> (exponent - bucket_bits)) & ((1U << bucket_bits) - 1);
  return static_cast<std::size_t>(((exponent - bucket_bits + 1) << bucket_bits) + fraction);
}

std::uint64_t bucket_begin(std::size_t bucket) noexcept {
  if (bucket < (1U << bucket_bits)) return bucket;
  const std::size_t shift = (bucket >> bucket_bits) - 1;
  const std::uint64_t fraction = bucket & ((1U << bucket_bits) - 1);
  return ((std::uint64_t{1} << bucket_bits) + fraction) << shift;
}

std::string milliseconds(Duration duration) {
  char text[48];
  std::snprintf(text, sizeof text, "%.3gms", static_cast<double>(duration.count()) / 1e6);
  return text;
}

}  // namespace

std::uint64_t LoadReport::status(int code) const {
  const auto found = by_status.find(code);
  return found == by_status.end() ? 0 : found->second;
}

void LoadReport::add_latency(Duration latency) {
  const std::size_t bucket =
      bucket_of(static_cast<std::uint64_t>(std::max(latency, Duration(0)).count()));
  if (latency_buckets.size() <= bucket) latency_buckets.resize(bucket + 1);
  ++latency_buckets[bucket];
  latency_min = finished == 0 ? latency : std::min(latency_min, latency);
  latency_max = finished == 0 ? latency : std::max(latency_max, latency);
  latency_sum += latency;
  ++finished;
}

Duration LoadReport::latency_mean() const {
  return finished == 0 ? Duration(0) : latency_sum / static_cast<std::int64_t>(finished);
}

Duration LoadReport::latency(double fraction) const {
  if (finished == 0) return Duration(0);
  if (fraction <= 0) return latency_min;
  const double wanted = std::ceil(std::clamp(fraction, 0.0, 1.0) * static_cast<double>(finished));
  const auto rank = static_cast<std::uint64_t>(std::max(1.0, wanted));
  std::uint64_t seen = 0;
  for (std::size_t bucket = 0; bucket < latency_buckets.size(); ++bucket) {
    seen += latency_buckets[bucket];
    if (seen < rank) continue;
    const std::uint64_t end = bucket_begin(bucket + 1) - 1;
    return std::clamp(Duration(static_cast<std::int64_t>(end)), latency_min, latency_max);
  }
  return latency_max;
}

std::string LoadReport::to_string() const {
  std::string text =
      std::to_string(started) + " started, " + std::to_string(finished) + " finished";
  if (skipped != 0) text += ", " + std::to_string(skipped) + " skipped";
  for (const auto& entry : by_status) {
    text += ", " + std::to_string(entry.first) + ": " + std::to_string(entry.second);
  }
  text += ", p50 " + milliseconds(latency(0.5)) + ", p99 " + milliseconds(latency(0.99)) +
          ", max " + milliseconds(latency_max);
  return text;
}

// ---------------------------------------------------------------------------- driver

LoadRun::Impl::Impl(Executor& executor, Timers& clock, Random random, const Load& load,
                    LoadOptions chosen, http::Handler* target,
                    std::function<Task<int>(std::uint64_t)> function)
    : timers(clock),
      options(std::move(chosen)),
      handler(target),
      call(std::move(function)),
      cursor(load, random),
      tasks(executor) {
  tasks.add(drive(*this));
}

Task<void> LoadRun::Impl::drive(Impl& self) {
  const Instant begin = self.timers.now();
  for (std::uint64_t n = 0;; ++n) {
    const std::optional<Duration> at = self.cursor.next();
    if (!at) break;
    co_await self.timers.sleep_until(begin + *at);
    LoadReport& report = self.report;
    if (report.in_flight() >= self.options.in_flight_max) {
      ++report.skipped;
      continue;
    }
    ++report.started;
    report.in_flight_max = std::max(report.in_flight_max, report.in_flight());
    self.tasks.add(one(self, n));
  }
  self.all_sent = true;
}

Task<int> LoadRun::Impl::request(Impl& self, std::uint64_t n) {
  http::Request request;
  if (self.options.request) request = self.options.request(n);
  http::Response response = co_await self.handler->handle(request);
  // An answer counts once it has been read to its end.
  while (http::BodySource* source = response.body.source()) {
    const Result<std::string_view> piece = co_await source->next();
    if (!piece) co_return body_failed;
    if (piece->empty()) break;
  }
  co_return response.status;
}

Task<void> LoadRun::Impl::one(Impl& self, std::uint64_t n) {
  const Instant begin = self.timers.now();
  int status = handler_threw;
  try {
    Task<int> work = self.handler != nullptr ? request(self, n) : self.call(n);
    status = co_await work;
  } catch (...) {
    status = handler_threw;
  }
  ++self.report.by_status[status];
  self.report.add_latency(self.timers.now() - begin);
}

LoadRun::LoadRun(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
LoadRun::LoadRun(LoadRun&&) noexcept = default;
LoadRun& LoadRun::operator=(LoadRun&&) noexcept = default;
LoadRun::~LoadRun() = default;

const LoadReport& LoadRun::report() const noexcept { return impl_->report; }
bool LoadRun::done() const noexcept { return impl_->all_sent && impl_->tasks.empty(); }
Task<void> LoadRun::finished() { return impl_->tasks.drained(); }

}  // namespace knative
