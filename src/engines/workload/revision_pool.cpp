#include <algorithm>

#include "base/complaints.hpp"
#include "base/wait_for.hpp"
#include "engines/workload/probes.hpp"

namespace knative {

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
    ContainerSpec spec;
    std::shared_ptr<void> kept;  ///< What `prepare` made for the instance.
    std::unique_ptr<Container> container;
    std::shared_ptr<http::Handler> announced;  ///< What the listener knows of it.
    Task<void> leaving;                        ///< The end of its requests while it is not ready.
    State state = State::starting;
    Wakeup stop;
  };

  Impl(Env& e, ContainerRuntime& r, EndpointListener& l, InstanceSpec s, RevisionPoolOptions o)
      : env(e),
        timers(e.timers),
        runtime(r),
        listener(l),
        spec(std::move(s)),
        options(std::move(o)),
        tasks(e.executor) {}

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
      std::optional<InstanceFailure> problem = co_await live(slot);
      if (!problem) break;
      const Duration delay = slot.schedule.failed(timers.now());
      problem->failures = slot.schedule.failures();
      ++restarts;
      last_error = problem->error;
      complain("instance failed", problem->error.to_string());
      if (!slot.stop.is_set()) slot.state = State::starting;
      listener.instance_failed(*problem);
      listener.pool_changed();
      co_await with_deadline(timers, base::wait_for(slot.stop), timers.now() + delay);
    }
    std::erase_if(slots, [&slot](const auto& other) { return other.get() == &slot; });
    listener.pool_changed();
  }

  /// One instance from start to end; yields why it ended unless it was stopped.
  Task<std::optional<InstanceFailure>> live(Slot& slot) {
    slot.spec = spec.container;
    slot.kept.reset();
    if (options.prepare) {
      Result<std::shared_ptr<void>> prepared = options.prepare(slot.spec);
      if (!prepared) co_return InstanceFailure{prepared.error(), {}};
      slot.kept = std::move(*prepared);
    }
    auto starting = race(runtime.start(slot.spec, options.on_output), base::wait_for(slot.stop));
    auto started = co_await std::move(starting);
    if (!started.first) co_return std::nullopt;
    if (!*started.first) co_return InstanceFailure{started.first->error(), {}};
    slot.container = std::move(**started.first);
    Prober prober(env, *slot.container, spec);
    auto waiting = race(prober.until_ready(), base::wait_for(slot.stop));
    auto waited = co_await std::move(waiting);
    std::optional<InstanceFailure> problem;
    if (waited.first && !*waited.first) {
      problem = InstanceFailure{waited.first->error(), prober.ended()};
    }
    const bool served = !problem && !slot.stop.is_set();
    if (served) {
      announce(slot);
      Task<std::optional<InstanceFailure>> serving = serve(slot, prober);
      problem = co_await std::move(serving);
      if (!problem) {
        Task<void> draining = drain(slot);
        co_await std::move(draining);
      }
      withdraw(slot);
    }
    const Duration grace = problem && !served ? Duration::zero() : spec.container.stop_grace;
    co_await slot.container->stop(grace);
    slot.container.reset();
    slot.kept.reset();
    co_return problem;
  }

  /// From ready until it is told to stop (nothing) or is to be replaced (why).
  Task<std::optional<InstanceFailure>> serve(Slot& slot, Prober& prober) {
    if (!spec.liveness && spec.readiness.period <= Duration::zero()) {
      auto living = race(slot.container->wait(), base::wait_for(slot.stop));
      auto ended = co_await std::move(living);
      if (ended.first) co_return ended_by_itself(*ended.first);
      co_return std::nullopt;
    }
    auto trouble = race(prober.until_unwell(), keep_ready(slot, prober));
    auto lifetime = race(slot.container->wait(), std::move(trouble));
    auto serving = race(std::move(lifetime), base::wait_for(slot.stop));
    auto outcome = co_await std::move(serving);
    if (!outcome.first) co_return std::nullopt;
    if (outcome.first->first) co_return ended_by_itself(*outcome.first->first);
    const std::optional<Error>& unwell = outcome.first->second->first;
    if (unwell) co_return InstanceFailure{*unwell, {}};
    co_return std::nullopt;  // told to stop
  }

  InstanceFailure ended_by_itself(const ExitStatus& status) const {
    const std::string how = " ended by itself (" + status.to_string() + ")";
    return {fail(Errc::unavailable, spec.container.name + how), status};
  }

  /// Takes it from the listener while its readiness probe fails, until it is told to stop.
  Task<void> keep_ready(Slot& slot, Prober& prober) {
    while (true) {
      co_await prober.until_readiness(true);
      complain("instance is not ready any more", prober.last_problem());
      if (slot.stop.is_set()) co_return;
      slot.state = State::starting;
      slot.leaving = listener.endpoint_draining(slot.announced);
      listener.pool_changed();
      co_await prober.until_readiness(false);
      if (slot.stop.is_set()) co_return;
      slot.leaving.reset();
      announce(slot);
    }
  }

  /// However many instances there are, and however often they fail, the log stays readable.
  void complain(std::string_view what, std::string error) {
    const std::optional<std::uint64_t> unsaid = complaints.next(timers.now());
    if (!unsaid) return;
    env.logger.log(LogLevel::warning, "workload", what,
                   {{"revision", spec.container.name},
                    {"error", std::move(error)},
                    {"unsaid", std::to_string(*unsaid)}});
  }

  Task<void> drain(Slot& slot) {
    listener.pool_changed();
    Task<void> drained =
        slot.leaving.valid() ? std::move(slot.leaving) : listener.endpoint_draining(slot.announced);
    co_await with_deadline(timers, std::move(drained), timers.now() + options.drain_timeout);
  }

  void announce(Slot& slot) {
    slot.state = State::ready;
    slot.announced = slot.container->endpoint();
    slot.schedule.ready(timers.now());
    last_error.reset();
    listener.endpoint_ready(slot.announced);
    listener.pool_changed();
  }

  void withdraw(Slot& slot) {
    const std::shared_ptr<http::Handler> endpoint = std::move(slot.announced);
    slot.announced.reset();
    if (slot.state == State::ready) slot.state = State::starting;
    listener.endpoint_gone(endpoint);
  }

  Env& env;
  Timers& timers;
  ContainerRuntime& runtime;
  EndpointListener& listener;
  InstanceSpec spec;
  RevisionPoolOptions options;
  int wanted = 0;
  std::uint64_t next_order = 0;
  std::uint64_t restarts = 0;
  std::optional<Error> last_error;
  base::Complaints complaints{10, 0.1};
  std::vector<std::unique_ptr<Slot>> slots;
  TaskSet tasks;
};

