#include "engines/event_broker/trigger.hpp"

#include <algorithm>

#include "knative/scalars.hpp"

namespace knative::broker {
namespace {

constexpr std::size_t error_bytes_max = 768;  // 1024 characters of base64
constexpr Duration trouble_delay = std::chrono::seconds(1);
constexpr Duration trouble_delay_max = std::chrono::minutes(5);

/// Lets the other fibers run: a long backlog must not hold them up.
struct NextTurn {
  Waiter waiter;
  bool await_ready() const noexcept { return false; }
  template <class P>
  void await_suspend(std::coroutine_handle<P> handle) noexcept {
    waiter.park(*handle.promise().fiber);
    waiter.wake();
  }
  void await_resume() const noexcept {}
};

/// The hops an event of the log has left.
int hops_of(const CloudEvent& event, int otherwise) {
  const ExtensionValue* value = event.extension(hops_attribute);
  if (value == nullptr) return otherwise;
  if (const std::int32_t* number = std::get_if<std::int32_t>(value)) return *number;
  return otherwise;
}

}  // namespace

std::string cursor_name(std::string_view trigger) { return "trigger/" + std::string(trigger); }

Trigger::Trigger(Core& core, std::string name, TriggerOptions options, Sink& subscriber,
                 Offset cursor, bool known, Random random)
    : core_(core),
      name_(std::move(name)),
      options_(std::move(options)),
      subscriber_(&subscriber),
      random_(random),
      dispatcher_(cursor, options_.window, options_.span_max),
      first_told_(known),
      cursor_task_(core.executor),
      tasks_(core.executor) {
  if (known) stored_ = cursor;
  if (core.options.metrics != nullptr) series_.emplace(*core.options.metrics, *this);
  cursor_task_.add(store_cursor());
  begin();
}

Trigger::~Trigger() = default;

void Trigger::replace(TriggerOptions options, Sink& subscriber) {
  tasks_.clear();
  attempts_running_ = 0;
  options_ = std::move(options);
  subscriber_ = &subscriber;
  dispatcher_.restart();
  dispatcher_.set_bounds(options_.window, options_.span_max);
  begin();
}

void Trigger::begin() { tasks_.add(follow()); }

void Trigger::stop() {
  stopping_ = true;
  stop_.set();
  room_.notify_all();
}

TriggerStats Trigger::stats() const {
  TriggerStats stats = stats_;
  stats.in_progress = dispatcher_.in_progress();
  stats.cursor = dispatcher_.cursor();
  stats.backlog = core_.log.end() - std::min(core_.log.end(), stats.cursor);
  return stats;
}

bool Trigger::idle() const { return dispatcher_.cursor() >= core_.log.end(); }

// ---------------------------------------------------------------------------- following the log

Task<void> Trigger::follow() {
  Duration trouble = trouble_delay;  // a damaged log stays so until somebody mends it
  while (!stopping_) {
    const Offset next = dispatcher_.next();
    if (next >= core_.log.end()) {
      co_await core_.log.wait_for(next);
      if (core_.log.end() <= next) co_return;  // the log was closed
      continue;
    }
    const Result<std::vector<Record>> records = co_await core_.log.read(next, ReadLimits());
    if (!records) {
      stats_.last_error = records.error().to_string();
      core_.logger.log(
          LogLevel::error, "broker", "a trigger cannot read the log",
          {{"broker", core_.options.name}, {"trigger", name_}, {"error", stats_.last_error}});
      co_await core_.timers.sleep_for(trouble);
      trouble = std::min(2 * trouble, trouble_delay_max);
      continue;
    }
    trouble = trouble_delay;
    if (records->empty()) {  // retention took them
      dispatcher_.skip_to(core_.log.first());
      moved_.notify_all();
    }
    co_await enter(*records);
    co_await NextTurn();
  }
}

Task<void> Trigger::enter(const std::vector<Record>& records) {
  for (const Record& record : records) {
    while (dispatcher_.room() == 0 && !stopping_) co_await room_.wait();
    if (stopping_) co_return;
    if (record.offset < dispatcher_.next()) continue;
    if (!dispatcher_.enter(record.offset)) continue;
    Result<CloudEvent> event = event_from_bytes(record.bytes);
    if (!event) {  // a foreign record; its checksum was right, so it will never be an event
      ++stats_.dropped;
      if (series_) series_->dropped.add();
      core_.logger.log(LogLevel::error, "broker", "a record of the log holds no event",
                       {{"broker", core_.options.name}, {"offset", std::to_string(record.offset)}});
      finish(record.offset);
      continue;
    }
    if (!options_.filter.matches(*event)) {
      ++stats_.filtered;
      finish(record.offset);
      continue;
    }
    ++stats_.matched;
    const int hops = hops_of(*event, core_.options.hops_max);
    event->remove_extension(hops_attribute);
    tasks_.add(deliver(record.offset, std::move(*event), hops));
  }
}

void Trigger::finish(Offset offset) {
  dispatcher_.finish(offset);
  room_.notify_all();
  moved_.notify_all();
}

Task<void> Trigger::store_cursor() {
  for (;;) {
    while (stored_ == dispatcher_.cursor()) co_await moved_.wait();
    if (stored_) co_await core_.timers.sleep_for(core_.options.commit_delay);
    const Offset cursor = dispatcher_.cursor();
    const Result<void> done = co_await core_.log.commit(cursor_name(name_), cursor);
    if (done) stored_ = cursor;
    if (!first_told_) {
      first_told_ = done.has_value();
      core_.first_cursor_stored(done.has_value());
    }
    if (!done) co_await core_.timers.sleep_for(trouble_delay);
  }
}

// ---------------------------------------------------------------------------- delivering

Task<void> Trigger::deliver(Offset offset, CloudEvent event, int hops) {
  const std::optional<DeliveryAttempt> last = co_await try_all(event, *subscriber_, hops);
  if (!last) co_return;  // stopping: the cursor stays before this event
  if (last->ok()) {
    ++stats_.delivered;
    if (series_) series_->delivered.add();
  } else if (!co_await dead_letter(event, hops, *last)) {
    co_return;
  }
  finish(offset);
}

Task<std::optional<DeliveryAttempt>> Trigger::try_all(const CloudEvent& event, Sink& sink,
                                                      std::optional<int> hops) {
  const RetrySchedule schedule(options_.delivery);
  for (int number = 1;; ++number) {
    if (stopping_) co_return std::nullopt;
    DeliveryAttempt attempt = co_await try_once(event, sink, hops);
    if (attempt.ok()) {
      stats_.last_error.clear();
      co_return attempt;
    }
    stats_.last_error = std::to_string(attempt.status) + " " + attempt.detail.substr(0, 200);
    const std::optional<Duration> delay = schedule.next(number, attempt, random_);
    if (!delay) co_return attempt;
    ++stats_.retries;
    auto stopped = [](Wakeup& stop) -> Task<void> { co_await stop.wait(); };
    Task<void> wait = stopped(stop_);
    co_await with_deadline(core_.timers, std::move(wait), core_.timers.now() + *delay);
  }
}

Task<DeliveryAttempt> Trigger::try_once(const CloudEvent& event, Sink& sink,
                                        std::optional<int> hops) {
  struct Running {
    Trigger& trigger;
    explicit Running(Trigger& owner) : trigger(owner) { ++trigger.attempts_running_; }
    ~Running() {
      if (trigger.attempts_running_ > 0) --trigger.attempts_running_;
      trigger.attempt_ended_.notify_all();
    }
  };
  const Running running(*this);
  ++stats_.attempts;
  const Instant began = core_.timers.now();
  DeliveryAttempt attempt;
  try {
    Task<DeliveryAttempt> task = sink.attempt(event);
    const Instant deadline = began + options_.delivery.timeout;
    std::optional<DeliveryAttempt> got =
        co_await with_deadline(core_.timers, std::move(task), deadline);
    if (got) {
      attempt = std::move(*got);
    } else {
      attempt.status = 504;
      attempt.detail = "no answer in time";
    }
  } catch (const std::exception& exception) {
    attempt.status = 500;
    attempt.detail = std::string("the subscriber threw: ") + exception.what();
  }
  if (series_ && hops) {  // letters are not the subscriber's
    const Duration after = core_.timers.now() - began;
    series_->attempts.answered(attempt.status,
                               std::chrono::duration<double, std::milli>(after).count());
  }
  if (!attempt.ok() || !attempt.reply || !hops) co_return attempt;
  const Result<bool> accepted = co_await core_.accept_reply(*attempt.reply, *hops);
  if (!accepted) {
    attempt.status = accepted.error().code == Errc::invalid_argument ? 502 : 503;
    attempt.detail = "the reply was not accepted: " + accepted.error().to_string();
  } else if (*accepted) {
    ++stats_.replies;
  } else {
    ++stats_.replies_dropped;
  }
  co_return attempt;
}

Task<bool> Trigger::dead_letter(const CloudEvent& event, int hops, const DeliveryAttempt& failed) {
  std::string trouble = "no dead letter sink";
  if (options_.dead_letter != nullptr) {
    CloudEvent letter = event;
    // A letter that comes back to this broker must not go round for ever.
    letter.set_extension(std::string(hops_attribute), std::int32_t{hops});
    if (!options_.subscriber_uri.empty()) {
      letter.set_extension("knativeerrordest", options_.subscriber_uri);
    }
    letter.set_extension("knativeerrorcode", std::to_string(failed.status));
    if (!failed.detail.empty()) {
      const std::string_view detail = std::string_view(failed.detail).substr(0, error_bytes_max);
      letter.set_extension("knativeerrordata", base64_encode(detail));
    }
    const std::optional<DeliveryAttempt> last =
        co_await try_all(letter, *options_.dead_letter, std::nullopt);
    if (!last) co_return false;
    if (last->ok()) {
      ++stats_.dead_lettered;
      if (series_) series_->dead_lettered.add();
      co_return true;
    }
    trouble = "the dead letter sink failed: " + std::to_string(last->status) + " " +
              last->detail.substr(0, 200);
  }
  ++stats_.dropped;
  if (series_) series_->dropped.add();
  core_.logger.log(LogLevel::error, "broker", "an event could not be delivered and is dropped",
                   {{"broker", core_.options.name},
                    {"trigger", name_},
                    {"event", event.id()},
                    {"source", event.source()},
                    {"status", std::to_string(failed.status)},
                    {"reason", trouble}});
  co_return true;
}

// ---------------------------------------------------------------------------- metrics

namespace {

MetricLabels labels_of(const BrokerOptions& broker, const std::string& trigger) {
  MetricLabels labels = broker.metric_labels;
  labels.push_back({broker.metric_names.trigger_label, trigger});
  return labels;
}

Counter& deliveries(MetricSet& set, const BrokerMetricNames& names, std::string result) {
  return set.counter(names.own + "_deliveries_total", "Events that are done with, by their end.",
                     {{"result", std::move(result)}});
}

}  // namespace

Trigger::Series::Series(Metrics& metrics, const Trigger& trigger)
    : set(metrics, labels_of(trigger.core_.options, trigger.options_.metric_name.empty()
                                                        ? trigger.name_
                                                        : trigger.options_.metric_name)),
      attempts(set, {trigger.core_.options.metric_names.filter + "_event_count",
                     "Attempts to deliver an event to the subscriber.",
                     trigger.core_.options.metric_names.filter + "_event_dispatch_latencies",
                     "Milliseconds from the beginning of an attempt to its answer."}),
      delivered(deliveries(set, trigger.core_.options.metric_names, "delivered")),
      dead_lettered(deliveries(set, trigger.core_.options.metric_names, "dead_lettered")),
      dropped(deliveries(set, trigger.core_.options.metric_names, "dropped")) {
  set.gauge_from(trigger.core_.options.metric_names.own + "_backlog_events",
                 "Accepted events that a trigger is not done with.",
                 [&trigger] { return static_cast<double>(trigger.stats().backlog); });
}

}  // namespace knative::broker
