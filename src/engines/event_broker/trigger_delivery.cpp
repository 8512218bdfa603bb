// How a trigger makes attempts, and what it does with their outcomes.
#include <algorithm>

#include "base/text.hpp"
#include "engines/event_broker/trigger.hpp"
#include "knative/scalars.hpp"

namespace knative::broker {
namespace {

constexpr std::string_view error_code_attribute = "knativeerrorcode";
constexpr std::string_view error_data_attribute = "knativeerrordata";

/// Stands for the refusal of a reply that has no hops left, as a broker refuses such an event.
DeliveryAttempt looped() {
  DeliveryAttempt attempt;
  attempt.status = 400;
  attempt.detail = std::string(hops_attribute) + ": the reply has no hops left";
  return attempt;
}

/// An attempt and what is written of it; `stop` waits for both.
class Running {
 public:
  explicit Running(Core& core) : core_(core) { ++core_.attempts_running; }
  ~Running() {
    --core_.attempts_running;
    core_.attempt_ended.notify_all();
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

 private:
  Core& core_;
};

}  // namespace

// ---------------------------------------------------------------------------- one event

Task<void> Trigger::deliver(TermsPtr terms, std::unique_ptr<Work> work) {
  const SetHops made(hops_of_delivery(core_.options.hops_max, work->hops));
  co_await made;
  for (;;) {
    Task<bool> stepping = step(*terms, *work);
    const bool more = co_await std::move(stepping);
    if (!more) co_return;
    if (terms_ != nullptr) terms = terms_;
  }
}

/// The next attempt, and its outcome made durable. True when there is more to do at once.
Task<bool> Trigger::step(const Terms& terms, Work& work) {
  const Running running(core_);
  Progress& progress = work.progress;
  const bool sink = terms.options.dead_letter != nullptr;
  // Sinks come and go while events wait.
  if (progress.phase == Phase::park && sink && progress.letters == 0) {
    progress.phase = Phase::letter;
  }
  if (progress.phase == Phase::park || (progress.phase == Phase::letter && !sink)) {
    co_await give_up(terms, work);
    co_return false;
  }
  const bool letter = progress.phase == Phase::letter;
  std::unique_ptr<const CloudEvent> told;  // rare, and no part of every frame
  if (letter) told = std::make_unique<const CloudEvent>(letter_of(terms, work));
  Sink& to = letter ? *terms.options.dead_letter : *terms.subscriber;
  Task<DeliveryAttempt> trying = try_once(terms, to, work, told ? *told : work.event);
  DeliveryAttempt attempt = co_await std::move(trying);
  const Instant ended = core_.timers.now();
  if (attempt.ok()) {
    succeeded(work, attempt);
    if (!progress.reply || letter) co_return false;
  } else {
    complain(terms, work, attempt);
    const Terms& present = terms_ != nullptr ? *terms_ : terms;
    progress = after_failure(std::move(progress), attempt, present.options.delivery,
                             present.options.dead_letter != nullptr, core_.timers.wall(), random_);
  }
  if (progress.phase == Phase::park) {
    const TermsPtr present = terms_;
    co_await give_up(present != nullptr ? *present : terms, work);
    co_return false;
  }
  co_await record(work.offset, progress);
  if (!letter && progress.phase == Phase::letter && !stopping_) co_return true;
  if (!attempt.ok()) {
    ++stats_.retries;
    if (series_) series_->redelivered.add();
  }
  later(work.offset, std::max(Duration(0), Duration(ended + progress.delay - core_.timers.now())));
  co_return false;
}

/// The subscriber or the dead letter sink has it. What the subscriber answers with may have gone
/// round often enough: then that reply becomes a dead letter.
void Trigger::succeeded(Work& work, DeliveryAttempt& attempt) {
  stats_.last_error.clear();
  if (work.progress.phase == Phase::letter) {
    ++stats_.dead_lettered;
    if (series_) series_->dead_lettered.add();
    finish(work.offset);
    return;
  }
  ++stats_.delivered;
  if (series_) series_->delivered.add();
  if (!attempt.reply) {
    finish(work.offset);
    return;
  }
  const DeliveryAttempt refused = looped();
  work.event = std::move(*attempt.reply);
  work.hops = 0;
  Progress& progress = work.progress;
  progress.reply = true;
  progress.status = refused.status;
  progress.cause = refused.detail;
  progress.event = to_bytes(work.event);
  progress.phase = Phase::letter;
}

/// After success only a reply that has no hops left is still in the attempt.
Task<DeliveryAttempt> Trigger::try_once(const Terms& terms, Sink& sink, const Work& work,
                                        const CloudEvent& event) {
  ++stats_.attempts;
  const bool letter = work.progress.phase == Phase::letter;
  const Instant began = core_.timers.now();
  Task<DeliveryAttempt> calling = call(sink, event, terms.options.delivery.timeout);
  DeliveryAttempt attempt = co_await std::move(calling);
  if (series_ && !letter) {  // letters are not the subscriber's
    const Duration after = core_.timers.now() - began;
    series_->attempts.answered(attempt.status,
                               std::chrono::duration<double, std::milli>(after).count());
  }
  if (attempt.reply && !letter) {
    co_await take_reply(attempt, work.hops);
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
void Trigger::complain(const Terms& terms, const Work& work, const DeliveryAttempt& failed) {
  ++stats_.failures;
  if (series_) series_->failed.add();
  const bool letter = work.progress.phase == Phase::letter;
  const std::string cause = shown_cause(failed);
  stats_.last_error = std::to_string(failed.status) + " " + cause;
  const std::optional<std::uint64_t> unsaid = complaints_.next(core_.timers.now());
  if (!unsaid) return;
  const int number = (letter ? work.progress.letters : work.progress.attempts) + 1;
  core_.logger.log(LogLevel::warning, "broker",
                   letter ? "an attempt to deliver a dead letter failed"
                          : "an attempt to deliver an event failed",
                   {{"broker", core_.options.name},
                    {"trigger", name_},
                    {"event", work.event.id()},
                    {"source", work.event.source()},
                    {"subscriber", terms.options.subscriber_uri},
                    {"attempt", std::to_string(number)},
                    {"status", std::to_string(failed.status)},
                    {"cause", cause},
                    {"unsaid", std::to_string(*unsaid)}});
}

// ---------------------------------------------------------------------------- the end

CloudEvent Trigger::letter_of(const Terms& terms, const Work& work) const {
  CloudEvent letter = work.event;
  // A letter may have to pass brokers although its event has no hops left; but letters that come
  // back must not go round for ever.
  const bool first = letter.extension(error_code_attribute) == nullptr;
  const int left = first ? std::max(work.hops, letter_hops_min) : work.hops;
  letter.remove_extension(hops_attribute);
  if (terms.options.dead_letter->hands_on()) {
    letter.set_extension(std::string(hops_attribute), std::int32_t{left});
  }
  if (!terms.options.subscriber_uri.empty()) {
    letter.set_extension("knativeerrordest", terms.options.subscriber_uri);
  }
  letter.set_extension(std::string(error_code_attribute), std::to_string(work.progress.status));
  letter.remove_extension(error_data_attribute);
  if (!work.progress.data.empty()) {
    letter.set_extension(std::string(error_data_attribute), base64_encode(work.progress.data));
  }
  return letter;
}

/// Nobody takes it: it is parked; but a reply, which no trigger asked for, is dropped.
Task<void> Trigger::give_up(const Terms& terms, Work& work) {
  if (!work.progress.reply) {
    co_await park(terms, work);
    co_return;
  }
  ++stats_.dropped;
  if (series_) series_->dropped.add();
  say_end(work, "a reply without hops could not be delivered and is dropped");
  finish(work.offset);
}

void Trigger::say_end(const Work& work, std::string_view what) {
  core_.logger.log(LogLevel::error, "broker", what,
                   {{"broker", core_.options.name},
                    {"trigger", name_},
                    {"event", work.event.id()},
                    {"source", work.event.source()},
                    {"status", std::to_string(work.progress.status)},
                    {"cause", work.progress.cause},
                    {"letters", std::to_string(work.progress.letters)}});
}

Task<void> Trigger::park(const Terms& terms, Work& work) {
  Progress& progress = work.progress;
  CloudEvent kept = work.event;
  kept.set_extension(std::string(hops_attribute), std::int32_t{work.hops});
  std::string bytes = to_bytes(kept);
  const bool fits =
      parked_now_ == 0 || (parked_now_ < terms.options.parked_max &&
                           parked_bytes_ + bytes.size() <= terms.options.parked_bytes_max);
  if (!fits) {
    progress.phase = Phase::park;
    if (!work.shelved) {
      if (complaints_.next(core_.timers.now())) {
        say_end(work, "an event waits for room in the parking lot");
      }
      co_await record(work.offset, progress);
    }
    state_.shelve(work.offset);
    freed();
    co_return;
  }
  ++parked_now_;
  parked_bytes_ += bytes.size();
  progress.phase = Phase::parked;
  progress.due = core_.timers.wall();
  progress.delay = Duration(0);
  progress.destination = terms.options.subscriber_uri;
  progress.event = std::move(bytes);
  co_await record(work.offset, progress);
  ++stats_.parked;
  if (series_) series_->parked.add();
  say_end(work, "an event could not be delivered and is parked");
  state_.finish(work.offset);  // its note stays
  state_.unshelve(1);
  freed();
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
      redelivered(set.counter(trigger.core_.options.metric_names.own + "_redeliveries_total",
                              "Attempts after the first, of events and of their dead letters.")),
      delivered(deliveries(set, trigger.core_.options.metric_names, "delivered")),
      dead_lettered(deliveries(set, trigger.core_.options.metric_names, "dead_lettered")),
      parked(deliveries(set, trigger.core_.options.metric_names, "parked")),
      filtered(deliveries(set, trigger.core_.options.metric_names, "filtered")),
      dropped(deliveries(set, trigger.core_.options.metric_names, "dropped")),
      expired(deliveries(set, trigger.core_.options.metric_names, "expired")),
      stalls(set.counter(trigger.core_.options.metric_names.own + "_stalls_total",
                         "How often a trigger had too many undecided events to begin others.")) {
  const std::string& own = trigger.core_.options.metric_names.own;
  set.gauge_from(own + "_backlog_events", "Accepted events that a trigger is not done with.",
                 [&trigger] { return static_cast<double>(trigger.stats().backlog); });
  set.gauge_from(own + "_undecided_events", "Events that were begun and are not decided.",
                 [&trigger] { return static_cast<double>(trigger.state_.undecided()); });
  set.gauge_from(own + "_parked_events", "Events in the parking lot.",
                 [&trigger] { return static_cast<double>(trigger.parked_now_); });
}

}  // namespace knative::broker