RevisionPool::RevisionPool(Env& env, ContainerRuntime& runtime, EndpointListener& listener,
                           InstanceSpec spec, RevisionPoolOptions options)
    : impl_(std::make_unique<Impl>(env, runtime, listener, std::move(spec), std::move(options))) {}

RevisionPool::~RevisionPool() {
  impl_->tasks.clear();
  for (const auto& slot : impl_->slots) {
    if (slot->announced) impl_->withdraw(*slot);
  }
}

void RevisionPool::scale_to(int count) { impl_->scale_to(count); }

Task<void> RevisionPool::stop() {
  impl_->scale_to(0);
  return impl_->tasks.drained();
}

const InstanceSpec& RevisionPool::spec() const noexcept { return impl_->spec; }
int RevisionPool::wanted() const noexcept { return impl_->wanted; }
int RevisionPool::ready() const noexcept { return impl_->count(Impl::State::ready); }
int RevisionPool::starting() const noexcept { return impl_->count(Impl::State::starting); }
int RevisionPool::stopping() const noexcept { return impl_->count(Impl::State::stopping); }
std::uint64_t RevisionPool::restarts() const noexcept { return impl_->restarts; }
const std::optional<Error>& RevisionPool::last_error() const noexcept { return impl_->last_error; }

}  // namespace knative
