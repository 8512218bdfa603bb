#include "knative/autoscaler.hpp"

#include <algorithm>

namespace knative {
namespace {

/// One revision under care.
struct Entry {
  Entry(std::string k, const ScalerSpec& spec, Instant now, const RevisionScaler::Start& start,
        StatSource& s, ScaleTarget& t)
      : key(std::move(k)),
        stable(spec.decider.stable_window, spec.decider.aggregation),
        panic(spec.decider.panic_window, spec.decider.aggregation),
        scaler(spec, now, start),
        source(s),
        target(t) {}

  bool at_rest() const noexcept {
    const ScalePlan& plan = scaler.plan();
    return plan.replicas == 0 && plan.desired <= 0 && plan.active == ActiveState::inactive &&
           !plan.again_at && target.ready() == 0;
  }

  std::string key;
  Window stable;
  Window panic;
  RevisionScaler scaler;
  Observation seen;  ///< At the last decision.
  std::optional<MetricSet> gauges;
  StatSource& source;
  ScaleTarget& target;
  double reported_early = 0;  ///< Recorded by a poke, to be left out of the next report.
  std::size_t place = 0;      ///< Among the awake ones.
  bool awake = false;
  bool removed = false;
};

/// Gauges of one revision; they are read when somebody asks, so that a pass does not pay for them.
void make_gauges(Entry& entry, Metrics& metrics, const MetricLabels& labels) {
  using Read = double (*)(const Entry&);
  entry.gauges.emplace(metrics,
                       labels.empty() ? MetricLabels{{"revision_name", entry.key}} : labels);
  const auto gauge = [&entry](std::string_view name, std::string_view help, Read read) {
    entry.gauges->gauge_from(name, help, [&entry, read] { return read(entry); });
  };
  gauge("autoscaler_desired_pods", "Instances that the last decision wants.",
        [](const Entry& e) -> double { return std::max(0, e.scaler.plan().decision.desired); });
  gauge("autoscaler_requested_pods", "Instances asked of the workload.",
        [](const Entry& e) -> double { return e.scaler.plan().replicas; });
  gauge("autoscaler_actual_pods", "Instances that are ready.",
        [](const Entry& e) -> double { return e.target.ready(); });
  gauge("autoscaler_panic_mode", "1 while in panic mode.",
        [](const Entry& e) -> double { return e.scaler.plan().decision.panicking ? 1 : 0; });
  gauge("autoscaler_excess_burst_capacity", "What ready instances can take beyond the load.",
        [](const Entry& e) { return e.scaler.plan().decision.excess_burst_capacity; });
  const auto stable = [](const Entry& e) { return e.seen.stable; };
  const auto panic = [](const Entry& e) { return e.seen.panic; };
  const auto target = [](const Entry& e) { return e.scaler.spec().decider.target_value; };
  if (entry.scaler.spec().decider.metric == ScalingMetric::rps) {
    gauge("autoscaler_stable_requests_per_second", "Average over the stable window.", stable);
    gauge("autoscaler_panic_requests_per_second", "Average over the panic window.", panic);
    gauge("autoscaler_target_requests_per_second", "Aimed at per instance.", target);
  } else {
    gauge("autoscaler_stable_request_concurrency", "Average over the stable window.", stable);
    gauge("autoscaler_panic_request_concurrency", "Average over the panic window.", panic);
    gauge("autoscaler_target_concurrency_per_pod", "Aimed at per instance.", target);
  }
}

}  // namespace

struct Autoscaler::Impl {
  class Tick final : public TimerNode {
   public:
    explicit Tick(Impl& impl) noexcept : impl_(impl) {}

   private:
    void fire() noexcept override { impl_.tick(); }
    Impl& impl_;
  };

  Impl(Timers& t, Logger& l, AutoscalerOptions o)
      : timers(t), logger(l), options(std::move(o)), timer(*this) {
    KN_ASSERT(options.stat_interval.count() > 0);
    KN_ASSERT(options.tick_interval >= options.stat_interval);
  }

