/// \file
/// What one consumer (a trigger) knows of its log: how far it has read, what is being attempted,
/// what waits for its next attempt. Private to the event broker.
///
/// Pure: no I/O, time is an argument. What must outlive the process is a cursor and notes of the
/// log (`LogChange`); docs/log-format.md tells their bytes. Every event before the *position* is
/// decided, or a note tells how far it has come. From the position on events are read again after
/// a restart, but for those that a note knows. The *cursor* is the oldest event that the log must
/// keep: it never passes the position.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "knative/event_broker.hpp"

namespace knative::broker {

/// What becomes of an event next. Values are persisted.
enum class Phase : unsigned char {
  deliver = 1,  ///< It goes to the subscriber.
  letter = 2,   ///< To the dead letter sink.
  park = 3,     ///< Into the parking lot, when there is room.
  parked = 4,   ///< It is there: decided, until somebody moves it.
  done = 5,     ///< Decided; told until the position has passed it.
};

/// How far an event has come. The text of a note.
struct Progress {
  Phase phase = Phase::deliver;
  bool reply = false;  ///< `event` is a reply that has no hops left, on its way as a dead letter.
  int attempts = 0;    ///< Failed ones to deliver it. The last one may have succeeded (a reply's).
  int letters = 0;     ///< Failed ones to deliver its dead letter.
  int status = 0;      ///< Of the last failed attempt to deliver it.
  WallTime due{};      ///< When it goes on; when it was parked.
  Duration delay{0};   ///< It waits no longer than this after a restart, whatever the clock says.
  std::string cause;   ///< Of the last failure, for people.
  std::string data;    ///< The beginning of what the subscriber answered, for a dead letter.
  std::string destination;  ///< Whom it could not be delivered to, without secrets.
  std::string event;        ///< The event's bytes where they are not read from the log.
  friend bool operator==(const Progress&, const Progress&) = default;
};
std::string encode(const Progress& progress);
/// Empty when it is no such text.
std::optional<Progress> decode_progress(std::string_view text);

/// Why it failed, as text for people, whatever the subscriber answered.
std::string shown_cause(const DeliveryAttempt& failed);

/// An event is worth another attempt, or its dead letter, or it is parked: what `failed` leads to,
/// of the attempt that `before` was on its way to.
Progress after_failure(Progress before, const DeliveryAttempt& failed,
                       const DeliveryOptions& delivery, bool dead_letter_sink, WallTime now,
                       Random& random);

/// The names of a consumer's notes: what all of them begin with, the one of its position (that
/// very text), the one of an event.
std::string notes_prefix(std::string_view cursor);
std::string note_name(std::string_view prefix, Offset offset);
/// The offset in the name of an event's note; empty for others.
std::optional<Offset> note_offset(std::string_view prefix, std::string_view name);
/// The text of a position's note.
std::string encode_position(Offset position);
std::optional<Offset> decode_position(std::string_view text);

/// Bounds of one consumer, as in `TriggerOptions`.
struct ConsumerBounds {
  std::size_t window = 100;
  std::size_t span_max = 10'000;
  std::size_t undecided_max = 10'000;
};

/// Which events are in progress and how far position and cursor may move.
class ConsumerState {
 public:
  ConsumerState(Offset position, const ConsumerBounds& bounds)
      : next_(position), begin_(position), bounds_(bounds) {}

  // ---- what notes tell after a restart

  /// This event goes on at `due`. `in_log`: its bytes are in the log and must stay there.
  void restore(Offset offset, Instant due, bool in_log);
  /// This one is decided.
  void restore_decided(Offset offset);

  // ---- reading on

  /// The next offset to read from the log.
  Offset next() const noexcept { return next_; }
  Offset position() const noexcept { return fresh_.empty() ? next_ : *fresh_.begin(); }
  Offset cursor() const noexcept;
  /// How many events may be begun now.
  std::size_t room() const noexcept;
  /// So many are undecided that no others are begun.
  bool full() const noexcept { return undecided() >= bounds_.undecided_max; }
  /// `offset` (at least `next()`) is begun; those between are gone and count as decided. False
  /// when a note knows it: nothing is to be done.
  bool enter(Offset offset);
  /// Move `next()` to `offset` without beginning anything: those records are gone.
  void skip_to(Offset offset);

  // ---- attempts

  /// When the next one waits for its time only; empty when none does.
  std::optional<Instant> due() const noexcept;
  /// An event whose time has come and that has a place: it is in progress now.
  std::optional<Offset> resume(Instant now);
  /// Whether events whose time has come have no place yet.
  bool crowded() const noexcept { return !ready_.empty(); }
  /// The progress of an event is durable; it stays in progress.
  void note(Offset offset);
  /// The same, and it goes on at `due`.
  void wait(Offset offset, Instant due);
  /// The same, and it goes on when the parking lot has room.
  void shelve(Offset offset);
  /// The parking lot has room for so many.
  void unshelve(std::size_t count);
  /// An event of the parking lot begins anew. Does nothing when it is in progress.
  void add(Offset offset, Instant due);
  /// An event in progress is decided, or parked. True when a note tells its progress.
  bool finish(Offset offset);
  /// Events in progress that hold back the position and are not noted yet.
  bool lagging() const noexcept { return next_ - position() > bounds_.span_max / 2; }
  std::vector<Offset> laggards() const;
  bool is_fresh(Offset offset) const { return fresh_.contains(offset); }

  /// What is in progress goes on beside the window, which others have for themselves from now on.
  void renew(const ConsumerBounds& bounds);

  std::size_t in_progress() const noexcept { return fresh_.size() + noted_active_; }
  /// Between two attempts, or before the parking lot.
  std::size_t waiting() const noexcept { return noted_.size() - noted_active_; }
  std::size_t undecided() const noexcept { return fresh_.size() + noted_.size(); }
  /// Events from `next()` on that notes know.
  std::size_t known_ahead() const noexcept { return known_.size(); }

 private:
  enum class Place : unsigned char { waiting, ready, active, shelved };
  struct Noted {
    Place place = Place::waiting;
    Instant due{};
    bool in_log = true;
    bool beside = false;  ///< In progress since before the last `renew()`.
  };
  Noted& noted(Offset offset);
  void deactivate(Noted& entry) noexcept;
  std::size_t in_window() const noexcept { return in_progress() - beside_; }
  std::size_t retries_max() const noexcept { return std::max<std::size_t>(1, bounds_.window / 2); }
  std::size_t retries() const noexcept { return noted_active_ - noted_beside_; }

  Offset next_;
  Offset begin_;  ///< Where reading began.
  ConsumerBounds bounds_;
  std::set<Offset> fresh_;  ///< In progress, without a note.
  std::map<Offset, Noted> noted_;
  std::set<std::pair<Instant, Offset>> queue_;  ///< Of those that wait, by their time.
  std::set<std::pair<Instant, Offset>> ready_;  ///< Whose time has come.
  std::set<Offset> pinned_;                     ///< Of those noted, what the log must keep.
  std::set<Offset> known_;                      ///< At or after `next_`, not to be begun.
  std::size_t noted_active_ = 0;
  Offset renewed_ = 0;            ///< What is below was begun before the last `renew()`.
  std::size_t beside_ = 0;        ///< So many of those are in progress,
  std::size_t noted_beside_ = 0;  ///< and so many of them noted.
};

}  // namespace knative::broker
