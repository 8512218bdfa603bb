// Worker threads that are only delays: work runs inline once its virtual time has come.
#include <algorithm>
#include <vector>

#include "simulation/world.hpp"

namespace knative::simulation {
namespace {

class VirtualOffload final : public OffloadWorld, public Offload {
 public:
  VirtualOffload(World& world, Random random, const Power& power)
      : world_(world), random_(random), power_(power) {
    free_at_.resize(static_cast<std::size_t>(std::max(1, world.options.offload_threads_max)));
  }
  ~VirtualOffload() override {
    // Work was promised to run to its end; nobody waits for it any more.
    while (!jobs_.empty()) {
      std::unique_ptr<Job> job = std::move(jobs_.begin()->second);
      jobs_.erase(jobs_.begin());
      job->disarm();
      job->work();
    }
  }
  Offload& offload() noexcept override { return *this; }
  std::size_t waiting() const noexcept override { return jobs_.size(); }
  void forget() override {
    // Moved out first: what a job owns may be anything.
    const std::map<std::uint64_t, std::unique_ptr<Job>> gone = std::exchange(jobs_, {});
    std::fill(free_at_.begin(), free_at_.end(), world_.clock.now());
  }

 protected:
  void submit(std::function<void()> work, std::function<void()> finished) override {
    if (!power_.on) return;
    const SimulationOptions& options = world_.options;
    const auto span =
        static_cast<std::uint64_t>((options.offload_max - options.offload_min).count());
    Duration takes = options.offload_min + Duration(random_.below(span + 1));
    const FaultPlan& plan = world_.faults.plan();
    if (world_.faults.chance(plan.offload_stall, "offload_stall", "")) {
      takes +=
          Duration(world_.faults.up_to(static_cast<std::uint64_t>(plan.offload_stall_max.count())));
    }
    // The worker that is free first takes it.
    Instant& worker = *std::min_element(free_at_.begin(), free_at_.end());
    worker = std::max(worker, world_.clock.now()) + takes;
    const std::uint64_t id = next_id_++;
    auto job = std::make_unique<Job>(*this, id, std::move(work), std::move(finished));
    job->submitted = world_.clock.now();
    world_.clock.arm(*job, worker);
    jobs_.emplace(id, std::move(job));
  }

 private:
  struct Job final : TimerNode {
    Job(VirtualOffload& owner, std::uint64_t number, std::function<void()> what,
        std::function<void()> then)
        : offload(owner), id(number), work(std::move(what)), finished(std::move(then)) {}
    void fire() noexcept override {
      std::unique_ptr<Job> self = std::move(offload.jobs_.at(id));
      offload.jobs_.erase(id);
      const Duration waited = offload.world_.clock.now() - submitted;
      offload.world_.record(TraceKind::offload, "", static_cast<std::uint64_t>(waited.count()));
      work();
      finished();
    }
    VirtualOffload& offload;
    std::uint64_t id;
    std::function<void()> work;
    std::function<void()> finished;
    Instant submitted{};
  };

  World& world_;
  Random random_;
  const Power& power_;
  std::vector<Instant> free_at_;
  std::map<std::uint64_t, std::unique_ptr<Job>> jobs_;
  std::uint64_t next_id_ = 1;
};

}  // namespace

std::unique_ptr<OffloadWorld> make_offload(World& world, Random random, const Power& power) {
  return std::make_unique<VirtualOffload>(world, random, power);
}

}  // namespace knative::simulation
