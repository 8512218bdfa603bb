#include <algorithm>

#include "base/complaints.hpp"
#include "base/wait_for.hpp"
#include "engines/workload/instance.hpp"

namespace knative {

Duration RestartSchedule::failed(Instant now) noexcept {
  if (ready_since_ && now - *ready_since_ >= options_.reset_after) failures_ = 0;
  ready_since_.reset();
  const Duration pause = next_pause();
  ++failures_;
  return pause;
}

Duration RestartSchedule::next_pause() const noexcept {
  if (failures_ == 0) return Duration{0};
  Duration pause = options_.initial;
  for (int i = 1; i < failures_ && pause < options_.max; ++i) pause *= 2;
  return std::min(pause, options_.max);
}

void EndpointListener::instance_waits(const std::string&) {}

struct RevisionPool::Impl final : Instance::Listener {
  enum class State : unsigned char { starting, ready, stopping, frozen };
  /// A place for one instance at a time.
  struct Slot {
    explicit Slot(std::uint64_t o, const RestartSchedule::Options& restart)
        : order(o), schedule(restart) {}
    std::uint64_t order;
    RestartSchedule schedule;
    Instant next_start{};  ///< After a failure.
    InstanceSpec spec;
    std::shared_ptr<void> kept;  ///< What `prepare` made for the instance.
    std::unique_ptr<Instance> instance;
    std::shared_ptr<http::Handler> announced;  ///< What the listener knows of it.
    Task<void> leaving;                        ///< The end of its requests while it is not ready.
    State state = State::starting;
    Wakeup stop;  ///< It is not wanted.
    Wakeup wake;  ///< It is wanted again, or asleep no more, whatever comes then.
    bool asleep = false;
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
      ++active;
      changed = true;
      if (wake(State::starting)) continue;
      slots.push_back(std::make_unique<Slot>(next_order++, options.restart));
      tasks.add(run(*slots.back()));
    }
    while (active > wanted) {
      Slot& victim = least_useful();
      const bool keep = wanted == 0 && victim.state == State::ready && may_freeze();
      victim.state = keep ? State::frozen : State::stopping;
      victim.wake.reset();
      victim.stop.set();
      --active;
      changed = true;
    }
    if (changed) listener.pool_changed();
  }

  bool may_freeze() const {
    return count(State::frozen) == 0 && options.may_freeze && options.may_freeze();
  }

  /// The one that is frozen, if there is one, is wanted again (`starting`) or not at all any more.
  bool wake(State becomes) {
    for (const auto& slot : slots) {
      if (slot->state != State::frozen) continue;
      slot->state = becomes;
      if (becomes == State::starting) slot->stop.reset();
      if (becomes == State::starting || slot->asleep) slot->wake.set();
      return true;
    }
    return false;
  }

  void drop_frozen() {
    if (wake(State::stopping)) listener.pool_changed();
  }

  Slot& least_useful() const noexcept {
    Slot* chosen = nullptr;
    for (const auto& slot : slots) {
      if (slot->state == State::stopping || slot->state == State::frozen) continue;
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
      const bool again = co_await live(slot);
      if (!again) break;
      co_await with_deadline(timers, base::wait_for(slot.stop), slot.next_start);
    }
    std::erase_if(slots, [&slot](const auto& other) { return other.get() == &slot; });
    listener.pool_changed();
  }

  void part_failed(const InstanceFailure& problem) override { failed(problem); }
  void part_waits(const std::string& why) override {
    complain("instance is not ready yet", why);
    listener.instance_waits(why);
  }

  /// An instance or a sidecar of one.
  void failed(const InstanceFailure& problem) {
    ++restarts;
    last_error = problem.error;
    complain(problem.container.empty() ? "instance failed" : "a container of an instance failed",
             problem.error.to_string());
    listener.instance_failed(problem);
  }

  /// Before its programs are stopped, which may take their grace.
  void failed_in(Slot& slot, InstanceFailure problem) {
    slot.next_start = timers.now() + slot.schedule.failed(timers.now());
    problem.failures = slot.schedule.failures();
    slot.state = slot.stop.is_set() ? State::stopping : State::starting;
    failed(problem);
    listener.pool_changed();
  }

  /// One instance from start to end; whether it is to be started again.
  Task<bool> live(Slot& slot) {
    slot.spec = spec;
    slot.kept.reset();
    if (options.prepare) {
      Result<std::shared_ptr<void>> prepared = options.prepare(slot.spec);
      if (!prepared) {
        failed_in(slot, InstanceFailure{.error = prepared.error()});
        co_return true;
      }
      slot.kept = std::move(*prepared);
    }
    slot.instance = std::make_unique<Instance>(env, runtime, slot.spec, options.on_output, *this);
    auto starting = race(slot.instance->start(), base::wait_for(slot.stop));
    auto started = co_await std::move(starting);
    std::optional<InstanceFailure> problem;
    if (started.first) problem = std::move(*started.first);
    if (!problem && !slot.stop.is_set()) {
      Task<std::optional<InstanceFailure>> working = work(slot);
      problem = co_await std::move(working);
    }
    if (problem) failed_in(slot, *problem);
    const Duration grace = problem ? slot.instance->grace() : spec.container.stop_grace;
    Task<void> stopping = slot.instance->stop(grace);
    co_await std::move(stopping);
    slot.instance.reset();
    slot.kept.reset();
    co_return problem.has_value();
  }

