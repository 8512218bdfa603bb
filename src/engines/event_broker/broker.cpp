#include <algorithm>
#include <array>

#include "base/wait_for.hpp"
#include "engines/event_broker/ingress.hpp"
#include "engines/event_broker/parking.hpp"
#include "engines/event_broker/trigger.hpp"
#include "knative/event_broker.hpp"

namespace knative {
namespace {

/// What one large event needed is not kept.
constexpr std::size_t record_capacity_max = std::size_t{1} << 20;

/// So much of parked events is moved in one change of the log.
constexpr std::size_t moved_at_once_max = 64;
constexpr std::size_t moved_bytes_at_once_max = std::size_t{1} << 20;

/// RFC 3339 in UTC, with milliseconds.
std::string timestamp(WallTime time) {
  CloudEvent event;
  event.set_time(std::chrono::floor<std::chrono::milliseconds>(time));
  std::string text = event.time();
  text.erase(23, 6);  // of nine decimals keep three
  return text;
}

void append_hex(std::string& out, std::uint64_t bits) {
  constexpr std::string_view digits = "0123456789abcdef";
  for (int shift = 60; shift >= 0; shift -= 4) out += digits[(bits >> shift) & 15];
}

/// Chance tells brokers apart, the number the events of one: it never repeats within a log.
std::string event_id(Random& random, std::uint64_t number) {
  std::string id;
  append_hex(id, random());
  append_hex(id, number);
  for (std::size_t dash = 8; dash <= 23; dash += 5) id.insert(dash, 1, '-');
  return id;
}

/// It is a part of names in the log.
Result<void> check_trigger_name(const std::string& name) {
  if (name.empty()) return fail(Errc::invalid_argument, "a trigger needs a name");
  if (name.find('\0') == std::string::npos) return {};
  return fail(Errc::invalid_argument, "the name of a trigger has no zero byte");
}

/// The hops that an arriving event has left; empty when it has none. One that says nothing goes on
/// from the calls that led to it.
std::optional<int> hops_on_arrival(const CloudEvent& event, int first, int calls) {
  const ExtensionValue* value = event.extension(hops_attribute);
  if (value == nullptr) {
    const int left = first - calls * broker::event_hops_per_call;
    if (calls > 0 && left < broker::letter_hops_min) return std::nullopt;
    return left;
  }
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

struct EventBroker::Impl final : broker::Core, broker::Acceptor {
  Impl(Executor& executor_, Timers& timers_, std::shared_ptr<Log> log_, Logger& logger_,
       Random random, BrokerOptions given)
      : Core(executor_, timers_, std::move(log_), logger_, own_options),
        own_options(std::move(given)),
        random_(random),
        ingress(*this),
        next_id_(log.end()),
        moves_(executor_) {
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
    looped_ = &series_->counter(own_options.metric_names.own + "_hops_exhausted_total",
                                "Events and replies that had no hops left.");
  }

  Task<Result<Offset>> accept(const CloudEvent& event) override {
    return publish(std::static_pointer_cast<Impl>(shared_from_this()), event);
  }
  void refused(int status) override { count(status, timers.now()); }
  const BrokerOptions& rules() const noexcept override { return own_options; }

  static Task<Result<Offset>> publish(std::shared_ptr<Impl> impl, const CloudEvent& event) {
    const Instant arrival = impl->timers.now();
    Result<Offset> offset = Offset{0};
    CurrentHops here;
    const int calls = co_await here;
    if (const Result<std::string_view> record = impl->admit(event, calls); record) {
      offset = co_await impl->log.append(*record);
    } else {
      offset = record.error();
    }
    if (offset && impl->unsettled_ > 0) {
      const Result<void> settled = co_await impl->triggers_settled();
      if (!settled) offset = settled.error();
    }
    if (offset) {
      if (const Result<void> still = impl->admitted(); !still) offset = still.error();
    }
    if (offset) {
      impl->accepted(event, arrival);
    } else {
      ++impl->stats_.rejected;
      impl->count(broker::refusal_status(offset.error()), arrival);
    }
    co_return offset;
  }

  Task<void> stop(Instant deadline) {
    stopping_ = true;
    for (const auto& [name, trigger] : triggers_) trigger->stop();
    auto quiet = [](Core& core) -> Task<void> {
      while (core.attempts_running > 0) co_await core.attempt_ended.wait();
    };
    Task<void> waiting = quiet(*this);
    co_await with_deadline(timers, std::move(waiting), deadline);
    std::vector<std::pair<std::string, LogChange>> states;
    for (const auto& [name, trigger] : triggers_) states.emplace_back(name, trigger->unsaid());
    for (auto& [name, state] : states) {
      const Result<void> done = co_await log.commit(std::move(state));
      if (!done) {
        logger.log(LogLevel::warning, "broker", "the state of a trigger could not be stored",
                   {{"trigger", name}, {"error", done.error().to_string()}});
      }
    }
    while (!triggers_.empty()) detach(triggers_.begin()->first);
  }
  static Task<void> stop(std::shared_ptr<Impl> impl, Duration grace) {
    co_await impl->stop(impl->timers.now() + grace);
  }

  void retire() {
    stopping_ = true;
    retired.set();
    triggers_.clear();
    moves_.clear();
    unsettled_ = 0;
    ++first_cursor_failures_;
    settled_.notify_all();
    looped_ = nullptr;
    answers_.reset();
    series_.reset();
  }

  /// The trigger of this name, which is held when it is new.
  broker::Trigger& trigger(const std::string& name, const std::string& metric_name,
                           std::optional<Offset> wanted) {
    const auto known = triggers_.find(name);
    if (known != triggers_.end()) return *known->second;
    const std::optional<Offset> stored = log.cursor(broker::cursor_name(name));
    const Offset begin = std::max(stored ? *stored : wanted.value_or(log.end()), log.first());
    if (!stored) ++unsettled_;
    auto made =
        std::make_unique<broker::Trigger>(*this, name, metric_name, std::min(begin, log.end()),
                                          stored.has_value(), random_.split("trigger/" + name));
    return *triggers_.emplace(name, std::move(made)).first->second;
  }

  void detach(const std::string& name) {
    const auto found = triggers_.find(name);
    if (found == triggers_.end()) return;
    if (!found->second->settled()) first_cursor_stored(true);
    triggers_.erase(found);
  }

  /// Nothing of this trigger is left when it is done. Once more, since what was being written when
  /// it stopped came into the log only now.
  static Task<Result<void>> forget(std::shared_ptr<Impl> impl, std::string name,
                                   std::optional<std::uint64_t> undecided) {
    std::size_t parked = 0;
    for (;;) {
      broker::Leftover left = broker::leftover(impl->log, name);
      if (left.change.empty()) break;
      const Result<void> done = co_await impl->log.commit(std::move(left.change));
      if (!done) co_return done;
      parked += left.parked;
      if (!undecided) undecided = left.undecided;
    }
    impl->count_removed(name, parked, undecided.value_or(0));
    co_return Result<void>();
  }

  void count_removed(const std::string& name, std::size_t parked, std::uint64_t undecided) {
    stats_.parked_removed += parked;
    stats_.undecided_removed += undecided;
    if (parked == 0 && undecided == 0) return;
    count_end("parked", parked);
    count_end("undecided", undecided);
    logger.log(LogLevel::warning, "broker", "a trigger went and left events that nobody gets",
               {{"broker", own_options.name},
                {"trigger", name},
                {"parked", std::to_string(parked)},
                {"undecided", std::to_string(undecided)}});
  }

  /// Events that left without having been delivered.
  void count_end(std::string state, std::uint64_t count) {
    if (!series_ || count == 0) return;
    series_
        ->counter(own_options.metric_names.own + "_removed_events_total",
                  "Events that went with their trigger, or that somebody discarded.",
                  {{"state", std::move(state)}})
        .add(count);
  }

  /// Parked events on their way out of the lot. Runs to its end whoever waits for it.
  struct Move {
    ParkedSelection selection;
    bool again = false;  ///< They begin anew.
    std::size_t count = 0;
    std::optional<Error> error;
    Wakeup done;
  };

  static Task<Result<std::size_t>> move(std::shared_ptr<Impl> impl, ParkedSelection selection,
                                        bool again) {
    if (impl->stopping_) co_return fail(Errc::failed_precondition, "the broker has stopped");
    const auto moving = std::make_shared<Move>();
    moving->selection = std::move(selection);
    moving->again = again;
    impl->moves_.add(move_all(*impl, moving));
    Task<void> gone = base::wait_for(impl->retired);
    Task<void> done = base::wait_for(moving->done);
    co_await race(std::move(done), std::move(gone));
    if (moving->error) co_return *moving->error;
    if (!moving->done.is_set()) co_return fail(Errc::unavailable, "the broker was removed");
    co_return moving->count;
  }

  static Task<void> move_all(Impl& self, std::shared_ptr<Move> moving) {
    std::vector<std::string> notes;
    for (broker::Parked& parked :
         broker::find_parked(self.log, moving->selection, notes.max_size())) {
      notes.push_back(std::move(parked.note));
    }
    for (auto next = notes.begin(); next != notes.end() && !moving->error;) {
      LogChange change;
      std::vector<broker::Parked> moved;
      std::size_t bytes = 0;
      for (; next != notes.end() && moved.size() < moved_at_once_max &&
             bytes < moved_bytes_at_once_max;
           ++next) {
        // Somebody else may be moving it, or have moved it.
        std::optional<broker::Parked> parked = broker::parked_at(self.log, *next);
        if (!parked || !self.moving_.insert(*next).second) continue;
        bytes += parked->progress.event.size();
        change.notes.emplace_back(*next, self.moved_note(*parked, moving->again));
        moved.push_back(std::move(*parked));
      }
      if (moved.empty()) continue;
      const Result<void> done = co_await self.log.commit(std::move(change));
      for (const broker::Parked& parked : moved) self.moving_.erase(parked.note);
      if (!done) moving->error = done.error();
      if (done) self.moved(*moving, moved);
    }
    moving->done.set();
  }

  /// The text of its note from now on; empty: none.
  std::optional<std::string> moved_note(const broker::Parked& parked, bool again) const {
    broker::Progress progress;
    if (again) {
      progress.event = parked.progress.event;
      return broker::encode(progress);
    }
    // It would be read again, and delivered, were it forgotten.
    if (parked.offset < broker::durable_position(log, parked.trigger)) return std::nullopt;
    progress.phase = broker::Phase::done;
    return broker::encode(progress);
  }

  void moved(Move& moving, const std::vector<broker::Parked>& all) {
    moving.count += all.size();
    (moving.again ? stats_.redriven : stats_.discarded) += all.size();
    if (!moving.again) count_end("discarded", all.size());
    for (const broker::Parked& parked : all) {
      const auto found = triggers_.find(parked.trigger);
      if (found == triggers_.end()) continue;
      broker::Trigger& trigger = *found->second;
      const std::size_t bytes = parked.progress.event.size();
      moving.again ? trigger.redriven(parked.offset, bytes)
                   : trigger.discarded(parked.offset, bytes);
    }
  }

  /// Whether events are taken at all.
  Result<void> admitted() const {
    if (retired.is_set()) return fail(Errc::unavailable, "the broker was removed");
    if (own_options.admit) return own_options.admit();
    return {};
  }

  void count(int status, Instant arrival) {
    if (!answers_) return;
    const Duration after = timers.now() - arrival;
    answers_->answered(status, std::chrono::duration<double, std::milli>(after).count());
  }

  /// The record of an arriving event with its attributes, valid until the next one. So many calls
  /// led to it.
  Result<std::string_view> admit(const CloudEvent& event, int calls) {
    if (event.id().empty()) {
      CloudEvent named = event;
      identify(named);
      return admit(named, calls);
    }
    if (Result<void> valid = event.validate(); !valid) return valid.error();
    if (stopping_ && !retired.is_set()) {
      return fail(Errc::failed_precondition, "the broker has stopped");
    }
    if (Result<void> wanted = admitted(); !wanted) return wanted.error();
    const std::optional<int> hops = hops_on_arrival(event, own_options.hops_max, calls);
    if (!hops || *hops <= 0) {
      count_loop();
      return fail(Errc::invalid_argument,
                  std::string(hops_attribute) + ": the event has no hops left");
    }
    return record_of(event, *hops);
  }

  std::string_view record_of(const CloudEvent& event, int hops) {
    if (record_.capacity() > record_capacity_max) record_ = std::string();
    record_.clear();
    const ExtensionValue hops_left = std::int32_t{hops};
    const std::array<ExtensionStamp, 2> stamps = {
        {{broker::arrival_attribute, arrival_value()}, {hops_attribute, hops_left}}};
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
    event.set_id(event_id(random_, next_id_++));
    if (event.time().empty()) event.set_time(std::get<std::string>(arrival_value()));
  }

  void count_loop() {
    ++stats_.hops_exhausted;
    if (looped_ != nullptr) looped_->add();
  }

  Task<Result<bool>> accept_reply(CloudEvent& event, int hops) override {
    const Instant arrival = timers.now();
    identify(event);
    if (const Result<void> valid = event.validate(); !valid) co_return valid.error();
    if (hops <= 1) {
      count_loop();
      co_return false;
    }
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
  std::uint64_t next_id_;
  Counter* looped_ = nullptr;
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
  std::set<std::string> moving_;  ///< Names of parked events' notes that are being changed.
  std::map<std::string, std::unique_ptr<broker::Trigger>, std::less<>> triggers_;
  TaskSet moves_;
};

EventBroker::EventBroker(Executor& executor, Timers& timers, std::shared_ptr<Log> log,
                         Logger& logger, Random random, BrokerOptions options)
    : impl_(std::make_shared<Impl>(executor, timers, std::move(log), logger, random,
                                   std::move(options))) {}

EventBroker::~EventBroker() { impl_->retire(); }

Task<Result<Offset>> EventBroker::publish(const CloudEvent& event) {
  return Impl::publish(impl_, event);
}

http::Handler& EventBroker::ingress() noexcept { return impl_->ingress; }

Result<void> EventBroker::set_trigger(const std::string& name, TriggerOptions options,
                                      std::shared_ptr<Sink> subscriber) {
  if (impl_->stopping_) return fail(Errc::failed_precondition, "the broker has stopped");
  const DeliveryOptions& delivery = options.delivery;
  if (Result<void> named = check_trigger_name(name); !named) return named;
  if (subscriber == nullptr) return fail(Errc::invalid_argument, "a trigger needs a subscriber");
  if (options.window == 0 || options.span_max < options.window) {
    return fail(Errc::invalid_argument, "window must be at least 1 and at most span_max");
  }
  if (options.undecided_max < options.window) {
    return fail(Errc::invalid_argument, "undecided_max must be at least window");
  }
  if (options.parked_max == 0) return fail(Errc::invalid_argument, "parked_max must be at least 1");
  if (delivery.retry < 0 || delivery.delay < Duration(0) || delivery.timeout <= Duration(0) ||
      !(delivery.jitter >= 0 && delivery.jitter <= 1)) {
    return fail(Errc::invalid_argument, "a delivery option is out of range");
  }
  broker::Trigger& trigger = impl_->trigger(name, options.metric_name, options.begin);
  trigger.set(std::move(options), std::move(subscriber));
  return {};
}

Result<void> EventBroker::hold_trigger(const std::string& name, std::string metric_name) {
  if (impl_->stopping_) return fail(Errc::failed_precondition, "the broker has stopped");
  if (Result<void> named = check_trigger_name(name); !named) return named;
  impl_->trigger(name, metric_name, std::nullopt).hold();
  return {};
}

void EventBroker::detach_trigger(const std::string& name) { impl_->detach(name); }

Task<Result<void>> EventBroker::remove_trigger(std::string name) {
  // Who is at work knows better than the log what it is done with.
  std::optional<std::uint64_t> undecided;
  if (const auto found = impl_->triggers_.find(name); found != impl_->triggers_.end()) {
    undecided = found->second->stats().backlog;
  }
  impl_->detach(name);
  return Impl::forget(impl_, std::move(name), undecided);
}

std::vector<ParkedEvent> EventBroker::parked(const ParkedSelection& selection,
                                             std::size_t count_max) const {
  std::vector<ParkedEvent> all;
  for (const broker::Parked& parked : broker::find_parked(impl_->log, selection, count_max)) {
    std::optional<ParkedEvent> event = broker::shown(parked);
    if (event) all.push_back(std::move(*event));
  }
  return all;
}

Task<Result<std::size_t>> EventBroker::redrive(ParkedSelection selection) {
  return Impl::move(impl_, std::move(selection), true);
}

Task<Result<std::size_t>> EventBroker::discard(ParkedSelection selection) {
  return Impl::move(impl_, std::move(selection), false);
}

std::vector<std::string> EventBroker::triggers() const {
  std::vector<std::string> names;
  for (const auto& [name, trigger] : impl_->triggers_) names.push_back(name);
  return names;
}

std::vector<std::string> EventBroker::known_triggers() const {
  const std::set<std::string> names = broker::known_triggers(impl_->log);
  return {names.begin(), names.end()};
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

Task<void> EventBroker::stop(Duration grace) { return Impl::stop(impl_, grace); }

void EventBroker::retire() { impl_->retire(); }

}  // namespace knative
