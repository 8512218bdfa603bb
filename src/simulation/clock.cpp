// The virtual clock.
#include "simulation/world.hpp"

namespace knative::simulation {

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
