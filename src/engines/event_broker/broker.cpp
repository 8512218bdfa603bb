#include <algorithm>

#include "engines/event_broker/ingress.hpp"
#include "engines/event_broker/trigger.hpp"
#include "knative/event_broker.hpp"

namespace knative {
namespace {

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

  /// Append an event that is valid and has its attributes.
  Task<Result<Offset>> store(CloudEvent event) {
    const Instant arrival = timers.now();
    const std::string bytes = to_bytes(event);
    Result<Offset> offset = co_await log.append(bytes);
    // An event accepted after a trigger was set must be the trigger's even if we crash now.
    while (offset && unsettled_ > 0) {
      const std::uint64_t failures = first_cursor_failures_;
      co_await settled_.wait();
      if (first_cursor_failures_ != failures) {
        offset = fail(Errc::unavailable, "the log cannot store a trigger's cursor");
      }
    }
    if (offset) {
      ++stats_.accepted;
      count(202, arrival);
      report_type(event);
    }
    co_return offset;
  }

  Task<Result<Offset>> accept(CloudEvent event) {
    if (stopping_) return refuse(fail(Errc::failed_precondition, "the broker has stopped"));
    const std::optional<int> hops = hops_on_arrival(event, own_options.hops_max);
    if (!hops || *hops <= 0) {
      ++stats_.hops_exhausted;
      return refuse(fail(Errc::invalid_argument,
                         std::string(broker::hops_attribute) + ": the event has no hops left"));
    }
    event.set_extension(std::string(broker::hops_attribute), std::int32_t{*hops});
    event.set_extension(std::string(broker::arrival_attribute), arrival_text());
    return store(std::move(event));
  }
  static Task<Result<Offset>> refuse(Error error) { co_return error; }

  /// Now, as text. Many events arrive within a millisecond.
  const std::string& arrival_text() {
    const auto now = std::chrono::floor<std::chrono::milliseconds>(timers.wall());
    if (arrival_text_.empty() || now != arrival_text_time_) {
      arrival_text_ = timestamp(now);
      arrival_text_time_ = now;
    }
    return arrival_text_;
  }

  void identify(CloudEvent& event) {
    if (!event.id().empty()) return;
    event.set_id(random_id(random_));
    if (event.time().empty()) event.set_time(arrival_text());
  }

  Task<Result<bool>> accept_reply(const CloudEvent& reply, int hops) override {
    if (hops <= 1) {
      ++stats_.hops_exhausted;
      logger.log(LogLevel::warning, "broker", "a reply is dropped: its hop limit is reached",
                 {{"broker", own_options.name}, {"type", reply.type()}});
      co_return false;
    }
    CloudEvent event = reply;
    identify(event);
    const Result<void> valid = event.validate();
    if (!valid) co_return valid.error();
    event.set_extension(std::string(broker::hops_attribute), std::int32_t{hops - 1});
    event.set_extension(std::string(broker::arrival_attribute), arrival_text());
    const Result<Offset> offset = co_await store(std::move(event));
    if (!offset) co_return offset.error();
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
  std::string arrival_text_;
  std::chrono::sys_time<std::chrono::milliseconds> arrival_text_time_{};
  std::set<std::string> types_;
  std::size_t unsettled_ = 0;  ///< Triggers whose first cursor is not durable yet.
  std::uint64_t first_cursor_failures_ = 0;
  Event settled_;
  std::map<std::string, std::unique_ptr<broker::Trigger>, std::less<>> triggers_;
};

EventBroker::EventBroker(Executor& executor, Timers& timers, Log& log, Logger& logger,
                         Random random, BrokerOptions options)
    : impl_(std::make_unique<Impl>(*this, executor, timers, log, logger, random,
                                   std::move(options))) {}

EventBroker::~EventBroker() = default;

Task<Result<Offset>> EventBroker::publish(const CloudEvent& given) {
  Impl& impl = *impl_;
  const Instant arrival = impl.timers.now();
  CloudEvent event = given;
  impl.identify(event);
  Result<void> valid = event.validate();
  Result<Offset> offset = Offset{0};
  if (valid) {
    offset = co_await impl.accept(std::move(event));
  } else {
    offset = valid.error();
  }
  if (!offset) {
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
