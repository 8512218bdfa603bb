/// \file
/// The event broker: accept events durably, deliver them to triggers until done.
///
/// One `EventBroker` is one Knative Broker on one `Log`. Accepting appends to the log; every
/// trigger follows the log with its own durable state, filters, delivers with retries, and is done
/// with an event only when that was acknowledged, dead-lettered or parked. So every accepted event
/// is delivered at least once, one slow subscriber holds back nobody else, and a backlog costs
/// disk, not memory. Belongs to its loop.
///
/// An event that fails waits for its next attempt outside the window: it holds back no other,
/// unless order was asked for. How often it failed, why and when it goes on is durable in the log
/// before anything else is done with it, so that it has exactly `retry` + 1 failed attempts, across
/// restarts, stops and kills, before it is given up. An attempt counts together with its outcome:
/// when the process ends after the subscriber got the event and before the outcome is durable, that
/// attempt was none, and is made again. What succeeded is noted a little later (`commit_delay`),
/// and may be delivered again after a kill. Dead letters are delivered by the same rules, counted
/// for themselves. What is given up without a (working) dead letter sink is *parked*: it stays
/// until somebody looks at it and redrives or discards it, whatever the log's retention takes.
///
/// \code
/// knative::EventBroker broker(env.executor, env.timers, log, env.logger, env.random.split("b"));
/// broker.set_trigger("audit", options, sink).value();  // log and sink are shared
/// knative::CloudEvent order("order.created", "/web", {{"id", 7}});
/// (co_await broker.publish(order)).value();
/// \endcode
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "knative/env.hpp"
#include "knative/error.hpp"
#include "knative/event.hpp"
#include "knative/http.hpp"
#include "knative/log.hpp"
#include "knative/metrics.hpp"
#include "knative/parked.hpp"
#include "knative/retry_schedule.hpp"
#include "knative/task.hpp"

