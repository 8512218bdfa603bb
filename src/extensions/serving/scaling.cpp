#include "extensions/serving/scaling.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "extensions/serving/instance_spec.hpp"

namespace knative {

namespace {

// The labels of a Revision's series, Knative's own.
MetricLabels metric_labels_of(const serving::Revision& revision) {
  return {{"namespace_name", revision.metadata.namespace_},
          {"service_name", label_of(revision, serving::keys::service)},
          {"configuration_name", label_of(revision, serving::keys::configuration)},
          {"revision_name", revision.metadata.name}};
}

// How long a program may take to get ready.
Duration progress_deadline_of(const serving::Revision& revision, const AutoscalerConfig& config) {
  const auto annotation = revision.metadata.annotations.find(serving::keys::progress_deadline);
  if (annotation == revision.metadata.annotations.end()) return config.progress_deadline;
  return parse_duration(annotation->second).value_or(config.progress_deadline);
}

RevisionOptions limits_of(const serving::Revision& revision) {
  const serving::RevisionSpec& spec = revision.spec;
  RevisionOptions options;
  options.revision = control::key_of(revision.metadata);
  options.uid = revision.metadata.uid;
  options.container_concurrency = static_cast<int>(spec.container_concurrency.value_or(0));
  options.timeout = std::chrono::seconds(spec.timeout_seconds.value_or(300));
  options.response_start_timeout =
      std::chrono::seconds(spec.response_start_timeout_seconds.value_or(0));
  options.idle_timeout = std::chrono::seconds(spec.idle_timeout_seconds.value_or(0));
  const core::Container* container = spec.serving_container();
  options.remote = container != nullptr && !container->image.starts_with(function_image_prefix);
  options.labels = metric_labels_of(revision);
  return options;
}

// Requests in progress may go on for as long as the Revision says; lines of all instances go
// where the platform's output goes, under the Revision's name.
RevisionPoolOptions pool_options_of(const RevisionOptions& limits, const AutoscalerConfig& config,
                                    const Scaling::Output& output) {
  RevisionPoolOptions options;
  options.instances_max = std::max(1, config.instances_max);
  if (output) {
    options.on_output = [output, key = limits.revision](std::string_view, std::string_view line) {
      output(key, line);
    };
  }
  if (limits.timeout.count() > 0) options.drain_timeout = limits.timeout;
  return options;
}

// Where the scaler of a Revision begins.
RevisionScaler::Start start_of(const serving::Revision& revision, const ScalerSpec& scaling) {
  RevisionScaler::Start start;
  const Condition* healthy = find_condition(revision.status.conditions, "ContainerHealthy");
  if (healthy == nullptr || !healthy->is_true()) return start;
  // It ran before this platform was started: it may sleep until somebody asks for it, except for
  // what is kept warm in any case.
  start.initialized = true;
  start.replicas = scaling.decider.reachable ? scaling.min_scale : 0;
  if (!scaling.enable_scale_to_zero) start.replicas = std::max(start.replicas, 1);
  start.active = start.replicas > 0 ? ActiveState::activating : ActiveState::inactive;
  return start;
}

/// For strangers; the status of the Revision says more.
constexpr std::string_view no_instance_starts = "the revision has no instance that starts";

// A program that ended gives its exit code, as a shell counts it.
std::string reason_of(const InstanceFailure& failure) {
  if (!failure.ended) {
    std::string reason = control::failure_reason_of(failure.error);
    const bool again = reason == "ErrImagePull" && failure.failures > 1;
    return again ? "ImagePullBackOff" : reason;
  }
  const ExitStatus& ended = *failure.ended;
  if (ended.evicted) return "Evicted";
  constexpr int signalled = 128;
  return "ExitCode" + std::to_string(ended.signal != 0 ? signalled + ended.signal : ended.code);
}

using Annotations = std::map<std::string, std::string>;

// What a Revision itself says of its scaling.
Annotations scaling_annotations(const serving::Revision& revision) {
  Annotations own;
  for (const auto& [name, value] : revision.metadata.annotations) {
    const bool scaling =
        name.starts_with("autoscaling.knative.dev/") || name == serving::keys::progress_deadline;
    if (scaling) own.emplace(name, value);
  }
  return own;
}

}  // namespace

// One Revision at work.
struct Scaling::Unit final : EndpointListener, StatSource, ScaleTarget {
  Unit(Scaling& o, InstanceSpec instance, const RevisionOptions& limits, const ScalerSpec& scaling,
       RevisionPoolOptions options)
      : owner(o),
        gauges(o.metrics_, limits.labels),
        key(limits.revision),
        uid(limits.uid),
        scaler(scaling),
        queue(o.open_(limits)),
        pool(o.env_, o.runtime_, *this, std::move(instance), asked_first(std::move(options))) {
    if (!pool.spec().container.freezable) return;
    gauges.gauge_from("knative_revision_frozen_instances", "Idle instances kept frozen.",
                      [this] { return static_cast<double>(pool.frozen()); });
  }
  RevisionPoolOptions asked_first(RevisionPoolOptions options) {
    options.may_freeze = [this] { return owner.may_freeze(*this); };
    return options;
  }

