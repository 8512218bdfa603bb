/// \file
/// One trigger at work: it follows the log, filters, delivers, retries, and moves its cursor.
/// Private to the event broker.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "knative/event_broker.hpp"

namespace knative::broker {

inline constexpr std::string_view hops_attribute = "knativebrokerttl";
inline constexpr std::string_view arrival_attribute = "knativearrivaltime";

/// What a trigger needs from its broker.
class Core {
 public:
  Executor& executor;
  Timers& timers;
  Log& log;
  Logger& logger;
  const BrokerOptions& options;

  Core(Executor& executor_, Timers& timers_, Log& log_, Logger& logger_,
       const BrokerOptions& options_)
      : executor(executor_), timers(timers_), log(log_), logger(logger_), options(options_) {}
  /// Take a reply to an event that had `hops` left. False when the hop limit stops it.
  virtual Task<Result<bool>> accept_reply(const CloudEvent& reply, int hops) = 0;
  /// Called when the trigger's first cursor is durable, or storing it failed.
  virtual void first_cursor_stored(bool good) = 0;

 protected:
  ~Core() = default;
};

/// The name of a trigger's cursor in the log.
std::string cursor_name(std::string_view trigger);

/// A trigger from when it is set until it is detached; destroying it drops everything it does.
class Trigger {
 public:
  /// `known`: the cursor is in the log already.
  Trigger(Core& core, std::string name, TriggerOptions options, Sink& subscriber, Offset cursor,
          bool known, Random random);
  ~Trigger();
  Trigger(const Trigger&) = delete;
  Trigger& operator=(const Trigger&) = delete;

  /// Take new options; what is in progress begins again.
  void replace(TriggerOptions options, Sink& subscriber);
  /// Begin no more attempts.
  void stop();
  /// Attempts that run now.
  std::size_t attempts_running() const noexcept { return attempts_running_; }
  Wakeup& attempt_ended() noexcept { return attempt_ended_; }
  /// Whether the log knows the trigger.
  bool settled() const noexcept { return first_told_; }
  Offset cursor() const noexcept { return dispatcher_.cursor(); }
  TriggerStats stats() const;
  bool idle() const;

 private:
  /// What it counts for others to see.
  struct Series {
    Series(Metrics& metrics, const Trigger& trigger);
    MetricSet set;
    AnswerMetrics attempts;
    Counter& delivered;
    Counter& dead_lettered;
    Counter& dropped;
  };
  void begin();
  Task<void> follow();
  Task<void> enter(const std::vector<Record>& records);
  Task<void> deliver(Offset offset, CloudEvent event, int hops);
  Task<std::optional<DeliveryAttempt>> try_all(const CloudEvent& event, Sink& sink,
                                               std::optional<int> hops);
  Task<DeliveryAttempt> try_once(const CloudEvent& event, Sink& sink, std::optional<int> hops);
  Task<bool> dead_letter(const CloudEvent& event, int hops, const DeliveryAttempt& failed);
  Task<void> store_cursor();
  void finish(Offset offset);

  Core& core_;
  std::string name_;
  TriggerOptions options_;
  Sink* subscriber_;
  Random random_;
  Dispatcher dispatcher_;
  std::optional<Offset> stored_;  ///< The durable cursor.
  bool first_told_ = false;
  bool stopping_ = false;
  std::size_t attempts_running_ = 0;
  TriggerStats stats_;
  std::optional<Series> series_;
  Wakeup room_;
  Wakeup moved_;
  Wakeup stop_;
  Wakeup attempt_ended_;
  TaskSet cursor_task_;
  TaskSet tasks_;
};

}  // namespace knative::broker
