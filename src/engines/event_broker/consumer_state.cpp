#include "engines/event_broker/consumer_state.hpp"

#include <algorithm>
#include <array>

#include "base/text.hpp"
#include "state/little_endian.hpp"

namespace knative::broker {
namespace {

using state::get_number;
using state::put_number;

constexpr char progress_version = 1;
constexpr char position_version = 1;
constexpr std::size_t data_bytes_max = 768;   // 1024 characters of base64
constexpr std::size_t cause_bytes_max = 200;  // of what people read
constexpr std::size_t fixed_bytes = 3 + 3 * sizeof(std::int32_t) + 2 * sizeof(std::int64_t);
constexpr std::size_t offset_bytes = sizeof(Offset);

template <class T>
void append_number(std::string& out, T value) {
  const std::size_t at = out.size();
  out.resize(at + sizeof(T));
  put_number(out, at, value);
}

void append_text(std::string& out, std::string_view text) {
  append_number(out, static_cast<std::uint32_t>(text.size()));
  out += text;
}

bool take_text(std::string_view& in, std::string& into) {
  if (in.size() < sizeof(std::uint32_t)) return false;
  const std::size_t size = get_number<std::uint32_t>(in, 0);
  in.remove_prefix(sizeof(std::uint32_t));
  if (size > in.size()) return false;
  into = in.substr(0, size);
  in.remove_prefix(size);
  return true;
}

}  // namespace

// ---------------------------------------------------------------------------- notes

std::string encode(const Progress& progress) {
  std::string out;
  out += progress_version;
  out += static_cast<char>(progress.phase);
  out += static_cast<char>(progress.reply);
  append_number(out, static_cast<std::int32_t>(progress.attempts));
  append_number(out, static_cast<std::int32_t>(progress.letters));
  append_number(out, static_cast<std::int32_t>(progress.status));
  append_number(out, static_cast<std::int64_t>(progress.due.time_since_epoch().count()));
  append_number(out, static_cast<std::int64_t>(progress.delay.count()));
  append_text(out, progress.cause);
  append_text(out, progress.data);
  append_text(out, progress.destination);
  out += progress.event;
  return out;
}

std::optional<Progress> decode_progress(std::string_view text) {
  if (text.size() < fixed_bytes || text[0] != progress_version) return std::nullopt;
  if (text[1] < static_cast<char>(Phase::deliver) || text[1] > static_cast<char>(Phase::done)) {
    return std::nullopt;
  }
  Progress progress;
  progress.phase = static_cast<Phase>(text[1]);
  progress.reply = text[2] != 0;
  progress.attempts = get_number<std::int32_t>(text, 3);
  progress.letters = get_number<std::int32_t>(text, 7);
  progress.status = get_number<std::int32_t>(text, 11);
  progress.due = WallTime(Duration(get_number<std::int64_t>(text, 15)));
  progress.delay = Duration(get_number<std::int64_t>(text, 23));
  text.remove_prefix(fixed_bytes);
  if (!take_text(text, progress.cause) || !take_text(text, progress.data) ||
      !take_text(text, progress.destination)) {
    return std::nullopt;
  }
  progress.event = text;
  return progress;
}

std::string notes_prefix(std::string_view cursor) { return std::string(cursor) + '\0'; }

// Big-endian, so that names sort as their offsets do.
std::string note_name(std::string_view prefix, Offset offset) {
  std::string name(prefix);
  for (std::size_t i = offset_bytes; i-- > 0;) name += static_cast<char>(offset >> (8 * i) & 0xff);
  return name;
}

std::optional<Offset> note_offset(std::string_view prefix, std::string_view name) {
  if (!name.starts_with(prefix) || name.size() != prefix.size() + offset_bytes) return std::nullopt;
  Offset offset = 0;
  for (const char c : name.substr(prefix.size())) {
    offset = offset << 8 | static_cast<unsigned char>(c);
  }
  return offset;
}

std::string encode_position(Offset position) {
  std::string text(1, position_version);
  append_number(text, position);
  return text;
}

std::optional<Offset> decode_position(std::string_view text) {
  if (text.size() != 1 + offset_bytes || text[0] != position_version) return std::nullopt;
  return get_number<Offset>(text, 1);
}

// ---------------------------------------------------------------------------- decisions

std::string shown_cause(const DeliveryAttempt& failed) {
  const std::string_view cause = failed.cause();
  return base::valid_utf8(cause.substr(0, base::utf8_prefix(cause, cause_bytes_max)));
}

Progress after_failure(Progress before, const DeliveryAttempt& failed,
                       const DeliveryOptions& delivery, bool dead_letter_sink, WallTime now,
                       Random& random) {
  Progress after = std::move(before);
  const bool letter = after.phase == Phase::letter;
  int& attempts = letter ? after.letters : after.attempts;
  ++attempts;
  after.cause = shown_cause(failed);
  if (!letter) {
    after.status = failed.status;
    after.data = failed.body.substr(0, data_bytes_max);
  }
  const std::optional<Duration> delay = RetrySchedule(delivery).next(attempts, failed, random);
  if (!delay) after.phase = !letter && dead_letter_sink ? Phase::letter : Phase::park;
  after.delay = delay.value_or(Duration(0));
  after.due = now + after.delay;
  return after;
}

// ---------------------------------------------------------------------------- what notes tell

void ConsumerState::restore(Offset offset, Instant due, bool in_log) {
  noted_.emplace(offset, Noted{Place::waiting, due, in_log, false});
  queue_.emplace(due, offset);
  if (in_log) pinned_.insert(offset);
  if (offset >= begin_) known_.insert(offset);
}

void ConsumerState::restore_decided(Offset offset) {
  if (offset >= begin_) known_.insert(offset);
}

// ---------------------------------------------------------------------------- reading on

Offset ConsumerState::cursor() const noexcept {
  return pinned_.empty() ? position() : std::min(position(), *pinned_.begin());
}

std::size_t ConsumerState::room() const noexcept {
  const Offset span = next_ - position();
  if (full() || span >= bounds_.span_max) return 0;
  const std::size_t used = in_window();
  if (bounds_.window == 1) return used == 0 && waiting() == 0 ? 1 : 0;  // in order
  // Retries come to their turn however many new events there are.
  const std::size_t wanted =
      std::min(ready_.size(), retries_max() - std::min(retries_max(), retries()));
  if (used + wanted >= bounds_.window) return 0;
  return std::min({bounds_.window - used - wanted, bounds_.undecided_max - undecided(),
                   static_cast<std::size_t>(bounds_.span_max - span)});
}

bool ConsumerState::enter(Offset offset) {
  KN_ASSERT(offset >= next_);
  next_ = offset + 1;
  if (!known_.empty()) {
    const bool known = known_.contains(offset);
    known_.erase(known_.begin(), known_.lower_bound(next_));
    if (known) return false;
  }
  fresh_.insert(fresh_.end(), offset);
  return true;
}

void ConsumerState::skip_to(Offset offset) {
  next_ = std::max(next_, offset);
  known_.erase(known_.begin(), known_.lower_bound(next_));
}

// ---------------------------------------------------------------------------- attempts

std::optional<Instant> ConsumerState::due() const noexcept {
  return queue_.empty() ? std::nullopt : std::optional<Instant>(queue_.begin()->first);
}

std::optional<Offset> ConsumerState::resume(Instant now) {
  while (!queue_.empty() && queue_.begin()->first <= now) {
    const auto entry = *queue_.begin();
    queue_.erase(queue_.begin());
    noted(entry.second).place = Place::ready;
    ready_.insert(entry);
  }
  if (ready_.empty() || in_window() >= bounds_.window || retries() >= retries_max()) {
    return std::nullopt;
  }
  const Offset offset = ready_.begin()->second;
  ready_.erase(ready_.begin());
  noted(offset).place = Place::active;
  ++noted_active_;
  return offset;
}

void ConsumerState::note(Offset offset) {
  if (fresh_.erase(offset) == 0) return;
  Noted entry{Place::active, Instant(), true, offset < renewed_};
  if (entry.beside) ++noted_beside_;
  noted_.emplace(offset, entry);
  pinned_.insert(offset);
  ++noted_active_;
}

void ConsumerState::wait(Offset offset, Instant due) {
  note(offset);
  Noted& entry = noted(offset);
  deactivate(entry);
  entry.place = Place::waiting;
  entry.due = due;
  queue_.emplace(due, offset);
}

void ConsumerState::shelve(Offset offset) {
  note(offset);
  Noted& entry = noted(offset);
  deactivate(entry);
  entry.place = Place::shelved;
}

void ConsumerState::unshelve(std::size_t count) {
  for (auto& [offset, entry] : noted_) {
    if (count == 0) return;
    if (entry.place != Place::shelved) continue;
    --count;
    entry.place = Place::ready;
    ready_.emplace(entry.due, offset);
  }
}

void ConsumerState::add(Offset offset, Instant due) {
  if (fresh_.contains(offset)) return;
  const auto [place, added] = noted_.emplace(offset, Noted{Place::waiting, due, false, false});
  if (added) queue_.emplace(due, offset);
}

bool ConsumerState::finish(Offset offset) {
  if (fresh_.erase(offset) == 1) {
    if (offset < renewed_) --beside_;
    return false;
  }
  deactivate(noted(offset));
  noted_.erase(offset);
  pinned_.erase(offset);
  return true;
}

std::vector<Offset> ConsumerState::laggards() const {
  std::vector<Offset> found;
  for (const Offset offset : fresh_) {
    if (next_ - offset <= bounds_.span_max / 2) break;
    found.push_back(offset);
  }
  return found;
}

void ConsumerState::renew(const ConsumerBounds& bounds) {
  bounds_ = bounds;
  renewed_ = next_;
  beside_ = in_progress();
  noted_beside_ = noted_active_;
  for (auto& [offset, entry] : noted_) entry.beside = entry.place == Place::active;
}

ConsumerState::Noted& ConsumerState::noted(Offset offset) {
  const auto found = noted_.find(offset);
  KN_ASSERT(found != noted_.end());
  return found->second;
}

void ConsumerState::deactivate(Noted& entry) noexcept {
  KN_ASSERT(entry.place == Place::active);
  --noted_active_;
  if (!entry.beside) return;
  entry.beside = false;
  --beside_;
  --noted_beside_;
}

}  // namespace knative::broker
