#include <algorithm>
#include <cmath>

#include "knative/autoscaler.hpp"

namespace knative {
namespace {

constexpr double smallest_weight = 0.0001;
constexpr double decay_min = 0.2;

std::size_t bucket_count(Duration window, Duration granularity) {
  KN_ASSERT(granularity.count() > 0);
  const auto count = (window.count() + granularity.count() - 1) / granularity.count();
  return static_cast<std::size_t>(std::max<Duration::rep>(1, count));
}

std::int64_t floor_divide(Duration a, Duration b) noexcept {
  const std::int64_t quotient = a.count() / b.count();
  return a.count() % b.count() < 0 ? quotient - 1 : quotient;
}

double rounded(double value) noexcept { return std::round(value * 1e6) / 1e6; }

double decay_for(std::size_t buckets) {
  return std::max(decay_min, 1 - std::pow(smallest_weight, 1.0 / static_cast<double>(buckets)));
}

std::size_t ring_index(std::int64_t slot, std::size_t size) noexcept {
  const auto n = static_cast<std::int64_t>(size);
  return static_cast<std::size_t>(((slot % n) + n) % n);
}

}  // namespace

Window::Window(Duration window, WindowAggregation aggregation, Duration granularity)
    : buckets_(bucket_count(window, granularity), 0.0),
      granularity_(granularity),
      aggregation_(aggregation),
      decay_(decay_for(buckets_.size())) {}

std::int64_t Window::slot_of(Instant now) const noexcept {
  return floor_divide(now.time_since_epoch(), granularity_);
}

double& Window::bucket(std::int64_t slot) noexcept {
  return buckets_[ring_index(slot, buckets_.size())];
}

double Window::bucket(std::int64_t slot) const noexcept {
  return buckets_[ring_index(slot, buckets_.size())];
}

void Window::record(Instant now, double value) noexcept {
  const std::int64_t slot = slot_of(now);
  const auto n = static_cast<std::int64_t>(buckets_.size());
  if (written_ && slot <= last_ - n) return;
  if (!written_ || slot - last_ >= n) {
    std::fill(buckets_.begin(), buckets_.end(), 0.0);
    total_ = 0;
    first_ = last_ = slot;
    written_ = true;
  }
  first_ = std::min(first_, slot);
  while (last_ < slot) {
    double& skipped = bucket(++last_);
    total_ -= skipped;
    skipped = 0;
  }
  bucket(slot) += value;
  total_ += value;
}

bool Window::empty(Instant now) const noexcept {
  return !written_ || slot_of(now) - last_ > static_cast<std::int64_t>(buckets_.size());
}

double Window::average(Instant now) const noexcept {
  if (!written_) return 0;
  const std::int64_t slot = slot_of(now);
  if (slot - last_ >= static_cast<std::int64_t>(buckets_.size())) return 0;
  return aggregation_ == WindowAggregation::linear ? linear(slot) : weighted(slot);
}

double Window::linear(std::int64_t slot) const noexcept {
  const auto n = static_cast<std::int64_t>(buckets_.size());
  const std::int64_t silent = std::max<std::int64_t>(0, slot - last_);
  double sum = total_;
  for (std::int64_t aged = last_ + 1; aged <= last_ + silent; ++aged) sum -= bucket(aged);
  const std::int64_t seconds = std::min(last_ - first_ + 1, n - silent);
  return rounded(sum / static_cast<double>(seconds));
}

double Window::weighted(std::int64_t slot) const noexcept {
  const auto n = static_cast<std::int64_t>(buckets_.size());
  const std::int64_t silent = std::max<std::int64_t>(0, slot - last_);
  double weight = decay_ * std::pow(1 - decay_, static_cast<double>(silent));
  double sum = 0;
  for (std::int64_t back = 0; back < n - silent; ++back) {
    sum += bucket(last_ - back) * weight;
    weight *= 1 - decay_;
  }
  return sum;
}

void Window::resize(Duration window) {
  const std::size_t wanted = bucket_count(window, granularity_);
  if (wanted == buckets_.size()) return;
  const std::size_t kept = std::min(wanted, buckets_.size());
  std::vector<double> fresh(wanted, 0.0);
  double total = 0;
  for (std::size_t back = 0; written_ && back < kept; ++back) {
    const std::int64_t slot = last_ - static_cast<std::int64_t>(back);
    const double value = bucket(slot);
    fresh[ring_index(slot, wanted)] = value;
    total += value;
  }
  if (written_) first_ = last_ - static_cast<std::int64_t>(buckets_.size()) + 1;
  buckets_ = std::move(fresh);
  total_ = total;
  decay_ = decay_for(wanted);
}

MaxWindow::MaxWindow(Duration window, Duration granularity)
    : ring_(bucket_count(window, granularity)), granularity_(granularity) {}

void MaxWindow::record(Instant now, int value) noexcept {
  const std::int64_t slot = floor_divide(now.time_since_epoch(), granularity_);
  const std::size_t n = ring_.size();
  while (size_ > 0 && ring_[head_].slot <= slot - static_cast<std::int64_t>(n)) {
    head_ = (head_ + 1) % n;
    --size_;
  }
  while (size_ > 0 && ring_[(head_ + size_ - 1) % n].value <= value) --size_;
  if (size_ > 0 && ring_[(head_ + size_ - 1) % n].slot == slot) return;
  ring_[(head_ + size_) % n] = Entry{slot, value};
  ++size_;
}

}  // namespace knative
