#include "extensions/serving/data_plane.hpp"

#include <algorithm>
#include <vector>

#include "model/expansion.hpp"

namespace knative {

namespace {

std::string label_of(const serving::Revision& revision, std::string_view key) {
  const auto found = revision.metadata.labels.find(key);
  return found == revision.metadata.labels.end() ? std::string() : found->second;
}

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

ReadinessProbe readiness_of(const core::Probe& wanted) {
  ReadinessProbe probe;
  if (wanted.http_get) {
    probe.kind = ReadinessProbe::Kind::http;
    probe.path = wanted.http_get->path;
    if (!probe.path.starts_with('/')) probe.path.insert(0, "/");
  }
  probe.success_threshold = std::max(1, static_cast<int>(wanted.success_threshold));
  probe.period = std::chrono::seconds(wanted.period_seconds);
  if (wanted.timeout_seconds > 0) probe.timeout = std::chrono::seconds(wanted.timeout_seconds);
  return probe;
}

// What a Revision's serving container says, as the runtime wants it.
WorkloadSpec workload_of(const serving::Revision& revision, const AutoscalerConfig& config) {
  WorkloadSpec spec;
  spec.name = control::key_of(revision.metadata);
  spec.revision = revision.metadata.name;
  spec.configuration = label_of(revision, serving::keys::configuration);
  spec.service = label_of(revision, serving::keys::service);
  if (spec.service.empty()) spec.service = spec.configuration;
  const core::Container* container = revision.spec.serving_container();
  if (container != nullptr) {
    spec.image = container->image;
    spec.command = container->command;
    spec.args = container->args;
    spec.working_directory = container->working_dir;
    for (const core::EnvVar& variable : container->env) {
      spec.environment[variable.name] = core::expand_references(variable.value, spec.environment);
    }
    if (container->readiness_probe) spec.readiness = readiness_of(*container->readiness_probe);
  }
  spec.start_timeout = progress_deadline_of(revision, config);
  spec.container_concurrency = static_cast<int>(revision.spec.container_concurrency.value_or(0));
  return spec;
}

RevisionOptions limits_of(const serving::Revision& revision) {
  RevisionOptions options;
  options.revision = control::key_of(revision.metadata);
  options.container_concurrency = static_cast<int>(revision.spec.container_concurrency.value_or(0));
  options.timeout = std::chrono::seconds(revision.spec.timeout_seconds.value_or(300));
  options.labels = metric_labels_of(revision);
  return options;
}

}  // namespace

// One Revision at work.
struct DataPlane::Unit final : EndpointListener, StatSource, ScaleTarget {
  Unit(DataPlane& owner, std::string name, WorkloadSpec spec, const RevisionOptions& limits,
       ScalerSpec scaling)
      : plane(owner),
        key(std::move(name)),
        scaler(std::move(scaling)),
        throttler(owner.activator_.add(limits)),
        pool(owner.env_.executor, owner.env_.timers, owner.env_.logger, owner.runtime_, *this,
             std::move(spec)) {}

  void endpoint_ready(http::Handler& endpoint) override {
    failure.reset();
    throttler.add_endpoint(endpoint);
  }
  Task<void> endpoint_draining(http::Handler& endpoint) override {
    return throttler.remove_endpoint(endpoint);
  }
  void endpoint_gone(http::Handler& endpoint) override { throttler.abort_endpoint(endpoint); }
  void instance_failed(const Error& error, int failures) override {
    failure = error;
    // Who waits for something that cannot start should hear so soon; a crash or two may pass.
    if (failures >= waiting_failures_max || error.code == Errc::not_found) {
      throttler.fail_waiting(error.detail);
    }
    plane.changed_(key);
  }
  void pool_changed() override {
    plane.autoscaler_.ready_changed(key);
    plane.changed_(key);
  }

  StatReport collect(Instant now) override {
    const RequestStats::Report report = throttler.stats().report(now);
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
    plane.changed_(key);
  }
  void plan_changed(const ScalePlan&) override { plane.changed_(key); }
  int ready() const override { return pool.ready(); }

