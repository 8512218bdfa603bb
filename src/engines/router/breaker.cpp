#include <algorithm>

#include "knative/throttler.hpp"

namespace knative {

Breaker::Breaker(const Options& options) : options_(options), capacity_(options.initial_capacity) {
  KN_ASSERT(options.queue_depth_max > 0);
  KN_ASSERT(options.concurrency_max >= 0);
  KN_ASSERT(options.initial_capacity >= 0 && options.initial_capacity <= options.concurrency_max);
}

Breaker::~Breaker() {
  fail_waiting();
  KN_ASSERT(in_flight_ == 0);
}

Breaker::Slot Breaker::try_acquire() noexcept {
  // Nobody waits while there is room, so this never overtakes.
  if (in_flight_ >= capacity_) return Slot();
  ++in_flight_;
  return Slot(this);
}

void Breaker::set_capacity(int capacity) noexcept {
  capacity_ = std::clamp(capacity, 0, options_.concurrency_max);
  grant();
}

void Breaker::release() noexcept {
  KN_ASSERT(in_flight_ > 0);
  --in_flight_;
  grant();
}

void Breaker::grant() noexcept {
  while (first_ != nullptr && in_flight_ < capacity_) {
    Acquire& next = *first_;
    next.unlink();
    next.state_ = Acquire::State::granted;
    ++in_flight_;
    next.disarm();
    next.waiter_.wake();
  }
}

void Breaker::fail_waiting() noexcept {
  while (first_ != nullptr) {
    Acquire& next = *first_;
    next.unlink();
    next.state_ = Acquire::State::failed;
    next.disarm();
    next.waiter_.wake();
  }
}

Breaker::Acquire::~Acquire() {
  if (state_ == State::waiting) unlink();
  // Granted, but its task was dropped before it could take the slot.
  if (state_ == State::granted) breaker_->release();
}

bool Breaker::Acquire::await_ready() noexcept {
  if (breaker_->in_flight_ < breaker_->capacity_) {
    ++breaker_->in_flight_;
    state_ = State::granted;
    return true;
  }
  const std::int64_t slots =
      std::int64_t{breaker_->options_.queue_depth_max} + breaker_->options_.concurrency_max;
  if (breaker_->pending() >= slots) {
    state_ = State::full;
    return true;
  }
  if (timers_ != nullptr && deadline_ <= timers_->now()) {
    state_ = State::expired;
    return true;
  }
  return false;
}

void Breaker::Acquire::enqueue() {
  previous_ = breaker_->last_;
  (previous_ != nullptr ? previous_->next_ : breaker_->first_) = this;
  breaker_->last_ = this;
  ++breaker_->waiting_;
  state_ = State::waiting;
  if (timers_ != nullptr) timers_->arm(*this, deadline_);
}

void Breaker::Acquire::unlink() noexcept {
  (previous_ != nullptr ? previous_->next_ : breaker_->first_) = next_;
  (next_ != nullptr ? next_->previous_ : breaker_->last_) = previous_;
  previous_ = next_ = nullptr;
  --breaker_->waiting_;
}

void Breaker::Acquire::fire() noexcept {
  if (state_ != State::waiting) return;
  unlink();
  state_ = State::expired;
  waiter_.wake();
}

Result<Breaker::Slot> Breaker::Acquire::await_resume() {
  switch (state_) {
    case State::granted: state_ = State::fresh; return Slot(breaker_);
    case State::full: return fail(Errc::resource_exhausted, "pending request queue full");
    case State::expired: return fail(Errc::deadline_exceeded, "waited too long for a free slot");
    case State::failed: return fail(Errc::unavailable, "waiting was ended");
    case State::fresh:
    case State::waiting: break;
  }
  KN_ASSERT(state_ == State::granted);
  return fail(Errc::internal, "");
}

}  // namespace knative
