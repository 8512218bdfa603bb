#include <algorithm>
#include <array>

#include "engines/event_broker/ingress.hpp"
#include "engines/event_broker/trigger.hpp"
#include "knative/event_broker.hpp"

namespace knative {
namespace {

/// What one large event needed is not kept.
constexpr std::size_t record_capacity_max = std::size_t{1} << 20;

/// RFC 3339 in UTC, with milliseconds.
std::string timestamp(WallTime time) {
  CloudEvent event;
  event.set_time(std::chrono::floor<std::chrono::milliseconds>(time));
  std::string text = event.time();
  text.erase(23, 6);  // of nine decimals keep three
  return text;
}

std::string random_id(Random& random) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string id;
  for (int i = 0; i < 2; ++i) {
    std::uint64_t bits = random();
    for (int n = 0; n < 16; ++n, bits >>= 4) id += digits[bits & 15];
  }
  for (std::size_t dash = 8; dash <= 23; dash += 5) id.insert(dash, 1, '-');
  return id;
}

/// The hops that an arriving event has left; empty when it has none.
std::optional<int> hops_on_arrival(const CloudEvent& event, int first) {
  const ExtensionValue* value = event.extension(broker::hops_attribute);
  if (value == nullptr) return first;
  std::int64_t number = 0;
  const std::string text = to_string(*value);
  for (const char c : text) {
    if (c < '0' || c > '9' || number > 1'000'000) return text.front() == '-' ? 0 : first;
    number = number * 10 + (c - '0');
  }
  if (text.empty()) return first;
  if (number <= 1) return std::nullopt;
  return static_cast<int>(std::min<std::int64_t>(number - 1, first));
}

}  // namespace

struct EventBroker::Impl final : broker::Core {
  Impl(EventBroker& owner, Executor& executor_, Timers& timers_, Log& log_, Logger& logger_,
       Random random, BrokerOptions given)
      : Core(executor_, timers_, log_, logger_, own_options),
        own_options(std::move(given)),
        random_(random),
        ingress(owner, own_options, answers_) {
    if (own_options.metrics == nullptr) return;
    if (own_options.metric_labels.empty()) {
      own_options.metric_labels = {{"broker_name", own_options.name}};
    }
    const std::string& prefix = own_options.metric_names.ingress;
    series_.emplace(*own_options.metrics, own_options.metric_labels);
    answers_.emplace(*series_,
                     AnswerMetrics::Names{prefix + "_event_count", "Events that were sent here.",
                                          prefix + "_event_dispatch_latencies",
                                          "Milliseconds from an event's arrival to its answer."});
  }

  void count(int status, Instant arrival) {
    if (!answers_) return;
    const Duration after = timers.now() - arrival;
    answers_->answered(status, std::chrono::duration<double, std::milli>(after).count());
  }

  /// The record of an arriving event with its attributes, valid until the next one.
  Result<std::string_view> admit(const CloudEvent& event) {
    if (event.id().empty()) {
      CloudEvent named = event;
      identify(named);
      return admit(named);
    }
    if (Result<void> valid = event.validate(); !valid) return valid.error();
    if (stopping_) return fail(Errc::failed_precondition, "the broker has stopped");
    const std::optional<int> hops = hops_on_arrival(event, own_options.hops_max);
    if (!hops || *hops <= 0) {
      ++stats_.hops_exhausted;
      return fail(Errc::invalid_argument,
                  std::string(broker::hops_attribute) + ": the event has no hops left");
    }
    return record_of(event, *hops);
  }

  std::string_view record_of(const CloudEvent& event, int hops) {
    if (record_.capacity() > record_capacity_max) record_ = std::string();
    record_.clear();
    const ExtensionValue hops_left = std::int32_t{hops};
    const std::array<ExtensionStamp, 2> stamps = {
        {{broker::arrival_attribute, arrival_value()}, {broker::hops_attribute, hops_left}}};
    append_bytes(record_, event, stamps);
    return record_;
  }

