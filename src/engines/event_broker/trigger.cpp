// A trigger follows the log and stores how far it has come. Delivering: trigger_delivery.cpp.
#include "engines/event_broker/trigger.hpp"

#include <algorithm>
#include <utility>

#include "base/next_turn.hpp"
#include "base/wait_for.hpp"

namespace knative::broker {
namespace {

constexpr Duration trouble_delay = std::chrono::seconds(1);
constexpr Duration trouble_delay_max = std::chrono::minutes(5);
constexpr std::size_t notes_at_once_max = 1000;

/// The hops an event of the log has left.
int hops_of(const CloudEvent& event, int otherwise) {
  const ExtensionValue* value = event.extension(hops_attribute);
  if (value == nullptr) return otherwise;
  if (const std::int32_t* number = std::get_if<std::int32_t>(value)) return *number;
  return otherwise;
}

Offset begin_of(const Log& log, const std::string& notes, Offset cursor) {
  const auto note = log.notes().find(notes);
  if (note == log.notes().end()) return cursor;
  return std::min(std::max(decode_position(note->second).value_or(cursor), cursor), log.end());
}

ConsumerBounds bounds_of(const TriggerOptions& options) {
  return {options.window, options.span_max, options.undecided_max};
}

}  // namespace

std::string cursor_name(std::string_view trigger) { return "trigger/" + std::string(trigger); }

Trigger::Trigger(Core& core, std::string name, const std::string& metric_name, Offset cursor,
                 bool known, Random random)
    : core_(core),
      name_(std::move(name)),
      notes_(notes_prefix(cursor_name(name_))),
      random_(random),
      state_(begin_of(core.log, notes_, cursor), ConsumerBounds()),
      first_told_(known),
      store_task_(core.executor),
      tasks_(core.executor) {
  restore(cursor);
  if (known) stored_ = cursor;
  if (core.options.metrics != nullptr) {
    series_.emplace(*core.options.metrics, *this, metric_name.empty() ? name_ : metric_name);
  }
  store_task_.add(store());
  tasks_.add(follow());
  tasks_.add(resume_due());
}

Trigger::~Trigger() = default;

/// Take up what the notes of an earlier life tell.
void Trigger::restore(Offset cursor) {
  const LogNotes& notes = core_.log.notes();
  position_noted_ = notes.contains(notes_);
  stored_position_ = position_noted_ ? state_.position() : cursor;
  const Instant now = core_.timers.now();
  const WallTime wall = core_.timers.wall();
  for (auto at = notes.lower_bound(notes_); at != notes.end() && at->first.starts_with(notes_);
       ++at) {
    const std::optional<Offset> offset = note_offset(notes_, at->first);
    if (!offset || *offset >= core_.log.end()) continue;
    std::optional<Progress> progress = decode_progress(at->second);
    if (!progress) {  // rather once too often than never
      core_.logger.log(LogLevel::error, "broker", "what is known of an event cannot be read",
                       {{"broker", core_.options.name},
                        {"trigger", name_},
                        {"offset", std::to_string(*offset)}});
      progress.emplace();
    }
    if (progress->phase == Phase::parked || progress->phase == Phase::done) {
      state_.restore_decided(*offset);
      if (progress->phase == Phase::done) {
        settled_.emplace(*offset, true);
      } else {
        ++parked_now_;
        parked_bytes_ += progress->event.size();
      }
      continue;
    }
    // Clocks may have been set meanwhile: it waits no longer than it was meant to.
    const Duration left = std::clamp(Duration(progress->due - wall), Duration(0), progress->delay);
    state_.restore(*offset, now + left, progress->event.empty());
  }
}

void Trigger::set(TriggerOptions options, std::shared_ptr<Sink> subscriber) {
  state_.renew(bounds_of(options));
  terms_ = std::make_shared<const Terms>(Terms{std::move(options), std::move(subscriber)});
  // The lot may be larger now, or letters have a sink.
  state_.unshelve(state_.waiting());
  set_.notify_all();
  room_.notify_all();
  resumable_.notify_all();
}

void Trigger::stop() {
  stopping_ = true;
  room_.notify_all();
  set_.notify_all();
  resumable_.notify_all();
}

TriggerStats Trigger::stats() const {
  TriggerStats stats = stats_;
  const Offset end = core_.log.end();
  const std::uint64_t unread = end - std::min(end, state_.next());
  stats.in_progress = state_.undecided();
  stats.waiting = state_.waiting();
  stats.stalled = state_.full();
  stats.parked_now = parked_now_;
  stats.parked_bytes = parked_bytes_;
  stats.cursor = state_.cursor();
  stats.backlog = unread - std::min<std::uint64_t>(unread, state_.known_ahead()) +
                  static_cast<std::uint64_t>(state_.undecided());
  stats.held = terms_ == nullptr;
  return stats;
}

bool Trigger::idle() const { return state_.undecided() == 0 && state_.next() >= core_.log.end(); }

// ---------------------------------------------------------------------------- following the log

Task<void> Trigger::follow() {
  Duration trouble = trouble_delay;  // a damaged log stays so until somebody mends it
  while (!stopping_) {
    if (terms_ == nullptr) {
      co_await set_.wait();
      continue;
    }
    const Offset next = state_.next();
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
    while (state_.room() == 0 && terms_ != nullptr && !stopping_) co_await stalled();
    if (terms_ == nullptr || stopping_) co_return;
    if (record.offset >= state_.next()) begin(record);
  }
}

Task<void> Trigger::stalled() {
  if (state_.full()) {
    ++stats_.stalls;
    if (series_) series_->stalls.add();
    core_.logger.log(LogLevel::warning, "broker",
                     "a trigger begins no events: too many of them are undecided",
                     {{"broker", core_.options.name},
                      {"trigger", name_},
                      {"undecided", std::to_string(state_.undecided())},
                      {"cause", stats_.last_error}});
  }
  do {
    co_await room_.wait();
  } while (state_.full() && terms_ != nullptr && !stopping_);
}

void Trigger::begin(const Record& record) {
  expire(record.offset);
  if (!state_.enter(record.offset)) {  // a note knows it
    freed();
    return;
  }
  std::unique_ptr<Work> work = work_of(record.offset, record.bytes, *terms_);
  if (!work) {
    finish(record.offset);
    return;
  }
  if (!terms_->options.filter.matches(work->event)) {
    ++stats_.filtered;
    finish(record.offset);
    return;
  }
  ++stats_.matched;
  tasks_.add(deliver(terms_, std::move(work)));
}

/// What the subscriber is to be given; null, and counted, when the bytes are no event.
std::unique_ptr<Trigger::Work> Trigger::work_of(Offset offset, std::string_view bytes,
                                                const Terms& terms) {
  Result<CloudEvent> event = event_from_bytes(bytes);
  if (!event) {  // a foreign record; its checksum was right, so it will never be an event
    ++stats_.dropped;
    if (series_) series_->dropped.add();
    core_.logger.log(LogLevel::error, "broker", "a record of the log holds no event",
                     {{"broker", core_.options.name}, {"offset", std::to_string(offset)}});
    return nullptr;
  }
  auto work = std::make_unique<Work>();
  work->offset = offset;
  work->hops = hops_of(*event, core_.options.hops_max);
  if (!terms.subscriber->hands_on()) event->remove_extension(hops_attribute);
  work->event = std::move(*event);
  return work;
}

/// Events before this offset were taken by the log's retention.
void Trigger::expire(Offset before) {
  const Offset next = state_.next();
  if (before <= next) return;
  stats_.expired += before - next;
  if (series_) series_->expired.add(before - next);
  core_.logger.log(LogLevel::error, "broker", "events were too old before they were delivered",
                   {{"broker", core_.options.name},
                    {"trigger", name_},
                    {"first", std::to_string(next)},
                    {"count", std::to_string(before - next)}});
  state_.skip_to(before);
}

// ---------------------------------------------------------------------------- what waits

Task<void> Trigger::resume_due() {
  while (!stopping_) {
    std::optional<Offset> offset;
    if (terms_ != nullptr) offset = state_.resume(core_.timers.now());
    if (offset) {
      tasks_.add(resume(*offset));
      continue;
    }
    Task<void> changed = base::wait_for(resumable_);
    const std::optional<Instant> due = terms_ == nullptr ? std::nullopt : state_.due();
    if (due) {
      co_await with_deadline(core_.timers, std::move(changed), *due);
    } else {
      co_await std::move(changed);
    }
  }
}

/// Go on with an event whose time has come.
Task<void> Trigger::resume(Offset offset) {
  Progress progress;
  Task<Result<std::string>> reading = bytes_of(offset, progress);
  const Result<std::string> bytes = co_await std::move(reading);
  if (!bytes && bytes.error().code == Errc::not_found) {
    ++stats_.expired;
    if (series_) series_->expired.add();
    core_.logger.log(
        LogLevel::error, "broker", "an event was too old before its next attempt",
        {{"broker", core_.options.name}, {"trigger", name_}, {"offset", std::to_string(offset)}});
    finish(offset);
    co_return;
  }
  if (!bytes) {
    stats_.last_error = bytes.error().to_string();
    later(offset, trouble_delay_max);
    co_return;
  }
  if (terms_ == nullptr || stopping_) {  // meanwhile
    later(offset, Duration(0));
    co_return;
  }
  const TermsPtr terms = terms_;
  std::unique_ptr<Work> work = work_of(offset, *bytes, *terms);
  const bool wanted =
      work && (progress.phase != Phase::deliver || terms->options.filter.matches(work->event));
  if (work && !wanted) {
    ++stats_.filtered;
    if (series_) series_->filtered.add();
  }
  if (!wanted) {
    finish(offset);
    co_return;
  }
  if (progress.reply) work->hops = 0;
  work->shelved = progress.phase == Phase::park;
  work->progress = std::move(progress);
  Task<void> delivering = deliver(terms, std::move(work));
  co_await std::move(delivering);
}

/// What its note tells of an event, and its bytes. `not_found` when the log has it no more.
Task<Result<std::string>> Trigger::bytes_of(Offset offset, Progress& progress) {
  const auto note = core_.log.notes().find(note_name(notes_, offset));
  if (note != core_.log.notes().end()) {
    progress = decode_progress(note->second).value_or(Progress());
  }
  if (!progress.event.empty()) co_return progress.event;
  const ReadLimits one{1, 1};
  Result<std::vector<Record>> records = co_await core_.log.read(offset, one);
  if (!records) co_return records.error();
  if (records->empty() || records->front().offset != offset) {
    co_return fail(Errc::not_found, "the log has it no more");
  }
  co_return std::move(records->front().bytes);
}

void Trigger::later(Offset offset, Duration delay) {
  state_.wait(offset, core_.timers.now() + delay);
  freed();
  resumable_.notify_all();
}

// ---------------------------------------------------------------------------- the parking lot

void Trigger::redriven(Offset offset, std::size_t bytes) {
  --parked_now_;
  parked_bytes_ -= bytes;
  state_.add(offset, core_.timers.now());
  state_.unshelve(1);
  resumable_.notify_all();
}

void Trigger::discarded(Offset offset, std::size_t bytes) {
  --parked_now_;
  parked_bytes_ -= bytes;
  if (core_.log.notes().contains(note_name(notes_, offset))) settled_.emplace(offset, true);
  state_.unshelve(1);
  resumable_.notify_all();
}

// ---------------------------------------------------------------------------- storing

/// An event is decided; it need not be durable yet.
void Trigger::finish(Offset offset) {
  if (state_.finish(offset) || noting_.contains(offset)) {
    if (settled_.emplace(offset, false).second) ++unsaid_;
  }
  freed();
}

void Trigger::freed() {
  room_.notify_all();
  moved_.notify_all();
  if (state_.crowded()) resumable_.notify_all();
}

bool Trigger::unstored() const {
  return stored_ != state_.cursor() || stored_position_ != state_.position() || unsaid_ > 0 ||
         (state_.lagging() && !recording_.contains(state_.position()));
}

LogChange Trigger::unsaid() {
  LogChange change;
  const Offset cursor = state_.cursor();
  const Offset position = state_.position();
  change.cursors.emplace_back(cursor_name(name_), cursor);
  if (position != cursor) {
    change.notes.emplace_back(notes_, encode_position(position));
  } else if (position_noted_) {
    change.notes.emplace_back(notes_, std::nullopt);
  }
  Progress done;
  done.phase = Phase::done;
  for (const auto& [offset, said] : settled_) {
    if (change.notes.size() >= notes_at_once_max) break;
    if (offset < position) {
      change.notes.emplace_back(note_name(notes_, offset), std::nullopt);
    } else if (!said) {
      change.notes.emplace_back(note_name(notes_, offset), encode(done));
    }
  }
  return change;
}

void Trigger::stored(const LogChange& change, Offset position) {
  stored_ = change.cursors.front().second;
  stored_position_ = position;
  for (const auto& [name, text] : change.notes) {
    if (name == notes_) {
      position_noted_ = text.has_value();
      continue;
    }
    const Offset offset = note_offset(notes_, name).value();
    if (noting_.contains(offset)) {
      state_.note(offset);
      continue;
    }
    const auto settled = settled_.find(offset);
    if (settled == settled_.end()) continue;
    if (!std::exchange(settled->second, true)) --unsaid_;
    if (!text) settled_.erase(settled);
  }
}

Task<void> Trigger::store() {
  for (;;) {
    while (!unstored()) co_await moved_.wait();
    if (stored_) co_await core_.timers.sleep_for(core_.options.commit_delay);
    LogChange change = unsaid();
    const Offset position = state_.position();
    // What hangs for long must not make everything behind it come again after a crash.
    for (const Offset offset : state_.laggards()) {
      if (recording_.contains(offset)) continue;
      noting_.insert(offset);
      change.notes.emplace_back(note_name(notes_, offset), encode(Progress()));
    }
    const Result<void> done = co_await core_.log.commit(change);
    if (done) stored(change, position);
    if (!noting_.empty()) room_.notify_all();
    noting_.clear();
    if (!first_told_) {
      first_told_ = done.has_value();
      core_.first_cursor_stored(done.has_value());
    }
    if (!done) co_await core_.timers.sleep_for(trouble_delay);
  }
}

/// Make durable how far an event has come. Not before is anything else done with it.
Task<void> Trigger::record(Offset offset, const Progress& progress) {
  recording_.insert(offset);
  for (;;) {
    LogChange change;
    change.notes.emplace_back(note_name(notes_, offset), encode(progress));
    const Result<void> done = co_await core_.log.commit(std::move(change));
    if (done) break;
    stats_.last_error = done.error().to_string();
    co_await core_.timers.sleep_for(trouble_delay);
  }
  recording_.erase(offset);
}

}  // namespace knative::broker