  using Handler = std::shared_ptr<http::Handler>;
  void endpoint_ready(const Handler& endpoint) override {
    failure.reset();
    waits_for.clear();
    unwell = false;
    queue->add_endpoint(endpoint);
  }
  Task<void> endpoint_draining(const Handler& endpoint) override {
    return queue->remove_endpoint(*endpoint);
  }
  void endpoint_gone(const Handler& endpoint) override { queue->abort_endpoint(*endpoint); }
  void instance_failed(const InstanceFailure& what) override {
    failure = what;
    const bool for_good = what.error.code != Errc::unavailable;
    // One crash may pass: another instance is started at once.
    if (pool.ready() == 0 && (for_good || what.failures > 1)) unwell = true;
    // Who waits for something that cannot start should hear so soon.
    if (what.failures >= waiting_failures_max || what.error.code == Errc::not_found) {
      queue->fail_waiting(no_instance_starts);
    }
    changed();
  }
  void instance_waits(const std::string& why) override {
    waits_for = why;
    changed();
  }
  void pool_changed() override {
    if (!retired) owner.autoscaler_.ready_changed(key);
    changed();
  }

  StatReport collect(Instant now) override {
    const RequestStats::Report report = queue->report(now);
    StatReport stats;
    stats.average_concurrency = report.average_concurrency;
    const double seconds = std::chrono::duration<double>(report.elapsed).count();
    if (seconds > 0) {
      stats.requests_per_second = static_cast<double>(report.request_count) / seconds;
    }
    stats.any = report.request_count > 0 || report.average_concurrency > 0;
    return stats;
  }

  void scale_to(const ScalePlan& plan) override {
    pool.scale_to(plan.replicas);
    changed();
  }
  void plan_changed(const ScalePlan&) override { changed(); }
  int ready() const override { return pool.ready(); }
  // A namesake may have its place by now.
  void changed() const {
    if (!retired) owner.changed_(key);
  }

