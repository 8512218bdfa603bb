/// \file
/// The cursors of a log, with the slowest at hand however many there are. Private to the state
/// floor.
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

}  // namespace knative::state
