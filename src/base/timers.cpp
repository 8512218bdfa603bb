// The timer heap of both worlds.
#include <utility>

#include "knative/env.hpp"

namespace knative {

TimerNode::~TimerNode() { disarm(); }

void TimerNode::disarm() noexcept {
  if (queue_ != nullptr) queue_->remove(*this);
}

TimerQueue::~TimerQueue() {
  for (TimerNode* node : heap_) node->queue_ = nullptr;
}

void TimerQueue::add(TimerNode& node, Instant due) {
  node.disarm();
  heap_.push_back(&node);
  node.queue_ = this;
  // A node that is armed for the past while others fire goes behind them, not before.
  node.due_ = firing_ && due < *firing_ ? *firing_ : due;
  node.order_ = order_++;
  node.slot_ = heap_.size() - 1;
  up(node.slot_);
}

void TimerQueue::remove(TimerNode& node) noexcept {
  KN_ASSERT(node.queue_ == this);
  const std::size_t slot = node.slot_;
  node.queue_ = nullptr;
  TimerNode* last = heap_.back();
  heap_.pop_back();
  if (last == &node) return;
  heap_[slot] = last;
  last->slot_ = slot;
  up(slot);
  down(last->slot_);
}

std::optional<Instant> TimerQueue::next() const noexcept {
  if (heap_.empty()) return std::nullopt;
  return heap_.front()->due_;
}

std::size_t TimerQueue::fire_due(Instant now) {
  KN_ASSERT(!firing_);
  firing_ = now;
  const std::uint64_t end = order_;  // what is armed from here on waits for the next call
  std::size_t fired = 0;
  while (!heap_.empty()) {
    TimerNode& node = *heap_.front();
    if (node.due_ > now || node.order_ >= end) break;
    remove(node);
    ++fired;
    node.fire();
  }
  firing_.reset();
  return fired;
}

bool TimerQueue::before(const TimerNode& a, const TimerNode& b) noexcept {
  return a.due_ != b.due_ ? a.due_ < b.due_ : a.order_ < b.order_;
}

void TimerQueue::up(std::size_t slot) noexcept {
  TimerNode* node = heap_[slot];
  while (slot > 0) {
    const std::size_t parent = (slot - 1) / 2;
    if (!before(*node, *heap_[parent])) break;
    heap_[slot] = heap_[parent];
    heap_[slot]->slot_ = slot;
    slot = parent;
  }
  heap_[slot] = node;
  node->slot_ = slot;
}

void TimerQueue::down(std::size_t slot) noexcept {
  TimerNode* node = heap_[slot];
  for (;;) {
    std::size_t child = 2 * slot + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && before(*heap_[child + 1], *heap_[child])) ++child;
    if (!before(*heap_[child], *node)) break;
    heap_[slot] = heap_[child];
    heap_[slot]->slot_ = slot;
    slot = child;
  }
  heap_[slot] = node;
  node->slot_ = slot;
}

}  // namespace knative