  static constexpr int waiting_failures_max = 3;
  Scaling& owner;
  MetricSet gauges;
  std::string key;
  std::string uid;
  ScalerSpec scaler;
  Annotations annotations;  ///< Those that say how it is scaled.
  std::int64_t concurrency = 0;
  std::optional<InstanceFailure> failure;  ///< The last one, until an instance becomes ready.
  std::string waits_for;                   ///< Why none is ready yet.
  bool unwell = false;                     ///< It ran once, and now no instance of it does.
  bool routed = false;                     ///< A Route named it once.
  bool retired = false;
  std::unique_ptr<RevisionQueue> queue;
  RevisionPool pool;
};

Scaling::Scaling(Env& env, ContainerRuntime& runtime, Metrics& metrics,
                 const AutoscalerConfig& config,
                 std::function<std::unique_ptr<RevisionQueue>(const RevisionOptions&)> open,
                 std::function<void(const std::string&)> changed, Output output,
                 InstanceVolumes& volumes)
    : env_(env),
      runtime_(runtime),
      metrics_(metrics),
      config_(config),
      open_(std::move(open)),
      changed_(std::move(changed)),
      output_(std::move(output)),
      volumes_(volumes),
      autoscaler_(env.timers, env.logger, AutoscalerOptions{.metrics = &metrics}),
      retired_(env.executor) {}

Scaling::~Scaling() {
  for (const auto& [key, unit] : units_) {
    unit->retired = true;
    autoscaler_.remove(key);
  }
  retired_.clear();
}

Task<Result<std::string>> Scaling::pin(const serving::Revision& revision,
                                       const core::Container& container, bool ask_registries) {
  ContainerSpec spec = image_spec(revision, container);
  if (!ask_registries) spec.image_pull.policy = "Never";
  auto pinning = with_deadline(env_.timers, runtime_.pin(spec),
                               env_.timers.now() + progress_deadline_of(revision, config_));
  std::optional<Result<std::string>> image = co_await std::move(pinning);
  if (!image) co_return fail(Errc::deadline_exceeded, "Initial scale was never achieved");
  co_return std::move(*image);
}

// What a Revision's containers say, if the runtime can do all of it.
Result<InstanceSpec> Scaling::instance_of(const serving::Revision& revision) const {
  FieldErrors warnings;
  Result<InstanceSpec> instance = instance_spec(revision, runtime_, warnings);
  for (const FieldError& warning : warnings) {
    env_.logger.log(
        LogLevel::warning, "revision", "a field has no effect",
        {{"revision", control::key_of(revision.metadata)}, {"field", warning.to_string()}});
  }
  if (instance) instance->start_timeout = progress_deadline_of(revision, config_);
  if (instance) {
    for (InstanceSpec& sidecar : instance->sidecars) {
      sidecar.start_timeout = instance->start_timeout;
    }
  }
  return instance;
}

Result<void> Scaling::ensure(const serving::Revision& revision) {
  if (stopping_) return fail(Errc::failed_precondition, "the platform is stopping");
  const std::string key = control::key_of(revision.metadata);
  if (const auto known = units_.find(key); known != units_.end()) {
    if (known->second->uid == revision.metadata.uid) return {};  // Revisions are immutable
    remove(key);
  }
  Annotations annotations = scaling_annotations(revision);
  const std::int64_t concurrency = revision.spec.container_concurrency.value_or(0);
  Result<ScalerSpec> scaling = resolve_scaler_spec(config_, annotations, concurrency);
  if (!scaling) return scaling.error();
  Result<InstanceSpec> instance = instance_of(revision);
  if (!instance) return instance.error();
  const bool is_named = names_.contains(key);
  const bool was_routed = is_named || label_of(revision, serving::keys::routing_state) == "reserve";
  scaling->decider.reachable = is_named || !was_routed;
  const RevisionOptions limits = limits_of(revision);
  RevisionPoolOptions options = pool_options_of(limits, config_, output_);
  options.prepare = volumes_.prepare(revision);
  auto unit =
      std::make_unique<Unit>(*this, std::move(*instance), limits, *scaling, std::move(options));
  unit->routed = was_routed;
  unit->annotations = std::move(annotations);
  unit->concurrency = concurrency;
  Unit& added = *unit;
  units_.emplace(key, std::move(unit));
  Result<void> watched = autoscaler_.add(key, *scaling, added, added, start_of(revision, *scaling),
                                         metric_labels_of(revision));
  if (!watched) units_.erase(key);
  return watched;
}

void Scaling::remove(const std::string& key) {
  const auto found = units_.find(key);
  if (found == units_.end()) return;
  std::unique_ptr<Unit> unit = std::move(found->second);
  units_.erase(found);
  autoscaler_.remove(key);
  unit->retired = true;
  unit->queue->close();
  retired_.add(retire(std::move(unit)));
}

// Requests in progress end first.
Task<void> Scaling::retire(std::unique_ptr<Unit> unit) { co_await unit->pool.stop(); }

control::RevisionState Scaling::state(const std::string& key) const {
  control::RevisionState state;
  const auto found = units_.find(key);
  if (found == units_.end()) return state;
  const Unit& unit = *found->second;
  state.ready = unit.pool.ready();
  if (const ScalePlan* plan = autoscaler_.plan(key)) {
    state.initialized = plan->initialized;
    state.active = plan->active == ActiveState::active;
    state.activating = plan->active == ActiveState::activating;
    state.timed_out = plan->reason == ActiveReason::timed_out;
    state.desired = plan->desired;
    if (state.timed_out && !plan->initialized) {
      state.failure_reason = "ProgressDeadlineExceeded";
      state.failure_message = "Initial scale was never achieved";
    }
  }
  if (!state.initialized && state.failure_reason.empty()) state.failure_message = unit.waits_for;
  if (unit.failure && (!state.initialized || unit.unwell)) {
    state.failure_reason = reason_of(*unit.failure);
    state.failure_message = unit.failure->error.detail;
    if (unit.failure->ended) state.failure_message.insert(0, "Container failed with: ");
  }
  return state;
}

int Scaling::ready(const std::string& key) const {
  const auto found = units_.find(key);
  return found == units_.end() ? 0 : found->second->pool.ready();
}

void Scaling::named(const std::string& key) {
  if (++names_[key] > 1) return;
  if (const auto unit = units_.find(key); unit != units_.end()) {
    unit->second->routed = true;
    set_reachable(*unit->second, true);
  }
}

void Scaling::unnamed(const std::string& key) {
  const auto count = names_.find(key);
  KN_ASSERT(count != names_.end());
  if (--count->second > 0) return;
  names_.erase(count);
  if (const auto unit = units_.find(key); unit != units_.end()) {
    set_reachable(*unit->second, false);
  }
}

void Scaling::set_reachable(Unit& unit, bool reachable) {
  ScalerSpec scaler = unit.scaler;
  scaler.decider.reachable = reachable;
  rescale(unit, scaler);
  if (!reachable) unit.pool.drop_frozen();
}

// Nobody will ask for what no Route names.
bool Scaling::may_freeze(const Unit& unit) const {
  if (!unit.pool.spec().container.freezable || !unit.scaler.decider.reachable) return false;
  int frozen = 0;
  for (const auto& [key, other] : units_) frozen += other->pool.frozen();
  return frozen < frozen_max_;
}

void Scaling::reconfigure() {
  for (const auto& [key, unit] : units_) {
    Result<ScalerSpec> scaler = resolve_scaler_spec(config_, unit->annotations, unit->concurrency);
    if (scaler) {
      scaler->decider.reachable = unit->scaler.decider.reachable;
      rescale(*unit, *scaler);
    } else {
      env_.logger.log(LogLevel::warning, "autoscaler",
                      "a revision keeps its scaling: what it says does not fit the configuration",
                      {{"revision", key}, {"error", scaler.error().to_string()}});
    }
  }
}

void Scaling::rescale(Unit& unit, const ScalerSpec& scaler) {
  if (unit.scaler == scaler) return;
  unit.scaler = scaler;
  if (Result<void> updated = autoscaler_.update(unit.key, unit.scaler); !updated) {
    env_.logger.log(LogLevel::error, "autoscaler", "update refused",
                    {{"revision", unit.key}, {"error", updated.error().to_string()}});
  }
}

Task<void> Scaling::stop(Duration grace) {
  stopping_ = true;
  std::vector<Task<void>> stops;
  for (const auto& [key, unit] : units_) {
    autoscaler_.remove(key);
    stops.push_back(unit->pool.stop());
  }
  stops.push_back(retired_.drained());
  Task<std::vector<Done>> all = when_all(std::move(stops));
  // What does not end in time is ended by the pools' destructors.
  co_await with_deadline(env_.timers, std::move(all), env_.timers.now() + grace);
}

}  // namespace knative