  Entry* find(std::string_view key) const noexcept {
    const auto found = entries.find(key);
    return found == entries.end() ? nullptr : found->second.get();
  }

  void tick() {
    // Reports are recorded at the times when they were due, so that a late loop does not put
    // two of them into one bucket; what was missed meanwhile is one longer report.
    const Instant due = due_at;
    const Instant now = timers.now();
    due_at += options.stat_interval;
    if (due_at <= now) {
      const auto missed = (now - due_at) / options.stat_interval + 1;
      due_at += options.stat_interval * missed;
    }
    const bool decide = due >= decide_at;
    if (decide) decide_at = due + options.tick_interval;
    pass(due, decide);
    if (!awake.empty()) timers.arm(timer, due_at);
  }

  void pass(Instant now, bool decide) {
    passing = true;
    for (std::size_t i = 0; i < awake.size(); ++i) {
      if (!awake[i]->removed) visit(*awake[i], now, decide);
    }
    passing = false;
    std::size_t kept = 0;
    for (Entry* entry : awake) {
      entry->awake = !entry->removed && !entry->at_rest();
      if (!entry->awake) continue;
      entry->place = kept;
      awake[kept++] = entry;
    }
    awake.resize(kept);
    graveyard.clear();
  }

  void visit(Entry& entry, Instant now, bool decide) {
    const StatReport report = entry.source.collect(now);
    const int ready = entry.target.ready();
    if (report.any || ready > 0) {
      const bool rps = entry.scaler.spec().decider.metric == ScalingMetric::rps;
      double value = rps ? report.requests_per_second : report.average_concurrency;
      value = std::max(0.0, value - entry.reported_early);
      entry.reported_early = 0;
      entry.stable.record(now, value);
      entry.panic.record(now, value);
    }
    decide ? this->decide(entry, now) : step(entry, now);
  }

  void decide(Entry& entry, Instant now) {
    const ScalePlan& plan = entry.scaler.plan();
    const Before before(plan);
    Observation& seen = entry.seen;
    seen.stable = entry.stable.average(now);
    seen.panic = entry.panic.average(now);
    seen.ready = entry.target.ready();
    seen.measured = !entry.stable.empty(now);
    entry.scaler.decide(now, seen);
    tell(entry, before);
  }

  void step(Entry& entry, Instant now) {
    const Before before(entry.scaler.plan());
    entry.scaler.step(now, entry.target.ready());
    tell(entry, before);
  }

  /// What of a plan is told to the target when it changes.
  struct Before {
    explicit Before(const ScalePlan& plan) noexcept
        : active(plan.active),
          reason(plan.reason),
          desired(plan.desired),
          replicas(plan.replicas),
          activator_in_path(plan.activator_in_path),
          initialized(plan.initialized) {}
    friend bool operator==(const Before&, const Before&) = default;
    ActiveState active;
    ActiveReason reason;
    int desired;
    int replicas;
    bool activator_in_path;
    bool initialized;
  };

  void tell(Entry& entry, const Before& before) {
    if (before == Before(entry.scaler.plan())) return;
    const ScalePlan plan = entry.scaler.plan();
    if (plan.replicas != before.replicas) {
      logger.log(LogLevel::info, "autoscaler", "scale",
                 {{"revision", entry.key},
                  {"from", std::to_string(before.replicas)},
                  {"to", std::to_string(plan.replicas)},
                  {"rule", std::string(to_string(plan.rule))},
                  {"decision", plan.decision.to_string()}});
      entry.target.scale_to(plan);
    }
    if (!entry.removed) entry.target.plan_changed(plan);
  }

  void wake(Entry& entry) {
    if (!entry.awake) {
      entry.awake = true;
      entry.place = awake.size();
      awake.push_back(&entry);
    }
    if (timer.armed() || passing) return;
    due_at = timers.now() + options.stat_interval;
    decide_at = timers.now() + options.tick_interval;
    timers.arm(timer, due_at);
  }

