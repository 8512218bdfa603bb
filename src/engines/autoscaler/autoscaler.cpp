#include "knative/autoscaler.hpp"

#include <algorithm>

#include "knative/metrics.hpp"

namespace knative {
namespace {

/// Gauges of one revision, named after Knative's.
class RevisionGauges {
 public:
  RevisionGauges(Metrics& metrics, const std::string& key) : metrics_(metrics), key_(key) {}
  ~RevisionGauges() {
    for (const std::string_view name : names_) metrics_.remove(name, {{"revision", key_}});
  }
  RevisionGauges(const RevisionGauges&) = delete;
  RevisionGauges& operator=(const RevisionGauges&) = delete;

  void set_load(const Observation& seen, double target) noexcept {
    stable_.set(seen.stable);
    panic_.set(seen.panic);
    target_.set(target);
  }
  void set_plan(const ScalePlan& plan, int ready) noexcept {
    desired_.set(std::max(0, plan.decision.desired));
    requested_.set(plan.replicas);
    count_.set(ready);
    panic_mode_.set(plan.decision.panicking ? 1 : 0);
    excess_.set(plan.decision.excess_burst_capacity);
  }

 private:
  Gauge& gauge(std::string_view name, std::string_view help) {
    names_.push_back(name);
    return metrics_.gauge(name, help, {{"revision", key_}});
  }
  Metrics& metrics_;
  std::string key_;
  std::vector<std::string_view> names_;
  Gauge& desired_ = gauge("kn_revision_pods_desired", "Instances that the last decision wants.");
  Gauge& requested_ = gauge("kn_revision_pods_requested", "Instances asked of the workload.");
  Gauge& count_ = gauge("kn_revision_pods_count", "Instances that are ready.");
  Gauge& stable_ = gauge("kn_revision_load_stable", "Load over the stable window.");
  Gauge& panic_ = gauge("kn_revision_load_panic", "Load over the panic window.");
  Gauge& target_ = gauge("kn_revision_load_target", "Load aimed at per instance.");
  Gauge& panic_mode_ = gauge("kn_revision_panic_mode", "1 while in panic mode.");
  Gauge& excess_ = gauge("kn_revision_capacity_excess", "Excess burst capacity.");
};

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
  std::optional<RevisionGauges> gauges;
  StatSource& source;
  ScaleTarget& target;
  double reported_early = 0;  ///< Recorded by a poke, to be left out of the next report.
  bool awake = true;
  bool removed = false;
};

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
    std::erase_if(awake, [](Entry* entry) {
      if (entry->removed) return true;
      entry->awake = !entry->at_rest();
      return !entry->awake;
    });
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
    Observation seen;
    seen.stable = entry.stable.average(now);
    seen.panic = entry.panic.average(now);
    seen.ready = entry.target.ready();
    seen.measured = !entry.stable.empty(now);
    entry.scaler.decide(now, seen);
    if (entry.gauges) entry.gauges->set_load(seen, entry.scaler.spec().decider.target_value);
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
    if (entry.gauges) entry.gauges->set_plan(entry.scaler.plan(), entry.target.ready());
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
                             ScaleTarget& target, const RevisionScaler::Start& start) {
  std::unique_ptr<Entry>& place = impl_->entries[key];
  if (place) return fail(Errc::already_exists, "revision " + key + " is scaled already");
  const Instant now = impl_->timers.now();
  place = std::make_unique<Entry>(key, spec, now, start, source, target);
  Entry& entry = *place;
  if (impl_->options.metrics != nullptr) entry.gauges.emplace(*impl_->options.metrics, key);
  impl_->awake.push_back(&entry);
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
  if (impl_->passing) {
    impl_->graveyard.push_back(std::move(found->second));
  } else {
    std::erase(impl_->awake, found->second.get());
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
