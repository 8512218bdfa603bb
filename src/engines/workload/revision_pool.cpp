#include <algorithm>

#include "knative/workload.hpp"

namespace knative {
namespace {

Task<void> wait_for(Wakeup& event) { co_await event.wait(); }

}  // namespace

Duration RestartSchedule::failed(Instant now) noexcept {
  if (ready_since_ && now - *ready_since_ >= options_.reset_after) failures_ = 0;
  ready_since_.reset();
  ++failures_;
  if (failures_ == 1) return Duration{0};
  Duration delay = options_.initial;
  for (int i = 2; i < failures_ && delay < options_.max; ++i) delay *= 2;
  return std::min(delay, options_.max);
}

struct RevisionPool::Impl {
  enum class State : unsigned char { starting, ready, stopping };
  /// A place for one instance at a time.
  struct Slot {
    explicit Slot(std::uint64_t o, const RestartSchedule::Options& restart)
        : order(o), schedule(restart) {}
    std::uint64_t order;
    RestartSchedule schedule;
    std::unique_ptr<Instance> instance;
    State state = State::starting;
    bool announced = false;
    Wakeup stop;
  };

  Impl(Executor& executor, Timers& t, Logger& l, WorkloadRuntime& r, EndpointListener& e,
       WorkloadSpec s, RevisionPoolOptions o)
      : timers(t),
        logger(l),
        runtime(r),
        listener(e),
        spec(std::move(s)),
        options(o),
        tasks(executor) {}

  int count(State state) const noexcept {
    return static_cast<int>(std::count_if(
        slots.begin(), slots.end(), [state](const auto& slot) { return slot->state == state; }));
  }

  void scale_to(int target) {
    wanted = std::clamp(target, 0, options.instances_max);
    int active = count(State::starting) + count(State::ready);
    bool changed = false;
    while (active < wanted) {
      slots.push_back(std::make_unique<Slot>(next_order++, options.restart));
      tasks.add(run(*slots.back()));
      ++active;
      changed = true;
    }
    while (active > wanted) {
      Slot& victim = least_useful();
      victim.state = State::stopping;
      victim.stop.set();
      --active;
      changed = true;
    }
    if (changed) listener.pool_changed();
  }

  Slot& least_useful() const noexcept {
    Slot* chosen = nullptr;
    for (const auto& slot : slots) {
      if (slot->state == State::stopping) continue;
      const bool starting = slot->state == State::starting;
      const bool chosen_starting = chosen != nullptr && chosen->state == State::starting;
      if (chosen == nullptr || (starting && !chosen_starting) ||
          (starting == chosen_starting && slot->order > chosen->order)) {
        chosen = slot.get();
      }
    }
    return *chosen;
  }

  /// Keeps one slot filled until it is told to stop.
  Task<void> run(Slot& slot) {
    while (!slot.stop.is_set()) {
      const std::optional<Error> problem = co_await live(slot);
      if (!problem) break;
      const Duration delay = slot.schedule.failed(timers.now());
      ++restarts;
      last_error = *problem;
      logger.log(LogLevel::warning, "workload", "instance failed",
                 {{"revision", spec.name}, {"error", problem->to_string()}});
      if (!slot.stop.is_set()) slot.state = State::starting;
      listener.instance_failed(*problem, slot.schedule.failures());
      listener.pool_changed();
      co_await with_deadline(timers, wait_for(slot.stop), timers.now() + delay);
    }
    std::erase_if(slots, [&slot](const auto& other) { return other.get() == &slot; });
    listener.pool_changed();
  }

  /// One instance from start to end; yields why it ended unless it was stopped.
  Task<std::optional<Error>> live(Slot& slot) {
    auto started = co_await race(runtime.start(spec), wait_for(slot.stop));
    if (!started.first) co_return std::nullopt;
    if (!*started.first) co_return started.first->error();
    slot.instance = std::move(**started.first);
    auto waited = co_await race(slot.instance->ready(), wait_for(slot.stop));
    std::optional<Error> problem;
    if (waited.first && !*waited.first) problem = waited.first->error();
    if (problem || slot.stop.is_set()) {
      const Duration grace = problem ? Duration::zero() : spec.stop_grace;
      co_await slot.instance->stop(grace);
      slot.instance.reset();
      co_return problem;
    }
    announce(slot);
    auto ended = co_await race(slot.instance->exited(), wait_for(slot.stop));
    if (ended.first) {
      problem = fail(Errc::unavailable,
                     spec.name + " ended by itself (" + ended.first->to_string() + ")");
    } else {
      listener.pool_changed();
      Task<void> drained = listener.endpoint_draining(*slot.instance);
      co_await with_deadline(timers, std::move(drained), timers.now() + options.drain_timeout);
    }
    slot.announced = false;
    listener.endpoint_gone(*slot.instance);
    if (!problem) co_await slot.instance->stop(spec.stop_grace);
    slot.instance.reset();
    co_return problem;
  }

  void announce(Slot& slot) {
    slot.state = State::ready;
    slot.announced = true;
    slot.schedule.ready(timers.now());
    last_error.reset();
    listener.endpoint_ready(*slot.instance);
    listener.pool_changed();
  }

  Timers& timers;
  Logger& logger;
  WorkloadRuntime& runtime;
  EndpointListener& listener;
  WorkloadSpec spec;
  RevisionPoolOptions options;
  int wanted = 0;
  std::uint64_t next_order = 0;
  std::uint64_t restarts = 0;
  std::optional<Error> last_error;
  std::vector<std::unique_ptr<Slot>> slots;
  TaskSet tasks;
};

RevisionPool::RevisionPool(Executor& executor, Timers& timers, Logger& logger,
                           WorkloadRuntime& runtime, EndpointListener& listener, WorkloadSpec spec,
                           RevisionPoolOptions options)
    : impl_(std::make_unique<Impl>(executor, timers, logger, runtime, listener, std::move(spec),
                                   options)) {}

RevisionPool::~RevisionPool() {
  impl_->tasks.clear();
  for (const auto& slot : impl_->slots) {
    if (slot->announced) impl_->listener.endpoint_gone(*slot->instance);
  }
}

void RevisionPool::scale_to(int count) { impl_->scale_to(count); }

Task<void> RevisionPool::stop() {
  impl_->scale_to(0);
  return impl_->tasks.drained();
}

const WorkloadSpec& RevisionPool::spec() const noexcept { return impl_->spec; }
int RevisionPool::wanted() const noexcept { return impl_->wanted; }
int RevisionPool::ready() const noexcept { return impl_->count(Impl::State::ready); }
int RevisionPool::starting() const noexcept { return impl_->count(Impl::State::starting); }
int RevisionPool::stopping() const noexcept { return impl_->count(Impl::State::stopping); }
std::uint64_t RevisionPool::restarts() const noexcept { return impl_->restarts; }
const std::optional<Error>& RevisionPool::last_error() const noexcept { return impl_->last_error; }

}  // namespace knative
