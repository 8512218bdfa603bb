/// \file
/// One trigger at work: it follows the log, filters, delivers, retries, and moves its cursor.
/// Private to the event broker.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <string>

#include "base/complaints.hpp"
#include "knative/event_broker.hpp"

namespace knative::broker {

inline constexpr std::string_view arrival_attribute = "knativearrivaltime";

/// Of a first dead letter: enough to pass a few brokers. Nothing is published with less.
inline constexpr int letter_hops_min = 16;

/// What a subscriber publishes anew goes on from the hops of the event that it was given, so that
/// brokers whose subscribers publish to each other are found: fibers carry them (`Fiber::hops`).
/// An event makes 255 hops at most and a call 64, so one of a fiber stands for four of an event.
inline constexpr int event_hops_per_call = 4;

/// The hops of a fiber that delivers an event. Services can still be called with the last ones.
constexpr int hops_of_delivery(int hops_max, int hops_left) noexcept {
  constexpr int last = 63;
  return std::clamp((hops_max - hops_left) / event_hops_per_call + 1, 1, last);
}

/// What a trigger needs from its broker.
class Core {
 public:
  Executor& executor;
  Timers& timers;
  const std::shared_ptr<Log> shared_log;
  Log& log;
  Logger& logger;
  const BrokerOptions& options;
  std::size_t attempts_running = 0;  ///< Of all triggers.
  Wakeup attempt_ended;

  Core(Executor& executor_, Timers& timers_, std::shared_ptr<Log> log_, Logger& logger_,
       const BrokerOptions& options_)
      : executor(executor_),
        timers(timers_),
        shared_log(std::move(log_)),
        log(*shared_log),
        logger(logger_),
        options(options_) {}
  /// Take a reply to an event that had `hops` left; it gets an id when it has none. False when the
  /// hop limit stops it.
  virtual Task<Result<bool>> accept_reply(CloudEvent& reply, int hops) = 0;
  /// Called when the trigger's first cursor is durable, or storing it failed.
  virtual void first_cursor_stored(bool good) = 0;

 protected:
  ~Core() = default;
};

/// The name of a trigger's cursor in the log.
std::string cursor_name(std::string_view trigger);

/// By what an event is delivered that was begun under it.
struct Terms {
  TriggerOptions options;
  std::shared_ptr<Sink> subscriber;
};

/// A trigger from when it is set or held until it is detached; destroying it drops everything it
/// does.
class Trigger {
 public:
  /// `known`: the cursor is in the log already. It is held until it is set.
  Trigger(Core& core, std::string name, const std::string& metric_name, Offset cursor, bool known,
          Random random);
  ~Trigger();
  Trigger(const Trigger&) = delete;
  Trigger& operator=(const Trigger&) = delete;

  /// Begin events by these terms from now on.
  void set(TriggerOptions options, std::shared_ptr<Sink> subscriber);
  /// Begin no events until the next `set`.
  void hold() noexcept { terms_.reset(); }
  /// Begin no more attempts.
  void stop();
  /// Whether the log knows the trigger.
  bool settled() const noexcept { return first_told_; }
  Offset cursor() const noexcept { return dispatcher_.cursor(); }
  TriggerStats stats() const;
  bool idle() const;

 private:
  /// What it counts for others to see.
  struct Series {
    Series(Metrics& metrics, const Trigger& trigger, const std::string& name);
    MetricSet set;
    AnswerMetrics attempts;
    Counter& failed;
    Counter& delivered;
    Counter& dead_lettered;
    Counter& dropped;
    Counter& expired;
  };
  /// One attempt, for those who read of its failure.
  struct Letter {
    const CloudEvent& event;
    std::optional<int> hops;  ///< Left; empty for a dead letter.
  };
  using TermsPtr = std::shared_ptr<const Terms>;
  Task<void> follow();
  Task<void> enter(const std::vector<Record>& records);
  void begin(const Record& record);
  void expire(Offset before);
  Task<void> deliver(TermsPtr terms, Offset offset, CloudEvent event, int hops);
  Task<std::optional<DeliveryAttempt>> try_all(const Terms& terms, Sink& sink, Letter letter);
  Task<DeliveryAttempt> try_once(const Terms& terms, Sink& sink, Letter letter);
  Task<DeliveryAttempt> call(Sink& sink, const CloudEvent& event, Duration timeout);
  Task<void> take_reply(DeliveryAttempt& attempt, int hops);
  void complain(const Terms& terms, const Letter& letter, int number,
                const DeliveryAttempt& failed);
  Task<bool> dead_letter(const Terms& terms, const CloudEvent& event, int hops,
                         const DeliveryAttempt& failed);
  Task<void> store_cursor();
  void finish(Offset offset);

  Core& core_;
  std::string name_;
  TermsPtr terms_;  ///< None while it is held.
  Random random_;
  Dispatcher dispatcher_;
  std::optional<Offset> stored_;  ///< The durable cursor.
  bool first_told_ = false;
  bool stopping_ = false;
  TriggerStats stats_;
  std::optional<Series> series_;
  base::Complaints complaints_{20, 1};
  Wakeup room_;
  Wakeup set_;
  Wakeup moved_;
  Wakeup stop_;
  TaskSet cursor_task_;
  TaskSet tasks_;
};

}  // namespace knative::broker
