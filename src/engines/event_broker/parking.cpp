#include "engines/event_broker/parking.hpp"

#include <algorithm>

#include "engines/event_broker/trigger.hpp"

namespace knative::broker {
namespace {

constexpr std::string_view cursors_begin = "trigger/";

/// Call `f(name, text)` for the notes whose names begin so, until it returns false.
template <class F>
void each_note(const Log& log, std::string_view prefix, F f) {
  const LogNotes& notes = log.notes();
  for (auto at = notes.lower_bound(prefix); at != notes.end() && at->first.starts_with(prefix);
       ++at) {
    if (!f(at->first, at->second)) return;
  }
}

std::optional<Parked> parked_of(const std::string& name, std::string_view text) {
  const std::size_t end = name.find('\0');
  if (!name.starts_with(cursors_begin) || end == std::string::npos) return std::nullopt;
  const std::optional<Offset> offset = note_offset(std::string_view(name).substr(0, end + 1), name);
  // Most notes tell of others, and are not taken apart for this.
  if (!offset || text.size() < 2 || text[1] != static_cast<char>(Phase::parked))
    return std::nullopt;
  std::optional<Progress> progress = decode_progress(text);
  if (!progress) return std::nullopt;
  return Parked{name, name.substr(cursors_begin.size(), end - cursors_begin.size()), *offset,
                std::move(*progress)};
}

bool fits(const Parked& parked, const ParkedSelection& selection) {
  if (selection.offset && parked.offset != *selection.offset) return false;
  if (selection.id.empty() && selection.source.empty()) return true;
  const Result<CloudEvent> event = event_from_bytes(parked.progress.event);
  return event && (selection.id.empty() || event->id() == selection.id) &&
         (selection.source.empty() || event->source() == selection.source);
}

}  // namespace

std::vector<Parked> find_parked(const Log& log, const ParkedSelection& selection,
                                std::size_t count_max) {
  std::vector<Parked> found;
  std::string prefix(cursors_begin);
  if (!selection.trigger.empty()) prefix = notes_prefix(cursor_name(selection.trigger));
  each_note(log, prefix, [&](const std::string& name, std::string_view text) {
    if (found.size() >= count_max) return false;
    std::optional<Parked> parked = parked_of(name, text);
    if (parked && fits(*parked, selection)) found.push_back(std::move(*parked));
    return true;
  });
  return found;
}

std::optional<Parked> parked_at(const Log& log, const std::string& note) {
  const auto found = log.notes().find(note);
  if (found == log.notes().end()) return std::nullopt;
  return parked_of(found->first, found->second);
}

std::optional<ParkedEvent> shown(const Parked& parked) {
  Result<CloudEvent> event = event_from_bytes(parked.progress.event);
  if (!event) return std::nullopt;
  event->remove_extension(hops_attribute);
  ParkedEvent out;
  out.trigger = parked.trigger;
  out.offset = parked.offset;
  out.parked_at = parked.progress.due;
  out.attempts = parked.progress.attempts;
  out.letters = parked.progress.letters;
  out.status = parked.progress.status;
  out.cause = parked.progress.cause;
  out.destination = parked.progress.destination;
  out.event = std::move(*event);
  return out;
}

std::set<std::string> known_triggers(const Log& log) {
  std::set<std::string> names;
  const auto add = [&names](std::string_view name) {
    if (name.starts_with(cursors_begin)) names.emplace(name.substr(cursors_begin.size()));
  };
  for (const auto& [name, next] : log.cursors()) add(name);
  each_note(log, cursors_begin, [&](std::string_view name, std::string_view) {
    add(name.substr(0, name.find('\0')));
    return true;
  });
  return names;
}

Offset durable_position(const Log& log, std::string_view trigger) {
  const std::string cursor = cursor_name(trigger);
  const Offset begin = log.cursor(cursor).value_or(0);
  const auto note = log.notes().find(notes_prefix(cursor));
  if (note == log.notes().end()) return begin;
  return std::max(begin, decode_position(note->second).value_or(begin));
}

Leftover leftover(const Log& log, std::string_view trigger) {
  Leftover left;
  const std::string cursor = cursor_name(trigger);
  const Offset position = std::max(durable_position(log, trigger), log.first());
  if (log.cursor(cursor)) {
    left.change.cursors.emplace_back(cursor, std::nullopt);
    left.undecided = log.end() - std::min(position, log.end());
  }
  const std::string prefix = notes_prefix(cursor);
  each_note(log, prefix, [&](const std::string& name, std::string_view text) {
    left.change.notes.emplace_back(name, std::nullopt);
    const std::optional<Offset> offset = note_offset(prefix, name);
    if (!offset || text.size() < 2) return true;
    const bool parked = text[1] == static_cast<char>(Phase::parked);
    const bool decided = parked || text[1] == static_cast<char>(Phase::done);
    if (parked) ++left.parked;
    if (decided && *offset >= position) --left.undecided;
    if (!decided && *offset < position) ++left.undecided;
    return true;
  });
  return left;
}

}  // namespace knative::broker
