#include "extensions/build/reconcilers.hpp"

namespace knative::control {

using build::Build;

// One build in progress. Its task set is what keeps it alive: dropping it kills the steps.
struct BuildReconciler::Running {
  Running(Executor& executor, Build object) : build(std::move(object)), tasks(executor) {}
  Build build;
  BuildCallbacks callbacks;
  TaskSet tasks;
};

BuildReconciler::BuildReconciler(Context& context, Executor& executor, Builder& builder,
                                 Output output)
    : context_(context), executor_(executor), builder_(builder), output_(std::move(output)) {}

BuildReconciler::~BuildReconciler() = default;

Task<Result<Requeue>> BuildReconciler::reconcile(std::string key) {
  const Result<std::optional<Build>> found = get_living<Build>(context_, {"build", key});
  if (!found) co_return found.error();
  if (!*found) {
    running_.erase(key);
    co_return Requeue::never();
  }
  const Build& build = **found;
  const Condition* succeeded = find_condition(build.status.conditions, "Succeeded");
  const bool finished = succeeded != nullptr && !succeeded->is_unknown();
  const auto active = running_.find(key);
  if (active != running_.end()) {
    const bool another = active->second->build.metadata.uid != build.metadata.uid;
    if (!another && build.spec.status != build::build_cancelled && !finished) {
      co_return Requeue::never();
    }
    running_.erase(active);
    if (finished && !another) co_return Requeue::never();
  } else if (finished) {
    co_return Requeue::never();
  }
  // A build that was running when its platform ended begins again: it has no other effects than
  // its image.
  auto running = std::make_shared<Running>(executor_, build);
  running_[key] = running;
  running->callbacks.on_status = [this, running = running.get()](const build::BuildStatus& status) {
    if (Result<void> recorded = record(running->build, status); !recorded) {
      context_.logger.log(LogLevel::warning, "build", "status not written",
                          {{"error", recorded.error().to_string()}});
    }
  };
  if (output_) {
    running->callbacks.on_log = [this, key](std::string_view step, std::string_view text) {
      output_("build " + key + " " + std::string(step), text);
    };
  }
  running->tasks.add(run(running));
  co_return Requeue::never();
}

Task<void> BuildReconciler::run(std::shared_ptr<Running> running) {
  // The set in `running` owns this task: a shared owner in its frame would never let go.
  Running& self = *running;
  running.reset();
  const BuildOutcome outcome = co_await builder_.execute(self.build, self.callbacks);
  if (Result<void> recorded = record(self.build, outcome.status); !recorded) {
    context_.logger.log(LogLevel::warning, "build", "status not written",
                        {{"error", recorded.error().to_string()}});
  }
}

// The spec may have changed meanwhile; only the status is ours.
Result<void> BuildReconciler::record(const Build& of, const build::BuildStatus& status) {
  Result<Build> stored = context_.store.get<Build>(of.metadata.namespace_, of.metadata.name);
  if (!stored) return stored.error();
  if (stored->metadata.uid != of.metadata.uid) return {};
  Build updated = *stored;
  updated.status = status;
  updated.status.observed_generation = of.metadata.generation;
  return write_status(context_, *stored, updated);
}

}  // namespace knative::control