  static constexpr int waiting_failures_max = 3;
  DataPlane& plane;
  std::string key;
  ScalerSpec scaler;
  std::optional<Error> failure;
  bool routed = false;  ///< A Route named it once.
  Throttler& throttler;
  RevisionPool pool;
};

DataPlane::DataPlane(Env& env, WorkloadRuntime& runtime, Metrics& metrics, AutoscalerConfig config,
                     std::function<void(const std::string&)> changed)
    : env_(env),
      runtime_(runtime),
      config_(std::move(config)),
      changed_(std::move(changed)),
      autoscaler_(env.timers, env.logger, AutoscalerOptions{.metrics = &metrics}),
      activator_(env.timers, env.random.split("activator"), *this, &metrics),
      router_(activator_, env.random.split("router")),
      tasks_(env.executor) {}

DataPlane::~DataPlane() {
  for (const auto& [key, unit] : units_) autoscaler_.remove(key);
  tasks_.clear();
}

Result<void> DataPlane::ensure(const serving::Revision& revision) {
  if (stopping_) return fail(Errc::failed_precondition, "the platform is stopping");
  const std::string key = control::key_of(revision.metadata);
  if (units_.contains(key)) return {};  // Revisions are immutable
  const std::map<std::string, std::string> annotations(revision.metadata.annotations.begin(),
                                                       revision.metadata.annotations.end());
  Result<ScalerSpec> scaling =
      resolve_scaler_spec(config_, annotations, revision.spec.container_concurrency.value_or(0));
  if (!scaling) return scaling.error();
  RevisionScaler::Start start;
  const Condition* healthy = find_condition(revision.status.conditions, "ContainerHealthy");
  if (healthy != nullptr && healthy->is_true()) {
    // It ran before this platform was started: it may sleep until somebody asks for it.
    start.replicas = 0;
    start.initialized = true;
    start.active = ActiveState::inactive;
  }
  auto unit = std::make_unique<Unit>(*this, key, workload_of(revision, config_),
                                     limits_of(revision), *scaling);
  Unit& added = *unit;
  units_.emplace(key, std::move(unit));
  Result<void> watched =
      autoscaler_.add(key, *scaling, added, added, start, metric_labels_of(revision));
  if (!watched) {
    units_.erase(key);
    activator_.remove(key);
    return watched.error();
  }
  refresh_reachability();
  return {};
}

void DataPlane::remove(const std::string& revision_key) {
  const auto found = units_.find(revision_key);
  if (found == units_.end()) return;
  autoscaler_.remove(revision_key);
  // Requests in progress end first; new ones find no throttler.
  auto finish = [](DataPlane& self, std::unique_ptr<Unit> unit) -> Task<void> {
    co_await unit->pool.stop();
    // A Revision of the same name may have come meanwhile; the queue is then its own.
    if (!self.units_.contains(unit->key)) self.activator_.remove(unit->key);
  };
  std::unique_ptr<Unit> unit = std::move(found->second);
  units_.erase(found);
  tasks_.add(finish(*this, std::move(unit)));
}

control::RevisionState DataPlane::state(const std::string& revision_key) const {
  control::RevisionState state;
  const auto found = units_.find(revision_key);
  if (found == units_.end()) return state;
  const Unit& unit = *found->second;
  state.ready = unit.pool.ready();
  if (const ScalePlan* plan = autoscaler_.plan(revision_key)) {
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
  if (unit.failure && !state.initialized) {
    state.failure_reason = control::failure_reason_of(*unit.failure);
    state.failure_message = unit.failure->detail;
  }
  return state;
}

Result<void> DataPlane::set_route(RouteRule rule) {
  std::vector<std::string> hosts = rule.hosts;
  for (const RouteTag& tag : rule.tags) {
    hosts.insert(hosts.end(), tag.hosts.begin(), tag.hosts.end());
  }
  for (const std::string& host : hosts) {
    const auto owner = host_owners_.find(host);
    if (owner != host_owners_.end() && owner->second != rule.name) {
      return fail(Errc::already_exists, "host " + host + " belongs to Route " + owner->second);
    }
  }
  std::sort(hosts.begin(), hosts.end());
  if (std::adjacent_find(hosts.begin(), hosts.end()) != hosts.end()) {
    return fail(Errc::already_exists, "two tags of Route " + rule.name + " give the same host");
  }
  const auto before = rules_.find(rule.name);
  if (before != rules_.end() && before->second == rule) return {};
  std::erase_if(host_owners_, [&](const auto& entry) { return entry.second == rule.name; });
  for (const std::string& host : hosts) host_owners_[host] = rule.name;
  std::string name = rule.name;
  rules_[std::move(name)] = std::move(rule);
  rebuild_soon();
  return {};
}

void DataPlane::remove_route(const std::string& route_key) {
  if (rules_.erase(route_key) == 0) return;
  std::erase_if(host_owners_, [&](const auto& entry) { return entry.second == route_key; });
  rebuild_soon();
}

// Many routes may change in one turn; the table is made once, in the next.
void DataPlane::rebuild_soon() {
  if (rebuild_pending_) return;
  rebuild_pending_ = true;
  tasks_.add(rebuild());
}

Task<void> DataPlane::rebuild() {
  rebuild_pending_ = false;
  std::vector<RouteRule> rules;
  rules.reserve(rules_.size());
  for (const auto& [key, rule] : rules_) rules.push_back(rule);
  Result<std::shared_ptr<const RouteTable>> table = RouteTable::make(std::move(rules));
  if (table) {
    router_.set_table(*table);
  } else {
    env_.logger.log(LogLevel::error, "router", "routes are refused",
                    {{"error", table.error().to_string()}});
  }
  refresh_reachability();
  co_return;
}

// A Revision that no Route names any more need not be kept warm (min-scale does not count).
void DataPlane::refresh_reachability() {
  std::set<std::string, std::less<>> named;
  for (const auto& [key, rule] : rules_) {
    for (const RouteTarget& target : rule.targets) named.insert(target.revision);
    for (const RouteTag& tag : rule.tags) named.insert(tag.revision);
  }
  for (const auto& [key, unit] : units_) {
    const bool is_named = named.contains(key);
    unit->routed = unit->routed || is_named;
    const bool reachable = is_named || !unit->routed;
    if (unit->scaler.decider.reachable == reachable) continue;
    unit->scaler.decider.reachable = reachable;
    if (Result<void> updated = autoscaler_.update(key, unit->scaler); !updated) {
      env_.logger.log(LogLevel::error, "autoscaler", "update refused",
                      {{"revision", key}, {"error", updated.error().to_string()}});
    }
  }
}

int DataPlane::ready(const std::string& route_key) const {
  const auto rule = rules_.find(route_key);
  if (rule == rules_.end()) return 0;
  std::set<std::string> revisions;
  for (const RouteTarget& target : rule->second.targets) revisions.insert(target.revision);
  for (const RouteTag& tag : rule->second.tags) revisions.insert(tag.revision);
  int ready = 0;
  for (const std::string& revision : revisions) {
    const auto unit = units_.find(revision);
    if (unit != units_.end()) ready += unit->second->pool.ready();
  }
  return ready;
}

bool DataPlane::routes(std::string_view host) const {
  return host_owners_.find(host) != host_owners_.end();
}

void DataPlane::wanted(std::string_view revision) { autoscaler_.poke(revision); }

Task<void> DataPlane::stop(Duration grace) {
  stopping_ = true;
  for (const auto& [key, unit] : units_) autoscaler_.remove(key);
  std::vector<Task<void>> stops;
  for (const auto& [key, unit] : units_) stops.push_back(unit->pool.stop());
  Task<std::vector<Done>> all = when_all(std::move(stops));
  // What does not end in time is ended by the pools' destructors.
  co_await with_deadline(env_.timers, std::move(all), env_.timers.now() + grace);
}

}  // namespace knative
