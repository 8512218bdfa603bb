#include <algorithm>

#include "knative/event_broker.hpp"

namespace knative {

std::size_t Dispatcher::room() const noexcept {
  const std::size_t in_window = window_ - std::min(window_, in_progress_.size() - beside_);
  const Offset span = next_ - cursor_;
  const std::size_t in_span = span >= span_max_ ? 0 : static_cast<std::size_t>(span_max_ - span);
  return std::min(in_window, in_span);
}

void Dispatcher::enter(Offset offset) {
  KN_ASSERT(offset >= next_);
  next_ = offset + 1;
  in_progress_.insert(offset);
  advance();  // records before `offset` that are gone count as done
}

void Dispatcher::skip_to(Offset offset) {
  next_ = std::max(next_, offset);
  advance();
}

void Dispatcher::finish(Offset offset) {
  const bool was_in_progress = in_progress_.erase(offset) == 1;
  KN_ASSERT(was_in_progress);
  if (offset < renewed_) --beside_;
  advance();
}

void Dispatcher::renew(std::size_t window, std::size_t span_max) noexcept {
  window_ = window;
  span_max_ = span_max;
  renewed_ = next_;
  beside_ = in_progress_.size();
}

void Dispatcher::advance() { cursor_ = in_progress_.empty() ? next_ : *in_progress_.begin(); }

}  // namespace knative