  /// From ready until it is to be stopped (nothing) or replaced (why); serving and frozen by turns.
  Task<std::optional<InstanceFailure>> work(Slot& slot) {
    std::optional<InstanceFailure> problem;
    for (;;) {
      announce(slot);
      Task<std::optional<InstanceFailure>> serving = serve(slot);
      problem = co_await std::move(serving);
      if (problem) break;
      Task<void> draining = drain(slot);
      co_await std::move(draining);
      if (!slot.stop.is_set()) continue;  // wanted again before it had drained
      withdraw(slot);
      if (slot.state != State::frozen) co_return std::nullopt;
      Task<std::optional<InstanceFailure>> sleeping = sleep(slot);
      problem = co_await std::move(sleeping);
      if (problem || slot.stop.is_set()) co_return problem;
    }
    withdraw(slot);
    co_return problem;
  }

  /// Frozen until it is woken; why it cannot go on where it was.
  Task<std::optional<InstanceFailure>> sleep(Slot& slot) {
    if (Result<void> frozen = slot.instance->freeze(); !frozen) {
      complain("instance is stopped instead of frozen", frozen.error().to_string());
      slot.state = State::stopping;
      co_return std::nullopt;
    }
    slot.asleep = true;
    auto sleeping = race(slot.instance->until_lost(), base::wait_for(slot.wake));
    auto outcome = co_await std::move(sleeping);
    slot.asleep = false;
    if (outcome.first) co_return std::move(outcome.first);
    Result<void> thawed = slot.instance->thaw();
    if (!thawed) co_return InstanceFailure{.error = thawed.error()};
    co_return std::nullopt;
  }

  /// From ready until it is told to stop (nothing) or is to be replaced (why).
  Task<std::optional<InstanceFailure>> serve(Slot& slot) {
    const bool steady = spec.sidecars.empty() && spec.readiness.period <= Duration::zero();
    auto lifetime = race(slot.instance->until_failed(), base::wait_for(slot.stop));
    if (steady) {
      auto outcome = co_await std::move(lifetime);
      co_return std::move(outcome.first);
    }
    auto serving = race(std::move(lifetime), keep_ready(slot));
    auto outcome = co_await std::move(serving);
    if (!outcome.first) co_return std::nullopt;  // told to stop
    co_return std::move(outcome.first->first);
  }

  /// Takes it from the listener while its readiness probe fails, until it is told to stop.
  Task<void> keep_ready(Slot& slot) {
    while (true) {
      Task<void> losing = slot.instance->until_ready_is(false);
      co_await std::move(losing);
      complain("instance is not ready any more", slot.instance->last_problem());
      if (slot.stop.is_set()) co_return;
      slot.state = State::starting;
      slot.leaving = listener.endpoint_draining(slot.announced);
      listener.pool_changed();
      Task<void> gaining = slot.instance->until_ready_is(true);
      co_await std::move(gaining);
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
    auto limited = with_deadline(timers, std::move(drained), timers.now() + options.drain_timeout);
    auto until_woken = race(std::move(limited), base::wait_for(slot.wake));
    co_await std::move(until_woken);
  }

  void announce(Slot& slot) {
    slot.state = State::ready;
    slot.announced = slot.instance->endpoint();
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

void RevisionPool::drop_frozen() { impl_->drop_frozen(); }

Task<void> RevisionPool::stop() {
  impl_->options.may_freeze = nullptr;
  impl_->scale_to(0);
  impl_->drop_frozen();
  return impl_->tasks.drained();
}

const InstanceSpec& RevisionPool::spec() const noexcept { return impl_->spec; }
int RevisionPool::wanted() const noexcept { return impl_->wanted; }
int RevisionPool::ready() const noexcept { return impl_->count(Impl::State::ready); }
int RevisionPool::starting() const noexcept { return impl_->count(Impl::State::starting); }
int RevisionPool::stopping() const noexcept { return impl_->count(Impl::State::stopping); }
int RevisionPool::frozen() const noexcept { return impl_->count(Impl::State::frozen); }
std::uint64_t RevisionPool::restarts() const noexcept { return impl_->restarts; }
const std::optional<Error>& RevisionPool::last_error() const noexcept { return impl_->last_error; }

}  // namespace knative