  /// An event accepted after a trigger was set must be the trigger's even if we crash now.
  Task<Result<void>> triggers_settled() {
    while (unsettled_ > 0) {
      const std::uint64_t failures = first_cursor_failures_;
      co_await settled_.wait();
      if (first_cursor_failures_ != failures) {
        co_return fail(Errc::unavailable, "the log cannot store a trigger's cursor");
      }
    }
    co_return Result<void>();
  }

  void accepted(const CloudEvent& event, Instant arrival) {
    ++stats_.accepted;
    count(202, arrival);
    report_type(event);
  }

  /// Now, as text. Many events arrive within a millisecond.
  const ExtensionValue& arrival_value() {
    const auto now = std::chrono::floor<std::chrono::milliseconds>(timers.wall());
    if (now != arrival_time_) {
      arrival_value_ = timestamp(now);
      arrival_time_ = now;
    }
    return arrival_value_;
  }

  void identify(CloudEvent& event) {
    if (!event.id().empty()) return;
    event.set_id(random_id(random_));
    if (event.time().empty()) event.set_time(std::get<std::string>(arrival_value()));
  }

  Task<Result<bool>> accept_reply(const CloudEvent& reply, int hops) override {
    if (hops <= 1) {
      ++stats_.hops_exhausted;
      logger.log(LogLevel::warning, "broker", "a reply is dropped: its hop limit is reached",
                 {{"broker", own_options.name}, {"type", reply.type()}});
      co_return false;
    }
    const Instant arrival = timers.now();
    CloudEvent event = reply;
    identify(event);
    if (const Result<void> valid = event.validate(); !valid) co_return valid.error();
    const Result<Offset> offset = co_await log.append(record_of(event, hops - 1));
    if (!offset) co_return offset.error();
    const Result<void> settled = co_await triggers_settled();
    if (!settled) co_return settled.error();
    accepted(event, arrival);
    co_return true;
  }

  void first_cursor_stored(bool good) override {
    if (good) {
      --unsettled_;
    } else {
      ++first_cursor_failures_;
    }
    settled_.notify_all();
  }

  void report_type(const CloudEvent& event) {
    if (!own_options.on_event_type || types_.size() >= own_options.event_types_max) return;
    std::string key = event.type() + '\n' + event.source();
    if (types_.insert(std::move(key)).second) own_options.on_event_type(event);
  }

  BrokerOptions own_options;
  Random random_;
  std::optional<MetricSet> series_;
  std::optional<AnswerMetrics> answers_;
  broker::Ingress ingress;
  BrokerStats stats_;
  bool stopping_ = false;
  std::string record_;
  ExtensionValue arrival_value_;
  std::chrono::sys_time<std::chrono::milliseconds> arrival_time_ =
      std::chrono::sys_time<std::chrono::milliseconds>::min();
  std::set<std::string> types_;
  std::size_t unsettled_ = 0;  ///< Triggers whose first cursor is not durable yet.
  std::uint64_t first_cursor_failures_ = 0;
  Wakeup settled_;
  std::map<std::string, std::unique_ptr<broker::Trigger>, std::less<>> triggers_;
};

EventBroker::EventBroker(Executor& executor, Timers& timers, Log& log, Logger& logger,
                         Random random, BrokerOptions options)
    : impl_(std::make_unique<Impl>(*this, executor, timers, log, logger, random,
                                   std::move(options))) {}

EventBroker::~EventBroker() = default;

Task<Result<Offset>> EventBroker::publish(const CloudEvent& event) {
  Impl& impl = *impl_;
  const Instant arrival = impl.timers.now();
  Result<Offset> offset = Offset{0};
  if (const Result<std::string_view> record = impl.admit(event); record) {
    offset = co_await impl.log.append(*record);
  } else {
    offset = record.error();
  }
  if (offset && impl.unsettled_ > 0) {
    if (const Result<void> settled = co_await impl.triggers_settled(); !settled) {
      offset = settled.error();
    }
  }
  if (offset) {
    impl.accepted(event, arrival);
  } else {
    ++impl.stats_.rejected;
    impl.count(broker::refusal_status(offset.error()), arrival);
  }
  co_return offset;
}

