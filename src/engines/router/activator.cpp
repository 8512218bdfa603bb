#include <map>
#include <utility>

#include "knative/throttler.hpp"

namespace knative {

struct Activator::Impl {
  Timers& timers;
  Random random;
  Demand& demand;
  Metrics* metrics;
  std::map<std::string, std::shared_ptr<Throttler>, std::less<>> throttlers;
  std::uint64_t version = 1;
};

Activator::Activator(Timers& timers, const Random& random, Demand& demand, Metrics* metrics)
    : impl_(new Impl{timers, random.split("activator"), demand, metrics, {}}) {}

Activator::~Activator() = default;

std::shared_ptr<Throttler> Activator::add(const RevisionOptions& options) {
  const auto known = impl_->throttlers.find(options.revision);
  if (known != impl_->throttlers.end()) {
    if (known->second->options().uid == options.uid) {
      known->second->update(options);
      return known->second;
    }
    remove(*known->second);
  }
  auto throttler = std::make_shared<Throttler>(impl_->timers, impl_->random, impl_->demand, options,
                                               impl_->metrics);
  impl_->throttlers.emplace(options.revision, throttler);
  ++impl_->version;
  return throttler;
}

Throttler* Activator::find(std::string_view revision) const noexcept {
  const auto found = impl_->throttlers.find(revision);
  return found == impl_->throttlers.end() ? nullptr : found->second.get();
}

void Activator::remove(Throttler& throttler) {
  const auto found = impl_->throttlers.find(throttler.options().revision);
  if (found == impl_->throttlers.end() || found->second.get() != &throttler) return;
  const std::shared_ptr<Throttler> leaving = std::move(found->second);
  impl_->throttlers.erase(found);
  ++impl_->version;
  leaving->retire();
}

std::size_t Activator::size() const noexcept { return impl_->throttlers.size(); }
std::uint64_t Activator::version() const noexcept { return impl_->version; }

}  // namespace knative
