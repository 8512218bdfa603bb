// The virtual clock, and the order of a turn.
#include <utility>

#include "simulation/world.hpp"

namespace knative::simulation {

void ReadyQueue::shuffle(Random& random) {
  collect_ready(order_);
  if (order_.size() < 2) return;
  for (std::size_t left = order_.size(); left > 1; --left) {
    std::swap(order_[left - 1], order_[static_cast<std::size_t>(random.below(left))]);
  }
  requeue(order_);
}

std::size_t ReadyQueue::ready() const {
  std::vector<Fiber*> fibers;
  collect_ready(fibers);
  return fibers.size();
}

WallTime VirtualClock::wall() const noexcept { return wall_start_ + now_.time_since_epoch(); }

void VirtualClock::arm(TimerNode& node, Instant due) {
  if (node.armed()) node.disarm();
  queue_.add(node, due);
}

std::size_t VirtualClock::advance(Instant to) {
  KN_ASSERT(to >= now_);
  now_ = to;
  const std::size_t count = queue_.fire_due(to);
  fired_ += count;
  return count;
}

}  // namespace knative::simulation