namespace knative {

/// The extension that says how many more brokers may take an event. Each takes one away; an event
/// without any left is refused, so that what goes in a circle comes to an end.
inline constexpr std::string_view hops_attribute = "knativebrokerttl";

/// What one trigger wants.
struct TriggerOptions {
  Filter filter;
  DeliveryOptions delivery;
  /// Where events go whose attempts are exhausted; null: they are parked.
  std::shared_ptr<Sink> dead_letter;
  /// Deliveries at once, at most half of them (one at least) retries. 1 keeps the order of the log:
  /// then a retry holds back what comes after it.
  std::size_t window = 100;
  /// Distance between the newest started event and the oldest whose progress is not durable: that
  /// many are delivered again after a crash, at most.
  std::size_t span_max = 10'000;
  /// So many events may be in progress and between attempts; then no other is begun until one is
  /// decided (`TriggerStats::stalled`). Each takes up to 1.5 KB of memory and of the log's notes.
  std::size_t undecided_max = 10'000;
  /// The parking lot holds so many events, and bytes of events (but one of any size). What has no
  /// room in it stays undecided. They are in memory, and again in each of the log's segments.
  std::size_t parked_max = 10'000;
  std::size_t parked_bytes_max = std::size_t{16} << 20;
  /// Where a new trigger begins; empty: with the next event that is accepted.
  std::optional<Offset> begin;
  /// Told to the dead letter sink as `knativeerrordest`, and to the log: the subscriber's URL or
  /// name, without secrets (`http::shown_url`).
  std::string subscriber_uri;
  std::string metric_name;  ///< What the trigger's series call it; empty: its name.
};

/// Counts of one trigger since it was set, and where it stands.
struct TriggerStats {
  std::uint64_t matched = 0;    ///< Passed the filter.
  std::uint64_t filtered = 0;   ///< Did not, be it a changed filter before a retry.
  std::uint64_t delivered = 0;  ///< Acknowledged by the subscriber.
  std::uint64_t attempts = 0;
  std::uint64_t failures = 0;  ///< Attempts that failed.
  std::uint64_t retries = 0;   ///< Attempts after the first, at the subscriber and for letters.
  std::uint64_t replies = 0;   ///< Accepted into the broker.
  std::uint64_t replies_looped = 0;  ///< Hop limit reached: they are dead letters, too.
  std::uint64_t dead_lettered = 0;
  std::uint64_t parked = 0;     ///< Given up without (working) dead letter sink.
  std::uint64_t dropped = 0;    ///< No events, and replies without hops that no letter can tell of.
  std::uint64_t expired = 0;    ///< Taken by the log's retention before their turn.
  bool held = false;            ///< Delivers nothing new until it is set.
  std::uint64_t stalls = 0;     ///< How often `undecided_max` was reached.
  bool stalled = false;         ///< It is: no event is begun.
  std::size_t in_progress = 0;  ///< Events that were begun and are not decided,
  std::size_t waiting = 0;      ///< and those of them that wait between two attempts.
  std::size_t parked_now = 0;   ///< In the parking lot.
  std::uint64_t parked_bytes = 0;
  Offset cursor = 0;          ///< Everything before it is decided.
  std::uint64_t backlog = 0;  ///< Accepted events that it is not done with.
  std::string last_error;     ///< Of the last failed attempt; empty after a success.
};

/// Counts of the broker.
struct BrokerStats {
  std::uint64_t accepted = 0;
  std::uint64_t rejected = 0;
  std::uint64_t hops_exhausted = 0;  ///< Events whose hop limit was reached.
  std::uint64_t redriven = 0;        ///< Parked events that began anew.
  std::uint64_t discarded = 0;       ///< Parked events that somebody threw away.
  std::uint64_t parked_removed = 0;  ///< Parked events that went with their trigger.
  /// Events that a trigger was not done with when it was removed.
  std::uint64_t undecided_removed = 0;
};

/// What a broker's series are called. Defaults are those of Knative's multi-tenant broker.
struct BrokerMetricNames {
  std::string ingress = "mt_broker_ingress";  ///< + _event_count, _event_dispatch_latencies
  std::string filter = "mt_broker_filter";    ///< The same, per trigger and attempt.
  std::string own = "knative_broker";         ///< + _deliveries_total, _backlog_events, ...
  std::string trigger_label = "trigger_name";
};

/// Bounds and hooks of a broker.
struct BrokerOptions {
  std::string name = "default";
  std::size_t event_bytes_max = std::size_t{1} << 20;  ///< Body of an HTTP request. (413)
  int hops_max = 255;                                  ///< First value of `knativebrokerttl`.
  std::chrono::seconds retry_after{5};                 ///< Told to senders with 503.
  /// Cursors are written at most this late; what is lost by a crash is delivered again.
  Duration commit_delay = std::chrono::milliseconds(20);
  /// Asked before an event is written and again before it is acknowledged: an error refuses it.
  std::function<Result<void>()> admit;
  /// Called once for every new pair of type and source, for at most `event_types_max` of them.
  std::function<void(const CloudEvent&)> on_event_type;
  std::size_t event_types_max = 10'000;
  Metrics* metrics = nullptr;  ///< Counts go there too; must outlive the broker.
  MetricLabels metric_labels;  ///< On every series; empty: broker_name, the name.
  BrokerMetricNames metric_names;
};

/// One broker on one log. It may be destroyed at any time but from a subscriber of its own:
/// whoever is about to publish gets an error, and nothing is acknowledged any more.
class KNATIVE_EXPORT EventBroker {
 public:
  /// All references must outlive whoever uses the broker.
  EventBroker(Executor& executor, Timers& timers, std::shared_ptr<Log> log, Logger& logger,
              Random random, BrokerOptions options = {});
  ~EventBroker();
  EventBroker(const EventBroker&) = delete;
  EventBroker& operator=(const EventBroker&) = delete;

  /// Accept an event: when done it is durable. An event without id gets one that no other has, and
  /// the time. Fails with `invalid_argument` (not a valid event, or no hops left),
  /// `resource_exhausted` (bounds of the log), `unavailable` (the log cannot write, or the broker
  /// was retired meanwhile), `failed_precondition` (stopped), and as `BrokerOptions::admit` says.
  Task<Result<Offset>> publish(const CloudEvent& event);
  Task<Result<Offset>> publish(CloudEvent&& event) = delete;

  /// The HTTP door: POST an event, 202 when durable; 400 names the attribute, 405, 413, 415; 503
  /// with Retry-After when the log is full or the broker stopped. Any path.
  http::Handler& ingress() noexcept;

