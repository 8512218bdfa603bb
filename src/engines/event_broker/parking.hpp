/// \file
/// The parking lots of a log's consumers, as its notes tell of them. Private to the event broker.
#pragma once

#include <cstddef>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "engines/event_broker/consumer_state.hpp"

namespace knative::broker {

/// A parked event in the notes of a log.
struct Parked {
  std::string note;  ///< Its name.
  std::string trigger;
  Offset offset = 0;
  Progress progress;
};

/// What of `selection` is parked, in the order of triggers and offsets.
std::vector<Parked> find_parked(const Log& log, const ParkedSelection& selection,
                                std::size_t count_max);
/// That note, if it tells of a parked event still.
std::optional<Parked> parked_at(const Log& log, const std::string& note);
/// For people; empty when its bytes are no event.
std::optional<ParkedEvent> shown(const Parked& parked);

/// What a consumer leaves when it goes.
struct Leftover {
  LogChange change;             ///< Forgets it.
  std::size_t parked = 0;       ///< Events in its parking lot,
  std::uint64_t undecided = 0;  ///< and those that it was not done with.
};
Leftover leftover(const Log& log, std::string_view trigger);

/// Of whom the log knows a cursor or notes.
std::set<std::string> known_triggers(const Log& log);

/// From where on the consumer's events are read again after a restart.
Offset durable_position(const Log& log, std::string_view trigger);

}  // namespace knative::broker
