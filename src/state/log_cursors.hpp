/// \file
/// What a log keeps beside its records: cursors, with the slowest at hand however many there are,
/// and notes, with their bytes. Private to the state floor.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "knative/log.hpp"

namespace knative::state {

class CursorTable {
 public:
  using Map = std::map<std::string, Offset, std::less<>>;

  CursorTable() = default;
  explicit CursorTable(Map cursors) : cursors_(std::move(cursors)) {
    for (const auto& [name, next] : cursors_) ++at_[next];
  }
  const Map& all() const noexcept { return cursors_; }
  std::optional<Offset> find(std::string_view name) const {
    const auto found = cursors_.find(name);
    return found == cursors_.end() ? std::nullopt : std::optional<Offset>(found->second);
  }
  void set(const std::string& name, Offset next) {
    const auto [place, added] = cursors_.try_emplace(name, next);
    if (!added) leave(std::exchange(place->second, next));
    ++at_[next];
  }
  void remove(std::string_view name) {
    const auto found = cursors_.find(name);
    if (found == cursors_.end()) return;
    leave(found->second);
    cursors_.erase(found);
  }
  /// Empty without any cursor.
  std::optional<Offset> slowest() const {
    return at_.empty() ? std::nullopt : std::optional<Offset>(at_.begin()->first);
  }

 private:
  void leave(Offset offset) {
    const auto place = at_.find(offset);
    if (--place->second == 0) at_.erase(place);
  }
  Map cursors_;
  std::map<Offset, std::size_t> at_;  ///< Cursors per position.
};

class NoteTable {
 public:
  NoteTable() = default;
  explicit NoteTable(LogNotes notes) : notes_(std::move(notes)) {
    for (const auto& [name, text] : notes_) bytes_ += name.size() + text.size();
  }
  const LogNotes& all() const noexcept { return notes_; }
  /// Names included.
  std::size_t bytes() const noexcept { return bytes_; }
  /// Empty: it is forgotten.
  void set(const std::string& name, std::optional<std::string> text) {
    const auto found = notes_.find(name);
    if (found != notes_.end()) {
      bytes_ -= name.size() + found->second.size();
      notes_.erase(found);
    }
    if (!text) return;
    bytes_ += name.size() + text->size();
    notes_.emplace(name, std::move(*text));
  }

 private:
  LogNotes notes_;
  std::size_t bytes_ = 0;
};

/// Bytes of notes that a change brings.
inline std::size_t note_bytes(const LogChange& change) noexcept {
  std::size_t bytes = 0;
  for (const auto& [name, text] : change.notes) bytes += text ? name.size() + text->size() : 0;
  return bytes;
}

/// Whether a change can be made to a log that ends here. `waiting`: bytes of notes that are not in
/// the table yet, at most.
inline Result<void> check_change(const LogChange& change, Offset end, const NoteTable& notes,
                                 std::size_t waiting) {
  for (const auto& [name, next] : change.cursors) {
    if (next && *next > end) {
      return fail(Errc::invalid_argument, "cursor " + name + " beyond the end of the log");
    }
  }
  const std::size_t bytes = note_bytes(change);
  if (bytes > 0 && notes.bytes() + waiting + bytes > log_notes_bytes_max) {
    return fail(Errc::resource_exhausted, "too many notes");
  }
  return {};
}

inline void apply(LogChange change, CursorTable& cursors, NoteTable& notes) {
  for (const auto& [name, next] : change.cursors) {
    if (next) {
      cursors.set(name, *next);
    } else {
      cursors.remove(name);
    }
  }
  for (auto& [name, text] : change.notes) notes.set(name, std::move(text));
}

/// A change of one cursor; empty: it is forgotten.
inline LogChange cursor_change(std::string name, std::optional<Offset> next) {
  LogChange change;
  change.cursors.emplace_back(std::move(name), next);
  return change;
}

}  // namespace knative::state