  Timers& timers;
  Logger& logger;
  AutoscalerOptions options;
  std::map<std::string, std::unique_ptr<Entry>, std::less<>> entries;
  std::vector<Entry*> awake;
  std::vector<std::unique_ptr<Entry>> graveyard;  ///< Removed while a pass looks at them.
  Tick timer;
  Instant due_at{};
  Instant decide_at{};
  bool passing = false;
};

Autoscaler::Autoscaler(Timers& timers, Logger& logger, AutoscalerOptions options)
    : impl_(std::make_unique<Impl>(timers, logger, std::move(options))) {}

Autoscaler::~Autoscaler() = default;

Result<void> Autoscaler::add(const std::string& key, const ScalerSpec& spec, StatSource& source,
                             ScaleTarget& target, const RevisionScaler::Start& start,
                             const MetricLabels& labels) {
  std::unique_ptr<Entry>& place = impl_->entries[key];
  if (place) return fail(Errc::already_exists, "revision " + key + " is scaled already");
  const Instant now = impl_->timers.now();
  place = std::make_unique<Entry>(key, spec, now, start, source, target);
  Entry& entry = *place;
  if (impl_->options.metrics != nullptr) make_gauges(entry, *impl_->options.metrics, labels);
  impl_->wake(entry);
  source.collect(now);
  const ScalePlan plan = entry.scaler.plan();
  target.scale_to(plan);
  if (!entry.removed) target.plan_changed(plan);
  return {};
}

Result<void> Autoscaler::update(const std::string& key, const ScalerSpec& spec) {
  Entry* entry = impl_->find(key);
  if (entry == nullptr) return fail(Errc::not_found, "revision " + key + " is not scaled");
  entry->stable.resize(spec.decider.stable_window);
  entry->panic.resize(spec.decider.panic_window);
  entry->scaler.update(spec);
  impl_->wake(*entry);
  impl_->step(*entry, impl_->timers.now());
  return {};
}

void Autoscaler::remove(std::string_view key) {
  const auto found = impl_->entries.find(key);
  if (found == impl_->entries.end()) return;
  found->second->removed = true;
  found->second->gauges.reset();
  if (impl_->passing) {
    impl_->graveyard.push_back(std::move(found->second));
  } else if (found->second->awake) {
    // The last one takes its place: a removal costs the same among many.
    std::vector<Entry*>& awake = impl_->awake;
    const std::size_t place = found->second->place;
    awake[place] = awake.back();
    awake[place]->place = place;
    awake.pop_back();
  }
  impl_->entries.erase(found);
  if (impl_->awake.empty()) impl_->timer.disarm();
}

void Autoscaler::poke(std::string_view key) {
  Entry* entry = impl_->find(key);
  if (entry == nullptr || entry->scaler.plan().desired > 0) return;
  impl_->wake(*entry);
  const Instant now = impl_->timers.now();
  // The first request of an idle revision counts as one right away (as its activator reports).
  if (entry->reported_early == 0) {
    entry->reported_early = 1;
    entry->stable.record(now, 1);
    entry->panic.record(now, 1);
  }
  impl_->decide(*entry, now);
}

void Autoscaler::ready_changed(std::string_view key) {
  Entry* entry = impl_->find(key);
  if (entry == nullptr) return;
  impl_->wake(*entry);
  impl_->step(*entry, impl_->timers.now());
}

const ScalePlan* Autoscaler::plan(std::string_view key) const noexcept {
  const Entry* entry = impl_->find(key);
  return entry == nullptr ? nullptr : &entry->scaler.plan();
}

std::size_t Autoscaler::size() const noexcept { return impl_->entries.size(); }
std::size_t Autoscaler::awake() const noexcept { return impl_->awake.size(); }

void Autoscaler::pass(Instant now, bool decide) { impl_->pass(now, decide); }

}  // namespace knative
