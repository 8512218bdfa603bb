#include "engines/event_broker/trigger.hpp"

#include <algorithm>

#include "base/next_turn.hpp"
#include "base/text.hpp"
#include "base/wait_for.hpp"
#include "knative/scalars.hpp"

namespace knative::broker {
namespace {

constexpr std::size_t error_bytes_max = 768;  // 1024 characters of base64
constexpr std::size_t cause_bytes_max = 200;  // of what people read
constexpr std::string_view error_code_attribute = "knativeerrorcode";
constexpr std::string_view error_data_attribute = "knativeerrordata";
constexpr Duration trouble_delay = std::chrono::seconds(1);
constexpr Duration trouble_delay_max = std::chrono::minutes(5);

/// The cause as text for people, whatever the subscriber answered.
std::string cause_of(const DeliveryAttempt& failed) {
  const std::string_view cause = failed.cause();
  return base::valid_utf8(cause.substr(0, base::utf8_prefix(cause, cause_bytes_max)));
}

/// The hops an event of the log has left.
int hops_of(const CloudEvent& event, int otherwise) {
  const ExtensionValue* value = event.extension(hops_attribute);
  if (value == nullptr) return otherwise;
  if (const std::int32_t* number = std::get_if<std::int32_t>(value)) return *number;
  return otherwise;
}

/// Stands for the refusal of a reply that has no hops left, as a broker refuses such an event.
DeliveryAttempt looped() {
  DeliveryAttempt attempt;
  attempt.status = 400;
  attempt.detail = std::string(hops_attribute) + ": the reply has no hops left";
  return attempt;
}

}  // namespace

std::string cursor_name(std::string_view trigger) { return "trigger/" + std::string(trigger); }

Trigger::Trigger(Core& core, std::string name, const std::string& metric_name, Offset cursor,
                 bool known, Random random)
    : core_(core),
      name_(std::move(name)),
      random_(random),
      dispatcher_(cursor, TriggerOptions().window, TriggerOptions().span_max),
      first_told_(known),
      cursor_task_(core.executor),
      tasks_(core.executor) {
  if (known) stored_ = cursor;
  if (core.options.metrics != nullptr) {
    series_.emplace(*core.options.metrics, *this, metric_name.empty() ? name_ : metric_name);
  }
  cursor_task_.add(store_cursor());
  tasks_.add(follow());
}

Trigger::~Trigger() = default;

void Trigger::set(TriggerOptions options, std::shared_ptr<Sink> subscriber) {
  dispatcher_.renew(options.window, options.span_max);
  terms_ = std::make_shared<const Terms>(Terms{std::move(options), std::move(subscriber)});
  set_.notify_all();
  room_.notify_all();
}

void Trigger::stop() {
  stopping_ = true;
  stop_.set();
  room_.notify_all();
  set_.notify_all();
}

TriggerStats Trigger::stats() const {
  TriggerStats stats = stats_;
  stats.in_progress = dispatcher_.in_progress();
  stats.cursor = dispatcher_.cursor();
  stats.backlog = core_.log.end() - std::min(core_.log.end(), stats.cursor);
  stats.held = terms_ == nullptr;
  return stats;
}

bool Trigger::idle() const { return dispatcher_.cursor() >= core_.log.end(); }

// ---------------------------------------------------------------------------- following the log

Task<void> Trigger::follow() {
  Duration trouble = trouble_delay;  // a damaged log stays so until somebody mends it
  while (!stopping_) {
    if (terms_ == nullptr) {
      co_await set_.wait();
      continue;
    }
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
    if (records->empty()) {
      expire(core_.log.first());
      moved_.notify_all();
    }
    co_await enter(*records);
    co_await base::NextTurn();  // a long backlog must not hold up the others
  }
}

/// Begin what was read, as long as nobody holds the trigger: the rest is read again later.
Task<void> Trigger::enter(const std::vector<Record>& records) {
  for (const Record& record : records) {
    while (dispatcher_.room() == 0 && terms_ != nullptr && !stopping_) co_await room_.wait();
    if (terms_ == nullptr || stopping_) co_return;
    if (record.offset >= dispatcher_.next()) begin(record);
  }
}

void Trigger::begin(const Record& record) {
  expire(record.offset);
  dispatcher_.enter(record.offset);
  Result<CloudEvent> event = event_from_bytes(record.bytes);
  if (!event) {  // a foreign record; its checksum was right, so it will never be an event
    ++stats_.dropped;
    if (series_) series_->dropped.add();
    core_.logger.log(LogLevel::error, "broker", "a record of the log holds no event",
                     {{"broker", core_.options.name}, {"offset", std::to_string(record.offset)}});
    finish(record.offset);
    return;
  }
  if (!terms_->options.filter.matches(*event)) {
    ++stats_.filtered;
    finish(record.offset);
    return;
  }
  ++stats_.matched;
  const int hops = hops_of(*event, core_.options.hops_max);
  if (!terms_->subscriber->hands_on()) event->remove_extension(hops_attribute);
  tasks_.add(deliver(terms_, record.offset, std::move(*event), hops));
}

/// Events before this offset were taken by the log's retention.
void Trigger::expire(Offset before) {
  const Offset next = dispatcher_.next();
  if (before <= next) return;
  stats_.expired += before - next;
  if (series_) series_->expired.add(before - next);
  core_.logger.log(LogLevel::error, "broker", "events were too old before they were delivered",
                   {{"broker", core_.options.name},
                    {"trigger", name_},
                    {"first", std::to_string(next)},
                    {"count", std::to_string(before - next)}});
  dispatcher_.skip_to(before);
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

Task<void> Trigger::deliver(TermsPtr terms, Offset offset, CloudEvent event, int hops) {
  const Letter letter{event, hops};
  const SetHops made(hops_of_delivery(core_.options.hops_max, hops));
  co_await made;
  std::optional<DeliveryAttempt> last = co_await try_all(*terms, *terms->subscriber, letter);
  if (!last) co_return;  // stopping: the cursor stays before this event
  if (last->ok() && last->reply) {
    // The subscriber did its work, but what it answers with has gone round often enough.
    const CloudEvent reply = std::move(*last->reply);
    const bool done = co_await dead_letter(*terms, reply, 0, looped());
    if (!done) co_return;
  }
  if (last->ok()) {
    ++stats_.delivered;
    if (series_) series_->delivered.add();
  } else {
    const bool done = co_await dead_letter(*terms, event, hops, *last);
    if (!done) co_return;
  }
  finish(offset);
}

Task<std::optional<DeliveryAttempt>> Trigger::try_all(const Terms& terms, Sink& sink,
                                                      Letter letter) {
  const RetrySchedule schedule(terms.options.delivery);
  for (int number = 1;; ++number) {
    if (stopping_) co_return std::nullopt;
    DeliveryAttempt attempt = co_await try_once(terms, sink, letter);
    if (attempt.ok()) {
      stats_.last_error.clear();
      co_return attempt;
    }
    complain(terms, letter, number, attempt);
    const std::optional<Duration> delay = schedule.next(number, attempt, random_);
    if (!delay) co_return attempt;
    ++stats_.retries;
    Task<void> stopped = base::wait_for(stop_);
    co_await with_deadline(core_.timers, std::move(stopped), core_.timers.now() + *delay);
  }
}

/// After success only a reply that has no hops left is still in the attempt.
Task<DeliveryAttempt> Trigger::try_once(const Terms& terms, Sink& sink, Letter letter) {
  struct Running {
    Core& core;
    explicit Running(Core& owner) : core(owner) { ++core.attempts_running; }
    ~Running() {
      --core.attempts_running;
      core.attempt_ended.notify_all();
    }
  };
  const Running running(core_);
  ++stats_.attempts;
  const Instant began = core_.timers.now();
  DeliveryAttempt attempt = co_await call(sink, letter.event, terms.options.delivery.timeout);
  if (series_ && letter.hops) {  // letters are not the subscriber's
    const Duration after = core_.timers.now() - began;
    series_->attempts.answered(attempt.status,
                               std::chrono::duration<double, std::milli>(after).count());
  }
  if (attempt.reply && letter.hops) {
    co_await take_reply(attempt, *letter.hops);
  } else {
    attempt.reply.reset();
  }
  co_return attempt;
}

Task<DeliveryAttempt> Trigger::call(Sink& sink, const CloudEvent& event, Duration timeout) {
  DeliveryAttempt attempt;
  try {
    Task<DeliveryAttempt> task = sink.attempt(event);
    const Instant deadline = core_.timers.now() + timeout;
    std::optional<DeliveryAttempt> got =
        co_await with_deadline(core_.timers, std::move(task), deadline);
    if (got) co_return std::move(*got);
    attempt.status = 504;
    attempt.detail = "no answer in time";
  } catch (const std::exception& exception) {
    attempt.status = 500;
    attempt.body = exception.what();
    attempt.detail = "the subscriber threw: " + attempt.body;
  } catch (...) {
    attempt.status = 500;
    attempt.detail = "the subscriber threw something unknown";
  }
  co_return attempt;
}

Task<void> Trigger::take_reply(DeliveryAttempt& attempt, int hops) {
  CloudEvent reply = std::move(*attempt.reply);
  attempt.reply.reset();
  const Result<bool> accepted = co_await core_.accept_reply(reply, hops);
  if (!accepted) {
    attempt.status = accepted.error().code == Errc::invalid_argument ? 502 : 503;
    attempt.detail = "the reply was not accepted: " + accepted.error().to_string();
  } else if (*accepted) {
    ++stats_.replies;
  } else {
    ++stats_.replies_looped;
    attempt.reply = std::move(reply);
  }
}

/// Every failed attempt can be found.
void Trigger::complain(const Terms& terms, const Letter& letter, int number,
                       const DeliveryAttempt& failed) {
  ++stats_.failures;
  if (series_) series_->failed.add();
  const std::string cause = cause_of(failed);
  stats_.last_error = std::to_string(failed.status) + " " + cause;
  const std::optional<std::uint64_t> unsaid = complaints_.next(core_.timers.now());
  if (!unsaid) return;
  core_.logger.log(LogLevel::warning, "broker",
                   letter.hops ? "an attempt to deliver an event failed"
                               : "an attempt to deliver a dead letter failed",
                   {{"broker", core_.options.name},
                    {"trigger", name_},
                    {"event", letter.event.id()},
                    {"source", letter.event.source()},
                    {"subscriber", terms.options.subscriber_uri},
                    {"attempt", std::to_string(number)},
                    {"status", std::to_string(failed.status)},
                    {"cause", cause},
                    {"unsaid", std::to_string(*unsaid)}});
}

Task<bool> Trigger::dead_letter(const Terms& terms, const CloudEvent& event, int hops,
                                const DeliveryAttempt& failed) {
  std::string trouble = "no dead letter sink";
  if (terms.options.dead_letter != nullptr) {
    CloudEvent letter = event;
    // A letter may have to pass brokers although its event has no hops left; but letters that come
    // back must not go round for ever.
    const bool first = letter.extension(error_code_attribute) == nullptr;
    const int left = first ? std::max(hops, letter_hops_min) : hops;
    letter.remove_extension(hops_attribute);
    if (terms.options.dead_letter->hands_on()) {
      letter.set_extension(std::string(hops_attribute), std::int32_t{left});
    }
    if (!terms.options.subscriber_uri.empty()) {
      letter.set_extension("knativeerrordest", terms.options.subscriber_uri);
    }
    letter.set_extension(std::string(error_code_attribute), std::to_string(failed.status));
    letter.remove_extension(error_data_attribute);
    if (!failed.body.empty()) {
      const std::string_view body = std::string_view(failed.body).substr(0, error_bytes_max);
      letter.set_extension(std::string(error_data_attribute), base64_encode(body));
    }
    const Letter attempted{letter, std::nullopt};
    const std::optional<DeliveryAttempt> last =
        co_await try_all(terms, *terms.options.dead_letter, attempted);
    if (!last) co_return false;
    if (last->ok()) {
      ++stats_.dead_lettered;
      if (series_) series_->dead_lettered.add();
      co_return true;
    }
    trouble =
        "the dead letter sink failed: " + std::to_string(last->status) + " " + cause_of(*last);
  }
  ++stats_.dropped;
  if (series_) series_->dropped.add();
  core_.logger.log(LogLevel::error, "broker", "an event could not be delivered and is dropped",
                   {{"broker", core_.options.name},
                    {"trigger", name_},
                    {"event", event.id()},
                    {"source", event.source()},
                    {"status", std::to_string(failed.status)},
                    {"cause", cause_of(failed)},
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

Trigger::Series::Series(Metrics& metrics, const Trigger& trigger, const std::string& name)
    : set(metrics, labels_of(trigger.core_.options, name)),
      attempts(set, {trigger.core_.options.metric_names.filter + "_event_count",
                     "Attempts to deliver an event to the subscriber.",
                     trigger.core_.options.metric_names.filter + "_event_dispatch_latencies",
                     "Milliseconds from the beginning of an attempt to its answer."}),
      failed(set.counter(trigger.core_.options.metric_names.own + "_failed_attempts_total",
                         "Attempts to deliver an event or its dead letter that failed.")),
      delivered(deliveries(set, trigger.core_.options.metric_names, "delivered")),
      dead_lettered(deliveries(set, trigger.core_.options.metric_names, "dead_lettered")),
      dropped(deliveries(set, trigger.core_.options.metric_names, "dropped")),
      expired(deliveries(set, trigger.core_.options.metric_names, "expired")) {
  set.gauge_from(trigger.core_.options.metric_names.own + "_backlog_events",
                 "Accepted events that a trigger is not done with.",
                 [&trigger] { return static_cast<double>(trigger.stats().backlog); });
}

}  // namespace knative::broker
