#include "engines/workload/instance.hpp"

#include <algorithm>
#include <utility>

#include "base/wait_for.hpp"

namespace knative {
namespace {

/// What the program gets after a hook that took the whole grace.
constexpr Duration grace_after_hook = std::chrono::seconds(2);
/// Until what takes long is said.
constexpr Duration told_after_min = std::chrono::seconds(5);

Duration seconds_until(Instant end, Instant now) { return end > now ? end - now : Duration{0}; }

}  // namespace

Instance::Instance(Env& env, ContainerRuntime& runtime, const InstanceSpec& spec,
                   ContainerOutput output, Listener& listener)
    : env_(env),
      runtime_(runtime),
      spec_(spec),
      output_(std::move(output)),
      listener_(listener),
      grace_(spec.container.stop_grace),
      tasks_(env.executor) {}

Instance::~Instance() { tasks_.clear(); }

// ---------------------------------------------------------------------------- until it is ready

Task<Instance::Problem> Instance::start() {
  for (const ContainerSpec& init : spec_.init) {
    Task<Problem> running = run_init(init);
    Problem problem = co_await std::move(running);
    if (problem) co_return problem;
  }
  Task<Result<std::unique_ptr<Container>>> starting = runtime_.start(spec_.container, output_);
  Result<std::unique_ptr<Container>> started = co_await std::move(starting);
  if (!started) co_return InstanceFailure{.error = started.error()};
  container_ = std::move(*started);
  prober_.emplace(env_, *container_, spec_);
  prober_->on_waiting([this](const std::string& why) { listener_.part_waits(why); });
  for (const InstanceSpec& sidecar : spec_.sidecars) {
    parts_.push_back(std::make_unique<Part>(sidecar));
    tasks_.add(keep(*parts_.back()));
  }
  Problem problem;
  if (!spec_.post_start && parts_.empty()) {
    Task<Problem> settling = settle();
    problem = co_await std::move(settling);
  } else {
    auto racing = race(settle(), container_->wait());
    auto outcome = co_await std::move(racing);
    if (outcome.second) {
      problem = ended(spec_.container, *container_, *outcome.second, " ended before it was ready");
    } else {
      problem = std::move(*outcome.first);
    }
  }
  container_ready_ = !problem;
  co_return problem;
}

Task<Instance::Problem> Instance::run_init(const ContainerSpec& spec) {
  Task<Result<std::unique_ptr<Container>>> starting = runtime_.start(spec, output_of(spec));
  Result<std::unique_ptr<Container>> started = co_await std::move(starting);
  const std::string& name = spec.identity.container;
  if (!started) co_return InstanceFailure{.error = started.error(), .container = name};
  Container& container = **started;
  auto told = race(container.wait(), tell_waiting(container_title(spec) + " has not ended yet"));
  auto limited =
      with_deadline(env_.timers, std::move(told), env_.timers.now() + spec_.start_timeout);
  const auto outcome = co_await std::move(limited);
  const std::optional<ExitStatus> status = outcome ? outcome->first : std::optional<ExitStatus>();
  if (status && status->success()) co_return std::nullopt;
  if (status) co_return ended(spec, container, *status, " failed");
  const Error late = fail(Errc::deadline_exceeded,
                          container_title(spec) + " did not end in time" + output_end(container));
  co_return InstanceFailure{.error = late, .container = name};
}

// What comes before the first request, once its program runs.
Task<Instance::Problem> Instance::settle() {
  Task<Problem> starting = post_start(spec_, *container_);
  Problem problem = co_await std::move(starting);
  if (problem) co_return problem;
  Task<Result<void>> getting_ready = prober_->until_ready();
  const Result<void> got_ready = co_await std::move(getting_ready);
  if (!got_ready) {
    // Who was late hears no more than that it is over.
    grace_ = prober_->gave_up() ? prober_->stop_grace().value_or(grace_) : Duration::zero();
    co_return InstanceFailure{.error = got_ready.error(), .ended = prober_->ended()};
  }
  Task<Problem> settling = settle_parts();
  co_return co_await std::move(settling);
}

Task<Instance::Problem> Instance::settle_parts() {
  const Instant deadline = env_.timers.now() + spec_.start_timeout;
  for (const std::unique_ptr<Part>& part : parts_) {
    auto limited = with_deadline(env_.timers, until_part_is_ready(*part), deadline);
    const auto in_time = co_await std::move(limited);
    if (in_time) continue;
    const std::string problem = part->prober ? part->prober->last_problem() : std::string();
    std::string text = container_title(part->spec.container) + " was not ready in time";
    if (!problem.empty()) text += ": " + problem;
    if (part->container) text += output_end(*part->container);
    co_return InstanceFailure{.error = fail(Errc::deadline_exceeded, std::move(text)),
                              .container = part->spec.container.identity.container};
  }
  co_return std::nullopt;
}

Task<void> Instance::until_part_is_ready(const Part& part) {
  while (!part.ready) co_await changed_.wait();
}

Task<Instance::Problem> Instance::post_start(const InstanceSpec& spec, Container& container) {
  if (!spec.post_start) co_return std::nullopt;
  const std::string hook = "the hook postStart of " + container_title(spec.container);
  auto told =
      race(run_hook(*spec.post_start, spec, container), tell_waiting(hook + " has not ended yet"));
  auto limited =
      with_deadline(env_.timers, std::move(told), env_.timers.now() + spec_.start_timeout);
  const auto outcome = co_await std::move(limited);
  const auto problem = outcome ? outcome->first : std::optional<std::optional<std::string>>();
  if (problem && !*problem) co_return std::nullopt;
  const std::string why = problem ? **problem : std::string("it did not end in time");
  const Error error = fail(
      Errc::unavailable, "PostStartHookError: " + hook + " failed: " + why + output_end(container));
  co_return InstanceFailure{.error = error, .container = spec.container.identity.container};
}

Task<std::optional<std::string>> Instance::run_hook(const InstanceHook& hook,
                                                    const InstanceSpec& spec,
                                                    Container& container) {
  if (!hook.action) {
    co_await env_.timers.sleep_for(hook.pause);
    co_return std::nullopt;
  }
  Prober prober(env_, container, spec);
  Task<std::optional<std::string>> trying = prober.attempt(*hook.action);
  co_return co_await std::move(trying);
}

// Soon, and then ever more rarely; never ends.
Task<void> Instance::tell_waiting(std::string why) {
  for (Duration pause = told_after_min;; pause *= 2) {
    co_await env_.timers.sleep_for(pause);
    listener_.part_waits(why);
  }
}

InstanceFailure Instance::ended(const ContainerSpec& spec, const Container& container,
                                const ExitStatus& status, std::string_view how) {
  std::string text = container_title(spec);
  text.append(how).append(" (").append(status.to_string()).append(")");
  text += output_end(container);
  return InstanceFailure{.error = fail(Errc::unavailable, std::move(text)),
                         .ended = status,
                         .container = spec.identity.container};
}

// ---------------------------------------------------------------------------- while it serves

bool Instance::ready() const noexcept {
  return container_ready_ &&
         std::all_of(parts_.begin(), parts_.end(), [](const auto& part) { return part->ready; });
}

Task<InstanceFailure> Instance::until_failed() {
  if (!spec_.liveness && spec_.readiness.period <= Duration::zero()) {
    Task<ExitStatus> living = container_->wait();
    const ExitStatus status = co_await std::move(living);
    co_return ended(spec_.container, *container_, status, " ended by itself");
  }
  auto living = race(container_->wait(), prober_->until_unwell());
  auto watching = race(std::move(living), watch_readiness(*prober_, container_ready_));
  auto outcome = co_await std::move(watching);
  const auto& [end, unwell] = *outcome.first;
  if (end) co_return ended(spec_.container, *container_, *end, " ended by itself");
  grace_ = prober_->stop_grace().value_or(grace_);
  co_return InstanceFailure{.error = *unwell};
}

Task<void> Instance::until_ready_is(bool wanted) {
  while (ready() != wanted) co_await changed_.wait();
}

Task<void> Instance::watch_readiness(Prober& prober, bool& ready) {
  for (;;) {
    Task<void> losing = prober.until_readiness(true);
    co_await std::move(losing);
    ready = false;
    changed_.notify_all();
    Task<void> gaining = prober.until_readiness(false);
    co_await std::move(gaining);
    ready = true;
    changed_.notify_all();
  }
}

std::string Instance::last_problem() const {
  for (const std::unique_ptr<Part>& part : parts_) {
    if (part->ready) continue;
    const std::string why = part->prober ? part->prober->last_problem() : "it does not run";
    return container_title(part->spec.container) + " is not ready: " + why;
  }
  return prober_ ? prober_->last_problem() : std::string();
}

// ---------------------------------------------------------------------------- frozen

Result<void> Instance::freeze() {
  if (!ready()) return fail(Errc::failed_precondition, last_problem());
  Result<void> done = keep_all_from_running(true);
  if (!done) static_cast<void>(thaw());
  return done;
}

Result<void> Instance::thaw() {
  Result<void> done = keep_all_from_running(false);
  changed_.notify_all();
  return done;
}

Result<void> Instance::keep_all_from_running(bool frozen) {
  frozen_ = frozen;
  prober_->pause(frozen);
  Result<void> done = frozen ? container_->freeze() : container_->thaw();
  for (const std::unique_ptr<Part>& part : parts_) {
    if (part->prober) part->prober->pause(frozen);
    if (!part->container || (frozen && !done)) continue;
    Result<void> too = frozen ? part->container->freeze() : part->container->thaw();
    if (done) done = std::move(too);
  }
  return done;
}

Task<InstanceFailure> Instance::until_lost() {
  auto racing = race(container_->wait(), until_ready_is(false));
  auto outcome = co_await std::move(racing);
  if (outcome.first) {
    co_return ended(spec_.container, *container_, *outcome.first, " ended while it was frozen");
  }
  co_return InstanceFailure{.error = fail(Errc::unavailable, last_problem())};
}

// ---------------------------------------------------------------------------- sidecars

Task<void> Instance::keep(Part& part) {
  for (;;) {
    Task<Problem> living = live(part);
    Problem problem = co_await std::move(living);
    part.ready = false;
    changed_.notify_all();
    const Instant next_start = env_.timers.now() + part.schedule.failed(env_.timers.now());
    problem->failures = part.schedule.failures();
    listener_.part_failed(*problem);
    if (part.container && !problem->ended) {
      const Duration grace = part.prober->stop_grace().value_or(part.spec.container.stop_grace);
      Task<void> stopping = stop_one(part.spec, *part.container, grace);
      co_await std::move(stopping);
    }
    part.prober.reset();
    part.container.reset();
    co_await env_.timers.sleep_until(next_start);
    while (frozen_) co_await changed_.wait();
  }
}

Task<Instance::Problem> Instance::live(Part& part) {
  const ContainerSpec& spec = part.spec.container;
  const std::string& name = spec.identity.container;
  Task<Result<std::unique_ptr<Container>>> starting =
      runtime_.start_beside(*container_, spec, output_of(spec));
  Result<std::unique_ptr<Container>> started = co_await std::move(starting);
  if (!started) co_return InstanceFailure{.error = started.error(), .container = name};
  part.container = std::move(*started);
  part.prober.emplace(env_, *part.container, part.spec);
  part.prober->on_waiting([this](const std::string& why) { listener_.part_waits(why); });
  auto racing = race(serve(part), part.container->wait());
  auto outcome = co_await std::move(racing);
  if (outcome.second) co_return ended(spec, *part.container, *outcome.second, " ended by itself");
  co_return std::move(*outcome.first);
}

// Until it must be replaced although its program runs.
Task<Instance::Problem> Instance::serve(Part& part) {
  const std::string& name = part.spec.container.identity.container;
  Task<Problem> starting = post_start(part.spec, *part.container);
  Problem problem = co_await std::move(starting);
  if (problem) co_return problem;
  Task<Result<void>> getting_ready = part.prober->until_ready();
  const Result<void> got_ready = co_await std::move(getting_ready);
  if (!got_ready) {
    co_return InstanceFailure{
        .error = got_ready.error(), .ended = part.prober->ended(), .container = name};
  }
  auto watching = race(part.prober->until_unwell(), keep_ready(part));
  auto outcome = co_await std::move(watching);
  co_return InstanceFailure{.error = *outcome.first, .container = name};
}

// One that cannot be asked and has failed before is believed when it has run for as long as it
// would wait if it failed now: otherwise every restart would look like a recovery.
Task<void> Instance::keep_ready(Part& part) {
  if (!part.prober->asks()) co_await env_.timers.sleep_for(part.schedule.next_pause());
  part.ready = true;
  part.schedule.ready(env_.timers.now());
  changed_.notify_all();
  Task<void> watching = watch_readiness(*part.prober, part.ready);
  co_await std::move(watching);
}

ContainerOutput Instance::output_of(const ContainerSpec& spec) const {
  if (!output_) return nullptr;
  return [sink = output_, front = "[" + spec.identity.container + "] "](std::string_view stream,
                                                                        std::string_view line) {
    sink(stream, front + std::string(line));
  };
}

// ---------------------------------------------------------------------------- the end

Task<void> Instance::stop(Duration grace) {
  tasks_.clear();
  if (frozen_) static_cast<void>(thaw());
  std::vector<Task<void>> stops;
  if (container_) stops.push_back(stop_one(spec_, *container_, grace));
  for (const std::unique_ptr<Part>& part : parts_) {
    if (part->container) stops.push_back(stop_one(part->spec, *part->container, grace));
  }
  Task<std::vector<Done>> all = when_all(std::move(stops));
  co_await std::move(all);
}

Task<void> Instance::stop_one(const InstanceSpec& spec, Container& container, Duration grace) {
  if (spec.pre_stop && grace > Duration::zero()) {
    const Instant end = env_.timers.now() + grace;
    auto hook = race(run_hook(*spec.pre_stop, spec, container), container.wait());
    auto limited = with_deadline(env_.timers, std::move(hook), end);
    auto outcome = co_await std::move(limited);
    const bool failed = !outcome || (outcome->first && *outcome->first);
    if (failed) {
      env_.logger.log(LogLevel::warning, "workload", "a hook preStop failed",
                      {{"container", container_title(spec.container)},
                       {"error", outcome ? **outcome->first : "it did not end in time"}});
    }
    grace = std::max(seconds_until(end, env_.timers.now()), grace_after_hook);
  }
  Task<void> stopping = container.stop(grace);
  co_await std::move(stopping);
}

}  // namespace knative