http::Handler& EventBroker::ingress() noexcept { return impl_->ingress; }

Result<void> EventBroker::set_trigger(const std::string& name, TriggerOptions options,
                                      Sink& subscriber) {
  if (impl_->stopping_) return fail(Errc::failed_precondition, "the broker has stopped");
  const DeliveryOptions& delivery = options.delivery;
  if (name.empty()) return fail(Errc::invalid_argument, "a trigger needs a name");
  if (options.window == 0 || options.span_max < options.window) {
    return fail(Errc::invalid_argument, "window must be at least 1 and at most span_max");
  }
  if (delivery.retry < 0 || delivery.delay < Duration(0) || delivery.timeout <= Duration(0) ||
      !(delivery.jitter >= 0 && delivery.jitter <= 1)) {
    return fail(Errc::invalid_argument, "a delivery option is out of range");
  }
  const auto known = impl_->triggers_.find(name);
  if (known != impl_->triggers_.end()) {
    known->second->replace(std::move(options), subscriber);
    return {};
  }
  Log& log = impl_->log;
  const std::optional<Offset> stored = log.cursor(broker::cursor_name(name));
  const Offset begin = std::max(stored ? *stored : options.begin.value_or(log.end()), log.first());
  if (!stored) ++impl_->unsettled_;
  impl_->triggers_.emplace(
      name, std::make_unique<broker::Trigger>(*impl_, name, std::move(options), subscriber,
                                              std::min(begin, log.end()), stored.has_value(),
                                              impl_->random_.split("trigger/" + name)));
  return {};
}

void EventBroker::detach_trigger(const std::string& name) {
  const auto found = impl_->triggers_.find(name);
  if (found == impl_->triggers_.end()) return;
  if (!found->second->settled()) impl_->first_cursor_stored(true);
  impl_->triggers_.erase(found);
}

Task<Result<void>> EventBroker::remove_trigger(std::string name) {
  detach_trigger(name);
  return impl_->log.remove_cursor(broker::cursor_name(name));
}

std::vector<std::string> EventBroker::triggers() const {
  std::vector<std::string> names;
  for (const auto& [name, trigger] : impl_->triggers_) names.push_back(name);
  return names;
}

std::optional<TriggerStats> EventBroker::trigger_stats(std::string_view name) const {
  const auto found = impl_->triggers_.find(name);
  if (found == impl_->triggers_.end()) return std::nullopt;
  return found->second->stats();
}

BrokerStats EventBroker::stats() const noexcept { return impl_->stats_; }

bool EventBroker::idle() const {
  return std::all_of(impl_->triggers_.begin(), impl_->triggers_.end(),
                     [](const auto& entry) { return entry.second->idle(); });
}

Task<void> EventBroker::stop(Duration grace) {
  Impl& impl = *impl_;
  impl.stopping_ = true;
  for (const auto& [name, trigger] : impl.triggers_) trigger->stop();
  auto quiet = [](Impl& world) -> Task<void> {
    for (;;) {
      const auto busy =
          std::find_if(world.triggers_.begin(), world.triggers_.end(),
                       [](const auto& entry) { return entry.second->attempts_running() > 0; });
      if (busy == world.triggers_.end()) co_return;
      co_await busy->second->attempt_ended().wait();
    }
  };
  Task<void> waiting = quiet(impl);
  co_await with_deadline(impl.timers, std::move(waiting), impl.timers.now() + grace);
  std::vector<std::pair<std::string, Offset>> cursors;
  for (const auto& [name, trigger] : impl.triggers_) cursors.emplace_back(name, trigger->cursor());
  for (const auto& [name, cursor] : cursors) {
    const std::string key = broker::cursor_name(name);
    const Result<void> done = co_await impl.log.commit(key, cursor);
    if (!done) {
      impl.logger.log(LogLevel::warning, "broker", "a cursor could not be stored",
                      {{"trigger", name}, {"error", done.error().to_string()}});
    }
  }
  while (!impl.triggers_.empty()) detach_trigger(impl.triggers_.begin()->first);
}

}  // namespace knative
