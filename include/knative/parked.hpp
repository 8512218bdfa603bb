/// \file
/// Parked events: what could not be delivered and has no (working) dead letter sink waits here for
/// people, durably, until it is redriven or discarded; part of event_broker.hpp and access.hpp.
///
/// Plain values. Nothing here runs anything.
///
/// \code
/// for (const knative::ParkedEvent& one : broker.parked({.trigger = "audit"}, 100)) look_at(one);
/// (co_await broker.redrive({.trigger = "audit", .offset = 7})).value();
/// \endcode
#pragma once

#include <optional>
#include <string>

#include "knative/event.hpp"
#include "knative/log.hpp"

namespace knative {

/// Which parked events are meant: those to which all of this applies.
struct ParkedSelection {
  /// Of which trigger; empty: of all. Faces of a platform mean the name of the Trigger or
  /// Subscription.
  std::string trigger;
  std::string id;      ///< Of the event; empty: any.
  std::string source;  ///< Of the event; empty: any.
  std::optional<Offset> offset;
};

/// What is done with parked events.
enum class ParkedMove : unsigned char {
  redrive,  ///< Delivered anew, with all attempts.
  discard,  ///< Thrown away.
};

/// An event in a parking lot. A value.
struct ParkedEvent {
  std::string trigger;
  Offset offset = 0;  ///< In the log: with the trigger it names the parked event.
  WallTime parked_at{};
  int attempts = 0;         ///< That failed at the subscriber,
  int letters = 0;          ///< and at the dead letter sink.
  int status = 0;           ///< Of the subscriber's last answer.
  std::string cause;        ///< Of the last failure, up to 200 bytes.
  std::string destination;  ///< The subscriber's URL or name then, without secrets.
  CloudEvent event;         ///< As it was accepted.
};

}  // namespace knative
