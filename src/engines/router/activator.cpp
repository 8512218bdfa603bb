#include <map>
#include <utility>

#include "knative/router.hpp"

namespace knative {

struct Activator::Impl {
  Timers& timers;
  Random random;
  Demand& demand;
  Metrics* metrics;
  std::map<std::string, std::unique_ptr<Throttler>, std::less<>> throttlers;
  std::vector<std::unique_ptr<Throttler>> retired;
  std::uint64_t version = 0;

  void sweep() {
    std::erase_if(retired, [](const auto& throttler) { return throttler->in_flight() == 0; });
  }
};

Activator::Activator(Timers& timers, const Random& random, Demand& demand, Metrics* metrics)
    : impl_(new Impl{timers, random.split("activator"), demand, metrics, {}, {}, 0}) {}

Activator::~Activator() = default;

Throttler& Activator::add(const RevisionOptions& options) {
  impl_->sweep();
  std::unique_ptr<Throttler>& throttler = impl_->throttlers[options.revision];
  if (throttler) {
    throttler->update(options);
  } else {
    throttler = std::make_unique<Throttler>(impl_->timers, impl_->random, impl_->demand, options,
                                            impl_->metrics);
    ++impl_->version;
  }
  return *throttler;
}

Throttler* Activator::find(std::string_view revision) const noexcept {
  const auto found = impl_->throttlers.find(revision);
  return found == impl_->throttlers.end() ? nullptr : found->second.get();
}

void Activator::remove(std::string_view revision) {
  impl_->sweep();
  const auto found = impl_->throttlers.find(revision);
  if (found == impl_->throttlers.end()) return;
  found->second->fail_waiting("the revision was deleted");
  // Requests in progress still use it.
  impl_->retired.push_back(std::move(found->second));
  impl_->throttlers.erase(found);
  ++impl_->version;
  impl_->sweep();
}

std::uint64_t Activator::version() const noexcept { return impl_->version; }

}  // namespace knative
