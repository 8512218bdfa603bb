#include "extensions/build/reconcilers.hpp"

#include <optional>
#include <utility>

namespace knative::control {

using build::Build;

// One build in progress. Its task set is what keeps it alive: dropping it kills the steps.
struct BuildReconciler::Running {
  Running(Executor& executor, Build object) : build(std::move(object)), tasks(executor) {}
  Build build;
  BuildCallbacks callbacks;
  std::optional<build::BuildStatus> unwritten;  ///< The newest status.
  std::optional<build::BuildStatus> latest;     ///< The same, once there was one.
  Wakeup news;
  TaskSet tasks;
};

namespace {

// What was said at the door stays beside what the run says; conditions are sorted by type.
build::BuildStatus with_warnings(build::BuildStatus status, const Build& stored) {
  if (const Condition* warned = find_condition(stored.status.conditions, "Warnings")) {
    status.conditions.push_back(*warned);
  }
  return status;
}

}  // namespace

BuildReconciler::BuildReconciler(Scope scope, Executor& executor, Builder& builder)
    : ObjectReconciler(scope.context, "build"), executor_(executor), builder_(builder) {}

BuildReconciler::~BuildReconciler() = default;

Task<Result<void>> BuildReconciler::forget(const std::string& key, const std::string&) {
  running_.erase(key);
  co_return Result<void>();
}

Task<Result<Requeue>> BuildReconciler::step(Build& build, Interests&) {
  const std::string key = key_of(build.metadata);
  const Condition* succeeded = find_condition(build.status.conditions, "Succeeded");
  const bool finished = succeeded != nullptr && !succeeded->is_unknown();
  const auto active = running_.find(key);
  if (finished) {
    running_.erase(key);
    build.status.observed_generation = build.metadata.generation;
    co_return Requeue::never();
  }
  if (build.spec.status == build::build_cancelled) {
    if (active != running_.end()) {
      if (active->second->latest) build.status = with_warnings(*active->second->latest, build);
      running_.erase(active);
    }
    build::build_conditions().mark_false(build.status.conditions, "Succeeded",
                                         std::string(build::build_cancelled),
                                         build::cancelled_message(build.metadata.name), now());
    build.status.observed_generation = build.metadata.generation;
    co_return Requeue::never();
  }
  if (active != running_.end()) co_return Requeue::never();
  // A build that was running when its platform ended begins again: it has no other effects than
  // its image.
  std::unique_ptr<Running>& running = running_[key];
  running = std::make_unique<Running>(executor_, build);
  running->callbacks.on_status = [running = running.get()](const build::BuildStatus& status) {
    running->unwritten = status;
    running->latest = status;
    running->news.notify_all();
  };
  running->tasks.add(run(*running));
  running->tasks.add(write_statuses(*running));
  co_return Requeue::never();
}

// The set in `self` owns these two tasks. A share of it in their frames would be the last one when
// the Build is removed before they begin, and a task cannot drop the set that it runs in.
Task<void> BuildReconciler::run(Running& self) {
  BuildOutcome outcome = co_await builder_.execute(self.build, self.callbacks);
  self.unwritten = std::move(outcome.status);
  self.news.notify_all();
}

Task<void> BuildReconciler::write_statuses(Running& self) {
  for (;;) {
    while (!self.unwritten) co_await self.news.wait();
    const build::BuildStatus status = *std::exchange(self.unwritten, std::nullopt);
    const Result<void> recorded = co_await record(self.build, status);
    if (recorded) continue;
    if (recorded.error().code == Errc::conflict) {
      if (!self.unwritten) self.unwritten = status;
      continue;
    }
    context().logger.log(LogLevel::warning, "build", "status not written",
                         {{"error", recorded.error().to_string()}});
  }
}

// The spec may have changed meanwhile; only the status is ours.
Task<Result<void>> BuildReconciler::record(const Build& of, const build::BuildStatus& status) {
  Result<Build> stored = client().get<Build>(of.metadata.namespace_, of.metadata.name);
  if (!stored) co_return stored.error();
  if (stored->metadata.uid != of.metadata.uid) co_return Result<void>();
  Build updated = *stored;
  updated.status = with_warnings(status, *stored);
  updated.status.observed_generation = of.metadata.generation;
  Task<Result<void>> write = write_status(client(), *stored, std::move(updated));
  co_return co_await std::move(write);
}

}  // namespace knative::control
