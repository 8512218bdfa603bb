#include "knative/controller.hpp"

namespace knative {

struct Controller::Impl final : private TimerNode {
  Impl(Executor& executor, Timers& clock, Logger& log, std::string label, Reconciler& worker,
       ControllerOptions bounds)
      : timers(clock),
        logger(log),
        name(std::move(label)),
        reconciler(worker),
        options(bounds),
        queue(bounds.backoff),
        tasks(executor) {}

  void schedule() {
    while (busy < options.workers_max) {
      std::optional<std::string> key = queue.take(timers.now());
      if (!key) break;
      ++busy;
      tasks.add(work(*this, std::move(*key)));
    }
    // With every worker busy the end of one of them schedules again.
    const std::optional<Instant> due = queue.next_due();
    if (due && busy < options.workers_max) {
      timers.arm(*this, *due);
    } else {
      disarm();
    }
  }

  static Task<void> work(Impl& self, std::string key) {
    Result<Requeue> outcome = fail(Errc::internal, "the reconciler threw");
    try {
      outcome = co_await self.reconciler.reconcile(key);
    } catch (const std::exception& thrown) {
      outcome = fail(Errc::internal, thrown.what());
    } catch (...) {  // what it says at the beginning
    }
    self.settle(key, outcome);
  }

  void settle(const std::string& key, const Result<Requeue>& outcome) {
    --busy;
    ++reconciled;
    const Instant now = timers.now();
    const std::optional<Error> error =
        outcome ? outcome->failure : std::optional<Error>(outcome.error());
    if (!error) {
      queue.done(key, now);
      if (outcome->after) queue.add_at(key, now + *outcome->after);
    } else if (error->code == Errc::conflict) {
      // Not at once: one that never ends must not keep the loop from everything else.
      queue.done(key, now);
      queue.add_at(key, now + options.backoff.base);
    } else {
      ++failures;
      logger.log(LogLevel::warning, name, "reconcile failed",
                 {{"key", key}, {"error", error->to_string()}});
      queue.failed(key, now);
    }
    schedule();
  }

  void fire() noexcept override { schedule(); }

  Timers& timers;
  Logger& logger;
  std::string name;
  Reconciler& reconciler;
  ControllerOptions options;
  WorkQueue queue;
  int busy = 0;
  std::size_t reconciled = 0;
  std::size_t failures = 0;
  TaskSet tasks;
};

Controller::Controller(Executor& executor, Timers& timers, Logger& logger, std::string name,
                       Reconciler& reconciler, ControllerOptions options)
    : impl_(
          std::make_unique<Impl>(executor, timers, logger, std::move(name), reconciler, options)) {}

Controller::~Controller() = default;

void Controller::enqueue(const std::string& key) { enqueue_after(key, Duration::zero()); }

void Controller::enqueue_after(const std::string& key, Duration delay) {
  impl_->queue.add_at(key, impl_->timers.now() + delay);
  impl_->schedule();
}

bool Controller::idle() const {
  const std::optional<Instant> due = impl_->queue.next_due();
  return impl_->busy == 0 && (!due || *due > impl_->timers.now());
}

std::size_t Controller::reconciled() const noexcept { return impl_->reconciled; }
std::size_t Controller::failures() const noexcept { return impl_->failures; }

}  // namespace knative
