#include "knative/throttler.hpp"

namespace knative {

void RequestStats::advance(Instant now) noexcept {
  if (now <= changed_) return;
  const double elapsed = static_cast<double>((now - changed_).count());
  area_ += elapsed * concurrency_;
  proxied_area_ += elapsed * proxied_;
  changed_ = now;
}

void RequestStats::arrived(Instant now, bool proxied) noexcept {
  advance(now);
  ++concurrency_;
  ++count_;
  if (proxied) {
    ++proxied_;
    ++proxied_count_;
  }
}

void RequestStats::finished(Instant now, bool proxied) noexcept {
  advance(now);
  --concurrency_;
  if (proxied) --proxied_;
}

RequestStats::Report RequestStats::report(Instant now) noexcept {
  advance(now);
  Report report;
  report.request_count = count_;
  report.proxied_request_count = proxied_count_;
  report.elapsed = changed_ - since_;
  if (report.elapsed.count() > 0) {
    const double elapsed = static_cast<double>(report.elapsed.count());
    report.average_concurrency = area_ / elapsed;
    report.average_proxied_concurrency = proxied_area_ / elapsed;
  } else {
    report.average_concurrency = concurrency_;
    report.average_proxied_concurrency = proxied_;
  }
  since_ = changed_;
  area_ = proxied_area_ = 0;
  count_ = proxied_count_ = 0;
  return report;
}

}  // namespace knative