  /// Add a trigger, or give it other terms: a known name goes on where its cursor stands. Attempts
  /// that were begun end as they were begun; what is not decided goes on by the new terms, so an
  /// event that waits for a retry goes to the new subscriber, or nowhere when the new filter does
  /// not let it through. Its attempts stay counted. Fails with `failed_precondition` when stopped
  /// and `invalid_argument`, naming the option, when one is out of range.
  Result<void> set_trigger(const std::string& name, TriggerOptions options,
                           std::shared_ptr<Sink> subscriber);
  /// Let a trigger wait: its cursor stands (a new one begins here), and no attempt is begun until
  /// it is set. Fails with `failed_precondition` when stopped.
  Result<void> hold_trigger(const std::string& name, std::string metric_name = {});
  /// Stop delivering and keep the state, so that a trigger of that name goes on later. Attempts
  /// in progress are dropped at once; their events are not acknowledged, the attempts not counted.
  /// Must not be called from the trigger's own subscriber.
  void detach_trigger(const std::string& name);
  /// Stop delivering and forget cursor, state and parked events, which are counted
  /// (`BrokerStats`). The same caveat. May be called for one that is not set.
  Task<Result<void>> remove_trigger(std::string name);
  std::vector<std::string> triggers() const;
  /// Names of all triggers of which the log knows anything, set or not.
  std::vector<std::string> known_triggers() const;
  std::optional<TriggerStats> trigger_stats(std::string_view name) const;
  BrokerStats stats() const noexcept;

  /// What is parked, ordered by trigger and offset, of set and detached triggers; `count_max` at
  /// most.
  std::vector<ParkedEvent> parked(const ParkedSelection& selection, std::size_t count_max) const;
  /// Let parked events begin anew, with all their attempts, by the terms of their trigger then. Who
  /// asks twice lets them begin once. Yields how many, durably; errors as `Log::commit`: then some
  /// may have begun.
  Task<Result<std::size_t>> redrive(ParkedSelection selection);
  /// Throw parked events away. The same.
  Task<Result<std::size_t>> discard(ParkedSelection selection);

  /// True when every trigger is done with every accepted event: those that are parked, too.
  bool idle() const;
  /// Refuse new events, let attempts in progress finish (for at most `grace`), store cursors.
  Task<void> stop(Duration grace = std::chrono::seconds(5));
  /// Refuse new events, those that are being accepted too, and drop all deliveries: nobody will
  /// ask for what the log holds. Senders in the middle of a body are answered at once. Must not be
  /// called from a subscriber.
  void retire();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

/// Leads `POST /<namespace>/<name>` to the broker of that name: 404 when there is none, 400 for
/// other paths, 405 for other methods; OPTIONS answers as the webhook specification asks.
class KNATIVE_EXPORT BrokerIngress final : public http::Handler {
 public:
  void add(std::string_view namespace_, std::string_view name, std::shared_ptr<EventBroker> broker);
  void remove(std::string_view namespace_, std::string_view name);
  Task<http::Response> handle(http::Request& request) override;

 private:
  std::map<std::string, std::shared_ptr<EventBroker>, std::less<>> brokers_;  ///< By path.
};

/// What to do with a successful answer whose body is no event.
enum class NonEventReply : unsigned char {
  ignore = 0,  ///< The delivery succeeded.
  fail = 1,    ///< The delivery failed and is tried again, as Knative's Triggers do.
};

/// How an `HttpSink` speaks.
struct HttpSinkOptions {
  std::string target = "/";  ///< Path and query.
  std::string host;          ///< Host field; empty: what the handler sets.
  ContentMode mode = ContentMode::binary;
  NonEventReply non_event_reply = NonEventReply::ignore;
  std::size_t reply_bytes_max = std::size_t{1} << 20;  ///< Larger replies fail the delivery.
  http::Headers headers;                               ///< Sent along.
  bool hands_on = false;  ///< The other side is a broker, or may be: tell it the hops.
};

/// Delivers by HTTP POST through a Handler: a client of a remote service, a router, a function.
/// 2xx is success; an event in the answer is the reply, except with 202, which never has one.
class KNATIVE_EXPORT HttpSink final : public Sink {
 public:
  /// `handler` must outlive the sink.
  explicit HttpSink(http::Handler& handler, HttpSinkOptions options = {});
  ~HttpSink() override;
  Task<Result<Reply>> deliver(const CloudEvent& event) override;
  Task<DeliveryAttempt> attempt(const CloudEvent& event) override;
  bool hands_on() const noexcept override { return options_.hands_on; }

 private:
  http::Request request_of(const CloudEvent& event) const;
  http::Handler& handler_;
  HttpSinkOptions options_;
};

/// A sink that publishes into a broker: for dead letters and channels.
class KNATIVE_EXPORT BrokerSink final : public Sink {
 public:
  explicit BrokerSink(std::shared_ptr<EventBroker> broker) : broker_(std::move(broker)) {}
  Task<Result<Reply>> deliver(const CloudEvent& event) override;
  Task<DeliveryAttempt> attempt(const CloudEvent& event) override;
  bool hands_on() const noexcept override { return true; }

 private:
  std::shared_ptr<EventBroker> broker_;
};

}  // namespace knative
