/// \file
/// One trigger at work: it follows the log, filters, delivers, retries, parks, and moves its
/// cursor. What it must remember is in notes of the log (`ConsumerState`). Private to the event
/// broker.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "base/complaints.hpp"
#include "engines/event_broker/consumer_state.hpp"
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

/// By what an attempt is made.
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

  /// Begin attempts by these terms from now on.
  void set(TriggerOptions options, std::shared_ptr<Sink> subscriber);
  /// Begin no attempts until the next `set`.
  void hold() noexcept { terms_.reset(); }
  /// Begin no more attempts.
  void stop();
  /// Whether the log knows the trigger.
  bool settled() const noexcept { return first_told_; }
  /// What the log does not know yet of events that are done.
  LogChange unsaid();
  TriggerStats stats() const;
  bool idle() const;

  /// The parked event begins anew; its note says so.
  void redriven(Offset offset, std::size_t bytes);
  /// The parked event is gone, or its note says that it is done.
  void discarded(Offset offset, std::size_t bytes);

 private:
  /// What it counts for others to see.
  struct Series {
    Series(Metrics& metrics, const Trigger& trigger, const std::string& name);
    MetricSet set;
    AnswerMetrics attempts;
    Counter& failed;
    Counter& redelivered;
    Counter& delivered;
    Counter& dead_lettered;
    Counter& parked;
    Counter& filtered;  ///< After they had been begun.
    Counter& dropped;
    Counter& expired;
    Counter& stalls;
  };
  using TermsPtr = std::shared_ptr<const Terms>;
  /// An event in progress, owned by the task that delivers it.
  struct Work {
    Offset offset = 0;
    CloudEvent event;
    int hops = 0;          ///< That it has left.
    bool shelved = false;  ///< Its note says that it waits for room in the parking lot.
    Progress progress;
  };

  void restore(Offset cursor);
  // following the log
  Task<void> follow();
  Task<void> enter(const std::vector<Record>& records);
  Task<void> stalled();
  void begin(const Record& record);
  void expire(Offset before);
  std::unique_ptr<Work> work_of(Offset offset, std::string_view bytes, const Terms& terms);
  // going on with what waits
  Task<void> resume_due();
  Task<void> resume(Offset offset);
  Task<Result<std::string>> bytes_of(Offset offset, Progress& progress);
  void later(Offset offset, Duration delay);
  // storing
  Task<void> store();
  bool unstored() const;
  void stored(const LogChange& change, Offset position);
  Task<void> record(Offset offset, const Progress& progress);
  void finish(Offset offset);
  void freed();
  // delivering
  Task<void> deliver(TermsPtr terms, std::unique_ptr<Work> work);
  Task<bool> step(const Terms& terms, Work& work);
  Task<DeliveryAttempt> try_once(const Terms& terms, Sink& sink, const Work& work,
                                 const CloudEvent& event);
  Task<DeliveryAttempt> call(Sink& sink, const CloudEvent& event, Duration timeout);
  Task<void> take_reply(DeliveryAttempt& attempt, int hops);
  void succeeded(Work& work, DeliveryAttempt& attempt);
  void complain(const Terms& terms, const Work& work, const DeliveryAttempt& failed);
  CloudEvent letter_of(const Terms& terms, const Work& work) const;
  Task<void> give_up(const Terms& terms, Work& work);
  void say_end(const Work& work, std::string_view what);
  Task<void> park(const Terms& terms, Work& work);

  Core& core_;
  std::string name_;
  std::string notes_;  ///< What the names of its notes begin with.
  TermsPtr terms_;     ///< None while it is held.
  Random random_;
  ConsumerState state_;
  std::optional<Offset> stored_;  ///< The durable cursor,
  Offset stored_position_ = 0;    ///< and position.
  bool position_noted_ = false;   ///< There is a note of the position.
  /// Decided events whose notes are there still; true: the note says so.
  std::map<Offset, bool> settled_;
  std::size_t unsaid_ = 0;      ///< Of those, how many notes do not say so.
  std::set<Offset> noting_;     ///< Events in progress whose notes are being written beside them.
  std::set<Offset> recording_;  ///< Events whose outcome is being written.
  std::size_t parked_now_ = 0;
  std::uint64_t parked_bytes_ = 0;
  bool first_told_ = false;
  bool stopping_ = false;
  TriggerStats stats_;
  std::optional<Series> series_;
  base::Complaints complaints_{20, 1};
  Wakeup room_;
  Wakeup set_;
  Wakeup moved_;
  Wakeup resumable_;
  TaskSet store_task_;
  TaskSet tasks_;
};

}  // namespace knative::broker
