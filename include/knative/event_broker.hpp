/// \file
/// The event broker: accept events durably, deliver them to triggers until done.
///
/// One `EventBroker` is one Knative Broker on one `Log`. Accepting appends to the log; every
/// trigger follows the log with its own durable cursor, filters, delivers with retries, and moves
/// its cursor only when an event was acknowledged, dead-lettered or dropped and counted. So every
/// accepted event is delivered at least once, one slow subscriber holds back nobody else, and a
/// backlog costs disk, not memory. Belongs to its loop.
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
#include "knative/task.hpp"

namespace knative {

/// The extension that says how many more brokers may take an event. Each takes one away; an event
/// without any left is refused, so that what goes in a circle comes to an end.
inline constexpr std::string_view hops_attribute = "knativebrokerttl";

/// How the delay grows with the number of the retry.
enum class BackoffPolicy : unsigned char { linear = 0, exponential = 1 };

/// Delivery as in Knative's DeliverySpec, with bounds that it lacks.
struct DeliveryOptions {
  int retry = 10;  ///< Attempts after the first.
  BackoffPolicy policy = BackoffPolicy::exponential;
  Duration delay = std::chrono::milliseconds(200);  ///< Base of the back-off.
  Duration delay_max = std::chrono::minutes(5);     ///< No back-off is longer.
  double jitter = 0.2;                              ///< Each delay varies by this share, 0 to 1.
  Duration timeout = std::chrono::seconds(30);      ///< Of one attempt.
  /// Honour Retry-After of 429 and 503 answers up to this; empty: ignore the field.
  std::optional<Duration> retry_after_max;
  /// Count retries from 0 in the formula, as the Go data plane does: linear begins with no delay.
  bool count_from_zero = false;
  friend bool operator==(const DeliveryOptions&, const DeliveryOptions&) = default;
};

/// The pure arithmetic of retries. With n counted from 1: `delay * n`, or `delay * 2^n`.
class KNATIVE_EXPORT RetrySchedule {
 public:
  explicit RetrySchedule(const DeliveryOptions& options) : options_(options) {}
  /// Whether an answer is worth another attempt: no answer, 404, 408, 409, 429, and 5xx.
  static bool retryable(int status) noexcept;
  /// The wait before retry `number` (from 1) after this failed attempt; empty: give up.
  std::optional<Duration> next(int number, const DeliveryAttempt& failed, Random& random) const;
  /// The back-off without jitter and Retry-After.
  Duration backoff(int number) const noexcept;

 private:
  DeliveryOptions options_;
};

/// Which offsets of a trigger are in progress and how far its cursor may move. Pure.
///
/// Offsets enter in log order and finish in any order; the cursor is the lowest unfinished one.
class KNATIVE_EXPORT Dispatcher {
 public:
  /// `window`: offsets in progress at once. `span_max`: distance between the cursor and the newest
  /// offset, which bounds memory and what is delivered again after a crash.
  Dispatcher(Offset cursor, std::size_t window, std::size_t span_max)
      : cursor_(cursor), next_(cursor), window_(window), span_max_(span_max) {}

  /// The next offset to read from the log.
  Offset next() const noexcept { return next_; }
  /// Everything before this is done.
  Offset cursor() const noexcept { return cursor_; }
  std::size_t in_progress() const noexcept { return in_progress_.size(); }
  /// How many offsets may enter now.
  std::size_t room() const noexcept;
  /// `offset` (at least `next()`) enters. Those between are gone and count as done.
  void enter(Offset offset);
  /// Move `next()` to `offset` without entering anything: those records are gone.
  void skip_to(Offset offset);
  /// `offset` entered and needs no work, or its work has ended.
  void finish(Offset offset);
  /// What is in progress goes on beside the window, which others have for themselves from now on.
  void renew(std::size_t window, std::size_t span_max) noexcept;

 private:
  void advance();
  Offset cursor_;
  Offset next_;
  std::size_t window_;
  std::size_t span_max_;
  std::set<Offset> in_progress_;
  Offset renewed_ = 0;      ///< What is below entered before the last `renew()`.
  std::size_t beside_ = 0;  ///< So many of those are in progress.
};

/// What one trigger wants.
struct TriggerOptions {
  Filter filter;
  DeliveryOptions delivery;
  /// Where events go whose attempts are exhausted; null: they are dropped, counted and logged.
  std::shared_ptr<Sink> dead_letter;
  std::size_t window = 100;  ///< Deliveries at once; 1 keeps the order of the log.
  /// Distance between the oldest unfinished and the newest started event.
  std::size_t span_max = 10'000;
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
  std::uint64_t filtered = 0;   ///< Did not.
  std::uint64_t delivered = 0;  ///< Acknowledged by the subscriber.
  std::uint64_t attempts = 0;
  std::uint64_t failures = 0;  ///< Attempts that failed.
  std::uint64_t retries = 0;
  std::uint64_t replies = 0;         ///< Accepted into the broker.
  std::uint64_t replies_looped = 0;  ///< Hop limit reached: they are dead letters, too.
  std::uint64_t dead_lettered = 0;
  std::uint64_t dropped = 0;  ///< Exhausted without (working) dead letter sink.
  std::uint64_t expired = 0;  ///< Taken by the log's retention before their turn.
  bool held = false;          ///< Delivers nothing new until it is set.
  std::size_t in_progress = 0;
  Offset cursor = 0;          ///< Everything before it is done.
  std::uint64_t backlog = 0;  ///< Accepted events after the cursor.
  std::string last_error;     ///< Of the last failed attempt; empty after a success.
};

/// Counts of the broker.
struct BrokerStats {
  std::uint64_t accepted = 0;
  std::uint64_t rejected = 0;
  std::uint64_t hops_exhausted = 0;  ///< Events whose hop limit was reached.
};

/// What a broker's series are called. Defaults are those of Knative's multi-tenant broker.
struct BrokerMetricNames {
  std::string ingress = "mt_broker_ingress";  ///< + _event_count, _event_dispatch_latencies
  std::string filter = "mt_broker_filter";    ///< The same, per trigger and attempt.
  std::string own = "knative_broker";         ///< + _deliveries_total, _backlog_events
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

  /// Add a trigger, or give it other terms: a known name goes on where its cursor stands. Events
  /// that were begun end by the terms they were begun on. Fails with `failed_precondition` when
  /// stopped and `invalid_argument` when an option is out of range.
  Result<void> set_trigger(const std::string& name, TriggerOptions options,
                           std::shared_ptr<Sink> subscriber);
  /// Let a trigger wait: its cursor stands (a new one begins here), and no event is begun until it
  /// is set. Fails with `failed_precondition` when stopped.
  Result<void> hold_trigger(const std::string& name, std::string metric_name = {});
  /// Stop delivering and keep the cursor, so that a trigger of that name goes on later. Attempts
  /// in progress are dropped at once; their events are not acknowledged. Must not be called from
  /// the trigger's own subscriber.
  void detach_trigger(const std::string& name);
  /// Stop delivering and forget the cursor. The same caveat.
  Task<Result<void>> remove_trigger(std::string name);
  std::vector<std::string> triggers() const;
  std::optional<TriggerStats> trigger_stats(std::string_view name) const;
  BrokerStats stats() const noexcept;

  /// True when every trigger is done with every accepted event.
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
